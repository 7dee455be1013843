"""Unified visual odometry as a video: image, depth and flow beside the scene in three dimensions.

The scene shows the points of the last frames, the way of the camera, and what moves by itself:
its points in orange, its boxes and their ways where there are boxes, else its displacements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.view import colors
from depthdata.view.moments import Cloud, Moment, cloud, displacements, with_next
from depthdata.view.painting import flow_wheel
from depthdata.view.panels import (
    BACKGROUND,
    BAR_WIDTH,
    colour_bar,
    fit,
    labelled,
    stack_panels,
)
from depthdata.view.splats import Canvas, look_at
from depthdata.view.video import write_video

__all__ = [
    "MOVING_RGB",
    "PATH_RGB",
    "odometry_images",
    "odometry_video",
    "panels_video",
    "points_video",
]

Float = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

MOVING_RGB = (255, 120, 40)
PATH_RGB = (64, 224, 255)
_CAMERA_RGB = (255, 255, 255)
_DIMMED = 0.75
_FARTHEST = 5.0  # in median depths of the first frame
_NOW, _BEFORE = 60_000, 8_000
_CALM = 0.8
_SWINGS = 48  # frames of one swing of the viewer


def odometry_video(
    found: Iterable[Moment],
    out: str | Path,
    *,
    title: str = "",
    fps: float = 10.0,
    height: int = 480,
    history: int = 30,
) -> Path:
    """Write unified visual odometry as MP4.

    Parameters
    ----------
    found : iterable of Moment
        Of a sequence (`moments`) or of a model's predictions, all of one size.
    out : path
        The MP4 to write; it appears when it is whole.
    title : str
        Above the pictures.
    fps : float
    height : int
        Of the scene, pixels.
    history : int
        Frames whose points stay in the scene.

    Raises
    ------
    UsageError
        There is no frame.
    OSError
        OpenCV cannot write the file.
    """
    return write_video(out, odometry_images(found, title, height, history), fps)


def odometry_images(
    found: Iterable[Moment], title: str = "", height: int = 480, history: int = 30
) -> Iterator[Image]:
    """Yield the pictures of `odometry_video`, (h, w, 3) RGB, one for each frame."""
    scene: _Scene | None = None
    scale: _Scale | None = None
    for now, after in with_next(found):
        if scene is None or scale is None:
            scene, scale = _Scene.of(now, height, history), _Scale.of(now, after)
        panels = list(scale.panels(now))
        left = stack_panels(panels, gap=4)
        right = scene.draw(now, after, max(height, left.shape[0]) - 28)
        body = stack_panels([left, labelled(right, [scene.caption(now)])], across=True)
        yield labelled(body, [fit(_line(title, now), body.shape[1] - 16)])


def panels_video(
    found: Iterable[Moment],
    out: str | Path,
    *,
    title: str = "",
    fps: float = 10.0,
    width: int = 640,
) -> Path:
    """Write image, depth and flow of each frame under (or beside) one another as MP4.

    Parameters
    ----------
    width : int
        Of a picture, pixels; others and errors as for `odometry_video`.
    """
    return write_video(out, _panel_images(found, title, width), fps)


def _panel_images(found: Iterable[Moment], title: str, width: int) -> Iterator[Image]:
    scale: _Scale | None = None
    for now, after in with_next(found):
        if scale is None:
            scale = replace(_Scale.of(now, after), width=width)
        tall, wide = now.image.shape[:2]
        body = stack_panels(list(scale.panels(now, bars=True)), across=wide < 1.6 * tall)
        yield labelled(body, [fit(_line(title, now), body.shape[1] - 16)])


def points_video(
    found: Iterable[Moment],
    out: str | Path,
    *,
    title: str = "",
    fps: float = 10.0,
    height: int = 480,
) -> Path:
    """Write each frame's points, seen by a viewer that swings from side to side, as MP4.

    Parameters and errors as for `odometry_video`.
    """
    return write_video(out, _point_images(found, title, height), fps)


def _point_images(found: Iterable[Moment], title: str, height: int) -> Iterator[Image]:
    unit = None
    for number, now in enumerate(found):
        if unit is None:
            unit = _median_depth(now)
        width = round(height * 16 / 9)
        angle = 0.32 * np.sin(2 * np.pi * number / _SWINGS)
        target = np.array([0.0, 0.0, 1.2 * unit])
        eye = target + 1.45 * unit * np.array([np.sin(angle), -0.22, -np.cos(angle)])
        view = look_at(eye, target, [0.0, -1.0, 0.0])
        pose = np.eye(4) if now.pose is None else now.pose
        canvas = Canvas((height, width), _lens(height, width), pose @ view)
        points = cloud(now, 4 * _NOW, _FARTHEST * unit)
        if points is not None:
            canvas.points(points.points, points.colours, 1.5 * points.widths)
        small = _fitted(now.image, width)
        body = stack_panels([small, canvas.image()], across=small.shape[0] > 0.8 * small.shape[1])
        yield labelled(body, [fit(_line(title, now), body.shape[1] - 16)])


@dataclass
class _Scale:
    """The panels beside the scene, with colours that stay the same from frame to frame."""

    near: float
    far: float
    fastest: float | None
    width: int

    @classmethod
    def of(cls, first: Moment, second: Moment | None) -> _Scale:
        """Take the scales of the first frame; a stream may begin with the second."""
        both = [first] if second is None else [first, second]
        near, far, fastest = 1.0, 2.0, None
        depth = next((one.depth for one in both if one.depth is not None), None)
        if depth is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                low, high = colors.finite_range(1 / np.where(depth > 0, depth, np.nan))
            near, far = 1 / high, 1 / max(low, 1e-9)
        lengths = [np.hypot(*one.flow) for one in both if one.flow is not None]
        if lengths:
            fastest = colors.finite_range(np.stack(lengths), 0, 98)[1]
        tall, wide = first.image.shape[:2]
        return cls(near, far, fastest, 480 if wide / tall > 1.6 else 320)

    def panels(self, now: Moment, *, bars: bool = False) -> Iterator[Image]:
        """Yield image, depth and flow, each under its title; grey where a frame has none.

        With `bars` a scale stands beside each, without unit: a depth may be up to a factor.
        """
        tall, wide = now.image.shape[:2]
        height = max(1, round(tall * self.width / wide))
        none_bar = np.empty((height, BAR_WIDTH, 3), np.uint8)
        none_bar[:] = BACKGROUND
        scale = [
            none_bar,
            colour_bar(height, 1 / self.far, 1 / self.near, "", inverse=True),
            flow_wheel(height, self.fastest or 1.0),
        ]
        beside = iter(scale if bars else [none_bar[:, :0]] * 3)
        image, name = now.image, "image"
        if now.moving is not None:
            image, name = colors.colorize_mask(now.moving > 0.5, image, MOVING_RGB), "what moves"
        yield self._panel(image, name, next(beside))
        none = np.full(now.image.shape[:2], np.nan)
        depth = none if now.depth is None else now.depth
        shown = colors.colorize_depth(depth, self.near, self.far)
        yield self._panel(shown, "depth", next(beside))
        if self.fastest is not None:
            flow = np.stack([none, none]) if now.flow is None else now.flow
            shown = colors.colorize_flow(flow, self.fastest)
            yield self._panel(shown, "flow to the next frame", next(beside))

    def _panel(self, image: Image, name: str, bar: Image) -> Image:
        return labelled(np.concatenate([_fitted(image, self.width), bar], 1), [name])


@dataclass
class _Scene:
    """The points of the last frames, and the ways of camera and objects so far."""

    unit: float
    size: tuple[int, int]
    up: Float
    before: deque[Cloud]
    path: list[Float] = field(default_factory=list)
    ways: dict[int, list[Float]] = field(default_factory=dict)
    behind: Float | None = None

    @classmethod
    def of(cls, first: Moment, height: int, history: int) -> _Scene:
        """Begin with the unit of length and the upward direction of the first frame."""
        pose = np.eye(4) if first.pose is None else first.pose
        size = (height, round(height * 16 / 9))
        return cls(_median_depth(first), size, -pose[:3, 1], deque(maxlen=max(history, 1)))

    def caption(self, now: Moment) -> str:
        """Say what the scene shows."""
        if now.pose is None:
            return "points (the pose is not known)"
        return f"points of {len(self.before)} frames, way of the camera, what moves"

    def draw(self, now: Moment, after: Moment | None, height: int) -> Image:
        """Add a frame and return the picture of the scene from behind the camera."""
        size = (height, round(height * 16 / 9))
        pose = np.eye(4) if now.pose is None else now.pose
        canvas = Canvas(size, _lens(*size), self._viewer(pose))
        far = _FARTHEST * self.unit
        dense, sparse = cloud(now, _NOW, far), cloud(now, _BEFORE, far)
        for old in self.before:
            still = ~old.moving
            dimmed = (old.colours[still] * _DIMMED).astype(np.uint8)
            canvas.points(old.points[still], dimmed, old.widths[still])
        if dense is not None:
            shades = dense.colours.copy()
            shades[dense.moving] = 0.45 * shades[dense.moving] + 0.55 * np.array(MOVING_RGB)
            canvas.points(dense.points, shades, dense.widths)
        if now.pose is None:
            self.before.clear()
        elif sparse is not None:
            self.before.append(sparse)
        self.path.append(np.full(3, np.nan) if now.pose is None else pose[:3, 3])
        canvas.path(np.array(self.path), PATH_RGB, 3)
        _draw_camera(canvas, pose, now, 0.12 * self.unit)
        self._objects(canvas, now, after, far)
        return canvas.image()

    def _viewer(self, pose: Float) -> Float:
        """Return the pose of a viewer behind and above the camera, which turns calmly."""
        forward = pose[:3, 2]
        self.behind = (
            forward if self.behind is None else _CALM * self.behind + (1 - _CALM) * forward
        )
        direction = self.behind / max(float(np.linalg.norm(self.behind)), 1e-9)
        place = pose[:3, 3]
        eye = place - 0.95 * self.unit * direction + 0.5 * self.unit * self.up
        return look_at(eye, place + 1.1 * self.unit * direction, self.up)

    def _objects(self, canvas: Canvas, now: Moment, after: Moment | None, far: float) -> None:
        if now.solids is not None and now.pose is not None:
            starts, ends = now.solids.edges()
            shades = colors.colorize_instances(now.solids.id + 1)
            for i, (number, shade) in enumerate(zip(now.solids.id.tolist(), shades, strict=True)):
                centre = now.solids.T_world_box[i, :3, 3]
                way = self.ways.setdefault(number, [])
                way.append(centre)
                if np.linalg.norm(centre - now.pose[:3, 3]) <= far:
                    canvas.lines(starts[i], ends[i], shade, 2)
                    canvas.path(np.array(way), shade, 2)
        elif after is not None:
            canvas.lines(*displacements(now, after, far), MOVING_RGB, 2)


def _draw_camera(canvas: Canvas, pose: Float, now: Moment, reach: float) -> None:
    """Draw the pyramid of what the camera sees."""
    tall, wide = now.image.shape[:2]
    inverse = np.linalg.inv(now.intrinsics)
    corners = np.array([[-0.5, -0.5, 1], [wide - 0.5, -0.5, 1], [wide - 0.5, tall - 0.5, 1],
                        [-0.5, tall - 0.5, 1]]) @ inverse.T * reach  # fmt: skip
    world = corners @ pose[:3, :3].T + pose[:3, 3]
    canvas.lines(world, np.roll(world, -1, 0), _CAMERA_RGB, 2)
    canvas.lines(np.repeat(pose[None, :3, 3], 4, 0), world, _CAMERA_RGB, 1)


def _line(title: str, now: Moment) -> str:
    return " | ".join(part for part in (title, f"frame {now.frame} ({now.name})") if part)


def _median_depth(first: Moment) -> float:
    if first.depth is None:
        return 10.0
    known = first.depth[np.isfinite(first.depth) & (first.depth > 0)]
    return float(np.median(known)) if known.size else 10.0


def _lens(height: int, width: int) -> Float:
    focal = 0.75 * width
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])


def _fitted(image: Image, width: int) -> Image:
    tall, wide = image.shape[:2]
    how = cv2.INTER_AREA if width < wide else cv2.INTER_NEAREST
    size = (width, max(1, round(tall * width / wide)))
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
