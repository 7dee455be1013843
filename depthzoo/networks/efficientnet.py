"""EfficientNet-B5 features with TensorFlow's padding, the keys those of rwightman's and timm's.

Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
https://arxiv.org/abs/1905.11946; the keys are those of ``tf_efficientnet_b5_ap`` without its
classifier.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["CHANNELS", "EfficientNetB5", "pad_same"]

CHANNELS = (24, 40, 64, 128, 176, 304, 512)
"""Channels after each stage; the first three are at 1/2, 1/4 and 1/8 of the image's size."""

_STEM = 48
_HEAD = 2048
_EPS = 1e-3
_EXPANSION = 6
_SQUEEZE = 4


class Stage(NamedTuple):
    """Blocks of one width: how many, their kernel, the stride of the first."""

    blocks: int
    kernel: int
    stride: int


_STAGES = (
    Stage(3, 3, 1),
    Stage(5, 3, 2),
    Stage(5, 5, 2),
    Stage(7, 3, 2),
    Stage(7, 5, 1),
    Stage(9, 5, 2),
    Stage(3, 3, 1),
)


def pad_same(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Zeros around (..., H, W) such that a convolution gives H / stride, rounded up.

    An odd zero goes to the right and the bottom, as in TensorFlow.

    Examples
    --------
    >>> import torch
    >>> pad_same(torch.ones(1, 1, 4, 6), (3, 5), (2, 1)).shape
    torch.Size([1, 1, 5, 10])
    """
    sides: list[int] = []
    for size, k, s in zip(reversed(x.shape[-2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides) if any(sides) else x


class SameConv(nn.Conv2d):
    """A convolution without bias whose strides round the size up, padded like TensorFlow's."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1):
        # With stride 1 both sides get the same zeros, which the convolution adds by itself.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(c_in, c_out, kernel, stride, padding=padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H/stride, W/stride)."""
        if self.stride[0] > 1:
            x = pad_same(x, (self.kernel_size[0],) * 2, (self.stride[0],) * 2)
        return super().forward(x)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS)


class SqueezeExcite(nn.Module):
    """Scale channels by what their means say."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        scale = F.silu(self.conv_reduce(x.mean((2, 3), keepdim=True)), inplace=True)
        return x * self.conv_expand(scale).sigmoid_()  # type: ignore[no-any-return]


class SeparableBlock(nn.Module):
    """A depthwise convolution, squeeze and excitation, and a 1x1 convolution."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.skip = c_in == c_out and stride == 1
        self.conv_dw = SameConv(c_in, c_in, kernel, stride, groups=c_in)
        self.bn1 = _norm(c_in)
        self.se = SqueezeExcite(c_in, c_in // _SQUEEZE)
        self.conv_pw = SameConv(c_in, c_out, 1)
        self.bn2 = _norm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H/stride, W/stride)."""
        y = F.silu(self.bn1(self.conv_dw(x)), inplace=True)
        y = self.bn2(self.conv_pw(self.se(y)))
        if self.skip:
            y += x
        return y  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """A `SeparableBlock` at six times the width."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.skip = c_in == c_out and stride == 1
        wide = c_in * _EXPANSION
        self.conv_pw = SameConv(c_in, wide, 1)
        self.bn1 = _norm(wide)
        self.conv_dw = SameConv(wide, wide, kernel, stride, groups=wide)
        self.bn2 = _norm(wide)
        self.se = SqueezeExcite(wide, c_in // _SQUEEZE)  # a quarter of the block's input
        self.conv_pwl = SameConv(wide, c_out, 1)
        self.bn3 = _norm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H/stride, W/stride)."""
        y = F.silu(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.silu(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(self.se(y)))
        if self.skip:
            y += x
        return y  # type: ignore[no-any-return]


class EfficientNetB5(nn.Module):
    """The whole trunk; features that are not asked for are not computed.

    Examples
    --------
    >>> import torch
    >>> with torch.inference_mode():
    ...     features = EfficientNetB5().eval()(torch.zeros(1, 3, 64, 96))
    >>> [tuple(f.shape[1:]) for f in features]
    [(24, 32, 48), (40, 16, 24), (64, 8, 12)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConv(3, _STEM, 3, 2)
        self.bn1 = _norm(_STEM)
        self.blocks = nn.ModuleList()
        c_in = _STEM
        for index, (stage, c_out) in enumerate(zip(_STAGES, CHANNELS, strict=True)):
            kind = SeparableBlock if index == 0 else InvertedResidual
            blocks = [kind(c_in, c_out, stage.kernel, stage.stride)]
            blocks += [kind(c_out, c_out, stage.kernel, 1) for _ in range(stage.blocks - 1)]
            self.blocks.append(nn.Sequential(*blocks))
            c_in = c_out
        self.conv_head = SameConv(c_in, _HEAD, 1)
        self.bn2 = _norm(_HEAD)

    def forward(self, x: Tensor, stages: int = 3) -> list[Tensor]:
        """Return what the first `stages` stages make of normalised images (N, 3, H, W)."""
        x = F.silu(self.bn1(self.conv_stem(x)), inplace=True)
        features: list[Tensor] = []
        for stage in self.blocks[:stages]:
            x = stage(x)
            features.append(x)
        return features
