"""Insta-DM's losses: photometric and geometric over rigid and moving parts, and what guides them.

Of the paper that `depthzoo.networks.insta_dm` names. Images are in -1..1, masks 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from depthzoo.networks.insta_dm_projection import (
    ForwardWarp,
    flow_warp,
    forward_warp,
    inverse_warp_field,
    motion_field,
    rotation_from_angles,
)
from depthzoo.networks.photometric import ssim_loss

__all__ = [
    "Frame",
    "LossOptions",
    "Losses",
    "Motion",
    "PairLoss",
    "consistency_loss",
    "ego_warps",
    "insta_dm_losses",
    "pair_loss",
    "size_loss",
    "smoothness_loss",
]

_SSIM_SHARE = 0.85
_TINY = 1e-24
_CONSISTENT = 0.1  # depth difference up to which two views show the same surface
_TRANSLATION = 5.0  # weight of translation beside rotation


@dataclass(frozen=True)
class LossOptions:
    """What takes part; the defaults are those of the published training.

    Parameters
    ----------
    ssim : bool
        85 % of the photometric error is structural.
    mask : bool
        It counts less where the depths of both views differ.
    auto_mask : bool
        It counts only where the warped image is better than the one that is not.
    only_objects : bool
        It counts only on objects.
    """

    ssim: bool = True
    mask: bool = True
    auto_mask: bool = True
    only_objects: bool = False


class Frame(NamedTuple):
    """An image with its depth, and the objects that it shares with another one."""

    image: Tensor
    """(N, 3, H, W)."""
    depth: Tensor
    """(N, 1, H, W)."""
    masks: Tensor
    """(N, S, H, W); empty where there is no object of this number."""


class Motion(NamedTuple):
    """Motion from one frame to another."""

    ego: Tensor
    """(N, 6)."""
    objects: Tensor
    """(N, S, 3)."""


class PairLoss(NamedTuple):
    """What one view says of another."""

    photo: Tensor
    geometry: Tensor
    difference: Tensor
    """(N, 1, H, W) of the depths, 0 to 1."""
    weight: Tensor
    """(N, 1, H, W), 1 where the view counts."""
    flow: Tensor
    """(N, 2, H, W)."""


class Losses(NamedTuple):
    """The terms, each before its weight in the total."""

    photo: Tensor
    geometry: Tensor
    smooth: Tensor
    object_size: Tensor
    motion_consistency: Tensor


def pair_loss(
    target: Frame,
    reference: Frame,
    field: Tensor,
    valid: Tensor,
    intrinsics: Tensor,
    options: LossOptions = LossOptions(),
) -> PairLoss:
    """Compare the target with the reference, fetched under a `motion_field`.

    `valid` is that of the reference, moved by ego-motion. Either loss is 0 where nothing counts.
    """
    warp = inverse_warp_field(reference.image, target.depth, reference.depth, field, intrinsics)
    photo = (target.image - warp.image).abs().clamp(0, 1)
    difference = (warp.computed - warp.projected).abs() / (warp.computed + warp.projected)
    difference = difference.clamp(0, 1)
    weight = warp.valid * valid
    if options.auto_mask:
        unmoved = (target.image - reference.image).abs().mean(1, keepdim=True)
        weight = weight * (photo.mean(1, keepdim=True) < unmoved)
    if options.ssim:
        structure = ssim_loss(target.image, warp.image)
        photo = (1 - _SSIM_SHARE) * photo + _SSIM_SHARE * structure
    if options.mask:
        photo = photo * (1 - difference)
    if options.only_objects:
        weight = weight * _any(target.masks)
    weight = weight.detach()
    return PairLoss(
        _masked_mean(photo, weight),
        _masked_mean(difference, weight),
        difference,
        weight,
        warp.flow,
    )


def smoothness_loss(depth: Tensor, image: Tensor) -> Tensor:
    """Sum up steps of depth (N, 1, H, W) over its mean, where the image (N, 3, H, W) has none."""
    relative = depth / (depth.mean((2, 3), keepdim=True) + 1e-7)
    total = depth.new_zeros(())
    for axis in (2, 3):
        step = relative.diff(dim=axis).abs()
        edge = image.diff(dim=axis).abs().mean(1, keepdim=True)
        total = total + (step * torch.exp(-edge)).sum() / relative.numel()
    return total


def size_loss(frame: Frame, fy: Tensor, prior: Tensor) -> Tensor:
    """Depth of objects against what their height in the image says; 0 without any.

    Parameters
    ----------
    frame : Frame
    fy : Tensor
        (N,) focal lengths, pixels.
    prior : Tensor
        Height of objects in units of depth, learnt.
    """
    masks = frame.masks
    rows = masks.amax(3) > 0
    count = torch.arange(rows.shape[2], device=rows.device)
    last = torch.where(rows, count, -1).amax(2)
    first = torch.where(rows, count, rows.shape[2]).amin(2)
    height = (last - first).clamp(min=0).to(frame.depth.dtype)
    area = masks.sum((2, 3))
    depth = (frame.depth * masks).sum((2, 3)) / area.clamp(min=1)
    kept = (depth > 0) & (height > 0)
    if not kept.any():
        return frame.depth.new_zeros(())
    expected = fy[:, None] * prior / height.clamp(min=1)
    off = (depth - expected) / frame.depth.detach().mean((2, 3))
    return off.abs()[kept].mean()


def consistency_loss(forward: Tensor, backward: Tensor, pair: PairLoss) -> Tensor:
    """Motion there and back (two `motion_field`) must undo each other where both views agree."""
    there = rotation_from_angles(forward[:, 3:].mean((2, 3)))
    back = rotation_from_angles(backward[:, 3:].mean((2, 3)))
    one = torch.eye(3, dtype=there.dtype, device=there.device)

    def size(matrix: Tensor) -> Tensor:
        return matrix.square().mean((1, 2))

    rotation = size(there @ back - one) / (_TINY + size(there - one) + size(back - one))
    fetched, _ = flow_warp(backward[:, :3], pair.flow.detach())
    left = torch.einsum("nij,njhw->nihw", there, fetched) + forward[:, :3]

    def length(field: Tensor) -> Tensor:
        return field.square().sum(1, keepdim=True)

    translation = length(left) / (_TINY + length(fetched) + length(forward[:, :3]))
    weight = (pair.weight * (pair.difference <= _CONSISTENT)).detach()
    return rotation.mean() + _TRANSLATION * _masked_mean(translation, weight)


@torch.no_grad()
def ego_warps(
    target: Frame, reference: Frame, forward: Tensor, backward: Tensor, intrinsics: Tensor
) -> tuple[ForwardWarp, ForwardWarp]:
    """Move the reference into the target's camera and back, as if nothing moved by itself.

    `forward` (N, 6) leads from the target's camera to the reference's. No gradient passes.
    """
    moved_reference = forward_warp(
        reference.image, reference.masks, reference.depth, backward, intrinsics
    )
    moved_target = forward_warp(target.image, target.masks, target.depth, forward, intrinsics)
    return moved_reference, moved_target


def insta_dm_losses(
    targets: Sequence[Frame],
    references: Sequence[Frame],
    forward: Sequence[Motion],
    backward: Sequence[Motion],
    intrinsics: Tensor,
    prior: Tensor,
    options: LossOptions = LossOptions(),
) -> Losses:
    """All terms for a target and its references.

    Parameters
    ----------
    targets : sequence of Frame
        The same image and depth for each reference, with the masks of what both share.
    references : sequence of Frame
    forward, backward : sequence of Motion
        From the target to each reference, and back.
    intrinsics : Tensor
        (N, 3, 3).
    prior : Tensor
        ``DispResNet.obj_height_prior``.
    options : LossOptions
    """
    zero = targets[0].depth.new_zeros(())
    photo = geometry = sizes = consistency = zero
    fy = intrinsics[:, 1, 1]
    for target, reference, there, back in zip(targets, references, forward, backward, strict=True):
        moved_reference, moved_target = ego_warps(
            target, reference, there.ego, back.ego, intrinsics
        )
        field = motion_field(there.ego, there.objects, target.masks)
        field_back = motion_field(back.ego, back.objects, reference.masks)
        one = pair_loss(target, reference, field, moved_reference.valid, intrinsics, options)
        other = pair_loss(reference, target, field_back, moved_target.valid, intrinsics, options)
        photo = photo + one.photo + other.photo
        geometry = geometry + one.geometry + other.geometry
        sizes = sizes + (size_loss(target, fy, prior) + size_loss(reference, fy, prior)) / 2
        consistency = consistency + consistency_loss(field, field_back, one) / 2
    smooth = smoothness_loss(targets[0].depth, targets[0].image)
    for reference in references:
        smooth = smooth + smoothness_loss(reference.depth, reference.image)
    return Losses(photo, geometry, smooth, sizes, consistency)


def _masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean where the weight is 1, of the whole batch; 0 where that is nowhere."""
    total = weight.sum() * values.shape[1]
    return (values * weight).sum() / total.clamp(min=1)


def _any(masks: Tensor) -> Tensor:
    if not masks.shape[1]:
        return masks.new_zeros((len(masks), 1, *masks.shape[2:]))
    return masks.amax(1, keepdim=True)
