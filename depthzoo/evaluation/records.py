"""One record of a result, and averages over records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from depthzoo.evaluation.masks import add_counts, mask_values
from depthzoo.evaluation.metrics import METRICS, pool
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.scoring import RegionScore, Score

__all__ = ["FrameRecord", "average", "coverage", "merged_counts", "region_averages"]


@dataclass(frozen=True)
class FrameRecord:
    """The score of one frame, clip or sequence and where it is.

    Parameters
    ----------
    sequence, camera : str
    frame, frame_id : int, str
        The frame, or the first of several.
    score : Score
    frames : int
        How many frames it stands for.
    """

    sequence: str
    camera: str
    frame: int
    frame_id: str
    score: Score
    frames: int = 1


def average(
    protocol: Protocol, records: Sequence[FrameRecord], name: str, over: str | None = None
) -> float:
    """Return a metric over records, by the protocol's rule or by another one."""
    rule = over or protocol.average_of(name)
    if rule == "counts":
        counts = merged_counts(records)
        return mask_values(protocol, counts)[name] if counts else float("nan")
    values = np.array([record.score.values[name] for record in records])
    if rule == "pixels":
        return _pooled(name, values, [record.score for record in records])
    weights = np.array([record.score.weight for record in records])
    return _mean(values, weights if rule == "weighted" else None, protocol.empty)


def region_averages(
    protocol: Protocol, records: Sequence[FrameRecord]
) -> dict[str, dict[str, float]]:
    """Return region -> metrics, ``frames`` that have it, ``pixels`` and ``missing``.

    A region that has no pixel in any image is not there.
    """
    names = dict.fromkeys(name for r in records for name in r.score.regions)
    found: dict[str, dict[str, float]] = {}
    for region in names:
        parts = [r.score.regions[region] for r in records if region in r.score.regions]
        parts = [part for part in parts if part.pixels + part.missing]
        if not parts:
            continue
        one: dict[str, float] = {}
        for name in parts[0].values:
            values = np.array([part.values[name] for part in parts])
            if protocol.region_average == "by_pixels":
                weights = np.array([part.pixels for part in parts], np.float64)
                one[name] = _mean(values, weights, "skip")
            elif protocol.region_average == "images":
                one[name] = _mean(values, None, "skip")
            else:
                one[name] = _pooled(name, values, parts)
        one |= {
            "frames": len(parts),
            "pixels": sum(part.pixels for part in parts),
            "missing": sum(part.missing for part in parts),
        }
        found[region] = one
    return found


def merged_counts(records: Sequence[FrameRecord]) -> dict[str, list[int]]:
    """Return the counts of all records together; empty where they have none."""
    return add_counts([record.score.counts for record in records if record.score.counts])


def coverage(records: Iterable[FrameRecord]) -> float:
    """Return the share of the truth's pixels with a prediction; NaN without any."""
    found = [(r.score.pixels, r.score.missing) for r in records]
    pixels, missing = sum(p for p, _ in found), sum(m for _, m in found)
    return pixels / (pixels + missing) if pixels + missing else float("nan")


def _pooled(name: str, values: np.ndarray, scores: Sequence[Score | RegionScore]) -> float:
    extra = METRICS[name].missing is not None
    return pool(name, values, [s.pixels + extra * s.missing for s in scores])


def _mean(values: np.ndarray, weights: np.ndarray | None, empty: str) -> float:
    keep = ~np.isnan(values) if empty == "skip" else np.ones(len(values), bool)
    if weights is None:
        return float(values[keep].mean()) if keep.any() else float("nan")
    keep &= weights > 0
    total = weights[keep].sum()
    return float((values[keep] * weights[keep]).sum() / total) if total else float("nan")
