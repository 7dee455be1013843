"""NDC cameras: to pixels and OpenCV axes, and back to the very numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depthdata.codecs.ndc_cameras import (
    NDC_FORMATS,
    intrinsics_from_ndc,
    ndc_from_intrinsics,
    pose_from_view,
    view_from_pose,
)
from depthdata.errors import FormatError
from depthdata.geometry import project, rotation_from_euler, se3_inverse, transform

SIZES = st.tuples(st.integers(2, 2000), st.integers(2, 2000))
POINTS = np.random.default_rng(0).normal((0, 0, 6), 1, (50, 3))


def _ndc_pixels(X, R, T, focal, centre, size, ndc_format) -> np.ndarray:
    """PyTorch3D's own way: rows as vectors, NDC with x to the left and y up, then pixels."""
    height, width = size
    cam = X @ R + T
    ndc = np.asarray(focal) * cam[:, :2] / cam[:, 2:] + np.asarray(centre)
    smaller = min(height, width) / 2
    reach = {"ndc_isotropic": (smaller, smaller), "ndc_norm_image_bounds": (width / 2, height / 2)}
    return np.array([width / 2, height / 2]) - ndc * reach[ndc_format]


@pytest.mark.parametrize("ndc_format", NDC_FORMATS)
@pytest.mark.parametrize("size", [(12, 20), (20, 12), (720, 1280), (7, 7)])
def test_points_land_where_pytorch3d_puts_them(ndc_format: str, size: tuple[int, int]):
    R = rotation_from_euler(0.1, -0.2, 0.3)
    T, focal, centre = np.array([0.3, -0.2, 0.5]), [1.7, 2.1], [0.05, -0.4]
    K = intrinsics_from_ndc(focal, centre, size, ndc_format.upper())
    pose = pose_from_view(R, T)
    uv, z = project(K, transform(se3_inverse(pose), POINTS))
    np.testing.assert_allclose(
        uv, _ndc_pixels(POINTS, R, T, focal, centre, size, ndc_format), rtol=1e-10, atol=1e-9
    )
    np.testing.assert_allclose(z, (POINTS @ R + T)[:, 2], rtol=1e-12)


def test_camera_of_the_specification():
    """R_cv = F R^T and t_cv = F T, F = diag(-1, -1, 1)."""
    R, T = rotation_from_euler(0.4, 0.5, -0.6), np.array([1.0, 2.0, 3.0])
    F = np.diag([-1.0, -1.0, 1.0])
    T_cam_world = se3_inverse(pose_from_view(R, T))
    np.testing.assert_allclose(T_cam_world[:3, :3], F @ R.T, atol=1e-15)
    np.testing.assert_allclose(T_cam_world[:3, 3], F @ T, atol=1e-14)


NUMBERS = arrays(np.float64, (5, 2), elements=st.floats(-3, 3).filter(lambda x: abs(x) > 1e-9))


@given(NUMBERS, NUMBERS, SIZES, st.sampled_from(NDC_FORMATS))
@settings(max_examples=200, deadline=None)
def test_intrinsics_come_back_bit_for_bit(focal, centre, size, ndc_format):
    K = intrinsics_from_ndc(np.abs(focal), centre, size, ndc_format)
    again = intrinsics_from_ndc(*ndc_from_intrinsics(K, size, ndc_format), size, ndc_format)
    np.testing.assert_array_equal(again, K)


@given(arrays(np.float64, 6, elements=st.floats(-3, 3)))
@settings(max_examples=60, deadline=None)
def test_rotation_comes_back_bit_for_bit(numbers):
    R, T = rotation_from_euler(*numbers[:3]), numbers[3:]
    pose = pose_from_view(R, T)
    R_again, T_again = view_from_pose(pose)
    np.testing.assert_array_equal(R_again, R)
    np.testing.assert_allclose(T_again, T, atol=1e-14)
    assert pose_from_view(R_again, T).tobytes() == pose.tobytes()


def test_unknown_format():
    with pytest.raises(FormatError, match="'ndc_other': expected ndc_norm_image_bounds or ndc_iso"):
        intrinsics_from_ndc([1, 1], [0, 0], (2, 2), "ndc_other")
