"""The lidar of the synthetic scene against its cameras."""

from __future__ import annotations

import numpy as np
import pytest

from depthdata.geometry import project, transform
from depthdata.synthetic import SyntheticScene

H, W = 90, 300


@pytest.fixture(scope="module")
def scene():
    return SyntheticScene(seed=5, frames=2, height=H, width=W, objects=5, lidar_steps=900)


@pytest.fixture(scope="module")
def scan(scene):
    return scene.lidar(1)


def test_scan_has_the_velodyne_layout(scan):
    assert scan.dtype == np.float32
    assert scan.shape[1] == 4
    assert (scan[:, 3] >= 0).all()
    assert (scan[:, 3] <= 1).all()
    distance = np.linalg.norm(scan[:, :3], axis=1)
    assert distance.min() > 0.5
    assert distance.max() <= 80.001
    azimuth = np.degrees(np.arctan2(scan[:, 1], scan[:, 0]))
    assert azimuth.min() < -170
    assert azimuth.max() > 170
    elevation = np.degrees(np.arctan2(scan[:, 2], np.hypot(scan[:, 0], scan[:, 1])))
    assert np.isclose(elevation.min(), -24.8, atol=0.01)
    assert elevation.max() < 2.01


def test_scan_order_is_row_by_row_from_straight_ahead_to_the_left(scan):
    elevation = np.arctan2(scan[:, 2], np.hypot(scan[:, 0], scan[:, 1])).round(5)
    assert (np.diff(elevation) <= 0).all()
    top = scan[elevation == elevation[0]]
    azimuth = np.arctan2(top[:, 1], top[:, 0]) % (2 * np.pi)
    assert (np.diff(azimuth) > 0).all()


def test_points_on_the_road_lie_in_its_plane(scene, scan):
    world = transform(scene.T_world_velo[1], scan[:, :3])
    height = world[:, 2] + scene.rig.imu_height
    assert height.min() > -1e-4
    assert (np.abs(height) < 1e-4).mean() > 0.2


def test_camera_visible_points_land_on_the_depth_map(scene, scan):
    for camera in ("left", "gray_right"):
        frame = scene.render(1, camera, colour=False)
        X_world = transform(scene.T_world_velo[1], scan[:, :3])
        seen = scene.visible(1, camera, X_world)
        X = transform(scene.rig.T_cam_velo(camera), scan[seen, :3])
        uv, z = project(scene.intrinsics, X)
        # inverse depth is linear over the pixels of one plane, so bilinear is exact there
        inverse = 1 / frame.depth.astype(float)
        bend = np.full((H, W), np.inf)
        bend[1:-1, 1:-1] = np.abs(
            inverse[1:-1, :-2] - 2 * inverse[1:-1, 1:-1] + inverse[1:-1, 2:]
        ) + np.abs(inverse[:-2, 1:-1] - 2 * inverse[1:-1, 1:-1] + inverse[2:, 1:-1])
        u, v = uv.T
        u0, v0 = np.floor(u).astype(int), np.floor(v).astype(int)
        inside = (u0 >= 0) & (v0 >= 0) & (u0 < W - 1) & (v0 < H - 1)
        u, v, z, u0, v0 = u[inside], v[inside], z[inside], u0[inside], v0[inside]
        a, b = u - u0, v - v0
        pairs = [(v0 + j, u0 + i) for j in (0, 1) for i in (0, 1)]
        flat = np.max([bend[pair] for pair in pairs], axis=0) < 1e-7
        upper = (1 - a) * inverse[pairs[0]] + a * inverse[pairs[1]]
        lower = (1 - a) * inverse[pairs[2]] + a * inverse[pairs[3]]
        mixed = (1 - b) * upper + b * lower
        assert flat.sum() > 1500
        # but for a thin post between two pixel centres
        assert (np.abs(mixed * z - 1)[flat] < 1e-5).mean() > 0.995


def test_projection_matrix_is_the_chain(scene, scan):
    uv, z = project(scene.intrinsics, transform(scene.T_cam_velo, scan[:, :3]))
    q = np.column_stack([scan[:, :3], np.ones(len(scan))]) @ scene.projection("left").T
    assert np.allclose(q[:, 2], z)
    ahead = z > 1
    assert np.allclose(q[ahead, :2] / q[ahead, 2:], uv[ahead])


def test_scan_size_follows_the_arguments():
    scene = SyntheticScene(frames=1, height=8, width=8, lidar_rows=4, lidar_steps=50)
    assert 0 < len(scene.lidar(0)) <= 200
    assert scene.lidar(0).tobytes() == scene.lidar(0).tobytes()
