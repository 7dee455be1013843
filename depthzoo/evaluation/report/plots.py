"""The charts of one result, or of several beside one another, by the kind of their protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthzoo.evaluation.metrics.trajectory import KITTI_LENGTHS
from depthzoo.evaluation.report.charts import (
    COLOURS,
    PLANE_HEIGHT,
    Point,
    bars,
    legend,
    lines,
    number,
    plane,
)
from depthzoo.evaluation.report.stored import StoredResult
from depthzoo.evaluation.report.values import about, as_number, axis, text

__all__ = [
    "card",
    "clip_charts",
    "drift_chart",
    "error_charts",
    "mask_charts",
    "over_time",
    "path_charts",
]

Named = Sequence[tuple[str, StoredResult]]
_UNITS = {"depth": "m", "disparity": "px"}
_CLIPS, _PATHS, _LEAST = 4, 6, 2
_PATH_POINTS = 500
_PLANES = {(0, 1): (1, 2), (0, -1): (2, 1), (1, 1): (2, 0), (1, -1): (0, 2), (2, 1): (0, 1),
           (2, -1): (1, 0)}  # fmt: skip
"""Axis that points up and its sign -> axes across and up the page, as seen from above."""
_PLACED = {
    "first": "the first poses coincide",
    "none": "as predicted",
    "scale": "scaled from the first pose",
    "se3": "best rotation and translation",
    "sim3": "best similarity",
}


def card(title: str, chart: str, aside: str = "", more: str = "") -> str:
    """Return a chart under its title; `aside` stands beside the title."""
    told = f"<span>{escape(aside)}</span>" if aside else ""
    return f'<div class="card"><h3>{escape(title)}{told}</h3>{chart}{more}</div>'


def over_time(result: StoredResult) -> str:
    """Return the headline of every frame, or the error of every frame of every clip."""
    name = result.headline if result.kind == "frame" else "epe"
    several = _of_frames(result) if result.kind == "frame" else _of_clips(result, "epe", "epe")
    if result.kind == "trajectory":
        name, several = result.headline, _of_clips(result, "error", result.headline)
    if sum(len(points) for _, points in several) < _LEAST:
        return ""
    single = all(len(points) == 1 for _, points in several)
    if single:
        points = [(float(i), p[0][1], p[0][2]) for i, (_, p) in enumerate(several)]
        several = [("", points)]
    mean = result.aggregate[name] if result.kind != "sequence" else math.nan
    ranked = sorted(several, key=lambda one: -_mean(one[1]))
    kinds = {one[0]: f"s{i}" for i, one in enumerate(ranked[:COLOURS])}
    drawn = [*ranked[COLOURS:], *ranked[:COLOURS]]
    across = "frame, in the order of the evaluation" if single else "frame"
    chart = lines(
        drawn,
        mean,
        across,
        axis(name),
        kinds=[kinds.get(n, "pale") for n, _ in drawn],
        loose=single,
    )
    key = legend(list(kinds), list(kinds.values())) if len(several) > 1 else ""
    if len(several) > COLOURS:
        key += (
            f'<p class="prose note">Grey: {len(several) - COLOURS} more, with smaller errors.</p>'
        )
    what = "Error of every frame" if single else "Error over time"
    what = "Error of every snippet" if result.kind == "trajectory" else what
    aside = f"dashed: mean {text(name, mean)}" if math.isfinite(mean) else ""
    return card(what, chart, aside, key)


def _of_frames(result: StoredResult) -> list[tuple[str, list[Point]]]:
    name, grouped = result.headline, dict[str, list[Point]]()
    for row in result.rows:
        value = as_number(row[name])
        tip = f"{row['sequence']} frame {row['frame_id']}: {text(name, value)}"
        grouped.setdefault(str(row["sequence"]), []).append((float(row["frame"]), value, tip))
    return [(sequence, sorted(points)) for sequence, points in grouped.items()]


def _of_clips(result: StoredResult, series: str, name: str) -> list[tuple[str, list[Point]]]:
    found = []
    for (sequence, first), several in result.series.items():
        points = [
            (float(first + i), v, f"{sequence} frame {first + i}: {text(name, v)}")
            for i, v in enumerate(several.get(series, ()))
        ]
        if points:
            found.append((sequence, points))
    return found


def _mean(points: Sequence[Point]) -> float:
    known = [y for _, y, _ in points if math.isfinite(y)]
    return sum(known) / len(known) if known else -math.inf


def clip_charts(results: Named) -> list[str]:
    """Return the error of every frame of clips, for those where several results differ most."""
    tables = [(name, one.series) for name, one in results[:COLOURS]]
    spread: dict[tuple[str, int], float] = {}
    for key in tables[0][1]:
        every = [t.get(key, {}).get("epe", []) for _, t in tables]
        means = [float(np.nanmean(v)) for v in every if any(map(math.isfinite, v))]
        if means:
            spread[key] = max(means) - min(means)
    found = []
    for key in sorted(spread, key=lambda one: -spread[one])[:_CLIPS]:
        series = [
            (name, [
                (float(key[1] + i), v, f"{name}, frame {key[1] + i}: {text('epe', v)}")
                for i, v in enumerate(table.get(key, {}).get("epe", []))
            ])
            for name, table in tables
        ]  # fmt: skip
        chart = lines(series, math.nan, "frame", axis("epe"))
        found.append(card(f"{key[0]} over time", chart, "", legend([n for n, _ in series])))
    return found


def drift_chart(result: StoredResult) -> str:
    """Return KITTI's translation error by the length of the pieces; nothing where there is none."""
    series = []
    for (sequence, _), several in result.series.items():
        values = several.get("t_rel_by_length", [])
        if any(map(math.isfinite, values)):
            points = [
                (length, v, f"{sequence}, {length:g} m: {text('t_rel', v)} %")
                for length, v in zip(KITTI_LENGTHS, values, strict=False)
            ]
            series.append((sequence, points))
    if not series:
        return ""
    kinds = [f"s{i}" if i < COLOURS else "pale" for i in range(len(series))]
    chart = lines(series, math.nan, "length of the piece (m)", axis("t_rel"), kinds=kinds)
    names = [name for name, _ in series[:COLOURS]]
    return card("Drift by length", chart, "", legend(names))


