"""What a camera of the synthetic scene gives: an image and its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """One image of one camera and its truth; H, W are the image size.

    Attributes
    ----------
    rgb : uint8, (H, W, 3)
    depth : float32, (H, W)
        z in metres at the pixel centre; NaN where there is no surface (the sky).
    disparity : float32, (H, W)
        fx * baseline / z, pixels; NaN in the sky.
    flow_forward, flow_backward : float32, (2, H, W)
        Where the surface point of the pixel is in the next and in the previous frame, minus the
        pixel. NaN in the sky, where the point is not before the camera, and where no such frame is.
    occluded_right : uint8, (H, W)
        1 where the other camera of the pair does not see the surface point (for a right camera
        that is the left one): another surface hides it, it leaves the image, or it is the sky.
    occluded_forward, occluded_backward : uint8, (H, W)
        The same for the next and the previous frame of this camera; 1 where there is none.
    instances : uint16, (H, W)
        Object number; 0 is the street and the sky.
    semantics : uint8, (H, W)
        `SEMANTIC_CLASSES`.
    moving : uint8, (H, W)
        1 on objects that move in the world.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    disparity: npt.NDArray[np.float32]
    flow_forward: npt.NDArray[np.float32]
    flow_backward: npt.NDArray[np.float32]
    occluded_right: npt.NDArray[np.uint8]
    occluded_forward: npt.NDArray[np.uint8]
    occluded_backward: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.uint16]
    semantics: npt.NDArray[np.uint8]
    moving: npt.NDArray[np.uint8]
