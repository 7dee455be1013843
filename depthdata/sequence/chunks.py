"""Stored chunks to arrays without the HDF5 library, whose one lock would serialise readers."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from depthdata.errors import FormatError

__all__ = ["decode_chunk", "unshuffle"]

_CHECKSUM_SIZE = 4  # fletcher32 lies behind the data
_thread = threading.local()


def decode_chunk(
    stored: bytes,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    filters: tuple[str, ...],
    mask: int = 0,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Undo the filters of one chunk.

    Parameters
    ----------
    stored : bytes
        The chunk as it lies in the file.
    dtype, shape
        Of the frame.
    filters : tuple of str
        In the order of writing, from ``shuffle``, ``zstd``, ``gzip``, ``fletcher32``.
    mask : int
        HDF5's filter mask: bit i says that filter i was left out for this chunk.
    out : array of `shape` and `dtype`, optional
        Contiguous; where the frame goes.

    Returns
    -------
    array of `shape`
        The frame; `out` where it is given.

    Raises
    ------
    FormatError
        The bytes do not decode to the frame, or a filter is unknown.
    """
    size = dtype.itemsize
    for shape_size in shape:
        size *= shape_size
    used = [name for i, name in enumerate(filters) if not mask >> i & 1]
    data: Any = stored
    shuffled = False
    try:
        for name in reversed(used):
            if name == "fletcher32":
                data = memoryview(data)[:-_CHECKSUM_SIZE]
            elif name == "zstd":
                data = _decompressor().decompress(data, max_output_size=size)
            elif name == "gzip":
                data = zlib.decompress(data, bufsize=size)
            elif name == "shuffle":
                shuffled = True
            else:
                raise FormatError(f"chunk: unknown filter {name}")
    except (zlib.error, zstandard.ZstdError) as error:
        raise FormatError(f"chunk: {len(stored)} bytes that do not decode: {error}") from error
    if len(data) != size:
        raise FormatError(f"chunk: expected {size} bytes, decoded {len(data)}")
    if out is None:
        out = np.empty(shape, dtype)
    if shuffled:
        unshuffle(data, out)
    else:
        out[...] = np.frombuffer(data, dtype).reshape(shape)
    return out


def unshuffle(data: Any, out: npt.NDArray[Any]) -> None:
    """Put the byte planes of HDF5's shuffle filter back together in a contiguous array.

    >>> out = np.empty(2, "<u2")
    >>> planes = np.array([[1, 2], [0, 1]], np.uint8)  # low bytes, then high bytes
    >>> unshuffle(planes.tobytes(), out)
    >>> out
    array([  1, 258], dtype=uint16)
    """
    import cv2

    if not out.size:
        return
    planes = np.frombuffer(data, np.uint8).reshape(out.itemsize, 1, -1)
    target = out.reshape(-1).view(np.uint8).reshape(1, -1, out.itemsize)
    if out.itemsize == 1:
        target[...] = planes[0, ..., None]
    else:
        cv2.merge(list(planes), target)  # ten times as fast as strided copies


def _decompressor() -> zstandard.ZstdDecompressor:
    """One decompressor a thread: it is not safe to share."""
    if not hasattr(_thread, "zstd"):
        _thread.zstd = zstandard.ZstdDecompressor()
    decompressor: zstandard.ZstdDecompressor = _thread.zstd
    return decompressor
