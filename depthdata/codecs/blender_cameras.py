r"""``camera_data.txt`` of the Scene Flow datasets: poses of a stereo pair, frame by frame.

Blocks of three lines, with a blank line between them::

    Frame 6
    L 1.0 0.0 0.0 0.0 ...      16 numbers: camera-to-world of the left view, row by row
    R 1.0 0.0 0.0 1.0 ...      the same of the right view

Blender's cameras have x to the right, y up and look along -z. Reading turns the axes by signs
alone, so nothing is rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError
from depthdata.geometry import is_rigid

__all__ = ["BlenderCameras", "decode_cameras", "encode_cameras", "read_cameras"]

Float = npt.NDArray[np.float64]

_AXES = np.array([1.0, -1.0, -1.0, 1.0])  # of the columns: OpenCV's y and z are Blender's turned
_LIMIT = 1 << 26  # bytes; a frame takes half a kilobyte
_ROTATION = 1e-3  # what text of few digits may lack to a rotation
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, eq=False)
class BlenderCameras:
    """Poses of a pair of cameras.

    Parameters
    ----------
    frames : tuple of int
        Numbers of the frames, in the order of the file.
    left, right : (n, 4, 4) float64
        `T_world_cam` with OpenCV's axes (x right, y down, z forward); the world is Blender's, in
        the file's unit of length.
    """

    frames: tuple[int, ...]
    left: Float
    right: Float


def decode_cameras(data: bytes) -> BlenderCameras:
    r"""Return the poses that a ``camera_data.txt`` gives.

    Raises
    ------
    FormatError
        A line that does not belong there, a view without its partner, a frame that comes twice, or
        numbers that are no pose; the message names the line.

    Examples
    --------
    >>> text = b"Frame 6\nL 1 0 0 5 0 1 0 6 0 0 1 7 0 0 0 1\nR 1 0 0 6 0 1 0 6 0 0 1 7 0 0 0 1"
    >>> cameras = decode_cameras(text)
    >>> cameras.frames, cameras.left[0, :3, 3].tolist(), cameras.left[0].diagonal().tolist()
    ((6,), [5.0, 6.0, 7.0], [1.0, -1.0, -1.0, 1.0])
    """
    lines = _lines(data)
    poses: dict[int, list[Float]] = {}
    for number, line in lines:
        keyword, _, text = line.partition(" ")
        if keyword != "Frame" or not re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII):
            raise FormatError(
                f"camera data, line {number}: expected 'Frame <n>', found {_shown(line)}"
            )
        if int(text) in poses:
            raise FormatError(f"camera data, line {number}: frame {int(text)} is there already")
        poses[int(text)] = [
            _pose(view, *next(lines, (number + k, ""))) for k, view in enumerate("LR", start=1)
        ]
    if not poses:
        raise FormatError("camera data, line 1: expected 'Frame <n>', found no line at all")
    left, right = np.stack([np.stack(pair) for pair in poses.values()], axis=1)
    return BlenderCameras(tuple(poses), left * _AXES, right * _AXES)


def read_cameras(path: str | Path) -> BlenderCameras:
    """Read a file as `decode_cameras` does; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode_cameras`.
    """
    return read_with(path, decode_cameras)


def encode_cameras(cameras: BlenderCameras, digits: int | None = None) -> bytes:
    """Return the file that `decode_cameras` reads.

    Parameters
    ----------
    cameras : BlenderCameras
    digits : int, optional
        After the point; as many as bring every number back exactly when not given.

    Raises
    ------
    UsageError
        Other than one pose a frame and view, or a pose that is not known.
    """
    shape = (len(cameras.frames), 4, 4)
    if cameras.left.shape != shape or cameras.right.shape != shape:
        raise UsageError(
            f"encode_cameras: expected poses {shape}, found {cameras.left.shape} and "
            f"{cameras.right.shape}"
        )
    if not (np.isfinite(cameras.left).all() and np.isfinite(cameras.right).all()):
        raise UsageError("encode_cameras: expected known poses, found NaN; leave such frames out")
    form = repr if digits is None else partial(_rounded, digits)
    blocks = []
    for frame, left, right in zip(cameras.frames, cameras.left, cameras.right, strict=True):
        lines = [f"Frame {frame}"]
        for view, pose in (("L", left), ("R", right)):
            lines.append(" ".join([view, *map(form, (pose * _AXES).ravel().tolist())]))
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks).encode("ascii")


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Return the lines that are not empty, with their numbers."""
    if len(data) > _LIMIT:
        raise FormatError(f"camera data: expected a short text, found {len(data)} bytes")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"camera data, line {line}: byte 0x{data[error.start]:02x} is no ASCII text"
        ) from None
    numbered = enumerate(re.split("\r?\n", text), start=1)
    return ((number, line.strip()) for number, line in numbered if line.strip())


def _pose(view: str, number: int, line: str) -> Float:
    """Return the matrix of a line ``<view> <16 numbers>``, with the axes of the file."""
    where = f"camera data, line {number}"
    keyword, *words = line.split()[:18] or [""]
    if keyword != view or len(words) != 16 or not all(map(_NUMBER.fullmatch, words)):
        raise FormatError(f"{where}: expected '{view} <16 numbers>', found {_shown(line)}")
    pose = np.array(words, np.float64).reshape(4, 4)
    if not is_rigid(pose, _ROTATION) or pose[3].tolist() != [0, 0, 0, 1]:
        raise FormatError(
            f"{where}: expected a rotation and a translation, row by row, found {_shown(line)}"
        )
    return pose


def _rounded(digits: int, value: float) -> str:
    return f"{value:.{digits}f}"


def _shown(line: str) -> str:
    return repr(line[:60]) if line else "no line"
