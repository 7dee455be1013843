"""A scene as a drive of KITTI depth: annotated and raw depth maps, and the selections."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.lidar import lidar_to_points
from depthdata.synthetic.layouts import kitti_raw
from depthdata.synthetic.layouts.kitti_odometry import annotated_levels
from depthdata.synthetic.rig import CAMERAS

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["write"]

_SIDES = ("left", "right")


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    drive: str = "2011_09_26_drive_0001_sync",
    part: str = "train",
    margin: int = 0,
    images: bool = True,
    selections: Collection[str] = (),
    cropped: tuple[int, int] | None = None,
) -> Path:
    """Write the depth maps of cameras 02 and 03 below ``root/<part>/<drive>``.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder of ``train`` and ``val``.
    drive : str
        Name of the drive.
    part : {"train", "val"}
    margin : int
        Frames at either end without depth; the published maps lack 5.
    images : bool
        Write the drive of KITTI raw beside it, ``root/<date>/<drive>``.
    selections : names
        Of ``val_selection_cropped``, ``test_depth_completion_anonymous`` and
        ``test_depth_prediction_anonymous``: write the frames below ``root/depth_selection``, too.
    cropped : (height, width), optional
        Size of the images of the selections, cut at the bottom in the middle; not given: whole.

    Returns
    -------
    Path
        The drive folder.
    """
    path = root / part / drive
    if images:
        kitti_raw.write(scene, root, drive=drive)
    for t in range(scene.frames):
        within = margin <= t < scene.frames - margin
        for camera in _SIDES:
            if not within and not selections:
                continue
            truth, raw = _maps(scene, t, camera)
            if within:
                name = f"image_{CAMERAS[camera]:02d}/{t:010d}.png"
                _put(path / "proj_depth" / "groundtruth" / name, encode_png(truth))
                _put(path / "proj_depth" / "velodyne_raw" / name, encode_png(raw))
            if selections:
                files = _cropped_files(scene, t, camera, cropped, (truth, raw))
            for selection in selections:
                _put_selected(root / "depth_selection" / selection, drive, (t, camera), files)
    return path


def _cropped_files(
    scene: SyntheticScene,
    t: int,
    camera: str,
    cropped: tuple[int, int] | None,
    maps: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]],
) -> dict[str, bytes]:
    """Return the files of a selected image: folder -> content."""
    height, width = cropped or (scene.height, scene.width)
    top, left = scene.height - height, (scene.width - width) // 2
    K = scene.intrinsics - [[0, 0, left], [0, 0, top], [0, 0, 0]]
    pictures: dict[str, npt.NDArray[Any]] = {
        "image": scene.photograph(t, camera),
        "groundtruth_depth": maps[0],
        "velodyne_raw": maps[1],
    }
    files = {
        kind: encode_png(values[top : top + height, left : left + width].copy())
        for kind, values in pictures.items()
    }
    numbers = " ".join(repr(float(number)) for number in K.ravel())
    return {**files, "intrinsics": f"{numbers}\n".encode("ascii")}


def _put_selected(
    folder: Path, drive: str, which: tuple[int, str], files: dict[str, bytes]
) -> None:
    """Write what a selection has of an image, under the name that it gives it."""
    t, camera = which
    lacking = {
        "test_depth_completion_anonymous": ("groundtruth_depth",),
        "test_depth_prediction_anonymous": ("groundtruth_depth", "velodyne_raw"),
    }.get(folder.name)
    for kind, data in files.items():
        if kind in (lacking or ()):
            continue
        stem = f"{t * len(_SIDES) + _SIDES.index(camera):010d}"
        if lacking is None:
            content = "image" if kind == "intrinsics" else kind
            stem = f"{drive}_{content}_{t:010d}_image_{CAMERAS[camera]:02d}"
        _put(folder / kind / f"{stem}{'.txt' if kind == 'intrinsics' else '.png'}", data)


def _maps(
    scene: SyntheticScene, t: int, camera: str
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Levels of the annotated and of the raw map."""
    size = (scene.height, scene.width)
    points = lidar_to_points(scene.lidar(t), scene.projection(camera), size)
    raw = np.rint(np.nan_to_num(points.to_dense(*size)) * 256).astype(np.uint16)
    return annotated_levels(scene.render(t, camera, colour=False).depth), raw


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
