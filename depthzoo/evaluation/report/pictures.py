"""Pictures of one frame as data URIs: image, truth, prediction, error."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from depthdata.view.colors import colorize, colorize_depth, colorize_disparity, finite_range
from depthzoo.evaluation.metrics import metric

if TYPE_CHECKING:
    from depthzoo.evaluation.protocols import Protocol
    from depthzoo.evaluation.results import Example

__all__ = ["colorize_error", "data_uri", "example_figures"]

MAX_WIDTH = 960
Image = NDArray[np.uint8]
FloatMap = NDArray[np.floating]

ERROR_FULL = {"abs_rel": 0.64, "epe": 16.0}
"""The headline error that gets the last colour."""

ERROR_OCTAVES = 8.0
"""The first colour stands for the last one's error halved this many times."""


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
    unit = {"depth": "m", "disparity": "px"}[protocol.quantity]
    low, high = finite_range(example.truth)
    one = metric(protocol.headline)
    full = ERROR_FULL[protocol.headline]
    steps = np.linspace(0, 1, 128)[None]
    values = low + steps * (high - low)
    if protocol.quantity == "depth":  # as its colours: even steps of inverse depth
        values = 1 / (1 / low + steps * (1 / high - 1 / low))
    bar = _value_colours(values, protocol, low, high)
    scale = _scale(bar, f"{low:.3g}", f"{high:.3g} {unit}")
    ramp = full * 2.0 ** np.linspace(-ERROR_OCTAVES, 0, 128)[None]
    errors = _scale(colorize_error(ramp, full), f"{ramp[0, 0]:.2g}", f"{full:g} {one.unit}".strip())
    grey = _grey(example.image)
    truth = _value_colours(_visible(example.truth), protocol, low, high)
    guess = _value_colours(example.prediction, protocol, low, high)
    error_map = _visible(example.error, largest=True)
    return "".join(
        [
            _figure("image", data_uri(_shrink(_rgb(example.image)), photo=True), ""),
            _figure("truth", _overlay(truth, np.isfinite(_visible(example.truth)), grey), scale),
            _figure("prediction", _overlay(guess, np.isfinite(example.prediction), None), scale),
            _figure(
                f"error: {one.title}",
                _overlay(colorize_error(error_map, full), np.isfinite(error_map), grey),
                errors,
            ),
        ]
    )


def _figure(name: str, uri: str, scale: str) -> str:
    return (
        f'<figure><img src="{uri}" alt="{escape(name)}" data-part="{escape(name)}" loading="lazy">'
        f"<figcaption><span>{escape(name)}</span>{scale}</figcaption></figure>"
    )


def _scale(colours: Image, low: str, high: str) -> str:
    uri = data_uri(colours)
    return f'<span class="bar-scale">{escape(low)}<img src="{uri}" alt="">{escape(high)}</span>'


def _value_colours(values: FloatMap, protocol: Protocol, low: float, high: float) -> Image:
    if protocol.quantity == "depth":
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
    grown = sign * cv2.dilate(filled, np.ones((size, size), np.uint8))
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
