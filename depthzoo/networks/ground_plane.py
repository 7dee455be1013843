"""The ground that a street's camera stands on, found in its points by random sampling.

Dynamo-Depth (Sun and Hariharan 2023) punishes depth that lies below it while it trains.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from depthzoo.networks.geometry import pixel_grid

__all__ = ["GroundPlane", "fit_ground_plane", "ground_depth"]

_RIDGE = 1e-6  # on every element of the normal equations, as in the reference


class GroundPlane(NamedTuple):
    """Planes ``y = w1 x + w2 z + w3`` in camera axes, y down.

    Attributes
    ----------
    weights : Tensor
        (N, 3): w1, w2, w3.
    height : Tensor
        (N, 1, H, W): ``w1 x + w2 z + w3 - y`` of every point; positive above the plane.
    """

    weights: Tensor
    height: Tensor


def fit_ground_plane(
    points: Tensor, picks: Tensor, *, share: float = 0.4, tolerance: float = 0.005
) -> GroundPlane:
    """Return the hypothesis that most points of the lower part of an image agree with.

    Parameters
    ----------
    points : Tensor
        (N, 3, H, W) in camera axes.
    picks : Tensor
        (N, hypotheses, points each) int64: which points of the lowest ``int(share * H)`` rows,
        row by row, a hypothesis is fitted to.
    share, tolerance : float
        The lower part; the distance up to which a point agrees.

    Notes
    -----
    As in the reference, hypothesis j of all images in a row is counted on the points of image
    ``j % N``, not on its own: the same only where N is 1. Of equally good ones the first is taken.

    Examples
    --------
    >>> x, z = torch.meshgrid(torch.arange(4.0), torch.arange(1.0, 5), indexing="ij")
    >>> points = torch.stack([x, 0.1 * z + 1.5, z])[None]
    >>> fit_ground_plane(points, torch.tensor([[[0, 1, 4]]]), share=0.5).weights.round(decimals=2)
    tensor([[0.0000, 0.1000, 1.5000]])
    """
    batch, _, height, _ = points.shape
    x, y, z = points.unbind(1)
    terms = torch.stack([x, z, torch.ones_like(x)], -1)  # (N, H, W, 3)
    lower = slice(height - int(share * height), None)
    ground, level = terms[:, lower].flatten(1, 2), y[:, lower].flatten(1)
    image = torch.arange(batch, device=points.device)[:, None, None]
    a, b = ground[image, picks], level[image, picks].unsqueeze(-1)
    normal = a.transpose(-1, -2) @ a + _RIDGE
    weights = (torch.linalg.inv(normal) @ a.transpose(-1, -2) @ b).squeeze(-1)  # (N, h, 3)
    votes = torch.empty(weights.shape[:2], dtype=torch.int64, device=points.device)
    for judge in range(batch):
        apart = ground[judge] @ weights.flatten(0, 1)[judge::batch].T - level[judge][:, None]
        votes.view(-1)[judge::batch] = (apart.abs() < tolerance).sum(0)
    chosen = weights[torch.arange(batch, device=points.device), votes.argmax(1)]
    above = (terms @ chosen[:, None, :, None]).squeeze(-1) - y
    return GroundPlane(chosen, above.unsqueeze(1))


def ground_depth(weights: Tensor, intrinsics: Tensor, like: Tensor, farthest: float) -> Tensor:
    """Depth (N, 1, H, W) at which pixels would show a plane.

    Parameters
    ----------
    weights : Tensor
        (N, 3) of `GroundPlane`.
    intrinsics : Tensor
        (N, 3, 3) of images of the size of `like` (..., H, W).
    farthest : float
        Where the plane is behind the camera, or farther.
    """
    rays = (torch.linalg.inv(intrinsics) @ pixel_grid(like)).view(-1, 3, *like.shape[-2:])
    w1, w2, w3 = (w[:, None, None] for w in weights.unbind(1))
    depth = w3 / (rays[:, 1] - rays[:, 0] * w1 - rays[:, 2] * w2)
    far = (depth < 0) | (depth > farthest)
    clipped: Tensor = depth.masked_fill(far, farthest)
    return clipped.unsqueeze(1)
