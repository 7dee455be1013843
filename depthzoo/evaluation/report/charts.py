"""Charts as SVG text that takes its colours from the page (light and dark)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["bars", "forest", "legend", "lines", "number", "plane", "ticks"]

WIDTH, HEIGHT, PLANE_HEIGHT = 560, 250, 360
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 12, 50
COLOURS = 6
_CROWD = 7
"""More marks than this on the lower axis do not fit on a phone: every second one is left out."""

_DOTS = 72
"""As many points have a dot each."""

_SAME = 1e-9
"""Numbers that differ by less, relatively, are shown as one."""

Point = tuple[float, float, str]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that span at least ``low..high``.

    >>> ticks(0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not math.isfinite(span) or span <= _SAME * max(abs(low), abs(high)):
        return [low, low + 1.0]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = 12 - math.floor(math.log10(step))
    return [round(i * step, digits) for i in range(first, last + 1)]


def number(value: float) -> str:
    """Return a short number for an axis.

    >>> number(0.25), number(1200.0), number(2.5e-07), number(float("inf"))
    ('0.25', '1200', '2.5e-07', '∞')
    """
    return "∞" if math.isinf(value) else f"{value:.6g}"


def legend(names: Sequence[str], kinds: Sequence[str] | None = None) -> str:
    """Return the key to the colours of several series; nothing for a single one."""
    if len(names) < 2:
        return ""
    shown = kinds or [f"s{i % COLOURS}" for i in range(len(names))]
    items = "".join(
        f'<span class="{kind}"><b></b>{escape(name)}</span>'
        for name, kind in zip(names, shown, strict=True)
    )
    return f'<div class="legend">{items}</div>'


class _Frame:
    """The plot area: maps data to pixels and draws axes."""

    def __init__(
        self, x: tuple[float, float], y_ticks: Sequence[float], height: float = HEIGHT
    ) -> None:
        self.height = height
        self.x0, self.x1 = x
        self.ticks = y_ticks
        self.y0, self.y1 = y_ticks[0], y_ticks[-1]

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0) if self.x1 > self.x0 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y0) / (self.y1 - self.y0)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def axes(self, x_label: str, y_label: str) -> list[str]:
        base = self.height - BOTTOM
        parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>']
        for tick in self.ticks:
            y = self.y(tick)
            if y < base - 0.5:
                parts.append(
                    f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                    f'y1="{y:.1f}" y2="{y:.1f}"/>'
                )
            parts.append(
                f'<text class="tick" x="{LEFT - 8}" y="{y + 3.5:.1f}" text-anchor="end">'
                f"{number(tick)}</text>"
            )
        middle = (TOP + base) / 2
        parts.append(
            f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{self.height - 8}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="label" transform="translate(13 {middle:.0f}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return parts

    def x_ticks(self, marks: Iterable[tuple[float, str]]) -> list[str]:
        """Write texts at places (in data) below the axis."""
        found, y = list(marks), self.height - BOTTOM + 17
        return [
            f'<text class="tick{" odd" if len(found) > _CROWD and i % 2 else ""}" '
            f'x="{self.x(at):.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'
            for i, (at, text) in enumerate(found)
        ]

    def curve(self, points: Iterable[tuple[float, float]], kind: str, name: str) -> str:
        """Draw a line; what is not finite interrupts it."""
        steps, pen = [], "M"
        for x, y in points:
            known = math.isfinite(x) and math.isfinite(y)
            if known:
                steps.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L" if known else "M"
        line = f'<path class="line {kind}" d="{"".join(steps)}">'
        return f"{line}<title>{escape(name)}</title></path>"

    def dot(self, x: float, y: float, kind: str, tip: str, size: float = 3) -> str:
        return (
            f'<circle class="dot {kind}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{size:g}">'
            f"<title>{escape(tip)}</title></circle>"
        )


def _svg(parts: Sequence[str], title: str, height: float = HEIGHT) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _told(title: str, series: Iterable[tuple[str, Iterable[float]]]) -> str:
    """Say in words what a chart shows, for those who do not see it."""
    said: list[str] = []
    for name, values in series:
        known = [v for v in values if math.isfinite(v)]
        if known and len(said) < COLOURS:
            at = f"{name}: " if name else ""
            said.append(f"{at}{min(known):.4g} to {max(known):.4g}, last {known[-1]:.4g}")
    return ". ".join([title, *said])


def bars(
    edges: Sequence[float],
    series: Sequence[tuple[str, Sequence[float], Sequence[str]]],
    x_label: str,
    y_label: str,
) -> str:
    """Return a bar for each bin (and series), bins equally wide, labelled at their edges.

    Parameters
    ----------
    edges : n + 1 numbers
        Bounds of the bins; the last may be infinite.
    series : sequence of (name, n values, n tips)
        A value is NaN where a bin is empty; tips are shown when the mouse rests on a bar.
    """
    count = len(edges) - 1
    finite = [v for _, values, _ in series for v in values if math.isfinite(v)]
    frame = _Frame((0, count), ticks(0.0, max(finite, default=1.0) or 1.0))
    parts, base = frame.axes(x_label, y_label), frame.y(0)
    for k, (_, values, tips) in enumerate(series):
        for i, (value, tip) in enumerate(zip(values, tips, strict=True)):
            start, wide = frame.x(i) + 1.5, frame.x(i + 1) - frame.x(i) - 3
            left, right = start + wide * k / len(series), start + wide * (k + 1) / len(series)
            top = frame.y(value) if math.isfinite(value) else base
            parts.append(
                f'<g class="hover s{k % COLOURS}"><rect class="catch" x="{left:.1f}" y="{TOP}" '
                f'width="{right - left:.1f}" height="{base - TOP:.1f}"/>'
                f'<path class="bar" d="{_rounded(left, top, right, base)}"/>'
                f"<title>{escape(tip)}</title></g>"
            )
    parts += frame.x_ticks((float(i), number(edge)) for i, edge in enumerate(edges))
    told = _told(f"{y_label} by {x_label}", ((name, values) for name, values, _ in series))
    return _svg(parts, told)


def _rounded(left: float, top: float, right: float, base: float) -> str:
    r = max(min(2.5, base - top, (right - left) / 2), 0.0)
    return (
        f"M{left:.1f} {base:.1f}V{top + r:.1f}Q{left:.1f} {top:.1f} {left + r:.1f} {top:.1f}"
        f"H{right - r:.1f}Q{right:.1f} {top:.1f} {right:.1f} {top + r:.1f}V{base:.1f}Z"
    )


def lines(
    series: Sequence[tuple[str, Sequence[Point]]],
    mean: float,
    x_label: str,
    y_label: str,
    *,
    kinds: Sequence[str] | None = None,
    whole: bool = True,
    loose: bool = False,
    height: float = HEIGHT,
) -> str:
    """Return one line for each series of (x, y, tip), and a dashed line at the mean.

    Gaps (NaN) interrupt a line; with few points each has a dot.

    Parameters
    ----------
    kinds : sequence of str, optional
        The colour of each series, ``s0`` ... ``s5`` or ``pale``; default: in turn.
    whole : bool
        Only whole numbers are written below.
    loose : bool
        Dots that no line joins.
    height : float
        Of the drawing, whose width is `WIDTH`.
    """
    points = [p for _, s in series for p in s]
    finite = [y for _, y, _ in points if math.isfinite(y)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    same = high - low <= _SAME * max(abs(low), abs(high))
    pad = (0.1 * abs(high) or 1.0) if same else 0.08 * (high - low)
    start = 0.0 if low >= 0 and low - pad < 0.35 * high else low - pad
    xs = [p[0] for p in points if math.isfinite(p[0])] or [0.0]
    frame = _Frame((min(xs), max(xs)), ticks(start, high + pad), height)
    parts = frame.axes(x_label, y_label)
    marks = [t for t in ticks(frame.x0, frame.x1, 7) if frame.x0 <= t <= frame.x1]
    parts += frame.x_ticks((t, number(t)) for t in marks if not whole or t == int(t))
    for i, (name, values) in enumerate(series):
        kind = kinds[i] if kinds else f"s{i % COLOURS}"
        if not loose:
            parts.append(frame.curve(((x, y) for x, y, _ in values), kind, name))
        if loose or len(points) <= _DOTS:
            parts += [frame.dot(x, y, kind, tip) for x, y, tip in values if math.isfinite(y)]
    if math.isfinite(mean):
        y = frame.y(mean)
        parts.append(
            f'<line class="mean" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}">'
            f"<title>mean {mean:.5g}</title></line>"
        )
    told = _told(f"{y_label} over {x_label}", ((n, [p[1] for p in s]) for n, s in series))
    return _svg(parts, told, height)


def forest(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], x_label: str) -> str:
    """Return a line for each row with a dot for each of its values, joined by a bar.

    Parameters
    ----------
    rows : sequence of (label, values)
        As many values as `names`; NaN has no dot.
    names : sequence of str
        What the dots are, in the order of their colours.
    x_label : str
    """
    finite = [v for _, values in rows for v in values if math.isfinite(v)]
    marks = ticks(min(finite, default=0.0), max(finite, default=1.0) or 1.0)
    step, left, top = 22, 170, 8
    height = top + step * len(rows) + 46
    share = (WIDTH - left - RIGHT) / (marks[-1] - marks[0])

    def x(value: float) -> float:
        return left + (value - marks[0]) * share

    base = top + step * len(rows)
    parts = [
        f'<line class="grid" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{top}" y2="{base}"/>'
        f'<text class="tick" x="{x(t):.1f}" y="{base + 16}" text-anchor="middle">{number(t)}</text>'
        for t in marks
    ]
    for i, (label, values) in enumerate(rows):
        y = top + step * (i + 0.5)
        known = [v for v in values if math.isfinite(v)]
        short = label if len(label) <= 22 else f"{label[:10]}…{label[-10:]}"
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y + 3.5:.1f}" text-anchor="end">'
            f"{escape(short)}<title>{escape(label)}</title></text>"
        )
        if known:
            parts.append(
                f'<line class="axis" x1="{x(min(known)):.1f}" x2="{x(max(known)):.1f}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/>'
            )
        parts += [
            f'<circle class="dot full s{k % COLOURS}" cx="{x(v):.1f}" cy="{y:.1f}" r="4">'
            f"<title>{escape(f'{label}, {name}: {v:.5g}')}</title></circle>"
            for k, (name, v) in enumerate(zip(names, values, strict=True))
            if math.isfinite(v)
        ]
    parts.append(
        f'<text class="label" x="{(left + WIDTH) / 2:.0f}" y="{base + 38}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    several = [(name, [values[k] for _, values in rows]) for k, name in enumerate(names)]
    return _svg(parts, _told(f"{x_label} by sequence", several), height)


def plane(
    series: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    x_label: str,
    y_label: str,
    *,
    equal: bool = False,
    bounds: tuple[float, float, float, float] | None = None,
    marks: Sequence[tuple[float, float, str, str]] = (),
) -> str:
    """Return curves in a plane: trajectories from above, precision over recall.

    Parameters
    ----------
    series : sequence of (name, class, points)
        The class is one of the colours ``s0`` ... ``s5``, with ``dashed`` where wanted; points that
        are not finite interrupt a curve.
    equal : bool
        One unit is as long across as up.
    bounds : (x0, x1, y0, y1), optional
        Default: what holds all points.
    marks : sequence of (x, y, class, tip)
        Dots, such as the place where a path begins.
    """
    flat = [p for _, _, points in series for p in points if all(map(math.isfinite, p))]
    if bounds is None:
        xs, ys = [p[0] for p in flat] or [0.0], [p[1] for p in flat] or [0.0]
        bounds = (min(xs), max(xs), min(ys), max(ys))
    inner, outer = WIDTH - LEFT - RIGHT, PLANE_HEIGHT - TOP - BOTTOM
    x0, x1, y0, y1 = _padded(bounds, inner / outer if equal else None)
    frame = _Frame((x0, x1), [y0, y1], PLANE_HEIGHT)
    frame.ticks = [t for t in ticks(y0, y1) if y0 - 1e-9 <= t <= y1 + 1e-9]
    parts = frame.axes(x_label, y_label)
    across = [t for t in ticks(x0, x1, 7) if x0 - 1e-9 <= t <= x1 + 1e-9]
    parts += frame.x_ticks((t, number(t)) for t in across)
    parts += [frame.curve(points, kind, name) for name, kind, points in series]
    parts += [
        frame.dot(x, y, kind, tip, 4.5)
        for x, y, kind, tip in marks
        if math.isfinite(x) and math.isfinite(y)
    ]
    told = ", ".join(name for name, _, _ in series)
    marked = "; ".join(tip for *_, tip in marks[:COLOURS])
    return _svg(parts, f"{y_label} over {x_label}: {told}. {marked}", PLANE_HEIGHT)


def _padded(
    bounds: tuple[float, float, float, float], ratio: float | None
) -> tuple[float, float, float, float]:
    """Widen bounds a little, and to the shape of the plot where units must be equal."""
    x0, x1, y0, y1 = bounds
    if ratio is None:
        return x0, x1 if x1 > x0 else x0 + 1, y0, y1 if y1 > y0 else y0 + 1
    wide = max(x1 - x0, (y1 - y0) * ratio, 1e-6) * 1.08
    tall = wide / ratio
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - wide / 2, x + wide / 2, y - tall / 2, y + tall / 2
