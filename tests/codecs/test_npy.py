"""Arrays in .npy files: what numpy writes comes back, everything else is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.codecs.npy import decode_npy, encode_npy, read_npy
from depthdata.errors import FormatError, SourceError


def _with_header(text: str, body: bytes = b"") -> bytes:
    header = text.encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "<f4", ">f4", ">i8", "f2", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 3)])
def test_arrays_come_back(dtype: str, order: str, shape: tuple[int, ...]):
    values = np.asarray(np.arange(np.prod(shape)).reshape(shape) % 2, dtype, order=order)
    found = decode_npy(encode_npy(values))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_format(version: tuple[int, int]):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.arange(3.0), version=version)
    np.testing.assert_array_equal(decode_npy(file.getvalue()), np.arange(3.0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!DOCTYPE html>", "expected a .npy file"),
        (b"", "expected a .npy file"),
        (encode_npy(np.zeros(3))[:-1], "3 values of float64 need 24 bytes .* found 23"),
        (encode_npy(np.zeros(3))[:40], "the header ends at byte 128 of 40"),
        (encode_npy(np.array(["text"])), "expected an array of numbers, found '<U4'"),
        (_with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), "of numbers"),
        (_with_header("{'descr': '<i3', 'fortran_order': False, 'shape': (1,)}"), "of numbers"),
        (_with_header("{'descr': '|b4', 'fortran_order': False, 'shape': (1,)}"), "of numbers"),
        (
            _with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"),
            "need 8000000000000 bytes",
        ),
        (_with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"), "that is none"),
        (_with_header("{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}"), "that is none"),
        (_with_header("__import__('os').getcwd()"), "that is none"),
        (_with_header("(" * 100), "that is none"),
        (_with_header("{'descr': '<f8', 'shape': (1,)}"), "that is none"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        decode_npy(data)


def test_errors_name_the_file(tmp_path: Path):
    with pytest.raises(SourceError, match=r"0001\.npy is missing") as caught:
        read_npy(tmp_path / "0001.npy")
    assert caught.value.incomplete
    (tmp_path / "0001.npy").write_bytes(b"x")
    with pytest.raises(FormatError, match=r"0001\.npy: npy: expected"):
        read_npy(tmp_path / "0001.npy")


_GOOD = encode_npy(np.arange(24, dtype="<f4").reshape(2, 3, 4))


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject):
    bad = bytearray(_GOOD)
    if data.draw(st.booleans()):
        del bad[data.draw(st.integers(0, len(_GOOD) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            bad[data.draw(st.integers(0, len(_GOOD) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_npy(bytes(bad))
    except FormatError:
        return
    assert found.nbytes == 96


@given(st.binary(max_size=120))
def test_random_bytes_are_refused(data: bytes):
    for start in (b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x20\x00{"):
        with pytest.raises(FormatError):
            decode_npy(start + data)
