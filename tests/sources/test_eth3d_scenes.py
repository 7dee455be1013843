"""ETH3D two-view scenes as sequence files: a tree written by hand, golden files, real scenes."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import two_view_tree as tree
from support import golden_cases
from two_view_tree import warp_gain, write_eth3d, write_mask, write_pfm

import depthdata as dd
from depthdata.codecs.pfm import read_pfm
from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.geometry import se3_inverse
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.sources import dataset_card, eth3d
from depthdata.sources.middlebury_files import all_files

TRAINING, TRUTH = "two_view_training", "two_view_training_gt"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two training scenes and one test scene."""
    root = tmp_path / "raw"
    write_eth3d(root, "yard_1l", 1)
    write_eth3d(root, "attic_2s", 5)
    write_eth3d(tmp_path / "more", "lake_1l", 9)
    (root / "two_view_testing").mkdir()
    shutil.move(tmp_path / f"more/{TRAINING}/lake_1l", root / "two_view_testing/lake_1l")
    return root


def _convert(raw: Path, sequence: str) -> Sequence:
    (result,) = convert("eth3d", raw, raw.parent / "out", jobs=1, sequences=[sequence]).results
    assert result.status == "converted", result.message
    assert verify(result.path).ok
    return open_sequence(result.path)


def test_card():
    card = dataset_card("eth3d")
    assert [
        archive.url.removeprefix("https://www.eth3d.net/data/") for archive in card.archives
    ] == [
        "two_view_training.7z",
        "two_view_training_gt.7z",
        "two_view_test.7z",
    ]
    assert [bool(archive.sha256) for archive in card.archives] == [True, True, False]
    assert any("third party" in note for note in card.notes)
    assert card.licence == "CC BY-NC-SA 4.0" and "Schoeps2017CVPR" in card.citation


def test_every_sensible_root(raw: Path):
    specs = eth3d.sequences(raw)
    assert [(spec.name, spec.split) for spec in specs] == [
        ("attic_2s", "train"),
        ("lake_1l", "test"),
        ("yard_1l", "train"),
    ]
    assert pickle.loads(pickle.dumps(specs)) == specs
    assert eth3d.sequences(raw / TRAINING) == [specs[0], specs[2]]
    assert eth3d.sequences(raw / TRAINING / "yard_1l") == [specs[2]]
    assert eth3d.sequences(raw / "two_view_testing") == [specs[1]]
    (raw / "two_view_testing").rename(raw / "two_view_test")
    assert [spec.name for spec in eth3d.sequences(raw)] == ["attic_2s", "lake_1l", "yard_1l"]


def test_wrong_root(raw: Path):
    (raw / "empty").mkdir()
    with pytest.raises(SourceError, match="no scene found; expected two_view_training/<scene>"):
        eth3d.sequences(raw / "empty")
    (raw / "empty/two_view_training.7z").touch()
    with pytest.raises(SourceError, match=r"unpack two_view_training\.7z first"):
        eth3d.sequences(raw / "empty")
    with pytest.raises(SourceError, match="no scene found"):
        eth3d.sequences(raw / TRUTH)


@pytest.mark.parametrize("channels", [1, 3])
def test_scene(tmp_path: Path, channels: int):
    folder = write_eth3d(tmp_path / "raw", channels=channels)
    truth = tmp_path / "raw" / TRUTH / "yard_1l"
    with _convert(tmp_path / "raw", "yard_1l") as sequence:
        assert sequence.split == "train" and sequence.frame_ids == ("yard_1l",)
        assert sequence.stereo_pairs[0].baseline == 0.193001
        left, right = sequence.cameras["left"], sequence.cameras["right"]
        assert left.streams == ("rgb", "disparity", "masks/occluded") and right.streams == ("rgb",)
        for view, camera in enumerate((left, right)):
            assert bytes(camera.rgb.blob(0)) == (folder / f"im{view}.png").read_bytes()
            assert camera.rgb[0].shape == (tree.HEIGHT, tree.WIDTH, 3)[: 2 if channels == 1 else 3]
            K = [[tree.FOCAL, 0, tree.CENTRE[0]], [0, tree.FOCAL, tree.CENTRE[1]], [0, 0, 1]]
            assert camera.intrinsics(0).tolist() == K
        # q = (0.8, 0, 0.6, 0) turns by 73.7 degrees about y: cos 0.28, sin 0.96
        T_cam_world = [[0.28, 0, 0.96, 1.5], [0, 1, 0, -2.25], [-0.96, 0, 0.28, 3], [0, 0, 0, 1]]
        np.testing.assert_allclose(left.pose(0), np.linalg.inv(T_cam_world), atol=1e-12)
        T_left_right = se3_inverse(left.pose(0)) @ right.pose(0)
        np.testing.assert_allclose(T_left_right[:3, 3], [0.193001, 0, 0], atol=1e-12)
        assert left.transform["images_txt"]["translation"] == [1.5, -2.25, 3.0]
        assert left.transform["calib"] == {"baseline": 193.001, "doffs": 0, "ndisp": 10}
        stored = read_pfm(truth / "disp0GT.pfm")
        values = left["disparity"][0]
        np.testing.assert_array_equal(np.where(np.isnan(values), np.inf, values), stored)
        np.testing.assert_array_equal(left["masks/occluded"][0] == 255, np.isinf(stored))


