"""Insta-DM's geometry: poses as vectors, warps there and back, flow that is turned round.

Of the paper that `depthzoo.networks.insta_dm` names. The warps differ in how they treat what
leaves the image; each does as its authors' does, so that losses and objects come out the same.
Pixels are (u, v) = (column, row), centres at integers. A pose of a target and a reference maps
points of the target's camera to the reference's; intrinsics are (N, 3, 3) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from depthzoo.networks.geometry import back_project, pixel_grid, rigid

__all__ = [
    "ForwardWarp",
    "ObjectViews",
    "Projection",
    "Warp",
    "angles_of",
    "flow_warp",
    "forward_warp",
    "inverse_warp",
    "inverse_warp_field",
    "inverse_warp_with_depth",
    "motion_field",
    "move_objects",
    "pose_matrix",
    "reproject",
    "reverse_flow",
    "rigid_flow",
    "rotation_from_angles",
    "splat_flow",
]

NEAREST = 1e-3
"""Depth that stands for everything nearer, and behind the camera."""

_OUTSIDE = 2.0  # grid coordinate from which nothing is sampled
UPSCALE = 3  # points that a forward warp sends out for each pixel, along each axis


# ---------------------------------------------------------------- poses


def rotation_from_angles(angles: Tensor) -> Tensor:
    """Rotations (..., 3, 3) = Rx Ry Rz of angles (..., 3) about x, y and z in radians.

    Examples
    --------
    >>> import math, torch
    >>> turn = rotation_from_angles(torch.tensor([0.0, 0.0, math.pi / 2]))
    >>> (turn @ torch.tensor([1.0, 0.0, 0.0])).round(decimals=4).abs()
    tensor([0., 1., 0.])
    """
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    entries = (
        cy * cz, -cy * sz, sy,
        cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy,
        sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy,
    )  # fmt: skip
    return torch.stack(entries, -1).reshape(*angles.shape[:-1], 3, 3)


def angles_of(rotation: Tensor) -> Tensor:
    """Angles (..., 3) of rotations (..., 3, 3), as the authors compute them.

    They are those of Rz Ry Rx: `rotation_from_angles` gives the rotation back to the first order.
    """
    r = rotation
    x = torch.atan2(r[..., 2, 1], r[..., 2, 2])
    y = torch.atan2(-r[..., 2, 0], (r[..., 0, 0] ** 2 + r[..., 1, 0] ** 2).sqrt())
    z = torch.atan2(r[..., 1, 0], r[..., 0, 0])
    return torch.stack([x, y, z], -1)


def pose_matrix(vector: Tensor) -> Tensor:
    """Return transforms (N, 4, 4) of pose vectors: translation, then angles; none where (N, 3)."""
    translation, angles = vector[..., :3], vector[..., 3:]
    if not angles.shape[-1]:
        angles = torch.zeros_like(translation)
    return rigid(rotation_from_angles(angles), translation)


def inverse_pose(vector: Tensor) -> Tensor:
    """Pose vectors (N, 6) of the inverse transforms, exact to the first order of the angles."""
    back = torch.linalg.inv(pose_matrix(vector))
    return torch.cat([back[:, :3, 3], angles_of(back[:, :3, :3])], 1)


def motion_field(ego: Tensor, objects: Tensor, masks: Tensor) -> Tensor:
    """Motion of each pixel.

    Parameters
    ----------
    ego : Tensor
        (N, 6).
    objects : Tensor
        (N, S, 3) translations.
    masks : Tensor
        (N, S, H, W), 1 on the object.

    Returns
    -------
    Tensor
        (N, 6, H, W): the ego-motion everywhere, the translations added where the masks are.
    """
    field = ego[:, :, None, None].expand(-1, -1, *masks.shape[-2:])
    moved = field[:, :3] + torch.einsum("nshw,nsc->nchw", masks, objects)
    return torch.cat([moved, field[:, 3:]], 1)


# ---------------------------------------------------------------- projection


class Projection(NamedTuple):
    """Where the pixels of one image appear in another."""

    pixels: Tensor
    """(N, 2, H, W), u and v."""
    depth: Tensor
    """(N, 1, H, W), from 0.001 on."""

    def grid(self) -> Tensor:
        """(N, H, W, 2), -1..1 from the first pixel's centre to the last one's."""
        height, width = self.pixels.shape[-2:]
        last = _size(self.pixels, width - 1, height - 1)
        return 2 * self.pixels.permute(0, 2, 3, 1) / last - 1


def reproject(depth: Tensor, pose: Tensor, intrinsics: Tensor) -> Projection:
    """Project what a depth map shows into another camera.

    Parameters
    ----------
    depth : Tensor
        (N, 1, H, W).
    pose : Tensor
        (N, 4, 4), or (N, 6, H, W): a translation for each pixel; the rotation is that of the mean
        angles of the image.
    intrinsics : Tensor
        (N, 3, 3).
    """
    points = back_project(depth, intrinsics).flatten(2)
    if pose.dim() == 4:
        rotation = rotation_from_angles(pose[:, 3:].mean((2, 3)))
        moved = rotation @ points + pose[:, :3].flatten(2)
    else:
        moved = pose[:, :3, :3] @ points + pose[:, :3, 3:]
    seen = (intrinsics @ moved).view(-1, 3, *depth.shape[-2:])
    z = seen[:, 2:].clamp(min=NEAREST)
    return Projection(seen[:, :2] / z, z)


def rigid_flow(depth: Tensor, pose: Tensor, intrinsics: Tensor) -> Tensor:
    """Displacement (N, 2, H, W) of pixels under a pose, see `reproject`."""
    return reproject(depth, pose, intrinsics).pixels - _pixels(depth)


# ---------------------------------------------------------------- warps of the reference


class Warp(NamedTuple):
    """The reference as the target's camera sees it."""

    image: Tensor
    """(N, C, H, W)."""
    valid: Tensor
    """(N, 1, H, W), 1 where it was in the picture."""
    projected: Tensor
    """(N, 1, H, W): the reference's depth, fetched."""
    computed: Tensor
    """(N, 1, H, W): the target's depth, moved to the reference's camera."""
    flow: Tensor
    """(N, 2, H, W): displacement from target to reference."""


