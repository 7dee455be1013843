"""Poses of an ETH3D pair from its COLMAP files, held against its ``calib.txt``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depthdata.codecs.colmap import ColmapImage, read_cameras, read_images
from depthdata.codecs.middlebury import Calib
from depthdata.errors import FormatError
from depthdata.geometry import se3_inverse
from depthdata.sources.middlebury_files import VIEWS
from depthdata.sources.middlebury_scene import Pose

__all__ = ["read_poses"]

_SHARE = 0.01  # of the baseline; in the published scenes looked at, 4e-6
_TURN = 1e-3  # radians between the two cameras of a rectified pair
_PIXELS = 0.01


def read_poses(root: Path, texts: Mapping[str, str], calib: Calib) -> dict[str, Pose]:
    """Read the poses of both cameras.

    Parameters
    ----------
    root : Path
    texts : dict of str to str
        ``calib.txt``, ``cameras.txt`` and ``images.txt`` -> their paths below `root`.
    calib : Calib
        What ``calib.txt`` says.

    Raises
    ------
    FormatError
        An image without a pose, intrinsics or a baseline that are not those of the calibration.
    """
    path = root / texts["images.txt"]
    images, cameras = read_images(path), read_cameras(root / texts["cameras.txt"])
    found = {}
    for camera, view in VIEWS.items():
        image = images.get(f"im{view}.png")
        if image is None:
            raise FormatError(
                f"{path}: no pose of im{view}.png; found {', '.join(images) or 'none'}"
            )
        found[camera] = image
        lens = cameras.get(image.camera_id)
        if lens is None:
            raise FormatError(
                f"{path}: im{view}.png has camera {image.camera_id}, which is not in "
                f"{texts['cameras.txt']}"
            )
        expected = (calib.cam0, calib.cam1)[view]
        same = np.abs(lens.intrinsics - expected).max() <= _PIXELS
        if not same or (lens.width, lens.height) != (calib.width, calib.height):
            raise FormatError(
                f"{root / texts['cameras.txt']}: camera {lens.id} is not cam{view} of calib.txt; "
                f"found {lens.width}x{lens.height} fx {lens.fx} cx {lens.cx} cy {lens.cy}, "
                f"expected {calib.width}x{calib.height} fx {expected[0, 0]} cx {expected[0, 2]} "
                f"cy {expected[1, 2]}"
            )
    _check_rectified(path, calib, found)
    return {camera: _pose(image) for camera, image in found.items()}


def _check_rectified(path: Path, calib: Calib, images: Mapping[str, ColmapImage]) -> None:
    """Hold the step between the cameras against the baseline: metres here, millimetres there."""
    T_left_right = images["left"].T_cam_world @ se3_inverse(images["right"].T_cam_world)
    turn = float(np.arccos(np.clip((np.trace(T_left_right[:3, :3]) - 1) / 2, -1, 1)))
    off = np.linalg.norm(T_left_right[:3, 3] - [calib.baseline, 0, 0])
    if turn > _TURN or off > _SHARE * calib.baseline:
        step = ", ".join(f"{round(v, 6) + 0.0:g}" for v in T_left_right[:3, 3].tolist())
        raise FormatError(
            f"{path}: expected im1.png {calib.baseline:.6g} m to the right of im0.png, as the "
            f"baseline of calib.txt says, found a step of ({step}) m and a turn of "
            f"{np.degrees(turn):.3g} degrees"
        )


def _pose(image: ColmapImage) -> Pose:
    facts = {
        "image": image.id,
        "camera": image.camera_id,
        "quaternion_wxyz": image.quaternion,
        "translation": image.translation,
    }
    return Pose(se3_inverse(image.T_cam_world), {"images_txt": facts})
