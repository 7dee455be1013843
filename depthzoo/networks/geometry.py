"""Poses, rays and warps as tensors: what self-supervised models share.

Pixels are (u, v) = (column, row), centres at integers; camera axes are x right, y down, z forward.
``T_dst_src`` maps homogeneous points of src to dst.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = [
    "back_project",
    "inverse_warp",
    "invert_rigid",
    "move",
    "pixel_grid",
    "project",
    "rigid",
    "rotation_from_axis_angle",
    "sampling_grid",
    "scale_intrinsics",
]

_TINY = 1e-7


def rotation_from_axis_angle(vector: Tensor) -> Tensor:
    """Rotation matrices of axis-angle vectors (Rodrigues); a zero vector is the identity.

    Parameters
    ----------
    vector : Tensor
        (..., 3), its length the angle in radians.

    Returns
    -------
    Tensor
        (..., 3, 3).

    Examples
    --------
    >>> import math, torch
    >>> turn = rotation_from_axis_angle(torch.tensor([0.0, 0.0, math.pi / 2]))
    >>> (turn @ torch.tensor([1.0, 0.0, 0.0])).round(decimals=4).abs()
    tensor([0., 1., 0.])
    """
    angle = vector.norm(dim=-1, keepdim=True)
    x, y, z = (vector / (angle + _TINY)).unbind(-1)
    c, s = angle.cos().squeeze(-1), angle.sin().squeeze(-1)
    rest = 1 - c
    entries = (
        x * x * rest + c, x * y * rest - z * s, z * x * rest + y * s,
        x * y * rest + z * s, y * y * rest + c, y * z * rest - x * s,
        z * x * rest - y * s, y * z * rest + x * s, z * z * rest + c,
    )  # fmt: skip
    return torch.stack(entries, -1).reshape(*vector.shape[:-1], 3, 3)


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """Homogeneous matrices (..., 4, 4) of rotations (..., 3, 3) and translations (..., 3)."""
    top = torch.cat([rotation, translation.unsqueeze(-1)], -1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], -2)


def invert_rigid(transform: Tensor) -> Tensor:
    """Inverse of rigid transforms (..., 4, 4): the transposed rotation, no elimination."""
    back = transform[..., :3, :3].transpose(-1, -2)
    return rigid(back, -(back @ transform[..., :3, 3:]).squeeze(-1))


def scale_intrinsics(normalised: Tensor, height: int, width: int) -> Tensor:
    """Intrinsics in pixels (N, 3, 3) from those in units of the image's size.

    Rows 0 and 1 of `normalised`, (N, 3, 3) or (N, 4, 4), are multiplied by `width` and `height`.
    """
    size = torch.tensor([width, height, 1], dtype=normalised.dtype, device=normalised.device)
    return normalised[..., :3, :3] * size[:, None]


def pixel_grid(like: Tensor) -> Tensor:
    """(3, H * W) homogeneous pixels, row by row, of the size, dtype and device of (..., H, W)."""
    height, width = like.shape[-2:]
    u = torch.arange(width, dtype=like.dtype, device=like.device).expand(height, width)
    v = torch.arange(height, dtype=like.dtype, device=like.device)[:, None].expand(height, width)
    return torch.stack([u, v, torch.ones_like(u)]).flatten(1)


def back_project(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Points that a depth map shows.

    Parameters
    ----------
    depth : Tensor
        (N, 1, H, W), camera z.
    intrinsics : Tensor
        (N, 3, 3), pixels of this size.

    Returns
    -------
    Tensor
        (N, 3, H, W) in camera axes.
    """
    rays: Tensor = torch.linalg.inv(intrinsics) @ pixel_grid(depth)
    return depth * rays.view(-1, 3, *depth.shape[-2:])


def move(points: Tensor, transform: Tensor) -> Tensor:
    """Transform points (N, 3, H, W) by (N, 4, 4)."""
    moved = transform[:, :3, :3] @ points.flatten(2) + transform[:, :3, 3:]
    return moved.view(points.shape)


def project(points: Tensor, intrinsics: Tensor, transform: Tensor | None = None) -> Tensor:
    """Pixels where points appear.

    Parameters
    ----------
    points : Tensor
        (N, 3, H, W).
    intrinsics : Tensor
        (N, 3, 3).
    transform : Tensor, optional
        (N, 4, 4), applied to the points before.

    Returns
    -------
    Tensor
        (N, 2, H, W), u and v. Points behind the camera are projected too; z is kept from zero by
        1e-7.
    """
    matrix = intrinsics if transform is None else intrinsics @ transform[:, :3]
    seen = matrix[..., :3] @ points.flatten(2)
    if transform is not None:
        seen = seen + matrix[..., 3:]
    pixels = seen[:, :2] / (seen[:, 2:] + _TINY)
    return pixels.view(-1, 2, *points.shape[-2:])


def sampling_grid(pixels: Tensor) -> Tensor:
    """Bring pixels (N, 2, H, W) to ``grid_sample``'s (N, H, W, 2), -1..1 from centre to centre."""
    height, width = pixels.shape[-2:]
    last = torch.tensor([width - 1, height - 1], dtype=pixels.dtype, device=pixels.device)
    return (pixels.permute(0, 2, 3, 1) / last - 0.5) * 2


def inverse_warp(image: Tensor, pixels: Tensor) -> Tensor:
    """Fetch an image at pixels: bilinear, the border repeated.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    pixels : Tensor
        (N, 2, H, W), see `project`.

    Returns
    -------
    Tensor
        (N, C, H, W).

    Examples
    --------
    >>> import torch
    >>> image = torch.arange(12.0).view(1, 1, 3, 4)
    >>> same = pixel_grid(image)[:2].view(1, 2, 3, 4)
    >>> torch.allclose(inverse_warp(image, same), image)
    True
    """
    grid = sampling_grid(pixels)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
