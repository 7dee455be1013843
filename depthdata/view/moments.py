"""What visual odometry is about, frame by frame: image, depth, pose, flow, what moves.

A `Moment` holds one frame; it comes from a sequence (`moments`) or from a model's predictions, and
the pictures of both are made in one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import backproject, transform
from depthdata.sequence import MISSING_TIME, Sequence
from depthdata.sequence.schema import stream_size
from depthdata.view.painting import pick_camera

__all__ = ["Cloud", "Moment", "Solids", "cloud", "displacements", "moments", "with_next"]

Float = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

_DEPTHS = ("depth", "depth_annotated", "lidar_depth", "depth_raw")


@dataclass(frozen=True, eq=False)
class Solids:
    """Boxes around the objects of one frame.

    Parameters
    ----------
    id : (N,) integer
    T_world_box : (N, 4, 4) float64
    size : (N, 3) float64
        Along the axes of the box.
    """

    id: npt.NDArray[Any]
    T_world_box: Float
    size: Float

    def edges(self) -> tuple[Float, Float]:
        """Return the ends (N, 12, 3) of the twelve edges of each box, in the world."""
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
        apart = np.abs(corners[:, None] - corners).sum(-1)
        pairs = np.argwhere(np.triu(apart == 1))
        world = transform(self.T_world_box[:, None], corners * self.size[:, None])
        return world[:, pairs[:, 0]], world[:, pairs[:, 1]]


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame as visual odometry sees it; what is not known is None.

    Parameters
    ----------
    frame : int
        Index on the timeline.
    name : str
        The source's own name of the frame.
    seconds : float or None
        Since the first frame with a known time.
    image : (H, W, 3) uint8
    intrinsics : (3, 3) float64
    pose : (4, 4) float64, optional
        `T_world_cam`, in the unit of the depth.
    depth : (H, W) float, optional
        Camera z; NaN where there is none.
    moving : (H, W) float, optional
        How likely a pixel moves by itself, 0 to 1; NaN where it is not known.
    flow : (2, H, W) float, optional
        Displacement (dx, dy) to the next frame, pixels.
    solids : Solids, optional
    """

    frame: int
    name: str
    seconds: float | None
    image: Image
    intrinsics: Float
    pose: Float | None = None
    depth: npt.NDArray[np.floating] | None = None
    moving: npt.NDArray[np.floating] | None = None
    flow: npt.NDArray[np.floating] | None = None
    solids: Solids | None = None


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points of one frame: places (N, 3), colours (N, 3), widths (N,), whether they move (N,)."""

    points: Float
    colours: Image
    widths: Float
    moving: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.intp] = field(repr=False)
    columns: npt.NDArray[np.intp] = field(repr=False)


def moments(
    sequence: Sequence, camera: str | None = None, frames: Iterable[int] | None = None
) -> Iterator[Moment]:
    """Yield what a sequence tells of its frames, one in memory at a time.

    Parameters
    ----------
    sequence : Sequence
    camera : str, optional
        Default: the first.
    frames : iterable of int, optional
        Default: all that have an image.

    Raises
    ------
    UsageError
        The camera has no image.
    """
    name = pick_camera(sequence, camera)
    cam = sequence.cameras[name]
    if "rgb" not in cam.streams:
        raise UsageError(f"{sequence.path}: camera {name} has no images; choose another camera")
    size = (cam.height, cam.width)
    usable = [s for s in (*cam.streams, *cam.derived) if stream_size(s, *size) == size]
    depths = [s for s in _DEPTHS if s in usable]
    times, objects = sequence.timestamps, sequence.objects
    known = times[times != MISSING_TIME]
    for t in range(len(sequence)) if frames is None else frames:
        if not cam["rgb"].present[t]:
            continue
        pose = cam.pose(t) if cam.poses is not None else None
        yield Moment(
            frame=t,
            name=str(sequence.frame_ids[t]),
            seconds=None if times[t] == MISSING_TIME else (int(times[t]) - int(known[0])) * 1e-9,
            image=_rgb(cam["rgb"][t]),
            intrinsics=cam.intrinsics(t),
            pose=pose if pose is not None and np.isfinite(pose).all() else None,
            depth=next((_positive(cam[s][t]) for s in depths if cam[s].present[t]), None),
            moving=_moving(cam, usable, t),
            flow=cam["flow_forward"][t]
            if "flow_forward" in usable and cam["flow_forward"].present[t]
            else None,
            solids=None if objects is None else _solids(objects.at(t)),
        )


def cloud(moment: Moment, most: int, farthest: float = np.inf) -> Cloud | None:
    """Return the points of a frame's depth, in the world where the pose is known.

    Parameters
    ----------
    moment : Moment
    most : int
        About as many points at most; whole rows and columns are left out.
    farthest : float
        Leave out what is farther away from the camera.

    Returns
    -------
    Cloud or None
        None without depth.
    """
    if moment.depth is None:
        return None
    depth = np.asarray(moment.depth, np.float64)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(depth) & (depth > 0) & (depth <= farthest)
    step = max(1, int(np.ceil(np.sqrt(known.sum() / most)))) if known.any() else 1
    mask = np.zeros_like(known)
    mask[::step, ::step] = known[::step, ::step]
    rows, columns = np.nonzero(mask)
    z = depth[rows, columns]
    points = backproject(moment.intrinsics, np.stack([columns, rows], -1), z)
    if moment.pose is not None:
        points = transform(moment.pose, points)
    # A sparse map (lidar) has gaps between its points: they are drawn larger.
    spread = step * min(3.0, 1 / np.sqrt(max(float(known.mean()), 1e-3)))
    moving = np.zeros(len(z), bool)
    if moment.moving is not None:
        moving = moment.moving[rows, columns] > 0.5
    return Cloud(
        points,
        moment.image[rows, columns],
        spread * z / moment.intrinsics[0, 0],
        moving,
        rows,
        columns,
    )


def displacements(
    moment: Moment, after: Moment, farthest: float = np.inf, most: int = 300
) -> tuple[Float, Float]:
    """Return where moving points of a frame are and where they are in the next one, (N, 3) each.

    From flow, both depths and both poses; nothing where one of them is missing.
    """
    none = np.zeros((0, 3))
    parts = (moment.depth, moment.flow, moment.moving, moment.pose, after.depth, after.pose)
    if any(part is None for part in parts):
        return none, none
    depth, flow, moving, pose, depth2, pose2 = (np.asarray(part, np.float64) for part in parts)
    with np.errstate(invalid="ignore"):
        chosen = (moving > 0.5) & (depth > 0) & (depth <= farthest) & np.isfinite(flow).all(0)
    rows, columns = np.nonzero(chosen)
    some = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(most, len(rows))).astype(int))
    rows, columns = rows[some], columns[some]
    uv = np.stack([columns, rows], -1).astype(np.float64)
    moved = uv + flow[:, rows, columns].T
    at = np.rint(moved).astype(int)
    inside = (at >= 0).all(-1) & (at[:, 0] < depth2.shape[1]) & (at[:, 1] < depth2.shape[0])
    uv, moved, at, z = uv[inside], moved[inside], at[inside], depth[rows, columns][inside]
    z2 = depth2[at[:, 1], at[:, 0]]
    with np.errstate(invalid="ignore"):
        same = (z2 > 0) & (np.abs(z2 / z - 1) < 0.2)  # else another surface hides the point
    start = transform(pose, backproject(moment.intrinsics, uv[same], z[same]))
    end = transform(pose2, backproject(after.intrinsics, moved[same], z2[same]))
    return start, end


def with_next(found: Iterable[Moment]) -> Iterator[tuple[Moment, Moment | None]]:
    """Yield each frame with the one that follows it without a gap, or None."""
    last: Moment | None = None
    for one in chain(found, (None,)):
        if last is not None:
            yield last, one if one is not None and one.frame == last.frame + 1 else None
        last = one


def _rgb(image: npt.NDArray[Any]) -> Image:
    values = image >> 8 if image.dtype == np.uint16 else image
    out = np.asarray(values, np.uint8)
    return out if out.ndim == 3 else np.repeat(out[..., None], 3, 2)


def _positive(depth: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
        return np.where(depth > 0, depth, np.nan).astype(np.float32)


def _moving(cam: Any, usable: list[str], t: int) -> npt.NDArray[np.float32] | None:
    if "masks/moving" not in usable or not cam["masks/moving"].present[t]:
        return None
    stored = np.asarray(cam["masks/moving"][t])
    if stored.shape != (cam.height, cam.width):  # of a part of the image only
        return None
    out = np.asarray(stored == 1, np.float32)
    if stored.dtype.kind in "iu":
        out[stored > 1] = np.nan
    return out


def _solids(objects: Any) -> Solids:
    known = np.isfinite(objects.T_world_box).all((1, 2))
    return Solids(objects.id[known], objects.T_world_box[known], objects.size[known])
