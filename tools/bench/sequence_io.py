"""Reading and writing sequence files, as ratios to limits measured in the same interleaved run.

    python tools/bench/sequence_io.py [--rounds 15] [--json FILE]

Each row compares two callables (ours, and the limit: the least work that gives the same result,
from bytes that lie in RAM). They take turns; the ratio is the median over the rounds of ours to
limit in CPU time. Data is made here: textured pictures, a rough depth map, a lidar-like cloud.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import hdf5plugin
import numpy as np
import simplejpeg

from depthdata.codecs.images import decode_image, encode_png
from depthdata.sequence import Points, SequenceWriter, open_sequence, verify
from depthdata.sequence.index import read_index
from depthdata.sequence.storage import LocalFile

FRAMES = 16
Work = Callable[[], Any]


def texture(height: int, width: int, seed: int) -> Any:
    """Return a picture that compresses like a photograph: noise of several octaves."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for octave in range(8):
        size = max(2, width >> octave), max(2, height >> octave)
        noise = rng.standard_normal((size[1], size[0], 3)).astype(np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 2**octave
    return np.clip(picture * 0.35 + 128, 0, 255).astype(np.uint8)


def rough_disparity(height: int, width: int, seed: int) -> Any:
    """Return float32 disparity of planes with relief."""
    rng = np.random.default_rng(seed)
    relief = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 3)
    ramp = np.linspace(2, 90, height, dtype=np.float32)[:, None]
    return (ramp * (1 + 0.02 * relief)).astype(np.float32)


