"""Warping by disparity and flow gives the other image; each usual fault is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthdata.checks import CheckReport, check
from depthdata.checks.disparities import check_left_right
from depthdata.checks.samples import Sampler
from depthdata.checks.warps import check_warps
from depthdata.codecs.images import encode_png
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.sequence.schema import MISSING_TIME
from depthdata.synthetic import SyntheticScene, write_sequence

FRAMES, HEIGHT, WIDTH = 3, 120, 360
FACTS = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
Data = dict[str, dict[str, dict[int, np.ndarray]]]
STREAMS = {
    "rgb": "rgb",
    "disparity": "disparity",
    "flow_forward": "flow_forward",
    "flow_backward": "flow_backward",
    "masks/occluded": "occluded_right",
}


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=2, frames=FRAMES, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="module")
def rendered(scene: SyntheticScene) -> dict[str, list[Any]]:
    return {name: [scene.render(t, name) for t in range(FRAMES)] for name in ("left", "right")}


@pytest.fixture
def data(rendered: dict[str, list[Any]]) -> Data:
    """Camera -> stream -> frame -> array, to be changed by a test."""
    out: Data = {}
    for name, frames in rendered.items():
        out[name] = {
            stream: {t: getattr(frame, attribute) for t, frame in enumerate(frames)}
            for stream, attribute in STREAMS.items()
        }
        out[name]["flow_forward"].pop(FRAMES - 1)
        out[name]["flow_backward"].pop(0)
    return out


@pytest.fixture
def write(scene: SyntheticScene, tmp_path: Path) -> Callable[..., Path]:
    """Write arrays as a sequence file; everything but images and the given streams is left out."""

    def make(
        data: Data,
        *,
        frames: int = FRAMES,
        calibrated: bool = True,
        centre: float = 0.0,
        masks: bool = True,
    ) -> Path:
        path = tmp_path / "warped.h5"
        with SequenceWriter(path, dataset="test", sequence="warped", split=None, **FACTS) as file:
            file.timeline(np.full(frames, MISSING_TIME), [f"{t}" for t in range(frames)])
            if calibrated and len(data) > 1:
                file.stereo_pair("left", "right", scene.baseline)
            for name, streams in data.items():
                height, width = streams["rgb"][0].shape[:2]
                K = scene.intrinsics.copy()
                K[0, 2] += centre * (name == "right")
                camera = file.camera(
                    name,
                    height=height,
                    width=width,
                    intrinsics=K,
                    transform={} if calibrated else {"intrinsics": "unknown"},
                )
                blobs = [encode_png(streams["rgb"][t]) for t in range(frames)]
                camera.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png", channels=3)
                for stream, values in streams.items():
                    index = [t for t in values if t < frames]
                    if stream == "rgb" or not index or (not masks and stream.startswith("masks")):
                        continue
                    whole = stream.startswith("masks") or stream.endswith("valid")
                    camera.dense(
                        stream,
                        (values[t] for t in index),
                        dtype="u1" if whole else "f4",
                        missing=None if whole else "nan",
                        frame_index=index,
                    )
        return path

    return make


def each(data: Data, camera: str, stream: str, change: Callable[[Any], Any]) -> None:
    for t, values in data[camera][stream].items():
        data[camera][stream][t] = np.asarray(change(values)).astype(values.dtype)


def warped(path: Path) -> CheckReport:
    """Only the checks that this file is about, to be quick."""
    with open_sequence(path) as sequence:
        sampler = Sampler(sequence)
        found = [f for name in sequence.cameras for f in check_warps(sampler, name, None)[0]]
        found += check_left_right(sampler, "left", "right", None)
    return CheckReport(str(path), tuple(found))


def warps(report: Any) -> Iterator[Any]:
    return (f for f in report.findings if f.name.endswith("vs images"))


def failure(report: Any, name: str, camera: str = "left") -> str:
    finding = report.find(name, camera)
    assert finding.ok is False, report.table()
    return str(finding.message)


def test_truth_passes_in_both_views_and_all_directions(data, write):
    report = check(write(data))
    assert report.ok, report.table()
    found = {(f.name, f.camera): f for f in warps(report)}
    assert set(found) == {
        (f"{stream} vs images", camera)
        for stream in ("disparity", "flow_forward", "flow_backward")
        for camera in ("left", "right")
    }
    for finding in found.values():
        assert finding.value > 0.9 and finding.numbers["median_px"] < 0.3, finding
        assert finding.numbers["displacement_px"] > 2
    assert report.find("disparity both ways").numbers["share_below_1px"] > 0.98


@pytest.mark.parametrize(("seed", "size"), [(0, (48, 96)), (2, (48, 128)), (1, (60, 200))])
def test_truth_in_small_images_is_not_taken_for_that_of_another_time(tmp_path, seed, size):
    scene = SyntheticScene(seed=seed, frames=3, height=size[0], width=size[1])
    report = warped(write_sequence(scene, tmp_path / "small.h5"))
    assert report.ok, report.table()


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("calibrated", [True, False])
def test_few_frames_without_poses_calibration_and_masks(data, write, frames, calibrated):
    report = check(write(data, frames=frames, calibrated=calibrated, masks=False))
    assert report.ok, report.table()
    assert {f.camera for f in warps(report) if f.ok} == {"left", "right"}
    if not calibrated:
        assert "nominal" in report.find("intrinsics", "left").message
        assert "reprojection" in {f.name for f in report.skipped}


def test_another_exposure_of_the_right_camera(data, write):
    each(data, "right", "rgb", lambda image: image * 0.6 + 30)
    assert check(write(data)).ok


def test_principal_points_that_differ(data, write):
    shifted = cut(data, 12)
    report = check(write(shifted, centre=-12))
    assert report.ok, report.table()


def cut(data: Data, columns: int) -> Data:
    """Cut the left image on its right and the right image on its left: doffs is -columns."""

    def part(name: str, values: np.ndarray) -> np.ndarray:
        width = WIDTH - columns
        axis = 1 if values.ndim == 3 and values.shape[-1] == 3 else values.ndim - 1
        at = 0 if name == "left" else columns
        return np.ascontiguousarray(np.take(values, np.arange(at, at + width), axis))

    out = {
        name: {s: {t: part(name, v) for t, v in f.items()} for s, f in streams.items()}
        for name, streams in data.items()
    }
    for name in out:
        each(out, name, "disparity", lambda d: d + columns)
        out[name].pop("masks/occluded")
    return out


DISPARITY_FAULTS = {
    "negated": (lambda d: -d, "looks negated"),
    "twice": (lambda d: 2 * d, "looks 2 times too large"),
    "half": (lambda d: d / 2, "looks 2 times too small"),
    "sixteenth": (lambda d: d / 16, "looks 16 times too small"),
    "stored levels": (lambda d: 256 * d, "looks 256 times too large"),
    "share of the width": (lambda d: d / WIDTH, "looks 360 times too small (the width"),
    "odd factor": (lambda d: 0.8 * d, "fits when multiplied by 1."),
    "one pixel": (lambda d: d + 1, "it is shifted"),
    "far shift": (lambda d: d + 7, "fits when shifted by"),
    "noise": (lambda d: np.roll(d, 60, 0), "does not explain the images"),
}


@pytest.mark.parametrize("camera", ["left", "right"])
@pytest.mark.parametrize("fault", DISPARITY_FAULTS)
def test_disparity_faults(data, write, camera, fault):
    change, words = DISPARITY_FAULTS[fault]
    each(data, camera, "disparity", change)
    report = warped(write(data))
    assert words in failure(report, "disparity vs images", camera)
    other = "right" if camera == "left" else "left"
    assert report.find("disparity vs images", other).ok
    assert report.find("disparity both ways").ok is False


@pytest.mark.parametrize("frames", [1, FRAMES])
def test_disparity_of_the_right_view_in_the_left(data, write, frames):
    data["left"]["disparity"] = data["right"]["disparity"]
    report = warped(write(data, frames=frames))
    message = failure(report, "disparity vs images")
    assert "disparity of the right view was given to the left one" in message
    assert "one view's was stored for both" in failure(report, "disparity both ways", "left/right")


@pytest.mark.parametrize("frames", [1, FRAMES])
def test_swapped_images(data, write, frames):
    data["left"]["rgb"], data["right"]["rgb"] = data["right"]["rgb"], data["left"]["rgb"]
    report = warped(write(data, frames=frames))
    for camera in ("left", "right"):
        assert "look swapped" in failure(report, "disparity vs images", camera)


def test_swapped_cameras_with_all_they_have(data, write):
    report = warped(write({"left": data["right"], "right": data["left"]}))
    for camera in ("left", "right"):
        assert "exchanged with it" in failure(report, "disparity vs images", camera)


def test_disparity_off_by_doffs(data, write):
    shifted = cut(data, 12)
    each(shifted, "left", "disparity", lambda d: d - 12)
    report = warped(write(shifted, centre=-12))
    assert "off by doffs (-12 px" in failure(report, "disparity vs images")
    each(shifted, "left", "disparity", lambda d: d + 24)
    report = warped(write(shifted, centre=-12))
    assert "off by doffs (-12 px" in failure(report, "disparity vs images")


@pytest.mark.parametrize("by", [1, -1])
def test_disparity_off_by_one_frame(data, write, by):
    frames = data["left"]["disparity"]
    data["left"]["disparity"] = {t: frames[t + by] for t in frames if t + by in frames}
    report = warped(write(data))
    message = failure(report, "disparity vs images")
    assert "is not of its time" in message and f"{by:+d}" in message


FLOW_FAULTS = {
    "negated": (lambda f: -f, "looks negated"),
    "x and y": (lambda f: f[::-1], "look swapped"),
    "y up": (lambda f: f * np.array([1, -1]).reshape(2, 1, 1), "y of {} looks negated"),
    "twice": (lambda f: 2 * f, "looks 2 times too large"),
    "half": (lambda f: f / 2, "looks 2 times too small"),
    "levels": (lambda f: f * 64, "looks 64 times too large"),
}


@pytest.mark.parametrize("stream", ["flow_forward", "flow_backward"])
@pytest.mark.parametrize("fault", FLOW_FAULTS)
def test_flow_faults(data, write, stream, fault):
    change, words = FLOW_FAULTS[fault]
    each(data, "left", stream, change)
    report = warped(write(data))
    assert words.format(stream) in failure(report, f"{stream} vs images")


def test_flows_exchanged(data, write):
    forward, backward = data["left"]["flow_forward"], data["left"]["flow_backward"]
    data["left"]["flow_forward"] = {t: backward[t] for t in forward if t in backward}
    data["left"]["flow_backward"] = {t: forward[t] for t in backward if t in forward}
    report = warped(write(data))
    assert "it looks like flow_backward" in failure(report, "flow_forward vs images")
    assert "it looks like flow_forward" in failure(report, "flow_backward vs images")


def test_flow_of_the_next_frame(data, write):
    forward = data["left"]["flow_forward"]
    data["left"]["flow_forward"] = {t: forward[t + 1] for t in forward if t + 1 in forward}
    report = warped(write(data))
    assert "is that of frame 0+1" in failure(report, "flow_forward vs images")


def test_values_that_are_not_valid_do_not_count(data, write):
    valid = {}
    for t, flow in data["left"]["flow_forward"].items():
        valid[t] = (np.arange(flow.shape[1])[:, None] % 2 == np.zeros(flow.shape[2])).astype("u1")
        data["left"]["flow_forward"][t] = np.where(valid[t], flow, 100).astype(np.float32)
    data["left"]["flow_forward_valid"] = valid
    report = warped(write(data))
    assert report.find("flow_forward vs images", "left").ok, report.table()


def test_disparity_at_the_next_frame(data, write, scene):
    left = data["left"]
    truth = {t: next_disparity(scene, t) for t in range(FRAMES - 1)}
    left["disparity_next"] = truth
    report = check(write(data))
    assert report.find("disparity_next vs images").ok, report.table()
    left["disparity_next"] = {t: 2 * d for t, d in truth.items()}
    assert "disparity_next" in failure(check(write(data)), "disparity_next vs images")
    del left["disparity_next"]
    left["disparity_change_forward"] = {t: d - left["disparity"][t] for t, d in truth.items()}
    report = check(write(data))
    assert report.find("disparity_change_forward vs images").ok, report.table()
    assert report.find("disparity_change_forward vs disparity").ok, report.table()
    each(data, "left", "disparity_change_forward", lambda change: -change)
    report = check(write(data))
    words = failure(report, "disparity_change_forward vs disparity")
    assert "looks negated" in words


def next_disparity(scene: SyntheticScene, t: int) -> np.ndarray:
    """Disparity at t + 1 of the surface that each pixel of t sees."""
    points, body, seen = scene.surface(t, "left")
    moved = scene.carry(points, body, t, t + 1)
    pose = scene.T_world_cam("left")[t + 1]
    z = pose[:3, 2] @ (moved - pose[:3, 3:])
    disparity = np.where(seen, scene.intrinsics[0, 0] * scene.baseline / z, np.nan)
    return np.asarray(scene._image(disparity), np.float32)


@pytest.mark.parametrize("stream", ["depth", "disparity"])
def test_background_that_does_not_fit_is_a_warning(data, write, rendered, stream):
    """As reported of Dynamic Replica: warping fits the foreground but not the background."""
    for name, frames in rendered.items():
        objects = {t: (frame.instances > 0).astype("u1") for t, frame in enumerate(frames)}
        data[name]["masks/foreground"] = objects
        maps = data[name].pop("disparity")
        wrong = {t: np.where(objects[t], d, 0.7 * d).astype("f4") for t, d in maps.items()}
        if stream == "depth":
            wrong = {t: np.float32(0.58 * WIDTH * 0.54) / d for t, d in wrong.items()}
        data[name][stream] = wrong
    report = warped(write(data))
    for camera in ("left", "right"):
        finding = report.find(f"{stream} vs images", camera)
        assert finding.status == "warning", report.table()
        assert "foreground" in finding.message and "background" in finding.message
        assert finding.numbers["foreground_share_found"] > 0.8
        assert finding.numbers["background_share_found"] < 0.6
    assert "warn" in report.table() and len(report.warnings) == 2


def test_masks_are_compared_with_the_disparities(data, write):
    outside = {
        name: {
            t: (np.arange(WIDTH) + sign * np.nan_to_num(d) < 0)
            | (np.arange(WIDTH) + sign * d > WIDTH - 1)
            for t, d in data[name]["disparity"].items()
        }
        for name, sign in (("left", -1), ("right", 1))
    }
    for name in data:
        data[name]["masks/out_of_frame"] = {t: m.astype("u1") for t, m in outside[name].items()}
    report = check(write(data))
    assert report.ok, report.table()
    seen = report.find("occluded vs disparity", "left")
    assert seen.numbers["seen_share"] > 0.97 and seen.numbers["marked_share"] > 0.8
    assert report.find("out of frame vs disparity", "right").value > 0.99
    for stream, name in (
        ("masks/occluded", "occluded vs disparity"),
        ("masks/out_of_frame", "out of frame vs disparity"),
    ):
        each(data, "left", stream, lambda mask: 1 - mask)
        assert "inverted" in failure(check(write(data)), name)
        each(data, "left", stream, lambda mask: 1 - mask)
