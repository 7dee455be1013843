"""MPI Sintel's own files: disparity in the colours of a PNG, ``.dpt`` depth, ``.cam`` cameras.

Optical flow is ``.flo`` (`depthdata.codecs.flo`).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = [
    "SintelCamera",
    "decode_camera",
    "decode_depth",
    "decode_disparity",
    "decode_mask",
    "encode_camera",
    "encode_depth",
    "encode_disparity",
    "encode_mask",
    "read_camera",
    "read_depth",
    "valid_disparity",
    "wrapped_disparity",
]

Float = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]

_TAG = struct.pack("<f", 202021.25)  # b"PIEH", as in .flo
_STEPS = 1 << 14  # disparity steps a pixel
_CAMERA = 4 + 8 * (9 + 12)


class SintelCamera(NamedTuple):
    """What a ``.cam`` file holds.

    Attributes
    ----------
    intrinsics : (3, 3) float64
    T_cam_world : (3, 4) float64
        World to camera, OpenCV axes, metres; the first three rows.
    """

    intrinsics: Float
    T_cam_world: Float


def decode_disparity(data: bytes) -> Map:
    """Decode a disparity PNG: ``4 R + G / 64 + B / 16384`` pixels, (H, W) float32.

    A multiple of 1/16384 below 1024 is a whole number of 24 bits: exact in float32. 0 means that
    there is none.

    Raises
    ------
    FormatError
        Not a whole 8-bit RGB PNG.

    Examples
    --------
    >>> decode_disparity(encode_disparity(np.array([[300.25, 0.0]])))
    array([[300.25,   0.  ]], dtype=float32)
    """
    red, green, blue = np.moveaxis(decode_png_map(data, "disparity", (8,), 3), -1, 0)
    steps = (red.astype(np.int32) << 16) | (green.astype(np.int32) << 8) | blue
    return np.asarray(steps.astype(np.float32) / np.float32(_STEPS))


def encode_disparity(disparity: npt.ArrayLike) -> bytes:
    """Encode disparity (H, W) in pixels, rounded down to 1/16384; NaN becomes 0.

    Raises
    ------
    UsageError
        Another shape, or a value below 0 or not below 1024.
    """
    values = np.nan_to_num(np.asarray(disparity, np.float64), nan=0.0)
    if values.ndim != 2 or not values.size or not ((values >= 0) & (values < 1024)).all():
        found = f"{values.min()} to {values.max()}" if values.size else "nothing"
        raise UsageError(
            f"encode_disparity: expected (H, W) within 0 to 1024 px, found {found} in an array of "
            f"{values.shape}"
        )
    steps = np.floor(values * _STEPS).astype(np.int32)
    colours = np.stack([steps >> 16, steps >> 8, steps], axis=-1) & 255
    return encode_png(colours.astype(np.uint8))


def wrapped_disparity(disparity: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the disparity that RAFT-Stereo's reader gives: modulo 256, a bug of that reader.

    It multiplies the red channel by 4 in 8 bits. Its validity is that of the WRAPPED value (see
    `valid_disparity`), so exact multiples of 256 px are invalid there.

    >>> wrapped_disparity(np.array([255.5, 256.0, 300.25, np.nan]))
    array([255.5 ,   0.  ,  44.25,   0.  ])
    """
    return np.asarray(np.mod(np.nan_to_num(disparity, nan=0.0), 256))


