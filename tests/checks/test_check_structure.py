"""Poses, times, intrinsics and rigs as plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata.checks import structure
from depthdata.geometry import rigid_transform, rotation_from_euler

TIMES = np.arange(12, dtype=np.int64) * 100_000_000
K = np.array([[700.0, 0, 610], [0, 700, 170], [0, 0, 1]])


def drive(count: int = 12, step: float = 0.8, yaw: float = 0.02) -> np.ndarray:
    t = np.arange(count)
    position = np.stack([step * t, 0.01 * t**2, 0 * t], -1)
    return rigid_transform(rotation_from_euler(0, 0, yaw * t), position)


def test_a_drive_is_rigid_and_smooth():
    assert structure.poses_rigid("left", drive()).ok
    assert structure.pose_steps("left", drive(), TIMES).ok


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda T: T @ np.diag([1.0, 1, -1, 1]), "mirrors"),
        (lambda T: T * 1.01, "last row"),
        (lambda T: np.swapaxes(T, -1, -2), "transposed"),
        (lambda T: T @ np.diag([1.01, 1.01, 1.01, 1]), "not orthogonal"),
    ],
)
def test_not_rigid(change, words):
    poses = drive()
    poses[7] = change(poses[7])
    finding = structure.poses_rigid("left", poses)
    assert finding.ok is False and words in finding.message and finding.frame == 7


def test_unknown_poses_are_left_out_and_partly_known_ones_found():
    poses = drive()
    poses[3] = np.nan
    assert structure.poses_rigid("left", poses).ok
    poses[3, :3, :3] = np.eye(3)
    assert "partly NaN" in structure.poses_rigid("left", poses).message
    assert structure.poses_rigid("left", None).ok is None
    assert structure.poses_rigid("left", np.full((2, 4, 4), np.nan)).ok is None


@given(frame=st.integers(2, 9), other=st.sampled_from([-1, 1]), step=st.floats(0.2, 3))
def test_a_displaced_pose_is_named(frame, other, step):
    poses = drive(step=step)
    poses[frame] = poses[frame + other]
    finding = structure.pose_steps("left", poses, TIMES)
    assert finding.ok is False and finding.frame == frame
    assert f"frame {frame} jumps" in finding.message


def test_a_turned_pose_is_named_even_when_standing():
    poses = drive(step=0, yaw=0)
    poses[4, :3, :3] = rotation_from_euler(0, 0.1, 0)
    assert structure.pose_steps("left", poses, TIMES).frame == 4


@given(speed=st.floats(0, 30), rate=st.floats(-5, 5))
def test_braking_and_uneven_times_are_no_jump(speed, rate):
    t = TIMES * 1e-9 + np.where(np.arange(12) % 3 == 1, 0.02, 0)
    position = np.stack([speed * t + rate * t**2 / 2, 0 * t, 0 * t], -1)
    poses = rigid_transform(np.eye(3), position)
    assert structure.pose_steps("left", poses, np.round(t * 1e9).astype(np.int64)).ok


def test_times():
    assert structure.monotone_times(TIMES).numbers["median_step_ms"] == 100
    back = TIMES.copy()
    back[5] = back[3]
    finding = structure.monotone_times(back)
    assert finding.ok is False and finding.frame == 5 and finding.value == -100
    assert structure.monotone_times(TIMES[:1]).ok is None


def test_camera_times():
    assert structure.camera_times("left", TIMES + 7_000_000, TIMES).ok
    finding = structure.camera_times("left", np.roll(TIMES, 1), TIMES)
    assert finding.ok is False
    late = structure.camera_times("left", TIMES + 100_000_000, TIMES)
    assert late.ok is False and "shifted" in late.message
    missing = np.full_like(TIMES, structure.MISSING_TIME)
    assert structure.camera_times("left", missing, TIMES).ok is None


@pytest.mark.parametrize(
    "intrinsics, words",
    [
        (np.diag([-1.0, 1, 1]) @ K, "not positive"),
        (K.T, "transposed"),
        (K / [[1242], [375], [1]], "normalised"),
        (K[[1, 0, 2]][:, [1, 0, 2]], "outside the image"),
        (np.diag([1, 2, 1]) @ K * [1, 1, 0.5] + [[0, 0, 0], [0, 0, 0], [0, 0, 0.5]], "differ"),
        (np.diag([100.0, 100, 1]) @ K * [1, 1, 0.01] + [[0] * 3, [0] * 3, [0, 0, 0.99]], "of view"),
        (K * np.nan, "not finite"),
    ],
)
def test_implausible_intrinsics(intrinsics, words):
    finding = structure.intrinsics_plausible("left", intrinsics, 375, 1242)
    assert finding.ok is False and words in finding.message, finding.message


def test_plausible_intrinsics_and_the_frame_of_a_bad_one():
    assert structure.intrinsics_plausible("left", K, 375, 1242).ok
    stack = np.stack([K] * 5)
    stack[3, 0, 0] = 0
    finding = structure.intrinsics_plausible("left", stack, 375, 1242)
    assert finding.frame == 3 and "frame 3" in finding.message


def test_stereo_rig():
    T = rigid_transform(np.eye(3), [0.54, 0.001, 0])
    assert all(f.ok for f in structure.stereo_rig("l/r", T, 0.54, K, K))
    swapped = structure.stereo_rig("l/r", rigid_transform(np.eye(3), [-0.54, 0, 0]), 0.54, K, K)
    assert not swapped[0].ok and "to the LEFT" in swapped[0].message
    apart = structure.stereo_rig("l/r", T, 0.6, K, K)
    assert not apart[0].ok and "0.6 m" in apart[0].message
    turned = rigid_transform(rotation_from_euler(0, 0.02, 0), [0.54, 0, 0])
    assert [f.ok for f in structure.stereo_rig("l/r", turned, 0.54, K, K)] == [True, False, True]
    upright = rigid_transform(np.eye(3), [0.5, 0.2, 0])
    assert "not a rectified pair" in structure.stereo_rig("l/r", upright, 0.5, K, K)[1].message
    zoomed = structure.stereo_rig("l/r", T, 0.54, K, np.diag([1.01, 1.01, 1]) @ K)
    assert [f.ok for f in zoomed] == [True, True, False]


def test_images_that_repeat():
    poses = drive()
    assert structure.images_differ("left", list(range(12)), poses).ok
    finding = structure.images_differ("left", [0, 1, 1, 3, None, 4, 4, *range(20, 25)], poses)
    assert finding.ok is False and finding.value == 2 and finding.frame == 2
    assert "images of frames 1 and 2 are the same although the camera moved" in finding.message
    standing = structure.images_differ("left", [7] * 12, drive(step=0, yaw=0) * 0 + np.eye(4))
    assert standing.ok and "stands still" in standing.message
    assert structure.images_differ("left", [7] * 3, None).ok
    assert structure.images_differ("left", [7, None], None).ok is None
