"""Find the sequence files of a dataset and list the windows that can be had from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.loading.window import Window
from depthdata.splits import Split

if TYPE_CHECKING:
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["Anchors", "Catalogue", "build_catalogue", "find_files"]

logger = logging.getLogger(__name__)

Root = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class Anchors:
    """Candidate anchor frames of one sequence and camera, in dataset order of `rank`."""

    source: int
    cameras: tuple[str, ...]
    frame: npt.NDArray[np.int64]
    rank: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Everything a dataset must know to make sample i: plain arrays, cheap to pickle.

    Attributes
    ----------
    paths : tuple of Path
    rigs : tuple of tuple of str
        The camera tuples that occur.
    source, rig : int array, (n,)
        File and cameras of each sample.
    frames : int array, (n, K)
        Timeline frames of each sample.
    anchor : int array, (n,)
        The anchor frame of each sample.
    """

    paths: tuple[Path, ...]
    rigs: tuple[tuple[str, ...], ...]
    source: npt.NDArray[np.int64]
    rig: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]
    anchor: npt.NDArray[np.int64]


def find_files(root: Root) -> tuple[Path, ...]:
    """Return the sequence files of a folder, a file, or a list of either, sorted by name."""
    if not isinstance(root, str | Path):
        return tuple(file for part in root for file in find_files(part))
    path = Path(root)
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder or file; expected converted sequences (*.h5)")
    files = tuple(sorted(p for p in path.glob("*.h5") if p.is_file()))
    if not files:
        raise UsageError(
            f"{path}: no sequence files (*.h5) here; convert a dataset into this folder first"
        )
    return files


def build_catalogue(
    paths: Sequence[Path],
    sequences: Sequence[SequenceFile],
    split: Split | None,
    window: Window,
    cameras: tuple[str, ...] | None,
    streams: tuple[str, ...],
    require: tuple[str, ...],
) -> Catalogue:
    """List the samples: split lines or every `hop`-th frame, less the windows that do not fit."""
    candidates = (
        _every_frame(sequences, cameras, window.hop)
        if split is None
        else _lines_on_disk(sequences, cameras, split)
    )
    _streams_somewhere(sequences, candidates, (*streams, *require))
    parts: list[tuple[npt.NDArray[np.int64], ...]] = []
    total = left = lacking = 0
    rigs = tuple(sorted({c.cameras for c in candidates}))
    for anchors in candidates:
        seq = sequences[anchors.source]
        frames, keep = window.frames(
            anchors.frame, _images_present(seq, anchors.cameras, streams), seq.timestamps
        )
        have = _present(seq, anchors.cameras[:1], require)[anchors.frame.clip(0, len(seq) - 1)]
        total += len(keep)
        left += int((~keep).sum())
        lacking += int((keep & ~have).sum())
        keep &= have
        count = int(keep.sum())
        parts.append(
            (
                np.full(count, anchors.source, dtype=np.int64),
                np.full(count, rigs.index(anchors.cameras), dtype=np.int64),
                frames[keep],
                anchors.frame[keep],
                anchors.rank[keep],
            )
        )
    what = (
        f"{total} candidate frames, {left} of them with a window that leaves the sequence or "
        f"meets a frame without an image"
        + (f", {lacking} without {', '.join(require)}" if require else "")
    )
    if total == left + lacking:
        raise UsageError(f"no frames left: {what}; choose another window, split or require")
    if left or lacking:
        logger.info("%s", what)
    source, rig, frames, anchor, rank = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.argsort(rank, kind="stable")
    used, source = np.unique(source[order], return_inverse=True)
    return Catalogue(
        tuple(paths[i] for i in used),
        rigs,
        source.astype(np.int64).reshape(-1),
        rig[order],
        frames[order],
        anchor[order],
    )


