"""One frame under one protocol: prediction and truth in, measures out (arrays only, no files)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.alignment import choose_alignment, scale_factor
from depthzoo.evaluation.metrics import metric
from depthzoo.evaluation.metrics.arrays import flat_indices, total
from depthzoo.evaluation.metrics.depth import crop_bounds
from depthzoo.evaluation.metrics.measure import Errors, finish_sums
from depthzoo.evaluation.metrics.resampling import read_resized
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.regions import Masks, within
from depthzoo.evaluation.targets import PixelTruth, PointTruth, Truth

__all__ = ["Compared", "Curves", "RegionScore", "Score", "compare", "error_map", "score"]

FloatMap = NDArray[np.floating]

ERROR_EDGES = {
    "depth": (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, np.inf),
    "disparity": (0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, np.inf),
}
TRUTH_EDGES = {
    "depth": (0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, np.inf),
    "disparity": (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, np.inf),
}
"""Bins of the charts: `Protocol.charted`, and truth (m or px)."""


@dataclass
class Curves:
    """Sums for the charts; adding those of many frames costs no memory.

    Parameters
    ----------
    quantity : str
        What is compared; paths and masks have no such charts.
    errors : (n,) int
        Pixels in each bin of `ERROR_EDGES`.
    pixels, error_sum : (m,)
        Pixels, and sum of the charted error, in each bin of `TRUTH_EDGES`.
    """

    quantity: str
    errors: NDArray[np.int64] = field(init=False)
    pixels: NDArray[np.int64] = field(init=False)
    error_sum: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.errors = np.zeros(max(len(ERROR_EDGES.get(self.quantity, ())) - 1, 0), np.int64)
        self.pixels = np.zeros(max(len(TRUTH_EDGES.get(self.quantity, ())) - 1, 0), np.int64)
        self.error_sum = np.zeros(len(self.pixels))

    def add(self, error: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
        """Count (N,) pixels: their charted error and their truth."""
        self.errors += _by_bin(_bins(error, ERROR_EDGES[self.quantity]), len(self.errors))
        bins = _bins(truth, TRUTH_EDGES[self.quantity])
        self.pixels += _by_bin(bins, len(self.pixels))
        self.error_sum += _by_bin(bins, len(self.pixels), error)

    def merge(self, other: Curves) -> None:
        """Add the sums of other frames."""
        self.errors += other.errors
        self.pixels += other.pixels
        self.error_sum += other.error_sum


def _bins(values: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.uint8]:
    """Return the bin of (N,) values, counted from 1; 0: below all of them.

    With a dozen bins a comparison each is several times faster than a search.
    """
    number = np.zeros(values.shape, np.uint8)
    for edge in edges[:-1]:
        number += values >= edge
    return number


def _by_bin(
    bins: NDArray[np.uint8], number: int, weights: NDArray[np.float64] | None = None
) -> NDArray[Any]:
    """Return how many of (N,) values lie in each bin, or the sums of their weights."""
    return np.bincount(bins, weights, number + 1)[1:]


@dataclass(frozen=True)
class RegionScore:
    """What a part of an image gave."""

    values: dict[str, float]
    pixels: int
    missing: int


@dataclass(frozen=True)
class Score:
    """What one record (a frame, a clip, a sequence) gave.

    Parameters
    ----------
    values : dict
        Metric -> value (NaN without pixels).
    pixels : int
        Pixels that were measured.
    missing : int
        Pixels with truth that counts but without prediction.
    scale : float
        Factor of the alignment.
    regions : dict
        Part of the image -> the same measures there.
    weight : float
        In averages by weight: frames of a clip, snippets or pieces of a path.
    series : dict
        Name -> numbers over time, such as the error of every snippet.
    counts : dict
        Name -> integers that are added over records, such as pixels at every threshold.
    """

    values: dict[str, float]
    pixels: int
    missing: int
    scale: float
    regions: Mapping[str, RegionScore] = field(default_factory=dict)
    weight: float = 1.0
    series: Mapping[str, list[float]] = field(default_factory=dict)
    counts: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Share of the truth's pixels that have a prediction; NaN without truth."""
        total = self.pixels + self.missing
        return self.pixels / total if total else float("nan")