def error_charts(results: Named) -> list[str]:
    """Return how errors are distributed, error by true value, and where the truth is."""
    first = results[0][1].curves
    if "error" not in first:
        return []
    quantity = results[0][1].compared
    what = axis(str(first["error"]["metric"]))
    errors = _same_bins(results, "error")
    edges = _edges(first["error"]["edges"])
    key = legend([name for name, _ in errors])
    shares = [
        (
            name,
            s,
            [
                f"{name}: {v:.2f} % of pixels at {_bin(edges, i)}" if v == v else name
                for i, v in enumerate(s)
            ],
        )
        for name, s in ((name, _shares(one["pixels"])) for name, one in errors)
    ]
    found = [
        card("How the error is distributed", bars(edges, shares, f"{what} of a pixel",
             "share of pixels (%)"), "", key)
    ]  # fmt: skip
    unit = _UNITS.get(quantity, "")
    truths, edges = _same_bins(results, "error_by_truth"), _edges(first["error_by_truth"]["edges"])
    means = [
        (name, [as_number(v) for v in one["mean"]],
         [f"{name}: {_bin(edges, i, unit)}: "
                + (f"mean {as_number(v):.4g}, {n} pixels" if n else "no pixel")
          for i, (v, n) in enumerate(zip(one["mean"], one["pixels"], strict=True))])
        for name, one in truths
    ]  # fmt: skip
    by = "distance" if quantity == "depth" else f"true {quantity}"
    across = f"true {quantity} ({unit})"
    found.append(card(f"Error by {by}", bars(edges, means, across, f"mean {what}"), "", key))
    own = _shares(truths[0][1]["pixels"])
    tips = [
        f"{_bin(edges, i, unit)}: {s:.2f} % of pixels" if s == s else "" for i, s in enumerate(own)
    ]
    chart = bars(edges, [("", own, tips)], across, "share of pixels (%)")
    return [*found, card("Where the truth is", chart)]


def _same_bins(results: Named, curve: str) -> list[tuple[str, Any]]:
    edges = results[0][1].curves[curve]["edges"]
    every = [(name, one.curves.get(curve)) for name, one in results[:COLOURS]]
    return [(name, one) for name, one in every if one and one["edges"] == edges]


def _edges(edges: Iterable[Any]) -> list[float]:
    return [math.inf if edge is None else float(edge) for edge in edges]


def _bin(edges: Sequence[float], i: int, unit: str = "") -> str:
    tail = f" {unit}" if unit else ""
    if math.isinf(edges[i + 1]):
        return f"above {number(edges[i])}{tail}"
    return f"{number(edges[i])} to {number(edges[i + 1])}{tail}"


def _shares(counts: Iterable[int]) -> list[float]:
    found = list(counts)
    total = sum(found)
    return [100 * n / total if total else float("nan") for n in found]


def mask_charts(results: Named) -> list[str]:
    """Return precision over recall, and F1 and IoU over the threshold."""
    known = [(n, r) for n, r in results[:COLOURS] if "precision_recall" in r.curves]
    if not known:
        return []
    curves, marks, scores = [], [], []
    for i, (name, one) in enumerate(known):
        data = {k: _numbers(v) for k, v in one.curves["precision_recall"].items() if _listed(v)}
        recall, precision = data["recall"], data["precision"]
        curves.append((name, f"s{i}", list(zip(recall, precision, strict=True))))
        best = one.aggregate
        tip = (
            f"{name}: largest F1 {text('f1', best.get('f1'))} at threshold "
            f"{text('threshold', best.get('threshold'))}"
        )
        found = best.get("recall", math.nan), best.get("precision", math.nan)
        marks.append((*found, f"s{i} full", tip))
        for measure in ("f1", "iou") if len(known) == 1 else ("f1",):
            title = about(measure).title
            points = [
                (t, v, f"{name} {title} at {t:.3f}: {v:.4f}")
                for t, v in zip(data["thresholds"], data[measure], strict=True)
            ]
            scores.append((title if len(known) == 1 else name, points))
    chart = plane(curves, "recall", "precision", bounds=(0.0, 1.0, 0.0, 1.0), marks=marks)
    aside = marks[0][3].partition(": ")[2] if len(known) == 1 else "dots: largest F1"
    what = "F1 and IoU" if len(known) == 1 else "F1"
    over = lines(
        scores,
        math.nan,
        "threshold on the probability of motion",
        what,
        whole=False,
        height=PLANE_HEIGHT,
    )
    key = legend([name for name, _ in scores])
    return [
        card("Precision and recall", chart, aside, legend([name for name, *_ in curves])),
        card(f"{what} by threshold", over, "", key),
    ]


