"""Read zip archives (zip64 too) from their index, and believe neither of the two headers alone.

`zipfile` holds an object of half a kilobyte for each member and takes overlapping ones; this walks
the index in a stream, twice where need be.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import stat
import struct
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from depthdata.downloading.archives_codecs import (
    Damaged,
    Decoder,
    Deflate,
    Plain,
    decode,
    lzma_decoder,
    read_blocks,
)
from depthdata.downloading.limits import Limits
from depthdata.downloading.members import Kind, Member, shown
from depthdata.errors import DownloadError

__all__ = ["ZipArchive", "has_zip_end"]

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_TAIL = _END.size + 0xFFFF
_NONE32 = 0xFFFFFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DESCRIPTOR = 0x8
_UTF8 = 0x800
_METHODS = (0, 8, 12, 14)  # stored, deflate, bzip2, lzma
_OTHER_METHODS = {9: "deflate64", 93: "zstd", 95: "xz", 98: "ppmd"}
_KINDS: dict[int, Kind] = {
    0: "file",
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symbolic link",
}


def has_zip_end(file: BinaryIO, size: int) -> bool:
    """Tell whether a file ends as a zip archive does, whatever it begins with."""
    return _find_end(file, size) is not None


def _find_end(file: BinaryIO, size: int) -> int | None:
    start = max(0, size - _TAIL)
    file.seek(start)
    tail = file.read(_TAIL)
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if len(tail) - at >= _END.size:
            comment = int.from_bytes(tail[at + 20 : at + 22], "little")
            if at + _END.size + comment == len(tail):
                return start + at
        at = tail.rfind(b"PK\5\6", 0, at + 3)
    return None


class ZipArchive:
    """A zip archive, open for reading.

    Parameters
    ----------
    path : Path
    file : binary file
    size : int
        Bytes of the file.
    limits : Limits
    """

    indexed = True

    def __init__(self, path: Path, file: BinaryIO, size: int, limits: Limits) -> None:
        self.path = path
        self.size = size
        self.read = 0
        self._file = file
        end = _find_end(file, size)
        if end is None:
            raise Damaged("its index, which is at its end, is missing: it is cut off")
        self._read_end(end)

    def identity(self) -> dict[str, object]:
        """Return what tells this archive from another version of it: its index."""
        digest = hashlib.sha256()
        for block in read_blocks(self._file, self._start, self._index_bytes):
            digest.update(block)
        return {"size": self.size, "index": digest.hexdigest()}

    def _read_end(self, end: int) -> None:
        file = self._file
        file.seek(end)
        _, disk, first, here, count, length, offset, _ = _END.unpack(file.read(_END.size))
        stop = end
        if 0xFFFF in (disk, first, here, count) or _NONE32 in (length, offset):
            found = self._end64(end)
            if found is not None:
                stop, disk, first, here, count, length, offset = found
                self._count_bits = 64
            else:
                self._count_bits = 16
        else:
            self._count_bits = 16
        if disk != first or disk not in (0, 0xFFFF) or here != count:
            raise DownloadError(
                f"{self.path}: is one part of a split zip archive; join its parts first "
                "(zip -s 0 PARTS.zip --out WHOLE.zip)"
            )
        # what is before the archive (a self-extractor's program) shifts every offset
        self._start = stop - length
        self._shift = self._start - offset
        if self._shift < 0:
            raise Damaged("its index is not where its end says")
        self._index_bytes, self._count = length, count

    def _end64(self, end: int) -> tuple[int, int, int, int, int, int, int] | None:
        self._file.seek(max(0, end - _LOCATOR64.size))
        data = self._file.read(_LOCATOR64.size)
        if len(data) < _LOCATOR64.size or not data.startswith(b"PK\6\7"):
            return None
        _, _, where, _ = _LOCATOR64.unpack(data)
        # a program before the archive shifts this offset too: then it ends at the locator
        for at in (where, end - _LOCATOR64.size - _END64.size):
            if not 0 <= at <= end - _LOCATOR64.size - _END64.size:
                continue
            self._file.seek(at)
            data = self._file.read(_END64.size)
            if data.startswith(b"PK\6\6"):
                _, _, _, _, disk, first, here, count, length, offset = _END64.unpack(data)
                return at, disk, first, here, count, length, offset
        raise Damaged("its zip64 index is missing")

    def members(self) -> Iterator[Member]:
        """Yield every member as the index has it; two that share bytes are refused."""
        starts, stops = array("q"), array("q")
        ordered = True
        for member, name in self._index():
            start = member.offset
            stop = start + _LOCAL.size + len(name) + member.packed
            if not 0 <= start <= stop <= self._start:
                raise Damaged(f"member '{shown(member.name)}' lies outside of it")
            if starts and start < stops[-1]:
                ordered = False
            starts.append(start)
            stops.append(stop)
            yield member
        if not ordered:
            last = -1
            for start, stop in sorted(zip(starts, stops, strict=True)):
                if start < last:
                    raise DownloadError(
                        f"{self.path}: members share the same bytes: a bomb, or damaged"
                    )
                last = stop

    def contents(
        self, wanted: Callable[[Member], bool]
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield the wanted members with their blocks."""
        for member, name in self._index():
            if wanted(member):
                yield member, self._blocks(member, name)
            self.read += member.packed

    def _index(self) -> Iterator[tuple[Member, bytes]]:
        place, stop = self._start, self._start + self._index_bytes
        number = 0
        while place < stop:
            self._file.seek(place)
            data = self._file.read(min(1 << 20, stop - place))
            at = 0
            while at < len(data):
                if len(data) - at < _CENTRAL.size:
                    break
                head = _CENTRAL.unpack_from(data, at)
                if head[0] != b"PK\1\2":
                    raise Damaged("its index makes no sense")
                length = _CENTRAL.size + head[10] + head[11] + head[12]
                if len(data) - at < length:
                    break
                rest = data[at + _CENTRAL.size : at + length]
                yield self._member(number, head, rest), rest[: head[10]]
                number, at = number + 1, at + length
            if at == 0:
                raise Damaged("its index is cut off")
            place += at
        if number != self._count and (self._count_bits == 64 or number & 0xFFFF != self._count):
            raise Damaged(f"its index has {number} members, its end says {self._count}")

    def _member(self, number: int, head: tuple[int, ...], rest: bytes) -> Member:
        _, made, _, flags, method, _, _, crc, packed, size, names, extras, _, disk = head[:14]
        attributes, offset = head[15:17]
        raw = rest[:names]
        name = _name(raw, flags)
        size, packed, offset, disk = _zip64(
            rest[names : names + extras], name, size, packed, offset, disk
        )
        if disk:
            raise DownloadError(f"{self.path}: is one part of a split zip archive; join them first")
        if flags & _ENCRYPTED or method == 99:
            raise DownloadError(
                f"{self.path}: member '{shown(name)}' is encrypted; unpack it with its password "
                "by hand"
            )
        if method not in _METHODS:
            raise DownloadError(
                f"{self.path}: member '{shown(name)}' is packed with method {method} "
                f"({_OTHER_METHODS.get(method, 'unknown')}); unpack it by hand (7z x)"
            )
        kind: Kind = "file"
        if made >> 8 in (3, 19):  # Unix, macOS
            kind = _KINDS.get(stat.S_IFMT(attributes >> 16), "device")
        if kind == "file" and name.endswith("/"):
            kind = "folder"
        if kind == "folder" and size:
            raise Damaged(f"folder '{shown(name)}' has {size} bytes")
        if method == 0 and packed != size:
            raise Damaged(f"member '{shown(name)}' is stored, with two different sizes")
        return Member(number, name, kind, size, crc, offset + self._shift, packed, method)

    def _blocks(self, member: Member, name: bytes) -> Iterator[bytes]:
        self._file.seek(member.offset)
        data = self._file.read(_LOCAL.size + len(name))
        if len(data) < _LOCAL.size + len(name) or not data.startswith(b"PK\3\4"):
            raise Damaged("it is not where the index says")
        _, _, flags, method, _, _, crc, packed, size, names, extras = _LOCAL.unpack_from(data)
        if method != member.method or names != len(name) or data[_LOCAL.size :] != name:
            raise Damaged("its own header differs from the index")
        if flags & _ENCRYPTED:
            raise Damaged("its own header says that it is encrypted, the index does not")
        stated = not flags & _DESCRIPTOR and _NONE32 not in (packed, size)
        if stated and (crc, packed, size) != (member.crc, member.packed, member.size):
            raise Damaged("its own header differs from the index")
        start = member.offset + _LOCAL.size + names + extras
        if start + member.packed > self._start:
            raise Damaged("it lies outside of the archive")
        blocks = read_blocks(self._file, start, member.packed)
        return _decoded(member, blocks)


