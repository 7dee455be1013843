"""The picture of the worst frame: its image, dimmed, with the error at every point measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.checks.report import Finding
from depthdata.view.colors import colorize
from depthdata.view.panels import colour_bar, labelled, save_png, stack_panels

__all__ = ["Overlay", "draw_overlay", "write_picture"]

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Overlay:
    """Errors at points of one image.

    Parameters
    ----------
    camera : str
    frame : int
    xy : float64, (n, 2)
        Column and row.
    error : float64, (n,)
        NaN where there was nothing to compare with.
    limit : float
        Above it a single point counts as wrong; the scale of the colours ends at twice that.
    unit, title : str
    finding : Finding
        What the error was measured for.
    """

    camera: str
    frame: int
    xy: Floats
    error: Floats
    limit: float
    unit: str
    title: str
    finding: Finding


def draw_overlay(image: Image, overlay: Overlay, heading: str) -> Image:
    """Draw one overlay under a heading, with a colour bar and what the finding says.

    Parameters
    ----------
    image : uint8, (H, W, 3) RGB or (H, W)
    overlay : Overlay
    heading : str

    Returns
    -------
    uint8, (H', W', 3) RGB
    """
    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
    scale = max(1, round(900 / colour.shape[1]))
    canvas = cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    grey = cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY)
    canvas = np.repeat((grey * 0.55).astype(np.uint8)[..., None], 3, 2)
    top = 2 * overlay.limit
    known = np.isfinite(overlay.error)
    order = np.flatnonzero(known)[np.argsort(overlay.error[known])]  # the worst on top
    colours = colorize(overlay.error[order][None], 0.0, top, "error")[0]
    radius = _radius(len(order), canvas.shape)
    centres = np.rint(overlay.xy[order] * scale + (scale - 1) / 2).astype(int)
    for (x, y), shade in zip(centres.tolist(), colours.tolist(), strict=True):
        cv2.circle(canvas, (x, y), radius, shade, -1, cv2.LINE_AA)
    bar = colour_bar(canvas.shape[0], 0.0, top, overlay.unit, "error")
    panel = np.concatenate([canvas, bar], 1)
    return labelled(panel, [heading, overlay.finding.message])


def write_picture(
    path: Path, overlays: list[Overlay], images: list[Image], headings: list[str]
) -> None:
    """Write the overlays, one under the other, as a PNG."""
    panels = [
        draw_overlay(image, overlay, heading)
        for image, overlay, heading in zip(images, overlays, headings, strict=True)
    ]
    save_png(path, stack_panels(panels))


def _radius(count: int, shape: tuple[int, ...]) -> int:
    area = shape[0] * shape[1] / max(count, 1)
    return int(np.clip(round(np.sqrt(area) / 6), 1, 4))
