"""Samples exactly as Insta-DM's loader gives them, from sequence files alone.

Three neighbouring frames, and for each of the two pairs the instances that `depthdata.association`
finds in both. All quirks of the published loader are kept: training images are stretched to their
own range, a flip puts the principal point at W - cx.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from depthdata.association import associate, by_area, drop_empty
from depthdata.errors import MissingDependencyError, UsageError
from depthdata.instance_masks import instance_masks
from depthdata.loading.batch import Sample
from depthdata.loading.catalogue import find_files
from depthdata.loading.handles import Handles
from depthdata.sequence import open_sequence

if TYPE_CHECKING:
    from depthdata.sequence import Camera
    from depthdata.sequence import Sequence as SequenceFile

__all__ = [
    "Augmentation",
    "InstaDMDataset",
    "InstaDMDepthDataset",
    "Views",
    "imresize",
    "stretched",
    "to_tensor",
]

Array = npt.NDArray[Any]

MOST_INSTANCES = 20
"""The authors' default; their scripts take 2, their demo 3."""

LARGEST_SCALE = 1.15


@dataclass(frozen=True, eq=False)
class Views:
    """Images and instances that are transformed together.

    Attributes
    ----------
    images : tuple of (H, W, 3)
        Target and references, 0 to 255.
    stacks : tuple of (1 + most, H, W) uint8
        Instances of the target for each pair, then of the references.
    intrinsics : (3, 3) float32
    """

    images: tuple[Array, ...]
    stacks: tuple[Array, ...]
    intrinsics: npt.NDArray[np.float32]

    def flipped(self) -> Views:
        """Return the mirror image; cx becomes W - cx, as the authors have it."""
        K = self.intrinsics.copy()
        K[0, 2] = self.images[0].shape[1] - K[0, 2]
        return Views(
            tuple(np.ascontiguousarray(image[:, ::-1]) for image in self.images),
            tuple(np.ascontiguousarray(stack[..., ::-1]) for stack in self.stacks),
            K,
        )

    def enlarged(
        self, scale: tuple[float, float], offset: tuple[int, int], *, stretch: bool = True
    ) -> Views:
        """Return a part of the enlarged images, of the size before.

        Parameters
        ----------
        scale : (x, y)
            1 or more.
        offset : (y, x)
            First row and column of the part.
        stretch : bool
            Bring each image to its own range of 0 to 255 first, as the authors do; images are
            uint8 afterwards either way.
        """
        height, width = self.images[0].shape[:2]
        size = scaled_size((height, width), scale)
        part = np.s_[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
        K = self.intrinsics.copy()
        K[0] *= scale[0]
        K[1] *= scale[1]
        K[0, 2] -= offset[1]
        K[1, 2] -= offset[0]
        images = []
        for image in self.images:
            levels = stretched(image) if stretch else np.floor(image + 0.5).astype(np.uint8)
            images.append(imresize(levels, size)[part])
        stacks = [
            np.stack(
                [cv2.resize(m, size[::-1], interpolation=cv2.INTER_NEAREST)[part] for m in stack]
            )
            for stack in self.stacks
        ]
        return Views(tuple(images), tuple(stacks), K)


@dataclass(frozen=True)
class Augmentation:
    """The authors' changes of a training sample.

    Parameters
    ----------
    flip : float
        Probability of a flip.
    largest : float
        Images are enlarged by 1 to this, independently in x and y, and cut back to their size.
    stretch : bool
        Bring each image to its own range of 0 to 255: a side effect of scipy's old ``imresize``
        that the published models were trained with, and not evaluated with.
    """

    flip: float = 0.5
    largest: float = LARGEST_SCALE
    stretch: bool = True

    def __call__(self, views: Views, rng: np.random.Generator) -> Views:
        """Return the changed views."""
        if rng.random() < self.flip:
            views = views.flipped()
        x, y = rng.uniform(1, self.largest, 2)
        height, width = views.images[0].shape[:2]
        larger = scaled_size((height, width), (x, y))
        top = int(rng.integers(larger[0] - height + 1))
        left = int(rng.integers(larger[1] - width + 1))
        return views.enlarged((x, y), (top, left), stretch=self.stretch)


def scaled_size(size: tuple[int, int], scale: tuple[float, float]) -> tuple[int, int]:
    """Return (height, width) enlarged by (x, y), rounded down.

    >>> scaled_size((256, 832), (1.1, 1.0))
    (256, 915)
    """
    return int(size[0] * scale[1]), int(size[1] * scale[0])


def stretched(image: Array) -> npt.NDArray[np.uint8]:
    """Bring an image to its own range of 0 to 255, as scipy's old ``imresize`` does with floats.

    >>> stretched(np.array([[10.0, 20.0, 110.0]])).tolist()
    [[0, 26, 255]]
    """
    values = image.astype(np.float64)
    low, high = values.min(), values.max()
    scale = 255.0 / (high - low) if high > low else 255.0
    return np.asarray(np.clip((values - low) * scale, 0, 255) + 0.5).astype(np.uint8)


def imresize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to (height, width) as scipy's old ``imresize``: Pillow, bilinear."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "samples of Insta-DM are defined by Pillow's resize: pip install 'depthdata[compare]'"
        ) from None
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


