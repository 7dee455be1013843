"""What an evaluation gives: one record a frame, averages, and everything needed to repeat it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depthzoo.evaluation.metrics import metric, pool
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.scoring import ERROR_EDGES, TRUTH_EDGES, Curves, Score

__all__ = ["FORMAT", "Example", "FrameRecord", "Report"]

FORMAT = "depthzoo.evaluation"
VERSION = 1


@dataclass(frozen=True)
class FrameRecord:
    """The score of one frame and where it is."""

    sequence: str
    camera: str
    frame: int
    frame_id: str
    score: Score


@dataclass(frozen=True)
class Example:
    """Pictures of one frame for the report: all (H,W[,3]), NaN where there is nothing."""

    kind: str
    record: FrameRecord
    image: np.ndarray[Any, Any]
    truth: np.ndarray[Any, Any]
    prediction: np.ndarray[Any, Any]
    error: np.ndarray[Any, Any]


@dataclass
class Report:
    """The result of `depthzoo.evaluate`.

    Parameters
    ----------
    protocol : Protocol
        What was measured and how.
    frames : list of FrameRecord
        In the order of the evaluation.
    curves : Curves
        Sums for the charts.
    model : dict
        Name, card facts, weights sha256, invariance.
    data : list of dict
        Each sequence: name, dataset, digest, file name.
    alignment : str
        ``"none"`` or ``"median"`` (per image).
    split : dict or None
        Name and sha256 of the split list.
    left_out : dict
        Reason -> number of frames that were not evaluated.
    versions : dict
        Software that took part.
    limits : list of str
        Why the numbers are not comparable with published ones; empty when they are.
    timing : dict
        Seconds; the only part that differs from run to run.
    examples : list of Example
        Pictures for the HTML report, not part of the JSON.
    """

    protocol: Protocol
    frames: list[FrameRecord]
    curves: Curves
    model: dict[str, Any]
    data: list[dict[str, Any]]
    alignment: str
    split: dict[str, str] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)
    timing: dict[str, float] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def aggregate(self) -> dict[str, float]:
        """Metric -> value over all frames, by the protocol's own averaging."""
        return self._average(self.frames)

    @property
    def per_sequence(self) -> dict[str, dict[str, Any]]:
        """Sequence -> its averages, ``frames``, ``pixels`` and ``coverage``."""
        grouped: dict[str, list[FrameRecord]] = {}
        for record in self.frames:
            grouped.setdefault(record.sequence, []).append(record)
        return {
            name: {
                **self._average(records),
                "frames": len(records),
                "pixels": sum(r.score.pixels for r in records),
                "coverage": coverage(records),
            }
            for name, records in grouped.items()
        }

    @property
    def coverage(self) -> float:
        """Share of the truth's pixels of all frames that have a prediction."""
        return coverage(self.frames)

    @property
    def empty_frames(self) -> int:
        """Number of frames without any pixel to measure."""
        return sum(record.score.pixels == 0 for record in self.frames)

    @property
    def reported(self) -> dict[str, float]:
        """The aggregate under the names of the protocol's authors, where they have names."""
        values = self.aggregate
        return {theirs: values[ours] for theirs, ours in self.protocol.reported.items()}

    def average(self, over: str) -> dict[str, float]:
        """Return every metric averaged over ``"images"`` or pooled over ``"pixels"``."""
        return {name: self._one(name, self.frames, over) for name in self.protocol.metrics}

    def _average(self, records: list[FrameRecord]) -> dict[str, float]:
        rule = self.protocol.average_of
        return {name: self._one(name, records, rule(name)) for name in self.protocol.metrics}

    def _one(self, name: str, records: list[FrameRecord], over: str) -> float:
        values = np.array([record.score.values[name] for record in records])
        if over == "pixels":
            extra = metric(name).missing is not None
            weights = [r.score.pixels + extra * r.score.missing for r in records]
            return pool(name, values, weights)
        if self.protocol.empty == "skip":
            values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else float("nan")

    def published(self) -> list[dict[str, Any]]:
        """Return the protocol's published numbers; ``delta`` (ours - theirs) where comparable.

        A delta is given only for the same model on the protocol's whole data.
        """
        ours = self.aggregate
        rows = []
        for row in self.protocol.published:
            same = row.model == self.model["name"]
            delta = (
                {k: ours[k] - v for k, v in row.values.items()}
                if same and not self.limits
                else None
            )
            rows.append(
                {
                    "model": row.model,
                    "values": dict(row.values),
                    "source": row.source,
                    "delta": delta,
                }
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the whole result as plain data; NaN and infinities become None."""
        ratios = np.array([r.score.scale for r in self.frames])
        ratios = ratios[np.isfinite(ratios)]
        names = list(self.protocol.metrics)
        columns = ["sequence", "camera", "frame", "frame_id", "pixels", "missing", "scale", *names]
        data: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "protocol": self.protocol.describe(),
            "model": self.model,
            "split": self.split,
            "alignment": {
                "method": self.alignment,
                "per": "image",
                "scale_median": float(np.median(ratios)) if ratios.size else None,
                "scale_relative_spread": float(np.std(ratios / np.median(ratios)))
                if ratios.size
                else None,
            },
            "aggregate": self.aggregate,
            "averages": {over: self.average(over) for over in ("images", "pixels")},
            "reported": self.reported,
            "counts": {
                "frames": len(self.frames),
                "empty_frames": self.empty_frames,
                "pixels": sum(r.score.pixels for r in self.frames),
                "missing": sum(r.score.missing for r in self.frames),
                "coverage": self.coverage,
                "left_out": self.left_out,
            },
            "comparable": {"published": not self.limits, "because": self.limits},
            "published": self.published(),
            "per_sequence": self.per_sequence,
            "per_frame": {"columns": columns, "rows": [_row(r, names) for r in self.frames]},
            "curves": self._curves(),
            "data": self.data,
            "versions": self.versions,
            "timing": self.timing,
        }
        result: dict[str, Any] = plain(data)
        return result

    def _curves(self) -> dict[str, Any]:
        quantity = self.protocol.quantity
        unit = {"depth": "m", "disparity": "px"}[quantity]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.curves.error_sum / self.curves.pixels
        return {
            "error": {
                "metric": self.protocol.headline,
                "edges": ERROR_EDGES[quantity],
                "pixels": self.curves.errors.tolist(),
            },
            "error_by_truth": {
                "unit": unit,
                "edges": TRUTH_EDGES[quantity],
                "pixels": self.curves.pixels.tolist(),
                "mean": means.tolist(),
            },
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the result as JSON text, and write it to `path` when given."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def to_html(self, path: str | Path) -> None:
        """Write the self-contained HTML report."""
        from depthzoo.evaluation.report import write_html

        write_html(self, path)

    def table(self) -> str:
        """Return the averages as text for a terminal, a sequence a line."""
        names = self.protocol.metrics
        units = [metric(n).unit for n in names]
        heads = [f"{n}[{u}]" if u else n for n, u in zip(names, units, strict=True)]
        rows = [[name, str(v["frames"]), *(_text(v[n]) for n in names), _percent(v["coverage"])]
                for name, v in self.per_sequence.items()]  # fmt: skip
        total = [_text(self.aggregate[n]) for n in names]
        rows.append(["all", str(len(self.frames)), *total, _percent(self.coverage)])
        table = [["sequence", "frames", *heads, "coverage"], *rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(
                zip(row, widths, strict=True)))
            for row in table
        ]  # fmt: skip
        lines.insert(len(lines) - 1, "-" * len(lines[0]))
        head = f"{self.model['name']} under {self.protocol.id} (alignment: {self.alignment})"
        return "\n".join([head, *lines, *(f"not comparable: {why}" for why in self.limits)])


def coverage(records: Iterable[FrameRecord]) -> float:
    """Return the share of the truth's pixels with a prediction; NaN without any."""
    found = [(r.score.pixels, r.score.missing) for r in records]
    pixels, missing = sum(p for p, _ in found), sum(m for _, m in found)
    return pixels / (pixels + missing) if pixels + missing else float("nan")


def plain(value: Any) -> Any:
    """Return plain JSON data: arrays to lists, numbers that JSON does not have to None.

    >>> plain({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _row(record: FrameRecord, names: list[str]) -> list[Any]:
    s = record.score
    head = [record.sequence, record.camera, record.frame, record.frame_id]
    return [*head, s.pixels, s.missing, s.scale, *(s.values[n] for n in names)]


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}%"
