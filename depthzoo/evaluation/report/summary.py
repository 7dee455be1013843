"""The head of a report page: what was measured, what it is worth, the result, published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from depthzoo.evaluation.protocols import KINDS
from depthzoo.evaluation.report.layout import badge, section, stamp, table
from depthzoo.evaluation.report.stored import StoredResult
from depthzoo.evaluation.report.values import about, as_number, better, percent, signed, text

__all__ = ["header", "metric_cards", "published_table", "training_stamp"]

_ALIGNMENT = {
    "none": "none",
    "median": "median scaling per image",
    "snippet_scale": "best scale of each snippet",
    "scale": "best scale of each sequence",
    "se3": "best rotation and translation of each sequence",
    "sim3": "best similarity of each sequence",
}
_INVARIANCE = {
    "metric": "a prediction in metres",
    "disparity": "a prediction in pixels of disparity",
    "scale": "a prediction up to scale",
    "affine": "a prediction up to scale and shift",
}
_AVERAGES = {
    "images": "mean over {}s",
    "pixels": "pooled over pixels",
    "weighted": "mean by length",
    "counts": "from counts of all pixels",
}


def header(result: StoredResult) -> str:
    """Return title, stamps, facts, and the protocol in words."""
    data, rules = result.data, result.rules
    facts = "".join(
        f"<div><dt>{escape(k)}</dt><dd>{escape(v)}<small>{escape(s)}</small></dd></div>"
        for k, v, s in _facts(result)
    )
    text_, source = str(rules.get("text", "")), str(rules.get("source", ""))
    left_out = "; ".join(
        f"{n} frames: {why}" for why, n in data.get("counts", {}).get("left_out", {}).items()
    )
    corrected = rules.get("corrected")
    told = [f"Source: {source}."] if source else []
    told += [f"Without its defects: {corrected}."] if corrected else []
    told += [f"Left out: {left_out}."] if left_out else []
    words = (
        f'<details class="card"><summary>What {escape(result.protocol)} measures</summary>'
        f'<p class="prose">{escape(text_)}</p><p class="prose">{escape(" ".join(told))}</p>'
        "</details>"
        if text_
        else ""
    )
    return (
        f'<p class="kicker">depthzoo evaluation · {escape(result.protocol)}</p>'
        f"<h1>{escape(result.model)}</h1>"
        f'<p class="lead">{escape(str(rules.get("title", "")))}</p>'
        f"{_stamps(result)}"
        f'<dl class="card grid facts">{facts}</dl>{words}'
    )


def _facts(result: StoredResult) -> list[tuple[str, str, str]]:
    data, model = result.data, result.data["model"]
    weights, file = model.get("weights_sha256"), model.get("weights_file")
    split, counts = data.get("split"), data.get("counts", {})
    alignment, training = data.get("alignment", {}), data.get("training", {})
    versions = data.get("versions", {})
    names = ", ".join(sorted({str(d.get("dataset", "")) for d in data["data"]}))
    many = len(data["data"])
    frames = counts.get("frames", 0)
    amount = f"{frames} frame{'s' if frames != 1 else ''} of {many} "
    amount += f"sequence{'s' if many != 1 else ''}"
    if result.noun == "clip":
        amount += f", {counts.get('records', 0)} clips"
    how = str(alignment.get("method", ""))
    scale, spread = as_number(alignment.get("scale_median")), as_number(
        alignment.get("scale_relative_spread")
    )  # fmt: skip
    factor = f"; factor {scale:.4g} (median), spread {100 * spread:.2g} %" if how != "none" and (
        math.isfinite(scale) and scale != 1.0) else ""  # fmt: skip
    of = _INVARIANCE.get(str(model.get("invariance")), "the prediction")
    running = [str(model[k]) for k in ("device", "precision") if model.get(k)]
    options = ", ".join(f"{k} {v}" for k, v in (model.get("options") or {}).items())
    found = [
        ("Protocol", result.protocol, KINDS.get(result.kind, "")),
        ("Model", result.model, "; ".join(filter(None, [str(model.get("title") or ""), options]))),
        ("Weights", str(file or ("none needed" if not weights else "published")),
         f"sha256 {weights[:16]}…" if weights else ""),
        ("Trained on", _trained(training), ""),
        ("Data", names, amount),
        ("Split", split["name"] if split else "every frame with truth",
         f"sha256 {split['sha256'][:16]}…" if split else ""),
        ("Alignment", _ALIGNMENT.get(how, how), f"of {of}{factor}"),
    ]  # fmt: skip
    if result.kind != "trajectory":
        share = counts.get("coverage")
        found.append(("Coverage", percent(share), "of the truth's pixels have a prediction"))
    found.append(("Speed", _speed(data.get("timing", {})), ", ".join(["predict only", *running])))
    others = ", ".join(f"{k} {v}" for k, v in versions.items() if k != "depthdata")
    found.append(("Versions", f"depthdata {versions.get('depthdata', '')}", others))
    return found


def _trained(training: Mapping[str, Any]) -> str:
    named = ", ".join(training.get("trained_on", ()))
    known = training and training.get("overlap") != "unknown"
    return named or ("nothing" if known else "not known")


def _speed(timing: Mapping[str, Any]) -> str:
    seconds = as_number(timing.get("predict_s_per_frame"))
    if not seconds > 0:
        return "-"
    return f"{1 / seconds:.1f} frames/s" if seconds < 1 else f"{seconds:.1f} s per frame"


def training_stamp(result: StoredResult) -> str:
    """Say whether the model has seen what it was evaluated on; nothing where it has not."""
    training = result.data.get("training", {})
    message, overlap = str(training.get("message") or ""), training.get("overlap")
    if not message:
        return ""
    if overlap == "frames":
        return stamp("bad", "Trained on these data", message.partition(": ")[2] or message)
    message = message.removeprefix("training data: ").removeprefix(f"not known of {result.model}; ")
    message = f"{result.model} {message[3:]}" if message.startswith("it may") else message
    titles = {"recordings": "Trained on the same recordings"}
    return stamp("warn", titles.get(str(overlap), "Training data not known"), message)


def _stamps(result: StoredResult) -> str:
    """Say what the numbers are worth: training data first, then what is missing."""
    found = training_stamp(result)
    reasons = [str(why) for why in result.data.get("comparable", {}).get("because", ())]
    if reasons:
        listed = result.data.get("published")
        title = "Not comparable with published numbers" if listed else "Limits of these numbers"
        found += stamp("warn", title, "; ".join(reasons))
    if not found:
        said = "every frame, every pixel of the truth; comparable with published numbers"
        return f'<div class="badges">{badge("good", said)}</div>'
    return found


def metric_cards(result: StoredResult) -> str:
    """Return a card for each measure, with its other averages."""
    averages, regions = result.data.get("averages", {}), result.rules.get("average", {})
    cards = []
    for i, name in enumerate(result.metrics):
        one, over = about(name), regions.get(name, "images")
        also = [
            f"{_AVERAGES[other].format(result.noun)} {text(name, values[name])}"
            for other, values in averages.items()
            if other != over and other in _AVERAGES and name in values
        ]
        unit = f"<small>{escape(one.unit)}</small>" if one.unit else ""
        lower = one.lower_is_better
        said = "" if lower is None else "lower is better" if lower else "higher is better"
        arrow = f'<i title="{said}">{"↓" if lower else "↑"}</i>' if said else ""
        cards.append(
            f'<div class="card metric{" head" if i == 0 else ""}">'
            f'<div class="name"><span>{escape(one.title)}</span>{arrow}</div>'
            f'<div class="value">{text(name, result.aggregate[name])}{unit}</div>'
            f'<div class="also">{escape("; ".join(also))}</div></div>'
        )
    counts = result.data.get("counts", {})
    empty = counts.get("empty_frames")
    none = f"{empty} of {counts.get('records')} {result.noun}s have no pixel to measure."
    note = f'<p class="prose note">{none}</p>' if empty else ""
    rule = result.rules.get("average", {}).get(result.headline, "images")
    other = "; below them the other averages" if averages else ""
    said = f"Large figures: {_AVERAGES[rule].format(result.noun)}{other}."
    how = f'<p class="prose note">{said}</p>'
    return section("Result", f'<div class="grid metrics">{"".join(cards)}</div>{how}{note}')


def published_table(result: StoredResult) -> str:
    """Return published numbers below this run's, and the differences where they mean something."""
    rows = list(result.data.get("published") or ())
    if not rows:
        return ""
    shown = {name for row in rows for name in row["values"]}
    names = [name for name in result.metrics if name in shown]
    body = []
    for region in dict.fromkeys(str(row.get("region", "all")) for row in rows):
        own = result.aggregate if region == "all" else result.regions.get(region, {})
        mine = "".join(f"<td>{text(name, own.get(name))}</td>" for name in names)
        where = "this run" + ("" if region == "all" else f", {region}")
        body.append(
            f'<tr class="own"><td><b>{escape(result.model)}</b><small>{escape(where)}</small></td>'
            f"{mine}</tr>"
        )
        same = (row for row in rows if row.get("region", "all") == region)
        body += [_published_row(row, names, own) for row in same]
    note = (
        "Differences are this run minus the published value."
        if any(row["delta"] for row in rows)
        else "Differences are not shown: they need the same model on the protocol's whole data."
    )
    heads = "".join(
        f"<th>{escape(about(n).title)}"
        + (f" <small>{escape(about(n).unit)}</small>" if about(n).unit else "")
        + "</th>"
        for n in names
    )
    return section(
        "Published numbers",
        f'{table(f"<th>Model</th>{heads}", body)}<p class="prose note">{note}</p>',
    )


def _published_row(row: Mapping[str, Any], names: list[str], own: Mapping[str, Any]) -> str:
    cells = []
    for name in names:
        value = row["values"].get(name)
        gap = as_number((row["delta"] or {}).get(name))
        extra = ""
        if value is not None and math.isfinite(gap):
            mine = as_number(own.get(name))
            kind = "down" if better(name, mine, value) else "up" if gap else ""
            extra = f'<small class="{kind}">{signed(name, gap)}</small>'
        cells.append(f"<td>{'-' if value is None else f'{value:g}'}{extra}</td>")
    said = [str(row["source"])]
    said += [f"split {row['split']}"] if row.get("split") else []
    said += [] if row.get("verified", True) else ["not compared with its source"]
    return (
        f'<tr><td class="named">{escape(row["model"])}<small>{escape("; ".join(said))}</small></td>'
        f"{''.join(cells)}</tr>"
    )
