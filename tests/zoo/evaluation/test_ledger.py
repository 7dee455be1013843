"""What a model has seen of what it is evaluated on."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from truth_models import Spoiler, write_file

from depthdata.splits import list_splits, load_split
from depthdata.windows import list_windows
from depthzoo.evaluation import evaluate
from depthzoo.evaluation.frames import Task
from depthzoo.evaluation.ledger import LEDGER, check_training, training_of
from depthzoo.models import Card, Needs, list_models


def card(name: str, trained_on: tuple[str, ...] = ()) -> Card:
    return Card(
        name, name.partition("/")[0], name, "none", "", "", Needs(), ("depth",), "scale",
        trained_on=trained_on,
    )  # fmt: skip


def stamp(
    folder: Path, model: str, dataset: str, name: str, split: str | None = None,
    numbers: Any = (0, 1), trained_on: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    file = write_file(
        folder / "one.h5", len(numbers), dataset=dataset, name=name, split=split,
        frame_ids=[f"{n:010d}" for n in numbers],
    )  # fmt: skip
    frames = tuple(range(len(numbers)))
    return check_training(card(model, trained_on), [Task(file, "left", frames, frames)])


def test_every_model_of_ours_is_known_or_said_not_to_be() -> None:
    unknown = {name for name in list_models() if training_of(name) is None}
    assert unknown == {"raft_stereo/eth3d", "raft_stereo/rvc"}
    for pattern in LEDGER:
        assert fnmatch.filter(list_models(), pattern), f"{pattern} is no model"


def test_every_entry_of_the_ledger_can_be_looked_up() -> None:
    parts = {"train", "2014"}
    for name in LEDGER:
        for entry in training_of(name) or ():
            selection = entry.selection.removeprefix("except ")
            assert selection in {"", *parts, *list_splits(), *list_windows()}, str(entry)


@pytest.mark.parametrize(
    ("model", "dataset", "name", "split"),
    [
        ("raft_stereo/sceneflow", "sceneflow", "flyingthings3d_TEST_A_0000", "test"),
        ("dynamic_stereo/sf", "sintel", "alley_1", "train"),
        ("dynamic_stereo/sf", "dynamic_replica", "x_source_left", "train"),
        ("dynamic_stereo/dr_sf", "dynamic_replica", "x_source_left", "test"),
        ("raft_stereo/middlebury", "middlebury", "trainingF_ArtL", "train"),
        ("raft_stereo/middlebury", "eth3d", "delivery_area_1l", "train"),
        ("dynamo_depth/kitti", "kitti_raw", "2011_09_26_drive_0002_sync", None),
        ("insta_dm/kitti", "kitti_raw", "2011_09_26_drive_0002_sync", None),
        ("dynamo_depth/nuscenes", "nuscenes", "scene-0003", "trainval"),
        ("dynamo_depth/waymo", "waymo", "segment-1", "val"),
        ("dynamic_multiframe_depth/resnet18", "kitti_odometry", "00", "train"),
        ("sgbm", "kitti_2015", "training_000000", "train"),
        ("insta_dm/cityscapes", "cityscapes", "frankfurt_000000", "val"),
    ],
)
def test_data_that_were_kept_apart(
    tmp_path: Path, model: str, dataset: str, name: str, split: str | None
) -> None:
    found = stamp(tmp_path, model, dataset, name, split)
    assert (found["overlap"], found["frames"], found["message"]) == ("none", 0, "")
    assert found["recordings"] == []


@pytest.mark.parametrize(
    ("model", "dataset", "name", "split"),
    [
        ("raft_stereo/sceneflow", "sceneflow", "monkaa_a_rain_of_stones_x2", "train"),
        ("dynamic_stereo/dr_sf", "dynamic_replica", "x_source_left", "train"),
        ("raft_stereo/middlebury", "middlebury", "trainingF_Adirondack", "train"),
        ("raft_stereo/middlebury", "middlebury", "trainingH_MotorcycleE", "train"),
        ("raft_stereo/middlebury", "middlebury", "2014_Adirondack-perfect", "2014"),
        ("insta_dm/kitti", "kitti_raw", "2011_09_26_drive_0001_sync", None),
        ("insta_dm/cityscapes_kitti", "cityscapes_vis", "aachen_000000", "train"),
        ("dynamo_depth/waymo_md2", "waymo_v2", "segment-1", "train"),
        ("dynamic_multiframe_depth/resnet18", "kitti_odometry", "01", "train"),
        ("dynamic_multiframe_depth/resnet18", "kitti_raw", "2011_10_03_drive_0042_sync", None),
    ],
)
def test_data_that_were_trained_on(
    tmp_path: Path, model: str, dataset: str, name: str, split: str | None
) -> None:
    found = stamp(tmp_path, model, dataset, name, split)
    assert (found["overlap"], found["frames"]) == ("frames", 2)
    assert found["message"].startswith("TRAINED ON THESE DATA")
    assert "2 of 2 frames" in found["message"]
    assert len(found["recordings"]) == 1


@pytest.mark.parametrize("model", ["dynamo_depth/kitti", "monodepth2/mono_640x192"])
def test_frames_of_a_drive_are_told_apart(tmp_path: Path, model: str) -> None:
    train = load_split("eigen_zhou/train")
    name = sorted(set(train.sequences))[0]
    known = sorted({e.frame for e in train if e.sequence == name})
    others = sorted(set(range(400)) - set(known))[:3]
    assert others
    found = stamp(tmp_path, model, "kitti_raw", name, numbers=[*known[:2], *others])
    assert (found["overlap"], found["frames"]) == ("frames", 2)
    assert "2 of 5 frames" in found["message"]
    found = stamp(tmp_path, model, "kitti_raw", name, numbers=others)
    assert (found["overlap"], found["frames"]) == ("recordings", 0)
    assert name.removesuffix("_sync") in found["message"]
    # the same pictures under the name that KITTI odometry or KITTI depth has for them
    found = stamp(tmp_path, model, "kitti_depth", f"{name}_image_02", numbers=known[:2])
    assert found["frames"] == 2


def test_the_part_of_a_drive_that_kitti_odometry_took(tmp_path: Path) -> None:
    model = "dynamic_multiframe_depth/resnet18"  # trained on 08: frames 1100 to 5170 of a drive
    drive = "2011_09_30_drive_0028_sync"
    found = stamp(tmp_path, model, "kitti_raw", drive, numbers=[1098, 1099, 1100, 5170, 5171])
    assert (found["overlap"], found["frames"]) == ("frames", 2)
    assert stamp(tmp_path, model, "kitti_raw", drive, numbers=[3])["overlap"] == "recordings"
    train = {(e.sequence, e.frame) for e in load_split("eigen_zhou/train")}
    inside = [n for n in range(1100, 1400) if (drive, n) in train][:2]
    found = stamp(
        tmp_path, "dynamo_depth/kitti", "kitti_odometry", "08", numbers=[n - 1100 for n in inside]
    )
    assert found["frames"] == len(inside) > 0


def test_published_test_sets_are_free_of_their_training_sets() -> None:
    for one, other in (("eigen/test", "eigen_zhou/train"), ("nuscenes/test", "nuscenes/train")):
        assert not set(load_split(one).sequences) & set(load_split(other).sequences)


@pytest.mark.parametrize(
    ("model", "dataset", "said"),
    [
        ("raft_stereo/rvc", "eth3d", "not known of raft_stereo/rvc"),
        ("dynamo_depth/kitti", "kitti_2015", "eigen_zhou/train and kitti_2015"),
        ("dynamic_multiframe_depth/resnet18", "kitti_2012", "kitti_2012 have frames in common"),
    ],
)
def test_what_is_not_known_is_said(tmp_path: Path, model: str, dataset: str, said: str) -> None:
    found = stamp(tmp_path, model, dataset, "training_000000", "train")
    assert found["overlap"] == "unknown"
    assert said in found["message"]


def test_models_of_others_say_it_in_their_cards(tmp_path: Path) -> None:
    trained = ("kitti_raw:eigen_zhou/train", "kitti_raw", "cityscapes:train")
    found = stamp(
        tmp_path, "their/model", "kitti_raw", "2011_09_26_drive_0002_sync", trained_on=trained
    )
    # seen once or twice, it is two frames
    assert (found["overlap"], found["frames"]) == ("frames", 2)
    assert found["trained_on"] == list(trained)
    vague = stamp(tmp_path, "their/model", "eth3d", "x", trained_on=("a mix, see the paper",))
    assert vague["overlap"] == "unknown"
    assert stamp(tmp_path, "their/model", "eth3d", "x")["overlap"] == "unknown"
    wrong = stamp(tmp_path, "their/model", "kitti_raw", "x", trained_on=("kitti_raw:eigen/trian",))
    assert wrong["overlap"] == "unknown"


def test_the_stamp_is_in_the_result(tmp_path: Path) -> None:
    file = write_file(
        tmp_path / "monkaa_x.h5", 2, dataset="sceneflow", split="train",
        streams={"disparity": np.full((2, 24, 40), 9.0, np.float32)},
    )  # fmt: skip
    model = Spoiler(tmp_path, lambda path, t: np.full((24, 40), 9.0), name="dynamic_stereo/sf")
    report = evaluate(model, file, "stereo/epe")
    assert json.loads(report.to_json())["training"]["overlap"] == "frames"
    assert report.table().splitlines()[-1].startswith("TRAINED ON THESE DATA")
