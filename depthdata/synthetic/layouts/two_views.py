"""One frame of a scene as a rectified pair whose principal points differ: exact, by cropping.

Middlebury and ETH3D publish such pairs: two images, a calibration, disparity maps, masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.middlebury import OCCLUDED, UNKNOWN, VISIBLE, Calib
from depthdata.codecs.pfm import encode_pfm
from depthdata.errors import UsageError
from depthdata.geometry import crop_intrinsics

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["CAMERAS", "View", "calibration", "two_views", "write_map", "write_picture"]

CAMERAS = ("left", "right")
_LEAST_PX = 1.0


@dataclass(frozen=True, eq=False)
class View:
    """One view of a pair and its truth.

    Attributes
    ----------
    rgb : (H, W, 3) uint8
    disparity : (H, W) float32
        x_left - x_right in these images; NaN in the sky and below one pixel.
    mask : (H, W) uint8
        0 seen by both views, 1 by this one only, 255 where disparity is NaN.
    intrinsics : (3, 3) float64
    """

    rgb: npt.NDArray[np.uint8]
    disparity: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    intrinsics: npt.NDArray[np.float64]


def two_views(scene: SyntheticScene, frame: int = 0, doffs: int = 0) -> tuple[View, View]:
    """Cut the left and the right view of a frame out of wider images.

    Parameters
    ----------
    scene : SyntheticScene
    frame : int
    doffs : int
        Pixels by which the principal point of the right view lies further right than the left
        one's; the left view begins so many columns later, and both are narrower by as much. Then
        ``disparity = fx * baseline / depth - doffs``.
    """
    if not 0 <= doffs < scene.width - 1:
        raise UsageError(f"doffs should be 0 ... {scene.width - 2} whole pixels, found {doffs}")
    width = scene.width - doffs
    views = []
    for camera in CAMERAS:
        full = scene.render(frame, camera)
        sign, first = (1, doffs) if camera == "left" else (-1, 0)
        cut = np.s_[:, first : first + width]
        disparity = (full.disparity[cut].astype(np.float64) - doffs).astype(np.float32)
        disparity[~(disparity >= _LEAST_PX)] = np.nan
        there = np.arange(width) - sign * disparity
        with np.errstate(invalid="ignore"):
            gone = (full.occluded_right[cut] == 1) | (there < -0.5) | (there > width - 0.5)
        mask = np.where(gone, OCCLUDED, VISIBLE)
        mask[np.isnan(disparity)] = UNKNOWN
        K = crop_intrinsics(scene.intrinsics, 0, first)
        rgb = np.ascontiguousarray(full.rgb[cut])
        views.append(View(rgb, disparity, mask.astype(np.uint8), K))
    if not any(np.isfinite(view.disparity).any() for view in views):
        raise UsageError(
            f"no disparity is {_LEAST_PX:g} px or more; take a smaller doffs than {doffs}"
        )
    return views[0], views[1]


def calibration(
    scene: SyntheticScene, views: tuple[View, View], facts: Mapping[str, int | float]
) -> Calib:
    """Return the calibration of the pair, with further lines `facts`."""
    left, right = (view.intrinsics for view in views)
    height, width = views[0].disparity.shape
    doffs = round(float(right[0, 2] - left[0, 2]))
    return Calib(left, right, round(scene.baseline * 1000, 9), doffs, width, height, facts)


def write_picture(path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    """Write a PNG and the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(rgb))


def write_map(path: Path, values: npt.NDArray[np.floating]) -> None:
    """Write a PFM, +inf where a value is NaN, and the folder that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.where(np.isnan(values), np.inf, values).astype(np.float32)
    path.write_bytes(encode_pfm(stored))
