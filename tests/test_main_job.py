"""The main job against exact truth: a synthetic drive in KITTI's raw layout, converted and read.

The file holds lidar points and poses; depth, disparity and flow that follow from them must be the
scene's own. Between pixel centres the truth is interpolated where it may be: on one surface.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import depthdata as dd
from depthdata.geometry import backproject, project, se3_inverse, transform
from depthdata.synthetic import Frame, SyntheticScene, write_raw

FRAMES = 3


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=FRAMES, height=128, width=416)


@pytest.fixture(scope="module")
def sequence(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> dd.Sequence:
    root = tmp_path_factory.mktemp("drive")
    write_raw("kitti_raw", scene, root / "raw")
    report = dd.convert("kitti_raw", root / "raw", root / "out", jobs=1)
    assert report.ok
    return dd.open_sequence(report.results[0].path)


class Truth:
    """Truth of one frame at sub-pixel positions; `smooth` where one surface covers the corners."""

    def __init__(self, frame: Frame, xy: npt.NDArray[np.float64]) -> None:
        height, width = frame.depth.shape
        corner = np.clip(np.floor(xy).astype(int), 0, [width - 2, height - 2])
        (self.x, self.y), (self.s, self.t) = corner.T, (xy - corner).T
        inverse = 1 / frame.depth
        steps = np.abs(np.diff(self._corners(inverse), axis=0)).max(0) / self._corners(inverse)[0]
        labels = self._corners(frame.instances), self._corners(frame.semantics)
        self.smooth = (steps < 0.03) & np.all([c.max(0) == c.min(0) for c in labels], axis=0)
        self.static = self._corners(frame.moving).max(0) == 0
        self.depth = 1 / self(inverse)

    def _corners(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        y, x = self.y, self.x
        return np.stack([array[y, x], array[y, x + 1], array[y + 1, x], array[y + 1, x + 1]])

    def __call__(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        a, b, c, d = self._corners(array).astype(np.float64)
        top, bottom = a + self.s * (b - a), c + self.s * (d - c)
        return top + self.t * (bottom - top)


@pytest.mark.parametrize("camera", ["left", "right"])
@pytest.mark.parametrize("t", range(FRAMES))
def test_depth_disparity_and_flow_are_the_scenes(
    scene: SyntheticScene, sequence: dd.Sequence, camera: str, t: int
) -> None:
    cam = sequence.cameras[camera]
    points = cam.depth.points(t)
    inside = (points.value > 0) & (points.x >= 0) & (points.x <= cam.width - 1)
    inside &= (points.y >= 0) & (points.y <= cam.height - 1)
    uv = np.stack([points.x, points.y], axis=1).astype(np.float64)[inside]
    z = points.value[inside].astype(np.float64)
    frame = scene.render(t, camera, colour=False)
    truth = Truth(frame, uv)
    # What the lidar sees past the camera's occluders is not the camera's depth.
    seen = truth.smooth & (np.abs(z / truth.depth - 1) < 0.02)
    assert seen.sum() > 3000 and seen.sum() > 0.97 * truth.smooth.sum()
    uv, z, depth = uv[seen], z[seen], truth.depth[seen]
    np.testing.assert_allclose(np.median(np.abs(z / depth - 1)), 0, atol=1e-6)
    assert np.quantile(np.abs(z / depth - 1), 0.95) < 2e-3  # two planes may meet between corners

    (baseline,) = (pair.baseline for pair in sequence.stereo_pairs if pair.left == "left")
    K = cam.intrinsics(t)
    disparity = truth(frame.disparity)[seen]
    assert np.median(np.abs(K[0, 0] * baseline / z - disparity)) < 1e-5

    if t + 1 < FRAMES:
        X_world = transform(cam.pose(t), backproject(K, uv, z))
        there, _ = project(K, transform(se3_inverse(cam.pose(t + 1)), X_world))
        flow = np.stack([truth(part) for part in frame.flow_forward], axis=1)[seen]
        error = np.linalg.norm(there - uv - flow, axis=1)
        static = truth.static[seen]
        assert np.median(error[static]) < 1e-3 and np.quantile(error[static], 0.95) < 0.05
        assert (~static).sum() > 20 and np.median(error[~static]) > 0.1  # others do move


@pytest.mark.parametrize("camera", ["left", "right", "gray_left", "gray_right"])
def test_calibration_poses_and_pixels_are_the_scenes(
    scene: SyntheticScene, sequence: dd.Sequence, camera: str
) -> None:
    cam = sequence.cameras[camera]
    expected = scene.T_world_cam(camera)
    assert cam.poses is not None
    # The file's world starts at the first IMU pose; the scene's does too.
    np.testing.assert_allclose(cam.poses, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(cam.intrinsics(0), scene.intrinsics, rtol=1e-10)
    np.testing.assert_array_equal(sequence.timestamps, scene.timestamps)
    picture = scene.photograph(1, camera)
    if camera.startswith("gray"):
        assert cam.rgb[1].ndim == 2
    else:
        np.testing.assert_array_equal(cam.rgb[1], picture)
