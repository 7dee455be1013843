"""What an evaluation gives: records, averages, and everything needed to repeat it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depthzoo.evaluation.masks import mask_curves
from depthzoo.evaluation.measures import measure_named
from depthzoo.evaluation.metrics import METRICS
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.records import (
    FrameRecord,
    average,
    coverage,
    merged_counts,
    region_averages,
)
from depthzoo.evaluation.scoring import ERROR_EDGES, TRUTH_EDGES, Curves

__all__ = ["FORMAT", "Example", "FrameRecord", "Report", "coverage", "plain", "write_text"]

FORMAT = "depthzoo.evaluation"
VERSION = 2


@dataclass(frozen=True)
class Example:
    """Pictures of one frame for the report: all (H,W[,3]), NaN where there is nothing.

    Of a mask of what moves the truth is labels (1 moves, 3 unlabelled), the prediction a
    probability, and the error 0 (right, still), 1 (right, moves), 2 (wrongly moving), 3 (missed).
    `note` says which frame of a clip or sequence it is.
    """

    kind: str
    record: FrameRecord
    image: np.ndarray[Any, Any]
    truth: np.ndarray[Any, Any]
    prediction: np.ndarray[Any, Any]
    error: np.ndarray[Any, Any]
    note: str = ""


@dataclass
class Report:
    """The result of `depthzoo.evaluate`.

    Parameters
    ----------
    protocol : Protocol
        What was measured and how.
    frames : list of FrameRecord
        In the order of the evaluation; of other kinds than ``"frame"`` a record is a clip or a
        sequence.
    curves : Curves
        Sums for the charts.
    model : dict
        Name, card facts, weights sha256, invariance.
    data : list of dict
        Each sequence: name, dataset, digest, file name.
    alignment : str
        ``"none"``, ``"median"`` (per image), or one of `alignment.PERMITTED_OF_PATHS`.
    split : dict or None
        Name and sha256 of the selection of frames.
    left_out : dict
        Reason -> number of frames that were not evaluated.
    versions : dict
        Software that took part.
    limits : list of str
        Why the numbers are not comparable with published ones; empty when they are.
    ledger : dict
        What the model was trained on, and whether that overlaps the evaluated frames.
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
    ledger: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def aggregate(self) -> dict[str, float]:
        """Metric -> value over all records, by the protocol's own averaging."""
        return self._average(self.frames)

    @property
    def regions(self) -> dict[str, dict[str, float]]:
        """Part of the images -> metrics there, ``frames``, ``pixels``, ``missing``."""
        return region_averages(self.protocol, self.frames)

    @property
    def per_sequence(self) -> dict[str, dict[str, Any]]:
        """Sequence -> its averages, ``frames``, ``pixels`` and ``coverage``."""
        grouped: dict[str, list[FrameRecord]] = {}
        for record in self.frames:
            grouped.setdefault(record.sequence, []).append(record)
        return {
            name: {
                **self._average(records),
                "frames": sum(r.frames for r in records),
                "pixels": sum(r.score.pixels for r in records),
                "coverage": coverage(records),
            }
            for name, records in grouped.items()
        }

    @property
    def number_of_frames(self) -> int:
        """Number of frames that were evaluated."""
        return sum(record.frames for record in self.frames)

    @property
    def coverage(self) -> float:
        """Share of the truth's pixels of all frames that have a prediction."""
        return coverage(self.frames)

    @property
    def empty_frames(self) -> int:
        """Number of records without any pixel to measure."""
        return sum(record.score.pixels == 0 for record in self.frames)

    @property
    def reported(self) -> dict[str, float]:
        """The aggregate under the names of the protocol's authors, where they have names."""
        values = self.aggregate
        return {theirs: values[ours] for theirs, ours in self.protocol.reported.items()}

    def average(self, over: str) -> dict[str, float]:
        """Return every metric averaged over ``"images"``, ``"pixels"`` or ``"weighted"``.

        Pooled over pixels there are measures of pixels only.
        """
        return {
            name: average(self.protocol, self.frames, name, over)
            for name in self.protocol.metrics
            if over != "pixels" or name in METRICS
        }

    def _average(self, records: list[FrameRecord]) -> dict[str, float]:
        return {name: average(self.protocol, records, name) for name in self.protocol.metrics}

    def statistics(self) -> dict[str, dict[str, float]]:
        """Return mean, std (population), min, median, max over all items of each series."""
        found: dict[str, dict[str, float]] = {}
        for name in ("error", "speed"):
            several = [r.score.series[name] for r in self.frames if name in r.score.series]
            values = np.concatenate(several) if several else np.empty(0)
            if values.size:
                found[name] = {
                    "mean": float(values.mean()),
                    "std": float(values.std()),
                    "min": float(values.min()),
                    "median": float(np.median(values)),
                    "max": float(values.max()),
                    "count": float(values.size),
                }
        return found

    def published(self) -> list[dict[str, Any]]:
        """Return the protocol's published numbers; ``delta`` (ours - theirs) where comparable.

        A delta is given only for the same model on the protocol's whole data.
        """
        rows = []
        split = (self.split or {}).get("name")
        regions = self.regions
        for row in self.protocol.published:
            ours = self.aggregate if row.region == "all" else regions.get(row.region, {})
            same = row.model == self.model["name"] and row.split in (None, split)
            same &= dict(row.options).items() <= self.model["options"].items()
            delta = (
                {k: ours.get(k, math.nan) - v for k, v in row.values.items()}
                if same and not self.limits
                else None
            )
            rows.append(
                {
                    "model": row.model,
                    "values": dict(row.values),
                    "source": row.source,
                    "verified": row.verified,
                    "region": row.region,
                    "split": row.split,
                    "delta": delta,
                }
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the whole result as plain data; NaN and infinities become None."""
        ratios = np.array([r.score.scale for r in self.frames])
        ratios = ratios[np.isfinite(ratios)]
        kind = self.protocol.kind
        others = ("images", "pixels") if kind == "frame" else ("images", "weighted")
        data: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "protocol": self.protocol.describe(),
            "model": self.model,
            "split": self.split,
            "alignment": {
                "method": self.alignment,
                "per": "image" if kind == "frame" else "sequence",
                "scale_median": float(np.median(ratios)) if ratios.size else None,
                "scale_relative_spread": float(np.std(ratios / np.median(ratios)))
                if ratios.size
                else None,
            },
            "aggregate": self.aggregate,
            "averages": {over: self.average(over) for over in others},
            "regions": self.regions,
            "reported": self.reported,
            "counts": {
                "records": len(self.frames),
                "frames": self.number_of_frames,
                "empty_frames": self.empty_frames,
                "pixels": sum(r.score.pixels for r in self.frames),
                "missing": sum(r.score.missing for r in self.frames),
                "coverage": self.coverage,
                "left_out": self.left_out,
            },
            "comparable": {"published": not self.limits, "because": self.limits},
            "training": self.ledger,
            "published": self.published(),
            "per_sequence": self.per_sequence,
            "per_frame": self._table(),
            "curves": self._curves(),
            "data": self.data,
            "versions": self.versions,
            "timing": self.timing,
        }
        if kind != "frame":
            data["statistics"] = self.statistics()
            data["series"] = [
                {"sequence": r.sequence, "frame": r.frame, **r.score.series} for r in self.frames
            ]
        result: dict[str, Any] = plain(data)
        return result

    def _table(self) -> dict[str, Any]:
        names = list(self.protocol.metrics)
        columns = ["sequence", "camera", "frame", "frame_id", "frames", "pixels", "missing"]
        rows = [
            [
                *(r.sequence, r.camera, r.frame, r.frame_id, r.frames),
                *(r.score.pixels, r.score.missing, r.score.scale),
                *(r.score.values[n] for n in names),
            ]
            for r in self.frames
        ]
        return {"columns": [*columns, "scale", *names], "rows": rows}

    def _curves(self) -> dict[str, Any]:
        if self.protocol.kind == "motion":
            counts = merged_counts(self.frames)
            return {"precision_recall": mask_curves(self.protocol, counts)} if counts else {}
        quantity = self.curves.quantity
        if quantity not in ERROR_EDGES:
            return {}
        unit = {"depth": "m", "disparity": "px"}[quantity]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.curves.error_sum / self.curves.pixels
        return {
            "error": {
                "metric": self.protocol.charted,
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
        """Return the result as JSON text, and write it to `path` (whole or not) when given."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"
        if path is not None:
            write_text(Path(path), text)
        return text

    def to_html(self, path: str | Path) -> None:
        """Write the self-contained HTML report."""
        from depthzoo.evaluation.report import write_html

        write_html(self, path)

    def table(self) -> str:
        """Return the averages as text for a terminal, a sequence a line."""
        names = self.protocol.metrics
        units = [measure_named(n).unit for n in names]
        heads = [f"{n}[{u}]" if u else n for n, u in zip(names, units, strict=True)]
        table = [["sequence", "frames", *heads, "coverage"]]
        table += [self._line(name, v["frames"], v, v["coverage"])
                  for name, v in self.per_sequence.items()]  # fmt: skip
        table.append(self._line("all", self.number_of_frames, self.aggregate, self.coverage))
        for name, v in self.regions.items():
            share = v["pixels"] / (v["pixels"] + v["missing"])
            table.append(self._line(f"  {name}", int(v["frames"]), v, share))
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(f"{c:<{w}}" if i == 0 else f"{c:>{w}}" for i, (c, w) in enumerate(
                zip(row, widths, strict=True)))
            for row in table
        ]  # fmt: skip
        lines.insert(len(self.per_sequence) + 1, "-" * len(lines[0]))
        head = f"{self.model['name']} under {self.protocol.id} (alignment: {self.alignment})"
        stamp = [self.ledger["message"]] if self.ledger.get("message") else []
        why = [f"not comparable: {reason}" for reason in self.limits]
        return "\n".join([head, *lines, *why, *stamp])

    def _line(self, name: str, frames: int, values: Mapping[str, float], share: float) -> list[str]:
        own = [_text(values.get(n, math.nan)) for n in self.protocol.metrics]
        return [name, str(frames), *own, _percent(share)]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}%"
