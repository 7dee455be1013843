"""KITTI odometry as sequence files: a rendered scene there and back, wrong trees, the real 07."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.aspect_crop import AspectCrop
from depthdata.checks import check
from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.kitti_odometry import read_poses
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.geometry import se3_inverse
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.sources import kitti_odometry
from depthdata.sources.kitti_odometry_drives import DRIVES, SEQUENCES, copy_annotated_depth
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.synthetic.layouts.kitti_odometry import annotated_levels

FRAMES, HEIGHT, WIDTH = 3, 40, 130
MASK = (12, 24)
NUMBER = {"left": 2, "right": 3, "gray_left": 0, "gray_right": 1}


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(
        seed=5, frames=FRAMES, height=HEIGHT, width=WIDTH, lidar_rows=24, lidar_steps=600
    )


@pytest.fixture(scope="module")
def whole(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with everything, which no test changes."""
    root = tmp_path_factory.mktemp("odometry") / "raw"
    folder = write_raw("kitti_odometry", scene, root, mask_size=MASK)
    assert folder == root / "sequences" / "07"
    return root


@pytest.fixture(scope="module")
def sequence(whole: Path) -> Sequence:
    return _convert(whole)


@pytest.fixture
def raw(whole: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    shutil.copytree(whole, tmp_path / "raw")
    return tmp_path / "raw"


def _convert(raw: Path, name: str = "07") -> Sequence:
    (result,) = convert("kitti_odometry", raw, raw.parent / "out", jobs=1, overwrite=True).results
    assert result.status == "converted" and result.sequence == name, result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


def _failure(raw: Path, *, incomplete: bool = False) -> str:
    out = raw.parent / "out"
    (result,) = convert("kitti_odometry", raw, out, jobs=1).results
    assert result.status == "failed" and result.path is None
    assert [p.name for p in out.iterdir() if ".h5" in p.name] == []
    assert "\n" not in result.message
    (again,) = convert("kitti_odometry", raw, out, jobs=1, skip_incomplete=True).results
    assert again.status == ("skipped" if incomplete else "failed")
    return result.message


def test_images_calibration_and_times_come_back(
    scene: SyntheticScene, whole: Path, sequence: Sequence
):
    assert (sequence.dataset, sequence.name, sequence.split) == ("kitti_odometry", "07", "train")
    assert sequence.frame_ids == tuple(f"{t:06d}" for t in range(FRAMES))
    np.testing.assert_array_equal(sequence.timestamps, scene.timestamps - scene.timestamps[0])
    assert set(sequence.cameras) == set(NUMBER)
    for name, camera in sequence.cameras.items():
        folder = whole / "sequences/07" / f"image_{NUMBER[name]}"
        for t in range(FRAMES):
            assert camera["rgb"].blob(t) == (folder / f"{t:06d}.png").read_bytes()
        np.testing.assert_array_equal(camera.intrinsics(0), scene.intrinsics)
    pairs = {(pair.left, pair.right): pair.baseline for pair in sequence.stereo_pairs}
    expected = {("left", "right"): scene.baseline, ("gray_left", "gray_right"): scene.baseline}
    assert pairs == pytest.approx(expected, abs=1e-12)


def test_poses_of_every_camera_come_back(scene: SyntheticScene, sequence: Sequence):
    start = se3_inverse(scene.T_world_cam("gray_left")[0])
    for name, camera in sequence.cameras.items():
        expected = start @ scene.T_world_cam(name)
        np.testing.assert_allclose(camera.poses, expected, rtol=0, atol=1e-12)
        assert camera.transform["poses"] == "kitti_gt"


def test_both_trajectories_are_kept_as_they_are(whole: Path, sequence: Sequence):
    assert list(sequence.pose_sets) == ["kitti_gt", "dvso"]
    for name, camera in (("kitti_gt", "gray_left"), ("dvso", "left")):
        file = whole / {"kitti_gt": "poses", "dvso": "poses_dvso"}[name] / "07.txt"
        T_rig_cam = sequence.cameras[camera].T_rig_cam
        np.testing.assert_array_equal(sequence.pose_sets[name].T_world_ref, read_poses(file))
        np.testing.assert_array_equal(sequence.pose_sets[name].of(T_rig_cam), read_poses(file))
    # both are of one drive: relative poses of any camera agree
    right = sequence.cameras["right"].T_rig_cam
    truth, other = (each.of(right) for each in sequence.pose_sets.values())
    np.testing.assert_allclose(
        se3_inverse(truth[0]) @ truth[2], se3_inverse(other[0]) @ other[2], rtol=0, atol=1e-10
    )


def test_depth_comes_back_to_the_level(scene: SyntheticScene, sequence: Sequence):
    left = sequence.cameras["left"]
    assert (left["depth_annotated"].unit, left["depth_annotated"].scale) == ("m", 1 / 256)
    for t in range(FRAMES):
        depth = scene.render(t, "left", colour=False).depth
        np.testing.assert_array_equal(left["depth_annotated"].raw(t), annotated_levels(depth))
        found = left["depth_annotated"][t]
        measured = ~np.isnan(found)
        assert 0.1 < measured.mean() < 0.25
        assert np.abs(found - depth)[measured].max() <= 1 / 512
    assert "depth_annotated" not in sequence.cameras["right"].streams


def test_lidar_points_lie_on_the_rendered_surfaces(scene: SyntheticScene, sequence: Sequence):
    for name in ("left", "gray_right"):
        stream = sequence.cameras[name]["depth"]
        np.testing.assert_allclose(
            stream.attrs["projection"], scene.projection(name), rtol=0, atol=1e-9
        )
        found = stream[1]
        rendered = scene.render(1, name, colour=False).depth
        seen = ~np.isnan(found)
        close = np.abs(found - rendered)[seen] < 0.03 * found[seen] + 0.1
        assert seen.sum() > 100 and close.mean() > 0.8


def test_moving_objects_keep_their_own_size_and_say_where_they_are(
    scene: SyntheticScene, sequence: Sequence
):
    (name,) = (s for s in sequence.cameras["left"].streams if s.startswith("masks"))
    assert name == f"masks/moving_{MASK[0]}x{MASK[1]}"
    stream = sequence.cameras["left"][name]
    box = AspectCrop((HEIGHT, WIDTH), MASK).box
    assert tuple(stream.attrs["crop"]) == box
    moving = scene.render(1, "left", colour=False).moving[box[1] : box[3], box[0] : box[2]]
    assert abs(stream[1].mean() - moving.mean()) < 0.1 and stream[1].any()


def test_check_finds_nothing_wrong(sequence: Sequence):
    report = check(sequence.path)
    assert report.ok, report.table()


def test_same_scene_same_bytes(scene: SyntheticScene, sequence: Sequence, tmp_path: Path):
    write_raw("kitti_odometry", scene, tmp_path / "elsewhere", mask_size=MASK)
    (result,) = convert("kitti_odometry", tmp_path / "elsewhere", tmp_path / "out", jobs=2).results
    assert result.path.read_bytes() == Path(sequence.path).read_bytes()


def test_published_precision(scene: SyntheticScene, tmp_path: Path):
    write_raw("kitti_odometry", scene, tmp_path / "raw", digits=6, cameras=("left",))
    with _convert(tmp_path / "raw") as sequence:
        expected = se3_inverse(scene.T_world_cam("gray_left")[0]) @ scene.T_world_cam("left")
        np.testing.assert_allclose(sequence.cameras["left"].poses, expected, rtol=0, atol=2e-6)


def test_dvso_alone_gives_the_poses(raw: Path):
    shutil.rmtree(raw / "poses")
    with _convert(raw) as sequence:
        left = sequence.cameras["left"]
        np.testing.assert_array_equal(left.poses, read_poses(raw / "poses_dvso/07.txt"))
        assert left.transform["poses"] == "dvso" and list(sequence.pose_sets) == ["dvso"]


def test_images_alone(raw: Path):
    for name in ("poses", "poses_dvso"):
        shutil.rmtree(raw / name)
    folder = raw / "sequences" / "07"
    for name in ("image_1", "image_2", "image_3", "velodyne", "image_depth_annotated"):
        shutil.rmtree(folder / name)
    folder.rename(folder.with_name("21"))
    with _convert(raw, "21") as sequence:
        assert sequence.split == "test" and list(sequence.cameras) == ["gray_left"]
        camera = sequence.cameras["gray_left"]
        assert camera.streams == ("rgb",) and camera.poses is None
        assert not sequence.pose_sets and not sequence.stereo_pairs


def test_any_folder_of_the_tree_may_be_given(raw: Path):
    specs = kitti_odometry.sequences(raw)
    assert pickle.loads(pickle.dumps(specs)) == specs and len(specs) == 1
    for folder in ("sequences", "sequences/07"):
        assert kitti_odometry.sequences(raw / folder) == specs
    raw.rename(raw.with_name("dataset"))
    (spec,) = kitti_odometry.sequences(raw.parent)
    assert spec.root == str(raw.with_name("dataset").resolve())


def test_an_excerpt_keeps_the_numbers(raw: Path):
    folder = raw / "sequences" / "07"
    for path in folder.glob("image_?/000001.png"):
        path.unlink()
    with _convert(raw) as sequence:
        assert sequence.frame_ids == ("000000", "000002")
        assert sequence.timestamps.tolist() == [0, 200_000_000]
        poses = read_poses(raw / "poses/07.txt")[[0, 2]]
        np.testing.assert_array_equal(sequence.cameras["gray_left"].poses, poses)
        assert len(sequence.cameras["left"]["depth"].frames) == 2
        assert sequence.cameras["left"].transform["published_frames"] == FRAMES


def test_depth_is_found_through_the_raw_drive(raw: Path, tmp_path: Path):
    folder = raw / "sequences" / "07"
    prepared = folder / "image_depth_annotated"
    drive = raw / "data_depth_annotated" / "train" / "2011_09_30_drive_0027_sync"
    for number in (2, 3):
        shutil.copytree(prepared, drive / f"proj_depth/groundtruth/image_{number:02d}")
    for path in drive.rglob("*.png"):
        path.rename(path.with_name(f"{int(path.stem):010d}.png"))
    shutil.rmtree(prepared)
    with _convert(raw) as found:
        for t in range(FRAMES):
            levels = found.cameras["left"]["depth_annotated"].raw(t)
            assert levels.any()
            np.testing.assert_array_equal(levels, found.cameras["right"]["depth_annotated"].raw(t))
    # what the published script copies is the same file again
    written = copy_annotated_depth(raw / "data_depth_annotated", tmp_path / "prepared")
    assert [path.name for path in written] == [f"{t:06d}.png" for t in range(FRAMES)]


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "kitti_depth_to_odometry*"))
def test_golden_depth_to_odometry(case: Path, tmp_path: Path):
    expected = json.loads((case / "expected.json").read_text())["files"]
    copy_annotated_depth(case / "data_depth_annotated.zip", tmp_path / "from_zip")
    shutil.unpack_archive(case / "data_depth_annotated.zip", tmp_path / "unpacked")
    copy_annotated_depth(tmp_path / "unpacked", tmp_path / "from_folder")
    for root in (tmp_path / "from_zip", tmp_path / "from_folder"):
        files = [path for path in root.rglob("*") if path.is_file()]
        found = {}
        for path in files:
            (level,) = np.unique(decode_image(path.read_bytes()))
            found[path.relative_to(root).as_posix()] = int(level)
        assert found == expected
    # the converter finds the same maps without the copy, but for what lies behind a sequence
    for name in SEQUENCES:
        (tmp_path / "unpacked" / "sequences" / name).mkdir(parents=True)
    for spec in kitti_odometry.sequences(tmp_path / "unpacked"):
        wanted = {path for path in expected if path.startswith(f"sequences/{spec.name}/")}
        frames = {int(Path(path).stem) for path in wanted}
        drive = DRIVES.get(spec.name)
        inside = {n for n in frames if drive is not None and n <= drive.last - drive.first}
        assert set(spec.files["depth"].get("left", {})) == inside


