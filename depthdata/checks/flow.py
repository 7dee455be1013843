"""Optical flow against itself, against depth + poses, and as a way to another frame's map."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.geometry import pixel_grid, rigid_flow

__all__ = ["forward_backward", "motion_distance", "sampled"]

Floats = npt.NDArray[np.float64]


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


def sampled(values: npt.NDArray[np.float32], flow: npt.NDArray[np.float32]) -> Floats:
    """Read a map (H, W) where flow (2, H, W) leads to: (H, W), NaN at steps and outside."""
    height, width = values.shape
    there = pixel_grid(height, width) + np.moveaxis(flow, 0, -1)
    inside = (there >= 0).all(-1) & (there[..., 0] <= width - 1) & (there[..., 1] <= height - 1)
    at = np.where(inside[..., None], there, 0).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    missing = ~np.isfinite(values)
    filled = np.where(missing, 0, values).astype(np.float32)
    step = (cv2.dilate(filled, kernel) - cv2.erode(filled, kernel) > 2) | missing
    edge = cv2.dilate(step.astype(np.uint8), kernel)
    found = cv2.remap(filled, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    beside = cv2.remap(edge, at[..., 0], at[..., 1], cv2.INTER_NEAREST) > 0
    return np.where(inside & ~beside, found, np.nan).astype(np.float64)


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