@dataclass(frozen=True, eq=False)
class Compared:
    """The pixels of a frame whose truth counts, aligned.

    Parameters
    ----------
    prediction, truth : (N,) float64
        As they are measured (aligned, clamped, inverted); prediction NaN where there is none.
    at : (N,) int
        Flat (row-major) index of each in an image of `size`.
    given : (N,) bool
        Those with a prediction.
    size : (H, W)
    scale : float
        The factor that was applied.
    """

    prediction: NDArray[np.float64]
    truth: NDArray[np.float64]
    at: NDArray[np.int64]
    given: NDArray[np.bool_]
    size: tuple[int, int]
    scale: float


def compare(protocol: Protocol, prediction: FloatMap, truth: Truth, invariance: str) -> Compared:
    """Bring a prediction to the truth's pixels and scale.

    Only pixels whose truth counts are looked at, of lidar one in twenty.

    Parameters
    ----------
    prediction : (H,W) float
        In the protocol's quantity; NaN where there is none. A depth that is not positive or not
        finite is no prediction, unless the protocol clamps it to one.
    truth : (H,W) float or PointTruth
        NaN where there is none.
    invariance : str
        The prediction's.
    """
    alignment = choose_alignment(invariance, protocol.alignment, protocol.quantity)
    values, at = _truth_pixels(protocol, truth)
    size = (int(truth.shape[0]), int(truth.shape[1]))
    read = _read(protocol, np.asarray(prediction), size, at)
    given = ~np.isnan(read) if protocol.clamp is not None else np.isfinite(read)
    if protocol.quantity == "depth" and protocol.clamp is None:
        given &= read > 0
    counts = protocol.valid.contains(values)
    basis = given & (counts if protocol.align_on is None else protocol.align_on.contains(values))
    scale = scale_factor(alignment, read[basis], values[basis], protocol.median)
    if protocol.align_on is not None:
        values, read, given, at = values[counts], read[counts], given[counts], at[counts]
    shown: NDArray[np.float64] = read.astype(np.float64, copy=False)
    if scale != 1.0:
        shown = shown * scale
    known: NDArray[np.float64] = values.astype(np.float64, copy=False)
    if protocol.clamp is not None:
        shown = np.clip(shown, *protocol.clamp)
    if protocol.measured:
        with np.errstate(divide="ignore"):
            shown, known = 1 / shown, 1 / known
    if not given.all():
        shown = np.where(given, shown, np.nan)
    return Compared(shown, known, at, given, size, scale)


def _truth_pixels(protocol: Protocol, truth: Truth) -> tuple[FloatMap, NDArray[np.int64]]:
    """Return the values that count (or may serve the alignment) and their flat pixel."""
    height, width = truth.shape[:2]
    r0, r1, c0, c1 = crop_bounds(protocol.crop, height, width)
    wanted = protocol.align_on or protocol.valid
    if isinstance(truth, PixelTruth):
        row, column = np.divmod(truth.at, width)
        keep = (row >= r0) & (row < r1) & (column >= c0) & (column < c1)
        kept = np.flatnonzero(keep & wanted.contains(truth.values))
        return truth.values.take(kept), truth.at.take(kept)
    if isinstance(truth, PointTruth):
        row, column, value = truth.rows.T
        keep = (row >= r0) & (row < r1) & (column >= c0) & (column < c1) & wanted.contains(value)
        at = row[keep].astype(np.int64) * width + column[keep].astype(np.int64)
        return value[keep], at
    counts = wanted.contains(truth[r0:r1])
    counts[:, :c0] = False
    counts[:, c1:] = False
    at = flat_indices(counts) + r0 * width
    return truth.reshape(-1)[at], at


