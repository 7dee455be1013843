"""Points streams on their way into the file: how many there will be is known only at the end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from depthdata.errors import UsageError
from depthdata.sequence.points import COLUMNS, PointKind, Points, one_per_pixel
from depthdata.sequence.target import Target, write_all

__all__ = ["PointSpool", "Waiting"]

_COPY = 1 << 20
IN_MEMORY = 32 << 20
"""Bytes that wait in memory, of all streams of a file; what is more waits in temporary files."""


class Waiting:
    """What the points streams of one file hold in memory together, in bytes."""

    def __init__(self) -> None:
        self.size = 0


class PointSpool:
    """Columns of one points stream: in memory, and beyond `IN_MEMORY` in files beside the part.

    Parameters
    ----------
    group : str
        HDF5 path of the stream.
    place : callable
        Gives the path of a temporary file for a name.
    size : (height, width)
        Of the picture that the points belong to.
    shared : Waiting
        Counts for all streams of the file.
    """

    def __init__(
        self,
        group: str,
        place: Callable[[str], Path],
        size: tuple[int, int],
        shared: Waiting,
    ) -> None:
        self._group, self._place, self._size, self._shared = group, place, size, shared
        self._files: dict[str, BinaryIO] = {}
        self._waiting: dict[str, list[bytes]] = {}
        self._waiting_size = 0
        self._spilled: Counter[str] = Counter()
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._counts: list[int] = []
        self._digests: list[int] = []
        self.kind: PointKind = "subpixel"
        self.one_per_pixel = True

    def add(self, points: Points, where: str = "points") -> None:
        """Append the points of the next frame; `where` names it in errors."""
        columns = points.columns()
        dtypes = {name: column.dtype for name, column in columns.items()}
        if not self._counts:
            self.kind, self._dtypes = points.kind, dtypes
            self._waiting = {name: [] for name in dtypes}
        elif dtypes != self._dtypes:
            raise UsageError(
                f"{where}: expected columns {_described(self._dtypes)} as in the first frame, "
                f"found {_described(dtypes)}"
            )
        self.one_per_pixel = self.one_per_pixel and one_per_pixel(points, *self._size)
        digest = xxhash.xxh3_64()
        for name, column in columns.items():
            data = column.tobytes()
            digest.update(data)
            self._waiting[name].append(data)
            self._waiting_size += len(data)
            self._shared.size += len(data)
        self._counts.append(len(points))
        self._digests.append(digest.intdigest())
        if self._shared.size > IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        for name, waiting in self._waiting.items():
            if name not in self._files:
                self._files[name] = self._place(f"{self._group}.{name}").open("wb+", buffering=0)
            for data in waiting:
                write_all(self._files[name].fileno(), memoryview(data), self._spilled[name])
                self._spilled[name] += len(data)
            waiting.clear()
        self._shared.size -= self._waiting_size
        self._waiting_size = 0

    def copy_into(self, target: Target) -> None:
        """Write columns, offsets and checksums into the file."""
        if not self._counts:
            self._dtypes = {name: np.dtype("<f4") for name in COLUMNS[self.kind]}
        offsets = np.concatenate([[0], np.cumsum(self._counts)]).astype(np.uint64)
        total = int(offsets[-1])
        for name, dtype in self._dtypes.items():
            shape = (total, 3) if name == "sensor" else (total,)
            block = target.block(f"{self._group}/{name}", dtype, shape)
            offset = block.offset
            if name in self._files:
                _copy(self._files[name], target.fd, offset)
                offset += self._spilled[name]
            for data in self._waiting.pop(name, []):
                write_all(target.fd, memoryview(data), offset)
                offset += len(data)
        target.array(f"{self._group}/offsets", offsets)
        target.array(f"{self._group}/xxh3", np.array(self._digests, np.uint64))
        self.close()

    def close(self) -> None:
        """Close the temporary files; the part's commit or discard removes them."""
        for file in self._files.values():
            file.close()


def _copy(source: BinaryIO, fd: int, offset: int) -> None:
    position = 0
    while data := os.pread(source.fileno(), _COPY, position):
        write_all(fd, memoryview(data), offset + position)
        position += len(data)


def _described(dtypes: dict[str, np.dtype[Any]]) -> str:
    return ", ".join(f"{name} {dtype.str[1:]}" for name, dtype in dtypes.items())
