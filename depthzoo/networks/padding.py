"""Padding to a multiple, and the way back."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["Padding", "padding_to_multiple"]


class Padding(NamedTuple):
    """Pixels added on each side."""

    left: int
    right: int
    top: int
    bottom: int

    def pad(self, image: Tensor) -> Tensor:
        """Replicate the border of (N, C, H, W)."""
        return F.pad(image, list(self), mode="replicate") if any(self) else image

    def crop(self, image: Tensor) -> Tensor:
        """Cut the added border off (..., H, W)."""
        h, w = image.shape[-2:]
        return image[..., self.top : h - self.bottom, self.left : w - self.right]


def padding_to_multiple(height: int, width: int, multiple: int) -> Padding:
    """Centred padding; an odd pixel goes to the right or the bottom.

    Examples
    --------
    >>> padding_to_multiple(61, 150, 32)
    Padding(left=5, right=5, top=1, bottom=2)
    """
    rows, columns = -height % multiple, -width % multiple
    return Padding(columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
