"""Checksums of a file while it arrives, in the order of its bytes however they come."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from depthdata.download.state import Part

__all__ = ["Follower", "file_digests"]

BLOCK = 1 << 20
THREAD_FROM = 4 << 20  # bytes; a shorter file is read when it is there


class Follower:
    """Reads the part behind the writers (from the page cache) and keeps the checksums.

    Parameters
    ----------
    part : Part
    kinds : iterable of str
        Names that hashlib knows.
    """

    def __init__(self, part: Part, kinds: Iterable[str]) -> None:
        self._part = part
        self._kinds = tuple(kinds)
        self._news = threading.Condition()
        self._position = 0
        self._prefix = 0
        self._ended = False
        self._problem: OSError | None = None
        self._hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in self._kinds}
        self._thread: threading.Thread | None = None

    def advance(self) -> None:
        """Look how far the part now goes without a gap."""
        prefix = self._part.have.prefix
        if prefix - self._position < THREAD_FROM or self._ended:
            return
        with self._news:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._prefix = max(self._prefix, prefix)
            self._news.notify()

    def finish(self, size: int) -> dict[str, str]:
        """Return the checksums of the whole part, by kind, in hexadecimal."""
        self.stop()
        if self._problem is not None:
            raise self._problem
        self._read_to(size)
        return {kind: found.hexdigest() for kind, found in self._hashes.items()}

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
                    target = self._prefix
                self._read_to(target, give_way=True)
        except OSError as error:
            self._problem = error

    def _read_to(self, stop: int, *, give_way: bool = False) -> None:
        while self._position < stop and not (give_way and self._ended):
            data = self._part.read(self._position, min(stop, self._position + BLOCK))
            if not data:
                raise OSError(f"{self._part.path} ends at {self._position}, before byte {stop}")
            for found in self._hashes.values():
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
