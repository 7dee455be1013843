"""The demo as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT


def _demo(out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools" / "demo", out],
        env={**os.environ, "DEPTHDATA_VENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_demo_makes_what_it_prints(tmp_path: Path) -> None:
    if not list(Path(sys.prefix).glob(".installed-*")):
        pytest.skip("this environment was not made by tools/setup-env")
    done = _demo(tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = [Path(line.strip()) for line in done.stdout.split("look at")[-1].splitlines() if line]
    assert len(listed) == 4
    for path in listed:
        assert path.stat().st_size > 10_000, path
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'src="http' not in page and 'href="http' not in page.split("</head>")[0]
    # A second run replaces the first, but never a folder that is not the demo's.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert _demo(tmp_path / "mine").returncode == 2
    assert (tmp_path / "mine" / "thesis.tex").exists()
