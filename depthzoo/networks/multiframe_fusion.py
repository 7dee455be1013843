"""Cross-cue fusion: a volume from one image and one from several correct each other.

Li, Gong, Yin and others, "Learning to Fuse Monocular and Multi-view Cues for Multi-frame Depth
Estimation in Dynamic Scenes", CVPR 2023, https://arxiv.org/abs/2304.08993.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = ["CrossCueFusion", "FusionType"]

Trace = Callable[[str, Tensor], None]
FusionType = Literal["ccf_fusion", "mono_guide_multi", "multi_guide_mono"]

_WIDE = 650  # images that are wider are reduced once more before attention


def _reduce(steps: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(steps):
        layers += [
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _regular(layers: int, kernel: int, width: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [
            nn.Conv2d(width, width, kernel, padding=kernel // 2),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*parts)


class CrossCueFusion(nn.Module):
    """Each cue's values, gathered by the attention of the other, added to both.

    Parameters
    ----------
    kind : str
        ``ccf_fusion`` as published; ``mono_guide_multi`` and ``multi_guide_mono`` go one way only
        and give half of the channels.
    image_width : int
        Of the images that the network is made for.
    steps : int
        Channels of either volume.
    """

    def __init__(self, kind: FusionType, image_width: int, steps: int) -> None:
        super().__init__()
        if kind not in get_args(FusionType):
            expected = ", ".join(get_args(FusionType))
            raise ValueError(
                f"Dynamic-multiframe-depth: fusion_type is one of {expected}; got {kind!r}"
            )
        self.kind = kind
        self.gamma = nn.Parameter(torch.zeros(1))
        reductions = 3 if image_width > _WIDE else 2
        self.mono_expand = _reduce(reductions, steps)
        self.multi_expand = _reduce(reductions, steps)
        if kind != "multi_guide_mono":  # the attention of one image gathers values of several
            self.lin_mono_q = nn.Conv2d(steps, steps, 1)
            self.lin_mono_k = nn.Conv2d(steps, steps, 1)
            self.lin_multi_v = nn.Conv2d(steps, steps, 1)
            self.multi_reg = _regular(1, 1, steps)
        if kind != "mono_guide_multi":
            self.lin_multi_q = nn.Conv2d(steps, steps, 1)
            self.lin_multi_k = nn.Conv2d(steps, steps, 1)
            self.lin_mono_v = nn.Conv2d(steps, steps, 1)
            self.mono_reg = _regular(2, 3, steps)

    @property
    def ways(self) -> int:
        """Cues in the result: 2, or 1 for the one-sided kinds."""
        return 2 if self.kind == "ccf_fusion" else 1

    def forward(self, mono: Tensor, multi: Tensor, trace: Trace | None = None) -> Tensor:
        """Fuse two volumes.

        Parameters
        ----------
        mono, multi : Tensor
            (N, steps, H, W).
        trace : callable, optional
            Called with ``mono_expand``, ``multi_expand``, ``attention`` (before gamma), ``fused``.

        Returns
        -------
        Tensor
            (N, ways * steps, H, W).
        """
        small_mono, small_multi = self.mono_expand(mono), self.multi_expand(multi)
        gathered, kept = [], []
        if self.kind != "multi_guide_mono":
            q, k = self.lin_mono_q(small_mono), self.lin_mono_k(small_mono)
            gathered.append(_attend(q, k, self.lin_multi_v(small_multi)))
        if self.kind != "mono_guide_multi":
            q, k = self.lin_multi_q(small_multi), self.lin_multi_k(small_multi)
            gathered.append(_attend(q, k, self.lin_mono_v(small_mono)))
            kept.append(self.mono_reg(mono))
        if self.kind != "multi_guide_mono":
            kept.append(self.multi_reg(multi))
        # Several-first in what is gathered, one-first in what is kept: the order of the weights.
        attention = torch.cat(gathered, 1) if len(gathered) > 1 else gathered[0]
        fused = torch.cat(kept, 1) if len(kept) > 1 else kept[0]
        correction = F.interpolate(
            self.gamma.to(attention.dtype) * attention, size=mono.shape[-2:], mode="nearest"
        )
        fused = fused + correction
        if trace is not None:
            names = ("mono_expand", "multi_expand", "attention", "fused")
            for name, value in zip(names, (small_mono, small_multi, attention, fused), strict=True):
                trace(name, value)
        return fused


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention between all pixels of (N, C, h, w), logits not scaled.

    The matrix of all pairs, which grows with the square of the pixels, is never held.
    """
    n, c, h, w = value.shape
    # Channels next to each other in memory: other layouts fall back to the matrix of all pairs.
    q, k, v = (x.flatten(2).transpose(1, 2).contiguous()[:, None] for x in (query, key, value))
    out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return out.squeeze(1).transpose(1, 2).reshape(n, c, h, w)
