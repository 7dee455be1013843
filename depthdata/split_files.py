"""Which lines of a published list are in some sequence files, and where."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.splits import Split

if TYPE_CHECKING:
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["LinesOfFile", "find_lines"]

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LinesOfFile:
    """The lines of one file and camera.

    Attributes
    ----------
    file : int
        Which of the files given.
    camera : str
    rank : (n,) int64
        Which lines of the list, ascending.
    frame : (n,) int64
        Their frames in the timeline of the file; -1 where it has no such frame.
    """

    file: int
    camera: str
    rank: Ints
    frame: Ints


def find_lines(
    split: Split, files: Sequence[SequenceFile], *, strict: bool = False
) -> list[LinesOfFile]:
    """Find the lines of a list in sequence files.

    A sequence is found by its name (``scene-0003``); of ``val/segment-...`` the file of that part
    counts, and without one any of that name. Frames are found by the number
    of the source where the list has that, else by their position.

    Parameters
    ----------
    split : Split
    files : sequence of Sequence
        Opened or closed. The first of several with one name counts.
    strict : bool
        Raise where anything is missing, instead of telling the log in one line.

    Returns
    -------
    list of LinesOfFile
        One for each sequence and camera of the list that is there, in their order by name.

    Raises
    ------
    UsageError
        No sequence of the list is there; with `strict`, one is not.
    """
    names: dict[str, int] = {}
    for i, file in enumerate(files):
        names.setdefault(file.name, i)
    for i, file in enumerate(files):
        if file.split:
            names[f"{file.split}/{file.name}"] = i
    found = {name: _find(name, names) for name in split.sequences}
    missing = [name for name, i in found.items() if i < 0]
    if missing:
        _tell(split, files, missing, fatal=strict or len(missing) == len(found))
    lines = []
    lost = 0
    for g, (name, camera) in enumerate(split.groups):
        if found[name] < 0:
            continue
        rank = np.flatnonzero(split.group == g)
        frame = _timeline_index(files[found[name]], split.frame[rank], split.frame_refers_to)
        lost += int((frame < 0).sum())
        lines.append(LinesOfFile(found[name], camera, rank, frame))
    if lost:
        message = f"split {split.name}: {lost} of its frames are not in the files"
        if strict:
            raise UsageError(f"{message}; convert the whole sequences")
        logger.warning("%s", message)
    return lines


def _find(name: str, names: dict[str, int]) -> int:
    if name in names:
        return names[name]
    return names.get(name.rpartition("/")[2], -1)


def _tell(split: Split, files: Sequence[SequenceFile], missing: list[str], *, fatal: bool) -> None:
    total, there = len(split.sequences), len(split.sequences) - len(missing)
    if there == 0:
        some = ", ".join(file.name for file in files[:3]) + (" ..." if len(files) > 3 else "")
        raise UsageError(
            f"split {split.name}: 0 of its {total} sequences are among the {len(files)} files "
            f"given ({some}); convert {split.sequences[0]} and the others, or choose another split"
        )
    some = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
    without = np.array([name in set(missing) for name, _ in split.groups])
    lines = int(without[split.group].sum())
    message = (
        f"split {split.name}: {there} of its {total} sequences are on disk; {lines} of its "
        f"{len(split)} lines are left out, for these are missing: {some}"
    )
    if fatal:
        raise UsageError(f"{message}; convert them")
    logger.warning("%s", message)


def _timeline_index(file: SequenceFile, frame: Ints, refers_to: str) -> Ints:
    """Position in the timeline of each frame of a list; -1 where there is none."""
    if refers_to == "frame_id" and all(name.isdecimal() for name in file.frame_ids):
        position = {int(name): t for t, name in enumerate(file.frame_ids)}
        return np.array([position.get(f, -1) for f in frame.tolist()], dtype=np.int64)
    return np.where((frame >= 0) & (frame < len(file)), frame, -1)
