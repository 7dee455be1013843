"""KITTI depth as sequence files: a rendered drive there and back, selections, the real frames."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from depthdata.checks import check
from depthdata.codecs.images import decode_image, encode_png
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.sequence import MISSING_TIME, Sequence, open_sequence, verify
from depthdata.sources import kitti_depth
from depthdata.sources.kitti_depth_selection import SELECTIONS
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.synthetic.layouts.kitti_odometry import annotated_levels

DRIVE = "2011_09_26_drive_0001_sync"
FRAMES, HEIGHT, WIDTH = 4, 40, 130
CROPPED = (36, 120)


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(
        seed=6, frames=FRAMES, height=HEIGHT, width=WIDTH, lidar_rows=24, lidar_steps=600
    )


@pytest.fixture(scope="module")
def whole(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with everything, which no test changes."""
    root = tmp_path_factory.mktemp("depth") / "raw"
    folder = write_raw("kitti_depth", scene, root, margin=1, selections=SELECTIONS, cropped=CROPPED)
    assert folder == root / "train" / DRIVE
    return root


@pytest.fixture(scope="module")
def found(whole: Path) -> dict[str, Sequence]:
    return _converted(whole)


@pytest.fixture
def raw(whole: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    shutil.copytree(whole, tmp_path / "raw")
    return tmp_path / "raw"


def _converted(raw: Path) -> dict[str, Sequence]:
    report = convert("kitti_depth", raw, raw.parent / "out", jobs=1, overwrite=True)
    assert report.ok, report.failed
    assert all(verify(result.path).ok for result in report.results)
    return {result.sequence: open_sequence(result.path) for result in report.results}


def _failure(raw: Path, name: str, *, incomplete: bool = False) -> str:
    out = raw.parent / "out"
    (result,) = convert("kitti_depth", raw, out, jobs=1, sequences=[name]).results
    assert result.status == "failed" and result.path is None
    assert [p.name for p in out.iterdir() if ".h5" in p.name] == []
    assert "\n" not in result.message
    (again,) = convert(
        "kitti_depth", raw, out, jobs=1, sequences=[name], skip_incomplete=True
    ).results
    assert again.status == ("skipped" if incomplete else "failed")
    return result.message


def test_depth_comes_back_to_the_level(
    scene: SyntheticScene, whole: Path, found: dict[str, Sequence]
):
    sequence = found[DRIVE]
    assert (sequence.dataset, sequence.split) == ("kitti_depth", "train")
    assert sequence.frame_ids == tuple(f"{t:010d}" for t in range(FRAMES))
    for name, number in (("left", 2), ("right", 3)):
        camera = sequence.cameras[name]
        assert camera["depth"].frames.tolist() == camera["depth_raw"].frames.tolist() == [1, 2]
        for t in (1, 2):
            depth = scene.render(t, name, colour=False).depth
            np.testing.assert_array_equal(camera["depth"].raw(t), annotated_levels(depth))
            file = f"proj_depth/velodyne_raw/image_{number:02d}/{t:010d}.png"
            levels = decode_image((whole / "train" / DRIVE / file).read_bytes())
            np.testing.assert_array_equal(camera["depth_raw"].raw(t), levels)
            seen = levels > 0
            close = np.abs(levels / 256 - depth)[seen] < 0.03 * depth[seen] + 0.1
            assert seen.sum() > 100 and close.mean() > 0.8


def test_the_rest_is_that_of_kitti_raw(
    scene: SyntheticScene, whole: Path, found: dict[str, Sequence], tmp_path: Path
):
    (result,) = convert("kitti_raw", whole, tmp_path, jobs=1).results
    with open_sequence(result.path) as raw:
        sequence = found[DRIVE]
        np.testing.assert_array_equal(sequence.timestamps, raw.timestamps)
        assert sequence.stereo_pairs == raw.stereo_pairs[:1]
        for name, camera in sequence.cameras.items():
            other = raw.cameras[name]
            np.testing.assert_array_equal(camera.intrinsics(0), other.intrinsics(0))
            np.testing.assert_array_equal(camera.poses, other.poses)
            for t in range(FRAMES):
                assert camera["rgb"].blob(t) == other["rgb"].blob(t)


def test_disparity_follows(scene: SyntheticScene, found: dict[str, Sequence]):
    left = found[DRIVE].cameras["left"]
    truth = scene.render(1, "left", colour=False).disparity
    measured = ~np.isnan(left.disparity[1])
    np.testing.assert_allclose(left.disparity[1][measured], truth[measured], rtol=1e-3)


def test_check_finds_nothing_wrong(found: dict[str, Sequence]):
    report = check(found[DRIVE].path)
    assert report.ok, report.table()


def test_depth_alone(raw: Path):
    shutil.rmtree(raw / "2011_09_26")
    shutil.rmtree(raw / "depth_selection")
    shutil.rmtree(raw / "train" / DRIVE / "proj_depth" / "velodyne_raw")
    (raw / "train").rename(raw / "val")
    (sequence,) = _converted(raw).values()
    assert sequence.split == "val" and len(sequence) == FRAMES - 2
    assert (sequence.timestamps == MISSING_TIME).all()
    left = sequence.cameras["left"]
    assert left.streams == ("depth",) and (left.height, left.width) == (HEIGHT, WIDTH)
    assert left.transform["intrinsics"] == "unknown" and not left.derived
    assert np.isnan(sequence.stereo_pairs[0].baseline)


def test_archives_in_folders_of_their_own(raw: Path):
    shutil.rmtree(raw / "depth_selection")
    for kind, top in (("groundtruth", "annotated"), ("velodyne_raw", "velodyne")):
        target = raw / f"data_depth_{top}" / "train" / DRIVE / "proj_depth" / kind
        target.parent.mkdir(parents=True)
        (raw / "train" / DRIVE / "proj_depth" / kind).rename(target)
    shutil.rmtree(raw / "train")
    (raw / "kitti_raw").mkdir()
    (raw / "2011_09_26").rename(raw / "kitti_raw" / "2011_09_26")
    (sequence,) = _converted(raw).values()
    assert sequence.cameras["right"].streams == ("rgb", "depth", "depth_raw")


def test_selections(scene: SyntheticScene, found: dict[str, Sequence]):
    top, left = HEIGHT - CROPPED[0], (WIDTH - CROPPED[1]) // 2
    part = np.s_[top:, left : left + CROPPED[1]]
    names = {selection: [] for selection in SELECTIONS}
    for name, sequence in found.items():
        if name == DRIVE:
            continue
        names[sequence.split].append(name)
        (camera,) = sequence.cameras.values()
        assert len(sequence) == 1 and camera["rgb"].shape[:2] == CROPPED
        moved = scene.intrinsics[:2, 2] - [left, top]
        np.testing.assert_array_equal(camera.intrinsics(0)[:2, 2], moved)
    assert all(len(each) == 2 * FRAMES for each in names.values())
    validation, completion, prediction = (found[each[5]] for each in names.values())
    # the sixth image is that of frame 2, camera 03
    assert validation.name == f"{SELECTIONS[0]}_{DRIVE}_0000000002_image_03"
    depth = scene.render(2, "right", colour=False).depth
    right = validation.cameras["right"]
    np.testing.assert_array_equal(right["depth"].raw(0), annotated_levels(depth)[part])
    for sequence in (completion, prediction):
        camera = sequence.cameras["camera"]
        np.testing.assert_array_equal(camera["rgb"][0], scene.photograph(2, "right")[part])
    assert completion.cameras["camera"].streams == ("rgb", "depth_raw")
    assert prediction.cameras["camera"].streams == ("rgb",)


def test_any_folder_of_the_tree_may_be_given(raw: Path):
    specs = kitti_depth.sequences(raw)
    assert pickle.loads(pickle.dumps(specs)) == specs and len(specs) == 1 + 6 * FRAMES
    for folder in ("train", f"train/{DRIVE}"):
        assert kitti_depth.sequences(raw / folder) == specs[:1]
    assert kitti_depth.sequences(raw / "depth_selection") == specs[1:]
    last = kitti_depth.sequences(raw / "depth_selection" / SELECTIONS[2])
    assert last == specs[1 + 4 * FRAMES :]


def test_wrong_roots(tmp_path: Path):
    (tmp_path / "train" / DRIVE / "proj_depth").mkdir(parents=True)
    (tmp_path / "data_depth_selection.zip").touch()
    with pytest.raises(SourceError, match=r"no depth map.*unpack data_depth_selection\.zip first"):
        kitti_depth.sequences(tmp_path)
    with pytest.raises(SourceError, match=r"no depth map found; expected train\|val"):
        kitti_depth.sequences(tmp_path / "nothing")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _grey(path: Path) -> None:
    path.write_bytes(encode_png(np.zeros((HEIGHT, WIDTH), np.uint8)))


def _larger(path: Path) -> None:
    path.write_bytes(encode_png(np.zeros((HEIGHT, WIDTH + 2), np.uint16)))


MAP = f"train/{DRIVE}/proj_depth/groundtruth/image_02/0000000002.png"
IMAGE = f"2011_09_26/{DRIVE}/image_02/data/0000000001.png"
SELECTED = f"{SELECTIONS[0]}_{DRIVE}_0000000001_image_02"
INTRINSICS = f"depth_selection/{SELECTIONS[0]}/intrinsics/{DRIVE}_image_0000000001_image_02.txt"


@pytest.mark.parametrize(
    ("sequence", "name", "change", "message"),
    [
        (DRIVE, MAP, _cut, "0000000002.png: depth: PNG cut at"),
        (DRIVE, MAP, _grey, "expected 16-bit grey PNG, found 8-bit PNG"),
        (DRIVE, MAP, _larger, "0000000002.png: expected 130x40 pixels like the images, found 132x"),
        (DRIVE, IMAGE, _cut, "0000000001.png is cut"),
        (SELECTED, INTRINSICS, _cut, "image_02.txt: intrinsics: expected 9 numbers, found"),
    ],
)
def test_wrong_files(raw: Path, sequence: str, name: str, change, message: str):
    change(raw / name)
    assert message in _failure(raw, sequence)


def test_images_of_another_size(raw: Path):
    for path in (raw / "2011_09_26" / DRIVE).glob("image_02/data/*.png"):
        path.write_bytes(encode_png(np.zeros((20, 30, 3), np.uint8)))
    assert "has 30x20 pixels but" in _failure(raw, DRIVE)


@pytest.mark.parametrize("kind", ["image", "groundtruth_depth", "velodyne_raw"])
def test_missing_files_of_a_selection(raw: Path, kind: str):
    name = f"{DRIVE}_{kind}_0000000001_image_02.png"
    (raw / "depth_selection" / SELECTIONS[0] / kind / name).unlink()
    message = _failure(raw, SELECTED, incomplete=True)
    assert f"{name} is missing; unpack data_depth_selection.zip" in message


def test_missing_calibration(raw: Path):
    (raw / "2011_09_26" / "calib_cam_to_cam.txt").unlink()
    assert "calib_cam_to_cam.txt is missing" in _failure(raw, DRIVE, incomplete=True)


# --- three real frames of a drive -------------------------------------------------------------

COUNTS = {  # stream, camera: non-zero pixels
    ("depth", "left"): (90839, 88575, 90074),
    ("depth", "right"): (85989, 83755, 85223),
    ("depth_raw", "left"): (19154, 19094, 19017),
    ("depth_raw", "right"): (19205, 19202, 19089),
}
HIGHEST = {"depth": (21733, 21474, 21223), "depth_raw": (19973, 20194, 20065)}


@pytest.fixture(scope="module")
def real(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    """The drive with its images, which are JPEGs here."""
    root = tmp_path_factory.mktemp("real")
    (root / "raw").mkdir()
    (root / "raw" / "train").symlink_to(realdata / "kitti_depth" / "train")
    (root / "raw" / "2011_09_26").symlink_to(realdata / "kitti_raw_jpg" / "2011_09_26")
    (sequence,) = _converted(root / "raw").values()
    return sequence


@pytest.mark.realdata
def test_known_figures(real: Sequence):
    assert real.frame_ids == ("0000000005", "0000000006", "0000000007")
    for (stream, camera), counts in COUNTS.items():
        levels = [real.cameras[camera][stream].raw(t) for t in range(3)]
        assert tuple(np.count_nonzero(each) for each in levels) == counts
        if camera == "left":
            assert tuple(each.max() for each in levels) == HIGHEST[stream]


@pytest.mark.realdata
def test_depth_agrees_with_the_real_images(real: Sequence):
    report = check(real.path)
    assert report.ok, report.table()
    names = {finding.name for finding in report.findings if finding.ok}
    assert {"depth vs stereo", "stereo scale", "photometric", "depth vs images"} <= names
