"""3x3 convolutions over a mirrored border, as the decoders of Monodepth2 and its kin have them."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["ReflectedConv", "ReflectedELU"]


class ReflectedConv(nn.Module):
    """Mirror the border by one pixel, then convolve 3x3: the size stays."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W), H and W at least 2, to (N, c_out, H, W)."""
        y: Tensor = self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect"))
        return y


class ReflectedELU(nn.Module):
    """`ReflectedConv` and an exponential linear unit."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = ReflectedConv(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H, W)."""
        return F.elu(self.conv(x), inplace=True)
