"""How much two images differ, pixel by pixel, as self-supervised training measures it."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["edge_aware_smoothness", "image_pyramid", "photometric_error", "ssim_loss"]

_C1, _C2 = 0.01**2, 0.03**2


def ssim_loss(first: Tensor, second: Tensor) -> Tensor:
    """Half of one minus the structural similarity in 3x3 windows, 0..1, by channel.

    Parameters
    ----------
    first, second : Tensor
        (N, C, H, W) in 0..1, H and W at least 2; the border is mirrored.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    x, y = (F.pad(image, (1, 1, 1, 1), mode="reflect") for image in (first, second))

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 3, stride=1)

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    above = (2 * mx * my + _C1) * (2 * vxy + _C2)
    below = (mx * mx + my * my + _C1) * (vx + vy + _C2)
    return ((1 - above / below) / 2).clamp(0, 1)


def photometric_error(target: Tensor, other: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """(N, 1, H, W): structural and absolute difference of two images, the mean over channels."""
    absolute = (target - other).abs().mean(1, keepdim=True)
    structural = ssim_loss(other, target).mean(1, keepdim=True)
    return ssim_weight * structural + (1 - ssim_weight) * absolute


def edge_aware_smoothness(values: Tensor, image: Tensor | None = None) -> Tensor:
    """Mean step of a map along rows plus that along columns, less where an image has edges.

    Parameters
    ----------
    values : Tensor
        (N, C, H, W).
    image : Tensor, optional
        (N, 3, H, W); its mean step over the channels, e, weighs a step by ``exp(-e)``.

    Examples
    --------
    >>> import torch
    >>> float(edge_aware_smoothness(torch.tensor([[[[0.0, 2.0], [0.0, 2.0]]]])))
    2.0
    """
    total = values.new_zeros(())
    for axis in (3, 2):
        step = values.diff(dim=axis).abs()
        if image is not None:
            step = step * torch.exp(-image.diff(dim=axis).abs().mean(1, keepdim=True))
        total = total + step.mean()
    return total


def image_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Halve an image again and again: bicubic with antialiasing, within 0..1, itself the first.

    Examples
    --------
    >>> import torch
    >>> [tuple(level.shape[2:]) for level in image_pyramid(torch.zeros(1, 3, 8, 12), 3)]
    [(8, 12), (4, 6), (2, 3)]
    """
    pyramid = [image]
    height, width = image.shape[-2:]
    for level in range(1, levels):
        size = (height // 2**level, width // 2**level)
        smaller = F.interpolate(
            pyramid[-1], size, mode="bicubic", align_corners=False, antialias=True
        )
        pyramid.append(torch.clamp(smaller, 0, 1))
    return pyramid
