"""Optical flow against itself, the images, and depth + poses; depth against disparity."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.checks.tracking import photometric_ratio
from depthdata.geometry import pixel_grid, rigid_flow

__all__ = [
    "diagnose_flow",
    "disparity_distance",
    "flow_photometric",
    "forward_backward",
    "motion_distance",
]

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

_CHANGES: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "flow looks negated": ((0, -1), (1, -1)),
    "x and y of the flow look swapped": ((1, 1), (0, 1)),
    "y of the flow looks negated (an image with y up)": ((0, 1), (1, -1)),
}


def forward_backward(
    forward: npt.NDArray[np.float32],
    backward: npt.NDArray[np.float32],
    occluded: npt.NDArray[np.generic] | None = None,
) -> Floats:
    """Distance from a pixel to where forward and then backward flow bring it.

    Parameters
    ----------
    forward : float32, (2, H, W)
        From t to t+1; NaN where missing.
    backward : float32, (2, H, W)
        From t+1 to t; NaN where missing.
    occluded : (H, W), optional
        Not zero where the pixel of t is not seen at t+1.

    Returns
    -------
    float64, (H, W)
        Pixels; NaN where it cannot be said: missing, occluded, out of the image, or next to an
        edge of the backward flow, where interpolation means nothing.
    """
    height, width = forward.shape[1:]
    grid = pixel_grid(height, width)
    there = grid + np.moveaxis(forward, 0, -1)
    known = np.asarray(np.isfinite(there).all(-1))
    there = np.where(known[..., None], there, -9.0).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    missing = ~np.isfinite(backward).all(0)
    filled = np.where(missing, 0, backward).astype(np.float32)
    edge = missing.astype(np.uint8)
    for channel in filled:
        edge |= (cv2.dilate(channel, kernel) - cv2.erode(channel, kernel) > 2).astype(np.uint8)
    near_edge = cv2.dilate(edge, kernel).astype(np.float32)
    returned = [
        cv2.remap(channel, there[..., 0], there[..., 1], cv2.INTER_LINEAR) for channel in filled
    ]
    off = np.hypot(
        there[..., 0] + returned[0] - grid[..., 0], there[..., 1] + returned[1] - grid[..., 1]
    )
    at_edge = cv2.remap(near_edge, there[..., 0], there[..., 1], cv2.INTER_NEAREST) > 0
    inside = (there >= 0).all(-1) & (there[..., 0] <= width - 1) & (there[..., 1] <= height - 1)
    use = known & inside & ~at_edge
    if occluded is not None:
        use &= np.asarray(occluded) == 0
    return np.where(use, off, np.nan).astype(np.float64)


def flow_photometric(
    first: Image, second: Image, flow: npt.NDArray[np.float32], positions: Floats
) -> float:
    """Grey difference when carried by flow, divided by that unmoved, at positions (n, 2)."""
    columns, rows = np.rint(positions).astype(int).T
    moved = positions + flow[:, rows, columns].T
    ratio, _, count = photometric_ratio(first, second, positions, moved)
    return ratio if count >= 50 else float("nan")


def diagnose_flow(
    first: Image, second: Image, flow: npt.NDArray[np.float32], positions: Floats
) -> str | None:
    """Name what is wrong with a flow that does not carry one image to the other, or None."""
    now = flow_photometric(first, second, flow, positions)
    tried = {}
    for message, ((x, x_sign), (y, y_sign)) in _CHANGES.items():
        changed = np.stack([flow[x] * x_sign, flow[y] * y_sign])
        ratio = flow_photometric(first, second, changed, positions)
        if np.isfinite(ratio):
            tried[message] = ratio
    if not tried:
        return None
    best = min(tried, key=lambda message: tried[message])
    if tried[best] > 0.6 * now:
        return None
    return f"{best}: the images then differ by {tried[best]:.2g} instead of {now:.2g}"


def motion_distance(
    flow: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    K: Floats,
    T_next_now: Floats,
    moving: npt.NDArray[np.bool_] | None,
) -> Floats:
    """Distance of flow from that of depth + poses on static pixels, (H, W) pixels, NaN else."""
    off = np.linalg.norm(flow - rigid_flow(depth, K, T_next_now), axis=0)
    return np.where(moving, np.nan, off) if moving is not None else np.asarray(off)


def disparity_distance(
    depth: npt.NDArray[np.float32],
    disparity: npt.NDArray[np.float32],
    fx: float,
    baseline: float,
    doffs: float = 0.0,
) -> Floats:
    """``|disparity - fx * baseline / depth - doffs|`` (H, W) pixels; NaN where one is missing.

    >>> disparity_distance(np.full((1, 1), 7.0), np.full((1, 1), 49.5), 700.0, 0.5)
    array([[0.5]])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(disparity - fx * baseline / depth - doffs)
    return np.where(np.isfinite(off) & (depth > 0), off, np.nan).astype(np.float64)
