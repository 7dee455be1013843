"""Several results beside one another: what is the same, who is best, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from depthdata.errors import UsageError
from depthzoo.evaluation.report.stored import StoredResult, read_result
from depthzoo.evaluation.report.values import about, better, heading, percent, signed, text

__all__ = ["Comparison", "Pair", "compare_results"]

_WORST = 5


@dataclass(frozen=True)
class Pair:
    """A result against the first one, frame by frame, by the headline measure.

    Parameters
    ----------
    frames : int
        Frames that both have a value of.
    wins, ties : float
        Shares of them on which this result is better, and equally good.
    mean : float
        Mean of this result minus the first one.
    error : float
        Standard error of that mean, frames taken as independent.
    """

    frames: int
    wins: float
    ties: float
    mean: float
    error: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of one protocol.

    Parameters
    ----------
    results : tuple of StoredResult
    names : tuple of str
        What each is called here; no two alike.
    differences : tuple of str
        What the results do not share; numbers are comparable only when it is empty.
    """

    results: tuple[StoredResult, ...]
    names: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Measures that all results have, the headline first."""
        first, *others = (one.metrics for one in self.results)
        return tuple(name for name in first if all(name in other for other in others))

    @property
    def headline(self) -> str:
        """The measure that ranks frames and sequences."""
        return self.metrics[0]

    @property
    def named(self) -> list[tuple[str, StoredResult]]:
        """Each result with its name here."""
        return list(zip(self.names, self.results, strict=True))

    @property
    def noun(self) -> str:
        """What a record is called: a frame, a clip or a sequence."""
        return self.results[0].noun

    @property
    def comparable(self) -> bool:
        """Whether protocol, split, data and frames are the same."""
        return not self.differences

    def best(self, name: str) -> tuple[int, ...]:
        """Return which results are best by a measure; none when they are not comparable."""
        values = [one.aggregate.get(name, math.nan) for one in self.results]
        if not self.comparable or about(name).lower_is_better is None:
            return ()
        known = [v for v in values if math.isfinite(v)]
        if not known:
            return ()
        top = min(known) if about(name).lower_is_better else max(known)
        return tuple(i for i, v in enumerate(values) if v == top)

    @cached_property
    def pairs(self) -> tuple[Pair | None, ...]:
        """Each result against the first one; None for the first, and without common frames."""
        name, tables = self.headline, [one.frames for one in self.results]
        found: list[Pair | None] = [None]
        for table in tables[1:]:
            both = [(tables[0][k][name], table[k][name]) for k in tables[0] if k in table]
            values = np.array([p for p in both if np.isfinite(p).all()]).reshape(-1, 2)
            found.append(_pair(name, values) if len(values) else None)
        return tuple(found)

    def sequences(self) -> list[tuple[str, list[float]]]:
        """Return each sequence with the headline of each result, largest difference first."""
        tables = [one.per_sequence for one in self.results]
        names = dict.fromkeys(name for table in tables for name in table)
        rows = [
            (name, [table.get(name, {}).get(self.headline, math.nan) for table in tables])
            for name in names
        ]
        return sorted(rows, key=lambda row: -_spread(row[1]))

    def worst(self, index: int, most: int = _WORST) -> list[tuple[tuple[str, ...], list[float]]]:
        """Return the worst frames of one result with the headline of every result there."""
        name, tables = self.headline, [one.frames for one in self.results]
        sign = 1.0 if about(name).lower_is_better is False else -1.0
        known = [(sign * v[name], key) for key, v in tables[index].items() if v[name] == v[name]]
        return [
            (key, [table.get(key, {}).get(name, math.nan) for table in tables])
            for _, key in sorted(known)[:most]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data; what is not known is None."""
        from depthzoo.evaluation.results import plain

        rows = []
        for i, (name, one) in enumerate(zip(self.names, self.results, strict=True)):
            values, base = one.aggregate, self.results[0].aggregate
            pair = self.pairs[i]
            rows.append(
                {
                    "name": name,
                    "file": None if one.path is None else str(one.path),
                    "model": one.model,
                    "protocol": one.protocol,
                    "weights_sha256": one.data["model"].get("weights_sha256"),
                    "values": {m: values[m] for m in self.metrics},
                    "delta": {m: values[m] - base[m] for m in self.metrics},
                    "best": [m for m in self.metrics if i in self.best(m)],
                    "comparable_with_published": one.data.get("comparable", {}).get("published"),
                    "coverage": one.data.get("counts", {}).get("coverage"),
                    "against_first": None if pair is None else vars(pair),
                    "worst_frames": [
                        {
                            "sequence": k[0],
                            "camera": k[1],
                            "frame": int(k[2]),
                            "frame_id": k[3],
                            self.headline: v,
                        }
                        for k, v in self.worst(i)
                    ],
                }
            )
        sequences = [{"sequence": n, self.headline: v} for n, v in self.sequences()]
        found: dict[str, Any] = plain(
            {
                "comparable": self.comparable,
                "differences": self.differences,
                "metrics": self.metrics,
                "results": rows,
                "per_sequence": sequences,
            }
        )
        return found

    def table(self) -> str:
        """Return the comparison as text: results as rows, best marked ``*``, then differences."""
        head = ["", *(heading(name) for name in self.metrics), "coverage"]
        rows = [head]
        for i, (name, one) in enumerate(zip(self.names, self.results, strict=True)):
            marks = ["*" if i in self.best(m) else " " for m in self.metrics]
            values = one.aggregate
            cells = [f"{text(m, values[m])}{k}" for m, k in zip(self.metrics, marks, strict=True)]
            rows.append([name, *cells, percent(one.data.get("counts", {}).get("coverage"))])
            if i:
                base = self.results[0].aggregate
                deltas = [f"{signed(m, values[m] - base[m])} " for m in self.metrics]
                rows.append([f"  - {self.names[0]}", *deltas, ""])
        lines = [*_columns(rows), ""]
        for name, pair in zip(self.names, self.pairs, strict=True):
            if pair is not None:
                lines.append(f"{name}: {pair_text(self, pair)}")
        lines += ["", *_columns([["sequence", *self.names], *(
            [name, *(text(self.headline, v) for v in values)] for name, values in self.sequences()
        )])]  # fmt: skip
        said = [f"not comparable: {why}" for why in self.differences]
        protocol = f"{self.results[0].protocol}; * best, measure per sequence: {self.headline}"
        return "\n".join([protocol, *said, "", *lines])