def test_the_archive_must_be_one(tmp_path: Path):
    archive = tmp_path / "data_depth_annotated.zip"
    with pytest.raises(SourceError, match="is missing") as error:
        copy_annotated_depth(archive, tmp_path)
    assert error.value.incomplete
    archive.write_bytes(b"PK")
    with pytest.raises(SourceError, match="no whole archive"):
        copy_annotated_depth(archive, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no depth map of sequences 00 to 10"):
        copy_annotated_depth(tmp_path / "empty", tmp_path)


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("sequences/07/times.txt", "sequences/07/times.txt is missing"),
        ("sequences/07/calib.txt", "sequences/07/calib.txt is missing"),
        ("sequences/07/image_3/000001.png", "image_3: 2 images, another camera has 3; the first "),
    ],
)
def test_missing_files(raw: Path, remove: str, message: str):
    (raw / remove).unlink()
    assert message in _failure(raw, incomplete=True)


def test_a_sequence_without_images(raw: Path):
    for number in range(4):
        shutil.rmtree(raw / f"sequences/07/image_{number}")
    assert "the sequence has no image" in _failure(raw, incomplete=True)


def _cut_lines(path: Path, count: int) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:count]))


def _cut_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _another_size(path: Path) -> None:
    path.write_bytes(encode_png(np.zeros((HEIGHT, WIDTH + 1), np.uint16)))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("poses/07.txt", lambda p: _cut_lines(p, 2), "07.txt: expected 3 poses, one for each line"),
        ("poses_dvso/07.txt", _cut_bytes, "07.txt: poses: line 3: expected 12 numbers, found"),
        ("sequences/07/times.txt", lambda p: _cut_lines(p, 2), "times.txt has 2 lines but there"),
        ("sequences/07/times.txt", lambda p: p.write_text("0\nx\n1"), "times: line 2: 'x' is no"),
        ("sequences/07/calib.txt", lambda p: _cut_lines(p, 3), "calib.txt: no line 'P3: ...'"),
        ("sequences/07/calib.txt", lambda p: _cut_lines(p, 4), "calib.txt: no line 'Tr: ...'"),
        ("sequences/07/image_2/000002.png", _cut_bytes, "image_2/000002.png is cut"),
        (
            "sequences/07/image_2/000002.png",
            lambda p: p.write_bytes(b""),
            "000002.png is empty (0 bytes)",
        ),
        ("sequences/07/velodyne/000001.bin", _cut_bytes, "000001.bin: a scan has 16 bytes a point"),
        ("sequences/07/image_depth_annotated/000001.png", _cut_bytes, "depth: PNG cut at"),
        ("sequences/07/image_depth_annotated/000001.png", _another_size, "expected 130x40 pixels"),
        ("sequences/07/mvobj_mask/000001.npy", _cut_bytes, "mask: 24x12 pixels need 288 bytes"),
    ],
)
def test_wrong_files(raw: Path, name: str, change, message: str):
    change(raw / name)
    found = _failure(raw)
    assert message in found and Path(name).name in found


