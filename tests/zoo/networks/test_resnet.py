"""ResNet features: layouts of the published depths, stacked images, what is computed."""

from __future__ import annotations

import pytest
import torch
from zoo.seeding import images, seeded

from depthzoo.networks.resnet import ResNet, ResNetEncoder


@pytest.mark.parametrize(
    ("layers", "learnable"),  # as torchvision states them
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_sizes_of_the_published_networks(layers, learnable):
    with torch.device("meta"):
        network = ResNet(layers)
    assert sum(p.numel() for p in network.parameters()) == learnable
    bare = ResNet(18, classifier=False)
    assert not any(key.startswith("fc.") for key in bare.state_dict())


@pytest.mark.parametrize("layers", [18, 50])
def test_features_halve_and_fewer_levels_are_the_same_ones(layers):
    network = seeded(ResNetEncoder(layers, images=2)).eval()
    first, second = images(2, 2, 36, 50)
    with torch.inference_mode():
        features = network(first, second)
        few = network(torch.cat([first, second], 1), levels=3)
    assert [f.shape[1] for f in features] == list(network.channels)
    assert [tuple(f.shape[2:]) for f in features] == [(18, 25), (9, 13), (5, 7), (3, 4), (2, 2)]
    assert len(few) == 3 and all(map(torch.equal, few, features))


def test_the_input_is_shifted_and_scaled_unless_told_otherwise():
    plain = seeded(ResNetEncoder(18, mean=0, scale=1)).eval()
    other = seeded(ResNetEncoder(18)).eval()
    (image,) = images()
    with torch.inference_mode():
        want = plain((image - 0.45) / 0.225, levels=1)[0]
        torch.testing.assert_close(other(image, levels=1)[0], want)
        assert torch.equal(plain(image, levels=1)[0], plain.encoder(image, 1)[0])


def test_gradients_pass_the_operations_in_place():
    network = seeded(ResNet(18, classifier=False)).double().train()
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    sum(f.square().mean() for f in network(x)).backward()
    assert x.grad.abs().max() > 0
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [({"layers": 20}, "layers is one of 18, 34"), ({"images": 0}, "at least 1")],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        ResNet(**options)
