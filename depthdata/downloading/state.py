"""A file on its way: ``<name>.part`` and beside it ``<name>.part.json``, which says what is in it.

The state is a journal, one JSON value a line. The first line is the head (size, validators of the
server's file, boot id, ranges); ``[start, stop]`` says that these bytes were written; ``{"safe":
[[start, stop], ...]}`` that these bytes had reached the disk. Data is always written before the
line that tells of it. After ``kill -9`` the kernel still has both, so every line counts; after a
crash of the machine (another boot id) only what is ``safe`` counts. A half-written line ends it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from depthdata.downloading.ranges import RangeSet

__all__ = ["Part", "Validator", "boot_id", "durable_write", "flush_folder"]

VERSION = 1
JOURNAL_MOST = 1 << 20  # bytes, then it is written anew
SAFE_EVERY = 128 << 20  # bytes between two flushes of the data to the disk
SAFE_SECONDS = 20.0
RESERVE_TRIAL = 16 << 20
RESERVE_QUICK = 0.002  # seconds


class Validator(NamedTuple):
    """What a server says of the version of a file: its ETag and its date."""

    etag: str | None = None
    last_modified: str | None = None

    def same(self, other: Validator) -> bool | None:
        """Tell whether both are of one version; None where the server does not say."""
        if self.etag and other.etag:
            return self.etag.removeprefix("W/") == other.etag.removeprefix("W/")
        if self.last_modified and other.last_modified:
            return self.last_modified == other.last_modified
        return None

    @property
    def for_if_range(self) -> str | None:
        """What ``If-Range`` may carry: a strong ETag, or the date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def __str__(self) -> str:
        said = [f"ETag {self.etag}"] if self.etag else []
        said += [f"Last-Modified {self.last_modified}"] if self.last_modified else []
        return ", ".join(said) or "no ETag, no date"


