"""The measures behind the checks, on arrays with known answers."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from depthdata.checks import flow as flows
from depthdata.checks.motion import Motion, Track, diagnose_poses
from depthdata.checks.report import CheckReport, Finding, at_least, at_most, skipped
from depthdata.checks.reprojection import judge_motion
from depthdata.checks.samples import spread
from depthdata.checks.stereo import HYPOTHESES, best_hypothesis, other_time_share
from depthdata.checks.tracking import bilinear, follow, photometric_ratio, predict
from depthdata.geometry import rigid_transform, rotation_from_euler, se3_inverse

K = np.array([[232.0, 0, 200], [0, 232, 60], [0, 0, 1]])


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (150, 460), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2) * np.uint8(1)


def test_points_are_followed(texture):
    first, second = texture[10:130, 10:410], texture[7:127, 15:415]  # content moves by (-5, +3)
    xy = np.stack(np.meshgrid(np.arange(30, 370, 20), np.arange(30, 90, 15)), -1).reshape(-1, 2)
    found, good = follow(first.copy(), second.copy(), xy.astype(float))
    assert good.mean() > 0.9
    np.testing.assert_allclose((found - xy)[good], [[-5, 3]] * int(good.sum()), atol=0.1)
    guess = xy + np.array([-4.0, 2.0])
    again, _ = follow(first.copy(), second.copy(), xy.astype(float), guess=guess)
    np.testing.assert_allclose((again - xy)[good], [[-5, 3]] * int(good.sum()), atol=0.1)
    assert follow(first, second, np.zeros((0, 2)))[0].shape == (0, 2)


def test_points_are_not_followed_to_another_picture(texture):
    other = np.ascontiguousarray(texture[::-1, ::-1])
    xy = np.random.default_rng(1).uniform(20, 100, (200, 2))
    assert follow(texture, other, xy)[1].mean() < 0.3


def test_photometric_ratio_tells_match_from_mismatch(texture):
    xy = np.random.default_rng(1).uniform(30, 100, (500, 2))
    moved = np.roll(texture, 6, 1) // 2 + 20  # another exposure too
    right, _, count = photometric_ratio(texture // 2, moved, xy, xy + np.array([6, 0]))
    wrong, _, _ = photometric_ratio(texture // 2, moved, xy, xy - np.array([6, 0]))
    assert right < 0.2 < 0.8 < wrong and count == 500


def test_bilinear_reads_between_pixels_and_nan_outside():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    values = bilinear(image, np.array([[0.5, 1.0], [3.0, 2.0], [3.1, 2.0], [-0.1, 0]]))
    np.testing.assert_allclose(values[:2], [4.5, 11])
    assert np.isnan(values[2:]).all()


def made_motion(poses: np.ndarray, stored: np.ndarray) -> tuple[Motion, list[Track]]:
    """Tracks as `poses` move the points; a file that states the poses `stored`."""
    rng = np.random.default_rng(3)

    def track(a: int, b: int) -> Track:
        points = np.stack(
            [rng.uniform(0, 400, 300), rng.uniform(0, 120, 300), rng.uniform(4, 40, 300)], 1
        )
        found = predict(points, K, K, se3_inverse(poses[b]) @ poses[a])
        return Track(a, b, points, found + rng.normal(0, 0.1, found.shape))

    times = np.arange(len(poses), dtype=np.int64) * 10**8
    motion = Motion(stored, lambda t: K, times, track, 400)
    return motion, [track(t, t + 1) for t in range(len(poses) - 1)]


def curve(count: int = 7) -> np.ndarray:
    t = np.arange(count)
    position = np.stack([0.05 * t**2, 0 * t, 0.7 * t + 0.03 * t**2], -1)
    return rigid_transform(rotation_from_euler(0, 0.03 * t, 0), position)


def test_true_poses_pass():
    finding, _ = judge_motion("left", *made_motion(curve(), curve()))
    assert finding.ok and finding.value < 0.3


@pytest.mark.parametrize(
    "change, words",
    [
        (se3_inverse, "inverted"),
        (lambda W: W[::-1], "reversed"),
        (lambda W: curve(8)[1:], "image t fits the pose of t-1"),
        (lambda W: W @ np.diag([1.0, -1, -1, 1]), "OpenGL"),
        (lambda W: np.broadcast_to(np.eye(4), W.shape), "does not fit"),
    ],
)
def test_wrong_poses_are_diagnosed(change, words):
    motion, tracks = made_motion(curve(), np.array(change(curve())))
    finding, _ = judge_motion("left", motion, tracks)
    assert finding.ok is False and words in finding.message, finding.message


def test_no_hypothesis_explains_noise():
    poses = curve()
    noise = rigid_transform(np.eye(3), np.random.default_rng(0).normal(0, 0.5, (7, 3)))
    assert diagnose_poses(*made_motion(poses, poses @ noise)) is None


def test_a_single_displaced_pose_is_named():
    stored = curve()
    stored[3] = stored[4]
    finding, _ = judge_motion("left", *made_motion(curve(), stored))
    assert finding.ok is False and "pose of frame 3 repeats the pose of frame 4" in finding.message
    assert finding.frame == 3


def test_a_single_displaced_image_is_named():
    seen = curve()
    seen[3] = seen[2]
    finding, _ = judge_motion("left", *made_motion(seen, curve()))
    assert finding.ok is False and "image of frame 3" in finding.message
    assert "of frame 2" in finding.message


def test_hypotheses_need_a_clear_gain():
    swapped = HYPOTHESES[0]
    assert best_hypothesis(0.5, {swapped: 0.55}) is None
    assert best_hypothesis(0.01, {swapped: 0.2}) is None
    assert best_hypothesis(0.0, {}) is None
    assert best_hypothesis(0.05, {swapped: 0.9}) == (swapped, 0.9)


def test_telling_points_decide_between_two_times():
    rng = np.random.default_rng(0)
    own = rng.uniform(5, 30, 1000).astype(np.float32)
    other = own + np.where(np.arange(1000) < 400, 3, 0).astype(np.float32)
    assert other_time_share(own.astype(float), own, other) is None  # no gain: its own time is right
    assert other_time_share(other.astype(float), own, other) == 1.0
    assert other_time_share(other[:300].astype(float), own[:300], own[:300]) is None


def made_flow() -> tuple[np.ndarray, np.ndarray]:
    forward = np.zeros((2, 40, 60), np.float32)
    forward[0], forward[1] = 3.0, -1.0
    return forward, -forward


def test_flow_there_and_back():
    forward, backward = made_flow()
    off = flows.forward_backward(forward, backward)
    assert np.nanmax(off) < 1e-5
    assert np.isnan(off[:, -2:]).all() and np.isnan(off[0]).all()  # leaves the image
    wrong = flows.forward_backward(forward, forward)
    assert np.nanmedian(wrong) == pytest.approx(2 * np.hypot(3, 1), abs=1e-4)
    hidden = np.zeros((40, 60))
    hidden[10:20] = 1
    backward[:, 10:20] = 50
    assert np.nanmax(flows.forward_backward(forward, backward, hidden)[22:]) < 1e-5
    backward[:, 30, 30] = np.nan
    assert np.isnan(flows.forward_backward(forward, backward)[31, 27])


def test_spread_takes_the_ends():
    assert spread(100, 5) == [0, 25, 50, 74, 99]
    assert spread(3, None) == [0, 1, 2] and spread(0, 5) == []


def test_report_is_plain_data_and_lines():
    findings = (
        at_most("reprojection", 6.0, 2.0, "px", message="poses look inverted", camera="left"),
        at_least("stereo match", 0.9, 0.25, "", message="fine", camera="left/right"),
        skipped("flow both ways", "no flow"),
        Finding("time", True, "increase", value=float("nan")),
    )
    report = CheckReport("a.h5", findings)
    assert not report.ok and [f.name for f in report.failed] == ["reprojection"]
    assert report.find("stereo match").severity < 1 < report.find("reprojection").severity
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [f["status"] for f in data["findings"]] == ["failed", "ok", "skipped", "ok"]
    lines = report.table().splitlines()
    assert lines[0].startswith("FAIL") and "6 px <= 2" in lines[0]
    assert lines[-1] == "FAIL  a.h5: 2 passed, 1 failed, 1 skipped"
    with pytest.raises(KeyError, match="no finding 'depth'"):
        report.find("depth")


def test_nothing_measured_is_not_ok():
    assert not CheckReport("a.h5", (skipped("time", "no times"),)).ok
