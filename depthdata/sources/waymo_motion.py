"""Which panoptic instances move: their 3-D boxes, found through the lidar points on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_frame import Box, LaserLabel
from depthdata.codecs.waymo_range_image import LaserReturn

__all__ = [
    "MOVABLE",
    "PANOPTIC_CLASSES",
    "InstanceMatch",
    "Labels",
    "Motion",
    "draw_motion",
    "match_instances",
    "motion_of",
    "motion_values",
]

PANOPTIC_CLASSES = (
    *("undefined", "ego_vehicle", "car", "truck", "bus", "other_vehicle", "bicycle", "motorcycle"),
    *("trailer", "pedestrian", "bicyclist", "motorcyclist", "bird", "ground_animal"),
    *("const_cone_pole", "pole", "pedestrian_stuff", "sign", "traffic_light", "building", "road"),
    *("lane_marker", "road_marker", "sidewalk", "vegetation", "sky", "ground", "dynamic", "static"),
)
"""Classes of the panoptic labels by number."""

MOVABLE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 27)
"""Numbers of the classes whose instances may move, in the order of Dynamo-Depth."""

_STATIC, _MOVING, _UNKNOWN = 0, 1, 255

Labels = npt.NDArray[np.uint16]

Motion = list[tuple[int, int, int]]
"""Panoptic class, instance, and its value in masks/moving."""


class InstanceMatch(NamedTuple):
    """An instance of an image and its 3-D box.

    Attributes
    ----------
    category : int
        Panoptic class.
    instance : int
        Number within the class; numbers up to the largest that do not occur are listed, too.
    label : LaserLabel or None
        The label whose box holds most of the instance's lidar points.
    share : float
        Of the instance's points that the box holds; 0 without one.
    """

    category: int
    instance: int
    label: LaserLabel | None
    share: float


@dataclass(frozen=True)
class _Seen:
    """Lidar points at whole pixels of one camera: the last point of a pixel counts."""

    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    points: npt.NDArray[np.float64]


def match_instances(
    classes: Labels,
    instances: Labels,
    camera: int,
    returns: list[LaserReturn],
    labels: list[LaserLabel],
) -> list[InstanceMatch]:
    """Find the 3-D box of every movable instance in an image.

    Points whose FIRST projection is the camera take part, at whole pixels, later ones replacing
    earlier ones. The box is the camera-synced one; its share of the instance's points must be
    strictly larger than that of all boxes before it. (Dynamo-Depth's preparation.)

    Parameters
    ----------
    classes, instances : (H, W) uint16
        The panoptic label.
    camera : int
        Number of the camera.
    returns : list of LaserReturn
        First returns of the lidars in the order of the record.
    labels : list of LaserLabel
    """
    seen = _points_seen(classes.shape, camera, returns)
    boxes = [(label, label.synced_box) for label in labels if label.synced_box is not None]
    inside = [_inside(seen.points, box) for _, box in boxes]
    category_of = classes[seen.row, seen.column]
    instance_of = instances[seen.row, seen.column]
    found = []
    for category in MOVABLE:
        numbers = instances[classes == category]
        for number in range(int(numbers.max()) + 1 if numbers.size else 0):
            chosen = (category_of == category) & (instance_of == number)
            total, best, label = int(chosen.sum()), 0.0, None
            for (candidate, _), held in zip(boxes, inside, strict=True):
                share = float((held & chosen).sum() / total) if total else 0.0
                if share > best:
                    best, label = share, candidate
            found.append(InstanceMatch(category, number, label, best))
    return found


def motion_of(matches: list[InstanceMatch], threshold: float) -> Motion:
    """Return the value of every instance that is not known to stand: 1 moving, 255 without a box.

    `threshold` is in m/s.
    """
    out = []
    for match in matches:
        value = _UNKNOWN
        if match.label is not None and match.label.speed is not None:
            value = _MOVING if np.linalg.norm(match.label.speed) > threshold else _STATIC
        if value:
            out.append((match.category, match.instance, value))
    return out


def draw_motion(classes: Labels, instances: Labels, motion: Motion) -> npt.NDArray[np.uint8]:
    """Return masks/moving of a panoptic label: 0 where nothing is said."""
    moving = np.full(classes.shape, _STATIC, np.uint8)
    for category, instance, value in motion:
        moving[(classes == category) & (instances == instance)] = value
    return moving


def motion_values(
    classes: Labels, instances: Labels, matches: list[InstanceMatch], threshold: float
) -> npt.NDArray[np.uint8]:
    """Return masks/moving: 1 faster than `threshold` (m/s), 0 not, 255 without a box."""
    return draw_motion(classes, instances, motion_of(matches, threshold))


def _points_seen(shape: tuple[int, ...], camera: int, returns: list[LaserReturn]) -> _Seen:
    chosen = [(r.projection[:, :3], r.points) for r in returns if r.projection is not None]
    if not chosen:
        return _Seen(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3)))
    projection = np.concatenate([p for p, _ in chosen])
    points = np.concatenate([q for _, q in chosen])
    mine = np.flatnonzero(projection[:, 0] == camera)
    column, row = projection[mine, 1].astype(np.int64), projection[mine, 2].astype(np.int64)
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    mine, row, column = mine[inside], row[inside], column[inside]
    last = np.full(shape, -1, np.int64)
    last[row, column] = np.arange(len(mine))  # the last one wins
    kept = last[last >= 0]
    return _Seen(row[kept], column[kept], points[mine[kept]])


def _inside(points: npt.NDArray[np.float64], box: Box) -> npt.NDArray[np.bool_]:
    """Which points lie strictly inside an upright box."""
    c, s = np.cos(box.heading), np.sin(box.heading)
    d = points - box.centre
    along = np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0], d[:, 2]], axis=-1)
    return np.asarray((np.abs(along) < box.size / 2).all(axis=1))
