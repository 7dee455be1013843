"""The image protocol of RAFT-Stereo against the numbers of its own evaluator."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthzoo.evaluation import get_protocol, list_protocols
from depthzoo.evaluation.results import FrameRecord, Report
from depthzoo.evaluation.scoring import Curves, score

pytestmark = pytest.mark.golden

BY_KEY = {
    key.removesuffix("-epe"): protocol
    for protocol in map(get_protocol, list_protocols())
    for key in protocol.reported
    if key.endswith("-epe")
}


@pytest.mark.parametrize("path", golden_cases("eval", "stereo_raft*.json"))
def test_stereo_raft(path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    expected = json.loads(path.read_text(encoding="utf-8"))
    used = set()
    for key, numbers in expected.items():
        protocol = BY_KEY[key]
        records = []
        for i in count():
            if f"{key}{i}_gt" not in arrays:
                break
            names = [f"{key}{i}_{part}" for part in ("gt", "flow")]
            truth, flow = (arrays[name] for name in names)
            used |= {*names, f"{key}{i}_valid"}
            scored = score(protocol, -flow, truth, "disparity")
            records.append(FrameRecord(key, "left", i, str(i), scored))
        report = Report(protocol, records, Curves("disparity"), {"name": key}, [], "none")
        assert report.reported == pytest.approx(numbers, rel=1e-6, nan_ok=True)
    assert used == set(arrays.files), "arrays of the file that no dataset used"
