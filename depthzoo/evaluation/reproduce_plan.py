"""What a published table needs, what of it is there, and how to get the rest."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from depthdata.errors import UsageError
from depthdata.sources import dataset_card
from depthdata.splits import list_splits, load_split
from depthdata.windows import load_windows
from depthzoo.evaluation.protocols import Protocol, get_protocol
from depthzoo.evaluation.reproduce_data import Presence, Shelf, look_for, sequence_folders
from depthzoo.evaluation.reproduce_tables import Row, Table, table_rows
from depthzoo.evaluation.reproduce_weights import WeightsPlace
from depthzoo.models import model_card

__all__ = ["RowPlan", "TablePlan", "plan_table"]

STATUS = {
    "ready": "ready",
    "partial": "data incomplete",
    "missing": "cannot run",
    "unpublished": "no published weights",
}


_THINGS = "flyingthings3d"
_PARTS = {
    "dynamic_replica/test": ("test",),
    "eth3d/train": ("training",),
    "flyingthings3d/things": tuple(
        f"{_THINGS}+{what}" for what in ("frames_cleanpass", "frames_finalpass", "disparity")
    ),
    "flyingthings3d/": (f"{_THINGS}+frames_cleanpass", f"{_THINGS}+disparity"),
    "kitti_2015/train": ("pairs",),
    "kitti_odometry/": ("color", "calib", "poses", "poses_dvso", "mvobj_mask", "depth"),
    "middlebury/official_train_F": ("F",),
    "middlebury/official_train_H": ("H",),
    "middlebury/official_train_Q": ("Q",),
    "nuscenes": ("trainval", "panoptic"),
    "sintel/": ("stereo",),
    "waymo/": ("validation",),
}
"""Beginning of a selection's name -> parts of its dataset's archives that it needs."""


@dataclass(frozen=True)
class RowPlan:
    """A row and what there is for it.

    Parameters
    ----------
    row : Row
    status : str
        A key of `STATUS`.
    data : Presence or None
        None where the row has no model to run.
    weights : Path or None
        What `depthzoo.load` would be given.
    lacks_weights : bool
    steps : tuple of str
        Commands that get what is missing; a line that begins with ``#`` says what to do by hand.
    """

    row: Row
    status: str
    data: Presence | None = None
    weights: Path | None = None
    lacks_weights: bool = False
    steps: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it cannot run as published, a line each."""
        if self.data is None:
            return ("its authors published no weights",)
        found = []
        if self.data.have < self.data.wanted:
            some = f" (missing: {_some(self.data.missing)})" if self.data.missing else ""
            found.append(f"data: {self.data.text}{some}")
        found += [f"data: {problem}" for problem in self.data.problems]
        if self.lacks_weights:
            found.append(f"weights: {_wanted(self.row)} not found")
        return tuple(found)


@dataclass(frozen=True)
class TablePlan:
    """A table, row by row."""

    table: Table
    rows: tuple[RowPlan, ...]
    folders: tuple[Path, ...]
    broken: tuple[str, ...] = ()
    steps: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        rows = [
            {
                **row_facts(plan.row),
                "status": plan.status,
                "data": _data_facts(plan.data),
                "weights": None if plan.weights is None else str(plan.weights),
                "reasons": list(plan.reasons),
                "steps": list(plan.steps),
            }
            for plan in self.rows
        ]
        return {
            "table": self.table.name,
            "title": self.table.title,
            "note": self.table.note,
            "folders": [str(folder) for folder in self.folders],
            "broken": list(self.broken),
            "rows": rows,
            "steps": list(self.steps),
        }

    def text(self) -> str:
        """Return the plan for a terminal."""
        lines = [f"{self.table.name}: {self.table.title}"]
        lines += [self.table.note] if self.table.note else []
        lines += [f"sequence files are looked for in {', '.join(map(str, self.folders))}"]
        for plan in self.rows:
            lines += ["", plan.row.title, *(f"  {line}" for line in _row_lines(plan))]
        if self.steps:
            lines += ["", "to get the rest:", *(f"  {step}" for step in self.steps)]
        return "\n".join(lines)


def plan_table(
    table: Table,
    data: Collection[str | Path] = (),
    weights: WeightsPlace | None = None,
    *,
    models: Collection[str] = (),
    commands: Collection[str] = (),
) -> TablePlan:
    """Find out what a table needs and what is there; nothing is run or fetched.

    Parameters
    ----------
    table : Table
    data : paths
        Folders with sequence files; see `sequence_folders`.
    weights : WeightsPlace, optional
        Else the cache alone is searched.
    models : patterns
        Only rows of these models.
    commands : collection of str
        Further commands that the programs have, such as ``"depthdata download"``.

    Raises
    ------
    UsageError
        A folder is not there, or no row is of these models.
    """
    for path in map(Path, data):
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder; --data are sequence files")
    rows = table_rows(table)
    if models:
        rows = tuple(r for r in rows if any(fnmatchcase(r.model, m) for m in models))
        if not rows:
            known = dict.fromkeys(row.model for row in table_rows(table))
            raise UsageError(f"{table.name} has no row of {', '.join(models)}; it has those of "
                             f"{', '.join(known)}")  # fmt: skip
    folders = sequence_folders(data)
    shelf = Shelf(folders)
    alone = len({row.model for row in rows if row.runs}) == 1
    looked: dict[tuple[str, str, Any], Presence] = {}
    plans = []
    for row in rows:
        if not row.runs:
            plans.append(RowPlan(row, "unpublished"))
            continue
        card, protocol = model_card(row.model), get_protocol(row.protocol)
        key = (row.protocol, row.split, card.needs)
        if key not in looked:
            looked[key] = look_for(protocol, row.split, card.needs, shelf)
        plans.append(_plan(row, protocol, looked[key], weights, alone, folders[0], commands))
    steps = dict.fromkeys(step for plan in plans for step in plan.steps)
    # of two conversions of the same sequences the one with more options does for both
    whole = tuple(s for s in steps if not any(other.startswith(f"{s} ") for other in steps))
    return TablePlan(table, tuple(plans), folders, shelf.broken, whole)


