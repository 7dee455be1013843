"""RAFT-Stereo against its description: the same flow in a quarter of the memory."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo.plain.raft_stereo import plain

from depthzoo import networks
from depthzoo.live_tensors import LiveTensors

FAMILY = ["raft_stereo", "raft_stereo_realtime", "iraftstereo_rvc"]


def images(height, width):
    generator = torch.Generator().manual_seed(0)
    return [255 * torch.rand(1, 3, height, width, generator=generator) for _ in range(2)]


def peak(network, pair, work):
    given = [*network.parameters(), *network.buffers(), *pair]
    with torch.inference_mode(), LiveTensors(given) as meter:
        work(*pair)
    return meter.peak


@pytest.mark.parametrize("name", FAMILY)
def test_a_large_image_takes_a_quarter_of_what_the_description_takes(name):
    with FakeTensorMode():
        network = networks.create(name, corr_implementation="alt").eval()
        pair = [torch.empty(1, 3, 2016, 3008) for _ in range(2)]
        ours = peak(network, pair, lambda *pair: network(*pair, iterations=3))
        literal = peak(network, pair, lambda *pair: plain(network, *pair, 3))
    assert ours <= 0.25 * literal
    assert ours <= 2.75 * 2**30


@pytest.mark.parametrize("rows", [None, 16])
@pytest.mark.parametrize("name", FAMILY)
def test_counts_without_contents_are_those_of_a_computation(name, rows):
    counts = []
    for mode in (FakeTensorMode(), torch.no_grad()):
        with mode:
            network = networks.create(name, corr_implementation="alt").eval()
            network.use_bands(rows)
            pair = [torch.zeros(1, 3, 64, 128) for _ in range(2)]
            counts.append(
                [
                    peak(network, pair, lambda *pair: network(*pair, iterations=2)),  # noqa: B023
                    peak(network, pair, lambda *pair: plain(network, *pair, 2)),  # noqa: B023
                ]
            )
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("correlation", ["reg", "alt"])
def test_the_flow_is_that_of_the_description(name, correlation):
    torch.manual_seed(0)
    network = networks.create(name, corr_implementation=correlation).eval()
    network.use_bands(16)
    pair = images(96, 160)
    with torch.inference_mode():
        want = plain(network, *pair, 8)
        got = network(*pair, iterations=8).up
    assert want.abs().max() > 0.1
    torch.testing.assert_close(got, want, rtol=0, atol=1e-3)
