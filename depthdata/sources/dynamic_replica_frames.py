"""What the annotations of Dynamic Replica say of a sequence: found, carried, taken apart.

A split of 290,000 frames is scanned once. Each sequence carries the text of its own frame objects,
compressed, so that a worker parses its own frames only.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from depthdata.codecs.frame_annotations import (
    FrameAnnotation,
    annotated_objects,
    parse_frame,
)
from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import SequenceSpec

__all__ = ["KINDS", "VIEWS", "Views", "annotated_paths", "fingerprint", "scan", "views_of"]

VIEWS = ("left", "right")
"""Camera names."""

KINDS = {
    "depth": "depth",
    "masks/foreground": "mask",
    "flow_forward": "flow_forward",
    "flow_forward_valid": "flow_forward_mask",
    "flow_backward": "flow_backward",
    "flow_backward_valid": "flow_backward_mask",
    "instances": "instances",
    "tracks": "trajectories",
}
"""Streams that may be left out, and the field of `FrameAnnotation` that names their files."""

Views = Mapping[str, list[FrameAnnotation]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BLOCK = 1 << 16


class _Texts:
    """The frame objects of one sequence, compressed block by block."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self._lines: list[str] = []
        self._size = 0

    def add(self, number: int, text: str) -> None:
        # between the parts of an object a line break is a blank; within text JSON forbids it
        line = f"{number} {text}".replace("\n", " ").replace("\r", " ")
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _BLOCK:
            self.pack()

    def pack(self) -> None:
        if self._lines:
            self.blocks.append(zlib.compress("\n".join(self._lines).encode(), 3))
            self._lines, self._size = [], 0


def scan(path: Path, split: str, recording: str | None) -> list[SequenceSpec]:
    """Return the sequences of one annotation in the order of their first frames.

    Parameters
    ----------
    path : Path
    split : str
    recording : str, optional
        Name of a real recording: of the sequence, where the annotation has one only.

    Raises
    ------
    FormatError
        The annotation is damaged.
    SourceError
        It has no frame, or a sequence whose name cannot be that of a file.
    """
    texts: dict[str, _Texts] = {}
    last = ""
    for number, text, value in annotated_objects(path):
        name = value.get("sequence_name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 200:
            raise SourceError(
                f"{path}, frame object {number}: expected a sequence_name of letters, digits, "
                f"'-', '_' and '.', found {str(name)[:40]!r}"
            )
        if last and name != last:
            texts[last].pack()
        texts.setdefault(name, _Texts()).add(number, text)
        last = name
    if not texts:
        raise SourceError(f"{path}: the annotation names no frame; unpack it again")
    texts[last].pack()
    specs = []
    for name, found in texts.items():
        called = name
        if recording is not None:
            called = recording if len(texts) == 1 else f"{recording}_{name}"
        files = {"annotation": path.name, "frames": tuple(found.blocks)}
        specs.append(SequenceSpec("dynamic_replica", called, str(path.parent), split, files))
    return specs


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the frame objects of a sequence and of the files that are there."""
    import xxhash

    from depthdata.sources.files import fingerprint_files

    digest = xxhash.xxh3_128()
    names = []
    for number, text in _lines(spec):
        digest.update(text.encode() + b"\n")
        names += _paths(_parsed(spec, number, text))
    present = [name for name in names if (Path(spec.root) / name).is_file()]
    digest.update(fingerprint_files(spec.root, present).encode())
    return f"xxh3:{digest.hexdigest()}"


def views_of(spec: SequenceSpec) -> Views:
    """Return the frames of both views, checked: as many, with the same numbers, without a gap.

    Raises
    ------
    SourceError
        A view lacks frames, a frame object lacks something, or a path leaves the folder.
    """
    views: dict[str, list[FrameAnnotation]] = {name: [] for name in VIEWS}
    where = f"{Path(spec.root) / spec.files['annotation']}, sequence {spec.name}"
    for number, text in _lines(spec):
        frame = _parsed(spec, number, text)
        if frame.camera not in views:
            raise SourceError(f"{where}: expected cameras left and right, found {frame.camera!r}")
        views[frame.camera].append(frame)
    left, right = (views[name] for name in VIEWS)
    if len(left) != len(right):
        raise SourceError(
            f"{where}: {len(left)} left but {len(right)} right frames; take the published file"
        )
    first = left[0].number
    for name, frames in views.items():
        for t, frame in enumerate(frames):
            if frame.number != first + t:
                raise SourceError(
                    f"{where}, {name}: expected frame {first + t} after "
                    f"{frames[t - 1].number if t else 'the start'}, found {frame.number}; "
                    "take the published file"
                )
    return views


def annotated_paths(
    root: Path, frames: list[FrameAnnotation], kind: str
) -> tuple[dict[int, Path], int]:
    """Return the files of a kind that are there, by frame, and how many are annotated.

    Parameters
    ----------
    root : Path
    frames : list of FrameAnnotation
    kind : str
        A field of `FrameAnnotation`: ``image``, ``depth`` ...
    """
    named = {t: root / name for t, f in enumerate(frames) if (name := getattr(f, kind)) is not None}
    return {t: path for t, path in named.items() if path.is_file()}, len(named)


def _lines(spec: SequenceSpec) -> Iterator[tuple[int, str]]:
    for block in spec.files["frames"]:
        for line in zlib.decompress(block).decode().split("\n"):
            number, _, text = line.partition(" ")
            yield int(number), text


def _parsed(spec: SequenceSpec, number: int, text: str) -> FrameAnnotation:
    import json

    where = f"{Path(spec.root) / spec.files['annotation']}, frame object {number}"
    value: dict[str, Any] = json.loads(text)
    try:
        frame = parse_frame(value, where)
    except FormatError as error:
        raise SourceError(str(error)) from error
    for name in _paths(frame):
        path = PurePosixPath(name)
        outside = path.is_absolute() or ".." in path.parts or "\\" in name
        if outside or not name.isprintable():
            raise SourceError(
                f"{where}: path {name[:80]!r} does not lie below {spec.root}; "
                "take the published file"
            )
    return frame


def _paths(frame: FrameAnnotation) -> list[str]:
    found = [frame.image, *(getattr(frame, field) for field in KINDS.values())]
    return [name for name in found if name is not None]
