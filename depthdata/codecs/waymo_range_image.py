"""Range images of the Waymo lidars to points, in float64 and for the returns only.

The official code works in float32 with global coordinates of 4e4 m, so its points of the roof lidar
are up to 8 mm off; here the translation of the frame is taken away before anything is rounded.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.protobuf import Message
from depthdata.codecs.waymo_frame import Frame, LaserCalibration
from depthdata.errors import FormatError

__all__ = ["LaserReturn", "laser_returns", "laser_segmentation"]

Float = npt.NDArray[np.float64]

_MOST = 1 << 28  # bytes of one range image; the largest real one has 4 MB


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
        if cells.ndim != 3 or cells.shape[2] < 3:
            raise FormatError(f"{where}: expected a range image (H, W, 4), found {cells.shape}")
        shape = cells.shape[:2]
        flat = cells.reshape(-1, cells.shape[2])
        cell = np.flatnonzero(flat[:, 0] > 0)
        values = flat[cell]
        if poses is None:  # the second echo uses those of the first
            poses = _cell_poses(message, shape, where)
        points = _sensor_to_vehicle(values[:, 0], cell, shape, calibration)
        if poses is not None:
            points = _deskew(points, poses[cell], frame.T_world_vehicle)
        out[echo] = LaserReturn(
            points,
            values[:, :3].copy(),
            values[:, 3] == 1 if values.shape[1] > 3 else np.zeros(len(cell), np.bool_),
            _projection(image, cell, shape, where) if projection else None,
            cell,
            (int(shape[0]), int(shape[1])),
        )
    return out


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
    shape: tuple[int, ...],
    calibration: LaserCalibration,
) -> Float:
    row, column = np.divmod(cell, shape[1])
    E = calibration.T_vehicle_laser
    height, width = int(shape[0]), int(shape[1])
    listed = calibration.inclinations
    if listed.size not in (0, height):
        raise FormatError(
            f"laser {calibration.name}: {listed.size} beam inclinations for {height} rows"
        )
    sines = _beams(listed.tobytes(), height, calibration.least, calibration.most)
    turns = _columns(width, float(np.arctan2(E[1, 0], E[0, 0])))
    distance = ranges.astype(np.float64)
    flat = distance * sines[1][row]
    sensor = np.empty((3, len(cell)))
    np.multiply(flat, turns[1][column], out=sensor[0])
    np.multiply(flat, turns[0][column], out=sensor[1])
    np.multiply(distance, sines[0][row], out=sensor[2])
    return np.ascontiguousarray((E[:3, :3] @ sensor + E[:3, 3:]).T)


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
    """Move points from the vehicle at the moment of their cell to the vehicle of the frame."""
    angles = poses[:, :3].astype(np.float64).T
    (sr, sp, sy), (cr, cp, cy) = np.sin(angles), np.cos(angles)
    x, y, z = points.T
    # Rz(yaw) Ry(pitch) Rx(roll) p
    y, z = cr * y - sr * z, sr * y + cr * z
    x, z = cp * x + sp * z, cp * z - sp * x
    x, y = cy * x - sy * y, sy * x + cy * y
    moved = np.stack([x, y, z])
    moved += poses[:, 3:6].astype(np.float64).T - T_world_vehicle[:3, 3:]
    return np.ascontiguousarray((T_world_vehicle[:3, :3].T @ moved).T)


def _cell_poses(
    message: Message, shape: tuple[int, ...], where: str
) -> npt.NDArray[np.float32] | None:
    blob = message.message(2).data(4)
    if not blob:
        return None
    poses = _floats(blob, f"{where}, poses")
    if poses.shape != (*shape, 6):
        raise FormatError(f"{where}: expected poses {(*shape, 6)}, found {poses.shape}")
    return poses.reshape(-1, 6)


def _projection(
    image: Message, cell: npt.NDArray[np.int64], shape: tuple[int, ...], where: str
) -> npt.NDArray[np.int32] | None:
    blob = image.data(3)
    if not blob:
        return None
    values = _integers(blob, f"{where}, camera projection")
    if values.shape != (*shape, 6):
        raise FormatError(f"{where}: expected projections {(*shape, 6)}, found {values.shape}")
    return values.reshape(-1, 6)[cell]


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
