"""The tables of a report page: sequences, regions, worst and all records, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from depthzoo.evaluation.report.layout import cell, heads, section, table
from depthzoo.evaluation.report.stored import StoredResult
from depthzoo.evaluation.report.values import about, as_number, percent

__all__ = [
    "class_table",
    "method",
    "record_table",
    "region_table",
    "sequence_table",
    "statistics_table",
    "worst_table",
]

MAX_ROWS = 2000
_RULES = {
    "images": "mean over {}s",
    "pixels": "pooled over all pixels",
    "weighted": "mean over {}s, weighted by their length",
    "counts": "from counts summed over all pixels",
}
_REGIONS = {
    "pixels": "Pooled over pixels.",
    "by_pixels": "Means over {}s, weighted by the pixels of the region.",
    "images": "Means over {}s.",
}
_TOP, _LEAST = 10, 12


def _share(pixels: Any, missing: Any) -> str:
    total = (pixels or 0) + (missing or 0)
    share = pixels / total if total else float("nan")
    return f'<td data-v="{share}">{percent(share)}</td>'


def _cells(names: Iterable[str], values: Mapping[str, Any]) -> str:
    return "".join(cell(name, values.get(name)) for name in names)


def sequence_table(result: StoredResult) -> str:
    """Return the averages of each sequence."""
    names, paths = result.metrics, result.kind == "trajectory"
    rows = [
        f"<tr><td>{escape(sequence)}</td><td>{v.get('frames', '')}</td>{_cells(names, v)}"
        + ("" if paths else cell("", v.get("coverage"), shown=percent(v.get("coverage"))))
        + "</tr>"
        for sequence, v in result.data["per_sequence"].items()
    ]
    counts = result.data.get("counts", {})
    total = (
        f'<tr class="total"><td>all</td><td>{counts.get("frames", "")}</td>'
        f"{_cells(names, result.aggregate)}"
        + ("" if paths else f"<td>{percent(counts.get('coverage'))}</td>")
        + "</tr>"
    )
    head = f"<th>Sequence</th><th>Frames</th>{heads(names)}"
    head += "" if paths else "<th>Coverage</th>"
    return section("Sequences", table(head, rows, foot=total, kind="sortable", tall=True))


def region_table(results: Sequence[tuple[str, StoredResult]]) -> str:
    """Return the measures by part of the images, a row for each result."""
    names = [n for n in results[0][1].metrics
             if any(n in v for _, r in results for v in r.regions.values())]  # fmt: skip
    regions = dict.fromkeys(region for _, one in results for region in one.regions)
    rows = []
    for region in ("all", *regions) if regions else ():
        for label, one in results:
            counts, rule = one.data.get("counts", {}), one.rules.get("region_average", "")
            pooled = one.data.get("averages", {}).get("pixels") if rule == "pixels" else None
            whole = {**(pooled or one.aggregate), "pixels": counts.get("pixels"),
                     "missing": counts.get("missing"), "frames": counts.get("records")}  # fmt: skip
            v = whole if region == "all" else one.regions.get(region)
            if v is None:
                continue
            title = escape(region) if len(results) == 1 else f"{escape(region)} · {escape(label)}"
            pixels = v.get("pixels") or 0
            rows.append(
                f"<tr><td>{title}</td>{_cells(names, v)}"
                f'<td>{v.get("frames") or 0}</td><td data-v="{pixels}">{pixels:,}</td>'
                f"{_share(v.get('pixels'), v.get('missing'))}</tr>"
            )
    if not rows:
        return ""
    noun = results[0][1].noun.capitalize()
    head = f"<th>Region</th>{heads(names)}<th>{noun}s</th><th>Pixels</th><th>Coverage</th>"
    first = results[0][1]
    rule = str(first.rules.get("region_average", ""))
    pooled = rule == "pixels" and first.data.get("averages", {}).get("pixels")
    how = _REGIONS.get(rule, "").format(first.noun)
    how += "" if pooled else " All: as the result above."
    note = (
        f'<p class="prose note">{how} Regions overlap: each tells pixels '
        "apart by one thing alone, in the frames whose files know of it.</p>"
    )
    return section("Regions", table(head, rows, kind="sortable") + note)


def worst_table(result: StoredResult) -> str:
    """Return the frames with the largest errors; nothing where all frames are few."""
    rows, name = result.rows, result.headline
    if len(rows) < _LEAST:
        return ""
    sign = 1.0 if about(name).lower_is_better is False else -1.0
    known = [row for row in rows if as_number(row[name]) == as_number(row[name])]
    known.sort(key=lambda row: sign * as_number(row[name]))
    body = [_record(result, row) for row in known[:_TOP]]
    title = f"Worst {result.noun}s"
    return section(title, table(_record_head(result), body, kind="dense sortable"))


def record_table(result: StoredResult) -> str:
    """Return every frame or clip; nothing where sequences are the records."""
    rows = result.rows
    if result.kind not in ("frame", "sequence") or (
        result.kind == "sequence" and len(rows) == len(result.data["per_sequence"])
    ):
        return ""
    body = [_record(result, row) for row in rows[:MAX_ROWS]]
    more = ""
    if len(rows) > MAX_ROWS:
        more = (
            f'<p class="prose note">The first {MAX_ROWS} of {len(rows)} {result.noun}s; '
            "the JSON result has all.</p>"
        )
    shown = " open" if len(body) <= 40 else ""
    listed = table(_record_head(result), body, kind="dense sortable", tall=True)
    return section(
        f"{result.noun.capitalize()}s",
        f"<details{shown}><summary>{len(rows)} {result.noun}s (click a heading to sort)</summary>"
        f"{listed}{more}</details>",
    )


def _record_head(result: StoredResult) -> str:
    scale = "<th>Scale</th>" if _scaled(result) else ""
    return (
        '<th>Sequence</th><th>Frame</th><th class="text">Source name</th><th>Pixels</th>'
        f"<th>Coverage</th>{scale}{heads(result.metrics)}"
    )


def _record(result: StoredResult, row: Mapping[str, Any]) -> str:
    scale = f"<td>{as_number(row.get('scale')):.4g}</td>" if _scaled(result) else ""
    return (
        f"<tr><td>{escape(str(row['sequence']))}</td><td>{escape(str(row['frame']))}</td>"
        f'<td class="text"><code>{escape(str(row["frame_id"]))}</code></td>'
        f"<td>{row.get('pixels', '')}</td>{_share(row.get('pixels'), row.get('missing'))}{scale}"
        f"{_cells(result.metrics, row)}</tr>"
    )


def _scaled(result: StoredResult) -> bool:
    return str(result.data.get("alignment", {}).get("method", "none")) != "none"


def statistics_table(result: StoredResult) -> str:
    """Return mean, spread and limits of what is measured many times in a sequence (snippets)."""
    found = result.data.get("statistics") or {}
    names = {"error": result.headline, "speed": "speed"}
    columns = ("mean", "std", "min", "median", "max")
    rows = [
        f"<tr><td>{escape(about(names[key]).title)} <small>{escape(about(names[key]).unit)}"
        f"</small></td><td>{int(values['count'])}</td>"
        + "".join(cell(names[key], values.get(column)) for column in columns)
        + "</tr>"
        for key, values in found.items()
        if key in names
    ]
    if not rows:
        return ""
    head = "<th>Measure</th><th>Snippets</th>" + "".join(f"<th>{c}</th>" for c in columns)
    return section("Over all snippets", table(head, rows))


def class_table(result: StoredResult) -> str:
    """Return how the false positives of a mask divide among semantic classes."""
    curve = result.curves.get("precision_recall", {})
    shares = curve.get("false_positive_share_by_class") or {}
    rows = [
        f"<tr><td>class {escape(str(name))}</td>{cell('', v, shown=percent(v))}</tr>"
        for name, v in shares.items()
    ]
    if not rows:
        return ""
    head = "<th>Semantic class</th><th>Share of the pixels wrongly taken for moving</th>"
    return section("False positives by class", table(head, rows, kind="sortable"))


def method(result: StoredResult) -> str:
    """Return how each measure is defined, and the digests of everything that took part."""
    data, rules = result.data, result.rules.get("average", {})
    measures = [
        f'<tr><td>{escape(about(n).title)}</td><td class="text">'
        f"{_RULES[rules.get(n, 'images')].format(result.noun)}</td>"
        f'<td class="text wrap">{escape(about(n).source)}</td></tr>'
        for n in result.metrics
    ]
    split, weights = data.get("split"), data["model"].get("weights_sha256")
    hashes = [("weights", data["model"].get("weights_file") or result.model, weights)]
    hashes += [("split", split["name"], split["sha256"])] if split else []
    digests = [
        f'<tr><td>{escape(kind)}</td><td class="text">{escape(str(name))}</td>'
        f'<td class="text"><code>{escape(str(digest))}</code></td><td class="text"></td></tr>'
        for kind, name, digest in hashes
        if digest
    ]
    digests += [
        f"<tr><td>{escape(str(d.get('dataset', '')))}</td>"
        f'<td class="text">{escape(str(d["sequence"]))}</td>'
        f'<td class="text"><code>{escape(str(d.get("digest", "")))}</code></td>'
        f'<td class="text">{escape(str(d.get("converter", "")))}</td></tr>'
        for d in data["data"][:MAX_ROWS]
    ]
    head = '<th>Measure</th><th class="text">Average</th><th class="text">Defined by</th>'
    second = (
        '<th>What</th><th class="text">Name</th><th class="text">SHA-256 or content digest</th>'
        '<th class="text">Converter</th>'
    )
    return section(
        "How it was measured",
        f"<details><summary>Measures</summary>{table(head, measures)}</details>"
        f"<details><summary>Digests of weights, split and data</summary>"
        f"{table(second, digests, kind='dense', tall=True)}</details>",
    )
