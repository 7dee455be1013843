"""Error measures for depth and disparity: arrays in, numbers out.

Every measure is the mean of a quantity per pixel (of which RMS errors take the root afterwards),
so that it can be averaged over images or pooled over all pixels without keeping the pixels.

>>> depth_metrics([10.0, 22.0], [10.0, 20.0])["abs_rel"]
0.05
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthdata.errors import UsageError

__all__ = [
    "DEPTH_METRICS",
    "DISPARITY_METRICS",
    "METRICS",
    "Metric",
    "depth_metrics",
    "disparity_metrics",
    "measure",
    "metric",
    "pool",
]

Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One error measure.

    Parameters
    ----------
    name : str
        Key in results.
    title : str
        What a reader of a report sees.
    unit : str
        ``""`` for ratios, ``"m"``, ``"px"``, ``"%"``.
    lower_is_better : bool
        False for shares of good pixels.
    pixel : Callable
        ``(prediction, truth) -> (N,)`` float64, the quantity of each pixel.
    source : str
        Who defined it.
    root : bool
        Take the square root of the mean.
    factor : float
        Multiplies the mean (100 for percentages).
    missing : float or None
        What a pixel without prediction counts; None leaves such pixels out.
    """

    name: str
    title: str
    unit: str
    lower_is_better: bool
    pixel: Callable[[Pixels, Pixels], Pixels]
    source: str
    root: bool = False
    factor: float = 1.0
    missing: float | None = None

    def __call__(self, prediction: ArrayLike, truth: ArrayLike, *, missing: int = 0) -> float:
        """Measure pixels that have both truth and prediction.

        Parameters
        ----------
        prediction, truth : (N,) float
            Depth in metres or disparity in pixels; finite.
        missing : int
            Number of pixels with truth but without prediction.

        Returns
        -------
        float
            NaN where there is nothing to measure.
        """
        p, g = _pair(prediction, truth)
        total, weight = float(self.pixel(p, g).sum()), p.size
        if self.missing is not None:
            total, weight = total + self.missing * missing, weight + missing
        return self.finish(total / weight) if weight else float("nan")

    def finish(self, mean: float) -> float:
        """Turn the mean over pixels into the reported value."""
        return self.factor * float(np.sqrt(mean) if self.root else mean)

    def unfinish(self, value: float) -> float:
        """Return the mean over pixels that a reported value came from."""
        mean = value / self.factor
        return mean * mean if self.root else mean


def _pair(prediction: ArrayLike, truth: ArrayLike) -> tuple[Pixels, Pixels]:
    p = np.asarray(prediction, np.float64)
    g = np.asarray(truth, np.float64)
    if p.shape != g.shape:
        raise UsageError(
            f"prediction {p.shape} and truth {g.shape} differ in shape; give the same pixels"
        )
    return p.ravel(), g.ravel()


def _absolute(p: Pixels, g: Pixels) -> Pixels:
    return np.abs(p - g)


def _within(factor: float) -> Callable[[Pixels, Pixels], Pixels]:
    return lambda p, g: (np.maximum(p / g, g / p) < factor).astype(np.float64)


def _beyond(threshold: float) -> Callable[[Pixels, Pixels], Pixels]:
    return lambda p, g: (np.abs(p - g) > threshold).astype(np.float64)


def _d1(p: Pixels, g: Pixels) -> Pixels:
    error = np.abs(p - g)
    return ((error > 3.0) & (error > 0.05 * np.abs(g))).astype(np.float64)


_EIGEN = "Eigen et al. 2014 (arXiv 1406.2283)"
_MIDDLEBURY = "Middlebury stereo evaluation (Scharstein and Szeliski 2002)"
_KITTI = "KITTI stereo 2015 (Menze and Geiger 2015)"

_DEPTH = [
    Metric("abs_rel", "Abs Rel", "", True, lambda p, g: np.abs(p - g) / g, _EIGEN),
    Metric("sq_rel", "Sq Rel", "m", True, lambda p, g: (p - g) ** 2 / g, _EIGEN),
    Metric("rmse", "RMSE", "m", True, lambda p, g: (p - g) ** 2, _EIGEN, root=True),
    Metric(
        "rmse_log", "RMSE log", "", True, lambda p, g: (np.log(p) - np.log(g)) ** 2, _EIGEN, True
    ),
    *(
        Metric(f"a{k}", f"δ < 1.25{power}", "", False, _within(1.25**k), _EIGEN)
        for k, power in ((1, ""), (2, "²"), (3, "³"))
    ),
]

