"""Loading against its limit, the bare decode from memory, in one interleaved run.

    python tools/bench/loading.py [--rounds 9] [--images FOLDER] [--json FILE]

Every row is the median over the rounds of a ratio of two measurements of the same round. CPU time
of one process where there is one process; wall time where there are workers. Images are synthetic,
or the PNG files of a folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from torch.utils.data import DataLoader

from depthdata.codecs.images import decode_image, encode_png
from depthdata.loading import SequenceDataset, Window, collate
from depthdata.sequence import Points, SequenceWriter

FRAMES = 48
SMALL = (192, 640)
FULL = (375, 1242)
BATCH = 12
TRIPLET = Window((-1, 0, 1))


class Row(NamedTuple):
    """One line of the table."""

    name: str
    ours: Callable[[], float]
    limit: Callable[[], float]
    target: float
    at_least: bool = False  # the row is limit / ours, a fraction of the limit's speed


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def wall(work: Callable[[], object]) -> float:
    """Seconds on the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def synthetic_images(count: int) -> list[np.ndarray]:
    """Scaled noise: PNG sizes near those of real street scenes."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(3, 3, FULL[0] // 6, FULL[1] // 6))
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=FULL, mode="bicubic")
    base = smooth.numpy().transpose(0, 2, 3, 1) * 45 + 110
    base += rng.normal(size=base.shape) * 3
    images = [np.roll(base[i % 3], 16 * i, axis=1) for i in range(count)]
    return [np.clip(image, 0, 255).astype(np.uint8) for image in images]


def make_points(rng: np.random.Generator, kind: str) -> Points:
    """About as many points as one lidar turn leaves in a KITTI image.

    ``pixel``: sorted whole pixels, each once, as in the prepared files of Dynamo-Depth.
    ``subpixel``: in the order of the lidar, some at the same pixel, with their place in the lidar.
    """
    n = 19_300
    flat = np.sort(rng.choice(FULL[0] * FULL[1], n, replace=False))
    row, col = np.divmod(flat, FULL[1])
    value = rng.uniform(4, 80, n).astype(np.float32)
    if kind == "pixel":
        return Points(
            kind="pixel", row=row.astype(np.uint16), col=col.astype(np.uint16), value=value
        )
    row[:700], col[:700] = row[700:1400], col[700:1400]
    order = np.argsort(col // 8, kind="stable")
    x, y = (a[order] + rng.uniform(-0.49, 0.49, n) for a in (col, row))
    return Points(
        kind="subpixel",
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        value=value,
        sensor=rng.normal(size=(n, 3)).astype(np.float32),
    )


def write(
    path: Path, encoding: str, blobs: list[bytes], hw: tuple[int, int], points: list[Points]
) -> None:
    """One sequence file with images and, where given, points."""
    intrinsics = np.array([[720.0, 0, hw[1] / 2], [0, 720.0, hw[0] / 2], [0, 0, 1]])
    with SequenceWriter(
        path,
        dataset="bench",
        sequence=path.stem,
        split=None,
        licence="none",
        citation="none",
        converter="bench 1",
        source_fingerprint="xxh3:0000000000000000",
    ) as writer:
        times = np.arange(len(blobs), dtype=np.int64) * 100_000_000
        writer.timeline(times, [str(i) for i in range(len(blobs))])
        poses = np.tile(np.eye(4), (len(blobs), 1, 1))
        camera = writer.camera(
            "left", height=hw[0], width=hw[1], intrinsics=intrinsics, T_world_cam=poses
        )
        camera.encoded("rgb", blobs, [len(b) for b in blobs], encoding=encoding)
        if points:
            camera.points("depth", points)


def decode_all(blobs: list[bytes], hw: tuple[int, int]) -> None:
    """Decode each into the same memory: the limit."""
    out = np.empty((*hw, 3), np.uint8)
    for blob in blobs:
        if blob[:2] == b"\xff\xd8":
            simplejpeg.decode_jpeg(blob, colorspace="RGB", buffer=out)
        else:
            decode_image(blob)


def triplets(blobs: list[bytes]) -> list[bytes]:
    """Return the blobs that the windows of the dataset read, in its order."""
    return [blobs[t + o] for t in range(1, len(blobs) - 1) for o in (-1, 0, 1)]


def decode_worker(
    blobs: list[bytes], hw: tuple[int, int], go: object, done: object, repeat: int
) -> None:
    """Decode a share whenever told to."""
    torch.set_num_threads(1)
    for _ in range(repeat):
        go.wait()  # type: ignore[attr-defined]
        decode_all(blobs, hw)
        done.wait()  # type: ignore[attr-defined]


class TwoProcesses:
    """The limit of two workers: two processes that decode half each, from memory."""

    def __init__(self, blobs: list[bytes], hw: tuple[int, int], repeat: int) -> None:
        context = multiprocessing.get_context("fork")
        self.go, self.done = context.Barrier(3), context.Barrier(3)
        self.workers = [
            context.Process(
                target=decode_worker, args=(blobs[i::2], hw, self.go, self.done, repeat)
            )
            for i in range(2)
        ]
        for worker in self.workers:
            worker.start()

    def __call__(self) -> None:
        self.go.wait()
        self.done.wait()


def draw_all(frames: list[Points]) -> tuple[np.ndarray, np.ndarray]:
    """Make the map and its mask from points in memory, the last one of a pixel wins: the limit."""
    values = np.empty((len(frames), *FULL), np.float32)
    valid = np.empty((len(frames), *FULL), bool)
    for points, value, mask in zip(frames, values, valid, strict=True):
        if points.kind == "pixel":
            flat = points.row * np.intp(FULL[1])
            flat += points.col
        else:
            flat = np.rint(points.y).astype(np.intp) * FULL[1]
            flat += np.rint(points.x).astype(np.intp)
        value.fill(0)
        value.reshape(-1)[flat] = points.value
        mask.fill(False)
        mask.reshape(-1)[flat] = True
    return values, valid


def in_batches(frames: list[Points]) -> None:
    """The limit, a batch at a time; like a loader's, each lives until the next one is made."""
    batch = None
    for start in range(0, len(frames), BATCH):
        batch = draw_all(frames[start : start + BATCH])
    assert batch is not None


