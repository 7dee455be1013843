"""Packets of the inertial unit of KITTI's car, from the path of a scene.

Position is geographic: the inverse of the spherical Mercator projection that everybody applies to
these packets, scaled by the cosine of the first latitude.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.geometry import euler_from_rotation, rigid_transform, rotation_from_euler

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["DATAFORMAT", "START", "mercator_inverse", "mercator_start", "packets", "packet_text"]

Float = npt.NDArray[np.float64]

START = (49.0125, 8.42375, 114.25, 0.0215, 0.0075, -1.25)
"""Latitude, longitude (degrees), altitude (m), roll, pitch, yaw (rad) at the first frame."""

_EARTH = 6378137.0
_GRAVITY = np.array([0.0, 0.0, 9.81])
_STATUS = (0.5, 0.07, 4, 10, 4, 4, 0)  # accuracies (m, m/s), navigation status, satellites, modes

DATAFORMAT = """\
lat:   latitude of the unit (deg)
lon:   longitude of the unit (deg)
alt:   altitude of the unit (m)
roll:  roll angle (rad), 0 = level, positive = left side up
pitch: pitch angle (rad), 0 = level, positive = front down
yaw:   heading (rad), 0 = east, positive = counter clockwise
vn:    velocity towards north (m/s)
ve:    velocity towards east (m/s)
vf:    forward velocity, parallel to the ground (m/s)
vl:    leftward velocity, parallel to the ground (m/s)
vu:    upward velocity (m/s)
ax:    acceleration in x, towards the front (m/s^2)
ay:    acceleration in y, towards the left (m/s^2)
az:    acceleration in z, towards the top (m/s^2)
af:    forward acceleration (m/s^2)
al:    leftward acceleration (m/s^2)
au:    upward acceleration (m/s^2)
wx:    angular rate around x (rad/s)
wy:    angular rate around y (rad/s)
wz:    angular rate around z (rad/s)
wf:    angular rate around the forward axis (rad/s)
wl:    angular rate around the leftward axis (rad/s)
wu:    angular rate around the upward axis (rad/s)
pos_accuracy: accuracy of the position (m)
vel_accuracy: accuracy of the velocity (m/s)
navstat: navigation status
numsats: number of satellites
posmode: mode of the position
velmode: mode of the velocity
orimode: mode of the orientation
"""


def mercator_start() -> Float:
    """Pose of the first frame on the Mercator map, (4, 4): x east, y north, z up, metres."""
    latitude, longitude, altitude, roll, pitch, yaw = START
    scale = np.cos(np.radians(latitude)) * _EARTH
    place = [
        scale * np.radians(longitude),
        scale * np.log(np.tan(np.radians(90 + latitude) / 2)),
        altitude,
    ]
    return rigid_transform(rotation_from_euler(roll, pitch, yaw), place)


def mercator_inverse(place: npt.ArrayLike, latitude: float) -> tuple[Float, Float]:
    """Latitude and longitude in degrees of places (..., 3) on the map scaled for `latitude`."""
    place = np.asarray(place, np.float64)
    scale = np.cos(np.radians(latitude)) * _EARTH
    return (
        np.degrees(2 * np.arctan(np.exp(place[..., 1] / scale))) - 90,
        np.degrees(place[..., 0] / scale),
    )


def packets(scene: SyntheticScene) -> Float:
    """Return the 30 numbers of every frame, (T, 30)."""
    start, step, times = mercator_start(), 1e-3, scene.times
    before, now, after = (start @ scene.path.pose(times + s) for s in (-step, 0.0, step))
    R = now[:, :3, :3]
    velocity = (after - before)[:, :3, 3] / (2 * step)
    acceleration = (after - 2 * now + before)[:, :3, 3] / step**2 + _GRAVITY
    spin = np.swapaxes(R, 1, 2) @ (after - before)[:, :3, :3] / (2 * step)
    rates = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], -1)
    roll, pitch, yaw = euler_from_rotation(R)
    level = rotation_from_euler(0, 0, yaw)
    latitude, longitude = mercator_inverse(now[:, :3, 3], START[0])
    latitude[0], longitude[0] = START[:2]

    def into(frame: Float, vectors: Float) -> Float:
        return np.asarray((np.swapaxes(frame, 1, 2) @ vectors[..., None])[..., 0])

    columns = [
        np.stack([latitude, longitude, now[:, 2, 3], roll, pitch, yaw], -1),
        velocity[:, [1, 0]],
        into(level, velocity),
        into(R, acceleration),
        into(level, acceleration),
        rates,
        into(level, (R @ rates[..., None])[..., 0]),
        np.tile(_STATUS, (len(times), 1)),
    ]
    return np.concatenate(columns, 1)


def packet_text(packet: npt.ArrayLike) -> str:
    """One line of 30 numbers with 14 significant digits, as the car wrote them (0.1 µm)."""
    values = np.asarray(packet, np.float64)
    words = [f"{v:.14g}" for v in values[:25]] + [f"{int(v)}" for v in values[25:]]
    return " ".join(words) + "\n"
