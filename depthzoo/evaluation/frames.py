"""Which frames are evaluated, and what a model is given for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.targets import frames_with_truth

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = [
    "Plan",
    "Task",
    "build_sample",
    "complete_windows",
    "plan_frames",
    "sample_of",
    "sequence_files",
]


@dataclass(frozen=True)
class Task:
    """Frames of one sequence file: the unit that a worker process gets.

    Parameters
    ----------
    path : Path
        Sequence file.
    camera : str
        Camera that is evaluated.
    frames : tuple of int
        Timeline indices.
    order : tuple of int
        Position of each frame in the whole plan (and in the dataset that was given).
    """

    path: Path
    camera: str
    frames: tuple[int, ...]
    order: tuple[int, ...]


@dataclass
class Plan:
    """All frames of an evaluation.

    Parameters
    ----------
    tasks : list of Task
    split : dict or None
        Name and sha256 of the split list.
    left_out : dict
        Reason -> number of frames that were asked for and cannot be evaluated.
    dataset : SequenceDataset or None
        Gives the samples when it was what the caller passed.
    """

    tasks: list[Task]
    split: dict[str, str] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    dataset: Any = None

    def __len__(self) -> int:
        return sum(len(task.frames) for task in self.tasks)


def sequence_files(data: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return the sequence files of a file, a folder (searched recursively) or a list of these."""
    if isinstance(data, str | Path):
        root = Path(data)
        if root.is_dir():
            files = sorted(root.rglob("*.h5"))
            if not files:
                raise UsageError(f"{root}: no sequence files (*.h5) in it; run depthdata convert")
            return files
        if not root.is_file():
            raise UsageError(f"{root}: no such file or folder; give sequence files (*.h5)")
        return [root]
    return [file for item in data for file in sequence_files(item)]


