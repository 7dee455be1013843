"""3-D motion of what a camera sees: of the camera, of the scene, and both apart."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from depthzoo.networks.geometry import move, pixel_grid, project

__all__ = ["SceneFlow", "moved_pixels", "optical_flow", "split_flow"]


class SceneFlow(NamedTuple):
    """Displacements (N, 3, H, W) in the axes of the target camera, in units of its depth."""

    complete: Tensor
    """Of each point relative to the camera."""
    ego: Tensor
    """What the motion of the camera alone does."""
    residual: Tensor
    """The difference of the two."""
    independent: Tensor
    """The residual where the scene is said to move."""


def split_flow(points: Tensor, complete: Tensor, transform: Tensor, mask: Tensor) -> SceneFlow:
    """Tell the motion of the camera and that of the scene apart.

    Parameters
    ----------
    points : Tensor
        (N, 3, H, W) in the target camera.
    complete : Tensor
        (N, 3, H, W).
    transform : Tensor
        (N, 4, 4) from the target camera to the other one.
    mask : Tensor
        (N, 1, H, W) probability of motion.
    """
    ego = move(points, transform) - points
    residual = complete - ego
    return SceneFlow(complete, ego, residual, residual * mask)


def moved_pixels(
    points: Tensor,
    intrinsics: Tensor,
    *,
    transform: Tensor | None = None,
    flow: Tensor | None = None,
) -> Tensor:
    """Pixels (N, 2, H, W) of points that are displaced by a flow first and transformed then."""
    return project(points if flow is None else points + flow, intrinsics, transform)


def optical_flow(pixels: Tensor) -> Tensor:
    """Displacement (N, 2, H, W) from each pixel to where it is seen, in pixels."""
    height, width = pixels.shape[-2:]
    return pixels - pixel_grid(pixels)[:2].view(2, height, width)
