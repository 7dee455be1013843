"""Disparity over time, points and sparse resizing against the stereo papers' own code."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.evaluation.metrics.disparity import average_raft_stereo, raft_stereo_image
from depthzoo.evaluation.metrics.resampling import resize_sparse_flow
from depthzoo.evaluation.metrics.temporal import average_sequences, dynamic_stereo_metrics
from depthzoo.evaluation.point_cloud import lift_depth

pytestmark = pytest.mark.golden
LIBRARIES = pytest.mark.parametrize("library", [np.asarray, torch.as_tensor], ids=["np", "torch"])

# pixels that count, threshold of D1, D1 over all pixels together
RULES: dict[str, tuple[Any, float, bool]] = {
    "eth3d": (lambda g: g < 512, 1, False),
    "kitti": (lambda g: g > 0, 3, True),
    "things": (lambda g: abs(g) < 192, 1, True),
    "middlebury": (lambda g: abs(g) < np.inf, 2, False),
}


@LIBRARIES
@pytest.mark.parametrize("path", golden_cases("eval", "stereo_dynamic_stereo*.json"))
def test_stereo_dynamic_stereo(path: Path, library: Any) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    expected = json.loads(path.read_text(encoding="utf-8"))
    found, frames = [], []
    for i in count():
        if f"s{i}" not in expected:
            break
        pred, gt, mask = (library(arrays[f"s{i}_{key}"]) for key in ("pred", "gt", "mask"))
        found.append(dynamic_stereo_metrics(pred, gt, mask))
        frames.append(len(pred))
        assert found[-1] | {"frames": frames[-1]} == pytest.approx(
            expected.pop(f"s{i}"), rel=1e-5, abs=1e-5
        )
    mean = average_sequences(found, frames)
    assert mean == pytest.approx(expected.pop("aggregate"), rel=1e-5, abs=1e-5)
    ones = library(np.ones((2, 1, 4, 4), np.float32))
    perfect = dynamic_stereo_metrics(ones, ones, ones)
    assert {k.removeprefix("disp_"): v for k, v in perfect.items()} == expected.pop(
        "all_zero_error"
    )
    assert not expected, "cases of the file that nothing tested"


@LIBRARIES
@pytest.mark.parametrize("path", golden_cases("eval", "stereo_raft*.json"))
def test_stereo_raft_measures(path: Path, library: Any) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    for key, wanted in json.loads(path.read_text(encoding="utf-8")).items():
        rule, limit, pooled = next(r for name, r in RULES.items() if key.startswith(name))
        images = []
        for i in count():
            if f"{key}{i}_gt" not in arrays:
                break
            truth, flow = (library(arrays[f"{key}{i}_{part}"]) for part in ("gt", "flow"))
            images.append(raft_stereo_image(-flow, truth, rule(truth), limit=limit))
        found = average_raft_stereo(images, pooled=pooled)
        assert {f"{key}-{k}": v for k, v in found.items()} == pytest.approx(
            wanted, rel=1e-6, nan_ok=True
        )


@pytest.mark.parametrize("path", golden_cases("eval", "stereo_pcd*.npz"))
def test_stereo_pcd(path: Path) -> None:
    arrays = np.load(path, allow_pickle=False)
    names = [name for name in arrays.files if name.startswith("points_step")]
    assert names
    for name in names:
        step, _, filtered = name.removeprefix("points_step").partition("_")
        # without a filter or with every pixel: in the world; thinned: in the camera's axes
        move = arrays["inv_extrinsic"] if step == "1" else None
        points, colors = lift_depth(
            arrays["depth"],
            arrays["img"],
            float(arrays["focal"]),
            (float(arrays["cx"]), float(arrays["cy"])),
            move,
            step=int(step),
            outliers=3.0 if filtered else None,
        )
        wanted = arrays[name]
        assert points.shape == wanted.shape
        assert (abs(points - wanted) <= 1e-5 * np.maximum(1, abs(wanted))).all()
        np.testing.assert_allclose(colors, arrays[name.replace("points", "colors")], atol=1e-5)


@pytest.mark.parametrize("path", golden_cases("eval", "stereo_sparse_resize*.npz"))
def test_stereo_sparse_resize(path: Path) -> None:
    arrays = np.load(path, allow_pickle=False)
    for i in count():
        if f"factor{i}" not in arrays:
            break
        factor = float(arrays[f"factor{i}"])
        flow, valid = resize_sparse_flow(arrays["flow"], arrays["valid"], (factor, factor))
        np.testing.assert_array_equal(valid, arrays[f"valid_out{i}"])
        np.testing.assert_allclose(flow, arrays[f"flow_out{i}"], rtol=1e-6, atol=1e-6)
    assert i
