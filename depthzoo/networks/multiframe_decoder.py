"""The U-Net of MonoRec: separable convolutions down, transposed ones up, features of a backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.efficientnet import pad_same

__all__ = ["MULTIPLE", "SCALES", "InverseDepthNet"]

MULTIPLE = 16
"""Height and width of images are multiples of this."""

SCALES = (0, 1, 2, 3)
"""Predictions that the network can give: s is 1/2^s of the image's size."""

_SLOPE = 0.1
_KERNELS = (7, 7, 5, 5, 3)
_DOWN = (48, 64, 128, 192, 256)
_UP = (256, 128, 64, 48, 32, 24)
_LARGE_DOWN = (48, 64, 128, 256, 512)
_LARGE_UP = (512, 256, 128, 64, 32, 24)


class SeparableConv(nn.Module):
    """A column of weights, then a row, each followed by a leaky rectifier."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        side = kernel // 2 if stride == 1 else 0  # strides need one zero less on one side
        self.conv_y = nn.Conv2d(c_in, c_out, (kernel, 1), (stride, 1), padding=(side, 0))
        self.conv_x = nn.Conv2d(c_out, c_out, (1, kernel), (1, stride), padding=(0, side))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H/stride, W/stride)."""
        for conv in (self.conv_y, self.conv_x):
            if self.stride > 1:
                x = pad_same(x, conv.kernel_size, conv.stride)  # type: ignore[arg-type]
            x = F.leaky_relu(conv(x), _SLOPE, inplace=True)
        return x


class Refine(nn.Module):
    """Twice the size by a transposed convolution."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        # Its padding cuts one pixel off every side of what it would make.
        self.conv2d_t = nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, 2 H, 2 W)."""
        return F.leaky_relu(self.conv2d_t(x), _SLOPE, inplace=True)


class InverseDepthNet(nn.Module):
    """Images, or a volume and an image, to inverse depth.

    Parameters
    ----------
    c_in : int
        Channels of the input.
    features : sequence of int
        Channels of the backbone's features at 1/2, 1/4 and 1/8.
    limits : (float, float)
        Largest and smallest inverse depth.
    large : bool
        The wider variant, which is not published.
    """

    def __init__(
        self,
        c_in: int,
        features: Sequence[int],
        limits: tuple[float, float],
        *,
        large: bool = False,
    ) -> None:
        super().__init__()
        self.limits = limits
        down, up = (_LARGE_DOWN, _LARGE_UP) if large else (_DOWN, _UP)
        widths = (c_in, *down)
        self.enc = nn.ModuleList(
            nn.Sequential(
                SeparableConv(widths[i], widths[i + 1], kernel, 1 if i == 0 else 2),
                SeparableConv(widths[i + 1], widths[i + 1], 3),
            )
            for i, kernel in enumerate(_KERNELS)
        )
        f0, f1, f2 = features
        self.dec = nn.ModuleList([
            Refine(down[4], up[0]),
            nn.Sequential(Refine(down[3] + f2 + up[0], up[1]), SeparableConv(up[1], up[1], 3)),
            nn.Sequential(Refine(down[2] + f1 + up[1], up[2]), SeparableConv(up[2], up[2], 3)),
            Refine(down[1] + f0 + up[2], up[3]),
            nn.Sequential(
                SeparableConv(down[0] + up[3], up[4], 3),
                nn.Identity(),  # where the original pads
                nn.Conv2d(up[4], up[5], 3, padding=1),
                nn.LeakyReLU(_SLOPE, inplace=True),
            ),
        ])  # fmt: skip
        self.predictors = nn.ModuleList(
            nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 3, padding=1))
            for width in (up[0], up[1], up[2], up[5])
        )

    def forward(
        self, x: Tensor, features: Sequence[Tensor], scales: Sequence[int] = (0,)
    ) -> list[Tensor]:
        """Inverse depth (N, 1, H/2^s, W/2^s) of the wanted scales, in their order.

        Parameters
        ----------
        x : Tensor
            (N, c_in, H, W).
        features : sequence of Tensor
            Of the backbone, at 1/2, 1/4 and 1/8.
        scales : sequence of int
        """
        skips = []
        for stage in self.enc:
            x = stage(x)
            skips.append(x)
        beside = (None, features[2], features[1], features[0])
        found: dict[int, Tensor] = {}
        for step, stage in enumerate(self.dec):
            scale = (3, 2, 1, None, 0)[step]
            if step == 0:
                x = stage(skips.pop())
            elif step < 4:
                x = stage(torch.cat([skips.pop(), beside[step], x], 1))  # type: ignore[list-item]
            else:
                x = stage(torch.cat([skips.pop(), x], 1))
            if scale is not None and scale in scales:
                found[scale] = self._inverse_depth(self.predictors[3 - scale](x))
            if scale == min(scales):
                break
        return [found[scale] for scale in scales]

    def _inverse_depth(self, x: Tensor) -> Tensor:
        near, far = self.limits
        # Below zero it folds back: the magnitude counts. float32 at least, for far depths.
        share = x.to(torch.promote_types(x.dtype, torch.float32)).tanh().abs()
        return (1 - share) * far + share * near
