"""Samples of the multi-frame papers from a converted sequence file alone, against their loader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases
from torch.utils.data import DataLoader

from depthdata.aspect_crop import AspectCrop
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.loading import ColorJitter, SequenceDataset
from depthdata.loading.monorec import (
    TEST_SEQUENCES,
    TRAIN_SEQUENCES,
    MonoRecDataset,
    MonoRecSample,
)
from depthdata.sequence import open_sequence
from depthdata.sources.kitti_odometry_drives import DRIVES
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.windows import load_windows

LISTS = {"frame": "frames", "pose": "poses", "intrinsics": "intrinsics"}
SIZE, MASK = (16, 32), (8, 16)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "kitti_odometry*"))
def test_samples_are_those_of_the_published_loader(case: Path, tmp_path: Path):
    meta = json.loads((case / "meta.json").read_text())
    expected = dict(np.load(case / "expected.npz"))
    (result,) = convert("kitti_odometry", case / "tree", tmp_path, jobs=1).results
    assert result.status == "converted" and result.sequence == meta["sequence"], result.message
    size = tuple(meta["target_image_size"])
    dataset = MonoRecDataset(
        tmp_path, [meta["sequence"]], size=size, frame_count=meta["frame_count"]
    )
    assert len(dataset) == expected.pop("length") == meta["dataset_size"]
    with open_sequence(result.path) as sequence:
        left = sequence.cameras["left"]
        crop = AspectCrop((left.height, left.width), size)
    np.testing.assert_array_equal(crop.box, expected.pop("crop_box"))
    samples = list(dataset)
    assert expected
    for key, array in expected.items():
        item, _, field = key.partition("_")
        found = _field(samples[int(item)], field).numpy()
        assert found.dtype == array.dtype and found.shape == array.shape, key
        if field.startswith(("keyframe_intrinsics", "intrinsics")):
            np.testing.assert_allclose(found, array, rtol=1e-5, atol=0, err_msg=key)
        elif field == "keyframe" or field.startswith("frame_"):
            np.testing.assert_allclose(found, array, rtol=0, atol=1e-6, err_msg=key)
        else:
            np.testing.assert_array_equal(found, array, err_msg=key)


def _field(sample: dict, field: str) -> torch.Tensor:
    name, _, position = field.rpartition("_")
    return sample[LISTS[name]][int(position)] if position.isdecimal() else sample[field]


def test_windows_are_as_many_as_published():
    frames = {name: drive.last - drive.first + 1 for name, drive in DRIVES.items()}
    every = [(name, "train", count) for name, count in frames.items()]
    counts = {}
    for part, names in (("train", TRAIN_SEQUENCES), ("test", TEST_SEQUENCES)):
        clips = load_windows(f"kitti_odometry/{part}").resolve(every, strict=True)
        assert tuple(dict.fromkeys(clip.sequence for clip in clips)) == names
        counts |= {name: sum(clip.sequence == name for clip in clips) for name in names}
    assert counts == {
        "00": 4531, "04": 261, "05": 2751, "07": 1091,
        "01": 1091, "02": 4651, "06": 1091, "08": 4061, "09": 1581, "10": 1191,
    }  # fmt: skip
    assert sum(counts[name] for name in TEST_SEQUENCES) == 8634
    assert clips[0] == ("00", (5, 4, 6)) and clips[-1] == ("07", (1095, 1094, 1096))
    validation = load_windows("kitti_odometry/val").resolve(every, strict=True)
    assert len(validation) == 4 * 32 and validation[32] == ("04", (5, 4, 6))
    wide = load_windows("kitti_odometry/test").set(frame_count=3, dilation=2).resolve(every)
    assert wide[0].frames == (5, 3, 7, 9)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences whose images differ in size."""
    root = tmp_path_factory.mktemp("monorec")
    for name, width in (("04", 70), ("07", 81)):
        scene = SyntheticScene(seed=int(name), frames=12, height=30, width=width)
        write_raw(
            "kitti_odometry", scene, root / "raw", sequence=name, cameras=("left",),
            without=("velodyne",), mask_size=MASK,
        )  # fmt: skip
    report = convert("kitti_odometry", root / "raw", root / "out", jobs=1)
    assert report.ok, report.failed
    return root / "out"


def test_a_batch_may_mix_sequences_of_different_image_sizes(converted: Path):
    dataset = MonoRecDataset(converted, ["07", "04"], size=SIZE)
    assert [int(sample["sequence"]) for sample in dataset] == [7, 7, 4, 4]
    assert [int(sample["image_id"]) for sample in dataset] == [5, 6, 5, 6]
    (batch,) = DataLoader(dataset, batch_size=4, num_workers=1)
    assert batch["keyframe"].shape == (4, 3, *SIZE) and batch["target"].shape == (4, 1, *SIZE)
    assert batch["mvobj_mask"].shape == (4, 1, *MASK)
    assert [frame.shape for frame in batch["frames"]] == [(4, 3, *SIZE)] * 2
    assert batch["target"].gt(0).float().mean() > 0.1
    assert batch["keyframe"].abs().max() <= 0.5 < batch["keyframe"].abs().max() + 0.2