class InstaDMDataset(Dataset[Sample]):
    """The authors' training samples of KITTI-VIS and Cityscapes-VIS, in the order of the scenes.

    Parameters
    ----------
    root : path or iterable of paths
        Where the sequence files are.
    scenes : iterable of str, optional
        Names of the scenes, in the order of the samples: the lines of a list. Not given: those of
        `split`.
    split : {"train", "val"}, optional
        Scenes of the published list, sorted by name. Neither given: all scenes.
    most : int
        How many instances a pair has at most.
    augment : Augmentation, optional
        ``Augmentation()`` for the authors' training; without it samples are those of validation.
    seed : int
        Of `augment`; results do not depend on the number of workers.

    Notes
    -----
    Every frame with a neighbour on both sides is a target. A sample has

    ====================  ====================  ==================================================
    ``tgt_img``           (3, H, W) f4          colour, -1 to 1
    ``ref_imgs``          2 x (3, H, W) f4      the frame before, the frame after
    ``intrinsics``        (3, 3) f4
    ``inv_intrinsics``    (3, 3) f4
    ``tgt_insts``         2 x (1 + most, H, W)  f4; channel 0 is everywhere the number of instances,
    ``ref_insts``         2 x (1 + most, H, W)  channel n of both is one instance, 0 or 1
    ``index``             dict                  sequence, frame (in the timeline), frame_id
    ====================  ====================  ==================================================

    Raises
    ------
    UsageError
        A scene is not there, or its file lacks flow or instances.

    Examples
    --------
    >>> train = InstaDMDataset("kitti_vis", split="train", most=2,
    ...                        augment=Augmentation())                     # doctest: +SKIP
    >>> train[0]["tgt_insts"][0].shape                                     # doctest: +SKIP
    torch.Size([3, 256, 832])
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        scenes: Iterable[str] | None = None,
        *,
        split: str | None = None,
        most: int = MOST_INSTANCES,
        augment: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        files = _chosen(root, scenes, split)
        self.most, self.augment, self.seed = most, augment, seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._samples = [(k, t) for k, file in enumerate(files) for t in range(1, len(file) - 1)]
        for file in files:
            if len(file) > 2:
                _check_streams(file, ("rgb", "flow_forward", "flow_backward", "instances"))
            file.close()
        self._handles = Handles(tuple(Path(file.path) for file in files), check=True)

    def __len__(self) -> int:
        return len(self._samples)

    def set_epoch(self, epoch: int) -> None:
        """Draw other random numbers; reaches workers that are already running, too."""
        self._epoch.fill_(epoch)

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        source, t = self._samples[i]
        file = self._handles[source]
        views = self._views(_camera(file), t)
        if self.augment is not None:
            rng = np.random.default_rng((self.seed, int(self._epoch), i % len(self)))
            views = self.augment(views, rng)
        pairs = len(views.stacks) // 2
        both = [drop_empty(*views.stacks[j::pairs]) for j in range(pairs)]
        images = [to_tensor(image) for image in views.images]
        return {
            "tgt_img": images[0],
            "ref_imgs": images[1:],
            "intrinsics": torch.from_numpy(views.intrinsics),
            "inv_intrinsics": torch.from_numpy(np.linalg.inv(views.intrinsics)),
            "tgt_insts": [torch.from_numpy(target).float() for target, _ in both],
            "ref_insts": [torch.from_numpy(reference).float() for _, reference in both],
            "index": {"sequence": file.name, "frame": t, "frame_id": file.frame_ids[t]},
        }

    def _views(self, camera: Camera, t: int) -> Views:
        before, now, after = (by_area(instance_masks(camera, s)) for s in (t - 1, t, t + 1))
        first = associate(
            before, now, camera.flow_forward[t - 1], camera.flow_backward[t], self.most
        )
        second = associate(
            now, after, camera.flow_forward[t], camera.flow_backward[t + 1], self.most
        )
        return Views(
            tuple(camera.rgb[s] for s in (t, t - 1, t + 1)),
            (first[1], second[0], first[0], second[1]),
            camera.intrinsics(t).astype(np.float32),
        )


class InstaDMDepthDataset(Dataset[Sample]):
    """The authors' validation samples of KITTI-VIS: images with depth, and where instances are.

    Parameters
    ----------
    root, scenes, split
        As of `InstaDMDataset`.

    Notes
    -----
    One sample for each frame that has depth: ``img`` (3, H, W) f4, -1 to 1; ``depth`` (H, W) f4,
    metres, 0 where there is none; ``mask`` (H, W) f4, 1 on any instance; ``index``.
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        scenes: Iterable[str] | None = None,
        *,
        split: str | None = None,
    ) -> None:
        files = _chosen(root, scenes, split)
        self._samples = []
        for k, file in enumerate(files):
            camera = _camera(file)
            if "depth" in camera.streams:
                _check_streams(file, ("rgb", "instances"))
                self._samples += [(k, int(t)) for t in camera.depth.frames]
            file.close()
        if not self._samples:
            raise UsageError(f"{root}: no frame has depth; only KITTI-VIS has some")
        self._handles = Handles(tuple(Path(file.path) for file in files), check=True)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        source, t = self._samples[i]
        file = self._handles[source]
        camera = _camera(file)
        labels = camera.instances[t]
        return {
            "img": to_tensor(camera.rgb[t]),
            "depth": torch.from_numpy(np.nan_to_num(camera.depth[t], nan=0.0)),
            "mask": torch.from_numpy((labels > 0).astype(np.float32)),
            "index": {"sequence": file.name, "frame": t, "frame_id": file.frame_ids[t]},
        }


