#!/usr/bin/env python
"""CPU time of converting a KITTI raw drive: ours against the published preparation, one thread.

usage: tools/bench/convert_kitti.py DRIVE_FOLDER [--rounds N] [--frames N]

A short drive is repeated (by links) up to N frames, as opening and closing one file would count for
much otherwise.

The published preparation (see `depthdata.comparison.dynamo_depth`) of both colour cameras: decode
the PNG, resize to 640x192 (Pillow, bicubic), save as JPEG, project the scan with numpy, remove
duplicate pixels with a Counter, save float64 rows as .npy. Ours: the same two cameras and the same
scans into one sequence file, verified and synchronised to disk. Both read the same warm files and
run in turn (A B B A ...); the ratio is the median over rounds of CPU time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from depthdata.conversion import convert
from depthdata.sources import SequenceSpec, kitti_raw
from depthdata.workers import ONE_THREAD


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    values = {}
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        try:
            values[key] = np.array(list(map(float, value.split())))
        except ValueError:
            continue
    return values


def project(date: Path, scan_path: Path, camera: int) -> np.ndarray:
    """The recipe of the published preparation, as it would be written down at first."""
    cam, velo = (read_calibration(date / f"calib_{n}.txt") for n in ("cam_to_cam", "velo_to_cam"))
    T_cam_velo = np.vstack([np.c_[velo["R"].reshape(3, 3), velo["T"]], [0, 0, 0, 1]])
    R = np.eye(4)
    R[:3, :3] = cam["R_rect_00"].reshape(3, 3)
    width, height = cam["S_rect_02"].astype(int)
    P = cam[f"P_rect_0{camera}"].reshape(3, 4) @ R @ T_cam_velo
    scan = np.fromfile(scan_path, dtype=np.float32).reshape(-1, 4)
    scan[:, 3] = 1
    scan = scan[scan[:, 0] >= 0]
    points = (P @ scan.T).T
    points[:, :2] /= points[:, 2:]
    points[:, 2] = scan[:, 0]
    points[:, :2] = np.round(points[:, :2]) - 1
    inside = (points[:, 0] >= 0) & (points[:, 1] >= 0)
    inside &= (points[:, 0] < width) & (points[:, 1] < height)
    points = points[inside]
    depth = np.zeros((height, width))
    column, row = points[:, 0].astype(int), points[:, 1].astype(int)
    depth[row, column] = points[:, 2]
    keys = points[:, 1] * (width - 1) + points[:, 0] - 1
    for key in [key for key, count in Counter(keys).items() if count > 1]:
        group = np.where(keys == key)[0]
        depth[row[group[0]], column[group[0]]] = points[group, 2].min()
    depth[depth < 0] = 0
    rows, columns = np.where(depth > 0)
    return np.stack([rows, columns, depth[rows, columns]], axis=1)


def prepare(spec: SequenceSpec, out: Path) -> None:
    date = Path(spec.root)
    for name, camera in (("left", 2), ("right", 3)):
        folder = out / spec.name / f"image_0{camera}"
        for part in ("rgb/original", "rgb/downsample", "depth"):
            (folder / part).mkdir(parents=True)
        for number, image in spec.files["images"][name].items():
            frame = Path(image).stem
            (folder / f"rgb/original/{frame}.png").symlink_to(date / image)
            with Image.open(date / image) as picture:
                picture.resize((640, 192)).save(folder / f"rgb/downsample/{frame}.jpg")
            if number in spec.files["scans"]:
                rows = project(date, date / spec.files["scans"][number], camera)
                np.save(folder / f"depth/{frame}.npy", rows)


def ours(spec: SequenceSpec, out: Path) -> None:
    report = convert("kitti_raw", Path(spec.root).parent, out, jobs=1)
    assert report.ok, report.failed


def repeated(drive: Path, root: Path, frames: int) -> SequenceSpec:
    """Make a drive of links: both colour cameras and the scans, again and again."""
    (spec,) = kitti_raw.sequences(drive)
    date = root / drive.parent.name
    date.mkdir(parents=True)
    for path in drive.parent.glob("calib_*.txt"):
        (date / path.name).symlink_to(path)
    streams = [spec.files["images"]["left"], spec.files["images"]["right"], spec.files["scans"]]
    numbers = sorted(set(streams[0]) & set(streams[1]) & set(streams[2]))
    for stream in streams:
        for i in range(frames):
            source = Path(spec.root) / stream[numbers[i % len(numbers)]]
            link = date / Path(stream[numbers[0]]).with_name(f"{i:010d}{source.suffix}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)
    (made,) = kitti_raw.sequences(root)
    return made


def cpu_seconds(task: Callable[[SequenceSpec, Path], None], spec: SequenceSpec) -> float:
    out = Path(tempfile.mkdtemp(prefix="convert_kitti."))
    try:
        start = time.process_time()
        task(spec, out)
        return time.process_time() - start
    finally:
        shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drive", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="convert_kitti.") as folder:
        spec = repeated(arguments.drive.resolve(), Path(folder), arguments.frames)
        measure(spec, arguments.rounds)


def measure(spec: SequenceSpec, rounds: int) -> None:
    for task in (prepare, ours):  # imports and page cache
        cpu_seconds(task, spec)
    times: dict[str, list[float]] = {"prepare": [], "ours": []}
    for round_number in range(rounds):
        order = [("prepare", prepare), ("ours", ours)]
        for name, task in order if round_number % 2 == 0 else reversed(order):
            times[name].append(cpu_seconds(task, spec))
    frames = len(spec.files["scans"])
    for name, seconds in times.items():
        print(f"{name:<8} {statistics.median(seconds) / frames * 1e3:8.2f} ms CPU per frame (pair)")
    ratios = [a / b for a, b in zip(times["prepare"], times["ours"], strict=True)]
    print(
        f"ratio    {statistics.median(ratios):8.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":  # numpy reads it when it is imported
        limited = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
        os.execve(sys.executable, [sys.executable, *sys.argv], limited)
    main()
