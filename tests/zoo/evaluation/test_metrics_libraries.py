"""Every metric gives the same for NumPy arrays and for tensors, wherever they lie."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from depthzoo.evaluation.metrics import depth_map_metrics, depth_metrics, disparity_metrics, measure
from depthzoo.evaluation.metrics.depth import GARG_CROP, training_depth_metrics
from depthzoo.evaluation.metrics.depth_points import point_depth_metrics
from depthzoo.evaluation.metrics.disparity import (
    raft_stereo_image,
    sequence_loss,
    training_disparity_metrics,
)
from depthzoo.evaluation.metrics.motion import MotionCounts, binary_scores
from depthzoo.evaluation.metrics.regions import (
    by_distance,
    motion_regions,
    occluded_by_disparity,
    occluded_by_flow,
    region_metrics,
)
from depthzoo.evaluation.metrics.resampling import follow_flow, read_resized, resize
from depthzoo.evaluation.metrics.snippets import dynamo_snippets, motion_matrices, snippet_ate
from depthzoo.evaluation.metrics.sparse import (
    dense_inverse_depth_metrics,
    median_scaled,
    sparse_depth_metrics,
)
from depthzoo.evaluation.metrics.temporal import (
    dynamic_stereo_metrics,
    flow_tepe,
    opw,
    rtc,
    sequence_metrics,
    tae,
)
from depthzoo.evaluation.metrics.trajectory import ALIGNMENTS, ate, kitti_drift, rpe

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
T, H, W = 4, 17, 23


def _inputs(kind: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    truth = rng.uniform(1, 90, (T, H, W))
    truth[rng.random(truth.shape) < 0.3] = 0
    shown = np.where(truth > 0, truth, 5) * rng.uniform(0.6, 1.7, truth.shape)
    poses = np.tile(np.eye(4), (60, 1, 1))
    for i in range(1, 60):
        step = motion_matrices(rng.normal(scale=0.05, size=(1, 3)), [[0.1, 0.0, 6.0]])[0]
        poses[i] = poses[i - 1] @ step
    noise = motion_matrices(rng.normal(scale=0.02, size=(60, 3)), rng.normal(size=(60, 3)))
    floats = {
        "truth": truth,
        "shown": shown,
        "near": np.where(truth > 0, 1 / np.maximum(truth, 1), 0),
        "near_shown": 1 / shown,
        "flow": rng.normal(size=(T - 1, 2, H, W)) * 2,
        "back": rng.normal(size=(2, H, W)) * 2,
        "images": rng.random((T, 3, H, W)),
        "rows": np.stack([rng.uniform(-1, h, 50) for h in (40, 60, 90)], -1),
        "intrinsics": np.array([[20.0, 0, 11], [0, 20, 8], [0, 0, 1]]),
        "probability": rng.random((T, H, W)),
        "poses": poses,
        "moved": poses @ noise,
    }
    return {k: v.astype(kind) for k, v in floats.items()} | {
        "valid": truth > 0,
        "moving": rng.random(truth.shape) < 0.2,
        "labels": rng.integers(0, 4, truth.shape),
        "classes": rng.integers(0, 5, truth.shape),
        "motion_labels": rng.integers(0, 3, (40, 60)),
    }


def _motion(a: dict[str, Any]) -> Any:
    counts = MotionCounts(classes=5)
    counts.add(a["probability"], a["labels"], a["classes"])
    return [counts.curve(), counts.curve(reference=True), counts.false_positive_shares()]


def _points(a: dict[str, Any]) -> Any:
    found = point_depth_metrics(
        1 / a["shown"][0], a["rows"], (40, 60), labels=a["motion_labels"], high=75.0
    )
    return [found.values, found.scale, found.rows, found.labels]


CASES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "measure": lambda a: measure(
        ["rmse", "a1", "bad_1"], a["shown"][a["valid"]], a["truth"][a["valid"]]
    ),
    "depth": lambda a: depth_metrics(a["shown"], a["truth"], a["valid"]),
    "depth_map": lambda a: [
        depth_map_metrics(
            a["shown"][0], a["truth"][0], crop=GARG_CROP, alignment="median", median=median,
            clamp=(1e-3, 80.0),
        )
        for median in ("middle", "lower")
    ],
    "disparity": lambda a: disparity_metrics(a["shown"], a["truth"]),
    "raft": lambda a: raft_stereo_image(a["shown"], a["truth"], a["valid"], limit=3),
    "training_depth": lambda a: [
        training_depth_metrics(a["shown"], a["truth"], a["moving"], scale_of=which)
        for which in ("first", "each")
    ],
    "training_disparity": lambda a: training_disparity_metrics(a["shown"], a["truth"], a["valid"]),
    "loss": lambda a: sequence_loss([a["shown"], a["truth"]], a["truth"], a["valid"]),
    "points": _points,
    "sparse": lambda a: [
        sparse_depth_metrics(
            a["near_shown"][:, None], a["near"][:, None], a["moving"][:, None], region=region
        )
        for region in ("all", "moving", "static")
    ],
    "median_scaled": lambda a: median_scaled(a["near_shown"][:, None], a["near"][:, None]),
    "dense": lambda a: dense_inverse_depth_metrics(a["near_shown"], a["near"] + 0.01),
    "dynamic_stereo": lambda a: dynamic_stereo_metrics(a["shown"], a["truth"], a["valid"]),
    "sequence": lambda a: sequence_metrics(a["shown"], a["truth"], a["valid"]),
    "flow_tepe": lambda a: flow_tepe(a["shown"], a["truth"], a["flow"], a["valid"][:-1]),
    "opw": lambda a: opw(a["shown"], a["flow"], a["images"]),
    "rtc": lambda a: rtc(a["shown"], a["flow"], a["valid"][:-1], factor=1.5),
    "tae": lambda a: tae(a["shown"], a["intrinsics"], a["poses"][:T]),
    "motion": _motion,
    "binary": lambda a: binary_scores(a["probability"] > 0.5, a["moving"], a["valid"]),
    "ate": lambda a: [ate(a["moved"], a["poses"], alignment=name) for name in ALIGNMENTS],
    "rpe": lambda a: [
        rpe(a["moved"], a["poses"], delta=delta, every=every)
        for delta in (1, 3)
        for every in (True, False)
    ],
    "kitti": lambda a: kitti_drift(a["moved"], a["poses"], scale=1.1),
    "snippets": lambda a: [
        dynamo_snippets(a["moved"][1:-1], a["poses"]),
        snippet_ate(a["moved"][1:], a["poses"]),
    ],
    "regions": lambda a: region_metrics(
        ["abs_rel", "rmse", "a1"],
        a["shown"],
        a["truth"],
        motion_regions(a["moving"]) | by_distance(a["truth"]),
    ),
    "occluded": lambda a: [
        occluded_by_flow(a["flow"][0], a["back"]),
        occluded_by_disparity(a["truth"][0] / 9, a["shown"][0] / 9, limit=2.0),
    ],
    "resize": lambda a: [
        resize(a["shown"], (31, 20)),
        read_resized(a["shown"][0], (31, 20), [0, 30, 7], [19, 0, 5]),
        follow_flow(a["images"][0], a["flow"][0]),
    ],
}  # fmt: skip


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for v in value.values() for n in _numbers(v)]
    if isinstance(value, list | tuple):
        return [n for v in value for n in _numbers(v)]
    if isinstance(value, torch.Tensor):
        value = value.cpu().numpy()
    return [float(n) for n in np.asarray(value, np.float64).ravel()]


def _tensors(arrays: dict[str, Any], device: str) -> dict[str, Any]:
    return {key: torch.as_tensor(value, device=device) for key, value in arrays.items()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_numpy_and_torch_agree(name: str, device: str) -> None:
    for kind, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        arrays = _inputs(kind)
        ours = _numbers(CASES[name](arrays))
        theirs = _numbers(CASES[name](_tensors(arrays, device)))
        assert len(ours) == len(theirs) > 0
        assert any(math.isfinite(n) for n in ours)
        np.testing.assert_allclose(theirs, ours, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"occluded", "kitti"}))
def test_float32_is_float64_within_rounding(name: str) -> None:
    exact, rounded = (_numbers(CASES[name](_inputs(kind))) for kind in (np.float64, np.float32))
    np.testing.assert_allclose(rounded, exact, rtol=2e-3, atol=2e-3)


def test_a_gradient_does_not_get_in_the_way() -> None:
    truth = torch.full((5,), 2.0)
    shown = torch.full((5,), 3.0, requires_grad=True)
    assert depth_metrics(shown, truth)["abs_rel"] == 0.5


def test_numpy_alone_never_loads_torch() -> None:
    code = (
        "import sys, pkgutil, importlib, depthzoo.evaluation.metrics as m\n"
        "for one in pkgutil.iter_modules(m.__path__): "
        "importlib.import_module(f'{m.__name__}.{one.name}')\n"
        "m.depth_metrics([1.0], [2.0])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
