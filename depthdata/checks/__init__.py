"""The validator that knows geometry: images, depth, poses, calibration and times must agree."""

from __future__ import annotations

from depthdata.checks.inspection import check
from depthdata.checks.report import CheckReport, Finding

__all__ = ["CheckReport", "Finding", "check"]
