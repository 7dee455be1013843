"""Real scenes of KITTI 2015: known figures, read from the sequence files, and the images agree."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from kitti_stereo_scenes import converted

from depthdata.checks import check
from depthdata.codecs.images import decode_image
from depthdata.codecs.kitti_stereo import read_disparity, read_flow
from depthdata.sequence import Camera, Sequence

pytestmark = pytest.mark.realdata

# scene: (valid, mean, maximum of disp_occ_0), noc valid, (mean u, mean v of flow_occ)
FACTS = {
    "training_000002": ((100480, 31.305551, 66.804688), 100125, (10.943536, 2.732833)),
    "training_000003": ((94608, 32.201118, 102.031250), 93346, (9.330884, 4.306846)),
    "training_000007": ((109354, 32.667357, 69.531250), 107484, (2.961849, 8.738884)),
    "training_000046": ((55068, 31.094373, 65.738281), None, None),
}
CALIBRATED = sorted(name for name, (_, noc, _) in FACTS.items() if noc is not None)


@pytest.fixture(scope="module")
def raw(realdata: Path) -> Path:
    return realdata / "kitti2015"


@pytest.fixture(scope="module")
def scenes(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sequence]:
    found = converted("kitti_2015", raw, tmp_path_factory.mktemp("kitti_2015"))
    assert set(found) == set(FACTS)
    return found


@pytest.mark.parametrize("name", FACTS)
def test_known_figures(scenes: dict[str, Sequence], name: str):
    (count, mean, maximum), noc, flow_mean = FACTS[name]
    left = scenes[name].cameras["left"]
    assert (left.height, left.width) == (375, 1242)
    values = left.disparity[0][~np.isnan(left.disparity[0])].astype(np.float64)
    assert len(values) == count and values.max() == pytest.approx(maximum, abs=5e-7)
    assert values.mean() == pytest.approx(mean, abs=5e-7)
    if noc is None or flow_mean is None:
        assert left.streams == ("rgb", "disparity")
        return
    assert np.count_nonzero(left["masks/occluded"][0] == 0) == noc
    assert np.count_nonzero(~np.isnan(left.disparity_noc[0])) == noc
    assert np.count_nonzero(~np.isnan(left.disparity_next[0])) == count
    valid = left.flow_forward_valid[0] == 1
    np.testing.assert_array_equal(valid, ~np.isnan(left.disparity[0]))
    found = left.flow_forward[0][:, valid].astype(np.float64).mean(axis=1)
    assert tuple(found) == pytest.approx(flow_mean, abs=5e-7)


@pytest.mark.parametrize("name", FACTS)
def test_every_value_is_that_of_the_file(scenes: dict[str, Sequence], raw: Path, name: str):
    sequence = scenes[name]
    frame, left = sequence.frame_ids[0], sequence.cameras["left"]
    part = raw / "training"
    for camera, folder in (("left", "image_2"), ("right", "image_3")):
        for t, frame_id in enumerate(sequence.frame_ids):
            blob = bytes(sequence.cameras[camera].rgb.blob(t))
            assert blob == (part / folder / f"{frame_id}.png").read_bytes()
    for stream, folder in (
        ("disparity", "disp_occ_0"),
        ("disparity_noc", "disp_noc_0"),
        ("disparity_next", "disp_occ_1"),
    ):
        if stream in left.streams:
            expected = read_disparity(part / folder / f"{frame}.png")
            np.testing.assert_array_equal(np.nan_to_num(left[stream][0]), expected)
    if "flow_forward" in left.streams:
        flow, valid = read_flow(part / "flow_occ" / f"{frame}.png")
        np.testing.assert_array_equal(left.flow_forward_valid[0], valid)
        found = np.moveaxis(left.flow_forward[0], 0, -1)
        np.testing.assert_array_equal(found[valid], flow[valid])
        for second, mask in (
            ("flow_noc", "masks/occluded_forward"),
            ("disp_noc_1", "masks/occluded_next"),
        ):
            levels = decode_image((part / second / f"{frame}.png").read_bytes())
            known = (levels[..., 2] if levels.ndim == 3 else levels) > 0
            np.testing.assert_array_equal(left[mask].raw(0) == 0, known)


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration_and_checks(scenes: dict[str, Sequence], name: str):
    sequence = scenes[name]
    (pair,) = sequence.stereo_pairs
    assert pair.baseline == pytest.approx((44.85728 + 339.5242) / 721.5377, rel=1e-12)
    assert sequence.cameras["left"].intrinsics(0)[0, 0] == 721.5377
    assert sequence.cameras["left"].transform["rig"] == "velo"
    report = check(sequence.path)
    assert report.ok, report.table()


def test_the_scene_without_calibration(scenes: dict[str, Sequence]):
    sequence = scenes["training_000046"]
    assert sequence.frame_ids == ("000046_10",)
    assert np.isnan(sequence.stereo_pairs[0].baseline)
    assert not sequence.cameras["left"].calibrated
    assert check(sequence.path).ok


def _gray(camera: Camera, t: int) -> npt.NDArray[np.float32]:
    """Grey values less their mean nearby: the two cameras expose differently."""
    gray = camera.rgb[t].astype(np.float32).mean(axis=2)
    return gray - cv2.GaussianBlur(gray, (0, 0), 5)


def _difference(
    seen: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    shift: npt.NDArray[np.float32],
    where: npt.NDArray[np.bool_],
) -> float:
    """Median grey difference of pixels (where) of `seen` and what lies `shift` away in `other`."""
    column, row = np.meshgrid(*map(np.arange, seen.shape[::-1]))
    x, y = (np.stack([column, row]) + np.nan_to_num(shift)).astype(np.float32)
    found = cv2.remap(other, x, y, cv2.INTER_LINEAR)
    height, width = seen.shape
    inside = where & (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    return float(np.median(np.abs(seen - found)[inside]))


@pytest.mark.parametrize("name", FACTS)
def test_right_image_agrees_by_disparity(scenes: dict[str, Sequence], name: str):
    left, right = (scenes[name].cameras[camera] for camera in ("left", "right"))
    disparity = left.disparity[0]
    where = ~np.isnan(disparity)
    if "masks/occluded" in left.streams:
        where &= left["masks/occluded"].raw(0) == 0
    zero = np.zeros_like(disparity)
    seen, other = _gray(left, 0), _gray(right, 0)
    matched = _difference(seen, other, np.stack([-disparity, zero]), where)
    assert matched < 6
    assert matched < 0.6 * _difference(seen, other, np.stack([zero, zero]), where)
    assert matched < 0.6 * _difference(seen, other, np.stack([disparity, zero]), where)


@pytest.mark.parametrize("name", CALIBRATED)
def test_next_images_agree_by_flow_and_next_disparity(scenes: dict[str, Sequence], name: str):
    left, right = (scenes[name].cameras[camera] for camera in ("left", "right"))
    flow = np.nan_to_num(left.flow_forward[0])
    seen, zero = _gray(left, 0), np.zeros_like(flow)
    where = left["masks/occluded_forward"].raw(0) == 0
    unmoved = _difference(seen, _gray(left, 1), zero, where)
    assert _difference(seen, _gray(left, 1), flow, where) < 0.6 * unmoved
    # the disparity of the next frame, in the pixels of this one, leads to the next right image
    at_next, now = (np.stack([d, zero[0]]) for d in (left.disparity_next[0], left.disparity[0]))
    where = (left["masks/occluded_next"].raw(0) == 0) & (np.abs(at_next - now)[0] > 2)
    there = _difference(seen, _gray(right, 1), flow - at_next, where)
    assert there < 7
    assert there < 0.9 * _difference(seen, _gray(right, 1), flow - now, where)
    assert there < 0.65 * _difference(seen, _gray(right, 1), -at_next, where)
