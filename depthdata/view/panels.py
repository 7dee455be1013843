"""Putting pictures together: text that fits, colour bars, rows and columns, PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.view.colors import Map, colorize

__all__ = [
    "BACKGROUND",
    "colour_bar",
    "fit",
    "labelled",
    "put_text",
    "save_png",
    "stack_panels",
    "wrap",
]

Image = npt.NDArray[np.uint8]

BACKGROUND = (24, 24, 27)
INK = (235, 235, 235)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE, _LINE = 0.5, 20
BAR_WIDTH = 78


def put_text(
    image: Image,
    text: str,
    left: int,
    baseline: int,
    *,
    colour: tuple[int, int, int] = INK,
    scale: float = _SCALE,
) -> None:
    """Write a line of text into an RGB image; what is not ASCII becomes '?'."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, (left, baseline), _FONT, scale, colour, 1, cv2.LINE_AA)


def text_width(text: str, scale: float = _SCALE) -> int:
    """Width of a line of text in pixels."""
    plain = text.encode("ascii", "replace").decode()
    return int(cv2.getTextSize(plain, _FONT, scale, 1)[0][0])


def wrap(text: str, width: int, scale: float = _SCALE) -> list[str]:
    """Break a text between words into lines that are at most `width` pixels wide."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, scale) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def fit(text: str, width: int, scale: float = _SCALE) -> str:
    """Cut a line of text to `width` pixels, with '..' at the end where something is missing."""
    if text_width(text, scale) <= width:
        return text
    while text and text_width(f"{text}..", scale) > width:
        text = text[:-1]
    return f"{text}.."


def labelled(image: Image, texts: list[str]) -> Image:
    """Put texts on a strip above an image, each broken into lines that fit its width."""
    margin = 8
    lines = [line for text in texts for line in wrap(text, image.shape[1] - 2 * margin)]
    strip = np.empty((_LINE * len(lines) + margin, image.shape[1], 3), np.uint8)
    strip[:] = BACKGROUND
    for i, line in enumerate(lines):
        put_text(strip, line, margin, _LINE * (i + 1) - 4)
    return np.concatenate([strip, image])


def colour_bar(
    height: int,
    low: float,
    high: float,
    unit: str,
    colours: Map = "turbo",
    *,
    inverse: bool = False,
) -> Image:
    """Draw a vertical colour bar with its scale, `BAR_WIDTH` wide, `high` on top.

    Parameters
    ----------
    height : int
        Pixels.
    low, high : float
        What the ends of the colours stand for.
    unit : str
    colours : str
        As in `colorize`.
    inverse : bool
        The colours are linear in the inverse: `low` and `high` are inverse values, and the scale
        is written as 1 / value (inverse depth labelled in metres).
    """
    out = np.empty((height, BAR_WIDTH, 3), np.uint8)
    out[:] = BACKGROUND
    top, bottom = (10, height - 10) if height >= 60 else (4, height - 4)
    ramp = np.linspace(high, low, max(bottom - top, 1))
    out[top:bottom, 8:20] = colorize(ramp, low, high, colours)[:, None]
    count = int(np.clip((bottom - top) // 28 + 1, 2, 7))
    for i, value in enumerate(np.linspace(high, low, count)):
        row = top + round(i * (bottom - top - 1) / (count - 1))
        out[row, 20:24] = INK
        shown = 1 / value if inverse and value > 0 else value
        label = _number(float(shown)) + (f" {unit}" if i == 0 else "")
        put_text(out, label, 27, int(np.clip(row + 4, 10, height - 2)), scale=0.38)
    return out


def stack_panels(panels: list[Image], gap: int = 6, *, across: bool = False) -> Image:
    """Put panels under (or beside) one another on one background."""
    axis = 1 if across else 0
    other = max(panel.shape[1 - axis] for panel in panels)
    parts: list[Image] = []
    for panel in panels:
        shape = list(panel.shape)
        shape[1 - axis] = other
        padded = np.empty(shape, np.uint8)
        padded[:] = BACKGROUND
        padded[: panel.shape[0], : panel.shape[1]] = panel
        if parts:
            shape[axis] = gap
            parts.append(np.full(shape, BACKGROUND, np.uint8))
        parts.append(padded)
    return np.concatenate(parts, axis)


def save_png(path: str | Path, image: Image) -> None:
    """Write an RGB image (H, W, 3) as PNG; OSError when the folder cannot be written."""
    good, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    if not good:
        raise OSError(f"{path}: the PNG could not be encoded")
    Path(path).write_bytes(data.tobytes())


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
