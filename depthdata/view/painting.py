"""One stream of a sequence as pictures: its title, its colour scale, its panels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.sequence import Sequence
from depthdata.view import colors
from depthdata.view.panels import BACKGROUND, BAR_WIDTH, colour_bar, put_text, text_width

__all__ = ["Painter", "default_streams", "flow_wheel", "painters", "pick_camera"]

Image = npt.NDArray[np.uint8]

_LABELS = ("instances", "semantics")
_ORDER = (
    "depth",
    "depth_annotated",
    "depth_raw",
    "lidar_depth",
    "disparity",
    "disparity_next",
    "disparity_change_forward",
    "disparity_change_backward",
    "flow_forward",
    "flow_backward",
    *_LABELS,
    "materials",
)
_BOTH_VIEWS = ("rgb", "disparity")
_PAIRS = {"left": "right", "right": "left", "gray_left": "gray_right", "gray_right": "gray_left"}
_UNKNOWN_RGB = (70, 70, 90)


def pick_camera(sequence: Sequence, camera: str | None) -> str:
    """Return the named camera, or the first; UsageError when there is none of that name."""
    if camera is None:
        return next(iter(sequence.cameras))
    if camera not in sequence.cameras:
        raise UsageError(
            f"{sequence.path}: no camera {camera!r}; there are {', '.join(sequence.cameras)}"
        )
    return camera


def default_streams(sequence: Sequence, camera: str) -> list[str]:
    """Return the streams worth showing: images, measures, labels, masks.

    Depth that follows from disparity (or the other way round) is among them. Validity is not:
    what is not valid is grey in the panels of its stream.
    """
    cam = sequence.cameras[camera]
    have = (
        *cam.streams,
        *(name for name in cam.derived if cam[name].shape == cam[name].shape[-2:]),
    )
    images = sorted(s for s in cam.streams if cam[s].kind == "encoded" and s.startswith("rgb"))
    images = [s for s in images if "derived_from" not in cam[s].attrs]
    masks = sorted(name for name in have if name.startswith("masks/"))
    chosen = [*images, *(name for name in _ORDER if name in have), *masks]
    return chosen or list(have)


def partner(sequence: Sequence, camera: str) -> str | None:
    """Return the other camera of the stereo pair, by name where no pair is stated, or None."""
    for pair in sequence.stereo_pairs:
        if camera in (pair.left, pair.right):
            return pair.right if camera == pair.left else pair.left
    other = _PAIRS.get(camera)
    return other if other in sequence.cameras else None


def painters(
    sequence: Sequence,
    camera: str | None,
    streams: Iterable[str] | None,
    frames: list[int],
    size: tuple[int, int],
) -> list[Painter]:
    """Make a painter for each stream of a camera; image and disparity also of its pair's other.

    Parameters
    ----------
    sequence : Sequence
    camera : str or None
        None: the first.
    streams : iterable of str or None
        None: `default_streams`, and image and disparity of the other camera of the pair.
    frames : list of int
        Those that fix the colour scales.
    size : (int, int)
        Height and width of a panel.
    """
    name = pick_camera(sequence, camera)
    wanted = list(streams) if streams is not None else default_streams(sequence, name)
    cam = sequence.cameras[name]
    missing = [s for s in wanted if s not in (*cam.streams, *cam.derived)]
    if missing:
        have = ", ".join((*cam.streams, *cam.derived))
        raise UsageError(
            f"{sequence.path}: camera {name} has no {', '.join(missing)}; it has {have}"
        )
    chosen = []
    other = partner(sequence, name) if streams is None else None
    for stream in wanted:
        chosen.append((name, stream))
        both = other is not None and stream in _BOTH_VIEWS
        if other is not None and both and stream in sequence.cameras[other].streams:
            chosen.append((other, stream))
    return [Painter.of(sequence, cam, stream, frames, size) for cam, stream in chosen]


@dataclass(frozen=True)
class Painter:
    """Paints one stream with one colour scale.

    Parameters
    ----------
    sequence : Sequence
    camera, stream : str
    size : (int, int)
        Height and width of a panel.
    low, high : float
        Ends of the colour scale (of inverse depth for depth).
    """

    sequence: Sequence
    camera: str
    stream: str
    size: tuple[int, int]
    low: float
    high: float

    @classmethod
    def of(
        cls,
        sequence: Sequence,
        camera: str,
        stream: str,
        frames: list[int],
        size: tuple[int, int],
    ) -> Painter:
        """Make a painter whose colour scale fits the given frames."""
        source = sequence.cameras[camera][stream]
        scale = (0.0, 1.0)
        if _is_depth(stream):
            values = [_depths(source, t) for t in frames if source.present[t]]
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = [1 / v[v > 0] for v in values]
            scale = colors.finite_range(np.concatenate(inverse)) if inverse else (0.01, 1.0)
        elif stream.startswith("flow"):
            lengths = [np.hypot(*source[t]).ravel() for t in frames if source.present[t]]
            scale = (
                0.0,
                colors.finite_range(np.concatenate(lengths), 0, 98)[1] if lengths else 1.0,
            )
        elif _is_measured(source):
            values = [np.ravel(source[t]) for t in frames if source.present[t]]
            scale = colors.finite_range(np.concatenate(values)) if values else (0.0, 1.0)
        return cls(sequence, camera, stream, size, *scale)

    @property
    def title(self) -> str:
        """Camera, stream, and what it is."""
        source = self.sequence.cameras[self.camera][self.stream]
        kind = f" ({source.kind})" if source.kind in ("points", "derived") else ""
        return f"{self.camera} {self.stream.replace('_', ' ').replace('masks/', 'mask: ')}{kind}"

    def bar(self) -> Image:
        """Return the colour bar that belongs to the panels; empty for images and labels."""
        height = self.size[0]
        if _is_depth(self.stream):
            return colour_bar(height, self.low, self.high, "m", inverse=True)
        if self.stream.startswith("flow"):
            return flow_wheel(height, self.high)
        source = self.sequence.cameras[self.camera][self.stream]
        if _is_measured(source):
            return colour_bar(height, self.low, self.high, source.unit or "")
        out = np.empty((height, BAR_WIDTH, 3), np.uint8)
        out[:] = BACKGROUND
        return out

    def paint(self, frame: int) -> Image:
        """Return the panel of a frame, RGB; "absent" where the stream has none."""
        source = self.sequence.cameras[self.camera][self.stream]
        if not source.present[frame]:
            return self._absent()
        if source.kind == "encoded":
            return _resize(_rgb(source[frame]), self.size)
        if source.kind == "points":
            return self._dots(frame)
        if self.stream.startswith("flow"):
            near = _nearest(np.moveaxis(source[frame], 0, -1), self.size)
            return colors.colorize_flow(np.moveaxis(near, -1, 0), self.high)
        values = _nearest(source[frame], self.size)
        if _is_depth(self.stream):
            with np.errstate(divide="ignore", invalid="ignore"):
                return colors.colorize(
                    np.where(values > 0, 1 / values, np.nan), self.low, self.high
                )
        if self.stream in _LABELS:
            painted = colors.colorize_instances(values)
            if isinstance(missing := source.attrs.get("missing"), (int, np.integer)) and missing:
                painted[values == missing] = _UNKNOWN_RGB
            return painted
        if self.stream.startswith("masks/"):
            soft = values.dtype.kind == "f"
            if not soft and "crop" in source.attrs:
                values = self._placed(values, source.attrs["crop"])
            painted = colors.colorize_mask(
                values > 0.5 if soft else values == 1, self._image(frame)
            )
            if not soft:
                painted[values > 1] = _UNKNOWN_RGB
            return painted
        return colors.colorize(values, self.low, self.high)

    def _placed(self, values: npt.NDArray[Any], crop: tuple[int, ...]) -> npt.NDArray[Any]:
        """Put a mask of a part of the image where it belongs; the rest is unknown."""
        cam = self.sequence.cameras[self.camera]
        down, across = self.size[0] / cam.height, self.size[1] / cam.width
        left, right = round(crop[0] * across), round(crop[2] * across)
        top, bottom = round(crop[1] * down), round(crop[3] * down)
        whole = np.full(self.size, 255, values.dtype)
        whole[top:bottom, left:right] = _nearest(values, (bottom - top, right - left))
        return whole

    def _dots(self, frame: int) -> Image:
        """Lidar points over the dimmed image, near ones on top, large enough to be seen."""
        cam = self.sequence.cameras[self.camera]
        points = cam[self.stream].points(frame)
        x, y = (np.asarray(a, np.float64) for a in points.positions())
        value = np.asarray(points.value, np.float64)
        under = self._image(frame)
        if under is None:
            canvas = np.zeros((*self.size, 3), np.uint8)
        else:
            grey = cv2.cvtColor(under, cv2.COLOR_RGB2GRAY)
            canvas = np.repeat((grey * 0.45).astype(np.uint8)[..., None], 3, 2)
        down, across = self.size[0] / cam.height, self.size[1] / cam.width
        inside = (value > 0) & (x > -0.5) & (x < cam.width - 0.5)
        inside &= (y > -0.5) & (y < cam.height - 0.5)
        shown = np.flatnonzero(inside)
        shown = shown[np.argsort(-value[shown], kind="stable")]
        shades = colors.colorize(1 / value[shown], self.low, self.high)
        centres = np.stack([(x[shown] + 0.5) * across - 0.5, (y[shown] + 0.5) * down - 0.5], 1)
        radius = max(1, round(self.size[1] / 900))
        for (u, v), shade in zip(
            np.rint(centres).astype(int).tolist(), shades.tolist(), strict=True
        ):
            cv2.circle(canvas, (u, v), radius, shade, -1)
        return canvas

    def _image(self, frame: int) -> Image | None:
        cam = self.sequence.cameras[self.camera]
        if "rgb" not in cam.streams or not cam["rgb"].present[frame]:
            return None
        return _resize(_rgb(cam["rgb"][frame]), self.size)

    def _absent(self) -> Image:
        out = np.empty((*self.size, 3), np.uint8)
        out[:] = colors.MISSING_RGB
        left = max(2, (self.size[1] - text_width("absent")) // 2)
        put_text(out, "absent", left, self.size[0] // 2 + 4, colour=(150, 150, 150))
        return out


def _is_depth(stream: str) -> bool:
    return stream.endswith("depth") or stream.startswith("depth_")


def _is_measured(source: Any) -> bool:
    """Tell whether a stream has a colour scale: floating-point values, no labels."""
    return bool(source.kind in ("dense", "derived") and np.issubdtype(source.dtype, np.floating))


def _depths(source: Any, frame: int) -> npt.NDArray[np.float64]:
    if source.kind == "points":
        return np.asarray(source.points(frame).value, np.float64)
    return np.ravel(np.asarray(source[frame], np.float64))


def _rgb(image: npt.NDArray[np.generic]) -> Image:
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)  # type: ignore[operator]
    out = np.asarray(image, np.uint8)
    return out if out.ndim == 3 else np.repeat(out[..., None], 3, 2)


def _resize(image: Image, size: tuple[int, int]) -> Image:
    smaller = size[1] < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=how), np.uint8)


def _nearest(values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    rows = ((np.arange(size[0]) + 0.5) * values.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * values.shape[1] / size[1]).astype(int)
    return np.asarray(values[rows[:, None], columns])


def flow_wheel(height: int, largest: float) -> Image:
    """Draw the colour wheel of flow with the length that its rim stands for."""
    out = np.empty((height, BAR_WIDTH, 3), np.uint8)
    out[:] = BACKGROUND
    radius = min((height - 26) // 2, (BAR_WIDTH - 16) // 2)
    if radius < 6:
        return out
    down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1] / radius
    disc = colors.colorize_flow(np.stack([across, down]), 1.0)
    inside = np.hypot(across, down) <= 1
    top, left = 6, 8
    part = out[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
    part[inside] = disc[inside]
    put_text(out, f"{largest:.3g} px", left, top + 2 * radius + 16, scale=0.38)
    return out
