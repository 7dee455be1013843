"""The residual encoder that the RAFT family shares: blocks, norms, and the trunk to 1/2^n size."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Norm", "ResidualBlock", "ResidualTrunk", "initialise", "make_norm", "residual_pair"]

Norm = Literal["group", "batch", "instance", "none"]


def make_norm(norm: Norm, channels: int, groups: int | None = None) -> nn.Module:
    """Build a norm layer; group norm has `groups` groups, eight channels each when not given.

    Instance norm has neither affine parameters nor running statistics, hence no keys.
    """
    if norm == "group":
        return nn.GroupNorm(groups if groups is not None else channels // 8, channels)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.Identity()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; both branches are rectified before and after the sum.

    The norm of a projected shortcut is one module under two names, ``norm3`` and ``downsample.1``.
    It is registered in this order, so that a state dict whose two copies differ takes effect as
    ``downsample.1``, which loads last. The shortcut of a block that keeps size and width is the
    identity, unless it is to `project`.
    """

    def __init__(
        self, c_in: int, c_out: int, stride: int, norm: Norm, *, project: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.norm1 = make_norm(norm, c_out)
        self.norm2 = make_norm(norm, c_out)
        self.downsample: nn.Sequential | None = None
        if project or stride != 1 or c_in != c_out:
            self.norm3 = make_norm(norm, c_out)
            projection = nn.Conv2d(c_in, c_out, 1, stride=stride)
            self.downsample = nn.Sequential(projection, self.norm3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, H/stride, W/stride)."""
        y = self.norm1(self.conv1(x)).relu_()
        y = self.conv2(y)  # its own line: the input is free before the norm makes its output
        y = self.norm2(y).relu_()
        shortcut = x if self.downsample is None else self.downsample(x)
        total: Tensor = shortcut + y
        return total.relu_()


def residual_pair(
    c_in: int, c_out: int, stride: int, norm: Norm, *, project: bool = False
) -> nn.Sequential:
    """Two residual blocks, the first with the stride."""
    return nn.Sequential(
        ResidualBlock(c_in, c_out, stride, norm, project=project),
        ResidualBlock(c_out, c_out, 1, norm, project=project),
    )


class ResidualTrunk(nn.Module):
    """Stem and three layers: an image to 128 channels at 1/2^n_downsample of its size.

    `strides` of the stem, of the second and of the third layer replace the usual ones, which halve
    late; `project` is that of the blocks.
    """

    def __init__(
        self,
        norm: Norm,
        n_downsample: int,
        *,
        strides: tuple[int, int, int] | None = None,
        project: bool = False,
    ) -> None:
        super().__init__()
        usual = (1 + (n_downsample > least) for least in (2, 1, 0))
        stem, second, third = strides or usual
        self.conv1 = nn.Conv2d(3, 64, 7, stride=stem, padding=3)
        self.norm1 = make_norm(norm, 64, groups=8)
        self.layer1 = residual_pair(64, 64, 1, norm, project=project)
        self.layer2 = residual_pair(64, 96, second, norm, project=project)
        self.layer3 = residual_pair(96, 128, third, norm, project=project)

    def trunk(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) in -1..1 to (N, 128, h, w)."""
        x: Tensor = self.norm1(self.conv1(image)).relu_()
        for block in (
            *self.layer1,
            *self.layer2,
            *self.layer3,
        ):  # a Sequential would hold its input
            x = block(x)
        return x


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Kaiming-normal convolutions (fan out, ReLU); norms start at scale 1 and shift 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
