"""A scene as a sequence of KITTI odometry, with what the multi-frame depth papers add to it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.aspect_crop import AspectCrop
from depthdata.codecs.images import encode_png
from depthdata.codecs.kitti_odometry import encode_moving_mask, encode_poses, encode_times
from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse
from depthdata.synthetic.layouts.kitti_raw import gray_image
from depthdata.synthetic.rig import CAMERAS

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["annotated_levels", "write"]

_EXTRAS = ("velodyne", "depth", "masks", "poses", "poses_dvso")


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    sequence: str = "07",
    cameras: Collection[str] = tuple(CAMERAS),
    without: Collection[str] = (),
    mask_size: tuple[int, int] = (256, 512),
    digits: int | None = None,
) -> Path:
    """Write the sequence and its poses below `root`.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder of ``sequences``, ``poses`` and ``poses_dvso``; several scenes may share it.
    sequence : str
        ``"00"`` ... ``"21"``.
    cameras : names
        Which cameras have images.
    without : names
        What to leave out of ``velodyne``, ``depth`` (image_depth_annotated), ``masks``
        (mvobj_mask), ``poses``, ``poses_dvso``.
    mask_size : (height, width)
        Of the masks of moving objects.
    digits : int, optional
        Digits after the point of poses and calibration, KITTI has 6 and 12; not given: exact.

    Returns
    -------
    Path
        The folder of the sequence.
    """
    odd = sorted({*without} - {*_EXTRAS})
    if odd:
        raise UsageError(f"kitti_odometry has no part {odd[0]!r}; it has {', '.join(_EXTRAS)}")
    folder = root / "sequences" / sequence
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calib.txt").write_bytes(_calibration(scene, digits))
    (folder / "times.txt").write_bytes(encode_times(scene.timestamps - scene.timestamps[0]))
    for t in range(scene.frames):
        for camera in cameras:
            image = scene.photograph(t, camera)
            image = gray_image(image) if camera.startswith("gray") else image
            _put(folder / f"image_{CAMERAS[camera]}" / f"{t:06d}.png", encode_png(image))
        if "velodyne" not in without:
            scan = scene.lidar(t).astype("<f4").tobytes()
            _put(folder / "velodyne" / f"{t:06d}.bin", scan)
        if {"depth", "masks"} <= {*without}:
            continue
        truth = scene.render(t, "left", colour=False)
        if "depth" not in without:
            levels = encode_png(annotated_levels(truth.depth))
            _put(folder / "image_depth_annotated" / f"{t:06d}.png", levels)
        if "masks" not in without:
            mask = encode_moving_mask(_cropped(truth.moving, mask_size))
            _put(folder / "mvobj_mask" / f"{t:06d}.npy", mask)
    for part, camera in (("poses", "gray_left"), ("poses_dvso", "left")):
        if part not in without:
            poses = scene.T_world_cam(camera)
            relative = se3_inverse(poses[0]) @ poses
            _put(root / part / f"{sequence}.txt", encode_poses(relative, digits))
    return folder


def annotated_levels(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the levels of a depth PNG, one pixel in five measured; 80 m at most, as the lidar.

    Every value is rounded to 1/256 m; 0 is none.
    """
    rows, columns = np.indices(depth.shape)
    with np.errstate(invalid="ignore"):
        seen = ((2 * rows + columns) % 5 == 0) & (depth < 80)
    return np.where(seen, np.rint(depth * 256), 0).astype(np.uint16)


def _cropped(moving: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Sample the mask at the pixel centres of the crop."""
    left, top, right, bottom = AspectCrop((moving.shape[0], moving.shape[1]), size).box
    rows = top + (2 * np.arange(size[0]) + 1) * (bottom - top) // (2 * size[0])
    columns = left + (2 * np.arange(size[1]) + 1) * (right - left) // (2 * size[1])
    return moving[np.ix_(rows, columns)] > 0


def _calibration(scene: SyntheticScene, digits: int | None) -> bytes:
    rows = {
        f"P{number}": scene.intrinsics @ np.column_stack([np.eye(3), scene.rig.shift(camera)])
        for camera, number in sorted(CAMERAS.items(), key=lambda item: item[1])
    }
    rows["Tr"] = scene.rig.T_cam_velo("gray_left")[:3]
    form = "{!r}" if digits is None else f"{{:.{2 * digits}e}}"
    lines = (
        f"{name}: {' '.join(form.format(number) for number in matrix.ravel().tolist())}\n"
        for name, matrix in rows.items()
    )
    return "".join(lines).encode("ascii")


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
