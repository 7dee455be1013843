"""Samples exactly as Dynamo-Depth's loader gives them, from sequence files alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from depthdata.codecs.images import decode_image
from depthdata.errors import MissingDependencyError, UsageError
from depthdata.loading.batch import Sample
from depthdata.loading.candidates import find_anchors
from depthdata.loading.catalogue import find_files
from depthdata.loading.dynamo_depth_rules import RULES, Rules, rules_of
from depthdata.loading.float_jitter import float_jitter
from depthdata.loading.handles import Handles
from depthdata.sequence import open_sequence
from depthdata.splits import Split, load_split

if TYPE_CHECKING:
    from depthdata.sequence import Camera
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["DynamoDepthDataset"]

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]


class DynamoDepthDataset(Dataset[Sample]):
    """The authors' samples of KITTI, nuScenes and Waymo, with all quirks of their loader.

    Files are converted with ``preset="dynamo_depth"``, which makes the small pictures the models
    were trained on. For training anew, `SequenceDataset` is faster and has exact geometry.

    Parameters
    ----------
    root : path or iterable of paths
        Where the sequence files are. Lines of sequences that are not there are left out, and the
        log says how many.
    split : str or Split
        ``"eigen_zhou/train"``, ``"nuscenes/test"``, ``"waymo/test_mask"`` ..., or one's own list.
    offsets : tuple of int
        Frames around the line's, that one first: ``(0, -1, 1)`` for training.
    depth, masks : bool
        Give the ground truth.
    augment : bool
        Flip and change colours, each of half of the samples.
    size : (height, width), optional
        Of the images; not given, that of the authors.
    scales : int
        For how many sizes there are intrinsics: 3 with Lite-Mono, 4 with Monodepth2's network.
    image : str, optional
        Stream of the pictures. Not given: the prepared ones; for the depth of KITTI ``"rgb"``.
    rules : {"kitti", "nuscenes", "waymo"}, optional
        Whose quirks. Not given: the streams of the files tell.
    drop_incomplete : bool
        Leave out lines without a neighbour instead of raising, as the authors do for motion
        segmentation.
    capacity : int
        Rows of ``depth_gt``.
    seed : int
        Of `augment`; results do not depend on the number of workers.

    Notes
    -----
    ======================  ================  ======================================================
    ``color_<offset>_0``    (3, H, W) f4      0 to 1; resized with Pillow (bicubic) where it must be
    ``color_aug_<off>_0``   (3, H, W) f4      the network's input; each frame draws its own change
    ``ts_<offset>``         () f8             relative time: nuScenes in units of 100 ms, else 1
    ``K_<s>``, ``inv_K_<s>``  (4, 4) f4       of the size // 2**s; a flip does not change them
    ``gt_dim``              (2,) i4           height and width of the ground truth
    ``depth_gt``            (capacity, 3) f4  row, column, depth; zeros behind the last
    ``depth_valid``         (capacity,) f4    1 for a row that is there
    ``sem_mask``            (H', W') u8       classes (Waymo; else 0 of KITTI, 1 of nuScenes)
    ``mot_mask``            (H', W') u8       0 background, 1 moving, 2 could move, 3 unlabelled
    ``index``               int               line of the list
    ``line``                dict              sequence, camera, frame of it
    ======================  ================  ======================================================

    Masks of Waymo are of the distorted image, as published. Objects without any speed in the
    source are unlabelled here and static there.

    Raises
    ------
    UsageError
        No sequence of the split is there, a picture or neighbour is missing, or the files lack
        what the preset adds.

    Examples
    --------
    >>> test = DynamoDepthDataset("waymo", "waymo/test", depth=True)       # doctest: +SKIP
    >>> test[0]["color_0_0"].shape, test[0]["depth_gt"].shape              # doctest: +SKIP
    (torch.Size([3, 320, 480]), torch.Size([25000, 3]))
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        split: str | Split,
        *,
        offsets: tuple[int, ...] = (0,),
        depth: bool = False,
        masks: bool = False,
        augment: bool = False,
        size: tuple[int, int] | None = None,
        scales: int = 3,
        image: str | None = None,
        rules: str | None = None,
        drop_incomplete: bool = False,
        capacity: int = 25_000,
        seed: int = 0,
    ) -> None:
        if not offsets or offsets[0] != 0 or len(set(offsets)) < len(offsets):
            raise UsageError(f"offsets begin with 0 and name no frame twice, found {offsets}")
        if augment and (depth or masks):
            raise UsageError("the authors never load depth or masks with augmentation")
        if rules is not None and rules not in RULES:
            raise UsageError(f"rules {rules!r} are not known; there are {', '.join(RULES)}")
        self.split = load_split(split) if isinstance(split, str) else split
        self.offsets, self.scales, self.capacity, self.seed = offsets, scales, capacity, seed
        self._depth, self._masks, self._augment = depth, masks, augment
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        paths = find_files(root)
        files = [open_sequence(path) for path in paths]
        anchors = find_anchors(files, None, self.split, 1)
        self.rules: Rules = (
            RULES[rules] if rules else rules_of(files[anchors[0].source], anchors[0].cameras[0])
        )
        self.image = image or (self.rules.depth_image if depth else self.rules.image)
        self.size = size or self.rules.size
        lines: list[tuple[Ints, ...]] = []
        for found in anchors:
            file, name = files[found.source], found.cameras[0]
            places = [self.rules.positions(file, found.frame, offset) for offset in offsets]
            frames = np.stack(places, axis=1)
            camera = file.cameras[name]
            self._check_picture(file, camera)
            there = camera[self.image].present[frames.clip(0)] & (frames >= 0)
            complete = there.all(axis=1)
            if not complete.all() and not drop_incomplete:
                k, j = np.argwhere(~there)[0]
                raise UsageError(
                    f"{file.path}: frame {file.frame_ids[found.frame[k]]} of {name} is in "
                    f"{self.split.name}, but there is no picture at offset {offsets[j]}; convert "
                    "the whole sequence, or give drop_incomplete=True"
                )
            source = np.full(len(frames), found.source)
            lines.append(tuple(column[complete] for column in (found.rank, source, frames)))
        for file in files:
            file.close()
        rank, source, frames = (np.concatenate(column) for column in zip(*lines, strict=True))
        order = np.argsort(rank, kind="stable")
        self._rank, self._source, self._frames = rank[order], source[order], frames[order]
        if len(self._rank) < len(self.split):
            logger.info("split %s: %d of %d lines", self.split.name, len(rank), len(self.split))
        if not len(self._rank):
            raise UsageError(f"split {self.split.name}: no line has a picture at {offsets}")
        self._handles = Handles(tuple(paths), check=True)

    def __len__(self) -> int:
        return len(self._rank)

    def __repr__(self) -> str:
        return (
            f"DynamoDepthDataset({len(self)} of the {len(self.split)} lines of {self.split.name}; "
            f"{self.rules.name}, offsets {self.offsets})"
        )

    def set_epoch(self, epoch: int) -> None:
        """Draw other random numbers; reaches workers that are already running, too."""
        self._epoch.fill_(epoch)

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        rank, frames = int(self._rank[i]), self._frames[i].tolist()
        line = self.split[rank]
        camera = self._handles[int(self._source[i])].cameras[line.camera]
        rng = np.random.default_rng((self.seed, int(self._epoch), i % len(self)))
        flip = self._augment and rng.random() < 0.5
        jitter = self._augment and rng.random() < 0.5
        sample: Sample = {}
        for offset, t in zip(self.offsets, frames, strict=True):
            color = self._color(camera, t, flip=flip)
            sample[f"color_{offset}_0"] = color
            sample[f"color_aug_{offset}_0"] = float_jitter(color, rng) if jitter else color
            step = self.rules.time_step(camera, frames[0], t)
            sample[f"ts_{offset}"] = torch.tensor(step, dtype=torch.float64)
        sample.update(self._intrinsics(camera))
        sample["gt_dim"] = torch.tensor([camera.height, camera.width], dtype=torch.int32)
        if self._depth:
            sample.update(self._ground_truth(camera, frames[0]))
        if self._masks:
            classes, motion = self.rules.masks(camera, frames[0])
            sample["sem_mask"], sample["mot_mask"] = map(torch.from_numpy, (classes, motion))
        sample["index"], sample["line"] = rank, line._asdict()
        return sample

    def _check_picture(self, file: SequenceFile, camera: Camera) -> None:
        if self.image not in camera.streams:
            raise UsageError(
                f"{file.path}: camera {camera.name} has no {self.image}; convert with "
                f"preset='dynamo_depth', or give image= one of {', '.join(camera.streams)}"
            )

    def _color(self, camera: Camera, t: int, *, flip: bool) -> torch.Tensor:
        picture = decode_image(camera[self.image].blob(t))  # type: ignore[union-attr]
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        if flip:
            picture = picture[:, ::-1]
        if picture.shape[:2] != self.size:
            picture = _bicubic(picture, self.size)
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
        return torch.from_numpy(planes).float().div_(255)

    def _intrinsics(self, camera: Camera) -> Sample:
        out: Sample = {}
        height, width = self.size
        for s in range(self.scales):
            K = np.eye(4)
            K[:3, :3] = self.rules.intrinsics(camera)
            K[0] *= width // 2**s
            K[1] *= height // 2**s
            out[f"K_{s}"] = torch.from_numpy(K.astype(np.float32))
            out[f"inv_K_{s}"] = torch.from_numpy(np.linalg.pinv(K.astype(np.float32)))
        return out

    def _ground_truth(self, camera: Camera, t: int) -> Sample:
        rows = self.rules.depth(camera, t)
        if len(rows) > self.capacity:
            raise UsageError(
                f"camera {camera.name} frame {t}: {len(rows)} points, room for {self.capacity}; "
                f"give capacity={len(rows)} or more"
            )
        padded = np.zeros((self.capacity, 3), np.float32)
        valid = np.zeros(self.capacity, np.float32)
        padded[: len(rows)], valid[: len(rows)] = rows, 1
        return {"depth_gt": torch.from_numpy(padded), "depth_valid": torch.from_numpy(valid)}


def _bicubic(picture: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize as the authors do: Pillow, bicubic, on bytes."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "samples of Dynamo-Depth are defined by Pillow's resize: pip install "
            "'depthdata[compare]'"
        ) from None
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC))
