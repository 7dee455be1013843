"""Errors over time, motion masks and regions: analytic values, perfect scores, nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.motion import MotionCounts, binary_scores
from depthzoo.evaluation.metrics.regions import (
    RegionSums,
    by_distance,
    motion_regions,
    occluded_by_disparity,
    occluded_by_flow,
    region_metrics,
)
from depthzoo.evaluation.metrics.temporal import (
    average_sequences,
    dynamic_stereo_metrics,
    flow_tepe,
    opw,
    rtc,
    sequence_metrics,
    tae,
)

T, H, W = 5, 12, 20


def _truth(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(5, 60, (T, H, W))


def test_a_constant_error_is_no_temporal_error() -> None:
    truth = _truth()
    for metrics in (dynamic_stereo_metrics, sequence_metrics):
        found = metrics(truth + 1.5, truth, np.ones(truth.shape))
        assert found["disp_epe_mean"] == pytest.approx(1.5)
        assert (found["disp_epe_bad_1px"], found["disp_epe_bad_2px"]) == (100, 0)
        assert found["disp_temp_epe_bad_0.5px"] == 0
    assert found["disp_temp_epe_mean"] == pytest.approx(0, abs=1e-12)


def test_an_error_that_flickers() -> None:
    truth = _truth()
    shown = truth + np.where(np.arange(T) % 2, 1.0, -1.0)[:, None, None]
    for metrics in (dynamic_stereo_metrics, sequence_metrics):
        found = metrics(shown, truth, np.ones(truth.shape))
        assert found["disp_temp_epe_mean"] == pytest.approx(2)
        assert found["disp_epe_mean"] == pytest.approx(1)


def test_perfect_pixels_count_only_in_the_corrected_form() -> None:
    truth = _truth()
    shown = truth.copy()
    shown[:, :3] += 4  # a quarter of the rows
    legacy = dynamic_stereo_metrics(shown, truth, np.ones(truth.shape))
    right = sequence_metrics(shown, truth, np.ones(truth.shape))
    assert (legacy["disp_epe_mean"], right["disp_epe_mean"]) == pytest.approx((4, 1))
    assert (legacy["disp_epe_bad_3px"], right["disp_epe_bad_3px"]) == pytest.approx((100, 25))


def test_perfect_sequences_have_no_error() -> None:
    truth = _truth()
    for metrics in (dynamic_stereo_metrics, sequence_metrics):
        found = metrics(truth, truth, np.ones(truth.shape))
        assert {v for k, v in found.items() if "epe" in k} == {0.0}


def test_masked_truth_may_be_anything_but_a_nan_prediction_stays() -> None:
    truth, mask = _truth(), np.ones((T, H, W))
    mask[:, 0] = 0
    shown = truth + 1
    truth[:, 0, 0], truth[:, 0, 1] = np.nan, np.inf
    assert dynamic_stereo_metrics(shown, truth, mask)["disp_epe_mean"] == pytest.approx(1)
    shown[0, 0, 5] = np.nan
    assert math.isnan(dynamic_stereo_metrics(shown, truth, mask)["disp_epe_mean"])
    found = sequence_metrics(shown, truth, mask)
    assert (found["disp_epe_mean"], found["missing"]) == (pytest.approx(1), 0)
    shown[0, 5, 5] = np.nan
    assert sequence_metrics(shown, truth, mask)["missing"] == 1


def test_nothing_valid_is_zero_in_the_reference_and_nan_corrected() -> None:
    truth = _truth()
    assert set(dynamic_stereo_metrics(truth + 1, truth, 0 * truth).values()) == {0.0}
    found = sequence_metrics(truth + 1, truth, 0 * truth)
    assert math.isnan(found["disp_epe_mean"]) and found["pixels"] == 0


def test_sequences_are_weighted_by_their_frames() -> None:
    assert average_sequences([{"a": 1.0}, {"a": 3.0}], [30, 10]) == {"a": 1.5}
    with pytest.raises(UsageError, match="no frames"):
        average_sequences([], [])


def _shift(values: Any, by: int) -> Any:
    """A scene that moves by pixels to the right, frame after frame, and its flow."""
    frames = np.stack([np.roll(values, by * t, axis=-1) for t in range(T)])
    flow = np.zeros((T - 1, 2, H, W))
    flow[:, 0] = by
    return frames, flow


def test_errors_that_move_with_the_surface_are_no_flicker() -> None:
    rng = np.random.default_rng(0)
    truth, flow = _shift(rng.uniform(5, 60, (H, W)), 3)
    error, _ = _shift(rng.uniform(-4, 4, (H, W)), 3)
    found = flow_tepe(truth + error, truth, flow)
    assert found["mean"] == pytest.approx(0, abs=1e-12)
    assert found["pixels"] == (T - 1) * H * (W - 3)
    assert opw(truth + error, flow)["opw"] == pytest.approx(0, abs=1e-12)
    assert rtc(truth + error, flow) == 1
    # without following the motion the same prediction flickers
    assert sequence_metrics(truth + error, truth, truth > 0)["disp_temp_epe_mean"] > 1


def test_a_prediction_that_grows_between_frames() -> None:
    truth, flow = _shift(np.full((H, W), 10.0), 1)
    shown = truth * 1.1 ** np.arange(T)[:, None, None]
    steps = np.diff(10 * 1.1 ** np.arange(T))
    assert opw(shown, flow)["opw"] == pytest.approx(steps.mean())
    assert flow_tepe(shown, truth, flow)["mean"] == pytest.approx(steps.mean())
    assert (rtc(shown, flow, factor=1.05), rtc(shown, flow, factor=1.15)) == (0, 1)


def test_images_that_disagree_take_weight_away() -> None:
    truth, flow = _shift(np.full((H, W), 10.0), 0)
    shown = truth + np.arange(T)[:, None, None]
    images = np.zeros((T, 3, H, W))
    images[1::2] = 0.1  # every pair differs by 0.1 in three channels
    assert opw(shown, flow, images)["opw"] == pytest.approx(math.exp(-50 * 3 * 0.01))


def test_no_pixels_over_time_is_nan() -> None:
    truth, flow = _shift(np.full((H, W), 10.0), 0)
    flow[:] = np.nan
    assert math.isnan(opw(truth, flow)["opw"]) and math.isnan(rtc(truth, flow))
    assert math.isnan(flow_tepe(truth, truth, flow)["mean"])
    assert math.isnan(
        tae(np.full((2, 4, 4), np.nan), np.eye(3), np.tile(np.eye(4), (2, 1, 1)))["tae"]
    )


def test_a_wall_seen_by_a_camera_that_comes_nearer() -> None:
    intrinsics = np.array([[30.0, 0, (W - 1) / 2], [0, 30, (H - 1) / 2], [0, 0, 1]])
    poses = np.tile(np.eye(4), (T, 1, 1))
    poses[:, 2, 3] = np.arange(T)
    distance = (20.0 - np.arange(T))[:, None, None] * np.ones((T, H, W))
    assert tae(distance, intrinsics, poses)["tae"] == pytest.approx(0, abs=1e-12)
    still = np.full((T, H, W), 20.0)  # a depth that does not notice
    assert tae(still, intrinsics, poses)["tae"] == pytest.approx(1 / 20)


def test_a_perfect_mask_and_its_opposite() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (3, H, W))
    counts = MotionCounts()
    counts.add((labels == 1).astype(float), labels)
    assert counts.best()["f1"] == counts.best()["iou"] == 1
    assert counts.best(reference=True)["f1"] == pytest.approx(1, abs=1e-6)
    wrong = MotionCounts([0.5])
    wrong.add((labels != 1).astype(float), labels)
    assert {wrong.best()[name] for name in ("precision", "recall", "f1", "iou")} == {0.0}


def test_the_first_threshold_takes_everything() -> None:
    labels = np.repeat([0, 1, 2, 3], [10, 20, 30, 40])
    counts = MotionCounts()
    counts.add(np.zeros(100), labels)
    curve = counts.curve()
    assert (curve["precision"][0], curve["recall"][0]) == (20 / 60, 1)
    assert curve["iou"][0] == 20 / 60
    assert np.isnan(curve["precision"][1]) and curve["recall"][1] == 0


def test_counts_by_threshold_equal_counting_one_by_one() -> None:
    rng = np.random.default_rng(0)
    value, label = rng.random((2, H, W)).round(2), rng.integers(0, 4, (2, H, W))
    value[0, 0, :3] = np.nan
    thresholds = np.linspace(0, 1, 21)
    counts = MotionCounts(thresholds)
    for v, y in zip(value, label, strict=True):
        other = MotionCounts(thresholds)
        other.add(v, y)
        counts.merge(other)
    positive, valid = label == 1, label != 3
    for k, threshold in enumerate(thresholds):
        shown = value > threshold
        assert counts.true_positives[k] == (shown & positive).sum()
        assert counts.false_positives[k] == (shown & valid & ~positive).sum()
        assert counts.false_negatives[k] == (~shown & positive).sum()
        one = binary_scores(shown, positive, valid)
        for name, curve in counts.curve().items():
            assert one[name] == pytest.approx(curve[k], nan_ok=True)


def test_nothing_that_moves_is_nan_and_zero_in_the_reference() -> None:
    counts = MotionCounts([0.5])
    counts.add(np.zeros(5), np.zeros(5, int))
    assert all(math.isnan(v) for k, v in counts.best().items() if k != "threshold")
    assert counts.best(reference=True)["f1"] == 0


def test_false_positives_by_class() -> None:
    counts = MotionCounts([0.5], classes=4)
    counts.add([0.9] * 6, [0, 0, 0, 2, 1, 3], [2, 2, 2, 0, 1, 3])
    assert counts.false_positive_shares() == {2: 0.75, 0: 0.25}
    with pytest.raises(UsageError, match="semantic"):
        counts.add([0.9], [0])
    with pytest.raises(UsageError, match="ascending"):
        MotionCounts([0.5, 0.1])


def test_regions_with_their_own_errors_add_up() -> None:
    rng = np.random.default_rng(0)
    sums = RegionSums(["abs_rel", "rmse", "a1"])
    for _ in range(3):
        truth = rng.uniform(1, 79, (H, W))
        moving = rng.random(truth.shape) < 0.3
        one = RegionSums(["abs_rel", "rmse", "a1"])
        shown = np.where(moving, 1.5 * truth, 1.1 * truth)
        shown[0, 0] = np.nan
        one.add(shown, truth, motion_regions(moving) | by_distance(truth))
        sums.merge(one)
    assert sums.values("moving")["abs_rel"] == pytest.approx(0.5)
    assert sums.values("static")["abs_rel"] == pytest.approx(0.1)
    assert (sums.values("moving")["a1"], sums.values("static")["a1"]) == (0, 1)
    everything = sums.values()
    assert everything["pixels"] + everything["missing"] == 3 * H * W
    assert everything["missing"] == 3
    parts = [sums.values(name) for name in ("moving", "static")]
    assert sum(p["pixels"] for p in parts) == everything["pixels"]
    ranges = [sums.values(name)["pixels"] for name in sums.regions if name.endswith(" m")]
    assert sum(ranges) == everything["pixels"]
    nothing = sums.values("sky")
    assert math.isnan(nothing["rmse"]) and nothing["pixels"] == 0
    with pytest.raises(UsageError, match="different metrics"):
        sums.merge(RegionSums(["epe"]))


def test_regions_of_a_perfect_disparity() -> None:
    truth = _truth()[0]
    found = region_metrics(
        ["epe", "d1_all"], truth, truth, {"top": np.arange(H)[:, None] < 3 + 0 * truth}
    )
    assert {values["epe"] for values in found.values()} == {0.0}
    assert found["top"]["pixels"] == 3 * W


def test_occlusion_at_the_edge_of_a_thing_that_moves() -> None:
    # a square moves 4 px to the right over a resting ground
    forward, backward = np.zeros((2, H, W)), np.zeros((2, H, W))
    forward[0, 4:8, 4:8] = 4
    backward[0, 4:8, 8:12] = -4
    hidden = occluded_by_flow(forward, backward)
    wanted = np.zeros((H, W), bool)
    wanted[4:8, 8:12] = True  # the ground that it will cover
    np.testing.assert_array_equal(hidden, wanted)
    assert occluded_by_flow(forward + 100, backward).all()


def test_occlusion_in_a_stereo_pair() -> None:
    left, right = np.full((H, W), 2.0), np.full((H, W), 2.0)
    left[:, 10:14] = 6  # near; in the right view at columns 4..7
    right[:, 4:8] = 6
    hidden = occluded_by_disparity(left, right)
    wanted = np.zeros((H, W), bool)
    wanted[:, :2] = True  # out of the right view
    wanted[:, 6:10] = True  # behind the near thing
    np.testing.assert_array_equal(hidden, wanted)
