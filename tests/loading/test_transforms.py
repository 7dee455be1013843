"""Transforms keep images, truth and cameras consistent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from depthdata import geometry
from depthdata.errors import UsageError
from depthdata.loading import (
    CenterCrop,
    ColorJitter,
    Compose,
    HorizontalFlip,
    RandomCrop,
    Resize,
    collate,
    transform_batch,
)

H, W, K = 24, 40, 2
BASELINE = 0.5
RNG = np.random.default_rng(0)


def plane_depth(intrinsics: np.ndarray, T_world_cam: np.ndarray) -> np.ndarray:
    """Depth of the plane x + 2 y + 4 z = 30 of the world."""
    rays = geometry.backproject(intrinsics, geometry.pixel_grid(H, W), np.ones((H, W)))
    normal, distance = np.array([1.0, 2.0, 4.0]), 30.0
    along = rays @ (T_world_cam[:3, :3].T @ normal)
    return (distance - normal @ T_world_cam[:3, 3]) / along


def make_sample() -> dict[str, Any]:
    """A stereo pair that moves over a plane; its truth is exact."""
    intrinsics = np.array([[30.0, 0, 17.0], [0, 32.0, 13.0], [0, 0, 1]])
    left = [
        np.eye(4),
        geometry.rigid_transform(geometry.rotation_from_euler(0.02, -0.03, 0.01), [0.2, 0.1, 0.4]),
    ]
    shift = np.eye(4)
    shift[0, 3] = BASELINE
    right = [T @ shift for T in left]
    sample: dict[str, Any] = {}
    generator = torch.Generator().manual_seed(1)
    for prefix, poses in (("", left), ("right_", right)):
        depth = np.stack([plane_depth(intrinsics, T) for T in poses])
        sample[f"{prefix}rgb"] = torch.randint(
            0, 256, (K, 3, H, W), dtype=torch.uint8, generator=generator
        )
        sample[f"{prefix}depth"] = torch.from_numpy(depth).float()
        sample[f"{prefix}depth_valid"] = torch.ones(K, H, W, dtype=torch.bool)
        sample[f"{prefix}disparity"] = torch.from_numpy(30.0 * BASELINE / depth).float()
        flow = [
            geometry.rigid_flow(depth[i], intrinsics, geometry.se3_inverse(poses[1 - i]) @ poses[i])
            for i in range(2)
        ]
        sample[f"{prefix}flow_forward"] = torch.from_numpy(np.stack(flow)).float()
        sample[f"{prefix}flow_forward_valid"] = torch.ones(K, H, W, dtype=torch.bool)
        sample[f"{prefix}masks_moving"] = torch.zeros(K, H, W, dtype=torch.uint8)
        sample[f"{prefix}masks_moving_valid"] = torch.ones(K, dtype=torch.bool)
        sample[f"{prefix}radar_points"] = torch.tensor(
            [[[5.0, 6.0, depth[0, 6, 5]], [39, 23, 1.0]]]
        )
        sample[f"{prefix}radar_points_valid"] = torch.tensor([[True, True]])
        sample[f"{prefix}intrinsics"] = torch.from_numpy(np.stack([intrinsics] * K)).float()
        sample[f"{prefix}T_world_cam"] = torch.from_numpy(np.stack(poses))
        sample[f"{prefix}timestamps"] = torch.arange(K)
    sample["baseline"] = torch.tensor(BASELINE)
    sample["index"] = {"sequence": "plane", "camera": "left", "frame": 0}
    return sample


def check_truth(sample: dict[str, Any], prefix: str = "", tol: float = 2e-4) -> None:
    """Depth, intrinsics, poses and flow of the two frames agree with one another."""
    K0 = sample[f"{prefix}intrinsics"][0].double().numpy()
    T = sample[f"{prefix}T_world_cam"].numpy()
    depth = sample[f"{prefix}depth"].double().numpy()
    flow = geometry.rigid_flow(depth[0], K0, geometry.se3_inverse(T[1]) @ T[0])
    np.testing.assert_allclose(sample[f"{prefix}flow_forward"][0].numpy(), flow, atol=tol)
    x, y, z = sample[f"{prefix}radar_points"][0, 0].tolist()
    assert z == pytest.approx(depth[0, round(y), round(x)])


def test_the_sample_is_consistent_before_any_change() -> None:
    check_truth(make_sample())


def check_stereo(sample: dict[str, Any]) -> None:
    """Disparity is positive, and leads to the right camera as baseline and poses say."""
    T_right_left = (
        np.linalg.inv(sample["right_T_world_cam"][0].numpy()) @ sample["T_world_cam"][0].numpy()
    )
    np.testing.assert_allclose(T_right_left[:3, 3], [-BASELINE, 0, 0], atol=1e-9)
    fx = float(sample["intrinsics"][0, 0, 0])
    expected = geometry.depth_to_disparity(sample["depth"].numpy(), fx, BASELINE)
    np.testing.assert_allclose(sample["disparity"].numpy(), expected, rtol=1e-5)


def test_flip_of_one_camera() -> None:
    sample = make_sample()
    mono = {k: v for k, v in sample.items() if not k.startswith(("right_", "baseline"))}
    flipped = HorizontalFlip(p=1.0)(mono, RNG)
    assert (flipped["rgb"] == mono["rgb"].flip(-1)).all()
    check_truth(flipped)
    twice = HorizontalFlip(p=1.0)(flipped, RNG)
    for key, value in mono.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(twice[key], value)
    assert HorizontalFlip(p=0.0)(mono, RNG) is mono


def test_flip_of_a_stereo_pair_swaps_its_cameras() -> None:
    sample = make_sample()
    check_stereo(sample)
    flipped = HorizontalFlip(p=1.0)(sample, RNG)
    assert (flipped["rgb"] == sample["right_rgb"].flip(-1)).all()
    check_truth(flipped)
    check_truth(flipped, "right_")
    check_stereo(flipped)
    del sample["right_disparity"]
    with pytest.raises(UsageError, match="only one has disparity"):
        HorizontalFlip(p=1.0)(sample, RNG)


def test_crop() -> None:
    sample = make_sample()
    cropped = CenterCrop((16, 20))(sample, RNG)
    assert cropped["rgb"].shape == (K, 3, 16, 20)
    assert (cropped["right_depth"] == sample["right_depth"][..., 4:20, 10:30]).all()
    np.testing.assert_allclose(
        cropped["intrinsics"][0, :2, 2], sample["intrinsics"][0, :2, 2] - torch.tensor([10.0, 4.0])
    )
    assert cropped["radar_points_valid"].tolist() == [[False, False]]
    kept = RandomCrop((24, 38))(sample, np.random.default_rng(3))
    check_truth(kept)
    with pytest.raises(UsageError, match="cannot crop 30 x 40 from images of 24 x 40"):
        RandomCrop((30, 40))(sample, RNG)


def test_random_crop_depends_on_the_generator_alone() -> None:
    sample = make_sample()
    crop = RandomCrop((8, 8))
    one, two = (crop(sample, np.random.default_rng(5)) for _ in range(2))
    assert (one["rgb"] == two["rgb"]).all()
    tops = {float(crop(sample, np.random.default_rng(s))["intrinsics"][0, 1, 2]) for s in range(40)}
    assert len(tops) > 10


def test_resize() -> None:
    sample = make_sample()
    doubled = Resize((2 * H, 2 * W))(sample, RNG)
    assert doubled["rgb"].shape == (K, 3, 2 * H, 2 * W)
    fx = float(doubled["intrinsics"][0, 0, 0])
    np.testing.assert_allclose(
        doubled["disparity"].numpy(), fx * BASELINE / doubled["depth"].numpy(), rtol=1e-5
    )
    assert (doubled["flow_forward"][:, :, ::2, ::2] == 2 * sample["flow_forward"]).all()
    assert doubled["radar_points"][0, 0, :2].tolist() == [10.5, 12.5]
    assert doubled["masks_moving"].dtype == torch.uint8


def test_compose_and_batches() -> None:
    change = Compose(RandomCrop((16, 16)), HorizontalFlip(), ColorJitter(p=1.0))
    batch = collate([make_sample(), make_sample()])
    changed = transform_batch(batch, change, np.random.default_rng(0))
    assert changed["rgb"].shape == (2, K, 3, 16, 16)
    again = transform_batch(batch, change, np.random.default_rng(0))
    assert (changed["rgb"] == again["rgb"]).all()
    assert not (changed["intrinsics"][0] == changed["intrinsics"][1]).all()  # drawn per sample


def test_jitter_is_shared_by_the_window() -> None:
    sample = make_sample()
    sample["rgb"][1] = sample["rgb"][0]
    sample["right_rgb"][0] = sample["rgb"][0]
    out = ColorJitter(p=1.0)(sample, np.random.default_rng(4))
    assert out["rgb"].dtype == torch.uint8
    assert not (out["rgb"] == sample["rgb"]).all()
    assert (out["rgb"][0] == out["rgb"][1]).all()
    assert (out["right_rgb"][0] == out["rgb"][0]).all()
    beside = ColorJitter(p=1.0, suffix="_jittered")(sample, np.random.default_rng(4))
    assert (beside["rgb"] == sample["rgb"]).all()
    assert (beside["rgb_jittered"] == out["rgb"]).all()
    same = ColorJitter(p=0.0, suffix="_jittered")(sample, np.random.default_rng(4))
    assert same["rgb_jittered"] is sample["rgb"]


def one_step(image: torch.Tensor, **amounts: float) -> torch.Tensor:
    """Jitter with a fixed amount: the generator is replaced by one that draws the upper end."""

    class Upper:
        def random(self) -> float:
            return 0.0

        def uniform(self, low: float, high: float) -> float:
            return high

        def permutation(self, n: int) -> range:
            return range(n)

    settings = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0} | amounts
    return ColorJitter(**settings, p=1.0)({"rgb": image}, Upper())["rgb"]  # type: ignore[arg-type]


def test_what_the_steps_of_jitter_do() -> None:
    image = torch.randint(60, 120, (1, 3, 8, 8), dtype=torch.uint8)
    values = image.double()
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    gray = (values * luma[:, None, None]).sum(1, keepdim=True)
    assert (one_step(image) == image).all()
    bright = one_step(image, brightness=0.5)
    assert (bright.double() - 1.5 * values).abs().max() <= 0.5001
    contrast = one_step(image, contrast=0.5)
    assert (contrast.double() - (1.5 * values - 0.5 * gray.mean())).abs().max() <= 0.51
    saturated = one_step(image, saturation=0.5)
    assert (saturated.double() - (1.5 * values - 0.5 * gray)).abs().max() <= 0.51
    turned = one_step(image, hue=0.25).double()
    assert ((turned * luma[:, None, None]).sum(1, keepdim=True) - gray).abs().max() <= 0.51
    full_turn = one_step(image, hue=1.0)
    assert (full_turn == image).all()


def test_jitter_needs_an_image() -> None:
    with pytest.raises(UsageError, match="needs an rgb stream; found depth"):
        ColorJitter()({"depth": torch.zeros(1, 2, 2)}, RNG)
