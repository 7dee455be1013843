"""What of a published selection is on disk: sequence files, their frames, what is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from depthdata.errors import FormatError, UsageError
from depthdata.sequence import open_sequence
from depthdata.splits import list_splits, load_split
from depthdata.windows import load_windows
from depthzoo.evaluation.frames import plan_frames
from depthzoo.evaluation.inputs import image_stream
from depthzoo.evaluation.kinds import needs_of
from depthzoo.evaluation.protocols import Protocol

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthdata.splits import Split

__all__ = ["DEFAULT_FOLDER", "FOLDERS", "Presence", "Shelf", "look_for", "sequence_folders"]

FOLDERS = "DEPTHDATA_SEQUENCES"
"""Variable that names folders with sequence files, as PATH names folders."""

DEFAULT_FOLDER = Path("sequences")

_FRAMES = {"kitti_odometry/test": 8634}
"""Frames of rules that cannot tell it without the data: from their publication."""


@dataclass(frozen=True)
class Presence:
    """What there is of a selection.

    Parameters
    ----------
    files : tuple of Path
        Sequence files of it.
    have, wanted : int
        Units there, units published.
    unit : str
        ``"frames"`` or ``"sequences"``.
    usable : int
        Frames that can be evaluated.
    missing : tuple of str
        Sequences that are not there, as far as the selection names them.
    problems : tuple of str
        What else is wrong, a line each.
    complete : bool
        All of it is there and can be evaluated.
    """

    files: tuple[Path, ...]
    have: int
    wanted: int
    unit: str
    usable: int = 0
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    complete: bool = False

    @property
    def text(self) -> str:
        """How much is there.

        >>> Presence((), 0, 697, "frames").text
        '0 of 697 frames'
        """
        return f"{self.have} of {self.wanted} {self.unit}"


def sequence_folders(given: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """Return where sequence files are looked for: `given`, else the variable, else the default."""
    named = [Path(folder) for folder in given]
    if not named:
        text = os.environ.get(FOLDERS, "")
        named = [Path(folder).expanduser() for folder in text.split(os.pathsep) if folder]
    return tuple(named or [DEFAULT_FOLDER])


class Shelf:
    """The sequence files below some folders, each opened once.

    Parameters
    ----------
    roots : iterable of path
        Files, or folders that are searched recursively. The first of several files of a sequence
        counts, unless a later one has the images that are asked for.

    Attributes
    ----------
    broken : tuple of str
        Files that are no complete sequence files, and why.
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self._found: list[tuple[Path, Sequence]] = []
        broken = []
        for path in dict.fromkeys(file.resolve() for root in roots for file in _files(root)):
            sequence = _opened(path)
            if isinstance(sequence, FormatError):
                broken.append(str(sequence))
            else:
                self._found.append((path, sequence))
        self.broken = tuple(broken)

    def __len__(self) -> int:
        return len(self._found)

    def of(self, protocol: Protocol) -> dict[Path, Sequence]:
        """Return the files of a protocol's datasets, one for each sequence."""
        chosen: dict[tuple[str | None, str], tuple[Path, Sequence]] = {}
        for path, sequence in self._found:
            if protocol.datasets and sequence.dataset not in protocol.datasets:
                continue
            key = (sequence.split, sequence.name)
            if key not in chosen or (
                not _has_images(chosen[key][1], protocol) and _has_images(sequence, protocol)
            ):
                chosen[key] = (path, sequence)
        return dict(chosen.values())


def _opened(path: Path) -> Sequence | FormatError:
    try:
        with open_sequence(path) as sequence:
            return sequence
    except FormatError as error:
        return error


def _files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.h5")) if root.is_dir() else [root] if root.is_file() else []


def _has_images(sequence: Sequence, protocol: Protocol) -> bool:
    cameras = sequence.cameras
    names = list(cameras) if protocol.camera == "*" else [protocol.camera]
    return any(n in cameras and image_stream(sequence, n, protocol.images) for n in names)


