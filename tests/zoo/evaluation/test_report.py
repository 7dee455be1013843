"""The HTML page: complete, self-contained, well-formed, for every kind of protocol."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from truth_models import (
    OPTICAL,
    Spoiler,
    Traveller,
    VideoSpoiler,
    poses_along,
    stream_of,
    street,
    times,
    write_file,
)

from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.evaluation import evaluate, get_protocol, list_protocols
from depthzoo.evaluation.report import render_html
from depthzoo.evaluation.report.charts import bars, lines, plane, ticks
from depthzoo.evaluation.report.comparison import compare_results
from depthzoo.evaluation.report.comparison_page import render_comparison
from depthzoo.evaluation.report.pictures import OUTCOMES, colorize_error
from depthzoo.evaluation.report.plots import _axes
from depthzoo.evaluation.report.stored import StoredResult
from depthzoo.evaluation.results import Report

VOID = {"meta", "img", "br", "link", "input", "hr", "line", "rect", "path", "circle"}
EVIL = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    scene = SyntheticScene(seed=5, frames=4, height=64, width=208, lidar_steps=900)
    path = write_sequence(scene, tmp_path_factory.mktemp("report") / "street_0005.h5", tracks=0)
    return evaluate("sgbm", path, "kitti_raw/lidar", examples=True)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return street(tmp_path_factory.mktemp("streets"), seeds=(1, 2, 3), frames=5)


def too_far(path: Path, frame: int) -> Any:
    """Disparity that gets worse with time, most in the third street."""
    factor = 1.02 + 0.03 * frame + 0.1 * path.stem.endswith("3")
    return stream_of(path, "disparity", frame) * factor


def blurred(path: Path, frame: int) -> Any:
    moves = (stream_of(path, "masks/moving", frame) == 1).astype(np.float32)
    return cv2.GaussianBlur(np.roll(moves, 2 + frame, 1), (0, 0), 2)


@pytest.fixture(scope="module")
def clips(streets: Path) -> Report:
    return evaluate(VideoSpoiler(streets, too_far), streets, "stereo/video", examples=True)


@pytest.fixture(scope="module")
def masks(streets: Path) -> Report:
    model = Spoiler(streets, blurred, "motion_mask", "scale")
    return evaluate(model, streets, "motion/segmentation", examples=True)


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("roads")
    for name, turn in (("bend", 0.02), ("straight", 0.0)):
        angles = turn * np.arange(130)
        steps = np.c_[np.sin(angles), np.zeros(130), np.cos(angles)]
        poses = poses_along(steps)
        write_file(root / f"{name}.h5", 131, cameras=("left",), images=(), poses=poses)
    return root


@pytest.fixture(scope="module")
def paths(roads: Path) -> Report:
    return evaluate(Traveller(roads, times(1.1), "metric"), roads, "odometry/kitti", examples=True)


@pytest.fixture(params=["report", "clips", "masks", "paths"])
def any_report(request: pytest.FixtureRequest) -> Report:
    found: Report = request.getfixturevalue(request.param)
    return found


class Checker(HTMLParser):
    """Every element closes, and nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        facts = dict(attrs)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        if (tag == "img" and not facts.get("alt")) or (tag == "svg" and not facts["aria-label"]):
            self.silent.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def check(text: str) -> None:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.silent == []
    assert all(s.startswith("data:image/") for s in checker.sources)
    assert not re.search(r"url\(|@import|https?://", text)
    shown = re.sub(r'data:image/[^"]+|data-v="nan"|<script>.*?</script>', "", text, flags=re.S)
    assert not re.search(r"[>\s\"]nan\b|\binf\b|None", shown)


