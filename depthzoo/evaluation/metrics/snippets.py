"""ATE of short snippets: SfMLearner's way as Dynamo-Depth applies it, and without its defects."""

from __future__ import annotations

from typing import Any

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import Array, double, like, numbers, same_shape, together

__all__ = [
    "dynamo_snippets",
    "motion_matrices",
    "odometry_poses",
    "sfm_learner_ate",
    "snippet_ate",
]


def motion_matrices(axis_angle: Any, translation: Any) -> Array:
    """Return the matrices (N, 4, 4) of axis-angle vectors (N, 3) and translations (N, 3).

    The rotation is Rodrigues' with the axis divided by (angle + 1e-7), as Dynamo-Depth and
    Monodepth2 have it; a zero vector is the identity.
    """
    xp, (v, t) = together(axis_angle, translation)
    v, t = double(v).reshape(-1, 3), double(t).reshape(-1, 3)
    angle = (v * v).sum(-1) ** 0.5
    x, y, z = (v / (angle + 1e-7)[:, None]).T
    c, s = xp.cos(angle), xp.sin(angle)
    rest = 1 - c
    nothing, one = xp.zeros_like(c), xp.ones_like(c)
    entries = [
        x * x * rest + c, x * y * rest - z * s, z * x * rest + y * s, t[:, 0],
        x * y * rest + z * s, y * y * rest + c, y * z * rest - x * s, t[:, 1],
        z * x * rest - y * s, y * z * rest + x * s, z * z * rest + c, t[:, 2],
        nothing, nothing, nothing, one,
    ]  # fmt: skip
    return xp.stack(entries, -1).reshape(-1, 4, 4)


def odometry_poses(rows: Any) -> Array:
    """Return poses (N, 4, 4) of rows of 16 or 12 numbers (then 0 0 0 1 is the last row)."""
    xp, (r,) = together(rows)
    r = double(r)
    if r.ndim != 2 or r.shape[1] not in (12, 16):
        raise UsageError(f"odometry rows are {tuple(r.shape)}; expected (N, 12) or (N, 16)")
    if r.shape[1] == 12:
        last = like([0, 0, 0, 1], r) + xp.zeros_like(r[:, :4])
        r = xp.concatenate([r, last], 1)
    return r.reshape(-1, 4, 4)


def sfm_learner_ate(prediction: Any, truth: Any) -> float:
    """Return the error of one snippet of positions (L, 3), as SfMLearner takes it.

    The prediction is moved so that the first points coincide, then scaled by
    Σ(truth · prediction) / Σ prediction² (which may be negative); the error is
    √(Σ (scale · prediction - truth)²) / L: the number of points stands OUTSIDE of the root.
    """
    xp, (p, g) = together(prediction, truth)
    return numbers([_legacy(xp, double(p)[None], double(g)[None])[0]])[0]


def _legacy(xp: Any, p: Array, g: Array) -> Array:
    p = p + (g[:, :1] - p[:, :1])
    scale = (g * p).sum((1, 2)) / (p * p).sum((1, 2))
    gap = scale[:, None, None] * p - g
    return xp.sqrt((gap * gap).sum((1, 2))) / p.shape[1]


