"""Following points between images, predicting where they go, comparing patches: arrays only."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.geometry import backproject, project, transform

__all__ = ["bilinear", "follow", "photometric_ratio", "predict"]

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

_WINDOW, _LEVELS, _ROUND_TRIP_PX = (15, 15), 4, 0.5


def follow(
    first: Image, second: Image, xy: Floats, *, guess: Floats | None = None
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Follow points from one image to another (Lucas-Kanade, there and back).

    Parameters
    ----------
    first, second : uint8, (H, W)
    xy : float64, (n, 2)
        Column and row in `first`.
    guess : float64, (n, 2), optional
        Where to start in `second`; then only the neighbourhood is searched.

    Returns
    -------
    found : float64, (n, 2)
        Column and row in `second`.
    good : bool, (n,)
        Followed there and back to within half a pixel.
    """
    if not len(xy):
        return np.zeros((0, 2)), np.zeros(0, bool)
    start = np.ascontiguousarray(xy, np.float32).reshape(-1, 1, 2)
    there = None if guess is None else np.array(guess, np.float32).reshape(-1, 1, 2)
    levels, flags = (_LEVELS, 0) if guess is None else (1, cv2.OPTFLOW_USE_INITIAL_FLOW)
    there, status, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
        first, second, start, there, winSize=_WINDOW, maxLevel=levels, flags=flags
    )
    back, again, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
        second,
        first,
        there,
        start.copy(),
        winSize=_WINDOW,
        maxLevel=1,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    off = np.linalg.norm((back - start)[:, 0], axis=-1)
    height, width = second.shape
    found = there[:, 0].astype(np.float64)
    inside = (found >= 0).all(-1) & (found[:, 0] <= width - 1) & (found[:, 1] <= height - 1)
    good = (status[:, 0] > 0) & (again[:, 0] > 0) & (off < _ROUND_TRIP_PX) & inside
    return found, good


def predict(points: Floats, K_from: Floats, K_to: Floats, T_to_from: Floats) -> Floats:
    """Predict where static points (n, 3: column, row, z) appear in another view, (n, 2) pixels.

    NaN for a point that is not before the other camera.
    """
    uv, z = project(K_to, transform(T_to_from, backproject(K_from, points[:, :2], points[:, 2])))
    uv[~(z > 0)] = np.nan
    return uv


def bilinear(image: npt.NDArray[np.generic], xy: Floats) -> npt.NDArray[np.float32]:
    """Read an image (H, W) at sub-pixel positions (n, 2); NaN outside."""
    if not len(xy):
        return np.zeros(0, np.float32)
    height, width = image.shape[:2]
    inside = (xy[:, 0] >= 0) & (xy[:, 0] <= width - 1) & (xy[:, 1] >= 0) & (xy[:, 1] <= height - 1)
    maps = np.where(inside[:, None], xy, 0).astype(np.float32)
    chunk = 32000  # cv2.remap takes at most 32767 rows
    parts = [
        cv2.remap(
            image.astype(np.float32),
            maps[i : i + chunk, :1],
            maps[i : i + chunk, 1:],
            cv2.INTER_LINEAR,
        )[:, 0]
        for i in range(0, len(maps), chunk)
    ]
    out = np.concatenate(parts).astype(np.float32)
    out[~inside] = np.nan
    return out


def photometric_ratio(
    first: Image, second: Image, xy_first: Floats, xy_second: Floats
) -> tuple[float, float, int]:
    """Compare images at matched positions with the same positions left unmatched.

    Returns
    -------
    ratio : float
        Median absolute grey difference where matched, divided by that at equal positions: below 1
        the match explains the images.
    difference : float
        Median absolute grey difference where matched, in grey levels.
    count : int
        Points compared.
    """
    blurred = [cv2.GaussianBlur(image, (5, 5), 0) for image in (first, second)]
    own = bilinear(blurred[0], xy_first)
    matched = bilinear(blurred[1], xy_second)
    unmatched = bilinear(blurred[1], xy_first)
    ok = np.isfinite(own) & np.isfinite(matched) & np.isfinite(unmatched)
    if not ok.any():
        return np.nan, np.nan, 0
    gain = float(np.median(own[ok]) - np.median(matched[ok]))  # exposure differs between cameras
    difference = float(np.median(np.abs(own - matched - gain)[ok]))
    gain = float(np.median(own[ok]) - np.median(unmatched[ok]))
    still = float(np.median(np.abs(own - unmatched - gain)[ok]))
    return difference / max(still, 1e-6), difference, int(ok.sum())
