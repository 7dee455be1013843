"""Protocol buffers written field by field: what tests and synthetic record files need.

>>> from depthdata.codecs.protobuf import Message
>>> Message(integer(1, 150) + text(2, "abc")).text(2)
'abc'
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

__all__ = [
    "blob",
    "double",
    "doubles",
    "float32",
    "integer",
    "pack_varints",
    "packed_floats",
    "packed_integers",
    "text",
    "varint",
]

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """Return a varint; a negative value has ten bytes, as int32 and int64 have.

    >>> varint(300).hex(), len(varint(-1))
    ('ac02', 10)
    """
    rest, out = value & 0xFFFFFFFFFFFFFFFF, bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """Return an int32, int64, bool or enum field."""
    return varint(number << 3 | _VARINT) + varint(value)


def double(number: int, value: float) -> bytes:
    """Return a double field."""
    return varint(number << 3 | _EIGHT) + struct.pack("<d", value)


def float32(number: int, value: float) -> bytes:
    """Return a float field."""
    return varint(number << 3 | _FOUR) + struct.pack("<f", value)


def doubles(number: int, values: npt.ArrayLike) -> bytes:
    """Return repeated doubles, one tag each, as the real files have them."""
    return b"".join(double(number, value) for value in np.ravel(np.asarray(values, np.float64)))


def blob(number: int, data: bytes) -> bytes:
    """Return a field of bytes: a blob or a message."""
    return varint(number << 3 | _LENGTH) + varint(len(data)) + data


def text(number: int, value: str) -> bytes:
    """Return a string field."""
    return blob(number, value.encode())


def packed_floats(number: int, values: npt.ArrayLike) -> bytes:
    """Return repeated floats in one piece."""
    return blob(number, np.asarray(values).astype("<f4").tobytes())


def packed_integers(number: int, values: npt.ArrayLike) -> bytes:
    """Return repeated int32 in one piece."""
    return blob(number, pack_varints(values))


def pack_varints(values: npt.ArrayLike) -> bytes:
    """Return int32 values as varints, one after the other; vectorised.

    >>> pack_varints([-1, 0, 128]).hex()
    'ffffffffffffffffff01008001'
    """
    rest = np.ravel(np.asarray(values)).astype(np.int64).view(np.uint64)
    sizes = np.ones(rest.size, np.int64)
    for group in range(1, 10):
        sizes += rest >= np.uint64(1 << 7 * group)
    starts = np.cumsum(sizes) - sizes
    out = np.empty(int(sizes.sum()), np.uint8)
    index = np.arange(rest.size)
    for group in range(10):
        last = sizes[index] == group + 1
        octets = (rest[index] & np.uint64(0x7F)).astype(np.uint8)
        octets[~last] |= 0x80
        out[starts[index] + group] = octets
        index = index[~last]
        if not index.size:
            break
        rest[index] >>= np.uint64(7)
    return out.tobytes()
