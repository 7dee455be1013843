"""Published lists find their frames in the files of KITTI raw, nuScenes and Waymo."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from depthdata.cli import main
from depthdata.errors import UsageError
from depthdata.loading import SequenceDataset, Window
from depthdata.sequence import open_sequence
from depthdata.split_files import find_lines
from depthdata.splits import Split, load_split

Plane = Callable[..., Path]


def some_lines(split: Split, sequence: str, count: int = 4) -> list[int]:
    """Positions in the list of the first lines of a sequence."""
    return [i for i, entry in enumerate(split) if entry.sequence == sequence][:count]


def frames(dataset: SequenceDataset) -> list[tuple[str, int]]:
    return [(str(d["path"].stem), d["frame"]) for d in map(dataset.describe, range(len(dataset)))]


def test_drives_are_found_by_name_and_frames_by_number(
    plane: Plane, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = load_split("eigen_zhou/test")
    name = "2011_09_26_drive_0002_sync"
    numbers = [split[i].frame for i in some_lines(split, name, 2)]
    ids = [f"{n:010d}" for n in range(numbers[0] - 1, numbers[0] + 3)]  # a part of the drive
    plane(name, frames=4, frame_ids=ids)
    with caplog.at_level(logging.WARNING):
        dataset = SequenceDataset(tmp_path, split="eigen_zhou/test", window=Window((-1, 0, 1)))
    assert frames(dataset) == [(name, 1)]
    assert dataset[0]["index"]["frame_id"] == f"{numbers[0]:010d}"
    left_out = len(split) - sum(entry.sequence == name for entry in split)
    assert (
        f"split eigen_zhou/test: 1 of its 28 sequences are on disk; {left_out} of its 697 lines "
        "are left out, for these are missing: 2011_09_26_drive_0009_sync, " in caplog.text
    )


@pytest.mark.parametrize(
    ("name", "sequence", "file", "part"),
    [
        ("nuscenes/test", "scene-0003", "scene-0003", None),
        ("nuscenes_dayclear/test_mask", "scene-0003", "scene-0003", None),
        ("nuscenes/train", None, None, None),
        ("waymo/test", None, None, "val"),
        ("waymo/test", None, None, None),
        ("waymo/test_mask", None, None, "val"),
    ],
)
def test_scenes_and_segments(
    plane: Plane, tmp_path: Path, name: str, sequence: str | None, file: str | None, part: str
) -> None:
    split = load_split(name)
    sequence = sequence or split.sequences[0]
    wanted = [e.frame for e in split if e.sequence == sequence]
    file = file or sequence.rpartition("/")[2]
    # frames of these lists are positions, whatever the source calls them
    ids = [f"token-{t}" for t in range(12)]
    plane(file, frames=12, frame_ids=ids, cameras=("front",), split=part)
    dataset = SequenceDataset(tmp_path, split=name)
    assert frames(dataset) == [(file, t) for t in wanted if t < 12]
    assert dataset[0]["index"]["camera"] == "front"


def test_the_file_of_the_named_part_counts(plane: Plane, tmp_path: Path) -> None:
    files = []
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        files.append(open_sequence(plane(f"{part}/x", frames=3, split=part)))
    split = Split.from_entries("mine", [(f"{p}/x", "left", 1) for p in ("val", "train", "else")])
    found = {split[int(rank)].sequence: f.file for f in find_lines(split, files) for rank in f.rank}
    assert found == {"train/x": 0, "val/x": 1, "else/x": 0}


def test_missing_is_one_line(plane: Plane, tmp_path: Path) -> None:
    path = plane("other", frames=3)
    with pytest.raises(
        UsageError, match=r"^split waymo/test: 0 of its 202 sequences .* \(other\); convert val/seg"
    ) as caught:
        SequenceDataset(tmp_path, split="waymo/test")
    assert "\n" not in str(caught.value)
    split = Split.from_entries("mine", [("other", "left", 1), ("lost", "left", 0)])
    with pytest.raises(UsageError, match=r"1 of its 2 sequences .* missing: lost; convert them"):
        find_lines(split, [open_sequence(path)], strict=True)
    late = Split.from_entries("mine", [("other", "left", 9)])
    with pytest.raises(UsageError, match="1 of its frames are not in the files"):
        find_lines(late, [open_sequence(path)], strict=True)


def test_command_prints_the_lines_that_are_there(plane: Plane, tmp_path: Path) -> None:
    path = plane("scene-0003", frames=8, cameras=("front",))
    run = CliRunner().invoke
    found = run(main, ["split", "nuscenes/test", str(tmp_path)])
    assert found.exit_code == 0
    rows = found.stdout.splitlines()
    assert rows[0] == "sequence,camera,frame,file,position"
    split = load_split("nuscenes/test")
    wanted = [e.frame for e in split if e.sequence == "scene-0003" and e.frame < 8]
    assert rows[1:] == [f"scene-0003,front,{t},{path},{t}" for t in wanted]
    data = json.loads(run(main, ["split", "nuscenes/test", str(path), "--json"]).stdout)
    assert (data["lines"], len(data["entries"])) == (len(split), len(wanted))
    strict = run(main, ["split", "nuscenes/test", str(path), "--strict"])
    assert strict.exit_code == 2
    assert "1 of its 150 sequences are on disk" in strict.stderr
    assert run(main, ["split", "nuscenes/test", "--set", "n=1"]).exit_code == 2


def test_counts_are_those_of_the_publications() -> None:
    published = {
        "eigen_zhou/train": (39810, 32),
        "eigen_zhou/test": (697, 28),
        "nuscenes/train": (79760, 700),
        "nuscenes/test": (6019, 150),
        "nuscenes/test_mask": (6019, 150),
        "nuscenes_dayclear/test": (4449, 111),
        "nuscenes_dayclear/test_mask": (4449, 111),
        "waymo/test": (2216, 202),
        "waymo/test_mask": (1881, 20),
    }
    for name, counts in published.items():
        split = load_split(name)
        assert (len(split), len(split.sequences)) == counts
    frames = [e.frame for e in load_split("nuscenes/train")]
    assert min(frames) == 3 and all(f % 2 for f in frames) and max(frames) <= 235
    train = load_split("eigen_zhou/train")
    assert sum(e.camera == "left" for e in train) == 19956
    both = set(load_split("waymo/test_mask").entries) & set(load_split("waymo/test").entries)
    assert len(both) == 102
    assert set(load_split("nuscenes_dayclear/test")) < set(load_split("nuscenes/test"))
    assert {e.camera for e in load_split("waymo/test")} == {"front"}
