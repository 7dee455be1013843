"""Compare two sequence files by decoded content: compression and encoding may differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from depthdata.codecs.images import decode_image
from depthdata.comparison.difference import Difference
from depthdata.comparison.trees import array_difference
from depthdata.sequence import Camera, Sequence, Stream, open_sequence
from depthdata.sequence.streams import EncodedStream, PointsStream

__all__ = ["differences"]

# How values are stored, not what they are.
_STORAGE = frozenset({"kind", "encoding", "bit_depth", "scale", "missing"})


def differences(a: Path, b: Path) -> Iterator[Difference]:
    """Yield what differs between two sequence files."""
    with open_sequence(a) as left, open_sequence(b) as right:
        yield from _facts("", left, right, ("dataset", "name", "split", "licence", "attrs"))
        if left.frame_ids != right.frame_ids:
            yield Difference("frame_ids", _lists(left.frame_ids, right.frame_ids))
            return  # nothing below can be matched frame by frame
        yield from _arrays("timestamps", left.timestamps, right.timestamps)
        if left.stereo_pairs != right.stereo_pairs:
            yield Difference("stereo_pairs", f"{left.stereo_pairs}, but {right.stereo_pairs}")
        for name in _common("camera", left.cameras, right.cameras):
            if isinstance(name, Difference):
                yield name
            else:
                yield from _cameras(name, left.cameras[name], right.cameras[name], left)
        for name in _common("pose set", left.pose_sets, right.pose_sets):
            if isinstance(name, Difference):
                yield name
            else:
                yield from _columns(f"pose set {name}", left.pose_sets[name], right.pose_sets[name])
        for name in _common("tracks", left.tracks, right.tracks):
            if isinstance(name, Difference):
                yield name
            else:
                yield from _columns(f"tracks {name}", left.tracks[name], right.tracks[name])
        if (left.objects is None) != (right.objects is None):
            yield Difference(
                "objects", f"only in the {'second' if left.objects is None else 'first'}"
            )
        elif left.objects is not None:
            yield from _columns("objects", left.objects, right.objects)


def _cameras(name: str, a: Camera, b: Camera, sequence: Sequence) -> Iterator[Difference]:
    where = f"camera {name}"
    facts = ("height", "width", "model", "distortion_model", "transform")
    yield from _facts(where, a, b, facts)
    for fact in ("distortion", "poses", "T_rig_cam", "timestamps"):
        yield from _arrays(f"{where} {fact}", getattr(a, fact), getattr(b, fact))
    matrices = [np.stack([c.intrinsics(t) for t in range(len(sequence))]) for c in (a, b)]
    yield from _arrays(f"{where} intrinsics", *matrices)
    for stream in _common(f"{where} stream", a.streams, b.streams):
        if isinstance(stream, Difference):
            yield stream
        else:
            yield from _streams(f"{where} {stream}", a[stream], b[stream], sequence)


def _streams(where: str, a: Stream, b: Stream, sequence: Sequence) -> Iterator[Difference]:
    if (a.kind == "points") != (b.kind == "points"):
        yield Difference(where, f"is {a.kind}, but {b.kind}")
        return
    for fact in sorted({*a.attrs, *b.attrs} - _STORAGE):
        left, right = a.attrs.get(fact), b.attrs.get(fact)
        if left != right:
            yield Difference(f"{where} {fact}", f"{left!r}, but {right!r}")
    if not np.array_equal(a.frames, b.frames):
        yield Difference(where, f"{len(a.frames)} frames, but {len(b.frames)}")
    for t in sorted({*a.frames.tolist()} & {*b.frames.tolist()}):
        yield from _frames(f"{where} frame {sequence.frame_ids[t]}", a, b, t)


def _frames(where: str, a: Stream, b: Stream, t: int) -> Iterator[Difference]:
    if isinstance(a, PointsStream) and isinstance(b, PointsStream):
        yield from _columns(where, a.points(t), b.points(t))
    elif isinstance(a, EncodedStream) and isinstance(b, EncodedStream):
        left, right = bytes(a.blob(t)), bytes(b.blob(t))
        if left != right:
            yield from _arrays(where, decode_image(left), decode_image(right))
    else:
        yield from _arrays(where, a[t], b[t])


def _common(what: str, a: Any, b: Any) -> Iterator[Any]:
    """Names on both sides; a `Difference` for each name on one side only."""
    for name in sorted({*a, *b}):
        if name in a and name in b:
            yield name
        else:
            yield Difference(f"{what} {name}", f"only in the {'first' if name in a else 'second'}")


def _facts(where: str, a: object, b: object, names: tuple[str, ...]) -> Iterator[Difference]:
    for name in names:
        left, right = getattr(a, name), getattr(b, name)
        if left != right:
            yield Difference(f"{where} {name}".strip(), f"{left!r}, but {right!r}")


def _columns(where: str, a: object, b: object) -> Iterator[Difference]:
    left, right = vars(a), vars(b)
    for name, column in left.items():
        other = right[name]
        if isinstance(column, str):
            if column != other:
                yield Difference(f"{where} {name}", f"{column}, but {other}")
        else:
            yield from _arrays(f"{where} {name}", column, other)


def _arrays(where: str, a: Any, b: Any) -> Iterator[Difference]:
    if a is None or b is None:
        if a is not b:
            yield Difference(where, f"only in the {'second' if a is None else 'first'}")
        return
    message = array_difference(np.asarray(a), np.asarray(b))
    if message is not None:
        yield Difference(where, message)


def _lists(a: tuple[str, ...], b: tuple[str, ...]) -> str:
    only_a, only_b = sorted({*a} - {*b}), sorted({*b} - {*a})
    return f"{len(a)} frames, but {len(b)}; only in one: {', '.join([*only_a, *only_b][:6]) or '-'}"
