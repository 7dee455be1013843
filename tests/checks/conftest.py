"""A synthetic drive as KITTI raw, converted; and copies of it with something wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from depthdata.conversion import convert
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.synthetic import SyntheticScene, write_raw

DRIVE = "2011_09_26_drive_0001_sync"
FRAMES = 6


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw tree; without the grey pair, to be quick."""
    root = tmp_path_factory.mktemp("raw")
    write_raw("kitti_raw", SyntheticScene(seed=1, frames=FRAMES), root, drive=DRIVE)
    for grey in ("image_00", "image_01"):
        shutil.rmtree(root / "2011_09_26" / DRIVE / grey)
    return root


def converted(root: Path, out: Path) -> Path:
    report = convert("kitti_raw", root, out, jobs=1)
    assert report.ok, report
    return out / f"{DRIVE}.h5"


@pytest.fixture(scope="session")
def good(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sequence file of the untouched drive."""
    return converted(raw, tmp_path_factory.mktemp("good"))


@pytest.fixture
def broken(raw: Path, tmp_path: Path) -> Callable[[Callable[[Path], None]], Path]:
    """Copy the raw drive, break the copy, convert it."""

    def make(change: Callable[[Path], None]) -> Path:
        root = tmp_path / "raw"
        shutil.copytree(raw, root)
        change(root / "2011_09_26" / DRIVE)
        return converted(root, tmp_path / "out")

    return make


@pytest.fixture
def rewritten(good: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the good sequence again with other poses, intrinsics, times or depth."""

    def make(*, poses=None, intrinsics=None, times=None, depth=None, rig=None, lidar=True) -> Path:
        out = tmp_path / "rewritten.h5"
        source = open_sequence(good)
        facts = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
        with SequenceWriter(out, dataset="test", sequence="drive", split=None, **facts) as writer:
            stamps = source.timestamps if times is None else times(source.timestamps.copy())
            writer.timeline(stamps, list(source.frame_ids))
            for pair in source.stereo_pairs:
                writer.stereo_pair(pair.left, pair.right, baseline=pair.baseline)
            for name, cam in source.cameras.items():
                K = cam.intrinsics(0)
                W = np.array(cam.poses)
                to = writer.camera(
                    name,
                    height=cam.height,
                    width=cam.width,
                    intrinsics=K if intrinsics is None else intrinsics(K.copy()),
                    T_world_cam=W if poses is None else poses(W),
                    T_rig_cam=None if rig is None else rig(name),
                )
                blobs = [cam["rgb"].blob(t) for t in range(len(source))]
                to.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png", channels=3)
                if not lidar:
                    continue
                if depth is None:
                    to.points("depth", [cam["depth"].points(t) for t in range(len(source))])
                else:
                    to.dense(
                        "depth",
                        (depth(cam["depth"][t]) for t in range(len(source))),
                        dtype="float32",
                        unit="m",
                        missing="nan",
                    )
        return out

    return make
