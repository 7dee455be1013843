"""RAFT-Stereo: recurrent disparity on one coarse field, corrected by correlation lookups.

Lipson, Teed, Deng, "RAFT-Stereo: Multilevel Recurrent Field Transforms for Stereo Matching", 3DV
2021, https://arxiv.org/abs/2109.07547. The options cover every published configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from depthzoo.networks.correlation import CorrelationName, Sampler, correlate
from depthzoo.networks.encoder import (
    Norm,
    ResidualBlock,
    ResidualTrunk,
    initialise,
    residual_pair,
)
from depthzoo.networks.encoder_bands import band_rows, map_bytes, trunk_in_bands
from depthzoo.networks.gru import ConvGRU, pool_half, resize_to
from depthzoo.networks.upsampling import convex_upsample

__all__ = ["RAFTStereo", "RAFTStereoOptions", "StereoFlow", "Trace"]

ContextTerms = tuple[Tensor, Tensor, Tensor]
Bands = int | Literal["auto"] | None
Trace = Callable[[str, Tensor], None]
"""Receives intermediate results by name; see `RAFTStereo.forward`."""

FEATURES = 256
WIDTH = 128  # channels of the encoder's trunk and levels
LARGE_MAP = 256 * 2**20  # bytes of a map of the encoder from which little memory means bands


class StereoFlow(NamedTuple):
    """What `RAFTStereo` returns in eval mode; x-flow is minus the disparity."""

    low: Tensor
    """(N, 2, h, w): flow in pixels of the coarse field; the y channel is zero."""
    up: Tensor
    """(N, 1, H, W): x-flow in pixels of the image."""


@dataclass(frozen=True)
class RAFTStereoOptions:
    """Options of the architecture; defaults as published.

    Parameters
    ----------
    hidden_dims : tuple of int
        Width of the coarsest, the middle and the finest level.
    corr_implementation : str
        ``reg`` keeps the correlation volume, ``alt`` forms it row by row; both correlate in float32
        at least. ``reg_cuda`` and ``alt_cuda`` name the same maths, but correlate in the dtype of
        the features, so that autocast reaches the volume.
    shared_backbone : bool
        One encoder for context and features.
    corr_levels, corr_radius : int
        Levels of the correlation pyramid, radius of a lookup.
    n_downsample : int
        The disparity field has 1 / 2^n of the image's size.
    context_norm : str
        Norm of the context network: ``group``, ``batch``, ``instance`` or ``none``.
    slow_fast_gru : bool
        Update the coarse levels more often.
    n_gru_layers : int
        Recurrent levels in use, 1 to 3.
    mixed_precision : bool
        Encoders and update blocks run under autocast.
    autocast_dtype : str
        ``float16`` or ``bfloat16``.
    """

    hidden_dims: tuple[int, int, int] = (128, 128, 128)
    corr_implementation: CorrelationName = "reg"
    shared_backbone: bool = False
    corr_levels: int = 4
    corr_radius: int = 4
    n_downsample: int = 2
    context_norm: Norm = "batch"
    slow_fast_gru: bool = False
    n_gru_layers: int = 3
    mixed_precision: bool = False
    autocast_dtype: Literal["float16", "bfloat16"] = "float16"

    def __post_init__(self) -> None:
        """Refuse values that the architecture does not have."""
        object.__setattr__(self, "hidden_dims", tuple(self.hidden_dims))
        allowed: dict[str, tuple[Any, ...]] = {
            "corr_implementation": get_args(CorrelationName),
            "context_norm": get_args(Norm),
            "n_gru_layers": (1, 2, 3),
            "autocast_dtype": ("float16", "bfloat16"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                expected = ", ".join(map(str, values))
                found = getattr(self, name)
                raise ValueError(f"RAFT-Stereo: {name} is one of {expected}; got {found!r}")
        if len(self.hidden_dims) != 3 or min(self.hidden_dims) < 1:
            raise ValueError(f"RAFT-Stereo: hidden_dims has three widths; got {self.hidden_dims}")
        if (
            self.hidden_dims[0] != self.hidden_dims[2]
        ):  # the context convolutions count from the fine end
            raise ValueError(
                "RAFT-Stereo: the first and the last of hidden_dims must be equal; "
                f"got {self.hidden_dims}"
            )
        if self.n_downsample < 0 or self.corr_levels < 1 or self.corr_radius < 0:
            raise ValueError(
                "RAFT-Stereo: n_downsample and corr_radius are at least 0, corr_levels at least 1; "
                f"got {self.n_downsample}, {self.corr_radius}, {self.corr_levels}"
            )

    @classmethod
    def of(cls, options: dict[str, Any]) -> RAFTStereoOptions:
        """Options from a mapping, unknown names refused."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(
                f"RAFT-Stereo has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        return cls(**options)


