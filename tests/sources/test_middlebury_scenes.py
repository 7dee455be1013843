"""Middlebury stereo scenes as sequence files: trees written by hand, golden files, a real scene."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import two_view_tree as tree
from support import golden_cases
from two_view_tree import warp_gain, write_2014, write_evaluation, write_mask, write_pfm

import depthdata as dd
from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.pfm import read_pfm
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.sequence import Camera, Sequence, open_sequence, verify
from depthdata.sequence.schema import MISSING_TIME
from depthdata.sources import dataset_card, middlebury

NAMES = (
    "2014_Sword1-imperfect",
    "2014_Sword1-perfect",
    "testH_Plants",
    "trainingF_Piano",
    "trainingQ_ArtL",
    "trainingQ_Piano",
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three parts of the evaluation set and two scenes of 2014."""
    root = tmp_path / "raw"
    for seed, scene in enumerate(("trainingF/Piano", "trainingQ/Piano", "trainingQ/ArtL")):
        write_evaluation(root / "MiddEval3" / scene, seed)
    write_evaluation(root / "MiddEval3/testH/Plants", 7, truth=False)
    for seed, kind in enumerate(("perfect", "imperfect")):
        write_2014(root / f"2014/Sword1-{kind}", 20 + seed)
    (root / "MiddEval3/official_train.txt").write_text("Piano\n")
    (root / "2014/__MACOSX").mkdir()
    return root


def _convert(raw: Path, sequence: str, out: Path | None = None) -> Sequence:
    (result,) = convert(
        "middlebury", raw, out or raw.parent / "out", jobs=1, sequences=[sequence]
    ).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


def _source_disparity(camera: Camera) -> np.ndarray:
    """What the PFM file holds, from the sequence file alone."""
    values = camera["disparity"][0]
    return np.where(np.isnan(values), np.float32(np.inf), values)


def test_card():
    card = dataset_card("middlebury")
    names = [archive.name for archive in card.archives]
    assert len(set(names)) == len(names) == 6 + 46
    assert {f"MiddEval3-{what}-{size}.zip" for what in ("data", "GT0") for size in "QHF"} < {*names}
    assert card.archives[-1].url == (
        "https://vision.middlebury.edu/stereo/data/scenes2014/zip/Vintage-imperfect.zip"
    )
    summed = {archive.name for archive in card.archives if archive.sha256}
    assert summed == {"MiddEval3-data-Q.zip", "MiddEval3-GT0-Q.zip"}
    assert any("third party" in note for note in card.notes)
    assert "Scharstein2014GCPR" in card.citation and "research" in card.licence


def test_every_sensible_root(raw: Path):
    specs = {spec.name: spec for spec in middlebury.sequences(raw)}
    assert tuple(specs) == NAMES
    assert {name: spec.split for name, spec in specs.items()} == {
        name: {"2": "2014", "te": "test", "tr": "train"}[name[: 1 if name[0] == "2" else 2]]
        for name in NAMES
    }
    assert pickle.loads(pickle.dumps(list(specs.values()))) == list(specs.values())
    for root, start in (
        ("MiddEval3", "t"),
        ("2014", "2"),
        ("MiddEval3/trainingQ", "trainingQ"),
        ("MiddEval3/testH/Plants", "testH"),
        ("MiddEval3/trainingQ/ArtL", "trainingQ_A"),
        ("2014/Sword1-perfect", "2014_Sword1-p"),
    ):
        found = middlebury.sequences(raw / root)
        assert found == [spec for name, spec in specs.items() if name.startswith(start)]
    both_in_one = raw / "MiddEval3" / "Sword1-perfect"
    shutil.move(raw / "2014/Sword1-perfect", both_in_one)
    assert [spec.name for spec in middlebury.sequences(raw / "MiddEval3")] == list(NAMES[1:])


def test_wrong_root(raw: Path):
    (raw / "empty").mkdir()
    with pytest.raises(SourceError, match="no scene found; expected MiddEval3/training"):
        middlebury.sequences(raw / "empty")
    (raw / "empty/MiddEval3-data-Q.zip").touch()
    with pytest.raises(SourceError, match=r"unpack MiddEval3-data-Q\.zip first"):
        middlebury.sequences(raw / "empty")
    with pytest.raises(SourceError, match="no scene found"):
        middlebury.sequences(raw / "nowhere")


