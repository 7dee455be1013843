"""Paths of the camera with known errors, under every protocol of paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golden_cases
from truth_models import OPTICAL, Traveller, poses_along, times, write_file

from depthdata.errors import UsageError
from depthzoo.evaluation import evaluate, get_protocol, list_protocols
from depthzoo.evaluation.metrics.snippets import motion_matrices, odometry_poses
from depthzoo.models import Card, Needs
from depthzoo.prediction import Prediction

CORRECTED = ("odometry/snippet5", "odometry/kitti", "odometry/trajectory")
FRAMES, SPEED = 451, 1.0


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive of 450 m straight ahead, a metre a frame."""
    root = tmp_path_factory.mktemp("straight")
    steps = np.tile([0.0, 0.0, SPEED], (FRAMES - 1, 1))
    write_file(root / "road.h5", FRAMES, cameras=("left",), images=(), poses=poses_along(steps))
    return root


@pytest.fixture(scope="module")
def winding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drives through bends, of 130 and 40 frames."""
    root = tmp_path_factory.mktemp("winding")
    rng = np.random.default_rng(5)
    for name, count in (("long", 130), ("short", 40)):
        poses = [np.eye(4)]
        for turn in np.cumsum(rng.normal(0, 0.002, (count - 1, 3)), 0):
            move = motion_matrices(turn[None], np.array([[0.02, 0.01, 1.5 + turn[0]]]))[0]
            poses.append(poses[-1] @ move)
        write_file(root / f"{name}.h5", count, cameras=("left",), images=(), poses=np.stack(poses))
    return root


def turned(degrees: float) -> Any:
    """Spoil the direction of each motion by the same turn to the side."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]])
    return lambda motion, _: motion @ turn


def test_every_path_protocol_is_known_here() -> None:
    known = {get_protocol(name).id for name in (*CORRECTED, "dynamo_depth/odometry")}
    assert set(list_protocols("trajectory")) == known


@pytest.mark.parametrize("invariance", ["metric", "scale"])
@pytest.mark.parametrize("protocol", CORRECTED)
def test_the_true_path_has_no_error(winding: Path, protocol: str, invariance: str) -> None:
    factor = 1.0 if invariance == "metric" else 7.5
    report = evaluate(Traveller(winding, times(factor), invariance), winding, protocol)
    assert report.number_of_frames == 170
    for name, value in report.aggregate.items():
        if name != "speed":
            assert value == pytest.approx(0, abs=1e-9), name


def test_snippets_of_a_path_that_is_too_long(straight: Path) -> None:
    report = evaluate(Traveller(straight, times(1.1), "metric"), straight, "odometry/snippet5")
    # the k-th of five points is 0.1 k metres off
    assert report.aggregate["ate"] == pytest.approx(0.1 * np.sqrt(30 / 5))
    assert report.aggregate["speed"] == pytest.approx(SPEED)
    assert report.alignment == "none"
    assert report.frames[0].score.weight == FRAMES - 4
    assert report.statistics()["error"]["std"] == pytest.approx(0, abs=1e-9)


def test_snippets_take_no_negative_factor(straight: Path) -> None:
    backwards = evaluate(Traveller(straight, times(-2.0)), straight, "odometry/snippet5")
    # the best factor that is not negative is 0: the camera seems to stand still
    assert backwards.aggregate["ate"] == pytest.approx(np.sqrt(30 / 5))


def test_drift_of_a_path_that_is_too_long(straight: Path) -> None:
    report = evaluate(Traveller(straight, times(1.1), "metric"), straight, "odometry/kitti")
    # a piece of L metres ends at the first frame beyond: L + 1 steps
    starts = {L: len(range(0, FRAMES - (L + 1), 10)) for L in (100, 200, 300, 400)}
    total = sum(n * 10.0 * (L + 1) / L for L, n in starts.items())
    assert report.aggregate["t_rel"] == pytest.approx(total / sum(starts.values()))
    assert report.aggregate["r_rel"] == pytest.approx(0, abs=1e-9)
    assert report.frames[0].score.weight == sum(starts.values())
    scaled = evaluate(Traveller(straight, times(1.1), "scale"), straight, "odometry/kitti")
    assert scaled.aggregate["t_rel"] == pytest.approx(0, abs=1e-9)
    assert scaled.frames[0].score.scale == pytest.approx(1 / 1.1)


def test_drift_of_a_path_that_turns(straight: Path) -> None:
    report = evaluate(Traveller(straight, turned(0.02), "metric"), straight, "odometry/kitti")
    starts = {L: len(range(0, FRAMES - (L + 1), 10)) for L in (100, 200, 300, 400)}
    total = sum(n * 0.02 * (L + 1) / L for L, n in starts.items())
    assert report.aggregate["r_rel"] == pytest.approx(100 * total / sum(starts.values()))


def test_a_drive_without_a_piece_is_left_out(winding: Path, tmp_path: Path) -> None:
    both = evaluate(Traveller(winding, times(1.1), "metric"), winding, "odometry/kitti")
    alone = evaluate(
        Traveller(winding, times(1.1), "metric"), winding / "long.h5", "odometry/kitti"
    )
    assert both.aggregate == alone.aggregate
    assert np.isnan(both.per_sequence["short"]["t_rel"])
    assert json.loads(both.to_json())["per_sequence"]["short"]["t_rel"] is None


