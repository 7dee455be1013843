r"""Disparity of TartanAir: from a depth array in a ``.npy`` file.

The authors of RAFT-Stereo compute ``disparity = 80 / depth`` (fx of 320 pixels, 0.25 m between the
cameras) and take every pixel with a disparity above 0 as valid.

The header of the file is matched, not evaluated, and an object array is refused: nothing in it can
run.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError

__all__ = ["decode_depth", "disparity_from_depth", "read_tartan_air"]

_FACTOR = np.float32(80.0)
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '([<>]f[248])', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,9}), ?(\d{1,9}),?\),? ?\}\s*"
)


def read_tartan_air(path: str | Path) -> npt.NDArray[np.float32]:
    """Return the disparity of a ``<frame>_left_depth.npy``.

    Returns
    -------
    (H, W) float32
        Pixels; +inf where the depth is 0. The published validity is ``disparity > 0``.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_depth`.
    """
    return disparity_from_depth(read_with(path, decode_depth))


def disparity_from_depth(depth: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Turn depth in metres into disparity in pixels.

    >>> disparity_from_depth(np.array([[16.0, 0.0]], np.float32))
    array([[ 5., inf]], dtype=float32)
    """
    with np.errstate(divide="ignore"):
        return np.asarray(_FACTOR / depth, np.float32)


def decode_depth(data: bytes) -> npt.NDArray[np.floating]:
    """Return the (H, W) array of a ``.npy`` file, in the type that it has there.

    Raises
    ------
    FormatError
        No ``.npy`` file of two axes of floats, or other than exactly the values that it announces.
    """
    start = 12 if data[6:7] > b"\1" else 10  # version 1 has two bytes for the header's length
    end = start + int.from_bytes(data[8:start], "little")
    header = _HEADER.fullmatch(data[start : min(end, start + 4096)])
    if not data.startswith(_MAGIC) or header is None:
        raise FormatError(
            "depth: expected a .npy file of floats with two axes, found one that begins with "
            f"{data[: start + 60]!r}"
        )
    dtype, shape = np.dtype(header[1].decode()), (int(header[3]), int(header[4]))
    expected, found = dtype.itemsize * shape[0] * shape[1], len(data) - end
    if not expected or found != expected:
        raise FormatError(
            f"depth: {shape[1]}x{shape[0]} pixels need {expected} bytes after the header, found "
            f"{found}; the file is cut or damaged"
        )
    stored = np.frombuffer(data, dtype, offset=end)
    table = stored.reshape(shape) if header[2] == b"False" else stored.reshape(shape[::-1]).T
    return np.array(table, dtype.newbyteorder("="), order="C")
