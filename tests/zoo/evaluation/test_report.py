"""The HTML page: complete, self-contained, well-formed."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.evaluation import evaluate
from depthzoo.evaluation.report import render_html
from depthzoo.evaluation.report.charts import lines, ticks
from depthzoo.evaluation.report.pictures import colorize_error
from depthzoo.evaluation.results import Report

VOID = {"meta", "img", "br", "link", "input", "hr", "line", "rect", "path", "circle"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    scene = SyntheticScene(seed=5, frames=4, height=64, width=208, lidar_steps=900)
    path = write_sequence(scene, tmp_path_factory.mktemp("report") / "street_0005.h5", tracks=0)
    return evaluate("sgbm", path, "kitti_raw/lidar", examples=True)


class Checker(HTMLParser):
    """Every element closes, and nothing comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_needs_nothing_else(report: Report, tmp_path: Path) -> None:
    report.to_html(tmp_path / "deep" / "report.html")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]
    text = (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.sources and all(s.startswith("data:image/") for s in checker.sources)
    assert not re.search(r"url\(|@import|https?://", text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_says_what_was_measured(report: Report) -> None:
    text = render_html(report)
    for fact in (
        "kitti_raw/lidar@1",
        "sgbm",
        "street_0005",
        f"{report.aggregate['abs_rel']:.4f}",
        f"{report.coverage * 100:.1f} %",
        report.data[0]["digest"],
        "data are synthetic, not kitti_raw",
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


def test_pictures_decode(report: Report) -> None:
    encoded = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', render_html(report))
    for _, blob in encoded:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(blob), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and image.size


def test_names_cannot_break_the_page(report: Report) -> None:
    import dataclasses

    evil = '<script>alert("x")</script>'
    changed = dataclasses.replace(report, model={**report.model, "name": evil, "title": evil})
    text = render_html(changed)
    assert evil not in text and "&lt;script&gt;" in text


def test_error_colours_go_from_green_to_red() -> None:
    colours = colorize_error(np.array([[0.0, 1e-3, 1.0, 16.0, 100.0, np.nan]]), 16.0)[0].astype(int)
    assert colours[0].tolist() == colours[1].tolist()
    assert colours[0][1] > colours[0][0]  # green
    assert colours[3].tolist() == colours[4].tolist()
    assert colours[3][0] > 2 * colours[3][1]  # red
    assert len({tuple(c) for c in colours.tolist()}) == 4


def test_a_chart_of_one_point_or_of_gaps_is_drawn() -> None:
    assert "<svg" in lines([("a", [(0.0, 0.5, "tip")])], 0.5, "frame", "error")
    gaps = lines([("a", [(0.0, float("nan"), ""), (1.0, 2.0, "")])], float("nan"), "frame", "e")
    assert "nan" not in gaps
    assert ticks(0.0, 0.0) == [0.0, 1.0]
