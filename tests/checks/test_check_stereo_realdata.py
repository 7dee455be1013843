"""Real stereo pairs and flows pass, and each fault put into them is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthdata.checks import check
from depthdata.checks.report import Finding
from depthdata.checks.samples import Sampler
from depthdata.checks.warps import check_warps
from depthdata.conversion import convert
from depthdata.sequence import Sequence, open_sequence

pytestmark = pytest.mark.realdata

FOLDERS = {
    "kitti_2015": "kitti2015",
    "eth3d": "eth3d",
    "middlebury": "middlebury_MiddEval3",
    "sceneflow": "sceneflow",
}
BOUNDS = {  # share of the patches found again, at least; median distance in pixels, at most
    "kitti_2015": (0.75, 1.2),
    "eth3d": (0.95, 0.3),
    "middlebury": (0.92, 0.2),
    "sceneflow": (0.85, 0.2),
}


@pytest.fixture(scope="module")
def files(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    out = tmp_path_factory.mktemp("stereo")
    for name, folder in FOLDERS.items():
        assert convert(name, realdata / folder, out / name, jobs=1).ok
    return {name: sorted((out / name).glob("*.h5")) for name in FOLDERS}


class Changed(Sampler):
    """Reads a sequence as if its streams had been changed."""

    def __init__(
        self,
        sequence: Sequence,
        stream: str = "",
        change: Callable[[Any], Any] = np.asarray,
        swapped: bool = False,
    ) -> None:
        super().__init__(sequence)
        self.stream, self.change, self.swapped = stream, change, swapped

    def values(self, camera: str, stream: str, frame: int) -> Any:
        found = super().values(camera, stream, frame)
        return np.asarray(self.change(found), np.float32) if stream == self.stream else found

    def image(self, camera: str, frame: int) -> Any:
        other = {"left": "right", "right": "left"}[camera]
        return super().image(other if self.swapped else camera, frame)


def findings(path: Path, **changes: Any) -> dict[tuple[str, str | None], Finding]:
    with open_sequence(path) as sequence:
        sampler = Changed(sequence, **changes)
        found = [f for name in sequence.cameras for f in check_warps(sampler, name, None)[0]]
    return {(f.name, f.camera): f for f in found}


@pytest.mark.parametrize("name", FOLDERS)
def test_real_pieces_pass(files, name):
    share, distance = BOUNDS[name]
    assert files[name]
    for path in files[name]:
        report = check(path)
        assert report.ok and not report.warnings, report.table()
        warps = [f for f in report.findings if f.name.endswith("vs images") and f.numbers]
        assert any(f.name.startswith("disparity") for f in warps)
        for finding in warps:
            assert finding.numbers["share_found"] >= share, finding
            assert finding.numbers["median_px"] <= distance, finding


def test_both_views_of_middlebury_and_scene_flow(files):
    for name in ("middlebury", "sceneflow"):
        report = check(files[name][0])
        for camera in ("left", "right"):
            assert report.find("disparity vs images", camera).ok
        assert report.find("disparity both ways").numbers["share_below_1px"] > 0.88


def test_a_scene_without_calibration_is_checked_by_its_images(files):
    path = next(p for p in files["kitti_2015"] if p.stem == "training_000046")
    report = check(path)
    assert report.find("disparity vs images", "left").ok
    assert report.find("intrinsics", "left").ok is None


FAULTS = [
    (lambda d: -d, "looks negated"),
    (lambda d: 2 * d, "2 times too large"),
    (lambda d: d / 2, "2 times too small"),
    (lambda d: d / 16, "16 times too small"),
    (lambda d: d * 256, "256 times too large"),
    (lambda d: d * 0.85, "multiplied by 1.1"),
    (lambda d: d - 9, "shifted by"),
    (
        lambda d: np.roll(d, (d.shape[0] // 2, d.shape[1] // 3), (0, 1)),
        "does not explain the images",
    ),
]


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("change, words", FAULTS)
def test_faults_of_disparity_are_named(files, name, change, words):
    found = findings(files[name][0], stream="disparity", change=change)
    finding = found["disparity vs images", "left"]
    if name == "eth3d" and "explain" in words:
        words = "disparity"  # so smooth that other faults fit too
    assert finding.ok is False and words in finding.message, finding


@pytest.mark.parametrize("name", FOLDERS)
def test_swapped_cameras_are_named(files, name):
    finding = findings(files[name][0], swapped=True)["disparity vs images", "left"]
    assert finding.ok is False and "look swapped" in finding.message, finding


@pytest.mark.parametrize("name", ["middlebury", "sceneflow"])
def test_disparity_of_the_other_view_is_named(files, name):
    with open_sequence(files[name][0]) as sequence:
        right = sequence.cameras["right"]["disparity"][0]
    found = findings(files[name][0], stream="disparity", change=lambda d: right)
    message = found["disparity vs images", "left"].message
    assert "of the right view was given to the left one" in message


def test_doffs_of_middlebury_are_named(files):
    with open_sequence(files["middlebury"][0]) as sequence:
        doffs = sequence.stereo_geometry("left", 0).offset
    for change in (lambda d: d + doffs, lambda d: d - doffs):
        found = findings(files["middlebury"][0], stream="disparity", change=change)
        for camera in ("left", "right"):
            finding = found["disparity vs images", camera]
            assert finding.ok is False and "off by doffs" in finding.message, finding


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda f: -f, "looks negated"),
        (lambda f: f[::-1], "look swapped"),
        (lambda f: 2 * f, "2 times too large"),
        (lambda f: f / 2, "2 times too small"),
        (lambda f: f * np.array([1, -1]).reshape(2, 1, 1), "y of flow_forward looks negated"),
    ],
)
def test_faults_of_flow_are_named(files, change, words):
    found = findings(files["kitti_2015"][0], stream="flow_forward", change=change)
    finding = found["flow_forward vs images", "left"]
    assert finding.ok is False and words in finding.message, finding
