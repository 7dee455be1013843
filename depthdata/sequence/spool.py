"""Points streams on their way into the file: how many there will be is known only at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash

from depthdata.errors import UsageError
from depthdata.sequence.points import COLUMNS, PointKind, Points, one_per_pixel
from depthdata.sequence.target import Target, write_all

__all__ = ["PointSpool"]

_COPY = 1 << 20


class PointSpool:
    """Columns of one points stream in temporary files beside the part.

    Parameters
    ----------
    group : str
        HDF5 path of the stream.
    place : callable
        Gives the path of a temporary file for a name.
    size : (height, width)
        Of the picture that the points belong to.
    """

    def __init__(self, group: str, place: Callable[[str], Path], size: tuple[int, int]) -> None:
        self._group, self._place, self._size = group, place, size
        self._files: dict[str, BinaryIO] = {}
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
            for name in dtypes:
                path = self._place(f"{self._group}.{name}")
                self._files[name] = path.open("wb+")
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
            self._files[name].write(data)
        self._counts.append(len(points))
        self._digests.append(digest.intdigest())

    def copy_into(self, target: Target) -> None:
        """Write columns, offsets and checksums into the file."""
        if not self._counts:
            self._dtypes = {name: np.dtype("<f4") for name in COLUMNS[self.kind]}
        offsets = np.concatenate([[0], np.cumsum(self._counts)]).astype(np.uint64)
        total = int(offsets[-1])
        for name, dtype in self._dtypes.items():
            shape = (total, 3) if name == "sensor" else (total,)
            block = target.block(f"{self._group}/{name}", dtype, shape)
            if self._counts:
                self._files[name].flush()
                _copy(self._files[name], target.fd, block.offset)
        target.array(f"{self._group}/offsets", offsets)
        target.array(f"{self._group}/xxh3", np.array(self._digests, np.uint64))
        self.close()

    def close(self) -> None:
        """Close the temporary files; the part's commit or discard removes them."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # a full disk; `copy_into` has flushed what counts
                file.close()


def _copy(source: BinaryIO, fd: int, offset: int) -> None:
    position = 0
    while data := os.pread(source.fileno(), _COPY, position):
        write_all(fd, memoryview(data), offset + position)
        position += len(data)


def _described(dtypes: dict[str, np.dtype[Any]]) -> str:
    return ", ".join(f"{name} {dtype.str[1:]}" for name, dtype in dtypes.items())
