"""Read 7z archives with py7zr, or with the program 7z, in one pass.

Both say what is in the archive, and give the bytes of the members in its own order; neither writes
a file. Names, sizes and checksums are held against the limits as those of every other archive.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from depthdata.downloading.archives_codecs import BLOCK, Damaged
from depthdata.downloading.limits import Limits
from depthdata.downloading.members import Kind, Member, shown
from depthdata.errors import DownloadError, MissingDependencyError

__all__ = ["open_7z"]

PROGRAMS = ("7z", "7zz", "7za", "7zr")
QUEUED = 8  # blocks between the decoder's thread and ours
_HEAD = struct.Struct("<6sBBLQQL")


def open_7z(path: Path, file: BinaryIO, size: int, limits: Limits) -> _SevenZip:
    """Return a reader; MissingDependencyError where neither py7zr nor the program is there."""
    _check_index(path, file, size, limits)
    try:
        import py7zr  # noqa: F401
    except ImportError:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise MissingDependencyError(
                f"{path}: 7z archives need py7zr (pip install 'depthdata[7z]') or the program 7z"
            ) from None
        return _WithProgram(path, file, size, program)
    return _WithLibrary(path, file, size)


def _check_index(path: Path, file: BinaryIO, size: int, limits: Limits) -> None:
    """Refuse an index that is not all there, or too long."""
    file.seek(0)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise Damaged("it is cut off")
    _, _, _, _, offset, length, _ = _HEAD.unpack(head)
    if _HEAD.size + offset + length > size:
        raise Damaged("it is cut off")
    if length > limits.index_bytes:
        raise DownloadError(f"{path}: has an index of {length} bytes: a bomb, or damaged")


class _SevenZip:
    """What both ways share: the members, and how their bytes are asked for."""

    indexed = True

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path = path
        self.size = size
        self.read = 0
        self._file = file
        self._members: list[Member] = []

    def identity(self) -> dict[str, object]:
        """Return what tells this archive from another version of it: its members.

        Not the bytes of the index, which may be no more than where the packed index lies.
        """
        digest = hashlib.sha256()
        for member in self.members():
            digest.update(f"{member.name}\0{member.size}\0{member.crc}\0".encode(errors="replace"))
        return {"size": self.size, "members": digest.hexdigest()}

    def members(self) -> Iterator[Member]:
        """Yield every member as the index has it."""
        if not self._members:
            self._members = self._list()
        yield from self._members

    def contents(
        self, wanted: Callable[[Member], bool]
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Ask of every member, then yield the wanted ones with their blocks."""
        chosen = [member for member in self.members() if wanted(member)]
        for member in chosen:
            if not member.size:
                yield member, iter(())
        full = [member for member in chosen if member.size]
        whole, done = sum(member.size for member in full), 0
        for member, blocks in self._unpack(full):
            yield member, blocks
            done += member.size
            self.read = self.size * done // whole  # packed together: only a share is known

    def _list(self) -> list[Member]:
        raise NotImplementedError

    def _unpack(self, members: list[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        raise NotImplementedError

    def _encrypted(self) -> DownloadError:
        return DownloadError(f"{self.path}: is encrypted; unpack it with its password by hand")


class _Stopped(Exception):  # noqa: N818 - ends the decoder's thread
    pass


class _Pipe:
    """What py7zr writes, on its way from its thread to ours."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[tuple[str | None, Any]] = queue.Queue(QUEUED)
        self._stopped = threading.Event()

    def put(self, name: str | None, what: Any) -> None:
        """Hand something over, waiting for room; _Stopped where nobody takes it any more."""
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                return self._blocks.put((name, what), timeout=0.2)
        raise _Stopped

    def get(self) -> tuple[str | None, Any]:
        """Take what comes next."""
        return self._blocks.get()

    def stop(self) -> None:
        """Take nothing more."""
        self._stopped.set()

    def create(self, filename: str) -> Any:
        """Return the file object into which py7zr writes a member."""
        from py7zr.io import Py7zIO

        class Sink(Py7zIO):
            """Hands over what is written."""

            def __init__(self, pipe: _Pipe) -> None:
                self._pipe, self._size = pipe, 0

            def write(self, data: Any) -> int:
                for at in range(0, len(data), BLOCK):
                    self._pipe.put(filename, bytes(data[at : at + BLOCK]))
                self._size += len(data)
                return len(data)

            def read(self, size: int | None = None) -> bytes:
                return b""

            def seek(self, offset: int, whence: int = 0) -> int:
                return offset

            def flush(self) -> None:
                pass

            def size(self) -> int:
                return self._size

        return Sink(self)


class _WithLibrary(_SevenZip):
    """By py7zr."""

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        import py7zr

        try:
            # an open file instead of its name: then it unpacks in order, in one thread
            with self.path.open("rb") as file, py7zr.SevenZipFile(file) as archive:
                yield archive
        except py7zr.PasswordRequired:
            raise self._encrypted() from None
        except py7zr.UnsupportedCompressionMethodError as error:
            raise DownloadError(
                f"{self.path}: is packed with a method that py7zr does not know; unpack it by hand "
                f"(7z x): {' '.join(str(error).split())[:120]}"
            ) from None
        except (_Stopped, DownloadError, Damaged, OSError):
            raise
        except Exception as error:  # damaged input ends it in many ways
            text = " ".join(str(error).split())[:120]
            raise Damaged(f"it makes no sense ({text or type(error).__name__})") from None

    def _list(self) -> list[Member]:
        with self._opened() as archive:
            if archive.needs_password():
                raise self._encrypted()
            found = []
            for number, entry in enumerate(archive.files):
                name, size = entry.filename, int(entry.uncompressed or 0)
                kind: Kind = "file"
                if entry.is_directory:
                    kind = "folder"
                elif entry.is_symlink or entry.is_junction:
                    kind = "symbolic link"
                elif entry.is_socket:
                    kind = "device"
                if size < 0 or (kind == "folder" and size):
                    raise Damaged(f"member '{shown(name)}' has {size} bytes")
                found.append(Member(number, name, kind, size, entry.crc32 if size else None))
            return found

    def _unpack(self, members: list[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        if not members:
            return
        pipe = _Pipe()
        waiting = {PurePosixPath(member.name).as_posix(): member for member in members}
        targets = {member.name for member in members}
        thread = threading.Thread(target=self._feed, args=(pipe, targets), daemon=True)
        thread.start()
        try:
            name, block = pipe.get()
            while name is not None:
                member = waiting.pop(name, None)
                if member is None:
                    raise Damaged(f"member '{shown(name)}' comes twice or was not asked for")
                run = _Run(pipe, name, block)
                yield member, run
                for _ in run:  # what was not taken
                    pass
                name, block = run.after
            if isinstance(block, BaseException):
                raise block
            if waiting:
                raise Damaged(f"member '{shown(next(iter(waiting)))}' has no bytes in it")
        finally:
            pipe.stop()
            thread.join()

    def _feed(self, pipe: _Pipe, targets: set[str]) -> None:
        end: BaseException | None = None
        try:
            with self._opened() as archive:
                archive.extract(targets=targets, factory=pipe)
        except BaseException as error:
            end = error
        with contextlib.suppress(_Stopped):
            pipe.put(None, end)


class _Run(Iterator[bytes]):
    """The blocks of one member; `after` is what came behind it."""

    def __init__(self, pipe: _Pipe, name: str, block: bytes) -> None:
        self.after: tuple[str | None, Any] = (name, block)
        self._pipe, self._name = pipe, name

    def __next__(self) -> bytes:
        name, block = self.after
        if name != self._name:
            if name is None and isinstance(block, BaseException):
                raise block
            raise StopIteration
        self.after = self._pipe.get()
        return bytes(block)


class _WithProgram(_SevenZip):
    """By the program 7z: a list of what is in it, then all bytes one after another."""

    def __init__(self, path: Path, file: BinaryIO, size: int, program: str) -> None:
        super().__init__(path, file, size)
        self._program = program

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        # a password that is empty: it shall not ask for one
        command = [self._program, *words, "-p", "-sccUTF-8", "--", str(self.path.absolute())]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            if words[0] == "l" else subprocess.DEVNULL,
        )  # fmt: skip

    def _list(self) -> list[Member]:
        found: list[Member] = []
        with self._start("l", "-slt", "-ba") as process:
            assert process.stdout is not None
            fields: dict[str, str] = {}
            for line in process.stdout:
                key, equals, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(" = ")
                if "encrypted" in key.lower() and "archive" in key.lower():
                    raise self._encrypted()
                if key == "Path" and "Path" in fields:
                    found.append(self._member(len(found), fields))
                    fields = {}
                if equals:
                    fields[key] = value
            if fields:
                found.append(self._member(len(found), fields))
        if process.returncode:
            raise Damaged(f"{Path(self._program).name} cannot read it")
        return found

    def _member(self, number: int, fields: dict[str, str]) -> Member:
        if fields.get("Encrypted") == "+":
            raise self._encrypted()
        name, said = fields.get("Path", ""), fields.get("Attributes", "")
        mode = said.rpartition(" ")[2]
        kind: Kind = "file"
        if said.startswith("D") or fields.get("Folder") == "+":
            kind = "folder"
        elif fields.get("Symbolic Link") or mode.startswith("l"):
            kind = "symbolic link"
        elif len(mode) == 10 and mode[0] not in "-d":
            kind = "device"
        try:
            size = int(fields.get("Size") or 0)
            crc = int(fields["CRC"], 16) if fields.get("CRC") and size else None
        except ValueError:
            raise Damaged(f"member '{shown(name)}' makes no sense") from None
        return Member(number, name, kind, size, crc)

    def _unpack(self, members: list[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        if not members:
            return
        wanted = {member.number for member in members}
        with self._start("x", "-so", "-bd") as process:
            assert process.stdout is not None
            try:
                for member in self.members():
                    if member.kind == "folder" or not member.size:
                        continue
                    blocks = _pieces(process.stdout, member.size)
                    if member.number in wanted:
                        yield member, blocks
                        wanted.discard(member.number)
                    for _ in blocks:
                        pass
                    if not wanted:
                        return
            finally:
                process.kill()


def _pieces(stream: Any, count: int) -> Iterator[bytes]:
    while count:
        data = stream.read(min(BLOCK, count))
        if not data:
            raise Damaged("the program that unpacks it ends before: it is cut off or damaged")
        count -= len(data)
        yield data
