"""Puts a `Comparison` on one HTML page."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from depthzoo.evaluation.report.charts import forest, legend, lines
from depthzoo.evaluation.report.comparison import Comparison, pair_text
from depthzoo.evaluation.report.layout import (
    badge,
    cell,
    document,
    heads,
    section,
    table,
    write_page,
)
from depthzoo.evaluation.report.page_pictures import Shown, read_pictures
from depthzoo.evaluation.report.plots import (
    card,
    clip_charts,
    error_charts,
    mask_charts,
    path_charts,
)
from depthzoo.evaluation.report.summary import training_stamp
from depthzoo.evaluation.report.tables import region_table
from depthzoo.evaluation.report.values import about, axis, better, percent, signed, text

__all__ = ["render_comparison", "write_comparison"]

_MOST_ROWS = 400
_MOST_POINTS = 2000
_LOOSE = 60


def write_comparison(comparison: Comparison, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all.

    Pictures of worst frames are taken from the report page beside each result file, where there is
    one of the same name (``a.html`` beside ``a.json``).
    """
    write_page(render_comparison(comparison), path)


def render_comparison(comparison: Comparison) -> str:
    """Return the page as text; it loads nothing from elsewhere."""
    names = " and ".join(comparison.names) if len(comparison.names) < 4 else "Results"
    return document(
        f"{names} · {comparison.results[0].protocol}",
        [
            _header(comparison),
            section("Result", _table(comparison)),
            section(f"{comparison.noun.capitalize()} by {comparison.noun}", _pairs(comparison)),
            section("Sequences", _sequences(comparison)),
            section("Curves", _curves(comparison)),
            region_table(comparison.named),
            section(f"Worst {comparison.noun}s", _worst(comparison)),
            section("What was compared", _provenance(comparison)),
        ],
    )


def _header(comparison: Comparison) -> str:
    first = comparison.results[0]
    good = "the same protocol, split, data and frames"
    marks = [badge("good", good)] if comparison.comparable else []
    marks += [badge("warn", f"not comparable: {why}") for why in comparison.differences]
    rules = first.data["protocol"]
    stamps = "".join(training_stamp(one) for one in comparison.results)
    return (
        f'<p class="kicker">depthzoo comparison · {escape(first.protocol)}</p>'
        f"<h1>{escape(' · '.join(comparison.names))}</h1>"
        f'<p class="lead">{escape(str(rules.get("title", "")))}</p>'
        f'<div class="badges">{"".join(marks)}</div>{stamps}{legend(comparison.names)}'
    )


def _table(comparison: Comparison) -> str:
    base, rows = comparison.results[0].aggregate, []
    for i, (name, one) in enumerate(zip(comparison.names, comparison.results, strict=True)):
        cells = []
        for measure in comparison.metrics:
            value = one.aggregate[measure]
            extra = _delta(measure, value, base[measure]) if i else ""
            cells.append(
                cell(measure, value, extra, "best" if i in comparison.best(measure) else "")
            )
        published = one.data.get("comparable", {}).get("published")
        known = bool(one.data.get("published"))
        note = "comparable with published numbers" if known else ""
        note = note if published else "not comparable with published numbers"
        cover = one.data.get("counts", {}).get("coverage")
        rows.append(
            f'<tr><td class="named"><b>{escape(name)}</b><small>{note}</small></td>{"".join(cells)}'
            f"<td>{percent(cover)}</td></tr>"
        )
    head = f"<th>Result</th>{heads(comparison.metrics)}<th>Coverage</th>"
    note = f"Best in bold. Differences are from {comparison.names[0]}."
    return table(head, rows, kind="dense") + f'<p class="prose note">{escape(note)}</p>'


def _delta(measure: str, value: float, base: float) -> str:
    gap = value - base
    if not math.isfinite(gap):
        return ""
    kind = "down" if better(measure, value, base) else "up" if better(measure, base, value) else ""
    return f'<small class="{kind}">{signed(measure, gap)}</small>'


def _pairs(comparison: Comparison) -> str:
    said = [
        f'<p class="prose"><b>{escape(name)}</b> {escape(pair_text(comparison, pair))}.</p>'
        for name, pair in zip(comparison.names, comparison.pairs, strict=True)
        if pair is not None
    ]
    tables = [one.frames for one in comparison.results]
    keys = list(tables[0])[:_MOST_POINTS]
    if not said or not keys:
        return ""
    name = comparison.headline
    series = [
        (label, [
            (float(i), values.get(key, {}).get(name, math.nan), f"{label}: {_place(key)}")
            for i, key in enumerate(keys)
        ])
        for label, values in zip(comparison.names, tables, strict=True)
    ]  # fmt: skip
    across = f"{comparison.noun}, in the order of the evaluation"
    chart = lines(series, math.nan, across, axis(name), loose=len(keys) <= _LOOSE)
    return (
        f'<div class="grid charts">{card(about(name).title, chart, "", legend(comparison.names))}'
        f'<div class="card top">{"".join(said)}</div></div>'
    )


