"""A rendered scene through the tables of nuScenes and back, against the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from depthdata.cli import main
from depthdata.conversion import convert
from depthdata.geometry import project, se3_inverse, transform
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.sources import nuscenes
from depthdata.sources.nuscenes_data import Channel
from depthdata.sources.nuscenes_points import picture_of_each, scan_of_each
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.synthetic.layouts.nuscenes_scene import LIDAR, T_GLOBAL_WORLD, SurroundScene

FRAMES = 8


@pytest.fixture(scope="module")
def street() -> SyntheticScene:
    return SyntheticScene(
        seed=4, frames=FRAMES, height=60, width=160, objects=7, lidar_rows=24, lidar_steps=400
    )


@pytest.fixture(scope="module")
def scene(street: SyntheticScene) -> SurroundScene:
    return SurroundScene.of(street)


@pytest.fixture(scope="module")
def sequence(street: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    root = tmp_path_factory.mktemp("nuscenes")
    write_raw("nuscenes", street, root / "raw")
    (result,) = convert("nuscenes", root / "raw", root / "out", jobs=1).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


def steps(scene: SurroundScene, name: str) -> list[int]:
    return scene.steps(nuscenes.CAMERAS[name])


def test_poses_and_times(scene: SurroundScene, sequence: Sequence) -> None:
    assert len(sequence) == FRAMES
    assert tuple(sequence.cameras) == tuple(nuscenes.CAMERAS)
    for name, camera in sequence.cameras.items():
        at, channel = steps(scene, name), nuscenes.CAMERAS[name]
        truth = T_GLOBAL_WORLD @ scene.T_world_cam(channel)[at]
        np.testing.assert_allclose(camera.poses, truth, rtol=0, atol=1e-9)
        np.testing.assert_allclose(camera.T_rig_cam, scene.T_ego_sensor(channel), atol=1e-12)
        np.testing.assert_array_equal(camera.intrinsics(0), scene.intrinsics)
        np.testing.assert_array_equal(camera.timestamps, scene.timestamps[at] // 1000 * 1000)
        picture = scene.photograph(at[3], channel).astype(int)
        assert np.abs(camera.rgb[3] - picture).mean() < 6  # JPEG
    np.testing.assert_array_equal(sequence.timestamps, sequence.cameras["front"].timestamps)
    assert sequence.cameras["front"].transform["key_frames"] == [0, 6]


def test_points_are_where_both_poses_bring_them(scene: SurroundScene, sequence: Sequence) -> None:
    scans = {int(scene.timestamps[step]) // 1000 * 1000: step for step in scene.steps(LIDAR)}
    for name, camera in sequence.cameras.items():
        channel, stream = nuscenes.CAMERAS[name], camera.depth
        for t, step in enumerate(steps(scene, name)):
            at = scans[stream.attrs["scan_times"][t]]
            points = stream.points(t)
            world = transform(
                scene.T_world_imu[at] @ scene.T_ego_sensor(LIDAR), points.sensor.astype(float)
            )
            T_cam_world = se3_inverse(scene.T_world_cam(channel)[step])
            uv, z = project(scene.intrinsics, transform(T_cam_world, world))
            np.testing.assert_allclose(np.stack([points.x, points.y], 1), uv, rtol=0, atol=2e-5)
            np.testing.assert_allclose(points.value, z, rtol=1e-6)
            # and the other way: every point of the scan that the camera can see is there
            scan, _ = scene.scan(at)
            world = transform(
                scene.T_world_imu[at] @ scene.T_ego_sensor(LIDAR), scan[:, :3].astype(float)
            )
            uv, z = project(scene.intrinsics, transform(T_cam_world, world))
            u, v = uv.T
            with np.errstate(invalid="ignore"):
                seen = (z > 0) & (u >= -0.5) & (u <= scene.width - 0.5)
                seen &= (v >= -0.5) & (v <= scene.height - 0.5)
            assert int(seen.sum()) == len(points) > 30
            # exact again from what the file holds
            again = points.project(stream.attrs["projections"][t])
            np.testing.assert_allclose(again[:, :2], uv[seen], rtol=0, atol=1e-8)


def test_points_lie_on_the_rendered_surfaces(scene: SurroundScene, sequence: Sequence) -> None:
    for name, camera in sequence.cameras.items():
        depth, body = scene.truth(steps(scene, name)[0], nuscenes.CAMERAS[name])
        drawn = camera.depth[0]
        both = np.isfinite(drawn) & np.isfinite(depth) & (body == 0)
        close = np.abs(drawn - depth)[both] < 0.03 * depth[both] + 0.1
        assert both.sum() > 30
        assert close.mean() > 0.85  # the rest is seen by the lidar only, past an edge


def test_key_frames_take_their_own_scan(scene: SurroundScene, sequence: Sequence) -> None:
    front = sequence.cameras["front"]
    offset = np.array(front.depth.attrs["scan_times"]) - front.timestamps
    keys = front.transform["key_frames"]
    assert (offset[keys] < -30e6).all()  # two steps before, though the next is one step after
    others = np.setdiff1d(np.arange(FRAMES), keys)
    assert (np.abs(offset[others]) < 26e6).all()


def test_boxes(scene: SurroundScene, sequence: Sequence) -> None:
    front, objects = sequence.cameras["front"], sequence.objects
    bodies = scene.bodies[1:]
    for k, t in enumerate(front.transform["key_frames"]):
        step = scene.key_step(LIDAR, k)
        found = objects.at(t)
        assert found.id.tolist() == list(range(len(bodies)))
        for row, body in enumerate(bodies):
            truth = T_GLOBAL_WORLD @ scene.body_poses(step)[body.id]
            np.testing.assert_allclose(found.T_world_box[row], truth, rtol=0, atol=1e-9)
            np.testing.assert_array_equal(found.size[row], body.size)
            assert bool(found.moving[row]) == body.path.moving
            place = [scene.body_poses(scene.key_step(LIDAR, j))[body.id][:3, 3] for j in (0, 1)]
            speed = T_GLOBAL_WORLD[:3, :3] @ (place[1] - place[0]) / 0.5
            np.testing.assert_allclose(found.velocity[row], speed, rtol=1e-5, atol=1e-9)
    details = front.transform["object_rows"]
    names = [front.transform["attribute_names"][a] for (a,) in details["attributes"]]
    says = [name.endswith(".moving") for name in names]
    assert says == objects.moving.tolist()
    assert front.transform["visibility_levels"][details["visibility"][0]] == "v80-100"
    ids = front.transform["object_ids"]
    assert len(set(ids)) == len(ids) == len(bodies)


def test_moving_masks_agree_with_the_scene(scene: SurroundScene, sequence: Sequence) -> None:
    moving = np.array([body.path.moving for body in scene.bodies])
    seen = {0: 0, 1: 0}
    for name, camera in sequence.cameras.items():
        stream = camera["masks/moving"]
        assert stream.attrs["speed_threshold"] == nuscenes.SPEED_THRESHOLD
        assert stream.frames.tolist() == [0, 6]
        for k, t in enumerate(stream.frames.tolist()):
            _, label = scene.scan(scene.key_step(LIDAR, k))
            panoptic = camera["panoptic"].points(t).value.astype(int)
            mask, instances = stream[t], camera["instances"][t]
            np.testing.assert_array_equal(mask == 255, np.isnan(camera.depth[t]))
            for value in (0, 1):
                bodies = np.unique(instances[(mask == value) & (instances > 0)] % 1000)
                assert (moving[bodies] == value).all()
                seen[value] += len(bodies)
            # street, houses: never moving
            assert (mask[(instances == 0) & (mask != 255)] == 0).all()
            bodies = np.unique(panoptic[panoptic % 1000 > 0] % 1000)
            assert set(bodies) <= set(np.unique(label.body))
            _, truth = scene.truth(steps(scene, name)[t], nuscenes.CAMERAS[name])
            on = mask == 1
            if on.sum() > 20:  # hidden ones and edges apart
                assert moving[truth[on]].mean() > 0.6
    assert min(seen.values()) > 0


def test_same_scene_same_bytes(tmp_path: Path) -> None:
    scene = SyntheticScene(frames=2, height=24, width=48, lidar_rows=8, lidar_steps=90)
    files = []
    for jobs, name in enumerate(("here", "elsewhere"), start=1):
        raw = write_raw("nuscenes", scene, tmp_path / name)
        (result,) = convert("nuscenes", raw, tmp_path / f"{name}.out", jobs=jobs).results
        files.append(result.path.read_bytes())
    assert files[0] == files[1]


def test_a_late_camera_is_absent_not_repeated() -> None:
    """A record goes to one frame; a key frame's to its own."""
    front = _channel([0, 83, 166, 250, 333, 416], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1])
    camera = _channel([10, 93, 340, 460], [1, 0, 0, 1], [0, 0, 0, 1])
    assert picture_of_each(front, camera).tolist() == [0, 1, -1, -1, 2, 3]
    lidar = _channel([0, 50, 100, 150, 400, 420], [1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1])
    assert scan_of_each(front, lidar).tolist() == [0, 2, 3, 3, 4, 4]
    keys_only = lidar.chosen(np.flatnonzero(lidar.key))
    assert scan_of_each(front, keys_only).tolist() == [0, -1, -1, -1, -1, 1]


def _channel(milliseconds: list[int], key: list[int], sample: list[int]) -> Channel:
    n = len(milliseconds)
    return Channel(
        joined="\n".join("file" for _ in range(n)),
        tokens=np.full(n, b"t"),
        timestamp=1000 * np.array(milliseconds, np.int64),
        key=np.array(key, bool),
        sample=np.array(sample, np.int32),
        pose=np.zeros((n, 7)),
        calibration=np.zeros(n, np.int32),
        mounts=np.zeros((1, 7)),
        intrinsics=np.eye(3)[None],
        size=(2, 3),
    )


def test_command_line(tmp_path: Path) -> None:
    raw, out = str(tmp_path / "raw"), str(tmp_path / "out")
    run = CliRunner().invoke
    synth = ["synth", "--layout", "nuscenes", "--frames", "3", "--size", "24", "48", raw]
    assert run(main, synth).exit_code == 0
    assert run(main, ["convert", "nuscenes", raw, out]).exit_code == 0
    file = f"{out}/scene-0061.h5"
    for command in ("verify", "check", "info"):
        done = run(main, [command, file])
        assert done.exit_code == 0, done.output
    assert "front_left" in done.output
