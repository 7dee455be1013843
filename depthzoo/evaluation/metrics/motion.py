"""Motion segmentation: precision, recall, F1 and IoU at every threshold, in one pass.

Each pixel's probability is sorted into the thresholds once; counts of all thresholds follow from
sums. Counts are integers and can be added over images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.arrays import (
    bin_of,
    booleans,
    count_by,
    double,
    like,
    same_shape,
    together,
    whole,
)

__all__ = ["MOVING", "UNLABELLED", "MotionCounts", "binary_scores", "dynamo_thresholds"]

MOVING, UNLABELLED = 1, 3
"""Labels of Dynamo-Depth's motion masks; 0 is background, 2 a static object that could move."""

_EPSILON = 1e-10


def dynamo_thresholds(count: int = 150) -> NDArray[np.float32]:
    """Return Dynamo-Depth's thresholds, from -1/(n-1) to 1 - 1/(n-1), to the last bit.

    The first one makes every pixel positive.

    >>> dynamo_thresholds()[[0, -1]].tolist()
    [-0.00671140942722559, 0.9932885766029358]
    """
    start, end = np.float32(-1 / (count - 1)), np.float32(1 - 1 / (count - 1))
    step = np.float64((end - start) / np.float32(count - 1))
    i = np.arange(count, dtype=np.float64)
    # torch.linspace: from both ends to the middle, one rounding a value
    up, down = np.float64(start) + step * i, np.float64(end) - step * (count - 1 - i)
    values: NDArray[np.float64] = np.where(i < count // 2, up, down)
    return values.astype(np.float32)


class MotionCounts:
    """Counts of a motion mask's decisions at every threshold.

    Parameters
    ----------
    thresholds : (K,) float, optional
        Ascending; a pixel is predicted to move with ``value > threshold``. Default:
        `dynamo_thresholds`.
    classes : int
        Number of semantic classes whose false positives are told apart (0: none).

    Examples
    --------
    >>> counts = MotionCounts([0.25, 0.75])
    >>> counts.add([[0.9, 0.5, 0.1]], [[1, 0, 0]])
    >>> counts.true_positives.tolist(), counts.false_positives.tolist()
    ([1, 1], [1, 0])
    >>> counts.best()
    {'threshold': 0.75, 'precision': 1.0, 'recall': 1.0, 'f1': 1.0, 'iou': 1.0}
    """

    def __init__(self, thresholds: Any = None, *, classes: int = 0) -> None:
        edges = dynamo_thresholds() if thresholds is None else np.asarray(thresholds)
        if edges.ndim != 1 or (np.diff(edges) < 0).any():
            raise UsageError("thresholds must be one ascending list")
        self.thresholds: NDArray[np.floating[Any]] = edges
        self._positive = np.zeros(len(edges) + 1, np.int64)
        self._negative = np.zeros(len(edges) + 1, np.int64)
        self._by_class = np.zeros((classes, len(edges) + 1), np.int64)

    def add(self, probability: Any, label: Any, semantic: Any = None) -> None:
        """Count the pixels of one or several images.

        Parameters
        ----------
        probability : array of float
            NumPy or torch; NaN counts as not moving at every threshold.
        label : array of int, same shape
            1 moving, 3 unlabelled (left out), every other value not moving.
        semantic : array of int, same shape, optional
            Class of each pixel, below `classes`.
        """
        _, (p, y, s) = together(probability, label, semantic)
        same_shape(probability=p, label=y, semantic=s)
        p, y = p.reshape(-1), y.reshape(-1)
        if "int" in str(p.dtype) or "bool" in str(p.dtype):
            p = double(p)
        bins = bin_of(like(self.thresholds, p), p, right=False)
        bins = whole(bins) * (p == p)
        moving, counted = y == MOVING, (y != MOVING) & (y != UNLABELLED)
        length = len(self._positive)
        self._positive += _host(count_by(bins[moving], length))
        self._negative += _host(count_by(bins[counted], length))
        if len(self._by_class):
            if s is None:
                raise UsageError("classes are counted: give the semantic mask")
            kinds = whole(s.reshape(-1)[counted])
            joint = count_by(kinds * length + bins[counted], len(self._by_class) * length)
            self._by_class += _host(joint).reshape(self._by_class.shape)

    def merge(self, other: MotionCounts) -> None:
        """Add the counts of other images, made with the same thresholds."""
        self._positive += other._positive
        self._negative += other._negative
        self._by_class += other._by_class

    def bins(self) -> dict[str, list[int]]:
        """Return the counts between the thresholds, plain: what `from_bins` takes.

        ``moving``, ``not_moving`` (K+1 each) and ``by_class`` (one class after the other).
        """
        flat = self._by_class.reshape(-1)
        return {
            "moving": self._positive.tolist(),
            "not_moving": self._negative.tolist(),
            "by_class": flat.tolist(),
        }

    @classmethod
    def from_bins(cls, bins: Mapping[str, Any], thresholds: Any = None) -> MotionCounts:
        """Return the counts that `bins` told, for the same thresholds."""
        length = len(bins["moving"])
        counts = cls(thresholds, classes=len(bins["by_class"]) // length)
        if len(counts._positive) != length:
            raise UsageError(
                f"counts of {length - 1} thresholds do not fit {len(counts.thresholds)} thresholds"
            )
        counts._positive += np.asarray(bins["moving"], np.int64)
        counts._negative += np.asarray(bins["not_moving"], np.int64)
        counts._by_class += np.asarray(bins["by_class"], np.int64).reshape(counts._by_class.shape)
        return counts

    @property
    def true_positives(self) -> NDArray[np.int64]:
        """(K,) moving pixels that are predicted to move."""
        return _above(self._positive)

    @property
    def false_positives(self) -> NDArray[np.int64]:
        """(K,) labelled pixels that do not move and are predicted to."""
        return _above(self._negative)

    @property
    def false_negatives(self) -> NDArray[np.int64]:
        """(K,) moving pixels that are predicted not to."""
        missed: NDArray[np.int64] = self._positive.sum() - self.true_positives
        return missed

    def curve(self, *, reference: bool = False) -> dict[str, NDArray[np.float64]]:
        """Return ``precision``, ``recall``, ``f1``, ``iou`` at every threshold, (K,).

        Parameters
        ----------
        reference : bool
            Dynamo-Depth's form, in which 1e-10 is added to every divisor: 0 instead of NaN where
            nothing is predicted or nothing moves, and never exactly 1. (It has no IoU.)
        """
        tp, fp, fn = (
            a.astype(np.float64)
            for a in (self.true_positives, self.false_positives, self.false_negatives)
        )
        if reference:
            precision, recall = tp / (tp + fp + _EPSILON), tp / (tp + fn + _EPSILON)
            f1 = 2 * precision * recall / (precision + recall + _EPSILON)
            iou = tp / (tp + fp + fn + _EPSILON)
        else:
            with np.errstate(invalid="ignore"):
                precision, recall = tp / (tp + fp), tp / (tp + fn)
                f1, iou = 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)
        return {"precision": precision, "recall": recall, "f1": f1, "iou": iou}

    def best(self, *, reference: bool = False) -> dict[str, float]:
        """Return the threshold with the largest F1 (the first of equal ones) and its scores."""
        curve = self.curve(reference=reference)
        f1 = curve["f1"]
        at = int(np.nanargmax(f1)) if not np.isnan(f1).all() else 0
        return {"threshold": float(self.thresholds[at])} | {
            name: float(values[at]) for name, values in curve.items()
        }

    def false_positive_shares(self) -> dict[int, float]:
        """Return the share of each semantic class in the false positives at the best threshold.

        Largest first; classes without any are left out, as in Dynamo-Depth's tally.
        """
        at = int(np.argmax(self.curve(reference=True)["f1"]))
        own = np.array([_above(row)[at] for row in self._by_class])
        shares = {k: float(own[k] / own.sum()) for k in np.argsort(-own, kind="stable") if own[k]}
        return {int(k): share for k, share in shares.items()}

    def tally_title(self) -> str:
        """Return the title of Dynamo-Depth's chart of false positives."""
        best = self.best(reference=True)
        return (
            "Motion Segmentation False Positive Tally"
            f" - Thrd {best['threshold']:.2f} - Macro F1 {best['f1']:.3f}"
        )


def _above(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many values lie above each threshold, from the counts between them."""
    return np.asarray(bins[::-1].cumsum()[::-1][1:])


def _host(counts: Any) -> NDArray[np.int64]:
    return np.asarray(counts if isinstance(counts, np.ndarray) else counts.cpu(), np.int64)


def binary_scores(prediction: Any, truth: Any, valid: Any = None) -> dict[str, float]:
    """Return ``precision``, ``recall``, ``f1``, ``iou`` of a mask (NaN where not defined).

    Parameters
    ----------
    prediction, truth : array of bool
        Same shape.
    valid : array of bool, optional
        Pixels that count.

    Examples
    --------
    >>> binary_scores([1, 1, 0], [1, 0, 0])["iou"]
    0.5
    """
    _, (p, y, v) = together(prediction, truth, valid)
    same_shape(prediction=p, truth=y, valid=v)
    counts = MotionCounts([0.5])
    labels = whole(booleans(y))
    if v is not None:
        labels = labels * whole(booleans(v)) + UNLABELLED * whole(~booleans(v))
    counts.add(booleans(p), labels)
    return {name: float(values[0]) for name, values in counts.curve().items()}
