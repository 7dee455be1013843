"""Losses of sparse inverse depth against Dynamic-multiframe-depth's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.networks.depth_losses import (
    draw_triplets,
    multiframe_depth_loss,
    silog_loss,
    virtual_normal_loss,
)


@pytest.mark.golden
@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("path", golden_cases("eval", "dynamic_multiframe_depth*/loss*.npz"))
def test_dynamic_multiframe_loss(path: Path, kind: torch.dtype) -> None:
    arrays = np.load(path, allow_pickle=False)
    entry = json.loads((path.parent / "expected.json").read_text(encoding="utf-8"))[path.name]
    scales = sum(name.startswith("inv_mono_") for name in arrays.files)
    plain, mono = (
        [torch.as_tensor(arrays[f"{name}_{k}"]).to(kind) for k in range(scales)]
        for name in ("inv", "inv_mono")
    )
    found = multiframe_depth_loss(
        plain,
        mono,
        torch.as_tensor(arrays["target"]).to(kind),
        torch.as_tensor(arrays["intrinsics"]).to(kind),
        list(torch.as_tensor(arrays["triplets"])),
        alpha=entry["alpha"],
    )
    values = {name: float(value) for name, value in found.items()}
    assert values == pytest.approx(entry["expected"], rel=5e-6, abs=5e-6, nan_ok=True)


def test_exact_predictions_have_no_loss_and_others_a_gradient() -> None:
    torch.manual_seed(0)
    target = torch.rand(2, 1, 24, 32) + 0.05
    intrinsics = torch.eye(3).expand(2, 3, 3) * 20
    found = multiframe_depth_loss([target], [target], target, intrinsics)
    assert float(found["loss"]) == pytest.approx(0, abs=1e-3)
    shown = (target * 1.3 + 0.02 * torch.rand_like(target)).requires_grad_()
    multiframe_depth_loss([shown], [shown], target, intrinsics)["loss"].backward()
    assert shown.grad is not None and bool(shown.grad.isfinite().all()) and shown.grad.any()


def test_a_constant_factor_costs_only_the_mean() -> None:
    target = torch.rand(1, 1, 9, 9, dtype=torch.float64) + 0.1
    wanted = 10 * (0.15 * np.log(2) ** 2) ** 0.5
    assert float(silog_loss(2 * target, target)) == pytest.approx(wanted)


def test_triplets_without_area_leave_nothing() -> None:
    depth = torch.zeros(1, 1, 8, 8)
    picks = draw_triplets(8, 8, torch.Generator().manual_seed(0))
    assert picks.shape == (3, int(0.15 * 64))
    assert virtual_normal_loss(depth + 1, depth, torch.eye(3)[None], picks).isnan()
