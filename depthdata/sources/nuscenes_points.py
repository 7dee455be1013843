"""Which scan belongs to which picture, and its points in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.geometry import se3_inverse
from depthdata.sources.nuscenes_data import Channel, matrices

if TYPE_CHECKING:
    from depthdata.sequence import Points

__all__ = ["nearest", "picture_of_each", "points_seen", "project", "projections", "scan_of_each"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_FARTHEST = 100_000  # microseconds between a frame and another camera's picture of it


def nearest(wanted: Rows, timestamps: Rows) -> Rows:
    """Return the position of the nearest of rising `timestamps`, the first one on ties.

    >>> nearest(np.array([4, 5, 99]), np.array([0, 10, 20]))
    array([0, 0, 2])
    """
    after = np.searchsorted(timestamps, wanted)
    high = np.minimum(after, len(timestamps) - 1)
    low = np.maximum(after - 1, 0)
    first = np.abs(timestamps[low] - wanted) <= np.abs(timestamps[high] - wanted)
    return np.where(first, low, high)


def picture_of_each(front: Channel, camera: Channel) -> Rows:
    """Return which record of a camera belongs to each frame; -1: none.

    Key frames take the record of the same sample. Of the others each frame takes the nearest in
    time within 0.1 s, and each record goes to the nearest of the frames that would take it.
    """
    chosen = np.full(len(front), -1, np.int64)
    own = {int(s): k for k, s in enumerate(camera.sample) if camera.key[k]}
    taken: dict[int, int] = {}
    for t in np.flatnonzero(front.key).tolist():
        record = own.get(int(front.sample[t]), -1)
        if record >= 0:
            chosen[t], taken[record] = record, t
    others = np.flatnonzero(chosen < 0)
    candidates = nearest(front.timestamp[others], camera.timestamp)
    distance = np.abs(camera.timestamp[candidates] - front.timestamp[others])
    for k in np.lexsort((others, distance)).tolist():
        record = int(candidates[k])
        if distance[k] <= _FARTHEST and record not in taken:
            chosen[others[k]] = record
            taken[record] = int(others[k])
    return chosen


def scan_of_each(camera: Channel, lidar: Channel) -> Rows:
    """Return which scan belongs to each record of a camera; -1: none.

    Key frames take the scan of the same sample, others the nearest in time, the first on ties.
    Without sweeps of the lidar others have none.
    """
    own = {int(s): k for k, s in enumerate(lidar.sample) if lidar.key[k]}
    if lidar.key.all() and not camera.key.all():
        chosen = np.full(len(camera), -1, np.int64)
    else:
        chosen = nearest(camera.timestamp, lidar.timestamp)
    for k in np.flatnonzero(camera.key).tolist():
        chosen[k] = own.get(int(camera.sample[k]), -1)
    return chosen


def projections(camera: Channel, which: Rows, lidar: Channel, scans: Rows) -> Floats:
    """Return the maps of homogeneous lidar points to (x z, y z, z) of pictures, (n, 3, 4).

    Lidar to vehicle, to the world at the time of the scan, to the vehicle at the time of the
    picture, to the camera; the world's large coordinates cancel first.
    """
    at_scan, at_picture = matrices(lidar.pose[scans]), matrices(camera.pose[which])
    T_picture_scan = np.zeros_like(at_scan)
    back = np.swapaxes(at_picture[:, :3, :3], -1, -2)
    T_picture_scan[:, :3, :3] = back @ at_scan[:, :3, :3]
    away = at_scan[:, :3, 3:] - at_picture[:, :3, 3:]
    T_picture_scan[:, :3, 3:] = back @ away
    T_picture_scan[:, 3, 3] = 1
    T_ego_lidar = matrices(lidar.mounts[lidar.calibration[scans]])
    T_cam_ego = se3_inverse(matrices(camera.mounts[camera.calibration[which]]))
    T_cam_lidar = T_cam_ego @ T_picture_scan @ T_ego_lidar
    return np.asarray(camera.intrinsics[camera.calibration[which]] @ T_cam_lidar[:, :3])


def project(projection: Floats, points: npt.NDArray[np.floating]) -> tuple[Floats, Floats, Floats]:
    """Return column, row (pixels) and camera z (m) of points (N, 3), float64."""
    x, y, z = projection[:, :3] @ points[:, :3].T.astype(np.float64) + projection[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / z, y / z, z


def points_seen(
    scan: npt.NDArray[np.float32], projection: Floats, size: tuple[int, int]
) -> tuple[Points, npt.NDArray[np.intp]]:
    """Return the points of a scan in a picture, in their order, and their places in the scan.

    Kept is what lies before the camera and within the borders of the image.
    """
    from depthdata.sequence import Points

    u, v, z = project(projection, scan)
    height, width = size
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)
    kept = np.flatnonzero(inside)
    points = Points(
        kind="subpixel",
        x=u[kept].astype(np.float32),
        y=v[kept].astype(np.float32),
        value=z[kept].astype(np.float32),
        sensor=np.ascontiguousarray(scan[kept, :3]),
    )
    return points, kept
