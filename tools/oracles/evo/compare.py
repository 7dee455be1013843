"""Write random trajectories, and compare what evo and we measure of them.

python compare.py write TRAJECTORIES.npz [--count 40] [--seed 0]
python compare.py check TRAJECTORIES.npz EVO.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from depthzoo.evaluation.metrics.snippets import motion_matrices
from depthzoo.evaluation.metrics.trajectory import ate, rpe

TOLERANCE = 1e-9


def random_trajectory(rng: np.random.Generator, frames: int, step: float, turn: float) -> Any:
    motions = motion_matrices(
        rng.normal(scale=turn, size=(frames - 1, 3)),
        rng.normal(scale=0.2 * step, size=(frames - 1, 3)) + np.array([0, 0, step]),
    )
    poses = [orthonormal(motion_matrices(rng.normal(size=(1, 3)), rng.normal(size=(1, 3)) * 9)[0])]
    for motion in motions:
        poses.append(orthonormal(poses[-1] @ motion))
    return np.stack(poses)


def orthonormal(pose: Any) -> Any:
    """evo wants rotations that are rotations to 1e-6; make them so to the last digits."""
    u, _, v = np.linalg.svd(pose[:3, :3])
    pose = pose.copy()
    pose[:3, :3] = u @ v
    return pose


def write(path: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {}
    for i in range(count):
        frames = int(rng.integers(5, 400))
        truth = random_trajectory(rng, frames, rng.uniform(0.1, 2), rng.uniform(0, 0.3))
        noise = motion_matrices(
            rng.normal(scale=rng.uniform(0, 0.2), size=(frames, 3)),
            rng.normal(scale=rng.uniform(0, 2), size=(frames, 3)),
        )
        shown = truth @ noise
        shown[:, :3, 3] *= rng.uniform(0.05, 20)
        move = random_trajectory(rng, 2, 30.0, 1.0)[1]
        arrays[f"truth_{i}"] = truth
        arrays[f"shown_{i}"] = np.stack([orthonormal(move @ pose) for pose in shown])
    np.savez(path, **arrays)


def check(path: Path, evo: Path) -> int:
    trajectories = np.load(path, allow_pickle=False)
    report = json.loads(evo.read_text(encoding="utf-8"))
    worst: dict[str, float] = {}
    compared = 0

    def agree(name: str, found: float, wanted: float) -> None:
        nonlocal compared
        gap = abs(found - wanted) / max(1.0, abs(wanted))
        worst[name] = math.inf if math.isnan(gap) else max(worst.get(name, 0.0), gap)
        compared += 1

    for i, wanted in report["trajectories"].items():
        pair = [trajectories[f"{side}_{i}"] for side in ("shown", "truth")]
        for library in (np.asarray, torch.as_tensor):
            shown, truth = (library(poses) for poses in pair)
            for alignment, values in wanted["ate"].items():
                found = ate(shown, truth, alignment=alignment)
                for name, value in values.items():
                    agree(f"ATE {alignment}", found[name], value)
            for case, kinds in wanted["rpe"].items():
                delta, every = case.split()
                both = rpe(shown, truth, delta=int(delta), every=every == "True")
                for kind, values in kinds.items():
                    for name, value in values.items():
                        agree(f"RPE {kind}", both[kind][name], value)
    print(f"evo {report['evo']}: {len(report['trajectories'])} trajectories, {compared} values")
    for name, gap in worst.items():
        print(f"{name:18s} largest difference {gap:.1e}  {'ok' if gap <= TOLERANCE else 'FAIL'}")
    return int(any(gap > TOLERANCE for gap in worst.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("path", type=Path)
    parser.add_argument("evo", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.action == "write":
        write(given.path, given.count, given.seed)
    else:
        sys.exit(check(given.path, given.evo))


if __name__ == "__main__":
    main()
