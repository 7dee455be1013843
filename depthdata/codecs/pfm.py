r"""PFM, "portable float map": disparities, flows and numbers of surfaces as float32.

Three lines of text, then the values, the lowest row first::

    Pf              PF for three channels
    960 540         width, height
    -1.0            below 0: little-endian, above 0: big-endian; the magnitude means nothing

Blanks and a carriage return before a line's end are accepted: files of FlyingThings3D begin with
``Pf \n960 540 \n-1.0\n``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = ["decode_pfm", "encode_pfm", "generic_channels", "read_pfm"]

_LINE = 80  # bytes; a longer line is no header
_SIZE = re.compile(rb"(\d{1,9})\s+(\d{1,9})")
_SCALE = re.compile(rb"[-+]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][-+]?\d{1,3})?")


def decode_pfm(data: bytes) -> npt.NDArray[np.float32]:
    """Decode a PFM file.

    Returns
    -------
    (H, W) or (H, W, 3) float32
        All channels as stored, +-inf and NaN included, the top row first; contiguous and writable.

    Raises
    ------
    FormatError
        No header of a PFM, or other than exactly the values that it announces.

    Examples
    --------
    >>> decode_pfm(encode_pfm(np.array([[1, 2], [3, np.inf]])))
    array([[ 1.,  2.],
           [ 3., inf]], dtype=float32)
    """
    kind, start = _line(data, 0)
    size, start = _line(data, start)
    scale, start = _line(data, start)
    if kind not in (b"Pf", b"PF"):
        raise FormatError(f"PFM: expected 'Pf' or 'PF' in line 1, found {_shown(kind)}")
    sides = _SIZE.fullmatch(size)
    width, height = (int(sides[1]), int(sides[2])) if sides else (0, 0)
    if width == 0 or height == 0:
        raise FormatError(f"PFM: expected 'width height' in line 2, found {_shown(size)}")
    factor = float(scale) if _SCALE.fullmatch(scale) else 0.0
    if not factor:
        raise FormatError(f"PFM: expected a number that is not 0 in line 3, found {_shown(scale)}")
    shape = (height, width, 3) if kind == b"PF" else (height, width)
    expected = 4 * height * width * (3 if kind == b"PF" else 1)
    if len(data) - start != expected:  # before anything of the announced size is made
        raise FormatError(
            f"PFM: {width}x{height} pixels need {expected} bytes after the header, found "
            f"{len(data) - start}; the file is cut or damaged"
        )
    stored = np.frombuffer(data, "<f4" if factor < 0 else ">f4", offset=start)
    return stored.reshape(shape)[::-1].astype(np.float32, order="C")


def read_pfm(path: str | Path) -> npt.NDArray[np.float32]:
    """Read a file as `decode_pfm` does; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_pfm`.
    """
    return read_with(path, decode_pfm)


def encode_pfm(array: npt.NDArray[Any], big_endian: bool = False, *, blanks: bool = False) -> bytes:
    r"""Encode numbers (H, W) or (H, W, 3), the top row first, as float32.

    Parameters
    ----------
    array : (H, W) or (H, W, 3) numbers
    big_endian : bool
    blanks : bool
        End the first two lines with a blank and write the scale as 1.0, as in FlyingThings3D.

    Raises
    ------
    UsageError
        Another shape, or no numbers.

    Examples
    --------
    >>> encode_pfm(np.zeros((1, 2)), blanks=True)[:17]
    b'Pf \n2 1 \n-1.0\n\x00\x00\x00'
    """
    if array.dtype.kind not in "fiub" or not array.size:
        raise UsageError(f"encode_pfm: expected numbers, found {array.dtype} {array.shape}")
    if array.ndim != 2 and array.shape[2:] != (3,):
        raise UsageError(f"encode_pfm: expected (H, W) or (H, W, 3), found {array.shape}")
    rows = np.ascontiguousarray(array, ">f4" if big_endian else "<f4")
    blank, scale = (" ", "1.0") if blanks else ("", "1")
    lines = (
        "PF" if array.ndim == 3 else "Pf",
        f"{blank}\n{array.shape[1]} {array.shape[0]}{blank}\n",
        f"{'' if big_endian else '-'}{scale}\n",
    )
    # Joining the rows from the last to the first turns the image in the one copy there is.
    return b"".join(["".join(lines).encode("ascii"), *(row.data for row in rows[::-1])])


def generic_channels(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what the authors' generic reader gives: a colour file loses its last channel.

    For optical flow that channel is unused.

    >>> generic_channels(np.zeros((4, 6, 3), np.float32)).shape
    (4, 6, 2)
    """
    return array[..., :-1] if array.ndim == 3 else array


def _line(data: bytes, start: int) -> tuple[bytes, int]:
    """Return a line of the header without white space at its end, and where the next begins."""
    end = data.find(b"\n", start, start + _LINE)
    if end < 0:
        found = _shown(data[start : start + 20])
        raise FormatError(f"PFM: expected three short lines of text first, found {found}")
    line = data[start:end].rstrip()
    return (line if start == 0 else line.lstrip()), end + 1


def _shown(line: bytes) -> str:
    return repr(line[:40].decode("latin-1")) if line else "nothing"