def test_evaluation_scene(raw: Path):
    folder = raw / "MiddEval3/trainingQ/Piano"
    with _convert(raw, "trainingQ_Piano") as sequence:
        assert (sequence.dataset, sequence.split) == ("middlebury", "train")
        assert sequence.frame_ids == ("Piano",) and sequence.timestamps.tolist() == [MISSING_TIME]
        (pair,) = sequence.stereo_pairs
        assert (pair.left, pair.right, pair.baseline) == ("left", "right", 0.193001)
        assert list(sequence.cameras) == ["left", "right"]
        for view, camera in enumerate(sequence.cameras.values()):
            assert (camera.height, camera.width) == (tree.HEIGHT, tree.WIDTH)
            assert camera.streams == ("rgb", "disparity", "disparity_y", "masks/occluded")
            cx, cy = tree.CENTRE[0] + view * tree.DOFFS, tree.CENTRE[1]
            K = [[tree.FOCAL, 0, cx], [0, tree.FOCAL, cy], [0, 0, 1]]
            assert camera.intrinsics(0).tolist() == K
            assert camera.T_rig_cam[:3, 3].tolist() == [view * 0.193001, 0, 0]
            assert bytes(camera.rgb.blob(0)) == (folder / f"im{view}.png").read_bytes()
            stored = read_pfm(folder / f"disp{view}GT.pfm")
            assert np.isinf(stored).any() and stored.max(where=np.isfinite(stored), initial=0) < 9
            np.testing.assert_array_equal(_source_disparity(camera), stored)
            vertical = read_pfm(folder / f"disp{view}GTy.pfm")
            np.testing.assert_array_equal(
                camera["disparity_y"][0], np.where(np.isinf(vertical), np.nan, vertical)
            )
            mask = decode_image((folder / f"mask{view}nocc.png").read_bytes())
            occluded = camera["masks/occluded"]
            assert occluded.missing == 255 and occluded.attrs["quantity"] == "mask"
            assert [np.count_nonzero(mask == v) for v in (255, 128, 0)] == [
                np.count_nonzero(occluded[0] == v) for v in (0, 1, 255)
            ]
            np.testing.assert_array_equal(occluded[0] == 0, mask == 255)
            for name in ("disparity", "disparity_y"):
                facts = camera[name].attrs
                assert (facts["unit"], facts["missing"]) == ("px", "nan")
        facts = {"ndisp": 10, "isint": 0, "vmin": 1, "vmax": 9, "dyavg": 0.1, "dymax": 0.25}
        assert sequence.cameras["left"].transform == {
            "source_view": "im0",
            "calib": {"baseline": 193.001, "doffs": 1.75, **facts},
        }


def test_2014_scene(raw: Path):
    folder = raw / "2014/Sword1-imperfect"
    with _convert(raw, "2014_Sword1-imperfect") as sequence:
        assert sequence.split == "2014"
        left, right = sequence.cameras.values()
        assert left.streams == ("rgb", "disparity")
        assert right.streams == ("rgb", "rgb_exposure", "rgb_lighting", "disparity")
        for stream, name in (("rgb", "im1"), ("rgb_exposure", "im1E"), ("rgb_lighting", "im1L")):
            assert bytes(right[stream].blob(0)) == (folder / f"{name}.png").read_bytes()
        for view, camera in enumerate((left, right)):
            stored = read_pfm(folder / f"disp{view}.pfm")
            np.testing.assert_array_equal(_source_disparity(camera), stored)


def test_depth_follows_from_disparity_and_doffs(raw: Path):
    with _convert(raw, "trainingF_Piano") as sequence:
        for view, camera in enumerate(sequence.cameras.values()):
            stored = read_pfm(raw / f"MiddEval3/trainingF/Piano/disp{view}GT.pfm")
            depth = 0.193001 * tree.FOCAL / (stored.astype(np.float64) + tree.DOFFS)
            expected = np.where(np.isinf(stored), np.nan, depth)
            np.testing.assert_allclose(camera.depth[0], expected, rtol=1e-6)


def test_only_what_is_there(raw: Path):
    scene = raw / "MiddEval3/trainingQ/Piano"
    for name in ("disp1GT.pfm", "disp0GTy.pfm", "disp1GTy.pfm", "mask1nocc.png"):
        (scene / name).unlink()
    with _convert(raw, "trainingQ_Piano") as sequence:
        assert sequence.cameras["left"].streams == ("rgb", "disparity", "masks/occluded")
        assert sequence.cameras["right"].streams == ("rgb",)
    scene = raw / "2014/Sword1-perfect"
    for name in ("im1E.png", "im1L.png", "disp1.pfm"):
        (scene / name).unlink()
    write_pfm(scene / "disp0y.pfm", np.zeros((tree.HEIGHT, tree.WIDTH), np.float32))
    with _convert(raw, "2014_Sword1-perfect") as sequence:
        assert sequence.cameras["left"].streams == ("rgb", "disparity", "disparity_y")
        assert sequence.cameras["right"].streams == ("rgb",)


