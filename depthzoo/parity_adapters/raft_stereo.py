"""RAFT-Stereo: images of a pair, optionally padded, with every recorded step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    options = {**meta.get("options", {}), "corr_implementation": correlation}
    return networks.create("raft_stereo", **options)


def _run(network: nn.Module, meta: Meta, arrays: Arrays, dtype: Any) -> dict[str, Tensor]:
    from depthzoo.networks.padding import Padding, padding_to_multiple

    left, right = (
        tensor(network, arrays[name], dtype).permute(0, 3, 1, 2) for name in ("left", "right")
    )
    padding = Padding(0, 0, 0, 0)
    if meta.get("padded_to_multiple_of_32"):
        padding = padding_to_multiple(left.shape[2], left.shape[3], 32)
    results: dict[str, Tensor] = {}
    given = arrays.get("flow_init")
    flow = network(
        padding.pad(left),
        padding.pad(right),
        iterations=meta["iters"],
        flow_init=None if given is None else tensor(network, given, dtype),
        trace=results.__setitem__,
    )
    results.update(flow_low=flow.low, flow_up=flow.up, flow_up_unpadded=padding.crop(flow.up))
    return results


ADAPTER = Adapter(_build, _run, ("left", "right", "flow_init"), ("reg", "alt"), outputs=("flow_*",))
