"""KITTI raw drives as sequence files: a tree written by hand, golden trees, real drives."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import kitti_tree as tiny
import numpy as np
import pytest
from kitti_tree import DATE, drive_name, write_calibration, write_times, write_tree
from support import golden_cases

from depthdata.codecs.images import encode_png, image_size
from depthdata.codecs.kitti import MISSING_TIME, read_velodyne
from depthdata.comparison.dynamo_depth import depth_rows
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.geometry import se3_inverse
from depthdata.lidar import eigen_depth_map, project_sensor
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.sources import dataset_card, get, kitti_raw, list_datasets
from depthdata.sources.kitti_raw_geometry import mercator_pose

NUMBER = {"left": 2, "right": 3, "gray_left": 0, "gray_right": 1}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "raw")


@pytest.fixture
def drive(raw: Path) -> Path:
    return raw / DATE / drive_name()


def _convert(raw: Path, **options) -> Sequence:
    out = raw.parent / "out"
    report = convert("kitti_raw", raw, out, jobs=1, **options)
    assert report.ok, report.failed
    (result,) = report.results
    assert verify(result.path).ok
    return open_sequence(result.path)


def _failure(raw: Path) -> str:
    (result,) = convert("kitti_raw", raw, raw.parent / "out", jobs=1).results
    assert result.status == "failed" and result.path is None
    assert [p.name for p in (raw.parent / "out").iterdir() if ".h5" in p.name] == []
    assert "\n" not in result.message
    return result.message


def test_card():
    assert "kitti_raw" in list_datasets()
    card = dataset_card("kitti_raw")
    assert card is get("kitti_raw").CARD
    names = [archive.name for archive in card.archives]
    assert len(set(names)) == len(names) == 66
    assert sum(name.endswith("_calib.zip") for name in names) == 5
    url = "https://s3.eu-central-1.amazonaws.com/avg-kitti/raw_data/2011_10_03_drive_0047/"
    assert card.archives[-1].url == f"{url}2011_10_03_drive_0047_sync.zip"
    assert card.licence == "CC BY-NC-SA 3.0"
    assert card.citation.startswith("@article{Geiger2013IJRR")
    assert pickle.loads(pickle.dumps(card)) == card


def test_root_may_be_the_date_or_the_drive(raw: Path, drive: Path):
    (drive.parent / f"{DATE}_drive_0001_extract").mkdir()
    (drive.parent / f"{DATE}_drive_0007_sync").mkdir()
    names = [drive_name(), f"{DATE}_drive_0007_sync"]
    assert [spec.name for spec in kitti_raw.sequences(raw)] == names
    assert [spec.name for spec in kitti_raw.sequences(raw / DATE)] == names
    (spec,) = kitti_raw.sequences(drive)
    assert spec.name == drive_name() and spec.root == str(drive.parent)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert spec == kitti_raw.sequences(raw)[0]


def test_source_bytes_are_untouched(raw: Path, drive: Path):
    with _convert(raw) as sequence:
        assert sequence.dataset == "kitti_raw" and sequence.name == drive_name()
        assert sequence.licence == "CC BY-NC-SA 3.0" and "Geiger2013IJRR" in sequence.citation
        assert sequence.frame_ids == ("0000000000", "0000000001", "0000000002")
        assert set(sequence.cameras) == set(NUMBER)
        for name, camera in sequence.cameras.items():
            assert (camera.height, camera.width) == (tiny.HEIGHT, tiny.WIDTH)
            grey = name.startswith("gray")
            for t, frame in enumerate(sequence.frame_ids):
                path = drive / f"image_{NUMBER[name]:02d}" / "data" / f"{frame}.png"
                assert bytes(camera["rgb"].blob(t)) == path.read_bytes()
                assert camera["rgb"][t].ndim == (2 if grey else 3)


def test_calibration_and_times(raw: Path):
    with _convert(raw) as sequence:
        pairs = {(pair.left, pair.right): pair.baseline for pair in sequence.stereo_pairs}
        assert pairs == pytest.approx(
            {("left", "right"): tiny.BASELINE, ("gray_left", "gray_right"): tiny.BASELINE}
        )
        expected = tiny.START + np.arange(3) * tiny.PERIOD
        np.testing.assert_array_equal(sequence.timestamps.view("M8[ns]"), expected)
        T_velo_imu = np.eye(4)
        T_velo_imu[:3, 3] = tiny.IMU_TO_VELO_T
        T_cam0_velo = np.eye(4)
        T_cam0_velo[:3] = np.c_[tiny.VELO_TO_CAM_R, tiny.VELO_TO_CAM_T]
        for name, camera in sequence.cameras.items():
            K = [[tiny.FOCAL, 0, 15.5], [0, tiny.FOCAL, 9.5], [0, 0, 1]]
            np.testing.assert_array_equal(camera.intrinsics(0), K)
            np.testing.assert_array_equal(camera.timestamps, sequence.timestamps)
            T_cam_cam0 = np.eye(4)
            T_cam_cam0[0, 3] = tiny.PROJECTION_X[NUMBER[name]]
            T_cam_imu = T_cam_cam0 @ T_cam0_velo @ T_velo_imu
            np.testing.assert_allclose(camera.T_rig_cam @ T_cam_imu, np.eye(4), atol=1e-12)


def test_poses_follow_the_oxts_packets(raw: Path, drive: Path):
    with _convert(raw) as sequence:
        camera = sequence.cameras["left"]
        packets = [np.loadtxt(p) for p in sorted((drive / "oxts/data").iterdir())]
        scale = np.cos(np.radians(packets[0][0]))
        assert camera.transform["mercator_scale"] == pytest.approx(scale, rel=1e-15)
        T_mercator_world = np.array(camera.transform["T_mercator_world"])
        np.testing.assert_allclose(camera.pose(0), camera.T_rig_cam, atol=1e-12)
        for t, packet in enumerate(packets):
            absolute = T_mercator_world @ camera.pose(t) @ se3_inverse(camera.T_rig_cam)
            np.testing.assert_allclose(
                absolute, mercator_pose(packet, scale), rtol=1e-12, atol=1e-6
            )
        # metres on the ground: a degree of latitude is 111.3 km, one of longitude cos(lat) of that
        moved = absolute[:3, 3] - T_mercator_world[:3, 3]
        degree = np.pi / 180 * 6378137
        expected = [4e-6 * degree * scale, 2e-6 * degree, 0.2]
        np.testing.assert_allclose(moved, expected, rtol=1e-4)


def test_lidar_points_allow_every_convention(raw: Path, drive: Path):
    with _convert(raw) as sequence:
        for name, camera in sequence.cameras.items():
            stream = camera["depth"]
            assert stream.kind == "points" and stream.unit == "m"
            projection = np.asarray(stream.attrs["projection"])
            hw = tuple(stream.attrs["eigen_size"])
            assert hw == (tiny.HEIGHT, tiny.WIDTH)
            for t, frame in enumerate(sequence.frame_ids):
                scan = read_velodyne(drive / "velodyne_points/data" / f"{frame}.bin")
                for value in ("sensor_x", "camera_z"):
                    stored = eigen_depth_map(stream.points(t), projection, hw, value)
                    np.testing.assert_array_equal(
                        stored, eigen_depth_map(scan, projection, hw, value)
                    )
                    assert np.count_nonzero(stored) > 20
                dense = stream[t]
                for x, y, z in zip(*project_sensor(projection, scan), strict=True):
                    column, row = np.rint(np.float32(x)), np.rint(np.float32(y))
                    if z > 0 and 0 <= column < hw[1] and 0 <= row < hw[0]:
                        assert dense[int(row), int(column)] <= np.float32(z)
            # the projection is that of the camera: sensor points through the rig agree
            T_cam_velo = se3_inverse(camera.T_rig_cam)
            T_cam_velo = T_cam_velo @ se3_inverse(_T_velo_imu())
            expected = camera.intrinsics(0) @ T_cam_velo[:3]
            np.testing.assert_allclose(projection, expected, atol=1e-9), name


def _T_velo_imu() -> np.ndarray:
    T = np.eye(4)
    T[:3, 3] = tiny.IMU_TO_VELO_T
    return T


def test_frames_that_are_missing_here_and_there(raw: Path, drive: Path):
    (drive / "image_02/data/0000000001.png").unlink()
    (drive / "image_00/data/0000000002.png").unlink()
    (drive / "velodyne_points/data/0000000000.bin").unlink()
    (drive / "oxts/data/0000000000.txt").unlink()
    shutil.copy(
        drive / "velodyne_points/data/0000000001.bin", drive / "velodyne_points/data/0000000009.bin"
    )
    with _convert(raw) as sequence:
        assert len(sequence) == 3
        left, right = sequence.cameras["left"], sequence.cameras["right"]
        assert left["rgb"].present.tolist() == [True, False, True]
        assert left["depth"].frames.tolist() == [2]
        assert right["rgb"].present.all()
        assert right["depth"].frames.tolist() == [1, 2]
        assert sequence.cameras["gray_left"]["rgb"].frames.tolist() == [0, 1]
        assert np.isnan(right.pose(0)).all()
        assert right.transform["first_frame"] == 1
        np.testing.assert_allclose(right.pose(1), right.T_rig_cam, atol=1e-12)
        assert np.isfinite(right.pose(2)).all()


def test_trimmed_drive_takes_the_times_of_its_frame_numbers(raw: Path, drive: Path):
    for folder in drive.iterdir():
        for path in (folder / "data").glob("000000000[01].*"):
            path.unlink()
    write_times(drive / "image_02", 50)
    write_times(drive / "image_03", 1)
    (drive / "image_01/timestamps.txt").unlink()
    with _convert(raw) as sequence:
        assert sequence.frame_ids == ("0000000002",)
        third = (tiny.START + 2 * tiny.PERIOD).astype(np.int64)
        assert sequence.timestamps.tolist() == [third]
        assert sequence.cameras["right"].timestamps.tolist() == [MISSING_TIME]
    (drive / "image_02/timestamps.txt").unlink()
    with _convert(raw, overwrite=True) as sequence:
        assert sequence.timestamps.tolist() == [third]  # of a grey camera
        assert sequence.cameras["gray_right"].timestamps.tolist() == [MISSING_TIME]


def test_drive_with_one_camera_and_nothing_else(raw: Path, drive: Path):
    for name in ("image_00", "image_01", "image_02", "oxts", "velodyne_points"):
        shutil.rmtree(drive / name)
    (drive.parent / "calib_imu_to_velo.txt").unlink()
    (drive.parent / "calib_velo_to_cam.txt").unlink()
    with _convert(raw) as sequence:
        assert list(sequence.cameras) == ["right"]
        camera = sequence.cameras["right"]
        assert camera.poses is None and camera.streams == ("rgb",)
        assert camera.transform["rig"] == "rect0"
        np.testing.assert_allclose(camera.T_rig_cam[:3, 3], [-tiny.PROJECTION_X[3], 0, 0])
        assert not sequence.stereo_pairs


def test_jpeg_tree_is_taken_as_it_is(raw: Path, drive: Path):
    simplejpeg = pytest.importorskip("simplejpeg")
    rng = np.random.default_rng(0)
    for path in sorted(drive.glob("image_0[23]/data/*.png")):
        image = rng.integers(0, 256, (tiny.HEIGHT, tiny.WIDTH, 3), dtype=np.uint8)
        path.with_suffix(".jpg").write_bytes(simplejpeg.encode_jpeg(image))
        path.unlink()
    with _convert(raw) as sequence:
        blob = bytes(sequence.cameras["left"]["rgb"].blob(1))
        assert blob == (drive / "image_02/data/0000000001.jpg").read_bytes()
        assert sequence.cameras["left"]["rgb"][1].shape == (tiny.HEIGHT, tiny.WIDTH, 3)


def test_a_jpeg_copy_beside_the_png_counts_for_nothing(raw: Path, drive: Path):
    (before,) = kitti_raw.sequences(raw)
    for suffix in (".jpg", ".jpeg"):
        (drive / f"image_02/data/0000000001{suffix}").write_bytes(b"\xff\xd8")
    (drive / "image_02/data/notes.png").touch()
    assert kitti_raw.sequences(raw) == [before]


@pytest.mark.parametrize(
    ("name", "needed_by"),
    [
        ("calib_cam_to_cam.txt", "always"),
        ("calib_velo_to_cam.txt", "scans"),
        ("calib_imu_to_velo.txt", "oxts"),
    ],
)
def test_missing_calibration(raw: Path, name: str, needed_by: str):
    (raw / DATE / name).unlink()
    assert f"{name} is missing" in _failure(raw)
    (result,) = convert("kitti_raw", raw, raw / "out", jobs=1, skip_incomplete=True).results
    assert result.status == "skipped" and "is missing" in result.message


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


BREAKAGES = {
    "cut png": (lambda d: _cut(d / "image_03/data/0000000001.png", 900), "0000000001.png is cut"),
    "png header": (lambda d: _cut(d / "image_03/data/0000000001.png", 9), "0000000001.png is no"),
    "empty png": (lambda d: _cut(d / "image_02/data/0000000000.png", 0), "0000000000.png is no"),
    "html": (
        lambda d: (d / "image_02/data/0000000002.png").write_text("<!DOCTYPE html><html>"),
        "0000000002.png is no PNG image (it starts with '<!DOCTYPE html>",
    ),
    "cut scan": (
        lambda d: _cut(d / "velodyne_points/data/0000000002.bin", 1602),
        "0000000002.bin: a scan has 16 bytes a point, found 1602 bytes",
    ),
    "empty scan": (lambda d: _cut(d / "velodyne_points/data/0000000002.bin", 0), "scan is empty"),
    "other size": (
        lambda d: (d / "image_03/data/0000000001.png").write_bytes(
            encode_png(np.zeros((tiny.HEIGHT, tiny.WIDTH + 1, 3), np.uint8))
        ),
        "expected an image like 0000000000.png, 32x20 with 3 channel(s), found 33x20",
    ),
    "grey in colour": (
        lambda d: (d / "image_03/data/0000000001.png").write_bytes(
            encode_png(np.zeros((tiny.HEIGHT, tiny.WIDTH), np.uint8))
        ),
        "found 32x20 with 1; a camera's images are all alike",
    ),
    "16 bit": (
        lambda d: (d / "image_00/data/0000000000.png").write_bytes(
            encode_png(np.zeros((tiny.HEIGHT, tiny.WIDTH), np.uint16))
        ),
        "expected an 8-bit PNG, found a 16-bit PNG",
    ),
    "oxts": (
        lambda d: (d / "oxts/data/0000000001.txt").write_text("49 8 116\n"),
        "0000000001.txt, line 1: expected 30 numbers, found 3",
    ),
    "times": (
        lambda d: (d / "image_02/timestamps.txt").write_text("yesterday\n"),
        "timestamps.txt, line 1: 'yesterday' is no time",
    ),
    "no image": (
        lambda d: [shutil.rmtree(d / f"image_{n:02d}/data") for n in range(4)],
        "the drive has no image",
    ),
    "no rotation": (
        lambda d: (d.parent / "calib_velo_to_cam.txt").write_text(
            "R: 0 0 0 0 0 0 0 0 0\nT: 0 0 0\n"
        ),
        "calib_velo_to_cam.txt, line 1: R is no rotation",
    ),
    "no projection": (
        lambda d: (d.parent / "calib_cam_to_cam.txt").write_text(
            f"R_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: {'0 ' * 12}\nP_rect_03: 1\n"
        ),
        "calib_cam_to_cam.txt, line 2: P_rect_02 is no projection",
    ),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_wrong_tree_gives_one_clear_line(raw: Path, drive: Path, what: str):
    breaks, message = BREAKAGES[what]
    breaks(drive)
    assert message in _failure(raw)


def test_resized_images_are_refused(raw: Path, drive: Path):
    for path in drive.glob("image_02/data/*.png"):
        path.write_bytes(encode_png(np.zeros((10, 16, 3), np.uint8)))
    assert "image_02 has 16x10 pixels but calib_cam_to_cam.txt is for 32x20" in _failure(raw)


def test_no_drive_at_all(tmp_path: Path):
    with pytest.raises(SourceError, match="no drive found"):
        kitti_raw.sequences(tmp_path)
    with pytest.raises(SourceError, match="no drive found"):
        kitti_raw.sequences(tmp_path / "nowhere")
    (tmp_path / "2011_09_26_drive_0001_sync.zip").touch()
    with pytest.raises(SourceError, match=r"unpack 2011_09_26_drive_0001_sync\.zip first"):
        kitti_raw.sequences(tmp_path)


def test_a_frame_may_not_be_there_twice(raw: Path, drive: Path):
    first = drive / "image_02/data/0000000000.png"
    shutil.copy(first, first.with_name("0.png"))
    with pytest.raises(SourceError, match="frame 0 is there twice"):
        kitti_raw.sequences(raw)


def test_fingerprint_is_of_the_content(raw: Path, drive: Path, tmp_path: Path):
    (spec,) = kitti_raw.sequences(raw)
    before = kitti_raw.fingerprint(spec)
    (moved,) = kitti_raw.sequences(shutil.copytree(raw, tmp_path / "moved"))
    assert kitti_raw.fingerprint(moved) == before
    for name in ("velodyne_points/data/0000000001.bin", "oxts/data/0000000001.txt"):
        path = drive / name
        original = path.read_bytes()
        changed = bytearray(original)
        changed[len(changed) // 3] ^= 1
        path.write_bytes(bytes(changed))
        assert kitti_raw.fingerprint(spec) != before
        path.write_bytes(original)
        assert kitti_raw.fingerprint(spec) == before
    write_calibration(raw / DATE)
    assert kitti_raw.fingerprint(spec) == before


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "kitti_raw*"))
def test_published_depth_comes_out_of_the_sequence_file(case: Path, tmp_path: Path):
    expected = np.load(case / "expected" / "depth.npz")
    remaining = set(expected.files)
    report = convert("kitti_raw", case / "raw", tmp_path, jobs=1)
    assert report.ok, report.failed
    for result in report.results:
        with open_sequence(result.path) as sequence:
            for name in ("left", "right"):
                stream = sequence.cameras[name]["depth"]
                for t in stream.frames.tolist():
                    key = f"image_{NUMBER[name]:02d}_{sequence.frame_ids[t]}"
                    rows = expected[f"depth_points_{key}"]
                    np.testing.assert_array_equal(depth_rows(sequence.cameras[name], t), rows)
                    found = eigen_depth_map(
                        stream.points(t),
                        stream.attrs["projection"],
                        tuple(stream.attrs["eigen_size"]),
                        "camera_z",
                    )
                    whole = expected[f"depth_map_camera_z_{key}"]
                    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-9)
                    remaining -= {f"depth_points_{key}", f"depth_map_camera_z_{key}"}
    assert not remaining


@pytest.mark.realdata
def test_real_drives(realdata: Path, tmp_path: Path):
    root = realdata / "kitti_raw"
    report = convert("kitti_raw", root, tmp_path, jobs=1)
    assert report.ok, report.failed
    by_drive = {result.sequence.split("_")[4]: result.path for result in report.results}
    assert set(by_drive) == {"0001", "0002", "0005"}
    frames = {"0001": 3, "0002": 5, "0005": 1}
    for drive, path in by_drive.items():
        assert verify(path).ok
        with open_sequence(path) as sequence:
            assert len(sequence) == frames[drive]
            for name, camera in sequence.cameras.items():
                assert (camera.height, camera.width) == (375, 1242)
                for t, frame in enumerate(sequence.frame_ids):
                    source = root / DATE / sequence.name / f"image_{NUMBER[name]:02d}" / "data"
                    assert bytes(camera["rgb"].blob(t)) == (source / f"{frame}.png").read_bytes()
                channels = image_size(camera["rgb"].blob(0)).channels
                assert camera["rgb"][0].ndim == (3 if channels == 3 else 2)
            for pair in sequence.stereo_pairs:
                assert pair.baseline == pytest.approx(
                    0.5327 if pair.left == "left" else 0.5372, abs=2e-4
                )
    with open_sequence(by_drive["0001"]) as sequence:
        camera = sequence.cameras["left"]
        assert camera.streams == ("rgb",)  # no velodyne
        assert np.isfinite(camera.pose(0)).all() and np.isnan(camera.poses[1:]).all()
        assert str(sequence.timestamps.view("M8[ns]")[0]).startswith("2011-09-26T13:02:25")
    with open_sequence(by_drive["0002"]) as sequence:
        assert set(sequence.cameras) == set(NUMBER)
        facts = {
            "left": (19158, 19036, 19177, 19306, 19315),
            "right": (19274, 19195, 19348, 19474, 19487),
        }
        for name, counts in facts.items():
            stream = sequence.cameras[name]["depth"]
            found = [_inside(stream, t) for t in range(5)]
            assert tuple(len(z) for z in found) == counts
            if name == "left":
                summary = found[0].min(), found[0].max(), found[0].mean()
                np.testing.assert_allclose(summary, (5.224864, 79.452264, 17.108988), atol=1e-5)
        speed = np.diff(sequence.cameras["left"].poses[:, :3, 3], axis=0)
        seconds = np.diff(sequence.timestamps) / 1e9
        forward = np.linalg.norm(speed, axis=1) / seconds
        assert forward.mean() == pytest.approx(8.62, abs=0.2)  # vf of the first packet


def _inside(stream, t: int) -> np.ndarray:
    """Camera z of the points that the published rule keeps, before duplicates are removed."""
    points = stream.points(t)
    height, width = stream.attrs["eigen_size"]
    u, v, z = project_sensor(stream.attrs["projection"], points.sensor)
    column, row = np.rint(u) - 1, np.rint(v) - 1
    return z[(column >= 0) & (column < width) & (row >= 0) & (row < height)]


@pytest.mark.realdata
def test_real_jpeg_tree(realdata: Path, tmp_path: Path):
    root = realdata / "kitti_raw_jpg"
    (result,) = convert("kitti_raw", root, tmp_path, jobs=1).results
    assert result.status == "converted", result.message
    with open_sequence(result.path) as sequence:
        assert sequence.frame_ids == ("0000000005", "0000000006", "0000000007")
        assert (sequence.timestamps == MISSING_TIME).all()
        for name, camera in sequence.cameras.items():
            for t, frame in enumerate(sequence.frame_ids):
                source = root / DATE / sequence.name / f"image_{NUMBER[name]:02d}" / "data"
                assert bytes(camera["rgb"].blob(t)) == (source / f"{frame}.jpg").read_bytes()
