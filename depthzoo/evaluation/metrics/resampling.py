"""Reading maps between pixels: bilinear resize, only where it is needed; flow; sparse scatter.

The resize is torch's ``interpolate(mode="bilinear", align_corners=False)``: the centre of target
pixel i lies at ``(i + 0.5) * in / out - 0.5``, the border is repeated, nothing is smoothed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import Array, double, like, same_shape, together, whole

__all__ = ["follow_flow", "read_resized", "resize", "resize_sparse_flow"]


def resize(values: Any, size: tuple[int, int]) -> Array:
    """Resize maps (..., h, w) to (..., H, W), float64.

    >>> resize([[0.0, 4.0]], (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    xp, (v,) = together(values)
    v = double(v)
    rows, columns = (_source(xp, v, size[k], v.shape[k - 2]) for k in (0, 1))
    (top, bottom, down), (left, right, along) = rows, columns
    wide = v[..., left] * (1 - along) + v[..., right] * along
    tall = wide[..., top, :] * (1 - down)[:, None] + wide[..., bottom, :] * down[:, None]
    return tall


def read_resized(values: Any, size: tuple[int, int], rows: Any, columns: Any) -> Array:
    """Return what `resize` gives at pixels (N,) of the target size, without resizing the rest.

    Parameters
    ----------
    values : (h, w) float
    size : (H, W)
    rows, columns : (N,) int
        Within the target size.

    Examples
    --------
    >>> read_resized([[0.0, 4.0]], (1, 4), [0, 0], [1, 2]).tolist()
    [1.0, 3.0]
    """
    xp, (v, r, c) = together(values, rows, columns)
    v = double(v)
    height, width = v.shape
    top, bottom, down = _between(xp, double(r), size[0], height)
    left, right, along = _between(xp, double(c), size[1], width)
    flat = v.reshape(-1)
    above = flat[top * width + left] * (1 - along) + flat[top * width + right] * along
    below = flat[bottom * width + left] * (1 - along) + flat[bottom * width + right] * along
    return above * (1 - down) + below * down


def _source(xp: Any, values: Array, length: int, old: int) -> tuple[Array, Array, Array]:
    return _between(xp, like(range(length), values), length, old)


def _between(xp: Any, index: Array, length: int, old: int) -> tuple[Array, Array, Array]:
    """Return the two source indices of target indices, and the weight of the second."""
    at = xp.clip((index + 0.5) * (old / length) - 0.5, 0.0, None)
    first = xp.floor(at)
    weight = at - first
    first = xp.clip(whole(first), 0, old - 1)
    return first, xp.clip(first + 1, 0, old - 1), weight


def follow_flow(values: Any, flow: Any) -> tuple[Array, Array]:
    """Read maps where flow leads: ``values[y + flow_y, x + flow_x]``, bilinear.

    Parameters
    ----------
    values : (..., H, W) float
        Maps of the frame that the flow leads to.
    flow : (2, H, W) float
        dx, dy in pixels; NaN where unknown.

    Returns
    -------
    read : (..., H, W) float64
        NaN where `inside` is False; a NaN of a neighbour that has weight spreads.
    inside : (H, W) bool
        The flow is known and ends within the centres of the outer pixels.

    Examples
    --------
    >>> flow = [[[1.5, 1.5, 1.5]], [[0.0, 0.0, 0.0]]]
    >>> read, inside = follow_flow([[1.0, 2.0, 4.0]], flow)
    >>> read.tolist(), inside.tolist()
    ([[3.0, nan, nan]], [[True, False, False]])
    """
    xp, (v, f) = together(values, flow)
    v, f = double(v), double(f)
    if f.shape[0] != 2 or f.shape[1:] != v.shape[-2:]:
        raise UsageError(f"flow is {tuple(f.shape)}; expected (2, H, W) of maps {tuple(v.shape)}")
    height, width = f.shape[1:]
    x = like(range(width), v) + f[0]
    y = like(range(height), v)[:, None] + f[1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = (xp.where(inside, a, xp.zeros_like(a)) for a in (x, y))
    left, top = xp.floor(x), xp.floor(y)
    along, down = x - left, y - top
    # a neighbour without weight is never read: it may be NaN or outside
    right, bottom = whole(left + (along > 0)), whole(top + (down > 0))
    left, top = whole(left), whole(top)
    read = (v[..., top, left] * (1 - along) + v[..., top, right] * along) * (1 - down) + (
        v[..., bottom, left] * (1 - along) + v[..., bottom, right] * along
    ) * down
    return xp.where(inside, read, xp.full_like(read, float("nan"))), inside


def resize_sparse_flow(flow: Any, valid: Any, factor: tuple[float, float]) -> tuple[Array, Array]:
    """Move the valid pixels of a flow to another size, as RAFT-Stereo's sparse augmentation does.

    Point (x, y) goes to ``round(x * fx), round(y * fy)`` (half to even) and its flow is scaled.
    Points of the target's row 0 and column 0 are lost; of several the last in row-major order
    wins; everywhere else flow and validity are 0.

    Parameters
    ----------
    flow : (H, W, 2) float
        dx, dy in pixels.
    valid : (H, W)
        The pixels that are moved are those ``>= 1``.
    factor : (fx, fy)

    Returns
    -------
    flow : (round(H * fy), round(W * fx), 2), the dtype of `flow`
    valid : the same size, int32

    Notes
    -----
    Source: RAFT-Stereo, ``core/utils/augmentor.py``.
    """
    f, v = np.asarray(flow), np.asarray(valid)
    same_shape(flow=f[..., 0], valid=v)
    height, width = v.shape
    size = round(height * factor[1]), round(width * factor[0])
    y, x = np.nonzero(v >= 1)
    moved = np.round(np.stack([x * factor[0], y * factor[1]])).astype(np.int64)
    kept = (moved[0] > 0) & (moved[0] < size[1]) & (moved[1] > 0) & (moved[1] < size[0])
    columns, rows = moved[:, kept]
    # NumPy keeps the last of equal targets
    out = np.zeros((*size, 2), f.dtype)
    out[rows, columns] = f[y[kept], x[kept]] * np.asarray(factor, f.dtype)
    there = np.zeros(size, np.int32)
    there[rows, columns] = 1
    return out, there