class ContextNetwork(ResidualTrunk):
    """Trunk, two coarser levels, and a pair of heads on each: initial hidden state and context."""

    def __init__(self, options: RAFTStereoOptions) -> None:
        norm, dims = options.context_norm, options.hidden_dims
        super().__init__(norm, options.n_downsample)
        self.layer4 = residual_pair(WIDTH, WIDTH, 2, norm)
        self.layer5 = residual_pair(WIDTH, WIDTH, 2, norm)

        def head(width: int) -> nn.Sequential:
            block = ResidualBlock(WIDTH, WIDTH, 1, norm)
            return nn.Sequential(block, nn.Conv2d(WIDTH, width, 3, padding=1))

        self.outputs08 = nn.ModuleList(head(dims[2]) for _ in range(2))
        self.outputs16 = nn.ModuleList(head(dims[1]) for _ in range(2))
        self.outputs32 = nn.ModuleList(nn.Conv2d(WIDTH, dims[0], 3, padding=1) for _ in range(2))
        initialise(self)

    def heads(self, x: Tensor, levels: int) -> list[tuple[Tensor, Tensor]]:
        """(hidden, context) of the finest `levels` levels from the trunk's features, raw."""
        parts = (
            (None, self.outputs08),
            (self.layer4, self.outputs16),
            (self.layer5, self.outputs32),
        )
        results = []
        for layer, (hidden, context) in parts[:levels]:
            x = x if layer is None else layer(x)
            results.append((hidden(x), context(x)))
        return results


class FeatureNetwork(ResidualTrunk):
    """Features to correlate, for one image."""

    def __init__(self, options: RAFTStereoOptions) -> None:
        super().__init__("instance", options.n_downsample)
        self.conv2 = nn.Conv2d(WIDTH, FEATURES, 1)
        initialise(self)

    def forward(self, image: Tensor, rows: int | None = None) -> Tensor:
        """Map (N, 3, H, W) in -1..1 to (N, 256, h, w), so many rows at a time."""
        features: Tensor = self.conv2(_trunk(self, image, rows))
        return features


class MotionEncoder(nn.Module):
    """Correlation samples and current flow to 128 channels, the last two the flow itself.

    `corr` and `flow` are the widths of the two branches, layer by layer.
    """

    def __init__(
        self, samples: int, corr: tuple[int, int] = (64, 64), flow: tuple[int, int] = (64, 64)
    ) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(samples, corr[0], 1)
        self.convc2 = nn.Conv2d(corr[0], corr[1], 3, padding=1)
        self.convf1 = nn.Conv2d(2, flow[0], 7, padding=3)
        self.convf2 = nn.Conv2d(flow[0], flow[1], 3, padding=1)
        self.conv = nn.Conv2d(corr[1] + flow[1], 126, 3, padding=1)

    def forward(self, flow: Tensor, corr: Tensor) -> Tensor:
        """Map (N, 2, h, w) and (N, samples, h, w) to (N, 128, h, w)."""
        a = self.convc2(self.convc1(corr).relu_()).relu_()
        b = self.convf2(self.convf1(flow).relu_()).relu_()
        both = self.conv(torch.cat([a, b], 1)).relu_()
        return torch.cat([both, flow], 1)


