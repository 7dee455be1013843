"""A scene as a segment of the Waymo Open Dataset, perception v1: one TFRecord file.

Five cameras with distortion and rolling shutter, five lidars with both returns, labels, panoptic
labels on some frames: every field that the official package asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.codecs.tfrecord import frame_record
from depthdata.synthetic.layouts.waymo_messages import context_message, frame_message
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
    """Write the segment below `root`.

    Parameters
    ----------
    scene : SyntheticScene
        Its width is that of the images (1920 in the real data), whose heights and focal lengths
        keep the real proportions. Frame t of the scene is the middle of sweep t.
    root : Path
        The folder that holds training, validation, ...
    split, name : str
        Folder and name of the segment.
    panoptic : frames, optional
        Those with panoptic labels; every second when not given.
    top, near : (rows, columns)
        Range images of the roof lidar and of the others; the defaults are the real ones.
    direction : int
        Of the rolling shutter: 1 down, 2 right, 3 up, 4 left.

    Returns
    -------
    Path
        The record file.
    """
    drive = WaymoDrive(scene, name=name, panoptic=panoptic, top=top, near=near, direction=direction)
    folder = root / split
    folder.mkdir(parents=True, exist_ok=True)
    return write_segment(drive.context, drive, folder)


def write_segment(context: Context, moments: Iterable[Moment], folder: Path) -> Path:
    """Write the record file of a segment into `folder`, frame by frame; return its path."""
    path = folder / f"segment-{context.name}_with_camera_labels.tfrecord"
    shared = context_message(context)
    with path.open("wb") as file:
        for moment in moments:
            file.write(frame_record(frame_message(shared, context.name, moment)))
    return path
