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
from depthdata.loading.batch import Samples, collate, sample_of
from depthdata.loading.cameras import are_distorted, baselines, cameras_at, lenses, vary
from depthdata.loading.candidates import Selection
from depthdata.loading.catalogue import (
    Image,
    build_catalogue,
    find_files,
    has_stream,
    stream_of,
)
from depthdata.loading.fields import Field, allocate, fields_of, fill
from depthdata.loading.handles import Handles, Threads
from depthdata.loading.memory import Memory
from depthdata.loading.window import Window
from depthdata.sequence import open_sequence
from depthdata.sequence.schema import stream_size
from depthdata.splits import Split
from depthdata.windows import Clip, WindowRule, load_selection

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
    split : str, Split, WindowRule, or iterable of (sequence, frames), optional
        What the samples are, in its order: a published list of frames (`depthdata.list_splits`),
        a published rule for windows (`depthdata.windows.list_windows`), or one's own list or
        clips. Without it, the frames of all sequences.
    window : Window, optional
        The frames of a sample around each frame of a list. A rule gives the frames itself.
    cameras : tuple of str, optional
        The first camera's keys have no prefix, those of the others ``<camera>_``. Of a split, only
        the lines of the first camera are used. Not given: the camera of each line, or without
        a split ``left`` or else the first camera of the sequence.
    streams : tuple of str
        Names in the file: ``rgb``, ``depth``, ``flow_forward``, ``masks/moving`` ... Of a stereo
        pair, depth is made of disparity and disparity of depth where only one is stored.
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
    image : str or mapping of camera to str, optional
        The picture that is delivered as ``rgb``: ``"rgb_final"``, or
        ``{"right": "rgb_exposure"}``. Not given: that of the rule, or ``rgb``.
    poses : str, optional
        Name of the trajectory that ``T_world_cam`` is taken from, where files hold several
        (`Sequence.pose_sets`): ``"dvso"``. Not given: the cameras' own.

    Notes
    -----
    A sample of K frames of H x W pixels has, for the streams asked for:

    ========================  ================  ====================================================
    ``rgb``                   (K, 3, H, W) u8   grey images three times
    ``depth``                 (K, H, W) f4      metres, 0 where ``depth_valid`` (K, H, W) is False
    ``disparity`` ...         (K, H, W) f4      pixels of the sample's own width, likewise
                                                (``disparity_y``: of its height)
    ``flow_forward``          (K, 2, H, W) f4   pixels of the sample's own size, valid (K, H, W)
    ``masks_moving`` ...      (K, H, W) u8|i4   0 where ``masks_moving_valid`` (K, H, W) is False:
                                                the frame has none, or the source does not know;
                                                f4 where the source has parts of a pixel
    ``depth_points``          (K, P, 3) f4      x, y, depth with ``points``; valid (K, P)
    ``intrinsics``            (K, 3, 3) f4      of the sample's own size
    ``distortion``            (K, 5) f4         k1, k2, p1, p2, k3 of OpenCV's model, where images
                                                of the dataset are distorted (`Undistort`)
    ``T_world_cam``           (K, 4, 4) f8      NaN where unknown
    ``timestamps``            (K,) i8           nanoseconds
    ``baselines``             (K,) f4           metres, where the first two cameras are a pair
    ``baseline``              () f4             the same, where it never changes in the dataset
    ``index``                 dict              sequence, camera, frame (in the timeline), frame_id
    ========================  ================  ====================================================

    A stream with a size in its name (``masks/moving_256x512``) keeps that size unless `size` is
    given.

    Examples
    --------
    >>> dataset = SequenceDataset("kitti", split="eigen_zhou/train", window=Window((-1, 0, 1)),
    ...                           streams=("rgb",), size=(192, 640))           # doctest: +SKIP
    >>> loader = DataLoader(dataset, 12, shuffle=True, num_workers=2,
    ...                     collate_fn=collate)                                # doctest: +SKIP
    >>> clips = SequenceDataset("dynamic_replica", split="dynamic_replica/test_150",
    ...                         cameras=("left", "right"),
    ...                         streams=("rgb", "disparity"))               # doctest: +SKIP
    """

    def __init__(
        self,
        root: str | Path | Iterable[str | Path],
        split: str | Split | WindowRule | Iterable[tuple[str, Iterable[int]]] | None = None,
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
        image: Image | None = None,
        poses: str | None = None,
    ) -> None:
        self.split = _selection(split)
        if window is not None and not isinstance(self.split, Split | None):
            raise UsageError("a rule or a list of clips says which frames make a sample; no window")
        self.window = window or Window()
        self.cameras = _names(cameras, "cameras") if cameras is not None else None
        self.streams = _names(streams, "streams")
        self.image = _image(image, self.split, self.streams)
        self.size = _checked_size(size)
        self.poses = poses
        self.transform = transform
        self.seed = seed
        if threads < 1:
            raise UsageError(f"threads must be 1 or more, found {threads}")
        self._threads = Threads(threads)
        self._memory = Memory()
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
            self.image,
        )
        self._handles = Handles(self._catalogue.paths, check=verify)
        by_path = dict(zip(paths, opened, strict=True))
        used = [by_path[path] for path in self._catalogue.paths]
        self._fields = self._decide_fields(used, points)
        self._varying = vary(used, self._catalogue.rigs)
        for sequence in used:
            if poses is not None and poses not in sequence.pose_sets:
                raise UsageError(
                    f"{sequence.path}: no pose set {poses!r}; there are: "
                    f"{', '.join(sequence.pose_sets) or 'none'}"
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
        self._distorted: list[bool] = []
        for position in range(positions):
            cameras = [
                sequences[s].cameras[self._catalogue.rigs[r][position]] for s, r in sorted(pairs)
            ]
            prefix = f"{cameras[0].name}_" if position else ""
            fields.append(fields_of(cameras, self.streams, self.image, prefix, points))
            self._distorted.append(are_distorted(cameras, self.streams))
        return fields

    def __len__(self) -> int:
        return len(self._catalogue.anchor)

    def __repr__(self) -> str:
        counts = (self._catalogue.frames >= 0).sum(axis=1)
        low, high = counts.min(), counts.max()
        return (
            f"SequenceDataset({len(self)} samples of {low if low == high else f'{low} to {high}'} "
            f"frames from "
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
            "frames": tuple(c.window(i)),
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
        files = [self._handles[i] for i in c.source[indices].tolist()]
        rigs = [c.rigs[r] for r in c.rig[indices].tolist()]
        frames = [c.window(i) for i in indices]
        counts = {len(ts) for ts in frames}
        if len(counts) > 1:
            raise UsageError(
                f"samples of one batch differ in their number of frames: {sorted(counts)}; "
                "load them one at a time (batch_size=1)"
            )
        lead = (len(indices), counts.pop())
        sets = None if self.poses is None else [f.pose_sets[self.poses] for f in files]
        batch: Sample = {}
        tasks: list[tuple[Any, ...]] = []
        for position, fields in enumerate(self._fields):
            cameras = [f.cameras[rig[position]] for f, rig in zip(files, rigs, strict=True)]
            prefix = f"{rigs[0][position]}_" if position else ""
            hw = self.size or _common_size(cameras)
            for field in fields:
                own = self.size or stream_size(field.stream, *hw)
                tensors = allocate(field, lead, own, self._memory.tensor)
                arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
                for b, camera in enumerate(cameras):
                    name = stream_of(camera, field.stream, self.image)
                    stream = camera[name] if has_stream(camera, name) else None
                    for k, t in enumerate(frames[b]):
                        tasks.append((field, arrays, (b, k), stream, t, own))
                batch.update(tensors)
            batch.update(cameras_at(prefix, cameras, frames, hw, sets))
            if self._distorted[position]:
                batch.update(lenses(prefix, cameras, lead[1]))
        self._threads.each(fill, tasks)
        if len(self._fields) > 1:
            batch.update(baselines(files, rigs, frames, varying=self._varying))
        anchors = c.anchor[indices]
        batch["index"] = {
            "sequence": [f.name for f in files],
            "camera": [rig[0] for rig in rigs],
            "frame": torch.from_numpy(anchors),
            "frame_id": [f.frame_ids[t] for f, t in zip(files, anchors.tolist(), strict=True)],
        }
        return batch


def _common_size(cameras: list[Any]) -> tuple[int, int]:
    sizes = sorted({(camera.height, camera.width) for camera in cameras})
    if len(sizes) > 1:
        raise UsageError(
            f"images of one batch differ in size: {sizes}; give the dataset size=(height, width)"
        )
    return sizes[0]


def _selection(split: Any) -> Selection | None:
    if isinstance(split, str):
        return load_selection(split)
    if split is None or isinstance(split, Split | WindowRule):
        return split
    clips = tuple(Clip(str(name), tuple(int(t) for t in frames)) for name, frames in split)
    if not clips or any(not clip.frames or min(clip.frames) < 0 for clip in clips):
        raise UsageError("clips need at least one frame each, counted from 0")
    return clips


def _image(image: Image | None, split: Selection | None, streams: tuple[str, ...]) -> Image:
    if image is None:
        return split.images[0] if isinstance(split, WindowRule) and split.images else "rgb"
    if "rgb" not in streams:
        raise UsageError(f"image={image!r} is delivered as rgb, which streams does not name")
    return image if isinstance(image, str) else dict(image)


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
