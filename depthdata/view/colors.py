"""Colour maps for depth, disparity, flow, masks, instances and errors: arrays in, RGB out."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

__all__ = [
    "MISSING_RGB",
    "blend",
    "colorize",
    "colorize_depth",
    "colorize_disparity",
    "colorize_flow",
    "colorize_instances",
    "colorize_mask",
    "finite_range",
]

Image = npt.NDArray[np.uint8]
Map = Literal["turbo", "turbo_reversed", "error"]

MISSING_RGB = (38, 38, 42)
_MASK_RGB = (255, 96, 48)
_ERROR_STOPS = ((46, 160, 80), (230, 210, 60), (214, 40, 40), (128, 0, 64))
_GOLDEN = 0.61803398875


def finite_range(
    values: npt.ArrayLike, low: float = 1.0, high: float = 99.0
) -> tuple[float, float]:
    """Percentiles of the finite values, never equal; (0, 1) when there is none.

    >>> finite_range([np.nan, 2.0, 4.0], 0, 100)
    (2.0, 4.0)
    """
    array = np.asarray(values, np.float64)
    array = array[np.isfinite(array)]
    if not array.size:
        return 0.0, 1.0
    bottom, top = (float(v) for v in np.percentile(array, [low, high]))
    return (bottom, top) if top > bottom else (bottom, bottom + max(1.0, 1e-6 * abs(bottom)))


def colorize(values: npt.ArrayLike, low: float, high: float, colours: Map = "turbo") -> Image:
    """Colour values between `low` and `high`; NaN becomes dark grey.

    Parameters
    ----------
    values : float, (...)
    low, high : float
        What the two ends of the colours stand for; values beyond are clipped.
    colours : {"turbo", "turbo_reversed", "error"}
        "error" runs from green over yellow (the middle third) to red.

    Returns
    -------
    uint8, (..., 3) RGB

    Examples
    --------
    >>> colorize([0.0, np.nan], 0, 1, "error").tolist()
    [[46, 160, 80], [38, 38, 42]]
    """
    array = np.asarray(values, np.float64)
    known = np.isfinite(array)
    share = (np.where(known, array, low) - low) / max(high - low, 1e-12)
    steps = np.rint(np.clip(share, 0, 1) * 255).astype(np.intp)
    out: Image = _table(colours)[steps]
    out[~known] = MISSING_RGB
    return out


def colorize_depth(
    depth: npt.ArrayLike, near: float | None = None, far: float | None = None
) -> Image:
    """Colour depth in metres on a scale of inverse depth: near red, far blue, NaN dark grey.

    `near` and `far` default to percentiles of the depth itself.
    """
    array = np.asarray(depth, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(array > 0, 1.0 / array, np.nan)
    low, high = finite_range(inverse)
    return colorize(inverse, low if far is None else 1 / far, high if near is None else 1 / near)


def colorize_disparity(
    disparity: npt.ArrayLike, low: float | None = None, high: float | None = None
) -> Image:
    """Colour disparity in pixels: large (near) red, small (far) blue, NaN dark grey."""
    bottom, top = finite_range(disparity)
    return colorize(disparity, bottom if low is None else low, top if high is None else high)


def colorize_flow(flow: npt.ArrayLike, largest: float | None = None) -> Image:
    """Colour optical flow: direction is hue, length is saturation (white: no motion).

    Parameters
    ----------
    flow : float, (2, H, W)
        (dx, dy) in pixels; NaN becomes dark grey.
    largest : float, optional
        Length of full saturation; default: the 98th percentile of the lengths.

    Returns
    -------
    uint8, (H, W, 3) RGB
    """
    dx, dy = np.asarray(flow, np.float64)
    length = np.hypot(dx, dy)
    known = np.isfinite(length)
    top = finite_range(length, 0, 98)[1] if largest is None else largest
    share = np.clip(np.where(known, length, 0) / max(top, 1e-6), 0, 1)
    hue = (np.arctan2(np.where(known, dy, 0), np.where(known, dx, 0)) / (2 * np.pi)) % 1.0
    out = _hsv(hue, share, np.full_like(share, 1.0) - 0.12 * share)
    out[~known] = MISSING_RGB
    return out


def colorize_instances(labels: npt.ArrayLike) -> Image:
    """Give each label a colour of its own, the same in every frame; 0 is dark grey."""
    ids = np.asarray(labels).astype(np.int64)
    hue = (ids * _GOLDEN) % 1.0
    value = np.where(ids % 2, 0.95, 0.75)
    out = _hsv(hue, np.full(ids.shape, 0.75), value)
    out[ids == 0] = MISSING_RGB
    return out


def colorize_mask(
    mask: npt.ArrayLike, image: Image | None = None, colour: tuple[int, int, int] = _MASK_RGB
) -> Image:
    """Colour a mask, over an image (dimmed outside the mask) when one is given."""
    chosen = np.asarray(mask) != 0
    if image is None:
        out = np.empty((*chosen.shape, 3), np.uint8)
        out[:] = MISSING_RGB
        out[chosen] = colour
        return out
    under = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
    out = (under * 0.6).astype(np.uint8)
    painted = under * 0.35 + np.array(colour) * 0.65
    out[chosen] = painted[chosen].astype(np.uint8)
    return out


def blend(image: Image, colours: Image, known: npt.NDArray[np.bool_], alpha: float = 0.7) -> Image:
    """Lay colours over an image where they are known."""
    under = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
    out: Image = under.copy()
    mixed = under * (1 - alpha) + colours * alpha
    out[known] = mixed[known].astype(np.uint8)
    return out


@cache
def _table(colours: Map) -> Any:
    if colours == "error":
        stops = np.array(_ERROR_STOPS, np.float64)
        at = np.array([0.0, 0.5, 0.8, 1.0]) * 255
        table = np.stack([np.interp(np.arange(256), at, stops[:, i]) for i in range(3)], 1)
        return np.rint(table).astype(np.uint8)
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    table = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[:, 0, ::-1]
    return np.ascontiguousarray(table[::-1] if colours == "turbo_reversed" else table)


def _hsv(hue: npt.NDArray[Any], saturation: npt.NDArray[Any], value: npt.ArrayLike) -> Image:
    """Hue, saturation, value in 0..1 to RGB."""
    bright = np.asarray(value, np.float64)
    channels = []
    for n in (5, 3, 1):
        k = (n + hue * 6) % 6
        channels.append(bright - bright * saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.asarray(np.rint(np.stack(channels, -1) * 255), np.uint8)
