"""Correlation along rows: against the definition, and both implementations against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from depthzoo.networks.correlation import (
    CorrelationOnDemand,
    CorrelationVolume,
    lookup,
    volume_bytes,
)


def features(n: int, c: int, h: int, w: int, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, c, h, w, generator=generator, dtype=dtype) for _ in range(2))


def positions(n: int, h: int, w: int, seed: int = 1, spread: float = 4.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    grid = torch.arange(w, dtype=torch.float64).expand(n, h, w)
    return grid + spread * torch.randn(n, h, w, generator=generator, dtype=torch.float64)


def by_definition(left, right, x, levels: int, radius: int) -> np.ndarray:
    """Sum over channels, mean over columns, then np.interp between zeros outside."""
    n, c, h, w = left.shape
    out = np.zeros((n, levels, 2 * radius + 1, h, w))
    products = np.einsum("ncyi,ncyj->nyij", left.numpy(), right.numpy()) / np.sqrt(c)
    for level in range(levels):
        width = products.shape[-1]
        columns = np.arange(-1, width + 1)
        for b, y, i in np.ndindex(n, h, w):
            row = np.concatenate([[0.0], products[b, y, i], [0.0]])
            at = float(x[b, y, i]) / 2**level + np.arange(-radius, radius + 1)
            out[b, level, :, y, i] = np.interp(at, columns, row, left=0.0, right=0.0)
        products = products[..., : width // 2 * 2].reshape(n, h, w, width // 2, 2).mean(-1)
    return out.reshape(n, -1, h, w)


@pytest.mark.parametrize("build", [CorrelationVolume, CorrelationOnDemand])
@pytest.mark.parametrize("width", [1, 5, 13, 16])
def test_matches_the_definition_at_any_width(build, width):
    left, right = features(2, 8, 3, width)
    x = positions(2, 3, width)
    got = build(left, right, levels=4, radius=3)(x)
    np.testing.assert_allclose(got, by_definition(left, right, x, 4, 3), atol=1e-12)


@pytest.mark.parametrize("chunk_bytes", [1, 4000, 10**9])
def test_on_demand_equals_the_volume_whatever_the_chunk(chunk_bytes):
    left, right = features(2, 16, 7, 18, dtype=torch.float32)
    x = positions(2, 7, 18).float()
    volume = CorrelationVolume(left, right, levels=4, radius=4)(x)
    demand = CorrelationOnDemand(left, right, levels=4, radius=4, chunk_bytes=chunk_bytes)(x)
    torch.testing.assert_close(demand, volume, rtol=0, atol=1e-6)


class LargestTensor(TorchDispatchMode):
    """Remember the largest tensor that any operation gave."""

    nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor):
                self.nbytes = max(self.nbytes, value.numel() * value.element_size())
        return result


def test_on_demand_never_forms_more_products_than_its_chunk():
    left, right = features(1, 4, 40, 200, dtype=torch.float32)
    x = positions(1, 40, 200).float()
    largest = {}
    for name, build in {"volume": CorrelationVolume, "demand": CorrelationOnDemand}.items():
        options = {"chunk_bytes": 600_000} if name == "demand" else {}
        with LargestTensor() as seen:
            build(left, right, levels=4, radius=4, **options)(x)
        largest[name] = seen.nbytes
    assert largest["volume"] == 40 * 200 * 200 * 4
    # the result and the index of a lookup are larger than the chunk here
    assert largest["demand"] <= max(600_000, 40 * 200 * 36 * 4)


def test_both_give_the_same_gradient():
    gradients = []
    for build, options in ((CorrelationVolume, {}), (CorrelationOnDemand, {"chunk_bytes": 5000})):
        left, right = (f.requires_grad_() for f in features(1, 8, 6, 17))
        corr = build(left, right, levels=3, radius=2, **options)(positions(1, 6, 17))
        corr.square().sum().backward()
        gradients.append((left.grad, right.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-10, 10), min_size=0, max_size=9),
    st.floats(-1e9, 1e9),
    st.integers(0, 4),
)
def test_lookup_interpolates_between_columns_and_zeros(row, x, radius):
    got = lookup(torch.tensor([row], dtype=torch.float64), torch.tensor([x]).double(), radius)
    columns = np.arange(-1, len(row) + 1)
    at = x + np.arange(-radius, radius + 1)
    want = np.interp(at, columns, [0.0, *row, 0.0], left=0.0, right=0.0)
    np.testing.assert_allclose(got[0], want, atol=1e-5)


def test_half_precision_stays_half():
    left, right = (f.to(torch.bfloat16) for f in features(1, 8, 3, 16))
    corr = CorrelationVolume(left, right, levels=2, radius=1)(positions(1, 3, 16).float())
    assert corr.dtype == torch.bfloat16


def test_volume_bytes_is_what_the_pyramid_takes():
    left, right = features(2, 4, 3, 21, dtype=torch.float32)
    pyramid = CorrelationVolume(left, right, levels=4, radius=1).pyramid
    assert volume_bytes(2, 3, 21, levels=4) == sum(p.numel() * 4 for p in pyramid)