def test_test_scenes_have_no_truth_and_may_have_no_calibration(raw: Path):
    with _convert(raw, "testH_Plants") as sequence:
        assert sequence.split == "test" and len(sequence.stereo_pairs) == 1
        assert all(camera.streams == ("rgb",) for camera in sequence.cameras.values())
    (raw / "MiddEval3/testH/Plants/calib.txt").unlink()
    with _convert(raw, "testH_Plants", raw.parent / "again") as sequence:
        assert np.isnan(sequence.stereo_pairs[0].baseline)
        for camera in sequence.cameras.values():
            assert camera.transform["intrinsics"] == "unknown" and camera.T_rig_cam is None


def test_truth_that_is_not_unpacked(raw: Path):
    for path in (raw / "MiddEval3/trainingQ").glob("*/*[0-9][nG]*"):
        path.unlink()
    with _convert(raw, "trainingQ_Piano") as sequence:
        for camera in sequence.cameras.values():
            assert camera.streams == ("rgb",)
            assert camera.transform["left_out"] == "ground truth is not in the source tree"
    with _convert(raw, "trainingF_Piano") as sequence:  # the archive of the other size is unpacked
        assert "disparity" in sequence.cameras["left"].streams
    before = middlebury.sequences(raw)[-1]
    write_evaluation(raw / "full/MiddEval3/trainingQ/Piano", 1)
    assert middlebury.fingerprint(before) != middlebury.fingerprint(
        middlebury.sequences(raw / "full/MiddEval3/trainingQ")[0]
    )


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _other_size(path: Path) -> None:
    size = (tree.HEIGHT, tree.WIDTH + 1)
    if path.suffix == ".pfm":
        write_pfm(path, tree.disparity(0, size))
    elif path.name.startswith("mask"):
        write_mask(path, tree.disparity(0, size))
    else:
        path.write_bytes(tree.picture(0, size))


def _edit(old: str, new: str):
    def edit(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


def _one(value: float):
    def put(path: Path) -> None:
        values = read_pfm(path).copy()
        values[2, 3] = value
        write_pfm(path, values)

    return put


PIANO, SWORD = "MiddEval3/trainingQ/Piano", "2014/Sword1-perfect"
MISSING = {
    f"{PIANO}/im1.png": "MiddEval3-data-Q.zip",
    f"{PIANO}/calib.txt": "MiddEval3-data-Q.zip",
    f"{PIANO}/disp0GT.pfm": "MiddEval3-GT0-Q.zip",
    f"{PIANO}/mask0nocc.png": "MiddEval3-GT0-Q.zip",
    f"{SWORD}/im0.png": "Sword1-perfect.zip",
    f"{SWORD}/disp0.pfm": "Sword1-perfect.zip",
    f"{SWORD}/calib.txt": "Sword1-perfect.zip",
}
BREAKAGES = {
    "calib without baseline": (PIANO, "calib.txt", _edit("baseline=193.001\n", ""), "no line 'bas"),
    "doffs": (PIANO, "calib.txt", _edit("doffs=1.75", "doffs=0"), "cx1 - cx0 = 1.75, found 0"),
    "calib of another size": (PIANO, "calib.txt", _edit("width=9", "width=18"), "18x6.* have 9x6"),
    "right image": (PIANO, "im1.png", _other_size, "expected 9x6 pixels like im0.png, found 10x6"),
    "exposure": (SWORD, "im1E.png", _other_size, "expected 9x6 pixels like im0.png, found 10x6"),
    "disparity": (PIANO, "disp1GT.pfm", _other_size, "expected 9x6 pixels .*, found 10x6"),
    "mask": (PIANO, "mask0nocc.png", _other_size, "expected 9x6 pixels .*, found 10x6"),
    "cut image": (PIANO, "im0.png", _cut, r"im0\.png is cut"),
    "cut pfm": (PIANO, "disp0GT.pfm", _cut, r"disp0GT\.pfm"),
    "cut pfm of 2014": (SWORD, "disp1.pfm", _cut, r"disp1\.pfm"),
    "cut mask": (PIANO, "mask1nocc.png", _cut, r"mask1nocc\.png"),
    "minus infinity": (PIANO, "disp0GT.pfm", _one(-np.inf), "found -inf at row 2, column 3"),
    "not a number": (SWORD, "disp0.pfm", _one(np.nan), "found nan at row 2, column 3"),
    "mask value": (
        PIANO,
        "mask0nocc.png",
        lambda path: path.write_bytes(encode_png(np.full((6, 9), 7, np.uint8))),
        "found 7 at row 0, column 0",
    ),
    "colour disparity": (
        PIANO,
        "disp0GT.pfm",
        lambda path: write_pfm(path, np.zeros((6, 9, 3), np.float32)),
        "expected 9x6 pixels like im0.png, found 9x6x3",
    ),
}


@pytest.mark.parametrize("case", BREAKAGES)
def test_broken_scene_gives_one_line_and_no_file(raw: Path, case: str):
    scene, file, damage, message = BREAKAGES[case]
    damage(raw / scene / file)
    report = convert("middlebury", raw, raw / "out", jobs=1, skip_incomplete=True)
    (failed,) = report.failed  # damaged is not incomplete; the others are converted
    assert failed.sequence.endswith(Path(scene).name) and failed.path is None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(failed.message)
    assert str(raw / scene / file) in failed.message and "\n" not in failed.message
    assert len(list((raw / "out").glob("*.h5*"))) == len(NAMES) - 1


@pytest.mark.parametrize("file", MISSING)
def test_missing_file(raw: Path, file: str):
    (raw / file).unlink()
    (failed,) = convert("middlebury", raw, raw / "out", jobs=1).failed
    assert failed.message == f"{raw / file} is missing; unpack {MISSING[file]} again"
    report = convert("middlebury", raw, raw / "out", jobs=1, skip_incomplete=True)
    assert report.ok
    (skipped,) = (r for r in report.results if r.message != "is up to date")
    assert skipped.status == "skipped" and skipped.path is None
    assert len(list((raw / "out").glob("*.h5*"))) == len(NAMES) - 1


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "middlebury*"))
def test_golden_readers_from_the_sequence_file_alone(case: Path, tmp_path: Path):
    with np.load(case / "expected.npz") as arrays:
        expected = dict(arrays)
    scenes = {
        "eval3": (tmp_path / "raw/MiddEval3/trainingF/Golden", "trainingF_Golden"),
        "s2014": (tmp_path / "raw/2014/Golden-perfect", "2014_Golden-perfect"),
    }
    for kind, (folder, name) in scenes.items():
        size = expected[f"{kind}_disp"].shape
        make = write_evaluation if kind == "eval3" else write_2014
        make(folder, size=size)
        for path in folder.glob("*1*.p[fn][mg]"):  # truth of the right view is not golden
            if not path.name.startswith("im"):
                path.unlink()
        for path in (case / kind).iterdir():
            shutil.copyfile(path, folder / path.name)
        with _convert(tmp_path / "raw", name) as sequence:
            left = sequence.cameras["left"]
            disparity = _source_disparity(left)
            found = {"disp": disparity, "valid": disparity < 1000}
            if kind == "eval3":
                found["valid"] = left["masks/occluded"][0] == 0
            for what, values in found.items():
                wanted = expected.pop(f"{kind}_{what}")
                assert values.dtype == wanted.dtype
                np.testing.assert_array_equal(values, wanted)
    assert not expected


