"""Real stereo pairs: from the raw trees to figures that make sense for block matching."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthdata.conversion import convert
from depthzoo.evaluation import evaluate

pytestmark = pytest.mark.realdata

# dataset, folder, then at most: EPE (px), bad-1, bad-3 (%); at least: coverage. Figures of block
# matching on the benchmarks' own pages are of this order; another baseline, a shift by a pixel or
# exchanged views are far beyond.
PAIRS = [
    ("kitti_2015", "kitti2015", 1.5, 32, 6, 0.85),
    ("eth3d", "eth3d", 0.8, 12, 4, 0.95),
    ("middlebury", "middlebury_MiddEval3", 1.7, 13, 8, 0.8),
    ("sceneflow", "sceneflow", 7.0, 38, 24, 0.6),
]


@pytest.mark.parametrize(
    ("dataset", "folder", "epe", "bad_1", "bad_3", "coverage"), PAIRS, ids=[p[0] for p in PAIRS]
)
def test_semi_global_matching(
    realdata: Path,
    tmp_path: Path,
    dataset: str,
    folder: str,
    epe: float,
    bad_1: float,
    bad_3: float,
    coverage: float,
) -> None:
    converted = convert(dataset, realdata / folder, tmp_path, jobs=1)
    assert converted.ok, converted.failed
    report = evaluate("sgbm", tmp_path, "stereo/epe")
    found = report.aggregate
    assert 0.2 < found["epe"] < epe and 2 < found["bad_1"] < bad_1, found
    assert 1 < found["bad_3"] < bad_3 and found["bad_3"] < found["bad_2"] < found["bad_1"]
    assert coverage < report.coverage <= 1
