"""A preset adds the pictures that a paper's preparation made, and the file says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kitti_tree import drive_name, write_tree
from support import golden_cases

from depthdata.codecs.images import decode_image
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.sequence import open_sequence


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "raw")


def test_preset_adds_small_pictures_and_is_recorded(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = convert("kitti_raw", raw, out, preset="dynamo_depth", jobs=1)
    assert report.ok
    with open_sequence(out / f"{drive_name(1)}.h5") as sequence:
        assert sequence.attrs["preset"] == "dynamo_depth"
        assert sequence.converter.endswith(" dynamo_depth")
        left = sequence.cameras["left"]
        assert left["rgb_192x640"][0].shape == (192, 640, 3)
        assert left["rgb_192x640"].attrs["derived_from"] == "rgb"
        assert left["rgb_192x640"].present.tolist() == left["rgb"].present.tolist()
    # With and without the preset are different files: neither stands for the other.
    assert convert("kitti_raw", raw, out, jobs=1).failed
    again = convert("kitti_raw", raw, out, preset="dynamo_depth", jobs=1)
    assert {result.status for result in again.results} == {"skipped"}


def test_unknown_preset(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kitti_raw has no preset 'monorec'; it has dynamo_depth"):
        convert("kitti_raw", raw, tmp_path / "out", preset="monorec")
    assert not (tmp_path / "out").exists()


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "kitti_raw*"))
def test_small_pictures_are_the_published_ones(case: Path, tmp_path: Path) -> None:
    assert convert("kitti_raw", case / "raw", tmp_path, preset="dynamo_depth", jobs=1).ok
    (path,) = tmp_path.glob("*.h5")
    compared = 0
    with open_sequence(path) as sequence:
        for camera, number in (("left", 2), ("right", 3)):
            for published in sorted((case / "expected").glob(f"image_{number:02d}_*.jpg")):
                frame = sequence.frame_ids.index(published.stem.rpartition("_")[2])
                ours = sequence.cameras[camera]["rgb_192x640"][frame].astype(np.int16)
                difference = np.abs(ours - decode_image(published.read_bytes()))
                assert difference.max() <= 2
                assert difference.mean() <= 0.2
                compared += 1
    assert compared