def plan_frames(
    data: Any, protocol: Protocol, needs: Any, *, split: str | None = None, limit: int | None = None
) -> Plan:
    """Decide which frames are evaluated, in order.

    Parameters
    ----------
    data : path, list of paths or SequenceDataset
        Sequence files or folders of them; a dataset brings its own frames and samples.
    protocol : Protocol
        Names the camera and what the truth starts from.
    needs : Needs
        What the model needs: `views` and `offsets`.
    split : str, optional
        Published list of frames, for example ``"eigen/test"``.
    limit : int, optional
        Evaluate at most this many frames (the first ones).
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, found {limit}")
    if hasattr(data, "describe"):
        if split is not None:
            raise UsageError("a dataset brings its own split; leave out the argument split")
        return _plan_dataset(data, protocol, needs, limit)
    files = sequence_files(data)
    plan = Plan([])
    wanted = _wanted(files, split, protocol, plan)
    usable: dict[tuple[Path, str], set[int]] = {}
    chosen: list[tuple[Path, str, int]] = []
    for path, camera, frame in wanted:
        if limit is not None and len(chosen) >= limit:
            break
        if (path, camera) not in usable:
            usable[path, camera] = _usable(path, camera, protocol, needs, plan, split is None)
        if frame in usable[path, camera]:
            chosen.append((path, camera, frame))
        elif split is not None:
            _count(plan, "no truth, image or complete window")
    return _group(plan, chosen)


def _count(plan: Plan, reason: str, number: int = 1) -> None:
    plan.left_out[reason] = plan.left_out.get(reason, 0) + number


def _group(plan: Plan, chosen: list[tuple[Path, str, int]]) -> Plan:
    grouped: dict[tuple[Path, str], list[tuple[int, int]]] = {}
    for order, (path, camera, frame) in enumerate(chosen):
        grouped.setdefault((path, camera), []).append((frame, order))
    plan.tasks = [
        Task(path, camera, tuple(f for f, _ in pairs), tuple(o for _, o in pairs))
        for (path, camera), pairs in grouped.items()
    ]
    return plan


def _wanted(
    files: list[Path], split: str | None, protocol: Protocol, plan: Plan
) -> Iterator[tuple[Path, str, int]]:
    if split is None:
        for path in files:
            with open_sequence(path) as seq:
                count = len(seq)
            yield from ((path, protocol.camera, t) for t in range(count))
        return
    from depthdata.splits import load_split

    entries = load_split(split)
    plan.split = {"name": entries.name, "sha256": entries.sha256}
    by_name: dict[str, tuple[Path, dict[int, int] | None]] = {}
    for path in files:
        with open_sequence(path) as seq:
            number = None
            if entries.frame_refers_to == "frame_id":
                number = {int(n): t for t, n in enumerate(seq.frame_ids) if n.isdecimal()}
            for name in (seq.name, f"{seq.split}/{seq.name}"):
                by_name.setdefault(name, (path, number))
    if not set(by_name) & {n for s in entries.sequences for n in (s, s.rpartition("/")[2])}:
        raise UsageError(
            f"none of the {len(files)} sequence files is in split {split} "
            f"(it has {len(entries.sequences)} sequences, such as {entries.sequences[0]})"
        )
    for entry in entries:
        # A list may name a sequence by folder and name where the file knows the name alone.
        at = by_name.get(entry.sequence) or by_name.get(entry.sequence.rpartition("/")[2])
        if at is None:
            _count(plan, "sequence not there")
            continue
        path, number = at
        yield path, entry.camera, entry.frame if number is None else number.get(entry.frame, -1)


def _usable(
    path: Path, camera: str, protocol: Protocol, needs: Any, plan: Plan, count: bool
) -> set[int]:
    """Return the frames of a file that have truth and everything that the model needs."""
    with open_sequence(path) as seq:
        truth = frames_with_truth(protocol.truth, seq, camera)
        window = complete_windows(seq, camera, needs)
    if count:
        for reason, number in (("no truth", (~truth).sum()), ("no image", (truth & ~window).sum())):
            if number:
                _count(plan, reason, int(number))
    return set(np.flatnonzero(truth & window).tolist())


def complete_windows(seq: Sequence, camera: str, needs: Any) -> NDArray[np.bool_]:
    """Return (T,) bool: the frames around which every image that the model needs is there."""
    complete = np.ones(len(seq), bool)
    for offset in needs.offsets:
        at = np.arange(len(seq)) + offset
        complete &= (at >= 0) & (at < len(seq))
        for name in _cameras(seq, camera, needs):
            cam = seq.cameras[name]
            present = cam["rgb"].present if "rgb" in cam.streams else np.zeros(len(seq), bool)
            complete &= np.asarray(present, bool)[np.clip(at, 0, len(seq) - 1)]
    return complete


def _cameras(seq: Sequence, camera: str, needs: Any) -> list[str]:
    """Return the cameras whose images the model needs: `camera` and, for a pair, its right one."""
    if camera not in seq.cameras:
        raise UsageError(
            f"{seq.path}: no camera {camera!r}; it has {', '.join(seq.cameras) or 'none'}"
        )
    if len(needs.views) < 2:
        return [camera]
    right = [pair.right for pair in seq.stereo_pairs if pair.left == camera]
    if not right:
        raise UsageError(
            f"{seq.path}: camera {camera!r} is not the left one of a stereo pair, which the model "
            "needs; choose a monocular model"
        )
    return [camera, right[0]]


def build_sample(seq: Sequence, camera: str, frame: int, needs: Any) -> dict[str, Any]:
    """Return the images and facts around a frame, as a `SequenceDataset` of full size would.

    Returns
    -------
    dict
        ``rgb`` (K,3,H,W) uint8, ``intrinsics`` (K,3,3) float32, ``timestamps`` (K,) int64; for a
        stereo model also ``right_rgb``, ``right_intrinsics`` and ``baseline`` (m); with poses
        ``T_world_cam`` (K,4,4) float64; ``index``.
    """
    cameras = _cameras(seq, camera, needs)
    at = [frame + offset for offset in needs.offsets]
    sample: dict[str, Any] = {"index": {"sequence": seq.name, "camera": camera, "frame": frame}}
    for prefix, name in zip(("", "right_"), cameras, strict=False):
        cam = seq.cameras[name]
        images = [np.asarray(cam["rgb"][t]) for t in at]
        coloured = [np.stack([i] * 3) if i.ndim == 2 else i.transpose(2, 0, 1) for i in images]
        sample[f"{prefix}rgb"] = np.ascontiguousarray(np.stack(coloured))
        intrinsics = [cam.intrinsics(t) for t in at]
        sample[f"{prefix}intrinsics"] = np.stack(intrinsics).astype(np.float32)
        if cam.poses is not None:
            sample[f"{prefix}T_world_cam"] = np.stack([cam.pose(t) for t in at])
    sample["timestamps"] = np.asarray(seq.timestamps)[at]
    for pair in seq.stereo_pairs:
        if pair.left == camera:
            sample["baseline"] = np.float32(pair.baseline)
    return sample


def sample_of(
    seq: Sequence, task: Task, frame: int, order: int, needs: Any, dataset: Any = None
) -> dict[str, Any]:
    """Return what the model is given: the dataset's own sample, or the files' at full size."""
    if dataset is None:
        return build_sample(seq, task.camera, frame, needs)
    sample: dict[str, Any] = dataset[order]
    return sample


def _plan_dataset(dataset: Any, protocol: Protocol, needs: Any, limit: int | None) -> Plan:
    """Take the samples of a dataset in its order, those without truth left out."""
    plan = Plan([], dataset=dataset)
    split = getattr(dataset, "split", None)
    if split is not None:
        plan.split = {"name": split.name, "sha256": split.sha256}
    have: dict[tuple[Path, str], Any] = {}
    groups: dict[tuple[Path, str], list[tuple[int, int]]] = {}
    chosen = 0
    for i in range(len(dataset)):
        if limit is not None and chosen >= limit:
            break
        facts = dataset.describe(i)
        path, camera, frame = Path(facts["path"]), facts["cameras"][0], facts["frame"]
        if (path, camera) not in have:
            with open_sequence(path) as seq:
                have[path, camera] = frames_with_truth(protocol.truth, seq, camera)
        _check_window(dataset, facts, needs)
        if have[path, camera][frame]:
            groups.setdefault((path, camera), []).append((frame, i))
            chosen += 1
        else:
            _count(plan, "no truth")
    plan.tasks = [
        Task(path, camera, tuple(f for f, _ in pairs), tuple(i for _, i in pairs))
        for (path, camera), pairs in groups.items()
    ]
    return plan


def _check_window(dataset: Any, facts: dict[str, Any], needs: Any) -> None:
    offsets = tuple(f - facts["frame"] for f in facts["frames"])
    if offsets != tuple(needs.offsets):
        raise UsageError(
            f"the dataset's windows have offsets {offsets}, the model needs {needs.offsets}; make "
            f"it with window=Window(offsets={tuple(needs.offsets)})"
        )
    if len(facts["cameras"]) < len(needs.views):
        raise UsageError(
            f"the dataset gives cameras {facts['cameras']}, the model needs {needs.views}; make it "
            f"with cameras={tuple(needs.views)}"
        )
