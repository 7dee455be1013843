"""A rendered scene through the layouts of the Scene Flow datasets and back, against its truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthdata.checks import check
from depthdata.codecs.images import image_size
from depthdata.codecs.sceneflow import CAMERA_DATA, KINDS
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.geometry import backproject, pixel_grid, project, se3_inverse, transform
from depthdata.sequence import MISSING_TIME, Sequence, open_sequence, verify
from depthdata.synthetic import Frame, SyntheticScene, write_raw
from depthdata.synthetic.layouts.sceneflow import final_pass, motion_boundary, through_lens

# clip -> sequence, split, fx for images that are 160 pixels wide, name of the first frame
CLIPS = {
    "TEST/B/0012": ("flyingthings3d_TEST_B_0012", "test", 175.0, "0006"),
    "eating_x2": ("monkaa_eating_x2", "train", 175.0, "0001"),
    "15mm_focallength/scene_forwards/fast": (
        "driving_15mm_focallength_scene_forwards_fast",
        "train",
        75.0,
        "0001",
    ),
}
FRAMES = 3
FOLDERS = {CAMERA_DATA, *(kind.folder for kind in KINDS)}
STREAMS = (
    "rgb rgb_final disparity flow_forward flow_backward disparity_change_forward "
    "disparity_change_backward instances materials masks/motion_boundary_forward "
    "masks/motion_boundary_backward"
)


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=FRAMES, height=90, width=160, objects=4)


@pytest.fixture(scope="module")
def root(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sceneflow")
    for clip in CLIPS:
        write_raw("sceneflow", scene, root / "raw", clip=clip)
    report = convert("sceneflow", root / "raw", root / "out", jobs=1)
    assert report.ok, report.failed
    assert all(verify(result.path).ok for result in report.results)
    return root


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def sequence(root: Path, clip: str) -> Sequence:
    return open_sequence(root / "out" / f"{CLIPS[clip][0]}.h5")


@pytest.fixture(scope="module")
def lens(scene: SyntheticScene, clip: str) -> SyntheticScene:
    return through_lens(scene, clip)


@pytest.fixture(scope="module")
def truth(lens: SyntheticScene) -> dict[tuple[str, int], Frame]:
    return {(c, t): lens.render(t, c) for c in ("left", "right") for t in range(FRAMES)}


def test_cameras(sequence: Sequence, lens: SyntheticScene, clip: str):
    name, split, fx, first = CLIPS[clip]
    assert (sequence.dataset, sequence.name, sequence.split) == ("sceneflow", name, split)
    assert sequence.frame_ids == tuple(f"{int(first) + t:04d}" for t in range(FRAMES))
    assert (sequence.timestamps == MISSING_TIME).all()
    (pair,) = sequence.stereo_pairs
    assert (pair.left, pair.right, pair.baseline) == ("left", "right", 1)
    for view, camera in sequence.cameras.items():
        assert camera.intrinsics(0).tolist() == [[fx, 0, 79.5], [0, fx, 44.5], [0, 0, 1]]
        np.testing.assert_array_equal(camera.poses, lens.T_world_cam(view))
        assert camera.transform["length_unit"] == "scene unit"
        assert camera.transform["intrinsics"] == "of 960x540, scaled to the images"
        assert camera.T_rig_cam[:3, 3].tolist() == [float(view == "right"), 0, 0]
        assert camera.streams == tuple(STREAMS.split())


def test_every_stored_value_is_the_scenes(sequence: Sequence, truth: dict[tuple[str, int], Frame]):
    for (view, t), frame in truth.items():
        camera = sequence.cameras[view]
        np.testing.assert_array_equal(camera["rgb"][t], frame.rgb)
        np.testing.assert_array_equal(camera["rgb_final"][t], final_pass(frame.rgb, t))
        np.testing.assert_array_equal(camera["disparity"][t], frame.disparity)
        np.testing.assert_array_equal(camera["instances"][t], frame.instances)
        np.testing.assert_array_equal(camera["materials"][t], frame.semantics)
        assert camera["instances"].dtype == np.uint16
        for way, end in (("forward", FRAMES - 1), ("backward", 0)):
            names = [f"flow_{way}", f"disparity_change_{way}", f"masks/motion_boundary_{way}"]
            assert [bool(camera[name].present[t]) for name in names] == [t != end] * 3
            if t == end:  # the source has none there: absent, not zeros
                continue
            flow = getattr(frame, f"flow_{way}")
            np.testing.assert_array_equal(camera[names[0]][t], flow)
            boundary = camera[names[2]][t]
            np.testing.assert_array_equal(boundary, motion_boundary(flow, frame.instances))
            assert 0 < boundary.mean() < 0.2


def test_depth_follows_from_disparity(
    sequence: Sequence, truth: dict[tuple[str, int], Frame], clip: str
):
    for (view, t), frame in truth.items():
        camera = sequence.cameras[view]
        seen = np.isfinite(frame.depth)
        assert 0.5 < seen.mean() < 1
        np.testing.assert_allclose(camera.depth[t][seen], frame.depth[seen], rtol=1e-6)
        assert np.isnan(camera.depth[t][~seen]).all()
        product = camera.depth[t][seen].astype(float) * camera.disparity[t][seen]
        np.testing.assert_allclose(product, CLIPS[clip][2], rtol=1e-6)


@pytest.mark.parametrize(("way", "step"), [("forward", 1), ("backward", -1)])
def test_changes_say_where_the_surface_is_next(
    sequence: Sequence, truth: dict[tuple[str, int], Frame], way: str, step: int
):
    """Disparity, its change and the flow give a point of the next frame: the poses' own."""
    t = 1
    for view, camera in sequence.cameras.items():
        fx, K = camera.intrinsics(t)[0, 0], camera.intrinsics(t)
        disparity, change = camera["disparity"][t], camera[f"disparity_change_{way}"][t]
        flow = camera[f"flow_{way}"][t]
        grid = pixel_grid(*disparity.shape)
        here = backproject(K, grid, camera.depth[t].astype(float))
        step_pose = se3_inverse(camera.pose(t + step)) @ camera.pose(t)
        uv, z = project(K, transform(step_pose, here))
        static = (truth[view, t].moving == 0) & np.isfinite(disparity) & np.isfinite(change)
        moving = (truth[view, t].moving == 1) & np.isfinite(change)
        np.testing.assert_allclose((disparity + change)[static], (fx / z)[static], rtol=1e-4)
        moved = np.moveaxis(flow, 0, -1)[static]
        np.testing.assert_allclose((uv - grid)[static], moved, rtol=0, atol=1e-3)
        assert static.sum() > 1000 and moving.sum() > 100
        assert np.median(np.abs((disparity + change)[moving] - (fx / z)[moving])) > 0.01