def _chosen(
    root: str | Path | Iterable[str | Path], scenes: Iterable[str] | None, split: str | None
) -> Sequence[SequenceFile]:
    files = {file.name: file for file in map(open_sequence, find_files(root))}
    if scenes is not None:
        wanted = [name.strip() for name in scenes if name.strip()]
    else:
        wanted = [n for n, f in sorted(files.items()) if split is None or split in _lists(f)]
    absent = [name for name in wanted if name not in files]
    if absent or not wanted:
        raise UsageError(
            f"{root}: no scene {', '.join(absent[:3]) or f'of {split}'}; there are "
            f"{', '.join(sorted(files)[:5])} ...; convert them first"
        )
    return [files[name] for name in wanted]


def _lists(file: SequenceFile) -> tuple[str | None, ...]:
    return (file.split, *_camera(file).transform.get("lists", ()))


def _check_streams(file: SequenceFile, names: tuple[str, ...]) -> None:
    camera = _camera(file)
    absent = [name for name in names if name not in camera.streams]
    if absent:
        raise UsageError(
            f"{file.path}: no stream {', '.join(absent)}; "
            "convert the prepared set (kitti_vis, cityscapes_vis)"
        )


def _camera(file: SequenceFile) -> Camera:
    return next(iter(file.cameras.values()))


def to_tensor(image: Array) -> torch.Tensor:
    """Return an image (H, W, 3) of 0 to 255 as (3, H, W) float32 of -1 to 1."""
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
    return (planes.float() / 255 - 0.5) / 0.5