def test_the_page_needs_nothing_else(any_report: Report, tmp_path: Path) -> None:
    any_report.to_html(tmp_path / "deep" / "report.html")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]
    text = (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    check(text)
    assert "prefers-color-scheme: dark" in text
    assert text.count('class="sortable"') >= 1


def test_every_page_says_under_what_it_was_measured(any_report: Report) -> None:
    text = render_html(any_report)
    protocol = any_report.protocol
    from html import escape

    for fact in (protocol.id, escape(protocol.title), escape(protocol.text), "Alignment",
                 any_report.data[0]["digest"], "Trained on"):  # fmt: skip
        assert fact in text, fact
    for sequence in any_report.per_sequence:
        assert f"<td>{sequence}</td>" in text


def test_the_page_says_what_was_measured(report: Report) -> None:
    text = render_html(report)
    for fact in (
        "kitti_raw/lidar@1",
        "sgbm",
        "street_0005",
        f"{report.aggregate['abs_rel']:.4f}",
        f"{report.coverage * 100:.1f} %",
        "data are synthetic, not kitti_raw",
        "Error by distance",
        "true depth (m)",
        "<td>0-10 m</td>",
        "Best frame",
        "Worst frame",
    ):
        assert fact in text, fact
    assert text.count("<svg") == 4
    assert text.count("<figure>") == 4 * len(report.examples)


def test_examples_are_the_best_the_median_and_the_worst(report: Report) -> None:
    values = sorted(r.score.values["abs_rel"] for r in report.frames)
    found = {e.kind: e.record.score.values["abs_rel"] for e in report.examples}
    assert found == {"best": values[0], "median": values[1], "worst": values[-1]}
    for example in report.examples:
        known = np.isfinite(example.error)
        assert known.sum() == example.record.score.pixels
        assert example.error[known].mean() == pytest.approx(found[example.kind])


def test_clips_show_error_over_time_and_their_worst_frame(clips: Report) -> None:
    text = render_html(clips)
    assert "Error over time" in text and "EPE (px) over frame" in text
    assert "Error by true disparity" in text and "<td>moving</td>" in text
    kinds = {e.kind: e for e in clips.examples}
    assert list(kinds) == ["best", "median", "worst", "first"]
    worst = kinds["worst"]
    assert worst.record.sequence == "street_0003" and worst.record.frame == 4
    assert kinds["first"].record.sequence == "street_0003" and kinds["first"].record.frame == 0
    for example in clips.examples:
        known = np.isfinite(example.error)
        assert example.error[known].mean() == pytest.approx(example.record.score.values["epe"])


def test_a_model_without_video_shows_the_same_frames(streets: Path, clips: Report) -> None:
    alone = evaluate(Spoiler(streets, too_far), streets, "stereo/video", examples=True)
    for one, other in zip(alone.examples, clips.examples, strict=True):
        assert one.record == other.record
        np.testing.assert_array_equal(one.prediction, other.prediction)


def test_masks_show_what_was_found_wrong_and_missed(masks: Report) -> None:
    text = render_html(masks)
    assert "precision over recall" in text and "threshold on the probability of motion" in text
    assert f"largest F1 {masks.aggregate['f1']:.4f}" in text
    for name, colour in OUTCOMES.values():
        assert name in text and f"rgb{colour}" in text
    assert {e.kind for e in masks.examples} == {"best", "median", "worst"}
    threshold = masks.aggregate["threshold"]
    for example in masks.examples:
        said, moves = example.prediction > threshold, example.truth == 1
        counts = [int((example.error == k).sum()) for k in (1, 2, 3)]
        assert counts == [(said & moves).sum(), (said & ~moves).sum(), (~said & moves).sum()]
        tp, fp, fn = counts
        assert example.record.score.values["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_paths_are_drawn_from_above(paths: Report) -> None:
    text = render_html(paths)
    assert "bend from above" in text and "straight from above" in text
    assert "z (m) over x (m): truth, traveller" in text
    assert "distance travelled (m)" in text and "Drift by length" in text
    # the straight path is ten per cent too long: 13 m at its end
    assert re.search(r'distance from the true position \(m\)[^"]*0 to 13, last 13"', text)
    assert paths.examples == []


@pytest.mark.parametrize("protocol", list_protocols("trajectory"))
def test_every_protocol_of_paths_has_its_page(tmp_path: Path, protocol: str) -> None:
    vehicle = poses_along(np.tile([1.0, 0.0, 0.1], (39, 1)))
    place = OPTICAL.copy()
    place[:3, 3] = [1.5, 0.1, 1.2]
    write_file(
        tmp_path / "hill.h5", 40, cameras=("front",), images=("rgb_320x480",), dataset="waymo",
        poses=vehicle @ place, T_rig_cam=place,
    )  # fmt: skip
    found = evaluate(Traveller(tmp_path, times(2.0)), tmp_path, protocol)
    text = render_html(found)
    check(text)
    assert "hill from above" in text and "y (m) over x (m)" in text


def test_which_way_is_up_decides_what_is_across() -> None:
    flat = np.array([[0.0, 0, 0], [9, 1, 5]])
    assert _axes([0, -1, 0.1], flat) == (0, 2)  # cameras: x right, y down, z ahead
    assert _axes([0.1, 0, 0.9], flat) == (0, 1)  # vehicles: z up
    assert _axes(None, flat) == (2, 0)
    assert _axes([float("nan")] * 3, flat) == (2, 0)


@pytest.mark.parametrize("protocol", ["stereo/kitti_2015", "stereo/eth3d", "stereo/middlebury"])
def test_a_share_of_bad_pixels_is_drawn_as_an_error(streets: Path, protocol: str) -> None:
    found = evaluate(Spoiler(streets, too_far), streets, protocol, examples=True)
    assert get_protocol(protocol).headline != "epe"
    curve = found.to_dict()["curves"]["error"]
    assert curve["metric"] == "epe"
    assert sum(n > 0 for n in curve["pixels"]) > 3
    worst = next(e for e in found.examples if e.kind == "worst")
    known = np.isfinite(worst.error)
    assert worst.error[known].mean() == pytest.approx(worst.record.score.values["epe"])
    assert "EPE (px) of a pixel" in render_html(found)


def stamps(report: Report, **changes: Any) -> list[tuple[str, str]]:
    text = render_html(dataclasses.replace(report, **changes))
    return re.findall(r'<div class="stamp (\w+)" role="note"><b>([^<]*)', text)


def test_what_the_numbers_are_worth_stands_first(report: Report) -> None:
    seen = {"overlap": "frames", "message": "TRAINED ON THESE DATA: it has seen 4 of 4 frames"}
    assert stamps(report, ledger=seen, limits=[]) == [("bad", "Trained on these data")]
    near = {"overlap": "recordings", "message": "trained on other frames of 1 of these recordings"}
    assert stamps(report, ledger=near) == [
        ("warn", "Trained on the same recordings"),
        ("warn", "Limits of these numbers"),
    ]
    rules = get_protocol("kitti_raw/eigen")
    changed = dataclasses.replace(report.protocol, published=rules.published)
    assert stamps(report, protocol=changed, ledger={}) == [
        ("warn", "Not comparable with published numbers")
    ]
    assert stamps(report, ledger={}, limits=[]) == []
    assert "every frame, every pixel" in render_html(
        dataclasses.replace(report, ledger={}, limits=[])
    )


def test_published_numbers_and_how_far_they_are(report: Report) -> None:
    rules = get_protocol("kitti_raw/eigen")
    row = rules.published[0]
    changed = dataclasses.replace(report.protocol, published=rules.published)
    far = render_html(dataclasses.replace(report, protocol=changed))
    assert f"{row.values['abs_rel']:g}" in far and row.model in far
    assert "Differences are not shown" in far
    model = {**report.model, "name": row.model}
    near = render_html(dataclasses.replace(report, protocol=changed, model=model, limits=[]))
    gap = report.aggregate["abs_rel"] - row.values["abs_rel"]
    kind = "up" if gap > 0 else "down"
    assert f'<small class="{kind}">{gap:+.4f}</small>' in near


def test_pictures_decode(any_report: Report) -> None:
    encoded = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', render_html(any_report))
    for _, blob in encoded:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(blob), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and image.size


def test_names_cannot_break_the_page(any_report: Report) -> None:
    frames = [dataclasses.replace(r, sequence=EVIL, frame_id=EVIL) for r in any_report.frames]
    examples = [
        dataclasses.replace(e, record=dataclasses.replace(e.record, sequence=EVIL, frame_id=EVIL))
        for e in any_report.examples
    ]
    changed = dataclasses.replace(
        any_report,
        frames=frames,
        examples=examples,
        model={**any_report.model, "name": EVIL, "title": EVIL, "weights_file": EVIL},
        data=[{**d, "sequence": EVIL, "dataset": EVIL} for d in any_report.data],
        split={"name": EVIL, "sha256": EVIL},
        limits=[EVIL],
        ledger={"overlap": "frames", "trained_on": [EVIL], "message": EVIL},
        versions={EVIL: EVIL},
    )
    for text in (
        render_html(changed),
        render_comparison(compare_results([StoredResult(changed.to_dict())] * 2)),
    ):
        assert "<script>alert" not in text and "&lt;script&gt;" in text
        assert 'alert("x")' not in text
        check(text)


def test_pages_of_results_read_back_show_the_same_curves(any_report: Report) -> None:
    data = json.loads(any_report.to_json())
    other = json.loads(any_report.to_json())
    other["model"]["name"] = "other"
    text = render_comparison(compare_results([StoredResult(data), StoredResult(other)]))
    check(text)
    shown = {
        "frame": ("Error by distance", "<td>0-10 m · other</td>"),
        "sequence": ("street_0003 over time", "<td>moving · other</td>", "Clip by clip"),
        "motion": ("Precision and recall", "F1 by threshold"),
        "trajectory": ("bend from above", "bend: error along the path"),
    }
    for fact in shown[any_report.protocol.kind]:
        assert fact in text, fact


def test_error_colours_go_from_green_to_red() -> None:
    colours = colorize_error(np.array([[0.0, 1e-3, 1.0, 16.0, 100.0, np.nan]]), 16.0)[0].astype(int)
    assert colours[0].tolist() == colours[1].tolist()
    assert colours[0][1] > colours[0][0]  # green
    assert colours[3].tolist() == colours[4].tolist()
    assert colours[3][0] > 2 * colours[3][1]  # red
    assert len({tuple(c) for c in colours.tolist()}) == 4


def test_a_chart_of_one_point_or_of_gaps_is_drawn() -> None:
    nan = float("nan")
    assert "<svg" in lines([("a", [(0.0, 0.5, "tip")])], 0.5, "frame", "error")
    gaps = lines([("a", [(0.0, nan, ""), (1.0, 2.0, "")])], nan, "frame", "e")
    empty = bars([0, 1, float("inf")], [("a", [nan, nan], ["", ""])], "x", "y")
    lost = plane([("a", "s0", [(nan, 1.0), (nan, nan)])], "x", "y", marks=[(nan, 0, "s0", "m")])
    for text in (gaps, empty, lost, lines([], nan, "x", "y")):
        assert "<svg" in text and "nan" not in text
    assert ticks(0.0, 0.0) == [0.0, 1.0]
    assert ticks(0.0, 4e-16) == [0.0, 1e-16, 2e-16, 3e-16, 4e-16]
    jitter = [(float(i), 1 + 2e-16 * (i % 2), "") for i in range(4)]
    assert "<svg" in lines([("a", jitter)], 1.0, "x", "y")
