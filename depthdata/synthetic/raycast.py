"""Exact ray casting against convex solids, in NumPy: the nearest surface, and what hides a point.

A ray is ``origin + s * direction``. Camera rays have directions of camera z = 1, so that `s` is
the depth. Rays come in tiles (small groups that lie side by side); a solid is tested against the
rays of a tile only where its outline in the image can meet them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.geometry import project, transform
from depthdata.synthetic.solids import Solid

__all__ = ["Hits", "Outline", "View", "cast", "hidden", "tile_order"]

Float = npt.NDArray[np.float64]
_NEAR = 0.05
_TILE = 4096


@dataclass(frozen=True)
class View:
    """A pinhole: intrinsics (3, 3) and pose `T_cam_world` (4, 4)."""

    K: Float
    T_cam_world: Float


@dataclass(frozen=True)
class Outline:
    """Where solids can appear: pixel rectangle (S, 4) as u0 v0 u1 v1, and least depth (S,)."""

    rectangle: Float
    least: Float


@dataclass(frozen=True)
class Hits:
    """Nearest surfaces: `solid` int16 (N,) (-1 = none), `face` int16, `s` float64 (inf = none)."""

    solid: npt.NDArray[np.int16]
    face: npt.NDArray[np.int16]
    s: Float


def tile_order(height: int, width: int) -> npt.NDArray[np.int64]:
    """Flat pixel indices in an order that keeps square tiles together."""
    v, u = np.divmod(np.arange(height * width), width)
    key = (v // 48) * (width // 84 + 1) + u // 84
    return np.argsort(key, kind="stable")


def outlines(solids: Sequence[Solid], view: View) -> Outline:
    """Bounds of every solid in a view; the whole plane where a part lies behind the camera."""
    rectangle = np.tile([-np.inf, -np.inf, np.inf, np.inf], (len(solids), 1))
    least = np.zeros(len(solids))
    for i, solid in enumerate(solids):
        if not len(solid.corners):
            continue
        uv, z = project(view.K, transform(view.T_cam_world, solid.corners))
        least[i] = np.inf if z.max() <= 0 else max(z.min(), 0.0)
        if z.min() > _NEAR:
            rectangle[i] = [*(uv.min(0) - 1e-6), *(uv.max(0) + 1e-6)]
    return Outline(rectangle, least)


def _enter(
    solid: Solid, origin: Float, directions: Float, before: Float | float
) -> tuple[npt.NDArray[np.intp], Float, npt.NDArray[np.intp]]:
    """Rays (3, n) that enter a solid from outside before an `s` (n,): which, where, by which face.

    Only faces that look at the origin can be entered, only the others can be left.
    """
    none = np.empty(0, np.intp)
    room = solid.offsets - solid.normals @ origin
    front = np.flatnonzero(room < 0)
    if not front.size:
        return none, np.empty(0), none
    slope = solid.normals[front] @ directions
    with np.errstate(divide="ignore", invalid="ignore"):
        planes = np.where(slope < 0, room[front, None] / slope, np.inf)
        enter = planes.max(0)
        rays = np.flatnonzero(enter < before)
        if not rays.size:
            return none, np.empty(0), none
        enter, planes = enter[rays], planes[:, rays]
        back = np.flatnonzero(room >= 0)
        slope = solid.normals[back] @ directions[:, rays]
        leave = np.where(slope > 0, room[back, None] / slope, np.inf).min(0, initial=np.inf)
    kept = np.flatnonzero(enter < leave)
    return rays[kept], enter[kept], front[planes[:, kept].argmax(0)]


def _candidates(outline: Outline, uv: Float, farthest: float) -> npt.NDArray[np.intp]:
    """Solids that may meet a tile of pixels (2, n) before depth `farthest`, nearest first."""
    low, high = uv.min(1), uv.max(1)
    r = outline.rectangle
    meets = (r[:, 0] <= high[0]) & (r[:, 2] >= low[0]) & (r[:, 1] <= high[1]) & (r[:, 3] >= low[1])
    found = np.flatnonzero(meets & (outline.least < farthest))
    return np.asarray(found[np.argsort(outline.least[found], kind="stable")])


def _inside(rectangle: Float, uv: Float) -> npt.NDArray[np.intp]:
    u0, v0, u1, v1 = rectangle
    return np.flatnonzero((uv[0] >= u0) & (uv[0] <= u1) & (uv[1] >= v0) & (uv[1] <= v1))


def cast(
    solids: Sequence[Solid],
    origin: Float,
    directions: Float,
    *,
    uv: Float | None = None,
    view: View | None = None,
    limit: float = np.inf,
) -> Hits:
    """Find the nearest surface of each ray.

    Parameters
    ----------
    solids : sequence of Solid
        In world coordinates.
    origin, directions : float64, (3,) and (3, N)
        Rays in world coordinates, in tile order.
    uv, view : float64 (2, N) and View, optional
        Pixels of the rays in a pinhole at `origin`; directions have depth 1 there. Only for speed.
    limit : float
        Surfaces at or behind this `s` are not seen.

    Returns
    -------
    Hits
    """
    n = directions.shape[1]
    hits = Hits(np.full(n, -1, np.int16), np.zeros(n, np.int16), np.full(n, float(limit)))
    shapes = outlines(solids, view) if view is not None else None
    balls = _Balls.around(solids, origin) if view is None else None
    for start in range(0, n, _TILE):
        part = slice(start, min(start + _TILE, n))
        d = directions[:, part]
        best, solid_of, face_of = hits.s[part], hits.solid[part], hits.face[part]
        if shapes is not None and uv is not None:
            order, least = _candidates(shapes, uv[:, part], np.inf), shapes.least
        else:
            assert balls is not None
            order, least = balls.candidates(d)
        for i in order:
            if least[i] > best.max():
                break
            if shapes is not None and uv is not None:
                rays = _inside(shapes.rectangle[i], uv[:, part])
            else:
                assert balls is not None
                rays = balls.near(i, d)
            if not rays.size:
                continue
            won, enter, face = _enter(solids[i], origin, d[:, rays], best[rays])
            rays = rays[won]
            best[rays], solid_of[rays], face_of[rays] = enter, i, face
    hits.s[hits.solid < 0] = np.inf
    return hits


def hidden(
    solids: Sequence[Solid], origin: Float, points: Float, uv: Float, view: View
) -> npt.NDArray[np.bool_]:
    """Tell which points (3, N), given in tile order, are hidden from a camera at `origin`.

    `uv` (2, N) are their pixels in `view`. A point on a surface does not hide itself: only what
    lies more than a millionth of the distance before it counts.
    """
    out = np.zeros(points.shape[1], bool)
    shapes = outlines(solids, view)
    row = view.T_cam_world[2]
    for start in range(0, out.size, _TILE):
        part = slice(start, min(start + _TILE, out.size))
        d = points[:, part] - origin[:, None]
        z = row[:3] @ points[:, part] + row[3]
        blocked = out[part]
        for i in _candidates(shapes, uv[:, part], float(z.max())):
            rays = _inside(shapes.rectangle[i], uv[:, part])
            rays = rays[~blocked[rays]]
            if not rays.size:
                continue
            met, _, _ = _enter(solids[i], origin, d[:, rays], 1 - 1e-6)
            blocked[rays[met]] = True
    return out


@dataclass(frozen=True)
class _Balls:
    """Balls that enclose solids: centres relative to the rays' origin (S, 3), radii (S,)."""

    centre: Float
    radius: Float

    @classmethod
    def around(cls, solids: Sequence[Solid], origin: Float) -> _Balls:
        centre, radius = np.zeros((len(solids), 3)), np.full(len(solids), np.inf)
        for i, solid in enumerate(solids):
            if len(solid.corners):
                middle = (solid.corners.min(0) + solid.corners.max(0)) / 2
                centre[i] = middle - origin
                radius[i] = np.sqrt(((solid.corners - middle) ** 2).sum(1).max())
        return cls(centre, radius)

    def candidates(self, directions: Float) -> tuple[npt.NDArray[np.intp], Float]:
        """Solids that meet the cone around a tile (3, n), nearest first; least `s` of all (S,)."""
        length = np.linalg.norm(directions, axis=0)
        unit = directions / length
        axis = unit.mean(1)
        axis /= max(np.linalg.norm(axis), 1e-12)
        opening = np.arccos(np.clip((axis @ unit).min(), -1, 1))
        distance = np.linalg.norm(self.centre, axis=1)
        far = np.maximum(distance, 1e-12)
        with np.errstate(invalid="ignore"):
            reach = np.where(self.radius < far, np.arcsin(np.minimum(self.radius / far, 1)), np.pi)
        angle = np.arccos(np.clip(self.centre @ axis / far, -1, 1))
        least = np.maximum(distance - self.radius, 0) / length.max()
        found = np.flatnonzero(angle <= opening + reach + 1e-9)
        return np.asarray(found[np.argsort(least[found], kind="stable")]), least

    def near(self, i: int, directions: Float) -> npt.NDArray[np.intp]:
        """Rays of a tile that pass through ball `i`."""
        centre, square = self.centre[i], self.radius[i] ** 2
        if not np.isfinite(square):
            return np.arange(directions.shape[1])
        along = centre @ directions
        distance = centre @ centre
        ahead = (along > 0) | (distance < square)
        length = (directions**2).sum(0)
        return np.flatnonzero(
            ahead & (distance * length - along**2 <= square * length * (1 + 1e-9))
        )
