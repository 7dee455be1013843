"""Which instance mask of one frame is which of the next, as Insta-DM tells by optical flow.

Masks of neighbouring frames are carried onto one another by the flow of both directions. Two belong
together when each is the best of the other, by more than half of their common area, counting only
pixels that both frames see. All of the published rules are kept:

- the flow fetches with the grid of `fetch`, for which zero flow is not the identity;
- an instance that is hidden everywhere has no overlap at all (NaN) and is never matched;
- larger instances of the earlier frame come first, and take their pixels from later ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = [
    "Matching",
    "associate",
    "by_area",
    "drop_empty",
    "fetch",
    "match_masks",
    "seen_by_both",
]

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Stack = npt.NDArray[np.uint8]

_LEAST_OVERLAP = 0.5
_RELATIVE, _PIXELS = np.float32(0.05), np.float32(3.0)  # by how much both flows may disagree
_TINY = np.float32(1e-10)


@dataclass(frozen=True, eq=False)
class Matching:
    """How the masks of two frames overlap; the first channel of a stack is empty.

    Attributes
    ----------
    seen_0, seen_1 : (H, W) bool
        Pixels of frame 0 that frame 1 sees, and the other way round.
    fetched_0 : (1 + N1, H, W) float32
        Masks of frame 1 as frame 0 sees them.
    fetched_1 : (1 + N0, H, W) float32
        Masks of frame 0 as frame 1 sees them.
    overlap_01, best_01 : (1 + N0,) float32, int64
        For each mask of frame 0 the best intersection over union, measured in frame 1, and the
        channel of frame 1 that has it. NaN where both are empty.
    overlap_10, best_10 : (1 + N1,)
        For each mask of frame 1, measured in frame 0.
    """

    seen_0: npt.NDArray[np.bool_]
    seen_1: npt.NDArray[np.bool_]
    fetched_0: Float
    fetched_1: Float
    overlap_01: Float
    best_01: Ints
    overlap_10: Float
    best_10: Ints

    def pairs(self) -> list[tuple[int, int]]:
        """Return the channels that belong together, in the order of frame 0."""
        found = []
        for c, m in enumerate(self.best_01.tolist()):
            both = min(self.overlap_01[c], self.overlap_10[m])  # False with NaN
            if int(self.best_10[m]) == c and both > _LEAST_OVERLAP and not _nan(self, c, m):
                found.append((c, m))
        return found


def _nan(matching: Matching, c: int, m: int) -> bool:
    return bool(np.isnan(matching.overlap_01[c]) or np.isnan(matching.overlap_10[m]))


def by_area(masks: Array) -> Stack:
    """Return a stack (1 + N, H, W) of masks (N, H, W): an empty one, then the largest first.

    Masks of equal area keep their order.

    Examples
    --------
    >>> by_area(np.array([[[1, 0]], [[1, 1]]])).tolist()
    [[[0, 0]], [[1, 1]], [[1, 0]]]
    """
    area = np.count_nonzero(masks, axis=(1, 2))
    order = np.argsort(-area, kind="stable")
    stack = np.zeros((len(masks) + 1, *masks.shape[1:]), np.uint8)
    stack[1:] = masks[order] != 0
    return stack


class _Grid(NamedTuple):
    """Four pixels and their weights for every pixel of interest."""

    at: Ints
    """(P,) pixels that are asked for."""
    corners: tuple[Ints, ...]
    weights: tuple[Float, ...]

    def __call__(self, values: Array) -> Float:
        """Fetch from (C, H * W)."""
        out = np.zeros((len(values), len(self.at)), np.float32)
        for corner, weight in zip(self.corners, self.weights, strict=True):
            out += np.take(values, corner, axis=1) * weight
        return out

    def only(self, keep: npt.NDArray[np.bool_]) -> _Grid:
        return _Grid(
            self.at[keep],
            tuple(corner[keep] for corner in self.corners),
            tuple(weight[keep] for weight in self.weights),
        )


def _grid(flow: Float) -> _Grid:
    _, height, width = flow.shape
    one = np.float32(1)
    x = (np.arange(width, dtype=np.float32) + flow[0]) / np.float32(width / 2) - one
    y = (np.arange(height, dtype=np.float32)[:, None] + flow[1]) / np.float32(height / 2) - one
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero(np.maximum(np.abs(x), np.abs(y)) <= 1)
    x, y = x.ravel()[inside], y.ravel()[inside]
    x = (x + one) / np.float32(2) * np.float32(width - 1)
    y = (y + one) / np.float32(2) * np.float32(height - 1)
    left, top = np.floor(x), np.floor(y)
    corners, weights = [], []
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = left + dx, top + dy
            weight = (one - np.abs(x - column)) * (one - np.abs(y - row))
            out = (column >= width) | (row >= height)  # of weight 0, but for rounding
            weight[out] = 0
            index = row.clip(0, height - 1) * width + column.clip(0, width - 1)
            corners.append(index.astype(np.int64))
            weights.append(weight)
    return _Grid(inside, tuple(corners), tuple(weights))


def fetch(values: Array, flow: Array) -> Float:
    """Fetch values at displaced pixels, bilinearly; 0 outside.

    Pixel (x, y) with flow (u, v) is read at ``(x + u) (W - 1) / W`` and ``(y + v) (H - 1) / H``,
    so zero flow shifts by up to one pixel at the right and lower border.

    Parameters
    ----------
    values : (C, H, W)
    flow : (2, H, W)
        Pixels, right and down.

    Returns
    -------
    (C, H, W) float32

    Examples
    --------
    >>> fetch(np.array([[[0.0, 3.0, 6.0]]]), np.zeros((2, 1, 3))).round(3).tolist()
    [[[0.0, 2.0, 4.0]]]
    """
    values, flow = np.asarray(values, np.float32), np.asarray(flow, np.float32)
    if values.ndim != 3 or flow.shape != (2, *values.shape[1:]):
        raise UsageError(
            f"fetch: expected values (C, H, W) and flow (2, H, W), found {values.shape} and "
            f"{flow.shape}"
        )
    return _fetch(values, _grid(flow))


def _fetch(values: Array, grid: _Grid) -> Float:
    out = np.zeros((len(values), values[0].size), np.float32)
    out[:, grid.at] = grid(values.reshape(len(values), -1))
    return out.reshape(values.shape)


def _fetch_masks(stack: Stack, grid: _Grid) -> Float:
    """Fetch masks, most of which are 0 nearly everywhere."""
    covered = stack.any(axis=0).ravel()
    near = np.zeros(len(grid.at), np.bool_)
    for corner in grid.corners:
        near |= covered[corner]
    return _fetch(stack, grid.only(near))


def seen_by_both(forward: Array, backward: Array) -> tuple[Array, Array]:
    """Tell where the flows of both directions agree: pixels that the other frame sees.

    Parameters
    ----------
    forward, backward : (2, H, W)
        From frame 0 to 1, given in frame 0, and from 1 to 0, given in frame 1.

    Returns
    -------
    (H, W) bool, twice
        Of frame 0 and of frame 1: ``|f + b| < max(0.05 |f|, 3 px)``.
    """
    f, b = np.asarray(forward, np.float32), np.asarray(backward, np.float32)
    return _agree(f, fetch(b, f)), _agree(b, fetch(f, b))


def _agree(flow: Float, other: Float) -> npt.NDArray[np.bool_]:
    limit = np.maximum(_RELATIVE * _norm(flow), _PIXELS)
    agree: npt.NDArray[np.bool_] = _norm(flow + other) < limit
    return agree


def _norm(flow: Float) -> Float:
    x, y = np.abs(flow) + _TINY
    length: Float = np.sqrt(x * x + y * y)
    return length


def match_masks(stack_0: Stack, stack_1: Stack, forward: Array, backward: Array) -> Matching:
    """Measure how masks of two frames overlap.

    Parameters
    ----------
    stack_0, stack_1 : (1 + N, H, W) uint8
        0 or 1, the first channel empty (`by_area`).
    forward, backward : (2, H, W)
        Flow from frame 0 to 1 and back, pixels.
    """
    f, b = np.asarray(forward, np.float32), np.asarray(backward, np.float32)
    if not stack_0.shape[1:] == stack_1.shape[1:] == f.shape[1:] == b.shape[1:]:
        raise UsageError(
            f"match_masks: sizes differ: masks {stack_0.shape}, {stack_1.shape}, flow {f.shape}, "
            f"{b.shape}"
        )
    grid_0, grid_1 = _grid(f), _grid(b)
    seen_0, seen_1 = _agree(f, _fetch(b, grid_0)), _agree(b, _fetch(f, grid_1))
    fetched_0, fetched_1 = _fetch_masks(stack_1, grid_0), _fetch_masks(stack_0, grid_1)
    overlap_01, best_01 = _best(fetched_1, stack_1, seen_1)
    overlap_10, best_10 = _best(fetched_0, stack_0, seen_0)
    return Matching(seen_0, seen_1, fetched_0, fetched_1, overlap_01, best_01, overlap_10, best_10)


def _best(rows: Float, columns: Stack, seen: npt.NDArray[np.bool_]) -> tuple[Float, Ints]:
    """Return the highest intersection over union of each row, and its column; NaN is highest."""
    covered = np.flatnonzero(seen & (columns.any(axis=0) | (rows > 0).any(axis=0)))
    a = rows.reshape(len(rows), -1)[:, covered]
    b = columns.reshape(len(columns), -1)[:, covered].astype(np.float32)
    common = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1) - common
    with np.errstate(invalid="ignore"):
        table = common / union
    table[0] = 0  # the empty channel is not asked
    best = table.argmax(axis=1)
    return table[np.arange(len(table)), best], best


def associate(
    stack_0: Stack, stack_1: Stack, forward: Array, backward: Array, most: int
) -> tuple[Stack, Stack]:
    """Return the masks of two frames that are the same instance.

    Parameters
    ----------
    stack_0, stack_1 : (1 + N, H, W) uint8
        Masks of the earlier and the later frame, from `by_area`.
    forward, backward : (2, H, W)
        Flow from the earlier to the later frame and back, pixels.
    most : int
        How many instances at most: the largest of the earlier frame.

    Returns
    -------
    (1 + most, H, W) uint8, twice
        Channel 0 is everywhere the number of instances found; channel n of both is one instance,
        the others are empty. No pixel belongs to two.
    """
    if most < 0 or most > 254:
        raise UsageError(f"associate: expected at most 0 to 254 instances, found {most}")
    height, width = stack_0.shape[1:]
    out = np.zeros((2, 1 + most, height, width), np.uint8)
    taken = np.zeros((2, height, width), np.bool_)
    count = 0
    for c, m in match_masks(stack_0, stack_1, forward, backward).pairs():
        if count == most:
            break
        left = np.stack([stack_0[c], stack_1[m]]) > taken
        if left.any(axis=(1, 2)).all():
            count += 1
            out[:, count] = left
            taken |= left
    out[:, 0] = count
    return out[0], out[1]


def drop_empty(target: Array, reference: Array) -> tuple[Array, Array]:
    """Take out instances that have no pixel in one of the two stacks; later ones move up.

    Parameters
    ----------
    target, reference : (1 + most, H, W)
        As `associate` gives them, after a crop.

    Examples
    --------
    >>> one, two = np.array([[[2]], [[0]], [[1]]]), np.array([[[2]], [[1]], [[1]]])
    >>> [stack.ravel().tolist() for stack in drop_empty(one, two)]
    [[1, 1, 0], [1, 1, 0]]
    """
    count = int(target[0].max(initial=0))
    kept = [n for n in range(1, count + 1) if target[n].any() and reference[n].any()]
    if len(kept) == count:
        return target, reference
    out = []
    for stack in (target, reference):
        new = np.zeros_like(stack)
        new[0] = stack[0] - (count - len(kept))
        new[1 : len(kept) + 1] = stack[kept]
        new[count + 1 :] = stack[count + 1 :]
        out.append(new)
    return out[0], out[1]
