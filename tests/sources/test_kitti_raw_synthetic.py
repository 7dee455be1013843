"""A rendered scene through KITTI's layout and back: poses, lidar, times against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depthdata.codecs.images import decode_image
from depthdata.conversion import convert
from depthdata.lidar import project_sensor
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.synthetic import SyntheticScene, write_raw


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=3, height=48, width=160)


@pytest.fixture(scope="module")
def sequence(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    root = tmp_path_factory.mktemp("scene")
    write_raw("kitti_raw", scene, root / "raw", missing_scans=(1,), trimmed=True)
    (result,) = convert("kitti_raw", root / "raw", root / "out", jobs=1).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


def test_poses_come_back(scene: SyntheticScene, sequence: Sequence):
    for name, camera in sequence.cameras.items():
        np.testing.assert_allclose(camera.poses, scene.T_world_cam(name), rtol=0, atol=2e-6)
        np.testing.assert_allclose(camera.intrinsics(0), scene.intrinsics, rtol=0, atol=1e-9)


def test_times_and_baseline_come_back(scene: SyntheticScene, sequence: Sequence):
    np.testing.assert_array_equal(sequence.timestamps, scene.timestamps)
    for pair in sequence.stereo_pairs:
        assert pair.baseline == pytest.approx(scene.baseline, abs=1e-9)


def test_lidar_points_lie_on_the_rendered_surfaces(scene: SyntheticScene, sequence: Sequence):
    for name in ("left", "right"):
        stream = sequence.cameras[name]["depth"]
        assert stream.present.tolist() == [True, False, True]
        for t in stream.frames.tolist():
            points = stream.points(t)
            u, v, z = project_sensor(stream.attrs["projection"], points.sensor)
            np.testing.assert_array_equal(points.x, u.astype(np.float32))
            np.testing.assert_array_equal(points.value, z.astype(np.float32))
            depth = scene.render(t, camera=name).depth
            row, column = np.rint(v).astype(int), np.rint(u).astype(int)
            inside = (row >= 0) & (row < scene.height) & (column >= 0) & (column < scene.width)
            inside &= z > 0
            rendered = depth[row[inside], column[inside]]
            close = np.abs(rendered - z[inside]) < 0.03 * z[inside] + 0.1
            assert inside.sum() > 200
            assert close.mean() > 0.85  # the rest is seen by the lidar only, past an edge


def test_images_come_back(scene: SyntheticScene, sequence: Sequence):
    camera = sequence.cameras["right"]
    np.testing.assert_array_equal(camera["rgb"][2], scene.photograph(2, "right"))
    assert decode_image(camera["rgb"].blob(2)).shape == (scene.height, scene.width, 3)


def test_same_scene_same_bytes(scene: SyntheticScene, sequence: Sequence, tmp_path: Path):
    write_raw("kitti_raw", scene, tmp_path / "elsewhere", missing_scans=(1,), trimmed=True)
    (result,) = convert("kitti_raw", tmp_path / "elsewhere", tmp_path / "out", jobs=2).results
    assert result.path.read_bytes() == Path(sequence.path).read_bytes()
