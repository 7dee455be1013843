"""Overlapping windows over a video of any length, and which frames of each are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Window", "Windows"]

Frame = TypeVar("Frame")


@dataclass(frozen=True)
class Window(Generic[Frame]):
    """One window of a video.

    Parameters
    ----------
    frames : list
        What was given for its frames, in order.
    fresh : int
        How many of them, at the end, no earlier window had.
    start : int
        Index of the first frame in the video.
    kept : slice
        The frames whose results are kept; indices into `frames`.
    """

    frames: list[Frame]
    fresh: int
    start: int
    kept: slice


@dataclass(frozen=True)
class Windows:
    """Windows that begin every half a window; neighbours meet in the middle of their overlap.

    Parameters
    ----------
    size : int
        Frames of a window; the last one may be shorter, and so is the only one of a short video.
    reference : bool
        Keep what DynamicStereo's authors keep. That is the same for an even `size` and at least as
        many frames. Otherwise frames at the end are lost (a video shorter than a window) or occur
        twice (an odd size).

    Examples
    --------
    >>> for window in Windows(4).over("abcdefg"):
    ...     print("".join(window.frames), "".join(window.frames[window.kept]))
    abcd abc
    cdef de
    efg fg
    >>> [window.frames[window.kept] for window in Windows(4, reference=True).over("abc")]
    [['a', 'b'], []]
    """

    size: int
    reference: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that give no windows."""
        least = 2 if self.reference else 1
        if self.size < least:
            kind = "a window of the authors" if self.reference else "a window"
            raise ValueError(f"{kind} has at least {least} frames; got {self.size}")

    @property
    def step(self) -> int:
        """Frames from one window to the next."""
        return max(1, self.size // 2)

    def over(self, video: Iterable[Frame]) -> Iterator[Window[Frame]]:
        """Windows of a video, which is read no further than the window at hand."""
        source = iter(video)
        frames = list(islice(source, self.size))
        start, fresh = 0, len(frames)
        while frames:
            kept = self._kept(len(frames), first=start == 0)
            yield Window(frames, fresh, start, kept)
            if len(frames) < self.size and not self.reference:
                return  # the end was reached, and is kept
            new = list(islice(source, self.step))
            frames, start, fresh = [*frames[self.step :], *new], start + self.step, len(new)

    def _kept(self, length: int, *, first: bool) -> slice:
        if self.reference:
            before, behind = self.step // 2, self.step - self.step // 2
            if first:
                return slice(0, max(0, length - behind))
            if length < self.step:
                return slice(0, 0)
            return slice(before, length if length < self.size else length - behind)
        handover = (self.size - self.step) // 2
        begin = 0 if first else handover
        return slice(begin, self.step + handover if length == self.size else length)
