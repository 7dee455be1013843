"""Evaluating stored predictions of KITTI's size against a straightforward loop, on one core.

    python tools/bench/evaluate_stored.py [--images 1000] [--distinct 50] [--rounds 3] [--json FILE]

Predictions (375 x 1242) lie in files, one an image; the truth is lidar, as KITTI raw has it. The
loop is written plainly from the published rules of the Eigen evaluation: for every image it reads
calibration and scan, projects the points (of several points in a pixel the nearest), loads the
prediction, resizes it to the truth's size, masks, crops, scales by medians, clamps and takes the
seven measures. `evaluate` reads the same predictions and a sequence file with the same scans, under
kitti_raw/eigen@1. A second loop is given its truth as maps (.npy), as if somebody had made them
before: it does less than `evaluate` has to.

All three take turns in one process on one core; times are the median over the rounds of CPU time.
The measures of every image must be equal to 1e-9 (predictions in float64; in float32 to 1e-5).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np

from depthdata.lidar import lidar_to_points
from depthdata.sequence import SequenceWriter
from depthdata.synthetic.scene import SyntheticScene
from depthzoo.evaluation import evaluate, get_protocol
from depthzoo.evaluation.stored import StoredPredictions

HEIGHT, WIDTH, NEAR, FAR = 375, 1242, 1e-3, 80.0
TARGET = 5.0
PROTOCOL = "kitti_raw/eigen@1"
Array = np.ndarray[Any, Any]


def write(folder: Path, distinct: int) -> None:
    """Scans, calibration, truth as maps, a sequence file, and predictions in two precisions."""
    scene = SyntheticScene(seed=1, frames=distinct, height=HEIGHT, width=WIDTH)
    projection = scene.projection("left")
    np.savetxt(folder / "calibration.txt", projection, fmt="%.17g")
    rng = np.random.default_rng(0)
    for kind in ("float32", "float64"):
        (folder / kind / "street").mkdir(parents=True)
    with SequenceWriter(folder / "street.h5", dataset="synthetic", sequence="street") as writer:
        writer.timeline(scene.timestamps, scene.frame_ids)
        camera = writer.camera("left", height=HEIGHT, width=WIDTH, intrinsics=scene.intrinsics)
        sink = camera.open_points(
            "depth", unit="m", sensor="velodyne", projection=projection, eigen_size=[HEIGHT, WIDTH]
        )
        for t in range(distinct):
            scan = scene.lidar(t).astype(np.float32)
            scan.tofile(folder / f"{t:06d}.bin")
            sink.add(lidar_to_points(scan, projection, (HEIGHT, WIDTH)))
            np.save(folder / f"truth_{t:06d}.npy", truth_of(folder, t))
            smooth = cv2.resize(rng.uniform(2, 60, (12, 40)), (WIDTH, HEIGHT))
            values = smooth + rng.normal(scale=0.1, size=smooth.shape)
            for kind in ("float32", "float64"):
                path = folder / kind / "street" / f"{scene.frame_ids[t]}.npy"
                np.save(path, values.astype(kind))


def truth_of(folder: Path, t: int) -> Array:
    """The published map of lidar x (m) of an image, 0 where there is none."""
    projection = np.loadtxt(folder / "calibration.txt")
    scan = np.fromfile(folder / f"{t:06d}.bin", np.float32).reshape(-1, 4)
    scan = scan[scan[:, 0] >= 0]
    homogeneous = np.hstack([scan[:, :3], np.ones((len(scan), 1), np.float32)])
    image = (projection @ homogeneous.T).T
    image[:, :2] = image[:, :2] / image[:, 2:]
    columns = np.round(image[:, 0]) - 1
    rows = np.round(image[:, 1]) - 1
    keep = (columns >= 0) & (rows >= 0) & (columns < WIDTH) & (rows < HEIGHT)
    columns, rows = columns[keep].astype(int), rows[keep].astype(int)
    value = scan[keep, 0]
    depth = np.zeros((HEIGHT, WIDTH))
    depth[rows, columns] = value
    keys = rows * (WIDTH - 1) + columns - 1
    of_key: dict[int, list[int]] = {key: [] for key, n in Counter(keys).items() if n > 1}
    for i, key in enumerate(keys):
        if key in of_key:
            of_key[key].append(i)
    for points in of_key.values():
        depth[rows[points[0]], columns[points[0]]] = value[points].min()
    depth[depth < 0] = 0
    return depth.astype(np.float32)


def measured(gt: Array, prediction: Array) -> tuple[float, ...]:
    """The published measures of an image."""
    h, w = gt.shape
    pred = cv2.resize(prediction.astype(np.float64), (w, h), interpolation=cv2.INTER_LINEAR)
    mask = np.logical_and(gt > NEAR, gt < FAR)
    crop = np.array([0.40810811 * h, 0.99189189 * h, 0.03594771 * w, 0.96405229 * w]).astype(int)
    crop_mask = np.zeros(mask.shape)
    crop_mask[crop[0] : crop[1], crop[2] : crop[3]] = 1
    mask = np.logical_and(mask, crop_mask)
    pred[mask] *= np.median(gt[mask]) / np.median(pred[mask])
    pred[pred < NEAR] = NEAR
    pred[pred > FAR] = FAR
    g, p = gt[mask].astype(np.float64), pred[mask]
    ratio = np.maximum(g / p, p / g)
    return (
        np.mean(np.abs(g - p) / g),
        np.mean((g - p) ** 2 / g),
        np.sqrt(((g - p) ** 2).mean()),
        np.sqrt(((np.log(g) - np.log(p)) ** 2).mean()),
        *((ratio < 1.25**k).mean() for k in (1, 2, 3)),
    )


def loop(folder: Path, kind: str, images: int, *, maps: bool) -> Array:
    """The straightforward evaluation; with `maps` the truth has been made before."""
    files = sorted((folder / kind / "street").iterdir())
    errors = np.zeros((images, 7))
    for i in range(images):
        t = i % len(files)
        gt = np.load(folder / f"truth_{t:06d}.npy") if maps else truth_of(folder, t)
        errors[i] = measured(gt, np.load(files[t]))
    return errors


def ours(folder: Path, kind: str, images: int) -> Array:
    """`evaluate` on the same predictions: as many passes over the sequence as are needed."""
    stored = StoredPredictions(folder / kind, quantity="depth", invariance="scale")
    distinct = len(list((folder / kind / "street").iterdir()))
    data = [folder / "street.h5"] * -(-images // distinct)
    report = evaluate(stored, data, PROTOCOL, limit=images)
    names = get_protocol(PROTOCOL).metrics
    return np.array([[record.score.values[n] for n in names] for record in report.frames])


def timed(call: Callable[[], Array]) -> tuple[float, float, Array]:
    cpu, wall = process_time(), perf_counter()
    found = call()
    return process_time() - cpu, perf_counter() - wall, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--distinct", type=int, default=50, help="distinct images in the files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    facts: dict[str, Any] = {"images": options.images, "size": [HEIGHT, WIDTH]}
    passed = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, min(options.distinct, options.images))
        for kind, tolerance in (("float32", 1e-5), ("float64", 1e-9)):
            calls = {
                "loop": lambda kind=kind: loop(folder, kind, options.images, maps=False),
                "loop, truth as maps": lambda kind=kind: loop(
                    folder, kind, options.images, maps=True
                ),
                "evaluate": lambda kind=kind: ours(folder, kind, options.images),
            }
            times: dict[str, list[float]] = {key: [] for key in calls}
            found: dict[str, Array] = {}
            for _ in range(options.rounds):
                for key, call in calls.items():
                    cpu, _, found[key] = timed(call)
                    times[key].append(cpu)
            apart = float(np.abs(found["evaluate"] - found["loop"]).max())
            row: dict[str, Any] = {key: statistics.median(taken) for key, taken in times.items()}
            row["times as fast"] = row["loop"] / row["evaluate"]
            row["times as fast, truth as maps"] = row["loop, truth as maps"] / row["evaluate"]
            row["largest difference"] = apart
            facts[kind] = row
            passed &= row["times as fast"] >= TARGET and apart <= tolerance
            print(f"{kind}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    facts["passed"] = bool(passed)
    if options.json is not None:
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print("passed" if passed else f"FAILED: expected {TARGET} times as fast and equal numbers")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
