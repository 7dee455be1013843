"""A scene in the layout of KITTI 2015 stereo and scene flow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.codecs.images import encode_png
from depthdata.synthetic.layouts.kitti_raw import calibration_texts
from depthdata.synthetic.layouts.kitti_stereo import (
    TRUTH_FRAME,
    StereoTruth,
    frame_names,
    write_images,
    write_maps,
)

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write"]


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    number: int = 0,
    first: int = TRUTH_FRAME,
    part: str = "training",
    digits: int = 12,
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

    Returns
    -------
    Path
        ``root / part``.
    """
    folder, names = root / part, frame_names(scene, number, first)
    write_images(scene, folder, names, {"left": "image_2", "right": "image_3"})
    for name, text in calibration_texts(scene, digits).items():
        calibration = {name.removesuffix(".txt"): text.encode("ascii")}
        write_maps(folder, f"{number:06d}.txt", calibration)
    if part == "training":
        t = TRUTH_FRAME - first
        truth = StereoTruth.of(scene, t, "left")
        files = {
            **dict(zip(("disp_occ_0", "disp_noc_0"), truth.disparity_files("now"), strict=True)),
            **dict(zip(("disp_occ_1", "disp_noc_1"), truth.disparity_files("next"), strict=True)),
            **dict(zip(("flow_occ", "flow_noc"), truth.flow_files(), strict=True)),
            "obj_map": encode_png(truth.objects),
        }
        write_maps(folder, f"{names[t]}.png", files)
    return folder
