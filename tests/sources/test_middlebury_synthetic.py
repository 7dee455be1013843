"""A rendered frame through the layouts of Middlebury and ETH3D and back, against its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import depthdata as dd
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse
from depthdata.sequence import Sequence, open_sequence, verify
from depthdata.synthetic import Frame, SyntheticScene, write_raw
from depthdata.synthetic.layouts.middlebury import exposed, lit

FRAME, DOFFS = 1, 5
PARTS = {"trainingH_Street": "MiddEval3/trainingH", "2014_Street-perfect": "2014"}


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=2, height=96, width=320)


@pytest.fixture(scope="module")
def truth(scene: SyntheticScene) -> dict[str, Frame]:
    return {camera: scene.render(FRAME, camera) for camera in ("left", "right")}


@pytest.fixture(scope="module")
def root(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two_views")
    for name, part in PARTS.items():
        folder = name.partition("_")[2]
        write_raw("middlebury", scene, root / "m", frame=FRAME, part=part, name=folder, doffs=DOFFS)
    write_raw("eth3d", scene, root / "e", frame=FRAME)
    for dataset in ("middlebury", "eth3d"):
        report = convert(dataset, root / dataset[0], root / "out", jobs=1)
        assert report.ok, report.failed
        assert all(verify(result.path).ok for result in report.results)
    return root


@pytest.fixture(params=PARTS)
def sequence(root: Path, request: pytest.FixtureRequest) -> Sequence:
    return open_sequence(root / "out" / f"{request.param}.h5")


def _columns(scene: SyntheticScene, camera: str) -> slice:
    """Which columns of the rendered image the layout keeps."""
    return slice(DOFFS, None) if camera == "left" else slice(0, scene.width - DOFFS)


def test_images_and_principal_points(
    scene: SyntheticScene, truth: dict[str, Frame], sequence: Sequence
):
    for name, camera in sequence.cameras.items():
        cut = _columns(scene, name)
        np.testing.assert_array_equal(camera.rgb[0], truth[name].rgb[:, cut])
        K = scene.intrinsics.copy()
        K[0, 2] -= cut.start
        np.testing.assert_allclose(camera.intrinsics(0), K, rtol=0, atol=1e-12)
    left, right = sequence.cameras.values()
    assert right.intrinsics(0)[0, 2] - left.intrinsics(0)[0, 2] == pytest.approx(DOFFS)
    assert left.transform["calib"]["doffs"] == DOFFS
    assert sequence.stereo_pairs[0].baseline == pytest.approx(scene.baseline, abs=1e-12)
    if sequence.split == "2014":
        np.testing.assert_array_equal(right["rgb_exposure"][0], exposed(right.rgb[0]))
        np.testing.assert_array_equal(right["rgb_lighting"][0], lit(right.rgb[0]))
        assert right["rgb_exposure"][0].mean() > 1.1 * right.rgb[0].mean()


def test_disparity_of_both_views(
    scene: SyntheticScene, truth: dict[str, Frame], sequence: Sequence
):
    calib = sequence.cameras["left"].transform["calib"]
    for name, camera in sequence.cameras.items():
        frame = truth[name]
        rendered = frame.disparity[:, _columns(scene, name)]
        expected = (rendered.astype(np.float64) - DOFFS).astype(np.float32)
        expected[~(expected >= 1)] = np.nan
        values = camera["disparity"][0]
        np.testing.assert_array_equal(values, expected)
        known = np.isfinite(values)
        assert 0.3 < known.mean() < 0.95
        assert calib["vmin"] <= values[known].min() and values[known].max() <= calib["vmax"]
        assert values[known].max() <= calib["ndisp"]
        np.testing.assert_array_equal(camera["disparity_y"][0], np.where(known, 0, np.nan))
        # disparity = fx B / depth - doffs, in both views
        z = frame.depth[:, _columns(scene, name)].astype(np.float64)[known]
        relation = scene.intrinsics[0, 0] * scene.baseline / z - DOFFS
        np.testing.assert_allclose(values[known], relation, rtol=0, atol=2e-5)


def test_depth_is_the_scenes(scene: SyntheticScene, truth: dict[str, Frame], sequence: Sequence):
    for name, camera in sequence.cameras.items():
        depth, values = camera.depth[0], camera["disparity"][0]
        rendered = truth[name].depth[:, _columns(scene, name)]
        np.testing.assert_array_equal(np.isnan(depth), np.isnan(values))
        known = np.isfinite(values)
        np.testing.assert_allclose(depth[known], rendered[known], rtol=2e-6)


def test_mask_says_which_pixels_both_views_see(root: Path):
    with open_sequence(root / "out/trainingH_Street.h5") as sequence:
        for name, sign in (("left", 1), ("right", -1)):
            camera = sequence.cameras[name]
            other = sequence.cameras["right" if name == "left" else "left"]
            values, mask = camera["disparity"][0], camera["masks/occluded"][0]
            np.testing.assert_array_equal(mask == 255, np.isnan(values))
            rows, columns = np.nonzero(mask != 255)
            there = np.rint(columns - sign * values[rows, columns]).astype(int)
            seen = mask[rows, columns] == 0
            assert 0.01 < (~seen).mean() < 0.4
            inside = (there >= 0) & (there < camera.width)
            assert inside[seen].mean() > 0.999  # half a pixel beyond the border is still inside
            rows, columns, there, seen = (a[inside] for a in (rows, columns, there, seen))
            off = np.abs(other["disparity"][0][rows, there] - values[rows, columns])
            assert np.mean(off[seen] < 0.5) > 0.97 and np.mean(off[~seen] < 0.5) < 0.3


def test_eth3d_has_poses_and_the_left_view_only(
    scene: SyntheticScene, truth: dict[str, Frame], root: Path
):
    with open_sequence(root / "out/playground_1l.h5") as sequence:
        for name, camera in sequence.cameras.items():
            np.testing.assert_allclose(
                camera.pose(0), scene.T_world_cam(name)[FRAME], rtol=0, atol=1e-12
            )
            np.testing.assert_array_equal(camera.intrinsics(0), scene.intrinsics)
            np.testing.assert_array_equal(camera.rgb[0], truth[name].rgb)
        left, right = sequence.cameras.values()
        step = se3_inverse(left.pose(0)) @ right.pose(0)
        np.testing.assert_allclose(step[:3, 3], [scene.baseline, 0, 0], atol=1e-12)
        assert right.streams == ("rgb",)
        far = ~(truth["left"].disparity >= 1)
        expected = np.where(far, np.nan, truth["left"].disparity)
        np.testing.assert_array_equal(left["disparity"][0], expected)
        mask = np.where(far, 255, truth["left"].occluded_right)
        np.testing.assert_array_equal(left["masks/occluded"][0], mask)


@pytest.mark.parametrize("name", [*PARTS, "playground_1l"])
def test_check_finds_nothing_wrong(root: Path, name: str):
    report = dd.check(root / "out" / f"{name}.h5")
    assert report.ok, report.table()
    assert {"disparity vs stereo", "photometric"} <= {f.name for f in report.findings if f.ok}


def test_other_kinds_of_scene(scene: SyntheticScene, tmp_path: Path):
    write_raw("eth3d", scene, tmp_path / "e", test=True, gray=True, name="lakeside_1l")
    write_raw("middlebury", scene, tmp_path / "m", part="MiddEval3/testF", name="Plants")
    write_raw("middlebury", scene, tmp_path / "m", truth=False, doffs=0)
    for dataset in ("middlebury", "eth3d"):
        report = convert(dataset, tmp_path / dataset[0], tmp_path / "out", jobs=1)
        assert report.ok, report.failed
        for result in report.results:
            with open_sequence(result.path) as sequence:
                assert all(camera.streams == ("rgb",) for camera in sequence.cameras.values())
                if sequence.name == "lakeside_1l":
                    assert sequence.cameras["left"].rgb[0].ndim == 2
                    np.testing.assert_allclose(
                        sequence.cameras["left"].pose(0), scene.T_world_cam()[0], atol=1e-12
                    )
    with pytest.raises(UsageError, match="take a smaller doffs than 200"):
        write_raw("middlebury", scene, tmp_path / "far", doffs=200)
    with pytest.raises(UsageError, match="doffs should be 0"):
        write_raw("middlebury", scene, tmp_path / "far", doffs=400)
