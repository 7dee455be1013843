"""Lidar scans of nuScenes (``.pcd.bin``) and their panoptic labels (``_panoptic.npz``)."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError

__all__ = [
    "DIVISOR",
    "decode_panoptic",
    "decode_scan",
    "encode_panoptic",
    "encode_scan",
    "read_panoptic",
    "read_scan",
]

DIVISOR = 1000
"""Panoptic label = number of the category * DIVISOR + number of the instance."""

_COLUMNS = 5
_MOST_POINTS = 1 << 22
_BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError)


def decode_scan(data: bytes) -> npt.NDArray[np.float32]:
    """Return the points of a scan.

    Returns
    -------
    (N, 5) float32
        x (right), y (forward), z (up) in metres in the lidar's frame, intensity, ring.

    Raises
    ------
    FormatError
        The length is not that of whole points.

    Examples
    --------
    >>> decode_scan(encode_scan(np.ones((2, 5), np.float32))).shape
    (2, 5)
    """
    if not data or len(data) % (4 * _COLUMNS):
        raise FormatError(
            f"lidar scan: expected points of 20 bytes (5 float32), found {len(data)} bytes; the "
            "file is cut or something else"
        )
    return np.frombuffer(data, "<f4").reshape(-1, _COLUMNS)


def encode_scan(points: npt.NDArray[np.floating]) -> bytes:
    """Return the file of a scan (N, 5)."""
    return np.ascontiguousarray(points, "<f4").tobytes()


def read_scan(path: str | Path) -> npt.NDArray[np.float32]:
    """Read a scan; see `decode_scan`."""
    return read_with(path, decode_scan)


def decode_panoptic(data: bytes) -> npt.NDArray[np.uint16]:
    """Return the panoptic labels of a scan, one a point, without ever loading a pickle.

    Returns
    -------
    (N,) uint16

    Raises
    ------
    FormatError
        No npz file with one array ``data`` of uint16.

    Examples
    --------
    >>> decode_panoptic(encode_panoptic(np.array([17001, 24000], np.uint16)))
    array([17001, 24000], dtype=uint16)
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo("data.npy")
            if info.file_size > 2 * _MOST_POINTS:
                raise ValueError(f"{info.file_size} bytes are more than a scan has points")
            with archive.open(info) as file:
                content = file.read(2 * _MOST_POINTS + 1)
        return _array(content)
    except KeyError:
        raise FormatError("panoptic labels: the npz file has no array 'data'") from None
    except (*_BROKEN, RuntimeError, SyntaxError) as error:
        raise FormatError(f"panoptic labels: no npz file of uint16: {error}") from error


def encode_panoptic(labels: npt.NDArray[np.uint16]) -> bytes:
    """Return the file of labels (N,)."""
    out = io.BytesIO()
    np.savez_compressed(out, data=np.asarray(labels, np.uint16))
    return out.getvalue()


def read_panoptic(path: str | Path) -> npt.NDArray[np.uint16]:
    """Read panoptic labels; see `decode_panoptic`."""
    return read_with(path, decode_panoptic)


def _array(content: bytes) -> npt.NDArray[np.uint16]:
    """Return the array of a npy file; nothing is allocated for what the header promises."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"npy version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    values = content[file.tell() :]
    if dtype != np.dtype("<u2") or len(shape) != 1 or 2 * shape[0] != len(values):
        raise ValueError(f"array of {dtype}, {shape}, in {len(values)} bytes")
    return np.frombuffer(values, "<u2")
