"""Ranges of bytes, half-open as everywhere in Python, and the HTTP headers that speak of them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["ContentRange", "RangeSet", "pieces", "range_header"]

_CONTENT_RANGE = re.compile(r"\s*bytes\s+(?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)\s*", re.I)


class RangeSet:
    """Disjoint ranges ``[start, stop)`` in order; ranges that touch are one.

    >>> have = RangeSet([(0, 10), (20, 30)])
    >>> have.add(10, 12)
    >>> list(have), list(have.gaps(0, 40)), have.total
    ([(0, 12), (20, 30)], [(12, 20), (30, 40)], 22)
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"

    @property
    def total(self) -> int:
        """Bytes in all ranges."""
        return sum(self._stops) - sum(self._starts)

    @property
    def prefix(self) -> int:
        """Bytes from 0 on without a gap."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    @property
    def end(self) -> int:
        """Where the last range stops."""
        return self._stops[-1] if self._stops else 0

    def add(self, start: int, stop: int) -> None:
        """Add one range; an empty one changes nothing."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def overlap(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield what of ``[start, stop)`` is here."""
        for position in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[position] >= stop:
                return
            yield max(start, self._starts[position]), min(stop, self._stops[position])

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield what of ``[start, stop)`` is missing."""
        for begin, end in list(self.overlap(start, stop)):
            if begin > start:
                yield start, begin
            start = end
        if start < stop:
            yield start, stop

    def covers(self, start: int, stop: int) -> bool:
        """Tell whether nothing of ``[start, stop)`` is missing."""
        return next(self.gaps(start, stop), None) is None


def pieces(gaps: Iterable[tuple[int, int]], most: int) -> Iterator[tuple[int, int]]:
    """Yield the gaps, cut so that none is longer than `most`, of about equal length.

    >>> list(pieces([(0, 10), (50, 52)], 4))
    [(0, 4), (4, 8), (8, 10), (50, 52)]
    """
    for start, stop in gaps:
        for begin in range(start, stop, most):
            yield begin, min(begin + most, stop)


class ContentRange(NamedTuple):
    """The header ``Content-Range``: which bytes of how many; None where it does not say.

    >>> ContentRange.parse("bytes 0-99/1000")
    ContentRange(start=0, stop=100, size=1000)
    >>> ContentRange.parse("bytes */1000")
    ContentRange(start=None, stop=None, size=1000)
    >>> ContentRange.parse("bytes 9-1/1000") is None
    True
    """

    start: int | None
    stop: int | None
    size: int | None

    @classmethod
    def parse(cls, text: str | None) -> ContentRange | None:
        """Return what the header says; None where there is none or it makes no sense."""
        found = _CONTENT_RANGE.fullmatch(text or "")
        if found is None:
            return None
        first, last, total = found.groups()
        size = None if total == "*" else int(total)
        if first is None:
            return cls(None, None, size)
        start, stop = int(first), int(last) + 1
        if start >= stop or (size is not None and stop > size):
            return None
        return cls(start, stop, size)


def range_header(start: int, stop: int | None) -> str:
    """Return the value of ``Range`` that asks for ``[start, stop)``; None: to the end.

    >>> range_header(0, 100), range_header(100, None)
    ('bytes=0-99', 'bytes=100-')
    """
    return f"bytes={start}-{'' if stop is None else stop - 1}"
