"""Measure trajectories with evo; runs in evo's environment, imports nothing of ours.

python measure.py TRAJECTORIES.npz OUT.json
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from evo.core import metrics
from evo.core.trajectory import PosePath3D

STATISTICS = ("rmse", "mean", "median", "std", "min", "max")


def statistics(metric: metrics.PE) -> dict[str, float]:
    found = metric.get_all_statistics()
    return {name: float(found[name]) for name in STATISTICS}


def ape(truth: PosePath3D, shown: PosePath3D, alignment: str) -> dict[str, float]:
    shown, scale = copy.deepcopy(shown), 1.0
    if alignment == "first":
        shown.align_origin(truth)
    elif alignment != "none":
        _, _, scale = shown.align(
            truth,
            correct_scale=alignment == "sim3",
            correct_only_scale=alignment == "sim3_scale",
        )
    error = metrics.APE(metrics.PoseRelation.translation_part)
    error.process_data((truth, shown))
    return statistics(error) | {"scale": float(scale)}


def rpe(truth: PosePath3D, shown: PosePath3D, delta: int, every: bool) -> dict[str, object]:
    kinds = {
        "translation": metrics.PoseRelation.translation_part,
        "rotation": metrics.PoseRelation.rotation_angle_deg,
    }
    found: dict[str, object] = {}
    for name, relation in kinds.items():
        error = metrics.RPE(relation, delta=delta, delta_unit=metrics.Unit.frames, all_pairs=every)
        error.process_data((truth, shown))
        found[name] = statistics(error) | {"pairs": float(len(error.error))}
    return found


def main() -> None:
    trajectories = np.load(sys.argv[1], allow_pickle=False)
    out: dict[str, object] = {}
    for key in (name for name in trajectories.files if name.startswith("truth_")):
        i = key.removeprefix("truth_")
        truth, shown = (
            PosePath3D(poses_se3=list(trajectories[f"{side}_{i}"])) for side in ("truth", "shown")
        )
        out[i] = {
            "ate": {
                name: ape(truth, shown, name)
                for name in ("none", "first", "sim3_scale", "se3", "sim3")
            },
            "rpe": {
                f"{delta} {every}": rpe(truth, shown, delta, every)
                for delta in (1, 3)
                for every in (True, False)
            },
        }
    report = {"evo": importlib.metadata.version("evo"), "trajectories": out}
    Path(sys.argv[2]).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
