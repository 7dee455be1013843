"""Depth: the seven usual measures, median scaling, dense maps under a published rule.

>>> depth_metrics([10.0, 22.0], [10.0, 20.0])["abs_rel"]
0.05
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    Array,
    booleans,
    double,
    flat_indices,
    lower_median,
    middle_median,
    same_shape,
    together,
    total,
)
from depthzoo.evaluation.metrics.measure import Errors, Metric, finish_sums

__all__ = [
    "DEPTH",
    "DEPTH_METRICS",
    "GARG_CROP",
    "crop_bounds",
    "depth_map_metrics",
    "depth_metrics",
    "median_scale",
    "training_depth_metrics",
]

_EIGEN = "Eigen et al. 2014 (arXiv 1406.2283)"


def _share(threshold: float) -> Any:
    return lambda e: e.worst_ratio < threshold


DEPTH: Mapping[str, Metric] = {
    m.name: m
    for m in [
        Metric("abs_rel", "Abs Rel", "", True, lambda e: e.absolute / e.truth, _EIGEN),
        Metric("sq_rel", "Sq Rel", "m", True, lambda e: e.squared / e.truth, _EIGEN),
        Metric("rmse", "RMSE", "m", True, lambda e: e.squared, _EIGEN, root=True),
        Metric("rmse_log", "RMSE log", "", True, lambda e: e.squared_log, _EIGEN, root=True),
        *(
            Metric(f"a{k}", f"δ < 1.25{power}", "", False, _share(1.25**k), _EIGEN)
            for k, power in ((1, ""), (2, "²"), (3, "³"))
        ),
    ]
}
"""Measures of depth by name: mean |p-g|/g, mean (p-g)²/g, √mean (p-g)², √mean (ln p - ln g)²,
shares of pixels with max(p/g, g/p) < 1.25, 1.25², 1.25³ (strict)."""

DEPTH_METRICS: tuple[str, ...] = tuple(DEPTH)

GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
"""Top, bottom, left, right of the crop of Garg et al. 2016 (arXiv 1603.04992), as fractions."""


def depth_metrics(prediction: Any, truth: Any, valid: Any = None) -> dict[str, Any]:
    """Return the seven usual depth measures and the number of pixels behind them.

    Parameters
    ----------
    prediction, truth : array of float
        Depth in metres, same shape; NumPy or torch.
    valid : array of bool, optional
        The pixels that count; by default those with a finite positive truth and prediction.

    Returns
    -------
    dict
        ``abs_rel``, ``sq_rel`` (m), ``rmse`` (m), ``rmse_log`` (natural logarithm), ``a1``..``a3``
        (shares in 0..1), ``pixels`` and ``missing`` (truth that counts, no positive finite
        prediction). No pixels: NaN and 0.
    """
    xp, (p, g, v) = together(prediction, truth, valid)
    same_shape(prediction=p, truth=g, valid=v)
    counts = (g > 0) & xp.isfinite(g) if v is None else booleans(v)
    picked = flat_indices(counts)
    p, g = p.reshape(-1)[picked], g.reshape(-1)[picked]
    return measure_given(DEPTH, p, g, (p > 0) & xp.isfinite(p))


def measure_given(
    metrics: Mapping[str, Metric], prediction: Array, truth: Array, given: Array
) -> dict[str, Any]:
    """Return measures, ``pixels`` and ``missing`` of pixels that count, some without prediction.

    Parameters
    ----------
    metrics : Mapping[str, Metric]
        By name.
    prediction, truth : (N,) float
        Pixels whose truth counts.
    given : (N,) bool
        Those that have a prediction.
    """
    pixels = int(total(given))
    missing = int(given.shape[0]) - pixels
    if missing:
        prediction, truth = prediction[given], truth[given]
    errors = Errors(prediction, truth)
    sums = [total(m.quantity(errors)) for m in metrics.values()]
    values: dict[str, Any] = finish_sums(metrics, sums, pixels, missing)
    return values | {"pixels": pixels, "missing": missing}


def median_scale(prediction: Any, truth: Any, *, median: str = "middle") -> float:
    """Return median(truth) / median(prediction) of the same pixels.

    Parameters
    ----------
    prediction, truth : (N,) float
        Pixels that count.
    median : str
        ``"middle"``: the mean of the middle two (NumPy's; Insta-DM, Monodepth2) or ``"lower"``:
        the lower of them (torch's; Dynamo-Depth).

    Returns
    -------
    float
        NaN without pixels.

    Examples
    --------
    >>> median_scale([1.0, 2.0], [2.0, 4.0]), median_scale([1.0, 2.0], [2.0, 4.0], median="lower")
    (2.0, 2.0)
    """
    if median not in ("middle", "lower"):
        raise UsageError(f"no median {median!r}; there are middle, lower")
    of = middle_median if median == "middle" else lower_median
    _, (p, g) = together(prediction, truth)
    below = of(p)
    return of(g) / below if below else float("nan")


def crop_bounds(crop: tuple[float, ...] | None, height: int, width: int) -> tuple[int, ...]:
    """Return the first row, end row, first column and end column of a crop given as fractions.

    >>> crop_bounds(GARG_CROP, 375, 1242)
    (153, 371, 44, 1197)
    """
    if crop is None:
        return 0, height, 0, width
    top, bottom, left, right = crop
    return int(top * height), int(bottom * height), int(left * width), int(right * width)


def depth_map_metrics(
    prediction: Any,
    truth: Any,
    *,
    low: float = 1e-3,
    high: float = 80.0,
    crop: tuple[float, ...] | None = None,
    alignment: str = "none",
    median: str = "middle",
    clamp: tuple[float, float] | None = None,
    metrics: Iterable[str] = DEPTH_METRICS,
) -> dict[str, Any]:
    """Return the measures of one dense depth map, as the Eigen protocols define them.

    The truth is read once; everything after looks only at the pixels that count, which for lidar
    are one in twenty.

    Parameters
    ----------
    prediction, truth : (H, W) float
        Depth in metres, NumPy or torch; where the truth is not in ``low < truth < high``, such as
        0 or NaN, it does not count.
    crop : top, bottom, left, right, optional
        Fractions of the size; the bounds are cut to integers, ends excluded. See `GARG_CROP`.
    alignment : str
        ``"none"`` or ``"median"`` (`median_scale` over the pixels that count).
    median : str
        Which median.
    clamp : (low, high), optional
        Limits of the prediction, applied AFTER the scaling.
    metrics : Iterable[str]
        Keys of `DEPTH`.

    Returns
    -------
    dict
        The measures, ``pixels``, ``missing`` (no prediction: NaN; without `clamp` also not
        positive or infinite) and ``scale``.

    Notes
    -----
    Insta-DM's evaluation of KITTI (Eigen split) is ``crop=GARG_CROP, alignment="median",
    clamp=(1e-3, 80)``.

    Examples
    --------
    >>> found = depth_map_metrics([[1.0, 2.0]], [[2.0, 4.0]], alignment="median")
    >>> found["abs_rel"], found["scale"], found["pixels"]
    (0.0, 2.0, 2)
    """
    if alignment not in ("none", "median"):
        raise UsageError(f"no alignment {alignment!r}; there are none, median")
    xp, (p, g) = together(prediction, truth)
    same_shape(prediction=p, truth=g)
    height, width = g.shape
    r0, r1, c0, c1 = crop_bounds(crop, height, width)
    rows = g[r0:r1]
    counts = rows > low
    counts &= rows < high
    counts[:, :c0] = False
    counts[:, c1:] = False
    picked = flat_indices(counts)
    g, p = (a[r0:r1].reshape(-1)[picked] for a in (g, p))
    given = ~xp.isnan(p) if clamp is not None else xp.isfinite(p) & (p > 0)
    measured = (p, g) if bool(given.all()) else (p[given], g[given])
    scale = median_scale(*measured, median=median) if alignment == "median" else 1.0
    p = double(p) * scale
    if clamp is not None:
        p = xp.clip(p, *clamp)
    chosen = {name: DEPTH[name] for name in metrics}
    return measure_given(chosen, p, g, given) | {"scale": scale}


def training_depth_metrics(
    prediction: Any,
    truth: Any,
    foreground: Any = None,
    *,
    crop: tuple[float, ...] | None = GARG_CROP,
    low: float = 1e-3,
    high: float = 80.0,
    scale_of: str = "first",
) -> dict[str, dict[str, float]]:
    """Return what Insta-DM measures of a batch while it trains, or the same without its defects.

    Valid are pixels with ``0 < truth < high`` inside the crop. The prediction is clamped to
    low..high BEFORE the scaling by the ratio of lower medians, and not again after it. Values are
    means over the images of a batch.

    Parameters
    ----------
    prediction, truth : (B, H, W) float
        Depth in metres; truth 0 where there is none.
    foreground : (B, H, W), optional
        1 at objects, 0 elsewhere.
    scale_of : str
        ``"first"``, the reference: the FIRST image's scale is used for the whole batch; the
        foreground is skipped (left out of the result) when no image has a foreground pixel with
        truth > 0, wherever it lies; an image that then has no valid pixel makes the mean NaN.
        ``"each"``, corrected: every image has its own scale (from all its valid pixels), and an
        image without valid pixels in a region is left out of that region's mean.

    Returns
    -------
    dict
        ``all``, and with `foreground` ``background`` and ``foreground``: each ``abs_diff`` (m),
        ``abs_rel``, ``sq_rel``, ``a1``, ``a2``, ``a3`` and ``images`` behind the means;
        ``scale``: the factors of the images, by their number as text.

    Notes
    -----
    Source: Insta-DM, ``loss_functions.py`` (compute_errors).

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[[4.0, 8.0]], [[4.0, 8.0]]])
    >>> found = training_depth_metrics(truth / [[[2.0]], [[4.0]]], truth, crop=None)
    >>> found["all"]["abs_rel"], found["scale"]
    (0.25, {'0': 2.0, '1': 2.0})
    """
    if scale_of not in ("first", "each"):
        raise UsageError(f"no scale of {scale_of!r}; there are first, each")
    xp, (p, g, f) = together(prediction, truth, foreground)
    same_shape(prediction=p, truth=g, foreground=f)
    r0, r1, c0, c1 = crop_bounds(crop, g.shape[1], g.shape[2])
    rows, columns = slice(r0, r1), slice(c0, c1)
    regions = {"all": None}
    if f is not None:
        regions |= {"background": ~booleans(f), "foreground": booleans(f)}
        if scale_of == "first" and not bool(((g > 0) & regions["foreground"]).any()):
            del regions["foreground"]
    scales: dict[str, float] = {}
    values: dict[str, list[list[float]]] = {name: [] for name in regions}
    for i in range(g.shape[0]):
        shown = xp.clip(p[i, rows, columns], low, high)
        known = g[i, rows, columns]
        valid = (known > 0) & (known < high)
        own = median_scale(shown[valid], known[valid], median="lower") if (
            scale_of == "each" or i == 0
        ) else scales["0"]  # fmt: skip
        scales[str(i)] = own
        for name, mask in regions.items():
            kept = valid if mask is None else valid & mask[i, rows, columns]
            values[name].append(_batch_row(Errors(shown[kept] * own, known[kept])))
    found = {name: _batch_mean(table, scale_of) for name, table in values.items()}
    return found | {"scale": scales}


_TRAINING = ("abs_diff", "abs_rel", "sq_rel", "a1", "a2", "a3")


def _batch_row(errors: Errors) -> list[float]:
    quantities = {"abs_diff": Metric("abs_diff", "", "m", True, lambda e: e.absolute, "")}
    quantities |= {name: DEPTH[name] for name in _TRAINING[1:]}
    sums = [total(m.quantity(errors)) for m in quantities.values()]
    return list(finish_sums(quantities, sums, len(errors)).values())


def _batch_mean(table: list[list[float]], scale_of: str) -> dict[str, float]:
    rows = table if scale_of == "first" else [row for row in table if row[0] == row[0]]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    if not rows:
        means = [float("nan")] * len(_TRAINING)
    return dict(zip(_TRAINING, means, strict=True)) | {"images": float(len(rows))}
