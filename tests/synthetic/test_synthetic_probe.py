"""Pictures and ranges of any rig agree with the scene's own cameras."""

from __future__ import annotations

import cv2
import numpy as np

from depthdata.distortion import undistortion_map
from depthdata.geometry import backproject, pixel_grid, transform
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.probe import Probe


def test_shot_is_the_scenes_own_frame() -> None:
    scene = SyntheticScene(seed=2, frames=3, height=60, width=200)
    frame = scene.render(1, "right")
    pose = scene.T_world_cam("right")[1]
    shot = Probe(scene, scene.times[1]).shoot(pose, scene.intrinsics, (60, 200))
    np.testing.assert_array_equal(shot.rgb, frame.rgb)
    np.testing.assert_array_equal(shot.instances, frame.instances)
    np.testing.assert_array_equal(shot.semantics, frame.semantics)
    np.testing.assert_allclose(shot.depth, frame.depth, rtol=1e-6)


def test_distorted_shot_undistorts_to_the_plain_one() -> None:
    scene = SyntheticScene(seed=2, frames=1, height=90, width=300)
    pose, lens = scene.T_world_cam("left")[0], [0.08, -0.06, 0.002, -0.001, 0.0]
    probe = Probe(scene, 0.0)
    plain = probe.shoot(pose, scene.intrinsics, (90, 300))
    bent = probe.shoot(pose, scene.intrinsics, (90, 300), lens)
    assert np.abs(bent.rgb.astype(int) - plain.rgb).mean() > 3
    there = undistortion_map(scene.intrinsics, lens, (90, 300))
    straight = cv2.remap(bent.rgb, there, None, cv2.INTER_LINEAR)
    inside = (there >= 0).all(-1) & (there <= [299, 89]).all(-1)
    off = np.abs(straight.astype(int) - plain.rgb)[inside]
    assert np.median(off) <= 2
    assert inside.mean() > 0.8


def test_ranges_meet_what_the_camera_sees() -> None:
    scene = SyntheticScene(seed=4, frames=2, height=48, width=160)
    probe = Probe(scene, 0.04)
    pose = probe.T_world_imu @ scene.rig.T_imu_cam("left")
    shot = probe.shoot(pose, scene.intrinsics, (48, 160))
    points = transform(
        pose, backproject(scene.intrinsics, pixel_grid(48, 160), np.nan_to_num(shot.depth, nan=1))
    ).reshape(-1, 3)
    rays = points - pose[:3, 3]
    distance = np.linalg.norm(rays, axis=1)
    seen = np.isfinite(shot.depth.ravel()) & (distance < 70)
    here = np.eye(4)
    here[:3, 3] = pose[:3, 3]
    found, body = probe.ranges(here, (rays / distance[:, None]).T)
    np.testing.assert_allclose(found[seen], distance[seen], rtol=1e-9)
    np.testing.assert_array_equal(body[seen], shot.instances.ravel()[seen])
