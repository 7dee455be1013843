"""Supervised losses of sparse inverse depth, as Dynamic-multiframe-depth trains with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["draw_triplets", "multiframe_depth_loss", "silog_loss", "virtual_normal_loss"]

_SAMPLE_RATIO = 0.15
_LEAST_Z = 1e-4
_COSINE = 0.867
_NEAR = 0.005
_FARTHEST_INVERSE = 100.0


def silog_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant logarithmic loss: ``10 sqrt(var(g) + 0.15 mean(g)^2)``.

    ``g = ln(1/prediction) - ln(1/target)`` over the valid pixels of the whole batch; the variance
    is unbiased.

    Parameters
    ----------
    prediction, target : Tensor
        (N, 1, H, W) inverse depth; a target of 0 is none.

    Examples
    --------
    >>> import torch
    >>> target = torch.tensor([[[[0.5, 0.1, 0.0]]]])
    >>> round(float(silog_loss(2 * target + (target == 0), target)), 4)
    2.6845
    """
    valid = target > 0
    gap = target[valid].log() - prediction[valid].log()
    return 10 * (gap.var() + 0.15 * gap.mean() ** 2).sqrt()


def draw_triplets(height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """(3, n) random flat pixels, n = 15 % of all, with replacement."""
    count = int(_SAMPLE_RATIO * height * width)
    return torch.randint(height * width, (3, count), generator=generator)


def virtual_normal_loss(
    prediction: Tensor, target: Tensor, intrinsics: Tensor, triplets: Tensor
) -> Tensor:
    """Differences of the normals that triplets of points span; NaN without a triplet to keep.

    Parameters
    ----------
    prediction, target : Tensor
        (N, 1, H, W) depth; a target of 0 is none.
    intrinsics : Tensor
        (N, 3, 3) or (N, 4, 4); as in the reference only the focal lengths of the FIRST element
        are used, and the principal point is (W // 2, H // 2).
    triplets : Tensor
        (3, n) flat pixels, the same for every element.

    Returns
    -------
    Tensor
        A scalar: the mean over the kept triplets of the whole batch without the smallest quarter.
    """
    true = _points(target, intrinsics)[:, triplets]
    shown = _points(prediction, intrinsics)[:, triplets]
    kept = _usable(true)
    shown = torch.cat([shown[..., :2], shown[..., 2:].where(shown[..., 2:] != 0, _LEAST_Z)], -1)
    normals = (_normals(points.permute(0, 2, 1, 3)[kept]) for points in (true, shown))
    gap = (next(normals) - next(normals)).abs().sum(-1).sort().values
    return gap[int(0.25 * gap.numel()) :].mean()


def _points(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """(N, H * W, 3): lifted pixels, with the sign of the depth only in z."""
    height, width = depth.shape[-2:]
    u = torch.arange(width, dtype=depth.dtype, device=depth.device) - width // 2
    v = torch.arange(height, dtype=depth.dtype, device=depth.device) - height // 2
    z = depth[:, 0]
    x = u * z.abs() / intrinsics[0, 0, 0]
    y = v[:, None] * z.abs() / intrinsics[0, 1, 1]
    return torch.stack([x, y, z], -1).flatten(1, 2)


def _usable(points: Tensor) -> Tensor:
    """(N, n) bool: all three points (N, 3, n, 3) exist, span a triangle, and are not too near."""
    one, two, three = points.unbind(1)
    sides = torch.stack([two - one, three - one, three - two], -2)
    norms = sides.norm(dim=-1)
    cosines = (sides @ sides.transpose(-1, -2)) / (norms[..., :, None] * norms[..., None, :] + 1e-8)
    flat = (cosines.abs() > _COSINE).flatten(-2).sum(-1) > 3
    near = (sides.abs() < _NEAR).any(-2).all(-1)
    usable: Tensor = (points[..., 2] > _LEAST_Z).all(1) & ~flat & ~near
    return usable


def _normals(triangles: Tensor) -> Tensor:
    """(m, 3) unit normals of triangles (m, 3, 3)."""
    one, two, three = triangles.unbind(1)
    normal: Tensor = torch.linalg.cross(two - one, three - one)
    norm: Tensor = normal.norm(dim=-1, keepdim=True)
    unit: Tensor = normal / (norm + 0.01 * (norm == 0))
    return unit


def multiframe_depth_loss(
    predictions: Sequence[Tensor],
    monocular: Sequence[Tensor],
    target: Tensor,
    intrinsics: Tensor,
    triplets: Sequence[Tensor] | None = None,
    alpha: float = 0.5,
) -> dict[str, Tensor]:
    """Loss of Dynamic-multiframe-depth over the scales of both branches.

    Parameters
    ----------
    predictions, monocular : Sequence[Tensor]
        Inverse depth (N, 1, H / 2^k, W / 2^k) of each scale; brought to (H, W) by nearest.
    target : Tensor
        (N, 1, H, W) inverse depth, 0 where there is none.
    intrinsics : Tensor
        See `virtual_normal_loss`.
    triplets : Sequence[Tensor], optional
        For every scale those of the first branch, then of the second; drawn where not given.
    alpha : float
        Weight of the logarithmic terms.

    Returns
    -------
    dict
        ``loss`` and its terms ``sdl_<k>``, ``vnl_<k>``, ``sdl_mono_<k>``, ``vnl_mono_<k>``.
    """
    height, width = target.shape[-2:]
    known = target.clamp(0, _FARTHEST_INVERSE)
    depth = torch.where(known > 0, 1 / known.clamp(min=1e-12), 0)
    terms: dict[str, Tensor] = {}
    for k, pair in enumerate(zip(predictions, monocular, strict=True)):
        for branch, (name, prediction) in enumerate(zip(("", "mono_"), pair, strict=True)):
            full = F.interpolate(prediction, (height, width), mode="nearest")
            picks = draw_triplets(height, width) if triplets is None else triplets[2 * k + branch]
            terms[f"sdl_{name}{k}"] = silog_loss(full, known)
            terms[f"vnl_{name}{k}"] = virtual_normal_loss(
                1 / full, depth, intrinsics, picks.to(full.device)
            )
    total = torch.zeros((), dtype=target.dtype, device=target.device)
    for name, value in terms.items():
        total = total + (8 * alpha * value if name.startswith("sdl") else value)
    return {**terms, "loss": total}
