"""A turning lidar, cast exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from depthdata.synthetic.raycast import Hits, cast, tile_order
from depthdata.synthetic.solids import Solid

__all__ = ["RANGE", "beams", "scan"]

Float = npt.NDArray[np.float64]

RANGE = 80.0
"""Metres that the lidar reaches."""
_TOP, _BEND, _BOTTOM = 2.0, -8.33, -24.8  # degrees: upper half of the beams is twice as dense


def beams(rows: int, steps: int) -> Float:
    """Return unit directions (3, rows * steps), x forward, y left, z up, from the top row down.

    Every row starts straight ahead and turns to the left.

    >>> beams(2, 4).round(3)[:, 0]
    array([0.999, 0.   , 0.035])
    """
    upper = (rows + 1) // 2
    elevation = np.concatenate(
        [
            np.linspace(_TOP, _BEND, upper),
            np.linspace(_BEND, _BOTTOM, rows - upper + 1)[1:],
        ]
    )
    e = np.radians(elevation)[:, None]
    a = 2 * np.pi * np.arange(steps)[None] / steps
    z = np.broadcast_to(np.sin(e), (rows, steps))
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), z]).reshape(3, -1)


def scan(
    solids: Sequence[Solid], T_world_velo: Float, rows: int, steps: int
) -> npt.NDArray[np.float32]:
    """Points (N, 4): x, y, z in the lidar's frame in metres, reflectance in [0, 1] by hundredths.

    Parameters
    ----------
    solids : sequence of Solid
        In world coordinates.
    T_world_velo : float64, (4, 4)
    rows, steps : int
        Beams and directions per turn.
    """
    directions, order = beams(rows, steps), tile_order(rows, steps)
    world = T_world_velo[:3, :3] @ directions
    tiled = cast(solids, T_world_velo[:3, 3], world[:, order], limit=RANGE)
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    hits = Hits(tiled.solid[back], tiled.face[back], tiled.s[back])
    seen = np.flatnonzero(hits.solid >= 0)
    out = np.empty((seen.size, 4), np.float32)
    out[:, :3] = (directions[:, seen] * hits.s[seen]).T
    brightness = np.array([np.mean(s.material.colour) for s in solids])
    solid, face = hits.solid[seen], hits.face[seen]
    counts = np.array([len(s.normals) for s in solids])
    normals = np.concatenate([s.normals for s in solids])
    first = np.cumsum(counts) - counts
    normal = normals[first[solid] + face]
    facing = np.abs((normal * world[:, seen].T).sum(1))
    out[:, 3] = np.round(np.clip(brightness[solid] * (0.15 + 0.85 * facing), 0, 0.99), 2)
    return out