def pair_text(comparison: Comparison, pair: Pair) -> str:
    """Say how a result compares with the first one, frame by frame."""
    name, what = comparison.headline, f"{pair.frames} {comparison.noun}s"
    return (
        f"better than {comparison.names[0]} on {percent(pair.wins)} of {what}"
        + (f" (equal on {percent(pair.ties)})" if pair.ties else "")
        + f", {about(name).title} {signed(name, pair.mean)} ± {text(name, pair.error)}"
    )


def compare_results(
    results: Sequence[StoredResult | str | Path], *, mixed: bool = False
) -> Comparison:
    """Put results beside one another.

    Parameters
    ----------
    results : sequence of path or StoredResult
        At least two; differences are taken from the first.
    mixed : bool
        Accept results of different protocols or splits: what differs is said, and nothing is
        called best.

    Raises
    ------
    UsageError
        Protocols or splits differ, or the results have no measure in common.
    FormatError
        A file is not a result.
    """
    stored = tuple(r if isinstance(r, StoredResult) else read_result(r) for r in results)
    if len(stored) < 2:
        raise UsageError(f"a comparison needs two results or more, found {len(stored)}")
    rules = [
        *_differing("protocol", [one.protocol for one in stored]),
        *_differing("split", [_split(one) for one in stored]),
    ]
    if rules and not mixed:
        raise UsageError(
            f"the results do not compare: {'; '.join(rules)}; evaluate under the same protocol and "
            "split, or say --mixed to see them beside one another anyway"
        )
    found = Comparison(stored, _names(stored), (*rules, *_data_differences(stored)))
    if not found.metrics:
        raise UsageError("the results have no measure in common, so there is nothing to compare")
    return found


def _pair(name: str, values: Any) -> Pair:
    gaps = values[:, 1] - values[:, 0]
    wins = np.mean([better(name, b, a) for a, b in values.tolist()])
    error = gaps.std(ddof=1) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    ties = float((gaps == 0).mean())
    return Pair(len(gaps), float(wins), ties, float(gaps.mean()), float(error))


def _spread(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return max(known) - min(known) if known else -1.0


def _split(one: StoredResult) -> str:
    split = one.data.get("split")
    return "none" if not split else f"{split['name']} ({str(split['sha256'])[:8]})"


def _differing(what: str, values: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(values))
    return [f"{what}: {' | '.join(distinct)}"] if len(distinct) > 1 else []


def _data_differences(stored: Sequence[StoredResult]) -> list[str]:
    """Return what differs in data, frames, alignment and what was left out."""
    found = []
    first = stored[0].digests
    names: list[set[str]] = [set(one.digests) for one in stored]
    if any(other != names[0] for other in names):
        apart = sorted(names[0].union(*names) - names[0].intersection(*names))
        found.append(f"sequences: {len(apart)} are not in all results, such as {apart[0]}")
    changed = sorted(
        {k for one in stored for k, v in one.digests.items() if k in first and first[k] != v}
    )
    if changed:
        found.append(f"data: the content of {len(changed)} sequences differs, such as {changed[0]}")
    frames = [set(one.frames) for one in stored]
    if any(other != frames[0] for other in frames):
        counts = " | ".join(str(len(one)) for one in frames)
        found.append(f"frames: not the same ({counts})")
    return found


def _names(stored: Sequence[StoredResult]) -> tuple[str, ...]:
    """Name results after their models; those of one model also after weights, file or place."""
    parts = [[one.model] for one in stored]
    for mark in (_weights, _stem):
        labels = [" ".join(p) for p in parts]
        for i, one in enumerate(stored):
            if labels.count(labels[i]) > 1 and mark(one):
                parts[i].append(mark(one))
    labels = [" ".join(p) for p in parts]
    return tuple(
        f"{label} #{i + 1}" if labels.count(label) > 1 else label for i, label in enumerate(labels)
    )


def _weights(one: StoredResult) -> str:
    return str(one.data["model"].get("weights_sha256") or "")[:8]


def _stem(one: StoredResult) -> str:
    return "" if one.path is None else one.path.stem


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
