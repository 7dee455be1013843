"""COLMAP's text model: ``cameras.txt`` and ``images.txt``.

Poses in the files are world to camera, as a quaternion w x y z and a translation; the functions
return matrices `T_cam_world` with camera axes x right, y down, z forward.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError

__all__ = [
    "ColmapCamera",
    "ColmapImage",
    "decode_cameras",
    "decode_images",
    "encode_cameras",
    "encode_images",
    "quaternion_from_rotation",
    "read_cameras",
    "read_images",
    "rotation_from_quaternion",
]

Float = npt.NDArray[np.float64]

_UNIT = 1e-3  # how far the norm of a quaternion may be from 1: the files give six digits
_LIMIT = 1 << 28
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class ColmapCamera:
    """A line of ``cameras.txt``, model PINHOLE: size and intrinsics in pixels."""

    id: int
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def intrinsics(self) -> Float:
        """The matrix (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])


@dataclass(frozen=True)
class ColmapImage:
    """A pose of ``images.txt``.

    Parameters
    ----------
    id, camera_id : int
    name : str
        File name of the image.
    quaternion : tuple of float
        w, x, y, z of the rotation world to camera, as in the file.
    translation : tuple of float
        World to camera, in the unit of the model.
    """

    id: int
    camera_id: int
    name: str
    quaternion: tuple[float, float, float, float]
    translation: tuple[float, float, float]

    @property
    def T_cam_world(self) -> Float:
        """World to camera (4, 4)."""
        T = np.eye(4)
        T[:3, :3] = rotation_from_quaternion(self.quaternion)
        T[:3, 3] = self.translation
        return T


def rotation_from_quaternion(quaternion: npt.ArrayLike) -> Float:
    """Rotation matrix (3, 3) of a quaternion w x y z, which is normalised first.

    >>> rotation_from_quaternion([1, 0, 0, 1]).round(9).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    q = np.asarray(quaternion, np.float64)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_rotation(rotation: npt.ArrayLike) -> Float:
    """Quaternion w x y z (4,) of a rotation (3, 3), w not negative.

    >>> quaternion_from_rotation(rotation_from_quaternion([0.8, 0, 0.6, 0])).round(9)[[0, 2]]
    array([0.8, 0.6])
    """
    R = np.asarray(rotation, np.float64)
    # The largest eigenvector of this matrix is the quaternion nearest to R, at any angle.
    off = [R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]
    K = np.zeros((4, 4))
    K[0, 0], K[0, 1:], K[1:, 0] = np.trace(R), off, off
    K[1:, 1:] = R + R.T - np.trace(R) * np.eye(3)
    q: Float = np.linalg.eigh(K)[1][:, -1]
    leading = q[0] if abs(q[0]) > 1e-12 else q[np.argmax(np.abs(q))]
    return q if leading > 0 else -q


def read_cameras(path: str | Path) -> dict[int, ColmapCamera]:
    """Read a ``cameras.txt``; see `decode_cameras`. SourceError where it is missing."""
    return read_with(path, decode_cameras)


def decode_cameras(data: bytes) -> dict[int, ColmapCamera]:
    r"""Return the cameras of a text model by their number.

    Raises
    ------
    FormatError
        A model other than PINHOLE, or a line that is not
        ``CAMERA_ID PINHOLE WIDTH HEIGHT fx fy cx cy``.

    Examples
    --------
    >>> decode_cameras(b"# comment\n0 PINHOLE 8 6 9 9 3.5 2.5\n")[0].intrinsics[0].tolist()
    [9.0, 0.0, 3.5]
    """
    cameras: dict[int, ColmapCamera] = {}
    for number, line in _lines(data):
        tokens = line.split()
        if not tokens:
            continue
        at = f"line {number}"
        if len(tokens) > 1 and tokens[1] != "PINHOLE":
            raise FormatError(f"{at}: expected the model PINHOLE, found {tokens[1][:40]!r}")
        if len(tokens) != 8:
            raise FormatError(
                f"{at}: expected 'CAMERA_ID PINHOLE WIDTH HEIGHT fx fy cx cy', found {line[:60]!r}"
            )
        id, width, height = (_whole(tokens[k], at) for k in (0, 2, 3))
        fx, fy, cx, cy = (_number(token, at) for token in tokens[4:])
        if not (width and height and fx > 0 and fy > 0):
            raise FormatError(f"{at}: size and focal lengths should be above 0, found {line[:60]}")
        if id in cameras:
            raise FormatError(f"{at}: camera {id} is there already")
        cameras[id] = ColmapCamera(id, width, height, fx, fy, cx, cy)
    return cameras


def encode_cameras(cameras: Iterable[ColmapCamera]) -> bytes:
    """Return the file that `decode_cameras` reads, with COLMAP's own heading."""
    lines = [
        f"{c.id} PINHOLE {c.width} {c.height} {_join(c.fx, c.fy, c.cx, c.cy)}\n" for c in cameras
    ]
    heading = (
        "# Camera list with one line of data per camera:\n"
        "#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
        f"# Number of cameras: {len(lines)}\n"
    )
    return (heading + "".join(lines)).encode("ascii")


