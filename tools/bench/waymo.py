#!/usr/bin/env python
"""CPU time of reading Waymo record files, ours against the official package, and peak memory.

usage: tools/bench/waymo.py [RECORD_FILE] [--rounds N] [--gigabytes G]

points: both returns of all five lidars with their camera projections. images: the JPEG bytes of
all cameras, not decoded. The official package (TensorFlow) runs in the oracle's environment, which
tools/oracles/waymo/make-environment makes (ORACLE_VENV names another place). Both read the same
warm file and run in turn (A B B A ...), one thread each; the ratio is the median over rounds of CPU
time by resource usage.

memory: converting a file of a gigabyte, made by repeating the record with later times, in a process
of its own. Without RECORD_FILE the synthetic street is written with the real sizes (2 frames).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from depthdata.codecs.protobuf_writer import integer
from depthdata.codecs.tfrecord import RecordFile, frame_record
from depthdata.codecs.waymo_frame import Frame
from depthdata.codecs.waymo_range_image import laser_returns
from depthdata.synthetic import SyntheticScene, write_raw
from depthdata.workers import ONE_THREAD

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
WANTED = {"points": 3.0, "images": 10.0}
MOST = 250  # MB of memory
STEP = 100_000  # microseconds between frames
FRAMES = {"points": 4, "images": 60}  # of the files that both read

CONVERT = """
import resource, sys
from depthdata.conversion import convert
report = convert("waymo", sys.argv[1], sys.argv[2], jobs=1)
assert report.ok, report
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def points(path: Path) -> int:
    count = 0
    with RecordFile(path) as records:
        for payload in records:
            frame = Frame(payload)
            for laser in frame.lasers:
                count += sum(len(found.points) for found in laser_returns(frame, laser).values())
    return count


def images(path: Path) -> int:
    with RecordFile(path) as records:
        return sum(
            len(image.jpeg) for payload in records for image in Frame(payload).images.values()
        )


class Official:
    """The official package in its own process."""

    def __init__(self, path: Path) -> None:
        venv = Path(os.environ.get("ORACLE_VENV", PROJECT / "build/oracles/waymo"))
        subprocess.run([PROJECT / "tools/oracles/waymo/make-environment", venv], check=True)
        self._process = subprocess.Popen(
            [venv / "bin/python", HERE / "waymo_official.py", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            text=True,
        )

    def run(self, task: str) -> tuple[float, int]:
        """Return CPU seconds and the count."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(f"{task}\n")
        stdin.flush()
        seconds, count = stdout.readline().split()
        return float(seconds), int(count)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def cpu_seconds(task: Callable[[Path], int], path: Path) -> tuple[float, int]:
    start = resource.getrusage(resource.RUSAGE_SELF)
    count = task(path)
    end = resource.getrusage(resource.RUSAGE_SELF)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime, count


def compare_speed(record: Path, folder: Path, rounds: int) -> bool:
    good = True
    tasks: dict[str, Callable[[Path], int]] = {"points": points, "images": images}
    for name, task in tasks.items():
        frames = FRAMES[name]
        path = repeated(record, folder / name, frames * record_size(record))
        official = Official(path)
        (_, theirs), (_, ours) = official.run(name), cpu_seconds(task, path)  # warm
        assert ours == theirs, f"{name}: {ours} read by us, {theirs} by the official package"
        times: dict[str, list[float]] = {"official": [], "ours": []}
        repeats = 3 if name == "images" else 1
        for k in range(rounds):
            for side in ("official", "ours") if k % 2 == 0 else ("ours", "official"):
                for _ in range(repeats):
                    seconds, _ = (
                        official.run(name) if side == "official" else cpu_seconds(task, path)
                    )
                    times[side].append(seconds)
        groups = {s: np.array(v).reshape(rounds, repeats).sum(1) for s, v in times.items()}
        for side, sums in groups.items():
            per_frame = statistics.median(sums.tolist()) / repeats / frames * 1e3
            print(f"{name:<7} {side:<9} {per_frame:9.2f} ms CPU per frame")
        ratios = (groups["official"] / groups["ours"]).tolist()
        ratio = statistics.median(ratios)
        print(
            f"{name:<7} ratio     {ratio:9.2f} (from {min(ratios):.2f} to {max(ratios):.2f}; "
            f"wanted {WANTED[name]:g})"
        )
        good &= ratio >= WANTED[name]
        official.close()
    return good


def repeated(path: Path, folder: Path, size: float) -> Path:
    """Write a segment of `size` bytes: the frames of a file again and again, ever later."""
    out = folder / "segment-repeated_with_camera_labels.tfrecord"
    folder.mkdir()
    with RecordFile(path) as records, out.open("wb") as file:
        begin, count = Frame(records[0]).timestamp_micros, 0
        while file.tell() < size:
            payload = records[count % len(records)]
            file.write(frame_record(at_time(payload, begin + count * STEP)))
            count += 1
    print(f"{count} frames of {path.name}, {out.stat().st_size / 1e9:.2f} GB")
    return out


def record_size(path: Path) -> float:
    """Return the mean size of the records of a file, bytes."""
    with RecordFile(path) as records:
        return path.stat().st_size / len(records)


def at_time(payload: memoryview, micros: int) -> bytes:
    """Return a frame that was taken at another time."""
    data = bytearray(payload)
    frame = Frame(data)
    shift = (micros - frame.timestamp_micros) / 1e6
    for image in frame.images.values():
        for number in (5, 7, 8):  # pose, trigger, end of the readout
            view = image._message._last(number, 1)
            view[:] = struct.pack("<d", struct.unpack("<d", view)[0] + shift)
    del frame, image, view
    return bytes(data) + integer(2, micros)  # of a repeated scalar the last one counts


def peak_memory(path: Path, folder: Path) -> bool:
    """Convert a file and print the largest resident size of the process."""
    command = [sys.executable, "-c", CONVERT, path.parent, folder / "out"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    megabytes = int(done.stdout.split()[-1]) * 1024 / 1e6
    print(f"memory  {megabytes:9.0f} MB at most while converting it (wanted {MOST})")
    return megabytes < MOST


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="0 leaves the memory out")
    parser.add_argument("--no-speed", action="store_true", help="memory only")
    arguments = parser.parse_args()
    good, record = True, arguments.record
    with tempfile.TemporaryDirectory(prefix="waymo.") as name:
        folder = Path(name)
        if record is None:
            scene = SyntheticScene(seed=1, frames=2, width=1920, objects=7)
            record = write_raw("waymo", scene, folder / "synthetic")
        if not arguments.no_speed:
            good &= compare_speed(record, folder, arguments.rounds)
        if arguments.gigabytes:
            long = repeated(record, folder / "long", arguments.gigabytes * 1e9)
            good &= peak_memory(long, folder)
    return 0 if good else 1


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":  # numpy reads it when it is imported
        limited = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
        os.execve(sys.executable, [sys.executable, *sys.argv], limited)
    sys.exit(main())
