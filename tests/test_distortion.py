"""Lens distortion: against OpenCV, and there and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata.distortion import (
    distort,
    distort_pixels,
    undistort,
    undistort_pixels,
    undistortion_map,
)
from depthdata.errors import UsageError

K = np.array([[2044.5, 0, 949.6], [0, 2044.5, 633.2], [0, 0, 1]])
LENS = np.array([0.0403, -0.3300, 0.00104, -0.00157, 0.02])


def test_is_the_model_of_opencv() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-0.6, 0.6, (500, 2)), np.ones(500)])
    theirs = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, LENS)[0][:, 0]
    ours = distort_pixels(points[:, :2] * [K[0, 0], K[1, 1]] + K[:2, 2], K, LENS)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    theirs_map = cv2.initUndistortRectifyMap(K, LENS, np.eye(3), K, (96, 64), cv2.CV_32FC1)
    np.testing.assert_allclose(
        undistortion_map(K, LENS, (64, 96)), np.stack(theirs_map, -1), atol=2e-4
    )


@given(
    st.tuples(*[st.floats(-0.5, 0.5)] * 2),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.1, 0.1), *[st.floats(-5e-3, 5e-3)] * 2),
)
def test_there_and_back(point: tuple[float, float], lens: tuple[float, ...]) -> None:
    found = undistort(distort(point, lens), lens)
    np.testing.assert_allclose(found, point, atol=1e-9)


def test_pixels_there_and_back() -> None:
    uv = np.stack(np.meshgrid(np.linspace(0, 1919, 30), np.linspace(0, 1279, 20)), -1)
    np.testing.assert_allclose(
        distort_pixels(undistort_pixels(uv, K, LENS), K, LENS), uv, atol=1e-6
    )


def test_what_the_lens_cannot_show_is_nan() -> None:
    barrel = [-1.0, 0, 0, 0, 0]  # shows nothing beyond 0.385
    assert np.isnan(undistort([[0.5, 0.0]], barrel)).all()
    np.testing.assert_allclose(undistort([[0.3, 0.0]], barrel)[0, 1], 0)


def test_wrong_number_of_coefficients() -> None:
    with pytest.raises(UsageError, match="4 or 5 coefficients"):
        distort([0.0, 0.0], [0.1])
