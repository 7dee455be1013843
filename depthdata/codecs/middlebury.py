"""Files of the Middlebury and ETH3D stereo sets: ``calib.txt`` and ``mask0nocc.png``.

Both sets have the same two formats; ETH3D's calibration only has fewer lines. Their disparities
are PFM files, see `depthdata.codecs.pfm`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError

__all__ = [
    "OCCLUDED",
    "UNKNOWN",
    "VISIBLE",
    "Calib",
    "decode_calib",
    "decode_mask",
    "encode_calib",
    "encode_mask",
    "read_calib",
    "read_mask",
]

Number = int | float
Fact = int | float | str

VISIBLE, OCCLUDED, UNKNOWN = 0, 1, 255
"""What our masks say of a pixel: seen by both cameras, by this one only, disparity unknown."""

_STORED = {VISIBLE: 255, OCCLUDED: 128, UNKNOWN: 0}
_DOFFS_PX = 0.01  # the files give three decimals
_LIMIT = 1 << 16  # bytes of a calibration, pixels of a side
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_OWN = ("cam0", "cam1", "doffs", "baseline", "width", "height")
_ORDER = ("ndisp", "isint", "vmin", "vmax", "dyavg", "dymax")  # of the published files


@dataclass(frozen=True, eq=False)
class Calib:
    """The calibration of a rectified pair.

    Parameters
    ----------
    cam0, cam1 : (3, 3) float64
        Intrinsics of the left and the right image, pixels.
    baseline_mm : int or float
        Distance of the cameras in millimetres, as the file gives it.
    doffs : int or float
        ``cx1 - cx0`` in pixels: ``disparity = f * baseline / depth - doffs``.
    width, height : int
        Of both images.
    facts : dict
        The lines that are left (``ndisp``, ``isint``, ``vmin`` ...), in the order of the file: a
        number, or the text of what is none.
    """

    cam0: npt.NDArray[np.float64]
    cam1: npt.NDArray[np.float64]
    baseline_mm: Number
    doffs: Number
    width: int
    height: int
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def baseline(self) -> float:
        """Distance of the cameras in metres."""
        return self.baseline_mm / 1000


def read_calib(path: str | Path) -> Calib:
    """Read a ``calib.txt``; see `decode_calib`.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        See `decode_calib`.
    """
    return read_with(path, decode_calib)


def decode_calib(data: bytes) -> Calib:
    r"""Return what a ``calib.txt`` says: the long form of Middlebury, the short one of ETH3D.

    Parameters
    ----------
    data : bytes
        The file: lines ``key=value``; ``cam0``, ``cam1``, ``doffs``, ``baseline`` (mm), ``width``
        and ``height`` are needed, all others are kept as facts.

    Raises
    ------
    FormatError
        A line that is none, comes twice, is missing or has no sense, or a `doffs` that is not
        cx1 - cx0.

    Examples
    --------
    >>> text = b"cam0=[9 0 4; 0 9 3; 0 0 1]\ncam1=[9 0 5.5; 0 9 3; 0 0 1]\ndoffs=1.5\n"
    >>> calib = decode_calib(text + b"baseline=60\nwidth=8\nheight=6\nndisp=7\n")
    >>> calib.baseline, calib.doffs, calib.cam1[0].tolist(), calib.facts
    (0.06, 1.5, [9.0, 0.0, 5.5], {'ndisp': 7})
    """
    lines = _lines(data)
    missing = [key for key in _OWN if key not in lines]
    if missing:
        raise FormatError(
            f"no line '{missing[0]}=...'; found {', '.join(lines) or 'no line at all'}"
        )
    cam0, cam1 = (_matrix(lines[key], key) for key in ("cam0", "cam1"))
    doffs, baseline = (_number(lines[key], key) for key in ("doffs", "baseline"))
    width, height = (_side(lines[key], key) for key in ("width", "height"))
    if not baseline > 0:
        raise FormatError(f"baseline should be above 0 mm, found {baseline}")
    shift = float(cam1[0, 2] - cam0[0, 2])
    if abs(doffs - shift) > _DOFFS_PX:
        raise FormatError(
            f"doffs should be cx1 - cx0 = {shift:.6g}, found {doffs}; depth would be ambiguous"
        )
    facts = {key: _fact(text) for key, text in lines.items() if key not in _OWN}
    return Calib(cam0, cam1, baseline, doffs, width, height, facts)


def encode_calib(calib: Calib) -> bytes:
    """Return the file that `decode_calib` reads, lines and numbers as in the published files.

    Examples
    --------
    >>> K = np.array([[9, 0, 4.25], [0, 9, 3], [0, 0, 1]])
    >>> encode_calib(Calib(K, K, 60.1, 0, 8, 6, {"ndisp": 8})).decode().splitlines()[::3]
    ['cam0=[9 0 4.25; 0 9 3; 0 0 1]', 'baseline=60.1', 'ndisp=8']
    """
    lines: dict[str, Fact] = {
        "cam0": _matrix_text(calib.cam0),
        "cam1": _matrix_text(calib.cam1),
        "doffs": calib.doffs,
        "baseline": calib.baseline_mm,
        "width": calib.width,
        "height": calib.height,
        **{key: calib.facts[key] for key in _ORDER if key in calib.facts},
    }
    lines |= {key: value for key, value in calib.facts.items() if key not in lines}
    return "".join(f"{key}={_short(value)}\n" for key, value in lines.items()).encode("ascii")


def read_mask(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a ``mask0nocc.png``; see `decode_mask`.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        See `decode_mask`.
    """
    return read_with(path, decode_mask)


