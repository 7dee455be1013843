"""Convolutional GRU whose gates take context terms, and how levels exchange their states."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["ConvGRU", "pool_half", "resize_to"]


class ConvGRU(nn.Module):
    """Gated recurrent unit with 3x3 convolutions and additive context terms."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.convz = nn.Conv2d(hidden + inputs, hidden, 3, padding=1)
        self.convr = nn.Conv2d(hidden + inputs, hidden, 3, padding=1)
        self.convq = nn.Conv2d(hidden + inputs, hidden, 3, padding=1)

    def forward(self, h: Tensor, context: tuple[Tensor, Tensor, Tensor], hx: Tensor) -> Tensor:
        """Next hidden state.

        Parameters
        ----------
        h : Tensor
            Hidden state, (N, hidden, H, W).
        context : tuple of Tensor
            Terms for the update gate z, the reset gate r and the candidate q, each like `h`.
        hx : Tensor
            Hidden state and inputs concatenated, (N, hidden + inputs, H, W); without gradients it
            is overwritten, so that a large image takes no copy of it.
        """
        cz, cr, cq = context
        z: Tensor = self.convz(hx).add_(cz).sigmoid_()
        r: Tensor = self.convr(hx).add_(cr).sigmoid_()
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            q: Tensor = self.convq(torch.cat([r * h, hx[:, h.shape[1] :]], 1)).add_(cq).tanh_()
            return (1 - z) * h + z * q
        hx[:, : h.shape[1]].mul_(r)
        del r
        q = self.convq(hx).add_(cq).tanh_()
        return q.sub_(h).mul_(z).add_(h)


def pool_half(x: Tensor) -> Tensor:
    """Average 3x3 windows at stride 2; the zero border counts in the divisor."""
    return F.avg_pool2d(x, 3, stride=2, padding=1)


def resize_to(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear resize to the size of `like`, corners on corners."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)
