"""Half-precision floats in 16-bit PNG files, as Dynamic Replica publishes depth and optical flow.

A pixel's 16 bits are those of an IEEE half float. Depth is one value a pixel; a flow file is twice
as wide as the image, dx on the left and dy on the right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = [
    "decode_half_flow",
    "decode_half_png",
    "encode_half_flow",
    "encode_half_png",
    "read_half_flow",
    "read_half_png",
]

Half = npt.NDArray[np.float16]


def decode_half_png(data: bytes) -> Half:
    """Decode a file: (H, W) float16 with the very bits of the file, NaN and infinity included.

    Raises
    ------
    FormatError
        Not a whole 16-bit grey PNG.

    Examples
    --------
    >>> decode_half_png(encode_half_png(np.array([[1.5, np.inf]], np.float16)))
    array([[1.5, inf]], dtype=float16)
    """
    return decode_png_map(data, "half-float map", (16,)).view(np.float16)


def encode_half_png(values: npt.NDArray[np.float16]) -> bytes:
    """Encode (H, W) float16 bit by bit.

    Raises
    ------
    UsageError
        Another shape or type: rounding is the caller's to decide.
    """
    array = np.asarray(values)
    if array.dtype != np.float16 or array.ndim != 2:
        raise UsageError(
            f"encode_half_png: expected (H, W) float16, found {array.dtype} {array.shape}"
        )
    return encode_png(np.ascontiguousarray(array).view(np.uint16))


def decode_half_flow(data: bytes) -> Half:
    """Decode a flow file: (2, H, W) float16, dx and dy in pixels.

    Raises
    ------
    FormatError
        Not a whole 16-bit grey PNG, or of odd width.

    Examples
    --------
    >>> decode_half_flow(encode_half_flow(np.array([[[1, 2]], [[3, 4]]], np.float16))).tolist()
    [[[1.0, 2.0]], [[3.0, 4.0]]]
    """
    both = decode_half_png(data)
    height, width = both.shape
    if width % 2:
        raise FormatError(f"half-float flow: expected dx beside dy, found an odd width of {width}")
    return np.ascontiguousarray(both.reshape(height, 2, width // 2).transpose(1, 0, 2))


def encode_half_flow(flow: npt.NDArray[np.float16]) -> bytes:
    """Encode (2, H, W) float16 bit by bit.

    Raises
    ------
    UsageError
        Another shape or type.
    """
    array = np.asarray(flow)
    if array.dtype != np.float16 or array.ndim != 3 or len(array) != 2:
        raise UsageError(
            f"encode_half_flow: expected (2, H, W) float16, found {array.dtype} {array.shape}"
        )
    return encode_half_png(np.concatenate([array[0], array[1]], axis=1))


def read_half_png(path: str | Path) -> Half:
    """Read a file as `decode_half_png` does; errors name the path."""
    return read_with(path, decode_half_png)


def read_half_flow(path: str | Path) -> Half:
    """Read a file as `decode_half_flow` does; errors name the path."""
    return read_with(path, decode_half_flow)
