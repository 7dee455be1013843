"""All-pairs correlation along image rows, looked up around a moving column.

Two implementations of the same numbers. `CorrelationVolume` keeps every product, which is fast and
needs ``n h w w`` values a level. `CorrelationOnDemand` forgets the products after each lookup and
forms them again, a few rows at a time: its memory does not grow with the square of the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = [
    "CHUNK_BYTES",
    "CorrelationName",
    "CorrelationOnDemand",
    "CorrelationVolume",
    "Sampler",
    "correlate",
    "lookup",
    "volume_bytes",
]

CorrelationName = Literal["reg", "alt", "reg_cuda", "alt_cuda"]
Sampler = Callable[..., Tensor]
"""``(x, images=slice(None)) -> samples``, as `CorrelationVolume.__call__`."""

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
    """Pyramid of (n, rows, w, W_l) products of features (n, rows, C, w), the left ones scaled."""
    pyramid = [left.transpose(-1, -2) @ right]
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


def _rows(left: Tensor, right: Tensor, dtype: torch.dtype | None) -> tuple[Tensor, Tensor]:
    """Bring features (n, C, rows, w) to (n, rows, C, w), the left ones scaled by 1 / sqrt(C)."""
    scale = left.shape[1] ** -0.5
    left, right = (f.to(dtype).transpose(1, 2).contiguous() for f in (left, right))
    return left * scale, right


class CorrelationVolume:
    """The volume and its pyramid in memory.

    There is no restriction on the width: an empty level gives zeros.

    Parameters
    ----------
    fmap1, fmap2 : Tensor
        (N, C, h, w) features of the left and of the right image.
    levels, radius : int
        Pyramid levels (each halves the width of the right image) and lookup radius.
    dtype : torch.dtype, optional
        Correlate in this dtype; in that of the features when not given.
    """

    def __init__(
        self,
        fmap1: Tensor,
        fmap2: Tensor,
        *,
        levels: int,
        radius: int,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.radius, dtype = radius, dtype or fmap1.dtype
        if torch.is_grad_enabled() and fmap1.requires_grad:
            self.pyramid = _products(*_rows(fmap1, fmap2, dtype), levels)
            return
        # image by image: copies of all features would take as much as the volume
        n, _, h, w = fmap1.shape
        self.pyramid = [fmap1.new_empty(n, h, w, w >> i, dtype=dtype) for i in range(levels)]
        for image in range(n):
            here = slice(image, image + 1)
            products = _products(*_rows(fmap1[here], fmap2[here], dtype), levels)
            for level, rows in zip(self.pyramid, products, strict=True):
                level[here] = rows

    def __call__(self, x: Tensor, images: slice = slice(None)) -> Tensor:
        """Sample around columns `x` (n, h, w): (n, levels * (2 r + 1), h, w), level-major.

        `images` says which of the N images the n rows of `x` are.
        """
        pyramid = [rows[images] for rows in self.pyramid]
        return _look_up_pyramid(pyramid, x, self.radius).permute(0, 3, 1, 2)


class CorrelationOnDemand:
    """The same samples without the volume, and without a copy of the features.

    Parameters
    ----------
    fmap1, fmap2, levels, radius, dtype
        As for `CorrelationVolume`.
    chunk_bytes : int, optional
        Products that may exist at a time, `CHUNK_BYTES` when not given; at least one row of one
        image is always formed.
    """

    def __init__(
        self,
        fmap1: Tensor,
        fmap2: Tensor,
        *,
        levels: int,
        radius: int,
        dtype: torch.dtype | None = None,
        chunk_bytes: int | None = None,
    ) -> None:
        self.levels, self.radius = levels, radius
        self.left, self.right, self.dtype = fmap1, fmap2, dtype or fmap1.dtype
        if chunk_bytes is None:
            chunk_bytes = CHUNK_BYTES.get(fmap1.device.type, _CHUNK_BYTES_ELSEWHERE)
        _, _, height, width = fmap1.shape
        row = volume_bytes(1, 1, width, levels, self.dtype.itemsize)
        self.rows_at_once = min(height, max(1, chunk_bytes // row))
        self.images_at_once = max(1, chunk_bytes // (row * height))

    def __call__(self, x: Tensor, images: slice = slice(None)) -> Tensor:
        """Sample around columns `x` (n, h, w): (n, levels * (2 r + 1), h, w), level-major.

        `images` says which of the N images the n rows of `x` are.
        """
        maps = (self.left[images], self.right[images])
        return torch.cat(list(self._images(*maps, x))).permute(0, 3, 1, 2)

    def _images(self, left: Tensor, right: Tensor, x: Tensor) -> Iterator[Tensor]:
        for first in range(0, len(x), self.images_at_once):
            here = slice(first, first + self.images_at_once)
            chunks = list(self._chunks(left[here], right[here], x[here]))
            yield chunks[0] if len(chunks) == 1 else torch.cat(chunks, 1)

    def _chunks(self, left: Tensor, right: Tensor, x: Tensor) -> Iterator[Tensor]:
        keeps_graph = torch.is_grad_enabled() and left.requires_grad
        for top in range(0, x.shape[1], self.rows_at_once):
            here = slice(top, top + self.rows_at_once)
            part = (left[:, :, here], right[:, :, here], x[:, here])
            if (
                keeps_graph
            ):  # form the products once more in the backward pass: memory stays bounded
                yield checkpoint(self._sample, *part, use_reentrant=False)
            else:
                yield self._sample(*part)

    def _sample(self, left: Tensor, right: Tensor, x: Tensor) -> Tensor:
        products = _products(*_rows(left, right, self.dtype), self.levels)
        return _look_up_pyramid(products, x, self.radius)


def correlate(
    name: CorrelationName, fmap1: Tensor, fmap2: Tensor, *, levels: int, radius: int
) -> Sampler:
    """Correlate by the implementation of a name.

    Parameters
    ----------
    name : str
        ``reg`` keeps the volume, ``alt`` forms it as it is needed; both correlate outside
        autocast, in float32 at least. ``reg_cuda`` and ``alt_cuda`` name the same maths in the
        dtype of the features, under the autocast around them.
    fmap1, fmap2, levels, radius
        As for `CorrelationVolume`.
    """
    build = CorrelationVolume if name.startswith("reg") else CorrelationOnDemand
    if name.endswith("_cuda"):
        return build(fmap1, fmap2, levels=levels, radius=radius)
    wide, kind = torch.promote_types(fmap1.dtype, torch.float32), fmap1.device.type
    with torch.autocast(kind, enabled=False):
        samples = build(fmap1, fmap2, levels=levels, radius=radius, dtype=wide)

    def at(x: Tensor, images: slice = slice(None)) -> Tensor:
        with torch.autocast(kind, enabled=False):
            return samples(x, images)

    return at
