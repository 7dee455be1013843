"""Cityscapes as sequence files: synthetic trees with exact truth, and how files become snippets."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from depthdata.checks import check
from depthdata.cli import main
from depthdata.codecs.images import decode_image, encode_png
from depthdata.conversion import convert
from depthdata.errors import SourceError, UsageError
from depthdata.loading import SequenceDataset, Window
from depthdata.sequence import MISSING_TIME, Sequence, open_sequence, verify
from depthdata.sources import SequenceSpec, cityscapes, dataset_card, list_datasets
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.synthetic.layouts.cityscapes import T_vehicle_imu, label_maps, vehicle_facts

HEIGHT, WIDTH = 64, 128
FRAMES, ANNOTATED = 4, 2
FIRST = 19 - ANNOTATED


def _converted(raw: Path, out: Path) -> dict[str, Sequence]:
    report = convert("cityscapes", raw, out, jobs=1)
    assert report.ok, report.failed
    assert all(verify(result.path).ok for result in report.results)
    return {result.sequence: open_sequence(result.path) for result in report.results}


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(
        seed=5, frames=FRAMES, height=HEIGHT, width=WIDTH, objects=6, baseline=0.22
    )


@pytest.fixture(scope="module")
def tree(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cityscapes") / "raw"
    write_raw("cityscapes", scene, root, annotated=ANNOTATED)
    return root


@pytest.fixture(scope="module")
def sequence(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    (found,) = _converted(tree, tmp_path_factory.mktemp("out")).values()
    return found


@pytest.fixture
def raw(tree: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(tree, tmp_path / "raw")


def test_card():
    assert "cityscapes" in list_datasets()
    card = dataset_card("cityscapes")
    assert "no redistribution" in card.licence and "Cordts2016" in card.citation
    assert card.access == "registration" and not any(a.url for a in card.archives)
    assert card.splits[:4] == ("train", "val", "test", "train_extra")
    assert pickle.loads(pickle.dumps(card)) == card


def test_streams_are_those_of_the_card(sequence: Sequence):
    card = dataset_card("cityscapes")
    assert tuple(sequence.cameras) == card.cameras
    assert set(sequence.cameras["left"].streams) <= set(card.streams)
    assert sequence.cameras["right"].streams == ("rgb",)


def test_a_snippet_is_a_sequence(tree: Path, scene: SyntheticScene, sequence: Sequence):
    assert (sequence.name, sequence.split) == ("aachen_000000_000019", "train")
    assert sequence.frame_ids == tuple(f"{FIRST + t:06d}" for t in range(FRAMES))
    np.testing.assert_array_equal(np.diff(sequence.timestamps), round(1e9 / scene.fps))
    for view in ("left", "right"):
        folder = tree / f"{view}Img8bit_sequence/train/aachen"
        for t, frame in enumerate(sequence.frame_ids):
            path = folder / f"aachen_000000_{frame}_{view}Img8bit.png"
            assert bytes(sequence.cameras[view].rgb.blob(t)) == path.read_bytes()


def test_calibration_is_the_scenes(scene: SyntheticScene, sequence: Sequence):
    (pair,) = sequence.stereo_pairs
    assert (pair.left, pair.right, pair.baseline) == ("left", "right", scene.baseline)
    for name, camera in sequence.cameras.items():
        np.testing.assert_array_equal(camera.intrinsics(0), scene.intrinsics)
        expected = T_vehicle_imu(scene) @ scene.rig.T_imu_cam(name)
        np.testing.assert_allclose(camera.T_rig_cam, expected, rtol=0, atol=1e-12)
        assert camera.poses is None and camera.transform["rig"].startswith("vehicle: x forward")


def test_disparity_and_depth_come_back(scene: SyntheticScene, sequence: Sequence):
    left = sequence.cameras["left"]
    assert left.disparity.raw(0).dtype == np.uint16 and left.disparity.attrs["scale"] == 1 / 256
    for t in range(FRAMES):
        frame, found = scene.render(t, colour=False), left.disparity[t]
        known = frame.disparity <= 255.9
        np.testing.assert_array_equal(np.isnan(found), ~known)
        np.testing.assert_allclose(found[known], frame.disparity[known], rtol=0, atol=1 / 512)
        close = known & (frame.disparity > 1)
        error = np.abs(left.depth[t] / frame.depth - 1)[close]
        assert (error < 1 / 512 / frame.disparity[close] * 1.01).all()


def test_labels_are_at_the_annotated_frame(scene: SyntheticScene, sequence: Sequence):
    left, frame = sequence.cameras["left"], scene.render(ANNOTATED, colour=False)
    for name in ("semantics", "instances", "semantics_coarse", "instances_coarse"):
        assert left[name].frames.tolist() == [ANNOTATED], name
    labels, ids = label_maps(frame)
    np.testing.assert_array_equal(left.semantics[ANNOTATED], labels)
    found = left.instances[ANNOTATED]
    np.testing.assert_array_equal(found > 0, frame.instances > 0)
    named = frame.instances > 0
    np.testing.assert_array_equal(found[named] % 1000 + 1, frame.instances[named])
    np.testing.assert_array_equal(found[named] // 1000, labels[named])
    np.testing.assert_array_equal(np.where(found > 0, found, labels), ids)
    assert left.semantics.attrs["classes"]["26"] == "car" and "instance_ids" not in left.streams
    moving = set(np.unique(found[frame.moving > 0]).tolist())
    assert moving and 0 not in moving


def test_vehicle_and_its_path(scene: SyntheticScene, sequence: Sequence):
    columns = sequence.cameras["left"].transform["vehicle"]
    assert columns["frame"] == list(range(FRAMES)) and "outsideTemperature" in columns
    for t in range(FRAMES):
        facts = vehicle_facts(scene, t)
        assert {name: values[t] for name, values in columns.items() if name != "frame"} == facts
        assert facts["speed"] == pytest.approx(scene.speed, rel=0.05)
    found = sequence.pose_sets["vehicle"]
    assert found.reference == "vehicle"
    T = T_vehicle_imu(scene)
    expected = T @ scene.T_world_imu @ np.linalg.inv(T)
    error = found.T_world_ref[:, :2, 3] - expected[:, :2, 3]
    assert np.abs(error).max() < 0.03 and np.abs(expected[-1, 0, 3]) > 1.5
    dataset = SequenceDataset(
        sequence.path, window=Window((0, 1)), streams=("rgb",), poses="vehicle"
    )
    pose = dataset[0]["T_world_cam"][0].numpy()
    np.testing.assert_allclose(pose, sequence.cameras["left"].T_rig_cam, atol=1e-12)


def test_a_snippet_passes_the_checks(sequence: Sequence):
    report = check(sequence.path)
    assert report.ok, report.table()


def test_only_annotated_images(scene: SyntheticScene, tmp_path: Path):
    write_raw("cityscapes", scene, tmp_path / "raw", annotated=ANNOTATED, every=False)
    (found,) = _converted(tmp_path / "raw", tmp_path / "out").values()
    assert found.name == "aachen_000000_000019" and found.frame_ids == ("000019",)
    assert found.timestamps.tolist() == [MISSING_TIME] and not found.pose_sets
    left = found.cameras["left"]
    assert set(left.streams) >= {"rgb", "disparity", "semantics", "instances"}
    assert found.cameras["right"].rgb.present.tolist() == [True]


def test_annotated_extras_of_a_snippet(raw: Path, tmp_path: Path):
    """Left images of the whole snippet, everything else of the annotated frame only."""
    for kind in ("rightImg8bit", "disparity", "vehicle"):
        shutil.rmtree(raw / f"{kind}_sequence")
    (found,) = _converted(raw, tmp_path / "out").values()
    left, right = found.cameras["left"], found.cameras["right"]
    assert len(found) == FRAMES and left.disparity.frames.tolist() == [ANNOTATED]
    assert right.rgb.frames.tolist() == [ANNOTATED] and not found.pose_sets
    assert left.transform["vehicle"]["frame"] == [ANNOTATED]
    assert check(found.path).ok


def test_without_calibration(raw: Path, tmp_path: Path):
    shutil.rmtree(raw / "camera")
    (found,) = _converted(raw, tmp_path / "out").values()
    left = found.cameras["left"]
    assert left.transform["intrinsics"] == "unknown" and left.T_rig_cam is None
    assert np.isnan(found.stereo_pairs[0].baseline) and left.derived == ()
    assert np.nanmax(left.disparity[0]) > 1


def test_labels_that_disagree_are_kept_whole(raw: Path, tmp_path: Path):
    path = next(raw.glob("gtFine/*/*/*_instanceIds.png"))
    ids = decode_image(path.read_bytes()).copy()
    ids[3, 4], ids[3, 5] = 26999, 1
    path.write_bytes(encode_png(ids))
    (found,) = _converted(raw, tmp_path / "out").values()
    left = found.cameras["left"]
    np.testing.assert_array_equal(left.instance_ids[ANNOTATED], ids)
    assert left.instances[ANNOTATED][3, 4] == 26999 and "instance_ids_coarse" not in left.streams
    next(raw.glob("gtFine/*/*/*_labelIds.png")).unlink()
    (found,) = _converted(raw, tmp_path / "other").values()
    left = found.cameras["left"]
    assert left.semantics[ANNOTATED][3, 4] == 26 and "instance_ids" not in left.streams


def _touch(root: Path, folder: str, name: str) -> None:
    split, city = "train", name.split("_")[0]
    place = root / folder / split / city
    place.mkdir(parents=True, exist_ok=True)
    (place / name).touch()


def _spans(specs: list[SequenceSpec]) -> dict[str, tuple[int, int, int]]:
    spans = {}
    for spec in specs:
        frames = sorted({f for found in spec.files["frames"].values() for f in found})
        spans[spec.name] = (frames[0], frames[-1], len(frames))
    return spans


def test_snippets_of_long_sequences(tmp_path: Path):
    for frame in [*range(294, 324), *range(363, 393), *range(393, 423)]:
        _touch(tmp_path, "leftImg8bit_sequence", f"bochum_000000_{frame:06d}_leftImg8bit.png")
    assert _spans(cityscapes.sequences(tmp_path)) == {
        "bochum_000000_000313": (294, 323, 30),
        "bochum_000000_000382": (363, 392, 30),
        "bochum_000000_000412": (393, 422, 30),
    }
    # Annotated frames tell where snippets are, whatever is missing of them.
    (tmp_path / "leftImg8bit_sequence/train/bochum/bochum_000000_000294_leftImg8bit.png").unlink()
    for frame in (313, 382, 412):
        _touch(tmp_path, "gtFine", f"bochum_000000_{frame:06d}_gtFine_labelIds.png")
    assert _spans(cityscapes.sequences(tmp_path)) == {
        "bochum_000000_000313": (295, 323, 29),
        "bochum_000000_000382": (363, 392, 30),
        "bochum_000000_000412": (393, 422, 30),
    }


def test_a_video_is_not_cut(tmp_path: Path):
    place = tmp_path / "leftImg8bit/demoVideo/stuttgart_00"
    place.mkdir(parents=True)
    for frame in range(1, 100):
        (place / f"stuttgart_00_000000_{frame:06d}_leftImg8bit.png").touch()
    (spec,) = cityscapes.sequences(tmp_path)
    assert (spec.name, spec.split) == ("stuttgart_00_000000", "demoVideo")
    assert len(spec.files["frames"]["leftImg8bit"]) == 99


def test_cameras_that_change_within_a_video(scene: SyntheticScene, tmp_path: Path):
    write_raw(
        "cityscapes", scene, tmp_path / "raw", split="demoVideo", city="stuttgart_01",
        annotated=1, number=1, without=("gtFine", "gtCoarse"),
    )  # fmt: skip
    raw = tmp_path / "raw"
    for kind in ("leftImg8bit", "rightImg8bit", "disparity", "vehicle"):
        shutil.rmtree(raw / kind)
        (raw / f"{kind}_sequence").rename(raw / kind)
    camera = raw / "camera/demoVideo/stuttgart_01/stuttgart_01_000000_000001_camera.json"
    text = camera.read_text()
    other = camera.with_name("stuttgart_01_000000_000003_camera.json")
    other.write_text(text.replace('"baseline": 0.22', '"baseline": 0.23'))
    (found,) = _converted(raw, tmp_path / "out").values()
    assert found.name == "stuttgart_01_000000" and found.split == "demoVideo"
    assert [found.stereo_pairs[0].at(t) for t in range(4)] == [0.22, 0.22, 0.22, 0.23]
    assert found.timestamps.min() >= 0


def test_root_may_be_a_folder_below(tree: Path):
    (whole,) = cityscapes.sequences(tree)
    for below in ("leftImg8bit", "gtFine/train", "leftImg8bit_sequence/train/aachen"):
        assert cityscapes.sequences(tree / below) == [whole]
    assert pickle.loads(pickle.dumps(whole)) == whole
    with pytest.raises(SourceError, match="no image of Cityscapes"):
        cityscapes.sequences(tree / "leftImg8bit" / "val")


def test_a_part_without_images_is_left_out(raw: Path, caplog: pytest.LogCaptureFixture):
    shutil.copytree(raw / "gtFine/train", raw / "gtFine/val")
    with caplog.at_level(logging.WARNING):
        (spec,) = cityscapes.sequences(raw)
    assert spec.split == "train" and "no image in val; left out" in caplog.text
    assert "1 snippets (aachen_000000_000019 ...) have fewer than 30 frames" in caplog.text


def test_fingerprint_is_of_every_file(raw: Path):
    (spec,) = cityscapes.sequences(raw)
    before = cityscapes.fingerprint(spec)
    files = sorted(path for path in raw.rglob("*") if path.is_file())
    assert len(files) == 5 * FRAMES + 5 + 4
    for path in files:
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert cityscapes.fingerprint(spec) != before, path
        path.write_bytes(original)


def test_wrong_options_of_the_layout(scene: SyntheticScene, tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be called 1"):
        write_raw("cityscapes", scene, tmp_path, number=1)
    with pytest.raises(UsageError, match="no folder 'depth'"):
        write_raw("cityscapes", scene, tmp_path, without=("depth",))
    assert not list(tmp_path.iterdir())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _empty(path: Path, *shape: int, dtype: type = np.uint8) -> None:
    path.write_bytes(encode_png(np.zeros(shape, dtype)))


LEFT = "leftImg8bit_sequence/train/aachen/aachen_000000_0000{}_leftImg8bit.png"
RIGHT = LEFT.replace("left", "right")
TIME = "timestamp_sequence/train/aachen/aachen_000000_000017_timestamp.txt"
GT = "gtFine/train/aachen/aachen_000000_000019_gtFine_{}.png"
CAMERA = "camera/train/aachen/aachen_000000_000019_camera.json"
DISPARITY = "disparity_sequence/train/aachen/aachen_000000_000018_disparity.png"

WRONG = {
    "a left image": (
        lambda r: (r / LEFT.format(18)).unlink(),
        "000018_leftImg8bit.png is missing, and 0 more of the 4 frames of the snippet; unpack "
        "leftImg8bit_sequence again",
    ),
    "the annotated image": (
        lambda r: (r / LEFT.format(19)).unlink(),
        "000019_leftImg8bit.png is missing, and 0 more",
    ),
    "a right image": (
        lambda r: (r / RIGHT.format(20)).unlink(),
        "rightImg8bit_sequence/train/aachen/aachen_000000_000020_rightImg8bit.png is missing",
    ),
    "a time": (lambda r: (r / TIME).unlink(), "000017_timestamp.txt is missing"),
    "all images of labels": (
        lambda r: [
            shutil.rmtree(r / f"leftImg8bit{end}/train/aachen") for end in ("", "_sequence")
        ],
        "aachen_000000_000019_leftImg8bit.png is missing, the image of other files",
    ),
}
DAMAGED = {
    "image is cut": (lambda r: _cut(r / LEFT.format(18)), "000018_leftImg8bit.png is cut"),
    "labels are cut": (lambda r: _cut(r / GT.format("labelIds")), "labelIds: PNG cut at"),
    "disparity is cut": (lambda r: _cut(r / DISPARITY), "disparity: PNG cut at"),
    "page instead of image": (
        lambda r: (r / RIGHT.format(18)).write_text("<!DOCTYPE html>"),
        "000018_rightImg8bit.png is no PNG image",
    ),
    "frames differ in size": (
        lambda r: _empty(r / LEFT.format(20), 64, 130, 3),
        "expected an image like aachen_000000_000017_leftImg8bit.png, 128x64",
    ),
    "views differ in size": (
        lambda r: [_empty(r / RIGHT.format(n), 64, 130, 3) for n in (17, 18, 19, 20)],
        "expected 128x64 pixels like the left images, found 130x64",
    ),
    "disparity of another size": (
        lambda r: _empty(r / DISPARITY, 9, 9, dtype=np.uint16),
        "000018_disparity.png: expected 128x64 pixels like the left images, found 9x9",
    ),
    "labels of another size": (
        lambda r: _empty(r / GT.format("instanceIds"), 9, 9, dtype=np.uint16),
        "gtFine_instanceIds.png: expected 128x64 pixels",
    ),
    "colour labels": (
        lambda r: _empty(r / GT.format("labelIds"), 64, 128, 3),
        "labelIds: expected 8-bit grey PNG, found 8-bit PNG with 3 channel(s)",
    ),
    "images made smaller": (
        lambda r: (r / CAMERA).write_text((r / CAMERA).read_text().replace('"u0": ', '"u0": 9')),
        "is not in the middle of images of 128x64",
    ),
    "no calibration": (lambda r: (r / CAMERA).write_text("{}"), "expected the numbers fx, fy"),
    "a time that is none": (lambda r: (r / TIME).write_text("now"), "whole nanoseconds"),
}


@pytest.fixture(scope="module")
def two_cities(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(tree, tmp_path_factory.mktemp("two") / "raw")
    good = SyntheticScene(seed=1, frames=1, height=HEIGHT, width=WIDTH, objects=0, baseline=0.22)
    write_raw("cityscapes", good, root, city="bremen", every=False)
    return root


@pytest.mark.parametrize("what", [*WRONG, *DAMAGED])
def test_wrong_tree_gives_one_clear_line(two_cities: Path, tmp_path: Path, what: str):
    raw = shutil.copytree(two_cities, tmp_path / "raw")
    breaks, message = {**WRONG, **DAMAGED}[what]
    breaks(raw)
    out = raw.parent / "out"
    found = {r.sequence: r for r in convert("cityscapes", raw, out, jobs=1).results}
    failed, fine = found["aachen_000000_000019"], found["bremen_000000_000019"]
    assert (failed.status, fine.status) == ("failed", "converted"), found
    assert message in failed.message and str(raw) in failed.message and "\n" not in failed.message
    assert [path.name for path in out.glob("*.h5*")] == ["bremen_000000_000019.h5"]
    skipping = convert("cityscapes", raw, out, jobs=1, skip_incomplete=True).results
    status = {result.sequence: result.status for result in skipping}
    assert status["aachen_000000_000019"] == ("skipped" if what in WRONG else "failed")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: None, "expected leftImg8bit/train/aachen/"),
        (lambda r: r.rmdir(), "there is no such folder"),
        (lambda r: (r / "gtFine_trainvaltest.zip").touch(), "unpack gtFine_trainvaltest.zip there"),
        (
            lambda r: _touch(r, "gtFine", "aachen_000000_000019_gtFine_labelIds.png"),
            "there is only gtFine: unpack leftImg8bit_trainvaltest.zip",
        ),
        (
            lambda r: [(r / kind).mkdir() for kind in ("image", "segmentation")],
            "this is Insta-DM's prepared set: convert cityscapes_vis",
        ),
        (
            lambda r: _touch(r, "leftImg8bit_blurred", "aachen_0_leftImg8bit_blurred.png"),
            "unpack leftImg8bit_trainvaltest.zip there",
        ),
    ],
)
def test_no_image_at_all(tmp_path: Path, make, message: str):
    root = tmp_path / "Cityscapes"
    root.mkdir()
    make(root)
    with pytest.raises(SourceError, match="no image of Cityscapes found") as caught:
        cityscapes.sequences(root)
    assert message in str(caught.value) and str(root) in str(caught.value)


@pytest.fixture(scope="module")
def real(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sequence]:
    return _converted(realdata / "cityscapes", tmp_path_factory.mktemp("real"))


@pytest.mark.realdata
def test_real_annotated_image(real: dict[str, Sequence], realdata: Path):
    sequence = real["aachen_000000_000019"]
    left = sequence.cameras["left"]
    assert (sequence.split, sequence.frame_ids) == ("train", ("000019",))
    assert (left.height, left.width) == (1024, 2048) and not left.calibrated
    name = "train/aachen/aachen_000000_000019"
    raw = realdata / "cityscapes"
    assert bytes(left.rgb.blob(0)) == (raw / f"leftImg8bit/{name}_leftImg8bit.png").read_bytes()
    labels, ids = (
        decode_image((raw / f"gtFine/{name}_gtFine_{kind}.png").read_bytes())
        for kind in ("labelIds", "instanceIds")
    )
    np.testing.assert_array_equal(left.semantics[0], labels)
    instances = left.instances[0]
    np.testing.assert_array_equal(np.where(instances > 0, instances, labels), ids)
    assert "instance_ids" not in left.streams
    names = left.semantics.attrs["classes"]
    classes = {names[str(n // 1000)] for n in np.unique(instances) if n}
    assert classes == {"person", "rider", "car", "bicycle"}
    assert len(np.unique(instances)) - 1 == 13
    road = (labels == 7)[-300:-200].mean()
    assert road > 0.3 and (labels == 1)[-60:].mean() > 0.5  # the car itself, below
    assert check(sequence.path).ok


@pytest.mark.realdata
def test_real_camera(real: dict[str, Sequence]):
    sequence = real["stuttgart_01_000000"]
    left = sequence.cameras["left"]
    assert (sequence.split, sequence.frame_ids) == ("demoVideo", ("003715",))
    K = left.intrinsics(0)
    assert K[0, 0] == 2263.54773399985 and K[1, 2] == 515.0066006000195
    np.testing.assert_allclose(left.T_rig_cam[:3, 3], (1.7, 0.02624, 1.2124), atol=1e-6)
    assert left.T_rig_cam[2, 2] == pytest.approx(-np.sin(0.0384256), abs=1e-6)  # looks down
    assert check(sequence.path).ok


@pytest.mark.parametrize("dataset", ["cityscapes", "cityscapes_vis", "kitti_vis"])
def test_from_the_shell(dataset: str, tmp_path: Path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for arguments in (
        ("synth", raw, "--layout", dataset, "--frames", 2, "--size", 48, 156),
        ("convert", dataset, raw, out, "-j", 1),
        ("verify", out),
        ("info", dataset),
    ):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, (arguments, result.output)
    (found,) = out.glob("*.h5")
    result = CliRunner().invoke(main, ["info", str(found)])
    assert result.exit_code == 0 and "instances" in result.output
