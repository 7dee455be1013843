"""KITTI 2015 scenes as sequence files: synthetic trees with exact truth, and wrong trees."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from kitti_stereo_scenes import HEIGHT, WIDTH, converted, failure, small_scene, small_tree

from depthdata.checks import check
from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.kitti_stereo import encode_disparity, read_flow_levels
from depthdata.conversion import convert
from depthdata.errors import SourceError, UsageError
from depthdata.geometry import se3_inverse
from depthdata.sequence import MISSING_TIME, Sequence
from depthdata.sources import dataset_card, kitti_2015, list_datasets
from depthdata.synthetic import SyntheticScene, write_raw

TRUTH = ("disp_occ_0", "disp_noc_0", "disp_occ_1", "disp_noc_1", "flow_occ", "flow_noc", "obj_map")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_tree("kitti_2015", tmp_path_factory.mktemp("tree") / "raw")


@pytest.fixture
def raw(tree: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(tree, tmp_path / "raw")


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=2, height=94, width=310)


@pytest.fixture(scope="module")
def sequence(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    root = tmp_path_factory.mktemp("scene")
    write_raw("kitti_2015", scene, root / "raw", number=46)
    return converted("kitti_2015", root / "raw", root / "out")["training_000046"]


def _levels(values: np.ndarray, steps: int, missing: np.ndarray) -> np.ndarray:
    return np.where(missing, np.nan, np.rint(values.astype(np.float64) * steps) / steps)


def test_card():
    assert "kitti_2015" in list_datasets()
    card = dataset_card("kitti_2015")
    assert card.licence == "CC BY-NC-SA 3.0" and "Menze2015CVPR" in card.citation
    store = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
    urls = [archive.url for archive in card.archives]
    assert f"{store}/data_scene_flow.zip" in urls
    assert f"{store}/data_scene_flow_calib.zip" in urls
    assert pickle.loads(pickle.dumps(card)) == card


def test_streams_are_those_of_the_card(tree: Path, sequence: Sequence):
    card = dataset_card("kitti_2015")
    assert tuple(sequence.cameras) == card.cameras
    assert set(sequence.cameras["left"].streams) <= set(card.streams)
    assert sequence.cameras["right"].streams == ("rgb",)


def test_root_may_be_the_part(tree: Path):
    both = kitti_2015.sequences(tree)
    assert [spec.name for spec in both] == ["testing_000001", "training_000002"]
    assert [spec.split for spec in both] == ["test", "train"]
    assert kitti_2015.sequences(tree / "training") == both[1:]
    assert pickle.loads(pickle.dumps(both)) == both


def test_images_and_names(tree: Path, tmp_path: Path):
    found = converted("kitti_2015", tree, tmp_path)
    for name, sequence in found.items():
        part, number = name.split("_")
        assert sequence.dataset == "kitti_2015"
        assert sequence.split == {"training": "train", "testing": "test"}[part]
        assert sequence.frame_ids == (f"{number}_10", f"{number}_11")
        assert (sequence.timestamps == MISSING_TIME).all()
        for camera, folder in (("left", "image_2"), ("right", "image_3")):
            for t, frame in enumerate(sequence.frame_ids):
                source = tree / part / folder / f"{frame}.png"
                assert bytes(sequence.cameras[camera].rgb.blob(t)) == source.read_bytes()
    assert found["testing_000001"].cameras["left"].streams == ("rgb",)


def test_calibration(scene: SyntheticScene, sequence: Sequence):
    (pair,) = sequence.stereo_pairs
    assert (pair.left, pair.right) == ("left", "right")
    assert pair.baseline == pytest.approx(scene.baseline, rel=1e-10)
    for name, camera in sequence.cameras.items():
        np.testing.assert_allclose(camera.intrinsics(0), scene.intrinsics, rtol=1e-11)
        assert camera.transform["rig"] == "imu"
        np.testing.assert_allclose(camera.T_rig_cam, scene.rig.T_imu_cam(name), atol=1e-10)
        assert camera.poses is None


def test_quantised_truth_comes_back(scene: SyntheticScene, sequence: Sequence):
    left, frame = sequence.cameras["left"], scene.render(0, "left", colour=False)
    for name in left.streams:
        if name != "rgb":
            assert left[name].frames.tolist() == [0], name
    missing = np.isnan(left.disparity[0])
    assert 0.02 < missing.mean() < 0.5
    np.testing.assert_array_equal(left.disparity[0], _levels(frame.disparity, 256, missing))
    assert left.disparity.attrs["scale"] == 1 / 256 and left.disparity.raw(0).dtype == np.uint16
    # what leaves the files is the sky, and what is behind the camera or too near at the next frame
    assert (missing & ~np.isnan(frame.disparity)).mean() < 0.05

    np.testing.assert_array_equal(left.flow_forward_valid[0], ~missing)
    for found, truth in zip(left.flow_forward[0], frame.flow_forward, strict=True):
        expected = _levels(truth, 64, missing)
        np.testing.assert_array_equal(found[~missing], expected[~missing])
    assert left.flow_forward.raw(0).dtype == np.int16

    moving = np.where(frame.moving > 0, frame.instances, 0)
    np.testing.assert_array_equal(left.instances[0], moving)
    np.testing.assert_array_equal(left["masks/foreground"][0], moving > 0)
    assert moving.any()


def test_next_disparity_is_of_the_surface_seen_now(scene: SyntheticScene, sequence: Sequence):
    left = sequence.cameras["left"]
    assert left.disparity.frames.tolist() == [0]  # never at the next frame
    points, body, seen = scene.surface(0, "left")
    moved = scene.carry(points, body, 0, 1)
    T = se3_inverse(scene.T_world_cam("left")[1])
    z = scene._image((T[:3, :3] @ moved + T[:3, 3:])[2])
    expected = scene.intrinsics[0, 0] * scene.baseline / z
    found = left.disparity_next[0]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(left.disparity[0]))
    valid = ~np.isnan(found)
    assert (scene._image(seen) | ~valid).all()
    np.testing.assert_allclose(found[valid], expected[valid], rtol=0, atol=1 / 512 + 1e-4)
    assert np.abs(found - left.disparity[0])[valid].max() > 1


def test_occlusions_say_what_the_second_files_leave_out(scene: SyntheticScene, sequence: Sequence):
    left, frame = sequence.cameras["left"], scene.render(0, "left", colour=False)
    missing = np.isnan(left.disparity[0])
    for name, hidden in (
        ("masks/occluded", frame.occluded_right),
        ("masks/occluded_forward", frame.occluded_forward),
    ):
        mask = left[name]
        assert mask.attrs["missing"] == 255
        np.testing.assert_array_equal(mask.raw(0), np.where(missing, 255, hidden))
        assert (mask.raw(0) == 1).any()
    both = left["masks/occluded_next"].raw(0)
    np.testing.assert_array_equal(both == 255, missing)
    assert (both >= left["masks/occluded_forward"].raw(0)).all()
    assert {"disparity_noc", "disparity_next_noc", "flow_forward_noc"}.isdisjoint(left.streams)


def test_a_scene_passes_the_checks(sequence: Sequence):
    report = check(sequence.path)
    assert report.ok, report.table()


def test_multi_view_extension(tmp_path: Path):
    scene = SyntheticScene(seed=3, frames=21, height=12, width=40)
    write_raw("kitti_2015", scene, tmp_path / "raw", number=5, first=0)
    (sequence,) = converted("kitti_2015", tmp_path / "raw", tmp_path / "out").values()
    assert sequence.frame_ids == tuple(f"000005_{t:02d}" for t in range(21))
    left = sequence.cameras["left"]
    assert left.disparity.frames.tolist() == left.flow_forward.frames.tolist() == [10]
    assert left.rgb.present.all() and sequence.cameras["right"].rgb.present.all()
    frame = scene.render(10, "left", colour=False)
    missing = np.isnan(left.disparity[10])
    np.testing.assert_array_equal(left.disparity[10], _levels(frame.disparity, 256, missing))


@pytest.mark.parametrize(("frames", "first"), [(1, 10), (2, 9), (2, 11), (4, 97)])
def test_a_synthetic_scene_needs_frames_10_and_11(tmp_path: Path, frames: int, first: int):
    scene = SyntheticScene(seed=3, frames=frames, height=12, width=40)
    with pytest.raises(UsageError, match=f"frames 10 and 11, found {first} to"):
        write_raw("kitti_2015", scene, tmp_path, first=first)
    assert not list(tmp_path.iterdir())


def test_a_second_file_with_values_of_its_own_is_kept_whole(raw: Path, tmp_path: Path):
    part = raw / "training"
    disparity = decode_image((part / "disp_noc_0/000002_10.png").read_bytes()).copy()
    disparity[disparity > 0] += 1
    (part / "disp_noc_0/000002_10.png").write_bytes(encode_disparity(disparity))
    flow = read_flow_levels(part / "flow_noc/000002_10.png").copy()
    flow[3, 4] = (40000, 20000, 0)  # not valid, and not like the other pixels that are not
    (part / "flow_noc/000002_10.png").write_bytes(encode_png(flow))
    (part / "disp_occ_1/000002_10.png").unlink()
    left = converted("kitti_2015", raw, tmp_path / "out")["training_000002"].cameras["left"]
    np.testing.assert_array_equal(left.disparity_noc.raw(0), disparity)
    np.testing.assert_array_equal(left["masks/occluded"].raw(0) == 0, disparity > 0)
    stored = left["flow_forward_noc"].raw(0) + np.int32(32768)
    np.testing.assert_array_equal(np.moveaxis(stored, 0, -1), flow[..., :2])
    np.testing.assert_array_equal(left["flow_forward_noc_valid"].raw(0), flow[..., 2])
    assert "disparity_next_noc" in left.streams and "disparity_next" not in left.streams
    assert "masks/occluded_next" not in left.streams


def test_a_scene_without_calibration(raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (raw / "training/calib_cam_to_cam/000002.txt").unlink()
    with caplog.at_level(logging.WARNING):
        found = converted("kitti_2015", raw, tmp_path / "out")
    assert "1 of 2 scenes (training_000002) have no file in calib_cam_to_cam" in caplog.text
    assert "unpack data_scene_flow_calib.zip" in caplog.text
    sequence = found["training_000002"]
    assert np.isnan(sequence.stereo_pairs[0].baseline)
    assert sequence.cameras["left"].derived == ()
    for camera in sequence.cameras.values():
        assert camera.transform["intrinsics"] == "unknown" and camera.T_rig_cam is None
    assert np.nanmax(sequence.cameras["left"].disparity[0]) > 0
    assert check(sequence.path).ok
    assert "intrinsics" not in found["testing_000001"].cameras["left"].transform


def test_rig_follows_the_texts_that_are_there(raw: Path, tmp_path: Path):
    shutil.rmtree(raw / "training/calib_imu_to_velo")
    shutil.rmtree(raw / "testing/calib_imu_to_velo")
    shutil.rmtree(raw / "testing/calib_velo_to_cam")
    found = converted("kitti_2015", raw, tmp_path / "out")
    rig = {name: sequence.cameras["left"].transform["rig"] for name, sequence in found.items()}
    assert rig == {"training_000002": "velo", "testing_000001": "rect0"}
    T_cam_velo = se3_inverse(found["training_000002"].cameras["right"].T_rig_cam)
    np.testing.assert_allclose(T_cam_velo, small_scene().rig.T_cam_velo("right"), atol=1e-10)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _empty(path: Path, *shape: int, dtype: type = np.uint8) -> None:
    path.write_bytes(encode_png(np.zeros(shape, dtype)))


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


WRONG = {
    "right image": (
        lambda p: (p / "image_3/000002_11.png").unlink(),
        "image_3/000002_11.png is missing, the other image of image_2/000002_11.png; "
        "unpack data_scene_flow.zip again",
    ),
    "all right images": (lambda p: shutil.rmtree(p / "image_3"), "image_3/000002_10.png is miss"),
    "all left images": (lambda p: shutil.rmtree(p / "image_2"), "image_2/000002_10.png is missing"),
    "truth without image": (
        lambda p: [(p / f"image_{k}/000002_10.png").unlink() for k in (2, 3)],
        "image_2/000002_10.png is missing, the image that disp_occ_0/000002_10.png is the ground "
        "truth of",
    ),
    "flow without next image": (
        lambda p: [(p / f"image_{k}/000002_11.png").unlink() for k in (2, 3)],
        "image_2/000002_11.png is missing, the image that flow_occ/000002_10.png leads to",
    ),
}

DAMAGED = {
    "image is cut": (lambda p: _cut(p / "image_3/000002_11.png"), "000002_11.png is cut"),
    "truth is cut": (lambda p: _cut(p / "disp_occ_1/000002_10.png"), "disparity: PNG cut at"),
    "page instead of image": (
        lambda p: (p / "image_2/000002_10.png").write_text("<!DOCTYPE html>"),
        "000002_10.png is no PNG image",
    ),
    "frames differ in size": (
        lambda p: _empty(p / "image_2/000002_11.png", HEIGHT, WIDTH + 1, 3),
        "expected an image like 000002_10.png, 80x24 with 3 channel(s), found 81x24",
    ),
    "views differ in size": (
        lambda p: [_empty(p / f"image_3/000002_{f}.png", HEIGHT, WIDTH + 1, 3) for f in (10, 11)],
        "expected 80x24 pixels like image_2, found 81x24",
    ),
    "images of another size than the calibration": (
        lambda p: [
            _empty(p / f"image_{k}/000002_{f}.png", 9, 9, 3) for k in (2, 3) for f in (10, 11)
        ],
        "has 9x9 pixels but ",
    ),
    "truth of another size": (
        lambda p: _empty(p / "disp_noc_0/000002_10.png", 9, 9, dtype=np.uint16),
        "disp_noc_0/000002_10.png: expected 80x24 pixels like its image, found 9x9",
    ),
    "8-bit disparity": (
        lambda p: _empty(p / "disp_occ_0/000002_10.png", HEIGHT, WIDTH),
        "disp_occ_0/000002_10.png: disparity: expected 16-bit grey PNG, found 8-bit PNG",
    ),
    "flow without validity": (
        lambda p: (p / "flow_occ/000002_10.png").write_bytes(
            encode_png(np.full((HEIGHT, WIDTH, 3), 65535, np.uint16))
        ),
        "expected 0 or 1 in the blue channel (validity), found 65535",
    ),
    "colour instance map": (
        lambda p: _empty(p / "obj_map/000002_10.png", HEIGHT, WIDTH, 3),
        "obj_map/000002_10.png: expected a grey PNG, found PNG with 3 channels",
    ),
    "instance map is cut": (lambda p: _cut(p / "obj_map/000002_10.png"), "do not decode"),
    "no projection": (
        lambda p: _edit(p / "calib_cam_to_cam/000002.txt", "P_rect_03: ", "P_rect_03: 0 "),
        "P_rect_03 should have 12 numbers, found 13",
    ),
    "cameras exchanged": (
        lambda p: [
            _edit(p / "calib_cam_to_cam/000002.txt", a, b)
            for a, b in (("P_rect_02", "x"), ("P_rect_03", "P_rect_02"), ("x:", "P_rect_03:"))
        ],
        "expected right to the right of left, found a baseline of -0.54 m",
    ),
    "calibration is empty": (
        lambda p: (p / "calib_velo_to_cam/000002.txt").write_text(""),
        "calib_velo_to_cam/000002.txt: the calibration file is empty",
    ),
}


@pytest.mark.parametrize("what", [*WRONG, *DAMAGED])
def test_wrong_tree_gives_one_clear_line(raw: Path, what: str):
    breaks, message = {**WRONG, **DAMAGED}[what]
    breaks(raw / "training")
    found = failure("kitti_2015", raw, incomplete=what in WRONG)
    assert message in found and str(raw / "training") in found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: None, "expected training/image_2/000000_10.png and image_3, or testing"),
        (lambda r: r.rmdir(), "there is no such folder"),
        (lambda r: (r / "devkit/matlab").mkdir(parents=True), "this is the development kit"),
        (lambda r: (r / "data_scene_flow.zip").touch(), "unpack data_scene_flow.zip there first"),
        (
            lambda r: (r / "training/calib_cam_to_cam").mkdir(parents=True),
            "this is the calibration only, unpack data_scene_flow.zip there too",
        ),
        (
            lambda r: (r / "training/colored_0").mkdir(parents=True),
            "colored_0 belongs to kitti_2012: convert that",
        ),
    ],
)
def test_no_scene_at_all(tmp_path: Path, make, message: str):
    root = tmp_path / "KITTI"
    root.mkdir()
    make(root)
    with pytest.raises(SourceError, match="no scene of kitti_2015 found") as caught:
        kitti_2015.sequences(root)
    assert message in str(caught.value) and str(root) in str(caught.value)


def test_fingerprint_is_of_every_file(raw: Path, tmp_path: Path):
    spec = kitti_2015.sequences(raw / "training")[0]
    before = kitti_2015.fingerprint(spec)
    (moved,) = kitti_2015.sequences(shutil.copytree(raw, tmp_path / "moved") / "training")
    assert kitti_2015.fingerprint(moved) == before
    for path in sorted(p for p in (raw / "training").rglob("*") if p.is_file()):
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert kitti_2015.fingerprint(spec) != before, path
        path.write_bytes(original)
    assert {path.parent.name for path in (raw / "training").rglob("*_10.png")} == {
        *TRUTH,
        "image_2",
        "image_3",
    }


def test_calibration_that_comes_later_is_converted_again(raw: Path, tmp_path: Path):
    later = tmp_path / "later.txt"
    shutil.move(raw / "training/calib_cam_to_cam/000002.txt", later)
    assert convert("kitti_2015", raw / "training", tmp_path / "out", jobs=1).ok
    shutil.copy(later, raw / "training/calib_cam_to_cam/000002.txt")
    (result,) = convert(
        "kitti_2015", raw / "training", tmp_path / "out", jobs=1, overwrite=True
    ).results
    assert result.status == "converted"
