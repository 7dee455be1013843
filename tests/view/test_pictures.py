"""Contact sheets and videos of a sequence with every kind of stream."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.synthetic import SyntheticScene, write_sequence
from depthdata.view import contact_sheet, video
from depthdata.view.colors import MISSING_RGB
from depthdata.view.painting import default_streams, painters
from depthdata.view.panels import BAR_WIDTH, colour_bar, fit, labelled, stack_panels, wrap
from depthdata.view.sheet import draw_sheet
from depthdata.view.video import frame_rate

FRAMES = 3


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = SyntheticScene(seed=1, frames=FRAMES, height=60, width=200)
    return write_sequence(scene, tmp_path_factory.mktemp("view") / "street.h5", tracks=0)


def test_sheet_is_a_png_of_all_streams(path, tmp_path):
    out = contact_sheet(path, tmp_path / "sheet.png", frames=2, panel_width=200)
    image = cv2.imread(str(out))
    with open_sequence(path) as sequence:
        streams = default_streams(sequence, "left")
        assert {"rgb", "depth", "lidar_depth", "flow_forward", "instances"} <= set(streams)
        rows = len(streams) + 1  # and the right image
    assert image.shape[0] > rows * 60 and 400 + BAR_WIDTH < image.shape[1] < 600


def test_a_panel_shows_the_image_itself(path):
    with open_sequence(path) as sequence:
        sheet = draw_sheet(sequence, frames=1, streams=["rgb"], panel_width=200)
        rgb = sequence.cameras["left"].rgb[0]
    found = [np.array_equal(sheet[y : y + 60, 10:210], rgb) for y in range(sheet.shape[0] - 60 + 1)]
    assert sum(found) == 1


def test_panels_do_not_overlap(path):
    with open_sequence(path) as sequence:
        one = draw_sheet(sequence, frames=3, streams=["depth"], panel_width=200)
        two = draw_sheet(sequence, frames=3, streams=["depth", "rgb"], panel_width=200)
    same = one.shape[0] - 10  # what is drawn below does not reach into what is above
    np.testing.assert_array_equal(one[:same], two[:same])


def test_absent_frames_say_so(path):
    with open_sequence(path) as sequence:
        (painter,) = painters(sequence, "left", ["flow_forward"], [0], (60, 200))
        last, first = painter.paint(FRAMES - 1), painter.paint(0)
    assert last.shape == first.shape == (60, 200, 3)
    grey = [(panel == MISSING_RGB).all(-1).mean() for panel in (last, first)]
    assert 0.9 < grey[0] < 1 and grey[1] < 0.5


def test_lidar_is_drawn_where_it_was_measured(path):
    with open_sequence(path) as sequence:
        (dots,) = painters(sequence, "left", ["lidar_depth"], [0], (60, 200))
        points = sequence.cameras["left"]["lidar_depth"].points(0)
        panel = dots.paint(0).astype(int)
    colourful = panel.max(-1) - panel.min(-1) > 40
    x, y = points.positions()
    inside = (x > 2) & (x < 197) & (y > 2) & (y < 57) & (points.value > 0)
    hit = colourful[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)]
    assert hit.mean() > 0.97


def test_unknown_camera_and_stream(path, tmp_path):
    with pytest.raises(UsageError, match="no camera 'rear'; there are left, right"):
        contact_sheet(path, tmp_path / "x.png", camera="rear")
    with pytest.raises(UsageError, match="left has no normals; it has rgb"):
        contact_sheet(path, tmp_path / "x.png", streams=["normals"])
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("streams, count", [(None, 6), (["rgb"], 1), (["rgb", "masks/moving"], 2)])
def test_video_has_every_frame(path, tmp_path, streams, count):
    out = video(path, tmp_path / "street.mp4", streams=streams, panel_width=201)
    capture = cv2.VideoCapture(str(out))
    assert capture.isOpened() and capture.get(cv2.CAP_PROP_FPS) == 10
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    assert len(frames) == FRAMES
    height, width = frames[0].shape[:2]
    assert height % 2 == width % 2 == 0 and height > 60 * -(-count // 2)
    assert np.abs(frames[0].astype(int) - frames[2]).mean() > 1  # it moves


def test_video_of_the_right_camera(path, tmp_path):
    out = video(str(path), tmp_path / "right.mp4", camera="right", streams=["rgb"], fps=25)
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FPS) == 25


def test_video_that_cannot_be_written(path, tmp_path):
    with pytest.raises(OSError, match=r"nowhere.x\.mp4"):
        video(path, tmp_path / "nowhere" / "x.mp4", streams=["rgb"])


def test_frame_rate_of_odd_times():
    assert frame_rate(np.array([0])) == 10
    assert frame_rate(np.array([0, 10**7, 2 * 10**7])) == 60
    assert frame_rate(np.array([0, 33_333_333, 66_666_666])) == pytest.approx(30)


def test_a_sequence_of_pixel_points_and_grey_images(tmp_path):
    from depthdata.codecs.images import encode_png
    from depthdata.sequence import Points

    out = tmp_path / "grey.h5"
    facts = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
    blob = encode_png(np.full((20, 40), 90, np.uint8))
    points = Points(
        kind="pixel", row=np.uint16([10, 3]), col=np.uint16([20, 5]), value=np.float32([2, 9])
    )
    with SequenceWriter(out, dataset="test", sequence="grey", split=None, **facts) as writer:
        writer.timeline(np.array([0, 10**8]), ["a", "b"])
        cam = writer.camera("cam", height=20, width=40, intrinsics=np.diag([40.0, 40, 1]))
        cam.encoded("rgb", [blob, blob], [len(blob)] * 2, encoding="png", channels=1)
        cam.points("depth", [points, points], unit="m")
    with open_sequence(out) as sequence:
        sheet = draw_sheet(sequence, panel_width=80)
        (dots,) = painters(sequence, "cam", ["depth"], [0], (40, 80))
        panel = dots.paint(0).astype(int)
    assert sheet.shape[2] == 3
    near, far = panel[20, 40], panel[6, 10]
    assert near[0] > near[2] and far[2] > far[0]


def test_a_stereo_pair_of_one_frame(tmp_path):
    """Both disparities, depth from disparity, all pictures, masks with pixels nobody knows."""
    out = stereo_file(tmp_path / "pair.h5", ("left", "right"))
    with open_sequence(out) as sequence:
        chosen = painters(sequence, None, None, [0], (20, 40))
        titles = [painter.title for painter in chosen]
        panels = {painter.title: painter.paint(0).astype(int) for painter in chosen}
        sheet = draw_sheet(sequence, panel_width=80)
    assert titles == [
        "left rgb",
        "right rgb",
        "left rgb final",
        "left depth (derived)",
        "left disparity",
        "right disparity",
        "left flow forward",
        "left mask: occluded",
    ]
    assert sheet.shape[0] > len(titles) * 40
    depth, disparity = panels["left depth (derived)"], panels["left disparity"]
    assert (depth[10, 5] == MISSING_RGB).all() and (disparity[10, 5] == MISSING_RGB).all()
    assert (panels["left flow forward"][2, 2] == MISSING_RGB).all()
    hidden, seen, unknown = (panels["left mask: occluded"][5, x] for x in (2, 20, 38))
    assert hidden[0] > hidden[2] + 50 and seen.max() - seen.min() < 5
    assert unknown[2] > unknown[0]


def test_one_view_alone(tmp_path):
    with open_sequence(stereo_file(tmp_path / "one.h5", ("left",))) as sequence:
        titles = [painter.title for painter in painters(sequence, None, None, [0], (20, 40))]
        draw_sheet(sequence)
    assert "left disparity" in titles and not any("right" in title for title in titles)
    assert "left depth (derived)" not in titles


def test_labels_that_the_source_does_not_know(tmp_path):
    facts = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
    labels = np.repeat(np.array([[0, 3, 255]], np.uint8), 9, 0).repeat(8, 1)
    with SequenceWriter(
        tmp_path / "part.h5", dataset="test", sequence="part", split=None, **facts
    ) as writer:
        writer.timeline(np.arange(2), ["a", "b"])
        camera = writer.camera("front", height=9, width=24, intrinsics=np.eye(3))
        for name, missing in (("semantics", 255), ("instances", None)):
            camera.dense(name, [labels] * 2, dtype="u1", missing=missing)
    with open_sequence(tmp_path / "part.h5") as sequence:
        painted = {p.stream: p.paint(0) for p in painters(sequence, None, None, [0], (9, 24))}
    (labelled_3, label_255), (_, unknown) = (
        painted[name][4, [12, 20]].tolist() for name in ("instances", "semantics")
    )
    assert label_255 not in (labelled_3, unknown) and unknown[0] == unknown[1] < unknown[2]


def stereo_file(path: Path, cameras: tuple[str, ...]) -> Path:
    from depthdata.codecs.images import encode_png
    from depthdata.sequence.schema import MISSING_TIME

    facts = dict(licence="x", citation="x", converter="test 1", source_fingerprint="xxh3:0")
    blob = encode_png(np.full((20, 40, 3), 90, np.uint8))
    disparity = np.tile(np.linspace(2, 9, 40, dtype=np.float32), (20, 1))
    disparity[10] = np.nan
    mask = np.zeros((20, 40), np.uint8)
    mask[:, :5], mask[:, 35:] = 1, 255
    with SequenceWriter(path, dataset="test", sequence="pair", split=None, **facts) as writer:
        writer.timeline(np.array([MISSING_TIME]), ["a"])
        if len(cameras) > 1:
            writer.stereo_pair(*cameras, 0.5)
        for name in cameras:
            cam = writer.camera(name, height=20, width=40, intrinsics=np.diag([40.0, 40, 1]))
            cam.encoded("rgb", [blob], [len(blob)], encoding="png", channels=3)
            cam.dense("disparity", [disparity], dtype="f4", unit="px", missing="nan")
            if name == "right":
                continue
            cam.encoded("rgb_final", [blob], [len(blob)], encoding="png", channels=3)
            cam.dense("flow_forward", [np.ones((2, 20, 40), "f4")], dtype="f4", unit="px")
            valid = np.ones((20, 40), np.uint8)
            valid[:5, :5] = 0
            cam.dense("flow_forward_valid", [valid], dtype="u1")
            cam.dense("masks/occluded", [mask], dtype="u1", missing=255)
    return path


def test_text_fits():
    text = "a rather long message about the worst frame of a sequence and what is wrong with it"
    lines = wrap(text, 200)
    assert " ".join(lines) == text and len(lines) > 2
    assert fit("short", 200) == "short"
    assert fit(text, 200).endswith("..") and len(fit(text, 200)) < len(text)
    panel = labelled(np.zeros((10, 200, 3), np.uint8), [text, "second"])
    assert panel.shape[1] == 200 and panel.shape[0] >= 10 + 20 * (len(lines) + 1)


def test_bars_and_stacks():
    bar = colour_bar(100, 0, 10, "px")
    assert bar.shape == (100, BAR_WIDTH, 3)
    assert bar[12, 10, 0] > bar[12, 10, 2] and bar[-12, 10, 2] > bar[-12, 10, 0]
    small, large = np.zeros((10, 20, 3), np.uint8), np.zeros((30, 40, 3), np.uint8)
    assert stack_panels([small, large], gap=4).shape == (44, 40, 3)
    assert stack_panels([small, large], gap=4, across=True).shape == (30, 64, 3)


def test_a_mask_of_a_part_is_painted_where_it_belongs(tmp_path):
    path = tmp_path / "part.h5"
    with SequenceWriter(path, dataset="mine", sequence="part") as writer:
        writer.timeline(np.array([0]), ["0"])
        camera = writer.camera("left", height=8, width=20, intrinsics=np.eye(3))
        mask = np.zeros((4, 5), np.uint8)
        mask[:, 2:] = 1
        camera.dense("masks/moving_4x5", [mask], dtype="u1", crop=[5, 0, 15, 8])
    with open_sequence(path) as sequence:
        (painter,) = painters(sequence, "left", None, [0], (16, 40))
        panel = painter.paint(0)
    columns = [tuple(panel[8, x]) for x in (0, 9, 10, 17, 18, 29, 30, 39)]
    outside, still, moving = columns[0], columns[2], columns[4]
    assert len({outside, still, moving}) == 3
    assert columns == [outside] * 2 + [still] * 2 + [moving] * 2 + [outside] * 2
