"""All-pairs correlation along image rows, looked up around a moving column.

Two implementations of the same numbers. `CorrelationVolume` keeps every product, which is fast and
needs ``n h w w`` values a level. `CorrelationOnDemand` forgets the products after each lookup and
forms them again, a few rows at a time: its memory does not grow with the square of the width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["CHUNK_BYTES", "CorrelationOnDemand", "CorrelationVolume", "lookup", "volume_bytes"]

CHUNK_BYTES = {"cpu": 16 * 2**20}
"""Products that on-demand correlation forms at a time; other devices launch larger pieces."""
_CHUNK_BYTES_ELSEWHERE = 128 * 2**20


def volume_bytes(
    batch: int, height: int, width: int, levels: int = 4, bytes_per_value: int = 4
) -> int:
    """Memory of a correlation volume with its pyramid; height and width at feature resolution.

    Examples
    --------
    >>> volume_bytes(1, 500, 750) / 1e9
    2.1075
    """
    return batch * height * width * bytes_per_value * sum(width >> level for level in range(levels))


def lookup(rows: Tensor, x: Tensor, radius: int) -> Tensor:
    """Interpolate each row around a position.

    The offsets are whole numbers, so all of them share one fraction and 2 * radius + 2 taps serve
    2 * radius + 1 samples.

    Parameters
    ----------
    rows : Tensor
        (..., W) values at columns 0 .. W - 1; zero elsewhere.
    x : Tensor
        (...) positions, float, any value.
    radius : int
        Samples at ``x - radius, ..., x + radius``.

    Returns
    -------
    Tensor
        (..., 2 * radius + 1) in the dtype of `rows`.

    Examples
    --------
    >>> import torch
    >>> lookup(torch.tensor([[4.0, 8.0]]), torch.tensor([-0.25]), 1)
    tensor([[0., 3., 7.]])
    """
    width = rows.shape[-1]
    if width == 0:
        return rows.new_zeros((*x.shape, 2 * radius + 1))
    base = torch.floor(x)
    fraction = (x - base).unsqueeze(-1).to(rows.dtype)
    base = base.clamp(-radius - 2, width + radius)
    offsets = torch.arange(-radius, radius + 2, device=x.device)
    columns = base.unsqueeze(-1).long() + offsets
    taps = rows.gather(-1, columns.clamp(0, width - 1))
    taps = taps.masked_fill((columns < 0) | (columns >= width), 0.0)
    return torch.lerp(taps[..., :-1], taps[..., 1:], fraction)


def _products(left: Tensor, right: Tensor, levels: int) -> list[Tensor]:
    """Pyramid of (n, rows, w, W_l) products of scaled channels-last features."""
    pyramid = [left @ right.transpose(-1, -2)]
    for _ in range(levels - 1):
        pyramid.append(_halve(pyramid[-1]))
    return pyramid


def _halve(rows: Tensor) -> Tensor:
    """Mean of neighbouring columns; an odd last column is dropped."""
    if rows.shape[-1] < 2:
        return rows[..., :0]
    return F.avg_pool2d(rows, (1, 2), stride=(1, 2))


def _look_up_pyramid(pyramid: list[Tensor], x: Tensor, radius: int) -> Tensor:
    """(n, rows, w, levels * (2 r + 1)) samples at columns x (n, rows, w)."""
    samples = [lookup(rows, x / 2**level, radius) for level, rows in enumerate(pyramid)]
    return torch.cat(samples, -1)


def _channels_last(fmap1: Tensor, fmap2: Tensor) -> tuple[Tensor, Tensor]:
    """Bring features to (N, h, w, C), the left ones scaled by 1 / sqrt(C)."""
    left = fmap1.permute(0, 2, 3, 1).contiguous()
    return left / fmap1.shape[1] ** 0.5, fmap2.permute(0, 2, 3, 1).contiguous()


class CorrelationVolume:
    """The volume and its pyramid in memory.

    There is no restriction on the width: an empty level gives zeros.

    Parameters
    ----------
    fmap1, fmap2 : Tensor
        (N, C, h, w) features of the left and of the right image.
    levels, radius : int
        Pyramid levels (each halves the width of the right image) and lookup radius.
    """

    def __init__(self, fmap1: Tensor, fmap2: Tensor, *, levels: int, radius: int) -> None:
        self.radius = radius
        self.pyramid = _products(*_channels_last(fmap1, fmap2), levels)

    def __call__(self, x: Tensor) -> Tensor:
        """Sample around columns `x` (N, h, w): (N, levels * (2 r + 1), h, w), level-major."""
        return _look_up_pyramid(self.pyramid, x, self.radius).permute(0, 3, 1, 2)


class CorrelationOnDemand:
    """The same samples without the volume.

    Parameters
    ----------
    fmap1, fmap2, levels, radius
        As for `CorrelationVolume`.
    chunk_bytes : int, optional
        Products that may exist at a time, `CHUNK_BYTES` when not given; at least one row of every
        image is always formed.
    """

    def __init__(
        self,
        fmap1: Tensor,
        fmap2: Tensor,
        *,
        levels: int,
        radius: int,
        chunk_bytes: int | None = None,
    ) -> None:
        self.levels, self.radius = levels, radius
        self.left, self.right = _channels_last(fmap1, fmap2)
        if chunk_bytes is None:
            chunk_bytes = CHUNK_BYTES.get(fmap1.device.type, _CHUNK_BYTES_ELSEWHERE)
        n, _, width, _ = self.left.shape
        row = volume_bytes(n, 1, width, levels, self.left.element_size())
        self.rows_at_once = max(1, chunk_bytes // row)

    def __call__(self, x: Tensor) -> Tensor:
        """Sample around columns `x` (N, h, w): (N, levels * (2 r + 1), h, w), level-major."""
        return torch.cat(list(self._chunks(x)), 1).permute(0, 3, 1, 2)

    def _chunks(self, x: Tensor) -> Iterator[Tensor]:
        keeps_graph = torch.is_grad_enabled() and self.left.requires_grad
        for top in range(0, x.shape[1], self.rows_at_once):
            here = slice(top, top + self.rows_at_once)
            part = (self.left[:, here], self.right[:, here], x[:, here])
            if (
                keeps_graph
            ):  # form the products once more in the backward pass: memory stays bounded
                yield checkpoint(self._sample, *part, use_reentrant=False)
            else:
                yield self._sample(*part)

    def _sample(self, left: Tensor, right: Tensor, x: Tensor) -> Tensor:
        return _look_up_pyramid(_products(left, right, self.levels), x, self.radius)