def test_either_trajectory_may_be_taken(converted: Path):
    for poses, kept in (("dvso", "dvso"), ("kitti_gt", "kitti_gt"), (None, "kitti_gt")):
        dataset = MonoRecDataset(converted, ["07"], size=SIZE, poses=poses, max_length=1)
        assert len(dataset) == 1
        with open_sequence(converted / "07.h5") as sequence:
            expected = sequence.pose_sets[kept].of(sequence.cameras["left"].T_rig_cam)[[5, 4, 6]]
        sample = dataset[0]
        found = torch.stack([sample["keyframe_pose"], *sample["poses"]])
        np.testing.assert_array_equal(found, expected.astype(np.float32))
    with pytest.raises(UsageError, match="no pose set 'orb'; there are: kitti_gt, dvso"):
        MonoRecDataset(converted, poses="orb")


def test_jitter_is_one_for_all_images_and_repeats(converted: Path):
    jitter = ColorJitter(0.2, 0.2, 0.2, 0.1, p=1.0)
    plain = MonoRecDataset(converted, ["04"], size=SIZE)[0]
    dataset = MonoRecDataset(converted, ["04"], size=SIZE, jitter=jitter, seed=3)
    first, again = dataset[0], dataset[0]
    torch.testing.assert_close(first["keyframe"], again["keyframe"], rtol=0, atol=0)
    assert (first["keyframe"] - plain["keyframe"]).abs().mean() > 0.01
    dataset.set_epoch(1)
    assert (first["keyframe"] - dataset[0]["keyframe"]).abs().mean() > 0.001
    torch.testing.assert_close(first["target"], plain["target"], rtol=0, atol=0)


def test_without_masks_and_with_other_windows(converted: Path):
    dataset = MonoRecDataset(converted, ["04"], size=SIZE, frame_count=3, dilation=2, moving=False)
    sample = dataset[0]
    assert "mvobj_mask" not in sample and len(sample["frames"]) == 3
    assert dataset.frames.describe(0)["frames"] == (5, 3, 7, 9)


def test_it_is_a_transform_of_any_window(converted: Path):
    """A published list, and the rule's own frames: the transform alone."""
    dataset = SequenceDataset(
        converted,
        "kitti_odometry/test",
        streams=("rgb", "depth_annotated"),
        transform=MonoRecSample(SIZE),
        poses="dvso",
    )
    assert len(dataset) == 4
    one, other = dataset[3], MonoRecDataset(converted, ["04", "07"], size=SIZE, moving=False)[3]
    assert one.keys() == other.keys()
    torch.testing.assert_close(one["frames"], other["frames"], rtol=0, atol=0)
    with pytest.raises(UsageError, match="need the streams rgb and depth_annotated"):
        MonoRecSample(SIZE)({"rgb": None}, np.random.default_rng(0))


def test_a_stream_with_a_size_in_its_name_keeps_it(converted: Path):
    name = f"masks/moving_{MASK[0]}x{MASK[1]}"
    dataset = SequenceDataset(converted / "07.h5", streams=("rgb", name))
    sample = dataset[5]
    with open_sequence(converted / "07.h5") as sequence:
        stored = sequence.cameras["left"][name][5]
    np.testing.assert_array_equal(sample[f"masks_moving_{MASK[0]}x{MASK[1]}"][0], stored)
    assert sample["rgb"].shape == (1, 3, 30, 81)
    small = SequenceDataset(converted / "07.h5", streams=("rgb", name), size=(10, 20))[5]
    assert small[f"masks_moving_{MASK[0]}x{MASK[1]}"].shape == (1, 10, 20)


def test_gaps_are_refused(tmp_path: Path):
    scene = SyntheticScene(seed=1, frames=12, height=20, width=40, objects=0)
    folder = write_raw(
        "kitti_odometry", scene, tmp_path / "raw", cameras=("left",), without=("velodyne",)
    )
    (folder / "image_2/000003.png").unlink()
    convert("kitti_odometry", tmp_path / "raw", tmp_path, jobs=1)
    with pytest.raises(UsageError, match=r"without a gap, found 000004 at position 3"):
        MonoRecDataset(tmp_path)
    with pytest.raises(UsageError, match="no sequence 00; there are 07"):
        MonoRecDataset(tmp_path, ["00"])


@pytest.mark.realdata
def test_real_frames(realdata: Path, tmp_path: Path):
    convert("kitti_odometry", realdata / "kitti_odometry", tmp_path, jobs=1)
    dataset = SequenceDataset(
        tmp_path / "07.h5",
        [("07", (2, 1, 3))],
        streams=("rgb", "depth_annotated"),
        transform=MonoRecSample(),
        poses="dvso",
    )
    sample = dataset[0]
    assert int(sample["image_id"]) == 169 and int(sample["sequence"]) == 7
    assert sample["keyframe"].shape == (3, 256, 512)
    lines = (realdata / "kitti_odometry/poses_dvso/07.txt").read_text().splitlines()
    for pose, number in zip(
        (sample["keyframe_pose"], *sample["poses"]), (169, 168, 170), strict=True
    ):
        expected = np.array(lines[number].split(), np.float32).reshape(3, 4)
        np.testing.assert_array_equal(pose[:3], expected)
    inverse = sample["target"]
    assert 0.05 < (inverse > 0).float().mean() < 0.35  # 370 x 740 pixels, 18 % of them, into fewer
    assert inverse[inverse > 0].min() > 1 / 90 and inverse.max() < 1 / 2
