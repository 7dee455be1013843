"""Changes of a sample that keep images, truth and cameras consistent.

A transform is called as ``transform(sample, rng)`` and returns the changed sample; all frames and
all cameras of a window get the same change. `transform_batch` applies one to every sample of a
batch, on the device where the batch is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from depthdata.errors import UsageError
from depthdata.geometry import crop_intrinsics, scale_intrinsics
from depthdata.loading.batch import Sample, collate, sample_of
from depthdata.loading.maps import disparity_factor, is_disparity

__all__ = [
    "CenterCrop",
    "Compose",
    "HorizontalFlip",
    "RandomCrop",
    "Resize",
    "cameras_of",
    "image_size",
    "is_flow",
    "is_image",
    "is_spatial",
    "transform_batch",
]

Transform = Callable[[Sample, np.random.Generator], Sample]
_CAMERA_KEYS = ("intrinsics", "distortion", "T_world_cam", "timestamps")
_SHARED_KEYS = ("baseline", "baselines", "index")


def cameras_of(sample: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the keys of each camera: prefix -> name without prefix -> key.

    Examples
    --------
    >>> cameras_of({"rgb": 0, "intrinsics": 0, "right_rgb": 0, "right_intrinsics": 0})
    {'': {'rgb': 'rgb', 'intrinsics': 'intrinsics'}, 'right_': {'rgb': 'right_rgb', \
'intrinsics': 'right_intrinsics'}}
    """
    prefixes = [key.removesuffix("intrinsics") for key in sample if key.endswith("intrinsics")]
    cameras: dict[str, dict[str, str]] = {prefix: {} for prefix in prefixes}
    for key in sample:
        if key not in _SHARED_KEYS:
            prefix = max((p for p in prefixes if key.startswith(p)), key=len)
            cameras[prefix][key[len(prefix) :]] = key
    return cameras


