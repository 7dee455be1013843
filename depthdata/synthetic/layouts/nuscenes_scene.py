"""The synthetic street seen by a surround rig of six cameras and a lidar with clocks of their own.

Frames of the scene are steps of 1/60 s: a camera takes every fifth, the lidar every third, and
every thirtieth is a key frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.geometry import rigid_transform, rotation_from_euler, se3_inverse, transform
from depthdata.synthetic.lidar import beams
from depthdata.synthetic.scene import SyntheticScene

__all__ = [
    "CAMERAS",
    "LIDAR",
    "STEPS_PER_KEY",
    "STEPS_PER_PICTURE",
    "STEPS_PER_SCAN",
    "T_GLOBAL_WORLD",
    "Label",
    "SurroundScene",
]

Float = npt.NDArray[np.float64]

LIDAR = "LIDAR_TOP"
STEPS_PER_PICTURE, STEPS_PER_SCAN, STEPS_PER_KEY = 5, 3, 30
_STEPS_PER_SECOND = 60.0

CAMERAS = {  # yaw in degrees, place on the vehicle, step within a picture's five
    "CAM_FRONT": (0.0, (0.85, 0.01, 0.62), 2),
    "CAM_FRONT_LEFT": (55.0, (0.68, 0.48, 0.60), 1),
    "CAM_FRONT_RIGHT": (-55.0, (0.70, -0.47, 0.61), 3),
    "CAM_BACK": (180.0, (-0.92, 0.00, 0.64), 2),
    "CAM_BACK_LEFT": (108.0, (0.15, 0.50, 0.63), 0),
    "CAM_BACK_RIGHT": (-110.0, (0.12, -0.51, 0.62), 4),
}
"""Channel -> where the camera looks and when."""

T_GLOBAL_WORLD: Float = rigid_transform(rotation_from_euler(0, 0, 0.7), [411.4, 1181.2, 0.93])
"""The street's world, in which the car starts at the origin, to that of the tables."""

_OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # camera axes in x forward, z up
_T_VELO_LIDAR = rigid_transform(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), np.zeros(3))
_ROWS, _DIRECTIONS = 32, 1090
_SKIN = 1e-3  # metres
_TYRES = 0.02


class Label(NamedTuple):
    """What the points of a scan are: body of each (0: the street), and whether it is the road."""

    body: npt.NDArray[np.int64]
    on_road: npt.NDArray[np.bool_]


class SurroundScene(SyntheticScene):
    """A `SyntheticScene` whose frames are steps of 1/60 s; cameras have the names of `CAMERAS`.

    Examples
    --------
    >>> scene = SurroundScene.of(SyntheticScene(frames=2, height=24, width=80))
    >>> scene.frames, scene.steps("CAM_FRONT"), scene.steps(LIDAR)
    (10, [2, 7], [0, 3, 6, 9])
    """

    @classmethod
    def of(cls, scene: SyntheticScene) -> SurroundScene:
        """Return the street of a scene for `scene.frames` pictures of each camera."""
        changed: dict[str, Any] = {
            "frames": STEPS_PER_PICTURE * scene.frames,
            "fps": _STEPS_PER_SECOND,
            "lidar_rows": min(scene.lidar_rows, _ROWS),
            "lidar_steps": min(scene.lidar_steps, _DIRECTIONS),
        }
        return cls(**{**scene.arguments, **changed})

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the six cameras."""
        return tuple(CAMERAS)

    @property
    def pictures(self) -> int:
        """How many pictures each camera takes."""
        return self.frames // STEPS_PER_PICTURE

    def steps(self, channel: str) -> list[int]:
        """Return the steps at which a sensor measures."""
        if channel == LIDAR:
            return list(range(0, self.frames, STEPS_PER_SCAN))
        return list(range(CAMERAS[channel][2], self.frames, STEPS_PER_PICTURE))

    def key_step(self, channel: str, key: int) -> int:
        """Return the step of a sensor's record of a key frame."""
        return key * STEPS_PER_KEY + (0 if channel == LIDAR else CAMERAS[channel][2])

    def T_ego_sensor(self, channel: str) -> Float:
        """Sensor to vehicle (the inertial unit), (4, 4)."""
        if channel == LIDAR:
            return np.asarray(self.T_imu_velo @ _T_VELO_LIDAR)
        yaw, place, _ = CAMERAS[channel]
        # a little pitch and roll, so that no axis is special
        level = rotation_from_euler(0.004, 0.01, np.radians(yaw))
        return rigid_transform(level @ _OPTICAL, place)

    def T_global_ego(self, step: int) -> Float:
        """Vehicle to the world of the tables, (4, 4)."""
        return np.asarray(T_GLOBAL_WORLD @ self.T_world_imu[step])

    def T_world_cam(self, camera: str = "CAM_FRONT") -> Float:
        """Poses of a camera in the street's world at every step, (steps, 4, 4)."""
        return np.asarray(self.T_world_imu @ self.T_ego_sensor(camera))

    def truth(
        self, step: int, camera: str
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return depth (H, W) in metres, NaN in the sky, and the body of every pixel (H, W)."""
        points, body, seen = self.surface(step, camera)
        z = transform(se3_inverse(self.T_world_cam(camera)[step]), points.T)[:, 2]
        return self._image(np.where(seen, z, np.nan)), self._image(body)

    def scan(self, step: int) -> tuple[npt.NDArray[np.float32], Label]:
        """Return a scan (N, 5) in the lidar's axes, reflectance in [0, 1], ring; and its labels.

        A point belongs to the body whose box holds it.
        """
        velo = self.lidar(step)
        points = np.zeros((len(velo), 5), np.float32)
        points[:, :3] = velo[:, [1, 0, 2]] * np.array([-1, 1, 1], np.float32)
        points[:, 3] = velo[:, 3]
        points[:, 4] = self._ring(velo)
        world = transform(self.T_world_velo[step], velo[:, :3].astype(np.float64))
        poses = self.body_poses(step)
        body = np.zeros(len(velo), np.int64)
        for other in self.bodies[1:]:
            local = transform(se3_inverse(poses[other.id]), world)
            half = other.size / 2 + _SKIN
            inside = (np.abs(local) < half).all(axis=1) & (local[:, 2] > _TYRES - other.size[2] / 2)
            body[inside] = other.id
        on_road = world[:, 2] < poses[0][2, 3] + _TYRES
        return points, Label(body, on_road & (body == 0))

    def _ring(self, velo: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the number of each point's beam, from the lowest up, as the source counts."""
        directions = beams(self.lidar_rows, 1)[2]
        sine = velo[:, 2] / np.linalg.norm(velo[:, :3], axis=1)
        between = (directions[1:] + directions[:-1]) / 2
        return np.asarray(len(between) - np.searchsorted(-between, -sine), np.float64)
