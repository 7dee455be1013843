"""DynamicStereo: disparity of a window of stereo frames, coarse to fine, with attention over time.

Karaev, Rocco, Graham, Neverova, Vedaldi, Rupprecht, "DynamicStereo: Consistent Dynamic Depth from
Stereo Videos", CVPR 2023, https://arxiv.org/abs/2305.02296.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.correlation import CorrelationName, correlate
from depthzoo.networks.dynamic_stereo_attention import (
    AttentionBlock,
    TimeAttention,
    sine_encoding,
)
from depthzoo.networks.dynamic_stereo_update import HIDDEN, Pieces, UpdateBlock
from depthzoo.networks.encoder import ResidualTrunk, initialise
from depthzoo.networks.gru import resize_to
from depthzoo.networks.pieces import in_pieces

__all__ = ["FEATURES", "DynamicStereo", "DynamicStereoOptions"]

Trace = Callable[[str, Tensor], None]

FEATURES = 256
LEVELS, RADIUS, DEPTH = 4, 4, 4  # correlation pyramid, its lookup, blocks of attention
_WORDS = ("update_time", "update_space", "temporal", "stereo", "self")


@dataclass(frozen=True)
class DynamicStereoOptions:
    """Options of the architecture; defaults as published.

    Parameters
    ----------
    num_frames : int
        Length of the learnt time embedding; other windows resample it.
    attention_type : str, optional
        Any of ``self``, ``stereo``, ``temporal``, ``update_time`` and ``update_space``, joined by
        underscores; None is no attention.
    use_3d_update_block : bool
        Updates see neighbouring frames.
    different_update_blocks : bool
        Each scale has its own update block.
    corr_implementation : str
        ``reg``, ``alt``, ``reg_cuda`` or ``alt_cuda``; see `networks.correlation.correlate`.
    mixed_precision : bool
        Encoder, attention and updates run under autocast.
    autocast_dtype : str
        ``float16`` or ``bfloat16``.
    """

    num_frames: int = 5
    attention_type: str | None = "self_stereo_temporal_update_time_update_space"
    use_3d_update_block: bool = True
    different_update_blocks: bool = True
    corr_implementation: CorrelationName = "reg"
    mixed_precision: bool = False
    autocast_dtype: Literal["float16", "bfloat16"] = "float16"

    def __post_init__(self) -> None:
        """Refuse values that the architecture does not have."""
        if self.num_frames < 1:
            raise ValueError(f"DynamicStereo: num_frames is at least 1; got {self.num_frames}")
        rest = self.attention_type or ""
        for word in _WORDS:
            rest = rest.replace(word, "")
        if rest.strip("_"):
            raise ValueError(
                f"DynamicStereo: attention_type is made of {', '.join(_WORDS)}; "
                f"got {self.attention_type!r}"
            )
        for name, allowed in (
            ("corr_implementation", ("reg", "alt", "reg_cuda", "alt_cuda")),
            ("autocast_dtype", ("float16", "bfloat16")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"DynamicStereo: {name} is one of {', '.join(allowed)}; "
                    f"got {getattr(self, name)!r}"
                )

    def has(self, word: str) -> bool:
        """Whether the attention type names a kind of attention."""
        return word in (self.attention_type or "")

    @classmethod
    def of(cls, options: dict[str, Any]) -> DynamicStereoOptions:
        """Options from a mapping, unknown names refused."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(
                f"DynamicStereo has no option {', '.join(unknown)}; "
                f"it has {', '.join(sorted(known))}"
            )
        return cls(**options)