class FlowHead(nn.Module):
    """Hidden state to a correction of the flow."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """Map (N, hidden, h, w) to (N, 2, h, w)."""
        delta: Tensor = self.conv2(self.conv1(h).relu_())
        return delta


class UpdateBlock(nn.Module):
    """Recurrent levels from coarse to fine, and the two heads on the finest."""

    def __init__(self, options: RAFTStereoOptions) -> None:
        super().__init__()
        coarse, middle, fine = options.hidden_dims
        self.levels = options.n_gru_layers
        self.encoder = MotionEncoder(options.corr_levels * (2 * options.corr_radius + 1))
        self.gru08 = ConvGRU(fine, 128 + middle * (self.levels > 1))
        self.gru16 = ConvGRU(middle, fine + coarse * (self.levels == 3))
        self.gru32 = ConvGRU(coarse, middle)
        self.flow_head = FlowHead(fine)
        self.mask = nn.Sequential(
            nn.Conv2d(fine, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 9 * 4**options.n_downsample, 1),
        )

    def coarse(
        self, net: list[Tensor], context: list[ContextTerms], *, middle: bool
    ) -> list[Tensor]:
        """Refresh level 2 if in use, then level 1 if asked for; the finest level is first."""
        net = list(net)
        if self.levels == 3:
            hx = torch.cat([net[2], pool_half(net[1])], 1)
            net[2] = self.gru32(net[2], context[2], hx)
        if middle and self.levels > 1:
            above = [resize_to(net[2], net[1])] if self.levels == 3 else []
            hx = torch.cat([net[1], pool_half(net[0]), *above], 1)
            net[1] = self.gru16(net[1], context[1], hx)
        return net

    def forward(
        self, net: list[Tensor], context: list[ContextTerms], flow: Tensor, corr: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Refresh every level; return the states and the correction of the flow (N, 2, h, w)."""
        net = self.coarse(net, context, middle=True)
        parts = [net[0], self.encoder(flow, corr)]
        if self.levels > 1:
            parts.append(resize_to(net[1], net[0]))
        hx = torch.cat(parts, 1)
        del parts  # a large image has no room for what `hx` holds too
        net[0] = self.gru08(net[0], context[0], hx)
        del hx
        return net, self.flow_head(net[0])

    def upsampling_mask(self, h: Tensor) -> Tensor:
        """Logits of the convex combination, scaled to balance gradients."""
        mask: Tensor = 0.25 * self.mask(h)
        return mask


