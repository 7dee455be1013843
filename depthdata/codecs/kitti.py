"""Files of KITTI raw: calibration text, oxts packets, timestamps, velodyne scans.

Each function takes a path and returns arrays; an error names the file and the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, SourceError

__all__ = [
    "MISSING_TIME",
    "OXTS_FIELDS",
    "CalibrationText",
    "read_calibration",
    "read_oxts",
    "read_timestamps",
    "read_velodyne",
]

MISSING_TIME = -(2**63)
"""The int64 that stands for "no timestamp" (numpy's NaT)."""

# fmt: off
OXTS_FIELDS = (
    "lat", "lon", "alt", "roll", "pitch", "yaw", "vn", "ve", "vf", "vl", "vu", "ax", "ay", "az",
    "af", "al", "au", "wx", "wy", "wz", "wf", "wl", "wu", "posacc", "velacc",
    "navstat", "numsats", "posmode", "velmode", "orimode",
)
# fmt: on
"""Names of the 30 numbers of an oxts packet: degrees, metres, radians, m/s, m/s^2, rad/s."""

_FLOAT_CHARACTERS = re.compile(r"[-+.0-9eE \t]+")
_TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[ T](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?", flags=re.ASCII
)


@dataclass(frozen=True)
class CalibrationText:
    """The ``key: value`` lines of a calibration file.

    Parameters
    ----------
    path : Path
        The file, for messages.
    values : dict
        Key -> float64 array (n,) where the value consists of numbers, else the text.
    lines : dict
        Key -> line number, from 1.
    """

    path: Path
    values: dict[str, npt.NDArray[np.float64] | str]
    lines: dict[str, int]

    def __contains__(self, key: str) -> bool:
        """Tell whether the file has the key."""
        return key in self.values

    def numbers(self, key: str, *shape: int) -> npt.NDArray[np.float64]:
        """Return the numbers of a key in a shape, row by row.

        Raises
        ------
        FormatError
            The key is missing, is text, or has another count of numbers.
        """
        if key not in self.values:
            raise FormatError(f"{self.path}: no line '{key}: ...'; is this the right file?")
        value = self.values[key]
        where = f"{self.path}, line {self.lines[key]}: {key}"
        if isinstance(value, str):
            raise FormatError(f"{where} should be numbers, found {value[:40]!r}")
        expected = int(np.prod(shape))
        if value.size != expected:
            raise FormatError(f"{where} should have {expected} numbers, found {value.size}")
        matrix: npt.NDArray[np.float64] = value.reshape(shape).copy()
        return matrix


def read_calibration(path: str | Path) -> CalibrationText:
    """Read a KITTI calibration file: ``calib_cam_to_cam.txt`` and its kin.

    A line is split at its first colon. A value of digits, ``.``, ``e``, ``+``, ``-`` and spaces
    only is a list of float64, any other stays text (``calib_time``).

    Raises
    ------
    SourceError
        The file is missing (`incomplete`).
    FormatError
        A line without a colon, a key that comes twice, numbers that cannot be read.
    """
    path = Path(path)
    values: dict[str, npt.NDArray[np.float64] | str] = {}
    lines: dict[str, int] = {}
    for number, line in _lines(path):
        if not line.strip():
            continue
        key, colon, text = line.partition(":")
        key, text = key.strip(), text.strip()
        where = f"{path}, line {number}"
        if not colon or not key:
            raise FormatError(f"{where}: expected 'key: values', found {line[:60]!r}")
        if key in values:
            raise FormatError(f"{where}: {key} is there already in line {lines[key]}")
        values[key] = _numbers(text, where) if _FLOAT_CHARACTERS.fullmatch(text) else text
        lines[key] = number
    if not values:
        raise FormatError(f"{path}: the calibration file is empty; extract it again")
    return CalibrationText(path, values, lines)


def read_oxts(path: str | Path) -> npt.NDArray[np.float64]:
    """Read one oxts packet: the 30 numbers named in `OXTS_FIELDS`, float64.

    Raises
    ------
    FormatError
        Not one line of 30 finite numbers, or a latitude or longitude that is none.
    """
    path = Path(path)
    filled = [(number, line) for number, line in _lines(path) if line.strip()]
    if len(filled) != 1:
        raise FormatError(
            f"{path}: expected 1 line of {len(OXTS_FIELDS)} numbers, found {len(filled)} lines"
        )
    number, line = filled[0]
    where = f"{path}, line {number}"
    values = _numbers(line, where)
    if values.size != len(OXTS_FIELDS):
        raise FormatError(f"{where}: expected {len(OXTS_FIELDS)} numbers, found {values.size}")
    if not np.isfinite(values).all():
        name = OXTS_FIELDS[int(np.argmin(np.isfinite(values)))]
        raise FormatError(f"{where}: {name} is not a finite number")
    if abs(values[0]) >= 90 or abs(values[1]) > 180:
        raise FormatError(
            f"{where}: latitude {values[0]} and longitude {values[1]} are no place on Earth"
        )
    return values


def read_timestamps(path: str | Path) -> npt.NDArray[np.int64]:
    """Read a ``timestamps.txt``: one time a line, as int64 nanoseconds since 1970.

    The file names no time zone; the times are taken as they stand. An empty line between others
    is `MISSING_TIME`.

    Raises
    ------
    FormatError
        A line that is no time of the form ``2011-09-26 13:02:25.964389445``.
    """
    path = Path(path)
    times = [_nanoseconds(line.strip(), path, number) for number, line in _lines(path)]
    return np.array(times, dtype=np.int64)


def read_velodyne(path: str | Path) -> npt.NDArray[np.float32]:
    """Read a velodyne scan: (N, 4) float32, x forward, y left, z up (m), reflectance.

    Raises
    ------
    FormatError
        The file is empty or its size is not a whole number of points.
    """
    path = Path(path)
    data = _read_bytes(path)
    if not data or len(data) % 16:
        raise FormatError(
            f"{path}: a scan has 16 bytes a point, found {len(data)} bytes "
            f"({len(data) % 16} left over); the file is cut, extract it again"
            if data
            else f"{path}: the scan is empty (0 bytes); extract it again"
        )
    return np.frombuffer(data, dtype="<f4").reshape(-1, 4)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError(
            f"{path} is missing; extract the archive it belongs to again", incomplete=True
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines of a text file with their numbers from 1; the end of the last line counts as none."""
    data = _read_bytes(path)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"{path}, line {number}: byte 0x{data[error.start]:02x} is no ASCII text; "
            "the file is damaged, extract it again"
        ) from None
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return list(enumerate(lines, 1))


def _numbers(text: str, where: str) -> npt.NDArray[np.float64]:
    tokens = text.split()
    try:
        return np.array([_number(token) for token in tokens], dtype=np.float64)
    except ValueError as error:
        raise FormatError(f"{where}: {error}") from None


def _number(token: str) -> float:
    if "_" in token:  # python reads 1_000, the file format does not
        raise ValueError(f"{token[:40]!r} is no number")
    try:
        return float(token)
    except ValueError:
        raise ValueError(f"{token[:40]!r} is no number") from None


def _nanoseconds(text: str, path: Path, number: int) -> int:
    if not text:
        return MISSING_TIME
    match = _TIMESTAMP.fullmatch(text)
    problem = f"{path}, line {number}: {text[:40]!r} is no time"
    if match is None:
        raise FormatError(f"{problem} like '2011-09-26 13:02:25.964389445'")
    date, *clock, fraction = match.groups()
    hours, minutes, seconds = map(int, clock)
    try:
        days = int(np.datetime64(date, "D").astype(np.int64))
    except ValueError:
        raise FormatError(f"{problem}: there is no such date") from None
    if hours > 23 or minutes > 59 or seconds > 60 or not -106_000 < days < 106_000:
        raise FormatError(f"{problem}: out of range")
    nanoseconds = int((fraction or "0").ljust(9, "0"))
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10**9 + nanoseconds
