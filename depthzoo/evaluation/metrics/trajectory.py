"""Trajectories: alignment, ATE, RPE, and KITTI's t_rel and r_rel.

Poses are (N, 4, 4), ``T_world_cam``: camera axes x right, y down, z forward, metres.

>>> import numpy as np
>>> truth = np.tile(np.eye(4), (4, 1, 1))
>>> truth[:, 2, 3] = [0, 1, 2, 3]
>>> shown = truth.copy()
>>> shown[:, :3, 3] *= 0.5
>>> round(ate(shown, truth)["rmse"], 6), round(ate(shown, truth, alignment="scale")["rmse"], 6)
(0.935414, 0.0)
"""

from __future__ import annotations

import math
from typing import Any

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    Array,
    bin_of,
    double,
    like,
    middle_median,
    numbers,
    same_shape,
    together,
    whole,
)

__all__ = [
    "ALIGNMENTS",
    "KITTI_LENGTHS",
    "align_positions",
    "ate",
    "fit_similarity",
    "kitti_drift",
    "rotation_angle",
    "rpe",
]

ALIGNMENTS = ("none", "first", "scale", "sim3_scale", "se3", "sim3")
"""What may be fitted before trajectories are compared:

``none`` nothing; ``first`` the pose that makes the first poses coincide; ``scale`` the least
squares factor of the positions relative to the first one, after the first positions coincide;
``sim3_scale`` only the factor of the best similarity (evo's ``--correct_scale`` alone); ``se3``
rotation and translation; ``sim3`` rotation, translation and factor (Umeyama 1991)."""

KITTI_LENGTHS = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)


def fit_similarity(
    source: Any, target: Any, *, with_scale: bool = True
) -> tuple[Array, Array, float]:
    """Return R, t, s that minimise Σ |target - (s R source + t)|².

    Parameters
    ----------
    source, target : (N, 3) float
    with_scale : bool
        False keeps s = 1.

    Returns
    -------
    R : (3, 3) float64, a proper rotation
    t : (3,) float64
    s : float
        NaN where all source points are the same.

    Notes
    -----
    Umeyama 1991, "Least-squares estimation of transformation parameters between two point
    patterns". Points on one line determine no rotation about it: one of the best is returned.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    >>> R, t, s = fit_similarity(square, 3 * square + [0, 0, 5])
    >>> round(s, 12), np.round(t, 12).tolist(), bool(np.allclose(R, np.eye(3)))
    (3.0, [0.0, 0.0, 5.0], True)
    """
    xp, (x, y) = together(source, target)
    same_shape(source=x, target=y)
    x, y = double(x), double(y)
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    u, d, v = xp.linalg.svd(y.T @ x / len(x))
    sign = xp.ones_like(d)
    sign[2] = xp.sign(xp.linalg.det(u) * xp.linalg.det(v))
    rotation = (u * sign) @ v
    scale = 1.0
    if with_scale:
        spread, fit = numbers([(x * x).sum() / len(x), (d * sign).sum()])
        scale = fit / spread if spread else float("nan")
    return rotation, mean_y - scale * (rotation @ mean_x), scale


def align_positions(prediction: Any, truth: Any, alignment: str = "none") -> tuple[Array, float]:
    """Return predicted positions (N, 3) brought to the truth, and the factor applied.

    Parameters
    ----------
    prediction, truth : (N, 4, 4) float
        Poses of the same frames.
    alignment : str
        One of `ALIGNMENTS`.
    """
    _, p, g = _poses(prediction, truth)
    x, y = p[:, :3, 3], g[:, :3, 3]
    if alignment == "none":
        return x, 1.0
    if alignment == "first":
        move = g[0] @ _inverse(p[0])
        return x @ move[:3, :3].T + move[:3, 3], 1.0
    if alignment == "scale":
        x, y = x - x[0], y - y[0]
        fit, spread = numbers([(x * y).sum(), (x * x).sum()])
        scale = fit / spread if spread else float("nan")
        return x * scale + g[0, :3, 3], scale
    if alignment not in ALIGNMENTS:
        raise UsageError(f"no alignment {alignment!r}; there are {', '.join(ALIGNMENTS)}")
    rotation, translation, scale = fit_similarity(x, y, with_scale=alignment != "se3")
    if alignment == "sim3_scale":
        return x * scale, scale
    return scale * (x @ rotation.T) + translation, scale


