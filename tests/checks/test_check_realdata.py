"""Real KITTI drives pass, and say how well lidar and semi-global matching agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthdata.checks import check
from depthdata.conversion import convert

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def files(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kitti")
    report = convert("kitti_raw", realdata / "kitti_raw", out, jobs=1)
    assert report.ok, report
    return out


def test_drive_0002(files, tmp_path):
    report = check(files / "2011_09_26_drive_0002_sync.h5", picture=tmp_path / "worst.png")
    assert report.ok, report.table()
    assert not report.skipped
    lidar = report.find("lidar vs stereo", "left/right")
    assert lidar.value < 0.5 and lidar.numbers["share_below_3px"] > 0.96
    assert lidar.numbers["frames"] == 5
    motion = report.find("reprojection", "left")
    assert motion.numbers["median_px"] < 1.5 < 10 < motion.numbers["motion_px"]
    assert (tmp_path / "worst.png").stat().st_size > 100_000


def test_drive_0005_with_its_single_frame(files):
    report = check(files / "2011_09_26_drive_0005_sync.h5")
    assert report.ok, report.table()
    lidar = report.find("lidar vs stereo", "left/right")
    assert lidar.value < 0.9 and lidar.numbers["share_below_3px"] > 0.8
    assert report.find("reprojection", "left").ok is None
    assert "one frame" in report.find("reprojection", "left").message


def test_drive_0001_without_lidar(files):
    report = check(files / "2011_09_26_drive_0001_sync.h5")
    assert report.ok, report.table()
    assert report.find("stereo match").value > 0.9
    assert report.find("depth vs stereo").ok is None
