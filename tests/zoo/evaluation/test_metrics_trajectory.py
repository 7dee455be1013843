"""Trajectories: what is fitted and what remains; drift over known lengths; snippets."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.snippets import (
    dynamo_snippets,
    motion_matrices,
    odometry_poses,
    sfm_learner_ate,
    snippet_ate,
)
from depthzoo.evaluation.metrics.trajectory import (
    ALIGNMENTS,
    ate,
    fit_similarity,
    kitti_drift,
    rotation_angle,
    rpe,
)


def _motions(vectors: Any, translations: Any) -> Any:
    """Matrices of rotation vectors, exact (the reference's are off by its 1e-7)."""
    vectors = np.asarray(vectors, float)
    angle = np.linalg.norm(vectors, axis=-1)[:, None, None]
    axis = np.divide(vectors, angle[:, 0], out=np.zeros_like(vectors), where=angle[:, 0] > 0)
    cross = np.cross(axis[:, None, :], -np.eye(3)[None])
    poses = np.tile(np.eye(4), (len(vectors), 1, 1))
    poses[:, :3, :3] += np.sin(angle) * cross + 2 * np.sin(angle / 2) ** 2 * (cross @ cross)
    poses[:, :3, 3] = translations
    return poses


def _drive(frames: int = 200, seed: int = 0, step: float = 1.0, turn: float = 0.02) -> Any:
    rng = np.random.default_rng(seed)
    motions = _motions(
        rng.normal(scale=turn, size=(frames - 1, 3)), np.tile([0.0, 0, step], (frames - 1, 1))
    )
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ motion)
    return np.stack(poses)


def _change(poses: Any, scale: float, seed: int = 1) -> Any:
    """The same path in another world and another unit."""
    rng = np.random.default_rng(seed)
    u, _, v = np.linalg.svd(rng.normal(size=(3, 3)))
    world = np.eye(4)
    world[:3, :3] = u @ v * np.linalg.det(u @ v)
    world[:3, 3] = rng.normal(size=3) * 20
    moved = world @ poses
    moved[:, :3, 3] *= scale
    return moved


def test_what_every_alignment_takes_away() -> None:
    truth = _drive()
    same = {name: ate(truth, truth, alignment=name)["rmse"] for name in ALIGNMENTS}
    assert same == pytest.approx(dict.fromkeys(ALIGNMENTS, 0), abs=1e-9)
    elsewhere = _change(truth, 1.0)
    gone = {name: ate(elsewhere, truth, alignment=name)["rmse"] < 1e-9 for name in ALIGNMENTS}
    assert [name for name, is_gone in gone.items() if is_gone] == ["first", "se3", "sim3"]
    smaller = truth.copy()
    smaller[:, :3, 3] *= 0.25
    for name in ("scale", "sim3_scale", "sim3"):
        found = ate(smaller, truth, alignment=name)
        assert (found["rmse"], found["scale"]) == (pytest.approx(0, abs=1e-9), pytest.approx(4))
    assert ate(_change(truth, 0.25), truth, alignment="sim3")["rmse"] < 1e-9
    assert ate(smaller, truth, alignment="se3")["rmse"] > 1


def test_a_known_offset() -> None:
    truth = _drive(50)
    shown = truth.copy()
    shown[:, :3, 3] += [3, 0, 4]
    found = ate(shown, truth)
    for name in ("rmse", "mean", "median", "min", "max"):
        assert found[name] == pytest.approx(5)
    assert found["std"] == pytest.approx(0, abs=1e-7) and found["poses"] == 50


def test_noise_of_known_size_remains_after_the_fit() -> None:
    truth = _drive(4000)
    shown = _change(truth, 3.0)
    shown[:, :3, 3] += np.random.default_rng(0).normal(size=(4000, 3)) * 0.3
    found = ate(shown, truth, alignment="sim3")
    assert found["rmse"] == pytest.approx(0.1 * math.sqrt(3), rel=0.03)


