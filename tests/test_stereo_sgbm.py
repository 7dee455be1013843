"""Semi-global matching finds the disparity of a pair with exact truth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depthdata.stereo_sgbm import sgbm_disparity
from depthdata.synthetic import SyntheticScene


@pytest.fixture(scope="module")
def pair():
    scene = SyntheticScene(seed=3, frames=1)
    return scene.render(0, "left"), scene.render(0, "right")


def test_finds_the_true_disparity(pair):
    left, right = pair
    found = sgbm_disparity(left.rgb, right.rgb, 64)
    assert found.dtype == np.float32 and found.shape == left.depth.shape
    seen = np.isfinite(found) & np.isfinite(left.disparity) & (left.occluded_right == 0)
    error = np.abs(found - left.disparity)[seen]
    assert seen.mean() > 0.7 and np.median(error) < 0.25 and (error < 1).mean() > 0.95


def test_matches_lie_inside_the_right_image(pair):
    left, right = pair
    found = sgbm_disparity(left.rgb, right.rgb, 64)
    columns = np.arange(found.shape[1])
    assert np.nanmin(columns - found) >= 0
    assert np.isfinite(found[:, :40]).mean() > 0.3  # the left border is matched as well


def test_same_result_with_any_number_of_threads_and_in_grey(pair):
    left, right = (cv2.cvtColor(f.rgb, cv2.COLOR_RGB2GRAY) for f in pair)
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            results.append(sgbm_disparity(left, right, 50))
    finally:
        cv2.setNumThreads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    np.testing.assert_array_equal(sgbm_disparity(pair[0].rgb, pair[1].rgb, 64), results[0])


def test_wrong_input_is_refused(pair):
    left, right = pair
    with pytest.raises(ValueError, match="one shape"):
        sgbm_disparity(left.rgb, right.rgb[:, :-1])
    with pytest.raises(ValueError, match="uint8"):
        sgbm_disparity(left.depth, right.depth)
    with pytest.raises(ValueError, match="at least 1"):
        sgbm_disparity(left.rgb, right.rgb, 0)
