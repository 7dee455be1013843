"""Sequence files that several tests of evaluation look at and none changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from truth_models import street


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic streets of four frames, with everything in them."""
    return street(tmp_path_factory.mktemp("streets"), seeds=(1, 2), frames=4)