class FeatureNetwork(ResidualTrunk):
    """Features at a quarter of the size: to correlate, and (left view) to start the state from."""

    def __init__(self) -> None:
        super().__init__("instance", 2, strides=(2, 2, 1), project=True)
        self.conv2 = nn.Conv2d(128, FEATURES, 1)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) in -1..1 to (N, 256, H/4, W/4)."""
        features: Tensor = self.conv2(self.trunk(image))
        return features


class DynamicStereo(nn.Module):
    """The network; options as keywords, see `DynamicStereoOptions`.

    Examples
    --------
    >>> import torch
    >>> network = DynamicStereo(attention_type=None).eval()
    >>> video = torch.zeros(1, 2, 3, 32, 64)
    >>> with torch.inference_mode():
    ...     flow = network(video, video, iterations=2)
    >>> flow.shape
    torch.Size([1, 2, 1, 32, 64])
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = opts = DynamicStereoOptions.of(options)
        self.positions_at_once: int | None = None
        self.fnet = FeatureNetwork()
        if opts.has("temporal") or opts.has("update_time"):
            self.time_embed = nn.Parameter(torch.zeros(1, opts.num_frames, FEATURES))

        def blocks(word: str, block: Callable[[int], nn.Module]) -> nn.ModuleList:
            return nn.ModuleList(block(FEATURES) for _ in range(DEPTH if opts.has(word) else 0))

        self.self_attn_blocks = blocks("self", AttentionBlock)
        self.cross_attn_blocks = blocks("stereo", AttentionBlock)
        self.time_attn_blocks = blocks("temporal", TimeAttention)
        samples, through_time = LEVELS * (2 * RADIUS + 1), opts.use_3d_update_block
        if opts.different_update_blocks:
            self.update_block16 = UpdateBlock(
                samples,
                through_time=through_time,
                time=opts.has("update_time"),
                space=opts.has("update_space"),
            )
            self.update_block08 = UpdateBlock(samples, through_time=through_time)
            self.update_block04 = UpdateBlock(samples, through_time=through_time)
        else:
            self.update_block = UpdateBlock(samples, through_time=through_time)

    def forward(
        self,
        left: Tensor,
        right: Tensor,
        iterations: int = 20,
        flow_init: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor | list[Tensor]:
        """Match the left frames of windows against the right ones.

        Parameters
        ----------
        left, right : Tensor
            (B, T, 3, H, W) RGB, 0..255, uint8 or float; H and W are multiples of 16.
        iterations : int
            Updates at 1/4, at least 2; half as many (rounded down) at 1/16 and at 1/8.
        flow_init : Tensor, optional
            (B, T, 2, h, w) flow in its own pixels to start from at 1/4, in place of the coarser
            scales; its x is minus that of the result.
        trace : callable, optional
            Called with the name and value of intermediate results, (T, C, ...), window by window:
            ``fmap1``, ``fmap2``, ``fmap1_dw16``, ``fmap2_dw16``, ``fmap1_dw8``; for the scales
            S = 16, 8, 4 ``flow{S}_init`` and, for each iteration k from 1, ``corr{S}_iter{k}`` and
            ``flow{S}_iter{k}``; ``pred_iter{n}``, all scales counted together.

        Returns
        -------
        Tensor or list of Tensor
            x-flow (B, T, 1, H, W), which is minus the disparity. In training mode that of every
            iteration, from coarse to fine.
        """
        self._check(left, right, iterations, flow_init)
        windows = []
        for b in range(len(left)):  # windows know nothing of each other
            features = (self.features(left[b]), self.features(right[b]))
            init = None if flow_init is None else flow_init[b]
            windows.append(self.match(*features, iterations, init, trace))
        steps = [torch.stack(step) for step in zip(*windows, strict=True)]
        return steps if self.training else steps[-1]

    def features(self, images: Tensor) -> Tensor:
        """Features (N, 256, H/4, W/4) of images (N, 3, H, W), 0..255; one image knows no other."""
        dtype = self.fnet.conv2.weight.dtype
        size = self._pieces(len(images), images.shape[2] // 4, images.shape[3] // 4).frames
        with self._autocast(images):
            return in_pieces(
                lambda at: self.fnet(2 * (images[at].to(dtype) / 255) - 1), len(images), size
            )

    def match(
        self,
        left: Tensor,
        right: Tensor,
        iterations: int = 20,
        flow_init: Tensor | None = None,
        trace: Trace | None = None,
    ) -> list[Tensor]:
        """Match the T frames of one window by their features.

        Parameters
        ----------
        left, right : Tensor
            (T, 256, h, w) as `features` gives them.
        iterations, flow_init, trace
            As for `forward`; `flow_init` (T, 2, ...).

        Returns
        -------
        list of Tensor
            x-flow (T, 1, 4 h, 4 w): the last one, or in training mode that of every iteration.
        """
        run = _Run(self.training, trace)
        run.tell(fmap1=left, fmap2=right)
        with self._autocast(left):
            left16, right16 = self._attend(left, right)
            run.tell(fmap1_dw16=left16, fmap2_dw16=right16)
            net = _state(left16)
        wide = torch.promote_types(left.dtype, torch.float32)
        if flow_init is None:
            none = torch.zeros_like(left16[:, :2], dtype=wide)
            net, flow = self._stage(16, left16, right16, net, none, iterations // 2, run)
        with self._autocast(left):
            left8, right8 = self._mixed(left, left16), self._mixed(right, right16)
            run.tell(fmap1_dw8=left8)
            del left16, right16
            above, net = net, _state(left8)
        if flow_init is None:
            net = self._average(net, above)
            start = _carried(flow, left8)
            net, flow = self._stage(8, left8, right8, net, start, iterations // 2, run)
        else:
            flow = flow_init.to(wide)
        del above, left8, right8
        net = self._average(_state(left), net)
        self._stage(4, left, right, net, _carried(flow, left), iterations, run)
        return run.predictions

    def use_correlation(self, name: CorrelationName) -> None:
        """Switch the implementation of the correlation; weights and results stay."""
        self.options = replace(self.options, corr_implementation=name)

    def use_autocast(self, dtype: Literal["float16", "bfloat16"] | None) -> None:
        """Run encoder, attention and updates under autocast to a dtype; None leaves it off."""
        self.options = replace(
            self.options,
            mixed_precision=dtype is not None,
            autocast_dtype=dtype or self.options.autocast_dtype,
        )

    def use_pieces(self, positions: int | None) -> None:
        """Work on about so many positions of a feature map at a time; None is all at once.

        Less memory, the same result. A pass that keeps a graph for gradients ignores it.
        """
        self.positions_at_once = positions

    def _check(
        self, left: Tensor, right: Tensor, iterations: int, flow_init: Tensor | None
    ) -> None:
        if left.shape != right.shape or left.dim() != 5 or left.shape[2] != 3:
            raise ValueError(
                "DynamicStereo takes two videos of shape (B, T, 3, H, W); "
                f"got {tuple(left.shape)} and {tuple(right.shape)}"
            )
        b, t, _, height, width = left.shape
        if height % 16 or width % 16 or not height * width * b * t:
            raise ValueError(
                "DynamicStereo takes at least one frame whose size is multiples of 16; "
                f"got {t} of {height}x{width}; pad the images"
            )
        if iterations < 2:
            raise ValueError(f"DynamicStereo needs at least 2 iterations; got {iterations}")
        if flow_init is not None and (flow_init.dim() != 5 or flow_init.shape[:3] != (b, t, 2)):
            raise ValueError(
                f"flow_init has shape {(b, t, 2)} + (h, w); got {tuple(flow_init.shape)}"
            )

    def _autocast(self, like: Tensor) -> AbstractContextManager[object]:
        """Autocast where the options ask for it; otherwise what is around stays in effect."""
        if not self.options.mixed_precision:
            return nullcontext()
        return torch.autocast(like.device.type, getattr(torch, self.options.autocast_dtype))

    def _pieces(self, frames: int, height: int, width: int) -> Pieces:
        positions = None if torch.is_grad_enabled() else self.positions_at_once
        return Pieces.of(positions, frames, height, width)

    def _attend(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Let the maps at 1/16 attend, within and across the views: (T, 256, h, w) each."""
        frames, _, height, width = left.shape
        height, width = height // 4, width // 4
        pieces = self._pieces(frames, height, width)
        place = sine_encoding(height, width, FEATURES, left)
        times = self._time_embedding(frames)

        def tokens(features: Tensor) -> Tensor:
            def of(at: slice) -> Tensor:
                maps = F.avg_pool2d(features[at], 4) + place
                here: Tensor = maps.flatten(2).transpose(1, 2)
                return here if times is None else here + times[at]

            return in_pieces(of, frames, pieces.frames)

        def attend(block: nn.Module, x: Tensor, source: Tensor) -> Tensor:
            return in_pieces(
                lambda at: block(x[at], source[at]), frames, pieces.frames, out=x.clone()
            )

        def attend_in_time(block: nn.Module, x: Tensor) -> Tensor:
            size = None if pieces.rows is None else pieces.rows * width
            return in_pieces(
                lambda at: block(x[:, at].transpose(0, 1)).transpose(0, 1),
                height * width,
                size,
                dim=1,
            )

        a, b = tokens(left), tokens(right)
        for i in range(DEPTH):
            for block in self.self_attn_blocks[i : i + 1]:
                a, b = attend(block, a, a), attend(block, b, b)
            for block in self.cross_attn_blocks[i : i + 1]:
                a = attend(block, a, b)
                b = attend(block, b, a)
            for block in self.time_attn_blocks[i : i + 1]:
                a, b = attend_in_time(block, a), attend_in_time(block, b)
        left16, right16 = (x.transpose(1, 2).reshape(frames, -1, height, width) for x in (a, b))
        return left16, right16

    def _time_embedding(self, frames: int) -> Tensor | None:
        """(T, 1, 256), the nearest of the learnt ones for each frame of a window."""
        if not hasattr(self, "time_embed"):
            return None
        learnt = self.options.num_frames
        nearest = [t * learnt // frames for t in range(frames)]
        return self.time_embed[0, nearest][:, None]

    def _mixed(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Average the maps at 1/4 and those at 1/16: maps (T, 256, h, w) at 1/8."""
        frames, _, height, width = features.shape
        size = self._pieces(frames, height // 2, width // 2).frames

        def mixed(at: slice) -> Tensor:
            pooled = F.avg_pool2d(features[at], 2)
            return (pooled + resize_to(coarse[at], pooled)) / 2

        return in_pieces(mixed, frames, size)

    def _average(self, net: Tensor, above: Tensor) -> Tensor:
        """Mean of a state and of the state above, resized; overwrites the former in pieces."""
        size = self._pieces(len(net), *net.shape[2:]).frames
        return in_pieces(
            lambda at: (net[at] + resize_to(above[at], net)) / 2, len(net), size, out=net
        )

    def _stage(
        self,
        scale: int,
        left: Tensor,
        right: Tensor,
        net: Tensor,
        flow: Tensor,
        iterations: int,
        run: _Run,
    ) -> tuple[Tensor, Tensor]:
        """Update at one scale; return the state and the flow, upsampled by 4."""
        shared = not self.options.different_update_blocks
        block = getattr(self, "update_block" if shared else f"update_block{scale:02}")
        pieces = self._pieces(len(left), *left.shape[2:])
        corr_of = correlate(
            self.options.corr_implementation, left, right, levels=LEVELS, radius=RADIUS
        )
        run.tell(**{f"flow{scale}_init": flow})
        fine = flow  # there is at least one iteration
        for k in range(1, iterations + 1):
            flow = flow.detach()
            if run.trace is not None:
                columns = torch.arange(flow.shape[-1], dtype=flow.dtype, device=flow.device)
                run.trace(f"corr{scale}_iter{k}", corr_of(columns + flow[:, 0]))
            with self._autocast(left):
                motion = block.motion(flow, corr_of, pieces)
                net, delta = block(net, left, flow, motion, pieces)
                del motion  # before the next is made
            flow = flow + delta
            run.tell(**{f"flow{scale}_iter{k}": flow})
            if run.every or k == iterations:
                with self._autocast(left):
                    fine = block.upsampled(flow if scale > 4 else flow[:, :1], net, pieces)
                if run.every or scale == 4:
                    run.add(fine[:, :1], scale // 4)
        return net, fine


class _Run:
    """What a run is to give: the last prediction, or every one; intermediate results by name."""

    def __init__(self, training: bool, trace: Trace | None) -> None:
        self.training, self.trace = training, trace
        self.every = training or trace is not None
        self.predictions: list[Tensor] = []
        self.count = 0

    def tell(self, **values: Tensor) -> None:
        if self.trace is not None:
            for name, value in values.items():
                self.trace(name, value)

    def add(self, flow: Tensor, factor: int) -> None:
        """Take a prediction at 1/factor of the size."""
        if factor > 1:
            size = [factor * n for n in flow.shape[2:]]
            flow = factor * F.interpolate(flow, size, mode="bilinear", align_corners=True)
        self.count += 1
        self.tell(**{f"pred_iter{self.count}": flow})
        self.predictions = [*self.predictions, flow] if self.training else [flow]


def _state(features: Tensor) -> Tensor:
    """Start the state from the left view's features."""
    return torch.tanh(features[:, :HIDDEN])


def _carried(flow: Tensor, like: Tensor) -> Tensor:
    """Flow of a coarser stage at the size of a map, its sign turned as in training."""
    return -(like.shape[2] / flow.shape[2]) * resize_to(flow, like)
