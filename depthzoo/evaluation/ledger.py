"""What each checkpoint was trained on, and whether that overlaps what it is evaluated on.

An entry is a text ``dataset`` or ``dataset:selection``; the selection is a published list or rule
(``kitti_raw:eigen_zhou/train``), a part as the source names it (``sceneflow:train``), or ``except
LIST``: every recording but those of a list. Models of third parties say the same in the
``trained_on`` of their cards. KITTI's datasets are told apart by the drive they were cut from.

>>> [str(entry) for entry in training_of("raft_stereo/sceneflow")]
['sceneflow:train']
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from depthdata.errors import DepthdataError, UsageError
from depthdata.sequence import open_sequence
from depthdata.splits import list_splits, load_split
from depthdata.windows import list_windows, load_windows

if TYPE_CHECKING:
    from collections.abc import Sequence as Sequences

    from depthdata.sequence import Sequence
    from depthzoo.evaluation.frames import Task
    from depthzoo.models.card import Card

__all__ = ["LEDGER", "Training", "check_training", "training_of"]

_SCENEFLOW = ("sceneflow:train",)
_EIGEN_ZHOU = ("kitti_raw:eigen_zhou/train",)
_INSTA_KITTI = ("imagenet", "kitti_raw:except eigen/test")
LEDGER: Mapping[str, tuple[str, ...]] = {
    "sgbm": (),
    "raft_stereo/sceneflow": _SCENEFLOW,
    "raft_stereo/realtime": _SCENEFLOW,
    "raft_stereo/middlebury": (*_SCENEFLOW, "middlebury:2014"),
    "dynamic_stereo/sf": _SCENEFLOW,
    "dynamic_stereo/dr_sf": ("dynamic_replica:train", *_SCENEFLOW),
    "monodepth2/*": _EIGEN_ZHOU,
    "lite_mono/*": _EIGEN_ZHOU,
    "dynamo_depth/kitti": _EIGEN_ZHOU,
    "dynamo_depth/kitti_md2": _EIGEN_ZHOU,
    "dynamo_depth/nuscenes": ("nuscenes:nuscenes/train",),
    "dynamo_depth/nuscenes_md2": ("nuscenes:nuscenes/train",),
    "dynamo_depth/waymo": ("waymo:train",),
    "dynamo_depth/waymo_md2": ("waymo:train",),
    "insta_dm/kitti": _INSTA_KITTI,
    "insta_dm/cityscapes": ("imagenet", "cityscapes:train"),
    "insta_dm/cityscapes_kitti": (*_INSTA_KITTI, "cityscapes:train"),
    "dynamic_multiframe_depth/*": ("imagenet", "kitti_odometry:kitti_odometry/train"),
}
"""Card -> what its weights were trained on; ``family/*`` for all of a family. Not stated by their
authors, hence not here: raft_stereo/eth3d, raft_stereo/rvc."""

_MIDDLEBURY_2014 = frozenset(
    (
        *("Adirondack", "Backpack", "Bicycle1", "Cable", "Classroom1", "Couch", "Flowers"),
        *("Jadeplant", "Mask", "Motorcycle", "Piano", "Pipes", "Playroom", "Playtable", "Recycle"),
        *("Shelves", "Shopvac", "Sticks", "Storage", "Sword1", "Sword2", "Umbrella", "Vintage"),
    )
)
"""The 23 scenes of 2014, from the dataset's own page; the evaluation set reuses some."""

_KITTI = ("kitti_raw", "kitti_odometry", "kitti_vis", "kitti_depth")
_KITTI_SCENES = ("kitti_2012", "kitti_2015")
_FAMILY = {**dict.fromkeys((*_KITTI, *_KITTI_SCENES), "kitti"), "waymo_v2": "waymo",
           "cityscapes_vis": "cityscapes"}  # fmt: skip

Frames = dict[str, frozenset[int] | None]
"""Recording -> numbers of its frames; None: all of them, or which is not known."""


@dataclass(frozen=True)
class Training:
    """One set that weights were trained on."""

    dataset: str
    selection: str = ""

    def __str__(self) -> str:
        """Return the entry as the ledger writes it."""
        return f"{self.dataset}:{self.selection}" if self.selection else self.dataset


def training_of(model: str, trained_on: Iterable[str] = ()) -> tuple[Training, ...] | None:
    """Return what a model was trained on; None where that is not known exactly.

    Parameters
    ----------
    model : str
        Name of its card.
    trained_on : iterable of str
        What the card says, for models that the ledger does not have.
    """
    entries = LEDGER.get(model, LEDGER.get(f"{model.partition('/')[0]}/*"))
    if entries is None:
        entries = tuple(trained_on)
        if not entries or not all(re.fullmatch(r"\w+(:[\w /]+)?", text) for text in entries):
            return None
    return tuple(Training(*text.split(":", 1)) for text in entries)


def check_training(card: Card, tasks: Sequences[Task]) -> dict[str, Any]:
    """Return what the model was trained on and whether it has seen what it is evaluated on.

    Returns
    -------
    dict
        ``trained_on``; ``overlap``: ``"none"``, ``"recordings"`` (other frames of the same
        drives or scenes), ``"frames"`` (the very frames) or ``"unknown"``; ``frames`` and
        ``recordings`` that overlap; ``message``: a line for people, empty where there is nothing
        to say.
    """
    known = training_of(card.name, card.trained_on)
    found: dict[str, Any] = {"trained_on": list(card.trained_on), "overlap": "none", "frames": 0,
                             "recordings": [], "message": ""}  # fmt: skip
    if known is None:
        found["overlap"] = "unknown"
        found["message"] = f"training data: not known of {card.name}; it may have seen these frames"
        return found
    found["trained_on"] = [str(entry) for entry in known]
    unknown: list[str] = []
    recordings: set[str] = set()
    for task in tasks:
        trained: set[int] = set()
        with open_sequence(task.path) as seq:
            numbers = _numbers(seq, task.frames)
            for entry in known:
                if _family(entry.dataset) != _family(seq.dataset):
                    continue
                seen = _seen(entry, seq)
                if seen is None:
                    unknown.append(f"{entry} and {seq.dataset}")
                    continue
                name, frames = seen
                if name is not None:
                    recordings.add(name)
                    trained |= {n for n in numbers if frames is None or n in frames}
        found["frames"] += len(trained)
    found["recordings"] = sorted(recordings)
    total = sum(len(task.frames) for task in tasks)
    if found["frames"]:
        found["overlap"] = "frames"
        found["message"] = (
            f"TRAINED ON THESE DATA: {card.name} has seen {found['frames']} of {total} frames "
            f"({', '.join(found['trained_on'])})"
        )
    elif recordings:
        found["overlap"] = "recordings"
        found["message"] = (
            f"trained on other frames of {len(recordings)} of these recordings, such as "
            f"{min(recordings)}"
        )
    elif unknown:
        found["overlap"] = "unknown"
        found["message"] = f"training data: whether {unknown[0]} have frames in common is not known"
    return found


def _family(dataset: str) -> str:
    return _FAMILY.get(dataset, dataset)


def _seen(entry: Training, seq: Sequence) -> tuple[str | None, frozenset[int] | None] | None:
    """Return the recording of a sequence and the trained frames of it; no name: not trained on.

    None: not known.
    """
    if seq.dataset in _KITTI_SCENES:
        return None  # which drives the scenes come from is not part of the data
    name = _recording(seq.dataset, seq.name)
    if seq.dataset == "middlebury" and entry.selection == "2014":
        scene = re.sub(r"[ELP]$", "", name)
        return (name, None) if {scene, name} & _MIDDLEBURY_2014 else (None, None)
    try:
        trained = _trained(entry)
    except DepthdataError:
        return None
    if isinstance(trained, str):
        return (name, None) if seq.split == trained else (None, None)
    if trained is None:
        return name, None
    excluded, frames = trained
    if excluded:
        return (None, None) if name in frames else (name, None)
    return (name, frames[name]) if name in frames else (None, None)


@functools.lru_cache(maxsize=16)
def _trained(entry: Training) -> tuple[bool, Frames] | str | None:
    """Return the frames of an entry, whether they are the ones left out, or a part's name."""
    selection = entry.selection
    if not selection:
        return None
    excluded = selection.startswith("except ")
    selection = selection.removeprefix("except ")
    if selection in list_splits():
        grouped: dict[str, set[int]] = {}
        for line in load_split(selection):
            name = _recording(entry.dataset, line.sequence.rpartition("/")[2])
            grouped.setdefault(name, set()).add(line.frame)
        return excluded, {name: frozenset(frames) for name, frames in grouped.items()}
    if selection in list_windows():
        rule = load_windows(selection).describe()["sequences"]
        names = rule.get("names")
        if names is None:
            return str(rule.get("split"))
        every: Frames = {_recording(entry.dataset, n): _frames(entry.dataset, n) for n in names}
        return excluded, every
    if "/" in selection or excluded:
        raise UsageError(f"no published selection {selection!r}")
    return selection


def _frames(dataset: str, name: str) -> frozenset[int] | None:
    """Return which frames of its recording a sequence is; None: all of them."""
    if dataset != "kitti_odometry":
        return None
    from depthdata.sources.kitti_odometry_drives import DRIVES

    drive = DRIVES.get(name)
    return None if drive is None else frozenset(range(drive.first, drive.last + 1))


def _recording(dataset: str, name: str) -> str:
    """Return what a sequence was cut from: the drive of KITTI, the scene of Middlebury."""
    if dataset == "kitti_odometry":
        from depthdata.sources.kitti_odometry_drives import DRIVES

        return DRIVES[name].name if name in DRIVES else name
    if dataset in _KITTI:
        drive = re.match(r"\d{4}_\d\d_\d\d_drive_\d{4}", name)
        return drive[0] if drive else name
    if dataset == "middlebury":
        return re.split(r"[_-]", name)[1] if "_" in name else name
    return name


def _numbers(seq: Sequence, frames: Iterable[int]) -> list[int]:
    """Return the numbers of frames as lists count them: of KITTI those of the raw drive."""
    if _family(seq.dataset) != "kitti":
        return list(frames)
    first = 0
    if seq.dataset == "kitti_odometry":
        from depthdata.sources.kitti_odometry_drives import DRIVES

        first = DRIVES[seq.name].first if seq.name in DRIVES else 0
    ids = seq.frame_ids
    return [first + int(ids[t]) if ids[t].isdecimal() else first + t for t in frames]