def cloud(height: int, width: int, seed: int) -> Points:
    """Return about as many whole-pixel points as KITTI has in one picture."""
    rng = np.random.default_rng(seed)
    flat = np.sort(rng.choice(height * width, 19000, replace=False))
    row, col = (flat // width).astype(np.uint16), (flat % width).astype(np.uint16)
    return Points(kind="pixel", row=row, col=col, value=rng.uniform(2, 80, 19000).astype("f4"))


def compare(ours: Work, limit: Work, rounds: int) -> float:
    """Return the median ratio of CPU times; the two take turns at going first."""
    ratios = []
    ours(), limit()
    for k in range(rounds):
        spent = {}
        for name in ("ours", "limit") if k % 2 else ("limit", "ours"):
            start = time.process_time()
            (ours if name == "ours" else limit)()
            spent[name] = time.process_time() - start
        ratios.append(spent["ours"] / spent["limit"])
    return statistics.median(ratios)


def picture_rows(folder: Path, rounds: int) -> dict[str, float]:
    """Random frames, read and decoded, against decoding bytes in RAM; checks on against off."""
    rows = {}
    for label, height, width, encode in (
        ("JPEG 1920x1280", 1280, 1920, lambda a: simplejpeg.encode_jpeg(a, 85)),
        ("JPEG 640x192", 192, 640, lambda a: simplejpeg.encode_jpeg(a, 75)),
        ("PNG 1242x375", 375, 1242, lambda a: encode_png(a, 6)),
    ):
        blobs = [encode(texture(height, width, seed)) for seed in range(FRAMES)]
        path = folder / "pictures.h5"
        with SequenceWriter(path, dataset="bench", sequence="s") as writer:
            writer.timeline(np.arange(FRAMES), [str(t) for t in range(FRAMES)])
            camera = writer.camera("left", height=height, width=width, intrinsics=np.eye(3))
            kind = label.split()[0].lower()
            camera.encoded("rgb", blobs, [len(blob) for blob in blobs], encoding=kind)
        checked = open_sequence(path).cameras["left"].rgb
        unchecked = open_sequence(path, check=False).cameras["left"].rgb
        order = random.Random(1).sample(range(FRAMES), FRAMES)
        name = f"{label} ({sum(map(len, blobs)) // FRAMES // 1000} kB)"
        rows[f"{name}: read + decode / decode in RAM"] = compare(
            lambda s=checked, o=order: [s[t] for t in o],
            lambda b=blobs, o=order: [decode_image(b[t]) for t in o],
            rounds,
        )
        rows[f"{name}: xxh3 on / off"] = compare(
            lambda s=checked, o=order: [s[t] for t in o],
            lambda s=unchecked, o=order: [s[t] for t in o],
            rounds,
        )
        rows[f"{name}: file / sum of blobs"] = path.stat().st_size / sum(map(len, blobs))
    return rows


def points_row(folder: Path, rounds: int) -> dict[str, float]:
    """Points read and drawn, against the scatter of flat indices in RAM."""
    height, width = 375, 1242
    clouds = [cloud(height, width, seed) for seed in range(FRAMES)]
    path = folder / "points.h5"
    with SequenceWriter(path, dataset="bench", sequence="s") as writer:
        writer.timeline(np.arange(FRAMES), [str(t) for t in range(FRAMES)])
        camera = writer.camera("left", height=height, width=width, intrinsics=np.eye(3))
        camera.points("depth", clouds)
    depth = open_sequence(path).cameras["left"].depth
    flat = [points.row.astype(np.int64) * width + points.col for points in clouds]

    def scatter() -> None:
        for where, points in zip(flat, clouds, strict=True):
            image = np.full(height * width, np.nan, np.float32)
            image[where] = points.value

    def index_and_scatter() -> None:
        for points in clouds:
            image = np.full(height * width, np.nan, np.float32)
            image[points.row.astype(np.int64) * width + points.col] = points.value

    def read() -> None:
        for t in range(FRAMES):
            depth[t]

    return {
        "points: read + draw / scatter of flat indices in RAM": compare(read, scatter, rounds * 3),
        "points: read + draw / index + scatter in RAM": compare(
            read, index_and_scatter, rounds * 3
        ),
    }


def dense_row(folder: Path, rounds: int) -> dict[str, float]:
    """Our chunk decoding against the HDF5 library's pipeline; one thread."""
    height, width = 540, 960
    frames = [rough_disparity(height, width, seed) for seed in range(FRAMES)]
    path = folder / "dense.h5"
    with SequenceWriter(path, dataset="bench", sequence="s") as writer:
        writer.timeline(np.arange(FRAMES), [str(t) for t in range(FRAMES)])
        camera = writer.camera("left", height=height, width=width, intrinsics=np.eye(3))
        camera.dense("disparity", frames, missing="nan")
    stream = open_sequence(path).cameras["left"].disparity
    with h5py.File(path, rdcc_nbytes=0) as file:
        dataset = file["cameras/left/disparity/data"]
        ratio = compare(
            lambda: [stream[t] for t in range(FRAMES)],
            lambda: [dataset[t] for t in range(FRAMES)],
            rounds,
        )
    _, index = read_index(LocalFile(str(path)))
    stored = sum(size for _, size in index.payload())
    return {
        "dense f4 540x960: our decode / HDF5 pipeline": ratio,
        "dense f4 540x960: file / sum of chunks": path.stat().st_size / stored,
    }


def writing_rows(folder: Path, rounds: int) -> dict[str, float]:
    """Files embedded into a sequence, against the same files copied into one plain file."""
    rng = np.random.default_rng(0)
    sources = []
    for k in range(120):
        head = encode_png(texture(375, 1242, 0), 6) if k == 0 else b""
        data = head or sources[0].read_bytes()[:33] + rng.bytes(800_000)
        sources.append(folder / f"{k}.png")
        sources[-1].write_bytes(data)
    sizes = [source.stat().st_size for source in sources]

    def plain() -> None:
        fd = os.open(folder / "plain.bin", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for source in sources:
            os.write(fd, source.read_bytes())
        os.fsync(fd)
        os.close(fd)

    def ours() -> None:
        with SequenceWriter(folder / "written.h5", dataset="bench", sequence="s") as writer:
            writer.timeline(np.arange(120), [str(t) for t in range(120)])
            camera = writer.camera("left", height=375, width=1242, intrinsics=np.eye(3))
            camera.encoded("rgb", sources, sizes, encoding="png")

    return {
        "writing 120 PNG (96 MB), verified / plain file": compare(ours, plain, rounds),
        "verify of 96 MB / plain write": compare(
            lambda: verify(folder / "written.h5"), plain, rounds
        ),
    }


def main() -> None:
    """Run all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    assert hdf5plugin.FILTERS
    rows: dict[str, float] = {}
    for part in (picture_rows, points_row, dense_row, writing_rows):
        with tempfile.TemporaryDirectory() as folder:
            for name, ratio in part(Path(folder), options.rounds).items():
                rows[name] = ratio
                print(f"{ratio:8.4f}  {name}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
