"""Range images of the Waymo lidars to points, in float64 and for the returns only.

The official code works in float32 with global coordinates of 4e4 m, so its points of the roof lidar
are up to 8 mm off; here the translation of the frame is taken away before anything is rounded.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.protobuf import Message
from depthdata.codecs.waymo_frame import Frame, LaserCalibration
from depthdata.errors import FormatError

__all__ = ["LaserReturn", "image_returns", "laser_returns", "laser_segmentation"]

Float = npt.NDArray[np.float64]

_MOST = 1 << 25  # bytes of one matrix; the largest real one has 4 MB
_BLOCK = 1 << 14  # points


class LaserReturn(NamedTuple):
    """The returns of one lidar: first or second echo, row by row of the range image.

    Attributes
    ----------
    points : (N, 3) float64
        In the vehicle frame of `Frame.T_world_vehicle`, metres.
    polar : (N, 3) float32
        Range (m), intensity, elongation.
    no_label_zone : (N,) bool
        Whether the point lies in a zone without labels.
    projection : (N, 6) int32 or None
        Camera, column, row of the first and of the second camera that sees the point (0 = none),
        in the distorted image.
    cell : (N,) int64
        Index of the cell, row * width + column.
    shape : (2,) int
        Rows and columns of the range image.
    """

    points: Float
    polar: npt.NDArray[np.float32]
    no_label_zone: npt.NDArray[np.bool_]
    projection: npt.NDArray[np.int32] | None
    cell: npt.NDArray[np.int64]
    shape: tuple[int, int]


def laser_returns(
    frame: Frame, laser: int, returns: tuple[int, ...] = (1, 2), *, projection: bool = True
) -> dict[int, LaserReturn]:
    """Return the points of one lidar by echo (1, 2); echoes that the record lacks are left out.

    Parameters
    ----------
    frame : Frame
    laser : int
        Key of `depthdata.codecs.waymo_frame.LASERS`.
    returns : tuple of int
        Which echoes.
    projection : bool
        Whether to read the camera projections (a third of the time).

    Raises
    ------
    FormatError
        A matrix is damaged or has no sense, or there is no calibration.
    """
    message = frame.lasers.get(laser)
    if message is None:
        return {}
    where = f"{frame.where}, laser {laser}"
    calibration = frame.laser_calibrations.get(laser)
    poses: npt.NDArray[np.float32] | None = None
    out = {}
    for echo in returns:
        image = message.message(1 + echo)
        blob = image.data(2)
        if not blob:
            continue
        if calibration is None:
            raise FormatError(f"{where}: a range image without calibration")
        cells = _floats(blob, f"{where}, return {echo}")
        if poses is None:  # the second echo uses those of the first
            poses = _optional(_floats, message.message(2).data(4), f"{where}, poses")
        seen = image.data(3) if projection else memoryview(b"")
        out[echo] = image_returns(
            cells,
            calibration,
            frame.T_world_vehicle,
            poses=poses,
            projection=_optional(_integers, seen, f"{where}, camera projection"),
            where=where,
        )
    return out


def image_returns(
    cells: npt.NDArray[np.float32],
    calibration: LaserCalibration,
    T_world_vehicle: Float,
    *,
    poses: npt.NDArray[np.float32] | None = None,
    projection: npt.NDArray[np.int32] | None = None,
    where: str = "range image",
) -> LaserReturn:
    """Return the points of a range image.

    Parameters
    ----------
    cells : (H, W, 4) float32
        Range (m; above 0 where there is a return), intensity, elongation, no-label zone.
    calibration : LaserCalibration
    T_world_vehicle : (4, 4)
        In the middle of the sweep.
    poses : (H, W, 6) float32, optional
        Roll, pitch, yaw, x, y, z of the vehicle at each cell.
    projection : (H, W, 6) int32, optional
    where : str
        Names the image in errors.

    Raises
    ------
    FormatError
        The shapes do not go together.
    """
    if cells.ndim != 3 or cells.shape[2] < 3:
        raise FormatError(f"{where}: expected a range image (H, W, 4), found {cells.shape}")
    shape = (int(cells.shape[0]), int(cells.shape[1]))
    for other, name in ((poses, "poses"), (projection, "projections")):
        if other is not None and other.shape != (*shape, 6):
            raise FormatError(f"{where}: expected {name} {(*shape, 6)}, found {other.shape}")
    if calibration.inclinations.size not in (0, shape[0]):
        raise FormatError(
            f"{where}: {calibration.inclinations.size} beam inclinations for {shape[0]} rows"
        )
    flat = cells.reshape(-1, cells.shape[2])
    cell = np.flatnonzero(flat[:, 0] > 0)
    values = flat[cell]
    points = np.empty((len(cell), 3))
    for start in range(0, len(cell), _BLOCK):  # what fits into the cache is faster
        part = slice(start, start + _BLOCK)
        found = _sensor_to_vehicle(values[part, 0], cell[part], shape, calibration)
        if poses is not None:
            found = _deskew(found, poses.reshape(-1, 6)[cell[part]], T_world_vehicle)
        points[part] = found.T
    return LaserReturn(
        points,
        values[:, :3].copy(),
        values[:, 3] == 1 if values.shape[1] > 3 else np.zeros(len(cell), np.bool_),
        None if projection is None else projection.reshape(-1, 6)[cell],
        cell,
        shape,
    )


def laser_segmentation(frame: Frame, laser: int, echo: int = 1) -> npt.NDArray[np.int32] | None:
    """Return the segmentation image (H, W, 2) int32: instance, class; None where there is none."""
    message = frame.lasers.get(laser)
    blob = None if message is None else message.message(1 + echo).data(6)
    if not blob:
        return None
    return _integers(blob, f"{frame.where}, laser {laser}, segmentation")


def _sensor_to_vehicle(
    ranges: npt.NDArray[np.float32],
    cell: npt.NDArray[np.int64],
    shape: tuple[int, int],
    calibration: LaserCalibration,
) -> Float:
    """Points (3, N) in the vehicle at the moment of each cell."""
    row, column = np.divmod(cell, shape[1])
    E, (height, width) = calibration.T_vehicle_laser, shape
    listed = calibration.inclinations.tobytes()
    sines = _beams(listed, height, calibration.least, calibration.most)
    turns = _columns(width, float(np.arctan2(E[1, 0], E[0, 0])))
    distance = ranges.astype(np.float64)
    flat = distance * sines[1][row]
    sensor = np.empty((3, len(cell)))
    np.multiply(flat, turns[1][column], out=sensor[0])
    np.multiply(flat, turns[0][column], out=sensor[1])
    np.multiply(distance, sines[0][row], out=sensor[2])
    return np.asarray(E[:3, :3] @ sensor + E[:3, 3:])


@lru_cache(maxsize=32)
def _beams(listed: bytes, height: int, least: float, most: float) -> tuple[Float, Float]:
    """Sine and cosine of the inclination of each row; row 0 is the highest beam."""
    if listed:
        inclination = np.frombuffer(listed, np.float64)[::-1]
    else:
        inclination = (least + (np.arange(height) + 0.5) / height * (most - least))[::-1]
    return np.sin(inclination), np.cos(inclination)


@lru_cache(maxsize=32)
def _columns(width: int, correction: float) -> tuple[Float, Float]:
    """Sine and cosine of the azimuth of each column, from just below +pi on clockwise."""
    share = (width - np.arange(width) - 0.5) / width
    azimuth = (2 * share - 1) * np.pi - correction
    return np.sin(azimuth), np.cos(azimuth)


def _deskew(points: Float, poses: npt.NDArray[np.float32], T_world_vehicle: Float) -> Float:
    """Move points (3, N) from the vehicle at the moment of their cell to that of the frame."""
    angles = poses[:, :3].astype(np.float64).T
    (sr, sp, sy), (cr, cp, cy) = np.sin(angles), np.cos(angles)
    x, y, z = points
    # Rz(yaw) Ry(pitch) Rx(roll) p
    y, z = cr * y - sr * z, sr * y + cr * z
    x, z = cp * x + sp * z, cp * z - sp * x
    x, y = cy * x - sy * y, sy * x + cy * y
    moved = np.stack([x, y, z])
    moved += poses[:, 3:6].astype(np.float64).T - T_world_vehicle[:3, 3:]
    return np.asarray(T_world_vehicle[:3, :3].T @ moved)


def _optional(
    decode: Callable[[memoryview, str], npt.NDArray[Any]], blob: memoryview, where: str
) -> npt.NDArray[Any] | None:
    """Decode a matrix that may be absent."""
    return decode(blob, where) if blob else None


def _floats(blob: memoryview, where: str) -> npt.NDArray[np.float32]:
    """Return a compressed MatrixFloat."""
    message = _inflate(blob, where)
    return message.floats(1).reshape(_shape(message, message.floats(1).size, where))


def _integers(blob: memoryview, where: str) -> npt.NDArray[np.int32]:
    """Return a compressed MatrixInt32."""
    message = _inflate(blob, where)
    values = message.integers32(1)
    return values.reshape(_shape(message, values.size, where))


def _inflate(blob: memoryview, where: str) -> Message:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(blob, _MOST)
    except zlib.error as error:
        raise FormatError(f"{where}: the compressed matrix is damaged: {error}") from error
    if not unpacker.eof:
        raise FormatError(f"{where}: the compressed matrix is cut off or above {_MOST} bytes")
    return Message(data, where)


def _shape(message: Message, size: int, where: str) -> tuple[int, ...]:
    shape = tuple(message.message(2).integers32(1).tolist())
    if min(shape, default=-1) < 0 or math.prod(shape) != size:
        raise FormatError(f"{where}: {size} values do not fill the shape {shape}")
    return shape
