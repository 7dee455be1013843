"""Protocol buffers on the wire: the fields of a message by number, without a schema or a runtime.

One pass over the tags of a message keeps a view of each field; a sub-message is parsed when it is
asked for. Of a frame with megabytes of lidar, the pictures are found without touching the rest.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError

__all__ = ["Message", "unpack_varints"]

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_GROUPS = 5  # of 7 bits: what 32-bit values need
_LONGEST = 10  # bytes of a varint
_BLOCK = 1 << 16  # bytes of packed varints


class Message:
    """A serialized message; fields are asked for by number and type, absent ones have the default.

    Parameters
    ----------
    data : bytes-like
        Stays referenced: every view shows into it.
    where : str
        Names the message in errors.

    Raises
    ------
    FormatError
        A tag, length or varint runs out of the data, or a field has a type that does not exist.

    Examples
    --------
    >>> message = Message(bytes.fromhex("089601" "1203616263"))
    >>> message.integer(1), message.text(2), message.text(3), message.has(3)
    (150, 'abc', '', False)
    """

    __slots__ = ("_fields", "where")

    def __init__(self, data: bytes | bytearray | memoryview, where: str = "message") -> None:
        self.where = where
        self._fields: dict[int, list[tuple[int, Any]]] = {}
        view = memoryview(data).cast("B")
        position, end = 0, len(view)
        fields = self._fields
        while position < end:
            tag, position = self._varint(view, position)
            number, kind = tag >> 3, tag & 7
            value: Any
            if kind == _LENGTH:
                size, position = self._varint(view, position)
                value, position = view[position : position + size], position + size
            elif kind == _VARINT:
                value, position = self._varint(view, position)
            elif kind == _EIGHT:
                value, position = view[position : position + 8], position + 8
            elif kind == _FOUR:
                value, position = view[position : position + 4], position + 4
            else:
                raise FormatError(
                    f"{where}: field {number} at byte {position} has wire type {kind}, which "
                    "no such file uses; the data are damaged"
                )
            if position > end:
                raise FormatError(f"{where}: field {number} ends beyond its {end} bytes; damaged")
            if number == 0:
                raise FormatError(f"{where}: field number 0 at byte {position}; damaged")
            fields.setdefault(number, []).append((kind, value))

    def has(self, number: int) -> bool:
        """Tell whether a field is there."""
        return number in self._fields

    def integer(self, number: int, default: int = 0) -> int:
        """Return an int64, bool or enum."""
        value = self._last(number, _VARINT)
        if value is None:
            return default
        return value - (1 << 64) if value >> 63 else int(value)

    def integer32(self, number: int, default: int = 0) -> int:
        """Return an int32: the low 32 bits, signed."""
        value = self.integer(number, default) & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    def double(self, number: int, default: float = 0.0) -> float:
        """Return a double."""
        value = self._last(number, _EIGHT)
        return default if value is None else float(_DOUBLE.unpack(value)[0])

    def float(self, number: int, default: float = 0.0) -> float:
        """Return a float."""
        value = self._last(number, _FOUR)
        return default if value is None else float(_FLOAT.unpack(value)[0])

    def data(self, number: int) -> memoryview:
        """Return a bytes field as a view; empty where it is absent."""
        value: memoryview | None = self._last(number, _LENGTH)
        return memoryview(b"") if value is None else value

    def text(self, number: int) -> str:
        """Return a string; empty where it is absent."""
        try:
            return str(self.data(number), "utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"{self.where}: field {number} is no UTF-8 text") from error

    def message(self, number: int) -> Message:
        """Return a sub-message; an empty one where it is absent (see `has`)."""
        return Message(self.data(number), f"{self.where}, field {number}")

    def messages(self, number: int) -> list[Message]:
        """Return the sub-messages of a repeated field, in order of appearance."""
        where = f"{self.where}, field {number}"
        return [
            Message(self._expect(number, kind, value, _LENGTH), f"{where}[{i}]")
            for i, (kind, value) in enumerate(self._fields.get(number, ()))
        ]

    def doubles(self, number: int) -> npt.NDArray[np.float64]:
        """Return repeated doubles, packed or not, as float64 (n,)."""
        return self._numbers(number, _EIGHT, np.dtype("<f8"))

    def floats(self, number: int) -> npt.NDArray[np.float32]:
        """Return repeated floats, packed or not, as float32 (n,); no copy where packed in one."""
        return self._numbers(number, _FOUR, np.dtype("<f4"))

    def integers32(self, number: int) -> npt.NDArray[np.int32]:
        """Return repeated int32 or enums, packed or not, as int32 (n,)."""
        parts = []
        for kind, value in self._fields.get(number, ()):
            if kind == _VARINT:
                parts.append(np.array([value & 0xFFFFFFFF], np.uint32).view(np.int32))
            else:
                packed = self._expect(number, kind, value, _LENGTH)
                parts.append(unpack_varints(packed, f"{self.where}, field {number}"))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def _numbers(self, number: int, plain: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        parts = []
        for kind, value in self._fields.get(number, ()):
            if kind != plain:
                self._expect(number, kind, value, _LENGTH)
            if len(value) % dtype.itemsize:
                raise FormatError(
                    f"{self.where}: field {number} has {len(value)} bytes, "
                    f"no multiple of {dtype.itemsize}; damaged"
                )
            parts.append(np.frombuffer(value, dtype))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def _last(self, number: int, expected: int) -> Any:
        found = self._fields.get(number)
        return None if found is None else self._expect(number, *found[-1], expected)

    def _expect(self, number: int, kind: int, value: Any, expected: int) -> Any:
        if kind != expected:
            raise FormatError(
                f"{self.where}: field {number} should have wire type {expected}, found {kind}"
            )
        return value

    def _varint(self, view: memoryview, position: int) -> tuple[int, int]:
        value = shift = 0
        for octet in view[position : position + _LONGEST]:
            position += 1
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
        raise FormatError(f"{self.where}: a varint at byte {position} has no end; damaged")


def unpack_varints(data: bytes | memoryview, where: str = "varints") -> npt.NDArray[np.int32]:
    """Return packed int32 values; vectorised, as a lidar return has a million of them.

    Parameters
    ----------
    data : bytes-like
    where : str
        Names the field in errors.

    Returns
    -------
    (n,) int32
        The low 32 bits of each; negative values have ten bytes on the wire.

    Examples
    --------
    >>> unpack_varints(bytes.fromhex("ffffffffffffffffff01" "00" "8001"))
    array([ -1,   0, 128], dtype=int32)
    """
    octets = np.frombuffer(data, np.uint8)
    if len(octets) and octets[-1] >= 0x80:
        raise FormatError(f"{where}: the last varint has no end; damaged")
    out = np.empty(np.count_nonzero(octets < 0x80), np.int32)
    filled = start = 0
    while start < len(octets):  # in blocks: what fits into the cache is faster
        stop = min(start + _BLOCK, len(octets))
        tail = np.flatnonzero(octets[stop - 1 : stop + _LONGEST] < 0x80)
        if not len(tail):
            raise FormatError(f"{where}: a varint of more than {_LONGEST} bytes; damaged")
        stop += int(tail[0])  # the block ends with a varint
        values = _unpacked(octets[start:stop], where)
        out[filled : filled + len(values)] = values
        filled, start = filled + len(values), stop
    return out


def _unpacked(octets: npt.NDArray[np.uint8], where: str) -> npt.NDArray[np.int32]:
    ends = np.flatnonzero(octets < 0x80)
    if len(ends) == len(octets):  # all below 128
        return octets.astype(np.int32)
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    sizes = ends - starts + 1
    if sizes.max() > _LONGEST:
        raise FormatError(f"{where}: a varint of {sizes.max()} bytes; damaged")
    values = (octets[starts] & 0x7F).astype(np.uint32)
    rows = np.flatnonzero(sizes > 1)
    for group in range(1, _GROUPS):
        bits = octets[starts[rows] + group] & np.uint8(0x7F)
        values[rows] |= bits.astype(np.uint32) << np.uint32(7 * group)
        rows = rows[sizes[rows] > group + 1]
        if not len(rows):
            break
    return values.view(np.int32)
