"""Inverse depth of sparse lidar against Dynamic-multiframe-depth's own evaluation."""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.evaluation.metrics.depth import DEPTH_METRICS
from depthzoo.evaluation.metrics.sparse import (
    average_batches,
    dense_inverse_depth_metrics,
    median_scaled,
    sparse_depth_metrics,
)

pytestmark = pytest.mark.golden
FOLDER = "dynamic_multiframe_depth*"
TOLERANCE = 5e-6


def _expected(path: Path) -> dict[str, Any]:
    text = (path.parent / "expected.json").read_text(encoding="utf-8")
    entry: dict[str, Any] = json.loads(text)[path.name]
    return entry


def _agree(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert found == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE, nan_ok=True)


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("path", golden_cases("eval", f"{FOLDER}/metrics_*.npz"))
def test_dynamic_multiframe_metrics(path: Path, kind: Any, library: Any) -> None:
    arrays = np.load(path, allow_pickle=False)
    entry = _expected(path)
    pred, mono, target = (library(arrays[k].astype(kind)) for k in ("pred", "mono", "target"))
    mask = library(arrays["mvobj_mask"])
    rule = re.compile(r"(?:(mono|roi|median_scaled|onlyvalid)_)?(all_|dynamic_)?(\d+)")
    for name, wanted in entry["expected"].items():
        dense = re.fullmatch(r"dense_(\d+)_on_target_filled_with_([0-9.]+)", name)
        if dense:
            filled = arrays["target"].copy()
            filled[filled <= 0] = float(dense[2])
            found = dense_inverse_depth_metrics(
                pred, library(filled.astype(kind)), max_distance=float(dense[1])
            )
            _agree({f"{key}_metric": value for key, value in found.items()}, wanted)
            continue
        parts = rule.fullmatch(name)
        assert parts is not None, f"no test of {name}"
        what, region, distance = parts.groups()
        rules = {
            "max_distance": float(distance),
            "region": "moving" if region == "dynamic_" else "all",
            "roi": tuple(entry["roi"]) if what == "roi" else None,
            "only_valid": what == "onlyvalid",
        }
        shown = {"mono": mono, "median_scaled": median_scaled(pred, target)}.get(what or "", pred)
        _agree(sparse_depth_metrics(shown, target, mask, **rules), wanted)


@pytest.mark.parametrize("path", golden_cases("eval", f"{FOLDER}/averaging*.npz"))
def test_dynamic_multiframe_averaging(path: Path) -> None:
    arrays = np.load(path, allow_pickle=False)
    entry = _expected(path)
    assert entry["order"] == list(DEPTH_METRICS)
    found: dict[str, list[dict[str, float]]] = {"all": [], "moving": []}
    sizes = []
    for j in count():
        if f"pred_{j}" not in arrays:
            break
        batch = [arrays[f"{key}_{j}"] for key in ("pred", "target", "mvobj_mask")]
        sizes.append(len(batch[0]))
        for region, values in found.items():
            values.append(
                sparse_depth_metrics(*batch, region=region, max_distance=entry["max_distance"])
            )
    everything = average_batches(found["all"], sizes)
    moving = average_batches(found["moving"], sizes)
    wanted = entry["expected"]
    got = {
        "metrics": everything["metrics"],
        "metrics_mv": moving["metrics"],
        "metrics_correct": everything["metrics_correct"],
        "valid_batches": everything["valid_batches"],
        "valid_batches_mv": moving["valid_batches"],
    }
    assert set(got) == set(wanted)
    for key, value in wanted.items():
        assert got[key] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE, nan_ok=True), key