def test_whole_trajectory_of_a_path_that_is_too_long(straight: Path) -> None:
    report = evaluate(Traveller(straight, times(1.1), "metric"), straight, "odometry/trajectory")
    # around its middle, a line that is a tenth too long: a tenth of the spread of its places
    spread = np.sqrt((FRAMES**2 - 1) / 12)
    assert report.aggregate["ate"] == pytest.approx(0.1 * SPEED * spread)
    assert report.aggregate["rpe_translation"] == pytest.approx(0.1 * SPEED)
    assert report.aggregate["rpe_rotation"] == pytest.approx(0, abs=1e-6)
    scaled = evaluate(Traveller(straight, times(1.1), "scale"), straight, "odometry/trajectory")
    assert scaled.alignment == "sim3"
    assert scaled.aggregate["ate"] == pytest.approx(0, abs=1e-9)
    assert scaled.aggregate["rpe_translation"] == pytest.approx(0, abs=1e-9)


def test_steps_of_a_path_that_turns(winding: Path) -> None:
    report = evaluate(Traveller(winding, turned(0.3), "metric"), winding, "odometry/trajectory")
    assert report.aggregate["rpe_rotation"] == pytest.approx(0.3)
    assert report.aggregate["rpe_translation"] == pytest.approx(0, abs=1e-9)


def test_sequences_are_weighted_by_their_frames(winding: Path) -> None:
    report = evaluate(Traveller(winding, times(1.1), "metric"), winding, "odometry/trajectory")
    own = [r.score.values["ate"] for r in report.frames]
    assert [r.sequence for r in report.frames] == ["long", "short"]
    assert report.aggregate["ate"] == pytest.approx(np.average(own, weights=[130, 40]))
    snippets = evaluate(Traveller(winding, times(1.1), "metric"), winding, "odometry/snippet5")
    own = [r.score.values["ate"] for r in snippets.frames]
    assert snippets.aggregate["ate"] == pytest.approx(np.average(own, weights=[126, 36]))
    assert len(snippets.frames[0].score.series["error"]) == 126


def _vehicle_file(root: Path, up: float, frames: int = 12) -> Path:
    """A vehicle that drives a metre a frame and climbs; the camera looks ahead."""
    vehicle = poses_along(np.tile([1.0, 0.0, up], (frames - 1, 1)))
    place = OPTICAL.copy()
    place[:3, 3] = [1.5, 0.1, 1.2]
    write_file(
        root / "hill.h5", frames, cameras=("front",), images=("rgb_320x480",), dataset="waymo",
        poses=vehicle @ place, T_rig_cam=place,
    )  # fmt: skip
    return root


@pytest.mark.parametrize("invariance", ["metric", "scale"])
def test_the_published_odometry_finds_an_error_in_the_true_path(
    tmp_path: Path, invariance: str
) -> None:
    up, frames = 0.2, 12
    folder = _vehicle_file(tmp_path, up, frames)
    model = Traveller(folder, times(3.0), invariance)
    report = evaluate(model, folder, "dynamo_depth/odometry")
    assert report.alignment == "snippet_scale"
    errors = report.frames[0].score.series["error"]
    # The free factor turns the direction of travel round, and with it what was right side up:
    # a step of (1, 0, up) is off by 2 up / sqrt(1 + up^2). Summed outside of the root.
    step = 2 * up / np.hypot(1, up)
    whole, last = step * np.sqrt(30) / 5, step * np.sqrt(14) / 4
    np.testing.assert_allclose(errors, [whole] * (frames - 5) + [last])
    assert report.aggregate["ate_sfm"] == pytest.approx(np.mean(errors))
    assert report.aggregate["speed"] == pytest.approx(np.hypot(1, up))
    corrected = evaluate(
        Traveller(folder, times(3.0)), folder, str(get_protocol(report.protocol).corrected)
    )
    assert corrected.aggregate["ate"] == pytest.approx(0, abs=1e-9)


def test_level_driving_is_right_in_the_published_odometry_too(tmp_path: Path) -> None:
    folder = _vehicle_file(tmp_path, 0.0)
    report = evaluate(Traveller(folder, times(1.0)), folder, "dynamo_depth/odometry")
    assert report.aggregate["ate_sfm"] == pytest.approx(0, abs=1e-12)
    assert report.aggregate["speed"] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["ego_poses", "T_world_rig"])
def test_poses_of_the_vehicle_as_the_source_has_them(tmp_path: Path, kind: str) -> None:
    frames = 9
    vehicle = poses_along(np.tile([1.0, 0.0, 0.1], (frames - 1, 1)))
    rows = np.c_[np.tile([1.0, 0, 0, 0], (frames, 1)), vehicle[:, :3, 3]]
    given = {"ego_poses": rows.tolist(), "T_world_rig": vehicle.tolist()}[kind]
    write_file(
        tmp_path / "drive.h5", frames, cameras=("front",), images=("rgb_288x512",),
        poses=vehicle @ OPTICAL, transform={kind: given},
    )  # fmt: skip
    report = evaluate(Traveller(tmp_path, times(1.0)), tmp_path, "dynamo_depth/odometry")
    step = 2 * 0.1 / np.hypot(1, 0.1)
    assert report.frames[0].score.series["error"][0] == pytest.approx(step * np.sqrt(30) / 5)


