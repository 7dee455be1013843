"""Lens distortion of OpenCV's model (Brown-Conrady): k1, k2, p1, p2, k3; pure numpy, float64.

With ``r2 = x^2 + y^2`` a point (x, y) of the plane at z = 1 is seen at::

    x (1 + k1 r2 + k2 r2^2 + k3 r2^3) + 2 p1 x y + p2 (r2 + 2 x^2)
    y (1 + k1 r2 + k2 r2^2 + k3 r2^3) + p1 (r2 + 2 y^2) + 2 p2 x y

Image coordinates have pixel centres at integers, as everywhere; what a source states otherwise is
moved by its converter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import pixel_grid

__all__ = [
    "MODEL",
    "distort",
    "distort_pixels",
    "undistort",
    "undistort_pixels",
    "undistortion_map",
]

MODEL = "opencv"
"""Name of the model in a sequence file (`distortion_model`)."""

Float = npt.NDArray[np.float64]


def distort(xy: npt.ArrayLike, coefficients: npt.ArrayLike) -> Float:
    """Return where the lens shows points of the plane z = 1.

    Parameters
    ----------
    xy : (..., 2)
        Undistorted x / z, y / z.
    coefficients : (4,) or (5,)
        k1, k2, p1, p2 and, 0 if left out, k3.

    Examples
    --------
    >>> distort([0.5, 0.0], [0.1, 0, 0, 0, 0])
    array([0.5125, 0.    ])
    """
    points = np.asarray(xy, np.float64)
    k1, k2, p1, p2, k3 = _five(coefficients)
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


def undistort(xy: npt.ArrayLike, coefficients: npt.ArrayLike, *, tolerance: float = 1e-12) -> Float:
    """Return the points of the plane z = 1 that the lens shows at `xy`: the inverse of `distort`.

    Newton's method with the model's exact derivative. Beyond the turning point of a strong
    distortion no point is shown, and NaN is returned.

    Parameters
    ----------
    xy : (..., 2)
        Distorted.
    coefficients : (4,) or (5,)
        As for `distort`.
    tolerance : float
        Largest error of the result put through `distort` again.

    Examples
    --------
    >>> undistort([0.5125, 0.0], [0.1, 0, 0, 0, 0]).round(12)
    array([0.5, 0. ])
    """
    seen = np.asarray(xy, np.float64)
    k1, k2, p1, p2, k3 = _five(coefficients)
    points: Float = seen.copy()
    error = np.zeros_like(seen)
    with np.errstate(all="ignore"):
        for _ in range(30):
            error = distort(points, coefficients) - seen
            if not (np.abs(error) > tolerance).any():
                break
            x, y = points[..., 0], points[..., 1]
            r2 = x * x + y * y
            radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
            slope = k1 + r2 * (2 * k2 + 3 * k3 * r2)  # of radial by r2
            a = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
            b = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
            d = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
            determinant = a * d - b * b
            step = np.stack(
                [
                    (d * error[..., 0] - b * error[..., 1]) / determinant,
                    (a * error[..., 1] - b * error[..., 0]) / determinant,
                ],
                axis=-1,
            )
            points = points - step
        lost = ~(np.abs(error) <= max(tolerance, 1e-9)).all(-1)
    points[lost] = np.nan
    return points


def distort_pixels(uv: npt.ArrayLike, K: npt.ArrayLike, coefficients: npt.ArrayLike) -> Float:
    """Move pixel positions of the undistorted image (same `K`) to those of the distorted one."""
    return _pixels(distort(_plane(uv, K), coefficients), K)


def undistort_pixels(uv: npt.ArrayLike, K: npt.ArrayLike, coefficients: npt.ArrayLike) -> Float:
    """Move pixel positions of the distorted image to those of the undistorted one (same `K`)."""
    return _pixels(undistort(_plane(uv, K), coefficients), K)


def undistortion_map(
    K: npt.ArrayLike, coefficients: npt.ArrayLike, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return where each pixel of the undistorted image lies in the distorted one.

    Parameters
    ----------
    K : (3, 3)
        Of both images.
    coefficients : (4,) or (5,)
    size : (height, width)

    Returns
    -------
    (H, W, 2) float32
        (x, y), what ``cv2.remap`` takes.
    """
    return distort_pixels(pixel_grid(*size), K, coefficients).astype(np.float32)


def _five(coefficients: npt.ArrayLike) -> Float:
    values = np.asarray(coefficients, np.float64).reshape(-1)
    if values.size not in (4, 5):
        raise UsageError(
            f"distortion: expected 4 or 5 coefficients k1, k2, p1, p2, k3, found {values.size}"
        )
    return np.concatenate([values, np.zeros(5 - values.size)])


def _plane(uv: npt.ArrayLike, K: npt.ArrayLike) -> Float:
    k = np.asarray(K, np.float64)
    x, y = np.moveaxis(np.asarray(uv, np.float64), -1, 0)
    y = (y - k[1, 2]) / k[1, 1]
    return np.stack([(x - k[0, 2] - k[0, 1] * y) / k[0, 0], y], axis=-1)


def _pixels(xy: Float, K: npt.ArrayLike) -> Float:
    k = np.asarray(K, np.float64)
    x, y = xy[..., 0], xy[..., 1]
    return np.stack([k[0, 0] * x + k[0, 1] * y + k[0, 2], k[1, 1] * y + k[1, 2]], axis=-1)
