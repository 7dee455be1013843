"""Undistortion of samples: images, maps, labels, points and cameras together.

Sources whose images are distorted are stored as they are (Waymo, for one). A sample of a
`SequenceDataset` then has ``distortion`` beside ``intrinsics``, and `Undistort` takes it away.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from depthdata.distortion import undistort_pixels
from depthdata.errors import UsageError
from depthdata.loading.batch import Sample
from depthdata.loading.maps import densify, is_disparity
from depthdata.loading.transforms import cameras_of, is_flow, is_image, is_spatial

__all__ = ["Undistort"]

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]

_SPARSE = 0.25  # a map of lidar points fills a few percent of the pixels
_CAMERAS_KEPT = 8  # a surround rig; 25 MB each for 1280 x 1920


@dataclass(frozen=True)
class Undistort:
    """Undistort every camera of a sample that has ``distortion``, and take that key away.

    Images are interpolated (bilinear, exactly as ``cv2.undistort`` does) and are black where the
    lens shows nothing. Maps and labels are sampled at the nearest pixel, with their validity;
    depth stays what it was, for z does not depend on the lens. Maps of single measurements and
    points are moved one by one, and flow is that of the undistorted image. What is not seen is not
    valid. Crops, flips and resizes may come before or after; before, a smaller `size` of the
    dataset makes it cheaper by as much.

    Parameters
    ----------
    alpha : float, optional
        The camera matrix of the result: the old one where not given; 0, the largest view without
        black; 1, everything that the lens shows; between, as ``cv2.getOptimalNewCameraMatrix``.
    sparse : tuple of str, optional
        Maps that hold single measurements: ``("depth",)``. Not given: those of numbers in which
        less than a quarter of the pixels is valid.
    keep : tuple of str
        Names of what is undistorted already: ``("rgb_320x480",)``. Streams whose names end with
        ``_undistorted`` are, always.

    Notes
    -----
    Maps of pixels are made once a camera and process and kept for the last eight; they are not
    part of the pickle. Measured on one core (`tools/bench/undistort.py`), 1280 x 1920, as multiples
    of decoding the JPEG: 1.2 for the image, 0.9 for a map, and 1.2 more for a camera that is new.

    Raises
    ------
    UsageError
        There is disparity (that of a distorted pair is not one of the undistorted pair), or images
        and maps of a camera differ in size.

    Examples
    --------
    >>> sample = {"rgb": torch.full((1, 3, 32, 48), 9, dtype=torch.uint8),
    ...           "intrinsics": torch.tensor([[[40.0, 0, 23], [0, 40, 15], [0, 0, 1]]]),
    ...           "distortion": torch.tensor([[-0.2, 0, 0, 0, 0]])}
    >>> straight = Undistort(alpha=0)(sample, np.random.default_rng(0))
    >>> sorted(straight), straight["rgb"].min().item()
    (['intrinsics', 'rgb'], 9)
    """

    alpha: float | None = None
    sparse: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample; without ``distortion`` the same one."""
        out = dict(sample)
        for names in cameras_of(sample).values():
            if "distortion" in names:
                self._camera(sample, out, names)
        return out

    def _camera(self, sample: Sample, out: Sample, names: Mapping[str, str]) -> None:
        """Change all that belongs to one camera."""
        changed = {name: key for name, key in names.items() if not self._is_kept(name)}
        size = _size(sample, changed)
        intrinsics, distortion = sample[names["intrinsics"]], sample[names["distortion"]]
        del out[names["distortion"]]
        lenses = [
            _lens(tuple(k.ravel().tolist()), tuple(d.tolist()), size, self.alpha)
            for k, d in zip(_array(intrinsics), _array(distortion), strict=True)
        ]
        new = np.stack([lens.K for lens in lenses])
        out[names["intrinsics"]] = torch.as_tensor(
            new, dtype=intrinsics.dtype, device=intrinsics.device
        )
        for name, key in changed.items():
            value = sample[key]
            if name in ("intrinsics", "distortion") or name.endswith("_valid"):
                continue
            if is_disparity(name):
                raise UsageError(
                    f"{key}: disparity of distorted images is not undistorted; load depth instead"
                )
            valid = sample.get(f"{key}_valid")
            if name.endswith("_points"):
                moved = _each(_move_points, lenses, value, valid)
            elif not is_spatial(name, value):
                continue
            elif is_image(name, value) or (value.ndim == 4 and name.startswith("rgb")):
                moved = _each(_straighten, lenses, value, None)
            elif is_flow(name, value):
                moved = _each(_move_flow, lenses, value, valid)
            elif self._is_sparse(name, value, valid):
                moved = _each(_move_pixels, lenses, value, valid)
            else:
                moved = _each(_sample, lenses, value, valid)
            out[key] = moved[0]
            if valid is not None:
                out[f"{key}_valid"] = moved[1]

    def _is_kept(self, name: str) -> bool:
        base = name.removesuffix("_valid").removesuffix("_points")
        return base.endswith("_undistorted") or base in self.keep

    def _is_sparse(self, name: str, value: torch.Tensor, valid: torch.Tensor | None) -> bool:
        if self.sparse is not None:
            return name in self.sparse
        if valid is None or not value.is_floating_point():
            return False
        return int(valid.count_nonzero()) < _SPARSE * valid.numel()


