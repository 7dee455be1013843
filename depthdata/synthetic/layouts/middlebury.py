"""A frame of a scene as a scene of Middlebury stereo: evaluation set v3, or 2014."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.middlebury import encode_calib, encode_mask
from depthdata.synthetic.layouts.two_views import (
    calibration,
    two_views,
    write_map,
    write_picture,
)

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["exposed", "lit", "write"]


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    frame: int = 0,
    part: str = "MiddEval3/trainingQ",
    name: str = "Motorcycle",
    doffs: int = 4,
    truth: bool = True,
) -> Path:
    """Write one frame below `root`.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder that holds ``MiddEval3`` and ``2014``.
    frame : int
        Of the scene.
    part : str
        ``MiddEval3/training<F, H or Q>``, ``MiddEval3/test<F, H or Q>`` or ``2014``.
    name : str
        Of the scene folder; in ``2014`` it ends in ``-perfect`` or ``-imperfect``.
    doffs : int
        See `depthdata.synthetic.layouts.two_views.two_views`; images are narrower by as much.
    truth : bool
        False leaves out the ground truth, as before its archive is unpacked. Test scenes have none.

    Returns
    -------
    Path
        The scene folder.

    Raises
    ------
    UsageError
        A frame outside the scene, or a `doffs` that leaves no disparity.
    """
    folder, modern = root / part / name, part == "2014"
    views = two_views(scene, frame, doffs)
    known = np.concatenate([view.disparity[view.mask != 255] for view in views])
    low, high = int(np.floor(known.min())), int(np.ceil(known.max()))
    facts = {"ndisp": 10 * (high // 10 + 1), "isint": 0, "vmin": low, "vmax": high}
    for number, view in enumerate(views):
        write_picture(folder / f"im{number}.png", view.rgb)
    if modern:
        write_picture(folder / "im1E.png", exposed(views[1].rgb))
        write_picture(folder / "im1L.png", lit(views[1].rgb))
    calib = calibration(scene, views, {**facts, "dyavg": 0, "dymax": 0})
    (folder / "calib.txt").write_bytes(encode_calib(calib))
    if not truth or "test" in part:
        return folder
    for number, view in enumerate(views):
        stem = f"disp{number}" if modern else f"disp{number}GT"
        write_map(folder / f"{stem}.pfm", view.disparity)
        write_map(folder / f"{stem}y.pfm", view.disparity * 0)  # rows agree: 0 where known
        if not modern:
            (folder / f"mask{number}nocc.png").write_bytes(encode_mask(view.mask))
    return folder


def exposed(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the image under a longer exposure: 1.6 times the light, gamma 2.2.

    >>> exposed(np.array([[[0, 100, 255]]], np.uint8)).tolist()
    [[[0, 124, 255]]]
    """
    light = (np.arange(256) / 255) ** 2.2 * 1.6
    table = np.round(np.clip(light, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    changed: npt.NDArray[np.uint8] = table[rgb]
    return changed


def lit(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the image under a lamp that stands on the right: 0.7 to 1.2 times as bright.

    >>> lit(np.full((1, 3, 3), 100, np.uint8))[0, :, 0].tolist()
    [70, 95, 120]
    """
    gain = np.linspace(0.7, 1.2, rgb.shape[1])[:, None]
    return np.clip(np.round(rgb * gain), 0, 255).astype(np.uint8)
