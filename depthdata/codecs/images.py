"""PNG and JPEG: sizes from the header alone, decoding, and PNG encoding.

JPEG is decoded by libjpeg-turbo (``simplejpeg``), PNG by OpenCV. Colours are RGB everywhere.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, UsageError

__all__ = ["ImageInfo", "decode_image", "decode_into", "encode_png", "image_size"]

Buffer = bytes | bytearray | memoryview

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # colour type (3 = palette) -> channels
_JPEG_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


class ImageInfo(NamedTuple):
    """What the header of an image file says.

    Attributes
    ----------
    height, width : int
        Pixels.
    channels : int
        1 grey, 2 grey and alpha, 3 colour (palettes too), 4 colour and alpha (JPEG: four inks).
    bit_depth : int
        Bits of one channel (of one palette index for a palette).
    encoding : {"png", "jpeg"}
        The file format.
    """

    height: int
    width: int
    channels: int
    bit_depth: int
    encoding: str


def image_size(data: Buffer) -> ImageInfo:
    """Return what the header of a PNG or JPEG says, without decoding.

    Parameters
    ----------
    data : bytes
        The file, or enough of its beginning.

    Returns
    -------
    ImageInfo
        ``(height, width, channels, bit_depth, encoding)``.

    Raises
    ------
    FormatError
        Neither PNG nor JPEG, or the header is cut off.

    Examples
    --------
    >>> image_size(encode_png(np.zeros((3, 5), np.uint16)))
    ImageInfo(height=3, width=5, channels=1, bit_depth=16, encoding='png')
    """
    start = bytes(data[:33])
    if start.startswith(_PNG_SIGNATURE):
        return _png_size(start)
    if start.startswith(b"\xff\xd8"):
        return _jpeg_size(memoryview(data))
    raise FormatError(
        f"image: expected a PNG or JPEG signature, found {start[:8].hex(' ') or 'no bytes'}"
    )


def _png_size(start: bytes) -> ImageInfo:
    if len(start) < 26 or start[12:16] != b"IHDR":
        raise FormatError(f"PNG: expected an IHDR chunk first, found {len(start)} bytes without it")
    width, height, bit_depth, colour_type = struct.unpack_from(">IIBB", start, 16)
    if colour_type not in _PNG_CHANNELS:
        raise FormatError(f"PNG: expected colour type 0, 2, 3, 4 or 6, found {colour_type}")
    return ImageInfo(height, width, _PNG_CHANNELS[colour_type], bit_depth, "png")


def _jpeg_size(data: memoryview) -> ImageInfo:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            raise FormatError(f"JPEG: expected a marker at byte {position}, damaged header")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            position += 2
        elif marker in _JPEG_START_OF_FRAME:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            return ImageInfo(height, width, channels, bits, "jpeg")
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise FormatError(f"JPEG: no frame header in {len(data)} bytes, the file is cut off")


def decode_image(data: Buffer) -> npt.NDArray[Any]:
    """Decode a PNG or JPEG.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    (H, W, 3) uint8 RGB, or (H, W) uint8 for grey images
        16-bit PNGs give uint16 in the same shapes. Alpha is dropped, palettes are expanded.

    Raises
    ------
    FormatError
        Not an image, or damaged.

    Examples
    --------
    >>> red = np.zeros((2, 2, 3), np.uint8); red[..., 0] = 255
    >>> decode_image(encode_png(red))[0, 0]
    array([255,   0,   0], dtype=uint8)
    """
    info = image_size(data)
    if info.encoding == "jpeg":
        import simplejpeg

        grey = info.channels == 1
        try:
            image = simplejpeg.decode_jpeg(data, colorspace="GRAY" if grey else "RGB")
        except ValueError as error:
            raise _damaged("JPEG", data, error) from error
        return image[..., 0] if grey else image  # type: ignore[no-any-return]
    image = _decode_png(data, info)
    if image.shape[:2] != info[:2]:
        raise FormatError(f"PNG: expected {info.height}x{info.width}, decoded {image.shape}")
    return image


def decode_into(data: Buffer, out: npt.NDArray[np.uint8]) -> None:
    """Decode an 8-bit colour image straight into an array.

    Parameters
    ----------
    data : bytes
        The whole PNG or JPEG.
    out : (H, W, 3) uint8, contiguous
        Filled with RGB; grey images are repeated into the three channels.

    Raises
    ------
    UsageError
        `out` does not fit the image.
    FormatError
        Not an 8-bit image, or damaged.
    """
    info = image_size(data)
    wanted = (info.height, info.width, 3)
    if out.shape != wanted or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise UsageError(
            f"decode_into: expected a contiguous uint8 array {wanted}, "
            f"found {out.dtype} {out.shape}"
        )
    if info.encoding == "jpeg":
        import simplejpeg

        try:
            simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=out)
        except ValueError as error:
            raise _damaged("JPEG", data, error) from error
        return
    if info.bit_depth > 8:
        raise FormatError(f"PNG: expected 8 bits for decode_into, found {info.bit_depth}")
    image = _decode_png(data, info)
    out[...] = image if image.ndim == 3 else image[..., None]


def _decode_png(data: Buffer, info: ImageInfo) -> npt.NDArray[Any]:
    import cv2

    grey = info.channels <= 2
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    rgb = getattr(cv2, "IMREAD_COLOR_RGB", None)
    if grey:
        flags |= cv2.IMREAD_GRAYSCALE
    else:
        flags |= cv2.IMREAD_COLOR if rgb is None else rgb
    source = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(source, flags)
    except cv2.error as error:
        raise _damaged("PNG", data, error) from error
    if image is None:  # OpenCV reports damage by returning nothing
        raise _damaged("PNG", data, None)
    if not grey and rgb is None:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return image  # type: ignore[no-any-return]


def _damaged(encoding: str, data: Buffer, error: Exception | None) -> FormatError:
    reason = "" if error is None else ": " + str(error).splitlines()[0]
    return FormatError(f"{encoding}: {len(data)} bytes that do not decode{reason}")


def encode_png(image: npt.NDArray[Any], level: int = 1) -> bytes:
    """Encode an array as PNG.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) RGB, uint8 or uint16
        The pixels.
    level : int
        zlib level, 0 to 9.

    Returns
    -------
    bytes
        The file; the same for the same input and OpenCV version.
    """
    import cv2

    if image.dtype not in (np.uint8, np.uint16) or not (
        image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    ):
        raise UsageError(
            "encode_png: expected (H, W) or (H, W, 3) of uint8 or uint16, "
            f"found {image.dtype} {image.shape}"
        )
    bgr = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    done, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not done:
        raise UsageError(f"encode_png: OpenCV did not encode {image.dtype} {image.shape}")
    return encoded.tobytes()
