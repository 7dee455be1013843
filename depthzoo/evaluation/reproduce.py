"""Run a published table again: published, ours, and the difference, cell by cell.

>>> from depthzoo.evaluation.reproduce_tables import find_table
>>> reproduce(find_table("insta_dm/readme"), dry_run=True).plan.rows[0].row.model
'insta_dm/kitti'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depthdata._version import __version__
from depthdata.errors import DepthdataError
from depthzoo.evaluation.measures import measure_named
from depthzoo.evaluation.reproduce_plan import RowPlan, TablePlan, plan_table, row_facts
from depthzoo.evaluation.reproduce_tables import Number, Table
from depthzoo.evaluation.reproduce_weights import WeightsPlace
from depthzoo.evaluation.results import Report, plain
from depthzoo.evaluation.runner import evaluate

__all__ = ["FORMAT", "Cell", "Reproduction", "RowResult", "reproduce"]

FORMAT = "depthzoo.reproduction"
VERSION = 1

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Cell:
    """One number: as published, ours, and ours - published where that means something."""

    number: Number
    ours: float = math.nan
    delta: float | None = None


@dataclass
class RowResult:
    """What became of a row.

    Parameters
    ----------
    plan : RowPlan
    status : str
        ``"ran"``, ``"partial"`` (ran on what is there), ``"failed"``, ``"skipped"``,
        ``"unpublished"`` or, in a dry run, ``"planned"``.
    cells : tuple of Cell
    message : str
        Why it failed or was skipped, a line.
    limits : tuple of str
        Why there is no difference.
    report : Report or None
    """

    plan: RowPlan
    status: str
    cells: tuple[Cell, ...] = ()
    message: str = ""
    limits: tuple[str, ...] = ()
    report: Report | None = None

    @property
    def stamp(self) -> str:
        """What is known of the training data, a line; empty where it did not run."""
        if self.report is None:
            return ""
        ledger = self.report.ledger
        said = ", ".join(ledger["trained_on"]) or "nothing"
        return str(ledger["message"]) or f"training data: none of these frames ({said})"

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data; ``result`` is what ``depthzoo evaluate`` would give."""
        facts = row_facts(self.plan.row)
        facts.pop("numbers")
        return {
            **facts,
            "status": self.status,
            "message": self.message,
            "not_comparable": list(self.limits),
            "training": self.stamp,
            "cells": [
                {
                    "metric": cell.number.metric,
                    "region": cell.number.region,
                    "published": cell.number.value,
                    "ours": cell.ours,
                    "delta": cell.delta,
                    "verified": cell.number.verified,
                    "source": cell.number.source,
                }
                for cell in self.cells
            ],
            "result": None if self.report is None else self.report.to_dict(),
        }