def _listed(value: Any) -> bool:
    return isinstance(value, list)


def _numbers(values: Iterable[Any]) -> list[float]:
    return [as_number(value) for value in values]


def path_charts(results: Named) -> list[str]:
    """Return for the worst sequences the paths from above and the error along them."""
    tables = [(name, one.series) for name, one in results[:COLOURS]]
    ranks = {
        (str(row["sequence"]), int(row["frame"])): as_number(row[results[0][1].headline])
        for row in results[0][1].rows
    }
    keys = [key for key, one in tables[0][1].items() if "predicted_x" in one]
    keys.sort(key=lambda key: -_rank(ranks.get(key, math.nan)))
    found: list[str] = []
    for key in keys[:_PATHS]:
        found += _path(results[0][1], key, tables)
    if len(keys) > _PATHS:
        found.append(
            f'<p class="prose note">The {_PATHS} worst of {len(keys)} paths are drawn.</p>'
        )
    return found


def _rank(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _path(
    result: StoredResult,
    key: tuple[str, int],
    tables: Sequence[tuple[str, dict[tuple[str, int], dict[str, list[float]]]]],
) -> list[str]:
    own = tables[0][1][key]
    truth = _positions(own, "true")
    across, up = _axes(own.get("up"), truth)
    step = max(1, math.ceil(len(truth) / _PATH_POINTS))
    travelled = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(truth, axis=0), axis=1))]
    curves = [("truth", "true", _points(truth[::step], across, up))]
    errors = []
    for i, (name, table) in enumerate(tables):
        placed = _positions(table.get(key, {}), "predicted")
        if placed.shape != truth.shape:
            continue
        curves.append((name, f"s{i}", _points(placed[::step], across, up)))
        gaps = np.linalg.norm(placed - truth, axis=1)
        errors.append(
            (name, [
                (float(d), float(g), f"{name}: {g:.3g} m after {d:.4g} m")
                for d, g in zip(travelled[::step], gaps[::step], strict=True)
            ])
        )  # fmt: skip
    names = "xyz"
    begin = (float(truth[0, across]), float(truth[0, up]), "true full", "start")
    chart = plane(*(curves, f"{names[across]} (m)", f"{names[up]} (m)"), equal=True, marks=[begin])
    value = text(result.headline, result.per_sequence.get(key[0], {}).get(result.headline))
    aside = f"{about(result.headline).title} {value} {about(result.headline).unit}".strip()
    snippets = result.rules.get("options", {}).get("measure") in ("dynamo", "snippet")
    aside = f"of its snippets: {aside}" if snippets else aside
    view = legend([name for name, *_ in curves], [kind for _, kind, _ in curves])
    along = lines(
        *(errors, math.nan, "distance travelled (m)", "distance from the true position (m)"),
        whole=False,
        height=PLANE_HEIGHT,
    )
    how = f"placed: {_PLACED.get(_placing(result), _placing(result))}"
    how += ", for the picture" if snippets else ""
    return [
        card(f"{key[0]} from above", chart, aside, view),
        card(f"{key[0]}: error along the path", along, how, legend([name for name, _ in errors])),
    ]


def _placing(result: StoredResult) -> str:
    """Return how the drawn path was brought to the truth, as `paths.path_score` does it."""
    method = str(result.data.get("alignment", {}).get("method", ""))
    measure = result.rules.get("options", {}).get("measure")
    if measure in ("dynamo", "snippet"):
        return "sim3"
    return "first" if measure == "kitti" and method == "none" else method


def _positions(series: dict[str, list[float]], name: str) -> NDArray[np.float64]:
    rows = np.array([series.get(f"{name}_{along}", []) for along in "xyz"], np.float64)
    return np.ascontiguousarray(rows.T)


def _points(positions: NDArray[np.float64], across: int, up: int) -> list[tuple[float, float]]:
    return [(float(p[across]), float(p[up])) for p in positions]


def _axes(up: Sequence[float] | None, truth: NDArray[np.float64]) -> tuple[int, int]:
    """Return the axes of the world that lie across and up a page seen from above."""
    if up is not None and len(up) == 3 and np.isfinite(up).all():
        k = int(np.argmax(np.abs(up)))
        return _PLANES[k, 1 if up[k] > 0 else -1]
    return _PLANES[int(np.argmin(np.ptp(truth, axis=0))), 1]
