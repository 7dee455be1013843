"""Both profiles read in an environment of their own with the oldest h5py that there is for it.

The environment is made once under ``.cache/``; ``DEPTHDATA_OLD_H5PY_PYTHON`` names the interpreter
of another one, which must have h5py, numpy and hdf5plugin.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthdata.sequence import open_sequence

CACHE = Path(__file__).resolve().parents[2] / ".cache"
OLDEST = {  # the first releases with a wheel for that Python
    (3, 10): ("h5py==3.6.0", "numpy==1.21.6", "hdf5plugin==3.2.0"),
    (3, 11): ("h5py==3.8.0", "numpy==1.23.5", "hdf5plugin==4.1.1"),
    (3, 12): ("h5py==3.10.0", "numpy==1.26.0", "hdf5plugin==4.3.0"),
    (3, 13): ("h5py==3.12.1", "numpy==2.1.0", "hdf5plugin==5.0.0"),
}
READER = """
import sys
import h5py, numpy
if "plugin" in sys.argv[3:]:
    import hdf5plugin
found = {"h5py": h5py.__version__}
def keep(path, item):
    if isinstance(item, h5py.Dataset) and item.dtype.names is None:
        found[path] = item[()]
with h5py.File(sys.argv[1], "r") as file:
    file.visititems(keep)
    assert file.attrs["state"] == b"complete", file.attrs["state"]
    found["baseline"] = file["stereo_pairs"][0]["baseline"]
numpy.savez(sys.argv[2], **found)
"""


def _interpreters() -> Iterator[tuple[tuple[int, int], str]]:
    """Yield (version, interpreter) of every Python that starts, the oldest version first."""
    versions = Path.home() / ".pyenv" / "versions"
    for major, minor in OLDEST:
        name = f"python{major}.{minor}"
        found = [shutil.which(name), *map(str, versions.glob(f"{major}.{minor}.*/bin/{name}"))]
        for path in filter(None, [*found, sys.executable]):
            code = "import sys, venv; print(*sys.version_info[:2])"
            done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
            if done.stdout.split() == [str(major), str(minor)]:
                yield (major, minor), path


@pytest.fixture(scope="module")
def old_python() -> str:
    """Interpreter of the environment with the old h5py."""
    named = os.environ.get("DEPTHDATA_OLD_H5PY_PYTHON")
    if named:
        return named
    version, interpreter = next(_interpreters())
    pins = OLDEST[version]
    folder = CACHE / f"old-{'-'.join(pins).replace('==', '-')}-py{version[0]}.{version[1]}"
    python, ready = folder / "bin" / "python", folder / "ready"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "old-h5py.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([interpreter, "-m", "venv", folder], check=True)
            command = [str(python), "-m", "pip", "install", "-q", "--only-binary", ":all:", *pins]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if "from versions: none" in done.stderr or "Max retries" in done.stderr:
                pytest.skip(f"no pip index is reachable: {done.stderr.splitlines()[-1]}")
            assert done.returncode == 0, done.stderr
            ready.touch()
    return str(python)


def _read(python: str, path: Path, out: Path, *options: str) -> Any:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HDF5_"))}
    command = [python, "-c", READER, str(path), str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return np.load(out)


@pytest.mark.parametrize(("profile", "options"), [("default", ["plugin"]), ("portable", [])])
def test_an_old_h5py_reads_what_we_read(
    old_python: str, tmp_path: Path, clip_writer: Any, profile: str, options: list[str]
) -> None:
    path = tmp_path / "clip.h5"
    truth = clip_writer(path, profile)
    found = _read(old_python, path, tmp_path / "found.npz", *options)
    assert tuple(map(int, str(found["h5py"]).split(".")[:2])) < (3, 13)
    assert found["baseline"] == 0.54
    left = open_sequence(path).cameras["left"]
    for name in ("disparity", "depth_png", "flow_forward", "masks/moving"):
        stream = left[name]
        for row, t in enumerate(stream.frames.tolist()):
            np.testing.assert_array_equal(found[f"cameras/left/{name}/data"][row], stream.raw(t))
    offsets = found["cameras/left/rgb/offsets"]
    for t, blob in enumerate(truth.blobs["left"]):
        assert found["cameras/left/rgb/data"][offsets[t] : offsets[t + 1]].tobytes() == blob
    offsets = found["cameras/left/depth/offsets"]
    for t in range(len(truth.lidar)):
        for name, column in left.depth.points(t).columns().items():
            stored = found[f"cameras/left/depth/{name}"][offsets[t] : offsets[t + 1]]
            np.testing.assert_array_equal(stored, column)
    np.testing.assert_array_equal(found["cameras/left/T_world_cam"], left.poses)
