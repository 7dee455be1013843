"""Disparity of the Falling Things dataset: from a 16-bit depth PNG and the camera's settings.

A level is a tenth of a millimetre and the cameras are 6 cm apart, so ``disparity = fx * 600 /
level``. The authors of RAFT-Stereo take every pixel with a disparity above 0 as valid: all of them,
for a level of 0 gives +inf.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti_stereo import decode_disparity_levels
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError

__all__ = ["decode_disparity", "decode_focal_length", "read_falling_things"]

_BASELINE_LEVELS = 6.0 * 100
_LONGEST = 1e9  # pixels


def read_falling_things(
    depth: str | Path, settings: str | Path | None = None
) -> npt.NDArray[np.float32]:
    """Return the disparity of a left view.

    Parameters
    ----------
    depth : path
        ``<frame>.left.depth.png``.
    settings : path, optional
        ``_camera_settings.json``; the one beside `depth` when not given.

    Returns
    -------
    (H, W) float32
        Pixels; +inf where the level is 0. The published validity is ``disparity > 0``.

    Raises
    ------
    SourceError
        A file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_disparity` and `decode_focal_length`.
    """
    beside = Path(depth).with_name("_camera_settings.json")
    fx = read_with(beside if settings is None else settings, decode_focal_length)
    return read_with(depth, lambda data: decode_disparity(data, fx))


def decode_disparity(data: bytes, fx: float) -> npt.NDArray[np.float32]:
    """Turn a depth PNG into disparity, (H, W) float32 pixels; +inf where the level is 0.

    Raises
    ------
    FormatError
        Not a whole 16-bit grey PNG.

    Examples
    --------
    >>> from depthdata.codecs.images import encode_png
    >>> decode_disparity(encode_png(np.array([[6000, 0]], np.uint16)), fx=768.0)
    array([[76.8,  inf]], dtype=float32)
    """
    levels = decode_disparity_levels(data).astype(np.float32)
    with np.errstate(divide="ignore"):
        return np.asarray(np.float32(fx * _BASELINE_LEVELS) / levels, np.float32)


def decode_focal_length(data: bytes) -> float:
    """Return fx in pixels of the first camera of a ``_camera_settings.json``.

    Raises
    ------
    FormatError
        No JSON, or none that has a focal length.

    Examples
    --------
    >>> decode_focal_length(b'{"camera_settings": [{"intrinsic_settings": {"fx": 768.16}}]}')
    768.16
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"camera settings: no JSON: {error}") from error
    for key in ("camera_settings", 0, "intrinsic_settings", "fx"):
        inside = isinstance(found, dict if isinstance(key, str) else list)
        found = found[key] if inside and (key in found or (key == 0 and found)) else None
    plain = isinstance(found, (int, float)) and not isinstance(found, bool)
    if not plain or not 0 < found < _LONGEST:
        raise FormatError(
            "camera settings: expected camera_settings[0].intrinsic_settings.fx above 0, "
            f"found {found!r:.40}"
        )
    return float(found)
