"""Puts a `Report` on one HTML page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthzoo.evaluation.metrics import metric
from depthzoo.evaluation.report.charts import bars, lines, number
from depthzoo.evaluation.scoring import ERROR_EDGES, TRUTH_EDGES

if TYPE_CHECKING:
    from depthzoo.evaluation.results import FrameRecord, Report

__all__ = ["render_html", "write_html"]

MAX_ROWS = 2000

_SORT = """
for (const table of document.querySelectorAll('table.sortable'))
  for (const [column, head] of [...table.tHead.rows[0].cells].entries())
    head.addEventListener('click', () => {
      const order = head.dataset.order === '1' ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) delete other.dataset.order;
      head.dataset.order = order;
      const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const value = row => { const n = Number(key(row)); return Number.isNaN(n) ? key(row) : n; };
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => { const x = value(a), y = value(b);
        return order * (x < y ? -1 : x > y ? 1 : 0); });
      table.tBodies[0].append(...rows);
    });
"""


def write_html(report: Report, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        part.write_text(render_html(report), encoding="utf-8")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def render_html(report: Report) -> str:
    """Return the page as text; it loads nothing from elsewhere."""
    style = files("depthzoo.evaluation.report").joinpath("style.css").read_text(encoding="utf-8")
    title = f"{report.model['name']} · {report.protocol.id}"
    body = "".join(
        [
            _header(report),
            _metrics(report),
            _published(report),
            _charts(report),
            _examples(report),
            _sequences(report),
            _frames(report),
            _method(report),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}</main><script>{_SORT}</script></body></html>\n"
    )


def _header(report: Report) -> str:
    protocol, model = report.protocol, report.model
    badges = [_badge(*_verdict(report))]
    datasets = ", ".join(sorted({d["dataset"] for d in report.data}))
    counts = f"{len(report.frames)} frames of {len(report.data)} sequence" + (
        "s" if len(report.data) != 1 else ""
    )
    weights = model.get("weights_sha256")
    split = report.split
    facts = [
        ("Model", model["name"], model.get("title", "")),
        ("Weights", model.get("weights_file") or ("none needed" if not weights else "published"),
         f"sha256 {weights[:16]}…" if weights else ""),
        ("Data", datasets, counts),
        ("Split", split["name"] if split else "all frames with truth",
         f"sha256 {split['sha256'][:16]}…" if split else ""),
        ("Alignment", _ALIGNMENT.get(report.alignment, report.alignment),
         f"of {_INVARIANCE.get(model['invariance'], 'the prediction')}"),
        ("Coverage", _percent(report.coverage), "of the truth's pixels have a prediction"),
        ("Speed", _speed(report), "predict only"),
        ("Versions", f"depthdata {report.versions.get('depthdata', '')}",
         ", ".join(f"{k} {v}" for k, v in report.versions.items() if k != "depthdata")),
    ]  # fmt: skip
    rows = "".join(
        f"<div><dt>{escape(k)}</dt><dd>{escape(v)}<small>{escape(s)}</small></dd></div>"
        for k, v, s in facts
    )
    return (
        f'<p class="kicker">depthzoo evaluation · {escape(protocol.id)}</p>'
        f"<h1>{escape(model['name'])}</h1>"
        f'<p class="lead">{escape(protocol.title)}</p>'
        f'<div class="badges">{"".join(badges)}</div>'
        f'<dl class="card grid facts">{rows}</dl>'
    )


def _verdict(report: Report) -> tuple[str, str]:
    """Return the kind and the text of the badge that says what the numbers are worth."""
    what = "comparable with published numbers"
    if not report.limits:
        return "good", f"every frame, every pixel of the truth; {what}"
    reasons = "; ".join(report.limits)
    return "warn", f"not {what}: {reasons}" if report.protocol.published else reasons


_ALIGNMENT = {"none": "none", "median": "median scaling per image"}
_INVARIANCE = {
    "metric": "a prediction in metres",
    "disparity": "a prediction in pixels of disparity",
    "scale": "a prediction up to scale",
    "affine": "a prediction up to scale and shift",
}


def _badge(kind: str, text: str) -> str:
    return f'<span class="badge {kind}">{escape(text)}</span>'


def _speed(report: Report) -> str:
    seconds = report.timing.get("predict_s_per_frame", 0.0)
    if seconds <= 0:
        return "-"
    return f"{1 / seconds:.1f} frames/s" if seconds < 1 else f"{seconds:.1f} s per frame"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def _value(name: str, value: float) -> str:
    """Return a value with digits that suit its unit."""
    if not math.isfinite(value):
        return "-"
    if metric(name).unit == "%":
        return f"{value:.2f}"
    return f"{value:.4f}" if abs(value) <= 1 else f"{value:.3f}"


def _metrics(report: Report) -> str:
    ours = report.aggregate
    cards = []
    for i, name in enumerate(report.protocol.metrics):
        one = metric(name)
        over = report.protocol.average_of(name)
        other = "pixels" if over == "images" else "images"
        also = _value(name, report.average(other)[name])
        label = "pooled over pixels" if other == "pixels" else "mean of images"
        unit = f"<small>{escape(one.unit)}</small>" if one.unit else ""
        arrow = "lower is better" if one.lower_is_better else "higher is better"
        cards.append(
            f'<div class="card metric{" head" if i == 0 else ""}">'
            f'<div class="name"><span>{escape(one.title)}</span>'
            f'<i title="{arrow}">{"↓" if one.lower_is_better else "↑"}</i></div>'
            f'<div class="value">{_value(name, ours[name])}{unit}</div>'
            f'<div class="also">{label} {also}</div></div>'
        )
    empty = (
        f'<p class="prose" style="margin-top:10px">{report.empty_frames} of '
        f"{len(report.frames)} frames have no pixel to measure.</p>"
        if report.empty_frames
        else ""
    )
    return f'<h2>Result</h2><div class="grid metrics">{"".join(cards)}</div>{empty}'


def _published(report: Report) -> str:
    rows = report.published()
    if not rows:
        return ""
    names = report.protocol.metrics
    heads = "".join(f"<th>{escape(metric(n).title)}</th>" for n in names)
    mine = "".join(f"<td>{_value(n, report.aggregate[n])}</td>" for n in names)
    body = [f"<tr><td><b>{escape(report.model['name'])}</b><small>this run</small></td>{mine}</tr>"]
    for row in rows:
        cells = "".join(_published_cell(n, row) for n in names)
        body.append(
            f"<tr><td>{escape(row['model'])}<small>{escape(row['source'])}</small></td>{cells}</tr>"
        )
    comparable = any(row["delta"] for row in rows)
    note = (
        "Differences are this run minus the published value."
        if comparable
        else "Differences are not shown: they need the same model on the protocol's whole data."
    )
    return (
        '<h2>Published numbers</h2><div class="card scroll"><table><thead><tr>'
        f"<th>Model</th>{heads}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
        f'<p class="prose" style="margin-top:10px">{note}</p>'
    )


def _published_cell(name: str, row: dict[str, Any]) -> str:
    value = row["values"].get(name)
    if value is None:
        return "<td>-</td>"
    delta = ""
    if row["delta"] and math.isfinite(row["delta"][name]):
        d = row["delta"][name]
        better = (d < 0) == metric(name).lower_is_better
        delta = f'<small class="{"down" if better else "up"}">{d:+.4f}</small>'
    return f"<td>{value:g}{delta}</td>"


def _charts(report: Report) -> str:
    name = report.protocol.headline
    one = metric(name)
    what = one.title + (f" ({one.unit})" if one.unit else "")
    quantity = report.protocol.quantity
    unit = {"depth": "m", "disparity": "px"}[quantity]
    series = [
        (sequence, [(float(r.frame), r.score.values[name], _tip(r, name)) for r in records])
        for sequence, records in _grouped(report).items()
    ]
    legend = "".join(
        f'<span class="s{i % 6}"><b></b>{escape(n)}</span>' for i, (n, _) in enumerate(series[:12])
    )
    if len(series) > 12:
        legend += f"<span>and {len(series) - 12} more</span>"
    mean = report.aggregate[name]
    dashed = f"dashed: mean {_value(name, mean)}" if math.isfinite(mean) else ""
    cards = [
        ("Error over time", lines(series, mean, "frame", what),
         f'<div class="legend">{legend}</div>' if len(series) > 1 else "", dashed),
        ("How the error is distributed", _error_histogram(report, what), "", ""),
        (f"Error by true {quantity}", _error_by_truth(report, what, unit), "", ""),
        (f"Where the truth is ({quantity})", _truth_histogram(report, unit), "", ""),
    ]  # fmt: skip
    return '<h2>Curves</h2><div class="grid charts">' + "".join(
        f'<div class="card"><h3>{escape(title)}<span>{escape(aside)}</span></h3>{chart}{more}</div>'
        for title, chart, more, aside in cards
    ) + "</div>"  # fmt: skip


def _tip(record: FrameRecord, name: str) -> str:
    value = _value(name, record.score.values[name])
    return f"{record.sequence} frame {record.frame_id}: {value}"


def _grouped(report: Report) -> dict[str, list[FrameRecord]]:
    grouped: dict[str, list[FrameRecord]] = {}
    for record in report.frames:
        grouped.setdefault(record.sequence, []).append(record)
    return {k: sorted(v, key=lambda r: r.frame) for k, v in grouped.items()}


def _bin(edges: tuple[float, ...], i: int, unit: str = "") -> str:
    tail = f" {unit}" if unit else ""
    if math.isinf(edges[i + 1]):
        return f"above {number(edges[i])}{tail}"
    return f"{number(edges[i])} to {number(edges[i + 1])}{tail}"


def _shares(counts: Iterable[int]) -> list[float]:
    found = list(counts)
    total = sum(found)
    return [100 * n / total if total else float("nan") for n in found]


def _error_histogram(report: Report, what: str) -> str:
    edges = ERROR_EDGES[report.protocol.quantity]
    shares = _shares(report.curves.errors.tolist())
    tips = [f"{s:.2f} % of pixels have {_bin(edges, i)}" for i, s in enumerate(shares)]
    return bars(edges, shares, tips, f"{what} of a pixel", "pixels (%)")


def _error_by_truth(report: Report, what: str, unit: str) -> str:
    edges = TRUTH_EDGES[report.protocol.quantity]
    pixels = report.curves.pixels.tolist()
    sums = report.curves.error_sum.tolist()
    means = [s / n if n else float("nan") for s, n in zip(sums, pixels, strict=True)]
    tips = [
        f"{_bin(edges, i, unit)}: mean {m:.4g}, {pixels[i]} pixels" for i, m in enumerate(means)
    ]
    return bars(edges, means, tips, f"true {report.protocol.quantity} ({unit})", f"mean {what}")


def _truth_histogram(report: Report, unit: str) -> str:
    edges = TRUTH_EDGES[report.protocol.quantity]
    shares = _shares(report.curves.pixels.tolist())
    tips = [f"{_bin(edges, i, unit)}: {s:.2f} % of pixels" for i, s in enumerate(shares)]
    return bars(edges, shares, tips, f"true {report.protocol.quantity} ({unit})", "pixels (%)")


def _examples(report: Report) -> str:
    if not report.examples:
        return ""
    from depthzoo.evaluation.report.pictures import example_figures

    kinds = {"best": "Best frame", "median": "Median frame", "worst": "Worst frame"}
    parts = []
    for example in report.examples:
        record = example.record
        values = ", ".join(
            f"{metric(n).title} {_value(n, record.score.values[n])}{metric(n).unit and ' '}"
            f"{metric(n).unit}"
            for n in report.protocol.metrics[:3]
        )
        parts.append(
            f'<div class="card example" data-example="{escape(example.kind)}" '
            f'data-sequence="{escape(record.sequence)}" data-camera="{escape(record.camera)}" '
            f'data-frame="{record.frame}" data-name="{escape(record.frame_id)}">'
            f"<header><b>{kinds[example.kind]}</b>"
            f"<span>{escape(record.sequence)} · frame <code>{escape(record.frame_id)}</code></span>"
            f"<span>{escape(values)}</span></header>"
            f'<div class="pictures">{example_figures(report.protocol, example)}</div></div>'
        )
    return f"<h2>Examples</h2>{''.join(parts)}"


def _sequences(report: Report) -> str:
    names = report.protocol.metrics
    rows = [
        f"<tr><td>{escape(sequence)}</td><td>{v['frames']}</td>"
        + "".join(_cell(n, v[n]) for n in names)
        + f'<td data-v="{v["coverage"]}">{_percent(v["coverage"])}</td></tr>'
        for sequence, v in report.per_sequence.items()
    ]
    total = (
        f'<tr class="total"><td>all</td><td>{len(report.frames)}</td>'
        + "".join(_cell(n, report.aggregate[n]) for n in names)
        + f"<td>{_percent(report.coverage)}</td></tr>"
    )
    heads = f"<th>Sequence</th><th>Frames</th>{_heads(names)}<th>Coverage</th>"
    return (
        '<h2>Sequences</h2><div class="card scroll tall"><table class="sortable">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody><tfoot>{total}</tfoot>"
        "</table></div>"
    )


def _frames(report: Report) -> str:
    names = report.protocol.metrics
    rows = [
        f"<tr><td>{escape(r.sequence)}</td><td>{r.frame}</td>"
        f'<td class="text"><code>{escape(r.frame_id)}</code></td><td>{r.score.pixels}</td>'
        f'<td data-v="{r.score.coverage}">{_percent(r.score.coverage)}</td>'
        + (f"<td>{r.score.scale:.4g}</td>" if report.alignment != "none" else "")
        + "".join(_cell(n, r.score.values[n]) for n in names)
        + "</tr>"
        for r in report.frames[:MAX_ROWS]
    ]
    scale = "<th>Scale</th>" if report.alignment != "none" else ""
    heads = (
        '<th>Sequence</th><th>Frame</th><th class="text">Source name</th><th>Pixels</th>'
        f"<th>Coverage</th>{scale}{_heads(names)}"
    )
    more = (
        f'<p class="prose">The first {MAX_ROWS} of {len(report.frames)} frames; '
        "the JSON result has all.</p>"
        if len(report.frames) > MAX_ROWS
        else ""
    )
    return (
        f"<h2>Frames</h2><details{' open' if len(rows) <= 40 else ''}><summary>"
        f"{len(report.frames)} frames (click a heading to sort)</summary>"
        '<div class="card scroll tall">'
        f'<table class="sortable dense"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>"
        f"</table></div>{more}</details>"
    )


def _heads(names: Iterable[str]) -> str:
    return "".join(
        f"<th>{escape(metric(n).title)}"
        + (f" <small>{escape(metric(n).unit)}</small>" if metric(n).unit else "")
        + "</th>"
        for n in names
    )


def _cell(name: str, value: float) -> str:
    return f'<td data-v="{value:.9g}">{_value(name, value)}</td>'


def _method(report: Report) -> str:
    protocol = report.protocol
    measures = "".join(
        f'<tr><td>{escape(metric(n).title)}</td><td class="text">mean over '
        f"{'images' if protocol.average_of(n) == 'images' else 'all pixels'}</td>"
        f'<td class="text wrap">{escape(metric(n).source)}</td></tr>'
        for n in protocol.metrics
    )
    digests = "".join(
        f'<tr><td>{escape(d["sequence"])}</td><td class="text">{escape(d["dataset"])}</td>'
        f'<td class="text"><code>{escape(str(d["digest"]))}</code></td>'
        f'<td class="text">{escape(str(d["converter"]))}</td></tr>'
        for d in report.data
    )
    left_out = "; ".join(f"{n} frames: {why}" for why, n in report.left_out.items())
    return (
        "<h2>How it was measured</h2>"
        f'<div class="card"><p class="prose">{escape(protocol.text)}</p>'
        f'<p class="prose">Source: {escape(protocol.source)}.'
        f"{' Left out: ' + escape(left_out) + '.' if left_out else ''}</p></div>"
        f"<details><summary>Measures</summary>"
        f'<div class="card scroll"><table><thead><tr><th>Measure</th><th class="text">Average</th>'
        f'<th class="text">Defined by</th></tr></thead><tbody>{measures}</tbody></table></div>'
        "</details>"
        f"<details><summary>Data digests</summary>"
        '<div class="card scroll"><table><thead><tr><th>Sequence</th><th class="text">Dataset</th>'
        '<th class="text">Content digest</th><th class="text">Converter</th></tr></thead>'
        f"<tbody>{digests}</tbody></table></div></details>"
        f"<footer>Made by depthzoo {escape(report.versions.get('depthdata', ''))} under protocol "
        f"<code>{escape(protocol.id)}</code>. The numbers are in the JSON result; this page loads "
        "nothing from elsewhere.</footer>"
    )