def read_images(path: str | Path) -> dict[str, ColmapImage]:
    """Read an ``images.txt``; see `decode_images`. SourceError where it is missing."""
    return read_with(path, decode_images)


def decode_images(data: bytes) -> dict[str, ColmapImage]:
    r"""Return the poses of a text model by the name of the image.

    Every image has two lines: its pose, and the points seen in it (often empty), which are not
    read.

    Raises
    ------
    FormatError
        A line that is not ``IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME``, a quaternion that is
        no rotation, a name that comes twice.

    Examples
    --------
    >>> decode_images(b"0 1 0 0 0 0.5 0 2 7 im0.png\n\n")["im0.png"].T_cam_world[:3, 3]
    array([0.5, 0. , 2. ])
    """
    images: dict[str, ColmapImage] = {}
    lines = _lines(data)
    for k in range(0, len(lines), 2):
        number, line = lines[k]
        at = f"line {number}"
        if not line.strip():
            if any(rest.strip() for n, rest in lines if n > number):
                raise FormatError(f"{at}: expected a pose, found an empty line")
            break
        tokens = line.split(maxsplit=9)
        if len(tokens) != 10:
            raise FormatError(
                f"{at}: expected 'IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME', "
                f"found {line[:60]!r}"
            )
        w, x, y, z, tx, ty, tz = (_number(token, at) for token in tokens[1:8])
        norm = math.sqrt(w * w + x * x + y * y + z * z)
        if not abs(norm - 1) <= _UNIT:
            raise FormatError(f"{at}: quaternion should have length 1, found {norm:.6g}")
        if k + 1 < len(lines) and len(lines[k + 1][1].split()) % 3:
            raise FormatError(
                f"line {lines[k + 1][0]}: expected the points of {tokens[9][:40]!r} as "
                "'X Y POINT3D_ID ...', or an empty line"
            )
        name = tokens[9].strip()
        if name in images:
            raise FormatError(f"{at}: {name[:60]!r} is there already")
        ids = _whole(tokens[0], at), _whole(tokens[8], at)
        images[name] = ColmapImage(*ids, name, (w, x, y, z), (tx, ty, tz))
    return images


def encode_images(images: Iterable[ColmapImage]) -> bytes:
    """Return the file that `decode_images` reads, without points."""
    lines = [
        f"{i.id} {_join(*i.quaternion, *i.translation)} {i.camera_id} {i.name}\n\n" for i in images
    ]
    heading = (
        "# Image list with two lines of data per image:\n"
        "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n"
        "#   POINTS2D[] as (X, Y, POINT3D_ID)\n"
        f"# Number of images: {len(lines)}\n"
    )
    return (heading + "".join(lines)).encode("ascii")


def _lines(data: bytes) -> list[tuple[int, str]]:
    """Lines with their numbers from 1, without comments."""
    if len(data) > _LIMIT:
        raise FormatError(f"expected a text model, found {len(data)} bytes")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise FormatError(f"byte 0x{data[error.start]:02x} is no ASCII text") from None
    lines = text.replace("\r\n", "\n").split("\n")
    return [(n, line) for n, line in enumerate(lines, 1) if not line.startswith("#")]


def _whole(token: str, where: str) -> int:
    if _WHOLE.fullmatch(token) is None:
        raise FormatError(f"{where}: expected a whole number, found {token[:40]!r}")
    return int(token)


def _number(token: str, where: str) -> float:
    if _NUMBER.fullmatch(token) is None or not math.isfinite(float(token)):
        raise FormatError(f"{where}: expected a finite number, found {token[:40]!r}")
    return float(token)


def _join(*values: float) -> str:
    """Numbers as short as they can be exact, whole ones without a point."""
    texts = (repr(float(value)) for value in values)
    return " ".join(text.removesuffix(".0") for text in texts)