def image_size(sample: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the first camera's images or maps."""
    for name, key in cameras_of(sample)[""].items():
        if is_spatial(name, sample[key]):
            height, width = sample[key].shape[-2:]
            return int(height), int(width)
    raise UsageError(f"the sample has no image and no map; its keys are {', '.join(sample)}")


def transform_batch(batch: Sample, transform: Transform, rng: np.random.Generator) -> Sample:
    """Apply a transform to every sample of a batch with random numbers of its own."""
    length = len(batch["intrinsics"])
    return collate([transform(sample_of(batch, i), rng) for i in range(length)])


@dataclass(frozen=True)
class Compose:
    """Several transforms, one after the other."""

    transforms: tuple[Transform, ...]

    def __init__(self, *transforms: Transform) -> None:
        object.__setattr__(self, "transforms", transforms)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


@dataclass(frozen=True)
class RandomCrop:
    """Cut a window of `size` (height, width) out of every image; the same in all frames."""

    size: tuple[int, int]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        height, width = _room(sample, self.size)
        top = int(rng.integers(height + 1))
        left = int(rng.integers(width + 1))
        return _crop(sample, top, left, self.size)


@dataclass(frozen=True)
class CenterCrop:
    """Cut the middle of `size` (height, width) out of every image."""

    size: tuple[int, int]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        height, width = _room(sample, self.size)
        return _crop(sample, height // 2, width // 2, self.size)


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror the world, with probability `p`.

    Images and maps are mirrored, cx becomes W - 1 - cx, flow changes the sign of its x component,
    and poses are those of the mirrored cameras in the mirrored world (x -> -x of both). A stereo
    pair also changes sides, so that disparity stays positive; both cameras then need the same
    streams. ``disparity_y`` is left minus right like every disparity, so it changes its sign.
    """

    p: float = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        if rng.random() >= self.p:
            return sample
        out = dict(sample)
        for names in cameras_of(sample).values():
            width = _width(sample, names)
            for name, key in names.items():
                out[key] = _mirrored(name, sample[key], width)
        return _swap_pair(out) if "baseline" in sample or "baselines" in sample else out


@dataclass(frozen=True)
class Resize:
    """Resize every image and map to `size` (height, width), intrinsics and pixels included.

    Images are interpolated (bicubic, antialiased), everything measured is sampled.
    """

    size: tuple[int, int]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""
        out = dict(sample)
        for names in cameras_of(sample).values():
            native = _height_width(sample, names)
            for name, key in names.items():
                out[key] = _resized(name, sample[key], native, self.size)
        return out


def is_spatial(name: str, value: torch.Tensor) -> bool:
    """Whether the last two axes of an entry are rows and columns."""
    base = name.removesuffix("_valid")
    return name not in _CAMERA_KEYS and not base.endswith("_points") and value.ndim >= 3


def is_image(name: str, value: torch.Tensor) -> bool:
    """Whether a spatial entry is a picture."""
    return value.ndim >= 4 and value.dtype == torch.uint8 and value.shape[-3] == 3


def is_flow(name: str, value: torch.Tensor) -> bool:
    """Whether an entry is optical flow."""
    return name.startswith("flow_") and not name.endswith("_valid")


def _height_width(sample: Sample, names: Mapping[str, str]) -> tuple[int, int]:
    for name, key in names.items():
        if is_spatial(name, sample[key]):
            height, width = sample[key].shape[-2:]
            return int(height), int(width)
    raise UsageError(
        f"a camera without an image or map cannot be changed in size; it has {', '.join(names)}"
    )


def _width(sample: Sample, names: Mapping[str, str]) -> int:
    return _height_width(sample, names)[1]


def _room(sample: Sample, size: tuple[int, int]) -> tuple[int, int]:
    height, width = image_size(sample)
    if height < size[0] or width < size[1]:
        raise UsageError(f"cannot crop {size[0]} x {size[1]} from images of {height} x {width}")
    return height - size[0], width - size[1]


def _crop(sample: Sample, top: int, left: int, size: tuple[int, int]) -> Sample:
    out = dict(sample)
    height, width = size
    for names in cameras_of(sample).values():
        for name, key in names.items():
            value = sample[key]
            if name == "intrinsics":
                out[key] = _new_intrinsics(value, lambda K: crop_intrinsics(K, top, left))
            elif name.endswith("_points"):
                moved = value - value.new_tensor([left, top, 0.0])
                x, y = moved[..., 0], moved[..., 1]
                inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
                valid = sample[f"{key}_valid"] & inside
                out[key] = torch.where(valid[..., None], moved, torch.zeros_like(moved))
                out[f"{key}_valid"] = valid
            elif is_spatial(name, value):
                out[key] = value[..., top : top + height, left : left + width]
    return out


def _new_intrinsics(value: torch.Tensor, change: Callable[[Any], Any]) -> torch.Tensor:
    changed = change(value.double().cpu().numpy())
    return torch.from_numpy(changed).to(dtype=value.dtype, device=value.device)


def _mirrored(name: str, value: torch.Tensor, width: int) -> torch.Tensor:
    if name == "intrinsics":
        value = value.clone()
        value[..., 0, 2] = width - 1 - value[..., 0, 2]
        value[..., 0, 1] = -value[..., 0, 1]
    elif name == "distortion":
        value = value.clone()
        value[..., 3] = -value[..., 3]  # p2 is of the x axis
    elif name == "T_world_cam":
        mirror = value.new_tensor([-1.0, 1.0, 1.0, 1.0])
        value = mirror[:, None] * value * mirror
    elif name.endswith("_points"):
        value = value.clone()
        value[..., 0] = width - 1 - value[..., 0]
    elif is_spatial(name, value):
        value = value.flip(-1)
        if is_flow(name, value):
            value[..., 0, :, :].neg_()
    return value


def _swap_pair(sample: Sample) -> Sample:
    cameras = cameras_of(sample)
    first, second = list(cameras)[:2]
    odd = sorted(cameras[first].keys() ^ cameras[second].keys())
    if odd:
        raise UsageError(
            f"mirroring a stereo pair swaps its cameras, which need the same streams; only one has "
            f"{', '.join(odd)}"
        )
    out = dict(sample)
    for name in cameras[first]:
        one, other = cameras[first][name], cameras[second][name]
        out[one], out[other] = sample[other], sample[one]
        if name == "disparity_y":
            out[one], out[other] = -out[one], -out[other]
    return out


def _resized(
    name: str, value: torch.Tensor, native: tuple[int, int], size: tuple[int, int]
) -> torch.Tensor:
    sy, sx = size[0] / native[0], size[1] / native[1]
    if name == "intrinsics":
        return _new_intrinsics(value, lambda K: scale_intrinsics(K, native, size))
    if name.endswith("_points"):
        value = value.clone()
        value[..., 0] = (value[..., 0] + 0.5) * sx - 0.5
        value[..., 1] = (value[..., 1] + 0.5) * sy - 0.5
        value[..., 2] *= disparity_factor(name, native, size)
        return value
    if not is_spatial(name, value):
        return value
    if is_image(name, value):
        flat = value.reshape(-1, *value.shape[-3:])
        resized = torch.nn.functional.interpolate(
            flat, size=size, mode="bicubic", antialias=True, align_corners=False
        )
        return resized.reshape(*value.shape[:-2], *size)
    rows = (2 * torch.arange(size[0], device=value.device) + 1) * native[0] // (2 * size[0])
    columns = (2 * torch.arange(size[1], device=value.device) + 1) * native[1] // (2 * size[1])
    value = value.index_select(-2, rows).index_select(-1, columns)
    if is_disparity(name):
        value = value * disparity_factor(name, native, size)
    elif is_flow(name, value):
        value[..., 0, :, :] *= sx
        value[..., 1, :, :] *= sy
    return value
