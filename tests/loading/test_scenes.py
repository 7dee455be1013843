"""Whole scenes: everything the synthetic street has, and a real drive where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import depthdata as dd
from depthdata.loading import Compose, HorizontalFlip, RandomCrop, SequenceDataset, Window, collate
from depthdata.synthetic import SyntheticScene, write_sequence


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("street") / "street.h5"
    write_sequence(SyntheticScene(seed=1, frames=3, height=60, width=200), path)
    return path


def check_stereo(sample: dict) -> None:
    """Left and right show the same thing where disparity and occlusion say so."""
    disparity, valid = sample["disparity"].numpy(), sample["disparity_valid"].numpy()
    depth = sample["depth"].numpy()
    fx = float(sample["intrinsics"][0, 0, 0])
    both = valid & sample["depth_valid"].numpy()
    expected = fx * float(sample["baseline"]) / depth[both]
    np.testing.assert_allclose(disparity[both], expected, rtol=1e-3)
    width = disparity.shape[2]
    t, y, x = np.nonzero(valid & (sample["masks_occluded"].numpy() == 0))
    target = np.rint(x - disparity[t, y, x]).astype(int)
    inside = (target >= 0) & (target < width)
    t, y, x, target = t[inside], y[inside], x[inside], target[inside]
    left, right = (sample[k].numpy().astype(float) for k in ("rgb", "right_rgb"))
    matched = np.abs(left[t, :, y, x] - right[t, :, y, target]).mean()
    unmatched = np.abs(left[t, :, y, x] - right[t, :, y, x]).mean()
    assert matched < 0.6 * unmatched


STREAMS = ("rgb", "depth", "disparity", "masks/occluded")


@pytest.mark.parametrize("size", [None, (30, 100), (45, 160)])
def test_stereo_at_any_size(street: Path, size: tuple[int, int] | None) -> None:
    dataset = SequenceDataset(street, cameras=("left", "right"), streams=STREAMS, size=size)
    check_stereo(dataset[1])


def test_stereo_after_augmentation(street: Path) -> None:
    dataset = SequenceDataset(
        street,
        cameras=("left", "right"),
        streams=STREAMS,
        window=Window((0, 1)),
        transform=Compose(HorizontalFlip(p=1.0), RandomCrop((48, 160))),
    )
    check_stereo(dataset[0])


def test_lidar_agrees_with_the_rendered_depth(street: Path) -> None:
    sample = SequenceDataset(street, streams=("depth", "lidar_depth"))[1]
    both = (sample["depth_valid"] & sample["lidar_depth_valid"])[0]
    error = (sample["depth"] - sample["lidar_depth"])[0][both].abs() / sample["depth"][0][both]
    assert both.sum() > 100
    assert error.median() < 0.01


def test_every_stream_can_be_loaded(street: Path) -> None:
    streams = dd.open_sequence(street).cameras["left"].streams
    dataset = SequenceDataset(
        street, window=Window((0, 1)), cameras=("left", "right"), streams=streams, size=(30, 100)
    )
    batch = collate(dataset.__getitems__([0, 1]))
    for name in streams:
        key = name.replace("/", "_")
        assert batch[key].shape[:2] == batch[f"right_{key}"].shape[:2] == (2, 2)
        assert batch[key].shape[-2:] == (30, 100)
    # the last frame has no successor, so no flow to it
    assert batch["flow_forward_valid"].flatten(2).any(2).tolist() == [[True, True], [True, False]]
    assert batch["instances"].dtype == torch.int32


@pytest.mark.realdata
def test_a_real_drive(realdata: Path, tmp_path: Path) -> None:
    source = realdata / "kitti_raw"
    drive = "2011_09_26_drive_0002_sync"
    images = sorted((source / "2011_09_26" / drive / "image_02" / "data").glob("*.png"))
    report = dd.convert(
        "kitti_raw", source, tmp_path, sequences=[drive], skip_incomplete=True, jobs=1
    )
    assert not report.failed
    dataset = SequenceDataset(tmp_path, streams=("rgb", "depth"), size=(192, 640))
    for i in range(min(2, len(dataset))):
        sample = dataset[i]
        image = Image.open(images[sample["index"]["frame"]]).convert("RGB")
        assert image.size != (640, 192)
        expected = np.asarray(image.resize((640, 192), Image.Resampling.BICUBIC), dtype=int)
        difference = np.abs(sample["rgb"][0].permute(1, 2, 0).numpy() - expected)
        assert difference.max() <= 1
        assert 1 < sample["depth"][sample["depth_valid"]].median() < 40
