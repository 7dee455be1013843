"""Samples of KITTI odometry as the multi-frame depth papers load it (MonoRec and its successors).

`MonoRecSample` turns a window of a `SequenceDataset` into such a sample; `MonoRecDataset` lists the
windows that the papers take and does both. All quirks of the published loader are kept: see
`depthdata.aspect_crop` for crop, intrinsics and sparse depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from depthdata.aspect_crop import AspectCrop
from depthdata.errors import MissingDependencyError, UsageError
from depthdata.loading.batch import Sample
from depthdata.loading.catalogue import find_files
from depthdata.loading.colors import ColorJitter
from depthdata.loading.dataset import SequenceDataset
from depthdata.sequence import Sequence as SequenceFile
from depthdata.sequence import open_sequence
from depthdata.window_kinds import Listed, keyframe_clips

__all__ = [
    "TEST_SEQUENCES",
    "TRAIN_SEQUENCES",
    "MonoRecDataset",
    "MonoRecSample",
]

TRAIN_SEQUENCES = ("01", "02", "06", "08", "09", "10")
"""What the papers train on."""

TEST_SEQUENCES = ("00", "04", "05", "07")
"""What they test on; the first 32 samples of each are for validation during training."""

_LIDAR_MARGIN = 5  # frames at either end of a drive that have no annotated depth


@dataclass(frozen=True)
class MonoRecSample:
    """Make the papers' sample of a window whose first frame is the keyframe, a transform.

    Parameters
    ----------
    size : (height, width)
        Of images and target.
    depth : str
        Key of the sample with depth in metres at every pixel or few.
    jitter : ColorJitter, optional
        One change of colour for all images, after the resize; the papers take
        ``ColorJitter(0.2, 0.2, 0.2, 0.1, p=1.0)``, for validation, too.

    Notes
    -----
    =======================  ==========================  ==========================================
    ``keyframe``             (3, h, w) f4                colour / 255 - 0.5
    ``keyframe_pose``        (4, 4) f4                   camera to world
    ``keyframe_intrinsics``  (4, 4) f4                   for the crop
    ``frames``, ``poses``,   lists, one a source frame   the same of the other frames
    ``intrinsics``
    ``sequence``             (1,) i4                     number of the sequence, else -1
    ``image_id``             (1,) i4                     number of the keyframe
    ``mvobj_mask``           (1, h', w') f4              1 on moving objects, at its own size, where
                                                         the window has ``masks_moving_...``
    ``target``               (1, h, w) f4                inverse depth, 1/m, 0 = none
    =======================  ==========================  ==========================================
    """

    size: tuple[int, int] = (256, 512)
    depth: str = "depth_annotated"
    jitter: ColorJitter | None = None

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the papers' sample."""
        if "rgb" not in sample or self.depth not in sample:
            raise UsageError(
                f"samples of MonoRec need the streams rgb and {self.depth}; found "
                f"{', '.join(sample)}"
            )
        crop = AspectCrop((sample["rgb"].shape[-2], sample["rgb"].shape[-1]), self.size)
        colours = torch.from_numpy(np.stack([_resized(image, crop) for image in sample["rgb"]]))
        if self.jitter is not None:
            colours = self.jitter({"rgb": colours}, rng)["rgb"]
        keyframe, *frames = (colours.float() / 255 - 0.5).unbind()
        pose, *poses = sample["T_world_cam"].float().unbind()
        intrinsics = torch.eye(4)
        intrinsics[:3, :3] = torch.from_numpy(crop.intrinsics(sample["intrinsics"][0].numpy()))
        out: Sample = {
            "keyframe": keyframe,
            "keyframe_pose": pose,
            "keyframe_intrinsics": intrinsics,
            "frames": frames,
            "poses": poses,
            "intrinsics": [intrinsics.clone() for _ in frames],
            "sequence": _number(sample["index"]["sequence"], -1),
            "image_id": _number(sample["index"]["frame_id"], sample["index"]["frame"]),
            "target": torch.from_numpy(crop.scatter(sample[self.depth][0].numpy()))[None],
        }
        for key, mask in sample.items():
            if key.startswith("masks_moving") and not key.endswith("_valid"):
                out["mvobj_mask"] = mask[:1].float()
        return out