def test_depth_follows_from_disparity(raw: Path):
    with _convert(raw, "yard_1l") as sequence:
        stored = read_pfm(raw / TRUTH / "yard_1l/disp0GT.pfm").astype(np.float64)
        expected = np.where(np.isinf(stored), np.nan, 0.193001 * tree.FOCAL / stored)
        np.testing.assert_allclose(sequence.cameras["left"].depth[0], expected, rtol=1e-6)


def test_test_scene_may_have_images_only(raw: Path):
    scene = raw / "two_view_testing/lake_1l"
    with _convert(raw, "lake_1l") as sequence:
        assert sequence.split == "test" and sequence.cameras["left"].poses is not None
        assert all(camera.streams == ("rgb",) for camera in sequence.cameras.values())
    for path in scene.glob("*.txt"):
        path.unlink()
    shutil.rmtree(raw.parent / "out")
    with _convert(raw, "lake_1l") as sequence:
        assert np.isnan(sequence.stereo_pairs[0].baseline)
        for camera in sequence.cameras.values():
            assert camera.poses is None and camera.transform["intrinsics"] == "unknown"


def test_scene_without_poses(raw: Path):
    for name in ("cameras.txt", "images.txt"):
        (raw / TRAINING / "yard_1l" / name).unlink()
    with _convert(raw, "yard_1l") as sequence:
        right = sequence.cameras["right"]
        assert right.poses is None and right.T_rig_cam[:3, 3].tolist() == [0.193001, 0, 0]


def test_truth_that_is_not_unpacked(raw: Path):
    shutil.rmtree(raw / TRUTH)
    with _convert(raw, "yard_1l") as sequence:
        left = sequence.cameras["left"]
        assert left.streams == ("rgb",) and sequence.split == "train"
        assert left.transform["left_out"] == f"ground truth: there is no folder {TRUTH}"


def _edit(old: str, new: str):
    def edit(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


SCENE = f"{TRAINING}/yard_1l"
OTHER = (tree.HEIGHT, tree.WIDTH - 1)
BREAKAGES = {
    "metres": ("calib.txt", _edit("=193.001", "=0.193001"), "found a step of .0.193001, 0, 0. m"),
    "pose": ("images.txt", _edit("1.306999", "1.3"), "0.193001 m to the right of im0.png"),
    "mirrored": ("images.txt", _edit("1.306999", "1.693001"), "found a step of .-0.193001"),
    "turned": ("images.txt", _edit("1 0.8 0 0.6", "1 0.6 0 0.8"), "a turn of 32.5 degrees"),
    "no pose": ("images.txt", _edit("im1.png", "im2.png"), "no pose of im1.png; found im0.png"),
    "focal": ("cameras.txt", _edit("8.5 8.5", "9 9"), "fx 9.0 .* expected 9x6 fx 8.5"),
    "lens": ("cameras.txt", _edit("4 PIN", "3 PIN"), "im0.png has camera 4, which is not in"),
    "model": ("cameras.txt", _edit("PINHOLE", "OPENCV"), "expected the model PINHOLE"),
    "calib": ("calib.txt", _edit("baseline=193.001\n", ""), "no line 'baseline=...'"),
    "image": ("im1.png", lambda p: p.write_bytes(tree.picture(0, OTHER)), "expected 9x6 .* 8x6"),
    "disparity": (
        f"../../{TRUTH}/yard_1l/disp0GT.pfm",
        lambda path: write_pfm(path, tree.disparity(0, OTHER)),
        "expected 9x6 pixels like im0.png, found 8x6",
    ),
    "mask": (
        f"../../{TRUTH}/yard_1l/mask0nocc.png",
        lambda path: write_mask(path, tree.disparity(0, OTHER)),
        "expected 9x6 pixels like im0.png, found 8x6",
    ),
    "cut pfm": (
        f"../../{TRUTH}/yard_1l/disp0GT.pfm",
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "disp0GT.pfm",
    ),
}


@pytest.mark.parametrize("case", BREAKAGES)
def test_broken_scene_gives_one_line_and_no_file(raw: Path, case: str):
    file, damage, message = BREAKAGES[case]
    damage(raw / SCENE / file)
    report = convert("eth3d", raw, raw / "out", jobs=1, skip_incomplete=True)
    (failed,) = report.failed
    assert failed.sequence == "yard_1l" and "\n" not in failed.message
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(failed.message)
    assert sorted(path.stem for path in (raw / "out").glob("*.h5*")) == ["attic_2s", "lake_1l"]


@pytest.mark.parametrize(
    ("file", "archive"),
    [
        (f"{SCENE}/im1.png", "two_view_training.7z"),
        (f"{SCENE}/calib.txt", "two_view_training.7z"),
        (f"{SCENE}/cameras.txt", "two_view_training.7z"),
        (f"{SCENE}/images.txt", "two_view_training.7z"),
        (f"{TRUTH}/yard_1l/disp0GT.pfm", "two_view_training_gt.7z"),
        (f"{TRUTH}/yard_1l/mask0nocc.png", "two_view_training_gt.7z"),
    ],
)
def test_missing_file(raw: Path, file: str, archive: str):
    (raw / file).unlink()
    (failed,) = convert("eth3d", raw, raw / "out", jobs=1).failed
    assert failed.message == f"{raw / file} is missing; unpack {archive} again"
    report = convert("eth3d", raw, raw / "more", jobs=1, skip_incomplete=True)
    assert [r.status for r in report.results] == ["converted", "converted", "skipped"]
    assert sorted(path.stem for path in (raw / "more").glob("*.h5*")) == ["attic_2s", "lake_1l"]


def test_fingerprint_follows_every_file(raw: Path):
    spec = eth3d.sequences(raw)[2]
    names = all_files(spec)
    assert len(names) == len(set(names)) == 7
    before = eth3d.fingerprint(spec)
    for name in names:
        content = (raw / name).read_bytes()
        (raw / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert eth3d.fingerprint(spec) != before
        (raw / name).write_bytes(content)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "eth3d*"))
