"""Pictures of one frame as data URIs: image, truth, prediction, error."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from depthdata.view.colors import colorize, colorize_depth, colorize_disparity, finite_range
from depthzoo.evaluation.report.values import about, axis

if TYPE_CHECKING:
    from depthzoo.evaluation.protocols import Protocol
    from depthzoo.evaluation.results import Example

__all__ = ["OUTCOMES", "colorize_error", "data_uri", "example_figures", "outcome_key"]

MAX_WIDTH = 960
Image = NDArray[np.uint8]
FloatMap = NDArray[np.floating]

ERROR_FULL = {"abs_rel": 0.64, "epe": 16.0}
"""The error that gets the last colour."""

ERROR_OCTAVES = 8.0
"""The first colour stands for the last one's error halved this many times."""

OUTCOMES = {
    1: ("moves, found", (40, 180, 90)),
    2: ("still, taken for moving", (255, 140, 0)),
    3: ("moves, missed", (90, 110, 255)),
}
"""What became of a pixel of a mask: its name and colour."""

_MOVES, _UNLABELLED = (255, 96, 48), 3


def data_uri(image: Image, *, photo: bool = False) -> str:
    """Return an RGB (H,W,3) or grey (H,W) image as a data URI: JPEG for photos, else PNG."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    kind = "jpeg" if photo else "png"
    options = [cv2.IMWRITE_JPEG_QUALITY, 86] if photo else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    encoded = cv2.imencode(f".{kind}", np.ascontiguousarray(bgr), options)[1]
    return f"data:image/{kind};base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def colorize_error(error: FloatMap, full: float) -> Image:
    """Colour errors on a logarithmic scale, green (good) to red (bad).

    Parameters
    ----------
    error : (...) float
        Not negative; NaN is dark grey.
    full : float
        The error of the last colour.

    Returns
    -------
    (...,3) uint8
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        octaves = np.maximum(np.log2(np.asarray(error, np.float64) / full), -ERROR_OCTAVES)
    return colorize(octaves, -ERROR_OCTAVES, 0.0, "error")


def example_figures(protocol: Protocol, example: Example) -> str:
    """Return the four figures of an example as HTML."""
    where = f"{example.record.sequence}, frame {example.record.frame_id}"
    photo = _figure("image", data_uri(_shrink(_rgb(example.image)), photo=True), "", "", where)
    shown = _mask_figures if protocol.kind == "motion" else _map_figures
    return photo + "".join(_figure(*one, where) for one in shown(protocol, example))


def _map_figures(protocol: Protocol, example: Example) -> list[tuple[str, str, str, str]]:
    """Return name, picture, scale and range of truth, prediction and error of a dense quantity."""
    depth = protocol.compared == "depth"
    unit = "m" if depth else "px"
    low, high = finite_range(example.truth)
    steps = np.linspace(0, 1, 128)[None]
    values = low + steps * (high - low)
    if depth:  # as its colours: even steps of inverse depth
        values = 1 / (1 / low + steps * (1 / high - 1 / low))
    scale = _scale(_colours(values, depth, low, high), f"{low:.3g}", f"{high:.3g} {unit}")
    full = ERROR_FULL[protocol.charted]
    ramp = full * 2.0 ** np.linspace(-ERROR_OCTAVES, 0, 128)[None]
    last = f"{full:g} {about(protocol.charted).unit}".strip()
    errors = _scale(colorize_error(ramp, full), f"{ramp[0, 0]:.2g}", last)
    grey, error = _grey(example.image), _visible(example.error, largest=True)
    known = _visible(example.truth)
    truth = _overlay(_colours(known, depth, low, high), np.isfinite(known), grey)
    guess = _overlay(
        _colours(example.prediction, depth, low, high), np.isfinite(example.prediction), None
    )
    wrong = _overlay(colorize_error(error, full), np.isfinite(error), grey)
    quantity, span = protocol.compared, f"{low:.3g} to {high:.3g} {unit}"
    spread = f"{ramp[0, 0]:.2g} to {last}"
    return [
        (f"true {quantity}", truth, scale, span),
        (f"predicted {quantity}", guess, scale, span),
        (f"error: {axis(protocol.charted)}, logarithmic", wrong, errors, spread),
    ]


