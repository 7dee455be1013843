"""Points as pictures without a GUI: square splats with a depth buffer, lines, a free camera.

Everything is NumPy: the nearest point of each pixel wins, whatever the order of the points.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import project, se3_inverse, transform
from depthdata.view.panels import BACKGROUND

__all__ = ["Canvas", "look_at"]

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]

_NEAREST = 1e-6
_LARGEST = 9


def look_at(eye: npt.ArrayLike, target: npt.ArrayLike, up: npt.ArrayLike) -> Float:
    """Return the pose `T_world_cam` of a camera at `eye` that looks at `target`.

    Parameters
    ----------
    eye, target : (3,)
        Points of the world; they differ.
    up : (3,)
        The direction that is up in the picture; not parallel to the view.

    Returns
    -------
    (4, 4) float64
        Axes x right, y down, z forward.

    Examples
    --------
    >>> look_at([0, 0, 0], [0, 0, 5], [0, -1, 0]).tolist() == np.eye(4).tolist()
    True
    """
    place = np.asarray(eye, np.float64)
    forward = np.asarray(target, np.float64) - place
    right = np.cross(forward, np.asarray(up, np.float64))
    if not (np.linalg.norm(forward) > 0 and np.linalg.norm(right) > 0):
        raise UsageError("look_at: the target is the eye, or up is parallel to the view")
    z = forward / np.linalg.norm(forward)
    x = right / np.linalg.norm(right)
    out = np.eye(4)
    out[:3, :3] = np.stack([x, np.cross(z, x), z], 1)
    out[:3, 3] = place
    return out


@dataclass
class Canvas:
    """A picture of points and lines, seen by one camera.

    Parameters
    ----------
    size : (int, int)
        Height and width, pixels.
    intrinsics : (3, 3)
        Of the camera, pixel centres at integers.
    T_world_cam : (4, 4)
        Its pose.

    Examples
    --------
    >>> canvas = Canvas((3, 3), np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]]), np.eye(4))
    >>> canvas.points([[0, 0, 2], [0, 0, 1]], [[255, 0, 0], [0, 255, 0]])
    >>> canvas.image()[1, 1].tolist()
    [0, 255, 0]
    """

    size: tuple[int, int]
    intrinsics: Float
    T_world_cam: Float
    _nearest: npt.NDArray[np.float32] = field(init=False)
    _colours: Image = field(init=False)

    def __post_init__(self) -> None:
        """Begin with an empty picture."""
        self._nearest = np.full(self.size[0] * self.size[1], np.inf, np.float32)
        self._colours = np.empty((self.size[0] * self.size[1], 3), np.uint8)
        self._colours[:] = BACKGROUND

    def points(
        self, points: npt.ArrayLike, colours: npt.ArrayLike, extent: float | npt.ArrayLike = 0.0
    ) -> None:
        """Add points.

        Parameters
        ----------
        points : (N, 3)
            In the world; those that are not finite or not before the camera are left out.
        colours : (N, 3) uint8, or one colour
        extent : float or (N,)
            Width of the square that a point covers, in the world's units; at least one pixel.
        """
        xyz = np.asarray(points, np.float64).reshape(-1, 3)
        shades = np.broadcast_to(np.asarray(colours, np.uint8), xyz.shape)
        xyz = np.where(np.isfinite(xyz).all(-1, keepdims=True), xyz, np.nan)
        uv, z = project(self.intrinsics, transform(se3_inverse(self.T_world_cam), xyz))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            widths = self.intrinsics[0, 0] * np.broadcast_to(extent, z.shape) / z
            reach = max(self.size) + _LARGEST
            seen = (z > _NEAREST) & (np.abs(uv) < reach).all(-1)
        sizes = np.clip(np.rint(widths[seen]), 1, _LARGEST).astype(int)
        self._splat(uv[seen], z[seen].astype(np.float32), shades[seen], sizes)

    def lines(
        self, starts: npt.ArrayLike, ends: npt.ArrayLike, colours: npt.ArrayLike, width: int = 2
    ) -> None:
        """Add straight lines (N, 3) to (N, 3), `width` pixels thick, hidden by what is nearer."""
        a = np.asarray(starts, np.float64).reshape(-1, 3)
        b = np.asarray(ends, np.float64).reshape(-1, 3)
        shades = np.broadcast_to(np.asarray(colours, np.uint8), a.shape)
        inverse = se3_inverse(self.T_world_cam)
        for start, end, shade in zip(transform(inverse, a), transform(inverse, b), shades,
                                     strict=True):  # fmt: skip
            kept = _before(start, end)
            if kept is not None:
                self._line(*kept, shade, width)

    def path(self, places: npt.ArrayLike, colour: npt.ArrayLike, width: int = 2) -> None:
        """Add the line through places (N, 3); places that are not finite interrupt it."""
        xyz = np.asarray(places, np.float64).reshape(-1, 3)
        self.lines(xyz[:-1], xyz[1:], colour, width)

    def image(self) -> Image:
        """Return the picture, (H, W, 3) RGB."""
        return np.array(self._colours.reshape(*self.size, 3))

    def depth(self) -> npt.NDArray[np.float32]:
        """Return the distance of what is seen, (H, W), along the view; infinite where nothing."""
        return np.array(self._nearest.reshape(self.size))

    def _line(self, start: Float, end: Float, shade: Image, width: int) -> None:
        uv, z = project(self.intrinsics, np.stack([start, end]))
        inside = _clipped(uv, self.size)
        if inside is None:
            return
        low, high = inside
        count = int(np.ceil(np.abs(uv[1] - uv[0]).max() * (high - low))) + 1
        share = np.linspace(low, high, min(count, 4 * max(self.size)))[:, None]
        at = uv[0] + share * (uv[1] - uv[0])
        depths = 1 / (1 / z[0] + share[:, 0] * (1 / z[1] - 1 / z[0]))  # straight in the image
        shades = np.broadcast_to(shade, (len(at), 3))
        self._splat(at, depths.astype(np.float32), shades, np.full(len(at), width))

    def _splat(
        self,
        uv: Float,
        z: npt.NDArray[np.float32],
        shades: npt.NDArray[np.uint8],
        sizes: npt.NDArray[np.int_],
    ) -> None:
        """Give every pixel its nearest point; of two that are equally near, the first."""
        height, width = self.size
        best = np.full(height * width, np.iinfo(np.uint64).max, np.uint64)
        # Positive floats keep their order as integers: distance above, number of the point below.
        key = (z.view(np.uint32).astype(np.uint64) << np.uint64(32)) | np.arange(
            len(z), dtype=np.uint64
        )
        for size in np.unique(sizes):
            chosen = np.flatnonzero(sizes == size)
            corner = np.floor(uv[chosen] - (size - 1) / 2 + 0.5).astype(np.int64)
            for down in range(size):
                for across in range(size):
                    u, v = corner[:, 0] + across, corner[:, 1] + down
                    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
                    at = v[inside] * width + u[inside]
                    np.minimum.at(best, at, key[chosen[inside]])
        found = best != np.iinfo(np.uint64).max
        number = (best[found] & np.uint64(0xFFFFFFFF)).astype(np.intp)
        pixels = np.flatnonzero(found)
        nearer = z[number] < self._nearest[pixels]
        self._nearest[pixels[nearer]] = z[number[nearer]]
        self._colours[pixels[nearer]] = shades[number[nearer]]


def _before(start: Float, end: Float) -> tuple[Float, Float] | None:
    """Return the part of a line (camera axes) that is before the camera."""
    if not (np.isfinite(start).all() and np.isfinite(end).all()):
        return None
    near = max(_NEAREST, 1e-3 * float(np.abs(np.stack([start, end])).max()))
    if start[2] < near and end[2] < near:
        return None
    share = (near - start[2]) / (end[2] - start[2]) if start[2] != end[2] else 0.0
    cut = start + share * (end - start)
    return (cut if start[2] < near else start), (cut if end[2] < near else end)


def _clipped(uv: Float, size: tuple[int, int]) -> tuple[float, float] | None:
    """Return the shares of a line's length between which it is in the picture (Liang, Barsky)."""
    low, high = 0.0, 1.0
    step = uv[1] - uv[0]
    for axis, most in ((0, size[1] - 0.5), (1, size[0] - 0.5)):
        for edge, sign in ((-0.5, 1.0), (most, -1.0)):
            gap, speed = sign * (uv[0, axis] - edge), sign * step[axis]
            if speed == 0:
                if gap < 0:
                    return None
            elif speed > 0:
                low = max(low, -gap / speed)
            else:
                high = min(high, -gap / speed)
    return (low, high) if low < high or (low == high and not step.any()) else None
