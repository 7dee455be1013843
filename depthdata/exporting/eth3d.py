"""Sequences as scenes of ETH3D's low-resolution two-view set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthdata.codecs.colmap import (
    ColmapCamera,
    ColmapImage,
    encode_cameras,
    encode_images,
    quaternion_from_rotation,
)
from depthdata.exporting.middlebury import Pair, pairs
from depthdata.geometry import se3_inverse

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Sequence

__all__ = ["write"]


def write(sequences: Iterable[Sequence], root: Path) -> None:
    """Write sequences below `root`; the left view's ground truth into ``two_view_training_gt``.

    Every sequence with a rectified pair can be written, each frame as a scene.

    Raises
    ------
    UsageError
        A sequence without a pair of cameras, or with disparity but without ``masks/occluded``.
    """
    for sequence in sequences:
        test = sequence.dataset == "eth3d" and sequence.split == "test"
        for pair in pairs(sequence):
            folder = root / ("two_view_testing" if test else "two_view_training") / pair.name
            pair.write_pictures(folder, ("rgb", "rgb"), "im{view}.png")
            pair.write_calib(folder)
            _write_poses(pair, folder)
            left = Pair(pair.name, (pair.cameras[0], pair.cameras[0]), None, pair.t)
            left.write_truth(
                root / "two_view_training_gt" / pair.name, "disp0GT.pfm", None, "mask0nocc.png"
            )


def _write_poses(pair: Pair, folder: Path) -> None:
    """Write the COLMAP files where both cameras have a pose."""
    images = [_image(camera, view, pair.t) for view, camera in enumerate(pair.cameras)]
    known = [image for image in images if image is not None]
    if len(known) < len(images):
        return
    lenses = {
        image.camera_id: _lens(camera, image.camera_id, pair.t)
        for camera, image in zip(pair.cameras, known, strict=True)
    }
    (folder / "cameras.txt").write_bytes(encode_cameras(lenses.values()))
    (folder / "images.txt").write_bytes(encode_images(known))


def _image(camera: Camera, view: int, t: int) -> ColmapImage | None:
    name, own = f"im{view}.png", camera.transform.get("images_txt")
    if own is not None:  # as the source has it, digit for digit
        w, x, y, z = own["quaternion_wxyz"]
        tx, ty, tz = own["translation"]
        return ColmapImage(own["image"], own["camera"], name, (w, x, y, z), (tx, ty, tz))
    if not np.isfinite(camera.pose(t)).all():
        return None
    T_cam_world = se3_inverse(camera.pose(t))
    w, x, y, z = quaternion_from_rotation(T_cam_world[:3, :3]).tolist()
    tx, ty, tz = T_cam_world[:3, 3].tolist()
    return ColmapImage(view, view, name, (w, x, y, z), (tx, ty, tz))


def _lens(camera: Camera, id: int, t: int) -> ColmapCamera:
    K = camera.intrinsics(t).tolist()
    return ColmapCamera(id, camera.width, camera.height, K[0][0], K[1][1], K[0][2], K[1][2])
