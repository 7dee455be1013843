"""Where tests find real data and golden vectors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, *candidates: Path) -> Path | None:
    named = os.environ.get(variable)
    if named:
        return Path(named).resolve()
    return next((c.resolve() for c in candidates if c.is_dir()), None)


REALDATA = _folder("DEPTHDATA_REALDATA", ROOT.parent / "shared" / "data")
GOLDEN = _folder("DEPTHDATA_GOLDEN", ROOT.parent / "shared" / "golden", ROOT / "tests" / "golden")


def golden_cases(folder: str, pattern: str) -> list[object]:
    """Parameters, one a case, for the entries of a golden folder that match a glob pattern."""
    found = sorted((GOLDEN / folder).glob(pattern)) if GOLDEN is not None else []
    if not found:
        reason = f"no golden vectors {folder}/{pattern}"
        return [pytest.param(None, id=f"{folder}-none", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=f"{folder}-{path.stem}") for path in found]


def run_example(heading: str, page: str = "loading.md") -> dict[str, Any]:
    """Run the first example below a heading of a page of docs/; return its names."""
    import depthdata.loading

    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    below = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    names: dict[str, Any] = dict(vars(depthdata.loading))
    exec(below.split("```python\n", 1)[1].split("```", 1)[0], names)  # our own page
    return names
