"""Flow in the colours of Dynamo-Depth's videos, for comparison with its pictures.

`depthdata.view.colors.colorize_flow` is what the toolkit itself uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["colorize_flow_dynamo", "flow_polar", "hsv_to_rgb"]

Float = npt.NDArray[np.float64]


def flow_polar(flow: npt.ArrayLike) -> tuple[Float, Float]:
    """Return length and direction (..., radians, 0 to 2 pi) of flow (..., 2).

    The direction is ``5/2 pi - atan(dx / dy)``, with pi more inside where dy < 0; no motion is
    taken for atan(0).

    >>> length, angle = flow_polar([[3.0, 4.0], [0.0, 0.0]])
    >>> length.tolist(), (angle / np.pi).round(3).tolist()
    ([5.0, 0.0], [0.295, 0.5])
    """
    dx, dy = np.moveaxis(np.asarray(flow, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        theta = np.arctan(dx / dy)
    theta = np.where(np.isnan(theta), 0.0, theta) + np.pi * (dy < 0)
    return np.hypot(dx, dy), np.asarray((2.5 * np.pi - theta) % (2 * np.pi))


def hsv_to_rgb(hue: npt.ArrayLike, saturation: npt.ArrayLike, value: npt.ArrayLike) -> Float:
    """Return red, green, blue (..., 3) of hue, saturation, value, all in 0 to 1.

    >>> hsv_to_rgb(0.5, 1.0, 0.8).round(3).tolist()
    [0.0, 0.8, 0.8]
    """
    six, pure, bright = (np.asarray(a, np.float64) for a in (hue, saturation, value))
    six = 6 * six
    channels = []
    for n in (5, 3, 1):
        k = (n + six) % 6
        channels.append(bright - bright * pure * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(channels, -1)


def colorize_flow_dynamo(
    flow: npt.ArrayLike, largest: float | None = None
) -> npt.NDArray[np.uint8]:
    """Colour flow (2, H, W) as Dynamo-Depth's videos do: still is white, fast is dark.

    Parameters
    ----------
    flow : float, (2, H, W)
        (dx, dy) in half image sizes: pixels times ``2 / width`` and ``2 / height``.
    largest : float, optional
        Length of full colour; its videos take the largest of all panels and frames. Default: the
        largest of this image.

    Returns
    -------
    uint8, (H, W, 3) RGB
    """
    length, angle = flow_polar(np.moveaxis(np.asarray(flow, np.float64), 0, -1))
    top: Any = np.nanmax(length, initial=0.0) if largest is None else largest
    share = np.clip(np.nan_to_num(length / top if top > 0 else np.zeros_like(length)), 0, 1)
    hue = ((np.nan_to_num(angle) - np.pi / 4) % (2 * np.pi)) / (2 * np.pi)
    return np.asarray(np.rint(255 * (1 - hsv_to_rgb(hue, 1.0, share))), np.uint8)
