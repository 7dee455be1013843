"""The measuring vehicle: four rectified cameras, a lidar and an inertial unit, as on KITTI's car.

Frames: `imu` and `velo` are x forward, y left, z up. `cam0` is the unrectified reference camera,
`rect0` the same camera after rectification; every rectified camera is `rect0` shifted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import rigid_transform, rotation_from_euler, se3_inverse

__all__ = ["CAMERAS", "Rig"]

Float = npt.NDArray[np.float64]

CAMERAS = {"gray_left": 0, "gray_right": 1, "left": 2, "right": 3}
"""Our camera names and KITTI's camera numbers."""

_COLOUR_OFFSET = (0.06, 0.0003, 0.0027)  # metres: rect0 -> camera 2, as far as on the real car
_FORWARD_TO_CAMERA = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])


@dataclass(frozen=True)
class Rig:
    """Calibration of the vehicle.

    Parameters
    ----------
    baseline : float
        Metres between left and right, in the grey and in the colour pair.
    imu_height : float
        Metres of the inertial unit above the ground.
    """

    baseline: float = 0.54
    imu_height: float = 0.93

    @property
    def T_velo_imu(self) -> Float:
        """Inertial unit to lidar (4, 4)."""
        return rigid_transform(rotation_from_euler(0.012, -0.002, 0.0008), [-0.81, 0.32, -0.80])

    @property
    def R_rect0_cam0(self) -> Float:
        """Rectifying rotation of the reference camera (3, 3); not the identity."""
        return rotation_from_euler(-0.0043, 0.0074, -0.0098)

    @property
    def T_cam0_velo(self) -> Float:
        """Lidar to unrectified reference camera (4, 4)."""
        level = _FORWARD_TO_CAMERA @ rotation_from_euler(-0.011, 0.006, 0.003)
        return rigid_transform(self.R_rect0_cam0.T @ level, [-0.0041, -0.0763, -0.2717])

    def shift(self, camera: str) -> Float:
        """Return the translation `rect0` -> camera (3,), metres; P_rect has K times it."""
        if camera not in CAMERAS:
            raise UsageError(
                f"synthetic scene: no camera {camera!r}; name one of {', '.join(CAMERAS)}"
            )
        right: Float = np.array([-self.baseline if camera.endswith("right") else 0.0, 0.0, 0.0])
        if camera.startswith("gray"):
            return right
        right += _COLOUR_OFFSET
        return right

    def T_cam_velo(self, camera: str) -> Float:
        """Lidar to rectified camera (4, 4)."""
        rectify = rigid_transform(self.R_rect0_cam0, self.shift(camera))
        T: Float = rectify @ self.T_cam0_velo
        return T

    def T_imu_cam(self, camera: str) -> Float:
        """Rectified camera to inertial unit (4, 4)."""
        return se3_inverse(self.T_cam_velo(camera) @ self.T_velo_imu)
