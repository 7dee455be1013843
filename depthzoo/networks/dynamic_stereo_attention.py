"""Attention of DynamicStereo: linear over the positions of a frame, softmax over the frames.

Karaev et al., "DynamicStereo: Consistent Dynamic Depth from Stereo Videos", CVPR 2023, section 3.
The linear layers are those of LoFTR (Sun et al., CVPR 2021). Tokens are (batch, length, channels).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

__all__ = [
    "AttentionBlock",
    "LinearAttentionLayer",
    "SpaceAttention",
    "TimeAttention",
    "linear_attention",
    "sine_encoding",
    "time_attention",
]

HEADS = 8


def sine_encoding(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Sines and cosines of the column and of the row of each position, counted from 1.

    Returns
    -------
    Tensor
        (channels, height, width), float32 at least; channels 4j .. 4j + 3 are sin x, cos x, sin y,
        cos y at the j-th frequency.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    j = torch.arange(channels // 4, dtype=dtype, device=like.device)
    frequency = torch.exp(j * (-4 * math.log(10000.0) / channels))[:, None, None]
    x = torch.arange(1, width + 1, dtype=dtype, device=like.device) * frequency
    y = torch.arange(1, height + 1, dtype=dtype, device=like.device)[:, None] * frequency
    parts = [part.expand(-1, height, width) for part in (x.sin(), x.cos(), y.sin(), y.cos())]
    return torch.stack(parts, 1).flatten(0, 1)


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention whose weights are products of positive features, so that no L x S matrix exists.

    Parameters
    ----------
    q, k, v : Tensor
        (B, L, heads, D), (B, S, heads, D), (B, S, heads, D).

    Returns
    -------
    Tensor
        (B, L, heads, D), float32 at least: the sums over S overflow half precision.
    """
    dtype, length = torch.promote_types(q.dtype, torch.float32), k.shape[1]
    with torch.autocast(q.device.type, enabled=False):
        q, k = (F.elu(x.to(dtype)) + 1 for x in (q, k))
        summary = torch.einsum("bshd,bshe->bhde", k, v.to(dtype) / length)
        weight = torch.einsum("blhd,bhd->blh", q, k.sum(1)) + 1e-6
        attended = torch.einsum("blhd,bhde->blhe", q, summary)
        return attended * (length / weight).unsqueeze(-1)


def time_attention(y: Tensor) -> Tensor:
    """Softmax attention of tokens (B, T, C) to each other, query = key = value, `HEADS` heads."""
    heads = y.reshape(*y.shape[:2], HEADS, -1).transpose(1, 2)
    return F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(-2)


class LinearAttentionLayer(nn.Module):
    """Linear attention to a source, then a perceptron on tokens and message; residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(channels, channels, bias=False)
        self.k_proj = nn.Linear(channels, channels, bias=False)
        self.v_proj = nn.Linear(channels, channels, bias=False)
        self.merge = nn.Linear(channels, channels, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * channels, 2 * channels, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(2 * channels, channels, bias=False),
        )
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        for part in self.parameters():
            if part.dim() > 1:
                nn.init.xavier_uniform_(part)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Tokens (B, L, C) that attended to `source` (B, S, C)."""
        q, k, v = self.q_proj(x), self.k_proj(source), self.v_proj(source)
        heads = (HEADS, q.shape[-1] // HEADS)
        q, k, v = (part.view(*part.shape[:2], *heads) for part in (q, k, v))
        message = linear_attention(q, k, v).flatten(-2).to(x.dtype)
        message = self.norm1(self.merge(message))
        update: Tensor = self.norm2(self.mlp(torch.cat([x, message], -1)))
        return x + update


class AttentionBlock(nn.Module):
    """One linear layer that serves both views, under the authors' keys."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([LinearAttentionLayer(channels)])

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Tokens (T, L, C) that attended to those of `source`, frame by frame."""
        attended: Tensor = self.layers[0](x, source)
        return attended


class SpaceAttention(nn.Module):
    """Positions of a frame attend to each other, under the authors' keys."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder_layer = LinearAttentionLayer(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (T, L, C) to the same."""
        attended: Tensor = self.encoder_layer(x, x)
        return attended


class _TemporalProjection(nn.Module):
    """The projection after attention; `qkv` is stored by the authors, and has no effect."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)


class TimeAttention(nn.Module):
    """Frames of one position attend to each other; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_attn = _TemporalProjection(channels)
        self.temporal_fc = nn.Linear(channels, channels)
        self.temporal_norm1 = nn.LayerNorm(channels)
        nn.init.zeros_(self.temporal_fc.weight)
        nn.init.zeros_(self.temporal_fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (L, T, C), the frames of L positions, to the same."""
        message = time_attention(self.temporal_norm1(x))
        projected: Tensor = self.temporal_fc(self.temporal_attn.proj(message))
        return x + projected
