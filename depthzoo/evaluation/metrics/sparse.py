"""Inverse depth against sparse lidar, as Dynamic-multiframe-depth (CVPR 2023) measures it.

Prediction and target are inverse depth maps (B, 1, H, W) of the network's size; a target of 0 is
no target. `sparse_depth_metrics` is the reference's figure of a batch; `sparse_depth_images` keeps
what every image contributes, so that any average can be taken later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    Array,
    double,
    lower_median,
    numbers,
    same_shape,
    together,
    total,
)
from depthzoo.evaluation.metrics.depth import DEPTH, DEPTH_METRICS
from depthzoo.evaluation.metrics.measure import Errors

__all__ = [
    "REGIONS",
    "average_batches",
    "confidence_interval",
    "dense_inverse_depth_metrics",
    "median_scaled",
    "sparse_depth_images",
    "sparse_depth_metrics",
]

REGIONS = ("all", "moving", "static")
"""Pixels by the moving-object mask: everything, above 0.5 (the reference's "dynamic"), the rest
(not in the reference)."""

_ROOTS = tuple(name for name, m in DEPTH.items() if m.root)


def sparse_depth_images(
    prediction: Any,
    target: Any,
    moving: Any = None,
    *,
    region: str = "all",
    max_distance: float | None = 80.0,
    roi: tuple[int, int, int, int] | None = None,
    only_valid: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each image the SUMS of the seven quantities over its pixels, and their number.

    Parameters
    ----------
    prediction, target : (B, 1, H, W) float
        Inverse depth (1/m), raw: zeros and negative values may occur.
    moving : (B, 1, H, W), optional
        Mask of moving objects; needed for the regions ``moving`` and ``static``.
    region : str
        One of `REGIONS`.
    max_distance : float or None
        A target farther than that (inverse depth < 1/max_distance, compared in the target's own
        precision) does not count; farther predictions count as max_distance. With None a
        prediction of 0 is infinitely far.
    roi : (row, end row, column, end column), optional
        All maps are cropped to it. (The reference does not crop the mask, and fails.)
    only_valid : bool
        Leave out pixels whose raw prediction is 0, tested before negative ones become 0.

    Returns
    -------
    sums : (B, 7) float64
        In the order of `DEPTH_METRICS`; of rmse and rmse_log the sums of squares.
    pixels : (B,) int64

    Examples
    --------
    >>> sums, pixels = sparse_depth_images([[[[0.5, 0.2]]]], [[[[0.25, 0.0]]]])
    >>> sums[0, :3].tolist(), pixels.tolist()
    ([0.5, 1.0, 4.0], [1])
    """
    if region not in REGIONS:
        raise UsageError(f"no region {region!r}; there are {', '.join(REGIONS)}")
    if region != "all" and moving is None:
        raise UsageError(f"region {region!r} needs the mask of moving objects")
    xp, (q, t, m) = together(prediction, target, moving)
    same_shape(prediction=q, target=t, moving=m)
    if roi is not None:
        r0, r1, c0, c1 = roi
        q, t, m = (None if a is None else a[..., r0:r1, c0:c1] for a in (q, t, m))
    keep = t != 0 if max_distance is None else (t != 0) & (t >= 1 / max_distance)
    if only_valid:
        keep &= q != 0
    if m is not None and region != "all":
        keep &= (m > 0.5) if region == "moving" else (m <= 0.5)
    least = 0.0 if max_distance is None else 1 / max_distance
    images = len(t)
    totals: list[Any] = []
    pixels = []
    for i in range(images):
        own = keep[i]
        near, far = (double(a[i][own]) for a in (q, t))
        with np.errstate(divide="ignore"):
            errors = Errors(1 / xp.clip(near, least, None), 1 / xp.clip(far, least, None))
        with np.errstate(invalid="ignore", divide="ignore"):
            totals += [total(metric.quantity(errors)) for metric in DEPTH.values()]
        pixels.append(len(errors))
    table = np.array(numbers(totals), np.float64).reshape(images, len(DEPTH))
    return table, np.array(pixels, np.int64)


def sparse_depth_metrics(
    prediction: Any, target: Any, moving: Any = None, **rules: Any
) -> dict[str, float]:
    """Return the reference's seven measures of a batch.

    rmse and rmse_log are the means over the images of each image's root; the others are means
    over the pixels of the WHOLE batch. Without pixels (for the two: in any image) NaN.

    Parameters
    ----------
    prediction, target, moving, **rules
        See `sparse_depth_images`.

    Notes
    -----
    Source: Dynamic-multiframe-depth, ``model/metric_functions/sparse_metrics.py``.

    Examples
    --------
    >>> found = sparse_depth_metrics([[[[0.5, 0.2]]]], [[[[0.25, 0.0]]]])
    >>> found["abs_rel"], found["rmse"]
    (0.5, 2.0)
    """
    sums, pixels = sparse_depth_images(prediction, target, moving, **rules)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = sums.sum(0) / np.float64(pixels.sum())
        roots = np.sqrt(sums / pixels[:, None]).mean(0)
    return {
        name: float(roots[i] if name in _ROOTS else pooled[i])
        for i, name in enumerate(DEPTH_METRICS)
    }


def median_scaled(prediction: Any, target: Any) -> Array:
    """Return the predicted INVERSE depth times median(target) / median(prediction), per image.

    Both (lower) medians are over the pixels with target > 0; raw values, no distance limit.
    """
    xp, (q, t) = together(prediction, target)
    same_shape(prediction=q, target=t)
    scaled = []
    for one, known in zip(q, t, strict=True):
        own = known > 0
        below = lower_median(one[own])
        scaled.append(one * (lower_median(known[own]) / below if below else math.nan))
    return xp.stack(scaled)


def dense_inverse_depth_metrics(
    prediction: Any, target: Any, *, max_distance: float | None = 80.0
) -> dict[str, float]:
    """Return the measures for dense targets (not used in the paper).

    Parameters
    ----------
    prediction, target : (B, 1, H, W) float
        Inverse depth.
    max_distance : float or None
        Both are clamped to >= 1/max_distance; not for ``l1_inv``.

    Returns
    -------
    dict
        ``sc_inv`` = √(mean E² - mean(E)²) with E = ln p - ln g, per image, then mean (a NaN of E
        or of the root counts as 0); ``l1_rel`` = mean |p-g|/g over the batch; ``l1_inv`` = mean
        |q - t| of the inverse depths (negative ones 0).

    Examples
    --------
    >>> dense_inverse_depth_metrics([[[[0.5, 0.5]]]], [[[[0.25, 0.25]]]])
    {'sc_inv': 0.0, 'l1_rel': 0.5, 'l1_inv': 0.25}
    """
    xp, (q, t) = together(prediction, target)
    same_shape(prediction=q, target=t)
    q, t = (xp.clip(double(a), 0.0, None) for a in (q, t))
    least = 0.0 if max_distance is None else 1 / max_distance
    with np.errstate(divide="ignore", invalid="ignore"):
        p, g = (1 / xp.clip(a, least, None) for a in (q, t))
        logs = xp.nan_to_num(xp.log(p) - xp.log(g), nan=0.0, posinf=math.inf, neginf=-math.inf)
        flat = logs.reshape(len(logs), -1)
        spread = (flat * flat).mean(1) - flat.mean(1) ** 2
        roots = xp.sqrt(spread)
        roots = xp.where(xp.isnan(roots), xp.zeros_like(roots), roots)
        values = numbers([roots.mean(), (abs(p - g) / g).mean(), abs(q - t).mean()])
    return dict(zip(("sc_inv", "l1_rel", "l1_inv"), values, strict=True))


def average_batches(
    batches: Sequence[Mapping[str, float]], sizes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the reference's averages over batches.

    Parameters
    ----------
    batches : Sequence[Mapping[str, float]]
        What `sparse_depth_metrics` gave, all pixels or one region.
    sizes : Sequence[int], optional
        Images in each batch (1).

    Returns
    -------
    dict
        ``metrics``: mean over the batches in which no measure is NaN, each with equal weight (NaN
        without such a batch); ``metrics_correct``: the reference's misnamed mean over ALL
        batches by size, in which the others count 0 (too small; do not report it);
        ``valid_batches``. Lists in the order of `DEPTH_METRICS`; unrounded (the reference rounds
        to three decimals).

    Examples
    --------
    >>> good, empty = dict.fromkeys(DEPTH_METRICS, 0.5), dict.fromkeys(DEPTH_METRICS, float("nan"))
    >>> found = average_batches([good, empty])
    >>> found["metrics"][0], found["metrics_correct"][0], found["valid_batches"]
    (0.5, 0.25, 1)
    """
    table = np.array([[b[name] for name in DEPTH_METRICS] for b in batches], np.float64)
    table = table.reshape(-1, len(DEPTH_METRICS))
    weights = np.ones(len(table)) if sizes is None else np.asarray(sizes, np.float64)
    good: NDArray[np.bool_] = np.logical_not(np.isnan(table).any(axis=1))
    nothing = np.full(len(DEPTH_METRICS), np.nan)
    filled = np.where(good[:, None], table, 0.0)
    return {
        "metrics": (table[good].mean(0) if good.any() else nothing).tolist(),
        "metrics_correct": (
            (filled * weights[:, None]).sum(0) / weights.sum() if len(table) else nothing
        ).tolist(),
        "valid_batches": int(good.sum()),
    }


def confidence_interval(
    values: ArrayLike, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean over images (percentile method).

    Parameters
    ----------
    values : (N,) float
        A measure of each image; NaN is left out.

    Examples
    --------
    >>> confidence_interval([2.0, 2.0, 2.0])
    (2.0, 2.0)
    """
    kept = np.asarray(values, np.float64)
    kept = kept[~np.isnan(kept)]
    if kept.size == 0:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    means = np.array([rng.choice(kept, kept.size).mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