def inverse_warp(
    image: Tensor, depth: Tensor, pose: Tensor, intrinsics: Tensor
) -> tuple[Tensor, Tensor]:
    """Fetch the reference's image; what lies beyond its last pixels blends into 0.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    depth : Tensor
        (N, 1, H, W) of the target.
    pose : Tensor
        (N, 4, 4).
    intrinsics : Tensor
        (N, 3, 3).

    Returns
    -------
    Tensor, Tensor
        (N, C, H, W), and (N, 1, H, W), 1 where it was in the picture.
    """
    grid = reproject(depth, pose, intrinsics).grid()
    return _sample(image, grid), _inside(grid, image)


def inverse_warp_with_depth(
    image: Tensor,
    depth: Tensor,
    reference_depth: Tensor,
    poses: Sequence[Tensor],
    intrinsics: Tensor,
) -> Warp:
    """Fetch image and depth of the reference; nothing from beyond its last pixels.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    depth, reference_depth : Tensor
        (N, 1, H, W).
    poses : sequence of Tensor
        (N, 4, 4) each, multiplied in this order: ego-motion, then that of an object.
    intrinsics : Tensor
        (N, 3, 3).
    """
    transform = poses[0]
    for pose in poses[1:]:
        transform = transform @ pose
    found = reproject(depth, transform, intrinsics)
    grid = _nothing_outside(found.grid())
    both = _sample(torch.cat([image, reference_depth], 1), grid)
    projected = both[:, -1:].clamp(min=NEAREST)
    flow = found.pixels - _pixels(depth)
    return Warp(both[:, :-1], _inside(grid, image), projected, found.depth, flow)