class _Lens:
    """Where the pixels of an undistorted image are found, and back."""

    def __init__(
        self, K: Float, distortion: Float, size: tuple[int, int], alpha: float | None
    ) -> None:
        height, width = self.size = size
        self._from, self._distortion = K, distortion
        self.trivial = not distortion.any()
        self.K = K
        if alpha is not None and not self.trivial:
            best, _ = cv2.getOptimalNewCameraMatrix(K, distortion, (width, height), alpha)
            self.K = np.asarray(best, np.float64)
        self._reach = _turning_point(distortion)

    @functools.cached_property
    def linear(self) -> tuple[Array, Array]:
        """Positions in the distorted image, as OpenCV's fixed-point maps."""
        height, width = self.size
        first, second = cv2.initUndistortRectifyMap(
            self._from, self._distortion, np.eye(3), self.K, (width, height), cv2.CV_16SC2
        )
        return np.asarray(first), np.asarray(second)

    @functools.cached_property
    def nearest(self) -> Array:
        """The same, rounded to whole pixels: (H, W, 2) int16, x and y."""
        whole, parts = self.linear  # parts: 32 times y, then 32 times x
        up = np.stack([(parts & 31) >= 16, ((parts >> 5) & 31) >= 16], axis=-1)
        return np.asarray(np.minimum(whole, np.int16(32766)) + up, np.int16)

    @functools.cached_property
    def folded(self) -> npt.NDArray[np.bool_] | None:
        """Pixels that the lens does not show though the model gives them a place; None: none."""
        if self._reach == np.inf:
            return None
        height, width = self.size
        x = (np.arange(width) - self.K[0, 2]) / self.K[0, 0]
        y = (np.arange(height) - self.K[1, 2]) / self.K[1, 1]
        folded = (x * x)[None] + (y * y)[:, None] >= self._reach
        return folded if folded.any() else None

    @functools.cached_property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Pixels whose nearest one in the distorted image exists."""
        height, width = self.size
        x, y = self.nearest[..., 0], self.nearest[..., 1]
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return seen if self.folded is None else seen & ~self.folded

    def undistorted(self, xy: Array) -> Float:
        """Move positions (..., 2) of the distorted image; NaN where there is none."""
        if self.trivial:
            return np.asarray(xy, np.float64)
        inverse = np.linalg.inv(self._from)
        straight = undistort_pixels(xy, self._from, self._distortion)
        rays = straight @ inverse[:2, :2].T + inverse[:2, 2]
        beyond = (rays**2).sum(-1) >= self._reach
        found: Float = rays @ self.K[:2, :2].T + self.K[:2, 2]
        found[beyond] = np.nan
        return found


@functools.lru_cache(maxsize=_CAMERAS_KEPT)
def _lens(
    K: tuple[float, ...], distortion: tuple[float, ...], size: tuple[int, int], alpha: float | None
) -> _Lens:
    return _Lens(np.array(K).reshape(3, 3), np.array(distortion), size, alpha)


def _turning_point(distortion: Float) -> float:
    """Return the r2 from which the radial model runs backwards: nothing beyond is seen."""
    k1, k2, k3 = distortion[0], distortion[1], distortion[4]
    roots = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0])
    real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
    return float(real.min(initial=np.inf))


def _each(
    change: Callable[..., tuple[Array, Array | None]],
    lenses: list[_Lens],
    value: torch.Tensor,
    valid: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Change frame by frame: ``change(lens, value, valid) -> (value, valid)`` of arrays."""
    made = torch.empty_like(value, device="cpu", memory_format=torch.contiguous_format)
    keep = None if valid is None else torch.empty_like(valid, device="cpu")
    for k, lens in enumerate(lenses):
        frame, seen = _array(value[k]), None if valid is None else _array(valid[k])
        if not lens.trivial:
            frame, seen = change(lens, frame, seen)
        made[k] = torch.from_numpy(frame)
        if keep is not None and seen is not None:
            keep[k] = torch.from_numpy(seen)
    return made.to(value.device), None if keep is None else keep.to(value.device)


