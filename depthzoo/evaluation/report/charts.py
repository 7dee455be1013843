"""Charts as SVG text that takes its colours from the page (light and dark)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["bars", "forest", "lines", "plane"]

WIDTH, HEIGHT, PLANE_HEIGHT = 560, 236, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 44


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that span at least ``low..high``.

    >>> ticks(0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low, low + 1.0]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """Return a short number for an axis.

    >>> number(0.25), number(1200.0), number(float("inf"))
    ('0.25', '1200', '∞')
    """
    return "∞" if math.isinf(value) else f"{value:.10g}"


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
        parts = []
        for tick in self.ticks:
            y = self.y(tick)
            kind = "axis" if tick == self.y0 else "grid"
            parts.append(
                f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="tick" x="{LEFT - 8}" y="{y + 3.5:.1f}" text-anchor="end">'
                f"{number(tick)}</text>"
            )
        middle = (TOP + self.height - BOTTOM) / 2
        parts.append(
            f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{self.height - 8}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="label" transform="translate(11 {middle:.0f}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return parts

    def x_tick(self, x: float, text: str) -> str:
        y = self.height - BOTTOM + 15
        return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _svg(parts: Sequence[str], title: str, height: float = HEIGHT) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def bars(
    edges: Sequence[float],
    values: Sequence[float],
    tips: Sequence[str],
    x_label: str,
    y_label: str,
) -> str:
    """Return a bar for each bin, bins equally wide, labelled at their edges.

    Parameters
    ----------
    edges : n + 1 numbers
        Bounds of the bins; the last may be infinite.
    values : n numbers
        NaN where a bin is empty.
    tips : n texts
        Shown when the mouse rests on a bar.
    """
    finite = [v for v in values if math.isfinite(v)]
    frame = _Frame((0, len(values)), ticks(0.0, max(finite, default=1.0) or 1.0))
    parts = frame.axes(x_label, y_label)
    for i, (value, tip) in enumerate(zip(values, tips, strict=True)):
        left, right = frame.x(i) + 1.5, frame.x(i + 1) - 1.5
        top = frame.y(value) if math.isfinite(value) else frame.y(0)
        base = frame.y(0)
        parts.append(
            f'<g class="hover"><rect class="catch" x="{left:.1f}" y="{TOP}" '
            f'width="{right - left:.1f}" height="{base - TOP:.1f}"/>'
            f'<path class="bar" d="{_rounded(left, top, right, base)}"/>'
            f"<title>{escape(tip)}</title></g>"
        )
    parts += [frame.x_tick(frame.x(i), number(edge)) for i, edge in enumerate(edges)]
    return _svg(parts, f"{y_label} by {x_label}")


def _rounded(left: float, top: float, right: float, base: float) -> str:
    r = min(2.5, base - top, (right - left) / 2)
    return (
        f"M{left:.1f} {base:.1f}V{top + r:.1f}Q{left:.1f} {top:.1f} {left + r:.1f} {top:.1f}"
        f"H{right - r:.1f}Q{right:.1f} {top:.1f} {right:.1f} {top + r:.1f}V{base:.1f}Z"
    )


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float, str]]]],
    mean: float,
    x_label: str,
    y_label: str,
) -> str:
    """Return one line for each series of (x, y, tip), and a dashed line at the mean.

    Gaps (NaN) interrupt a line; with few points each has a dot.
    """
    points = [p for _, s in series for p in s]
    finite = [y for _, y, _ in points if math.isfinite(y)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    start = 0.0 if low - pad < 0.35 * high else low - pad
    frame = _Frame((min(p[0] for p in points), max(p[0] for p in points)), ticks(start, high + pad))
    parts = frame.axes(x_label, y_label)
    marks = [t for t in ticks(frame.x0, frame.x1, 7) if frame.x0 <= t <= frame.x1 and t == int(t)]
    parts += [frame.x_tick(frame.x(t), number(t)) for t in marks]
    for i, (name, values) in enumerate(series):
        parts.append(_path(frame, values, name, i, dots=len(points) <= 240))
    if math.isfinite(mean):
        y = frame.y(mean)
        parts.append(
            f'<line class="mean" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    return _svg(parts, f"{y_label} over {x_label}")


def _path(
    frame: _Frame,
    values: Sequence[tuple[float, float, str]],
    name: str,
    index: int,
    *,
    dots: bool,
) -> str:
    steps, pen = [], "M"
    for x, y, _ in values:
        if math.isfinite(y):
            steps.append(f"{pen}{frame.x(x):.1f} {frame.y(y):.1f}")
            pen = "L"
        else:
            pen = "M"
    colour = f"s{index % 6}"
    line = f'<path class="line {colour}" d="{"".join(steps)}"><title>{escape(name)}</title></path>'
    marks = [
        f'<circle class="dot {colour}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3">'
        f"<title>{escape(tip)}</title></circle>"
        for x, y, tip in values
        if dots and math.isfinite(y)
    ]
    return line + "".join(marks)


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
    step, left, top = 20, 150, 8
    height = top + step * len(rows) + 40
    share = (WIDTH - left - RIGHT) / (marks[-1] - marks[0])

    def x(value: float) -> float:
        return left + (value - marks[0]) * share

    base = top + step * len(rows)
    parts = [
        f'<line class="grid" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{top}" y2="{base}"/>'
        f'<text class="tick" x="{x(t):.1f}" y="{base + 14}" text-anchor="middle">{number(t)}</text>'
        for t in marks
    ]
    for i, (label, values) in enumerate(rows):
        y = top + step * (i + 0.5)
        known = [v for v in values if math.isfinite(v)]
        short = label if len(label) <= 24 else f"{label[:11]}…{label[-11:]}"
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
            f'<circle class="dot full s{k % 6}" cx="{x(v):.1f}" cy="{y:.1f}" r="4">'
            f"<title>{escape(f'{label}, {name}: {v:.5g}')}</title></circle>"
            for k, (name, v) in enumerate(zip(names, values, strict=True))
            if math.isfinite(v)
        ]
    parts.append(
        f'<text class="label" x="{(left + WIDTH) / 2:.0f}" y="{base + 32}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    return _svg(parts, f"{x_label} by sequence", height)


def plane(
    series: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    x_label: str,
    y_label: str,
    *,
    equal: bool = False,
    bounds: tuple[float, float, float, float] | None = None,
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
    parts += [frame.x_tick(frame.x(t), number(t)) for t in across]
    for name, kind, points in series:
        steps, pen = [], "M"
        for x, y in points:
            known = math.isfinite(x) and math.isfinite(y)
            if known:
                steps.append(f"{pen}{frame.x(x):.1f} {frame.y(y):.1f}")
            pen = "L" if known else "M"
        parts.append(
            f'<path class="line {kind}" d="{"".join(steps)}"><title>{escape(name)}</title></path>'
        )
    return _svg(parts, f"{y_label} over {x_label}", PLANE_HEIGHT)


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
