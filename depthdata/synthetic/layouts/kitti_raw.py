"""A scene as a drive of KITTI raw, synced and rectified: files, names and formats as published."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.geometry import rotation_from_euler
from depthdata.synthetic.layouts.oxts import DATAFORMAT, packet_text, packets
from depthdata.synthetic.rig import CAMERAS

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["calibration_texts", "gray_image", "time_text", "write"]

Lines = list[tuple[str, npt.ArrayLike | str]]

_TRIMMED = 5  # timestamps that a trimmed drive lists beyond its last frame
_RECTIFY = {  # roll, pitch, yaw of R_rect for the cameras whose rotation is not the rig's own
    "gray_right": (0.0044, -0.0233, 0.0089),
    "left": (0.0009, 0.0028, -0.0151),
    "right": (-0.0023, -0.0168, 0.0072),
}
_DISTORTION = (-0.36, 0.19, 0.0013, 0.0005, -0.06)


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    drive: str = "2011_09_26_drive_0001_sync",
    date: str | None = None,
    digits: int = 12,
    missing_scans: Collection[int] = (),
    missing_images: Mapping[str, Collection[int]] | None = None,
    trimmed: bool = False,
) -> Path:
    """Write the drive and the calibration of its date below `root`.

    Parameters
    ----------
    scene : SyntheticScene
    root : Path
        The folder that holds the date folders.
    drive : str
        Name of the drive folder.
    date : str, optional
        Name of the date folder; the first ten characters of `drive` when not given.
    digits : int
        Digits after the point of the calibration's numbers. KITTI has 6; 12 keeps the truth of the
        scene to 1e-12.
    missing_scans : frames
        Frames without a scan (as some drives have), though their times are listed.
    missing_images : dict of camera name to frames, optional
        Frames without an image.
    trimmed : bool
        The time files list 5 frames more than there is data, as in an excerpt of a drive.

    Returns
    -------
    Path
        The drive folder.

    Raises
    ------
    UsageError
        A camera that is not there, or a frame outside the scene.
    """
    missing_images = dict(missing_images or {})
    for camera in missing_images:
        scene.rig.shift(camera)
    for t in [*missing_scans, *(t for frames in missing_images.values() for t in frames)]:
        if not 0 <= t < scene.frames:
            raise UsageError(f"missing frame {t} is outside 0 ... {scene.frames - 1} of the scene")
    folder = root / (date or drive[:10])
    path = folder / drive
    path.mkdir(parents=True, exist_ok=True)
    for name, text in calibration_texts(scene, digits).items():
        (folder / name).write_text(text, encoding="ascii")

    times = _times(scene, _TRIMMED if trimmed else 0)
    half_turn = round(0.5e9 / scene.fps)
    for camera, number in CAMERAS.items():
        data = _stream(path / f"image_{number:02d}", times)
        for t in sorted(set(range(scene.frames)) - set(missing_images.get(camera, ()))):
            image = scene.photograph(t, camera)
            if camera.startswith("gray"):
                image = gray_image(image)
            (data / f"{t:010d}.png").write_bytes(encode_png(image))
    data = _stream(path / "velodyne_points", times)
    for end, shift in (("start", -half_turn), ("end", half_turn)):
        _write_times(data.parent / f"timestamps_{end}.txt", times + shift)
    for t in sorted(set(range(scene.frames)) - set(missing_scans)):
        (data / f"{t:010d}.bin").write_bytes(scene.lidar(t).astype("<f4").tobytes())
    data = _stream(path / "oxts", times)
    (data.parent / "dataformat.txt").write_text(DATAFORMAT, encoding="ascii")
    for t, packet in enumerate(packets(scene)):
        (data / f"{t:010d}.txt").write_text(packet_text(packet), encoding="ascii")
    return path


def calibration_texts(scene: SyntheticScene, digits: int = 12) -> dict[str, str]:
    """Return the three calibration files of a date: name -> text."""
    rig = scene.rig
    size, rectified = _raw_size(scene), [scene.width, scene.height]
    scale = size[0] / scene.width
    cam_to_cam: Lines = [("calib_time", "05-Mar-2012 10:20:30"), ("corner_dist", [0.0995])]
    R_rect0 = rig.R_rect0_cam0
    for camera, number in CAMERAS.items():
        K = scene.intrinsics.copy()
        K[:2] *= 1.22
        K[:2, 2] = np.array(size) / 2 + scale * np.array([3.25, -11.5])
        R_rect = R_rect0 if number == 0 else rotation_from_euler(*_RECTIFY[camera])
        shift = rig.shift(camera)
        values: dict[str, npt.ArrayLike] = {
            "S": size,
            "K": K,
            "D": _DISTORTION,
            "R": R_rect.T @ R_rect0,
            "T": R_rect.T @ shift,
            "S_rect": rectified,
            "R_rect": R_rect,
            "P_rect": scene.intrinsics @ np.column_stack([np.eye(3), shift]),
        }
        cam_to_cam += [(f"{key}_{number:02d}", value) for key, value in values.items()]
    T = rig.T_cam0_velo
    velo_to_cam: Lines = [
        ("calib_time", "06-Mar-2012 11:21:31"),
        ("R", T[:3, :3]),
        ("T", T[:3, 3]),
        ("delta_f", [0, 0]),
        ("delta_c", [0, 0]),
    ]
    T = rig.T_velo_imu
    imu_to_velo: Lines = [
        ("calib_time", "07-Mar-2012 12:22:32"),
        ("R", T[:3, :3]),
        ("T", T[:3, 3]),
    ]
    files = {
        "calib_cam_to_cam.txt": cam_to_cam,
        "calib_velo_to_cam.txt": velo_to_cam,
        "calib_imu_to_velo.txt": imu_to_velo,
    }
    return {name: _calibration_text(lines, digits) for name, lines in files.items()}


def time_text(nanoseconds: int) -> str:
    """One line of a time file.

    >>> time_text(1317042145000000005)
    '2011-09-26 13:02:25.000000005'
    """
    return str(np.datetime64(int(nanoseconds), "ns")).replace("T", " ")


def gray_image(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the luma of an RGB image, uint8 (H, W)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(np.round(rgb.astype(np.float32) @ weights), np.uint8)


def _calibration_text(lines: Lines, digits: int) -> str:
    out = []
    for key, value in lines:
        if not isinstance(value, str):
            numbers = np.asarray(value, np.float64).ravel()
            numbers = np.where(np.abs(numbers) < 1e-15, 0.0, numbers)  # rounding, and -0
            value = " ".join(f"{number:.{digits}e}" for number in numbers)
        out.append(f"{key}: {value}\n")
    return "".join(out)


def _raw_size(scene: SyntheticScene) -> list[int]:
    """Width and height of the images before rectification, in KITTI's proportion."""
    return [round(scene.width * 1392 / 1242), round(scene.height * 512 / 375)]


def _times(scene: SyntheticScene, more: int) -> npt.NDArray[np.int64]:
    beyond = np.round((np.arange(more) + 1) * 1e9 / scene.fps).astype(np.int64)
    return np.concatenate([scene.timestamps, scene.timestamps[-1] + beyond])


def _stream(folder: Path, times: npt.NDArray[np.int64]) -> Path:
    """Make the folder of a stream and its time file; return its data folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    _write_times(folder / "timestamps.txt", times)
    return folder / "data"


def _write_times(path: Path, times: npt.NDArray[np.int64]) -> None:
    path.write_text("".join(time_text(int(t)) + "\n" for t in times), encoding="ascii")
