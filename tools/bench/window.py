"""Loading a window of a stereo video against its limit, the bare decode from memory.

    python tools/bench/window.py [--rounds 9] [--frames 20] [--json FILE]

A sample is a window of a Dynamic Replica like sequence: 20 frames, 2 views, PNG pictures and
half-float depth of 720 x 1280. The limit decodes the same bytes, which lie in memory, into arrays
that are there: PNG; zstd, unshuffle, half to float. Both take turns in one process; every row is
the median over the rounds of the ratio of their CPU times.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import zstandard

from depthdata.codecs.images import decode_image, encode_png
from depthdata.loading import SequenceDataset, Window
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.sequence.index import read_index
from depthdata.sequence.storage import LocalFile
from depthdata.synthetic import SyntheticScene

HEIGHT, WIDTH, BASELINE = 720, 1280, 0.1
CAMERAS = ("left", "right")
Array = np.ndarray[Any, Any]


class Row(NamedTuple):
    """One line of the table."""

    name: str
    ours: Callable[[], Any]
    limit: Callable[[], Any]
    target: float | None = None  # without one, the row only informs


def write(path: Path, frames: int) -> Array:
    """Write the sequence: one rendered pair that moves on, with sensor noise of its own."""
    scene = SyntheticScene(seed=1, frames=1, height=HEIGHT, width=WIDTH, baseline=BASELINE)
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=1.0, size=(HEIGHT, WIDTH, 3)).astype(np.float32)
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
        times = np.arange(frames, dtype=np.int64) * 33_333_333
        writer.timeline(times, [str(i) for i in range(frames)])
        writer.stereo_pair("left", "right", BASELINE)
        for name in CAMERAS:
            rendered = scene.render(0, name)
            blobs, depths = [], []
            for t in range(frames):
                moved = np.roll(rendered.rgb, 9 * t, axis=1) + np.roll(noise, 31 * t, axis=0)
                blobs.append(encode_png(np.clip(moved, 0, 255).astype(np.uint8), level=6))
                depth = np.roll(rendered.depth, 9 * t, axis=1)
                depths.append(np.nan_to_num(depth, nan=100.0).astype(np.float16))
            camera = writer.camera(
                name,
                height=HEIGHT,
                width=WIDTH,
                intrinsics=scene.intrinsics,
                T_world_cam=np.tile(np.eye(4), (frames, 1, 1)),
            )
            camera.encoded("rgb", blobs, [len(b) for b in blobs], encoding="png")
            camera.dense("depth", depths, dtype="f2", unit="m", missing="nan")
    return scene.intrinsics


def stored_bytes(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the pictures, and the chunks of depth as they lie in the file, checksum cut off."""
    with open_sequence(path) as sequence:
        blobs = [sequence.cameras[c].rgb.blob(t) for c in CAMERAS for t in range(len(sequence))]
    source = LocalFile(path)
    _, index = read_index(source)
    chunks = []
    for camera in CAMERAS:
        group = f"cameras/{camera}/depth"
        assert index.chunks[f"{group}/data"].filters == ("shuffle", "zstd", "fletcher32")
        offsets = index.arrays[f"{group}/data#offset"].tolist()
        sizes = index.arrays[f"{group}/data#size"].tolist()
        chunks += [source.read(o, n)[:-4] for o, n in zip(offsets, sizes, strict=True)]
    return blobs, chunks


