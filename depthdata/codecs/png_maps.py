"""PNG files that hold a quantity or a mask, not a picture: refused unless they are whole.

OpenCV decodes a cut or changed PNG to something, or to nothing, without a word; here every chunk is
compared with its checksum first.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy.typing as npt

from depthdata.codecs.images import decode_image, image_size
from depthdata.errors import FormatError

__all__ = ["decode_png_map"]

_COLOURS = {1: "grey", 3: "RGB"}
_DEFLATE_LIMIT = 1100  # deflate packs at most 1032 bytes into one


def decode_png_map(
    data: bytes, kind: str, bits: tuple[int, ...], channels: int = 1
) -> npt.NDArray[Any]:
    """Decode a PNG of 8 or 16 bits.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : str
        What it holds, for messages.
    bits : tuple of int
        Accepted depths: 1 (grey only), 8, 16.
    channels : {1, 3}
        Grey or RGB.

    Returns
    -------
    (H, W) or (H, W, 3) uint8 or uint16
        A bit is 0 or 255.

    Raises
    ------
    FormatError
        Not a PNG, cut, damaged, or of other channels or depth.

    Examples
    --------
    >>> import numpy as np
    >>> from depthdata.codecs.images import encode_png
    >>> decode_png_map(encode_png(np.array([[7, 300]], np.uint16)), "levels", (16,))
    array([[  7, 300]], dtype=uint16)
    """
    info = image_size(data)
    if info.encoding != "png" or info.bit_depth not in bits or info.channels != channels:
        raise FormatError(
            f"{kind}: expected {' or '.join(map(str, bits))}-bit {_COLOURS[channels]} PNG, found "
            f"{info.bit_depth}-bit {info.encoding.upper()} with {info.channels} channel(s); take "
            "the published file"
        )
    _check_whole(data, kind)
    if info.height * info.width * channels * info.bit_depth // 8 > _DEFLATE_LIMIT * len(data):
        raise FormatError(
            f"{kind}: {len(data)} bytes of PNG cannot hold {info.width}x{info.height} pixels"
        )
    return decode_image(data)


def _check_whole(data: bytes, kind: str) -> None:
    position, name = 8, b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise FormatError(f"{kind}: PNG cut at {len(data)} bytes; extract it again")
        (size,) = struct.unpack_from(">I", data, position)
        name, end = data[position + 4 : position + 8], position + 8 + size
        if end + 4 > len(data):
            raise FormatError(f"{kind}: PNG cut at {len(data)} bytes; extract it again")
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise FormatError(
                f"{kind}: the checksum of a PNG chunk at byte {position} does not match; "
                "extract it again"
            )
        position = end + 4
