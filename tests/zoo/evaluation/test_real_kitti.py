"""Real KITTI raw: the whole way from the raw drive to numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depthdata.codecs.kitti import read_velodyne
from depthdata.conversion import convert
from depthdata.lidar import eigen_depth_map
from depthdata.sequence import open_sequence
from depthzoo.evaluation import evaluate
from depthzoo.evaluation.saved import camera_projection, eigen_truth
from depthzoo.evaluation.targets import truth_map

pytestmark = pytest.mark.realdata
DRIVE = "2011_09_26_drive_0002_sync"


@pytest.fixture(scope="module")
def drive(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kitti")
    assert convert("kitti_raw", realdata / "kitti_raw", out, sequences=[DRIVE], jobs=1).ok
    return out / f"{DRIVE}.h5"


def test_the_eigen_truth_of_the_file_is_that_of_the_raw_scan(realdata: Path, drive: Path) -> None:
    raw = realdata / "kitti_raw"
    with open_sequence(drive) as seq:
        for t, name in enumerate(seq.frame_ids):
            image = f"2011_09_26/{DRIVE}/image_02/data/{name}.png"
            if not (raw / image).is_file():
                continue
            from_file = np.nan_to_num(truth_map("eigen", seq, "left", t))
            np.testing.assert_array_equal(from_file, eigen_truth(raw, image))
            scan = read_velodyne(raw / f"2011_09_26/{DRIVE}/velodyne_points/data/{name}.bin")
            z = eigen_depth_map(scan, camera_projection(raw, image), (375, 1242), "camera_z")
            both = (from_file > 0) & (z > 0)
            # forward distance from the lidar is about 0.27 m more than from the camera
            assert 0.2 < np.median(from_file[both] - z[both]) < 0.35


def test_semi_global_matching_agrees_with_the_lidar(drive: Path) -> None:
    report = evaluate("sgbm", drive, "kitti_raw/lidar")
    assert report.aggregate["a1"] > 0.95
    assert report.coverage > 0.9
    assert all(15_000 < r.score.pixels < 21_000 for r in report.frames)
    disparity = evaluate("sgbm", drive, "stereo/epe")
    assert disparity.aggregate["epe"] < 2
    assert disparity.aggregate["d1_all"] < 6
    eigen = evaluate("sgbm", drive, "kitti_raw/eigen")
    assert eigen.aggregate["abs_rel"] < 0.08
    assert all(0.97 < r.score.scale < 1.05 for r in eigen.frames)


def test_a_published_split_picks_its_frames(drive: Path) -> None:
    report = evaluate("sgbm", drive, "kitti_raw/eigen", split="eigen/test")
    assert {r.sequence for r in report.frames} == {DRIVE}
    assert report.split is not None and len(report.split["sha256"]) == 64
    assert report.left_out["sequence not there"] > 600
    assert not report.to_dict()["comparable"]["published"]
