"""Depth maps as coloured points, as DynamicStereo lifts them for its reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthdata.errors import UsageError

__all__ = ["lift_depth"]

Points = NDArray[np.float64]


def lift_depth(
    depth: ArrayLike,
    colors: ArrayLike,
    focal: float | tuple[float, float],
    centre: tuple[float, float],
    T_world_cam: ArrayLike | None = None,
    *,
    step: int = 1,
    outliers: float | None = None,
) -> tuple[Points, NDArray[Any]]:
    """Return the points of a depth map and their colours.

    ``X = (u - cx) z / fx``, ``Y = (v - cy) z / fy``, ``Z = z`` for every `step`-th row and column
    with a depth above 0, in row-major order.

    Parameters
    ----------
    depth : (H, W) float
        Camera z; 0 or NaN where there is none.
    colors : (H, W, C)
        Their colours, any dtype.
    focal : float or (fx, fy)
        Pixels. DynamicStereo uses fx for both axes.
    centre : (cx, cy)
        Pixels, centres at integers.
    T_world_cam : (4, 4), optional
        Moves the points to the world; without it they stay in the camera's axes.
    step : int
        1 takes every pixel.
    outliers : float, optional
        Keep points whose third coordinate (in the world, where they are moved there) is less than
        that many standard deviations (with n - 1) from its mean; the reference's filter is 3.

    Returns
    -------
    points : (N, 3) float64
    colors : (N, C)

    Examples
    --------
    >>> points, colors = lift_depth([[2.0, 0.0]], [[[9], [8]]], 4.0, (1.0, 0.0))
    >>> points.tolist(), colors.tolist()
    ([[-0.5, 0.0, 2.0]], [[9]])
    """
    z, shown = np.asarray(depth, np.float64), np.asarray(colors)
    if z.ndim != 2 or shown.shape[:2] != z.shape:
        raise UsageError(f"depth {z.shape} and colours {shown.shape} differ; give the same pixels")
    fx, fy = (focal, focal) if np.isscalar(focal) else np.asarray(focal).tolist()
    v, u = np.mgrid[0 : z.shape[0] : step, 0 : z.shape[1] : step]
    z, shown = z[::step, ::step], shown[::step, ::step]
    kept = z > 0
    z, u, v, shown = z[kept], u[kept], v[kept], shown[kept]
    points = np.stack([(u - centre[0]) * z / fx, (v - centre[1]) * z / fy, z], -1)
    if T_world_cam is not None:
        move = np.asarray(T_world_cam, np.float64)
        points = points @ move[:3, :3].T + move[:3, 3]
    if outliers is not None and len(points) > 1:
        third = points[:, 2]
        inside = np.abs(third - third.mean()) < outliers * third.std(ddof=1)
        points, shown = points[inside], shown[inside]
    return points, shown
