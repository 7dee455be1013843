"""Sequences as a PyTorch dataset."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from depthdata.errors import UsageError
from depthdata.geometry import scale_intrinsics
from depthdata.loading.batch import Samples, collate, new_tensor, sample_of
from depthdata.loading.catalogue import build_catalogue, find_files
from depthdata.loading.fields import Field, allocate, fields_of, fill
from depthdata.loading.handles import Handles, Threads
from depthdata.loading.window import Window
from depthdata.sequence import open_sequence
from depthdata.splits import Split, load_split

__all__ = ["SequenceDataset", "Transform"]

logger = logging.getLogger(__name__)

Sample = dict[str, Any]


class Transform(Protocol):
    """Anything that changes a sample, with the random numbers it is given."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample."""


class SequenceDataset(Dataset[Sample]):
    """Windows of frames from sequence files, as dicts of tensors.

    Parameters
    ----------
    root : path or iterable of paths
        A folder of sequence files, one file, or several of either.
    split : str or Split, optional
        A published list (`depthdata.list_splits`) or one's own; its lines in its order. Without
        it, the frames of all sequences.
    window : Window
        The frames of a sample.
    cameras : tuple of str, optional
        The first camera's keys have no prefix, those of the others ``<camera>_``. Of a split, only
        the lines of the first camera are used. Not given: the camera of each line, or without
        a split ``left`` or else the first camera of the sequence.
    streams : tuple of str
        Names in the file: ``rgb``, ``depth``, ``flow_forward``, ``masks/moving`` ...
    size : (height, width), optional
        Resize everything, intrinsics included. Needed where images differ in size.
    verify : bool
        Check the checksum of everything that is read (0.5 % of a decode).
    transform : callable, optional
        ``transform(sample, rng)``; the generator depends on `seed`, epoch and index alone, so the
        result does not depend on the number of workers.
    require : tuple of str
        Streams that the anchor frame must have in the first camera.
    points : bool or int
        Give streams of points as points, padded to the longest frame or to the number given,
        instead of scattering them into maps.
    seed : int
        Of the transform.
    threads : int
        Decode a batch with so many threads of the process (of each DataLoader worker).

    Notes
    -----
    A sample of K frames of H x W pixels has, for the streams asked for:

    ========================  ================  ====================================================
    ``rgb``                   (K, 3, H, W) u8   grey images three times
    ``depth``                 (K, H, W) f4      metres, 0 where ``depth_valid`` (K, H, W) is False
    ``disparity``             (K, H, W) f4      pixels of the sample's own width, likewise
    ``flow_forward``          (K, 2, H, W) f4   pixels of the sample's own size, valid (K, H, W)
    ``masks_moving`` ...      (K, H, W) u8|i4   valid (K,): whether the frame has it
    ``depth_points``          (K, P, 3) f4      x, y, depth with ``points``; valid (K, P)
    ``intrinsics``            (K, 3, 3) f4      of the sample's own size
    ``T_world_cam``           (K, 4, 4) f8      NaN where unknown
    ``timestamps``            (K,) i8           nanoseconds
    ``baseline``              () f4             metres, where the first two cameras are a pair
    ``index``                 dict              sequence, camera, frame (in the timeline), frame_id
    ========================  ================  ====================================================

    Examples
    --------
    >>> dataset = SequenceDataset("kitti", split="eigen_zhou/train", window=Window((-1, 0, 1)),
    ...                           streams=("rgb",), size=(192, 640))           # doctest: +SKIP
    >>> loader = DataLoader(dataset, 12, shuffle=True, num_workers=2,
    ...                     collate_fn=collate)                                # doctest: +SKIP
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        split: Split | str | None = None,
        window: Window | None = None,
        cameras: Sequence[str] | None = None,
        streams: Sequence[str] = ("rgb",),
        size: tuple[int, int] | None = None,
        verify: bool = True,
        transform: Transform | None = None,
        require: Sequence[str] = (),
        points: bool | int = False,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.split = load_split(split) if isinstance(split, str) else split
        self.window = window or Window()
        self.cameras = _names(cameras, "cameras") if cameras is not None else None
        self.streams = _names(streams, "streams")
        self.size = _checked_size(size)
        self.transform = transform
        self.seed = seed
        if threads < 1:
            raise UsageError(f"threads must be 1 or more, found {threads}")
        self._threads = Threads(threads)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        paths = find_files(root)
        opened = [open_sequence(path, check=verify) for path in paths]
        self._catalogue = build_catalogue(
            paths,
            opened,
            self.split,
            self.window,
            self.cameras,
            self.streams,
            _names(require, "require") if require else (),
        )
        self._handles = Handles(self._catalogue.paths, check=verify)
        by_path = dict(zip(paths, opened, strict=True))
        self._fields = self._decide_fields(
            [by_path[path] for path in self._catalogue.paths], points
        )
        for sequence in opened:
            sequence.close()

    def _decide_fields(self, sequences: list[Any], points: bool | int) -> list[tuple[Field, ...]]:
        """Fields of each camera position."""
        pairs = {
            (s, r)
            for s, r in zip(
                self._catalogue.source.tolist(), self._catalogue.rig.tolist(), strict=True
            )
        }
        positions = len(self._catalogue.rigs[0])
        fields = []
        for position in range(positions):
            cameras = [
                sequences[s].cameras[self._catalogue.rigs[r][position]] for s, r in sorted(pairs)
            ]
            prefix = f"{cameras[0].name}_" if position else ""
            fields.append(fields_of(cameras, self.streams, prefix, points))
        return fields

    def __len__(self) -> int:
        return len(self._catalogue.anchor)

    def __repr__(self) -> str:
        return (
            f"SequenceDataset({len(self)} samples of {len(self.window)} frames from "
            f"{len(self._catalogue.paths)} sequences; {', '.join(self.streams)})"
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The sequence files that samples come from."""
        return self._catalogue.paths

    @property
    def epoch(self) -> int:
        """The epoch that the transform's random numbers belong to."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw other random numbers; reaches workers that are already running, too."""
        self._epoch.fill_(epoch)

    def describe(self, i: int) -> dict[str, Any]:
        """Return what sample `i` is, without reading it: path, cameras, anchor frame, frames."""
        c = self._catalogue
        return {
            "path": c.paths[c.source[i]],
            "cameras": c.rigs[c.rig[i]],
            "frame": int(c.anchor[i]),
            "frames": tuple(c.frames[i].tolist()),
        }

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        return sample_of(self._load([i % len(self)]), 0)

    def __getitems__(self, indices: list[int]) -> Samples:
        return Samples(self._load(indices), len(indices))

    def _load(self, indices: list[int]) -> Sample:
        batch = self._decode(indices)
        if self.transform is None:
            return batch
        samples = []
        for b, i in enumerate(indices):
            rng = np.random.default_rng((self.seed, self.epoch, i))
            samples.append(self.transform(sample_of(batch, b), rng))
        return collate(samples)

    def _decode(self, indices: list[int]) -> Sample:
        c = self._catalogue
        lead = (len(indices), len(self.window))
        files = [self._handles[i] for i in c.source[indices].tolist()]
        rigs = [c.rigs[r] for r in c.rig[indices].tolist()]
        frames = c.frames[indices].tolist()
        batch: Sample = {}
        tasks: list[tuple[Any, ...]] = []
        for position, fields in enumerate(self._fields):
            cameras = [f.cameras[rig[position]] for f, rig in zip(files, rigs, strict=True)]
            prefix = f"{rigs[0][position]}_" if position else ""
            hw = self.size or _common_size(cameras)
            for field in fields:
                tensors = allocate(field, lead, hw, new_tensor)
                arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
                for b, camera in enumerate(cameras):
                    stream = camera[field.stream] if field.stream in camera.streams else None
                    for k, t in enumerate(frames[b]):
                        tasks.append((field, arrays, (b, k), stream, t, hw))
                batch.update(tensors)
            batch.update(_geometry(prefix, files, cameras, frames, hw))
        self._threads.each(fill, tasks)
        if len(self._fields) > 1:
            batch.update(_baseline(files, rigs))
        anchors = c.anchor[indices]
        batch["index"] = {
            "sequence": [f.name for f in files],
            "camera": [rig[0] for rig in rigs],
            "frame": torch.from_numpy(anchors),
            "frame_id": [f.frame_ids[t] for f, t in zip(files, anchors.tolist(), strict=True)],
        }
        return batch


