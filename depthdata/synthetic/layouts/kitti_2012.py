"""A scene in the layout of KITTI 2012 stereo and optical flow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthdata.codecs.kitti_stereo import encode_disparity
from depthdata.synthetic.layouts.kitti_stereo import (
    TRUTH_FRAME,
    StereoTruth,
    frame_names,
    write_images,
    write_maps,
)
from depthdata.synthetic.rig import CAMERAS

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write"]

_FOLDERS = {
    "gray_left": "image_0",
    "gray_right": "image_1",
    "left": "colored_0",
    "right": "colored_1",
}


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    number: int = 0,
    first: int = TRUTH_FRAME,
    part: str = "training",
    digits: int = 12,
    reflective: bool = False,
) -> Path:
    """Write images, calibration and, for ``training``, the ground truth of frame 10.

    Parameters
    ----------
    scene : SyntheticScene
        At least two frames.
    root : Path
        The folder of ``training`` and ``testing``; several scenes may share it.
    number : int
        Of the scene: files are called ``<number>_<frame>.png``.
    first : int
        Number of the first frame; 0 and 21 frames are the multi-view extension.
    part : {"training", "testing"}
        Testing has no ground truth.
    digits : int
        Digits after the point of the calibration's numbers.
    reflective : bool
        Write ``disp_refl_occ`` and ``disp_refl_noc``, too: the truth on objects that move.

    Returns
    -------
    Path
        ``root / part``.
    """
    folder, names = root / part, frame_names(scene, number, first)
    write_images(scene, folder, names, _FOLDERS)
    write_maps(folder, f"{number:06d}.txt", {"calib": _calibration(scene, digits).encode("ascii")})
    if part == "training":
        t = TRUTH_FRAME - first
        truth = StereoTruth.of(scene, t, "gray_left")
        files = {
            **dict(zip(("disp_occ", "disp_noc"), truth.disparity_files("now"), strict=True)),
            **dict(zip(("flow_occ", "flow_noc"), truth.flow_files(), strict=True)),
        }
        if reflective:
            values = np.where(truth.objects > 0, truth.disparity, np.nan)
            files["disp_refl_occ"] = encode_disparity(values)
            files["disp_refl_noc"] = encode_disparity(np.where(truth.seen, values, np.nan))
        write_maps(folder, f"{names[t]}.png", files)
    return folder


def _calibration(scene: SyntheticScene, digits: int) -> str:
    lines = []
    for camera, number in CAMERAS.items():
        P = scene.intrinsics @ np.column_stack([np.eye(3), scene.rig.shift(camera)])
        lines.append(f"P{number}: " + " ".join(f"{value:.{digits}e}" for value in P.ravel()))
    return "\n".join(lines) + "\n"
