"""Read tar archives, plain or compressed, and single compressed files, in one pass.

`tarfile` keeps every member in memory and reads an extended header of any length at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from depthdata.downloading.archives_codecs import BLOCK, Damaged, decode_all, read_blocks
from depthdata.downloading.limits import Limits
from depthdata.downloading.members import Kind, Member, shown
from depthdata.errors import DownloadError

__all__ = ["PackedFile", "TarArchive", "is_tar_head", "unpacked_head"]

RECORD = 512
HEADER_MOST = 1 << 20  # bytes of an extended header: a name has 2048 at most
TRAILING_MOST = 64 << 20  # bytes of zeros after the end
_ZEROS = bytes(RECORD)
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hard link",
    b"2": "symbolic link",
    b"5": "folder",
}


def is_tar_head(head: bytes, *, named: bool) -> bool:
    """Tell whether bytes begin as a tar archive does: a header with its checksum.

    Zeros are an archive without members where the name says that it is one.
    """
    head = head[:RECORD]
    return len(head) == RECORD and (named if head == _ZEROS else _checksum_fits(head))


def unpacked_head(file: BinaryIO, size: int, form: str) -> bytes:
    """Return the first bytes of what a compressed file holds."""
    head = b""
    for block in decode_all(form, read_blocks(file, 0, size)):
        head += block
        if len(head) >= RECORD:
            break
    return head


def _checksum_fits(head: bytes) -> bool:
    try:
        stated = _number(head[148:156])
    except Damaged:
        return False
    total = sum(head) - sum(head[148:156]) + 8 * ord(" ")  # its own field counts as spaces
    if stated == total:
        return True
    others = head[:148] + head[156:]
    return stated == total - 256 * sum(byte > 127 for byte in others)  # as some old programs add


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or the bytes themselves after a set bit."""
    if field[0] in (0x80, 0xFF):
        number = int.from_bytes(field[1:], "big")
        if field[0] == 0xFF or number >= 1 << 62:
            raise Damaged("a number in it makes no sense")
        return number
    text = field.split(b"\0", 1)[0].strip()
    if text.strip(b"01234567"):
        raise Damaged("a number in it makes no sense")
    return int(text, 8) if text else 0


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


