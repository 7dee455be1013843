"""Open sequence files, a bounded number per process, opened when first read."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.sequence import open_sequence

if TYPE_CHECKING:
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["Handles"]


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
