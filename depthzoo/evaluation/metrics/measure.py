"""What a measure is: a quantity of each pixel, its mean, sometimes a root.

A mean can be averaged over images or pooled over all pixels without keeping the pixels, and
measures of the same pixels share what they need (`Errors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthzoo.evaluation.metrics.arrays import Array, double, numbers, same_shape, together, total

__all__ = ["Errors", "Metric", "finish_sums", "pool_means"]


class Errors:
    """Prediction and truth of N pixels with what measures need of them, each computed once.

    Parameters
    ----------
    prediction, truth : (N,) float
        NumPy or torch; converted to float64.

    Examples
    --------
    >>> errors = Errors([2.0, 4.0], [1.0, 4.0])
    >>> errors.absolute.tolist(), errors.worst_ratio.tolist()
    ([1.0, 0.0], [2.0, 1.0])
    """

    def __init__(self, prediction: Any, truth: Any) -> None:
        self.xp, (p, g) = together(prediction, truth)
        same_shape(prediction=p, truth=g)
        self.prediction = double(p).reshape(-1)
        self.truth = double(g).reshape(-1)

    def __len__(self) -> int:
        return int(self.truth.shape[0])

    @cached_property
    def error(self) -> Array:
        """Prediction minus truth."""
        return self.prediction - self.truth

    @cached_property
    def absolute(self) -> Array:
        """Absolute error."""
        return abs(self.error)

    @cached_property
    def squared(self) -> Array:
        """Squared error."""
        return self.error * self.error

    @cached_property
    def ratio(self) -> Array:
        """Prediction over truth."""
        return self.prediction / self.truth

    @cached_property
    def worst_ratio(self) -> Array:
        """The larger of prediction/truth and truth/prediction."""
        return self.xp.maximum(self.ratio, self.truth / self.prediction)

    @cached_property
    def squared_log(self) -> Array:
        """Squared difference of the natural logarithms."""
        difference = self.xp.log(self.ratio)
        return difference * difference


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
    quantity : Callable
        `Errors` -> (N,) float64 or bool, the quantity of each pixel.
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
    quantity: Callable[[Errors], Array]
    source: str
    root: bool = False
    factor: float = 1.0
    missing: float | None = None

    def pixel(self, prediction: Any, truth: Any) -> Array:
        """Return the quantity of each pixel, (N,) float64."""
        return double(self.quantity(Errors(prediction, truth)))

    def __call__(self, prediction: Any, truth: Any, *, missing: int = 0) -> float:
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
        errors = Errors(prediction, truth)
        return finish_sums({self.name: self}, [total(self.quantity(errors))], len(errors), missing)[
            self.name
        ]

    def finish(self, mean: float) -> float:
        """Turn the mean over pixels into the reported value."""
        return self.factor * float(np.sqrt(mean) if self.root else mean)

    def unfinish(self, value: float) -> float:
        """Return the mean over pixels that a reported value came from."""
        mean = value / self.factor
        return mean * mean if self.root else mean


def finish_sums(
    metrics: Mapping[str, Metric], sums: Sequence[Any], pixels: int, missing: int = 0
) -> dict[str, float]:
    """Turn the sums of quantities over pixels into reported values, in the order of `metrics`."""
    values: dict[str, float] = {}
    for one, value in zip(metrics.values(), numbers(sums), strict=True):
        weight = pixels
        if one.missing is not None:
            value, weight = value + one.missing * missing, weight + missing
        values[one.name] = one.finish(value / weight) if weight else float("nan")
    return values


def pool_means(one: Metric, values: ArrayLike, pixels: ArrayLike) -> float:
    """Return what a measure would be over all pixels of several images together."""
    n: NDArray[np.float64] = np.asarray(pixels, np.float64)
    v: NDArray[np.float64] = np.asarray(values, np.float64)
    keep = n > 0
    if not keep.any():
        return float("nan")
    means = np.array([one.unfinish(x) for x in v[keep]])
    return one.finish(float((means * n[keep]).sum() / n[keep].sum()))
