"""A scene in the layout of Cityscapes-VIS, Insta-DM's prepared Cityscapes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.synthetic.layouts.vis import write_scene

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write"]


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    city: str = "cologne",
    sequence: int = 78,
    first: int = 0,
    phase: int = 0,
    part: str | None = "train",
    spread: int = 2,
    dtype: Any = np.uint8,
) -> Path:
    """Write every second frame of a run: images, instance masks, flow of both directions.

    Parameters
    ----------
    scene : SyntheticScene
        Its frames are those that are written.
    root : Path
        The folder of ``image`` and the others; several scenes may share it.
    city : str
    sequence, first : int
        Of the run.
    phase : {0, 1}
        Which of the two frames is the first.
    part : {"train", "val"}, optional
        List that names the scene.
    spread : int
        Pixels by which the masks are larger than what is seen, so that they overlap.
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
        f"{city}_{sequence:06d}_{first:06d}_{phase}",
        [f"{first + phase + 2 * t:06d}" for t in range(scene.frames)],
        camera="left",
        part=part,
        spread=spread,
        depth=False,
        dtype=dtype,
    )
