"""Charts as SVG text that takes its colours from the page (light and dark)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["bars", "lines"]

WIDTH, HEIGHT = 560, 236
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

    def __init__(self, x: tuple[float, float], y_ticks: Sequence[float]) -> None:
        self.x0, self.x1 = x
        self.ticks = y_ticks
        self.y0, self.y1 = y_ticks[0], y_ticks[-1]

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0) if self.x1 > self.x0 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y0) / (self.y1 - self.y0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

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
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="label" transform="translate(11 {middle:.0f}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return parts

    def x_tick(self, x: float, text: str) -> str:
        y = HEIGHT - BOTTOM + 15
        return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _svg(parts: Sequence[str], title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
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
