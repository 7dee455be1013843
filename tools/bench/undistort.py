"""What undistortion costs beside decoding the image, one core.

    python tools/bench/undistort.py [--rounds 15] [--json FILE]

Rows are medians of CPU time in milliseconds and as a multiple of decoding one JPEG of the size;
the lens is that of a Waymo front camera.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch

from depthdata.loading import Undistort, undistort
from depthdata.synthetic import SyntheticScene

SIZES = ((1280, 1920), (320, 480))
LENS = [0.0403, -0.3300, 0.00104, -0.00157, 0.0]
RNG = np.random.default_rng(0)


def sample(size: tuple[int, int], image: np.ndarray[Any, Any], more: str) -> dict[str, Any]:
    height, width = size
    focal = 2044.5 * width / 1920
    K = [[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]]
    out = {"intrinsics": torch.tensor([K]), "distortion": torch.tensor([LENS])}
    if more == "points":
        rows, columns = RNG.integers(0, height, 20_000), RNG.integers(0, width, 20_000)
        xyz = np.stack([columns, rows, np.full(20_000, 9.0)], -1).astype(np.float32)
        out["depth_points"] = torch.from_numpy(xyz)[None]
        out["depth_points_valid"] = torch.ones(1, 20_000, dtype=torch.bool)
        out["masks"] = torch.zeros(1, height, width, dtype=torch.uint8)
    elif more == "map":
        out["depth"] = torch.ones(1, height, width)
        out["depth_valid"] = torch.ones(1, height, width, dtype=torch.bool)
    else:
        out["rgb"] = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    return out


def milliseconds(work: Callable[[], Any], rounds: int) -> float:
    work()
    times = []
    for _ in range(rounds):
        start = process_time()
        work()
        times.append(process_time() - start)
    return 1000 * statistics.median(times)


def measure(size: tuple[int, int], rounds: int) -> dict[str, float]:
    height, width = size
    picture = SyntheticScene(seed=1, frames=1, height=height, width=width).render(0).rgb
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=92)
    change = Undistort()
    rgb, depth, points = (sample(size, picture, what) for what in ("rgb", "map", "points"))

    def a_new_camera() -> None:
        undistort._lens.cache_clear()
        change(rgb, RNG)

    found = {
        "decode": milliseconds(lambda: simplejpeg.decode_jpeg(jpeg), rounds),
        "image": milliseconds(lambda: change(rgb, RNG), rounds),
        "map": milliseconds(lambda: change(depth, RNG), rounds),
        "20,000 points and a mask": milliseconds(lambda: change(points, RNG), rounds),
        "cv2.undistort": milliseconds(
            lambda: cv2.undistort(picture, rgb["intrinsics"][0].double().numpy(), np.array(LENS)),
            rounds,
        ),
    }
    found["image of a new camera"] = milliseconds(a_new_camera, rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    results = {f"{h}x{w}": measure((h, w), arguments.rounds) for h, w in SIZES}
    for size, rows in results.items():
        for name, value in rows.items():
            print(f"{size:>10}  {name:<26} {value:7.2f} ms  {value / rows['decode']:5.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
