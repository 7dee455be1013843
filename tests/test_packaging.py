"""What a user installs: packages, data files, programs, start-up time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from support import ROOT


def _config() -> ConfigParser:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    return config


def test_every_package_is_listed() -> None:
    listed = set(_config()["options"]["packages"].split())
    found = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("depthdata", "depthzoo")
        for init in (ROOT / top).rglob("__init__.py")
    }
    assert listed == found | {"depthdata._splits"}


@pytest.mark.slow
def test_wheel_holds_code_splits_and_page_templates(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"  # an old build/ in the real one would travel along
    unwanted = shutil.ignore_patterns(".*", "build", "tests", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=unwanted)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, checkout],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for source in [*ROOT.glob("depthdata/**/*.py"), *ROOT.glob("depthzoo/**/*.py")]:
        assert str(source.relative_to(ROOT)) in names
    splits = [str(file.relative_to(ROOT / "splits")) for file in ROOT.glob("splits/**/*.json")]
    assert splits and {f"depthdata/_splits/{split}" for split in splits} <= names
    assert "depthdata/py.typed" in names and "depthzoo/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


@pytest.mark.parametrize("program", ["depthdata", "depthzoo"])
def test_help_imports_nothing_heavy(program: str) -> None:
    heavy = {"numpy", "h5py", "torch", "cv2", "hdf5plugin", "requests", "tqdm", "zstandard"}
    code = (
        "import sys\n"
        f"from {program}.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"loaded = {heavy!r} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(loaded)}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


def test_public_names_resolve() -> None:
    import depthdata

    for name in depthdata.__all__:
        assert getattr(depthdata, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = depthdata.no_such_name
