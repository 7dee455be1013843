"""Depth from disparity and back, validity kept apart, baselines that vary: in samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from depthdata import open_sequence
from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.loading import HorizontalFlip, SequenceDataset, Window, collate
from depthdata.sequence import Points, SequenceWriter

H, W, T = 12, 20, 3
CAMERAS = ("left", "right")
FX, DOFFS = 40.0, 3.0
BASELINES = np.array([0.5, 0.25, 1.0])


def disparity_of(t: int) -> np.ndarray:
    disparity = np.random.default_rng(t).uniform(1, 9, (H, W)).astype(np.float32)
    disparity[:3, :6] = np.nan
    return disparity


def write(path: Path, baseline: object, *, doffs: float = 0.0, sparse: bool = False) -> Path:
    """A pair that stores disparity (or depth as points), and flow with its validity apart."""
    with SequenceWriter(
        path,
        dataset="d",
        sequence=path.stem,
        split=None,
        licence="CC0",
        citation="none",
        converter="test 1",
        source_fingerprint="xxh3:0000000000000000",
    ) as writer:
        writer.timeline(np.arange(T), [str(t) for t in range(T)])
        writer.stereo_pair("left", "right", baseline)
        for name in CAMERAS:
            shift = doffs if name == "right" else 0.0
            K = np.array([[FX, 0, 9.5 + shift], [0, FX, 5.5], [0, 0, 1]])
            camera = writer.camera(name, height=H, width=W, intrinsics=K)
            blobs = [encode_png(np.full((H, W, 3), t, np.uint8)) for t in range(T)]
            camera.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png")
            if sparse:
                camera.points("depth", [points(t) for t in range(T)])
            else:
                maps = [disparity_of(t) for t in range(T)]
                camera.dense("disparity", maps, unit="px", missing="nan")
            flow = np.ones((T, 2, H, W), np.float32)
            valid = np.ones((T, H, W), np.uint8)
            valid[:, 2:5, 1:] = 0
            camera.dense("flow_forward", flow, unit="px")
            camera.dense("flow_forward_valid", valid, dtype="u1", missing=None)
    return path


def points(t: int) -> Points:
    y, x = np.mgrid[0:H:2, 1:W:3]
    value = np.random.default_rng(t).uniform(2, 30, x.size).astype(np.float32)
    return Points(
        kind="subpixel",
        x=x.ravel().astype(np.float32),
        y=y.ravel().astype(np.float32),
        value=value,
    )


@pytest.mark.parametrize("doffs", [0.0, DOFFS])
@pytest.mark.parametrize("size", [None, (6, 10)])
def test_depth_of_stored_disparity(
    tmp_path: Path, doffs: float, size: tuple[int, int] | None
) -> None:
    path = write(tmp_path / "a.h5", BASELINES, doffs=doffs)
    dataset = SequenceDataset(
        path,
        window=Window((1, 0)),
        cameras=CAMERAS,
        streams=("rgb", "depth", "disparity"),
        size=size,
    )
    sample = dataset[1]  # frames 2 and 1
    assert sample["baselines"].tolist() == BASELINES[[2, 1]].tolist()
    assert "baseline" not in sample
    for prefix in ("", "right_"):
        depth, disparity = sample[f"{prefix}depth"], sample[f"{prefix}disparity"]
        valid = sample[f"{prefix}depth_valid"]
        assert torch.equal(valid, sample[f"{prefix}disparity_valid"])
        assert valid.any() and not valid.all()
        assert not depth[~valid].any() and not disparity[~valid].any()
        scale = 1.0 if size is None else size[1] / W
        fx = sample["intrinsics"][:, 0, 0]
        offset = sample["right_intrinsics"][:, 0, 2] - sample["intrinsics"][:, 0, 2]
        torch.testing.assert_close(offset, torch.full((2,), doffs * scale))
        numerator = (fx * sample["baselines"])[:, None, None]
        expected = numerator / (disparity + offset[:, None, None])
        torch.testing.assert_close(depth[valid], expected.expand_as(depth)[valid])


def test_one_baseline_stays_one_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", 0.5)
    sample = SequenceDataset(path, window=Window((0, 1)), cameras=CAMERAS)[0]
    assert sample["baseline"].shape == () and float(sample["baseline"]) == 0.5
    assert sample["baselines"].tolist() == [0.5, 0.5]
    write(tmp_path / "b.h5", BASELINES)
    both = SequenceDataset(tmp_path, window=Window((0, 1)), cameras=CAMERAS)
    batch = collate(both.__getitems__([0, 2]))  # a changing pair among them: the same keys for all
    assert batch["baselines"].tolist() == [[0.5, 0.5], [0.5, 0.25]]
    assert "baseline" not in batch
    flipped = HorizontalFlip(p=1.0)(both[2], np.random.default_rng(0))
    assert torch.equal(flipped["rgb"], both[2]["right_rgb"].flip(-1))


def test_disparity_of_sparse_depth(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", BASELINES, sparse=True)
    sample = SequenceDataset(path, cameras=CAMERAS, streams=("depth", "disparity"))[1]
    valid = sample["disparity_valid"]
    assert torch.equal(valid, sample["depth_valid"]) and valid.any() and not valid.all()
    expected = FX * BASELINES[1] / sample["depth"][valid]
    torch.testing.assert_close(sample["disparity"][valid], expected.float())
    streams = ("depth", "disparity")
    small = SequenceDataset(path, cameras=CAMERAS, streams=streams, size=(6, 10))[1]
    both = small["disparity_valid"] & small["depth_valid"]
    assert torch.equal(small["disparity_valid"], small["depth_valid"])
    assert both.sum() > 0.9 * min(int(valid.sum()), 60)  # points are moved, not sampled
    expected = FX / 2 * BASELINES[1] / small["depth"][both]
    torch.testing.assert_close(small["disparity"][both], expected.float())
    listed = SequenceDataset(path, streams=streams, points=True, size=(6, 10))[1]
    depth, disparity = (listed[f"{name}_points"] for name in streams)
    assert torch.equal(depth[..., :2], disparity[..., :2])
    expected = FX / 2 * BASELINES[1] / depth[..., 2]
    torch.testing.assert_close(disparity[..., 2], expected.float())


def test_validity_that_is_stored_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", 0.5)
    plain = SequenceDataset(path, streams=("flow_forward",))[1]
    assert not plain["flow_forward_valid"][0, 2:5, 1:].any()
    assert plain["flow_forward_valid"].sum() == H * W - 3 * (W - 1)
    assert not plain["flow_forward"][0, :, 2:5, 1:].any()
    assert (plain["flow_forward"][0, :, 6:] == 1).all()
    every = open_sequence(path).cameras["left"].streams
    assert "flow_forward_valid" in every
    both = SequenceDataset(path, streams=every)[1]
    assert both["flow_forward_valid"].dtype == torch.bool
    assert torch.equal(both["flow_forward_valid"], plain["flow_forward_valid"])
    alone = SequenceDataset(path, streams=("flow_forward_valid",))[1]
    assert alone["flow_forward_valid"].dtype == torch.uint8


def test_require_and_errors_know_derived_streams(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", 0.5)
    assert len(SequenceDataset(path, streams=("depth",), require=("depth",))) == T
    with pytest.raises(UsageError, match=r"no stream .lidar. .*depth, disparity"):
        SequenceDataset(path, streams=("lidar",))