def _mask_figures(protocol: Protocol, example: Example) -> list[tuple[str, str, str, str]]:
    """Return name, picture, key and range of truth, probability and outcome of a mask."""
    grey, truth = _grey(example.image), example.truth
    labels = np.zeros((*truth.shape, 3), np.uint8)
    labels[truth == 1] = _MOVES
    labels[truth == _UNLABELLED] = (90, 90, 96)
    marked = (truth == 1) | (truth == _UNLABELLED)
    key = _key([("moves", _MOVES)])
    if (truth == _UNLABELLED).any():
        key = _key([("moves", _MOVES), ("not labelled", (90, 90, 96))])
    ramp = _scale(colorize(np.linspace(0, 1, 128)[None], 0.0, 1.0), "0", "1")
    probability = _overlay(colorize(example.prediction, 0.0, 1.0), np.ones(truth.shape, bool), None)
    outcome = np.zeros((*truth.shape, 3), np.uint8)
    for value, (_, colour) in OUTCOMES.items():
        outcome[example.error == value] = colour
    counted = np.isin(example.error, list(OUTCOMES))
    return [
        ("what moves", _overlay(labels, marked, grey), key, ""),
        ("predicted probability of motion", probability, ramp, "0 to 1"),
        ("outcome", _overlay(outcome, counted, grey), outcome_key(), ""),
    ]


def _figure(name: str, uri: str, scale: str, span: str, where: str) -> str:
    return (
        f'<figure><img src="{uri}" alt="{escape(f"{name}: {where}")}" '
        f'data-part="{escape(name)}" data-scale="{escape(span)}" loading="lazy">'
        f"<figcaption><span>{escape(name)}</span>{scale}</figcaption></figure>"
    )


def _scale(colours: Image, low: str, high: str) -> str:
    uri = data_uri(colours)
    said = escape(f"colours from {low} to {high}")
    return (
        f'<span class="bar-scale">{escape(low)}<img src="{uri}" alt="{said}">{escape(high)}</span>'
    )


def _key(entries: list[tuple[str, tuple[int, int, int]]]) -> str:
    items = "".join(
        f'<span><i style="background:rgb{colour}"></i>{escape(name)}</span>'
        for name, colour in entries
    )
    return f'<span class="swatches">{items}</span>'


def outcome_key() -> str:
    """Return the key to the colours of what became of the pixels of a mask."""
    return _key(list(OUTCOMES.values()))


def _colours(values: FloatMap, depth: bool, low: float, high: float) -> Image:
    if depth:
        return colorize_depth(values, near=low, far=high)
    return colorize_disparity(values, low=low, high=high)


def _visible(values: FloatMap, *, largest: bool = False) -> FloatMap:
    """Grow single pixels of a sparse map so that they can be seen; a dense map stays as it is."""
    known = np.isfinite(values)
    if known.mean() > 0.25:
        return values
    size = max(3, 2 * round(values.shape[1] / 800) + 1)
    sign = 1.0 if largest else -1.0
    filled = np.where(known, sign * values, -np.inf).astype(np.float32)
    square = np.ones((size, size), np.uint8)
    grown = sign * cv2.dilate(filled, square, borderType=cv2.BORDER_REPLICATE)
    return np.where(np.isfinite(grown), grown, np.nan)


def _overlay(colours: Image, known: NDArray[np.bool_], grey: Image | None) -> str:
    """Draw colours where something is known, over a dark picture of the scene."""
    under = colours if grey is None else np.where(known[..., None], colours, grey)
    return data_uri(_shrink(under), photo=True)


def _rgb(image: Image) -> Image:
    return np.stack([image] * 3, -1) if image.ndim == 2 else image


def _grey(image: Image) -> Image:
    """Return the scene dark and without colour, as a background."""
    mean = _rgb(image).mean(-1, keepdims=True) * 0.45 + 12
    return np.repeat(mean, 3, -1).astype(np.uint8)


def _shrink(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= MAX_WIDTH:
        return image
    size = (MAX_WIDTH, round(height * MAX_WIDTH / width))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
