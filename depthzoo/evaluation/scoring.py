"""One frame under one protocol: prediction and truth in, measures out (arrays only, no files)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.alignment import choose_alignment, scale_factor
from depthzoo.evaluation.metrics import measure, metric
from depthzoo.evaluation.protocols import Protocol

__all__ = ["Curves", "Score", "align", "error_map", "score"]

FloatMap = NDArray[np.floating]

ERROR_EDGES = {
    "depth": (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, np.inf),
    "disparity": (0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, np.inf),
}
TRUTH_EDGES = {
    "depth": (0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, np.inf),
    "disparity": (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, np.inf),
}
"""Bins of the charts: headline error, and truth (m or px)."""


@dataclass
class Curves:
    """Sums for the charts; adding those of many frames costs no memory.

    Parameters
    ----------
    errors : (n,) int
        Pixels in each bin of `ERROR_EDGES`.
    pixels, error_sum : (m,)
        Pixels, and sum of the headline error, in each bin of `TRUTH_EDGES`.
    """

    quantity: str
    errors: NDArray[np.int64] = field(init=False)
    pixels: NDArray[np.int64] = field(init=False)
    error_sum: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.errors = np.zeros(len(ERROR_EDGES[self.quantity]) - 1, np.int64)
        self.pixels = np.zeros(len(TRUTH_EDGES[self.quantity]) - 1, np.int64)
        self.error_sum = np.zeros(len(TRUTH_EDGES[self.quantity]) - 1)

    def add(self, error: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
        """Count (N,) pixels: their headline error and their truth."""
        self.errors += np.histogram(error, ERROR_EDGES[self.quantity])[0]
        edges = TRUTH_EDGES[self.quantity]
        self.pixels += np.histogram(truth, edges)[0]
        self.error_sum += np.histogram(truth, edges, weights=error)[0]

    def merge(self, other: Curves) -> None:
        """Add the sums of other frames."""
        self.errors += other.errors
        self.pixels += other.pixels
        self.error_sum += other.error_sum


@dataclass(frozen=True)
class Score:
    """What one frame gave.

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
    """

    values: dict[str, float]
    pixels: int
    missing: int
    scale: float

    @property
    def coverage(self) -> float:
        """Share of the truth's pixels that have a prediction; NaN without truth."""
        total = self.pixels + self.missing
        return self.pixels / total if total else float("nan")


def align(
    protocol: Protocol, prediction: FloatMap, truth: FloatMap, invariance: str
) -> tuple[FloatMap, NDArray[np.bool_], NDArray[np.bool_], float]:
    """Bring a prediction to the truth's size and scale, and say which pixels count.

    Parameters
    ----------
    prediction, truth : (H,W) float
        In the protocol's quantity; NaN where there is none. A depth that is not positive or not
        finite is no prediction, unless the protocol clamps it to one.
    invariance : str
        The prediction's.

    Returns
    -------
    prediction : (H,W) float64
        Aligned and clamped, NaN where there is none.
    counts : (H,W) bool
        Pixels whose truth counts.
    scored : (H,W) bool
        Those of them that have a prediction.
    scale : float
        The factor that was applied.
    """
    alignment = choose_alignment(invariance, protocol.alignment)
    fitted = _fit(protocol, np.asarray(prediction, np.float64), truth.shape)
    counts = protocol.valid.contains(truth) & protocol.crop_mask((truth.shape[0], truth.shape[1]))
    given = ~np.isnan(fitted) if protocol.clamp is not None else np.isfinite(fitted)
    if protocol.quantity == "depth" and protocol.clamp is None:
        given &= fitted > 0
    scored = counts & given
    scale = scale_factor(alignment, fitted[scored], truth[scored])
    aligned = np.where(given, fitted * scale, np.nan)
    if protocol.clamp is not None:
        aligned = np.clip(aligned, *protocol.clamp)
    return aligned, counts, scored, scale


def _fit(protocol: Protocol, prediction: FloatMap, shape: tuple[int, ...]) -> FloatMap:
    if prediction.shape == shape:
        return prediction
    if prediction.ndim != 2 or protocol.resize == "none":
        raise UsageError(
            f"prediction is {prediction.shape}, truth is {shape}; {protocol.id} compares pixel by "
            "pixel, so the model must return the size of its input"
        )
    import cv2

    resized = cv2.resize(prediction, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float64)


def score(
    protocol: Protocol,
    prediction: FloatMap,
    truth: FloatMap,
    invariance: str,
    curves: Curves | None = None,
) -> Score:
    """Measure one frame.

    Parameters
    ----------
    prediction, truth : (H,W) float
        In the protocol's quantity; NaN where there is none.
    invariance : str
        ``"metric"``, ``"disparity"``, ``"scale"`` or ``"affine"``.
    curves : Curves, optional
        Receives the pixels for the charts.
    """
    aligned, counts, scored, scale = align(protocol, prediction, truth, invariance)
    p = aligned[scored].astype(np.float64)
    g = truth[scored].astype(np.float64)
    missing = int(counts.sum()) - p.size
    values = measure(protocol.metrics, p, g, missing=missing)
    if curves is not None and p.size:
        curves.add(metric(protocol.headline).pixel(p, g), g)
    return Score(values, p.size, missing, scale)


def error_map(
    protocol: Protocol, prediction: FloatMap, truth: FloatMap, invariance: str
) -> tuple[FloatMap, FloatMap]:
    """Return the aligned prediction and the headline error, (H,W), NaN where nothing counts."""
    aligned, _, scored, _ = align(protocol, prediction, truth, invariance)
    errors = np.full(truth.shape, np.nan)
    errors[scored] = metric(protocol.headline).pixel(
        aligned[scored].astype(np.float64), truth[scored].astype(np.float64)
    )
    return aligned, errors