def ate(prediction: Any, truth: Any, *, alignment: str = "none") -> dict[str, float]:
    """Return the absolute trajectory error: distances of positions after an alignment.

    Parameters
    ----------
    prediction, truth : (N, 4, 4) float
        Poses of the same frames.
    alignment : str
        One of `ALIGNMENTS`.

    Returns
    -------
    dict
        ``rmse``, ``mean``, ``median``, ``std`` (population), ``min``, ``max`` in metres, ``scale``
        (the factor that was fitted) and ``poses``. No poses: NaN.

    Notes
    -----
    Sturm et al. 2012, "A benchmark for the evaluation of RGB-D SLAM systems".
    """
    _, p, g = _poses(prediction, truth)
    if not len(p):
        return _statistics(p.reshape(-1)) | {"scale": float("nan"), "poses": 0.0}
    moved, scale = align_positions(p, g, alignment)
    gaps = _length(moved - g[:, :3, 3])
    return _statistics(gaps) | {"scale": scale, "poses": float(len(p))}


def rpe(
    prediction: Any, truth: Any, *, delta: int = 1, every: bool = True, scale: float = 1.0
) -> dict[str, dict[str, float]]:
    """Return the relative pose error over pairs of poses `delta` frames apart.

    The error of a pair is ``inverse(motion of the truth) @ (motion of the prediction)``.

    Parameters
    ----------
    prediction, truth : (N, 4, 4) float
    delta : int
        Frames between the poses of a pair.
    every : bool
        Pairs from every frame, or only from every `delta`-th.
    scale : float
        Multiplies the predicted translations first (see `align_positions`).

    Returns
    -------
    dict
        ``translation`` (m) and ``rotation`` (degrees): each the statistics of `ate`, and
        ``pairs``.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.tile(np.eye(4), (3, 1, 1))
    >>> shown = truth.copy()
    >>> shown[:, 0, 3] = [0.0, 1.0, 2.0]
    >>> rpe(shown, truth)["translation"]["rmse"]
    1.0
    """
    if delta < 1:
        raise UsageError(f"delta is {delta}; expected at least 1 frame")
    _, p, g = _poses(prediction, truth)
    p = _scaled(p, scale)
    first = slice(0, max(len(p) - delta, 0), 1 if every else delta)
    last = slice(delta, None, 1 if every else delta)
    error = _inverse(_inverse(g[first]) @ g[last]) @ (_inverse(p[first]) @ p[last])
    degrees = rotation_angle(error[:, :3, :3]) * (180 / math.pi)
    pairs = {"pairs": float(len(error))}
    return {
        "translation": _statistics(_length(error[:, :3, 3])) | pairs,
        "rotation": _statistics(degrees) | pairs,
    }


