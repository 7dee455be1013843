"""A scene in the layout of KITTI-VIS, Insta-DM's prepared KITTI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.synthetic.layouts.vis import write_scene

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write"]

_NUMBERS = {"left": "02", "right": "03"}


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    drive: str = "2011_09_26_drive_0001_sync",
    camera: str = "left",
    first: int = 0,
    part: str | None = "train",
    spread: int = 2,
    depth: bool = True,
    dtype: Any = np.uint8,
) -> Path:
    """Write one camera of a drive: images, instance masks, flow of both directions, depth.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder of ``image`` and the others; several scenes may share it.
    drive : str
        The scene is called ``<drive>_02`` or ``_03``.
    camera : {"left", "right"}
    first : int
        Number of the first frame.
    part : {"train", "val"}, optional
        List that names the scene.
    spread : int
        Pixels by which the masks are larger than what is seen, so that they overlap.
    depth : bool
        Write depth maps, too.
    dtype : dtype
        Of the masks.

    Returns
    -------
    Path
        `root`.
    """
    return write_scene(
        scene,
        root,
        f"{drive}_{_NUMBERS[camera]}",
        [f"{first + t:010d}" for t in range(scene.frames)],
        camera=camera,
        part=part,
        spread=spread,
        depth=depth,
        dtype=dtype,
    )
