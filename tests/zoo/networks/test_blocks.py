"""The shared blocks against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthzoo.networks.encoder import ResidualBlock, make_norm
from depthzoo.networks.gru import ConvGRU, pool_half, resize_to
from depthzoo.networks.padding import padding_to_multiple
from depthzoo.networks.upsampling import convex_upsample


def test_convex_upsampling_by_definition():
    generator = torch.Generator().manual_seed(0)
    n, c, h, w, f = 2, 2, 3, 4, 2
    field = torch.randn(n, c, h, w, generator=generator, dtype=torch.float64)
    mask = torch.randn(n, 9 * f * f, h, w, generator=generator, dtype=torch.float64)
    got = convex_upsample(field, mask, f).numpy()
    padded = np.pad(f * field.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    want = np.zeros((n, c, h * f, w * f))
    for y, x, i, j in np.ndindex(h, w, f, f):
        logits = np.stack([mask[:, (k * f + i) * f + j, y, x].numpy() for k in range(9)], 1)
        weights = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        around = padded[:, :, y : y + 3, x : x + 3].reshape(n, c, 9)
        want[:, :, y * f + i, x * f + j] = (around * weights[:, None]).sum(-1)
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_projection_norm_has_two_names_and_the_second_wins():
    block = ResidualBlock(16, 24, 2, "batch")
    state = block.state_dict()
    assert {k for k in state if k.startswith("norm3.")} == {
        k.replace("downsample.1.", "norm3.") for k in state if k.startswith("downsample.1.")
    }
    state["norm3.weight"] = torch.full((24,), 3.0)
    state["downsample.1.weight"] = torch.full((24,), 5.0)
    block.load_state_dict(state, strict=True)
    assert block.norm3.weight.eq(5).all()


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_norms_without_parameters_have_no_keys(norm):
    assert not any("norm" in key for key in ResidualBlock(16, 24, 2, norm).state_dict())


def test_group_norm_has_eight_channels_a_group():
    assert make_norm("group", 96).num_groups == 12
    assert make_norm("group", 64, groups=8).num_groups == 8


def test_residual_block_without_projection_is_a_sum_of_rectified_branches():
    block = ResidualBlock(8, 8, 1, "none")
    x = torch.randn(1, 8, 5, 6)
    with torch.no_grad():
        branch = torch.relu(block.conv2(torch.relu(block.conv1(x))))
        torch.testing.assert_close(block(x), torch.relu(x + branch))


def test_gru_mixes_old_and_new_by_its_update_gate():
    gru = ConvGRU(4, 3)
    h, x = torch.randn(1, 4, 5, 5), torch.randn(1, 3, 5, 5)
    hx = torch.cat([h, x], 1)
    zero = torch.zeros_like(h)
    keep, renew = torch.full_like(h, -50.0), torch.full_like(h, 50.0)
    with torch.no_grad():
        torch.testing.assert_close(gru(h, (keep, zero, zero), hx.clone()), h)
        torch.testing.assert_close(gru(h, (renew, zero, renew), hx.clone()), torch.ones_like(h))


def test_gru_gives_the_same_with_gradients_and_without():
    gru = ConvGRU(4, 3)
    h, *context, x = (torch.randn(2, c, 5, 6) for c in (4, 4, 4, 4, 3))
    kept = gru(h, tuple(context), torch.cat([h, x], 1))
    assert kept.requires_grad
    before = h.clone()
    with torch.no_grad():
        torch.testing.assert_close(gru(h, tuple(context), torch.cat([h, x], 1)), kept)
    assert torch.equal(h, before)


def test_pool_counts_the_border_and_resize_keeps_corners():
    ones = torch.ones(1, 1, 5, 5)
    assert float(pool_half(ones)[0, 0, 0, 0]) == pytest.approx(4 / 9)
    ramp = torch.arange(3.0).expand(1, 1, 3, 3)
    wide = resize_to(ramp, torch.empty(1, 1, 4, 7))
    assert wide.shape[-2:] == (4, 7)
    assert (float(wide[0, 0, 0, 0]), float(wide[0, 0, 0, -1])) == (0.0, 2.0)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 32]))
def test_padding_is_centred_and_comes_off_again(height, width, multiple):
    padding = padding_to_multiple(height, width, multiple)
    image = torch.arange(float(height * width)).view(1, 1, height, width)
    padded = padding.pad(image)
    assert not padded.shape[2] % multiple and not padded.shape[3] % multiple
    assert padding.right - padding.left in (0, 1) and padding.bottom - padding.top in (0, 1)
    assert padded.amin() == image.amin() and padded.amax() == image.amax()
    assert torch.equal(padding.crop(padded), image)