def run(dataset: SequenceDataset, **options: object) -> None:
    """Go through a loader once."""
    for _ in DataLoader(dataset, BATCH, collate_fn=collate, **options):  # type: ignore[arg-type]
        pass


def rows(folder: Path, images: list[np.ndarray], rounds: int) -> list[Row]:
    """Write the files and say what to measure."""
    rng = np.random.default_rng(1)
    pixel, subpixel = (
        [make_points(rng, kind) for _ in range(FRAMES)] for kind in ("pixel", "subpixel")
    )
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
        size=SMALL,
        mode="bicubic",
        antialias=True,
    )
    small = [np.ascontiguousarray(i) for i in resized.permute(0, 2, 3, 1).numpy()]
    jpegs = [simplejpeg.encode_jpeg(i, quality=90, colorsubsampling="420") for i in small]
    pngs = [encode_png(i, level=6) for i in images]
    print(
        f"JPEG {np.mean([len(b) for b in jpegs]) / 1e3:.0f} kB, "
        f"PNG {np.mean([len(b) for b in pngs]) / 1e3:.0f} kB",
        file=sys.stderr,
    )
    write(folder / "jpeg.h5", "jpeg", jpegs, SMALL, [])
    write(folder / "png.h5", "png", pngs, FULL, pixel)
    write(folder / "lidar.h5", "png", pngs, FULL, subpixel)
    dataset = SequenceDataset(folder / "jpeg.h5", window=TRIPLET)
    unchecked = SequenceDataset(folder / "jpeg.h5", window=TRIPLET, verify=False)
    evaluation = SequenceDataset(
        folder / "png.h5", window=TRIPLET, streams=("rgb", "depth"), size=SMALL
    )
    depth = SequenceDataset(folder / "png.h5", streams=("depth",))
    lidar = SequenceDataset(folder / "lidar.h5", streams=("depth",))
    many = SequenceDataset([folder / "jpeg.h5"] * 12, window=TRIPLET)
    threaded = SequenceDataset([folder / "jpeg.h5"] * 12, window=TRIPLET, threads=2)
    three = triplets(jpegs)
    three_png = triplets(pngs)

    def each(data: SequenceDataset) -> Callable[[], float]:
        def work() -> None:
            for i in range(len(data)):
                data[i]  # not kept: memory is used again, as in a training loop

        return lambda: cpu(work)

    def batches(data: SequenceDataset) -> Callable[[], float]:
        return lambda: cpu(lambda: run(data))

    workers = DataLoader(many, BATCH, collate_fn=collate, num_workers=2, persistent_workers=True)
    two = TwoProcesses(three * 12, SMALL, 2 * (rounds + 1))
    return [
        Row(
            "triplet, uint8, one process / decode",
            each(dataset),
            lambda: cpu(lambda: decode_all(three, SMALL)),
            1.10,
        ),
        Row("the same, checksums on / off", each(dataset), each(unchecked), 1.02),
        Row(
            "PNG triplet + depth at 192x640 / PNG decode",
            each(evaluation),
            lambda: cpu(lambda: decode_all(three_png, FULL)),
            1.20,
        ),
        Row(
            "points read + drawn / drawn from memory",
            batches(depth),
            lambda: cpu(lambda: in_batches(pixel)),
            1.25,
        ),
        Row(
            "sub-pixel points of a lidar, likewise",
            batches(lidar),
            lambda: cpu(lambda: in_batches(subpixel)),
            1.25,
        ),
        Row(
            "DataLoader, 0 workers, share of decode",
            lambda: cpu(lambda: run(dataset)),
            lambda: cpu(lambda: decode_all(three, SMALL)),
            0.90,
            True,
        ),
        Row(
            "batches, 2 threads, share of 2-process decode",
            lambda: wall(lambda: run(threaded)),
            lambda: wall(two),
            0.85,
            True,
        ),
        Row(
            "DataLoader, 2 workers (running), share of the same",
            lambda: wall(lambda: [None for _ in workers]),
            lambda: wall(two),
            0.50,
            True,
        ),
    ]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=Path, help="folder of PNG files of 375 x 1242")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.images:
        files = sorted(arguments.images.glob("*.png"))
        read = [decode_image(file.read_bytes())[: FULL[0], : FULL[1]] for file in files]
        images = [np.roll(read[i % len(read)], 16 * i, axis=1) for i in range(FRAMES)]
    else:
        images = synthetic_images(FRAMES)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        table = rows(Path(folder), images, arguments.rounds)
        ratios: dict[str, list[float]] = {row.name: [] for row in table}
        for turn in range(arguments.rounds + 1):
            for row in table if turn % 2 else table[::-1]:
                ours, limit = row.ours(), row.limit()
                if turn:  # the first round warms up
                    ratios[row.name].append(limit / ours if row.at_least else ours / limit)
    print(f"{'':50s} median  target   (load {os.getloadavg()[0]:.1f})")
    failed = 0
    for row in table:
        median = statistics.median(ratios[row.name])
        good = median >= row.target if row.at_least else median <= row.target
        failed += not good
        sign = ">=" if row.at_least else "<="
        print(f"{row.name:50s} {median:6.2f}  {sign} {row.target:.2f}  {'' if good else 'MISSED'}")
        result[row.name] = {"median": median, "target": row.target, "ok": good}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