class Part:
    """The bytes of one file that have arrived, on disk. Threads may write at the same time.

    Parameters
    ----------
    path : Path
        Where the whole file will be; nothing is made before `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = self.data_of(path)
        self.state_path = self.state_of(path)
        self.size: int | None = None
        self.validator = Validator()
        self.have = RangeSet()
        self._safe = RangeSet()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._data = -1
        self._journal = -1
        self._journal_bytes = 0
        self._unsafe_bytes = 0
        self._safe_at = time.monotonic()
        self._load()

    @property
    def begun(self) -> bool:
        """Whether there is a file to write to."""
        return self._data >= 0

    def begin(self, size: int | None, validator: Validator) -> None:
        """Start an empty part, or start it anew."""
        self.size, self.validator = size, validator
        self.have, self._safe = RangeSet(), RangeSet()
        if not self.begun:
            self._data = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        # The state of a former try goes first: it must never describe the new bytes.
        if self.state_path.exists():
            self.state_path.unlink()
            flush_folder(self.path.parent)
        os.ftruncate(self._data, 0)
        if size:
            _reserve(self._data, size)
        self._write_head()

    def learn(self, size: int | None, validator: Validator) -> None:
        """Note what only a later answer told."""
        with self._lock:
            merged = Validator(
                self.validator.etag or validator.etag,
                self.validator.last_modified or validator.last_modified,
            )
            size = self.size if size is None else size
            if (size, merged) != (self.size, self.validator):
                self.size, self.validator = size, merged
                self._write_head()

    def unlearn(self) -> None:
        """Doubt the size; the bytes stay."""
        with self._lock:
            self.size = None
            self._write_head()

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write bytes, then say so in the journal."""
        view = memoryview(data)
        position = offset
        while view:
            done = os.pwrite(self._data, view, position)
            view, position = view[done:], position + done
        with self._lock:
            self.have.add(offset, position)
            self._unsafe_bytes += position - offset
            self._say([offset, position])
            due = self._unsafe_bytes >= SAFE_EVERY or (
                time.monotonic() - self._safe_at > SAFE_SECONDS
            )
        if due and self._flushing.acquire(blocking=False):
            try:
                self.flush()
            finally:
                self._flushing.release()

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes that were written."""
        return os.pread(self._data, stop - start, start)

    def forget(self, keep: int) -> None:
        """Drop everything from byte `keep` on."""
        with self._lock:
            self.have = RangeSet(self.have.overlap(0, keep))
            self._safe = RangeSet(self._safe.overlap(0, keep))
            self._write_head()

    def flush(self) -> None:
        """Bring what is written to the disk and note that it is safe there."""
        with self._lock:
            ranges, self._unsafe_bytes = list(self.have), 0
            self._safe_at = time.monotonic()
        os.fdatasync(self._data)
        with self._lock:
            # what was dropped meanwhile (`forget`, `begin`) is not safe
            kept = [r for start, stop in ranges for r in self.have.overlap(start, stop)]
            self._safe = RangeSet(kept)
            self._say({"safe": kept})
            os.fsync(self._journal)

    def complete(self, path: Path) -> None:
        """Turn the part into the file: on disk before it has its name, whole or not at all."""
        if self.size is not None:
            os.ftruncate(self._data, self.size)
        os.fsync(self._data)
        self.path.replace(path)
        self.state_path.unlink(missing_ok=True)
        flush_folder(path.parent)

    def discard(self) -> None:
        """Remove the part and its state."""
        self.close()
        self.state_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.have, self._safe = RangeSet(), RangeSet()

    def close(self) -> None:
        """Close the files; what is in them stays. Closing twice does nothing."""
        with self._lock:
            for descriptor in (self._data, self._journal):
                if descriptor >= 0:
                    os.close(descriptor)
            self._data = self._journal = -1

    @staticmethod
    def data_of(path: Path) -> Path:
        """Return where the bytes of a file are while it is on its way."""
        return path.with_name(f"{path.name}.part")

    @staticmethod
    def state_of(path: Path) -> Path:
        """Return where their journal is."""
        return path.with_name(f"{path.name}.part.json")

    @staticmethod
    def allocated_at(path: Path) -> int:
        """Return the bytes of the disk that the part of a file takes already."""
        try:
            return Part.data_of(path).stat().st_blocks * 512
        except OSError:
            return 0

    def _load(self) -> None:
        found = _read_journal(self.state_path)
        if found is None or not self.path.is_file():
            return
        head, have = found
        if have.end > self.path.stat().st_size:
            return
        self.size, self.have = head["size"], have
        self.validator = Validator(head["etag"], head["last_modified"])
        self._safe = _ranges(head["safe"])
        self._data = os.open(self.path, os.O_RDWR)
        self._write_head()

    def _write_head(self) -> None:
        head = {
            "version": VERSION,
            "size": self.size,
            "etag": self.validator.etag,
            "last_modified": self.validator.last_modified,
            "boot": boot_id(),
            "have": list(self.have),
            "safe": list(self._safe),
        }
        text = (json.dumps(head) + "\n").encode()
        durable_write(self.state_path, text)
        if self._journal >= 0:
            os.close(self._journal)
        self._journal = os.open(self.state_path, os.O_WRONLY | os.O_APPEND)
        self._journal_bytes = len(text)

    def _say(self, value: Any) -> None:
        line = (json.dumps(value) + "\n").encode()
        if os.write(self._journal, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.state_path))
        self._journal_bytes += len(line)
        if self._journal_bytes > JOURNAL_MOST:
            self._write_head()


def _read_journal(path: Path) -> tuple[dict[str, Any], RangeSet] | None:
    """Return the head and the ranges that count; None where the file cannot be trusted."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # without its end a line is not whole
        head = json.loads(lines[0])
        same_boot = bool(head["boot"]) and head["boot"] == boot_id()
        if head["version"] != VERSION or not isinstance(head["size"], int | None):
            return None
        if not all(isinstance(head[key], str | None) for key in ("etag", "last_modified")):
            return None
        have, safe = _ranges(head["have"]), _ranges(head["safe"])
        if not same_boot:
            have = safe
        for line in lines[1:]:
            value = json.loads(line)
            if isinstance(value, dict):
                safe = _ranges(value["safe"])
                head["safe"] = list(safe)
                if not same_boot:
                    have = safe
            elif same_boot:
                for start, stop in _ranges([value]):
                    have.add(start, stop)
        if head["size"] is not None and have.end > head["size"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return head, have


def _ranges(values: Iterable[Any]) -> RangeSet:
    pairs = [(start, stop) for start, stop in values]
    if not all(type(n) is int and n >= 0 for pair in pairs for n in pair):
        raise ValueError("no ranges")
    return RangeSet(pairs)


def _reserve(descriptor: int, size: int) -> None:
    """Give the file its size, and its blocks where the file system can do that at once.

    Where it cannot, the C library writes to every block instead, and a file system in memory
    clears every page: that costs as much as the writing itself. A short trial tells.
    """
    trial = min(size, RESERVE_TRIAL)
    started = time.monotonic()
    with contextlib.suppress(AttributeError):
        try:
            os.posix_fallocate(descriptor, 0, trial)
            if time.monotonic() - started < RESERVE_QUICK:
                os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
    os.ftruncate(descriptor, size)


def boot_id() -> str | None:
    """Return what tells this start of the machine from others, where the system says it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def durable_write(path: Path, data: bytes) -> None:
    """Replace a small file, whole or not at all, and on disk when this returns."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
