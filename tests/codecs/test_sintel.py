"""Files of MPI Sintel: golden depth exactly, every disparity, damaged files refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import golden_cases

from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.sintel import (
    SintelCamera,
    decode_camera,
    decode_depth,
    decode_disparity,
    decode_mask,
    encode_camera,
    encode_depth,
    encode_disparity,
    encode_mask,
    read_camera,
    read_depth,
    valid_disparity,
    wrapped_disparity,
)
from depthdata.codecs.sintel_folders import FOLDERS, KINDS, frames_in
from depthdata.errors import FormatError, SourceError, UsageError

TAG = struct.pack("<f", 202021.25)
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5))
CAMERA = SintelCamera(
    np.array([[1120.0, 0, 511.5], [0, 1120, 217.5], [0, 0, 1]]),
    np.array([[0.0, -1, 0, 2.5], [1, 0, 0, -0.125], [0, 0, 1, 1e-3]]),
)
WHOLE = {
    decode_disparity: encode_disparity(np.arange(12.0).reshape(3, 4) * 37.0625),
    decode_mask: encode_mask(np.eye(3, 4)),
    decode_depth: encode_depth(np.arange(12.0).reshape(3, 4)),
    decode_camera: encode_camera(CAMERA),
}
decoders = pytest.mark.parametrize("decode", WHOLE, ids=lambda decode: decode.__name__)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "sintel_stereo*"))
def test_golden_depth(case: Path):
    expected = np.load(case / "expected.npz")["dpt_depth"]
    found = read_depth(case / "depth.dpt")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert encode_depth(found) == (case / "depth.dpt").read_bytes()


@given(hnp.arrays(np.uint8, SHAPES.map(lambda shape: (*shape, 3))))
def test_every_colour_is_a_disparity_and_comes_back(colours: np.ndarray):
    found = decode_disparity(encode_png(colours))
    red, green, blue = np.moveaxis(colours.astype(np.float64), -1, 0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, red * 4 + green / 64 + blue / 16384)
    np.testing.assert_array_equal(decode_image(encode_disparity(found)), colours)


@given(hnp.arrays(np.float64, SHAPES, elements=st.floats(0, 1024, exclude_max=True)))
def test_disparity_is_rounded_down(values: np.ndarray):
    found = decode_disparity(encode_disparity(values)).astype(np.float64)
    assert (found <= values).all() and (values - found < 1 / 16384).all()


@given(hnp.arrays(np.uint8, SHAPES.map(lambda shape: (*shape, 3))))
def test_wrapping_is_that_of_8_bits(colours: np.ndarray):
    red, green, blue = np.moveaxis(colours, -1, 0)
    wrapped = (red * np.uint8(4)).astype(np.float64) + green / 64 + blue / 16384
    disparity = decode_disparity(encode_png(colours))
    for values in (disparity, disparity.astype(np.float64)):
        found = wrapped_disparity(values)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, wrapped)


def test_multiples_of_256_are_valid_in_one_reader_only():
    disparity = np.array([[256.0, 512, 768, 255, 257, 0, np.nan]], np.float32)
    seen = np.zeros(disparity.shape, np.uint8)
    assert valid_disparity(disparity, seen).tolist() == [[True] * 5 + [False] * 2]
    wrapped = valid_disparity(wrapped_disparity(disparity), seen)
    assert wrapped.tolist() == [[False] * 3 + [True] * 2 + [False] * 2]
    assert not valid_disparity(disparity, seen + 1).any()
    assert not valid_disparity(disparity, seen + 255).any()  # as the file has it


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_depth_comes_back(depth: np.ndarray):
    found = decode_depth(encode_depth(depth))
    np.testing.assert_array_equal(found, depth)
    assert found.flags.c_contiguous and found.flags.writeable


def test_camera_as_the_description_has_it():
    data = TAG + struct.pack("<9d", 1120, 0, 511.5, 0, 1119, 217.5, 0, 0, 1)
    data += struct.pack("<12d", 1, 0, 0, 0.25, 0, 0, -1, 2, 0, 1, 0, -3)
    camera = decode_camera(data)
    assert camera.intrinsics.tolist() == [[1120, 0, 511.5], [0, 1119, 217.5], [0, 0, 1]]
    assert camera.T_cam_world.tolist() == [[1, 0, 0, 0.25], [0, 0, -1, 2], [0, 1, 0, -3]]
    assert camera.T_cam_world.dtype == np.float64 and camera.T_cam_world.flags.writeable
    assert encode_camera(camera) == data


@given(hnp.arrays(np.bool_, SHAPES))
def test_mask_comes_back(marked: np.ndarray):
    found = decode_mask(encode_mask(marked))
    np.testing.assert_array_equal(found, marked)
    np.testing.assert_array_equal(decode_image(encode_mask(marked)), marked * np.uint8(255))


LONG = 2**31 - 1
DAMAGED = {
    "no disparity": (decode_disparity, b"", "expected a PNG or JPEG signature"),
    "grey disparity": (decode_disparity, encode_png(np.eye(3, dtype=np.uint8)), "8-bit RGB PNG"),
    "16-bit disparity": (
        decode_disparity,
        encode_png(np.zeros((2, 2, 3), np.uint16)),
        "found 16-bit PNG",
    ),
    "colour mask": (decode_mask, encode_png(np.zeros((2, 2, 3), np.uint8)), "grey PNG"),
    "levels": (decode_mask, encode_png(np.array([[0, 7, 255]], np.uint8)), "and 255, found [7]"),
    "no depth": (decode_depth, b"PIEG" + bytes(20), "expected a .dpt file ('PIEH' first)"),
    "short": (decode_depth, TAG + bytes(7), "expected a .dpt file"),
    "no size": (decode_depth, TAG + struct.pack("<ii", 0, 3), "found 0x3"),
    "negative size": (decode_depth, TAG + struct.pack("<ii", -3, -3), "found -3x-3"),
    "huge": (decode_depth, TAG + struct.pack("<ii", LONG, LONG) + bytes(9), "found 9; the file"),
    "cut depth": (decode_depth, WHOLE[decode_depth][:-1], "need 48 bytes after the header"),
    "flow as depth": (decode_depth, WHOLE[decode_depth] + bytes(48), "found 96"),
    "no camera": (decode_camera, b"<!DOCTYPE html>", "expected a .cam file"),
    "cut camera": (decode_camera, WHOLE[decode_camera][:-8], "expected 172 bytes, found 164"),
    "zeros": (decode_camera, TAG + bytes(168), "focal lengths above 0"),
    "no number": (
        decode_camera,
        encode_camera(CAMERA._replace(T_cam_world=CAMERA.T_cam_world * np.nan)),
        "expected finite numbers",
    ),
    "no rotation": (
        decode_camera,
        encode_camera(CAMERA._replace(T_cam_world=CAMERA.T_cam_world * 2)),
        "expected a rotation",
    ),
    "huge numbers": (
        decode_camera,
        encode_camera(CAMERA._replace(T_cam_world=CAMERA.T_cam_world * 1e200)),
        "expected a rotation",
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged(what: str):
    decode, data, message = DAMAGED[what]
    with pytest.raises(FormatError) as error:
        decode(data)
    assert message in str(error.value) and "\n" not in str(error.value)


@decoders
@given(st.data())
def test_any_bytes(decode: Callable[[bytes], object], data: st.DataObject):
    whole = WHOLE[decode]
    start = whole[: data.draw(st.sampled_from([0, 4, 8, 12, 33, len(whole)]))]
    _try(decode, start + data.draw(st.binary(max_size=40)))


@decoders
@given(st.data())
def test_cut_and_changed(decode: Callable[[bytes], object], data: st.DataObject):
    whole = bytearray(WHOLE[decode])
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(FormatError):
        decode(bytes(whole[:place]))
    whole[place] ^= data.draw(st.integers(1, 255))
    _try(decode, bytes(whole))


@settings(max_examples=50)
@given(st.binary(min_size=168, max_size=168))
def test_any_camera(rest: bytes):
    _try(decode_camera, TAG + rest)


def _try(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        found = decode(data)
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        for array in found if isinstance(found, tuple) else (found,):
            assert isinstance(array, np.ndarray) and array.ndim == 2


def test_a_lying_png_is_refused_before_it_is_decoded():
    data = bytearray(encode_png(np.zeros((4, 4, 3), np.uint8)))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(FormatError, match="cannot hold 60000x60000 pixels"):
        decode_disparity(bytes(data))


@pytest.mark.parametrize("read", [read_depth, read_camera])
def test_errors_name_the_file(read: Callable[[Path], object], tmp_path: Path):
    with pytest.raises(SourceError, match=r"frame_0001\.x is missing") as missing:
        read(tmp_path / "frame_0001.x")
    assert missing.value.incomplete
    (tmp_path / "frame_0002.x").write_bytes(TAG)
    with pytest.raises(FormatError, match=r"frame_0002\.x: "):
        read(tmp_path / "frame_0002.x")


def test_arrays_that_do_not_fit():
    for values in (np.zeros(3), np.zeros((0, 3)), [[-0.1]], [[1024.0]], [[np.inf]]):
        with pytest.raises(UsageError, match="encode_disparity: expected"):
            encode_disparity(np.asarray(values))
    for encode in (encode_depth, encode_mask):
        with pytest.raises(UsageError, match="expected"):
            encode(np.zeros((2, 2, 2)))
    with pytest.raises(UsageError, match=r"expected \(3, 3\) and \(3, 4\), found"):
        encode_camera(SintelCamera(np.eye(3), np.eye(4)))


def test_what_is_missing_is_0():
    assert decode_disparity(encode_disparity(np.array([[np.nan, 1]]))).tolist() == [[0, 1]]


def test_folders():
    assert len({kind.key for kind in KINDS}) == len(KINDS) == len(FOLDERS) + 1  # occlusions twice
    assert FOLDERS["depth"] == ".dpt" and FOLDERS["camdata_left"] == ".cam"
    names = ["frame_0010.cam", "frame_9.cam", "._frame_0001.cam", "frame_0001.png", "frame_x.cam"]
    assert frames_in(names, ".cam") == ("frame_9", "frame_0010")
