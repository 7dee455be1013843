"""A scene as a segment of the Waymo Open Dataset, perception v2: a Parquet file per component."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.synthetic.layouts.waymo_scene import WaymoDrive

if TYPE_CHECKING:
    from depthdata.synthetic.layouts.waymo_content import Context, Moment
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write", "write_segment"]


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    split: str = "training",
    name: str | None = None,
    panoptic: Collection[int] | None = None,
    top: tuple[int, int] = (64, 2650),
    near: tuple[int, int] = (200, 600),
    direction: int = 2,
) -> Path:
    """Write the segment below `root`; parameters as of `depthdata.synthetic.layouts.waymo.write`.

    Returns
    -------
    Path
        The folder of the split, which holds the folders of the components.

    Raises
    ------
    MissingDependencyError
        pyarrow is not installed.
    """
    drive = WaymoDrive(scene, name=name, panoptic=panoptic, top=top, near=near, direction=direction)
    return write_segment(drive.context, drive, root / split)


def write_segment(context: Context, moments: Iterable[Moment], folder: Path) -> Path:
    """Write the tables of a segment into `folder`, frame by frame; return it."""
    from depthdata.synthetic.layouts.waymo_v2_tables import Tables

    with Tables(context, folder) as tables:
        for moment in moments:
            tables.add(moment)
    return folder
