"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import GOLDEN, REALDATA


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
