"""The trunk of the residual encoder with little memory: a few rows at a time.

What a large image has no room for several times over is a map of 64 channels at its own size. Here
one exists, as a list of bands of rows, which the first blocks replace band by band. A norm whose
statistics are those of the image needs them first, so that the convolutions before it are computed
once more: at most two and a half times the work of the first blocks, and none more elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.encoder import ResidualBlock, ResidualTrunk

__all__ = ["BAND_BYTES", "band_rows", "map_bytes", "trunk_in_bands"]

BAND_BYTES = 32 * 2**20
"""Size of a band where nobody asks for a number of rows."""
_HALO = 2  # neighbouring rows that a block needs, and a multiple of every stride

Rows = Callable[[Tensor], Tensor]
"""A function of rows of a map; what it gives near the edges of its input does not count."""


def map_bytes(trunk: ResidualTrunk, image: torch.Size, bytes_per_value: int = 4) -> int:
    """Memory of the largest map that a trunk makes of images (N, 3, H, W).

    Examples
    --------
    >>> map_bytes(ResidualTrunk("none", 2), torch.Size([1, 3, 2000, 3000])) / 1e9
    1.536
    """
    batch, _, height, width = image
    down, across = trunk.conv1.stride
    return batch * trunk.conv1.out_channels * (height // down) * (width // across) * bytes_per_value


def band_rows(trunk: ResidualTrunk, image: torch.Size, bytes_per_value: int = 4) -> int:
    """Rows of the largest map in `BAND_BYTES`; at least two."""
    row = map_bytes(trunk, image, bytes_per_value) // (image[2] // trunk.conv1.stride[0])
    return max(2, BAND_BYTES // row)


def trunk_in_bands(trunk: ResidualTrunk, image: Tensor, rows: int) -> Tensor:
    """Compute what ``trunk.trunk(image)`` is, in eval mode, without gradients and autocast.

    Parameters
    ----------
    trunk : ResidualTrunk
    image : Tensor
        (N, 3, H, W) in -1..1.
    rows : int
        Rows of the largest map at a time; an odd number counts as the next even one.

    Returns
    -------
    Tensor
        (N, 128, h, w), the same up to rounding.
    """
    blocks = [*trunk.layer1, *trunk.layer2, *trunk.layer3]
    bands = _stem(trunk, image, max(2, rows + rows % 2))
    while blocks[0].downsample is None:
        _replace(bands, blocks.pop(0))
    x = _project(bands, blocks.pop(0))
    for block in blocks:
        x = block(x)
    return x


def _stem(trunk: ResidualTrunk, image: Tensor, rows: int) -> list[Tensor]:
    conv, (size, _), (stride, _) = trunk.conv1, trunk.conv1.kernel_size, trunk.conv1.stride
    image = F.pad(image, (size // 2,) * 4)
    height = (image.shape[2] - size) // stride + 1
    bands = []
    for top in range(0, height, rows):
        last = min(top + rows, height) - 1
        needed = image[:, :, stride * top : stride * last + size]
        bands.append(F.conv2d(needed, conv.weight, conv.bias, conv.stride))
    norm = _norm_(trunk.norm1, bands)
    for band in bands:
        norm(band).relu_()
    return bands


def _replace(bands: list[Tensor], block: ResidualBlock) -> None:
    """Overwrite a map with what a block of the same size and width makes of it."""
    norm1 = _norm_(block.norm1, (_band(bands, k, block.conv1) for k in range(len(bands))))

    def branch(x: Tensor) -> Tensor:
        y: Tensor = block.conv2(norm1(block.conv1(x)).relu_())
        return y

    norm2 = _norm_(block.norm2, (_band(bands, k, branch) for k in range(len(bands))))
    ready = norm2(_band(bands, 0, branch)).relu_()
    for k in range(1, len(bands)):
        following = norm2(_band(bands, k, branch)).relu_()  # of the band above as it was
        bands[k - 1].add_(ready).relu_()
        ready = following
    bands[-1].add_(ready).relu_()


def _project(bands: list[Tensor], block: ResidualBlock) -> Tensor:
    """Run a block with a projected shortcut, and give its input back band by band."""
    assert block.downsample is not None
    projection, norm3 = block.downsample
    branches, shortcuts = [], []
    for k in range(len(bands)):
        branches.append(_band(bands, k, block.conv1, block.conv1.stride[0]))
        shortcuts.append(projection(bands[k]))
        if k:
            bands[k - 1] = bands[k - 1].new_empty(0)
    bands.clear()
    y = torch.cat(branches, 2)
    branches.clear()
    y = block.norm1(y).relu_()
    y = block.conv2(y)
    y = block.norm2(y).relu_()
    shortcut = torch.cat(shortcuts, 2)
    shortcuts.clear()
    shortcut = norm3(shortcut)
    total: Tensor = shortcut.add_(y)
    return total.relu_()


def _band(bands: list[Tensor], k: int, function: Rows, stride: int = 1) -> Tensor:
    """Rows of the band `k` of a function of the whole map, which looks up to `_HALO` rows away."""
    band = bands[k]
    above = bands[k - 1][:, :, -_HALO:] if k > 0 else band[:, :, :0]
    below = bands[k + 1][:, :, :_HALO] if k + 1 < len(bands) else band[:, :, :0]
    first, count = above.shape[2] // stride, (band.shape[2] + stride - 1) // stride
    return function(torch.cat([above, band, below], 2))[:, :, first : first + count]


def _norm_(norm: nn.Module, bands: Iterable[Tensor]) -> Rows:
    """Return a norm that works in place; `bands` are the map of which it takes the statistics."""
    if isinstance(norm, nn.Identity):
        return norm
    assert isinstance(norm, (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm))
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = norm.running_mean[None], norm.running_var[None]
    else:
        mean, variance = _statistics(bands, getattr(norm, "num_groups", None))
    scale = (variance + norm.eps).rsqrt()
    shift = -mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    scale, shift = scale[..., None, None], shift[..., None, None]
    return lambda y: y.mul_(scale).add_(shift)


def _statistics(bands: Iterable[Tensor], groups: int | None) -> tuple[Tensor, Tensor]:
    """Mean and variance (N, C) of a map in bands; by channel, or of groups of channels."""
    parts = [(*torch.var_mean(x, (2, 3), correction=0), x.shape[2]) for x in bands]
    variances = torch.stack([variance for variance, _, _ in parts])
    means = torch.stack([mean for _, mean, _ in parts])
    heights = means.new_tensor([height for _, _, height in parts])
    _, n, c = means.shape
    shape = (-1, n, groups or c, c // (groups or c))
    variances, means = variances.view(shape), means.view(shape)
    share = (heights / (heights.sum() * shape[-1])).view(-1, 1, 1, 1)
    mean = (share * means).sum((0, 3), keepdim=True)
    variance = (share * (variances + (means - mean) ** 2)).sum((0, 3), keepdim=True)
    return mean[0].expand(shape[1:]).reshape(n, c), variance[0].expand(shape[1:]).reshape(n, c)
