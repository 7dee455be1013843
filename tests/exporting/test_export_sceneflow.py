"""Clips of the Scene Flow datasets written back: every byte, and converted again."""

from __future__ import annotations

from pathlib import Path

import pytest

from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.exporting import export
from depthdata.sequence import open_sequence
from depthdata.synthetic import SyntheticScene, write_raw, write_sequence


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=2, frames=2, height=54, width=96)


def _files(root: Path) -> dict[str, bytes]:
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _converted(raw: Path, out: Path) -> dict[str, str]:
    report = convert("sceneflow", raw, out, jobs=1)
    assert report.ok, report.failed
    return {result.sequence: open_sequence(result.path).digest for result in report.results}


def test_a_tree_comes_back_to_the_byte(scene: SyntheticScene, tmp_path: Path):
    raw = tmp_path / "raw"
    write_raw("sceneflow", scene, raw, clip="TEST/C/0149", alpha=True)
    write_raw("sceneflow", scene, raw, clip="a_rain_of_stones_x2", first=48)
    write_raw("sceneflow", scene, raw, clip="15mm_focallength/scene_backwards/slow")
    before = _converted(raw, tmp_path / "out")
    assert len(before) == 3
    export(tmp_path / "out", tmp_path / "exported")
    assert _files(tmp_path / "exported") == _files(raw)
    assert _converted(tmp_path / "exported", tmp_path / "again") == before


def test_what_is_not_there_stays_away(scene: SyntheticScene, tmp_path: Path):
    gone = ("frames_cleanpass", "optical_flow", "camera_data", "object_index")
    write_raw("sceneflow", scene, tmp_path / "raw", without=gone)
    _converted(tmp_path / "raw", tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    assert _files(tmp_path / "exported") == _files(tmp_path / "raw")


def test_frames_without_a_pose_stay_without(scene: SyntheticScene, tmp_path: Path):
    top = write_raw("sceneflow", scene, tmp_path / "raw", digits=4)
    path = top / "camera_data/TRAIN/A/0000/camera_data.txt"
    path.write_text(path.read_text().partition("Frame 7")[0])
    _converted(tmp_path / "raw", tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    again = (tmp_path / "exported" / path.relative_to(tmp_path / "raw")).read_text()
    assert again.splitlines()[0] == "Frame 6" and "Frame 7" not in again
    left, right = (list(map(float, text.split()[3:19])) for text in (again, path.read_text()))
    assert left == right


def test_sequence_of_another_dataset(scene: SyntheticScene, tmp_path: Path):
    write_sequence(scene, tmp_path / "scene.h5")
    with pytest.raises(UsageError, match="expected a sequence of sceneflow, found one of"):
        export(tmp_path / "scene.h5", tmp_path / "exported", layout="sceneflow")
    assert not (tmp_path / "exported").exists()


@pytest.mark.realdata
def test_real_clip_comes_back_to_the_byte(realdata: Path, tmp_path: Path):
    raw = realdata / "sceneflow"
    before = _converted(raw, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "exported")
    things = "FlyingThings3D"
    assert _files(tmp_path / "exported" / things) == _files(raw / things)
    assert _converted(tmp_path / "exported", tmp_path / "again") == before
