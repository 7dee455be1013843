"""Writers of a scene in the raw layouts of the source datasets.

A layout is a module with ``write(scene, root, **options) -> Path``; a new one is a new file and a
row in `LAYOUTS`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["LAYOUTS", "write_raw"]

LAYOUTS = {
    "cityscapes": "depthdata.synthetic.layouts.cityscapes",
    "cityscapes_vis": "depthdata.synthetic.layouts.cityscapes_vis",
    "dynamic_replica": "depthdata.synthetic.layouts.dynamic_replica",
    "eth3d": "depthdata.synthetic.layouts.eth3d",
    "kitti_2012": "depthdata.synthetic.layouts.kitti_2012",
    "kitti_2015": "depthdata.synthetic.layouts.kitti_2015",
    "kitti_depth": "depthdata.synthetic.layouts.kitti_depth",
    "kitti_odometry": "depthdata.synthetic.layouts.kitti_odometry",
    "kitti_raw": "depthdata.synthetic.layouts.kitti_raw",
    "kitti_vis": "depthdata.synthetic.layouts.kitti_vis",
    "middlebury": "depthdata.synthetic.layouts.middlebury",
    "nuscenes": "depthdata.synthetic.layouts.nuscenes",
    "sceneflow": "depthdata.synthetic.layouts.sceneflow",
    "sintel": "depthdata.synthetic.layouts.sintel",
    "waymo": "depthdata.synthetic.layouts.waymo",
    "waymo_v2": "depthdata.synthetic.layouts.waymo_v2",
}
"""Name of the source dataset -> module that writes its layout."""


def write_raw(layout: str, scene: SyntheticScene, root: str | Path, **options: Any) -> Path:
    """Write a scene as a source dataset publishes its data.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    scene : SyntheticScene
    root : path
        Folder to create; what a converter would get as its source.
    **options
        Of the layout's ``write``, for example ``missing_scans=(2,)`` for ``kitti_raw``.

    Returns
    -------
    Path
        Folder of the sequence that was written.
    """
    if layout not in LAYOUTS:
        raise UsageError(
            f"layout {layout!r} is not known; there are {', '.join(sorted(LAYOUTS))}; name one"
        )
    path: Path = import_module(LAYOUTS[layout]).write(scene, Path(root), **options)
    return path
