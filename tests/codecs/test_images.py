"""PNG and JPEG headers and pixels, on made and on real files."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.codecs.images import decode_image, decode_into, encode_png, image_size
from depthdata.errors import FormatError, UsageError


def _noise(shape: Any, dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (300, 2, 3)])
def test_png_is_exact(shape: Any, dtype: Any) -> None:
    image = _noise(shape, dtype)
    data = encode_png(image)
    found = decode_image(data)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)
    channels = 3 if len(shape) == 3 else 1
    assert image_size(data) == (*shape[:2], channels, 8 * image.itemsize, "png")


def _png(
    colour_type: int, rows: bytes, width: int, height: int, *more: tuple[bytes, bytes]
) -> bytes:
    """Build a PNG by hand."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def test_png_palette_alpha_and_grey_alpha() -> None:
    palette = _png(3, b"\0\1\0", 2, 1, (b"PLTE", bytes([9, 8, 7, 1, 2, 3])))
    assert image_size(palette).channels == 3
    assert decode_image(palette).tolist() == [[[1, 2, 3], [9, 8, 7]]]
    alpha = _png(6, b"\0" + bytes([1, 2, 3, 0]), 1, 1)
    assert image_size(alpha).channels == 4
    assert decode_image(alpha).tolist() == [[[1, 2, 3]]]
    grey = _png(4, b"\0" + bytes([77, 10]), 1, 1)
    assert decode_image(grey).tolist() == [[77]]


@pytest.mark.parametrize("colour", ["RGB", "GRAY"])
def test_jpeg(colour: str) -> None:
    smooth = cv2.GaussianBlur(_noise((33, 41, 3)), (0, 0), 5)
    image = smooth if colour == "RGB" else np.ascontiguousarray(smooth[..., :1])
    data = simplejpeg.encode_jpeg(image, 95, colour)
    found = decode_image(data)
    assert image_size(data) == (33, 41, image.shape[2], 8, "jpeg")
    assert found.shape == ((33, 41, 3) if colour == "RGB" else (33, 41))
    assert np.abs(found.reshape(image.shape).astype(int) - image).mean() < 3


@pytest.mark.parametrize("encoding", ["png", "grey png", "jpeg", "grey jpeg"])
def test_decoding_into_an_array(encoding: str) -> None:
    image = _noise((6, 8)) if encoding.startswith("grey") else _noise((6, 8, 3))
    if encoding.endswith("png"):
        data = encode_png(image)
    else:
        colour = "GRAY" if image.ndim == 2 else "RGB"
        data = simplejpeg.encode_jpeg(image.reshape(6, 8, -1), 90, colour)
    batch = np.zeros((2, 6, 8, 3), np.uint8)
    decode_into(data, batch[1])
    expected = decode_image(data)
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, 2)
    np.testing.assert_array_equal(batch[1], expected)
    assert not batch[0].any()
    with pytest.raises(UsageError, match="contiguous uint8"):
        decode_into(data, np.zeros((6, 8, 3), np.float32))  # type: ignore[arg-type]


def test_exif_orientation_does_not_turn_the_picture() -> None:
    """Calibration belongs to the pixels as they are stored."""
    image = cv2.GaussianBlur(_noise((8, 16, 3)), (0, 0), 3)
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(image))
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    body = b"Exif\0\0" + tiff
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert image_size(turned)[:2] == (8, 16)
    np.testing.assert_array_equal(decode_image(turned), decode_image(data))


def test_what_is_no_image_is_refused() -> None:
    png, jpeg = encode_png(_noise((40, 40))), simplejpeg.encode_jpeg(_noise((40, 40, 3)))
    for data in (b"", b"GIF89a" + bytes(40), png[:20], jpeg[:20]):
        with pytest.raises(FormatError):
            image_size(data)
    for data in (png[:200], jpeg[: len(jpeg) // 2]):
        assert image_size(data)[:2] == (40, 40)
        with pytest.raises(FormatError, match="do not decode"):
            decode_image(data)
    with pytest.raises(UsageError, match="uint8 or uint16"):
        encode_png(np.zeros((2, 2), np.float32))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_flipped_png_never_gives_none(data: Any) -> None:
    """OpenCV returns None for a broken PNG; callers must get an array or a FormatError."""
    png = bytearray(encode_png(_noise((12, 12))))
    png[data.draw(st.integers(0, len(png) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(FormatError):
        assert decode_image(bytes(png)).ndim in (2, 3)


@pytest.mark.realdata
def test_headers_of_real_files_say_what_decoding_gives(realdata: Path) -> None:
    files = [path for kind in ("png", "jpg") for path in sorted(realdata.rglob(f"*.{kind}"))]
    assert files
    for path in files[:: max(1, len(files) // 25)]:
        blob = path.read_bytes()
        info, image = image_size(blob), decode_image(blob)
        assert image.shape[:2] == info[:2], path
        assert (image.ndim == 2) == (info.channels <= 2), path
        assert image.itemsize * 8 == max(8, info.bit_depth), path
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if truth.ndim == image.ndim == 2:
            np.testing.assert_array_equal(image, truth)
        elif truth.ndim == 3 and truth.shape[2] == 3:
            np.testing.assert_array_equal(image, truth[..., ::-1])