def test_predictions_that_cannot_be_compared_are_refused(straight: Path) -> None:
    for invariance in ("affine", "disparity"):
        with pytest.raises(UsageError, match=f"'{invariance}'") as raised:
            evaluate(Traveller(straight, times(1.0), invariance), straight, "odometry/kitti")
        assert "\n" not in str(raised.value)


def test_what_a_file_lacks_is_said_in_a_line(tmp_path: Path, straight: Path) -> None:
    write_file(tmp_path / "still.h5", 6, cameras=("left",), images=())
    model = Traveller(tmp_path, times(1.0))
    with pytest.raises(UsageError, match=r"still.h5.*no poses"):
        evaluate(model, tmp_path, "odometry/trajectory")
    assert not model.seen
    poses = poses_along(np.tile([0.0, 0, 1], (5, 1)))
    poses[3] = np.nan
    write_file(tmp_path / "still.h5", 6, cameras=("left",), images=(), poses=poses)
    with pytest.raises(UsageError, match=r"no pose in 1 of 6 frames"):
        evaluate(model, tmp_path, "odometry/trajectory")
    with pytest.raises(UsageError, match="neither poses of the vehicle"):
        evaluate(
            Traveller(straight, times(1.0)),
            _renamed_camera(tmp_path),
            "dynamo_depth/odometry",
        )
    with pytest.raises(UsageError, match="sgbm predicts no poses"):
        evaluate("sgbm", _pair_with_poses(tmp_path), "odometry/trajectory")


def _renamed_camera(root: Path) -> Path:
    poses = poses_along(np.tile([0.0, 0, 1], (5, 1)))
    return write_file(
        root / "front.h5", 6, cameras=("front",), images=("rgb_288x512",), poses=poses
    )


def _pair_with_poses(root: Path) -> Path:
    return write_file(root / "pair.h5", 6, poses=poses_along(np.tile([0.0, 0, 1], (5, 1))))


def test_the_first_frames_of_a_path(straight: Path) -> None:
    report = evaluate(Traveller(straight, times(1.0)), straight, "odometry/snippet5", limit=20)
    assert report.frames[0].frames == 20
    assert report.frames[0].score.weight == 16
    assert report.limits == ["only the first 20 frames were asked for"]


@pytest.mark.golden
@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_odometry*.json"))
def test_golden_odometry_from_sequence_files(path: Path, tmp_path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    info = json.loads(path.read_text(encoding="utf-8"))
    motions: dict[str, Any] = {}
    for case in info["cases"]:
        names = ("pred_axisangle", "pred_translation", "odometry_rows")
        vector, move, rows = (arrays[case["prefix"] + name] for name in names)
        vehicle = odometry_poses(rows)
        name = f"drive_{case['prefix'].strip('_')}"
        first = motion_matrices(np.full((1, 3), 0.1), np.ones((1, 3)))  # frame 0 is not used
        motions[name] = np.concatenate([first, motion_matrices(vector, move)])
        rigid = poses_along(np.zeros((len(rows) - 1, 3)))
        write_file(
            tmp_path / f"{name}.h5", len(rows), cameras=("front",), images=("rgb_320x480",),
            dataset="waymo", poses=rigid, transform={"T_world_rig": vehicle.tolist()},
        )  # fmt: skip

    class Stored:
        needs = Needs(views=())
        card = Card("stored", "stored", "Stored", "none", "", "", needs, ("pose",), "scale")
        weights_sha256 = None

        def predict(self, sample: Any) -> Prediction:
            start, count = sample["index"]["frame"], len(sample["timestamps"])
            poses = [np.eye(4)]
            for motion in motions[sample["index"]["sequence"]][start : start + count - 1]:
                poses.append(poses[-1] @ motion)
            return Prediction(pose=np.stack(poses), invariance="scale")

    report = evaluate(Stored(), tmp_path, "dynamo_depth/odometry")
    for record, case in zip(report.frames, info["cases"], strict=True):
        series, prefix = record.score.series, case["prefix"]
        np.testing.assert_allclose(series["error"], arrays[f"{prefix}ates"], atol=1e-10)
        np.testing.assert_allclose(series["speed"], arrays[f"{prefix}speeds"], atol=1e-10)
        assert record.score.values["ate_sfm"] == pytest.approx(case["mean_ate"], abs=1e-10)
        assert record.score.values["speed"] == pytest.approx(case["mean_speed"], abs=1e-10)
    every = np.concatenate([arrays[f"{case['prefix']}ates"] for case in info["cases"]])
    assert report.aggregate["ate_sfm"] == pytest.approx(every.mean(), abs=1e-10)
    told = report.statistics()["error"]
    assert told["std"] == pytest.approx(every.std(), abs=1e-10)
    assert told["count"] == len(every)
