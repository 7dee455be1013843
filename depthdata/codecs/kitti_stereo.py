"""Ground truth of KITTI's stereo and flow benchmarks: 16-bit PNG files.

Disparity is a grey PNG, value = disparity * 256, 0 where nothing was measured. Flow is an RGB PNG:
red and green are dx and dy times 64 plus 2^15, blue is 1 where they were measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = [
    "DISPARITY_SCALE",
    "FLOW_SCALE",
    "FLOW_ZERO",
    "Flow",
    "decode_disparity",
    "decode_disparity_levels",
    "decode_flow",
    "decode_flow_levels",
    "encode_disparity",
    "encode_flow",
    "read_disparity",
    "read_disparity_levels",
    "read_flow",
    "read_flow_levels",
]

Levels = npt.NDArray[np.uint16]

DISPARITY_SCALE = 1 / 256
"""Pixels of disparity that one level is worth."""

FLOW_SCALE = 1 / 64
"""Pixels of displacement that one level is worth."""

FLOW_ZERO = 1 << 15
"""The level of no displacement."""


class Flow(NamedTuple):
    """A decoded flow file.

    Attributes
    ----------
    flow : (H, W, 2) float32
        dx and dy in pixels, of every pixel: what the file has where it is not valid, too.
    valid : (H, W) bool
        Whether it was measured.
    """

    flow: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]


def decode_disparity(data: bytes) -> npt.NDArray[np.float64]:
    """Decode a disparity file: pixels, (H, W) float64; 0 where nothing was measured.

    Raises
    ------
    FormatError
        Not a whole 16-bit grey PNG.

    Examples
    --------
    >>> decode_disparity(encode_disparity(np.array([[1.5, np.nan]])))
    array([[1.5, 0. ]])
    """
    return np.multiply(decode_disparity_levels(data), DISPARITY_SCALE, dtype=np.float64)


def decode_disparity_levels(data: bytes) -> Levels:
    """Decode a disparity file as it is stored: (H, W) uint16, disparity * 256, 0 = not measured.

    Raises
    ------
    FormatError
        Not a whole 16-bit grey PNG.
    """
    return decode_png_map(data, "disparity", (16,))


def encode_disparity(disparity: npt.NDArray[np.floating] | Levels) -> bytes:
    """Encode disparity (H, W): floats in pixels, or uint16 levels as the file stores them.

    Floats are rounded to 1/256 px; NaN, and what rounds to 0 or less, is not measured.

    Raises
    ------
    UsageError
        Not an array of floats or uint16 with two axes, or a disparity above 255.99 px.
    """
    array = np.asarray(disparity)
    if array.ndim != 2 or not (array.dtype == np.uint16 or array.dtype.kind == "f"):
        raise UsageError(
            f"encode_disparity: expected (H, W) floats or uint16, found {array.dtype} {array.shape}"
        )
    if array.dtype == np.uint16:
        return encode_png(array)
    levels = np.rint(np.nan_to_num(array.astype(np.float64), nan=0.0) / DISPARITY_SCALE)
    if (levels > 0xFFFF).any():
        raise UsageError(
            f"encode_disparity: {np.nanmax(array)} px is too much; a file holds up to 255.996 px"
        )
    return encode_png(np.maximum(levels, 0).astype(np.uint16))


def decode_flow(data: bytes) -> Flow:
    """Decode a flow file.

    Raises
    ------
    FormatError
        Not a whole 16-bit RGB PNG, or a validity that is neither 0 nor 1.

    Examples
    --------
    >>> flow, valid = decode_flow(encode_flow(np.array([[[1.5, -2.0], [np.nan, 0]]])))
    >>> flow[0, 0].tolist(), valid.tolist()
    ([1.5, -2.0], [[True, False]])
    """
    levels = decode_flow_levels(data)
    flow = levels[..., :2].astype(np.float32)
    flow -= np.float32(FLOW_ZERO)
    flow *= np.float32(FLOW_SCALE)  # exact: 16 bits fit into float32
    return Flow(flow, levels[..., 2] != 0)


def decode_flow_levels(data: bytes) -> Levels:
    """Decode a flow file as it is stored: (H, W, 3) uint16, dx and dy as levels, and validity.

    Raises
    ------
    FormatError
        Not a whole 16-bit RGB PNG, or a validity that is neither 0 nor 1.
    """
    levels = decode_png_map(data, "flow", (16,), 3)
    highest = int(levels[..., 2].max(initial=0))
    if highest > 1:
        raise FormatError(
            f"flow PNG: expected 0 or 1 in the blue channel (validity), found {highest}"
        )
    return levels


def encode_flow(
    flow: npt.NDArray[np.floating] | Levels, valid: npt.NDArray[np.bool_] | None = None
) -> bytes:
    """Encode flow (H, W, 2) floats in pixels, or (H, W, 3) uint16 levels as the file stores them.

    Floats are rounded to 1/64 px. Pixels that are not `valid` (left out: NaN) get the levels of no
    displacement, as in the published files.

    Raises
    ------
    UsageError
        Another shape or type, or a displacement outside -512 ... 511.98 px.
    """
    array = np.asarray(flow)
    if array.dtype == np.uint16 and array.ndim == 3 and array.shape[2] == 3 and valid is None:
        return encode_png(array)
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[2] != 2:
        raise UsageError(
            "encode_flow: expected (H, W, 2) floats, or (H, W, 3) uint16 without valid, "
            f"found {array.dtype} {array.shape}"
        )
    known = np.asarray(np.isfinite(array).all(-1) if valid is None else valid, np.bool_)
    if known.shape != array.shape[:2]:
        raise UsageError(f"encode_flow: expected valid {array.shape[:2]}, found {known.shape}")
    levels = np.rint(np.where(known[..., None], array, 0).astype(np.float64) / FLOW_SCALE)
    levels += FLOW_ZERO
    if not ((levels >= 0) & (levels <= 0xFFFF)).all():
        raise UsageError("encode_flow: expected displacements from -512 to 511.98 px")
    return encode_png(np.dstack([levels, known]).astype(np.uint16))


def read_disparity(path: str | Path) -> npt.NDArray[np.float64]:
    """Read a file as `decode_disparity` does; errors name the path."""
    return read_with(path, decode_disparity)


def read_disparity_levels(path: str | Path) -> Levels:
    """Read a file as `decode_disparity_levels` does; errors name the path."""
    return read_with(path, decode_disparity_levels)


def read_flow(path: str | Path) -> Flow:
    """Read a file as `decode_flow` does; errors name the path."""
    return read_with(path, decode_flow)


def read_flow_levels(path: str | Path) -> Levels:
    """Read a file as `decode_flow_levels` does; errors name the path."""
    return read_with(path, decode_flow_levels)