def inverse_warp_field(
    image: Tensor, depth: Tensor, reference_depth: Tensor, field: Tensor, intrinsics: Tensor
) -> Warp:
    """Fetch image and depth of the reference under a `motion_field`, as the losses do.

    Unlike the others it reads the grid from border to border, not from centre to centre.
    """
    found = reproject(depth, field, intrinsics)
    grid = _nothing_outside(found.grid())
    both = _sample(torch.cat([image, reference_depth], 1), grid, centres=False)
    flow = found.pixels - _pixels(depth)
    return Warp(both[:, :-1], _inside(grid, image), both[:, -1:], found.depth, flow)


def flow_warp(image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Fetch an image at displaced pixels.

    Zero flow is not the identity: pixel x is read at ``x * (W - 1) / W``.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    flow : Tensor
        (N, 2, H, W).

    Returns
    -------
    Tensor, Tensor
        (N, C, H, W), 0 outside, and (N, 1, H, W), 1 inside.
    """
    height, width = flow.shape[-2:]
    half = _size(flow, width / 2, height / 2)
    grid = ((_pixels(flow) + flow).permute(0, 2, 3, 1) - half) / half
    valid = _inside(grid, image)
    return _sample(image, grid) * valid, valid


# ---------------------------------------------------------------- moving the reference


class ForwardWarp(NamedTuple):
    """The reference, moved to where a pose puts it."""

    image: Tensor
    """(N, C, H, W), 0 where nothing landed."""
    masks: Tensor
    """(N, S, H, W), 0 or 1."""
    depth: Tensor
    """(N, 1, H, W), 0 where nothing landed."""
    valid: Tensor
    """(N, 1, H, W)."""


def forward_warp(
    image: Tensor,
    masks: Tensor,
    depth: Tensor,
    pose: Tensor,
    intrinsics: Tensor,
    upscale: int = UPSCALE,
) -> ForwardWarp:
    """Move an image with its depth into another camera, the nearest surface in front.

    Depth is sent out with `upscale` points a pixel and axis, of which the nearest stays; then the
    image is fetched through it.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W).
    masks : Tensor
        (N, S, H, W) of instances, warped with it.
    depth : Tensor
        (N, 1, H, W).
    pose : Tensor
        (N, 6) from this camera to the other one.
    intrinsics : Tensor
        (N, 3, 3).
    upscale : int
    """
    landed = _z_buffer(depth, pose_matrix(pose), intrinsics, upscale)
    both, valid = inverse_warp(
        torch.cat([image, masks], 1), landed, pose_matrix(inverse_pose(pose)), intrinsics
    )
    valid = valid * (landed > 0)
    both = both * valid
    channels = image.shape[1]
    return ForwardWarp(both[:, :channels], both[:, channels:].round(), landed * valid, valid)


def _z_buffer(depth: Tensor, pose: Tensor, intrinsics: Tensor, upscale: int) -> Tensor:
    """Depth (N, 1, H, W) where the points of a depth map land, the nearest one; 0 for none."""
    n, _, height, width = depth.shape
    fine = F.interpolate(depth, scale_factor=float(upscale), mode="nearest")
    finer = intrinsics * _size(intrinsics, upscale, upscale, 1)[:, None]
    points = back_project(fine, finer).flatten(2)
    moved = pose[:, :3, :3] @ points + pose[:, :3, 3:]
    z = moved[:, 2:].clamp(min=NEAREST)
    rays = torch.cat([moved[:, :2] / z, torch.ones_like(z)], 1)
    u, v = (intrinsics[:, :2] @ rays).trunc().unbind(1)  # between -1 and 0 lands on 0
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    cell = torch.where(inside, v * width + u, height * width).long()  # one cell for what is lost
    nearest = z.new_full((n, height * width + 1), torch.inf)
    nearest.scatter_reduce_(1, cell, z.squeeze(1), "amin")
    found = nearest[:, :-1].view(n, 1, height, width)
    return torch.where(found.isinf(), torch.zeros_like(found), found)


def splat_flow(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Send a flow field to where it points, onto four neighbours.

    Returns
    -------
    Tensor, Tensor
        Weighted sum (N, 2, H, W) and weights (N, 1, H, W); a weight is ``exp(-d^2)`` of the
        distance d to the neighbour.
    """
    n, _, height, width = flow.shape
    low = flow.floor()
    start = _pixels(flow)
    result = flow.new_zeros((n, 3, height * width + 1))
    ones = torch.ones_like(flow[:, :1])
    for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
        step = low + _size(flow, right, down)[:, None, None]
        weight = torch.exp(-((flow - step) ** 2).sum(1, keepdim=True))
        u, v = (start + step).unbind(1)
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        cell = torch.where(inside, v * width + u, height * width).long().view(n, 1, -1)
        sent = (torch.cat([flow, ones], 1) * weight).flatten(2)
        result.scatter_add_(2, cell.expand(-1, 3, -1), sent)
    landed = result[..., :-1].view(n, 3, height, width)
    return landed[:, :2], landed[:, 2:]


