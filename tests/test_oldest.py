"""The core with the oldest dependencies that setup.cfg admits, in an environment of its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

CONSTRAINTS = ROOT / "constraints-oldest.txt"


def _oldest() -> dict[str, str]:
    return dict(
        line.split("==")
        for line in CONSTRAINTS.read_text().splitlines()
        if line and not line.startswith("#")
    )


def test_oldest_constraints_are_the_lower_bounds() -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    bounds = dict(
        re.findall(r"^([\w-]+)\s*>=([\d.]+)", config["options"]["install_requires"], re.M)
    )
    oldest = _oldest()
    assert bounds.keys() == oldest.keys()
    for name, bound in bounds.items():
        assert (oldest[name] + ".").startswith(bound + "."), name


@pytest.fixture(scope="module")
def old_python() -> Path:
    """Python of an environment with the oldest versions, kept between runs."""
    text = CONSTRAINTS.read_bytes()
    folder = ROOT / ".cache" / f"oldest-{hashlib.sha256(text).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    # numpy 1.26 has no wheel for Python 3.13.
    names = ("python3.10", "python3.11", "python3.12", "python3")
    base = next((found for found in map(shutil.which, names) if found and _runs(found)), None)
    if base is None:
        pytest.skip("no Python 3.10 to 3.12 on PATH for the oldest versions")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", folder], check=True, capture_output=True)
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--only-binary=:all:", "-r", CONSTRAINTS],
        check=True,
        capture_output=True,
    )
    (folder / "ready").touch()
    return python


def _runs(python: str) -> bool:
    code = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_core_runs_and_agrees_with_the_oldest_versions(old_python: Path, tmp_path: Path) -> None:
    import depthdata as dd

    def run(*arguments: object) -> None:
        done = subprocess.run(
            [old_python, "-c", "from depthdata.cli import main; main()", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    raw, old, new = tmp_path / "raw", tmp_path / "old", tmp_path / "new"
    run("synth", raw, "--layout", "kitti_raw", "--frames", 3, "--size", 96, 320)
    run("convert", "kitti_raw", raw, old, "--jobs", 1)
    run("verify", old)
    run("check", old)
    run("view", old, "--out", tmp_path)
    dd.convert("kitti_raw", raw, new, jobs=1)
    # Other releases of NumPy round sines and logarithms of oxts otherwise; all else is equal.
    others = [d for d in dd.compare(old, new).differences if "transform" not in d.where]
    assert all(d.where.endswith("poses") for d in others), others
    (file,) = old.glob("*.h5")
    for name, camera in dd.open_sequence(file).cameras.items():
        poses = dd.open_sequence(new / file.name).cameras[name].poses
        np.testing.assert_allclose(camera.poses, poses, rtol=0, atol=1e-8)
    run("synth", tmp_path / "scene.h5", "--frames", 2, "--size", 48, 160)
    assert dd.verify(tmp_path / "scene.h5").ok
