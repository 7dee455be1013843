"""Puts a `Report` on one HTML page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from depthzoo.evaluation.report.layout import document, section, write_page
from depthzoo.evaluation.report.plots import (
    drift_chart,
    error_charts,
    mask_charts,
    over_time,
    path_charts,
)
from depthzoo.evaluation.report.stored import StoredResult
from depthzoo.evaluation.report.summary import header, metric_cards, published_table
from depthzoo.evaluation.report.tables import (
    class_table,
    method,
    record_table,
    region_table,
    sequence_table,
    statistics_table,
    worst_table,
)
from depthzoo.evaluation.report.values import about, text

if TYPE_CHECKING:
    from depthzoo.evaluation.results import Example, Report

__all__ = ["render_html", "write_html"]

_PLACES = {"best": "Best", "median": "Median", "worst": "Worst", "first": "Worst"}
_SHOWN = 4


def write_html(report: Report, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    write_page(render_html(report), path)


def render_html(report: Report) -> str:
    """Return the page as text; it loads nothing from elsewhere."""
    result = StoredResult(report.to_dict())
    named = [(result.model, result)]
    return document(
        f"{result.model} · {result.protocol}",
        [
            header(result),
            metric_cards(result),
            published_table(result),
            _grid("Paths", path_charts(named)),
            _grid("Curves", _curves(result)),
            statistics_table(result),
            region_table(named),
            _examples(report, result),
            sequence_table(result),
            class_table(result),
            worst_table(result),
            record_table(result),
            method(result),
            _footer(result),
        ],
    )


def _grid(title: str, charts: list[str]) -> str:
    found = "".join(chart for chart in charts if chart)
    return section(title, f'<div class="grid charts">{found}</div>' if found else "")


def _curves(result: StoredResult) -> list[str]:
    named = [(result.model, result)]
    if result.kind == "motion":
        return mask_charts(named)
    return [over_time(result), drift_chart(result), *error_charts(named)]


def _examples(report: Report, result: StoredResult) -> str:
    if not report.examples:
        return ""
    from depthzoo.evaluation.report.pictures import example_figures

    alone = len(report.examples) == 1
    parts = "".join(
        _example(one, result, alone, example_figures(report.protocol, one))
        for one in report.examples
    )
    return section("Examples", parts)


def _example(example: Example, result: StoredResult, alone: bool, figures: str) -> str:
    record, scored = example.record, example.record.score.values
    names = [name for name in result.metrics if name in scored][:_SHOWN]
    values = ", ".join(
        f"{about(n).title} {text(n, scored[n])} {about(n).unit}".strip() for n in names
    )
    place = "The only" if alone else _PLACES[example.kind]
    value = scored.get(result.headline, float("nan"))
    note = f'<span class="wide">{escape(example.note)}</span>' if example.note else ""
    return (
        f'<div class="card example" data-example="{escape(example.kind)}" '
        f'data-sequence="{escape(record.sequence)}" data-camera="{escape(record.camera)}" '
        f'data-frame="{record.frame}" data-name="{escape(record.frame_id)}" '
        f'data-value="{value:.9g}"><header><b>{place} {result.noun}</b>'
        f"<span>{escape(record.sequence)} · frame <code>{escape(record.frame_id)}</code></span>"
        f"<span>{escape(values)}</span>{note}</header>"
        f'<div class="pictures">{figures}</div></div>'
    )


def _footer(result: StoredResult) -> str:
    version = result.data.get("versions", {}).get("depthdata", "")
    return (
        f"<footer>Made by depthzoo {escape(str(version))} under protocol "
        f"<code>{escape(result.protocol)}</code>. The numbers are in the JSON result; this page "
        "loads nothing from elsewhere.</footer>"
    )
