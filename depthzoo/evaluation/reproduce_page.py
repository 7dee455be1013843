"""A reproduced table as an HTML page that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from depthzoo.evaluation.report.layout import badge, cell, document, section, table, write_page
from depthzoo.evaluation.report.values import about, signed
from depthzoo.evaluation.reproduce import Reproduction, RowResult

__all__ = ["render_reproduction", "write_reproduction"]

_STATES = {
    "ran": ("good", "ran as published"),
    "partial": ("warn", "part of the data"),
    "failed": ("warn", "failed"),
    "skipped": ("warn", "not run"),
    "planned": ("warn", "not run"),
    "unpublished": ("warn", "no published weights"),
}


def write_reproduction(found: Reproduction, path: str | Path) -> list[Path]:
    """Write the page, and beside it a report for each row that ran: all paths that were written."""
    target = Path(path)
    folder = target.with_name(f"{target.stem}_rows")
    links: dict[str, str] = {}
    written = [target]
    for row in found.rows:
        if row.report is not None:
            page = folder / f"{row.plan.row.slug}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            row.report.to_html(page)
            links[row.plan.row.slug] = f"{folder.name}/{page.name}"
            written.append(page)
    write_page(render_reproduction(found, links), target)
    return written


def render_reproduction(found: Reproduction, links: Mapping[str, str] | None = None) -> str:
    """Return the page as text; `links` are addresses of the rows' own reports."""
    about_it = found.plan.table
    states = [row.status for row in found.rows if row.status != "unpublished"]
    ran = sum(state in ("ran", "partial") for state in states)
    mark = badge("good" if found.status == "complete" else "warn", f"{ran} of {len(states)} rows")
    note = f'<p class="prose note">{escape(about_it.note)}</p>' if about_it.note else ""
    steps = "".join(f"<code>{escape(step)}</code><br>" for step in found.plan.steps)
    body = "".join(_row(row, (links or {}).get(row.plan.row.slug)) for row in found.rows)
    return document(
        f"{about_it.title} · reproduced",
        [
            f'<p class="kicker">depthzoo reproduce {escape(about_it.name)}</p>',
            f"<h1>{escape(about_it.title)}</h1>",
            f'<div class="badges">{mark}</div>{note}',
            body,
            section("To get the rest", f'<p class="prose">{steps}</p>' if steps else ""),
        ],
    )


def _row(row: RowResult, link: str | None) -> str:
    facts = row.plan.row
    kind, words = _STATES[row.status]
    marks = badge(kind, words) + "".join(
        badge("warn", f"not comparable: {why}") for why in row.limits
    )
    said = [escape(line) for line in (row.message, row.stamp) if line]
    if link:
        said.append(f'<a href="{escape(link)}">frames, errors, sequences</a>')
    lines = []
    for one in row.cells:
        name, number = one.number.metric, one.number
        unit = f" <small>{escape(about(name).unit)}</small>" if about(name).unit else ""
        source = escape(number.source) + ("" if number.verified else "; not verified")
        delta = "-" if one.delta is None else signed(name, one.delta)
        lines.append(
            f'<tr><td class="text">{escape(about(name).title)}{unit}</td>'
            f'<td class="text">{escape(number.region)}</td>{cell(name, number.value)}'
            f'{cell(name, one.ours)}<td>{delta}</td><td class="text">{source}</td></tr>'
        )
    head = "".join(
        f"<th{kind}>{word}</th>"
        for word, kind in (
            ("Measure", ' class="text"'),
            ("Region", ' class="text"'),
            ("Published", ""),
            ("Ours", ""),
            ("Delta", ""),
            ("Source", ' class="text"'),
        )
    )
    digits = "".join(f'<p class="prose note">{line}</p>' for line in said)
    return section(
        f"{facts.model} · {facts.split}",
        f'<p class="prose note">{escape(facts.protocol)}</p><div class="badges">{marks}</div>'
        f"<br>{table(head, lines)}{digits}",
    )
