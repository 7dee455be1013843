"""The streams that come from panoptic lidar labels: of points, and drawn into the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.nuscenes_lidar import DIVISOR
from depthdata.sources.nuscenes import SPEED_THRESHOLD
from depthdata.sources.nuscenes_data import Scene

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, Points

__all__ = ["PointLabels", "draw", "write_labels"]

_UNKNOWN = 255
_SOURCE = "nuScenes-panoptic: labels of the lidar points"


@dataclass
class PointLabels:
    """The labelled points of one picture, in the order of the stream ``depth``.

    Attributes
    ----------
    frame : int
    x, y, z : (N,) float32
        Pixels, metres.
    labels : (N,) uint16
    moving : (N,) uint8
        1 moves, 0 not, 255 unknown.
    prepared : (M, 2) float64 or None
        Pixels of the points that Dynamo-Depth's preparation keeps.
    motion : (M,) uint8 or None
        Its motion labels.
    """

    frame: int
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    z: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint16]
    moving: npt.NDArray[np.uint8]
    prepared: npt.NDArray[np.float64] | None = None
    motion: npt.NDArray[np.uint8] | None = None

    @classmethod
    def of(
        cls,
        frame: int,
        points: Points,
        labels: npt.NDArray[np.uint16],
        moving: npt.NDArray[np.uint8],
    ) -> PointLabels:
        """Take the places of subpixel points."""
        assert points.x is not None and points.y is not None
        return cls(frame, points.x, points.y, points.value, labels, moving)


def write_labels(
    camera: CameraWriter, found: list[PointLabels], scene: Scene, preset: str | None
) -> None:
    """Write ``panoptic``, ``semantics``, ``instances``, ``masks/moving`` of a camera.

    With the preset also ``motion_labels`` where they were made.
    """
    if not found:
        return
    assert scene.category_index is not None
    classes = {
        str(number): name
        for number, name in zip(scene.category_index.tolist(), scene.categories, strict=True)
    }
    shared: dict[str, Any] = {"frame_index": [one.frame for one in found], "provenance": _SOURCE}
    drawn: dict[str, Any] = {
        "drawn": "at the pixel nearest to each lidar point, the nearest point first"
    }
    camera.points(
        "panoptic",
        (_points(one.x, one.y, one.labels) for one in found),
        divisor=DIVISOR,
        classes=classes,
        **shared,
    )
    shape = (camera.height, camera.width)
    camera.dense(
        "semantics",
        (draw(one, (one.labels // DIVISOR).astype(np.uint8), shape, _UNKNOWN) for one in found),
        dtype="u1",
        missing=_UNKNOWN,
        classes=classes,
        **shared,
        **drawn,
    )
    camera.dense(
        "instances",
        (draw(one, _instances(one.labels), shape, 0) for one in found),
        dtype="u2",
        missing=0,
        divisor=DIVISOR,
        **shared,
        **drawn,
    )
    camera.dense(
        "masks/moving",
        (draw(one, one.moving, shape, _UNKNOWN) for one in found),
        dtype="u1",
        missing=_UNKNOWN,
        one_means=f"on an object faster than {SPEED_THRESHOLD} m/s",
        speed_threshold=SPEED_THRESHOLD,
        **shared,
        **drawn,
    )
    if preset == "dynamo_depth" and found[0].motion is not None:
        camera.points(
            "motion_labels",
            _motion(found),
            frame_index=shared["frame_index"],
            provenance="preset dynamo_depth: panoptic labels and boxes by category and share",
            values={
                "0": "not movable",
                "1": "moving",
                "2": "movable but static",
                "3": "unlabelled",
            },
        )


def draw(
    points: PointLabels, values: npt.NDArray[Any], shape: tuple[int, int], empty: int
) -> npt.NDArray[Any]:
    """Return an image of values at the nearest pixels; the nearest point is drawn last."""
    image = np.full(shape, empty, values.dtype)
    column, row = np.rint(points.x).astype(np.intp), np.rint(points.y).astype(np.intp)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    order = np.flatnonzero(inside)
    order = order[np.argsort(-points.z[order], kind="stable")]
    image[row[order], column[order]] = values[order]
    return image


def _instances(labels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Return the labels of things, 0 for stuff."""
    return np.where(labels % DIVISOR > 0, labels, np.uint16(0))


def _points(x: npt.NDArray[Any], y: npt.NDArray[Any], values: npt.NDArray[Any]) -> Points:
    from depthdata.sequence import Points

    return Points(kind="subpixel", x=x, y=y, value=values.astype(np.float32))


def _motion(found: list[PointLabels]) -> Iterator[Points]:
    for one in found:
        assert one.prepared is not None and one.motion is not None
        yield _points(one.prepared[:, 0].copy(), one.prepared[:, 1].copy(), one.motion)
