"""The kinds of windows that published rules have: from sequences to clips. Pure, no files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from depthdata.errors import UsageError

__all__ = ["KINDS", "Clip", "Listed", "draw_positions", "keyframe_clips", "source_offsets"]


class Listed(NamedTuple):
    """What a rule must know of a sequence; a plain tuple of the first three will do.

    Attributes
    ----------
    name : str
    split : str or None
        The source's own part (train, test ...).
    frames : int
        How many there are.
    frame_ids : tuple of str, optional
        The source's names of the frames; only rules that choose by them need it.
    """

    name: str
    split: str | None
    frames: int
    frame_ids: tuple[str, ...] | None = None


class Clip(NamedTuple):
    """One sample: frames of a sequence in the order of the rule, which may descend."""

    sequence: str
    frames: tuple[int, ...]

    def runs(self) -> str:
        """Write the frames as ``first-last``, ``first-last/step``, or one by one.

        Examples
        --------
        >>> Clip("a", (0, 1, 2)).runs(), Clip("a", (9, 7, 5)).runs(), Clip("a", (4,)).runs()
        ('0-2', '9-5/-2', '4')
        """
        first, last = self.frames[0], self.frames[-1]
        steps = {b - a for a, b in zip(self.frames, self.frames[1:], strict=False)}
        if len(steps) != 1:
            return " ".join(map(str, self.frames))
        step = steps.pop()
        return f"{first}-{last}" + (f"/{step}" if step != 1 else "")


def draw_positions(count: int, draw: Mapping[str, Any]) -> frozenset[int]:
    """Return the first entries of a seeded permutation of `count` numbers."""
    permutation = np.random.RandomState(draw["seed"]).permutation(count)
    return frozenset(permutation[: draw["first"]].tolist())


def _chunks(
    sequences: Sequence[Listed],
    *,
    length: int,
    at_most: int | None = None,
) -> Iterator[Clip]:
    """One after the other from frame 0; a last one that is not full is dropped."""
    for item in sequences:
        size = length if length > 0 else item.frames
        starts = range(0, item.frames - size + 1, size) if size else range(0)
        for ref in starts[:at_most]:
            yield Clip(item.name, tuple(range(ref, ref + size)))


def _sliding(
    sequences: Sequence[Listed],
    *,
    length: int,
    reversed: bool,
    last: bool,
) -> Iterator[Clip]:
    """At every frame, each followed by its twin in reversed time, if asked for."""
    _at_least_one(length)
    for item in sequences:
        for ref in range(item.frames - length + last):
            yield Clip(item.name, tuple(range(ref, ref + length)))
            if reversed:
                end = item.frames - 1 - ref
                yield Clip(item.name, tuple(range(end, end - length, -1)))


def _random_step(
    sequences: Sequence[Listed],
    *,
    length: int,
    every: int,
    steps: Sequence[int],
    seed: int,
) -> Iterator[Clip]:
    """At every third frame or so, with a step drawn once for each, also where it does not fit."""
    _at_least_one(length)
    random = np.random.RandomState(seed)
    for item in sequences:
        for ref in range(0, item.frames, every):
            step = int(random.randint(steps[0], steps[1] + 1)) if length > 1 else 1
            if ref + step * length < item.frames:
                yield Clip(item.name, tuple(range(ref, ref + step * length, step)))


def _frames(
    sequences: Sequence[Listed],
    *,
    frame_id: str | None = None,
    draw: Mapping[str, Any] | None = None,
) -> Iterator[Clip]:
    """Single frames: all, those of a name, or those that a permutation of all picks."""
    if frame_id is None:
        clips = [Clip(item.name, (t,)) for item in sequences for t in range(item.frames)]
    else:
        clips = [Clip(item.name, (t,)) for item in sequences for t in _named(item, frame_id)]
    if draw is None:
        return iter(clips)
    drawn = draw_positions(len(clips), draw)
    return (clip for i, clip in enumerate(clips) if i in drawn)


def source_offsets(frame_count: int = 2, dilation: int = 1, offset: int = 0) -> tuple[int, ...]:
    """Return MonoRec's source frames relative to the keyframe.

    >>> source_offsets(2), source_offsets(1), source_offsets(3)
    ((-1, 1), (1,), (-1, 1, 2))
    """
    first, last = -(frame_count // 2) * dilation, ((frame_count + 1) // 2) * dilation
    return tuple(i + offset for i in range(first, last + 1, dilation) if i)


def keyframe_clips(
    sequences: Sequence[Listed],
    *,
    frame_count: int = 2,
    dilation: int = 1,
    offset: int = 0,
    margin: int = 5,
    at_most: int | None = None,
) -> Iterator[Clip]:
    """Return MonoRec's windows: a keyframe, then its `frame_count` source frames around it.

    `margin` is how many frames at either end have no ground truth. The published loader mixes
    positions and numbers of frames, so a sequence with gaps is refused.
    """
    if frame_count < 1 or dilation < 1:
        raise UsageError(
            f"frame_count and dilation must be 1 or more, found {frame_count} and {dilation}"
        )
    around = source_offsets(frame_count, dilation, offset)
    first = max((frame_count // 2) * dilation, margin)
    ends = max(frame_count * dilation, 2 * margin)
    for item in sequences:
        names = item.frame_ids or ()
        odd = [t for t, name in enumerate(names) if name.isdecimal() and int(name) != t]
        if odd:
            raise UsageError(
                f"sequence {item.name}: expected frames numbered from 0 without a gap, found "
                f"{names[odd[0]]} at position {odd[0]}; convert the whole sequence"
            )
        for key in range(first, item.frames + first - ends)[:at_most]:
            frames = (key, *(key + step for step in around))
            if min(frames) >= 0 and max(frames) < item.frames:
                yield Clip(item.name, frames)


def _named(item: Listed, frame_id: str) -> list[int]:
    """Frames whose name is `frame_id`, or ends with it behind the name of the pair."""
    if item.frame_ids is None:
        if item.frames == 1:
            return [0]
        raise UsageError(
            f"sequence {item.name} has {item.frames} frames; the rule takes frame {frame_id!r} and "
            "needs their names: give Listed(name, split, frames, frame_ids)"
        )
    names = enumerate(item.frame_ids)
    return [t for t, name in names if name == frame_id or name.endswith(f"_{frame_id}")]


def _at_least_one(length: int) -> None:
    if length < 1:
        raise UsageError(f"windows have 1 frame or more, found sample_len={length}")


KINDS: dict[str, Callable[..., Iterator[Clip]]] = {
    "chunks": _chunks,
    "sliding": _sliding,
    "random_step": _random_step,
    "frames": _frames,
    "keyframes": keyframe_clips,
}
"""Kind of a rule's ``windows`` -> what lists its clips, in order; the rest of it are arguments."""
