"""Whole protocols of depth against the papers' own programs, as evaluations of sequence files."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golden_cases
from truth_models import Spoiler, write_file

from depthzoo.evaluation import evaluate, get_protocol
from depthzoo.evaluation.records import FrameRecord
from depthzoo.evaluation.results import Report
from depthzoo.evaluation.scoring import Curves, score
from depthzoo.evaluation.targets import PointTruth

pytestmark = pytest.mark.golden

POOLED = ("abs_rel", "sq_rel", "a1", "a2", "a3")
"""What Dynamic-multiframe-depth takes over all pixels of a batch; roots are means over images."""


def multiframe(
    monkeypatch: pytest.MonkeyPatch, root: Path, arrays: dict[str, Any], invariance: str
) -> Report:
    """Evaluate inverse depths (N,H,W) as the frames of a file, under the protocol at their size."""
    pred, target, mask = (arrays[key] for key in ("pred", "target", "mvobj_mask"))
    size = target.shape[1:]
    text = "{}x{}".format(*size)
    monkeypatch.setattr("depthzoo.evaluation.targets.CROP_SIZE", size)
    rules = dataclasses.replace(get_protocol("kitti_odometry/multiframe"), prepare=text)
    with np.errstate(divide="ignore"):
        depth = np.where(target > 0, 1 / target, np.nan).astype(np.float32)
        write_file(
            root / "00.h5", len(target), size, dataset="kitti_odometry", cameras=("left",),
            streams={
                "depth_annotated": depth,
                f"masks/moving_{text}": (mask > 0.5).astype(np.uint8),
            },
        )  # fmt: skip
        model = Spoiler(root, lambda path, t: 1 / pred[t].astype(np.float64), "depth", invariance)
        return evaluate(model, root, rules)


def approx(values: Any) -> Any:
    return pytest.approx(values, rel=5e-6, abs=5e-6, nan_ok=True)


@pytest.mark.parametrize("path", golden_cases("eval", "dynamic_multiframe_depth*/averaging*.npz"))
def test_golden_multiframe_averages(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = np.load(path, allow_pickle=False)
    entry = json.loads((path.parent / "expected.json").read_text(encoding="utf-8"))[path.name]
    number = next(j for j in count() if f"pred_{j}" not in found)
    arrays = {
        key: np.concatenate([found[f"{key}_{j}"][:, 0] for j in range(number)])
        for key in ("pred", "target", "mvobj_mask")
    }
    report = multiframe(monkeypatch, tmp_path, arrays, "metric")
    wanted = entry["expected"]
    assert list(report.aggregate) == entry["order"]
    assert list(report.aggregate.values()) == approx(wanted["metrics"])
    moving = report.regions["moving"]
    assert [moving[name] for name in entry["order"]] == approx(wanted["metrics_mv"])
    assert len(report.frames) - report.empty_frames == wanted["valid_batches"]
    assert moving["frames"] == wanted["valid_batches_mv"]


@pytest.mark.parametrize("path", golden_cases("eval", "dynamic_multiframe_depth*/metrics_*.npz"))
@pytest.mark.parametrize("branch", ["pred", "mono", "scaled"])
def test_golden_multiframe_batches(
    path: Path, branch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = np.load(path, allow_pickle=False)
    text = (path.parent / "expected.json").read_text(encoding="utf-8")
    expected = json.loads(text)[path.name]["expected"]
    arrays = {key: found[key][:, 0] for key in ("target", "mvobj_mask")}
    arrays["pred"] = found["mono" if branch == "mono" else "pred"][:, 0]
    scale = "scale" if branch == "scaled" else "metric"
    report = multiframe(monkeypatch, tmp_path, arrays, scale)
    kinds = {"pred": ("all_80", "dynamic_80"), "mono": ("mono_80", "mono_dynamic_80"),
             "scaled": ("median_scaled_80", None)}  # fmt: skip
    everything, dynamic = kinds[branch]
    images, pixels = report.average("images"), report.average("pixels")
    got = {name: (pixels if name in POOLED else images)[name] for name in images}
    assert got == approx(expected[everything])
    if dynamic is not None:
        parts = [record.score.regions["moving"] for record in report.frames]
        weights = [part.pixels for part in parts]
        for name, wanted in expected[dynamic].items():
            own = np.array([part.values[name] for part in parts])
            if name in POOLED:
                kept = np.array(weights) > 0
                mean = np.average(own[kept], weights=np.array(weights)[kept])
            else:
                mean = own.mean()
            assert mean == approx(wanted), name


def dynamo_report(protocol: Any, disparity: Any, arrays: Any, prefix: str, masks: Any) -> Report:
    """Measure images as the protocol says; their truth is given in rows, not in a file."""
    records = []
    for i, one in enumerate(disparity):
        rows = arrays[f"{prefix}depth_gt"][i][arrays[f"{prefix}depth_valid"][i] > 0]
        size = tuple(int(n) for n in arrays[f"{prefix}gt_dim"][i])
        regions = None
        if masks is not None:
            regions = {name: masks[i] == label for name, label in LABELS.items()}
        truth = PointTruth(rows.astype(np.float64), size)  # type: ignore[arg-type]
        depth = 1 / one[0].astype(np.float64)
        scored = score(protocol, depth, truth, "scale", regions=regions)
        records.append(FrameRecord("x", "front", i, str(i), scored))
    return Report(protocol, records, Curves("depth"), {"name": "x"}, [], "median")


LABELS = {"background": 0, "moving": 1, "static": 2, "unlabelled": 3}


@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_depth_metrics*.json"))
def test_golden_dynamo_depth_images(path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        kitti = case["img_bound"] != [0, 1, 0, 1]
        protocol = get_protocol(f"dynamo_depth/depth/{'kitti' if kitti else 'nuscenes'}")
        if kitti:
            assert list(protocol.crop or ()) == case["img_bound"]
        # the bounds of a case may be of one data set and its distance of another
        rules = dataclasses.replace(
            protocol, clamp=(case["min_depth"], case["max_depth"]),
            valid=dataclasses.replace(
                protocol.valid, low=case["min_depth"], high=case["max_depth"]
            ),
        )  # fmt: skip
        prefix = case["prefix"]
        masks = arrays.get(f"{prefix}mask")
        report = dynamo_report(rules, arrays[f"{prefix}disp_scaled"], arrays, prefix, masks)
        assert list(report.reported) == case["metric_names"]
        for record, wanted in zip(report.frames, case["per_image"], strict=True):
            assert [*record.score.values.values()] == pytest.approx(wanted, rel=1e-6, abs=1e-6)
        assert [*report.reported.values()] == pytest.approx(case["batch_mean"], rel=1e-6, abs=1e-6)
        for name, labels in (case["per_label_sum_and_count"] or {}).items():
            for label, (total, number) in labels.items():
                region = next(k for k, v in LABELS.items() if v == int(label))
                found = report.regions[region]
                ours = found[rules.reported[name]]
                assert found["pixels"] == number
                assert ours * number == pytest.approx(total, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_depth_script*.json"))
def test_golden_dynamo_depth_script(path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    case = json.loads(path.read_text(encoding="utf-8"))
    protocol = get_protocol(f"dynamo_depth/depth/{case['dataset']}")
    disparity = 0.01 + 9.99 * arrays["disp"].astype(np.float64)
    report = dynamo_report(protocol, disparity, arrays, "", arrays["mot_mask"])
    rows = {}
    for line in case["report_text"].splitlines():
        cells = re.findall(r"[\w:.-]+", line.replace("&", " "))
        if cells and cells[0] in ("OVERALL", "BG", "STATIC", "MOT"):
            rows[cells[0]] = [float(cell) for cell in cells[1:]]
        elif cells and cells[0] == "Split":
            assert cells[1:] == list(report.reported)
    names = protocol.reported.values()
    regions = report.regions
    found = {
        "OVERALL": [report.aggregate[name] for name in names],
        **{
            theirs: [regions[ours][name] for name in names]
            for theirs, ours in (("BG", "background"), ("STATIC", "static"), ("MOT", "moving"))
        },
    }
    assert set(rows) == set(found)
    for key, wanted in rows.items():
        assert found[key] == pytest.approx(wanted, abs=6e-4), key
