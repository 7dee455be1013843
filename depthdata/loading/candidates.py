"""Where windows may start: every frame, the lines of a split list, or the clips of a rule."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.split_files import find_lines
from depthdata.splits import Split
from depthdata.windows import Clip, WindowRule

if TYPE_CHECKING:
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["Anchors", "Selection", "find_anchors"]

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Selection = Split | WindowRule | tuple[Clip, ...]


@dataclass(frozen=True, eq=False)
class Anchors:
    """Candidate anchor frames of one sequence and camera, in dataset order of `rank`.

    Where a rule gives the frames themselves they are in `frames` (n, K), with -1 behind the last
    one of a clip that has fewer than K.
    """

    source: int
    cameras: tuple[str, ...]
    frame: Ints
    rank: Ints
    frames: Ints | None = None


def find_anchors(
    sequences: Sequence[SequenceFile],
    cameras: tuple[str, ...] | None,
    selection: Selection | None,
    hop: int,
) -> list[Anchors]:
    """List the candidates of the sequences; `hop` is for those of every frame."""
    if selection is None:
        return _every_frame(sequences, cameras, hop)
    if isinstance(selection, Split):
        return _lines_on_disk(sequences, cameras, selection)
    if isinstance(selection, WindowRule):
        clips = selection.resolve_files(sequences)
        return _clips_on_disk(sequences, cameras, clips, f"rule {selection.name}")
    return _clips_on_disk(sequences, cameras, selection, "clips")


def _every_frame(
    sequences: Sequence[SequenceFile], cameras: tuple[str, ...] | None, hop: int
) -> list[Anchors]:
    candidates: list[Anchors] = []
    start = 0
    for i, seq in enumerate(sequences):
        wanted = cameras or _usual_camera(seq)
        if any(c not in seq.cameras for c in wanted):
            logger.info("%s: left out, it lacks one of the cameras %s", seq.path, wanted)
            continue
        frame = np.arange(0, len(seq), hop, dtype=np.int64)
        candidates.append(Anchors(i, wanted, frame, start + np.arange(len(frame))))
        start += len(frame)
    if not candidates:
        raise UsageError(_no_camera(sequences, cameras))
    return candidates


def _lines_on_disk(
    sequences: Sequence[SequenceFile], cameras: tuple[str, ...] | None, split: Split
) -> list[Anchors]:
    candidates: list[Anchors] = []
    other = 0
    for lines in find_lines(split, sequences):
        there = sequences[lines.file].cameras
        rig = cameras or (lines.camera,)
        if rig[0] != lines.camera or any(c not in there for c in rig):
            other += len(lines.rank)
            continue
        known = lines.frame >= 0
        candidates.append(Anchors(lines.file, rig, lines.frame[known], lines.rank[known]))
    if not candidates:
        raise UsageError(
            f"split {split.name}: none of its {other} lines on disk is of camera "
            f"{(cameras or ('?',))[0]} with all of {cameras}; its cameras are "
            f"{sorted({c for _, c in split.groups})}, the files have "
            f"{sorted({c for s in sequences for c in s.cameras})}"
        )
    return candidates


def _clips_on_disk(
    sequences: Sequence[SequenceFile],
    cameras: tuple[str, ...] | None,
    clips: Sequence[Clip],
    what: str,
) -> list[Anchors]:
    by_name: dict[str, list[int]] = {}
    for rank, clip in enumerate(clips):
        by_name.setdefault(clip.sequence, []).append(rank)
    candidates: list[Anchors] = []
    lacking = []
    done = set()
    for i, seq in enumerate(sequences):
        ranks = by_name.get(seq.name)
        if ranks is None or seq.name in done:
            continue
        done.add(seq.name)
        wanted = cameras or _usual_camera(seq)
        if any(c not in seq.cameras for c in wanted):
            lacking.append(seq)
            continue
        longest = max(len(clips[rank].frames) for rank in ranks)
        frames = np.full((len(ranks), longest), -1, dtype=np.int64)
        for row, rank in zip(frames, ranks, strict=True):
            row[: len(clips[rank].frames)] = clips[rank].frames
        candidates.append(Anchors(i, wanted, frames[:, 0].copy(), np.array(ranks), frames))
    if not done:
        some = ", ".join(seq.name for seq in sequences[:3]) + (" ..." if len(sequences) > 3 else "")
        raise UsageError(
            f"{what}: 0 of the {len(by_name)} sequences are among the {len(sequences)} files given "
            f"({some})"
        )
    if len(done) < len(by_name):
        logger.warning("%s: %d of %d sequences are on disk", what, len(done), len(by_name))
    if not candidates:
        raise UsageError(_no_camera(lacking, cameras))
    return candidates


def _usual_camera(seq: SequenceFile) -> tuple[str, ...]:
    return ("left",) if "left" in seq.cameras else tuple(seq.cameras)[:1]


def _no_camera(sequences: Sequence[SequenceFile], cameras: tuple[str, ...] | None) -> str:
    there = sorted({c for seq in sequences for c in seq.cameras})
    return (
        f"{sequences[0].path}{' and the others' if len(sequences) > 1 else ''}: "
        f"no camera {', '.join(cameras or ('at all',))}; there are: {', '.join(there) or 'none'}"
    )
