"""Networks whose weights are a function of a seed, every layer with a visible effect."""

from __future__ import annotations

from typing import Any

import torch

from depthzoo import networks
from depthzoo.seeded import seeded_state


def seeded(network: Any, seed: int = 3) -> Any:
    """Fill a network; initial values would leave layer scales of 1e-6 without effect."""
    manifest = {
        key: [list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in network.state_dict().items()
    }
    state = seeded_state(manifest, seed)
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return network


def created(name: str, seed: int = 3, **options: Any) -> Any:
    """Create a network with seeded weights."""
    return seeded(networks.create(name, **options), seed)


def images(count: int = 1, n: int = 1, h: int = 64, w: int = 96, seed: int = 0) -> list[Any]:
    """`count` images (n, 3, h, w) in 0..1 that are neither flat nor noise alone."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count * n, 3, h // 8 + 1, w // 8 + 1, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")
    noise = torch.rand(smooth.shape, generator=generator)
    return list((0.8 * smooth + 0.2 * noise).split(n))
