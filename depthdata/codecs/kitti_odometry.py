"""Files of KITTI odometry: poses, times, calibration, and masks of moving objects.

Poses and times are text without a header, one frame a line: the line is the number of the frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti import read_calibration
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError
from depthdata.geometry import is_rigid, rigid_transform

__all__ = [
    "OdometryCalibration",
    "decode_moving_mask",
    "decode_poses",
    "decode_times",
    "encode_moving_mask",
    "encode_poses",
    "encode_times",
    "read_moving_mask",
    "read_odometry_calibration",
    "read_poses",
    "read_times",
]

FloatArray = npt.NDArray[np.float64]

_RIGID_TOLERANCE = 1e-2
_LATEST = 1e9  # seconds: 30 years, far from the end of int64 nanoseconds
_NPY = b"\x93NUMPY"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([|<>]?[bfiu][1248])', 'fortran_order': (False|True), "
    rb"'shape': \((\d{1,9}), (\d{1,9})\), \} *\n"
)


def decode_poses(data: bytes) -> FloatArray:
    """Read poses: 12 numbers a line, the first three rows of a matrix, row by row.

    Parameters
    ----------
    data : bytes
        The whole text.

    Returns
    -------
    float64, (n, 4, 4)
        Camera to world, x right, y down, z forward, metres. The last row 0 0 0 1 is added. The
        numbers are those of the text; nothing is made orthogonal.

    Raises
    ------
    FormatError
        A line without 12 finite numbers, or whose first three columns are no rotation; it is named.

    Examples
    --------
    >>> decode_poses(b"1 0 0 7 0 1 0 0 0 0 1 2.5")[0]
    array([[1. , 0. , 0. , 7. ],
           [0. , 1. , 0. , 0. ],
           [0. , 0. , 1. , 2.5],
           [0. , 0. , 0. , 1. ]])
    """
    rows = []
    for number, line in _lines(data, "poses"):
        row = [_number(token, "poses", number) for token in line.split()]
        if len(row) != 12:
            raise FormatError(f"poses: line {number}: expected 12 numbers, found {len(row)}")
        rows.append(row)
    poses = np.zeros((len(rows), 4, 4))
    poses[:, :3] = np.array(rows, np.float64).reshape(-1, 3, 4)
    poses[:, 3, 3] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.flatnonzero(~np.asarray(is_rigid(poses, _RIGID_TOLERANCE)).reshape(-1))
    if len(wrong):
        raise FormatError(
            f"poses: line {wrong[0] + 1}: the first three columns are no rotation; is this a pose "
            "file of KITTI odometry?"
        )
    return poses


def encode_poses(poses: npt.ArrayLike, digits: int | None = None) -> bytes:
    """Return the text of poses (n, 4, 4).

    `digits` after the point, as in ``%e``; KITTI has 6. Not given: as many as bring every float64
    back.
    """
    matrices = np.asarray(poses, np.float64)
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4):
        raise UsageError(f"poses: expected (n, 4, 4), found {matrices.shape}")
    lines = (matrix[:3].ravel().tolist() for matrix in matrices)
    form = "{!r}" if digits is None else f"{{:.{digits}e}}"
    return _text(" ".join(form.format(number) for number in row) for row in lines)


def decode_times(data: bytes) -> npt.NDArray[np.int64]:
    r"""Read ``times.txt``: seconds since the first frame, one a line, as int64 nanoseconds.

    Raises
    ------
    FormatError
        A line that is no number of seconds from 0 on; it is named.

    Examples
    --------
    >>> decode_times(b"0.000000e+00\n1.038752e-01\n").tolist()
    [0, 103875200]
    """
    times = []
    for number, line in _lines(data, "times"):
        token = line.strip()
        seconds = _number(token, "times", number)
        if not 0 <= seconds < _LATEST:
            raise FormatError(f"times: line {number}: {token[:40]} is no time since the start")
        times.append(round(Decimal(token) * 10**9) if seconds else 0)
    return np.array(times, np.int64)


def encode_times(nanoseconds: npt.ArrayLike) -> bytes:
    """Return the text of times, int64 nanoseconds since the first frame."""
    values = np.asarray(nanoseconds, np.int64).ravel().tolist()
    return _text(f"{Decimal(value) / 10**9:.9e}" for value in values)


@dataclass(frozen=True)
class OdometryCalibration:
    """``calib.txt`` of a sequence.

    Parameters
    ----------
    path : Path
        The file, for messages.
    projections : tuple of (3, 4) float64
        P0 to P3: a point of rectified camera 0 to (u z, v z, z) of camera 0 to 3.
    T_rect0_velo : (4, 4) float64 or None
        ``Tr``: velodyne to rectified camera 0; None where the file has none.
    """

    path: Path
    projections: tuple[FloatArray, ...]
    T_rect0_velo: FloatArray | None

    def intrinsics(self, number: int) -> FloatArray:
        """Return the (3, 3) intrinsics of a camera."""
        return self.projections[number][:, :3]

    def T_cam_rect0(self, number: int) -> FloatArray:
        """Return the (4, 4) from rectified camera 0 to a camera: a translation."""
        matrix = self.projections[number]
        return rigid_transform(np.eye(3), np.linalg.solve(matrix[:, :3], matrix[:, 3]))

    def baseline(self, left: int, right: int) -> float:
        """Return the distance from one camera to another along x, metres."""
        return float(self.T_cam_rect0(left)[0, 3] - self.T_cam_rect0(right)[0, 3])


def read_odometry_calibration(path: str | Path) -> OdometryCalibration:
    """Read ``calib.txt``: lines ``P0:`` to ``P3:`` and, in most copies, ``Tr:``, 12 numbers each.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`).
    FormatError
        A line is missing, has other than 12 numbers, or is no projection, no rigid motion.
    """
    calibration = read_calibration(path)
    projections = []
    for number in range(4):
        matrix = calibration.numbers(f"P{number}", 3, 4)
        where = f"{path}, line {calibration.lines[f'P{number}']}: P{number}"
        upright = matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[2, :3].tolist() == [0, 0, 1]
        if not upright or matrix[1, 0] or not np.isfinite(matrix).all():
            raise FormatError(f"{where} is no projection; extract the file again")
        projections.append(matrix)
    T_rect0_velo = None
    if "Tr" in calibration:
        T_rect0_velo = np.vstack([calibration.numbers("Tr", 3, 4), [0, 0, 0, 1]])
        if not np.isfinite(T_rect0_velo).all() or not is_rigid(T_rect0_velo, _RIGID_TOLERANCE):
            raise FormatError(f"{path}, line {calibration.lines['Tr']}: Tr is no rigid motion")
    return OdometryCalibration(Path(path), tuple(projections), T_rect0_velo)


def decode_moving_mask(data: bytes) -> npt.NDArray[np.uint8]:
    """Read a ``.npy`` mask of moving objects: (h, w) uint8, 1 where something moves.

    Any type of numbers is taken; above 0.5 is 1, as its users compare.

    Raises
    ------
    FormatError
        No ``.npy`` file of numbers with two axes, or other than exactly the values it announces.

    Examples
    --------
    >>> decode_moving_mask(encode_moving_mask([[0, 1]]))
    array([[0, 1]], dtype=uint8)
    """
    start = 12 if data[6:7] > b"\1" else 10  # version 1 has two bytes for the header's length
    end = start + int.from_bytes(data[8:start], "little")
    header = _NPY_HEADER.fullmatch(data[start : min(end, start + 4096)])
    if not data.startswith(_NPY) or header is None:
        raise FormatError(
            "mask: expected a .npy file of numbers with two axes, found one that begins with "
            f"{data[:80]!r}"
        )
    try:
        dtype = np.dtype(header[1].decode())
    except TypeError:
        raise FormatError(f"mask: {header[1].decode()!r} is no type of number") from None
    shape = int(header[3]), int(header[4])
    expected, found = dtype.itemsize * shape[0] * shape[1], len(data) - end
    if not expected or found != expected:
        raise FormatError(
            f"mask: {shape[1]}x{shape[0]} pixels need {expected} bytes after the header, found "
            f"{found}; the file is cut or damaged"
        )
    stored = np.frombuffer(data, dtype, offset=end)
    table = stored.reshape(shape) if header[2] == b"False" else stored.reshape(shape[::-1]).T
    return np.ascontiguousarray(table > 0.5).astype(np.uint8)


def encode_moving_mask(mask: npt.ArrayLike) -> bytes:
    """Return the ``.npy`` file of a mask (h, w): bool, True where something moves."""
    table = np.ascontiguousarray(mask, dtype=np.bool_)
    if table.ndim != 2:
        raise UsageError(f"mask: expected (h, w), found {table.shape}")
    header = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {table.shape}, }}"
    size = -(-(len(header) + 11) // 64) * 64 - 10
    text = header.ljust(size - 1).encode("ascii") + b"\n"
    return _NPY + b"\1\0" + len(text).to_bytes(2, "little") + text + table.tobytes()


def read_poses(path: str | Path) -> FloatArray:
    """Read a pose file; see `decode_poses`."""
    return read_with(path, decode_poses)


def read_times(path: str | Path) -> npt.NDArray[np.int64]:
    """Read a ``times.txt``; see `decode_times`."""
    return read_with(path, decode_times)


def read_moving_mask(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a mask of moving objects; see `decode_moving_mask`."""
    return read_with(path, decode_moving_mask)


def _lines(data: bytes, what: str) -> list[tuple[int, str]]:
    """Lines with their numbers from 1; empty ones are allowed at the end only."""
    try:
        lines = data.decode("ascii").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"{what}: line {number}: byte 0x{data[error.start]:02x} is no ASCII text; extract the "
            "file again"
        ) from None
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise FormatError(f"{what}: the file is empty; extract it again")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise FormatError(f"{what}: line {number} is empty; the line is the frame's number")
    return list(enumerate(lines, 1))


def _number(token: str, what: str, line: int) -> float:
    try:
        if "_" in token:  # python reads 1_000, the file format does not
            raise ValueError
        value = float(token)
    except ValueError:
        raise FormatError(f"{what}: line {line}: {token[:40]!r} is no number") from None
    if not -1e300 < value < 1e300:  # NaN too
        raise FormatError(f"{what}: line {line}: {token[:40]} is no finite number")
    return value


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")
