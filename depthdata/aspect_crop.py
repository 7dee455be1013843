"""The middle of an image that has the shape of another size, as multi-frame depth papers cut it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = ["AspectCrop"]


@dataclass(frozen=True)
class AspectCrop:
    """Cut an image to the aspect ratio of a target size, then resize it: MonoRec's rule, exactly.

    Whole pixels are cut on both sides, rounded down: for an odd margin the box is one pixel larger
    than the intrinsics assume. Intrinsics are scaled without the half pixel of pixel centres.

    Parameters
    ----------
    image, target : (height, width)
        Of the whole image, and of what comes out.

    Examples
    --------
    >>> crop = AspectCrop((376, 1241), (256, 512))
    >>> crop.box, crop.margins
    ((244, 0, 997, 376), (244.5, 0.0))
    """

    image: tuple[int, int]
    target: tuple[int, int]

    def __post_init__(self) -> None:
        if min(*self.image, *self.target) < 1:
            raise UsageError(f"crop: expected sizes above 0, found {self.image} to {self.target}")

    @property
    def size(self) -> tuple[float, float]:
        """Height and width that the intrinsics assume the crop to have."""
        height, width = self.image
        shape = self.target[0] / self.target[1]
        if height / width >= shape:
            return shape * width, float(width)
        return float(height), height / shape

    @property
    def margins(self) -> tuple[float, float]:
        """What is left of and above the crop as the intrinsics assume it, pixels."""
        height, width = self.size
        return (self.image[1] - width) / 2, (self.image[0] - height) / 2

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom; right and bottom exclusive."""
        left, top = (math.floor(margin) for margin in self.margins)
        return left, top, self.image[1] - left, self.image[0] - top

    def intrinsics(self, matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the (3, 3) intrinsics of the result from those of the whole image."""
        K = np.array(matrix, np.float64)
        (height, width), (left, top) = self.size, self.margins
        scale = height / self.target[0] if width < self.image[1] else width / self.target[1]
        out = np.eye(3)
        out[0, 0], out[1, 1] = K[0, 0] / scale, K[1, 1] / scale
        out[0, 2] = (K[0, 2] - left) / width * self.target[1]
        out[1, 2] = (K[1, 2] - top) / height * self.target[0]
        return out

    def scatter(self, depth: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return sparse depth (H, W; 0 or NaN: none) as inverse depth in the target, 0 = none.

        The pixel's index is scaled by the size of the box and rounded half to even; the last one
        in row order wins where several meet.
        """
        if depth.shape != self.image:
            raise UsageError(f"crop: expected a map of {self.image}, found {depth.shape}")
        left, top, right, bottom = self.box
        inside = depth[top:bottom, left:right]
        row, column = np.nonzero(inside > 0)
        value = 1 / inside[row, column].astype(np.float64)
        height, width = self.target
        row = np.rint((row / (bottom - top) * height).clip(0, height - 1)).astype(np.intp)
        column = np.rint((column / (right - left) * width).clip(0, width - 1)).astype(np.intp)
        out = np.zeros(self.target, np.float32)
        out[row, column] = value  # numpy assigns in order: the last one stays
        return out
