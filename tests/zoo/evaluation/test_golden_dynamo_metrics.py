"""Depth of sparse rows, motion masks and snippets against Dynamo-Depth's own evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.evaluation.metrics.depth_points import (
    DYNAMO_NAMES,
    PointScore,
    average_images,
    average_labels,
    format_dynamo_depth,
    point_depth_metrics,
    scaled_disparity,
)

pytestmark = pytest.mark.golden
LIBRARIES = {
    "numpy": lambda a: np.asarray(a, np.float64),
    "torch": lambda a: torch.as_tensor(np.asarray(a, np.float64)),
    "torch-f32": lambda a: torch.as_tensor(np.asarray(a, np.float32)),
}


def agree(found: Any, wanted: Any, tolerance: float) -> None:
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    assert (abs(found - wanted) <= tolerance * np.maximum(1, abs(wanted))).all(), abs(
        found - wanted
    ).max()


def _scores(
    arrays: Any, prefix: str, disparity: Any, mask: str, given: Any, **rules: Any
) -> list[PointScore]:
    labels = arrays.get(prefix + mask)
    return [
        point_depth_metrics(
            given(disparity[i]),
            given(arrays[prefix + "depth_gt"][i]),
            tuple(arrays[prefix + "gt_dim"][i]),
            valid=given(arrays[prefix + "depth_valid"][i]),
            labels=None if labels is None else labels[i].astype(np.int64),
            **rules,
        )
        for i in range(len(disparity))
    ]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_depth_metrics*.json"))
def test_dynamo_depth_metrics(path: Path, library: str) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    given = LIBRARIES[library]
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        prefix = case["prefix"]
        assert list(DYNAMO_NAMES) == case["metric_names"]
        scores = _scores(
            arrays, prefix, arrays[prefix + "disp_scaled"], "mask", given,
            crop=tuple(case["img_bound"]), low=case["min_depth"], high=case["max_depth"],
        )  # fmt: skip
        tolerance = 2e-5 if library.endswith("32") else 1e-6
        agree([list(s.values.values()) for s in scores], case["per_image"], tolerance)
        agree(list(average_images(scores).values()), case["batch_mean"], tolerance)
        wanted = case["per_label_sum_and_count"]
        if wanted is not None:
            sums = average_labels(scores)
            for name, by_label in wanted.items():
                assert [str(label) for label in sums] == sorted(by_label)
                for label, (total, count) in by_label.items():
                    agree(sums[int(label)][name][0], total, tolerance)
                    assert sums[int(label)][name][1] == count


@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_depth_script*.json"))
def test_dynamo_depth_script(path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    case = json.loads(path.read_text(encoding="utf-8"))
    kitti = case["dataset"] == "kitti"
    rules: dict[str, Any] = {"high": 80.0 if kitti else 75.0}
    if kitti:
        rules["crop"] = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
    disparity = scaled_disparity(arrays["disp"])
    scores = _scores(arrays, "", disparity, "mot_mask", LIBRARIES["numpy"], **rules)
    checkpoint = re.search("Model Path - (.*) ===", case["report_text"])
    assert checkpoint is not None
    text = format_dynamo_depth(checkpoint[1], scores, None if kitti else scores)
    number = re.compile(r"& *(-?[0-9.]+)")
    numbers = [float(n) for n in number.findall(text)]
    wanted = [float(n) for n in number.findall(case["report_text"])]
    agree(numbers, wanted, 1.1e-3)
    same = [re.sub("[0-9]", "#", t) for t in (text, case["report_text"])]
    assert same[0] == same[1]
    exact = list(average_images(scores).values())
    if not kitti:
        sums = average_labels(scores)
        exact += [total / n for k in (0, 2, 1) for total, n in sums[k].values()]
    agree(exact, wanted, 6e-4)
