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
from depthzoo.evaluation.metrics.motion import MotionCounts, dynamo_thresholds
from depthzoo.evaluation.metrics.resampling import resize
from depthzoo.evaluation.metrics.snippets import (
    dynamo_snippets,
    motion_matrices,
    odometry_poses,
    sfm_learner_ate,
)
from depthzoo.networks import geometry
from depthzoo.networks.ground_plane import fit_ground_plane, ground_depth
from depthzoo.networks.photometric import edge_aware_smoothness, ssim_loss

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


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_motion_segmentation*.json"))
def test_dynamo_depth_motion_segmentation(path: Path, library: str) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    case = json.loads(path.read_text(encoding="utf-8"))
    width, height = case["full_res_shape_wh"]
    wanted = case.get("false_positive_rate_by_class")
    classes = int(arrays["sem_mask"].max()) + 1 if wanted else 0
    thresholds = arrays["out_thrds"]
    counts = MotionCounts(dynamo_thresholds(thresholds.size), classes=classes)
    np.testing.assert_array_equal(counts.thresholds, thresholds.ravel())
    for i, mask in enumerate(arrays["motion_mask"]):
        full = resize(LIBRARIES[library](mask[0]), (height, width))
        one = MotionCounts(counts.thresholds, classes=classes)
        one.add(full, arrays["mot_mask"][i], arrays["sem_mask"][i] if classes else None)
        counts.merge(one)
    curve = counts.curve(reference=True)
    for name in ("precision", "recall", "f1"):
        agree(curve[name], arrays[f"out_{name}"], 1e-6)
    if wanted:
        shares = counts.false_positive_shares()
        assert {str(k): v for k, v in shares.items()} == pytest.approx(wanted, abs=1e-6)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert counts.tally_title() == case["tally_title"]


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_odometry*.json"))
def test_dynamo_depth_odometry(path: Path, library: Any) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    info = json.loads(path.read_text(encoding="utf-8"))
    for case in info["cases"]:
        names = ("pred_axisangle", "pred_translation", "odometry_rows", "ates", "speeds")
        vector, move, rows, ates, speeds = (arrays[case["prefix"] + name] for name in names)
        assert rows.shape == (case["frames"], case["values_per_row"])
        poses = odometry_poses(library(rows))
        motions = motion_matrices(library(vector), library(move))
        found, pace = dynamo_snippets(motions, poses, length=info["track_length"])
        agree(found, ates, 1e-10)
        agree(pace, speeds, 1e-10)
        assert len(found) == case["num_snippets"]
        agree([found.mean(), pace.mean()], [case["mean_ate"], case["mean_speed"]], 1e-10)
        if case["prediction_is_exact"]:
            # the reference's own defect: the exact motion has an error
            assert found.max() > 1e-3
    value = sfm_learner_ate(library(arrays["ate_pred"]), library(arrays["ate_gt"]))
    agree(value, arrays["ate_value"], 1e-10)


@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_geometry*.npz"))
def test_dynamo_depth_geometry(path: Path) -> None:
    arrays = np.load(path, allow_pickle=False)
    ranges = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    matrices = motion_matrices(arrays["axisangle"], arrays["translation"])
    agree(matrices, arrays["matrix"], 1e-9)
    # not quite a rotation (the axis is divided by angle + 1e-7): transposed, not inverted
    agree(geometry.invert_rigid(torch.as_tensor(matrices)), arrays["matrix_inverted"], 1e-9)
    turns = motion_matrices(arrays["axisangle"], np.zeros_like(arrays["translation"]))
    agree(turns, arrays["rotation"], 1e-9)
    near, far = ranges["min_depth"], ranges["max_depth"]
    scaled = scaled_disparity(arrays["disp"], near, far)
    agree(scaled, arrays["scaled_disp"], 1e-9)
    agree(1 / scaled, arrays["depth_from_disp"], 1e-9)
    agree((scaled - 1 / far) / (1 / near - 1 / far), arrays["disp_back"], 1e-9)
    depth, transform = torch.as_tensor(arrays["depth"]), torch.as_tensor(arrays["T"])
    intrinsics = torch.as_tensor(arrays["K"])[:, :3, :3]
    points = geometry.back_project(depth, intrinsics)
    agree(points.flatten(2), arrays["cam_points"][:, :3], 1e-9)
    moved = geometry.move(points, transform)
    agree((moved - points).flatten(2), arrays["ego_flow"], 1e-9)
    for name, pose in (("sample", transform), ("sample_identity", None)):
        pixels = geometry.project(points, intrinsics, pose)
        agree(geometry.sampling_grid(pixels), arrays[name], 1e-9)
    one, two = (torch.as_tensor(arrays[f"img{k}"]) for k in (1, 2))
    agree(ssim_loss(one, two), arrays["ssim"], 1e-9)
    disparity = torch.as_tensor(arrays["disp"])
    agree(edge_aware_smoothness(disparity), arrays["smooth_plain"], 1e-9)
    tiled = disparity.repeat(1, 1, 2, 2)[:, :, :6, :8]
    agree(edge_aware_smoothness(tiled, one[:, :, :6, :8]), arrays["smooth_with_img"], 1e-9)
    rules = ranges["ground_plane"]
    picks = torch.as_tensor(arrays["gp_picks"])
    plane = fit_ground_plane(
        torch.as_tensor(arrays["gp_points"]),
        picks.view(len(picks), rules["max_it"], rules["num_points_per_it"]),
        share=rules["g_prior"],
        tolerance=rules["tol"],
    )
    agree(plane.weights[..., None], arrays["gp_param"], 1e-9)
    agree(plane.height, arrays["gp_dist"], 1e-9)


def test_the_ground_that_a_plane_shows_is_the_plane() -> None:
    weights = torch.tensor([[0.05, -0.02, 1.6]], dtype=torch.float64)
    intrinsics = torch.tensor([[[40.0, 0, 15.5], [0, 42.0, 9.5], [0, 0, 1]]], dtype=torch.float64)
    depth = ground_depth(weights, intrinsics, torch.zeros(20, 32, dtype=torch.float64), 100.0)
    points = geometry.back_project(depth, intrinsics)
    seen = (depth < 100).squeeze(1)
    x, y, z = (axis[seen] for axis in points.unbind(1))
    assert 0.3 < seen.double().mean() < 0.7
    torch.testing.assert_close(y, 0.05 * x - 0.02 * z + 1.6)
    picks = torch.randint(8 * 32, (1, 40, 5), generator=torch.Generator().manual_seed(0))
    found = fit_ground_plane(points, picks)
    torch.testing.assert_close(found.weights, weights, rtol=0, atol=1e-4)
    assert found.height.squeeze(1)[seen].abs().max() < 1e-2