def _read(
    protocol: Protocol, prediction: FloatMap, size: tuple[int, int], at: NDArray[np.int64]
) -> FloatMap:
    """Return the prediction (H,W) of any size at pixels (N,) of the truth's size."""
    if prediction.shape == size:
        values: FloatMap = prediction.reshape(-1)[at]
        return values
    if prediction.ndim != 2 or protocol.resize == "none":
        raise UsageError(
            f"prediction is {prediction.shape}, truth is {size}; {protocol.id} compares pixel by "
            "pixel, so the model must return the size of its input"
        )
    if protocol.resize == "inverse":
        with np.errstate(divide="ignore"):
            inverse = 1 / prediction.astype(np.float64)
            found: FloatMap = 1 / read_resized(inverse, size, at // size[1], at % size[1])
        return found
    import cv2

    resized = cv2.resize(
        prediction.astype(np.float64), (size[1], size[0]), interpolation=cv2.INTER_LINEAR
    )
    values = np.asarray(resized, np.float64).reshape(-1)[at]
    return values


def score(
    protocol: Protocol,
    prediction: FloatMap,
    truth: Truth,
    invariance: str,
    curves: Curves | None = None,
    regions: Masks | None = None,
) -> Score:
    """Measure one frame.

    Parameters
    ----------
    prediction, truth : (H,W) float
        In the protocol's quantity; NaN where there is none. The truth may be a `PointTruth`.
    invariance : str
        ``"metric"``, ``"disparity"``, ``"scale"`` or ``"affine"``.
    curves : Curves, optional
        Receives the pixels for the charts.
    regions : mapping, optional
        (H,W) bool masks of the truth's size; with them distance is told apart, too.
    """
    found = compare(protocol, prediction, truth, invariance)
    p, g, given = found.prediction, found.truth, found.given
    missing = int(given.size - np.count_nonzero(given))
    if missing:
        p, g = p[given], g[given]
    metrics = {name: metric(name) for name in protocol.metrics}
    errors = Errors(p, g)
    quantities = [one.quantity(errors) for one in metrics.values()]
    values = finish_sums(metrics, [total(q) for q in quantities], len(errors), missing)
    if curves is not None and p.size:
        if protocol.charted in metrics:
            shown = quantities[list(metrics).index(protocol.charted)]
        else:
            shown = metric(protocol.charted).quantity(errors)
        curves.add(np.asarray(shown, np.float64), g)
    parts: dict[str, RegionScore] = {}
    if regions is not None:
        own = {name: mask.reshape(-1)[found.at] for name, mask in regions.items()}
        for name, inside in {**own, **within(protocol.compared, found.truth)}.items():
            seen = np.flatnonzero(inside[given] if missing else inside)
            count = len(seen)
            lost = int(np.count_nonzero(inside)) - count
            sums = [total(q.take(seen)) for q in quantities]
            parts[name] = RegionScore(finish_sums(metrics, sums, count, lost), count, lost)
    return Score(values, len(errors), missing, found.scale, parts)


def error_map(
    protocol: Protocol, prediction: FloatMap, truth: Truth, invariance: str
) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Return aligned prediction, truth and charted error for pictures, (H,W) of the truth.

    Truth and error are NaN where nothing counts.
    """
    found = compare(protocol, prediction, truth, invariance)
    errors, known = np.full(found.size, np.nan), np.full(found.size, np.nan)
    p, g, at = found.prediction[found.given], found.truth[found.given], found.at[found.given]
    errors.reshape(-1)[at] = metric(protocol.charted).pixel(p, g)
    known.reshape(-1)[found.at] = found.truth
    every = np.arange(found.size[0] * found.size[1])
    with np.errstate(divide="ignore"):
        shown = _read(protocol, np.asarray(prediction), found.size, every).astype(np.float64)
        shown = shown * found.scale
        if protocol.clamp is not None:
            shown = np.clip(shown, *protocol.clamp)
        shown = 1 / shown if protocol.measured else shown
    return shown.reshape(found.size), known, errors
