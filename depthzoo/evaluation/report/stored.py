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
_VERSION = 1
_NEEDED = ("protocol", "model", "aggregate", "per_sequence", "data")
_PLACE = ("sequence", "camera", "frame", "frame_id")


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
    def metrics(self) -> tuple[str, ...]:
        """Names of the measures, the headline first."""
        return tuple(self.data["protocol"]["metrics"])

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
    def frames(self) -> dict[tuple[str, ...], dict[str, float]]:
        """(sequence, camera, frame, frame id), as texts -> measure -> value; of frames only."""
        table = self.data.get("per_frame") or {}
        columns = list(table.get("columns", ()))
        if not set(_PLACE) <= set(columns):
            return {}
        at = [columns.index(name) for name in _PLACE]
        where = {name: columns.index(name) for name in self.metrics if name in columns}
        return {
            tuple(str(row[i]) for i in at): {n: as_number(row[i]) for n, i in where.items()}
            for row in table["rows"]
        }

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
            "depthzoo evaluate ... --json > result.json"
        )
    if data.get("version") != _VERSION:
        raise FormatError(
            f"{path}: expected version {_VERSION} of {_FORMAT}, found {data.get('version')!r}; "
            "update depthzoo, or evaluate again"
        )
    missing = [key for key in _NEEDED if key not in data]
    if missing:
        raise FormatError(f"{path}: the result lacks {', '.join(missing)}; evaluate again")
    return StoredResult(data, Path(path))
