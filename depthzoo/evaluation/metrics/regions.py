"""Errors by region: static, moving, occluded, by distance; one pass over the pixels for all.

Regions may overlap. Their sums can be added over images (`RegionSums`), so every average can be
taken at the end: pooled over pixels, or over images from the values of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    Array,
    booleans,
    double,
    flat_indices,
    numbers,
    same_shape,
    together,
)
from depthzoo.evaluation.metrics.measure import Errors, finish_sums
from depthzoo.evaluation.metrics.resampling import follow_flow
from depthzoo.evaluation.metrics.table import metric

__all__ = [
    "RegionSums",
    "by_distance",
    "motion_regions",
    "occluded_by_disparity",
    "occluded_by_flow",
    "region_metrics",
]


class RegionSums:
    """Sums of several measures over several regions.

    Parameters
    ----------
    metrics : Iterable[str]
        Keys of `depthzoo.evaluation.metrics.METRICS`.

    Examples
    --------
    >>> import numpy as np
    >>> sums = RegionSums(["epe", "bad_1"])
    >>> truth = np.array([10.0, 10.0, 10.0])
    >>> moving = np.array([True, False, False])
    >>> sums.add(truth + [4.0, 0.0, 1.0], truth, motion_regions(moving))
    >>> sums.values("moving")["epe"], sums.values("static")["epe"], sums.values("all")["bad_1"]
    (4.0, 0.5, 33.33333333333333)
    """

    def __init__(self, metrics: Iterable[str]) -> None:
        self.metrics = {name: metric(name) for name in metrics}
        self._sums: dict[str, NDArray[np.float64]] = {}

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of the regions, ``all`` first."""
        return tuple(self._sums)

    def add(
        self,
        prediction: Any,
        truth: Any,
        regions: Mapping[str, Any],
        valid: Any = None,
    ) -> None:
        """Add the pixels of an image.

        Parameters
        ----------
        prediction, truth : array of float
            Same shape, NumPy or torch.
        regions : Mapping[str, array of bool]
            Masks of that shape by name; ``all`` is always there.
        valid : array of bool, optional
            Pixels whose truth counts; by default finite and positive. Those without a finite
            prediction (for depth: a positive one) are counted as missing, not measured.
        """
        names, masks = list(regions), list(regions.values())
        xp, (p, g, v, *masks) = together(prediction, truth, valid, *masks)
        same_shape(prediction=p, truth=g, valid=v, **dict(zip(names, masks, strict=True)))
        counts = (g > 0) & xp.isfinite(g) if v is None else booleans(v)
        picked = flat_indices(counts)
        p, g = p.reshape(-1)[picked], g.reshape(-1)[picked]
        given = xp.isfinite(p)
        if any(m.unit != "px" and m.name in _POSITIVE for m in self.metrics.values()):
            given &= p > 0
        errors = Errors(p[given], g[given])
        quantities = [double(m.quantity(errors)) for m in self.metrics.values()]
        own = {name: booleans(m).reshape(-1)[picked] for name, m in zip(names, masks, strict=True)}
        totals: list[Any] = [q.sum() for q in quantities]
        totals += [given.sum(), len(picked) - given.sum()]
        for mask in own.values():
            seen = mask[given]
            totals += [q[seen].sum() for q in quantities]
            totals += [seen.sum(), mask.sum() - seen.sum()]
        table = np.array(numbers(totals)).reshape(1 + len(names), -1)
        for name, row in zip(["all", *names], table, strict=True):
            self._sums[name] = self._sums.get(name, 0.0) + row

    def merge(self, other: RegionSums) -> None:
        """Add the sums of other images."""
        if list(self.metrics) != list(other.metrics):
            raise UsageError("sums of different metrics cannot be added")
        for name, row in other._sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + row

    def values(self, region: str = "all") -> dict[str, float]:
        """Return the measures pooled over a region's pixels, ``pixels`` and ``missing``.

        A region without pixels, or that no image had: NaN and 0.
        """
        row = self._sums.get(region, np.zeros(len(self.metrics) + 2))
        *sums, pixels, missing = row.tolist()
        found = finish_sums(self.metrics, sums, int(pixels), int(missing))
        return found | {"pixels": int(pixels), "missing": int(missing)}


_POSITIVE = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")


def region_metrics(
    metrics: Iterable[str],
    prediction: Any,
    truth: Any,
    regions: Mapping[str, Any],
    valid: Any = None,
) -> dict[str, dict[str, float]]:
    """Return region -> measures of one image (see `RegionSums`).

    >>> found = region_metrics(["epe"], [5.0, 9.0], [5.0, 8.0], {"near": [False, True]})
    >>> found["all"]["epe"], found["near"]["epe"]
    (0.5, 1.0)
    """
    sums = RegionSums(metrics)
    sums.add(prediction, truth, regions, valid)
    return {name: sums.values(name) for name in sums.regions}


def motion_regions(moving: Any, known: Any = None) -> dict[str, Array]:
    """Return the regions ``moving`` and ``static``.

    Parameters
    ----------
    moving : array
        Not 0 where the surface moves.
    known : array of bool, optional
        Where that is known; elsewhere the pixel is in neither.
    """
    _, (m, k) = together(moving, known)
    m = booleans(m)
    if k is None:
        return {"moving": m, "static": ~m}
    return {"moving": m & booleans(k), "static": ~m & booleans(k)}


def by_distance(
    truth: Any, edges: Iterable[float] = (0, 10, 20, 40, 80), unit: str = "m"
) -> dict[str, Array]:
    """Return a region for each range ``low <= truth < high``.

    >>> list(by_distance([3.0, 15.0]))
    ['0-10 m', '10-20 m', '20-40 m', '40-80 m']
    """
    _, (g,) = together(truth)
    limits = list(edges)
    return {f"{low:g}-{high:g} {unit}": (g >= low) & (g < high) for low, high in pairwise(limits)}


def occluded_by_flow(
    forward: Any, backward: Any, *, relative: float = 0.01, absolute: float = 0.5
) -> Array:
    """Return (H, W) bool: pixels of frame t that are not seen in the other frame.

    A pixel is seen when following the forward flow and then the backward flow leads back:
    ``|f + b|² <= relative (|f|² + |b|²) + absolute``; flow that leaves the image does not.

    Parameters
    ----------
    forward, backward : (2, H, W) float
        From t, and from the other frame back (px).

    Notes
    -----
    Sundaram, Brox and Keutzer 2010, "Dense point trajectories by GPU-accelerated large
    displacement optical flow".
    """
    _, (f, b) = together(forward, backward)
    back, inside = follow_flow(b, f)
    gap = ((double(f) + back) ** 2).sum(0)
    limit = relative * ((double(f) ** 2).sum(0) + (back**2).sum(0)) + absolute
    return ~(inside & (gap <= limit))


def occluded_by_disparity(left: Any, right: Any, *, limit: float = 1.0) -> Array:
    """Return (H, W) bool: pixels of the left view that the right one does not see.

    The right view's disparity at ``x - left`` must agree within `limit` px (both positive).
    """
    xp, (d, other) = together(left, right)
    flow = xp.stack([-double(d), xp.zeros_like(double(d))])
    there, inside = follow_flow(other, flow)
    return ~(inside & (abs(there - double(d)) <= limit))
