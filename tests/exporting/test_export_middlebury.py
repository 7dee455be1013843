"""Middlebury and ETH3D sequences back into their layouts, and sequences of other datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import two_view_tree as tree

import depthdata as dd
from depthdata.codecs.images import encode_png
from depthdata.codecs.middlebury import read_calib
from depthdata.codecs.pfm import read_pfm
from depthdata.comparison.sequences import differences
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.exporting import export
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.synthetic import SyntheticScene, write_raw, write_sequence


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=2, frames=2, height=40, width=128)


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _there_and_back(dataset: str, raw: Path, work: Path) -> tuple[list[Path], list[Path]]:
    """Convert, export, convert again."""
    first = convert(dataset, raw, work / "first", jobs=1)
    assert first.ok, first.failed
    exported = export(work / "first", work / "exported")
    second = convert(dataset, exported, work / "second", jobs=1)
    assert second.ok, second.failed
    pairs = [[r.path for r in report.results] for report in (first, second)]
    assert [path.name for path in pairs[0]] == [path.name for path in pairs[1]]
    return pairs[0], pairs[1]


def test_middlebury_comes_back_byte_for_byte(scene: SyntheticScene, tmp_path: Path):
    raw = tmp_path / "raw"
    for part, name in (
        ("MiddEval3/trainingQ", "Motorcycle"),
        ("MiddEval3/trainingF", "Motorcycle"),
        ("MiddEval3/testH", "Plants"),
        ("2014", "Sword1-perfect"),
    ):
        write_raw("middlebury", scene, raw, part=part, name=name)
    first, second = _there_and_back("middlebury", raw, tmp_path)
    assert _files(tmp_path / "exported") == _files(raw)
    for a, b in zip(first, second, strict=True):
        assert open_sequence(a).digest == open_sequence(b).digest
        assert a.read_bytes() == b.read_bytes()


def test_eth3d_comes_back_byte_for_byte(scene: SyntheticScene, tmp_path: Path):
    raw = tmp_path / "raw"
    write_raw("eth3d", scene, raw, name="yard_1l")
    write_raw("eth3d", scene, raw, name="attic_2s", frame=1, gray=True)
    write_raw("eth3d", scene, raw, name="lake_1l", test=True)
    first, second = _there_and_back("eth3d", raw, tmp_path)
    assert _files(tmp_path / "exported") == _files(raw)
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("dataset", ["middlebury", "eth3d"])
def test_same_content_where_files_were_encoded_otherwise(dataset: str, tmp_path: Path):
    raw = tmp_path / "raw"
    if dataset == "middlebury":
        tree.write_evaluation(raw / "MiddEval3/trainingF/Piano")
        tree.write_evaluation(raw / "MiddEval3/trainingH/Piano", truth=False)
        tree.write_evaluation(raw / "MiddEval3/testF/Plants", truth=False)
        (raw / "MiddEval3/testF/Plants/calib.txt").unlink()
        tree.write_2014(raw / "2014/Sword1-imperfect")
    else:
        tree.write_eth3d(raw, "yard_1l")
        without_poses = tree.write_eth3d(raw, "attic_2s", 3)
        for name in ("cameras.txt", "images.txt"):
            (without_poses / name).unlink()
    first, second = _there_and_back(dataset, raw, tmp_path)
    for a, b in zip(first, second, strict=True):
        assert open_sequence(a).digest == open_sequence(b).digest


@pytest.mark.realdata
@pytest.mark.parametrize("dataset", ["middlebury", "eth3d"])
def test_real_scenes_come_back(dataset: str, realdata: Path, tmp_path: Path):
    raw = realdata / {"middlebury": "middlebury_MiddEval3"}.get(dataset, dataset)
    first, second = _there_and_back(dataset, raw, tmp_path)
    for a, b in zip(first, second, strict=True):
        assert not list(differences(a, b))
        assert open_sequence(a).digest == open_sequence(b).digest
    exported = _files(tmp_path / "exported")
    for name, blob in _files(raw).items():
        if name.endswith((".txt", "im0.png", "im1.png")):  # images, and numbers as published
            here = f"MiddEval3/{name}" if dataset == "middlebury" else name
            assert exported[here] == blob


@pytest.mark.parametrize("layout", ["middlebury", "eth3d"])
def test_another_dataset_gives_a_scene_a_frame(layout: str, scene: SyntheticScene, tmp_path: Path):
    path = write_sequence(scene, tmp_path / "street.h5", tracks=0, lidar=False)
    exported = export(path, tmp_path / "exported", layout=layout)
    report = convert(layout, exported, tmp_path / "out", jobs=1)
    assert report.ok, report.failed
    with open_sequence(path) as source:
        assert len(report.results) == len(source)
        for t, result in enumerate(report.results):
            assert result.sequence.endswith(f"street_0002_{source.frame_ids[t]}")
            with open_sequence(result.path) as found:
                assert found.stereo_pairs[0].baseline == pytest.approx(scene.baseline, abs=1e-12)
                for name, camera in found.cameras.items():
                    theirs = source.cameras[name]
                    np.testing.assert_array_equal(camera.rgb[0], theirs.rgb[t])
                    np.testing.assert_array_equal(camera.intrinsics(0), theirs.intrinsics(t))
                    if name == "right" and layout == "eth3d":
                        continue
                    values = theirs["disparity"][t]
                    np.testing.assert_array_equal(camera["disparity"][0], values)
                    occluded = np.where(np.isnan(values), 255, theirs["masks/occluded"][t])
                    np.testing.assert_array_equal(camera["masks/occluded"][0], occluded)
                if layout == "eth3d":
                    pose = source.cameras["left"].pose(t)
                    np.testing.assert_allclose(found.cameras["left"].pose(0), pose, atol=1e-12)


def test_calib_of_another_dataset(scene: SyntheticScene, tmp_path: Path):
    path = write_sequence(scene, tmp_path / "street.h5", tracks=0, lidar=False)
    exported = export(path, tmp_path / "exported", layout="middlebury")
    calib = read_calib(next(exported.rglob("calib.txt")))
    assert calib.baseline_mm == pytest.approx(scene.baseline * 1000) and calib.doffs == 0
    assert calib.facts == {"ndisp": scene.width}


def _clip(path: Path, cameras: tuple[str, ...], mask: bool = False, **maps: float) -> Path:
    """A sequence of one frame with constant maps, 0.5 m between the cameras, fx 2."""
    blob = encode_png(np.zeros((2, 3, 3), np.uint8))
    with SequenceWriter(path, dataset="mine", sequence="clip") as writer:
        writer.timeline([0], ["a"])
        for name in cameras:
            camera = writer.camera(name, height=2, width=3, intrinsics=np.diag([2.0, 2, 1]))
            camera.encoded("rgb", [blob], [len(blob)], encoding="png")
            for stream, value in maps.items():
                camera.dense(stream, [np.full((2, 3), value, np.float32)], missing="nan")
            if mask:
                camera.dense("masks/occluded", [np.zeros((2, 3), np.uint8)], dtype="u1")
        if len(cameras) > 1:
            writer.stereo_pair(cameras[0], cameras[1], 0.5)
    return path


def test_sequences_that_are_no_pair(tmp_path: Path):
    path = _clip(tmp_path / "clip.h5", ("front",))
    with pytest.raises(UsageError, match="clip: expected a pair of cameras, found front"):
        dd.export(path, tmp_path / "out", layout="middlebury")
    assert not (tmp_path / "out").exists()


def test_disparity_needs_occlusion(tmp_path: Path):
    path = _clip(tmp_path / "clip.h5", ("left", "right"), disparity=1)
    with pytest.raises(UsageError, match=r"disparity but no masks/occluded; mask0nocc\.png needs"):
        dd.export(path, tmp_path / "out", layout="middlebury")


def test_disparity_that_follows_from_depth(tmp_path: Path):
    path = _clip(tmp_path / "clip.h5", ("left", "right"), mask=True, depth=4)
    folder = dd.export(path, tmp_path / "out", layout="middlebury") / "MiddEval3/trainingF/clip"
    np.testing.assert_array_equal(read_pfm(folder / "disp1GT.pfm"), np.full((2, 3), 0.25))
    path = _clip(tmp_path / "clip.h5", ("left", "right"), depth=4)
    folder = dd.export(path, tmp_path / "more", layout="middlebury") / "MiddEval3/trainingF/clip"
    assert sorted(path.name for path in folder.iterdir()) == ["calib.txt", "im0.png", "im1.png"]