def test_a_mirrored_path_is_not_fitted_by_a_mirror() -> None:
    truth = _drive()
    mirrored = truth.copy()
    mirrored[:, 0, 3] *= -1
    rotation, _, _ = fit_similarity(mirrored[:, :3, 3], truth[:, :3, 3])
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert ate(mirrored, truth, alignment="sim3")["rmse"] > 0.1


def test_a_path_that_stands_still_has_no_scale() -> None:
    truth = _drive(10)
    still = np.tile(np.eye(4), (10, 1, 1))
    for name in ("scale", "sim3"):
        assert math.isnan(ate(still, truth, alignment=name)["scale"])


def test_relative_errors_of_known_motion() -> None:
    truth = _drive(60)
    wrong = _motions([[0.0, math.radians(2), 0]], [[0.3, 0, 0.4]])[0]
    shown = [truth[0]]
    for one, two in pairwise(truth):
        shown.append(shown[-1] @ np.linalg.inv(one) @ two @ wrong)
    found = rpe(np.stack(shown), truth)
    assert found["translation"]["rmse"] == pytest.approx(0.5)
    assert found["rotation"]["max"] == pytest.approx(2, rel=1e-6)
    assert found["rotation"]["pairs"] == 59
    assert rpe(np.stack(shown), truth, delta=10, every=False)["rotation"]["pairs"] == 5
    perfect = rpe(truth, truth, delta=3)
    assert max(perfect["translation"]["max"], perfect["rotation"]["max"]) < 1e-9


def test_kitti_drift_of_a_wrong_scale_and_of_a_turn() -> None:
    truth = _drive(1000, turn=0.0)
    shown = truth.copy()
    shown[:, :3, 3] *= 1.02
    found = kitti_drift(shown, truth)
    # the end lies MORE than 100 m behind the start: 101 frames of 1 m each
    wanted = np.average(
        [100 * 0.02 * (length + 1) / length for length in found["by_length"]],
        weights=[v["pieces"] for v in found["by_length"].values()],
    )
    assert (found["t_rel"], found["r_rel"]) == pytest.approx((wanted, 0))
    assert kitti_drift(shown, truth, scale=1 / 1.02)["t_rel"] == pytest.approx(0, abs=1e-9)
    angle = math.radians(0.01)  # a degree in 100 m
    turned = truth @ _motions(np.arange(1000)[:, None] * [[0, 0, angle]], np.zeros((1000, 3)))
    turned[:, :3, 3] = truth[:, :3, 3]
    by_length = kitti_drift(turned, truth)["by_length"]
    for length, values in by_length.items():
        assert values["r_rel"] == pytest.approx((length + 1) / length, rel=1e-4)
        assert values["pieces"] == len(range(0, 1000 - int(length) - 1, 10))


def test_kitti_drift_equals_the_benchmark_written_out() -> None:
    truth, shown = _drive(500, 0, 1.3), _drive(500, 5, 1.3)
    steps = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1)
    path = np.concatenate([[0], np.cumsum(steps)])
    moves, turns = [], []
    for first in range(0, 500, 10):
        for length in (100, 200, 300, 400, 500, 600, 700, 800):
            last = next((i for i in range(first, 500) if path[i] > path[first] + length), None)
            if last is None:
                continue
            true, found = (np.linalg.inv(p[first]) @ p[last] for p in (truth, shown))
            error = np.linalg.inv(found) @ true
            moves.append(np.linalg.norm(error[:3, 3]) / length)
            cosine = 0.5 * (np.trace(error[:3, :3]) - 1)
            turns.append(math.acos(max(min(cosine, 1), -1)) / length)
    result = kitti_drift(shown, truth)
    assert result["pieces"] == len(moves)
    assert result["t_rel"] == pytest.approx(100 * np.mean(moves), rel=1e-6)
    assert result["r_rel"] == pytest.approx(100 * np.degrees(np.mean(turns)), rel=1e-6)