_DISPARITY = [
    Metric("epe", "EPE", "px", True, _absolute, _MIDDLEBURY),
    *(
        Metric(f"bad_{k}", f"bad {k}", "%", True, _beyond(float(k)), _MIDDLEBURY, factor=100.0)
        for k in (0.5, 1, 2, 3)
    ),
    Metric("d1_all", "D1-all", "%", True, _d1, _KITTI, factor=100.0),
    Metric(
        "d1_all_or_missing",
        "D1-all or missing",
        "%",
        True,
        _d1,
        _KITTI + "; a pixel without prediction counts as wrong",
        factor=100.0,
        missing=1.0,
    ),
]

DEPTH_METRICS: tuple[str, ...] = tuple(m.name for m in _DEPTH)
DISPARITY_METRICS: tuple[str, ...] = tuple(m.name for m in _DISPARITY)
METRICS: Mapping[str, Metric] = {m.name: m for m in [*_DEPTH, *_DISPARITY]}


def metric(name: str) -> Metric:
    """Return the measure of that name.

    >>> metric("rmse").unit
    'm'
    """
    if name not in METRICS:
        raise UsageError(f"no metric {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


def measure(
    names: Iterable[str], prediction: ArrayLike, truth: ArrayLike, *, missing: int = 0
) -> dict[str, float]:
    """Return several measures of the same pixels.

    Parameters
    ----------
    names : Iterable[str]
        Keys of `METRICS`.
    prediction, truth : (N,) float
        Finite; depths positive.
    missing : int
        Pixels with truth but without prediction.

    Examples
    --------
    >>> measure(["epe", "bad_1", "d1_all"], [14.0, 20.0], [10.0, 20.0])
    {'epe': 2.0, 'bad_1': 50.0, 'd1_all': 50.0}
    """
    return {name: metric(name)(prediction, truth, missing=missing) for name in names}


def depth_metrics(
    prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None
) -> dict[str, Any]:
    """Return the seven usual depth measures and the number of pixels behind them.

    Parameters
    ----------
    prediction, truth : array of float
        Depth in metres, same shape.
    valid : array of bool, optional
        The pixels that count; by default those with a finite positive truth and prediction.

    Returns
    -------
    dict
        ``abs_rel``, ``sq_rel`` (m), ``rmse`` (m), ``rmse_log`` (natural logarithm), ``a1``..``a3``
        (shares in 0..1) and ``pixels``. No pixels: NaN and 0.
    """
    return _measure_valid(DEPTH_METRICS, prediction, truth, valid, positive=True)


def disparity_metrics(
    prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None
) -> dict[str, Any]:
    """Return the disparity measures and the number of pixels behind them.

    Parameters
    ----------
    prediction, truth : array of float
        Disparity in pixels, same shape.
    valid : array of bool, optional
        The pixels whose truth counts; by default those with a finite positive truth.
        Among them, pixels without a finite prediction are ``missing``.

    Returns
    -------
    dict
        ``epe`` (px), ``bad_k`` (percent with error > k px), ``d1_all`` (percent with error
        > 3 px and > 5 % of the truth), ``d1_all_or_missing``, ``pixels`` and ``missing``.
    """
    return _measure_valid(DISPARITY_METRICS, prediction, truth, valid, positive=False)


def _measure_valid(
    names: Iterable[str],
    prediction: ArrayLike,
    truth: ArrayLike,
    valid: ArrayLike | None,
    *,
    positive: bool,
) -> dict[str, Any]:
    p, g = _pair(prediction, truth)
    counts = (g > 0) & np.isfinite(g) if valid is None else np.asarray(valid, bool).ravel()
    given = np.isfinite(p) & (p > 0) if positive else np.isfinite(p)
    scored = counts & given
    missing = int(counts.sum() - scored.sum())
    values: dict[str, Any] = measure(names, p[scored], g[scored], missing=missing)
    return values | {"pixels": int(scored.sum()), "missing": missing}


def pool(name: str, values: ArrayLike, pixels: ArrayLike) -> float:
    """Return what a measure would be over all pixels of several images together.

    Parameters
    ----------
    name : str
        Key of `METRICS`.
    values : (N,) float
        The measure of each image; NaN for an image without pixels.
    pixels : (N,) int
        Pixels behind each value.

    Examples
    --------
    >>> pool("rmse", [3.0, 4.0], [1, 1])  # the root of (9 + 16) / 2
    3.5355339059327378
    """
    one = metric(name)
    n = np.asarray(pixels, np.float64)
    v = np.asarray(values, np.float64)
    keep = n > 0
    if not keep.any():
        return float("nan")
    means = np.array([one.unfinish(x) for x in v[keep]])
    return one.finish(float((means * n[keep]).sum() / n[keep].sum()))
