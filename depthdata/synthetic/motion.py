"""Rigid motion in closed form: a pose at any time, no integration, no state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.geometry import rigid_transform, rotation_from_euler

__all__ = ["Path"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """Drive along a straight line or an arc, weaving to the left and right, swaying a little.

    Body axes are x forward, y left, z up; the body looks where it goes. All extras vanish at
    time 0, where the pose is (`x`, `y`, `z`, `heading`) exactly.

    Parameters
    ----------
    x, y, z : float
        Place at time 0, metres.
    heading : float
        Direction at time 0, radians around z, 0 = +x.
    speed : float
        Metres per second along the line or arc; 0 stands still.
    turn : float
        Turning rate of the arc, radians per second.
    weave, weave_rate : float
        Metres to the left of the line (twice that at most) and its angular frequency.
    roll, pitch, bounce, sway_rate : float
        Amplitudes in radians and metres, and the angular frequency they share.

    Examples
    --------
    >>> Path(speed=2.0).pose(1.5)[:3, 3]
    array([3., 0., 0.])
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    heading: float = 0.0
    speed: float = 0.0
    turn: float = 0.0
    weave: float = 0.0
    weave_rate: float = 0.0
    roll: float = 0.0
    pitch: float = 0.0
    bounce: float = 0.0
    sway_rate: float = 0.0

    @property
    def moving(self) -> bool:
        """Whether any part of the motion is not zero."""
        weaves = self.weave != 0 and self.weave_rate != 0
        sways = self.sway_rate != 0 and any((self.roll, self.pitch, self.bounce))
        return bool(self.speed or self.turn or weaves or sways)

    def pose(self, time: npt.ArrayLike) -> Float:
        """Pose `T_world_body` (..., 4, 4) at `time` (...) in seconds."""
        t = np.asarray(time, np.float64)
        angle = self.turn * t
        # chord of the arc, written with sinc so that turn -> 0 is the straight line
        chord = self.speed * t * np.sinc(angle / (2 * np.pi))
        along, across = chord * np.cos(angle / 2), chord * np.sin(angle / 2)
        left = self.weave * (1 - np.cos(self.weave_rate * t))
        left_rate = self.weave * self.weave_rate * np.sin(self.weave_rate * t)
        along, across = along - left * np.sin(angle), across + left * np.cos(angle)
        c, s = np.cos(self.heading), np.sin(self.heading)
        slip = np.zeros_like(t)
        if self.speed:
            slip = np.arctan2(left_rate, self.speed - left * self.turn)
        wave = np.sin(self.sway_rate * t)
        R = rotation_from_euler(
            self.roll * wave,
            self.pitch * np.sin(1.3 * self.sway_rate * t),
            self.heading + angle + slip,
        )
        place = [
            self.x + c * along - s * across,
            self.y + s * along + c * across,
            self.z + self.bounce * (1 - np.cos(self.sway_rate * t)),
        ]
        return rigid_transform(R, np.stack(np.broadcast_arrays(*place), -1))

    def velocity(self, time: npt.ArrayLike, step: float = 1e-4) -> Float:
        """Velocity of the body's origin (..., 3) in metres per second, world axes."""
        t = np.asarray(time, np.float64)
        ahead, back = self.pose(t + step), self.pose(t - step)
        velocity: Float = (ahead[..., :3, 3] - back[..., :3, 3]) / (2 * step)
        return velocity
