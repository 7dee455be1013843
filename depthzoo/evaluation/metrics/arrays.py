"""NumPy arrays and torch tensors through one set of operations.

torch is never imported: whoever holds a tensor has loaded it, so it is found among the loaded
modules. Both libraries name most operations alike (torch takes ``axis`` and ``keepdims`` too);
this module holds the few that differ.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from depthdata.errors import UsageError

__all__ = [
    "Array",
    "bin_of",
    "booleans",
    "count_by",
    "double",
    "flat_indices",
    "like",
    "lower_median",
    "middle_median",
    "numbers",
    "same_shape",
    "together",
    "total",
    "whole",
]

Array = Any
"""A NumPy array or a torch tensor."""


def together(*values: Any) -> tuple[Any, list[Array]]:
    """Return the library of the values, and all of them as its arrays.

    Parameters
    ----------
    *values : array_like, Tensor or None
        With a tensor among them all become tensors of its device (without gradients), else
        NumPy arrays. None stays None.

    Returns
    -------
    xp : module
        ``numpy`` or ``torch``.
    arrays : list

    Examples
    --------
    >>> xp, (a, b) = together([1.0, 2.0], None)
    >>> xp.__name__, a.shape, b
    ('numpy', (2,), None)
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        found = next((v for v in values if isinstance(v, torch.Tensor)), None)
        if found is not None:
            to = [None if v is None else torch.as_tensor(v, device=found.device) for v in values]
            return torch, [None if v is None else v.detach() for v in to]
    return np, [None if v is None else np.asarray(v) for v in values]


def same_shape(**arrays: Array) -> None:
    """Refuse arrays of different shapes, by their names; None is left out."""
    shapes = {name: tuple(a.shape) for name, a in arrays.items() if a is not None}
    if len(set(shapes.values())) > 1:
        told = " and ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UsageError(f"{told} differ in shape; give the same pixels")


def double(array: Array) -> Array:
    """Return the array in float64 (itself, where it is)."""
    if isinstance(array, np.ndarray):
        return array.astype(np.float64, copy=False)
    return array.double()


def whole(array: Array) -> Array:
    """Return the array as int64, cut towards zero."""
    return array.astype(np.int64) if isinstance(array, np.ndarray) else array.long()


def booleans(array: Array) -> Array:
    """Return the array as bool: True where it is not zero."""
    return array.astype(bool, copy=False) if isinstance(array, np.ndarray) else array.bool()


def like(values: Any, array: Array) -> Array:
    """Return values in the library, dtype and device of an array."""
    if isinstance(array, np.ndarray):
        return np.asarray(values, array.dtype)
    return sys.modules["torch"].as_tensor(values, dtype=array.dtype, device=array.device)


def numbers(values: Sequence[Any]) -> list[float]:
    """Return 0-dimensional arrays as floats, with one transfer from the device.

    >>> numbers([np.float32(0.5), np.int64(2)])
    [0.5, 2.0]
    """
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(v, torch.Tensor) for v in values):
        device = next(v.device for v in values if isinstance(v, torch.Tensor))
        same = [torch.as_tensor(v, dtype=torch.float64, device=device) for v in values]
        return [float(v) for v in torch.stack(same).tolist()]
    return [float(v) for v in values]


def total(values: Array) -> Any:
    """Return the sum of all values, 0-dimensional; of bool the number that are True."""
    if isinstance(values, np.ndarray) and values.dtype == bool:
        return np.count_nonzero(values)  # many times faster than a sum
    return values.sum()


def flat_indices(mask: Array) -> Array:
    """Return the flat (row-major) indices of the True pixels.

    >>> flat_indices(np.array([[False, True], [True, False]])).tolist()
    [1, 2]
    """
    if isinstance(mask, np.ndarray):
        found = np.count_nonzero(mask)
        if not 0.03 * mask.size < found <= 0.1 * mask.size:
            return np.flatnonzero(mask)
        # up to a tenth NumPy hops from one True to the next and mispredicts every hop; with
        # more of them at the end it goes through all without branches, twice as fast
        filler = np.ones(mask.size // 10, bool)
        return np.flatnonzero(np.concatenate([mask.reshape(-1), filler]))[:found]
    return mask.reshape(-1).nonzero().reshape(-1)


def bin_of(edges: Array, values: Array, *, right: bool) -> Array:
    """Return how many edges lie below each value (`right`: or equal it); edges ascend."""
    if isinstance(values, np.ndarray):
        return np.searchsorted(edges, values, "right" if right else "left")
    return sys.modules["torch"].searchsorted(edges, values.contiguous(), right=right)


def count_by(labels: Array, length: int, weights: Array | None = None) -> Array:
    """Return how often 0..length-1 occur among labels (N,), or the sums of their weights.

    >>> count_by(np.array([0, 2, 2]), 4).tolist()
    [1, 0, 2, 0]
    """
    if isinstance(labels, np.ndarray):
        return np.bincount(labels, weights, length)[:length]
    return sys.modules["torch"].bincount(labels, weights, length)[:length]


def lower_median(values: Array) -> float:
    """Return the lower middle element (torch's median); NaN for none or where one is NaN.

    >>> lower_median(np.array([4.0, 1.0, 3.0, 2.0]))
    2.0
    """
    return _median(values, middle=False)


def middle_median(values: Array) -> float:
    """Return the median, of an even number the mean of the middle two (NumPy's median).

    NaN for none or where one is NaN. The mean is taken in the values' own precision, as
    NumPy does.

    >>> middle_median(np.array([4.0, 1.0, 3.0, 2.0]))
    2.5
    """
    return _median(values, middle=True)


def _median(values: Array, *, middle: bool) -> float:
    flat = values.reshape(-1)
    n = flat.shape[0]
    if n == 0:
        return float("nan")
    low, high = (n - 1) // 2, n // 2
    if isinstance(flat, np.ndarray):
        # one selection, then the largest below it: cheaper than selecting both
        parted = np.partition(flat, high)
        top = parted[high]
        if np.isnan(parted[high:].max()):
            return float("nan")
        bottom = top if low == high else parted[:high].max()
        return float((bottom + top) / 2 if middle else bottom)
    if bool(flat.isnan().any()):
        return float("nan")
    bottom = flat.kthvalue(low + 1).values
    top = bottom if low == high or not middle else flat.kthvalue(high + 1).values
    return float((bottom + top) / 2 if middle else bottom)
