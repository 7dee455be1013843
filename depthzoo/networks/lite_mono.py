"""Lite-Mono: disparity from one image by a light network of convolutions and attention.

Zhang, Nex, Vosselman, Kerle, "Lite-Mono: A Lightweight CNN and Transformer Architecture for
Self-Supervised Monocular Depth Estimation", CVPR 2023, https://arxiv.org/abs/2211.13202.
Dynamo-Depth's ``litemono`` is the variant 8m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.disparity import check_images, wanted_scales
from depthzoo.networks.precision import AutocastModule, full_precision
from depthzoo.networks.reflected import ReflectedConv, ReflectedELU

__all__ = ["LiteMono", "LiteMonoDecoder", "LiteMonoEncoder", "LiteMonoOptions", "Variant"]

Variant = Literal["tiny", "small", "base", "8m"]
"""Published sizes; `base` is the one its authors call lite-mono."""

_MEAN, _SCALE = 0.45, 0.225  # of all channels
_HEADS = 8
_EXPANSION = 6
_FREQUENCIES = 32  # of the positional encoding, for each axis
_LAYER_SCALE = 1e-6
_SCALES = (0, 1, 2)
_WIDTHS = {
    "tiny": (32, 64, 128),
    "small": (48, 80, 128),
    "base": (48, 80, 128),
    "8m": (64, 128, 224),
}
_PATTERNS = {640: (1, 2, 3), 1024: (1, 2, 5)}  # dilations, by the width of the training images
_LAST = {640: (2, 4, 6), 1024: (2, 4, 10)}


@dataclass(frozen=True)
class LiteMonoOptions:
    """Which of the published networks.

    Parameters
    ----------
    variant : str
        ``tiny``, ``small``, ``base`` or ``8m``.
    trained_width : int
        640 or 1024: the dilations depend on it, except for ``8m``.
    drop_path : float
        Highest rate of stochastic depth, in training.
    """

    variant: Variant = "base"
    trained_width: int = 640
    drop_path: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values that are not published."""
        if self.variant not in get_args(Variant):
            expected = ", ".join(get_args(Variant))
            raise ValueError(f"Lite-Mono: variant is one of {expected}; got {self.variant!r}")
        if self.trained_width not in _PATTERNS:
            raise ValueError(f"Lite-Mono: trained_width is 640 or 1024; got {self.trained_width}")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"Lite-Mono: drop_path is in 0..1; got {self.drop_path}")

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels of the three stages."""
        return _WIDTHS[self.variant]

    @property
    def dilations(self) -> tuple[tuple[int, ...], ...]:
        """Dilations of the convolution blocks of each stage; one attention block follows."""
        width = 640 if self.variant == "8m" else self.trained_width
        pattern, last = _PATTERNS[width], _LAST[width]
        deep = pattern if self.variant in ("tiny", "small") else 2 * pattern
        return pattern, pattern, deep + last


class _DropPath(nn.Module):
    """Leave a branch out, for some images of a batch, in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty((len(x), *(1,) * (x.dim() - 1))).bernoulli_(keep) / keep


class _Conv(nn.Module):
    """A convolution without bias under the key ``conv``."""

    def __init__(self, c_in: int, c_out: int, stride: int, dilation: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(
            c_in, c_out, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class _NormGELU(nn.Module):
    """Batch norm and GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.bn(x))


class _StemConv(_Conv):
    """Convolution, batch norm, GELU."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.bn_gelu = _NormGELU(c_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn_gelu(self.conv(x))
        return y


class DilatedBlock(nn.Module):
    """Consecutive dilated convolution: depth-wise, then a two-layer perceptron for each pixel.

    ``norm`` is in the files and is not used.
    """

    def __init__(self, width: int, dilation: int, drop_path: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), _LAYER_SCALE))
        self.ddwconv = _Conv(width, width, 1, dilation, groups=width)
        self.bn1 = nn.BatchNorm2d(width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, _EXPANSION * width)
        self.pwconv2 = nn.Linear(_EXPANSION * width, width)
        self.drop_path = _DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.bn1(self.ddwconv(x)).permute(0, 2, 3, 1)
        y = _perceptron(self, y).permute(0, 3, 1, 2)
        total: Tensor = x + self.drop_path(y)
        return total


def _perceptron(block: DilatedBlock | AttentionBlock, tokens: Tensor) -> Tensor:
    """Two linear layers with a GELU between them, scaled by channel; channels last."""
    y: Tensor = block.gamma * block.pwconv2(F.gelu(block.pwconv1(tokens)))
    return y


