"""Metrics: injected errors give the values that a person computes with a pencil."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics import (
    DEPTH_METRICS,
    METRICS,
    depth_metrics,
    disparity_metrics,
    measure,
    pool,
)


def test_depth_that_is_too_far_by_a_factor() -> None:
    truth = np.random.default_rng(0).uniform(2, 70, 5000)
    for factor in (0.7, 1.2, 1.5, 1.9, 2.5):
        found = depth_metrics(factor * truth, truth)
        off = abs(factor - 1)
        assert found["abs_rel"] == pytest.approx(off)
        assert found["sq_rel"] == pytest.approx(off**2 * truth.mean())
        assert found["rmse"] == pytest.approx(off * math.sqrt((truth**2).mean()))
        assert found["rmse_log"] == pytest.approx(abs(math.log(factor)))
        ratio = max(factor, 1 / factor)
        assert [found[f"a{k}"] for k in (1, 2, 3)] == [ratio < 1.25**k for k in (1, 2, 3)]
        assert found["pixels"] == truth.size


def test_a_ratio_of_exactly_the_threshold_is_not_good() -> None:
    assert depth_metrics([1.25], [1.0])["a1"] == 0
    assert depth_metrics([1.25], [1.0])["a2"] == 1


def test_disparity_with_a_known_share_of_wrong_pixels() -> None:
    truth = np.full(1000, 40.0)
    predicted = truth.copy()
    predicted[:100] += 2.5  # beyond 1 and 2 px
    predicted[100:150] -= 10  # beyond everything
    found = disparity_metrics(predicted, truth)
    assert found["epe"] == pytest.approx((100 * 2.5 + 50 * 10) / 1000)
    bad = [found[f"bad_{k}"] for k in (0.5, 1, 2, 3)]
    assert bad == pytest.approx([15, 15, 15, 5])
    assert found["d1_all"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("truth", "error", "wrong"),
    [
        (10.0, 3.0, False),  # not more than 3 px
        (10.0, 3.1, True),
        (100.0, 4.9, False),  # less than 5 %
        (100.0, 5.0, False),  # exactly 5 % is not more
        (100.0, 5.1, True),
        (60.0, 3.0, False),
        (60.0, -3.1, True),
    ],
)
def test_d1_needs_three_pixels_and_five_percent(truth: float, error: float, wrong: bool) -> None:
    assert disparity_metrics([truth + error], [truth])["d1_all"] == 100 * wrong


def test_pixels_without_prediction_are_counted_and_not_measured() -> None:
    truth = np.array([10.0, 10.0, 10.0, np.nan, 0.0])
    found = disparity_metrics([10.0, np.nan, 20.0, 3.0, 3.0], truth)
    assert (found["pixels"], found["missing"]) == (2, 1)
    assert found["epe"] == 5
    assert found["d1_all"] == 50
    assert found["d1_all_or_missing"] == pytest.approx(200 / 3)


def test_a_depth_that_is_no_depth_is_missing() -> None:
    found = depth_metrics([np.nan, 0.0, -1.0, np.inf, 5.0], np.full(5, 5.0))
    assert (found["pixels"], found["missing"], found["abs_rel"]) == (1, 4, 0)


def test_nothing_to_measure_is_nan_and_zero_pixels() -> None:
    found = depth_metrics(np.full((2, 3), 4.0), np.full((2, 3), np.nan))
    assert found["pixels"] == 0
    assert all(math.isnan(found[name]) for name in DEPTH_METRICS)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(2,\).*\(3,\)"):
        measure(["epe"], np.zeros(2), np.zeros(3))
    with pytest.raises(UsageError, match="no metric 'psnr'"):
        measure(["psnr"], np.zeros(2), np.zeros(2))


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(0, 2**31),
    st.sampled_from(sorted(METRICS)),
)
def test_pooling_equals_measuring_everything_at_once(
    sizes: list[int], seed: int, name: str
) -> None:
    rng = np.random.default_rng(seed)
    images = [(rng.uniform(1, 80, n), rng.uniform(1, 80, n)) for n in sizes]
    values = [measure([name], p, g)[name] for p, g in images]
    whole = measure([name], *(np.concatenate(side) for side in zip(*images, strict=True)))[name]
    assert pool(name, [*values, math.nan], [*sizes, 0]) == pytest.approx(whole)
