"""Protocol buffers on the wire: vectors, both encodings of repeated fields, fuzz."""

from __future__ import annotations

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata.codecs import protobuf_writer as write
from depthdata.codecs.protobuf import Message, unpack_varints
from depthdata.errors import FormatError

MATRIX_INT32 = bytes.fromhex(
    "0a20ffffffffffffffffff01007f8001808001ffffffff0780808080f8ffffffff0112020807"
)
MATRIX_FLOAT = bytes.fromhex("0a080000c03f000080bf120408010802")


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def test_vectors() -> None:
    ints = Message(MATRIX_INT32)
    assert ints.integers32(1).tolist() == [-1, 0, 127, 128, 16384, 2147483647, -2147483648]
    assert ints.message(2).integers32(1).tolist() == [7]
    floats = Message(MATRIX_FLOAT)
    assert floats.floats(1).tolist() == [1.5, -1.0]
    assert floats.message(2).integers32(1).tolist() == [1, 2]


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_packed_int32(values: list[int]) -> None:
    packed = b"".join(map(varint, values))
    assert unpack_varints(packed).tolist() == values


def test_repeated_fields_packed_unpacked_and_in_pieces() -> None:
    doubles = [1.5, -2.0, 1e300]
    unpacked = b"".join(b"\x09" + struct.pack("<d", value) for value in doubles)
    packed = b"\x0a\x10" + struct.pack("<2d", *doubles[:2]) + b"\x0a\x08" + struct.pack("<d", 1e300)
    for data in (unpacked, packed, unpacked[:9] + packed[:0] + unpacked[9:]):
        assert Message(data).doubles(1).tolist() == doubles
    mixed = b"\x08" + varint(-5) + b"\x0a\x02\x03\x04" + b"\x08\x07"
    assert Message(mixed).integers32(1).tolist() == [-5, 3, 4, 7]


def test_last_scalar_wins_and_absent_is_told_from_zero() -> None:
    message = Message(b"\x08\x05\x08\x00" + b"\x15" + struct.pack("<f", 0.25) + b"\x98\x06\x01")
    assert message.integer(1) == 0
    assert message.has(1)
    assert not message.has(3)
    assert message.integer(3, 9) == 9
    assert message.float(2) == 0.25
    assert message.has(99)
    assert Message(b"\x08" + varint(-7)).integer(1) == -7
    assert Message(b"\x08" + varint(-7)).integer32(1) == -7
    assert not message.message(50).has(1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0b\x00", "wire type 3"),
        (b"\x0a\x05abc", "ends beyond"),
        (b"\x08" + b"\xff" * 11, "no end"),
        (b"\x09\x00\x00", "ends beyond"),
        (b"\x00\x00", "field number 0"),
        (b"\x80", "no end"),
    ],
)
def test_damage_is_one_line(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Message(data)


def test_wrong_types_are_one_line() -> None:
    with pytest.raises(FormatError, match="field 1 should have wire type 2, found 0"):
        Message(b"\x08\x05").data(1)
    with pytest.raises(FormatError, match="no multiple of 8"):
        Message(b"\x0a\x03abc").doubles(1)
    with pytest.raises(FormatError, match="no UTF-8"):
        Message(b"\x0a\x01\xff").text(1)
    with pytest.raises(FormatError, match="the last varint"):
        Message(b"\x0a\x01\xff").integers32(1)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_format_error(data: bytes) -> None:
    try:
        message = Message(data)
    except FormatError:
        return
    readers = (
        *(message.integer, message.double, message.text, message.messages),
        *(message.doubles, message.floats, message.integers32),
    )
    for number, read in itertools.product(range(1, 32), readers):
        with contextlib.suppress(FormatError):
            read(number)


def test_what_is_written_is_read() -> None:
    values = [-1, 0, 127, 128, 16384, 2147483647, -2147483648]
    written = b"".join(
        [
            write.integer(1, -7),
            write.text(2, "\u00e9"),
            write.double(3, 0.1),
            write.float32(4, 0.5),
            write.doubles(5, [[1.0, 2.0], [3.0, 4.0]]),
            write.packed_floats(6, [1.5, -1.0]),
            write.packed_integers(7, values),
            write.blob(300, write.integer(1, 5)),
        ]
    )
    message = Message(written)
    assert (message.integer(1), message.text(2)) == (-7, "\u00e9")
    assert (message.double(3), message.float(4)) == (0.1, 0.5)
    assert message.doubles(5).tolist() == [1, 2, 3, 4]
    assert message.floats(6).tolist() == [1.5, -1.0]
    assert message.integers32(7).tolist() == values
    assert message.message(300).integer(1) == 5
    shape = write.blob(2, write.integer(1, 7))
    assert write.packed_integers(1, values) + shape == MATRIX_INT32


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_vectorised_varints_are_the_plain_ones(values: list[int]) -> None:
    assert write.pack_varints(values) == b"".join(map(varint, values))
