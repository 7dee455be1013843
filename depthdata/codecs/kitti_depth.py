"""Files of KITTI's depth benchmark: depth maps of 16 bits, and the intrinsics of a selection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError

__all__ = [
    "DEPTH_SCALE",
    "decode_depth_levels",
    "decode_intrinsics",
    "read_depth_levels",
    "read_intrinsics",
]

DEPTH_SCALE = 1 / 256
"""Metres of one level."""


def decode_depth_levels(data: bytes) -> npt.NDArray[np.uint16]:
    """Read a depth PNG: (H, W) uint16, metres times 256, 0 where nothing was measured.

    Raises
    ------
    FormatError
        Cut, damaged, or no 16-bit grey PNG.
    """
    return decode_png_map(data, "depth", (16,))


def decode_intrinsics(data: bytes) -> npt.NDArray[np.float64]:
    """Read the intrinsics of a selected image: 9 numbers, (3, 3) row by row.

    Raises
    ------
    FormatError
        Not 9 numbers, or no intrinsics.

    Examples
    --------
    >>> decode_intrinsics(b"7 0 3 0 7 2 0 0 1").tolist()
    [[7.0, 0.0, 3.0], [0.0, 7.0, 2.0], [0.0, 0.0, 1.0]]
    """
    tokens = data.split()
    try:
        numbers = [float(token) for token in tokens[:10] if b"_" not in token]
    except ValueError:
        numbers = []
    if len(numbers) != 9 or len(tokens) != 9:
        raise FormatError(f"intrinsics: expected 9 numbers, found {data[:60]!r}")
    matrix = np.array(numbers).reshape(3, 3)
    upright = matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[2].tolist() == [0, 0, 1]
    if not np.isfinite(matrix).all() or not upright or matrix[1, 0]:
        raise FormatError(f"intrinsics: these are none: {data[:60]!r}")
    return matrix


def read_depth_levels(path: str | Path) -> npt.NDArray[np.uint16]:
    """Read a depth PNG; see `decode_depth_levels`."""
    return read_with(path, decode_depth_levels)


def read_intrinsics(path: str | Path) -> npt.NDArray[np.float64]:
    """Read the intrinsics of a selected image; see `decode_intrinsics`."""
    return read_with(path, decode_intrinsics)