class CrossCovarianceAttention(nn.Module):
    """Attention between channels: its map is as large as a head is wide, whatever the image is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(_HEADS, 1, 1))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, tokens, C) to the same shape."""
        n, count, width = tokens.shape
        qkv = self.qkv(tokens).view(n, count, 3, _HEADS, width // _HEADS).permute(2, 0, 3, 4, 1)
        q, k, v = qkv.unbind(0)  # (n, heads, channels of a head, tokens)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = ((q @ k.transpose(-1, -2)) * self.temperature).softmax(-1)
        mixed = (weights.to(v.dtype) @ v).permute(0, 3, 1, 2).reshape(n, count, width)
        result: Tensor = self.proj(mixed)
        return result


class PositionalEncoding(nn.Module):
    """Sines and cosines of row and column, projected to the width of the features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * _FREQUENCIES, width, 1)

    def forward(self, height: int, width: int) -> Tensor:
        """Return (1, C, height, width)."""
        weight = self.token_projection.weight
        waves = torch.cat(
            [
                _waves(height, weight.device)[:, :, None].expand(-1, -1, width),
                _waves(width, weight.device)[:, None, :].expand(-1, height, -1),
            ]
        )
        encoding: Tensor = self.token_projection(waves[None].to(weight.dtype))
        return encoding


def _waves(length: int, device: torch.device) -> Tensor:
    """(32, length) float32: sines (even rows) and cosines (odd rows) of positions 1 .. length."""
    position = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    position = position / (length + 1e-6) * (2 * math.pi)
    k = torch.arange(_FREQUENCIES, device=device)
    period = 10000 ** (2 * (k // 2) / _FREQUENCIES)
    angles = position / period[:, None]
    return torch.where((k % 2 == 0)[:, None], angles.sin(), angles.cos())


class AttentionBlock(nn.Module):
    """Local-global features interaction: cross-covariance attention, then the perceptron.

    The input itself is added at the end, so attention acts through the perceptron alone.
    """

    def __init__(self, width: int, drop_path: float, *, positions: bool) -> None:
        super().__init__()
        self.gamma_xca = nn.Parameter(torch.full((width,), _LAYER_SCALE))
        self.gamma = nn.Parameter(torch.full((width,), _LAYER_SCALE))
        self.pos_embd = PositionalEncoding(width) if positions else None
        self.norm_xca = nn.LayerNorm(width, eps=1e-6)
        self.xca = CrossCovarianceAttention(width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, _EXPANSION * width)
        self.pwconv2 = nn.Linear(_EXPANSION * width, width)
        self.drop_path = _DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        _, _, height, width = x.shape
        placed = x if self.pos_embd is None else x + self.pos_embd(height, width)
        tokens = placed.flatten(2).transpose(1, 2)
        tokens = tokens + self.gamma_xca * self.xca(self.norm_xca(tokens))
        y = _perceptron(self, self.norm(tokens)).transpose(1, 2).view(x.shape)
        total: Tensor = x + self.drop_path(y)
        return total


class LiteMonoEncoder(nn.Module):
    """Features at 1/4, 1/8 and 1/16 of the image's size.

    Parameters
    ----------
    options : LiteMonoOptions
    """

    def __init__(self, options: LiteMonoOptions) -> None:
        super().__init__()
        self.channels = widths = options.widths
        dilations = options.dilations
        depth = sum(len(stage) + 1 for stage in dilations)
        rates = iter(torch.linspace(0, options.drop_path, depth).tolist())
        stem = [_StemConv(3, widths[0], 2), *(_StemConv(widths[0], widths[0], 1) for _ in "ab")]
        self.downsample_layers = nn.ModuleList([nn.Sequential(*stem)])
        self.stem2 = nn.Sequential(_Conv(widths[0] + 3, widths[0], 2))
        for below, width in pairwise(widths):
            self.downsample_layers.append(nn.Sequential(_Conv(2 * below + 3, width, 2)))
        self.stages = nn.ModuleList()
        for stage, (width, steps) in enumerate(zip(widths, dilations, strict=True)):
            blocks: list[nn.Module] = [DilatedBlock(width, d, next(rates)) for d in steps]
            blocks.append(AttentionBlock(width, next(rates), positions=stage == 0))
            self.stages.append(nn.Sequential(*blocks))
        _initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) in 0..1 to three features, the finest first."""
        pooled = (image - _MEAN) / _SCALE
        x = self.downsample_layers[0](pooled)
        features: list[Tensor] = []
        for level, stage in enumerate(self.stages):
            pooled = F.avg_pool2d(pooled, 3, stride=2, padding=1)  # the zero border counts
            smaller = self.stem2 if level == 0 else self.downsample_layers[level]
            x = smaller(torch.cat([x, *features[-1:], pooled], 1))
            features.append(stage(x))
        return features


class LiteMonoDecoder(nn.Module):
    """Features to sigmoid disparity, coarse to fine.

    Parameters
    ----------
    channels : sequence of int
        Of the three features.
    scales : sequence of int
        That have a head: scale s is 1/2^s of the image's size, 0 to 2.
    """

    def __init__(self, channels: Sequence[int], scales: Sequence[int] = _SCALES) -> None:
        super().__init__()
        self.scales = tuple(sorted(set(scales)))
        if not self.scales or not set(self.scales) <= set(_SCALES):
            raise ValueError(f"Lite-Mono: scales are some of {_SCALES}; got {tuple(scales)}")
        widths = [c // 2 for c in channels]
        parts: list[nn.Module] = []
        for i in (2, 1, 0):
            below = channels[2] if i == 2 else widths[i + 1]
            skip = channels[i - 1] if i > 0 else 0
            parts += [ReflectedELU(below, widths[i]), ReflectedELU(widths[i] + skip, widths[i])]
        parts += [ReflectedConv(widths[s], 1) for s in self.scales]
        self.decoder = nn.ModuleList(parts)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, features: Sequence[Tensor], scales: Sequence[int]) -> dict[int, Tensor]:
        """Disparities (N, 1, H/2^s, W/2^s) of the wanted scales; what they do not need is left out.

        Parameters
        ----------
        features : sequence of Tensor
            Three, from the finest.
        scales : sequence of int
            Some of those with a head.
        """
        found: dict[int, Tensor] = {}
        x = features[-1]
        for i in range(2, min(scales) - 1, -1):
            x = _double(self.decoder[4 - 2 * i](x))
            if i > 0:
                x = torch.cat([x, features[i - 1]], 1)
            x = self.decoder[5 - 2 * i](x)
            if i in scales:
                head = self.decoder[6 + self.scales.index(i)]
                found[i] = _double(full_precision(head, x)).sigmoid_()
        return found


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class LiteMono(AutocastModule):
    """The network under the prefixes of the published files.

    Parameters
    ----------
    variant, trained_width, drop_path
        See `LiteMonoOptions`.
    scales : sequence of int
        Disparities that have a head.

    Examples
    --------
    >>> import torch
    >>> network = LiteMono(variant="tiny").eval()
    >>> with torch.inference_mode():
    ...     disparity = network(torch.zeros(1, 3, 64, 96))[0]
    >>> disparity.shape
    torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        *,
        variant: Variant = "base",
        trained_width: int = 640,
        drop_path: float = 0.4,
        scales: Sequence[int] = _SCALES,
    ) -> None:
        super().__init__()
        self.options = LiteMonoOptions(variant, trained_width, drop_path)
        self.encoder = LiteMonoEncoder(self.options)
        self.depth = LiteMonoDecoder(self.options.widths, scales)

    def forward(self, image: Tensor, scales: Sequence[int] | None = None) -> list[Tensor]:
        """Predict disparity.

        Parameters
        ----------
        image : Tensor
            (N, 3, H, W) RGB in 0..1, multiples of 32.
        scales : sequence of int, optional
            Wanted ones; scale 0 in eval mode and all in training when not given.

        Returns
        -------
        list of Tensor
            For each the sigmoid disparity (N, 1, H/2^s, W/2^s); `disparity.depth_of` converts it.
        """
        check_images("Lite-Mono", image)
        scales = wanted_scales(self, self.depth.scales, scales)
        with self._autocast(image):
            found = self.depth(self.encoder(image), scales)
        return [found[scale].to(image.dtype) for scale in scales]


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """Kaiming-normal weights by the fan out, ReLU gain; a depth-wise layer counts all channels."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan_out = part.out_channels * math.prod(part.kernel_size)
            nn.init.normal_(part.weight, std=math.sqrt(2 / fan_out))
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=math.sqrt(2 / part.out_features))
