"""Decompression in a stream: packed blocks in, unpacked blocks of bounded size out."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Protocol

__all__ = [
    "BLOCK",
    "Damaged",
    "Decoder",
    "Deflate",
    "Plain",
    "decode",
    "decode_all",
    "lzma_decoder",
    "read_blocks",
]

BLOCK = 1 << 18  # bytes, of what is read and of what comes out
DICTIONARY_MOST = 1 << 30  # bytes of memory that a decoder may take: liblzma believes its header


class Damaged(Exception):  # noqa: N818 - becomes an error with the archive's name
    """Packed data that is cut off or makes no sense."""


class Decoder(Protocol):
    """What `bz2` and `lzma` offer."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more input."""

    @property
    def unused_data(self) -> bytes:
        """What came after the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most `max_length` bytes."""


class Deflate:
    """A zlib stream with the manner of `bz2` and `lzma`.

    Parameters
    ----------
    wbits : int
        -15 for raw deflate, 31 for gzip.
    """

    def __init__(self, wbits: int) -> None:
        self._zlib = zlib.decompressobj(wbits)
        self._full = False

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more input."""
        return not self._zlib.eof and not self._zlib.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        """What came after the end of the stream."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most `max_length` bytes."""
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max(0, max_length))
        self._full = len(out) == max_length  # zlib may hold more although it took all input
        return out


class Plain:
    """Stored data: comes out as it goes in."""

    eof = False
    needs_input = True
    unused_data = b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return the data."""
        return data


def lzma_decoder(form: int, filters: list[dict[str, Any]] | None = None) -> lzma.LZMADecompressor:
    """Return a decoder of `lzma` that takes a bounded amount of memory."""
    try:
        if form == lzma.FORMAT_RAW:
            return lzma.LZMADecompressor(form, filters=filters)
        return lzma.LZMADecompressor(form, memlimit=DICTIONARY_MOST)
    except (lzma.LZMAError, ValueError, OverflowError, MemoryError) as error:
        raise Damaged(f"its decoder cannot be set up ({error})") from None


def decode(decoder: Decoder, blocks: Iterable[bytes], *, endless: bool = False) -> Iterator[bytes]:
    """Yield what one stream unpacks to, in blocks of at most `BLOCK` bytes.

    Parameters
    ----------
    endless : bool
        The stream has no mark at its end: the last block is the end.

    Raises
    ------
    Damaged
        The data makes no sense, ends too early, or goes on after the end of the stream.
    """
    for block in blocks:
        if decoder.eof:
            raise Damaged("there is data after its end")
        yield from _step(decoder, block)
    if not decoder.eof and not endless:
        raise Damaged("it is cut off")
    if decoder.unused_data:
        raise Damaged("there is data after its end")


def _step(decoder: Decoder, block: bytes) -> Iterator[bytes]:
    while True:
        try:
            out = decoder.decompress(block, BLOCK)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as error:
            raise Damaged(_words(error)) from None
        if out:
            yield out
        if decoder.eof or decoder.needs_input:
            return
        if not out and not block:
            raise Damaged("its decoder makes no progress")
        block = b""


def decode_all(form: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what a compressed file unpacks to: one stream or several after one another.

    Parameters
    ----------
    form : str
        "gz", "bz2" or "xz".
    blocks : iterator of bytes
        The file.
    """
    waiting = next(blocks, b"")
    first = True
    while waiting or first:
        decoder = _new(form)
        first = False
        while not decoder.eof:
            if not waiting:
                raise Damaged("it is cut off")
            yield from _step(decoder, waiting)
            waiting = decoder.unused_data if decoder.eof else next(blocks, b"")
        waiting = waiting or next(blocks, b"")
        # zeros fill up a tape or a block
        while waiting and not (waiting := waiting.lstrip(b"\0")):
            waiting = next(blocks, b"")
        if waiting and not _starts(form, waiting):
            while len(waiting) < 6 and (more := next(blocks, b"")):
                waiting += more
            if not _starts(form, waiting):
                raise Damaged("there is other data after its end")


_MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}


def _starts(form: str, data: bytes) -> bool:
    return data.startswith(_MAGIC[form])


def _new(form: str) -> Decoder:
    if form == "gz":
        return Deflate(31)
    if form == "bz2":
        return bz2.BZ2Decompressor()
    return lzma_decoder(lzma.FORMAT_XZ)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"its data makes no sense ({text})"


def read_blocks(file: BinaryIO, start: int, count: int) -> Iterator[bytes]:
    """Yield `count` bytes of a file from `start` on; Damaged where it ends before."""
    while count:
        file.seek(start)
        block = file.read(min(BLOCK, count))
        if not block:
            raise Damaged("the file ends before")
        start, count = start + len(block), count - len(block)
        yield block
