"""KITTI 2012 scenes as sequence files: synthetic trees with exact truth, and wrong trees."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from kitti_stereo_scenes import converted, failure, small_tree

from depthdata.checks import check
from depthdata.codecs.images import decode_image
from depthdata.errors import SourceError
from depthdata.sequence import Sequence
from depthdata.sources import dataset_card, kitti_2012, list_datasets
from depthdata.synthetic import SyntheticScene, write_raw

FOLDERS = {
    "gray_left": "image_0",
    "gray_right": "image_1",
    "left": "colored_0",
    "right": "colored_1",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "raw"
    return small_tree("kitti_2012", root, reflective=True)


@pytest.fixture
def raw(tree: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(tree, tmp_path / "raw")


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=6, frames=2, height=94, width=310)


@pytest.fixture(scope="module")
def sequence(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    root = tmp_path_factory.mktemp("scene")
    write_raw("kitti_2012", scene, root / "raw", number=9)
    return converted("kitti_2012", root / "raw", root / "out")["training_000009"]


def test_card():
    assert "kitti_2012" in list_datasets()
    card = dataset_card("kitti_2012")
    assert card.licence == "CC BY-NC-SA 3.0" and "Geiger2012CVPR" in card.citation
    store = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
    assert card.archives[0].url == f"{store}/data_stereo_flow.zip"


def test_images_of_both_pairs(tree: Path, tmp_path: Path):
    found = converted("kitti_2012", tree, tmp_path)
    assert list(found) == ["testing_000001", "training_000002"]
    for name, sequence in found.items():
        assert tuple(sequence.cameras) == tuple(FOLDERS) == dataset_card("kitti_2012").cameras
        for camera, folder in FOLDERS.items():
            for t, frame in enumerate(sequence.frame_ids):
                source = tree / name.split("_")[0] / folder / f"{frame}.png"
                stream = sequence.cameras[camera].rgb
                assert bytes(stream.blob(t)) == source.read_bytes()
                assert stream[t].ndim == (2 if camera.startswith("gray") else 3)


def test_calibration(scene: SyntheticScene, sequence: Sequence):
    pairs = {(pair.left, pair.right): pair.baseline for pair in sequence.stereo_pairs}
    assert pairs == pytest.approx(
        {("gray_left", "gray_right"): scene.baseline, ("left", "right"): scene.baseline}, rel=1e-10
    )
    for name, camera in sequence.cameras.items():
        np.testing.assert_allclose(camera.intrinsics(0), scene.intrinsics, rtol=1e-11)
        assert camera.transform["rig"] == "rect0"
        np.testing.assert_allclose(camera.T_rig_cam[:3, 3], -scene.rig.shift(name), atol=1e-11)


def test_truth_is_of_the_grey_camera(scene: SyntheticScene, sequence: Sequence):
    camera, frame = sequence.cameras["gray_left"], scene.render(0, "gray_left", colour=False)
    assert set(camera.streams) <= set(dataset_card("kitti_2012").streams)
    for other in ("gray_right", "left", "right"):
        assert sequence.cameras[other].streams == ("rgb",)
    valid = ~np.isnan(camera.disparity[0])
    assert 0.5 < valid.mean() < 1
    expected = np.rint(frame.disparity.astype(np.float64) * 256) / 256
    np.testing.assert_array_equal(camera.disparity[0][valid], expected[valid])
    expected = np.rint(frame.flow_forward.astype(np.float64) * 64) / 64
    np.testing.assert_array_equal(camera.flow_forward[0][:, valid], expected[:, valid])
    np.testing.assert_array_equal(camera.flow_forward_valid[0], valid)
    hidden = np.where(valid, frame.occluded_right, 255)
    np.testing.assert_array_equal(camera["masks/occluded"].raw(0), hidden)
    assert check(sequence.path).ok


def test_truth_on_reflecting_surfaces(tree: Path, tmp_path: Path):
    camera = converted("kitti_2012", tree, tmp_path)["training_000002"].cameras["gray_left"]
    for folder, hide in (("disp_refl_occ", False), ("disp_refl_noc", True)):
        levels = decode_image((tree / "training" / folder / "000002_10.png").read_bytes())
        stored = camera.disparity_reflective.raw(0)
        if hide:
            stored = np.where(camera["masks/occluded_reflective"].raw(0) == 0, stored, 0)
        np.testing.assert_array_equal(stored, levels)
        assert 0 < np.count_nonzero(levels) < levels.size / 2


def test_one_pair_alone(raw: Path, tmp_path: Path):
    for folder in ("colored_0", "colored_1"):
        shutil.rmtree(raw / "training" / folder)
    for folder in ("image_0", "image_1"):
        shutil.rmtree(raw / "testing" / folder)
    found = converted("kitti_2012", raw, tmp_path / "out")
    assert tuple(found["training_000002"].cameras) == ("gray_left", "gray_right")
    assert tuple(found["testing_000001"].cameras) == ("left", "right")
    assert "calibration" in found["testing_000001"].cameras["left"].transform


WRONG = {
    "truth without its view": (
        lambda p: [shutil.rmtree(p / folder) for folder in ("image_0", "image_1")],
        "image_0/000002_10.png is missing, the image that disp_occ/000002_10.png is the ground "
        "truth of; unpack data_stereo_flow.zip again",
    ),
    "right colour image": (
        lambda p: (p / "colored_1/000002_11.png").unlink(),
        "colored_1/000002_11.png is missing, the other image of colored_0/000002_11.png",
    ),
}
DAMAGED = {
    "colour in grey": (
        lambda p: shutil.copy(p / "colored_0/000002_11.png", p / "image_0/000002_11.png"),
        "image_0/000002_11.png: expected an image like 000002_10.png, 80x24 with 1 channel(s)",
    ),
    "no projection": (
        lambda p: (p / "calib/000002.txt").write_text(f"P0: {'0 ' * 12}\n"),
        "000002.txt, line 1: P0 is no projection",
    ),
    "calibration of another dataset": (
        lambda p: (p / "calib/000002.txt").write_text("K: 1 2 3\n"),
        "000002.txt: no line 'P0: ...'",
    ),
}


@pytest.mark.parametrize("what", [*WRONG, *DAMAGED])
def test_wrong_tree_gives_one_clear_line(raw: Path, what: str):
    breaks, message = {**WRONG, **DAMAGED}[what]
    breaks(raw / "training")
    assert message in failure("kitti_2012", raw, incomplete=what in WRONG)


def test_another_benchmark(tmp_path: Path):
    """The two share names of folders: flow_occ, flow_noc."""
    small_tree("kitti_2015", tmp_path)
    with pytest.raises(SourceError, match="image_2 belongs to kitti_2015: convert that"):
        kitti_2012.sequences(tmp_path)
