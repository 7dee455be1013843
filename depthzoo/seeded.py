"""Weights that are a pure function of key, shape, dtype and seed: parity cases store none.

Both sides of a comparison fill their networks with the same numbers, so a case stores only its
inputs and outputs. The scales keep activations of deep networks in range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["seeded_state", "seeded_tensor"]


def seeded_tensor(
    key: str, shape: Sequence[int], dtype: str, seed: int, gain: float = 1.0
) -> NDArray[np.generic]:
    """One tensor of a seeded state.

    Parameters
    ----------
    key : str
        State-dict key: with `seed` it starts the random stream; its ending picks the scale.
    shape : sequence of int
        Shape of the tensor; ``()`` is a scalar.
    dtype : str
        NumPy dtype name. Anything but a float (step counters) is filled with zeros.
    seed : int
        Seed of the whole state.
    gain : float
        Factor on weights with two or more axes, on top of ``1 / sqrt(fan in)``.

    Returns
    -------
    ndarray
        Normal draws: weights scaled by the fan in, norm scales ``1 + 0.1 x``, running variances
        ``1 + 0.1 |x|``, running means and biases ``0.1 x``.

    Examples
    --------
    >>> seeded_tensor("conv.bias", (2,), "float32", seed=1).shape
    (2,)
    >>> seeded_tensor("norm.num_batches_tracked", (), "int64", seed=1)
    array(0)
    """
    if key.endswith("num_batches_tracked") or not dtype.startswith("float"):
        return np.zeros(shape, dtype)
    draws = np.random.Generator(np.random.PCG64([seed, crc32(key.encode())]))
    x = np.asarray(draws.standard_normal(tuple(shape)))
    if key.endswith("running_var"):
        x = 1.0 + 0.1 * np.abs(x)
    elif key.endswith("running_mean"):
        x = 0.1 * x
    elif len(shape) >= 2:
        x = gain * x / np.sqrt(math.prod(shape[1:]))
    elif key.endswith("weight"):
        x = 1.0 + 0.1 * x
    else:
        x = 0.1 * x
    return np.asarray(x, dtype)


def seeded_state(
    manifest: Mapping[str, Sequence[object]], seed: int, gain: float = 1.0
) -> dict[str, NDArray[np.generic]]:
    """Every tensor of a manifest ``{key: [shape, dtype]}``.

    Examples
    --------
    >>> state = seeded_state({"a.weight": [[3, 2], "float32"]}, seed=7)
    >>> state["a.weight"].shape
    (3, 2)
    """
    state = {}
    for key, (shape, dtype) in manifest.items():
        state[key] = seeded_tensor(key, tuple(shape), str(dtype), seed, gain)  # type: ignore[arg-type]
    return state
