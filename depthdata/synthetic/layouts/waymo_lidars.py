"""The five lidars of the Waymo vehicle in the synthetic street, as range images.

The roof lidar turns once a frame: groups of columns are cast at their own time, from the pose that
the record states for them, rounded as it is stored. So points are exact where a reader is. The
others measure at one moment, the middle of the sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_camera import Shutter, world_to_image
from depthdata.codecs.waymo_frame import T_CAMERA_OPTICAL, CameraCalibration, LaserCalibration
from depthdata.geometry import (
    euler_from_rotation,
    rigid_transform,
    rotation_from_euler,
    se3_inverse,
)
from depthdata.synthetic.layouts.waymo_content import Echo, Sweep
from depthdata.synthetic.layouts.waymo_rig import GLOBAL, TOP, VehicleRig
from depthdata.synthetic.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ZONE", "projections", "sweep"]

Float = npt.NDArray[np.float64]
Taken = tuple[CameraCalibration, Shutter]

ZONE: Float = np.array([[18.0, 6.0], [30.0, 6.0], [30.0, 14.0], [18.0, 14.0]])
"""A zone without labels in the scene's world, x and y: a rectangle."""

_REACH = {TOP: 75.0}
_NEAR_REACH = 20.0
_VIEW = np.radians(95.0)  # to either side of a near lidar's own direction
_GROUP = 50  # columns cast at one moment


def sweep(rig: VehicleRig, t: int, laser: LaserCalibration, cameras: Iterable[Taken]) -> Sweep:
    """Return what a lidar measures in frame t, and where the cameras see it."""
    height, width = rig.shape(laser.name)
    directions = _directions(laser, height, width)
    cells = np.full((height, width), np.inf)
    body = np.full((height, width), -1)
    origin, world = np.empty((3, 1, width)), np.empty((3, height, width))
    poses = np.empty((height, width, 6), np.float32) if laser.name == TOP else None
    for columns, seconds in _groups(rig, t, laser, width):
        pose = rig.T_global_vehicle(seconds)
        if poses is not None:
            poses[:, columns], pose = _stored(pose)
        T_world_laser = se3_inverse(GLOBAL) @ pose @ laser.T_vehicle_laser
        rays = np.ascontiguousarray(directions[:, :, columns].reshape(3, -1))
        reach = _REACH.get(laser.name, _NEAR_REACH)
        found, owner = Probe(rig.scene, seconds).ranges(T_world_laser, rays, reach)
        cells[:, columns] = found.reshape(height, -1)
        body[:, columns] = owner.reshape(height, -1)
        origin[:, :, columns] = T_world_laser[:3, 3, None, None]
        world[:, :, columns] = (T_world_laser[:3, :3] @ rays).reshape(3, height, -1)
    taken = list(cameras)
    behind = np.roll(cells, -1, axis=1)  # a beam that grazes an edge has a second echo
    with np.errstate(invalid="ignore"):
        grazes = (behind - cells > 0.8) & (behind - cells < 30)
    first = _echo(cells, origin, world, taken)
    second = _echo(np.where(grazes, behind, np.inf), origin, world, taken)
    return Sweep(laser.name, (first, second), poses, body)


def projections(points: Float, cameras: Iterable[Taken]) -> npt.NDArray[np.int32]:
    """Return camera, column, row of the first two cameras that have a global point (N, 3) in view.

    Nothing is tested for being hidden, as in the source. 0 is no camera. (N, 6) int32.
    """
    out = np.zeros((len(points), 6), np.int32)
    slots = np.zeros(len(points), np.int64)
    for camera, shutter in cameras:
        pose = shutter.T_world_vehicle @ camera.T_vehicle_camera @ T_CAMERA_OPTICAL
        x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).T
        index = np.flatnonzero((z > 0.1) & (np.abs(x) < z) & (np.abs(y) < z))
        uv, valid = world_to_image(camera, shutter, points[index])
        inside = valid & (uv >= 0).all(1) & (uv < [camera.width, camera.height]).all(1)
        index, uv = index[inside & (slots[index] < 2)], uv[inside & (slots[index] < 2)]
        at = 3 * slots[index]
        out[index, at] = camera.name
        out[index, at + 1], out[index, at + 2] = np.floor(uv).astype(np.int32).T
        slots[index] += 1
    return out


def _directions(laser: LaserCalibration, height: int, width: int) -> Float:
    """Return unit rays (3, H, W) in the lidar's frame; the top row is the highest."""
    step = (laser.most - laser.least) / height
    uniform = laser.most - step * (np.arange(height) + 0.5)
    inclination = laser.inclinations[::-1] if laser.inclinations.size else uniform
    own = np.arctan2(laser.T_vehicle_laser[1, 0], laser.T_vehicle_laser[0, 0])
    azimuth = np.pi * (1 - 2 * (np.arange(width) + 0.5) / width) - own
    e, a = np.meshgrid(inclination, azimuth, indexing="ij")
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def _groups(
    rig: VehicleRig, t: int, laser: LaserCalibration, width: int
) -> list[tuple[npt.NDArray[np.int64], float]]:
    """Columns that are cast together, and when."""
    columns = np.arange(width)
    if laser.name == TOP:
        times = rig.column_seconds(t)
        parts = np.array_split(columns, max(1, round(width / _GROUP)))
        return [(part, float(times[part].mean())) for part in parts]
    own = np.arctan2(laser.T_vehicle_laser[1, 0], laser.T_vehicle_laser[0, 0])
    azimuth = np.pi * (1 - 2 * (columns + 0.5) / width)
    off = np.abs((azimuth - own + np.pi) % (2 * np.pi) - np.pi)
    seen = columns[off < _VIEW]
    parts = np.array_split(seen, max(1, round(len(seen) / _GROUP)))
    return [(part, float(rig.scene.times[t])) for part in parts if part.size]


def _stored(pose: Float) -> tuple[npt.NDArray[np.float32], Float]:
    """Roll, pitch, yaw, x, y, z as float32, and the pose that they mean."""
    values = np.array([*euler_from_rotation(pose[:3, :3]), *pose[:3, 3]], np.float32)
    exact = values.astype(np.float64)
    return values, rigid_transform(rotation_from_euler(*exact[:3]), exact[3:])


def _echo(ranges: Float, origin: Float, world: Float, cameras: list[Taken]) -> Echo:
    """Make a range image (H, W, 4) and its projections from ranges along world rays."""
    met = np.isfinite(ranges)
    distance = ranges.astype(np.float32)
    cells = np.full((*ranges.shape, 4), -1, np.float32)
    cells[0, ~met[0], 0] = 0  # both mean that nothing came back
    row, column = np.nonzero(met)
    points = (origin[:, 0, column] + world[:, row, column] * distance[met]).T
    cells[met, 0] = distance[met]
    cells[met, 1] = 0.05 + 0.9 * np.exp(-distance[met] / 30)
    cells[met, 2] = 0.01 * (row % 7)
    (x0, y0), (x1, y1) = ZONE[0], ZONE[2]
    x, y = points[:, 0], points[:, 1]
    cells[met, 3] = np.where((x > x0) & (x < x1) & (y > y0) & (y < y1), 1, -1)
    projection = np.zeros((*ranges.shape, 6), np.int32)
    projection[met] = projections(points @ GLOBAL[:3, :3].T + GLOBAL[:3, 3], cameras)
    return Echo(cells, projection)
