"""Geometry of networks: recorded values, inverse operations, gradients at rest."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.networks import geometry, photometric, scene_flow
from depthzoo.networks.disparity import depth_of, scaled_disparity

GEOMETRY = golden_cases("eval", "dynamo_depth_geometry*.npz")


@pytest.mark.golden
@pytest.mark.parametrize("file", GEOMETRY)
def test_recorded_geometry(file: Path):
    with np.load(file) as stored:
        given = {name: torch.from_numpy(stored[name]) for name in stored.files}
    facts = json.loads(file.with_suffix(".json").read_text())
    rotation = geometry.rotation_from_axis_angle(given["axisangle"][:, 0])
    matrix = geometry.rigid(rotation, given["translation"][:, 0])
    intrinsics, transform = given["K"][:, :3, :3], given["T"]
    points = geometry.back_project(given["depth"], intrinsics)
    limits = facts["min_depth"], facts["max_depth"]
    found = {
        "rotation": torch.nn.functional.pad(rotation, (0, 1, 0, 1)),
        "matrix": matrix,
        "matrix_inverted": geometry.invert_rigid(matrix),
        "cam_points": torch.nn.functional.pad(points.flatten(2), (0, 0, 0, 1), value=1.0),
        "sample": geometry.sampling_grid(geometry.project(points, intrinsics, transform)),
        "sample_identity": geometry.sampling_grid(geometry.project(points, intrinsics)),
        "ego_flow": (geometry.move(points, transform) - points).flatten(2),
        "scaled_disp": scaled_disparity(given["disp"], *limits),
        "depth_from_disp": depth_of(given["disp"], *limits),
        "ssim": photometric.ssim_loss(given["img1"], given["img2"]),
    }
    found["rotation"][:, 3, 3] = 1
    for name, value in found.items():
        torch.testing.assert_close(value, given[name], rtol=1e-9, atol=1e-9, msg=name)


def random_transforms(n: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    rotation = geometry.rotation_from_axis_angle(vectors[:, :3])
    return geometry.rigid(rotation, vectors[:, 3:])


def test_rotations_turn_by_their_angle():
    axis = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64) / 3
    for angle in (0.0, 1e-4, 1.0, math.pi):
        turn = geometry.rotation_from_axis_angle(angle * axis)
        torch.testing.assert_close(turn @ axis, axis, rtol=0, atol=1e-6)
        trace = 1 + 2 * math.cos(angle)
        assert float(turn.diagonal().sum()) == pytest.approx(trace, abs=1e-6)


def test_a_pose_at_rest_has_a_finite_gradient():
    vector = torch.zeros(2, 3, requires_grad=True)
    geometry.rotation_from_axis_angle(vector).sum().backward()
    assert vector.grad.isfinite().all()


def test_inverse_transforms_and_projections_undo_each_other():
    transforms = random_transforms()
    eye = torch.eye(4, dtype=torch.float64).expand(5, 4, 4)
    torch.testing.assert_close(
        transforms @ geometry.invert_rigid(transforms), eye, rtol=0, atol=1e-6
    )
    depth = torch.rand(5, 1, 6, 9, dtype=torch.float64) + 1
    normalised = torch.tensor([[0.6, 0, 0.5], [0, 1.9, 0.4], [0, 0, 1.0]], dtype=torch.float64)
    intrinsics = geometry.scale_intrinsics(normalised[None], 6, 9)
    assert intrinsics[0, 0, 0] == pytest.approx(5.4) and intrinsics[0, 1, 2] == pytest.approx(2.4)
    points = geometry.back_project(depth, intrinsics.expand(5, 3, 3))
    torch.testing.assert_close(points[:, 2:], depth)
    pixels = geometry.project(points, intrinsics)
    still = scene_flow.optical_flow(pixels)
    torch.testing.assert_close(still, torch.zeros_like(still), rtol=0, atol=1e-5)


def test_a_step_of_the_camera_is_told_from_a_step_of_the_scene():
    depth = torch.full((1, 1, 4, 5), 2.0)
    intrinsics = torch.tensor([[[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]]])
    points = geometry.back_project(depth, intrinsics)
    step = torch.tensor([[0.5, 0.0, 0.0]])
    transform = geometry.rigid(torch.eye(3)[None], step)
    moving = torch.zeros(1, 1, 4, 5)
    moving[..., 0] = 1
    ego = step.view(1, 3, 1, 1).expand_as(points)
    flow = scene_flow.split_flow(points, 3 * ego, transform, moving)
    torch.testing.assert_close(flow.ego, ego)
    torch.testing.assert_close(flow.independent, 2 * ego * moving)
    pixels = scene_flow.moved_pixels(points, intrinsics, transform=transform, flow=flow.independent)
    u = scene_flow.optical_flow(pixels)[0, 0]
    torch.testing.assert_close(u[:, 1:], torch.full((4, 4), 1.0))
    torch.testing.assert_close(u[:, 0], torch.full((4,), 3.0))


def test_a_warp_fetches_from_where_the_pixels_point():
    image = torch.arange(20.0).view(1, 1, 4, 5)
    pixels = geometry.pixel_grid(image)[:2].view(1, 2, 4, 5).clone()
    pixels[:, 0] += 1
    warped = geometry.inverse_warp(image, pixels)
    torch.testing.assert_close(warped[..., :-1], image[..., 1:])
    torch.testing.assert_close(warped[..., -1], image[..., -1])  # the border is repeated
