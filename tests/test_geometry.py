"""Geometry: hand-computed numbers, inverses and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata import geometry as g
from depthdata.errors import UsageError

K = np.array([[700.0, 0, 610.5], [0, 690.0, 172.25], [0, 0, 1]])
angles = st.floats(-3.1, 3.1)
small = st.floats(-1.5, 1.5)


def pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return g.rigid_transform(g.rotation_from_euler(*rng.uniform(-1, 1, 3)), rng.normal(size=3))


def test_inverse_undoes_the_transform_for_stacks():
    T = np.stack([pose(s) for s in range(5)]).reshape(5, 1, 4, 4)
    assert np.allclose(g.se3_inverse(T) @ T, np.eye(4), atol=1e-14)


def test_inverse_keeps_unknown_poses_unknown():
    T = np.full((2, 4, 4), np.nan)
    T[0] = pose(0)
    inverse = g.se3_inverse(T)
    assert np.isfinite(inverse[0]).all()
    assert np.isnan(inverse[1, :3]).all()


def test_transform_of_one_and_many():
    X = np.random.default_rng(1).normal(size=(6, 3))
    T = np.stack([pose(s) for s in range(6)])
    one_by_one = np.stack([(T[i] @ [*X[i], 1])[:3] for i in range(6)])
    assert np.allclose(g.transform(T, X), one_by_one)
    assert np.allclose(g.transform(T[2], X)[4], (T[2] @ [*X[4], 1])[:3])


@pytest.mark.parametrize(
    ("matrix", "rigid"),
    [
        (np.eye(4), True),
        (np.diag([1.0, 1, -1, 1]), False),
        (np.diag([1.001, 1, 1, 1]), False),
        (np.full((4, 4), np.nan), False),
        (np.zeros((4, 4)), False),
    ],
)
def test_is_rigid(matrix, rigid):
    assert bool(g.is_rigid(matrix)) is rigid


def test_is_rigid_on_a_stack_with_tolerance():
    T = np.stack([pose(0), pose(0)])
    T[1, 0, 0] += 1e-3
    assert g.is_rigid(T).tolist() == [True, False]
    assert g.is_rigid(T, tol=1e-2).tolist() == [True, True]


@settings(deadline=None, max_examples=60)
@given(angles, small, angles)
def test_euler_angles_come_back(roll, pitch, yaw):
    found = g.euler_from_rotation(g.rotation_from_euler(roll, pitch, yaw))
    assert np.allclose(found, (roll, pitch, yaw), atol=1e-9)


def test_euler_order_is_z_y_x():
    # roll first, then pitch, then yaw, by hand: y axis after a quarter roll is z
    assert np.allclose(g.rotation_from_euler(np.pi / 2, 0, 0) @ [0, 1, 0], [0, 0, 1])
    assert np.allclose(g.rotation_from_euler(0, np.pi / 2, 0) @ [1, 0, 0], [0, 0, -1])
    combined = g.rotation_from_euler(0.3, -0.2, 1.1)
    by_hand = (
        g.rotation_from_euler(0, 0, 1.1)
        @ g.rotation_from_euler(0, -0.2, 0)
        @ g.rotation_from_euler(0.3, 0, 0)
    )
    assert np.allclose(combined, by_hand)


def test_projection_by_hand_and_back():
    X = np.array([[1.0, -0.5, 4.0], [-3.0, 2.0, 20.0]])
    uv, z = g.project(K, X)
    assert np.allclose(uv[0], [700 / 4 + 610.5, -690 / 8 + 172.25])
    assert z.tolist() == [4.0, 20.0]
    assert np.allclose(g.backproject(K, uv, z), X)


def test_projection_with_skew_comes_back():
    skewed = K.copy()
    skewed[0, 1] = 3.0
    X = np.array([1.0, 2.0, 5.0])
    uv, z = g.project(skewed, X)
    assert np.isclose(uv[0], (skewed @ X)[0] / 5)
    assert np.allclose(g.backproject(skewed, uv, z), X)


def test_points_in_the_camera_plane_have_no_pixel():
    uv, z = g.project(K, [[1.0, 1.0, 0.0], [1.0, 1.0, -2.0]])
    assert np.isnan(uv[0]).all()
    assert z[1] < 0


def test_depth_and_disparity():
    depth = np.array([2.0, 50.0, np.nan, 0.0, -1.0, np.inf])
    disparity = g.depth_to_disparity(depth, fx=720.0, baseline=0.54)
    assert np.allclose(disparity[:2], [194.4, 7.776])
    assert np.isnan(disparity[2:5]).all()
    assert disparity[5] == 0
    assert np.allclose(g.disparity_to_depth(disparity, 720.0, 0.54)[:2], [2.0, 50.0])
    assert np.isnan(g.disparity_to_depth([0.0, -3.0, np.nan], 720.0, 0.54)).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 400), st.integers(20, 400), st.integers(20, 400), st.integers(20, 400))
def test_scaled_intrinsics_keep_the_image_borders(h, w, h2, w2):
    scaled = g.scale_intrinsics(K, (h, w), (h2, w2))
    corners = np.array([[-0.5, -0.5], [w - 0.5, h - 0.5]])
    rays = g.backproject(K, corners, np.ones(2))
    uv, _ = g.project(scaled, rays)
    assert np.allclose(uv, [[-0.5, -0.5], [w2 - 0.5, h2 - 0.5]])


def test_crop_moves_pixels_by_the_cut():
    X = np.array([0.3, 0.2, 3.0])
    before, _ = g.project(K, X)
    after, _ = g.project(g.crop_intrinsics(K, top=20, left=7), X)
    assert np.allclose(before - after, [7, 20])


def test_stacks_of_intrinsics_scale():
    stack = np.stack([K, 2 * K])
    assert np.allclose(
        g.scale_intrinsics(stack, (10, 20), (30, 40))[0],
        g.scale_intrinsics(K, (10, 20), (30, 40)),
    )


def test_pixel_grid_is_column_then_row():
    grid = g.pixel_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    assert grid[2, 4].tolist() == [4.0, 2.0]


def test_rigid_flow_of_a_sideways_step_is_disparity():
    depth = np.full((4, 6), 10.0)
    depth[1, 1] = np.nan
    T = np.eye(4)
    T[0, 3] = -0.5  # the camera steps to the right, so points move to the left
    flow = g.rigid_flow(depth, K, T)
    assert flow.shape == (2, 4, 6)
    assert np.isnan(flow[:, 1, 1]).all()
    assert np.allclose(flow[0, 0], -700 * 0.5 / 10)
    assert np.allclose(flow[1, 0], 0)


def test_rigid_flow_behind_the_second_camera_is_unknown():
    T = np.eye(4)
    T[2, 3] = -10.0
    assert np.isnan(g.rigid_flow(np.full((2, 2), 5.0), K, T)).all()


def test_wrong_shapes_say_what_was_expected():
    with pytest.raises(UsageError, match=r"T: expected shape \(\.\.\., 4, 4\), found \(3, 3\)"):
        g.se3_inverse(np.eye(3))
    with pytest.raises(UsageError, match=r"depth: expected shape \(H, W\)"):
        g.rigid_flow(np.zeros(5), K, np.eye(4))
