"""Measuring stored depth predictions of KITTI's size against a straightforward loop, one core.

    python tools/bench/metrics.py [--images 1000] [--stored 100] [--rounds 3] [--json FILE]

Predictions (375 x 1242, float64 as Insta-DM stores them, and float32) lie in one .npy file, sparse
truth as projected lidar leaves it (one pixel in twenty) beside it. The loop follows the published
evaluation line by line: resize to the truth's size, mask and crop as whole images, median
scaling, clamping, seven measures. Both read the same files through the page cache; the loops take
turns; every row is the median over the rounds of CPU time on one core. Given the same
values in float64 the numbers must be equal to 1e-10.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np

from depthzoo.evaluation.metrics import DEPTH_METRICS, depth_map_metrics
from depthzoo.evaluation.metrics.depth import GARG_CROP

HEIGHT, WIDTH, NEAR, FAR = 375, 1242, 1e-3, 80.0
TARGET = 5.0
Array = np.ndarray[Any, Any]


def scan(rng: np.random.Generator) -> Array:
    """Truth of one image: 45 lines of a lidar on ground and walls, 0 where it hit nothing."""
    truth = np.zeros((HEIGHT, WIDTH), np.float32)
    for line in np.linspace(0.36, 0.99, 45):
        columns = np.flatnonzero(rng.random(WIDTH) < 0.4)
        rows = np.round(line * HEIGHT + 2 * np.sin(columns / 300) + rng.random(len(columns)))
        ground = 1.65 * 721 / np.maximum(rows - 172, 8)
        depth = np.minimum(ground, rng.uniform(5, 90) + rng.normal(size=len(columns)))
        inside = rows < HEIGHT
        truth[rows[inside].astype(int), columns[inside]] = depth[inside]
    return truth


def write(folder: Path, stored: int) -> None:
    rng = np.random.default_rng(0)
    shape = (stored, HEIGHT, WIDTH)
    truths = np.lib.format.open_memmap(folder / "truth.npy", "w+", np.float32, shape)
    for kind in (np.float64, np.float32):
        path = folder / f"predictions_{np.dtype(kind).name}.npy"
        predictions = np.lib.format.open_memmap(path, "w+", kind, shape)
        for i in range(stored):
            smooth = cv2.resize(rng.uniform(2, 60, (12, 40)), (WIDTH, HEIGHT))
            predictions[i] = smooth + rng.normal(scale=0.1, size=smooth.shape)
    for i in range(stored):
        truths[i] = scan(rng)


def loop(predictions: Array, truths: Array, images: int) -> Array:
    """The published evaluation, image by image."""
    errors = np.zeros((images, 7), np.float64)
    for i in range(images):
        gt = truths[i % len(truths)]
        h, w = gt.shape
        pred = cv2.resize(predictions[i % len(predictions)], (w, h))
        mask = np.logical_and(gt > NEAR, gt < FAR)
        crop = np.array(
            [GARG_CROP[0] * h, GARG_CROP[1] * h, GARG_CROP[2] * w, GARG_CROP[3] * w]
        ).astype(np.int32)
        crop_mask = np.zeros(mask.shape)
        crop_mask[crop[0] : crop[1], crop[2] : crop[3]] = 1
        mask = np.logical_and(mask, crop_mask)
        pred[mask] *= np.median(gt[mask]) / np.median(pred[mask])
        pred[pred < NEAR] = NEAR
        pred[pred > FAR] = FAR
        g, p = gt[mask], pred[mask]
        ratio = np.maximum(g / p, p / g)
        errors[i] = (
            np.mean(np.abs(g - p) / g),
            np.mean((g - p) ** 2 / g),
            np.sqrt(((g - p) ** 2).mean()),
            np.sqrt(((np.log(g) - np.log(p)) ** 2).mean()),
            *((ratio < 1.25**k).mean() for k in (1, 2, 3)),
        )
    return errors


def ours(predictions: Array, truths: Array, images: int) -> Array:
    errors = np.zeros((images, 7), np.float64)
    for i in range(images):
        found = depth_map_metrics(
            predictions[i % len(predictions)],
            truths[i % len(truths)],
            low=NEAR,
            high=FAR,
            crop=GARG_CROP,
            alignment="median",
            clamp=(NEAR, FAR),
        )
        errors[i] = [found[name] for name in DEPTH_METRICS]
    return errors


def timed(call: Callable[[], Array]) -> float:
    start = process_time()
    call()
    return process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--stored", type=int, default=100, help="distinct images in the files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):  # one core, whatever the libraries would take
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given.stored)
        truths = np.load(Path(folder) / "truth.npy", mmap_mode="r")
        share = float((truths > 0).mean())
        print(f"{given.images} images {HEIGHT} x {WIDTH}, truth at {100 * share:.1f} % of pixels")
        for kind in ("float64", "float32"):
            predictions = np.load(Path(folder) / f"predictions_{kind}.npy", mmap_mode="r")
            times: dict[str, list[float]] = {"loop": [], "ours": []}
            for _ in range(given.rounds):
                for name, call in (("loop", loop), ("ours", ours)):
                    run = functools.partial(call, predictions, truths, given.images)
                    times[name].append(timed(run))
            middle = {name: statistics.median(values) for name, values in times.items()}
            ratio = middle["loop"] / middle["ours"]
            # the loop rounds what it takes of float32 arrays: the numbers are compared on the
            # same values in float64
            wide = [np.asarray(a, np.float64) for a in (predictions, truths)]
            exact, found = loop(*wide, given.stored), ours(*wide, given.stored)
            gap = np.abs(found / exact - 1).max()
            same = bool(gap < 1e-10)
            rows.append(
                {
                    "predictions": kind,
                    "loop_ms": 1e3 * middle["loop"] / given.images,
                    "ours_ms": 1e3 * middle["ours"] / given.images,
                    "ratio": ratio,
                    "largest_relative_difference": float(gap),
                    "ok": same and ratio >= TARGET,
                }
            )
            print(
                f"{kind}: loop {rows[-1]['loop_ms']:.2f} ms, ours {rows[-1]['ours_ms']:.2f} ms an "
                f"image, {ratio:.1f}x (target {TARGET:g}), difference {gap:.1e}"
                f"  {'ok' if rows[-1]['ok'] else 'FAIL'}"
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    sys.exit(not all(row["ok"] for row in rows))


if __name__ == "__main__":
    main()
