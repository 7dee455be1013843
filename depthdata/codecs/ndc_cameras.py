"""Cameras in normalised device coordinates (NDC), as PyTorch3D and Dynamic Replica state them.

Points are rows, ``X_cam = X_world R + T``; camera axes x left, y up, z forward. An image of H x W
pixels has half = (W / 2, H / 2); NDC are multiplied with half itself (``ndc_norm_image_bounds``) or
with its smaller part (``ndc_isotropic``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError
from depthdata.geometry import rigid_transform

__all__ = [
    "NDC_FORMATS",
    "intrinsics_from_ndc",
    "ndc_from_intrinsics",
    "pose_from_view",
    "view_from_pose",
]

Float = npt.NDArray[np.float64]

NDC_FORMATS = ("ndc_norm_image_bounds", "ndc_isotropic")
"""Names of the two rules."""

_FLIP = np.array([-1.0, -1.0, 1.0])
_NEAR = 8  # units in the last place to look at


def intrinsics_from_ndc(
    focal_length: npt.ArrayLike,
    principal_point: npt.ArrayLike,
    size: tuple[int, int],
    ndc_format: str = NDC_FORMATS[0],
) -> Float:
    """Return intrinsics in pixels.

    Parameters
    ----------
    focal_length, principal_point : (..., 2) float64
        NDC.
    size : (height, width)
    ndc_format : str
        One of `NDC_FORMATS`, in any case.

    Returns
    -------
    (..., 3, 3) float64
        A principal point of 0 becomes (W / 2, H / 2).

    Raises
    ------
    FormatError
        Another format.

    Examples
    --------
    >>> intrinsics_from_ndc([2.0, 2.0], [0.0, 0.5], (12, 20)).tolist()
    [[20.0, 0.0, 10.0], [0.0, 12.0, 3.0], [0.0, 0.0, 1.0]]
    """
    half, r = _rescale(size, ndc_format)
    focal = np.asarray(focal_length, np.float64) * r
    centre = half - np.asarray(principal_point, np.float64) * r
    K = np.zeros((*focal.shape[:-1], 3, 3))
    K[..., 0, 0], K[..., 1, 1], K[..., 2, 2] = focal[..., 0], focal[..., 1], 1.0
    K[..., :2, 2] = centre
    return K


def ndc_from_intrinsics(
    K: npt.ArrayLike, size: tuple[int, int], ndc_format: str = NDC_FORMATS[0]
) -> tuple[Float, Float]:
    """Return focal length and principal point (..., 2) in NDC, so that the way back is exact.

    Where there are numbers that `intrinsics_from_ndc` turns into the very bits of `K`, these are
    found; there always are where `K` came from there.

    Raises
    ------
    FormatError
        Another format.
    """
    half, r = _rescale(size, ndc_format)
    K = np.asarray(K, np.float64)
    focal = np.stack([K[..., 0, 0], K[..., 1, 1]], -1)
    centre = K[..., :2, 2]
    return (
        _nearest(focal / r, lambda x: x * r - focal),
        _nearest((half - centre) / r, lambda x: (half - x * r) - centre),
    )


def pose_from_view(R: npt.ArrayLike, T: npt.ArrayLike) -> Float:
    """Return `T_world_cam` (..., 4, 4) in OpenCV axes from `R` (..., 3, 3) and `T` (..., 3).

    `R` is taken for orthogonal, and its numbers are kept.

    Examples
    --------
    >>> pose_from_view(np.diag([-1.0, -1.0, 1.0]), [-0.5, 0, 0])[:3, 3]
    array([-0.5,  0. ,  0. ])
    """
    R, T = np.asarray(R, np.float64), np.asarray(T, np.float64)
    # R_cv = F R^T and t_cv = F T, so that T_world_cam is [R F, -R F F T].
    return rigid_transform(R * _FLIP + 0.0, -(R * T[..., None, :]).sum(-1) + 0.0)


def view_from_pose(T_world_cam: npt.ArrayLike) -> tuple[Float, Float]:
    """Return `R` (..., 3, 3) and `T` (..., 3) of `pose_from_view`; `T` to rounding."""
    pose = np.asarray(T_world_cam, np.float64)
    R = pose[..., :3, :3] * _FLIP + 0.0
    T = -(np.swapaxes(R, -1, -2) * pose[..., None, :3, 3]).sum(-1) + 0.0
    return R, T


def _rescale(size: tuple[int, int], ndc_format: str) -> tuple[Float, Float]:
    height, width = size
    half = np.array([width / 2, height / 2])
    name = ndc_format.lower()
    if name not in NDC_FORMATS:
        raise FormatError(f"intrinsics_format {ndc_format!r}: expected {' or '.join(NDC_FORMATS)}")
    return half, half if name == NDC_FORMATS[0] else np.full(2, min(height, width) / 2)


def _nearest(first: Float, error: Callable[[Float], Float]) -> Float:
    """Return, of the numbers beside `first`, one for which `error` is 0, else the best."""
    best, least = first, np.abs(error(first))
    for direction in (np.inf, -np.inf):
        candidate = first
        for _ in range(_NEAR):
            candidate = np.nextafter(candidate, direction)
            off = np.abs(error(candidate))
            better = off < least
            best, least = np.where(better, candidate, best), np.minimum(off, least)
    return best
