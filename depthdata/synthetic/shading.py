"""Colour of what the rays of one camera hit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from depthdata.synthetic.actors import Body
from depthdata.synthetic.materials import Patch, grain
from depthdata.synthetic.painters import paint
from depthdata.synthetic.raycast import Hits
from depthdata.synthetic.solids import Solid

__all__ = ["groups", "shade", "sky"]

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
_CHUNK = 8192


def groups(hits: Hits) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]:
    """Yield (solid, face, ray indices) for every face that is seen, in chunks."""
    key = hits.solid.astype(np.int32) * 32 + hits.face
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=ranked[:1] - 1))
    for start, stop in zip(starts, [*starts[1:], key.size], strict=True):
        if ranked[start] < 0:
            continue
        solid, face = divmod(int(ranked[start]), 32)
        for a in range(start, stop, _CHUNK):
            yield solid, face, order[a : min(a + _CHUNK, stop)]


def shade(
    parts: Sequence[tuple[Solid, int]],
    bodies: Sequence[Body],
    poses: Float,
    pose: Float,
    K: Float,
    hits: Hits,
    directions: Float,
) -> Float32:
    """Colours (3, N) in [0, 1].

    Parameters
    ----------
    parts : sequence of (Solid, int)
        Solids in body coordinates and the body of each, in the order of `hits.solid`.
    bodies : sequence of Body
    poses : float64, (bodies, 4, 4)
        `T_world_body` now.
    pose : float64, (4, 4)
        `T_world_cam`.
    K : float64, (3, 3)
    hits, directions
        As `cast` gave and took them, camera z = 1.
    """
    out = np.zeros((3, directions.shape[1]), np.float32)
    at_start = [body.path.pose(0.0)[:3, :3] for body in bodies]
    right, down = pose[:3, 0] / K[0, 0], pose[:3, 1] / K[1, 1]
    for i, face, rays in groups(hits):
        solid, b = parts[i]
        to_body = poses[b, :3, :3].T
        d = to_body @ directions[:, rays]
        s = hits.s[rays]
        local = (to_body @ (pose[:3, 3] - poses[b, :3, 3]))[:, None] + s * d
        normal = solid.normals[face]
        du, dv = to_body @ right, to_body @ down
        tilt = d / (normal @ d)
        patch = Patch(
            local.astype(np.float32),
            (s * (du[:, None] - tilt * (normal @ du))).astype(np.float32),
            (s * (dv[:, None] - tilt * (normal @ dv))).astype(np.float32),
            normal,
        )
        start = at_start[b]
        out[:, rays] = paint(solid.material, patch, start @ normal)
    empty = np.flatnonzero(hits.solid < 0)
    for a in range(0, empty.size, _CHUNK):
        rays = empty[a : a + _CHUNK]
        out[:, rays] = sky(directions[:, rays], right, down)
    return out


def sky(directions: Float, right: Float, down: Float) -> Float32:
    """Colours (3, n) of a blue sky with soft clouds, fixed in the world at infinity."""
    length = np.linalg.norm(directions, axis=0)
    unit = directions / length
    rise = np.clip(unit[2], 0, 1).astype(np.float32)
    low = np.asarray([0.86, 0.90, 0.94], np.float32)[:, None]
    high = np.asarray([0.38, 0.58, 0.84], np.float32)[:, None]
    blue = low + (high - low) * np.sqrt(rise)
    scale = np.array([[7.0], [7.0], [22.0]])
    patch = Patch(
        (unit * scale).astype(np.float32),
        ((right[:, None] - unit * (right @ unit)) / length * scale).astype(np.float32),
        ((down[:, None] - unit * (down @ unit)) / length * scale).astype(np.float32),
        np.zeros(3),
    )
    fine, broad = grain(patch, (3.0, 1.0, 2.0))
    cover = np.clip((fine * np.float32(0.35) + broad * np.float32(0.55)) * 0.6 + 0.25, 0, 1)
    cloud = cover * cover * (3 - 2 * cover) * np.float32(0.9)
    white = np.asarray([0.97, 0.97, 0.98], np.float32)[:, None]
    out: Float32 = np.clip(blue + (white - blue) * cloud, 0, 1).astype(np.float32)
    return out
