"""Dense truth: flow both ways, flow against images and motion, depth against disparity."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthdata.checks import check
from depthdata.codecs.images import encode_png
from depthdata.sequence import SequenceWriter
from depthdata.synthetic import SyntheticScene

FRAMES = 4


@pytest.fixture(scope="module")
def frames():
    scene = SyntheticScene(seed=2, frames=FRAMES)
    return scene, {
        name: [scene.render(t, name) for t in range(FRAMES)] for name in ("left", "right")
    }


@pytest.fixture
def written(frames, tmp_path: Path):
    """Write the scene with all dense streams; `changes` maps a stream to a function of a frame."""
    scene, rendered = frames

    def make(**changes) -> Path:
        def maps(name: str, stream: str, first: int = 0, last: int = FRAMES):
            change = changes.get(stream, lambda frame: frame)
            return [change(getattr(f, stream)) for f in rendered[name][first:last]]

        path = tmp_path / "dense.h5"
        facts = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
        with SequenceWriter(path, dataset="test", sequence="dense", split=None, **facts) as writer:
            writer.timeline(scene.timestamps, scene.frame_ids)
            writer.stereo_pair("left", "right", baseline=scene.baseline)
            for name in rendered:
                cam = writer.camera(
                    name,
                    height=scene.height,
                    width=scene.width,
                    intrinsics=scene.intrinsics,
                    T_world_cam=scene.T_world_cam(name),
                )
                blobs = [encode_png(image) for image in maps(name, "rgb")]
                cam.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png", channels=3)
                cam.dense("depth", maps(name, "depth"), dtype="float32", unit="m", missing="nan")
                if name == "right":
                    continue
                cam.dense(
                    "disparity", maps(name, "disparity"), dtype="float32", unit="px", missing="nan"
                )
                cam.dense("masks/moving", maps(name, "moving"), dtype="uint8")
                for stream, first, last in (
                    ("flow_forward", 0, FRAMES - 1),
                    ("flow_backward", 1, FRAMES),
                ):
                    cam.dense(
                        stream,
                        maps(name, stream, first, last),
                        dtype="float32",
                        unit="px",
                        missing="nan",
                        frame_index=np.arange(first, last),
                    )
        return path

    return make


def test_truth_passes(written):
    report = check(written())
    assert report.ok, report.table()
    assert report.find("flow both ways").value < 0.01
    assert report.find("flow vs motion").value < 0.01
    for stream in ("flow_forward", "flow_backward", "disparity"):
        assert report.find(f"{stream} vs images").value > 0.95
    assert report.find("depth vs disparity").value < 0.01
    assert report.find("depth vs stereo").value < 0.3


@pytest.mark.parametrize(
    "changes, name, words",
    [
        ({"flow_backward": lambda f: -f}, "flow both ways", "disagree between frames"),
        ({"flow_forward": lambda f: f[::-1]}, "flow vs motion", "is not that of depth and poses"),
        (
            {"flow_forward": lambda f: -f, "flow_backward": lambda f: -f},
            "flow_backward vs images",
            "flow_backward looks negated",
        ),
        ({"disparity": lambda d: d * 0.9}, "depth vs disparity", "is not fx b / z"),
        ({"depth": lambda z: z * 1.15}, "stereo scale", "times the expected ones"),
    ],
    ids=["backward negated", "forward x and y", "both negated", "disparity scaled", "depth scaled"],
)
def test_wrong_truth_is_named(written, changes, name, words):
    report = check(written(**changes))
    finding = report.find(name)
    assert finding.ok is False and words in finding.message, report.table()


def test_picture_of_the_worst_frame(written, tmp_path):
    target = tmp_path / "deep" / "worst.png"
    report = check(written(flow_backward=lambda f: f + 5), picture=target)
    assert report.picture == str(target)
    image = cv2.imread(str(target))
    assert image.shape[1] > 800 and image.shape[0] > 400
    red = (image[..., 2].astype(int) - image[..., 1] > 100).mean()
    clean = tmp_path / "clean.png"
    check(written(), picture=clean)
    few = cv2.imread(str(clean))
    assert red > 5 * (few[..., 2].astype(int) - few[..., 1] > 100).mean()


def test_no_picture_without_a_measurement_in_an_image(tmp_path):
    path = tmp_path / "bare.h5"
    facts = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
    with SequenceWriter(path, dataset="test", sequence="bare", split=None, **facts) as writer:
        writer.timeline(np.array([0, 10**8]), ["a", "b"])
        writer.camera("left", height=8, width=8, intrinsics=np.diag([8.0, 8, 1]) + 0)
    report = check(path, picture=tmp_path / "none.png")
    assert report.picture is None and not (tmp_path / "none.png").exists()
    assert report.ok, report.table()
