"""Dynamic-multiframe-depth: a keyframe and its sources, every scale and intermediate result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from depthdata.errors import FormatError
from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]

_OF_TRAINING = ("use_stereo", "pretrain_mode")  # options that change nothing here
_THINNED = re.compile(r"(cost_volume|single_frame_cv_\d+|fused|feat_\d+)")
_LAYOUT = re.compile(r"(?:::(\d+)|:)")


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    options = {k: v for k, v in meta.get("options", {}).items() if k not in _OF_TRAINING}
    return networks.create("dynamic_multiframe_depth", **options)


def _run(network: Any, meta: Meta, arrays: Arrays, dtype: Any) -> dict[str, Tensor]:
    def given(name: str) -> Tensor:
        return tensor(network, arrays[f"in_{name}"], dtype)

    sources = range(sum(re.fullmatch(r"in_frame_\d+", name) is not None for name in arrays))
    results: dict[str, Tensor] = {}
    found = network(
        *(given(name) for name in ("keyframe", "keyframe_pose", "keyframe_intrinsics")),
        *([given(f"{name}_{i}") for i in sources] for name in ("frame", "pose", "intrinsics")),
        scales=(0, 1, 2, 3),
        trace=results.__setitem__,
    )
    layouts = meta.get("thinning", {})
    steps = _steps(layouts.get(meta["file"], ":"))
    for name, value in results.items():
        if _THINNED.fullmatch(name):
            results[name] = value[tuple(slice(None, None, step) for step in steps)]
    results |= {f"inv_depth_{k}": value for k, value in enumerate(found.multi)}
    results |= {f"inv_depth_mono_{k}": value for k, value in enumerate(found.mono)}
    results |= {"result": found.multi[0], "result_mono": found.mono[0]}
    return {f"out_{name}": value for name, value in results.items()}


def _steps(layout: str) -> list[int]:
    """Read ``[:, :, ::3, ::3]``.

    >>> _steps("[:, ::2, ::3, ::3]")
    [1, 2, 3, 3]
    """
    parts = [part.strip() for part in layout.strip("[] ").split(",")]
    matches = [_LAYOUT.fullmatch(part) for part in parts]
    if not all(matches):
        raise FormatError(f"meta.json: thinning like [:, :, ::3, ::3] expected, found {layout}")
    return [int(match[1] or 1) for match in matches if match]


ADAPTER = Adapter(_build, _run, outputs=("out_result", "out_result_mono", "out_inv_depth_*"))
