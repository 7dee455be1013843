"""Half floats in PNG: bit for bit, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from depthdata.codecs.half_png import (
    decode_half_flow,
    decode_half_png,
    encode_half_flow,
    encode_half_png,
    read_half_flow,
    read_half_png,
)
from depthdata.codecs.images import encode_png
from depthdata.errors import FormatError, SourceError, UsageError

MAPS = arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7))


@given(MAPS)
@settings(max_examples=60, deadline=None)
def test_every_bit_pattern_survives(bits: np.ndarray):
    half = bits.view(np.float16)  # NaN with payloads, infinities and subnormals among them
    np.testing.assert_array_equal(decode_half_png(encode_half_png(half)).view(np.uint16), bits)
    flow = np.stack([half, half[::-1]])
    found = decode_half_flow(encode_half_flow(flow))
    np.testing.assert_array_equal(found.view(np.uint16), flow.view(np.uint16))


def test_all_half_floats():
    bits = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    found = decode_half_png(encode_half_png(bits.view(np.float16)))
    np.testing.assert_array_equal(found.view(np.uint16), bits)


def test_flow_lies_side_by_side():
    flow = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    wide = decode_half_png(encode_half_flow(flow))
    assert wide.shape == (3, 8)
    np.testing.assert_array_equal(wide[:, :4], flow[0])
    np.testing.assert_array_equal(wide[:, 4:], flow[1])


BLOB = encode_half_png(np.linspace(0, 9, 35, dtype=np.float16).reshape(5, 7))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_random_bytes(data: bytes):
    for start in (b"", BLOB[:33]):
        with pytest.raises(FormatError):
            decode_half_png(start + data)


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_found(place: int, flip: int):
    data = bytearray(BLOB)
    data[place] ^= flip
    with pytest.raises(FormatError):
        decode_half_png(bytes(data))


@given(st.integers(0, len(BLOB) - 1))
def test_a_cut_is_found(size: int):
    with pytest.raises(FormatError):
        decode_half_png(BLOB[:size])


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((2, 2), np.uint8), "8-bit PNG"),
        (np.zeros((2, 2, 3), np.uint16), "3 channel"),
    ],
)
def test_other_pictures(image: np.ndarray, found: str, tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(image))
    with pytest.raises(FormatError, match=f"a.png: .*expected 16-bit grey PNG.*{found}"):
        read_half_png(path)


def test_flow_of_odd_width(tmp_path: Path):
    path = tmp_path / "flow.png"
    path.write_bytes(BLOB)
    with pytest.raises(FormatError, match=r"flow\.png: .*odd width of 7"):
        read_half_flow(path)
    with pytest.raises(SourceError, match=r"nowhere\.png is missing"):
        read_half_flow(tmp_path / "nowhere.png")


def test_rounding_is_the_callers():
    with pytest.raises(UsageError, match="float16"):
        encode_half_png(np.zeros((2, 2), np.float32))
    with pytest.raises(UsageError, match=r"\(2, H, W\)"):
        encode_half_flow(np.zeros((2, 2), np.float16))
