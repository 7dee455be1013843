"""DynamicStereo: one window with every recorded step, or a whole video in sliding windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    options = {**meta.get("options", {}), "corr_implementation": correlation}
    return networks.create("dynamic_stereo", **options)


def _run(network: Any, meta: Meta, arrays: Arrays, dtype: Any) -> dict[str, Tensor]:
    video = tensor(network, arrays["video"], dtype).permute(1, 0, 4, 2, 3)
    iterations = meta["iters"]
    if meta.get("kernel_size") is not None:
        return {"disparity": _windows(network, video, iterations, meta["kernel_size"])}
    results: dict[str, Tensor] = {}
    last = network(video[:1], video[1:], iterations=iterations, trace=results.__setitem__)
    coarse = iterations // 2
    results["pred_first_dw8"] = results[f"pred_iter{coarse + 1}"]
    results["pred_first_dw4"] = results[f"pred_iter{2 * coarse + 1}"]
    # predictions on the way are recorded at every second pixel
    results = {k: v[..., ::2, ::2] if k.startswith("pred_") else v for k, v in results.items()}
    return {**results, "pred_last": last[0]}


def _windows(network: Any, video: Tensor, iterations: int, size: int) -> Tensor:
    import torch

    from depthzoo.networks.padding import padding_to_multiple
    from depthzoo.networks.windows import Windows

    padding = padding_to_multiple(video.shape[-2], video.shape[-1], 32)
    left, right = (network.features(padding.pad(view)) for view in video)
    maps = []
    for window in Windows(size, reference=True).over(range(len(left))):
        flow = network.match(left[window.frames], right[window.frames], iterations)[-1]
        maps.append(padding.crop(flow).abs()[window.kept])
    return torch.cat(maps)


ADAPTER = Adapter(_build, _run, ("video",), ("reg", "alt"), outputs=("pred_last", "disparity"))
