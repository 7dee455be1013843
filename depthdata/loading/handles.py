"""What a process holds: open sequence files and decoding threads, both made when first used."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.sequence import open_sequence

if TYPE_CHECKING:
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["Handles", "Threads"]


class Handles:
    """Give the open sequence of a path; a forked or spawned process starts with none.

    Parameters
    ----------
    paths : tuple of Path
    check : bool
        Whether every read verifies its checksum.
    limit : int
        Files kept open; the one used longest ago is let go.
    """

    def __init__(self, paths: tuple[Path, ...], *, check: bool, limit: int = 256) -> None:
        self.paths = paths
        self.check = check
        self.limit = limit
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[int, SequenceFile] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths, "check": self.check, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __getitem__(self, i: int) -> SequenceFile:
        if self._process != os.getpid():
            self._start()
        with self._lock:
            found = self._open.get(i)
            if found is None:
                found = self._open[i] = open_sequence(self.paths[i], check=self.check)
                if len(self._open) > self.limit:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(i)
        return found


class Threads:
    """Call a function for many arguments, in `count` threads of this process.

    Decoders, reads and checksums let other threads run, so threads share the work of a batch
    without a copy of it between processes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._process = 0
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "_process": 0, "_pool": None}

    def each(self, function: Callable[..., None], arguments: Iterable[tuple[Any, ...]]) -> None:
        """Call ``function(*a)`` for every `a`; the first error is raised."""
        if self.count == 1:
            for a in arguments:
                function(*a)
            return
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPoolExecutor(self.count), os.getpid()
        waiting = [self._pool.submit(function, *a) for a in arguments]
        for future in waiting:
            future.result()