def test_the_checker_finds_nothing(root: Path):
    report = check(root / "out" / "flyingthings3d_TEST_B_0012.h5")
    assert report.ok, str(report)


def test_text_of_few_digits_gives_poses_to_those_digits(scene: SyntheticScene, tmp_path: Path):
    without = FOLDERS - {"frames_cleanpass", "camera_data"}
    write_raw("sceneflow", scene, tmp_path / "raw", digits=6, without=without)
    (result,) = convert("sceneflow", tmp_path / "raw", tmp_path / "out", jobs=1).results
    with open_sequence(result.path) as sequence:
        for view, camera in sequence.cameras.items():
            expected = through_lens(scene).T_world_cam(view)
            np.testing.assert_allclose(camera.poses, expected, rtol=0, atol=1e-6)
            assert camera.streams == ("rgb",)


def test_a_tree_of_the_final_pass_alone(scene: SyntheticScene, tmp_path: Path):
    without = FOLDERS - {"frames_finalpass", "disparity"}
    write_raw("sceneflow", scene, tmp_path / "raw", without=without, first=11)
    (result,) = convert("sceneflow", tmp_path / "raw", tmp_path / "out", jobs=1).results
    with open_sequence(result.path) as sequence:
        assert sequence.frame_ids == ("0011", "0012", "0013")
        for camera in sequence.cameras.values():
            assert camera.streams == ("rgb_final", "disparity") and camera.poses is None


def test_alpha_keeps_its_bytes_and_is_dropped_on_reading(scene: SyntheticScene, tmp_path: Path):
    without = FOLDERS - {"frames_cleanpass"}
    top = write_raw("sceneflow", scene, tmp_path / "raw", alpha=True, without=without)
    (result,) = convert("sceneflow", tmp_path / "raw", tmp_path / "out", jobs=1).results
    with open_sequence(result.path) as sequence:
        camera = sequence.cameras["right"]
        path = top / "frames_cleanpass/TRAIN/A/0000/right/0007.png"
        assert bytes(camera.rgb.blob(1)) == path.read_bytes()
        assert image_size(camera.rgb.blob(1)).channels == 4
        assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 3].min() == 255
        np.testing.assert_array_equal(camera.rgb[1], through_lens(scene).photograph(1, "right"))


def test_scene_through_the_published_lens():
    scene = through_lens(SyntheticScene(height=540, width=960, frames=1))
    assert scene.intrinsics.tolist() == [[1050, 0, 479.5], [0, 1050, 269.5], [0, 0, 1]]
    assert scene.baseline == 1


def test_wrong_options(tmp_path: Path):
    wide = SyntheticScene(frames=1, height=90, width=320)
    with pytest.raises(UsageError, match=r"960x540 .* found 320x90; .* 16 to 9"):
        write_raw("sceneflow", wide, tmp_path)
    with pytest.raises(UsageError, match="there is no folder 'flow'"):
        write_raw("sceneflow", wide, tmp_path, without=("flow",))
    assert not list(tmp_path.iterdir())
