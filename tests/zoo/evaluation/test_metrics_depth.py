"""Depth measures of maps, rows and inverse depth: known errors, perfect predictions, nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics import DEPTH_METRICS, depth_map_metrics, disparity_metrics
from depthzoo.evaluation.metrics.depth import GARG_CROP, median_scale, training_depth_metrics
from depthzoo.evaluation.metrics.depth_points import (
    PointScore,
    average_images,
    format_dynamo_depth,
    point_depth_metrics,
)
from depthzoo.evaluation.metrics.disparity import (
    d1_official,
    d1_raft_stereo,
    sequence_loss,
    training_disparity_metrics,
)
from depthzoo.evaluation.metrics.resampling import follow_flow, read_resized, resize
from depthzoo.evaluation.metrics.sparse import (
    average_batches,
    confidence_interval,
    sparse_depth_images,
    sparse_depth_metrics,
)

PERFECT = {"abs_rel": 0, "sq_rel": 0, "rmse": 0, "rmse_log": 0, "a1": 1, "a2": 1, "a3": 1}


def _lidar(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(2, 70, (40, 60)).astype(np.float32)
    truth[rng.random(truth.shape) > 0.07] = 0
    return truth


def _seven(found: dict[str, Any]) -> dict[str, float]:
    return {name: found[name] for name in DEPTH_METRICS}


def test_a_map_up_to_scale_is_perfect_after_median_scaling() -> None:
    truth = _lidar().astype(float)
    shown = np.where(truth > 0, truth / 7, 3.0)
    for median in ("middle", "lower"):
        found = depth_map_metrics(shown, truth, alignment="median", median=median, crop=GARG_CROP)
        assert _seven(found) == pytest.approx(PERFECT, abs=1e-6)
        assert found["scale"] == pytest.approx(7)
    assert depth_map_metrics(shown, truth)["abs_rel"] == pytest.approx(6 / 7)


def test_the_crop_the_range_and_missing_pixels_of_a_map() -> None:
    truth = np.zeros((100, 200), np.float32)
    truth[[10, 50, 60, 70], [100, 5, 100, 100]] = 10  # two of them outside of the crop
    truth[80, 100:103] = [0.0005, 80, 79.9]  # only the last counts
    shown = np.full(truth.shape, 10.0)
    shown[70, 100] = np.nan
    found = depth_map_metrics(shown, truth, crop=GARG_CROP)
    assert (found["pixels"], found["missing"]) == (2, 1)
    shown[60, 100] = -3  # no depth, but a limit that it can be clamped to
    assert depth_map_metrics(shown, truth, crop=GARG_CROP)["missing"] == 2
    clamped = depth_map_metrics(shown, truth, crop=GARG_CROP, clamp=(1e-3, 80))
    assert (clamped["pixels"], clamped["missing"]) == (2, 1)


def test_clamping_comes_after_the_scaling() -> None:
    truth = np.array([[10.0, 20.0, 60.0]])
    shown = np.array([[100.0, 200.0, 1000.0]])
    found = depth_map_metrics(shown, truth, alignment="median", clamp=(1e-3, 80))
    # scaled to 10, 20, 100; the last is cut to 80
    assert found["rmse"] == pytest.approx(20 / math.sqrt(3))


def test_an_empty_map_is_nan() -> None:
    found = depth_map_metrics(
        np.ones((9, 9)), np.zeros((9, 9)), alignment="median", clamp=(1e-3, 80.0)
    )
    assert all(math.isnan(value) for value in _seven(found).values())
    assert (found["pixels"], found["missing"]) == (0, 0) and math.isnan(found["scale"])
    nothing = depth_map_metrics(np.full((2, 2), np.nan), np.full((2, 2), 5.0))
    assert (nothing["pixels"], nothing["missing"]) == (0, 4) and math.isnan(nothing["abs_rel"])


@pytest.mark.parametrize("density", [0.0, 0.001, 0.02, 0.05, 0.0999, 0.1, 0.5, 1.0])
def test_every_density_of_truth_finds_its_pixels(density: float) -> None:
    rng = np.random.default_rng(1)
    truth = np.where(rng.random((64, 91)) < density, rng.uniform(1, 79, (64, 91)), 0)
    shown = rng.uniform(1, 79, truth.shape)
    found = depth_map_metrics(shown, truth, metrics=["abs_rel"])
    valid = truth > 0
    assert found["pixels"] == valid.sum()
    if valid.any():
        wanted = (abs(shown - truth)[valid] / truth[valid]).mean()
        assert found["abs_rel"] == pytest.approx(wanted, rel=1e-12)


def test_medians_of_an_even_number() -> None:
    assert median_scale([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 40.0, 80.0]) == 30 / 2.5
    lower = median_scale([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 40.0, 80.0], median="lower")
    assert lower == 20 / 2
    assert math.isnan(median_scale([], []))
    assert math.isnan(median_scale([np.nan, 1.0], [1.0, 1.0]))
    with pytest.raises(UsageError, match="no median 'upper'"):
        median_scale([1.0], [1.0], median="upper")


def test_training_values_with_one_scale_and_with_each_their_own() -> None:
    truth = np.full((2, 10, 20), 8.0)
    shown = np.stack([truth[0] / 2, truth[1] / 4])
    moving = np.zeros(truth.shape)
    moving[0, 5, 5] = 1
    legacy: Any = training_depth_metrics(shown, truth, moving)
    assert legacy["all"]["abs_rel"] == pytest.approx(0.25)
    # the second image has no foreground: its mean, and the batch's, is nothing
    assert math.isnan(legacy["foreground"]["abs_rel"])
    right: Any = training_depth_metrics(shown, truth, moving, scale_of="each")
    assert right["all"]["abs_rel"] == pytest.approx(0, abs=1e-12)
    assert right["foreground"] == pytest.approx(
        {"abs_diff": 0, "abs_rel": 0, "sq_rel": 0, "a1": 1, "a2": 1, "a3": 1, "images": 1}
    )
    assert right["scale"] == {"0": 2.0, "1": 4.0}
    assert "foreground" not in training_depth_metrics(shown, truth, 0 * moving)


def _points(count: int = 200) -> Any:
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(0, h, count) for h in (50, 80, 70)], -1) + np.eye(3)[2]


def test_rows_against_a_constant_disparity() -> None:
    points = _points()
    points[:, 2] = 12.0
    found = point_depth_metrics(np.full((10, 16), 0.3), points, (50, 80))
    assert list(found.values.values()) == pytest.approx(list(PERFECT.values()), abs=1e-12)
    assert (found.rows, found.scale) == (200, pytest.approx(12 * 0.3))


def test_rows_outside_of_the_image_and_padding_do_not_count() -> None:
    points = np.array([[-0.5, 3, 9.0], [3, -0.5, 9.0], [49.9, 3, 9.0], [50, 3, 9.0], [3, 3, 9.0]])
    found = point_depth_metrics(np.ones((10, 16)), points, (50, 80), valid=[1, 1, 1, 1, 0])
    assert found.rows == 1
    nothing = point_depth_metrics(np.ones((10, 16)), points[:0], (50, 80), labels=np.ones((50, 80)))
    assert nothing.rows == 0 and nothing.labels == {}
    assert all(math.isnan(value) for value in nothing.values.values())
    assert average_images([found, nothing], skip_empty=True) == found.values
    assert all(math.isnan(value) for value in average_images([found, nothing]).values())


def test_a_label_that_is_twice_too_far() -> None:
    points = _points()
    points[:, 2] = 10.0
    labels = np.zeros((50, 80), int)
    labels[:10] = 1
    disparity = np.where(np.arange(50)[:, None] < 10, 0.5, 1.0) * np.ones(80)
    near = point_depth_metrics(disparity, points, (50, 80), labels=labels)
    values, rows = near.labels[1]
    assert values["de:abs_rel"] == pytest.approx(1.0)
    assert rows == (points[:, 0] < 10).sum()
    assert near.labels[0][0]["de:abs_rel"] == pytest.approx(0)


def test_the_report_of_kitti_says_that_it_has_no_masks() -> None:
    score = PointScore(
        dict.fromkeys(point_depth_metrics([[1.0]], [[0, 0, 5.0]], (1, 1)).values, 0.5), 1, 1.0
    )
    text = format_dynamo_depth("ckpt/K", [score], None)
    assert text.endswith("Mask Split Evaluation Skipped for KITTI.\n")
    assert "=== len=1 ===" in text and "OVERALL" in text


def test_reading_a_few_pixels_equals_resizing_everything() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    small = rng.random((7, 9))
    for size in ((7, 9), (20, 31), (3, 4), (7, 18)):
        full = resize(small, size)
        wanted = torch.nn.functional.interpolate(
            torch.as_tensor(small)[None, None], size, mode="bilinear", align_corners=False
        )
        np.testing.assert_allclose(full, wanted[0, 0], atol=1e-12)
        rows, columns = np.mgrid[: size[0], : size[1]].reshape(2, -1)
        np.testing.assert_array_equal(read_resized(small, size, rows, columns), full.ravel())


def test_following_a_whole_step_meets_the_pixel_even_beside_nothing() -> None:
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    flow = np.zeros((2, 2, 3))
    flow[0, :, 0] = 2  # the first column reads the third
    flow[:, 0, 1] = np.nan
    read, inside = follow_flow(values, flow)
    assert inside.tolist() == [[True, False, True], [True, True, True]]
    np.testing.assert_array_equal(read, [[3, np.nan, 3], [6, 5, 6]])


def test_inverse_depth_with_a_known_error_in_a_region() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(5, 60, (2, 1, 8, 8))
    moving = np.zeros(truth.shape)
    moving[:, :, :4] = 1
    shown = np.where(moving > 0, 1.5 * truth, truth)
    static = sparse_depth_metrics(1 / shown, 1 / truth, moving, region="static")
    assert static == pytest.approx(PERFECT, abs=1e-9)
    wrong = sparse_depth_metrics(1 / shown, 1 / truth, moving, region="moving", max_distance=None)
    assert (wrong["abs_rel"], wrong["a1"], wrong["a2"]) == pytest.approx((0.5, 0, 1))
    assert wrong["rmse_log"] == pytest.approx(math.log(1.5))
    sums, pixels = sparse_depth_images(1 / shown, 1 / truth, moving, region="moving")
    assert pixels.tolist() == [32, 32]
    assert sums[:, 0] / pixels == pytest.approx([0.5, 0.5], abs=0.06)  # some are cut at 80 m


def test_inverse_depth_beyond_the_limit_and_below_zero() -> None:
    target = np.array([1 / 40, 1 / 90, -0.1, 0.0]).reshape(1, 1, 1, 4)
    shown = np.array([-0.2, 0.1, 0.1, 0.1]).reshape(1, 1, 1, 4)
    found = sparse_depth_metrics(shown, target)
    assert found["rmse"] == pytest.approx(40)  # a negative prediction lies at 80 m
    assert sparse_depth_metrics(shown, target, only_valid=True)["rmse"] == pytest.approx(40)
    empty = sparse_depth_metrics(0 * shown, target, only_valid=True)
    assert all(math.isnan(value) for value in empty.values())
    without = sparse_depth_metrics(np.zeros((1, 1, 1, 4)), target, max_distance=None)
    assert without["abs_rel"] != without["abs_rel"] or math.isinf(without["abs_rel"])
    with pytest.raises(UsageError, match="needs the mask"):
        sparse_depth_metrics(shown, target, region="moving")
    with pytest.raises(UsageError, match="no region 'sky'"):
        sparse_depth_metrics(shown, target, region="sky")


def test_averages_over_batches_leave_out_those_with_nothing() -> None:
    good, empty = PERFECT, dict.fromkeys(DEPTH_METRICS, math.nan)
    found = average_batches([good, empty, good], [2, 2, 4])
    assert found["metrics"] == list(PERFECT.values())
    assert found["metrics_correct"][-1] == 6 / 8  # the reference's "correct" one is too small
    assert found["valid_batches"] == 2
    assert all(math.isnan(value) for value in average_batches([empty])["metrics"])
    assert average_batches([])["valid_batches"] == 0


def test_the_interval_of_a_mean_covers_it() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = confidence_interval([*values, math.nan])
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 2 / math.sqrt(400), rel=0.15)
    assert all(math.isnan(end) for end in confidence_interval([]))


def test_the_two_meanings_of_d1() -> None:
    truth, shown = np.array([200.0, 20.0]), np.array([204.0, 24.0])
    assert d1_official(shown, truth) == 50
    assert d1_raft_stereo(shown, truth) == 100
    found = disparity_metrics(truth, truth)
    assert (found["epe"], found["bad_0.5"], found["d1_all"], found["d1_all_or_missing"]) == (0,) * 4


def test_training_disparity_counts_good_pixels_below_the_limit() -> None:
    truth = np.array([[[1.0, 2.0, 800.0, 4.0]]])
    found = training_disparity_metrics(truth + 2.0, truth, [[[1, 1, 1, 0]]])
    assert found == {"epe": 2.0, "1px": 0.0, "3px": 1.0, "5px": 1.0}
    nothing = training_disparity_metrics(truth, truth, np.zeros(truth.shape))
    assert all(math.isnan(value) for value in nothing.values())


def test_the_loss_of_known_errors() -> None:
    truth = np.zeros((1, 1, 4, 4))
    shown = np.stack([truth + e for e in (4.0, 2.0, 1.0)])
    decay = 0.9 ** (15 / 2)
    wanted = 4 * decay**2 + 2 * decay + 1
    assert sequence_loss(shown, truth, np.ones((1, 4, 4))) == pytest.approx(wanted)
    assert sequence_loss(shown[:1], truth, np.ones((1, 4, 4))) == 4
    with pytest.raises(ZeroDivisionError):
        sequence_loss(shown[:1], truth, np.ones((1, 4, 4)), single="raft_stereo")
    shown[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(UsageError, match="finite"):
        sequence_loss(shown, truth, np.ones((1, 4, 4)))