def _geometry(
    prefix: str, files: list[Any], cameras: list[Any], frames: list[list[int]], hw: tuple[int, int]
) -> Sample:
    lead = (len(cameras), len(frames[0]))
    intrinsics = np.empty((*lead, 3, 3), dtype=np.float64)
    pose = np.full((*lead, 4, 4), np.nan)
    times = np.empty(lead, dtype=np.int64)
    for b, (file, camera, ts) in enumerate(zip(files, cameras, frames, strict=True)):
        for k, t in enumerate(ts):
            intrinsics[b, k] = camera.intrinsics(t)
        if (camera.height, camera.width) != hw:
            intrinsics[b] = scale_intrinsics(intrinsics[b], (camera.height, camera.width), hw)
        if camera.poses is not None:
            pose[b] = camera.poses[ts]
        times[b] = (camera.timestamps if camera.timestamps is not None else file.timestamps)[ts]
    return {
        f"{prefix}intrinsics": torch.from_numpy(intrinsics.astype(np.float32)),
        f"{prefix}T_world_cam": torch.from_numpy(pose),
        f"{prefix}timestamps": torch.from_numpy(times),
    }


def _baseline(files: list[Any], rigs: list[tuple[str, ...]]) -> Sample:
    values = [
        next((p.baseline for p in f.stereo_pairs if (p.left, p.right) == rig[:2]), None)
        for f, rig in zip(files, rigs, strict=True)
    ]
    if any(v is None for v in values):
        return {}
    return {"baseline": torch.tensor(values, dtype=torch.float32)}


def _common_size(cameras: list[Any]) -> tuple[int, int]:
    sizes = sorted({(camera.height, camera.width) for camera in cameras})
    if len(sizes) > 1:
        raise UsageError(
            f"images of one batch differ in size: {sizes}; give the dataset size=(height, width)"
        )
    return sizes[0]


def _names(names: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise UsageError(f"{what} must be a tuple of names, found the text {names!r}")
    if not names:
        raise UsageError(f"{what} is empty; name at least one")
    if len(set(names)) < len(names):
        raise UsageError(f"{what} names something twice: {', '.join(names)}")
    return tuple(names)


def _checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2 or min(size) < 1:
        raise UsageError(f"size must be (height, width), both positive, found {size}")
    return int(size[0]), int(size[1])
