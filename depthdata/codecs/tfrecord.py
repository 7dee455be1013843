"""TFRecord files: a plain run of records, each with its length and two checksums.

A record is its length (uint64), the masked CRC-32C of these 8 bytes, the payload, and the masked
CRC-32C of the payload; all little-endian, nothing before, between or after.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from depthdata.codecs.crc32c import masked_crc32c
from depthdata.errors import FormatError

__all__ = ["Record", "RecordFile", "Verify", "frame_record"]

Verify = Literal["none", "length", "full"]

_HEADER = struct.Struct("<QI")
_FOOTER = 4
_POOL = 3  # payloads: the one that is read while the last is in use, and one in between


class Record(NamedTuple):
    """Where the payload of a record lies: byte offset and length."""

    offset: int
    length: int


class RecordFile:
    """The records of a file; a payload's memory is used again when nothing refers to it.

    Parameters
    ----------
    path : path
    verify : {"length", "full", "none"}
        ``"length"`` checks the 12-byte headers, which finds any loss of step at no cost;
        ``"full"`` the payloads too (400 MB/s).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.tfrecord"
    >>> _ = path.write_bytes(frame_record(b"abc") + frame_record(b""))
    >>> with RecordFile(path) as records:
    ...     [bytes(payload) for payload in records]
    [b'abc', b'']
    """

    def __init__(self, path: str | os.PathLike[str], verify: Verify = "length") -> None:
        self.path, self._verify = Path(path), verify
        try:
            self._file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error
        self._size = os.fstat(self._file.fileno()).st_size
        self._index: list[Record] | None = None
        self._buffers: list[bytearray] = []

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def index(self) -> list[Record]:
        """Where every record lies; seeks from header to header and reads no payload.

        Raises
        ------
        FormatError
            The file ends inside a record, or a header is damaged.
        """
        if self._index is None:
            self._index = list(self._scan())
        return self._index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> memoryview:
        """Read the payload of record `i`."""
        return self._payload(i, self.index[i])

    def __iter__(self) -> Iterator[memoryview]:
        for i, record in enumerate(self._scan() if self._index is None else self._index):
            yield self._payload(i, record)

    def _scan(self) -> Iterator[Record]:
        offset, number = 0, 0
        while offset < self._size:
            header = bytearray(_HEADER.size)
            self._read(memoryview(header), offset, number, "its header")
            length, crc = _HEADER.unpack(header)
            if self._verify != "none" and masked_crc32c(header[:8]) != crc:
                raise FormatError(
                    f"{self.path}: record {number} at byte {offset}: the checksum of its length "
                    "does not match; the file is damaged or no TFRecord file (compressed?)"
                )
            end = offset + _HEADER.size + length + _FOOTER
            if end > self._size:
                raise self._cut(number, offset, end)
            yield Record(offset + _HEADER.size, length)
            offset, number = end, number + 1

    def _payload(self, number: int, record: Record) -> memoryview:
        size = record.length + _FOOTER
        data = memoryview(self._buffer(size))[:size]
        self._read(data, record.offset, number, "its payload")
        payload = data[: record.length].toreadonly()
        if self._verify == "full":
            (crc,) = struct.unpack_from("<I", data, record.length)
            if masked_crc32c(payload) != crc:
                raise FormatError(
                    f"{self.path}: record {number} at byte {record.offset - _HEADER.size}: the "
                    "checksum of its payload does not match; download the file again"
                )
        return payload

    def _buffer(self, size: int) -> bytearray:
        """Return memory that nobody looks into any more: new pages cost more than the reading."""
        for i, buffer in enumerate(self._buffers):
            try:
                buffer.append(buffer.pop())  # refused while a view shows into it
            except BufferError:
                continue
            if len(buffer) < size:
                self._buffers[i] = buffer = bytearray(size + size // 8)
            return buffer
        buffer = bytearray(size + size // 8)
        self._buffers = [*self._buffers[-(_POOL - 1) :], buffer]
        return buffer

    def _read(self, into: memoryview, offset: int, number: int, what: str) -> None:
        done = 0
        while done < len(into):
            count = os.preadv(self._file.fileno(), [into[done:]], offset + done)
            if not count:
                raise self._cut(number, offset, offset + len(into), what)
            done += count

    def _cut(self, number: int, offset: int, end: int, what: str = "the record") -> FormatError:
        return FormatError(
            f"{self.path}: cut in record {number} at byte {offset}: {what} would end at byte "
            f"{end}, the file has {self._size}; download it again"
        )


def frame_record(payload: bytes) -> bytes:
    """Return the bytes of one record.

    Examples
    --------
    >>> frame_record(b"abc").hex()
    '0300000000000000b099490e6162636e57f121'
    """
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            payload,
            struct.pack("<I", masked_crc32c(payload)),
        )
    )
