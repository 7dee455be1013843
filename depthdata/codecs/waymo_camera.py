"""The Waymo camera model: lens distortion and rolling shutter of a moving vehicle, float64.

The arithmetic is that of the official operation, its inexact Newton derivative included: at most
four steps are made, so another derivative ends elsewhere by up to 2.9 pixels. Pixel coordinate 0 is
the EDGE of the first pixel here, as the source has it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_frame import CameraCalibration, CameraImage

__all__ = ["Shutter", "image_to_world", "world_to_image"]

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_TOP_DOWN, _LEFT_RIGHT, _BOTTOM_UP, _RIGHT_LEFT, _GLOBAL = 1, 2, 3, 4, 5
_BACKWARDS = (_BOTTOM_UP, _RIGHT_LEFT)
_SIDEWAYS = (_LEFT_RIGHT, _RIGHT_LEFT)


class Shutter(NamedTuple):
    """How the vehicle moved and when the lines of an image were exposed.

    Attributes
    ----------
    T_world_vehicle : (4, 4)
        At `pose_timestamp`.
    velocity : (3,)
        m/s, global axes.
    angular_velocity : (3,)
        rad/s, vehicle axes.
    pose_timestamp, shutter, trigger, readout_done : float
        Seconds.
    """

    T_world_vehicle: Float
    velocity: Float
    angular_velocity: Float
    pose_timestamp: float
    shutter: float
    trigger: float
    readout_done: float

    @classmethod
    def of(cls, image: CameraImage) -> Shutter:
        """Take what a record says of an image."""
        return cls(
            image.T_world_vehicle,
            image.velocity,
            image.angular_velocity,
            image.pose_timestamp,
            image.shutter,
            image.trigger,
            image.readout_done,
        )


def world_to_image(
    camera: CameraCalibration,
    shutter: Shutter,
    points: npt.ArrayLike,
    velocity: npt.ArrayLike = (0.0, 0.0, 0.0),
) -> tuple[Float, Bool]:
    """Project world points to where the rolling shutter sees them.

    Parameters
    ----------
    camera : CameraCalibration
    shutter : Shutter
    points : (N, 3)
        In the world frame at the time of the pose, metres.
    velocity : (3,) or (N, 3)
        Of the points, m/s.

    Returns
    -------
    uv : (N, 2) float64
        In the distorted image, 0 at the edge of the first pixel. (-1, -1) where the point is
        behind the camera, (0, 0) where no line sees it.
    valid : (N,) bool
        False there and where the distortion is out of range; it does not say "inside the image".
    """
    X = np.asarray(points, np.float64)
    if camera.rolling_shutter == _GLOBAL:
        pose = shutter.T_world_vehicle @ camera.T_vehicle_camera
        return _see(camera, (X - pose[:3, 3]) @ pose[:3, :3])
    V = np.broadcast_to(np.asarray(velocity, np.float64), X.shape)
    motion = _Motion.of(camera, shutter)
    axis = 0 if camera.rolling_shutter in _SIDEWAYS else 1
    t = np.zeros(len(X))
    uv, valid = np.zeros((len(X), 2)), np.ones(len(X), np.bool_)
    residual = np.full(len(X), np.inf)
    running = np.arange(len(X))
    for _ in range(4):
        c, R = motion.camera_point(X[running], V[running], t[running])
        behind = c[:, 0] <= 0
        uv[running[behind]], valid[running[behind]] = -1.0, False
        running, c, R = running[~behind], c[~behind], R[~behind]
        n = np.stack([-c[:, 1] / c[:, 0], -c[:, 2] / c[:, 0]], axis=-1)
        residual[running] = t[running] - n[:, axis] * motion.factor + motion.offset
        J = np.einsum("nij,nj->ni", R, V[running] - motion.velocity) - c @ motion.spin.T
        slope = 1 - motion.factor / c[:, 0] * (n[:, axis] * J[:, 0] - J[:, 1 + axis])
        t[running] -= residual[running] / slope
        running = running[np.abs(residual[running]) > 1e-5]
        if not len(running):
            break
    lost = valid & (np.abs(residual) > 0.1)
    valid[lost] = False
    rest = np.flatnonzero(valid)
    c, _ = motion.camera_point(X[rest], V[rest], t[rest])
    behind = c[:, 0] <= 0
    uv[rest[behind]], valid[rest[behind]] = -1.0, False
    rest, c = rest[~behind], c[~behind]
    uv[rest], valid[rest] = _see(camera, c)
    return uv, valid


def image_to_world(
    camera: CameraCalibration, shutter: Shutter, uv: npt.ArrayLike, depth: npt.ArrayLike
) -> Float:
    """Return the world points (N, 3) seen at pixels (N, 2) of the distorted image.

    `depth` (N,) is the forward coordinate in the camera at the moment of the pixel, metres.
    """
    pixels, d = np.asarray(uv, np.float64), np.asarray(depth, np.float64)
    n = _unlens(camera, pixels)
    c = np.stack([d, -n[:, 0] * d, -n[:, 1] * d], axis=-1)
    if camera.rolling_shutter == _GLOBAL:
        pose = shutter.T_world_vehicle @ camera.T_vehicle_camera
        return np.asarray(c @ pose[:3, :3].T + pose[:3, 3])
    motion = _Motion.of(camera, shutter)
    axis = 0 if camera.rolling_shutter in _SIDEWAYS else 1
    size = (camera.width, camera.height)[axis]
    sign = -1.0 if camera.rolling_shutter in _BACKWARDS else 1.0
    readout = shutter.readout_done - shutter.trigger - shutter.shutter
    t = sign * readout / size * (pixels[:, axis] - camera.intrinsic[2 + axis]) - motion.offset
    R = motion.rotation(t)
    world = np.einsum("nji,nj->ni", R, c) + motion.origin + t[:, None] * motion.velocity
    return np.asarray(world)


class _Motion(NamedTuple):
    """The camera's way through the exposure; all about the moment of the pose."""

    R0: Float
    origin: Float
    velocity: Float
    spin: Float
    factor: float
    offset: float

    @classmethod
    def of(cls, camera: CameraCalibration, shutter: Shutter) -> _Motion:
        E, pose = camera.T_vehicle_camera, shutter.T_world_vehicle
        C = pose @ E
        direction = camera.rolling_shutter
        axis = 0 if direction in _SIDEWAYS else 1
        sign = -1.0 if direction in _BACKWARDS else 1.0
        size = np.array([camera.width, camera.height], np.float64)
        readout = shutter.readout_done - shutter.trigger - shutter.shutter
        share = camera.intrinsic[2 + axis] / size[axis]
        line = readout * (1 - share if direction in _BACKWARDS else share)
        offset = shutter.pose_timestamp - (shutter.trigger + shutter.shutter / 2 + line)
        ends = np.stack([size / 2, size / 2])
        ends[0, axis], ends[1, axis] = 0.0, size[axis]
        n = _unlens(camera, ends)[:, axis]
        w = shutter.angular_velocity
        turn = np.cross(pose[:3, :3] @ w, pose[:3, :3] @ E[:3, 3])
        x, y, z = E[:3, :3].T @ w
        return cls(
            C[:3, :3].T,
            C[:3, 3],
            shutter.velocity + turn,
            np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]),
            float(sign * readout / (n[1] - n[0])),
            float(offset),
        )

    def rotation(self, t: Float) -> Float:
        """World to camera at times t after the pose, (N, 3, 3)."""
        return np.asarray(self.R0 - t[:, None, None] * (self.spin @ self.R0))

    def camera_point(self, X: Float, V: Float, t: Float) -> tuple[Float, Float]:
        """Where the camera has world points at times t, and the rotations, (N, 3), (N, 3, 3)."""
        R = self.rotation(t)
        moved = X + t[:, None] * V - self.origin - t[:, None] * self.velocity
        return np.einsum("nij,nj->ni", R, moved), R


