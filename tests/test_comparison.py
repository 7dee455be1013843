"""compare(): sequence files, folders, prepared trees."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from kitti_tree import DATE, drive_name, write_calibration, write_tree
from support import golden_cases

from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.prepared_images import KITTI_SIZE, bicubic_jpeg
from depthdata.comparison import compare
from depthdata.conversion import convert
from depthdata.errors import MissingDependencyError, UsageError
from depthdata.lidar import eigen_depth_rows
from depthdata.sequence import SequenceWriter, open_sequence


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("comparison") / "raw", drives=2)


@pytest.fixture(scope="module")
def converted(raw: Path) -> Path:
    out = raw.parent / "out"
    assert convert("kitti_raw", raw, out, jobs=1).ok
    return out


def _lines(comparison) -> list[str]:
    assert comparison.equal == (not comparison.differences)
    return [str(difference) for difference in comparison.differences]


def test_the_same_content_in_another_compression_is_equal(raw: Path, converted: Path, tmp_path):
    assert convert("kitti_raw", raw, tmp_path, jobs=1, portable=True).ok
    assert compare(converted, tmp_path).equal
    name = f"{drive_name(1)}.h5"
    assert compare(converted / name, tmp_path / name).equal


def _breakages():
    def recode(drive: Path) -> None:  # the same pixels in other bytes
        path = drive / "image_02/data/0000000001.png"
        path.write_bytes(encode_png(decode_image(path.read_bytes()), level=9))

    def pixel(drive: Path) -> None:
        path = drive / "image_02/data/0000000001.png"
        image = decode_image(path.read_bytes()).copy()
        image[3, 4, 0] ^= 1
        path.write_bytes(encode_png(image))

    def point(drive: Path) -> None:
        path = drive / "velodyne_points/data/0000000002.bin"
        scan = np.fromfile(path, "<f4").reshape(-1, 4)
        scan[:, 0] += 0.001
        scan.tofile(path)

    def pose(drive: Path) -> None:
        path = drive / "oxts/data/0000000001.txt"
        packet = path.read_text().split()
        packet[2] = str(float(packet[2]) + 1e-3)
        path.write_text(" ".join(packet))

    def calibration(drive: Path) -> None:
        path = drive.parent / "calib_cam_to_cam.txt"
        path.write_text(path.read_text().replace("P_rect_03: 24 0 15.5", "P_rect_03: 24 0 15.25"))

    def image(drive: Path) -> None:
        (drive / "image_03/data/0000000001.png").unlink()

    def camera(drive: Path) -> None:
        shutil.rmtree(drive / "image_01")

    return {
        "recode": (recode, set()),
        "pixel": (pixel, {"camera left rgb frame 0000000001: 1 of 1920 values differ"}),
        "point": (point, {"camera left depth frame 0000000002"}),
        "pose": (pose, {"camera left poses: 2 of 48 values differ, by up to 0.0009998"}),
        "calibration": (calibration, {"camera right intrinsics: 3 of 27 values differ"}),
        "image": (image, {"camera right rgb: 3 frames, but 2", "camera right depth: 3 frames"}),
        "camera": (camera, {"camera gray_right: only in the first", "stereo_pairs"}),
    }


@pytest.mark.parametrize("what", _breakages())
def test_a_difference_is_found_and_named(raw: Path, converted: Path, tmp_path: Path, what: str):
    own = shutil.copytree(raw, tmp_path / "raw")
    breaks, expected = _breakages()[what]
    breaks(own / DATE / drive_name(1))
    report = convert("kitti_raw", own, tmp_path / "out", jobs=1, sequences=[drive_name(1)])
    assert report.ok, report.failed
    name = f"{drive_name(1)}.h5"
    found = _lines(compare(converted / name, tmp_path / "out" / name))
    for start in expected:
        assert any(line.startswith(start) for line in found), (start, found)
    assert bool(found) == bool(expected)


def test_files_on_one_side_only(converted: Path, tmp_path: Path):
    other = shutil.copytree(converted, tmp_path / "other")
    (other / f"{drive_name(1)}.h5").rename(other / "more.h5")
    found = _lines(compare(converted, other))
    assert found == [
        f"{drive_name(1)}.h5: is missing in {other}",
        f"more.h5: is missing in {converted}",
    ]


def test_dense_streams_tracks_and_objects(tmp_path: Path):
    def write(path: Path, **change) -> Path:
        with SequenceWriter(
            path, dataset="own", sequence="s", split=None, licence="-", citation="-",
            converter="test 1", source_fingerprint="-",
        ) as writer:  # fmt: skip
            writer.timeline(np.array([0, 10]), ["0", "1"])
            camera = writer.camera("front", height=3, width=4, intrinsics=np.eye(3))
            depth = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
            depth[0, 0, 0] = np.nan
            depth[1, 2, 3] += change.get("depth", 0)
            camera.dense("depth", depth, dtype="float32", unit="m", missing="nan", provenance="-")
            xy = np.zeros((2, 1, 2), np.float32) + change.get("xy", 0)
            writer.tracks("front", xy, np.ones((2, 1), bool))
            writer.objects(
                np.array([0]), np.array([7]), [change.get("category", "car")],
                np.eye(4)[None], np.ones((1, 3)),
            )  # fmt: skip
        return path

    first = write(tmp_path / "a.h5")
    assert compare(first, write(tmp_path / "b.h5")).equal
    changes = {
        "depth": (0.5, "camera front depth frame 1: 1 of 12 values differ, by up to 0.5"),
        "xy": (1, "tracks front xy: 4 of 4 values differ, by up to 1"),
        "category": ("bus", "objects category: 1 of 1 values differ"),
    }
    for key, (change, message) in changes.items():
        other = write(tmp_path / f"{key}.h5", **{key: change})
        assert _lines(compare(first, other)) == [message]


def test_prepared_trees_are_compared_with_a_tolerance(tmp_path: Path):
    rng = np.random.default_rng(0)
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    image = rng.integers(1, 250, (30, 40, 3), dtype=np.uint8)
    (a / "image.png").write_bytes(encode_png(image))
    rows = rng.uniform(0, 50, (9, 3))
    np.save(a / "depth.npy", rows)
    np.savez(a / "both.npz", x=rows, mask=np.eye(3, dtype=np.uint8))
    (a / "cam.json").write_text(json.dumps({"K": [1.5, 2], "name": "front"}))
    (a / "odometry.txt").write_text("1.0 2.0\n3.0 4.0\n")
    (a / "other.bin").write_bytes(b"123")
    shutil.copytree(a, b)
    np.save(b / "depth.npy", rows + 5e-4)
    (b / "odometry.txt").write_text("1.0 2.0\n3.00 4\n")
    image[0, 0, 0] += 2
    (b / "image.png").write_bytes(encode_png(image))
    assert compare(a, b).equal

    image[0, 0, 0] += 1
    (b / "image.png").write_bytes(encode_png(image))
    np.save(b / "depth.npy", rows + 5e-3)
    np.savez(b / "both.npz", x=rows, mask=1 - np.eye(3, dtype=np.uint8), extra=rows)
    (b / "cam.json").write_text(json.dumps({"K": [1.5, 2.1], "model": 1, "name": "front"}))
    (b / "odometry.txt").write_text("1.0 2.0\n3.0 4.1\n")
    (b / "other.bin").write_bytes(b"124")
    (b / "more.txt").touch()
    assert _lines(compare(a, b)) == [
        f"both.npz extra: is missing in {a / 'both.npz'}",
        "both.npz mask: 9 of 9 values differ",
        "cam.json K[1]: '2', but '2.1'",
        "cam.json model: is on the second side only",
        "depth.npy: 27 of 27 values differ, by up to 0.005",
        "image.png: pictures differ by up to 3 levels, 0.001 on average",
        f"more.txt: is missing in {a}",
        "odometry.txt line 2: '3.0 4.0', but '3.0 4.1'",
        f"other.bin: 3 bytes that are not the 3 of {b / 'other.bin'}",
    ]


def test_pickled_arrays_are_not_loaded(tmp_path: Path):
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / "x.npy", np.array([{side: 1}]), allow_pickle=True)
    (line,) = _lines(compare(tmp_path / "a", tmp_path / "b"))
    assert line.startswith("x.npy: cannot be read")


def test_wrong_arguments(converted: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="does not exist"):
        compare(converted, tmp_path / "nothing")
    with pytest.raises(UsageError, match="two files or two folders"):
        compare(converted, converted / f"{drive_name(1)}.h5")
    with pytest.raises(UsageError, match="no recipe is called 'x'"):
        compare(converted, converted, recipe="x")
    with pytest.raises(UsageError, match="no file in either"):
        compare(tmp_path, tmp_path)


def _prepare(raw: Path, tree: Path) -> Path:
    """Make the prepared tree of a raw one, apart from the depth."""
    for drive in sorted(raw.glob("*/*_drive_*")):
        folder = tree / drive.parent.name / drive.name
        for camera in ("image_02", "image_03"):
            for part in ("rgb/original", "rgb/downsample", "depth"):
                (folder / camera / part).mkdir(parents=True)
            for image in sorted((drive / camera / "data").iterdir()):
                (folder / camera / "rgb/original" / image.name).symlink_to(image)
                small = folder / camera / "rgb/downsample" / f"{image.stem}.jpg"
                small.write_bytes(bicubic_jpeg(image.read_bytes(), KITTI_SIZE))
        for path in drive.parent.glob("*.txt"):
            (folder / path.name).symlink_to(path)
    return tree


@pytest.fixture
def prepared(raw: Path, converted: Path, tmp_path: Path) -> Path:
    tree = _prepare(raw, tmp_path / "prepared")
    for path in converted.glob("*.h5"):
        with open_sequence(path) as sequence:
            for name, camera in (("left", "image_02"), ("right", "image_03")):
                stream = sequence.cameras[name]["depth"]
                for t, frame in enumerate(sequence.frame_ids):
                    rows = eigen_depth_rows(
                        stream.points(t), stream.attrs["projection"], stream.attrs["eigen_size"]
                    )
                    np.save(tree / DATE / sequence.name / camera / "depth" / f"{frame}.npy", rows)
    return tree


def test_recipe_dynamo_depth(converted: Path, prepared: Path):
    assert compare(converted, prepared, recipe="dynamo_depth").equal
    name = drive_name(1)
    drive = prepared / DATE / name
    assert compare(converted / f"{name}.h5", drive, recipe="dynamo_depth").equal

    depth = np.load(drive / "image_02/depth/0000000000.npy")
    depth[5, 2] += 1e-3
    np.save(drive / "image_02/depth/0000000000.npy", depth)
    (drive / "image_02/depth/0000000001.npy").unlink()
    np.save(drive / "image_02/depth/0000000009.npy", depth)
    np.save(drive / "image_03/depth/0000000002.npy", depth[1:])
    (drive / "image_03/rgb/original/0000000001.png").unlink()
    small = np.zeros((*KITTI_SIZE, 3), np.uint8)
    (drive / "image_03/rgb/downsample/0000000002.jpg").write_bytes(encode_png(small))
    (drive / "calib_imu_to_velo.txt").unlink()
    shutil.move(prepared / DATE / drive_name(2), prepared / DATE / drive_name(3))
    found = _lines(compare(converted, prepared, recipe="dynamo_depth"))
    depth_02, depth_03 = f"{name}/image_02/depth", f"{name}/image_03/depth"
    assert found[:2] == [
        f"{name}/calib_imu_to_velo.txt: is missing in the tree",
        f"{depth_02}/0000000000.npy: 1 of {depth.size} values differ, by up to 0.001",
    ]
    assert found[2:4] == [
        f"{depth_02}/0000000001.npy: is missing in the tree",
        f"{depth_02}/0000000009.npy: is in the tree only: the file has no depth of this frame",
    ]
    assert found[4] == f"{name}/image_03/rgb/original/0000000001.png: is missing in the tree"
    assert found[5].startswith(f"{name}/image_03/rgb/downsample/0000000002.jpg: pictures differ")
    assert found[6].startswith(f"{depth_03}/0000000002.npy: shape")
    assert found[7:] == [
        f"{drive_name(2)}: is missing in {prepared}",
        f"{drive_name(3)}: is in {prepared} only",
    ]


def test_recipe_looks_at_the_calibration(converted: Path, prepared: Path):
    drive = prepared / DATE / drive_name(1)
    path = drive / "calib_cam_to_cam.txt"
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace("P_rect_02: 24 0", "P_rect_02: 25 0"))
    found = _lines(compare(converted, prepared, recipe="dynamo_depth"))
    assert found == [
        f"{drive_name(1)}/image_02 calibration: intrinsics: 1 of 9 values differ, by up to 1"
    ]


def test_recipe_needs_pillow(converted: Path, prepared: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"depthdata\[compare\]"):
        compare(converted, prepared, recipe="dynamo_depth")


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "kitti_raw*"))
def test_published_tree_comes_out_of_the_sequence_file(case: Path, tmp_path: Path):
    assert convert("kitti_raw", case / "raw", tmp_path / "out", jobs=1).ok
    tree = _prepare(case / "raw", tmp_path / "tree")
    expected = np.load(case / "expected" / "depth.npz")
    listing = json.loads((case / "expected" / "listing.json").read_text())
    for name in listing["files"]:
        camera, frame = Path(name).parts[2], Path(name).stem
        if name.endswith(".npy"):
            np.save(tree / name, expected[f"depth_points_{camera}_{frame}"])
        published = case / "expected" / f"{camera}_{frame}.jpg"
        if name.endswith(".jpg") and published.exists():
            shutil.copy(published, tree / name)
    files = {p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file()}
    assert files == set(listing["files"])
    assert compare(tmp_path / "out", tree, recipe="dynamo_depth").equal


def test_calibration_writer_of_these_tests_has_the_lines_that_they_replace(tmp_path: Path):
    write_calibration(tmp_path)
    text = (tmp_path / "calib_cam_to_cam.txt").read_text()
    assert "P_rect_03: 24 0 15.5" in text and "P_rect_02: 24 0" in text
