"""All measures of single pixels by name, for protocols and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import total
from depthzoo.evaluation.metrics.depth import DEPTH
from depthzoo.evaluation.metrics.disparity import DISPARITY
from depthzoo.evaluation.metrics.measure import Errors, Metric, finish_sums, pool_means

__all__ = ["METRICS", "measure", "metric", "pool"]

METRICS: Mapping[str, Metric] = {**DEPTH, **DISPARITY}


def metric(name: str) -> Metric:
    """Return the measure of that name.

    >>> metric("rmse").unit
    'm'
    """
    if name not in METRICS:
        raise UsageError(f"no metric {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


def measure(
    names: Iterable[str], prediction: Any, truth: Any, *, missing: int = 0
) -> dict[str, float]:
    """Return several measures of the same pixels.

    Parameters
    ----------
    names : Iterable[str]
        Keys of `METRICS`.
    prediction, truth : (N,) float
        Finite; depths positive. NumPy or torch.
    missing : int
        Pixels with truth but without prediction.

    Examples
    --------
    >>> measure(["epe", "bad_1", "d1_all"], [14.0, 20.0], [10.0, 20.0])
    {'epe': 2.0, 'bad_1': 50.0, 'd1_all': 50.0}
    """
    chosen = {name: metric(name) for name in names}
    errors = Errors(prediction, truth)
    sums = [total(one.quantity(errors)) for one in chosen.values()]
    return finish_sums(chosen, sums, len(errors), missing)


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
    return pool_means(metric(name), values, pixels)
