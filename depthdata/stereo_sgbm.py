"""Semi-global matching (OpenCV) of a rectified pair: the disparity that needs no weights."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["sgbm_disparity"]

_BLOCK = 5
_SMALL_STEP, _LARGE_STEP = 8 * _BLOCK**2, 32 * _BLOCK**2  # penalties as OpenCV advises


def sgbm_disparity(
    left: npt.NDArray[np.uint8],
    right: npt.NDArray[np.uint8],
    max_disparity: int = 128,
) -> npt.NDArray[np.float32]:
    """Match a rectified pair by semi-global block matching.

    Parameters
    ----------
    left, right : uint8, (H, W, 3) RGB or (H, W) grey
        Rectified images of one time: a point at column x of `left` lies at column x - d of `right`.
    max_disparity : int
        Largest disparity to look for, pixels; rounded up to a multiple of 16.

    Returns
    -------
    float32, (H, W)
        Disparity in pixels, in steps of 1/16; NaN where there is no unique match that is the same
        from both sides, or where the match would lie outside the right image.

    Raises
    ------
    ValueError
        The images differ in shape, or are not uint8.

    Examples
    --------
    >>> pattern = np.random.default_rng(0).integers(0, 255, (48, 80), dtype=np.uint8)
    >>> disparity = sgbm_disparity(pattern[:, :64], pattern[:, 6:70], 32)
    >>> float(np.nanmedian(disparity))
    6.0
    """
    if left.shape != right.shape or left.dtype != np.uint8 or right.dtype != np.uint8:
        raise ValueError(
            f"a rectified pair of uint8 images of one shape expected, found {left.dtype} "
            f"{left.shape} and {right.dtype} {right.shape}"
        )
    if max_disparity < 1:
        raise ValueError(f"max_disparity: at least 1 pixel expected, found {max_disparity}")
    steps = -(-int(max_disparity) // 16) * 16
    # OpenCV leaves the first `steps` columns empty: give it columns that can be thrown away.
    padded = [
        cv2.copyMakeBorder(grey(image), 0, 0, steps, 0, cv2.BORDER_CONSTANT, value=0)
        for image in (left, right)
    ]
    fixed = _matcher(steps).compute(*padded)[:, steps:]
    disparity: npt.NDArray[np.float32] = fixed.astype(np.float32) / np.float32(16)
    columns = np.arange(disparity.shape[1], dtype=np.float32)
    disparity[(fixed < 0) | (columns - disparity < 0)] = np.nan
    return disparity


def grey(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return an RGB image as grey (H, W); a grey one as it is."""
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _matcher(steps: int) -> Any:
    return cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=steps,
        blockSize=_BLOCK,
        P1=_SMALL_STEP,
        P2=_LARGE_STEP,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
