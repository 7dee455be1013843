"""Calibration and oxts packets of a KITTI raw drive as matrices.

Frames: ``velo`` (x forward, y left, z up), ``imu`` (the same axes), ``cam0`` (camera 00 before
rectification), ``rect0`` (after), and each rectified camera, which differs from ``rect0`` by a
translation only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti import CalibrationText, read_calibration, read_oxts
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import is_rigid, rigid_transform, rotation_from_euler, se3_inverse

__all__ = ["EARTH_RADIUS", "DriveGeometry", "Trajectory", "mercator_pose", "trajectory"]

FloatArray = npt.NDArray[np.float64]

EARTH_RADIUS = 6378137.0
"""Metres; the sphere of the Mercator projection."""


@dataclass(frozen=True)
class DriveGeometry:
    """Calibration of a drive's date.

    Parameters
    ----------
    cam_to_cam : CalibrationText
        ``calib_cam_to_cam.txt``.
    T_rect0_cam0 : (4, 4)
        ``R_rect_00``: the rectifying rotation.
    T_cam0_velo : (4, 4), optional
        None without ``calib_velo_to_cam.txt``.
    T_velo_imu : (4, 4), optional
        None without ``calib_imu_to_velo.txt``.
    """

    cam_to_cam: CalibrationText
    T_rect0_cam0: FloatArray
    T_cam0_velo: FloatArray | None
    T_velo_imu: FloatArray | None

    @classmethod
    def read(cls, date: Path, *, velodyne: bool, oxts: bool) -> DriveGeometry:
        """Read the calibration of a date folder.

        Parameters
        ----------
        date : Path
        velodyne, oxts : bool
            Whether there are scans, packets: only what they need may not be missing.
        """
        velo_to_cam, imu_to_velo = date / "calib_velo_to_cam.txt", date / "calib_imu_to_velo.txt"
        if not (velodyne or oxts or velo_to_cam.is_file()):
            return cls.of(date / "calib_cam_to_cam.txt")
        with_imu = oxts or imu_to_velo.is_file()
        return cls.of(date / "calib_cam_to_cam.txt", velo_to_cam, imu_to_velo if with_imu else None)

    @classmethod
    def of(
        cls, cam_to_cam: Path, velo_to_cam: Path | None = None, imu_to_velo: Path | None = None
    ) -> DriveGeometry:
        """Read calibration files; one that is left out is not needed."""
        text = read_calibration(cam_to_cam)
        T_rect0_cam0 = rigid_transform(text.numbers("R_rect_00", 3, 3), np.zeros(3))
        _check_rigid(T_rect0_cam0, text, "R_rect_00")
        T_cam0_velo = None if velo_to_cam is None else _rigid(read_calibration(velo_to_cam))
        T_velo_imu = None
        if T_cam0_velo is not None and imu_to_velo is not None:
            T_velo_imu = _rigid(read_calibration(imu_to_velo))
        return cls(text, T_rect0_cam0, T_cam0_velo, T_velo_imu)

    def projection(self, number: int) -> FloatArray:
        """Return ``P_rect``, (3, 4): a point of ``rect0`` to (u z, v z, z) in a camera."""
        key = f"P_rect_{number:02d}"
        matrix = self.cam_to_cam.numbers(key, 3, 4)
        if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[2, 2] > 0):
            line = self.cam_to_cam.lines[key]
            raise FormatError(f"{self.cam_to_cam.path}, line {line}: {key} is no projection")
        return matrix

    def intrinsics(self, number: int) -> FloatArray:
        """Return the (3, 3) intrinsics of a rectified camera."""
        return self.projection(number)[:, :3]

    def velo_projection(self, number: int) -> FloatArray:
        """Return the (3, 4) that takes a velodyne point to (u z, v z, z) in a camera."""
        if self.T_cam0_velo is None:
            path = self.cam_to_cam.path.parent / "calib_velo_to_cam.txt"
            raise SourceError(f"{path} is missing", incomplete=True)
        # Multiplied in the order of the published recipe, so that the last bit agrees.
        return (self.projection(number) @ self.T_rect0_cam0) @ self.T_cam0_velo

    def T_cam_rect0(self, number: int) -> FloatArray:
        """Return the (4, 4) from ``rect0`` to a rectified camera: a translation."""
        matrix = self.projection(number)
        return rigid_transform(np.eye(3), np.linalg.solve(matrix[:, :3], matrix[:, 3]))

    def baseline(self, left: int, right: int) -> float:
        """Return the distance from one camera to the other along x, metres."""
        return float(self.T_cam_rect0(left)[0, 3] - self.T_cam_rect0(right)[0, 3])

    @property
    def rig(self) -> str:
        """What the rig's frame is: ``imu``, else ``velo``, else ``rect0``."""
        if self.T_velo_imu is not None:
            return "imu"
        return "rect0" if self.T_cam0_velo is None else "velo"

    def T_rig_cam(self, number: int) -> FloatArray:
        """Return the (4, 4) from a rectified camera to the rig."""
        T_cam_rig = self.T_cam_rect0(number)
        if self.T_cam0_velo is not None:
            T_cam_rig = T_cam_rig @ self.T_rect0_cam0 @ self.T_cam0_velo
        if self.T_velo_imu is not None:
            T_cam_rig = T_cam_rig @ self.T_velo_imu
        return se3_inverse(T_cam_rig)

    def size(self, number: int) -> tuple[int, int] | None:
        """Return (height, width) of ``S_rect`` cut to integers; None where the file has none."""
        key = f"S_rect_{number:02d}"
        if key not in self.cam_to_cam:
            return None
        width, height = (int(n) for n in self.cam_to_cam.numbers(key, 2))
        if min(height, width) < 1:
            line = self.cam_to_cam.lines[key]
            raise FormatError(f"{self.cam_to_cam.path}, line {line}: {key} is no image size")
        return height, width


