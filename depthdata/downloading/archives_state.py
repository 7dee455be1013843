"""What of an archive is unpacked: ``.depthdata/<archive>.members``, so that a stop loses nothing.

The first line is the head: which archive it is, how names are cut. Then a JSON value a line:
``[number, size, crc, mtime, place]`` a member that is whole, just before its file gets its name;
``{"folder": ...}`` where temporary files are from now on; ``{"safe": true}`` that all before it is
on the disk; ``{"boot": ...}`` that the machine was started anew; ``{"complete": ...}`` the end.
After ``kill -9`` the kernel still has data and lines, so every line counts. After a crash of the
machine only what is before the last ``safe`` does: the files after it are checked again.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from depthdata.downloading.state import boot_id, durable_write, flush_folder
from depthdata.downloading.state_record import FOLDER

__all__ = ["Done", "Ledger", "ledger_path"]

VERSION = 1
SAFE_EVERY = 2 << 30  # bytes between two flushes of the data to the disk
SAFE_SECONDS = 60.0
MEMBERS_MOST = 100_000_000


class Done(NamedTuple):
    """A member that was written: bytes, CRC-32, time of its file; whether it reached the disk."""

    size: int
    crc: int
    mtime_ns: int
    trusted: bool


def ledger_path(name: str, into: Path) -> Path:
    """Return where the state of an archive of this name lies."""
    return into / FOLDER / f"{name}.members"


class Ledger:
    """The members of one archive that are done. Reading it changes nothing; `open` starts writing.

    Parameters
    ----------
    into : Path
        Where the archive is unpacked.
    name : str
        The archive's file name.
    identity : dict or None
        What tells this archive from another one of the same name; None takes what is there.
    """

    def __init__(self, into: Path, name: str, identity: dict[str, Any] | None) -> None:
        self.path = ledger_path(name, into)
        self.identity = identity
        self.temporary_name = (
            f".depthdata-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}.part"
        )
        self.complete: dict[str, int] | None = None  # what was said of the whole archive
        self.known = False  # whether a former run left something
        self._into = into
        self._size, self._crc, self._mtime = array("q"), array("q"), array("q")
        self._untrusted: set[int] = set()
        self._pending: list[int] = []
        self._folder: str | None = None
        self._whole_bytes = 0
        self._boot: str | None = None
        self._file = -1
        self._unsafe = 0
        self._safe_at = time.monotonic()
        self._devices: dict[int, Path] = {}
        self._load()

    def done(self, number: int) -> Done | None:
        """Return what is known of a member; None where it was not written."""
        if number >= len(self._size) or self._size[number] < 0:
            return None
        trusted = number not in self._untrusted
        return Done(self._size[number], self._crc[number], self._mtime[number], trusted)

    def places(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the place of each member that was written."""
        with self.path.open("rb") as file:
            file.readline()
            while file.tell() < self._whole_bytes:
                value = json.loads(file.readline())
                if isinstance(value, list):
                    yield value[0], value[4]

    def open(self) -> None:
        """Start writing: take away what a former run left half-done, go on with its lines."""
        if self._folder is not None:
            (self._into / self._folder / self.temporary_name).unlink(missing_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = None
        self._safe_at = time.monotonic()
        if not self.known:
            head = {"version": VERSION, **(self.identity or {}), "boot": boot_id()}
            durable_write(self.path, (json.dumps(head) + "\n").encode())
            self._boot = head["boot"]
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        if self.known:
            os.ftruncate(self._file, self._whole_bytes)
            if self._boot is None or self._boot != boot_id():
                self._boot = boot_id()
                self._say({"boot": self._boot})

    def temporary(self, folder: Path) -> Path:
        """Return the path for the file that is being written in a folder; none is there."""
        where = os.path.relpath(folder, self._into)
        if where != self._folder:
            self._say({"folder": where})
            self._folder = where
            self._devices.setdefault(folder.stat().st_dev, folder)
        path = folder / self.temporary_name
        path.unlink(missing_ok=True)
        return path

    def add(self, number: int, size: int, crc: int, mtime_ns: int, place: str) -> None:
        """Note a member, before its file gets its name."""
        self._note(number, size, crc, mtime_ns)
        self._say([number, size, crc, mtime_ns, place])
        self._unsafe += size
        if self._unsafe >= SAFE_EVERY or time.monotonic() - self._safe_at > SAFE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring everything to the disk and note that it is safe there.

        One call for each file system: a flush for each file would take longer than unpacking.
        """
        for folder in self._devices.values():
            _sync_file_system(folder)
        if self._unsafe or self._pending:
            self._say({"safe": True})
        os.fsync(self._file)
        self._pending, self._unsafe = [], 0
        self._safe_at = time.monotonic()

    def finish(self, said: dict[str, int]) -> None:
        """Note that the archive is unpacked whole."""
        self.flush()
        self._say({"complete": said})
        os.fsync(self._file)
        flush_folder(self.path.parent)

    def close(self, *, forget: bool = False) -> None:
        """Stop writing.

        Parameters
        ----------
        forget : bool
            Take away the temporary file, and the ledger where nothing is in it.
        """
        if self._file < 0:
            return
        os.close(self._file)
        self._file = -1
        if forget:
            if self._folder is not None:
                (self._into / self._folder / self.temporary_name).unlink(missing_ok=True)
            if not any(size >= 0 for size in self._size):
                self.path.unlink(missing_ok=True)

    def _note(self, number: int, size: int, crc: int, mtime_ns: int) -> None:
        for column in (self._size, self._crc, self._mtime):
            if number >= len(column):
                column.extend([-1] * (number + 1 - len(column)))
        self._size[number], self._crc[number], self._mtime[number] = size, crc, mtime_ns
        self._untrusted.discard(number)
        self._pending.append(number)

    def _say(self, value: Any) -> None:
        line = (json.dumps(value) + "\n").encode()
        done = os.write(self._file, line)
        while done < len(line):  # a disk that is full says so at the next try
            done += os.write(self._file, line[done:])

    def _load(self) -> None:
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            try:
                head = json.loads(file.readline())
                identity = {k: v for k, v in head.items() if k not in ("version", "boot")}
                if head["version"] != VERSION or self.identity not in (None, identity):
                    self._folder = _last_folder(file)
                    return
                self._boot = head["boot"]
            except (ValueError, TypeError, KeyError, AttributeError, OSError):
                return
            self.known = True
            self._whole_bytes = file.tell()
            with contextlib.suppress(OSError):
                for line in file:
                    if not line.endswith(b"\n") or not self._take(line):
                        break
                    self._whole_bytes += len(line)
        if self._boot is None or self._boot != boot_id():
            self._untrusted.update(self._pending)

    def _take(self, line: bytes) -> bool:
        """Take one line; False where it makes no sense."""
        try:
            value = json.loads(line)
            if isinstance(value, list):
                number, size, crc, mtime_ns, place = value
                if not (0 <= number < MEMBERS_MOST and size >= 0 and isinstance(place, str)):
                    return False
                self._note(number, size, crc, mtime_ns)
            elif "folder" in value:
                self._folder = str(value["folder"])
            elif "safe" in value:
                self._pending = []
            elif "boot" in value:
                self._untrusted.update(self._pending)
                self._pending, self._boot = [], value["boot"]
            else:
                self.complete = {str(key): int(count) for key, count in value["complete"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return False
        return True


def _last_folder(file: Any) -> str | None:
    """Return where the temporary file of another archive of this name may lie."""
    folder = None
    for line in file:
        if line.startswith(b'{"folder": "'):
            with contextlib.suppress(ValueError, KeyError):
                folder = str(json.loads(line)["folder"])
    return folder


def _sync_file_system(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it was moved away meanwhile
        return os.sync()
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            os.sync()
    except (OSError, AttributeError):
        os.sync()
    finally:
        os.close(descriptor)
