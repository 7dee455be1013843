"""Panoptic lidar labels and boxes: which points are on an object that moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.nuscenes_lidar import DIVISOR
from depthdata.sources.nuscenes_data import Boxes, Scene, matrices

__all__ = ["Match", "boxes_moving", "match_labels", "motion_labels", "moving_points"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint16]

_MOVABLE = ("animal", "human", "vehicle")
_EGO = 31  # vehicle.ego: the car itself
_NOISE = 0
_STATIC, _MOVING, _UNKNOWN = 0, 1, 255


class Match(NamedTuple):
    """A panoptic label and its box.

    Attributes
    ----------
    box : int
        Row of the scene's boxes; -1: none.
    share : float
        Of the label's points that the box holds.
    """

    box: int
    share: float


def match_labels(
    scene: Scene, sample: int, labels: Labels, world: npt.NDArray[np.floating]
) -> dict[int, Match]:
    """Find the box of every movable label: the one of its category that holds most of its points.

    The share must be above 0; the first of equals wins. (Dynamo-Depth's preparation.)

    Parameters
    ----------
    scene : Scene
        With `category_index`.
    sample : int
        Number of the sample.
    labels : (N,) uint16
    world : (N, 3)
        The labelled points in the world.
    """
    index = scene.category_index
    assert index is not None
    boxes = scene.boxes
    rows = np.flatnonzero(boxes.sample == sample)
    numbers = index[boxes.category[rows]]
    inside = [_inside(boxes, int(row), world) for row in rows]
    movable = set(_movable(scene))
    found = {}
    for label in np.unique(labels).tolist():
        category = label // DIVISOR
        if category not in movable:
            continue
        mine = labels == label
        best = Match(-1, 0.0)
        for row, number, held in zip(rows.tolist(), numbers.tolist(), inside, strict=True):
            if number == category:
                share = float((held & mine).sum() / mine.sum())
                if share > best.share:
                    best = Match(row, share)
        found[label] = best
    return found


def motion_labels(scene: Scene, labels: Labels, matches: dict[int, Match]) -> npt.NDArray[np.uint8]:
    """Return Dynamo-Depth's motion labels of points.

    0 not movable, 1 the box has an attribute of motion, 2 it has none, 3 no box.
    """
    says = _says_moving(scene)
    out = np.zeros(len(labels), np.uint8)
    for label, match in matches.items():
        value = 3 if match.box < 0 else 1 if says[match.box] else 2
        out[labels == label] = value
    return out


def boxes_moving(scene: Scene, threshold: float) -> npt.NDArray[np.bool_]:
    """Tell which boxes move: faster than `threshold` (m/s); unknown speeds by the attributes."""
    speed = np.linalg.norm(scene.boxes.velocity, axis=1)
    return np.where(np.isnan(speed), _says_moving(scene), speed > threshold)


def moving_points(
    labels: Labels, matches: dict[int, Match], moving: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """Return 1 for points on a moving box, 0 for others, 255 for noise and where no box is.

    >>> moving_points(np.array([0, 24000], np.uint16), {}, np.zeros(0, bool))
    array([255,   0], dtype=uint8)
    """
    out = np.zeros(len(labels), np.uint8)
    out[labels // DIVISOR == _NOISE] = _UNKNOWN
    for label, match in matches.items():
        value = _UNKNOWN if match.box < 0 else _MOVING if moving[match.box] else _STATIC
        out[labels == label] = value
    return out


def _movable(scene: Scene) -> list[int]:
    """Return the numbers of the categories that may move."""
    assert scene.category_index is not None
    return [
        int(number)
        for name, number in zip(scene.categories, scene.category_index, strict=True)
        if any(word in name for word in _MOVABLE) and number != _EGO
    ]


def _says_moving(scene: Scene) -> npt.NDArray[np.bool_]:
    """Tell which boxes have an attribute of motion (``vehicle.moving``, ``pedestrian.moving``)."""
    bits = sum(1 << k for k, name in enumerate(scene.attribute_names) if "moving" in name)
    return np.asarray((scene.boxes.attributes & np.uint64(bits)) != 0)


def _inside(boxes: Boxes, row: int, world: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Tell which world points (N, 3) lie strictly inside a box."""
    width, length, height = boxes.size[row]
    T = matrices(boxes.pose[row])
    # the corners as float64 products, the test by edges: what lies on a face is decided the same
    x = length / 2 * np.array([1, 1, 1, -1])
    y = width / 2 * np.array([1, -1, 1, 1])
    z = height / 2 * np.array([1, 1, -1, 1])
    corners = (T[:3, :3] @ np.stack([x, y, z]) + T[:3, 3:]).T
    edges = corners[1:] - corners[0]
    along = (world - corners[0]) @ edges.T
    return np.asarray(((along > 0) & (along < (edges * edges).sum(axis=1))).all(axis=1))