def _plan(
    row: Row,
    protocol: Protocol,
    data: Presence,
    weights: WeightsPlace | None,
    alone: bool,
    out: Path,
    commands: Collection[str],
) -> RowPlan:
    card = model_card(row.model)
    found = (weights or WeightsPlace()).find(card, alone=alone) if card.weights else None
    lacks = bool(card.weights) and found is None
    steps: list[str] = []
    if not data.complete:
        steps += _data_steps(row, protocol, data, out, commands)
    if lacks:
        steps += _weights_steps(row, commands)
    status = "ready" if data.complete else "partial"
    if lacks or not data.usable:
        status = "missing"
    return RowPlan(row, status, data, found, lacks, tuple(steps))


def _data_steps(
    row: Row, protocol: Protocol, data: Presence, out: Path, commands: Collection[str]
) -> Iterator[str]:
    name = row.datasets[0]
    raw, card = f"raw/{name}", dataset_card(name)
    if "depthdata download" in commands:
        yield shlex.join(["depthdata", "download", name, raw, *_archives(name, row.split)])
    else:
        yield f"# get {card.title} ({card.access}) into {raw}: {card.homepage}"
    target = out if out.suffix != ".h5" else out.parent
    parts = ["depthdata", "convert", name, raw, str(target), *_selection(row.split)]
    if protocol.preset:
        parts += ["--preset", protocol.preset]
    if any("--preset" in problem for problem in data.problems):
        parts.append("--overwrite")
    yield shlex.join(parts)


def _archives(name: str, split: str) -> list[str]:
    """Return the options of ``depthdata download`` that take the archives of a selection."""
    if name == "kitti_raw":
        drives = load_split(split).sequences
        files = ["*_calib.zip", *(f"{drive}.zip" for drive in drives)]
        return [word for file in files for word in ("--file", file)]
    parts = next((parts for start, parts in _PARTS.items() if split.startswith(start)), ())
    return [word for part in parts for word in ("--part", part)]


def _selection(split: str) -> list[str]:
    """Return the options of ``depthdata convert`` that take the sequences of a selection."""
    if split in list_splits():
        parts = {name.rpartition("/")[0] for name in load_split(split).sequences}
        part = parts.pop() if len(parts) == 1 else ""
        return ["--split", part or split]
    chosen = load_windows(split).describe()["sequences"]
    if chosen.get("names"):
        return [word for name in chosen["names"] for word in ("--sequence", name)]
    return ["--split", chosen["split"]] if chosen.get("split") else []


def _weights_steps(row: Row, commands: Collection[str]) -> Iterator[str]:
    if "depthzoo download" in commands:
        yield f"depthzoo download {row.model}"
        return
    url = model_card(row.model).weights[0].url
    yield f"# get {_wanted(row)} from {url} and give --weights {row.model}=PATH"


def _wanted(row: Row) -> str:
    """Return what is to be downloaded: the archive, or the files."""
    files = model_card(row.model).weights
    return files[0].archive or ", ".join(file.file for file in files)


def _row_lines(plan: RowPlan) -> Iterator[str]:
    if plan.data is None:
        yield "published numbers only: its authors published no weights"
        return
    protocol = get_protocol(plan.row.protocol)
    names = " or ".join(plan.row.datasets)
    preset = f", preset {protocol.preset}" if protocol.preset else ""
    lacking = f" (missing: {_some(plan.data.missing)})" if plan.data.missing else ""
    yield f"data     {names}, split {plan.row.split}{preset}: {plan.data.text}{lacking}"
    for problem in plan.data.problems:
        yield f"         {problem}"
    if plan.row.options:
        said = ", ".join(f"{key}={value}" for key, value in plan.row.options.items())
        yield f"options  {said}"
    if model_card(plan.row.model).weights:
        yield f"weights  {plan.weights or _wanted(plan.row) + ': not found'}"
    else:
        yield "weights  none needed"
    yield f"status   {STATUS[plan.status]}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" ... ({len(names)})" if len(names) > 3 else "")


def row_facts(row: Row) -> dict[str, Any]:
    """Return what a row is as plain data."""
    protocol = get_protocol(row.protocol)
    return {
        "model": row.model,
        "protocol": row.protocol,
        "split": row.split,
        "options": dict(row.options),
        "datasets": list(row.datasets),
        "preset": protocol.preset,
        "numbers": [asdict(number) for number in row.numbers],
    }


def _data_facts(data: Presence | None) -> dict[str, Any] | None:
    if data is None:
        return None
    return {**asdict(data), "files": [str(path) for path in data.files]}
