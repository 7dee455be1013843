"""Which frames are evaluated, in which order, and how they are divided into tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.inputs import Inputs, build_sample, complete_windows, image_stream
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.targets import frames_with_truth

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = [
    "Plan",
    "Task",
    "build_sample",
    "camera_of",
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
        Name and sha256 of the selection of frames.
    left_out : dict
        Reason -> number of frames that were asked for and cannot be evaluated.
    dataset : SequenceDataset or None
        Gives the samples when it was what the caller passed.
    notes : list of str
        Why the frames are not the whole published selection.
    """

    tasks: list[Task]
    split: dict[str, str] | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    dataset: Any = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(task.frames) for task in self.tasks)


Wanted = tuple[Path, str, tuple[int, ...]]


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


def camera_of(protocol: Protocol, seq: Sequence) -> str:
    """Return the camera of a file that a protocol evaluates."""
    if protocol.camera != "*":
        return protocol.camera
    return next((n for n in ("left", "front") if n in seq.cameras), next(iter(seq.cameras), "left"))


def plan_frames(
    data: Any, protocol: Protocol, needs: Any, *, split: str | None = None, limit: int | None = None
) -> Plan:
    """Decide which frames are evaluated, in order.

    Parameters
    ----------
    data : path, list of paths or SequenceDataset
        Sequence files or folders of them; a dataset brings its own frames and samples.
    protocol : Protocol
        Names the camera, what the truth starts from and what a task is.
    needs : Needs
        What the model needs: `views` and `offsets`.
    split : str, optional
        Published list of frames or rule for windows, ``"eigen/test"``, ``"sintel/all"``.
    limit : int, optional
        Evaluate at most this many frames (the first ones); clips and paths are cut, too.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, found {limit}")
    if hasattr(data, "describe"):
        if split is not None:
            raise UsageError("a dataset brings its own split; leave out the argument split")
        if protocol.kind != "frame":
            raise UsageError(
                f"{protocol.id} takes sequences, not the samples of a dataset; give the files"
            )
        return _plan_dataset(data, protocol, needs, limit)
    files = sequence_files(data)
    plan = Plan([])
    if protocol.kind in ("frame", "motion"):
        _plan_frames(plan, files, protocol, needs, split, limit)
    else:
        _plan_clips(plan, files, protocol, needs, split, limit)
    return plan


def _plan_frames(
    plan: Plan, files: list[Path], protocol: Protocol, needs: Any, split: str | None,
    limit: int | None,
) -> None:  # fmt: skip
    """Choose single frames and group them by file."""
    usable: dict[tuple[Path, str], set[int]] = {}
    chosen: list[tuple[Path, str, int]] = []
    for path, camera, (frame, *_) in _wanted(files, split, protocol, plan):
        if limit is not None and len(chosen) >= limit:
            break
        if (path, camera) not in usable:
            usable[path, camera] = _usable(path, camera, protocol, needs, plan, split is None)
        if frame in usable[path, camera]:
            chosen.append((path, camera, frame))
        elif split is not None:
            _count(plan, "no truth, image or complete window")
    grouped: dict[tuple[Path, str], list[tuple[int, int]]] = {}
    for order, (path, camera, frame) in enumerate(chosen):
        grouped.setdefault((path, camera), []).append((frame, order))
    plan.tasks = [
        Task(path, camera, tuple(f for f, _ in pairs), tuple(o for _, o in pairs))
        for (path, camera), pairs in grouped.items()
    ]


def _plan_clips(
    plan: Plan, files: list[Path], protocol: Protocol, needs: Any, split: str | None,
    limit: int | None,
) -> None:  # fmt: skip
    """Choose clips of consecutive frames, a task each; paths take whole sequences."""
    whole = protocol.kind == "trajectory"
    most = protocol.options.get("sequences") if split is not None else None
    clips: dict[tuple[Path, str, int], tuple[int, ...]] = {}
    for path, camera, frames in _wanted(files, split, protocol, plan):
        key = (path, camera, 0 if whole else frames[0])
        if key not in clips and len(frames) != 0:
            clips[key] = frames
    keys = sorted(clips, key=lambda k: k[0].stem) if whole else list(clips)
    left, done = limit, 0
    for key in keys[:most]:
        path, camera, _ = key
        with open_sequence(path) as seq:
            stream = None if not needs.views else image_stream(seq, camera, protocol.images)
            have = complete_windows(seq, camera, _Single(needs.views), protocol.images)
            if not whole and not frames_with_truth(protocol.truth, seq, camera).any():
                _count(plan, "no truth", len(clips[key]))
                continue
            frames = tuple(range(len(seq))) if whole else clips[key]
        if stream is None and needs.views:
            _count(plan, "no image", len(frames))
            continue
        if not have[list(frames)].all():
            raise UsageError(
                f"{path}: {int((~have[list(frames)]).sum())} of {len(frames)} frames have no "
                f"image; {protocol.id} needs every one of a sequence"
            )
        if protocol.clip is not None:
            frames = frames[: protocol.clip]
        if left is not None:
            frames, left = frames[:left], left - len(frames[:left])
        if frames:
            plan.tasks.append(Task(path, camera, frames, tuple(range(done, done + len(frames)))))
            done += len(frames)


@dataclass(frozen=True)
class _Single:
    """Needs of a model for one frame by itself."""

    views: tuple[str, ...]
    offsets: tuple[int, ...] = (0,)


def _count(plan: Plan, reason: str, number: int = 1) -> None:
    plan.left_out[reason] = plan.left_out.get(reason, 0) + number


def _wanted(
    files: list[Path], split: str | None, protocol: Protocol, plan: Plan
) -> Iterator[Wanted]:
    """File, camera and frames of everything that is asked for: single frames, or clips."""
    if split is None:
        single = protocol.kind in ("frame", "motion")
        for path in files:
            with open_sequence(path) as seq:
                count, camera = len(seq), camera_of(protocol, seq)
            if single:
                yield from ((path, camera, (t,)) for t in range(count))
            else:
                yield path, camera, tuple(range(count))
        return
    from depthdata.splits import list_splits
    from depthdata.windows import list_windows

    if split in list_windows() and split not in list_splits():
        yield from _by_rule(files, split, protocol, plan)
    elif protocol.kind == "sequence":
        raise UsageError(
            f"split {split} lists single frames; {protocol.id} takes clips: leave the split out, "
            "or give a rule for windows such as sintel/all"
        )
    else:
        yield from _by_list(files, split, plan)


def _by_rule(files: list[Path], split: str, protocol: Protocol, plan: Plan) -> Iterator[Wanted]:
    from depthdata.windows import load_windows

    rule = load_windows(split)
    text = json.dumps(rule.describe(), sort_keys=True)
    plan.split = {"name": rule.name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    with ExitStack() as stack:
        opened = [stack.enter_context(open_sequence(path)) for path in files]
        try:
            clips = rule.resolve_files(opened, strict=True)
        except UsageError as error:
            clips = rule.resolve_files(opened)
            plan.notes.append(str(error).partition(";")[0])
        paths = {
            seq.name: (path, camera_of(protocol, seq))
            for seq, path in zip(opened, files, strict=True)
            if seq.dataset == rule.dataset
        }
    for clip in clips:
        yield (*paths[clip.sequence], tuple(clip.frames))


def _by_list(files: list[Path], split: str, plan: Plan) -> Iterator[Wanted]:
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
        frame = entry.frame if number is None else number.get(entry.frame, -1)
        yield path, entry.camera, (frame,)


def _usable(
    path: Path, camera: str, protocol: Protocol, needs: Any, plan: Plan, count: bool
) -> set[int]:
    """Return the frames of a file that have truth and everything that the model needs."""
    with open_sequence(path) as seq:
        truth = frames_with_truth(protocol.truth, seq, camera)
        window = complete_windows(seq, camera, needs, protocol.images)
    if count:
        for reason, number in (("no truth", (~truth).sum()), ("no image", (truth & ~window).sum())):
            if number:
                _count(plan, reason, int(number))
    return set(np.flatnonzero(truth & window).tolist())


def sample_of(
    seq: Sequence,
    task: Task,
    frame: int,
    order: int,
    needs: Any,
    dataset: Any = None,
    inputs: Inputs | None = None,
) -> dict[str, Any]:
    """Return what the model is given: the dataset's own sample, or the files'."""
    if dataset is None:
        return build_sample(seq, task.camera, frame, needs, inputs)
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
