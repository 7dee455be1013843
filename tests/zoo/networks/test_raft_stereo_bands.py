"""RAFT-Stereo's encoder in bands of rows gives what it gives all at once."""

from __future__ import annotations

import pytest
import torch

from depthzoo import networks
from depthzoo.networks import encoder_bands
from depthzoo.networks.encoder import ResidualTrunk, initialise
from depthzoo.networks.encoder_bands import band_rows, map_bytes, trunk_in_bands

ROWS = [1, 2, 7, 64, 1000]
FAMILY = ["raft_stereo", "raft_stereo_realtime", "iraftstereo_rvc"]


def lively(module, seed=0):
    """Norms with statistics and parameters that are not the neutral ones."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    initialise(module)
    for part in module.modules():
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(part, name, None)
            if value is not None and not isinstance(part, torch.nn.Conv2d):
                value.data.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return module.eval()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("norm", ["group", "batch", "instance", "none"])
@pytest.mark.parametrize(
    ("n_downsample", "size", "options"),
    [
        (2, (37, 22), {}),
        (2, (1, 9), {}),
        (3, (41, 30), {}),
        (1, (13, 18), {}),
        (0, (6, 5), {}),
        (2, (18, 20), {"strides": (2, 1, 2), "project": True}),
    ],
)
def test_a_trunk_in_bands_is_the_trunk(rows, norm, n_downsample, size, options):
    trunk = lively(ResidualTrunk(norm, n_downsample, **options)).double()
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        want = trunk.trunk(image)
        got = trunk_in_bands(trunk, image, rows)
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
        got = trunk_in_bands(trunk.float(), image.float(), rows)
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bands_do_not_change_the_flow(name, dtype):
    torch.manual_seed(0)
    network = networks.create(name).to(dtype).eval()
    left, right = (255 * torch.rand(1, 3, 72, 104, dtype=dtype) for _ in range(2))
    flows = {}
    for rows in (None, 7, 64):
        network.use_bands(rows)
        with torch.inference_mode():
            flows[rows] = network(left, right, iterations=3).up
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5
    for rows in (7, 64):
        torch.testing.assert_close(flows[rows], flows[None], rtol=0, atol=tolerance)


def test_a_norm_far_from_zero_loses_nothing_to_bands():
    trunk = lively(ResidualTrunk("instance", 2))
    with torch.no_grad():
        trunk.conv1.bias.add_(1000)
        image = torch.rand(1, 3, 60, 40)
        want = trunk.trunk(image)
        torch.testing.assert_close(trunk_in_bands(trunk, image, 8), want, rtol=0, atol=0.02)


@pytest.fixture
def banded(monkeypatch) -> list[int]:
    """Rows at a time of every trunk that runs in bands."""
    rows = []

    def noted(trunk, image, at_once):
        rows.append(at_once)
        return trunk_in_bands(trunk, image, at_once)

    monkeypatch.setattr("depthzoo.networks.raft_stereo.trunk_in_bands", noted)
    return rows


def test_gradients_and_autocast_encode_all_at_once(banded):
    network = networks.create("raft_stereo", n_gru_layers=1, corr_levels=1).eval()
    network.use_bands(8)
    left, right = (255 * torch.rand(1, 3, 16, 32) for _ in range(2))
    assert network(left, right, iterations=1).up.requires_grad
    with torch.no_grad():
        network.use_autocast("bfloat16")
        network(left, right, iterations=1)
        network.use_autocast(None)
        with torch.autocast("cpu", torch.bfloat16):
            network(left, right, iterations=1)
        assert banded == []
        network(left, right, iterations=1)
    assert banded == [8, 8, 8]


def test_large_images_are_encoded_in_bands_where_little_memory_is_asked_for(banded, monkeypatch):
    monkeypatch.setattr("depthzoo.networks.raft_stereo.LARGE_MAP", 64 * 20 * 32 * 4)
    monkeypatch.setattr(encoder_bands, "BAND_BYTES", 64 * 32 * 4 * 6)
    network = networks.create("raft_stereo", n_gru_layers=1, corr_levels=1).eval()
    for correlation, height, rows in (("reg", 20, 0), ("alt", 16, 0), ("alt", 20, 6)):
        network.use_correlation(correlation)
        with torch.inference_mode():
            network(*torch.rand(2, 1, 3, height, 32), iterations=1)
        assert banded == [rows] * 3 * (rows > 0)


def test_sizes_of_maps_and_bands():
    trunk, size = ResidualTrunk("none", 3), torch.Size([2, 3, 96, 64])
    assert map_bytes(trunk, size, 8) == trunk.conv1(torch.zeros(size)).numel() * 8
    assert band_rows(trunk, size) == encoder_bands.BAND_BYTES // (2 * 64 * 32 * 4)
    assert band_rows(trunk, torch.Size([100, 3, 96, 6400])) == 2


@pytest.mark.parametrize("rows", [0, -3])
def test_bands_without_rows_are_refused(rows):
    with pytest.raises(ValueError, match="at least 1 row"):
        networks.create("raft_stereo").use_bands(rows)