def test_nothing_to_measure() -> None:
    none = np.zeros((0, 4, 4))
    assert math.isnan(ate(none, none, alignment="sim3")["rmse"])
    short = _drive(5)
    assert math.isnan(kitti_drift(short, short)["t_rel"])
    assert rpe(short, short, delta=9)["rotation"]["pairs"] == 0
    assert len(snippet_ate(short[:2], short[:3])[0]) == 0
    assert len(dynamo_snippets(short[:2], short[:4])[0]) == 0


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"poses are \(3, 3\)"):
        ate(np.eye(3), np.eye(3))
    with pytest.raises(UsageError, match="differ in shape"):
        ate(_drive(4), _drive(5))
    with pytest.raises(UsageError, match="no alignment 'best'"):
        ate(_drive(4), _drive(4), alignment="best")
    with pytest.raises(UsageError, match="2 predicted motions for 9 poses"):
        dynamo_snippets(_drive(2), _drive(9))
    with pytest.raises(UsageError, match="odometry rows"):
        odometry_poses(np.zeros((4, 7)))
    with pytest.raises(UsageError, match="delta is 0"):
        rpe(_drive(4), _drive(4), delta=0)


def test_angles_small_and_large() -> None:
    for angle in (0.0, 1e-9, 1e-3, 1.0, math.pi - 1e-6):
        turn = _motions([[0.0, 0.0, angle]], [[0.0, 0.0, 0.0]])[0, :3, :3]
        assert float(rotation_angle(turn)) == pytest.approx(angle, rel=1e-6, abs=1e-15)


def test_matrices_of_rotation_vectors() -> None:
    vectors = np.random.default_rng(0).normal(size=(9, 3))
    vectors[0] = 0
    moves = np.ones((9, 3))
    np.testing.assert_allclose(motion_matrices(vectors, moves), _motions(vectors, moves), atol=1e-6)


def test_exact_motions_have_no_corrected_error_but_a_legacy_one() -> None:
    camera = _drive(30, turn=0.05)
    mount = np.eye(4)  # vehicle axes are x forward, y left, z up
    mount[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    motions = np.linalg.inv(camera[:-1]) @ camera[1:]
    vehicle = mount @ camera @ np.linalg.inv(mount)
    errors, speeds = snippet_ate(motions, camera)
    assert errors.max() < 1e-12 and speeds == pytest.approx(np.ones(26))
    legacy, pace = dynamo_snippets(motions[1:], vehicle)
    assert len(legacy) == 26 and legacy.min() > 1e-3
    assert pace == pytest.approx(np.ones(26))


def test_snippets_of_a_wrong_scale_and_a_sideways_drift() -> None:
    camera = _drive(12, turn=0.0)
    motions = np.linalg.inv(camera[:-1]) @ camera[1:]
    half = motions.copy()
    half[:, :3, 3] *= 0.5
    assert snippet_ate(half, camera)[0].max() < 1e-12
    exact = snippet_ate(half, camera, scale="none")[0]
    wanted = math.sqrt(np.mean((0.5 * np.arange(5)) ** 2))
    assert exact == pytest.approx(np.full(8, wanted))
    backwards = motions.copy()
    backwards[:, :3, 3] *= -1  # a negative factor would hide this
    assert snippet_ate(backwards, camera)[0] == pytest.approx(
        np.full(8, math.sqrt(np.mean(np.arange(5) ** 2)))
    )


def test_sfm_learner_divides_outside_of_the_root() -> None:
    truth = np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]])
    shown = truth + np.array([5.0, 0, 0])  # the first points are made to coincide
    assert sfm_learner_ate(shown, truth) == 0
    assert sfm_learner_ate(-truth, truth) == 0  # a negative factor repairs it
    shown = truth.copy()
    shown[2, 0] = 1.0
    factor = 14 / 15
    wanted = math.sqrt(14 * (1 - factor) ** 2 + factor**2) / 4
    assert sfm_learner_ate(shown, truth) == pytest.approx(wanted)