def valid_disparity(
    disparity: npt.NDArray[Any], occluded: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Tell where the published readers take a disparity for valid: not occluded and above 0.

    Pixels whose match is out of the frame are valid unless they are marked occluded too.

    >>> valid_disparity(np.array([1.0, 1.0, 0.0, np.nan]), np.array([0, 1, 0, 0])).tolist()
    [True, False, False, False]
    """
    return np.asarray((np.asarray(occluded) == 0) & (np.asarray(disparity) > 0))


def decode_depth(data: bytes) -> Map:
    """Decode a ``.dpt`` file: the number 202021.25, width, height, and z in metres row by row.

    Returns
    -------
    (H, W) float32
        As stored; contiguous and writable.

    Raises
    ------
    FormatError
        Another kind of file, or other than exactly the values that it announces.

    Examples
    --------
    >>> decode_depth(encode_depth(np.array([[1.5, 20]])))
    array([[ 1.5, 20. ]], dtype=float32)
    """
    if len(data) < 12 or data[:4] != _TAG:
        raise FormatError(f"depth: expected a .dpt file ('PIEH' first), found {data[:4]!r}")
    width, height = struct.unpack_from("<ii", data, 4)
    if width < 1 or height < 1:
        raise FormatError(f"depth: expected a size above 0, found {width}x{height}")
    expected, found = 4 * width * height, len(data) - 12
    if found != expected:  # before anything of the announced size is made
        raise FormatError(
            f"depth: {width}x{height} pixels need {expected} bytes after the header, found "
            f"{found}; the file is cut or damaged"
        )
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width).astype(np.float32)


def read_depth(path: str | Path) -> Map:
    """Read a file as `decode_depth` does; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_depth`.
    """
    return read_with(path, decode_depth)


def encode_depth(depth: npt.ArrayLike) -> bytes:
    """Encode depth (H, W) in metres as float32.

    Raises
    ------
    UsageError
        Another shape.
    """
    values = np.ascontiguousarray(depth, "<f4")
    if values.ndim != 2 or not values.size:
        raise UsageError(f"encode_depth: expected (H, W), found {values.shape}")
    height, width = values.shape
    return _TAG + struct.pack("<ii", width, height) + values.tobytes()


def decode_camera(data: bytes) -> SintelCamera:
    """Decode a ``.cam`` file: the number 202021.25, intrinsics 3x3, world to camera 3x4, float64.

    Raises
    ------
    FormatError
        Another kind of file, another length, or numbers that are no camera.

    Examples
    --------
    >>> camera = SintelCamera(np.diag([1120.0, 1120.0, 1.0]), np.eye(3, 4))
    >>> decode_camera(encode_camera(camera)).intrinsics[0]
    array([1120.,    0.,    0.])
    """
    if data[:4] != _TAG:
        raise FormatError(f"camera: expected a .cam file ('PIEH' first), found {data[:4]!r}")
    if len(data) != _CAMERA:
        raise FormatError(
            f"camera: expected {_CAMERA} bytes, found {len(data)}; the file is cut or damaged"
        )
    numbers = np.frombuffer(data, "<f8", offset=4).astype(np.float64)
    intrinsics, extrinsics = numbers[:9].reshape(3, 3), numbers[9:].reshape(3, 4)
    focal = intrinsics[[0, 1], [0, 1]]
    if not np.isfinite(numbers).all() or (focal <= 0).any() or (intrinsics[2] != (0, 0, 1)).any():
        raise FormatError(
            "camera: expected finite numbers, focal lengths above 0 and intrinsics with a last "
            f"row 0 0 1, found intrinsics {intrinsics.tolist()}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(extrinsics[:, :3] @ extrinsics[:, :3].T - np.eye(3)).max()
    if not off < 1e-3:
        raise FormatError(
            f"camera: expected a rotation, found {extrinsics[:, :3].tolist()}; the file is damaged"
        )
    return SintelCamera(intrinsics, extrinsics)


def read_camera(path: str | Path) -> SintelCamera:
    """Read a file as `decode_camera` does; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_camera`.
    """
    return read_with(path, decode_camera)


def encode_camera(camera: SintelCamera) -> bytes:
    """Encode a camera.

    Raises
    ------
    UsageError
        Matrices of another shape.
    """
    parts = [np.ascontiguousarray(matrix, "<f8") for matrix in camera]
    if [part.shape for part in parts] != [(3, 3), (3, 4)]:
        found = " and ".join(str(part.shape) for part in parts)
        raise UsageError(f"encode_camera: expected (3, 3) and (3, 4), found {found}")
    return _TAG + b"".join(part.tobytes() for part in parts)


def decode_mask(data: bytes) -> npt.NDArray[np.bool_]:
    """Decode a mask PNG: True where it is 255, (H, W).

    Raises
    ------
    FormatError
        Not a whole grey PNG, or values other than 0 and 255.

    Examples
    --------
    >>> decode_mask(encode_mask(np.array([[1, 0]])))
    array([[ True, False]])
    """
    values = decode_png_map(data, "mask", (1, 8))
    marked = values == 255
    other = values[~marked & (values != 0)]
    if other.size:
        raise FormatError(f"mask: expected 0 and 255, found {sorted(set(other.tolist()))[:4]}")
    return np.asarray(marked)


def encode_mask(marked: npt.ArrayLike) -> bytes:
    """Encode a mask (H, W): 255 where it is not 0.

    Raises
    ------
    UsageError
        Another shape.
    """
    values = np.asarray(marked) != 0
    if values.ndim != 2 or not values.size:
        raise UsageError(f"encode_mask: expected (H, W), found {values.shape}")
    return encode_png(np.where(values, 255, 0).astype(np.uint8))
