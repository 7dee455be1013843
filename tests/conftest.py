"""Fixtures that every test may use, and the rule that a required test is not skipped."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from support import GOLDEN, REALDATA

REQUIRED_MARKS = {mark for mark in os.environ.get("DEPTHDATA_REQUIRE", "").split(",") if mark}


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder with real pieces of the source datasets."""
    if REALDATA is None or not REALDATA.is_dir():
        pytest.skip("no real data: set DEPTHDATA_REALDATA to a folder that has it")
    return REALDATA


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with golden vectors (models, eval, readers, converters)."""
    if GOLDEN is None or not GOLDEN.is_dir():
        pytest.skip("no golden vectors: set DEPTHDATA_GOLDEN to a folder that has them")
    return GOLDEN


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where DEPTHDATA_REQUIRE names the test's mark."""
    report = yield
    marks = {mark.name for mark in item.iter_markers()}
    if {"realdata", "golden"} & set(getattr(item, "fixturenames", ())):
        marks |= {"realdata", "golden"} & set(item.fixturenames)  # type: ignore[attr-defined]
    if report.skipped and not hasattr(report, "wasxfail") and marks & REQUIRED_MARKS:
        report.outcome = "failed"
        report.longrepr = f"skipped although DEPTHDATA_REQUIRE names its mark: {report.longrepr}"
    return report