def _see(camera: CameraCalibration, c: Float) -> tuple[Float, Bool]:
    """Pixels of camera-frame points (N, 3); a point behind gives (-1, -1)."""
    f, centre = camera.intrinsic[:2], camera.intrinsic[2:4]
    ahead = c[:, 0] > 0
    x = np.where(ahead, c[:, 0], 1.0)
    n = np.stack([-c[:, 1] / x, -c[:, 2] / x], axis=-1)
    radial, tangential = _lens(camera, n)
    uv = (n * radial[:, None] + tangential) * f + centre
    out = (radial < 0.8) | (radial > 1.2)
    far = np.hypot(camera.width, camera.height)
    length = np.sqrt((n**2).sum(-1, keepdims=True))
    direction = np.divide(n, length, out=np.zeros_like(n), where=length > 0)
    uv = np.where(out[:, None], centre + direction * far, uv)
    uv[~ahead] = -1.0
    return uv, ahead & ~out


def _lens(camera: CameraCalibration, n: Float) -> tuple[Float, Float]:
    """Radial factor (N,) and tangential shift (N, 2) of undistorted points (N, 2)."""
    k1, k2, p1, p2, k3 = camera.intrinsic[4:]
    u, v = n.T
    r2 = u * u + v * v
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    tangential = np.stack(
        [2 * p1 * u * v + p2 * (r2 + 2 * u * u), p1 * (r2 + 2 * v * v) + 2 * p2 * u * v], axis=-1
    )
    return radial, tangential


def _unlens(camera: CameraCalibration, uv: Float) -> Float:
    """Undistorted points of pixels (N, 2): the official fixed-point iteration."""
    f, centre = camera.intrinsic[:2], camera.intrinsic[2:4]
    seen = (uv - centre) / f
    n: Float = seen.copy()
    running = np.arange(len(seen))
    enough = 1e-12 / float((f**2).sum())
    for _ in range(20):
        radial, tangential = _lens(camera, n[running])
        new = (seen[running] - tangential) / radial[:, None]
        step = ((new - n[running]) ** 2).sum(-1)
        n[running] = new
        running = running[step >= enough]
        if not len(running):
            break
    return n