@pytest.mark.realdata
def test_real_motorcycle(realdata: Path, tmp_path: Path):
    root = realdata / "middlebury_MiddEval3"
    scene = root / "trainingQ/Motorcycle"
    (result,) = convert("middlebury", root, tmp_path, jobs=1).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    report = dd.check(result.path)
    assert report.ok, report.table()
    with open_sequence(result.path) as sequence:
        assert sequence.name == "trainingQ_Motorcycle" and sequence.split == "train"
        assert sequence.stereo_pairs[0].baseline == 0.193001
        left, right = sequence.cameras.values()
        assert (left.height, left.width) == (497, 741)
        assert left.intrinsics(0)[0].tolist() == [999.421, 0, 294.182]
        assert right.intrinsics(0)[:2, 2].tolist() == [326.96, 252.932]
        assert left.transform["calib"]["doffs"] == 32.778
        assert left.transform["calib"]["ndisp"] == 70
        facts = {
            "left": (360593, 9.177551, 62.87735, 36.431587),
            "right": (362328, 9.434986, 62.880585, 36.463140),
        }
        for view, (name, (count, low, high, mean)) in enumerate(facts.items()):
            camera = sequence.cameras[name]
            assert bytes(camera.rgb.blob(0)) == (scene / f"im{view}.png").read_bytes()
            values = camera["disparity"][0]
            known = values[np.isfinite(values)]
            assert known.size == count
            assert (known.min(), known.max()) == pytest.approx((low, high), abs=1e-5)
            assert known.mean(dtype=np.float64) == pytest.approx(mean, abs=1e-5)
            mask = camera["masks/occluded"][0]
            assert np.count_nonzero(mask != 255) == count
            np.testing.assert_array_equal(mask == 255, np.isnan(values))
            vertical = camera["disparity_y"][0]
            assert np.isfinite(vertical).sum() == count
            assert 0.3 < np.nanmax(np.abs(vertical)) <= left.transform["calib"]["dymax"]
        # In metres: fx B / (d + doffs) for both views.
        for camera in (left, right):
            expected = 999.421 * 0.193001 / (camera["disparity"][0].astype(np.float64) + 32.778)
            np.testing.assert_allclose(camera.depth[0], expected, rtol=1e-6)
            assert 2.0 < np.nanmin(camera.depth[0]) < np.nanmax(camera.depth[0]) < 4.7
        assert warp_gain(left, right, 1) < 0.25 and warp_gain(right, left, -1) < 0.25