@dataclass
class Reproduction:
    """A table, run as far as it could be.

    Parameters
    ----------
    plan : TablePlan
    rows : list of RowResult
    """

    plan: TablePlan
    rows: list[RowResult] = field(default_factory=list)

    @property
    def status(self) -> str:
        """``"complete"``, ``"partial"``, ``"nothing"`` or, of a dry run, ``"planned"``."""
        states = [row.status for row in self.rows if row.status != "unpublished"]
        if "planned" in states:
            return "planned"
        if states and all(state == "ran" for state in states):
            return "complete"
        return "partial" if {"ran", "partial"} & set(states) else "nothing"

    def to_dict(self) -> dict[str, Any]:
        """Return the whole as plain data; NaN becomes None."""
        data: dict[str, Any] = plain(
            {
                "format": FORMAT,
                "version": VERSION,
                "table": self.plan.table.name,
                "status": self.status,
                "plan": self.plan.to_dict(),
                "rows": [row.to_dict() for row in self.rows],
                "versions": {"depthzoo": __version__},
            }
        )
        return data

    def table(self) -> str:
        """Return published, ours and delta of the rows that ran, for a terminal."""
        heads = ("row", "region", "measure", "published", "ours", "delta")
        shown = [row for row in self.rows if row.status in ("ran", "partial", "unpublished")]
        lines = [heads, *(line for row in shown for line in _lines(row))]
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        text = [
            "  ".join(
                f"{c:<{w}}" if i < 3 else f"{c:>{w}}"
                for i, (c, w) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        text.insert(1, "-" * len(text[0]))
        return "\n".join([*text, *_remarks(self)])


def reproduce(
    table: Table,
    data: Collection[str | Path] = (),
    weights: WeightsPlace | None = None,
    *,
    models: Collection[str] = (),
    commands: Collection[str] = (),
    device: str = "cpu",
    precision: str = "fp32",
    jobs: int = 1,
    partial: bool = False,
    dry_run: bool = False,
    examples: bool = False,
    state: str | Path | None = None,
    planned: Callable[[TablePlan], None] | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run every row of a published table that can be run.

    Parameters
    ----------
    table : Table
    data : paths
        Folders with sequence files; by default those that ``DEPTHDATA_SEQUENCES`` names, else
        ``sequences``.
    weights : WeightsPlace, optional
        By default the cache is searched.
    models : patterns
        Only rows of these models.
    commands
        See `plan_table`.
    device, precision, jobs, examples, progress
        As in `evaluate`.
    partial : bool
        Run also on a part of the data; there is no delta then.
    dry_run : bool
        Only make the plan.
    state : path, optional
        Folder that keeps finished sequences; what is there of the same run is taken.
    planned : callable, optional
        Called with the plan before anything runs.

    Raises
    ------
    UsageError
        See `plan_table`. What goes wrong in a row is told there.
    """
    plan = plan_table(table, data, weights, models=models, commands=commands)
    if planned is not None:
        planned(plan)
    found = Reproduction(plan)
    for row in plan.rows:
        settings = {"device": device, "precision": precision, "jobs": jobs, "examples": examples}
        found.rows.append(
            _without_running(row, partial, dry_run) or _run(row, settings, state, progress)
        )
    return found


def _without_running(plan: RowPlan, partial: bool, dry_run: bool) -> RowResult | None:
    """Return what becomes of a row that is not run; None for the others."""
    cells = tuple(Cell(number) for number in plan.row.numbers)
    if plan.status == "unpublished":
        return RowResult(plan, "unpublished", cells, plan.reasons[0])
    if dry_run:
        return RowResult(plan, "planned", cells, "; ".join(plan.reasons))
    if plan.status == "missing":
        return RowResult(plan, "skipped", cells, "; ".join(plan.reasons))
    if plan.status == "partial" and not partial:
        why = "; ".join(plan.reasons)
        return RowResult(plan, "skipped", cells, f"{why}; --partial runs what is there")
    return None


def _run(
    plan: RowPlan, settings: Mapping[str, Any], state: str | Path | None, progress: Progress | None
) -> RowResult:
    row, data = plan.row, plan.data
    assert data is not None
    try:
        report = evaluate(
            row.model,
            list(data.files),
            row.protocol,
            split=row.split,
            weights=plan.weights,
            options=row.options,
            state=None if state is None else Path(state) / row.slug,
            resume=True,
            progress=progress,
            **settings,
        )
    except DepthdataError as error:
        cells = tuple(Cell(number) for number in row.numbers)
        return RowResult(plan, "failed", cells, str(error))
    limits = tuple(report.limits)
    if not data.complete:
        limits = (_part(data), *limits)
    cells = tuple(_cell(number, report, comparable=not limits) for number in row.numbers)
    return RowResult(plan, "ran" if data.complete else "partial", cells, "", limits, report)


def _part(data: Any) -> str:
    if data.unit == "frames":
        return f"{data.usable} of {data.wanted} frames"
    return f"{data.text} ({data.usable} frames)"


def _cell(number: Number, report: Report, *, comparable: bool) -> Cell:
    values = report.aggregate if number.region == "all" else report.regions.get(number.region, {})
    ours = float(values.get(number.metric, math.nan))
    delta = None
    if comparable and number.value is not None and math.isfinite(ours):
        delta = ours - number.value
    return Cell(number, ours, delta)


def _lines(row: RowResult) -> Iterator[tuple[str, ...]]:
    name = f"{row.plan.row.model}, {row.plan.row.split}"
    for cell in row.cells:
        unit = measure_named(cell.number.metric).unit
        measure = f"{cell.number.metric} [{unit}]" if unit else cell.number.metric
        theirs = "-" if cell.number.value is None else f"{cell.number.value:g}"
        if not cell.number.verified:
            theirs += "?"
        ours = f"{cell.ours:.4f}" if math.isfinite(cell.ours) else "-"
        delta = "-" if cell.delta is None else f"{cell.delta:+.4f}"
        yield name, cell.number.region, measure, theirs, ours, delta
        name = ""


def _remarks(found: Reproduction) -> Iterator[str]:
    yield ""
    shown = [row for row in found.rows if row.status in ("ran", "partial", "unpublished")]
    if any(not cell.number.verified for row in shown for cell in row.cells):
        yield "? quoted from memory, not compared with its source"
    for row in found.rows:
        title = row.plan.row.title
        if row.status == "unpublished":
            continue
        if row.message:
            yield f"{title}: {row.status}: {row.message}"
        for why in row.limits:
            yield f"{title}: not comparable: {why}"
        if row.stamp:
            yield f"{title}: {row.stamp}"