class MonoRecDataset(Dataset[Sample]):
    """The papers' samples of KITTI odometry, from converted sequence files.

    Parameters
    ----------
    root : path or iterable of paths
        Where the sequence files are.
    sequences : iterable of str, optional
        Their names, in the order of the samples: `TRAIN_SEQUENCES`, `TEST_SEQUENCES`. Not given:
        all files.
    size : (height, width)
    frame_count, dilation, offset_d : int
        How many source frames, how far apart, and shifted by how much; see
        `depthdata.window_kinds.source_offsets`.
    depth : str
        Stream of the target: ``"depth_annotated"``, or ``"depth"`` of another dataset.
    poses : str or None
        Which trajectory (`Sequence.pose_sets`); None: the camera's own poses.
    moving : bool
        Give the masks of moving objects.
    max_length : int, optional
        At most so many samples of each sequence.
    jitter : ColorJitter, optional
    seed : int
        Of the jitter.

    Raises
    ------
    UsageError
        A sequence is not there, or its images are not numbered from 0 without a gap: the papers'
        loader would take other frames than it says.

    Examples
    --------
    >>> test = MonoRecDataset("kitti_odometry", TEST_SEQUENCES)            # doctest: +SKIP
    >>> len(test), test[0]["keyframe"].shape                               # doctest: +SKIP
    (8634, torch.Size([3, 256, 512]))
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        sequences: Iterable[str] | None = None,
        *,
        size: tuple[int, int] = (256, 512),
        frame_count: int = 2,
        dilation: int = 1,
        offset_d: int = 0,
        depth: str = "depth_annotated",
        poses: str | None = "dvso",
        moving: bool = True,
        max_length: int | None = None,
        jitter: ColorJitter | None = None,
        seed: int = 0,
    ) -> None:
        files = _chosen(root, sequences)
        clips = keyframe_clips(
            [Listed(file.name, file.split, len(file), file.frame_ids) for file in files],
            frame_count=frame_count,
            dilation=dilation,
            offset=offset_d,
            margin=_LIDAR_MARGIN if depth == "depth_annotated" else 0,
            at_most=max_length,
        )
        masks = {name for file in files for name in _moving(file)} if moving else set()
        for file in files:
            file.close()
        if len(masks) > 1:
            raise UsageError(
                f"masks of moving objects differ in size: {', '.join(sorted(masks))}; load the "
                "sequences apart, or with moving=False"
            )
        self.frames = SequenceDataset(
            [Path(file.path) for file in files],
            clips,
            cameras=("left",),
            streams=("rgb", depth, *masks),
            transform=MonoRecSample(size, depth, jitter),
            poses=poses,
            seed=seed,
        )

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, i: int) -> Sample:
        # One by one, for sequences differ in image size; there is no __getitems__ on purpose.
        return self.frames[i]

    def set_epoch(self, epoch: int) -> None:
        """Draw other colours; reaches workers that are already running, too."""
        self.frames.set_epoch(epoch)


def _chosen(
    root: str | Path | Iterable[str | Path], names: Iterable[str] | None
) -> Sequence[SequenceFile]:
    files = {file.name: file for file in map(open_sequence, find_files(root))}
    if names is None:
        return list(files.values())
    wanted = list(names)
    absent = [name for name in wanted if name not in files]
    if absent:
        raise UsageError(
            f"{root}: no sequence {', '.join(absent)}; there are {', '.join(files)}; convert it "
            "first"
        )
    return [files[name] for name in wanted]


def _moving(file: SequenceFile) -> list[str]:
    left = file.cameras["left"].streams if "left" in file.cameras else ()
    return [name for name in left if name.startswith("masks/moving")]


def _resized(image: torch.Tensor, crop: AspectCrop) -> npt.NDArray[np.uint8]:
    """Crop and resize a (3, H, W) image as Pillow does: bilinear, antialiased."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "samples of MonoRec are defined by Pillow's resize: pip install 'depthdata[compare]'"
        ) from None
    left, top, right, bottom = crop.box
    part = image[:, top:bottom, left:right].permute(1, 2, 0).contiguous().numpy()
    height, width = crop.target
    resized = Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.moveaxis(np.asarray(resized), -1, 0))


def _number(name: Any, other: int) -> torch.Tensor:
    text = str(name)
    return torch.tensor([int(text) if text.isdecimal() else int(other)], dtype=torch.int32)