def _every_frame(
    sequences: Sequence[SequenceFile], cameras: tuple[str, ...] | None, hop: int
) -> list[Anchors]:
    candidates: list[Anchors] = []
    start = 0
    for i, seq in enumerate(sequences):
        wanted = cameras or (("left",) if "left" in seq.cameras else tuple(seq.cameras)[:1])
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
    names: dict[str, int] = {}
    for i, seq in enumerate(sequences):
        names.setdefault(seq.name, i)
        if seq.split:
            names.setdefault(f"{seq.split}/{seq.name}", i)
    found = {s: names.get(s, names.get(s.rpartition("/")[2], -1)) for s in split.sequences}
    present = sum(i >= 0 for i in found.values())
    if present == 0:
        some = ", ".join(seq.name for seq in sequences[:3]) + (" ..." if len(sequences) > 3 else "")
        raise UsageError(
            f"split {split.name}: 0 of its {len(found)} sequences are among the "
            f"{len(sequences)} files given ({some}); convert {split.sequences[0]} and the others, "
            "or choose another split"
        )
    if present < len(found):
        logger.warning(
            "split %s: %d of its %d sequences are on disk", split.name, present, len(found)
        )
    candidates: list[Anchors] = []
    other = lost = 0
    for g, (name, camera) in enumerate(split.groups):
        if found[name] < 0:
            continue
        seq = sequences[found[name]]
        rank = np.flatnonzero(split.group == g)
        rig = cameras or (camera,)
        if rig[0] != camera or any(c not in seq.cameras for c in rig):
            other += len(rank)
            continue
        frame = _timeline_index(seq, split.frame[rank], split.frame_refers_to)
        lost += int((frame < 0).sum())
        rank, frame = rank[frame >= 0], frame[frame >= 0]
        candidates.append(Anchors(found[name], rig, frame, rank))
    if lost:
        logger.warning("split %s: %d of its frames are not in the files", split.name, lost)
    if not candidates:
        raise UsageError(
            f"split {split.name}: none of its {other} lines on disk is of camera "
            f"{(cameras or ('?',))[0]} with all of {cameras}; its cameras are "
            f"{sorted({c for _, c in split.groups})}, the files have "
            f"{sorted({c for s in sequences for c in s.cameras})}"
        )
    return candidates


def _timeline_index(
    seq: SequenceFile, frame: npt.NDArray[np.int64], refers_to: str
) -> npt.NDArray[np.int64]:
    """Position in the timeline of each frame of a list; -1 where there is none."""
    if refers_to == "frame_id" and all(name.isdecimal() for name in seq.frame_ids):
        position = {int(name): t for t, name in enumerate(seq.frame_ids)}
        return np.array([position.get(f, -1) for f in frame.tolist()], dtype=np.int64)
    return np.where((frame >= 0) & (frame < len(seq)), frame, -1)


def _streams_somewhere(
    sequences: Sequence[SequenceFile], candidates: Sequence[Anchors], streams: tuple[str, ...]
) -> None:
    pairs = sorted({(a.source, c) for a in candidates for c in a.cameras})
    for name in streams:
        if not any(name in sequences[i].cameras[c].streams for i, c in pairs):
            there = sorted({s for i, c in pairs for s in sequences[i].cameras[c].streams})
            seq = sequences[pairs[0][0]]
            raise UsageError(
                f"{seq.path}{' and the others' if len(pairs) > 1 else ''}: no stream {name!r} in "
                f"cameras {sorted({c for _, c in pairs})}; there are: {', '.join(there) or 'none'}"
            )


def _images_present(
    seq: SequenceFile, cameras: tuple[str, ...], streams: tuple[str, ...]
) -> npt.NDArray[np.bool_]:
    """Frames in which every image stream of every camera is there."""
    usable = np.ones(len(seq), dtype=bool)
    for camera in cameras:
        cam = seq.cameras[camera]
        for name in streams:
            if name in cam.streams and cam[name].kind == "encoded":
                usable &= cam[name].present
    return usable


def _present(
    seq: SequenceFile, cameras: tuple[str, ...], streams: tuple[str, ...]
) -> npt.NDArray[np.bool_]:
    present = np.ones(len(seq), dtype=bool)
    for camera in cameras:
        cam = seq.cameras[camera]
        for name in streams:
            present &= cam[name].present if name in cam.streams else False
    return present


def _no_camera(sequences: Sequence[SequenceFile], cameras: tuple[str, ...] | None) -> str:
    there = sorted({c for seq in sequences for c in seq.cameras})
    return (
        f"{sequences[0].path}{' and the others' if len(sequences) > 1 else ''}: "
        f"no camera {', '.join(cameras or ('at all',))}; there are: {', '.join(there) or 'none'}"
    )
