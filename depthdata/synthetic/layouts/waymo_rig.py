"""The Waymo vehicle in the synthetic street: sensors, clocks, and the way to global coordinates.

The vehicle frame (x forward, y left, z up) has its origin on the road below the scene's inertial
unit. Global coordinates are far from zero, as real ones are, so that float32 arithmetic shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import CameraCalibration, LaserCalibration
from depthdata.errors import UsageError
from depthdata.geometry import rigid_transform, rotation_from_euler
from depthdata.synthetic.layouts.waymo_content import Context

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["GLOBAL", "TOP", "VehicleRig"]

Float = npt.NDArray[np.float64]

GLOBAL: Float = rigid_transform(rotation_from_euler(0, 0, 0.7), (-25211.259, 42391.081, -160.618))
"""The scene's world to global coordinates."""

TOP = 1
"""The lidar on the roof, which turns with the time."""

_FOCAL = 2044.5 / 1920  # of the image's width
_HEIGHTS = {1: 1280 / 1920, 2: 1280 / 1920, 3: 1280 / 1920, 4: 886 / 1920, 5: 886 / 1920}
_LENS = (0.04036, -0.33002, 0.00104, -0.00157, 0.0)
_CAMERAS = {  # x, y, z, roll, pitch, yaw in the vehicle; degrees
    1: (1.544, -0.023, 2.116, 0.3, 0.6, 0.2),
    2: (1.493, 0.094, 2.115, -0.2, 0.4, 45.1),
    3: (1.494, -0.097, 2.116, 0.2, 0.5, -44.9),
    4: (1.433, 0.112, 2.116, 0.1, -0.3, 90.3),
    5: (1.431, -0.113, 2.117, -0.2, 0.2, -89.8),
}
_LASERS = {
    1: (1.43, 0.0, 2.184, 0.1, -0.2, 148.0),
    2: (4.07, 0.0, 0.69, 0.0, 0.3, 0.5),
    3: (3.24, 1.02, 0.98, 0.2, 0.0, 90.2),
    4: (3.24, -1.02, 0.98, -0.1, 0.2, -89.6),
    5: (-1.16, 0.0, 0.46, 0.0, -0.2, 179.4),
}
_RECORDED = (2, 5, 3, 4, 1)  # lidars in the order of real records

_SHUTTER = 0.003  # seconds
_READOUT = 0.044


@dataclass(frozen=True)
class VehicleRig:
    """The sensors of a segment and when they work.

    Parameters
    ----------
    scene : SyntheticScene
        Its width is that of the images; heights and focal lengths keep the real proportions. Its
        frame t is the middle of sweep t.
    name : str
        Of the segment.
    top, near : (rows, columns)
        Range images of the roof lidar and of the others.
    direction : int
        How the rolling shutter reads: 1 down, 2 right, 3 up, 4 left.
    """

    scene: SyntheticScene
    name: str
    top: tuple[int, int] = (64, 2650)
    near: tuple[int, int] = (200, 600)
    direction: int = 2

    def __post_init__(self) -> None:
        """Refuse sizes that no sensor has."""
        if self.direction not in (1, 2, 3, 4):
            raise UsageError(f"direction of the rolling shutter: 1 to 4, found {self.direction}")
        if min(*self.top, *self.near) < 2:
            raise UsageError(f"range images: at least 2 x 2, found {self.top} and {self.near}")

    def context(self) -> Context:
        """Calibrations in the order of real records."""
        width = self.scene.width
        cameras = []
        for number, place in _CAMERAS.items():
            height = max(8, 4 * round(_HEIGHTS[number] * width / 4))
            focal = _FOCAL * width * (1 + 0.001 * number)
            centre = (0.4946 * width, 0.4947 * height + 0.25)
            intrinsic = np.array([focal, focal, *centre, *_LENS])
            cameras.append(
                CameraCalibration(number, intrinsic, _pose(place), width, height, self.direction)
            )
        rows = self.top[0]
        listed = np.radians(-17.6 + 20.0 * np.linspace(0, 1, rows) ** 0.7)
        lasers = tuple(
            LaserCalibration(
                number,
                listed if number == TOP else np.empty(0),
                float(listed[0]) if number == TOP else -np.pi / 2,
                float(listed[-1]) if number == TOP else np.pi / 6,
                _pose(_LASERS[number]),
            )
            for number in _RECORDED
        )
        return Context(self.name, tuple(cameras), lasers)

    @property
    def period(self) -> float:
        """Seconds of a sweep."""
        return 1 / self.scene.fps

    def shape(self, laser: int) -> tuple[int, int]:
        """Rows and columns of a lidar's range image."""
        return self.top if laser == TOP else self.near

    def T_world_vehicle(self, seconds: float) -> Float:
        """Vehicle in the scene's world, `seconds` after its first frame."""
        down = rigid_transform(np.eye(3), (0, 0, -self.scene.rig.imu_height))
        return np.asarray(self.scene.path.pose(seconds) @ down)

    def T_global_vehicle(self, seconds: float) -> Float:
        """Vehicle in global coordinates."""
        return np.asarray(GLOBAL @ self.T_world_vehicle(seconds))

    def start_micros(self, t: int) -> int:
        """When sweep t begins."""
        return int(self.scene.timestamps[t]) // 1000 - round(self.period * 0.5e6)

    def column_seconds(self, t: int) -> Float:
        """When the roof lidar looks along each column: clockwise from behind."""
        share = (np.arange(self.top[1]) + 0.5) / self.top[1]
        return np.asarray(self.scene.times[t] + (share - 0.5) * self.period)

    def camera_seconds(self, t: int, camera: CameraCalibration) -> float:
        """Middle of a camera's exposure: when the roof lidar looks the same way."""
        yaw = np.arctan2(camera.T_vehicle_camera[1, 0], camera.T_vehicle_camera[0, 0])
        return float(self.scene.times[t] - yaw / (2 * np.pi) * self.period)

    def shutter(self, t: int, camera: CameraCalibration) -> Shutter:
        """How a camera takes its picture of frame t."""
        seconds, step = self.camera_seconds(t, camera), 1e-4
        pose = self.T_global_vehicle(seconds)
        after, before = (self.T_world_vehicle(seconds + s) for s in (step, -step))
        velocity = GLOBAL[:3, :3] @ (after[:3, 3] - before[:3, 3]) / (2 * step)
        turn = before[:3, :3].T @ after[:3, :3] / (4 * step)
        spin = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
        clock = self.scene.timestamps[0] / 1e9 + seconds
        begin = clock - _SHUTTER / 2 - _READOUT / 2
        return Shutter(
            pose,
            velocity.astype(np.float32).astype(np.float64),  # as it is stored
            spin,
            clock,
            _SHUTTER,
            begin,
            begin + _SHUTTER + _READOUT,
        )

    def line_seconds(self, t: int, camera: CameraCalibration, share: float) -> float:
        """When the line at `share` of the image (along its readout axis, 0 to 1) is exposed."""
        along = 1 - share if self.direction in (3, 4) else share
        return self.camera_seconds(t, camera) + (along - 0.5) * _READOUT


def _pose(place: tuple[float, ...]) -> Float:
    x, y, z, *angles = place
    return rigid_transform(rotation_from_euler(*np.radians(angles)), (x, y, z))
