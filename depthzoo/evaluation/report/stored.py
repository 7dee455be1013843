"""A result file (JSON) as it is read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthdata.errors import FormatError
from depthzoo.evaluation.report.values import as_number

__all__ = ["StoredResult", "read_result"]

_FORMAT = "depthzoo.evaluation"
_VERSIONS = (1, 2)
_NEEDED = ("protocol", "model", "aggregate", "per_sequence", "data")
_PLACE = ("sequence", "camera", "frame", "frame_id")
_NOUNS = {"sequence": "clip", "trajectory": "sequence", "motion": "sequence"}


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A result as plain data.

    Parameters
    ----------
    data : Mapping
        As `Report.to_dict` gives it.
    path : Path or None
        Where it was read.
    """

    data: Mapping[str, Any]
    path: Path | None = None

    @property
    def protocol(self) -> str:
        """Id of the protocol."""
        return str(self.data["protocol"]["id"])

    @property
    def rules(self) -> Mapping[str, Any]:
        """The protocol's rules as data."""
        rules: Mapping[str, Any] = self.data["protocol"]
        return rules

    @property
    def kind(self) -> str:
        """What a record stands for: see `depthzoo.evaluation.protocols.KINDS`."""
        return str(self.rules.get("kind", "frame"))

    @property
    def noun(self) -> str:
        """What a record is called: ``"frame"``, ``"clip"`` or ``"sequence"``."""
        return _NOUNS.get(self.kind, "frame")

    @property
    def compared(self) -> str:
        """The quantity that is measured."""
        return str(self.rules.get("measured") or self.rules.get("quantity", ""))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the measures, the headline first."""
        return tuple(self.rules["metrics"])

    @property
    def headline(self) -> str:
        """The measure that ranks records."""
        return self.metrics[0]

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.data["model"]["name"])

    @property
    def aggregate(self) -> dict[str, float]:
        """Measure -> value over everything; NaN where there is none."""
        return {name: as_number(value) for name, value in self.data["aggregate"].items()}

    @property
    def per_sequence(self) -> dict[str, dict[str, float]]:
        """Sequence -> measure -> value."""
        return {
            sequence: {name: as_number(values.get(name)) for name in self.metrics}
            for sequence, values in self.data["per_sequence"].items()
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The records: place, pixels and every measure of each, by the names of the columns."""
        table = self.data.get("per_frame") or {}
        columns = list(table.get("columns", ()))
        if not set(_PLACE) <= set(columns):
            return []
        return [dict(zip(columns, row, strict=False)) for row in table["rows"]]

    @property
    def frames(self) -> dict[tuple[str, ...], dict[str, float]]:
        """(sequence, camera, frame, frame id), as texts -> measure -> value, of every record."""
        return {
            tuple(str(row[name]) for name in _PLACE): {
                name: as_number(row[name]) for name in self.metrics if name in row
            }
            for row in self.rows
        }

    @property
    def series(self) -> dict[tuple[str, int], dict[str, list[float]]]:
        """(Sequence, first frame) -> name -> numbers over time; NaN where there is none."""
        return {
            (str(one["sequence"]), int(one["frame"])): {
                name: [as_number(v) for v in values]
                for name, values in one.items()
                if isinstance(values, list)
            }
            for one in self.data.get("series") or ()
        }

    @property
    def curves(self) -> Mapping[str, Any]:
        """What the charts show."""
        found: Mapping[str, Any] = self.data.get("curves") or {}
        return found

    @property
    def regions(self) -> dict[str, Mapping[str, Any]]:
        """Part of the images -> its values, ``frames``, ``pixels``, ``missing``."""
        return dict(self.data.get("regions") or {})

    @property
    def digests(self) -> dict[str, str]:
        """Sequence -> digest of its content."""
        return {str(d["sequence"]): str(d.get("digest")) for d in self.data["data"]}


def read_result(path: str | Path) -> StoredResult:
    """Read a result file.

    Raises
    ------
    FormatError
        Not a result, or one of a later version.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected a result of an evaluation (JSON): {error}") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise FormatError(
            f"{path}: expected a result of an evaluation, with format {_FORMAT!r}; write one with "
            "depthzoo evaluate ... --output result.json"
        )
    if data.get("version") not in _VERSIONS:
        raise FormatError(
            f"{path}: expected version {' or '.join(map(str, _VERSIONS))} of {_FORMAT}, found "
            f"{data.get('version')!r}; update depthzoo, or evaluate again"
        )
    missing = [key for key in _NEEDED if key not in data]
    if missing:
        raise FormatError(f"{path}: the result lacks {', '.join(missing)}; evaluate again")
    return StoredResult(data, Path(path))
