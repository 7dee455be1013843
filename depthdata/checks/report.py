"""What a check found: numbers with unit, threshold and, when they fail, the likely fault."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CheckReport", "Finding", "at_least", "at_most", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One measurement, or the reason why it could not be made.

    Parameters
    ----------
    name : str
        What was measured ("reprojection", "lidar vs stereo").
    ok : bool or None
        Passed, failed, or None: skipped. A skipped check counts as neither.
    message : str
        One line. Of a failed finding: the likely fault, with the evidence.
    camera : str or None
        Camera or pair ("left/right") it is about; None: the whole sequence.
    value, threshold : float or None
        In `unit`; it passes when ``value relation threshold``.
    relation : "<=" or ">=" or ">"
        How value and threshold compare when all is well.
    frame : int or None
        The worst frame (position on the timeline).
    numbers : Mapping[str, float]
        More numbers of the same measurement ("share_below_3px").
    warning : bool
        It passed, but something is worth a look: a known defect of a source, for example.
    """

    name: str
    ok: bool | None
    message: str
    camera: str | None = None
    value: float | None = None
    threshold: float | None = None
    relation: str = "<="
    unit: str = ""
    frame: int | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    warning: bool = False

    @property
    def status(self) -> str:
        """Return "ok", "warning", "failed" or "skipped"."""
        if self.ok and self.warning:
            return "warning"
        return {True: "ok", False: "failed", None: "skipped"}[self.ok]

    @property
    def severity(self) -> float:
        """How far the value is from the threshold: above 1 it is on the wrong side.

        >>> at_most("reprojection", 6.0, 2.0, "px", message="").severity
        3.0
        """
        if self.value is None or self.threshold is None or not math.isfinite(self.value):
            return math.inf if self.ok is False else 0.0
        near, far = self.value, self.threshold
        if self.relation != "<=":
            near, far = far, near
        if far <= 0:
            return math.inf if near > far else 0.0
        return near / far

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; numbers that are not finite become None."""
        return {
            "name": self.name,
            "status": self.status,
            "camera": self.camera,
            "value": _plain(self.value),
            "unit": self.unit,
            "relation": self.relation,
            "threshold": _plain(self.threshold),
            "frame": self.frame,
            "numbers": {key: _plain(value) for key, value in self.numbers.items()},
            "message": self.message,
        }


def at_most(
    name: str, value: float, threshold: float, unit: str, *, message: str, **facts: Any
) -> Finding:
    """Make a finding that passes when the value is finite and at most the threshold."""
    ok = facts.pop("ok", bool(value <= threshold))
    return Finding(name, ok, message, value=value, threshold=threshold, unit=unit, **facts)


def at_least(
    name: str, value: float, threshold: float, unit: str, *, message: str, **facts: Any
) -> Finding:
    """Make a finding that passes when the value is at least the threshold."""
    ok = facts.pop("ok", bool(value >= threshold))
    return Finding(
        name, ok, message, value=value, threshold=threshold, relation=">=", unit=unit, **facts
    )


def skipped(name: str, reason: str, camera: str | None = None) -> Finding:
    """Say that a check could not run, and why."""
    return Finding(name, None, reason, camera=camera)


@dataclass(frozen=True)
class CheckReport:
    """Everything `depthdata.check` found in one sequence file.

    Parameters
    ----------
    path : str
        The file.
    findings : tuple of Finding
        In the order in which they were made.
    picture : str or None
        Where the picture of the worst frame was written.
    """

    path: str
    findings: tuple[Finding, ...]
    picture: str | None = None

    @property
    def ok(self) -> bool:
        """True when nothing failed and at least one check ran."""
        return not self.failed and any(finding.ok for finding in self.findings)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Findings that are over their thresholds."""
        return tuple(finding for finding in self.findings if finding.ok is False)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that passed with a warning."""
        return tuple(finding for finding in self.findings if finding.status == "warning")

    @property
    def skipped(self) -> tuple[Finding, ...]:
        """Findings that could not be made."""
        return tuple(finding for finding in self.findings if finding.ok is None)

    def find(self, name: str, camera: str | None = None) -> Finding:
        """Return the finding of that name (and camera); KeyError when there is none."""
        for finding in self.findings:
            if finding.name == name and camera in (None, finding.camera):
                return finding
        raise KeyError(f"no finding {name!r} of camera {camera!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "path": self.path,
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
            "picture": self.picture,
        }

    def table(self) -> str:
        """Return one line for each finding, faults marked FAIL, and a summary line."""
        rows = [_row(finding) for finding in self.findings]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True))
            for row in rows
        ]
        counts = (
            f"{sum(f.ok is True for f in self.findings)} passed, {len(self.failed)} failed, "
            f"{len(self.skipped)} skipped"
        )
        if self.warnings:
            counts += f", warnings: {len(self.warnings)}"
        verdict = "ok  " if self.ok else "FAIL"
        picture = f"; worst frame: {self.picture}" if self.picture else ""
        return (
            "\n".join([*(line.rstrip() for line in lines), f"{verdict}  {self.path}: {counts}"])
            + picture
        )


def _row(finding: Finding) -> tuple[str, str, str, str, str]:
    mark = {"ok": "ok", "warning": "warn", "failed": "FAIL", "skipped": "skip"}[finding.status]
    measured = ""
    if finding.value is not None:
        measured = f"{_short(finding.value)} {finding.unit}".strip()
        if finding.threshold is not None:
            measured += f" {finding.relation} {_short(finding.threshold)}"
    return mark, finding.name, finding.camera or "", measured, finding.message


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 or not math.isfinite(value) else f"{value:.0f}"


def _plain(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
