"""Checksums of a file while it arrives, in the order of its bytes however they come."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable

from depthdata.downloading.state import Part

__all__ = ["Follower", "file_digests"]

BLOCK = 1 << 20
BLOCKS_MOST = 4  # in memory, ahead of the checksums
THREAD_FROM = 4 << 20  # bytes; a shorter file is read when it is there


class Follower:
    """Keeps the checksums of what is written, in a thread of its own.

    A block that comes in order is taken from memory while the thread keeps up; everything else is
    read behind the writers (from the page cache).

    Parameters
    ----------
    part : Part
    kinds : iterable of str
        Names that hashlib knows.
    """

    def __init__(self, part: Part, kinds: Iterable[str]) -> None:
        self._part = part
        self._news = threading.Condition()
        self._position = 0  # bytes that are in the checksums
        self._blocks: deque[bytes] = deque()  # what follows them
        self._handed = 0  # where the last of these blocks ends
        self._prefix = 0  # where the part has its first gap
        self._ended = False
        self._problem: OSError | None = None
        self._hashes = [(kind, hashlib.new(kind, usedforsecurity=False)) for kind in kinds]
        self._thread: threading.Thread | None = None

    def advance(self, position: int, data: bytes) -> None:
        """Note that a block was written; it may be changed no more."""
        prefix = self._part.have.prefix
        with self._news:
            if self._thread is None:
                if prefix < THREAD_FROM or self._ended:
                    return
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            if position == self._handed and len(self._blocks) < BLOCKS_MOST:
                self._blocks.append(data)
                self._handed += len(data)
            self._prefix = max(self._prefix, prefix)
            self._news.notify()

    def finish(self, size: int) -> dict[str, str]:
        """Return the checksums of the whole part, by kind, in hexadecimal."""
        self.stop()
        if self._problem is not None:
            raise self._problem
        while self._blocks:
            self._update(self._blocks.popleft())
        while self._position < size:
            self._read(min(size, self._position + BLOCK))
        return {kind: found.hexdigest() for kind, found in self._hashes}

    def stop(self) -> None:
        """End the thread; what it has read stays."""
        with self._news:
            self._ended = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._prefix > self._position or self._ended)
                    if self._ended:
                        return
                    block = self._blocks.popleft() if self._blocks else None
                    if block is None:
                        stop = min(self._prefix, self._position + BLOCK)
                        self._handed = stop  # what is read now is not handed over
                if block is None:
                    self._read(stop)
                else:
                    self._update(block)
        except OSError as error:
            self._problem = error

    def _read(self, stop: int) -> None:
        data = self._part.read(self._position, stop)
        if not data:
            raise OSError(f"{self._part.path} ends at {self._position}, before byte {stop}")
        self._update(data)

    def _update(self, data: bytes) -> None:
        for _, found in self._hashes:
            found.update(data)
        self._position += len(data)


def file_digests(path: object, kinds: Iterable[str]) -> dict[str, str]:
    """Return checksums of a file that is there, by kind, in hexadecimal."""
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with open(str(path), "rb", buffering=0) as file:  # noqa: PTH123
        while data := file.read(BLOCK):
            for found in hashes.values():
                found.update(data)
    return {kind: found.hexdigest() for kind, found in hashes.items()}
