"""Resizing as scikit-image does by default: a Gaussian against aliasing, then bilinear."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["gaussian_resize"]

_TRUNCATE = 4.0  # standard deviations after which the Gaussian is cut


def gaussian_resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize as ``skimage.transform.resize(image, size)`` of 0.17 and later.

    Each axis that shrinks is blurred with a standard deviation of half of what is lost a pixel;
    borders are mirrored without repeating the last pixel. Both steps are linear in each axis, hence
    one matrix an axis.

    Parameters
    ----------
    image : Tensor
        (..., H, W), float.
    size : (height, width)

    Examples
    --------
    >>> import torch
    >>> small = gaussian_resize(torch.ones(1, 3, 9, 12), (4, 6))
    >>> small.shape, bool((small - 1).abs().max() < 1e-5)
    (torch.Size([1, 3, 4, 6]), True)
    """
    for axis, wanted in ((-2, size[0]), (-1, size[1])):
        if image.shape[axis] != wanted:
            matrix = _matrix(image.shape[axis], wanted).to(image.device, image.dtype)
            image = matrix @ image if axis == -2 else image @ matrix.T
    return image


@lru_cache(maxsize=16)
def _matrix(size: int, wanted: int) -> Tensor:
    """(wanted, size) weights, float64: blur, then fetch."""
    at = (torch.arange(wanted, dtype=torch.float64) + 0.5) * size / wanted - 0.5
    low = at.floor()
    share = at - low
    fetch = torch.zeros(wanted, size, dtype=torch.float64)
    for step, weight in ((0, 1 - share), (1, share)):
        column = _mirrored(low.long() + step, size)
        fetch.scatter_add_(1, column[:, None], weight[:, None])
    sigma = max(0.0, (size / wanted - 1) / 2)
    radius = int(_TRUNCATE * sigma + 0.5)
    if radius == 0:
        return fetch
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma).double().square())
    weights /= weights.sum()
    blur = torch.zeros(size, size, dtype=torch.float64)
    rows = torch.arange(size)[:, None] + offsets
    blur.scatter_add_(1, _mirrored(rows, size), weights.expand(size, -1).contiguous())
    return fetch @ blur


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Fold indices back at the first and the last pixel, as often as it takes."""
    if size == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * (size - 1))
    return torch.minimum(folded, 2 * (size - 1) - folded)