def _name(raw: bytes, flags: int) -> str:
    """Return a name: UTF-8 where that is said, or where it is that although nothing is said."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise Damaged("a name that should be UTF-8 is not") from None
        return raw.decode("cp437")


def _zip64(
    extra: bytes, name: str, size: int, packed: int, offset: int, disk: int
) -> tuple[int, int, int, int]:
    """Return the numbers of a member, from its zip64 field where they do not fit elsewhere."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if tag != 1:
            continue
        values = []
        for value, none, width in (
            (size, _NONE32, 8),
            (packed, _NONE32, 8),
            (offset, _NONE32, 8),
            (disk, 0xFFFF, 4),
        ):
            if value == none:
                if len(field) < width:
                    raise Damaged(f"the zip64 sizes of member '{shown(name)}' are cut off")
                values.append(int.from_bytes(field[:width], "little"))
                field = field[width:]
            else:
                values.append(value)
        if max(values) >= 1 << 62:
            raise Damaged(f"the sizes of member '{shown(name)}' make no sense")
        return values[0], values[1], values[2], values[3]
    return size, packed, offset, disk


def _decoded(member: Member, blocks: Iterator[bytes]) -> Iterator[bytes]:
    decoder: Decoder
    if member.method == 0:
        return decode(Plain(), blocks, endless=True)
    if member.method == 8:
        decoder = Deflate(-15)
    elif member.method == 12:
        decoder = bz2.BZ2Decompressor()
    else:
        return _lzma(blocks)
    return decode(decoder, blocks)


def _lzma(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a member of method 14: a short header, the filter's five bytes, a raw stream."""
    first = next(blocks, b"")
    if len(first) < 9 or first[2:4] != b"\5\0":
        raise Damaged("its lzma header makes no sense")
    decoder = lzma_decoder(lzma.FORMAT_RAW, [lzma_filter(first[4:9])])

    def rest() -> Iterator[bytes]:
        yield first[9:]
        yield from blocks

    return decode(decoder, rest(), endless=True)


def lzma_filter(properties: bytes) -> dict[str, int]:
    """Return the filter of `lzma` for the five bytes that zip and 7z have for LZMA."""
    if len(properties) != 5 or properties[0] >= 9 * 5 * 5:
        raise Damaged("its lzma header makes no sense")
    lc, rest = properties[0] % 9, properties[0] // 9
    dictionary = int.from_bytes(properties[1:], "little")
    if dictionary > 1 << 30:
        raise Damaged(f"it needs {dictionary} bytes of memory to unpack")
    return {
        "id": lzma.FILTER_LZMA1,
        "lc": lc,
        "lp": rest % 5,
        "pb": rest // 5,
        "dict_size": max(4096, dictionary),
    }
