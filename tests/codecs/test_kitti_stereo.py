"""Disparity and flow files of KITTI's benchmarks: exact, and refused when damaged."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import golden_cases

from depthdata.codecs import png_maps
from depthdata.codecs.images import encode_png
from depthdata.codecs.kitti_stereo import (
    decode_disparity,
    decode_disparity_levels,
    decode_flow,
    decode_flow_levels,
    encode_disparity,
    encode_flow,
    read_disparity,
    read_flow,
)
from depthdata.errors import FormatError, SourceError, UsageError

SIZES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "kitti_stereo*"))
def test_golden_files_are_read_exactly(case: Path):
    expected = np.load(case / "expected.npz")
    assert set(expected.files) == {"disp", "valid", "flow", "flow_valid"}
    disparity = read_disparity(case / "disp.png")
    assert disparity.dtype == expected["disp"].dtype
    np.testing.assert_array_equal(disparity, expected["disp"])
    np.testing.assert_array_equal(disparity > 0, expected["valid"])
    flow, valid = read_flow(case / "flow.png")
    assert flow.dtype == expected["flow"].dtype
    np.testing.assert_array_equal(flow, expected["flow"])
    np.testing.assert_array_equal(valid, expected["flow_valid"])


@given(hnp.arrays(np.uint16, SIZES))
def test_disparity_levels_come_back(levels: np.ndarray):
    data = encode_disparity(levels)
    np.testing.assert_array_equal(decode_disparity_levels(data), levels)
    np.testing.assert_array_equal(decode_disparity(data), levels / 256)
    np.testing.assert_array_equal(decode_disparity_levels(encode_disparity(levels / 256)), levels)


@given(SIZES.flatmap(lambda s: hnp.arrays(np.uint16, (*s, 2))), st.integers(0, 2**32))
def test_flow_levels_come_back(vectors: np.ndarray, seed: int):
    valid = np.random.default_rng(seed).integers(0, 2, vectors.shape[:2])
    levels = np.dstack([vectors, valid]).astype(np.uint16)
    data = encode_flow(levels)
    np.testing.assert_array_equal(decode_flow_levels(data), levels)
    flow, known = decode_flow(data)  # pixels that are not valid are decoded like the others
    np.testing.assert_array_equal(flow, (vectors - 32768.0) / 64)
    np.testing.assert_array_equal(known, valid)
    again = decode_flow(encode_flow(flow, known))
    np.testing.assert_array_equal(again.valid, known)
    np.testing.assert_array_equal(again.flow[known], flow[known])
    assert not again.flow[~known].any()


def test_floats_are_rounded_and_nan_is_not_measured():
    disparity = np.array([[0.25, 1 / 500, 1 / 600, np.nan, -3.0, 0.0, 255.9]], np.float32)
    expected = [[64, 1, 0, 0, 0, 0, 65510]]
    np.testing.assert_array_equal(decode_disparity_levels(encode_disparity(disparity)), expected)
    flow = np.array([[[0.126, -0.126], [np.nan, 1], [511.98, -512]]])
    levels = decode_flow_levels(encode_flow(flow))
    zero = [32768, 32768, 0]
    np.testing.assert_array_equal(levels, [[[32776, 32760, 1], zero, [65535, 0, 1]]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: encode_disparity(np.zeros(3)),
        lambda: encode_disparity(np.zeros((2, 2), np.int32)),
        lambda: encode_disparity(np.full((2, 2), 256.0)),
        lambda: encode_flow(np.zeros((2, 2, 3))),
        lambda: encode_flow(np.full((2, 2, 2), 512.0)),
        lambda: encode_flow(np.full((2, 2, 2), np.inf), np.ones((2, 2), bool)),
        lambda: encode_flow(np.zeros((2, 2, 2)), np.ones((2, 3), bool)),
    ],
)
def test_what_no_file_can_hold(call):
    with pytest.raises(UsageError):
        call()


GREY8 = encode_png(np.zeros((2, 3), np.uint8))
GREY16 = encode_png(np.zeros((2, 3), np.uint16))
RGB8 = encode_png(np.zeros((2, 3, 3), np.uint8))
RGB16 = encode_png(np.full((2, 3, 3), 2, np.uint16))


@pytest.mark.parametrize(
    ("decode", "data", "message"),
    [
        (decode_disparity, GREY8, "expected 16-bit grey PNG, found 8-bit PNG with 1 channel"),
        (decode_disparity, RGB16, "expected 16-bit grey PNG, found 16-bit PNG with 3 channel"),
        (decode_flow, RGB8, "expected 16-bit RGB PNG, found 8-bit PNG with 3 channel"),
        (decode_flow, GREY16, "expected 16-bit RGB PNG, found 16-bit PNG with 1 channel"),
        (decode_flow, RGB16, r"expected 0 or 1 in the blue channel \(validity\), found 2"),
        (decode_disparity, b"<html>", "expected a PNG or JPEG signature"),
        (decode_disparity, GREY16[:-3], "cut at"),
    ],
)
def test_another_kind_of_file(decode, data: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        decode(data)


def test_errors_name_the_file(tmp_path: Path):
    path = tmp_path / "000000_10.png"
    with pytest.raises(SourceError, match=r"000000_10\.png is missing") as caught:
        read_disparity(path)
    assert caught.value.incomplete
    path.write_bytes(GREY8)
    with pytest.raises(FormatError, match=r"000000_10\.png: disparity: expected 16-bit"):
        read_disparity(path)
    with pytest.raises(SourceError, match="cannot be read"):
        read_flow(tmp_path)


def test_a_header_that_lies_costs_no_memory(monkeypatch: pytest.MonkeyPatch):
    header = GREY16[12:16] + struct.pack(">II", 1 << 15, 1 << 15) + GREY16[24:29]
    data = GREY16[:12] + header + zlib.crc32(header).to_bytes(4, "big") + GREY16[33:]
    monkeypatch.setattr(png_maps, "decode_image", lambda data: pytest.fail("decoded"))
    with pytest.raises(FormatError, match="cannot hold 32768x32768 pixels"):
        decode_disparity(data)


_RNG = np.random.default_rng(0)
_DISPARITY = encode_disparity(_RNG.integers(0, 65536, (8, 11)).astype(np.uint16))
_FLOW = encode_flow(_RNG.uniform(-500, 500, (8, 11, 2)))


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_refused(data: st.DataObject):
    for decode, good in ((decode_disparity_levels, _DISPARITY), (decode_flow_levels, _FLOW)):
        bad = bytearray(good)
        if data.draw(st.booleans()):
            del bad[data.draw(st.integers(0, len(good) - 1)) :]
        else:
            for _ in range(data.draw(st.integers(1, 4))):
                bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        if bytes(bad) != good:
            with pytest.raises(FormatError):
                decode(bytes(bad))


@settings(max_examples=60)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_refused(data: bytes, signed: bool):
    for decode in (decode_disparity, decode_flow):
        with pytest.raises(FormatError):
            decode(GREY16[:8] + data if signed else data)