def test_golden_reader_from_the_sequence_file_alone(case: Path, tmp_path: Path):
    with np.load(case / "expected.npz") as arrays:
        expected = dict(arrays)
    write_eth3d(tmp_path / "raw", size=expected["disp"].shape)
    for path in case.iterdir():
        if path.suffix in (".pfm", ".png"):
            shutil.copyfile(path, tmp_path / "raw" / TRUTH / "yard_1l" / path.name)
    with _convert(tmp_path / "raw", "yard_1l") as sequence:
        values = sequence.cameras["left"]["disparity"][0]
    disparity = np.where(np.isnan(values), np.float32(np.inf), values)
    found = {"disp": disparity, "valid": disparity < 512}
    assert set(found) == set(expected)
    for name, values in found.items():
        assert values.dtype == expected[name].dtype
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.realdata
def test_real_scenes(realdata: Path, tmp_path: Path):
    root = realdata / "eth3d"
    report = convert("eth3d", root, tmp_path, jobs=1)
    assert report.ok and len(report.results) == 3
    # size, finite, largest, mean, mask 0, 128, 255, focal length, baseline
    # fmt: off
    facts = {
        "delivery_area_1l": (942, 489, 344671, 17.804080, 7.625704, 115967, 13900, 330771,
                             541.764, 59.9101),
        "playground_1l": (941, 490, 228855, 20.001200, 10.151046, 232235, 12054, 216801,
                          542.019, 59.5549),
        "electro_1s": (717, 435, 233982, 15.470803, 10.892096, 77913, 9265, 224717,
                       713.679, 60.1),
    }
    # fmt: on
    for result in report.results:
        checked = dd.check(result.path)
        assert checked.ok, checked.table()
        width, height, count, high, mean, *mask, focal, baseline = facts.pop(result.sequence)
        scene = root / TRAINING / result.sequence
        with open_sequence(result.path) as sequence:
            left, right = sequence.cameras["left"], sequence.cameras["right"]
            assert (left.width, left.height) == (width, height)
            assert left.intrinsics(0)[0, 0] == right.intrinsics(0)[1, 1] == focal
            assert sequence.stereo_pairs[0].baseline * 1000 == pytest.approx(baseline, abs=1e-9)
            for view, camera in enumerate((left, right)):
                assert bytes(camera.rgb.blob(0)) == (scene / f"im{view}.png").read_bytes()
            values = left["disparity"][0]
            known = values[np.isfinite(values)]
            assert known.size == count and known.max() == pytest.approx(high, abs=1e-5)
            assert known.mean(dtype=np.float64) == pytest.approx(mean, abs=1e-5)
            occluded = left["masks/occluded"][0]
            assert [np.count_nonzero(occluded == v) for v in (255, 1, 0)] == mask
            # The poses are metres, calib.txt is millimetres: they agree to what six digits can say.
            step = (se3_inverse(left.pose(0)) @ right.pose(0))[:3, 3]
            np.testing.assert_allclose(step, [baseline / 1000, 0, 0], atol=2e-7)
            depth = focal * baseline / 1000 / values
            np.testing.assert_allclose(left.depth[0], depth, rtol=1e-6)
            assert np.nanmin(left.depth[0]) > 1
            gain, *displaced = (warp_gain(left, right, 1, off) for off in (0, -2, 2))
            # playground_1l: its two images differ in brightness by a tenth
            assert gain < 0.7 and gain < 0.95 * min(displaced)
    assert not facts