def look_for(protocol: Protocol, split: str, needs: Any, shelf: Shelf) -> Presence:
    """Return what a shelf has of a published selection, and whether all of it can be evaluated.

    Parameters
    ----------
    protocol : Protocol
    split : str
        A list of frames or a rule for windows.
    needs : Needs
        What the model must be given.
    shelf : Shelf
    """
    files = shelf.of(protocol)
    if split in list_splits():
        found = _of_list(load_split(split), files, protocol)
    else:
        found = _of_rule(split, files)
    if not found.files:
        return found
    found = _usable(found, protocol, split, needs_of(SimpleNamespace(needs=needs), protocol))
    if found.usable < found.have or found.problems:
        lacking = sum(not _has_images(files[path], protocol) for path in found.files)
        if lacking:
            why = f"{lacking} of {len(found.files)} files have no {' or '.join(protocol.images)}"
            if protocol.preset:
                why += f": they were converted without --preset {protocol.preset}"
            found = replace(found, problems=(why, *found.problems), complete=False)
    return found


def _usable(found: Presence, protocol: Protocol, split: str, needs: Any) -> Presence:
    """Ask the runner's own plan which frames it would take."""
    try:
        with _silent():
            plan = plan_frames(list(found.files), protocol, needs, split=split)
    except UsageError as error:
        return replace(found, problems=(*found.problems, str(error)))
    lost = {why: n for why, n in plan.left_out.items() if why != "sequence not there"}
    # frames at the ends of a sequence have no complete window: published, and no fault of the data
    faults = {} if len(needs.offsets) > 1 else lost
    problems = [f"{n} frames: {why}" for why, n in lost.items()]
    if found.unit == "frames" and found.have < found.wanted:
        problems = []  # missing frames are among those without truth
    wanted = _FRAMES.get(split, 0)
    short = bool(wanted) and len(plan) != wanted
    if short and found.have == found.wanted:
        problems.append(f"{len(plan)} of {wanted} frames can be evaluated")
    return replace(
        found,
        usable=len(plan),
        problems=(*found.problems, *problems),
        complete=found.have == found.wanted and len(plan) > 0 and not (faults or short),
    )


def _of_list(split: Split, files: Mapping[Path, Sequence], protocol: Protocol) -> Presence:
    by_name: dict[str, tuple[Path, Sequence]] = {}
    for path, sequence in files.items():
        for name in (sequence.name, f"{sequence.split}/{sequence.name}"):
            by_name.setdefault(name, (path, sequence))
    at = {s: by_name.get(s) or by_name.get(s.rpartition("/")[2]) for s in split.sequences}
    missing = tuple(name for name, place in at.items() if place is None)
    there = {name: place for name, place in at.items() if place is not None}
    used = tuple(dict.fromkeys(path for path, _ in there.values()))
    if protocol.kind == "trajectory":
        most = protocol.options.get("sequences")
        wanted = split.sequences[:most]
        return Presence(
            used, sum(n in there for n in wanted), len(wanted), "sequences", missing=missing
        )
    have = 0
    numbers = {name: _numbers(split, place[1]) for name, place in there.items()}
    for entry in split:
        have += entry.frame in numbers.get(entry.sequence, ())
    return Presence(used, have, len(split), "frames", missing=missing)


def _numbers(split: Split, sequence: Sequence) -> set[int]:
    if split.frame_refers_to == "frame_id":
        return {int(name) for name in sequence.frame_ids if name.isdecimal()}
    return set(range(len(sequence)))


def _of_rule(name: str, files: Mapping[Path, Sequence]) -> Presence:
    rule = load_windows(name).describe()
    chosen, windows = rule["sequences"], rule["windows"]
    prefix, part, names = (chosen.get(key) for key in ("prefix", "split", "names"))
    mine = {
        path: sequence
        for path, sequence in files.items()
        if sequence.dataset == rule["dataset"]
        and sequence.name.startswith(prefix or "")
        and part in (None, sequence.split)
        and (names is None or sequence.name in names)
    }
    there = {sequence.name for sequence in mine.values()}
    missing = tuple(n for n in names or () if n not in there)
    if "total" in windows:  # a draw from all frames: it needs every one of them
        have, unit = sum(map(len, mine.values())), "frames"
        wanted = int(windows["total"])
    else:
        have, unit = len(mine), "sequences"
        wanted = int(chosen.get("total", 0))
    return Presence(tuple(mine), have, wanted, unit, missing=missing)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep back the warnings about missing sequences, which the caller counts itself."""
    loggers = [logging.getLogger(name) for name in ("depthdata.windows", "depthdata.split_files")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