def kitti_drift(
    prediction: Any,
    truth: Any,
    *,
    lengths: tuple[float, ...] = KITTI_LENGTHS,
    step: int = 10,
    scale: float = 1.0,
) -> dict[str, Any]:
    """Return KITTI's odometry errors: the drift over pieces of 100 to 800 m, per metre.

    A piece starts at every `step`-th frame and ends at the first frame that lies MORE than its
    length behind it along the true path; starts without such a frame are left out. All pieces of
    all lengths have equal weight.

    Parameters
    ----------
    prediction, truth : (N, 4, 4) float
        Poses of the same frames.
    lengths : tuple of float
        Metres.
    scale : float
        Multiplies the predicted translations first.

    Returns
    -------
    dict
        ``t_rel`` (percent), ``r_rel`` (degrees per 100 m), ``pieces``, and ``by_length``: length ->
        the same three. Without a piece NaN.

    Notes
    -----
    Source: KITTI's ``evaluate_odometry.cpp`` (Geiger et al. 2012); its rotation error uses the
    arc cosine, here the arc tangent of sine and cosine (equal, and exact for small angles).
    """
    xp, p, g = _poses(prediction, truth)
    p = _scaled(p, scale)
    found: dict[float, dict[str, float]] = {}
    sums = [0.0, 0.0, 0.0]
    if len(g):
        steps = _length(g[1:, :3, 3] - g[:-1, :3, 3])
        path = xp.concatenate([xp.zeros_like(g[:1, 0, 3]), xp.cumsum(steps, 0)])
        starts = whole(like(range(0, len(g), step), path))
        for length in lengths:
            ends = bin_of(path, path[starts] + length, right=True)
            there = ends < len(g)
            first, last = starts[there], ends[there]
            error = _inverse(_inverse(p[first]) @ p[last]) @ (_inverse(g[first]) @ g[last])
            drift = _length(error[:, :3, 3]).sum() / length
            turn = rotation_angle(error[:, :3, :3]).sum() / length
            own = [*numbers([drift, turn]), float(len(first))]
            found[length] = _drift(*own)
            sums = [a + b for a, b in zip(sums, own, strict=True)]
    return {**_drift(*sums), "by_length": found}


def _drift(translation: float, rotation: float, pieces: float) -> dict[str, float]:
    n = pieces or float("nan")
    return {
        "t_rel": 100 * translation / n,
        "r_rel": 100 * math.degrees(rotation) / n,
        "pieces": pieces,
    }


def rotation_angle(rotation: Any) -> Array:
    """Return the angles (radians, 0..pi) of rotations (..., 3, 3), exact also near 0.

    >>> rotation_angle([[[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]]).round(6).tolist()
    [1.570796]
    """
    xp, (r,) = together(rotation)
    r = double(r)
    axis = xp.stack(
        [
            r[..., 2, 1] - r[..., 1, 2],
            r[..., 0, 2] - r[..., 2, 0],
            r[..., 1, 0] - r[..., 0, 1],
        ],
        -1,
    )
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    return xp.arctan2(_length(axis), trace - 1)


def _poses(prediction: Any, truth: Any) -> tuple[Any, Array, Array]:
    xp, (p, g) = together(prediction, truth)
    same_shape(prediction=p, truth=g)
    if p.ndim != 3 or tuple(p.shape[1:]) != (4, 4):
        raise UsageError(f"poses are {tuple(p.shape)}; expected (N, 4, 4)")
    return xp, double(p), double(g)


def _scaled(poses: Array, scale: float) -> Array:
    if scale == 1.0:
        return poses
    xp, _ = together(poses)
    factor = xp.ones_like(poses[:1])
    factor[:, :3, 3] = scale
    return poses * factor


def _inverse(poses: Array) -> Array:
    """Inverse of rigid transforms (..., 4, 4)."""
    xp, _ = together(poses)
    inverse = xp.zeros_like(poses)
    turned = poses[..., :3, :3].swapaxes(-1, -2)
    inverse[..., :3, :3] = turned
    inverse[..., :3, 3] = -(turned @ poses[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def _length(vectors: Array) -> Array:
    return ((vectors * vectors).sum(-1)) ** 0.5


def _statistics(values: Array) -> dict[str, float]:
    names = ("rmse", "mean", "median", "std", "min", "max")
    if not values.shape[0]:
        return dict.fromkeys(names, float("nan"))
    mean = values.mean()
    spread = ((values - mean) ** 2).mean() ** 0.5
    found = numbers([((values**2).mean()) ** 0.5, mean, mean, spread, values.min(), values.max()])
    found[2] = middle_median(values)
    return dict(zip(names, found, strict=True))