def _straighten(lens: _Lens, image: Array, _: None) -> tuple[Array, None]:
    # Three channels at once: the places of the pixels are worked out once.
    packed = cv2.remap(cv2.merge(list(image)), *lens.linear, cv2.INTER_LINEAR)
    out = np.empty_like(image)
    cv2.split(packed, list(out))
    if lens.folded is not None:
        out[:, lens.folded] = 0
    return out, None


def _sample(lens: _Lens, value: Array, valid: Array | None) -> tuple[Array, Array | None]:
    moved = _nearest(lens, value)
    if valid is None or valid.shape != value.shape:
        return np.where(lens.seen, moved, np.zeros_like(moved)), valid
    keep = _nearest(lens, valid.view(np.uint8)).view(np.bool_) & lens.seen
    if not keep.all():
        np.copyto(moved, 0, where=~keep)
    return moved, keep


def _nearest(lens: _Lens, value: Array) -> Array:
    plain = value.dtype if value.dtype != np.int64 else np.float64  # copied bit for bit
    moved = cv2.remap(value.view(plain), lens.nearest, None, cv2.INTER_NEAREST)
    return np.asarray(moved).view(value.dtype)


def _move_pixels(lens: _Lens, value: Array, valid: Array) -> tuple[Array, Array]:
    row, column = np.nonzero(valid)
    measured = value[row, column]
    place, inside = _places(lens, lens.undistorted(np.stack([column, row], axis=-1)))
    moved, keep = np.zeros_like(value), np.zeros_like(valid)
    densify(moved.reshape(-1), place, measured[inside])
    keep.reshape(-1)[place] = True
    return moved, keep


def _move_points(lens: _Lens, value: Array, valid: Array) -> tuple[Array, Array]:
    moved, keep = np.zeros_like(value), np.zeros_like(valid)
    which = np.flatnonzero(valid)
    xy = lens.undistorted(value[which, :2])
    _, inside = _places(lens, xy)
    which, xy = which[inside], xy[inside]
    moved[which, :2], moved[which, 2], keep[which] = xy, value[which, 2], True
    return moved, keep


def _move_flow(lens: _Lens, value: Array, valid: Array | None) -> tuple[Array, Array | None]:
    """Flow between the undistorted places of a pixel and of where it goes."""
    height, width = lens.size
    row, column = np.nonzero(np.ones(lens.size, bool) if valid is None else valid)
    start = np.stack([column, row], axis=-1).astype(np.float64)
    end = lens.undistorted(start + value[:, row, column].T)
    straight = np.full((2, height, width), np.nan, np.float32)
    straight[:, row, column] = (end - lens.undistorted(start)).T
    sampled = np.stack([_nearest(lens, part) for part in straight])
    keep = lens.seen & np.isfinite(sampled).all(axis=0)
    return np.where(keep, sampled, np.float32(0)), keep


def _places(lens: _Lens, xy: Float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Flat pixels of positions in the image, and which positions these are."""
    height, width = lens.size
    x, y = xy[:, 0], xy[:, 1]
    with np.errstate(invalid="ignore"):
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    column, row = np.rint(x[inside]), np.rint(y[inside])
    return (row * width + column).astype(np.intp), inside


def _size(sample: Sample, names: Mapping[str, str]) -> tuple[int, int]:
    sizes = {
        name: (int(sample[key].shape[-2]), int(sample[key].shape[-1]))
        for name, key in names.items()
        if is_spatial(name, sample[key])
    }
    if not sizes:
        raise UsageError(
            f"undistortion needs an image or a map of the camera; it has {', '.join(names)}"
        )
    if len(set(sizes.values())) > 1:
        raise UsageError(
            f"images and maps of one camera differ in size: {sizes}; give the dataset a size, or "
            "name in keep what is undistorted already"
        )
    return next(iter(sizes.values()))


def _array(value: torch.Tensor) -> Array:
    return np.ascontiguousarray(value.cpu().numpy())
