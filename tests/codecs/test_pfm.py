"""PFM and .flo files: golden cases exactly, both byte orders, damaged files refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import golden_cases

from depthdata.codecs.flo import decode_flo, encode_flo, read_flo
from depthdata.codecs.pfm import decode_pfm, encode_pfm, generic_channels, read_pfm
from depthdata.errors import FormatError, SourceError, UsageError

FLOATS = st.floats(width=32)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
MAPS = SHAPES.flatmap(lambda s: st.sampled_from([s, (*s, 3)])).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=FLOATS)
)
FLOWS = SHAPES.flatmap(lambda s: hnp.arrays(np.float32, (*s, 2), elements=FLOATS))
SMALL = encode_pfm(np.arange(12, dtype=np.float32).reshape(3, 4))


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "sceneflow*"))
def test_golden_pfm(case: Path):
    expected = np.load(case / "expected.npz")
    remaining = set(expected.files)
    for path in case.glob("*.pfm"):
        found = read_pfm(path)
        for name, values in (("raw", found), ("generic", generic_channels(found))):
            key = f"{path.stem}_{name}"
            assert values.dtype == expected[key].dtype
            np.testing.assert_array_equal(values, expected[key])
            remaining.remove(key)
    assert not remaining


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "sceneflow*"))
def test_golden_flo(case: Path):
    expected = np.load(case / "expected_flo.npz")
    assert expected.files == ["flow"]
    found = read_flo(case / "flow.flo")
    assert found.dtype == expected["flow"].dtype
    np.testing.assert_array_equal(found, expected["flow"])
    assert encode_flo(found) == (case / "flow.flo").read_bytes()


@given(MAPS, st.booleans(), st.booleans())
def test_pfm_comes_back(array: np.ndarray, big_endian: bool, blanks: bool):
    found = decode_pfm(encode_pfm(array, big_endian, blanks=blanks))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.float32 and found.dtype.isnative
    assert found.flags.c_contiguous and found.flags.writeable


@given(FLOWS)
def test_flo_comes_back(flow: np.ndarray):
    found = decode_flo(encode_flo(flow))
    np.testing.assert_array_equal(found, flow)
    assert found.flags.c_contiguous and found.flags.writeable


def test_rows_of_a_pfm_run_upwards():
    values = struct.pack(">6f", 3, 4, 5, 0, 1, 2)
    np.testing.assert_array_equal(decode_pfm(b"Pf\n3 2\n1\n" + values), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    "header",
    [
        b"Pf \n1 2 \n-1.0\n",
        b"Pf\r\n1 2\r\n-1.0\r\n",
        b"Pf \r\n1 2 \r\n -0.003922 \r\n",
        b"Pf\t\n1\t2\n-1e-3\n",
        b"Pf\n1 2\n-255\n",
    ],
)
def test_headers_of_other_writers(header: bytes):
    data = header + struct.pack("<2f", 7, 6)
    np.testing.assert_array_equal(decode_pfm(data), [[6], [7]])


def test_header_of_the_published_files():
    assert encode_pfm(np.zeros((540, 960)), blanks=True).startswith(b"Pf \n960 540 \n-1.0\n\0")
    assert encode_pfm(np.zeros((2, 5, 3)), True).startswith(b"PF\n5 2\n1\n\0")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "three short lines"),
        (b"P5\n3 2\n255\n" + bytes(6), "'Pf' or 'PF' in line 1, found 'P5'"),
        (b"<!DOCTYPE html>" + bytes(200), "three short lines of text first, found '<!DOCTYPE"),
        (b"Pf\n3 x\n-1\n", "'width height' in line 2, found '3 x'"),
        (b"Pf\n0 5\n-1\n", "'width height' in line 2, found '0 5'"),
        (b"Pf\n1 1\nnan\n" + bytes(4), "a number that is not 0 in line 3, found 'nan'"),
        (b"Pf\n1 1\n0.0\n" + bytes(4), "a number that is not 0 in line 3"),
        (b"PF\n999999999 999999999\n-1\n" + bytes(9), "found 9; the file is cut"),
        (SMALL[:-1], "4x3 pixels need 48 bytes after the header, found 47"),
        (SMALL + b"\n", "need 48 bytes after the header, found 49"),
    ],
)
def test_damaged_pfm(data: bytes, message: str):
    with pytest.raises(FormatError, match=r"^PFM: ") as error:
        decode_pfm(data)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a .flo file"),
        (b"PIEG" + struct.pack("<ii", 1, 1) + bytes(8), "found b'PIEG'"),
        (b"PIEH" + struct.pack("<ii", 0, 3), "found 0x3"),
        (b"PIEH" + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bytes(8), "found 8; the file is cut"),
        (encode_flo(np.zeros((2, 3, 2))) + b"\0", "need 48 bytes after the header, found 49"),
    ],
)
def test_damaged_flo(data: bytes, message: str):
    with pytest.raises(FormatError, match=r"^flow: ") as error:
        decode_flo(data)
    assert message in str(error.value)


@pytest.mark.parametrize("decode", [decode_pfm, decode_flo])
@given(
    st.sampled_from([b"", b"Pf\n", b"PF\n1 1", b"Pf\n1 1\n", b"PIEH\1\0\0\0"]),
    st.binary(max_size=40),
)
def test_any_bytes(decode: Callable[[bytes], np.ndarray], start: bytes, rest: bytes):
    try:
        assert decode(start + rest).size
    except FormatError as error:
        assert "\n" not in str(error)


@given(st.integers(0, len(SMALL) - 1), st.integers(0, 255))
def test_one_changed_byte(place: int, value: int):
    data = bytearray(SMALL)
    data[place] = value
    try:
        assert decode_pfm(bytes(data)).shape in ((3, 4), (4, 3), (2, 6), (1, 12))
    except FormatError as error:
        assert "\n" not in str(error)


def test_errors_name_the_file(tmp_path: Path):
    for read in (read_pfm, read_flo):
        with pytest.raises(SourceError, match=r"0006\.x is missing") as missing:
            read(tmp_path / "0006.x")
        assert missing.value.incomplete
        (tmp_path / "0007.x").write_bytes(SMALL[:20])
        with pytest.raises(FormatError, match=r"0007\.x: "):
            read(tmp_path / "0007.x")
        with pytest.raises(SourceError, match="cannot be read"):
            read(tmp_path)


def test_arrays_that_do_not_fit():
    for array in (np.zeros((2, 3, 2)), np.zeros(3), np.zeros((0, 3)), np.array([["a"]])):
        with pytest.raises(UsageError, match="encode_pfm: expected"):
            encode_pfm(array)
    for array in (np.zeros((2, 3)), np.zeros((2, 3, 3)), np.zeros((2, 3, 2), bool)):
        with pytest.raises(UsageError, match="encode_flo: expected"):
            encode_flo(array)
