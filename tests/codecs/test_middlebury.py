"""``calib.txt`` and ``mask0nocc.png`` of Middlebury and ETH3D."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.codecs.images import encode_png
from depthdata.codecs.middlebury import (
    Calib,
    decode_calib,
    decode_mask,
    encode_calib,
    encode_mask,
    read_calib,
    read_mask,
)
from depthdata.errors import FormatError, SourceError, UsageError

LONG = """cam0=[3997.684 0 1176.728; 0 3997.684 1011.728; 0 0 1]
cam1=[3997.684 0 1307.839; 0 3997.684 1011.728; 0 0 1]
doffs=131.111
baseline=193.001
width=2964
height=1988
ndisp=280
isint=0
vmin=31
vmax=257
dyavg=0.918
dymax=1.516
"""
SHORT = """cam0=[541.764 0 553.869; 0 541.764 232.396; 0 0 1]
cam1=[541.764 0 553.869; 0 541.764 232.396; 0 0 1]
doffs=0
baseline=59.9101
width=942
height=489
ndisp=942
"""

fuzzed = settings(max_examples=80, deadline=None)
pixels = st.floats(0.5, 1e5).map(lambda value: round(value, 3))


def _matrix(f: float, cx: float, cy: float) -> np.ndarray:
    return np.array([[f, 0, cx], [0, f, cy], [0, 0, 1.0]])


def test_long_form():
    calib = decode_calib(LONG.encode())
    np.testing.assert_array_equal(calib.cam0, _matrix(3997.684, 1176.728, 1011.728))
    np.testing.assert_array_equal(calib.cam1, _matrix(3997.684, 1307.839, 1011.728))
    assert (calib.doffs, calib.baseline_mm, calib.baseline) == (131.111, 193.001, 0.193001)
    assert (calib.width, calib.height) == (2964, 1988)
    facts = {"ndisp": 280, "isint": 0, "vmin": 31, "vmax": 257, "dyavg": 0.918, "dymax": 1.516}
    assert calib.facts == facts
    assert [type(value) for value in calib.facts.values()] == [int] * 4 + [float] * 2


def test_short_form_and_unknown_lines():
    calib = decode_calib((SHORT + "rectified by=hand\r\n\nk = 1e2\n").encode())
    assert calib.doffs == 0 and calib.baseline == pytest.approx(0.0599101, abs=1e-12)
    assert calib.facts == {"ndisp": 942, "rectified by": "hand", "k": 100.0}


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
def test_published_text_is_written_again(text: str):
    calib = decode_calib(text.encode())
    assert encode_calib(calib).decode() == text
    shuffled = Calib(**{**vars(calib), "facts": dict(sorted(calib.facts.items()))})
    assert encode_calib(shuffled).decode() == text


@fuzzed
@given(f=pixels, cx=pixels, cy=pixels, doffs=pixels, baseline=pixels)
def test_every_number_comes_back_exactly(f, cx, cy, doffs, baseline):
    calib = Calib(_matrix(f, cx, cy), _matrix(f, cx + doffs, cy), baseline, doffs, 8, 6, {"a": cx})
    back = decode_calib(encode_calib(calib))
    np.testing.assert_array_equal(back.cam0, calib.cam0)
    np.testing.assert_array_equal(back.cam1, calib.cam1)
    assert (back.baseline_mm, back.doffs, back.facts) == (baseline, doffs, {"a": cx})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baseline=193.001\n", "", "no line 'baseline=...'; found cam0, cam1, doffs"),
        ("baseline=193.001", "baseline=0", "baseline should be above 0 mm, found 0"),
        ("baseline=193.001", "baseline=wide", "baseline should be a number, found 'wide'"),
        ("baseline=193.001", "baseline=nan", "baseline should be a number"),
        ("doffs=131.111", "doffs=13.1111", "doffs should be cx1 - cx0 = 131.111, found 13.1111"),
        ("doffs=131.111", "doffs=-131.111", "depth would be ambiguous"),
        ("width=2964", "width=2964.5", "width should be a number of pixels, found '2964.5'"),
        ("height=1988", "height=0", "height should be a number of pixels"),
        ("width=2964", "width=99999999999999999999", "width should be a number of pixels"),
        ("cam0=[3997.684 0", "cam0=[3997.684 1", "cam0 should be '\\[f 0 cx; 0 f cy; 0 0 1\\]'"),
        ("cam1=[3997.684", "cam1=[-3997.684", "cam1 should be"),
        ("cam1=[3997.684", "cam1=3997.684", "cam1 should be"),
        ("0 0 1]\ncam1", "0 0 2]\ncam1", "cam0 should be"),
        ("; 0 0 1]\ncam1", "]\ncam1", "cam0 should be"),
        ("isint=0", "isint 0", "line 8: expected 'key=value', found 'isint 0'"),
        ("isint=0", "vmin=0", "line 9: vmin is there already"),
        ("isint=0", "isint=\xff", "byte 0xc3 is no ASCII text"),
    ],
)
def test_calib_that_makes_no_sense(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "calib.txt"
    assert old in LONG
    path.write_text(LONG.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FormatError, match=f"calib.txt.*{message}") as caught:
        read_calib(path)
    assert "\n" not in str(caught.value)


def test_rounding_of_doffs_is_no_contradiction():
    decode_calib(LONG.replace("doffs=131.111", "doffs=131.113").encode())


@fuzzed
@given(data=st.data())
def test_damaged_calib_is_an_error_or_a_calibration(data):
    text = bytearray(LONG.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
        if not text:
            break
    try:
        calib = decode_calib(bytes(text))
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert calib.baseline > 0 and np.isfinite(calib.cam0).all() and calib.width > 0


@fuzzed
@given(data=st.binary(max_size=200))
def test_any_bytes_are_no_calib(data):
    with pytest.raises(FormatError):
        decode_calib(data)


def test_calib_of_megabytes():
    with pytest.raises(FormatError, match="short text, found 1000000 bytes"):
        decode_calib(b"a" * 1_000_000)


def test_mask_says_visible_occluded_unknown(tmp_path: Path):
    path = tmp_path / "mask0nocc.png"
    path.write_bytes(encode_png(np.array([[255, 128], [0, 255]], np.uint8)))
    mask = read_mask(path)
    assert mask.dtype == np.uint8 and mask.tolist() == [[0, 1], [255, 0]]
    assert encode_mask(mask) == path.read_bytes()


def test_mask_with_another_value(tmp_path: Path):
    path = tmp_path / "mask0nocc.png"
    stored = np.full((4, 5), 255, np.uint8)
    stored[2, 3] = 127
    path.write_bytes(encode_png(stored))
    with pytest.raises(FormatError, match=r"mask0nocc\.png.*found 127 at row 2, column 3"):
        read_mask(path)


@pytest.mark.parametrize(
    "stored", [np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint16)], ids=["colour", "16 bit"]
)
def test_mask_of_another_kind(stored: np.ndarray):
    with pytest.raises(FormatError, match="8-bit grey PNG"):
        decode_mask(encode_png(stored))


def test_mask_to_encode_must_be_ours():
    with pytest.raises(UsageError, match="0, 1, 255"):
        encode_mask(np.array([[128]], np.uint8))


def test_mask_whose_header_lies():
    blob = bytearray(encode_png(np.zeros((2, 3), np.uint8)))
    blob[16:24] = (60_000).to_bytes(4, "big") * 2
    blob[29:33] = zlib.crc32(blob[12:29]).to_bytes(4, "big")
    with pytest.raises(FormatError, match="cannot hold 60000x60000 pixels"):
        decode_mask(bytes(blob))


@fuzzed
@given(data=st.data())
def test_damaged_mask_is_an_error_or_a_mask(data):
    size = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    values = data.draw(st.lists(st.sampled_from([0, 1, 255]), min_size=81, max_size=81))
    mask = np.array(values[: size[0] * size[1]], np.uint8).reshape(size)
    blob = bytearray(encode_mask(mask))
    assert decode_mask(bytes(blob)).tolist() == mask.tolist()
    place = data.draw(st.integers(0, len(blob) - 1))
    if data.draw(st.booleans()):
        del blob[place:]
    else:
        blob[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_mask(bytes(blob))
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert set(np.unique(found)) <= {0, 1, 255}


@fuzzed
@given(data=st.binary(max_size=100))
def test_any_bytes_are_no_mask(data):
    with pytest.raises(FormatError):
        decode_mask(data)


@pytest.mark.parametrize("read", [read_calib, read_mask])
def test_missing_file(tmp_path: Path, read):
    with pytest.raises(SourceError, match="gone") as caught:
        read(tmp_path / "gone")
    assert caught.value.incomplete