def reverse_flow(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Turn flow round: (N, 2, H, W) of where it points to, and (N, 1, H, W), 1 where it landed."""
    total, weight = splat_flow(flow)
    landed = (weight > 0).to(flow.dtype)
    return -total / torch.where(weight > 0, weight, torch.ones_like(weight)), landed


class ObjectViews(NamedTuple):
    """Objects of the reference as the target's camera would see them, had they stood still."""

    image: Tensor
    """(S, 3, H, W), 0 beside the object."""
    mask: Tensor
    """(S, 1, H, W), 0 or 1."""
    depth: Tensor
    """(S, 1, H, W), still in the reference's camera."""
    moved_depth: Tensor
    """(S, 1, H, W), in the target's camera."""
    flow: Tensor
    """(1, 2, H, W): displacement from target to reference."""
    frame_depth: Tensor
    """(1, 1, H, W) of the whole frame, as `depth`."""
    frame_moved_depth: Tensor
    """(1, 1, H, W), as `moved_depth`."""
    valid: Tensor
    """(1, 1, H, W), 1 where something landed."""


def move_objects(
    image: Tensor, masks: Tensor, depth: Tensor, pose: Tensor, intrinsics: Tensor
) -> ObjectViews:
    """Move the objects of an image by ego-motion, with flow that is turned round.

    Parameters
    ----------
    image : Tensor
        (1, 3, H, W).
    masks : Tensor
        (S, 1, H, W), one object each; S may be 0.
    depth : Tensor
        (1, 1, H, W).
    pose : Tensor
        (1, 4, 4) from this image's camera to the other one.
    intrinsics : Tensor
        (1, 3, 3).
    """
    flow, landed = reverse_flow(rigid_flow(depth, pose, intrinsics))
    count = len(masks)
    stack = torch.cat([depth, masks.view(1, count, *masks.shape[-2:]), image], 1)
    warped, valid = flow_warp(stack[:, : 1 + count], flow)
    valid = valid * landed
    frame = warped[:, :1] * valid
    moved = pose[:, :3, :3] @ back_project(frame, intrinsics).flatten(2) + pose[:, :3, 3:]
    moved_depth = moved[:, 2:].view(frame.shape).clamp(min=NEAREST) * valid
    rounded = warped[:, 1:].round().transpose(0, 1)
    kept = rounded * valid
    fetched, _ = flow_warp(image * masks, flow.expand(count, -1, -1, -1))
    return ObjectViews(
        fetched * kept, kept, frame * kept, moved_depth * kept, flow, frame, moved_depth, valid
    )


# ---------------------------------------------------------------- small


def _size(like: Tensor, *values: float) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _pixels(like: Tensor) -> Tensor:
    """(1, 2, H, W): u and v of every pixel."""
    return pixel_grid(like)[:2].view(1, 2, *like.shape[-2:])


def _nothing_outside(grid: Tensor) -> Tensor:
    return torch.where(grid.abs() > 1, torch.full_like(grid, _OUTSIDE), grid)


def _inside(grid: Tensor, like: Tensor) -> Tensor:
    inside = grid.abs().amax(-1) <= 1
    return inside.unsqueeze(1).to(like.dtype)


def _sample(image: Tensor, grid: Tensor, *, centres: bool = True) -> Tensor:
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=centres)