def decode_mask(data: bytes) -> npt.NDArray[np.uint8]:
    """Return where a disparity map is seen by both cameras.

    Parameters
    ----------
    data : bytes
        A grey PNG of 255 (visible in both), 128 (occluded) and 0 (unknown).

    Returns
    -------
    (H, W) uint8
        `VISIBLE` 0, `OCCLUDED` 1, `UNKNOWN` 255.

    Raises
    ------
    FormatError
        No grey 8-bit PNG, damaged, or with another value.

    Examples
    --------
    >>> decode_mask(encode_png(np.array([[255, 128, 0]], np.uint8)))
    array([[  0,   1, 255]], dtype=uint8)
    """
    stored = decode_png_map(data, "mask", (8,))
    known = np.isin(stored, list(_STORED.values()))
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise FormatError(
            "expected 255 (visible), 128 (occluded) or 0 (unknown), found "
            f"{stored[row, column]} at row {row}, column {column}"
        )
    mask: npt.NDArray[np.uint8] = _table({there: ours for ours, there in _STORED.items()})[stored]
    return mask


def encode_mask(mask: npt.NDArray[np.uint8]) -> bytes:
    """Return the PNG that `decode_mask` reads.

    Examples
    --------
    >>> decode_mask(encode_mask(np.array([[0, 1, 255]], np.uint8))).tolist()
    [[0, 1, 255]]
    """
    if mask.dtype != np.uint8 or not np.isin(mask, list(_STORED)).all():
        raise UsageError(f"mask: expected uint8 of {', '.join(map(str, _STORED))}")
    return encode_png(_table(_STORED)[mask])


def _table(pairs: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[list(pairs)] = list(pairs.values())
    return table


def _lines(data: bytes) -> dict[str, str]:
    if len(data) > _LIMIT:
        raise FormatError(f"expected a short text, found {len(data)} bytes")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError(f"byte 0x{data[error.start]:02x} is no ASCII text") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key:
            raise FormatError(f"line {number}: expected 'key=value', found {line[:40]!r}")
        if key in found:
            raise FormatError(f"line {number}: {key} is there already")
        found[key] = value
    return found


def _matrix(text: str, where: str) -> npt.NDArray[np.float64]:
    """Parse ``[f 0 cx; 0 f cy; 0 0 1]``."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else ""
    rows = [row.split() for row in inner.split(";")]
    if [len(row) for row in rows] != [3, 3, 3]:
        raise FormatError(f"{where} should be '[f 0 cx; 0 f cy; 0 0 1]', found {text[:60]!r}")
    matrix = np.array([[_number(token, where) for token in row] for row in rows], np.float64)
    zeros = matrix[[0, 1], [1, 0]]
    if zeros.any() or matrix[2].tolist() != [0, 0, 1] or not (matrix[[0, 1], [0, 1]] > 0).all():
        raise FormatError(f"{where} should be '[f 0 cx; 0 f cy; 0 0 1]', found {text[:60]!r}")
    return matrix


def _number(text: str, where: str) -> Number:
    value = _fact(text)
    if isinstance(value, str):
        raise FormatError(f"{where} should be a number, found {text[:40]!r}")
    return value


def _fact(text: str) -> Fact:
    """Return a number where the text is a finite one, whole where it is written so."""
    if _NUMBER.fullmatch(text) is None or not math.isfinite(float(text)):
        return text
    value = float(text)
    whole = re.fullmatch(r"[-+]?\d+", text) is not None and abs(value) < 2**53
    return int(text) if whole else value


def _side(text: str, where: str) -> int:
    value = _number(text, where)
    if not isinstance(value, int) or not 0 < value <= _LIMIT:
        raise FormatError(f"{where} should be a number of pixels, found {text[:40]!r}")
    return value


def _matrix_text(matrix: npt.NDArray[np.float64]) -> str:
    return f"[{'; '.join(' '.join(_short(float(v)) for v in row) for row in matrix)}]"


def _short(value: Fact) -> str:
    """Text of a value, the shortest that gives the same float; whole numbers without a point."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)