def test_masks_of_two_sizes(raw: Path):
    from depthdata.codecs.kitti_odometry import encode_moving_mask

    path = raw / "sequences/07/mvobj_mask/000002.npy"
    path.write_bytes(encode_moving_mask(np.zeros((4, 8))))
    assert "expected a mask of 24x12 like the first, found 8x4" in _failure(raw)


def test_wrong_roots(raw: Path, tmp_path: Path):
    shutil.copytree(raw / "sequences/07", raw / "sequences/22")
    with pytest.raises(SourceError, match="22: KITTI odometry has the sequences 00 to 21"):
        kitti_odometry.sequences(raw)
    shutil.rmtree(raw / "sequences/22")
    shutil.copy(raw / "sequences/07/image_2/000001.png", raw / "sequences/07/image_2/1.png")
    with pytest.raises(SourceError, match=r"frame 1 is there twice, 000001\.png and 1\.png"):
        kitti_odometry.sequences(raw)
    (tmp_path / "data_odometry_color.zip").touch()
    with pytest.raises(SourceError, match=r"no sequence found.*unpack data_odometry_color\.zip"):
        kitti_odometry.sequences(tmp_path)


# --- the real sequence 07, of which there are four frames -------------------------------------


@pytest.fixture(scope="module")
def real(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    out = tmp_path_factory.mktemp("real")
    (result,) = convert("kitti_odometry", realdata / "kitti_odometry", out, jobs=1).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


@pytest.mark.realdata
def test_known_figures(real: Sequence, realdata: Path):
    assert real.frame_ids == ("000000", "000168", "000169", "000170")
    left = real.cameras["left"]
    assert (left.height, left.width) == (370, 1226)
    assert left.transform["published_frames"] == 1101
    pose = real.pose_sets["kitti_gt"].T_world_ref[1]
    np.testing.assert_allclose(pose[:3, 3], [-77.57340, 0.8408161, 22.61434], rtol=0, atol=1e-6)
    counts = [np.count_nonzero(~np.isnan(left.depth_annotated[t])) for t in (1, 2, 3)]
    assert counts == [81723, 79826, 78780]
    assert left["depth_annotated"].frames.tolist() == [1, 2, 3]
    assert real.stereo_pairs[0].baseline == pytest.approx(0.5354, abs=1e-4)
    for name, number in (("left", 2), ("right", 3)):
        for t, frame in enumerate(real.frame_ids):
            path = realdata / f"kitti_odometry/sequences/07/image_{number}/{frame}.png"
            assert real.cameras[name]["rgb"].blob(t) == path.read_bytes()


@pytest.mark.realdata
def test_both_trajectories_tell_the_same_motion(real: Sequence):
    """Which also says that DVSO's poses are camera poses with KITTI's axes, in metres."""
    left = real.cameras["left"].T_rig_cam
    truth, dvso = (real.pose_sets[name].of(left) for name in ("kitti_gt", "dvso"))
    for t in (1, 2):
        step = se3_inverse(truth[t]) @ truth[t + 1]
        other = se3_inverse(dvso[t]) @ dvso[t + 1]
        assert np.linalg.norm(step[:3, 3]) > 0.3
        np.testing.assert_allclose(step[:3, 3], other[:3, 3], rtol=0, atol=0.03)
        np.testing.assert_allclose(step[:3, :3], other[:3, :3], rtol=0, atol=2e-3)


@pytest.mark.realdata
def test_depth_and_poses_agree_with_the_images(real: Sequence):
    report = check(real.path)
    assert report.ok, report.table()
    # annotated depth as disparity: the right image, moved by it, looks like the left one
    left, right, pair = real.cameras["left"], real.cameras["right"], real.stereo_pairs[0]
    depth = left["depth_annotated"][1]
    row, column = np.nonzero(~np.isnan(depth))
    shift = left.intrinsics(1)[0, 0] * pair.baseline / depth[row, column]
    keep = column - shift >= 0
    row, column, shift = row[keep], column[keep], shift[keep]
    a, b = (camera["rgb"][1].astype(np.float64).mean(-1) for camera in (left, right))
    there = np.abs(a[row, column] - b[row, np.rint(column - shift).astype(int)])
    unmoved = np.abs(a[row, column] - b[row, column])
    assert np.median(there) < 0.5 * np.median(unmoved)
