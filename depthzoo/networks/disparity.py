"""Sigmoid disparity, as self-supervised networks predict it, and what these take."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["MULTIPLE", "check_images", "depth_of", "scaled_disparity", "wanted_scales"]

MULTIPLE = 32
"""Height and width of images are multiples of this."""


def scaled_disparity(disparity: Tensor, min_depth: float = 0.1, max_depth: float = 100.0) -> Tensor:
    """Bring sigmoid disparity to one over depth.

    Examples
    --------
    >>> import torch
    >>> 1 / scaled_disparity(torch.tensor([0.0, 1.0]))
    tensor([100.0000,   0.1000])
    """
    far, near = 1 / max_depth, 1 / min_depth
    return far + (near - far) * disparity


def depth_of(disparity: Tensor, min_depth: float = 0.1, max_depth: float = 100.0) -> Tensor:
    """Bring sigmoid disparity to depth, from `min_depth` to `max_depth`, up to a factor."""
    return 1 / scaled_disparity(disparity, min_depth, max_depth)


def check_images(model: str, *images: Tensor, least: int = MULTIPLE) -> None:
    """Refuse images that are not all (N, 3, H, W) of one size that the network takes."""
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1 or images[0].dim() != 4 or images[0].shape[1] != 3:
        listed = " and ".join(str(tuple(image.shape)) for image in images)
        raise ValueError(f"{model} takes images of one shape (N, 3, H, W); got {listed}")
    height, width = images[0].shape[-2:]
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < least:
        raise ValueError(
            f"{model} takes multiples of {MULTIPLE} from {least} on as size; got {height}x{width}"
        )


def wanted_scales(
    network: nn.Module, have: Sequence[int], scales: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the scales asked for; when not given, all in training and the finest in eval mode."""
    if scales is None:
        return tuple(have) if network.training else (min(have),)
    if not scales or not set(scales) <= set(have):
        raise ValueError(f"scales are some of {tuple(have)}; got {tuple(scales)}")
    return tuple(scales)
