"""The scene as a sequence file: what is read back is what was rendered."""

from __future__ import annotations

import time

import numpy as np
import pytest

from depthdata.errors import AbsentFrameError, UsageError
from depthdata.sequence import open_sequence, verify
from depthdata.synthetic import SyntheticScene, write_sequence


@pytest.fixture(scope="module")
def scene():
    return SyntheticScene(
        seed=3, frames=3, height=49, width=163, objects=3, lidar_rows=24, lidar_steps=400
    )


@pytest.fixture(scope="module", params=[False, True], ids=["default", "portable"])
def path(request, scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("sequence") / "street.h5"
    assert write_sequence(scene, path, portable=request.param) == path
    return path


@pytest.fixture(scope="module")
def sequence(path):
    with open_sequence(path) as sequence:
        yield sequence


def test_the_file_is_whole(path):
    assert verify(path).problems == []


def test_every_stream_comes_back(scene, sequence):
    names = {
        "depth": "depth",
        "disparity": "disparity",
        "instances": "instances",
        "semantics": "semantics",
        "masks/moving": "moving",
        "masks/occluded": "occluded_right",
    }
    for camera in ("left", "right"):
        frame = scene.render(1, camera)
        stored = sequence.cameras[camera]
        assert np.array_equal(stored.rgb[1], frame.rgb)
        for name, attribute in names.items():
            assert np.array_equal(stored[name][1], getattr(frame, attribute), equal_nan=True), name
        for way in ("forward", "backward"):
            flow = getattr(frame, f"flow_{way}")
            assert np.array_equal(stored[f"flow_{way}"][1], flow, equal_nan=True)
            gone = getattr(frame, f"occluded_{way}")
            assert np.array_equal(stored[f"masks/occluded_{way}"][1], gone)


def test_flow_is_absent_where_there_is_no_neighbour(sequence):
    left = sequence.cameras["left"]
    assert left["flow_forward"].present.tolist() == [True, True, False]
    assert left["flow_backward"].present.tolist() == [False, True, True]
    with pytest.raises(AbsentFrameError):
        left["flow_forward"][2]


def test_geometry_comes_back(scene, sequence):
    assert sequence.timestamps.tolist() == scene.timestamps.tolist()
    assert list(sequence.frame_ids) == scene.frame_ids
    (pair,) = sequence.stereo_pairs
    assert (pair.left, pair.right, pair.baseline) == ("left", "right", scene.baseline)
    for name, camera in sequence.cameras.items():
        assert np.array_equal(camera.intrinsics(1), scene.intrinsics)
        assert np.array_equal(camera.poses, scene.T_world_cam(name))
        assert np.allclose(scene.T_world_imu @ camera.T_rig_cam, camera.poses)


def test_lidar_depth_agrees_with_dense_depth(scene, sequence):
    left = sequence.cameras["left"]
    points = left["lidar_depth"].points(1)
    assert len(points) > 300
    sparse, dense = left["lidar_depth"][1], left.depth[1]
    both = np.isfinite(sparse) & np.isfinite(dense)
    assert both.sum() > 300
    assert np.median(np.abs(sparse - dense)[both] / dense[both]) < 0.01


def test_tracks_and_boxes_come_back(scene, sequence):
    tracks = scene.tracks("right")
    stored = sequence.tracks["right"]
    assert np.array_equal(stored.xy, tracks.xy, equal_nan=True)
    assert np.array_equal(stored.visible, tracks.visible)
    assert np.allclose(stored.xyz_world, tracks.xyz_world)
    boxes = scene.objects()
    assert list(sequence.objects.category) == boxes.category
    for name in ("frame", "id", "T_world_box", "size", "velocity", "moving"):
        assert np.array_equal(getattr(sequence.objects, name), getattr(boxes, name)), name


def test_the_same_scene_gives_the_same_bytes(tmp_path):
    scene = SyntheticScene(frames=2, height=20, width=60, lidar_rows=4, lidar_steps=90)
    write_sequence(scene, tmp_path / "a.h5")
    second = int(time.time())
    while int(time.time()) == second:  # no clock may leave a trace
        time.sleep(0.02)
    again = SyntheticScene(frames=2, height=20, width=60, lidar_rows=4, lidar_steps=90)
    write_sequence(again, tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_one_grey_camera_and_nothing_else(tmp_path):
    scene = SyntheticScene(frames=1, height=20, width=60, objects=0)
    path = write_sequence(scene, tmp_path / "one.h5", cameras=("gray_left",), tracks=0, lidar=False)
    with open_sequence(path) as sequence:
        assert list(sequence.cameras) == ["gray_left"]
        assert sequence.stereo_pairs == ()
        assert sequence.objects is None
        assert "lidar_depth" not in sequence.cameras["gray_left"].streams
        assert "flow_forward" not in sequence.cameras["gray_left"].streams


def test_repeated_cameras_are_refused(scene, tmp_path):
    with pytest.raises(UsageError, match="expected different names"):
        write_sequence(scene, tmp_path / "x.h5", cameras=("left", "left"))
    assert list(tmp_path.iterdir()) == []
