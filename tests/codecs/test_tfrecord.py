"""TFRecord framing: vectors, flips, truncation at every byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata.codecs import crc32c
from depthdata.codecs.tfrecord import RecordFile, Verify, frame_record
from depthdata.errors import FormatError

TWO = bytes.fromhex("0300000000000000b099490e6162636e57f1210000000000000000" + "29039807d8ea82a2")


def _plain(data: bytes) -> int:
    state, table = 0xFFFFFFFF, crc32c._byte_table().tolist()
    for octet in data:
        state = table[(state ^ octet) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2048, 3 * 1024 + 7, 70_001])
def test_crc_of_lanes_is_the_plain_crc(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    assert crc32c._numpy_crc32c(data) == _plain(data) == crc32c.crc32c(data)


def test_vector() -> None:
    assert frame_record(b"abc") + frame_record(b"") == TWO


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("records") / "x.tfrecord"
    path.write_bytes(b"".join(map(frame_record, payloads)))
    with RecordFile(path, verify="full") as records:
        assert [bytes(payload) for payload in records] == payloads
        assert len(records) == len(payloads)
        for i in reversed(range(len(payloads))):
            assert bytes(records[i]) == payloads[i]


def test_cut_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "cut.tfrecord"
    boundaries = {0, len(frame_record(b"abc"))}
    for size in range(len(TWO)):
        path.write_bytes(TWO[:size])
        with RecordFile(path) as records:
            if size in boundaries:
                assert len(records) == (size > 0)
            else:
                with pytest.raises(FormatError, match=r"cut in record \d at byte \d+.*download"):
                    list(records)


@pytest.mark.parametrize("verify", ["none", "length", "full"])
def test_flips(tmp_path: Path, verify: Verify) -> None:
    whole = frame_record(bytes(range(200)))
    path = tmp_path / "flip.tfrecord"
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        path.write_bytes(broken)
        in_header = position < 12
        if verify == "full" or (verify == "length" and in_header):
            with RecordFile(path, verify) as records, pytest.raises(FormatError, match="record 0"):
                list(records)


def test_a_length_that_lies_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lie.tfrecord"
    path.write_bytes((1 << 62).to_bytes(8, "little") + bytes(40))
    with RecordFile(path, "none") as records, pytest.raises(FormatError, match="would end at byte"):
        list(records)
    with pytest.raises(FormatError, match="cannot be read"):
        RecordFile(tmp_path / "absent.tfrecord")


def test_payloads_that_are_kept_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    payloads = [bytes([k]) * (50 - k) for k in range(8)]
    path.write_bytes(b"".join(map(frame_record, payloads)))
    with RecordFile(path) as records:
        assert [bytes(view) for view in list(records)] == payloads
        arrays = [np.frombuffer(view, np.uint8)[3:] for view in records]
        assert [array.tobytes() for array in arrays] == [data[3:] for data in payloads]
        for k, view in enumerate(records):
            assert view == payloads[k]
            assert view.readonly
