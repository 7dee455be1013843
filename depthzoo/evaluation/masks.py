"""Masks of what moves under one protocol: counts of a sequence, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthzoo.evaluation.metrics.motion import MotionCounts
from depthzoo.evaluation.metrics.resampling import resize
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.scoring import Score

__all__ = ["MaskScore", "add_counts", "mask_curves", "mask_values"]

Counts = Mapping[str, list[int]]


class MaskScore:
    """Counts of a sequence; `add` its frames, then `finish`.

    Parameters
    ----------
    protocol : Protocol
        ``options["reference"]``: Dynamo-Depth's form of the measures, with 1e-10 in the divisors.
    classes : int
        Semantic classes whose false positives are told apart.
    """

    def __init__(self, protocol: Protocol, classes: int = 0) -> None:
        self.protocol = protocol
        self.counts = MotionCounts(classes=classes)
        self.frames = self.pixels = self.missing = 0

    def add(
        self,
        probability: NDArray[np.floating],
        labels: NDArray[np.uint8],
        semantics: NDArray[np.uint8] | None = None,
    ) -> None:
        """Add a frame: probability (h,w) of motion, labels (H,W) 1 moves, 3 unlabelled."""
        shown = np.asarray(probability)
        if shown.shape != labels.shape:
            shown = resize(shown, (labels.shape[0], labels.shape[1]))
        counted = labels != 3
        lost = counted & np.isnan(shown)
        self.counts.add(shown, np.where(lost, 3, labels), semantics)
        self.frames += 1
        self.missing += int(lost.sum())
        self.pixels += int(counted.sum()) - int(lost.sum())

    def finish(self) -> Score:
        """Return the measures of the sequence by itself, and its counts."""
        bins = self.counts.bins()
        values = mask_values(self.protocol, bins)
        return Score(values, self.pixels, self.missing, 1.0, weight=float(self.frames), counts=bins)


def add_counts(several: list[Counts]) -> dict[str, list[int]]:
    """Return the sum of counts; sequences without classes add nothing to those."""
    total: dict[str, Any] = {}
    for counts in several:
        for name, values in counts.items():
            if values:
                total[name] = total.get(name, 0) + np.asarray(values, np.int64)
    names = several[0] if several else ()
    return {name: np.asarray(total.get(name, [])).tolist() for name in names}


def mask_values(protocol: Protocol, counts: Counts) -> dict[str, float]:
    """Return the measures at the threshold with the largest F1."""
    best = MotionCounts.from_bins(counts).best(reference=bool(protocol.options.get("reference")))
    return {name: best[name] for name in protocol.metrics}


def mask_curves(protocol: Protocol, counts: Counts) -> dict[str, Any]:
    """Return precision, recall, F1 and IoU at every threshold, and false positives by class."""
    found = MotionCounts.from_bins(counts)
    curve = found.curve(reference=bool(protocol.options.get("reference")))
    data: dict[str, Any] = {"thresholds": found.thresholds.tolist()}
    data |= {name: values.tolist() for name, values in curve.items()}
    if counts["by_class"]:
        shares = found.false_positive_shares()
        data["false_positive_share_by_class"] = {str(k): v for k, v in shares.items()}
        data["title"] = found.tally_title()
    return data
