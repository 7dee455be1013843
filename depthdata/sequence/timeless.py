"""Take the wall-clock out of a closed HDF5 file.

Groups and datasets are created without times, but HDF5 gives the superblock extension (it holds
the paging settings) four of them and offers no switch. They are set to 0 here, and the checksum of
that header is computed anew. Layout: HDF5 file format specification 3.0, II.A and IV.A.1.b.
"""

from __future__ import annotations

import os

from depthdata.errors import FormatError

__all__ = ["clear_extension_times", "lookup3"]

_SUPERBLOCK_SIZE = 48
_EXTENSION_ADDRESS = slice(20, 28)
_HAS_TIMES = 0x20
_TIMES = slice(6, 22)  # behind signature, version and flags: four 32-bit seconds
_MASK = 0xFFFFFFFF


def clear_extension_times(fd: int, base: int) -> None:
    """Set the times of the superblock extension to 0.

    Parameters
    ----------
    fd : int
        The file, writable and closed by HDF5.
    base : int
        Where the HDF5 part of the file begins (size of the user block).
    """
    superblock = os.pread(fd, _SUPERBLOCK_SIZE, base)
    place = base + int.from_bytes(superblock[_EXTENSION_ADDRESS], "little")
    header = bytearray(os.pread(fd, 512, place))
    flags = header[5]
    if header[:5] != b"OHDR\x02":
        raise FormatError(
            f"HDF5 superblock extension: expected OHDR 2, found {bytes(header[:5])!r}"
        )
    if not flags & _HAS_TIMES:
        return
    sizes_at = 22 + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    messages = int.from_bytes(header[sizes_at : sizes_at + width], "little")
    end = sizes_at + width + messages
    stored = int.from_bytes(header[end : end + 4], "little")
    if len(header) < end + 4 or lookup3(bytes(header[:end])) != stored:
        raise FormatError("HDF5 superblock extension: its checksum is not where it should be")
    header[_TIMES] = bytes(16)
    os.pwrite(fd, header[:end] + lookup3(bytes(header[:end])).to_bytes(4, "little"), place)


def lookup3(data: bytes) -> int:
    """Return Bob Jenkins' lookup3 hash (hashlittle, initial value 0), HDF5's metadata checksum.

    >>> hex(lookup3(b"")), hex(lookup3(b"Four score and seven years ago"))
    ('0xdeadbeef', '0x17770551')
    """
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    if not data:
        return c
    last = (len(data) - 1) // 12 * 12
    words = [
        int.from_bytes(data[i : i + 4].ljust(4, b"\0"), "little") for i in range(0, last + 12, 4)
    ]
    for i in range(0, last // 4, 3):
        a, b, c = _mix(
            (a + words[i]) & _MASK, (b + words[i + 1]) & _MASK, (c + words[i + 2]) & _MASK
        )
    a, b, c = ((value + word) & _MASK for value, word in zip((a, b, c), words[-3:], strict=True))
    return _final(a, b, c)


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _rotate(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, bits)) & _MASK
        a, b, c = b, c, a
    # seven steps turn the roles once more than two whole rounds
    return b
