"""Insta-DM's losses: against recorded ones, and where they must vanish."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support import golden_cases

from depthzoo.networks.insta_dm_losses import (
    Frame,
    LossOptions,
    Motion,
    insta_dm_losses,
    size_loss,
    smoothness_loss,
)

WEIGHTS = {"photo": 2.0, "geometry": 1.0, "smooth": 0.1, "object_size": 0.02}
WEIGHTS["motion_consistency"] = 0.1


def arguments(given, prior):
    count = sum(name.startswith("ref_img_") for name in given)
    targets, references, forward, backward = [], [], [], []
    for j in range(count):
        shared, other = (given[f"{side}_insts_{j}"][:, 1:] for side in ("tgt", "ref"))
        targets.append(Frame(given["tgt_img"], given["tgt_depth"], shared))
        references.append(Frame(given[f"ref_img_{j}"], given[f"ref_depth_{j}"], other))
        forward.append(Motion(given[f"ego_fwd_{j}"], given[f"obj_fwd_{j}"]))
        backward.append(Motion(given[f"ego_bwd_{j}"], given[f"obj_bwd_{j}"]))
    return targets, references, forward, backward, given["intrinsics"], torch.tensor(prior)


@pytest.mark.golden
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 5e-6), (torch.float64, 1e-7)])
@pytest.mark.parametrize("folder", golden_cases("eval", "insta_dm_geometry*"))
def test_golden_eval_losses(folder, dtype, limit):
    want = json.loads((folder / "losses.json").read_text())["losses"]
    with np.load(folder / "inputs.npz") as inputs:
        given = {name: torch.from_numpy(inputs[name]).to(dtype) for name in inputs.files}
    found = insta_dm_losses(*arguments(given, want["height"]))._asdict()
    total = sum(WEIGHTS[name] * value for name, value in found.items())
    found["total_with_script_weights"] = total
    plain = LossOptions(ssim=False, mask=False, auto_mask=False, only_objects=True)
    objects = insta_dm_losses(*arguments(given, want["height"]), plain)
    for name in ("photo", "geometry"):
        found[f"{name}_no_ssim_no_mask_no_auto_only_obj"] = getattr(objects, name)
    depths = [v for k, v in given.items() if "depth" in k]
    found["depth_mean"] = sum((1 / depth).mean() for depth in depths) / len(depths)
    assert set(want) - {"height"} == set(found)
    for name, value in found.items():
        assert float(value) == pytest.approx(want[name], rel=limit), name


def frame(masks=0, **changes):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 24, 32, generator=generator) * 2 - 1
    depth = 2 + torch.rand(2, 1, 24, 32, generator=generator)
    return Frame(image, depth, torch.zeros(2, masks, 24, 32))._replace(**changes)


@pytest.mark.parametrize("masks", [0, 2])
def test_without_objects_nothing_is_undefined(masks):
    one, other = frame(masks), frame(masks)
    still = Motion(torch.zeros(2, 6), torch.zeros(2, masks, 3))
    matrix = torch.tensor([[[20.0, 0, 16], [0, 20, 12], [0, 0, 1]]]).expand(2, -1, -1)
    prior = torch.tensor(0.02, requires_grad=True)
    for options in (LossOptions(), LossOptions(only_objects=True)):
        found = insta_dm_losses([one], [other], [still], [still], matrix, prior, options)
        assert all(torch.isfinite(value) for value in found)
        assert found.object_size == 0
    assert found.photo == 0 and found.geometry == 0


def test_an_object_of_the_height_that_its_depth_says_costs_nothing():
    masks = torch.zeros(2, 1, 24, 32)
    masks[:, :, 5:16, 8:14] = 1  # ten rows from the first to the last
    depth = torch.full((2, 1, 24, 32), 4.0)
    there = frame()._replace(masks=masks, depth=depth)
    assert size_loss(there, torch.tensor([20.0, 20.0]), torch.tensor(2.0)) == 0
    prior = torch.tensor(3.0, requires_grad=True)
    loss = size_loss(there, torch.tensor([20.0, 20.0]), prior)
    loss.backward()
    assert float(loss) == pytest.approx(0.5) and prior.grad > 0


def test_flat_depth_is_smooth_and_steps_at_edges_cost_less():
    image, depth, _ = frame()
    assert smoothness_loss(torch.ones_like(depth), image) == 0
    step = torch.ones_like(depth)
    step[..., 16:] = 2
    edge = torch.zeros_like(image)
    edge[..., 16:] = 1
    assert smoothness_loss(step, edge) < smoothness_loss(step, torch.zeros_like(image))
