"""Lite-Mono: disparities and features of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    variant = str(meta["network"]).removeprefix("lite-mono").removeprefix("-") or "base"
    width = meta.get("trained_size_wh", [640])[0]
    return networks.create("lite_mono", variant=variant, trained_width=width)


def _run(network: Any, meta: Meta, arrays: Arrays, dtype: Any) -> dict[str, Tensor]:
    image, scales = tensor(network, arrays["in_color"], dtype), network.depth.scales
    disparities = zip(scales, network(image, scales), strict=True)
    features = enumerate(network.encoder(image[:1]))
    return {
        **{f"out_disp_{scale}": disparity for scale, disparity in disparities},
        **{f"mid_feat_{level}": feature for level, feature in features},
    }


ADAPTER = Adapter(_build, _run)
