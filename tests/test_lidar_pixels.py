"""The Eigen map by its recipe, point by point, where pixels are shared and rows run on."""

from __future__ import annotations

import numpy as np
import pytest

from depthdata.lidar import eigen_depth_map, eigen_depth_pixels, lidar_to_points


def by_hand(scan: np.ndarray, projection: np.ndarray, height: int, width: int) -> np.ndarray:
    depth = np.zeros((height, width))
    groups: dict[int, list[tuple[int, int, float]]] = {}
    for x, y, z, *_ in scan.astype(np.float64):
        if x < 0:
            continue
        a, b, c, d = projection.T
        u, v, w = (a * x + b * y) + c * z + d
        column, row = int(np.rint(u / w)) - 1, int(np.rint(v / w)) - 1
        if 0 <= column < width and 0 <= row < height:
            depth[row, column] = x
            groups.setdefault(row * (width - 1) + column - 1, []).append((row, column, x))
    for points in groups.values():
        if len(points) > 1:
            depth[points[0][:2]] = min(x for _, _, x in points)
    return np.maximum(depth, 0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [(5, 2), (4, 3), (6, 7)])
def test_points_that_share_pixels_and_keys(seed: int, size: tuple[int, int]) -> None:
    height, width = size
    rng = np.random.default_rng(seed)
    number = rng.integers(0, 60)
    x = rng.uniform(1, 50, number)
    u, v = rng.uniform(0, width + 1.5, number), rng.uniform(0, height + 1.5, number)
    scan = np.stack([x, -u * x / 10, -v * x / 10, x], axis=1).astype(np.float32)
    projection = np.array([[0, -10.0, 0, 0], [0, 0, -10.0, 0], [1.0, 0, 0, 0]])
    wanted = by_hand(scan, projection, height, width)
    for given in (scan, lidar_to_points(scan, projection, size)):
        np.testing.assert_array_equal(eigen_depth_map(given, projection, size), wanted)
        at, values = eigen_depth_pixels(given, projection, size)
        assert (np.diff(at) > 0).all()
        np.testing.assert_array_equal(at, np.flatnonzero(wanted))
        np.testing.assert_array_equal(values, wanted[wanted > 0])
