"""A tiny KITTI raw tree, written number by number, for tests to break."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depthdata.codecs.images import encode_png

DATE = "2011_09_26"
HEIGHT, WIDTH = 20, 32
FOCAL = 24.0
BASELINE = 0.5
START = np.datetime64("2011-09-26T13:02:25.964389445")
PERIOD = np.timedelta64(103_000_000, "ns")
NUMBERS = (0, 1, 2, 3)
PROJECTION_X = {0: 0.0, 1: -BASELINE, 2: 0.0625, 3: 0.0625 - BASELINE}

VELO_TO_CAM_R = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=float)
VELO_TO_CAM_T = np.array([0.0, -0.125, -0.25])
IMU_TO_VELO_T = np.array([-0.75, 0.25, -0.875])


def drive_name(number: int = 1) -> str:
    return f"{DATE}_drive_{number:04d}_sync"


def write_tree(root: Path, drives: int = 1, frames: int = 3, seed: int = 0) -> Path:
    """Write `drives` drives of `frames` frames; return the raw root."""
    date = root / DATE
    date.mkdir(parents=True, exist_ok=True)
    write_calibration(date)
    for number in range(1, drives + 1):
        write_drive(date / drive_name(number), frames, seed + number)
    return root


def write_calibration(date: Path) -> None:
    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for number in NUMBERS:
        matrix = np.zeros((3, 4))
        matrix[:, :3] = [[FOCAL, 0, 15.5], [0, FOCAL, 9.5], [0, 0, 1]]
        matrix[0, 3] = FOCAL * PROJECTION_X[number]
        lines += [
            f"S_rect_{number:02d}: {WIDTH:.6e} {HEIGHT:.6e}",
            f"R_rect_{number:02d}: {_numbers(np.eye(3))}",
            f"P_rect_{number:02d}: {_numbers(matrix)}",
        ]
    _write(date / "calib_cam_to_cam.txt", lines)
    _write_rigid(date / "calib_velo_to_cam.txt", VELO_TO_CAM_R, VELO_TO_CAM_T)
    _write_rigid(date / "calib_imu_to_velo.txt", np.eye(3), IMU_TO_VELO_T)


def write_drive(drive: Path, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for number in NUMBERS:
        data = drive / f"image_{number:02d}" / "data"
        data.mkdir(parents=True)
        shape = (HEIGHT, WIDTH) if number < 2 else (HEIGHT, WIDTH, 3)
        for t in range(frames):
            image = rng.integers(0, 256, shape, dtype=np.uint8)
            (data / f"{t:010d}.png").write_bytes(encode_png(image))
        write_times(data.parent, frames)
    data = drive / "velodyne_points" / "data"
    data.mkdir(parents=True)
    write_times(data.parent, frames)
    for t in range(frames):
        scan = rng.uniform([-5, -8, -3, 0], [30, 8, 3, 1], (300, 4)).astype("<f4")
        scan.tofile(data / f"{t:010d}.bin")
    data = drive / "oxts" / "data"
    data.mkdir(parents=True)
    write_times(data.parent, frames)
    for t in range(frames):
        packet = [49.0 + 1e-6 * t, 8.4 + 2e-6 * t, 116 + 0.1 * t, 0.01 * t, -0.02, 0.5 + 0.1 * t]
        _write(data / f"{t:010d}.txt", [_numbers(np.array([*packet, *[0.0] * 24]))])


def write_times(folder: Path, frames: int) -> None:
    times = [str(START + t * PERIOD).replace("T", " ") for t in range(frames)]
    _write(folder / "timestamps.txt", times)


def _write_rigid(path: Path, R: np.ndarray, T: np.ndarray) -> None:
    _write(path, ["calib_time: 25-May-2012 16:47:16", f"R: {_numbers(R)}", f"T: {_numbers(T)}"])


def _numbers(array: np.ndarray) -> str:
    return " ".join(f"{float(n):.17g}" for n in array.ravel())


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
