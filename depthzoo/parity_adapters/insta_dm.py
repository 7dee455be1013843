"""Insta-DM: the depth network with all its heads, or a pose network and its matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]

_THINNED = ("out_feat_0", "out_feat_1", "out_feat_2")


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    return networks.create(str(meta["model"]), **meta.get("options", {}))


def _run(network: Any, meta: Meta, arrays: Arrays, dtype: Any) -> dict[str, Tensor]:
    from depthzoo.networks.insta_dm_projection import pose_matrix

    images = [tensor(network, arrays[name], dtype) for name in sorted(arrays) if "image" in name]
    results: dict[str, Tensor] = {}

    def trace(name: str, value: Tensor) -> None:
        results[f"out_{name}"] = value

    if hasattr(network, "scales"):
        for scale, disparity in enumerate(network.scales(*images, (0, 1, 2, 3), trace)):
            results[f"out_disp_{scale}"] = disparity
        results["out_disp"] = network(*images)
        results["out_depth"] = 1 / results["out_disp"]
    else:
        results["out_pose"] = network(*images, trace)
        results["out_pose_mat"] = pose_matrix(results["out_pose"])[:, :3]
    return {k: v[:, ::4, ::2, ::2] if k in _THINNED else v for k, v in results.items()}


ADAPTER = Adapter(_build, _run, outputs=("out_disp", "out_depth", "out_pose"))
