"""Instances of neighbouring frames: against a literal second opinion, and against exact truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.association import (
    associate,
    by_area,
    drop_empty,
    fetch,
    match_masks,
    seen_by_both,
)
from depthdata.errors import UsageError
from depthdata.instance_masks import pack_masks
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.layouts.vis import bodies_of, dense_flow, masks_of


def plain_fetch(values: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    height, width = flow.shape[1:]
    x = (torch.arange(width) + flow[0]) / (width / 2) - 1
    y = (torch.arange(height)[:, None] + flow[1]) / (height / 2) - 1
    grid = torch.stack([x, y], dim=-1)[None]
    sampled = torch.nn.functional.grid_sample(
        values[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )[0]
    return sampled * (torch.maximum(x.abs(), y.abs()) <= 1)


def plain_seen(flow: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    def norm(a: torch.Tensor) -> torch.Tensor:
        return (a.abs() + 1e-10).square().sum(0).sqrt()

    return norm(flow + plain_fetch(other, flow)) < torch.clamp(0.05 * norm(flow), min=3)


def plain_best(rows: torch.Tensor, columns: torch.Tensor, seen: torch.Tensor):
    overlap, best = [0.0], [0]
    for a in rows[1:]:
        values = []
        for b in columns:
            inter = (a * seen * (b * seen)).clamp(0, 1).sum()
            union = (a * seen + b * seen).clamp(0, 1).sum()
            values.append(inter / union)
        value, column = torch.stack(values).max(0)
        overlap.append(float(value))
        best.append(int(column))
    return overlap, best


def plain_associate(stack_0, stack_1, forward, backward, most):
    S0, S1 = (torch.from_numpy(stack).float() for stack in (stack_0, stack_1))
    f, b = torch.from_numpy(forward), torch.from_numpy(backward)
    iou_01, ch_01 = plain_best(plain_fetch(S0, b), S1, plain_seen(b, f))
    iou_10, ch_10 = plain_best(plain_fetch(S1, f), S0, plain_seen(f, b))
    free_0, free_1 = torch.ones(f.shape[1:]), torch.ones(f.shape[1:])
    out_0, out_1 = [], []
    for c, m in enumerate(ch_01):
        if ch_10[m] == c and iou_01[c] > 0.5 and iou_10[m] > 0.5 and len(out_0) < most:
            one, two = S0[c] * free_0, S1[m] * free_1
            if one.any() and two.any():
                out_0.append(one)
                out_1.append(two)
                free_0, free_1 = free_0 * (1 - one), free_1 * (1 - two)
    count = len(out_0)
    empty = [torch.zeros(f.shape[1:])] * (most - count)
    number = [torch.full(f.shape[1:], float(count))]
    return torch.stack(number + out_0 + empty), torch.stack(number + out_1 + empty)


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(seed=5, frames=3, height=48, width=156, objects=7)


class Pair:
    """Masks and flow of two neighbours of the scene, and whose masks they are."""

    def __init__(self, scene: SyntheticScene, t: int, spread: int) -> None:
        frames = [scene.render(s, colour=False) for s in (t, t + 1)]
        self.forward = dense_flow(scene, frames[0].flow_forward, "left", t, t + 1)
        self.backward = dense_flow(scene, frames[1].flow_backward, "left", t + 1, t)
        bodies = [bodies_of(scene, frame, t + k) for k, frame in enumerate(frames)]
        masks = [masks_of(*pair, spread) for pair in zip(frames, bodies, strict=True)]
        self.stacks = [by_area(found) for found in masks]
        order = [np.argsort(-found.sum(axis=(1, 2)), kind="stable") for found in masks]
        self.bodies = [[0, *np.array(b)[o]] for b, o in zip(bodies, order, strict=True)]


@pytest.mark.parametrize("spread", [0, 2])
@pytest.mark.parametrize("t", [0, 1])
def test_masks_of_one_body_find_each_other(scene: SyntheticScene, t: int, spread: int):
    pair = Pair(scene, t, spread)
    matching = match_masks(*pair.stacks, pair.forward, pair.backward)
    found = matching.pairs()
    assert len(found) >= 3
    assert all(pair.bodies[0][c] == pair.bodies[1][m] for c, m in found)
    stays = scene.render(t, colour=False).occluded_forward == 0
    assert matching.seen_0[stays].mean() > 0.98
    plain = [c for c, m in enumerate(pair.stacks[0]) if m.sum() > 60 and stays[m > 0].mean() > 0.9]
    assert plain and {c for c, _ in found} >= set(plain)


@pytest.mark.parametrize("most", [1, 2, 20])
@pytest.mark.parametrize("spread", [0, 3])
def test_it_is_what_the_plain_loops_say(scene: SyntheticScene, spread: int, most: int):
    pair = Pair(scene, 0, spread)
    found = associate(*pair.stacks, pair.forward, pair.backward, most)
    expected = plain_associate(*pair.stacks, pair.forward, pair.backward, most)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for stack in found:
        assert (stack[1:].sum(axis=0) <= 1).all() and stack[0, 0, 0] <= most
    assert found[0][0, 0, 0] == min(most, found[0][1:].any(axis=(1, 2)).sum())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4), st.floats(0, 40))
def test_on_random_masks_and_flow_too(seed: int, n0: int, n1: int, size: float):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(2, 12, 2)
    stacks = [by_area(rng.random((n, height, width)) < 0.4) for n in (n0, n1)]
    flows = [rng.normal(0, size, (2, height, width)).astype(np.float32) for _ in range(2)]
    seen = seen_by_both(*flows)
    plain = [torch.from_numpy(flow) for flow in flows]
    np.testing.assert_array_equal(seen[0], plain_seen(plain[0], plain[1]))
    np.testing.assert_array_equal(seen[1], plain_seen(plain[1], plain[0]))
    found = match_masks(*stacks, *flows)
    expected = plain_fetch(torch.from_numpy(stacks[1]).float(), plain[0])
    np.testing.assert_allclose(found.fetched_0, expected, atol=2e-5)
    rows = torch.from_numpy(found.fetched_1)
    overlap, _ = plain_best(rows, torch.from_numpy(stacks[1]).float(), torch.from_numpy(seen[1]))
    np.testing.assert_allclose(found.overlap_01, overlap, atol=1e-5)


def test_hidden_instances_and_frames_without_any():
    masks = np.zeros((1, 4, 6), bool)
    masks[0, 1:3, 1:4] = True
    one, none, away = by_area(masks), by_area(masks[:0]), np.full((2, 4, 6), 40, np.float32)
    still = np.zeros((2, 4, 6), np.float32)
    hidden = match_masks(one, one, away, away)
    assert not hidden.seen_0.any() and np.isnan(hidden.overlap_01[1]) and hidden.best_01[1] == 0
    assert hidden.pairs() == []
    for pair in ((none, none), (one, none), (none, one)):
        stacks = associate(*pair, still, still, 3)
        assert [stack.shape for stack in stacks] == [(4, 4, 6)] * 2
        assert not stacks[0].any() and not stacks[1].any()


def test_zero_flow_shifts_towards_the_border():
    values = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    found = fetch(values, np.zeros((2, 3, 4)))
    x, y = np.arange(4) * 3 / 4, np.arange(3) * 2 / 3
    np.testing.assert_allclose(found[0], x + 4 * y[:, None], atol=1e-5)
    outside = fetch(values, np.full((2, 3, 4), np.nan))
    assert (outside == 0).all()


def test_wrong_arguments_are_refused():
    masks, flow = np.zeros((1, 2, 3), np.uint8), np.zeros((2, 2, 3))
    with pytest.raises(UsageError, match="sizes differ"):
        match_masks(masks, masks, flow, np.zeros((2, 2, 4)))
    with pytest.raises(UsageError, match=r"expected values \(C, H, W\)"):
        fetch(masks[0], flow)
    with pytest.raises(UsageError, match="at most 0 to 254"):
        associate(masks, masks, flow, flow, 300)
    with pytest.raises(UsageError, match=r"expected \(N, H, W\)"):
        pack_masks(masks[0])


def test_instances_gone_from_one_view_leave_both():
    target = np.zeros((4, 2, 2), np.uint8)
    target[0], target[1:, 0, 0] = 3, (1, 1, 1)
    reference = target.copy()
    target[2] = 0
    found = drop_empty(target, reference)
    for stack in found:
        assert (stack[0] == 2).all() and stack[1:].any(axis=(1, 2)).tolist() == [True, True, False]
    unchanged = drop_empty(reference, reference)
    assert unchanged[0] is reference


@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.floats(0, 1))
def test_packed_masks_come_back(seed: int, count: int, share: float):
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 5, 7)) < share
    packed = pack_masks(masks.astype(np.float32))
    np.testing.assert_array_equal(packed.masks(), masks)
    covered = masks.sum(axis=0)
    np.testing.assert_array_equal(packed.labels > 0, covered > 0)
    assert len(packed.number) == np.maximum(covered.astype(int) - 1, 0).sum()