class _Blocks(Iterator[bytes]):
    """The packed blocks of a file; counts what was read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.read = 0
        self._blocks = read_blocks(file, 0, size)

    def __next__(self) -> bytes:
        block = next(self._blocks)
        self.read += len(block)
        return block


class _Packed:
    """Bytes out of a compressed file, in order."""

    def __init__(self, file: BinaryIO, size: int, form: str) -> None:
        self._packed = _Blocks(file, size)
        self._blocks = decode_all(form, self._packed)
        self._waiting = memoryview(b"")

    @property
    def read(self) -> int:
        """Packed bytes that were read."""
        return self._packed.read

    def some(self, most: int) -> bytes:
        """Return at least one byte and at most `most`; none at the end."""
        if not self._waiting:
            self._waiting = memoryview(next(self._blocks, b""))
        out = bytes(self._waiting[:most])
        self._waiting = self._waiting[len(out) :]
        return out

    def skip(self, count: int) -> None:
        """Leave bytes away."""
        while count:
            data = self.some(min(count, BLOCK))
            if not data:
                raise Damaged("it is cut off")
            count -= len(data)


class _Plain:
    """Bytes of a file, in order; what is skipped is not read."""

    def __init__(self, file: BinaryIO, size: int, form: str) -> None:
        self._file, self._size = file, size
        self.read = 0

    def some(self, most: int) -> bytes:
        """Return at least one byte and at most `most`; none at the end."""
        self._file.seek(self.read)
        data = self._file.read(min(most, BLOCK))
        self.read += len(data)
        return data

    def skip(self, count: int) -> None:
        """Leave bytes away."""
        if count > self._size - self.read:
            raise Damaged("it is cut off")
        self.read += count


class _Extended(NamedTuple):
    """What extended headers say of the next member."""

    name: str | None = None
    size: int | None = None


class TarArchive:
    """A tar archive (v7, POSIX, GNU, pax), open for reading.

    Parameters
    ----------
    path : Path
    file : binary file
    size : int
        Bytes of the file.
    limits : Limits
    form : str
        "gz", "bz2", "xz", or "" where it is not compressed.
    """

    def __init__(self, path: Path, file: BinaryIO, size: int, limits: Limits, form: str) -> None:
        self.path = path
        self.size = size
        self.indexed = not form
        self._file = file
        self._form = form
        self._headers = hashlib.sha256()
        self._stream: _Plain | _Packed = _Plain(file, 0, form)

    @property
    def read(self) -> int:
        """Bytes of the archive that were read or left out."""
        return self._stream.read

    def identity(self) -> dict[str, object]:
        """Return what tells this archive from another version of it.

        The format has no checksum of the data, so the date of the file counts: where only that
        differs, the next run compares all bytes and writes none.
        """
        said = {"size": self.size, "mtime_ns": os.fstat(self._file.fileno()).st_mtime_ns}
        if self.indexed:
            return {**said, "headers": self._headers.hexdigest()}
        return {**said, "ends": _ends(self._file, self.size)}

    def members(self) -> Iterator[Member]:
        """Yield every member; of a compressed archive this unpacks all of it."""
        self._headers = hashlib.sha256()
        for member, _ in self.contents(lambda member: False, every=True):
            yield member

    def contents(
        self, wanted: Callable[[Member], bool], *, every: bool = False
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield the wanted members with their blocks."""
        stream = self._stream = (_Packed if self._form else _Plain)(
            self._file, self.size, self._form
        )
        number = 0
        extended = _Extended()
        while True:
            head = self._take(RECORD)
            if head == _ZEROS:
                self._check_end()
                return
            if not _checksum_fits(head):
                raise Damaged("a header in it makes no sense")
            if every:
                self._headers.update(head)
            kind = head[156:157]
            if kind in (b"L", b"x"):
                extended = self._extend(extended, head)
            elif kind in (b"K", b"g", b"V"):  # target of a link, remarks, the label of a tape
                self._take_text(head)
            else:
                member = self._member(number, head, extended)
                number, extended = number + 1, _Extended()
                left = member.size
                if wanted(member):
                    data = _Data(stream, member.size)
                    yield member, data
                    left = data.left
                elif every:
                    yield member, iter(())
                stream.skip(left + -member.size % RECORD)

    def _take(self, count: int) -> bytes:
        data = self._stream.some(count)
        while len(data) < count:
            more = self._stream.some(count - len(data))
            if not more:
                raise Damaged("it is cut off")
            data += more
        return data

    def _take_text(self, head: bytes) -> bytes:
        size = _number(head[124:136])
        if size > HEADER_MOST:
            raise DownloadError(f"{self.path}: has a header of {size} bytes: a bomb, or damaged")
        return self._take(size + -size % RECORD)[:size]

    def _extend(self, extended: _Extended, head: bytes) -> _Extended:
        data = self._take_text(head)
        if head[156:157] == b"L":
            return extended._replace(name=_text(data))
        for key, value in _pax(data):
            if key == b"path":
                extended = extended._replace(name=value.decode("utf-8", "surrogateescape"))
            elif key == b"size":
                if not value.isdigit() or len(value) > 18:
                    raise Damaged("a number in it makes no sense")
                extended = extended._replace(size=int(value))
            elif key.startswith(b"GNU.sparse"):
                raise self._sparse()
        return extended

    def _sparse(self) -> DownloadError:
        return DownloadError(f"{self.path}: has sparse files; unpack it by hand (tar -xf)")

    def _member(self, number: int, head: bytes, extended: _Extended) -> Member:
        name = extended.name
        if name is None:
            name = _text(head[:100])
            prefix = _text(head[345:500]) if head[257:263] == b"ustar\0" else ""
            name = f"{prefix}/{name}" if prefix else name
        if head[156:157] == b"S":
            raise self._sparse()
        if head[156:157] == b"M":
            raise DownloadError(
                f"{self.path}: is one part of a split tar archive; join its parts first"
            )
        kind = _KINDS.get(head[156:157], "device")
        if kind == "file" and name.endswith("/"):
            kind = "folder"
        size = _number(head[124:136]) if extended.size is None else extended.size
        if kind == "folder" and size:
            raise Damaged(f"folder '{shown(name)}' has {size} bytes")
        return Member(number, name, kind, size if kind == "file" else 0)

    def _check_end(self) -> None:
        """Read to the end, where a compressed archive has its checksum: zeros only."""
        count = 0
        while data := self._stream.some(BLOCK):
            count += len(data)
            if data.strip(b"\0") or count > TRAILING_MOST:
                raise Damaged("there is other data after its end")


class _Data(Iterator[bytes]):
    """The blocks of one member; `left` says how many bytes were not read."""

    def __init__(self, stream: _Plain | _Packed, size: int) -> None:
        self.left = size
        self._stream = stream

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        data = self._stream.some(min(self.left, BLOCK))
        if not data:
            raise Damaged("it is cut off")
        self.left -= len(data)
        return data


def _pax(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of an extended header: ``LENGTH KEY=VALUE``, a line each."""
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not (space and equals and record.endswith(b"\n")) or at + length > len(data):
            raise Damaged("an extended header in it makes no sense")
        yield key, value
        at += length


def _ends(file: BinaryIO, size: int) -> str:
    """Return a digest of both ends: the last bytes of a compressed file have its checksum."""
    file.seek(0)
    digest = hashlib.sha256(file.read(BLOCK))
    file.seek(max(0, size - BLOCK))
    digest.update(file.read(BLOCK))
    return digest.hexdigest()


class PackedFile:
    """One compressed file that is no archive; its name loses the last suffix.

    Parameters
    ----------
    path : Path
    file : binary file
    size : int
        Bytes of the file.
    form : str
        "gz", "bz2" or "xz".
    """

    indexed = False

    def __init__(self, path: Path, file: BinaryIO, size: int, form: str) -> None:
        self.path = path
        self.size = size
        self._file = file
        self._form = form
        self._stream = _Packed(file, size, form)

    @property
    def read(self) -> int:
        """Bytes of the file that were read."""
        return self._stream.read

    def identity(self) -> dict[str, object]:
        """Return what tells this file from another version of it."""
        return {"size": self.size, "ends": _ends(self._file, self.size)}

    def members(self) -> Iterator[Member]:
        """Yield the one member; its size is not known (-1)."""
        name = self.path.name
        suffix = f".{self._form}"
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else f"{name}.unpacked"
        yield Member(0, name, "file", -1)

    def contents(
        self, wanted: Callable[[Member], bool]
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield the one member, where it is wanted."""
        (member,) = self.members()
        if wanted(member):
            self._stream = _Packed(self._file, self.size, self._form)
            yield member, iter(lambda: self._stream.some(BLOCK), b"")
