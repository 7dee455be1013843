"""What the reference codes measure of a batch while they train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.evaluation.metrics.depth import training_depth_metrics
from depthzoo.evaluation.metrics.disparity import sequence_loss, training_disparity_metrics

pytestmark = pytest.mark.golden
LIBRARIES = pytest.mark.parametrize("library", [np.asarray, torch.as_tensor], ids=["np", "torch"])


@LIBRARIES
@pytest.mark.parametrize("path", golden_cases("eval", "insta_dm_eigen*/validation*.json"))
def test_insta_dm_validation(path: Path, library: Any) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    wanted = json.loads(path.read_text(encoding="utf-8"))
    found: Any = training_depth_metrics(*(library(arrays[k]) for k in ("pred", "gt", "seg")))
    for region in ("all", "background", "foreground"):
        values = [found[region][name] for name in wanted["names"]]
        assert values == pytest.approx(wanted[region], rel=2e-6, abs=2e-6), region
    assert list(found["scale"].values()) == pytest.approx(
        [wanted["median_scale"]] * len(arrays["gt"]), rel=2e-6
    )


@LIBRARIES
@pytest.mark.parametrize("path", golden_cases("eval", "stereo_loss*.json"))
def test_stereo_loss(path: Path, library: Any) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    predictions, truth, valid = (library(arrays[key]) for key in ("preds", "gt", "valid"))
    for name, wanted in json.loads(path.read_text(encoding="utf-8")).items():
        shown = predictions[-1:] if name.endswith("single_prediction") else predictions
        code = "raft_stereo" if name.startswith("raft_stereo") else "dynamic_stereo"
        found = training_disparity_metrics(shown[-1], truth, valid)
        found["loss"] = sequence_loss(shown, truth, valid, single=code)
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)
