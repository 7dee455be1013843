"""Undistortion of samples: against OpenCV, and against the same scene without a lens."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support import run_example
from torch.utils.data import DataLoader

from depthdata import geometry
from depthdata.codecs.images import encode_png
from depthdata.distortion import MODEL, distort_pixels, undistort_pixels
from depthdata.errors import UsageError
from depthdata.loading import (
    Compose,
    HorizontalFlip,
    RandomCrop,
    SequenceDataset,
    Undistort,
    collate,
    transform_batch,
)
from depthdata.sequence import Points, SequenceWriter
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.probe import Probe, Shot

H, W = 96, 144
K = np.array([[110.0, 0, 70.3], [0, 108.0, 49.1], [0, 0, 1]])
LENS = np.array([-0.16, 0.05, 0.002, -0.003, 0.01])
RNG = np.random.default_rng(0)


class Street:
    """Two frames of the synthetic scene, seen through the lens and without it."""

    def __init__(self) -> None:
        scene = SyntheticScene(seed=4, frames=1)
        forward = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
        probes = [Probe(scene, seconds) for seconds in (0.0, 0.1)]
        self.poses = [probe.T_world_imu @ forward for probe in probes]
        self.seen: list[Shot] = []
        self.straight: list[Shot] = []
        for probe, pose in zip(probes, self.poses, strict=True):
            self.seen.append(probe.shoot(pose, K, (H, W), LENS))
            self.straight.append(probe.shoot(pose, K, (H, W)))

    def points(self, t: int) -> Points:
        """Every third pixel of the distorted depth as measurements."""
        depth = self.seen[t].depth
        row, column = np.nonzero(np.isfinite(depth))
        row, column = row[::7], column[::7]
        return Points(
            kind="subpixel",
            x=column.astype(np.float32),
            y=row.astype(np.float32),
            value=depth[row, column].astype(np.float32),
        )

    def write(self, path: Path, *, lens: np.ndarray | None = LENS) -> Path:
        with SequenceWriter(
            path,
            dataset="lens",
            sequence=path.stem,
            licence="CC0",
            citation="none",
            converter="test 1",
            source_fingerprint="xxh3:0000000000000000",
        ) as writer:
            writer.timeline(np.arange(2) * 10**8, ["0", "1"])
            camera = writer.camera(
                "front",
                height=H,
                width=W,
                intrinsics=K,
                T_world_cam=np.stack(self.poses),
                **({} if lens is None else {"distortion": lens, "distortion_model": MODEL}),
            )
            blobs = [encode_png(shot.rgb) for shot in self.seen]
            camera.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png")
            camera.dense("depth", [s.depth.astype(np.float32) for s in self.seen], unit="m")
            camera.dense("instances", [s.instances for s in self.seen], dtype="uint16")
            camera.points("lidar", [self.points(t) for t in range(2)], quantity="depth", unit="m")
            camera.points(
                "lidar_undistorted",
                [self.points(t) for t in range(2)],
                quantity="depth",
                unit="m",
                undistorted=True,
            )
        return path


@pytest.fixture(scope="module")
def street() -> Street:
    return Street()


@pytest.fixture(scope="module")
def path(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return street.write(tmp_path_factory.mktemp("lens") / "street.h5")


def a_sample(image: np.ndarray, lens: np.ndarray = LENS) -> dict[str, Any]:
    return {
        "rgb": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None],
        "intrinsics": torch.from_numpy(K)[None],
        "distortion": torch.from_numpy(lens)[None],
    }


@pytest.mark.parametrize("alpha", [None, 0.0, 0.4, 1.0])
def test_images_are_those_of_opencv(street: Street, alpha: float | None) -> None:
    image = street.seen[0].rgb
    straight = Undistort(alpha)(a_sample(image), RNG)
    new = K
    if alpha is not None:
        new, _ = cv2.getOptimalNewCameraMatrix(K, LENS, (W, H), alpha)
    expected = cv2.undistort(image, K, LENS, newCameraMatrix=new)
    np.testing.assert_array_equal(straight["rgb"][0].permute(1, 2, 0).numpy(), expected)
    np.testing.assert_allclose(straight["intrinsics"][0], new)
    assert "distortion" not in straight
    if alpha == 0.0:
        assert (straight["rgb"].amax(1) > 0).all()


def test_a_street_without_the_lens(street: Street, path: Path) -> None:
    """Everything agrees with what a camera without a lens sees."""
    dataset = SequenceDataset(
        path, streams=("rgb", "depth", "instances"), transform=Undistort(), cameras=("front",)
    )
    raw = SequenceDataset(path, streams=("rgb",))
    np.testing.assert_allclose(raw[0]["distortion"], LENS[None], rtol=1e-6)
    for t, straight in enumerate(street.straight):
        sample = dataset[t]
        valid = sample["depth_valid"][0].numpy()
        # The texture is finer than a pixel: pictures are compared without what alone is sampled.
        image = sample["rgb"][0].permute(1, 2, 0).numpy()
        smooth = [
            cv2.GaussianBlur(each, (0, 0), 1.5).astype(int)
            for each in (image, street.seen[t].rgb, straight.rgb)
        ]
        off, before = np.abs(smooth[0] - smooth[2]), np.abs(smooth[1] - smooth[2])
        inner = np.zeros((H, W), bool)
        inner[8:-8, 8:-8] = True
        assert off[inner].mean() < 0.4 * before[inner].mean()
        for shift, axis in ((-1, 0), (1, 0), (-1, 1), (1, 1)):
            moved = np.abs(np.roll(smooth[0], shift, axis) - smooth[2])
            assert off[inner].mean() < moved[inner].mean()
        both = valid & np.isfinite(straight.depth)
        assert both.sum() > 0.9 * np.isfinite(straight.depth)[inner].sum()
        ratio = sample["depth"][0].numpy()[both] / straight.depth[both]
        assert np.median(np.abs(ratio - 1)) < 0.01
        assert (np.abs(ratio - 1) < 0.1).mean() > 0.95
        same = sample["instances"][0].numpy()[inner] == straight.instances[inner]
        assert same.mean() > 0.98
        assert (sample["depth"][0].numpy()[~valid] == 0).all()


def test_points_lie_on_their_rays(street: Street, path: Path) -> None:
    dataset = SequenceDataset(
        path,
        streams=("rgb", "lidar", "lidar_undistorted"),
        points=True,
        transform=Undistort(alpha=0.5),
    )
    sample, stored = dataset[1], street.points(1)
    rays = np.linalg.inv(K) @ np.stack([stored.x, stored.y, np.ones_like(stored.x)])
    valid = sample["lidar_points_valid"][0].numpy()
    x, y, z = sample["lidar_points"][0].numpy()[valid].T
    new = sample["intrinsics"][0].double().numpy()
    back = np.linalg.inv(new) @ np.stack([x, y, np.ones_like(x)])
    ours = distort_pixels((K @ back)[:2].T, K, LENS)
    assert valid.sum() > 0.9 * len(stored)  # alpha 0.5 shows nearly all of them
    np.testing.assert_allclose(ours, np.stack([stored.x, stored.y], 1)[valid], atol=2e-3)
    np.testing.assert_array_equal(z, stored.value[valid])
    assert rays.shape[1] == len(valid)
    kept = sample["lidar_undistorted_points"][0].numpy()
    np.testing.assert_array_equal(kept[:, 0], stored.x)


def test_maps_of_single_measurements_move_point_by_point(street: Street, path: Path) -> None:
    """No measurement is doubled, and none gets lost but those that leave or collide."""
    plain = SequenceDataset(path, streams=("rgb", "lidar"))[0]
    moved = Undistort()(plain, RNG)
    row, column = np.nonzero(plain["lidar_valid"][0].numpy())
    places = np.rint(undistort_pixels(np.stack([column, row], -1), K, LENS))
    inside = (places >= 0).all(1) & (places < [W, H]).all(1)
    assert int(moved["lidar_valid"].sum()) == len(np.unique(places[inside], axis=0))
    assert inside.mean() > 0.8
    values = moved["lidar"][moved["lidar_valid"]].numpy()
    assert np.isin(values, plain["lidar"].numpy()).all()
    as_dense = Undistort(sparse=())(plain, RNG)
    assert not torch.equal(as_dense["lidar"], moved["lidar"])
    again = Undistort(sparse=("lidar",))(plain, RNG)
    assert torch.equal(again["lidar"], moved["lidar"])
    row, column = np.nonzero(moved["lidar_valid"][0].numpy())
    depth = street.straight[0].depth[row, column]
    assert np.nanmedian(np.abs(values / depth - 1)) < 0.02


def test_flow_of_a_static_scene(street: Street) -> None:
    T = np.linalg.inv(street.poses[1]) @ street.poses[0]
    exact = geometry.rigid_flow(street.straight[0].depth, K, T)
    start = undistort_pixels(geometry.pixel_grid(H, W), K, LENS)
    depth = street.seen[0].depth
    rays = np.concatenate([start, np.ones((H, W, 1))], -1) @ np.linalg.inv(K).T
    end, _ = geometry.project(K, geometry.transform(T, rays * depth[..., None]))
    flow = distort_pixels(end, K, LENS) - geometry.pixel_grid(H, W)
    flow = np.moveaxis(flow, -1, 0).astype(np.float32)
    valid = np.isfinite(flow).all(0)
    sample = a_sample(street.seen[0].rgb)
    sample["flow_forward"] = torch.from_numpy(np.where(valid, flow, 0))[None]
    sample["flow_forward_valid"] = torch.from_numpy(valid)[None]
    out = Undistort()(sample, RNG)
    both = out["flow_forward_valid"][0].numpy() & np.isfinite(exact).all(0)
    assert both.mean() > 0.5
    off = np.abs(out["flow_forward"][0].numpy() - exact).max(0)[both]
    raw = np.abs(flow - exact).max(0)[both]
    assert np.median(off) < 0.05
    assert np.median(off) < 0.3 * np.nanmedian(raw)


def test_flips_and_crops_around_it(path: Path) -> None:
    sample = SequenceDataset(path, streams=("rgb", "depth", "lidar"), points=True)[0]
    flip = HorizontalFlip(p=1.0)
    one = flip(Undistort()(sample, RNG), RNG)
    other = Undistort()(flip(sample, RNG), RNG)
    assert one.keys() == other.keys()
    torch.testing.assert_close(one["intrinsics"], other["intrinsics"])
    assert (one["rgb"].int() - other["rgb"].int()).abs().max() <= 2
    valid = one["lidar_points_valid"]
    assert torch.equal(valid, other["lidar_points_valid"])
    torch.testing.assert_close(
        one["lidar_points"][valid], other["lidar_points"][valid], atol=1e-2, rtol=0
    )
    crop = RandomCrop((60, 80))
    one = crop(Undistort()(sample, RNG), np.random.default_rng(3))
    other = Undistort()(crop(sample, np.random.default_rng(3)), RNG)
    torch.testing.assert_close(one["intrinsics"], other["intrinsics"])
    seen = other["depth_valid"] & one["depth_valid"]
    assert seen.float().mean() > 0.6
    assert (one["depth"][seen] == other["depth"][seen]).float().mean() > 0.99


def test_in_the_loader(path: Path) -> None:
    change = Compose(Undistort(alpha=0), RandomCrop((64, 96)), HorizontalFlip())
    dataset = SequenceDataset(path, streams=("rgb", "depth"), transform=change)
    alone = [dataset[i] for i in range(len(dataset))]
    (batch,) = DataLoader(dataset, 2, num_workers=1, collate_fn=collate)
    assert batch["rgb"].shape == (2, 1, 3, 64, 96)
    for i, sample in enumerate(alone):
        assert torch.equal(batch["rgb"][i], sample["rgb"])
        assert torch.equal(batch["depth_valid"][i], sample["depth_valid"])
    assert "distortion" not in batch
    assert len(pickle.dumps(change)) < 2000
    raw = collate([SequenceDataset(path, streams=("rgb", "depth"))[i] for i in range(2)])
    again = transform_batch(raw, Undistort(alpha=0), RNG)
    assert again["rgb"].shape == (2, 1, 3, H, W)


def test_cameras_with_and_without_a_lens(street: Street, path: Path, tmp_path: Path) -> None:
    pinhole = street.write(tmp_path / "pinhole.h5", lens=None)
    both = SequenceDataset([path, pinhole], streams=("rgb",))
    assert both[2]["distortion"].eq(0).all()
    straight = Undistort(alpha=1)(both[2], RNG)
    assert torch.equal(straight["rgb"], both[2]["rgb"])
    torch.testing.assert_close(straight["intrinsics"], both[2]["intrinsics"])
    alone = SequenceDataset(pinhole, streams=("rgb",))[0]
    assert "distortion" not in alone
    assert Undistort()(alone, RNG).keys() == alone.keys()
    prepared = SequenceDataset(path, streams=("lidar_undistorted",))
    assert "distortion" not in prepared[0]


def test_beyond_the_turning_point_nothing_is_seen() -> None:
    barrel = np.array([-1.0, 0, 0, 0, 0])  # turns at 0.577, the corners lie at 0.8
    image = np.full((H, W, 3), 200, np.uint8)
    sample = a_sample(image, barrel)
    sample["depth"], sample["depth_valid"] = torch.ones(1, H, W), torch.ones(1, H, W).bool()
    out = Undistort()(sample, RNG)
    x, y = np.moveaxis(geometry.pixel_grid(H, W), -1, 0)
    radius = np.hypot((x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1])
    beyond = radius > 0.58
    assert beyond.any()
    assert not out["depth_valid"][0].numpy()[beyond].any()
    assert (out["rgb"][0].numpy()[:, beyond] == 0).all()
    assert out["depth_valid"][0].numpy()[radius < 0.5].all()


def test_what_cannot_be_undistorted(street: Street) -> None:
    sample = a_sample(street.seen[0].rgb)
    with pytest.raises(UsageError, match="disparity of distorted images"):
        Undistort()(sample | {"disparity": torch.ones(1, H, W)}, RNG)
    small = {"rgb_32x48": torch.zeros(1, 3, 32, 48, dtype=torch.uint8)}
    with pytest.raises(UsageError, match="differ in size"):
        Undistort()(sample | small, RNG)
    assert Undistort(keep=("rgb_32x48",))(sample | small, RNG)["rgb_32x48"].shape[-1] == 48


def test_the_example_of_the_page(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waymo").mkdir()
    street.write(tmp_path / "waymo" / "segment-1.h5")
    monkeypatch.chdir(tmp_path)
    names = run_example("Undistorting")
    assert names["dataset"][0]["rgb"].shape == (1, 3, 256, 448)
    assert "distortion" not in names["dataset"][1]