@dataclass(frozen=True)
class Trajectory:
    """Poses of the IMU.

    Parameters
    ----------
    T_world_imu : (T, 4, 4)
        World: the axes of the IMU at the first frame that has a packet. NaN where there is none.
    facts : dict
        What undoes the re-basing: ``T_mercator_world`` (4x4), the Mercator scale, the frame.
    """

    T_world_imu: FloatArray
    facts: dict[str, Any]


def mercator_pose(packet: npt.ArrayLike, scale: float) -> FloatArray:
    """Return the IMU's pose of an oxts packet: (4, 4), x east, y north, z up, metres.

    Position by the spherical Mercator projection times `scale` (the cosine of a reference
    latitude), z the altitude; rotation ``Rz(yaw) Ry(pitch) Rx(roll)``.

    Examples
    --------
    >>> mercator_pose([0, 0, 7, 0, 0, 0], 1.0)[:3, 3].round(6) + 0.0
    array([0., 0., 7.])
    """
    latitude, longitude, altitude, roll, pitch, yaw = np.asarray(packet, dtype=np.float64)[:6]
    position = (
        scale * EARTH_RADIUS * np.radians(longitude),
        scale * EARTH_RADIUS * np.log(np.tan(np.pi * (90 + latitude) / 360)),
        altitude,
    )
    return rigid_transform(rotation_from_euler(roll, pitch, yaw), position)


def trajectory(root: Path, packets: Mapping[int, str], frames: list[int]) -> Trajectory | None:
    """Read the oxts packets of some frames; None when no frame has one.

    Parameters
    ----------
    root : Path
        Folder that the packets' names are relative to.
    packets : mapping
        Frame number -> file.
    frames : list of int
        Frame numbers of the timeline.
    """
    T_world_imu = np.full((len(frames), 4, 4), np.nan)
    first: FloatArray | None = None
    facts: dict[str, Any] = {}
    scale = 1.0
    for t, frame in enumerate(frames):
        if frame not in packets:
            continue
        packet = read_oxts(root / packets[frame])
        if first is None:
            scale = float(np.cos(np.radians(packet[0])))
            first = mercator_pose(packet, scale)
            facts = {
                "world": "axes of the IMU at the first frame that has an oxts packet",
                "first_frame": frame,
                "T_mercator_world": first.tolist(),
                "mercator_scale": scale,
                "earth_radius": EARTH_RADIUS,
            }
            T_mercator_inverse = se3_inverse(first)
        T_world_imu[t] = T_mercator_inverse @ mercator_pose(packet, scale)
    return None if first is None else Trajectory(T_world_imu, facts)


def _rigid(calibration: CalibrationText) -> FloatArray:
    """[R | T] of a calibration file as (4, 4)."""
    T = rigid_transform(calibration.numbers("R", 3, 3), calibration.numbers("T", 3))
    _check_rigid(T, calibration, "R")
    return T


def _check_rigid(T: FloatArray, calibration: CalibrationText, key: str) -> None:
    if not is_rigid(T, 1e-2):
        raise SourceError(
            f"{calibration.path}, line {calibration.lines[key]}: {key} is no rotation; "
            "take the file from the archive again"
        )
