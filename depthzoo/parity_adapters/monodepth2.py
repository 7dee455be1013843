"""Monodepth2: disparities of an image, pose of a pair."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    layers = re.search(r"ResNet-(\d+)", str(meta["network"]))
    options: dict[str, Any] = {"layers": int(layers[1])} if layers else {}
    return networks.create("monodepth2", **options)


def _run(network: Any, meta: Meta, arrays: Arrays, dtype: Any) -> dict[str, Tensor]:
    from depthzoo.networks.geometry import invert_rigid

    first, second = (
        tensor(network, arrays[f"in_frame_{name}"], dtype) for name in ("first", "second")
    )
    scales = network.depth.scales
    disparities = zip(scales, network(second, scales), strict=True)
    pose = network.relative_pose(first, second)
    return {
        **{f"out_disp_{scale}": disparity for scale, disparity in disparities},
        "out_axisangle": pose.axis_angle[:, None],
        "out_translation": pose.translation[:, None],
        "out_cam_T_cam_first_minus": invert_rigid(pose.matrix()),
        "out_cam_T_cam_plus": pose.matrix(),
    }


ADAPTER = Adapter(_build, _run)
