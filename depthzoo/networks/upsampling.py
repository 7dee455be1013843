"""Convex upsampling: each fine pixel is a learnt convex combination of nine coarse neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["convex_upsample"]


def convex_upsample(field: Tensor, mask: Tensor, factor: int) -> Tensor:
    """Upsample a displacement field and scale its values with its size.

    Parameters
    ----------
    field : Tensor
        (N, C, h, w), in coarse pixels.
    mask : Tensor
        (N, 9 * factor**2, h, w) logits; channel ``(k * factor + i) * factor + j`` weighs neighbour
        k (row-major over the 3x3 window) for sub-row i and sub-column j.
    factor : int
        Upsampling factor.

    Returns
    -------
    Tensor
        (N, C, factor * h, factor * w), in fine pixels. Neighbours beyond the border are zeros. The
        softmax runs in the dtype of `mask`, the sum in the wider of both dtypes.

    Examples
    --------
    >>> import torch
    >>> field = torch.ones(1, 1, 5, 6)
    >>> fine = convex_upsample(field, torch.zeros(1, 36, 5, 6), 2)
    >>> fine.shape, float(fine[0, 0, 5, 5])
    (torch.Size([1, 1, 10, 12]), 2.0)
    """
    n, c, h, w = field.shape
    weights = torch.softmax(mask.view(n, 1, 9, factor, factor, h, w), dim=2)
    around = F.unfold(factor * field, 3, padding=1).view(n, c, 9, 1, 1, h, w)
    fine = (weights * around).sum(dim=2)  # (n, c, sub-row, sub-column, h, w)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(n, c, factor * h, factor * w)