class Limit:
    """The least work: the same bytes, in memory, into arrays that are there."""

    def __init__(self, path: Path, intrinsics: Array) -> None:
        self.blobs, self.chunks = stored_bytes(path)
        self.fb = np.float32(intrinsics[0, 0] * BASELINE)
        self.rgb = np.empty((len(self.blobs), HEIGHT, WIDTH, 3), np.uint8)
        self.depth = np.empty((len(self.blobs), HEIGHT, WIDTH), np.float32)
        self.disparity = np.empty_like(self.depth)
        self.half = np.empty((HEIGHT, WIDTH), np.float16)
        self.zstd = zstandard.ZstdDecompressor()

    def decode_rgb(self) -> None:
        """Decode all pictures."""
        for blob, out in zip(self.blobs, self.rgb, strict=True):
            out[...] = decode_image(blob)

    def decode_depth(self) -> None:
        """Decode all depth maps."""
        interleaved = self.half.view(np.uint8).reshape(HEIGHT, WIDTH, 2)
        half = torch.from_numpy(self.half)
        for chunk, out in zip(self.chunks, self.depth, strict=True):
            data = self.zstd.decompress(chunk, max_output_size=self.half.nbytes)
            cv2.merge(list(np.frombuffer(data, np.uint8).reshape(2, HEIGHT, WIDTH)), interleaved)
            torch.from_numpy(out).copy_(half)

    def make_disparity(self) -> None:
        """Divide."""
        for depth, out in zip(self.depth, self.disparity, strict=True):
            np.divide(self.fb, depth, out=out)


def check(sample: dict[str, Any], limit: Limit) -> None:
    """Both have decoded the same."""
    frames = len(sample["rgb"])
    for i, prefix in enumerate(("", "right_")):
        part = slice(i * frames, (i + 1) * frames)
        rgb = sample[f"{prefix}rgb"].numpy().transpose(0, 2, 3, 1)
        assert (rgb == limit.rgb[part]).all()
        assert (sample[f"{prefix}depth"].numpy() == limit.depth[part]).all()
        assert sample[f"{prefix}depth_valid"].all()
        if f"{prefix}disparity" in sample:
            found = sample[f"{prefix}disparity"].numpy()
            np.testing.assert_allclose(found, limit.disparity[part], rtol=1e-6)


def rows(path: Path, frames: int, intrinsics: Array) -> list[Row]:
    """Say what to measure."""
    limit = Limit(path, intrinsics)

    def dataset(*streams: str) -> SequenceDataset:
        return SequenceDataset(path, window=Window(length=frames), cameras=CAMERAS, streams=streams)

    both, three = dataset("rgb", "depth"), dataset("rgb", "depth", "disparity")
    depth, disparity = dataset("depth"), dataset("disparity")

    def all_of(*works: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            for work in works:
                work()

        return run

    decode = all_of(limit.decode_rgb, limit.decode_depth)
    decode_and_divide = all_of(decode, limit.make_disparity)
    divide = all_of(limit.decode_depth, limit.make_disparity)
    decode_and_divide()
    check(three[0], limit)
    name = f"{frames} frames, 2 views"
    return [
        Row(f"{name}: rgb + depth", lambda: both[0], decode, 1.10),
        Row(f"{name}: rgb + depth + derived disparity", lambda: three[0], decode_and_divide, 1.10),
        Row(f"{name}: depth alone", lambda: depth[0], limit.decode_depth),
        Row(f"{name}: derived disparity alone", lambda: disparity[0], divide),
    ]


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    start = process_time()
    work()
    return process_time() - start


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "window.h5"
        intrinsics = write(path, arguments.frames)
        table = rows(path, arguments.frames, intrinsics)
        ratios: dict[str, list[float]] = {row.name: [] for row in table}
        times: dict[str, list[float]] = {row.name: [] for row in table}
        for turn in range(arguments.rounds + 1):
            for row in table:
                # who comes first changes every round; the first round warms up
                if turn % 2:
                    ours, limit = cpu(row.ours), cpu(row.limit)
                else:
                    limit, ours = cpu(row.limit), cpu(row.ours)
                if turn:
                    ratios[row.name].append(ours / limit)
                    times[row.name].append(ours)
    print(f"{'':52s} median  target        (load {os.getloadavg()[0]:.1f})")
    failed = 0
    for row in table:
        median = statistics.median(ratios[row.name])
        good = row.target is None or median <= row.target
        failed += not good
        target = "      " if row.target is None else f"<= {row.target:.2f}"
        seconds = statistics.median(times[row.name])
        print(
            f"{row.name:52s} {median:6.3f}  {target:7s}  {seconds * 1e3:7.1f} ms"
            f"  {'' if good else 'MISSED'}"
        )
        result[row.name] = {"median": median, "target": row.target, "seconds": seconds, "ok": good}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
