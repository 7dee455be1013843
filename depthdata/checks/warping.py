"""Carrying pixels of one image to another by a displacement map, and comparing: arrays only.

Patches are compared by normalised correlation, which gain and offset of the exposure do not
change. Every pixel of a patch moves by its own displacement where the map has one, so that slanted
surfaces match too.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = [
    "MATCH",
    "Patches",
    "correlation",
    "patch_offsets",
    "self_occluded",
    "smooth",
    "textured_pixels",
    "texture",
]

Floats = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.intp]

MATCH = 0.6  # correlation above which a patch counts as found again
RADIUS = 4
_SAME_SURFACE_PX = 1.5
_STEP_PX, _STEP_SHARE = 2.0, 0.05
_FLAT = 1.5  # grey levels: the patch has no texture
_LEAST_TEXTURE = 2.0  # grey levels a pixel
_CELLS = (8, 20)


def patch_offsets(radius: int = RADIUS) -> Pixels:
    """Column and row of the pixels of a square patch, from its middle, (P, 2).

    >>> patch_offsets(1)[[0, 4, 8]].tolist()
    [[-1, -1], [0, 0], [1, 1]]
    """
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.stack([dx.ravel(), dy.ravel()], 1)


class Patches:
    """Square patches of an image around pixels, and where a displacement map brings them.

    Parameters
    ----------
    field : float32, (2, H, W)
        Displacement (dx, dy) of every pixel; NaN where unknown.
    pixels : int, (n, 2)
        Column and row of the middles, where `field` is known.
    """

    def __init__(self, field: Single, pixels: Pixels, radius: int = RADIUS) -> None:
        height, width = field.shape[1:]
        dx, dy = patch_offsets(radius).T
        columns, rows = pixels[:, :1] + dx, pixels[:, 1:] + dy
        self.here = np.stack([columns, rows], -1).astype(np.float32)  # (n, P, 2)
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
        own = np.moveaxis(field[:, rows, columns], 0, -1)
        middle = field[:, pixels[:, 1], pixels[:, 0]].T[:, None]
        with np.errstate(invalid="ignore"):
            same = (np.abs(own - middle) <= _SAME_SURFACE_PX).all(-1) & inside
        self.move = np.where(same[..., None], own, middle).astype(np.float32)  # (n, P, 2)

    def __len__(self) -> int:
        return len(self.here)

    @property
    def middle(self) -> Single:
        """Displacement of the middles, (n, 2)."""
        return np.asarray(self.move[:, self.move.shape[1] // 2])


def correlation(first: Image, second: Image, here: Single, there: Single) -> Single:
    """Normalised correlation of patches at `here` in one image and at `there` in another.

    Parameters
    ----------
    first, second : uint8, (H, W)
    here, there : float32, (n, P, 2)
        Column and row of every pixel of the patches.

    Returns
    -------
    float32, (n,)
        -1 to 1; 0 where the middle of a patch lies outside the second image, or where that image
        is flat; NaN where the first image is flat: nothing can be said.
    """
    if not len(here):
        return np.zeros(0, np.float32)
    own, other = _read(first, here), _read(second, there)
    height, width = second.shape
    centre = there[:, there.shape[1] // 2]
    inside = (centre >= -0.5).all(-1) & (centre[:, 0] <= width - 0.5)
    inside &= centre[:, 1] <= height - 0.5
    own = own - own.mean(1, keepdims=True)
    other = other - other.mean(1, keepdims=True)
    spread = np.sqrt((own**2).mean(1)), np.sqrt((other**2).mean(1))
    value = (own * other).mean(1) / np.maximum(spread[0] * spread[1], 1e-6)
    value[~inside | (spread[1] < _FLAT / 3)] = 0
    value[spread[0] < _FLAT] = np.nan
    return np.asarray(value, np.float32)


def _read(image: Image, at: Single) -> Single:
    parts = [
        cv2.remap(
            image,
            np.nan_to_num(part[..., 0], nan=-1e4),
            np.nan_to_num(part[..., 1], nan=-1e4),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for part in np.array_split(at, len(at) // 30000 + 1)  # cv2.remap: at most 32767 rows
    ]
    return np.concatenate(parts).astype(np.float32)


def smooth(field: Single) -> Mask:
    """Tell where a displacement map (c, H, W) has no step within two pixels: (H, W)."""
    kernel = np.ones((5, 5), np.uint8)
    known = np.isfinite(field).all(0)
    out = known.copy()
    largest = np.maximum(_STEP_PX, _STEP_SHARE * np.linalg.norm(np.nan_to_num(field), axis=0))
    for plane in field:
        high = cv2.dilate(np.where(known, plane, -1e6).astype(np.float32), kernel)
        low = cv2.erode(np.where(known, plane, 1e6).astype(np.float32), kernel)
        out &= high - low <= largest
    return np.asarray(out)


def self_occluded(disparity: Single, sign: int) -> Mask:
    """Tell which pixels another pixel of the same row hides in the other view, (H, W).

    Parameters
    ----------
    disparity : float32, (H, W)
    sign : -1 or 1
        A pixel x is found at x + sign * disparity in the other view (-1 for a left view).
    """
    height, width = disparity.shape
    known = np.isfinite(disparity)
    rows, columns = np.nonzero(known)
    values = disparity[known]
    at = columns + sign * values
    inside = (at >= 0) & (at <= width - 1)
    nearest = np.full((height, width + 1), -np.inf, np.float32)
    whole = np.floor(np.where(inside, at, 0)).astype(np.intp)
    for shift in (0, 1):
        np.maximum.at(nearest, (rows[inside], whole[inside] + shift), values[inside])
    hidden = np.zeros((height, width), bool)
    front = np.minimum(nearest[rows, whole], nearest[rows, whole + 1])
    hidden[rows, columns] = inside & (front > values + 1)
    return hidden


def texture(image: Image, *, across_only: bool) -> Single:
    """Strength of texture in grey levels a pixel, (H, W); `across_only`: along rows (stereo)."""
    values = image.astype(np.float32)
    dx = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3) / 8
    size = (2 * RADIUS + 1,) * 2
    xx = cv2.boxFilter(dx * dx, -1, size)
    if across_only:
        return np.asarray(np.sqrt(xx), np.float32)
    dy = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3) / 8
    yy, xy = cv2.boxFilter(dy * dy, -1, size), cv2.boxFilter(dx * dy, -1, size)
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.asarray(np.sqrt(np.maximum(least, 0)), np.float32)


def textured_pixels(strength: Single, allowed: Mask, most: int, rng: np.random.Generator) -> Pixels:
    """Draw at most `most` allowed pixels (n, 2: column, row) with texture, from all of the image.

    Of the pixels drawn by `rng` the strongest of each cell of a grid are taken.
    """
    height, width = allowed.shape
    found = np.flatnonzero(allowed & (strength >= _LEAST_TEXTURE))
    found = found[rng.permutation(len(found))[: 6 * most]]
    rows, columns = np.divmod(found, width)
    order = np.argsort(-strength[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    cells = (rows * _CELLS[0] // height) * _CELLS[1] + columns * _CELLS[1] // width
    by_cell = np.argsort(cells, kind="stable")
    starts = np.searchsorted(cells[by_cell], cells[by_cell])
    rank = np.empty(len(cells), np.intp)
    rank[by_cell] = np.arange(len(cells)) - starts
    chosen = np.argsort(rank, kind="stable")[:most]
    return np.stack([columns[chosen], rows[chosen]], 1)
