"""Find the sequence files of a dataset and list the windows that can be had from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.loading.candidates import Anchors, Ints, Selection, find_anchors
from depthdata.loading.window import Window

if TYPE_CHECKING:
    from depthdata.sequence import Camera
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["Catalogue", "Image", "build_catalogue", "find_files", "has_stream", "stream_of"]

logger = logging.getLogger(__name__)

Root = str | Path | Iterable[str | Path]
Image = str | Mapping[str, str]


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
        Timeline frames of each sample, with -1 behind the last one of a sample that has fewer
        than K.
    anchor : int array, (n,)
        The anchor frame of each sample.
    """

    paths: tuple[Path, ...]
    rigs: tuple[tuple[str, ...], ...]
    source: Ints
    rig: Ints
    frames: Ints
    anchor: Ints

    def window(self, i: int) -> list[int]:
        """Return the timeline frames of sample `i`."""
        frames: list[int] = self.frames[i].tolist()
        return frames if frames[-1] >= 0 else [t for t in frames if t >= 0]


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


def stream_of(camera: Camera, name: str, image: Image) -> str:
    """Return which stream of a camera is wanted under a name: another picture may stand for rgb."""
    if name != "rgb":
        return name
    return image if isinstance(image, str) else image.get(camera.name, name)


def has_stream(camera: Camera, name: str) -> bool:
    """Whether a camera has a stream, stored or derived."""
    return name in camera.streams or name in camera.derived


def build_catalogue(
    paths: Sequence[Path],
    sequences: Sequence[SequenceFile],
    selection: Selection | None,
    window: Window,
    cameras: tuple[str, ...] | None,
    streams: tuple[str, ...],
    require: tuple[str, ...],
    image: Image,
) -> Catalogue:
    """List the samples: what is selected, or every `hop`-th frame, less what does not fit."""
    candidates = find_anchors(sequences, cameras, selection, window.hop)
    _streams_somewhere(sequences, candidates, (*streams, *require), image)
    parts: list[tuple[npt.NDArray[np.int64], ...]] = []
    total = left = lacking = 0
    rigs = tuple(sorted({c.cameras for c in candidates}))
    longest = max(len(window) if c.frames is None else c.frames.shape[1] for c in candidates)
    for anchors in candidates:
        seq = sequences[anchors.source]
        usable = _images_present(seq, anchors.cameras, streams, image)
        if anchors.frames is None:
            frames, keep = window.frames(anchors.frame, usable, seq.timestamps)
        else:
            frames, keep = anchors.frames, _fit(anchors.frames, usable)
        have = _present(seq, anchors.cameras[:1], require, image)
        have = have[anchors.frame.clip(0, len(seq) - 1)]
        total += len(keep)
        left += int((~keep).sum())
        lacking += int((keep & ~have).sum())
        keep &= have
        count = int(keep.sum())
        padded = np.full((count, longest), -1, dtype=np.int64)
        padded[:, : frames.shape[1]] = frames[keep]
        parts.append(
            (
                np.full(count, anchors.source, dtype=np.int64),
                np.full(count, rigs.index(anchors.cameras), dtype=np.int64),
                padded,
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


def _fit(frames: Ints, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which clips lie in the sequence and meet usable frames only."""
    there = frames >= 0
    inside = frames < len(usable)
    found = usable[frames.clip(0, len(usable) - 1)] if len(usable) else inside
    return np.asarray(((inside & found) | ~there).all(axis=1) & there[:, 0])


def _streams_somewhere(
    sequences: Sequence[SequenceFile],
    candidates: Sequence[Anchors],
    streams: tuple[str, ...],
    image: Image,
) -> None:
    """Raise where nothing has a stream, or where a picture has another name in a file."""
    pairs = sorted({(a.source, c) for a in candidates for c in a.cameras})
    cameras = {pair: sequences[pair[0]].cameras[pair[1]] for pair in pairs}
    odd = [] if isinstance(image, str) else sorted(image.keys() - {c for _, c in pairs})
    if odd:
        raise UsageError(
            f"image names camera {', '.join(odd)}; the cameras loaded are "
            f"{', '.join(sorted({c for _, c in pairs}))}"
        )
    for name in streams:
        wanted = {pair: stream_of(camera, name, image) for pair, camera in cameras.items()}
        found = {pair for pair in pairs if has_stream(cameras[pair], wanted[pair])}
        for i, c in pairs:
            others = [s for s in cameras[i, c].streams if is_rendering(s)]
            if (i, c) not in found and name == "rgb" and others:
                raise UsageError(
                    f"{sequences[i].path}: camera {c} has no picture {wanted[i, c]!r} but "
                    f"{', '.join(others)}; give image={others[0]!r}"
                )
        if not found:
            there = sorted({s for i, c in pairs for s in _all_streams(cameras[i, c])})
            seq = sequences[pairs[0][0]]
            raise UsageError(
                f"{seq.path}{' and the others' if len(pairs) > 1 else ''}: no stream "
                f"{wanted[pairs[0]]!r} in cameras {sorted({c for _, c in pairs})}; there are: "
                f"{', '.join(there) or 'none'}"
            )


def is_rendering(name: str) -> bool:
    """Whether a stream is a picture of the same view as ``rgb``, which may stand for it."""
    return name == "rgb" or (name.startswith("rgb_") and not name[4:5].isdigit())


def _all_streams(camera: Camera) -> tuple[str, ...]:
    return (*camera.streams, *camera.derived)


def _images_present(
    seq: SequenceFile, cameras: tuple[str, ...], streams: tuple[str, ...], image: Image
) -> npt.NDArray[np.bool_]:
    """Frames in which every image stream of every camera is there."""
    usable = np.ones(len(seq), dtype=bool)
    for camera in cameras:
        cam = seq.cameras[camera]
        for name in (stream_of(cam, each, image) for each in streams):
            if name in cam.streams and cam[name].kind == "encoded":
                usable &= cam[name].present
    return usable


def _present(
    seq: SequenceFile, cameras: tuple[str, ...], streams: tuple[str, ...], image: Image
) -> npt.NDArray[np.bool_]:
    present = np.ones(len(seq), dtype=bool)
    for camera in cameras:
        cam = seq.cameras[camera]
        for name in (stream_of(cam, each, image) for each in streams):
            present &= cam[name].present if has_stream(cam, name) else False
    return present
