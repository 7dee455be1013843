"""``.npy`` files of numbers, read without numpy's loader: no pickle, nothing that the header asks.

The header is checked against the bytes that are there before an array is made of them.
"""

from __future__ import annotations

import ast
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError

__all__ = ["decode_npy", "encode_npy", "read_npy"]

_MAGIC = b"\x93NUMPY"
_DTYPE = re.compile(r"[<>|=]?[buif][1248]")
_LONGEST_HEADER = 10_000


def decode_npy(data: bytes) -> npt.NDArray[Any]:
    """Decode an array of booleans, whole numbers or floats.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    array
        In the shape and type of the file; not writable, it shares the bytes.

    Raises
    ------
    FormatError
        Another kind of file, another kind of content, or other than exactly the values that the
        header announces.

    Examples
    --------
    >>> decode_npy(encode_npy(np.array([[1.5, 2]])))
    array([[1.5, 2. ]])
    """
    if len(data) < 12 or data[:6] != _MAGIC or data[6] not in (1, 2, 3):
        raise FormatError(f"npy: expected a .npy file ('\\x93NUMPY' first), found {data[:6]!r}")
    width = 2 if data[6] == 1 else 4
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    if end > min(len(data), start + _LONGEST_HEADER):
        raise FormatError(f"npy: the header ends at byte {end} of {len(data)}; the file is cut")
    dtype, fortran, shape = _header(data[start:end])
    count, found = math.prod(shape), len(data) - end
    if found != count * dtype.itemsize:
        raise FormatError(
            f"npy: {'x'.join(map(str, shape)) or 'one'} values of {dtype} need "
            f"{count * dtype.itemsize} bytes after the header, found {found}; the file is cut or "
            "damaged"
        )
    values = np.frombuffer(data, dtype, offset=end)
    return values.reshape(shape, order="F" if fortran else "C")


def read_npy(path: str | Path) -> npt.NDArray[Any]:
    """Read a file as `decode_npy` does; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_npy`.
    """
    return read_with(path, decode_npy)


def encode_npy(array: npt.NDArray[Any]) -> bytes:
    """Encode an array of numbers."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _header(text: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    try:
        facts = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise FormatError(f"npy: a header that is none: {text[:60]!r}") from error
    if not isinstance(facts, dict) or set(facts) != {"descr", "fortran_order", "shape"}:
        raise FormatError(f"npy: a header that is none: {text[:60]!r}")
    descr, fortran, shape = facts["descr"], facts["fortran_order"], facts["shape"]
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or len(shape) > 32 or not isinstance(fortran, bool):
        raise FormatError(f"npy: a header that is none: {text[:60]!r}")
    if not isinstance(descr, str) or not _DTYPE.fullmatch(descr):
        raise FormatError(f"npy: expected an array of numbers, found {str(descr)[:40]!r}")
    try:
        return np.dtype(descr), fortran, shape
    except TypeError as error:  # i2 is a type, b2 is none
        raise FormatError(f"npy: expected an array of numbers, found {descr!r}") from error