def dynamo_snippets(motions: Any, vehicle_poses: Any, *, length: int = 5) -> tuple[Array, Array]:
    """Return ATE and speed of every snippet of a sequence, as Dynamo-Depth takes them.

    Kept as the reference has it, for its published numbers: the true motions are inverted (their
    chain runs backwards) and in vehicle axes, the predicted points are re-ordered to (z, x, y);
    a negative scale repairs the forward direction, but then the lateral and vertical components
    have the wrong sign, so that an exact prediction has an error. The last snippet has one point
    less. `snippet_ate` is the corrected measure.

    Parameters
    ----------
    motions : (n-2, 4, 4)
        ``M_k``: pose of camera k+1 in camera k, frames 1..n-2.
    vehicle_poses : (n, 4, 4)
        Vehicle to world, all rows of the file (the first is dropped here).
    length : int
        Points of a snippet.

    Returns
    -------
    ates, speeds : (n-4,) float64
        For length 5; speed in metres per frame.

    Notes
    -----
    Source: Dynamo-Depth, ``eval/odometry.py``.
    """
    xp, (m, poses) = together(motions, vehicle_poses)
    m, poses = double(m), double(poses)
    if len(m) != len(poses) - 2:
        raise UsageError(
            f"{len(m)} predicted motions for {len(poses)} poses; expected {len(poses) - 2}: "
            "one for each frame with both neighbours"
        )
    true = xp.linalg.inv(xp.linalg.inv(poses[1:-1]) @ poses[2:])
    ates, speeds = [], []
    # whole snippets together, then the short one at the end
    for start, points in (
        (slice(0, max(len(m) - length + 2, 0)), length),
        (slice(max(len(m) - length + 2, 0), len(m) - length + 3), length - 1),
    ):
        count = start.stop - start.start
        if count < 1:
            continue
        p = _positions(xp, m, start.start, count, points)
        g = _positions(xp, true, start.start, count, points)
        ates.append(_legacy(xp, p[:, :, [2, 0, 1]], g))
        step = g[:, 1:] - g[:, :-1]
        speeds.append(((step * step).sum(-1) ** 0.5).mean(1))
    if not ates:
        return m[:0, 0, 0], m[:0, 0, 0]
    return xp.concatenate(ates), xp.concatenate(speeds)


def _positions(xp: Any, motions: Array, start: int, count: int, points: int) -> Array:
    """Return the positions (count, points, 3) of chains that start at motions start, start+1 ..."""
    pose = like([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], motions)
    pose = pose + xp.zeros_like(motions[:1])
    if count > 1:
        pose = xp.concatenate([pose] * count)
    found = [pose[:, :3, 3]]
    for k in range(points - 1):
        pose = pose @ motions[start + k : start + k + count]
        found.append(pose[:, :3, 3])
    return xp.stack(found, 1)


def snippet_ate(
    motions: Any, camera_poses: Any, *, length: int = 5, scale: str = "positive"
) -> tuple[Array, Array]:
    """Return RMSE and speed of every whole snippet; an exact prediction has no error.

    Truth and prediction are chains of camera motions that run forwards from the snippet's first
    camera, in the same axes; the error is √(mean over points |s · predicted - true|²).

    Parameters
    ----------
    motions : (N, 4, 4)
        Pose of camera k+1 in camera k.
    camera_poses : (N+1, 4, 4)
        T_world_cam of the same frames (of a vehicle: ``T_world_vehicle @ T_vehicle_cam``).
    length : int
        Points of a snippet.
    scale : str
        ``"positive"``: the least squares factor of each snippet, at least 0; ``"none"``: 1.

    Returns
    -------
    errors : (N - length + 2,) float64
        Metres.
    speeds : the same
        Mean distance of successive true points, metres per frame.

    Examples
    --------
    >>> import numpy as np
    >>> poses = np.tile(np.eye(4), (6, 1, 1))
    >>> poses[:, 2, 3] = np.arange(6.0)
    >>> motions = np.linalg.inv(poses[:-1]) @ poses[1:]
    >>> errors, speeds = snippet_ate(motions, poses)
    >>> errors.tolist(), speeds.tolist()
    ([0.0, 0.0], [1.0, 1.0])
    """
    if scale not in ("positive", "none"):
        raise UsageError(f"no scale {scale!r}; there are positive, none")
    xp, (m, poses) = together(motions, camera_poses)
    m, poses = double(m), double(poses)
    same_shape(motions=m, steps_of_poses=poses[1:])
    count = max(len(m) - length + 2, 0)
    if not count:
        return m[:0, 0, 0], m[:0, 0, 0]
    true = xp.linalg.inv(poses[:-1]) @ poses[1:]
    p, g = (_positions(xp, a, 0, count, length) for a in (m, true))
    if scale == "positive":
        spread = (p * p).sum((1, 2))
        spread = xp.where(spread > 0, spread, xp.ones_like(spread))
        factor = xp.clip((g * p).sum((1, 2)) / spread, 0.0, None)
        p = p * factor[:, None, None]
    gap = p - g
    step = g[:, 1:] - g[:, :-1]
    errors = xp.sqrt((gap * gap).sum(-1).mean(-1))
    return errors, ((step * step).sum(-1) ** 0.5).mean(1)