def _curves(comparison: Comparison) -> str:
    """Return the charts of the kind of protocol, where all results are of one protocol."""
    named = comparison.named
    if len({one.protocol for _, one in named}) > 1:
        return ""
    kind = named[0][1].kind
    drawn = {"trajectory": path_charts, "motion": mask_charts}.get(kind, error_charts)(named)
    drawn = [*(clip_charts(named) if kind == "sequence" else ()), *drawn]
    return f'<div class="grid charts">{"".join(drawn)}</div>' if drawn else ""


def _sequences(comparison: Comparison) -> str:
    name, found, rows = comparison.headline, comparison.sequences(), []
    for sequence, values in found[:_MOST_ROWS]:
        cells = "".join(
            cell(name, v, _delta(name, v, values[0]) if i else "", _best(comparison, values, i))
            for i, v in enumerate(values)
        )
        rows.append(f"<tr><td>{escape(sequence)}</td>{cells}</tr>")
    head = "<th>Sequence</th>" + "".join(f"<th>{escape(n)}</th>" for n in comparison.names)
    chart = forest([(s, v) for s, v in found[:24]], comparison.names, axis(name))
    cut = len(found) - len(rows)
    more = f'<p class="prose note">{cut} more sequences are in the JSON.</p>' if cut else ""
    return (
        f'<div class="grid charts"><div class="card"><h3>{escape(about(name).title)}'
        f"<span>largest differences first</span></h3>{chart}</div>"
        f"{table(head, rows, kind='sortable', tall=True)}</div>{more}"
    )


def _best(comparison: Comparison, values: list[float], index: int) -> str:
    if not comparison.comparable or not math.isfinite(values[index]):
        return ""
    name = comparison.headline
    beaten = any(better(name, other, values[index]) for other in values)
    told = about(name).lower_is_better is not None and len(set(values)) > 1
    return "best" if told and not beaten else ""


def _worst(comparison: Comparison) -> str:
    pictures = [read_pictures(one.path) for one in comparison.results]
    parts = []
    for i, label in enumerate(comparison.names):
        found = comparison.worst(i)
        if not found:
            continue
        rows = [
            f"<tr><td>{escape(_place(key))}</td>"
            + "".join(cell(comparison.headline, v) for v in values)
            + "</tr>"
            for key, values in found
        ]
        head = f"<th>{comparison.noun.capitalize()}</th>" + "".join(
            f"<th>{escape(n)}</th>" for n in comparison.names
        )
        parts.append(
            f'<div class="card example"><header><b>Worst of {escape(label)}</b></header>'
            f"{table(head, rows, kind='dense').replace('card scroll', 'scroll')}</div>"
        )
    shown = _side_by_side(comparison, pictures)
    return f'<div class="grid sides">{"".join(parts)}</div>{shown}' if parts else ""


def _side_by_side(comparison: Comparison, pictures: list[list[Shown]]) -> str:
    """Return the worst frame of each result that has pictures, a column each."""
    columns = []
    for name, result, found in zip(comparison.names, comparison.results, pictures, strict=True):
        worst = next((one for one in found if one.kind == "worst"), None)
        if worst is None:
            continue
        value = result.frames.get(worst.key, {}).get(comparison.headline, worst.value)
        title = f"{about(comparison.headline).title} {text(comparison.headline, value)}"
        figures = "".join(_figure(*one) for one in worst.figures)
        columns.append(
            f'<div class="card example"><header><b>{escape(name)}</b>'
            f"<span>{escape(_place(worst.key))}</span><span>{escape(title)}</span></header>"
            f'<div class="pictures column">{figures}</div></div>'
        )
    return f'<div class="grid sides">{"".join(columns)}</div>' if columns else ""


def _figure(part: str, uri: str, scale: str) -> str:
    from depthzoo.evaluation.report.pictures import outcome_key

    key = outcome_key() if part == "outcome" else f"<span>{escape(scale)}</span>" if scale else ""
    return (
        f'<figure><img src="{uri}" alt="{escape(part)}" loading="lazy">'
        f"<figcaption><span>{escape(part)}</span>{key}</figcaption></figure>"
    )


def _provenance(comparison: Comparison) -> str:
    rows = []
    for name, one in zip(comparison.names, comparison.results, strict=True):
        split, model = one.data.get("split") or {}, one.data["model"]
        weights = str(model.get("weights_sha256") or "")
        versions = one.data.get("versions", {})
        because = "; ".join(one.data.get("comparable", {}).get("because", []))
        facts = [
            one.protocol,
            f"{split.get('name', 'none')} {str(split.get('sha256', ''))[:16]}",
            weights[:16] or "none",
            str(one.data.get("alignment", {}).get("method", "")),
            ", ".join(f"{k} {v}" for k, v in versions.items()),
            because,
        ]
        cells = "".join(f'<td class="text wrap slim">{escape(fact)}</td>' for fact in facts)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    titles = ("Protocol", "Split", "Weights (sha256)", "Alignment", "Versions", "Not as published")
    head = "<th>Result</th>" + "".join(f'<th class="text">{t}</th>' for t in titles)
    return table(head, rows) + "<footer>This page loads nothing from elsewhere.</footer>"


def _place(key: tuple[str, ...]) -> str:
    return f"{key[0]} {key[1]} {key[3]}"
