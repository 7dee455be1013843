"""Truth over time: point tracks and 3-D boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import project, se3_inverse, transform

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["Boxes", "TrackSet", "boxes", "track_points"]

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrackSet:
    """Surface points followed through all frames; T frames, N points.

    Attributes
    ----------
    xy : float32, (T, N, 2)
        Column and row; NaN where the point is not before the camera. May lie outside the image.
    visible : bool, (T, N)
        Inside the image and not hidden, by exact ray test.
    xyz_world : float64, (T, N, 3)
        Metres.
    instance : int64, (N,)
        Object that the point belongs to; 0 is the street.
    """

    xy: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    xyz_world: Float
    instance: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """3-D boxes of every object in every frame, one row each, frame by frame.

    Attributes
    ----------
    frame, id : int64, (M,)
    category : list of str
    T_world_box : float64, (M, 4, 4)
        The box is centred at the origin of its frame: x along its length, y left, z up.
    size : float64, (M, 3)
        Length, width, height, metres.
    velocity : float64, (M, 3)
        Of the centre, metres per second, world axes.
    moving : bool, (M,)
    """

    frame: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    category: list[str]
    T_world_box: Float
    size: Float
    velocity: Float
    moving: npt.NDArray[np.bool_]


def boxes(scene: SyntheticScene) -> Boxes:
    """Boxes of all objects of a scene."""
    objects = scene.bodies[1:]
    n, T = len(objects), scene.frames
    pose = np.empty((T, n, 4, 4))
    velocity = np.empty((T, n, 3))
    for i, body in enumerate(objects):
        pose[:, i] = body.path.pose(scene.times)
        velocity[:, i] = body.path.velocity(scene.times)
    size = np.array([b.size for b in objects]).reshape(n, 3)
    return Boxes(
        frame=np.repeat(np.arange(T), n),
        id=np.tile(np.array([b.id for b in objects], np.int64), T),
        category=[b.category for b in objects] * T,
        T_world_box=pose.reshape(-1, 4, 4),
        size=np.tile(size, (T, 1)),
        velocity=velocity.reshape(-1, 3),
        moving=np.tile(np.array([b.path.moving for b in objects], bool), T),
    )


def track_points(scene: SyntheticScene, camera: str = "left", n: int = 64) -> TrackSet:
    """Follow `n` points that are seen at frames spread over the scene, half of them on objects.

    Parameters
    ----------
    scene : SyntheticScene
    camera : str
    n : int

    Returns
    -------
    TrackSet
        Every point is visible in at least one frame.
    """
    if n < 0:
        raise UsageError(f"synthetic scene: number of tracks must be >= 0, found {n}")
    rng = np.random.default_rng([scene.seed, 3])
    T = scene.frames
    world, owner = np.empty((T, n, 3)), np.zeros(n, np.int64)
    filled = 0
    starts = np.unique(np.linspace(0, T - 1, min(T, 4)).round().astype(int))
    for k, t in enumerate(starts):
        share = n - filled if k == len(starts) - 1 else n // len(starts)
        points, body = _choose(scene, rng, int(t), camera, share)
        part = slice(filled, filled + points.shape[1])
        for other in range(T):
            world[other, part] = scene.carry(points, body, int(t), other).T
        owner[part] = body
        filled = part.stop
    world, owner = world[:, :filled], owner[:filled]
    xy = np.empty((T, filled, 2), np.float32)
    visible = np.zeros((T, filled), bool)
    poses = scene.T_world_cam(camera)
    for t in range(T):
        uv, z = project(scene.intrinsics, transform(se3_inverse(poses[t]), world[t]))
        uv[~(z > 0)] = np.nan
        xy[t] = uv
        visible[t] = scene.visible(t, camera, world[t])
    return TrackSet(xy, visible, world, owner)


def _choose(
    scene: SyntheticScene, rng: np.random.Generator, t: int, camera: str, count: int
) -> tuple[Float, npt.NDArray[np.int64]]:
    """Points (3, m) of surfaces seen at random pixels of frame t, and their bodies."""
    points, body, seen = scene.surface(t, camera)
    object_pixels = np.flatnonzero(body > 0)
    street_pixels = np.flatnonzero(seen & (body == 0))
    wanted = min(count // 2, object_pixels.size)
    chosen = [
        rng.choice(object_pixels, wanted, replace=False),
        rng.choice(street_pixels, min(count - wanted, street_pixels.size), replace=False),
    ]
    index = np.concatenate(chosen).astype(np.int64)
    return points[:, index], body[index]
