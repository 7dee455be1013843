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


def _slabs(solid: Solid, origin: Float, directions: Float) -> tuple[Float, Float]:
    """Parameter of every entry plane (P, n; -inf for exit planes) and of the exit (n,)."""
    slope = solid.normals @ directions
    with np.errstate(divide="ignore", invalid="ignore"):
        s = (solid.offsets - solid.normals @ origin)[:, None] / slope
    entering = slope < 0
    return np.where(entering, s, -np.inf), np.where(entering, np.inf, s).min(0)


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


def _all_outlines(count: int) -> Outline:
    whole = np.tile([-np.inf, -np.inf, np.inf, np.inf], (count, 1))
    return Outline(whole, np.zeros(count))


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
    shapes = _all_outlines(len(solids)) if view is None else outlines(solids, view)
    spheres = None if view is not None else _spheres(solids, origin)
    for start in range(0, n, _TILE):
        part = slice(start, min(start + _TILE, n))
        d = directions[:, part]
        best, solid_of, face_of = hits.s[part], hits.solid[part], hits.face[part]
        if uv is not None:
            order: npt.NDArray[np.intp] = _candidates(shapes, uv[:, part], np.inf)
        else:
            order = np.arange(len(solids))
        for i in order:
            if shapes.least[i] > best.max():
                break
            if uv is not None:
                rays = _inside(shapes.rectangle[i], uv[:, part])
            else:
                rays = _near_sphere(spheres, i, d)
            if not rays.size:
                continue
            planes, leave = _slabs(solids[i], origin, d[:, rays])
            face = planes.argmax(0)
            enter = planes[face, np.arange(face.size)]
            won = (enter < leave) & (enter > 0) & (enter < best[rays])
            rays = rays[won]
            best[rays], solid_of[rays], face_of[rays] = enter[won], i, face[won]
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
            planes, leave = _slabs(solids[i], origin, d[:, rays])
            enter = planes.max(0)
            blocked[rays] = (enter < leave) & (enter > 0) & (enter < 1 - 1e-6)
    return out


def _spheres(solids: Sequence[Solid], origin: Float) -> tuple[Float, Float]:
    """Centres relative to `origin` (S, 3) and squared radii (S,) that enclose the solids."""
    centres, radii = np.zeros((len(solids), 3)), np.full(len(solids), np.inf)
    for i, solid in enumerate(solids):
        if len(solid.corners):
            middle = (solid.corners.min(0) + solid.corners.max(0)) / 2
            centres[i] = middle - origin
            radii[i] = ((solid.corners - middle) ** 2).sum(1).max()
    return centres, radii


def _near_sphere(
    spheres: tuple[Float, Float] | None, i: int, directions: Float
) -> npt.NDArray[np.intp]:
    if spheres is None or not np.isfinite(spheres[1][i]):
        return np.arange(directions.shape[1])
    centre, radius = spheres[0][i], spheres[1][i]
    along = centre @ directions
    square = (directions**2).sum(0)
    distance = centre @ centre
    ahead = (along > 0) | (distance < radius)
    return np.flatnonzero(ahead & (distance * square - along**2 <= radius * square))