class RAFTStereo(nn.Module):
    """The network; options as keywords, see `RAFTStereoOptions`.

    Examples
    --------
    >>> import torch
    >>> network = RAFTStereo(n_gru_layers=1, n_downsample=3).eval()
    >>> with torch.inference_mode():
    ...     flow = network(torch.zeros(1, 3, 32, 64), torch.zeros(1, 3, 32, 64), iterations=1)
    >>> flow.low.shape, flow.up.shape
    (torch.Size([1, 2, 4, 8]), torch.Size([1, 1, 32, 64]))
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = opts = RAFTStereoOptions.of(options)
        self.bands: Bands = "auto"
        self.factor = 2**opts.n_downsample
        self.cnet = ContextNetwork(opts)
        self.update_block = UpdateBlock(opts)
        self.context_zqr_convs = nn.ModuleList(
            nn.Conv2d(opts.hidden_dims[i], 3 * opts.hidden_dims[i], 3, padding=1)
            for i in range(opts.n_gru_layers)
        )
        if opts.shared_backbone:
            block = ResidualBlock(WIDTH, WIDTH, 1, "instance")
            self.conv2 = nn.Sequential(block, nn.Conv2d(WIDTH, FEATURES, 3, padding=1))
        else:
            self.fnet = FeatureNetwork(opts)

    def train(self, mode: bool = True) -> RAFTStereo:
        """Set the mode; batch norm keeps its running statistics in training too."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self

    def forward(
        self,
        left: Tensor,
        right: Tensor,
        iterations: int = 12,
        flow_init: Tensor | None = None,
        trace: Trace | None = None,
    ) -> StereoFlow | list[Tensor]:
        """Match the left image against the right one.

        Parameters
        ----------
        left, right : Tensor
            (N, 3, H, W) RGB, 0..255, any float dtype; H and W are multiples of 2^n_downsample.
        iterations : int
            Updates, at least 1.
        flow_init : Tensor, optional
            (N, 2, h, w) flow to start from, in coarse pixels.
        trace : callable, optional
            Called with the name and value of each intermediate result: ``fmap1``, ``fmap2``,
            ``net{level}``, ``inp{level}_{z,r,q}`` and, for each iteration k from 1,
            ``corr_iter{k}``, ``hidden_iter{k}``, ``mask_iter{k}``, ``flow_low_iter{k}``,
            ``flow_up_iter{k}``.

        Returns
        -------
        StereoFlow or list of Tensor
            In eval mode the coarse flow and the x-flow at (H, W); in training mode the x-flow
            (N, 1, H, W) after every iteration.
        """
        self._check(left, right, iterations, flow_init)
        with self._autocast(left):
            features, net, context = self._encode(left, right)
        if trace is not None:
            _trace_encoders(trace, features, net, context)
        start = _pixel_grid(left, features[0])
        corr_of = self._correlation(*features)
        del features  # the correlation keeps what it needs
        position = start if flow_init is None else start + flow_init
        steps: list[Tensor] = []
        for k in range(1, iterations + 1):
            position = position.detach()
            flow = position - start
            corr = corr_of(position[:, 0])
            last = k == iterations
            with self._autocast(left):
                net, delta = self._update(net, context, flow, corr)
                wanted = self.training or last or trace is not None
                mask = self.update_block.upsampling_mask(net[0]) if wanted else None
            position = position + torch.cat([delta[:, :1], torch.zeros_like(delta[:, :1])], 1)
            if mask is None:
                continue
            if last and trace is None:
                del corr_of, corr, net, context  # upsampling a large image needs their room
            steps.append(convex_upsample((position - start)[:, :1], mask, self.factor))
            if trace is not None:
                values = (corr, net[0], mask, position - start, steps[-1])
                names = ("corr", "hidden", "mask", "flow_low", "flow_up")
                for name, value in zip(names, values, strict=True):
                    trace(f"{name}_iter{k}", value)
        return steps if self.training else StereoFlow(position - start, steps[-1])

    def use_correlation(self, name: CorrelationName) -> None:
        """Switch the implementation of the correlation; weights and results stay."""
        self.options = replace(self.options, corr_implementation=name)

    def use_bands(self, rows: Bands) -> None:
        """Encode an image so many rows at a time; None is all at once.

        A third of the memory, up to two and a half times the work at full resolution, the same
        result. ``auto``, as at first, does so for large images where the correlation is ``alt``.
        With gradients or autocast all rows are encoded at once.
        """
        if not (rows is None or rows == "auto" or rows >= 1):
            raise ValueError(f"RAFT-Stereo: bands have at least 1 row; got {rows}")
        self.bands = rows

    def use_autocast(self, dtype: Literal["float16", "bfloat16"] | None) -> None:
        """Run encoders and updates under autocast to a dtype; None leaves it off."""
        self.options = replace(
            self.options,
            mixed_precision=dtype is not None,
            autocast_dtype=dtype or self.options.autocast_dtype,
        )

    def _check(self, left: Tensor, right: Tensor, iterations: int, init: Tensor | None) -> None:
        f = self.factor
        if left.shape != right.shape or left.dim() != 4 or left.shape[1] != 3:
            raise ValueError(
                "RAFT-Stereo takes two images of shape (N, 3, H, W); "
                f"got {tuple(left.shape)} and {tuple(right.shape)}"
            )
        n, _, height, width = left.shape
        if height % f or width % f or not height * width:
            raise ValueError(
                f"RAFT-Stereo takes multiples of {f} as size; got {height}x{width}; pad the images"
            )
        if iterations < 1:
            raise ValueError(f"RAFT-Stereo needs at least 1 iteration; got {iterations}")
        if init is not None and init.shape != (n, 2, height // f, width // f):
            expected = (n, 2, height // f, width // f)
            raise ValueError(f"flow_init has shape {expected}; got {tuple(init.shape)}")

    def _autocast(self, like: Tensor) -> AbstractContextManager[object]:
        """Autocast where the options ask for it; otherwise what is around stays in effect."""
        if not self.options.mixed_precision:
            return nullcontext()
        return torch.autocast(like.device.type, getattr(torch, self.options.autocast_dtype))

    def _encode(
        self, left: Tensor, right: Tensor
    ) -> tuple[tuple[Tensor, Tensor], list[Tensor], list[ContextTerms]]:
        """Features of both images, initial states and context terms; images pass one by one."""
        rows = self._rows(left)
        trunk = _trunk(self.cnet, _centred(left), rows)
        if self.options.shared_backbone:
            features = (self.conv2(trunk), self.conv2(_trunk(self.cnet, _centred(right), rows)))
        else:
            features = (self.fnet(_centred(left), rows), self.fnet(_centred(right), rows))
        net, context = [], []
        heads = self.cnet.heads(trunk, self.options.n_gru_layers)
        for (hidden, terms), conv in zip(heads, self.context_zqr_convs, strict=True):
            net.append(torch.tanh(hidden))
            cz, cr, cq = conv(torch.relu(terms)).chunk(3, 1)
            context.append((cz, cr, cq))
        return features, net, context

    def _rows(self, image: Tensor) -> int | None:
        """Rows to encode at a time; None where all."""
        if torch.is_grad_enabled() or torch.is_autocast_enabled(image.device.type):
            return None
        if self.bands != "auto":
            return self.bands
        size = (image.shape, image.element_size())
        if self.options.corr_implementation.startswith("reg") or (
            map_bytes(self.cnet, *size) < LARGE_MAP
        ):
            return None
        return band_rows(self.cnet, *size)

    def _correlation(self, left: Tensor, right: Tensor) -> Sampler:
        opts = self.options
        return correlate(
            opts.corr_implementation,
            left,
            right,
            levels=opts.corr_levels,
            radius=opts.corr_radius,
        )

    def _update(
        self, net: list[Tensor], context: list[ContextTerms], flow: Tensor, corr: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        block = self.update_block
        if self.options.slow_fast_gru:
            if self.options.n_gru_layers == 3:
                net = block.coarse(net, context, middle=False)
            net = block.coarse(net, context, middle=True)
        result: tuple[list[Tensor], Tensor] = block(net, context, flow, corr)
        return result


def _centred(image: Tensor) -> Tensor:
    """Bring 0..255 to -1..1."""
    return 2 * (image / 255) - 1


def _trunk(network: ResidualTrunk, image: Tensor, rows: int | None) -> Tensor:
    return network.trunk(image) if rows is None else trunk_in_bands(network, image, rows)


def _pixel_grid(image: Tensor, features: Tensor) -> Tensor:
    """(N, 2, h, w): x and y of every coarse pixel, float32 at least."""
    n, _, h, w = features.shape
    dtype = torch.promote_types(image.dtype, torch.float32)
    x = torch.arange(w, dtype=dtype, device=image.device).expand(h, w)
    y = torch.arange(h, dtype=dtype, device=image.device)[:, None].expand(h, w)
    return torch.stack([x, y]).expand(n, 2, h, w)


def _trace_encoders(
    trace: Trace,
    features: tuple[Tensor, Tensor],
    net: list[Tensor],
    context: list[ContextTerms],
) -> None:
    trace("fmap1", features[0])
    trace("fmap2", features[1])
    for level, (state, terms) in enumerate(zip(net, context, strict=True)):
        trace(f"net{level}", state)
        for name, term in zip("zrq", terms, strict=True):
            trace(f"inp{level}_{name}", term)
