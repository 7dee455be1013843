"""``.flo``: optical flow as float32 (Middlebury's format; Sintel).

Little-endian: the number 202021.25 as float32, width and height as int32, then dx, dy of every
pixel, row by row.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = ["decode_flo", "encode_flo", "read_flo"]

_MAGIC = struct.pack("<f", 202021.25)  # b"PIEH"
_HEADER = 12


def decode_flo(data: bytes) -> npt.NDArray[np.float32]:
    """Decode a flow file.

    Returns
    -------
    (H, W, 2) float32
        dx and dy in pixels, as stored; contiguous and writable.

    Raises
    ------
    FormatError
        Another kind of file, or other than exactly the values that it announces.

    Examples
    --------
    >>> decode_flo(encode_flo(np.array([[[1.5, -2]]]))).tolist()
    [[[1.5, -2.0]]]
    """
    if len(data) < _HEADER or data[:4] != _MAGIC:
        raise FormatError(f"flow: expected a .flo file ('PIEH' first), found {data[:4]!r}")
    width, height = struct.unpack_from("<ii", data, 4)
    if width < 1 or height < 1:
        raise FormatError(f"flow: expected a size above 0, found {width}x{height}")
    expected, found = 8 * width * height, len(data) - _HEADER
    if found != expected:  # before anything of the announced size is made
        raise FormatError(
            f"flow: {width}x{height} pixels need {expected} bytes after the header, found {found}; "
            "the file is cut or damaged"
        )
    stored = np.frombuffer(data, "<f4", offset=_HEADER)
    return stored.reshape(height, width, 2).astype(np.float32)


def read_flo(path: str | Path) -> npt.NDArray[np.float32]:
    """Read a file as `decode_flo` does; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_flo`.
    """
    return read_with(path, decode_flo)


def encode_flo(flow: npt.NDArray[Any]) -> bytes:
    """Encode flow (H, W, 2) in pixels as float32.

    Raises
    ------
    UsageError
        Another shape, or no numbers.
    """
    if flow.dtype.kind not in "fiu" or flow.ndim != 3 or flow.shape[2] != 2 or not flow.size:
        raise UsageError(f"encode_flo: expected numbers (H, W, 2), found {flow.dtype} {flow.shape}")
    height, width = flow.shape[:2]
    values = np.ascontiguousarray(flow, "<f4")
    return b"".join([_MAGIC, struct.pack("<ii", width, height), values.data.cast("B")])
