"""Files of Cityscapes: camera and vehicle JSON, times, disparity and label PNGs.

The vehicle's frame is x forward, y left, z up, with the origin on the ground below the rear axle;
the three angles of a camera turn one with these axes, ``Rz(yaw) Ry(pitch) Rx(roll)``, as the
dataset's calibration document defines them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, UsageError
from depthdata.geometry import euler_from_rotation, rigid_transform, rotation_from_euler

__all__ = [
    "CLASSES",
    "DISPARITY_SCALE",
    "INSTANCE_STEP",
    "NO_DISPARITY",
    "CameraFile",
    "decode_camera",
    "decode_disparity",
    "decode_instance_ids",
    "decode_labels",
    "decode_timestamp",
    "decode_vehicle",
    "encode_camera",
    "encode_disparity",
    "encode_vehicle",
    "read_camera",
    "read_timestamp",
    "read_vehicle",
]

Levels = npt.NDArray[np.uint16]

DISPARITY_SCALE = 1 / 256
"""Pixels of disparity that one level is worth."""

NO_DISPARITY = 0xFFFF
"""What `decode_disparity` gives where nothing was measured."""

INSTANCE_STEP = 1000
"""An instance id is the label times this, plus the number of the instance."""

CLASSES = {
    0: "unlabeled",
    1: "ego vehicle",
    2: "rectification border",
    3: "out of roi",
    4: "static",
    5: "dynamic",
    6: "ground",
    7: "road",
    8: "sidewalk",
    9: "parking",
    10: "rail track",
    11: "building",
    12: "wall",
    13: "fence",
    14: "guard rail",
    15: "bridge",
    16: "tunnel",
    17: "pole",
    18: "polegroup",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    29: "caravan",
    30: "trailer",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Name of every labelId, as the dataset's documentation gives them."""

_AXES = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # optical x, y, z in forward, left, up
_INTRINSIC = ("fx", "fy", "u0", "v0")
_EXTRINSIC = ("baseline", "pitch", "roll", "yaw", "x", "y", "z")
_VEHICLE = ("speed", "yawRate")


@dataclass(frozen=True)
class CameraFile:
    """A ``camera.json``.

    Attributes
    ----------
    fx, fy, u0, v0 : float
        Intrinsics of both rectified views, pixels.
    baseline : float
        Metres.
    pitch, roll, yaw : float
        Of the left camera, radians.
    x, y, z : float
        Its place in the vehicle, metres.
    """

    fx: float
    fy: float
    u0: float
    v0: float
    baseline: float
    pitch: float
    roll: float
    yaw: float
    x: float
    y: float
    z: float

    @property
    def intrinsics(self) -> npt.NDArray[np.float64]:
        """The (3, 3) matrix."""
        return np.array([[self.fx, 0, self.u0], [0, self.fy, self.v0], [0, 0, 1.0]])

    @property
    def T_vehicle_cam(self) -> npt.NDArray[np.float64]:
        """Pose of the left camera (optical axes) in the vehicle, (4, 4)."""
        turn = rotation_from_euler(self.roll, self.pitch, self.yaw)
        return rigid_transform(turn @ _AXES, [self.x, self.y, self.z])

    @classmethod
    def of(
        cls, intrinsics: npt.ArrayLike, baseline: float, T_vehicle_cam: npt.ArrayLike
    ) -> CameraFile:
        """Return the file of a camera; the inverse of the properties."""
        K, T = np.asarray(intrinsics, np.float64), np.asarray(T_vehicle_cam, np.float64)
        roll, pitch, yaw = map(float, euler_from_rotation(T[:3, :3] @ _AXES.T))
        place = (float(T[0, 3]), float(T[1, 3]), float(T[2, 3]))
        lens = (float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))
        return cls(*lens, float(baseline), pitch, roll, yaw, *place)


def decode_camera(data: bytes) -> CameraFile:
    """Decode a ``camera.json``.

    Raises
    ------
    FormatError
        No JSON, a number is missing, or it is no camera.

    Examples
    --------
    >>> camera = CameraFile(9.0, 9.0, 4.0, 3.0, 0.2, 0.04, 0.0, 0.0, 1.7, 0.0, 1.2)
    >>> decode_camera(encode_camera(camera)) == camera
    True
    """
    text = _object(data, "camera")
    numbers = {
        **_numbers(text.get("intrinsic"), _INTRINSIC, "camera: intrinsic"),
        **_numbers(text.get("extrinsic"), _EXTRINSIC, "camera: extrinsic"),
    }
    camera = CameraFile(**numbers)
    if not (camera.fx > 0 and camera.fy > 0 and camera.baseline > 0):
        raise FormatError(
            f"camera: expected fx, fy and baseline above 0, found {camera.fx:g}, {camera.fy:g} "
            f"and {camera.baseline:g}"
        )
    return camera


def encode_camera(camera: CameraFile) -> bytes:
    """Encode a ``camera.json``."""
    facts = asdict(camera)
    parts = {
        "extrinsic": {name: facts[name] for name in _EXTRINSIC},
        "intrinsic": {name: facts[name] for name in _INTRINSIC},
    }
    return json.dumps(parts, indent=4).encode()


def decode_vehicle(data: bytes) -> dict[str, float]:
    """Decode a ``vehicle.json``: all numbers that it has, ``speed`` and ``yawRate`` among them.

    Raises
    ------
    FormatError
        No JSON, or no speed (m/s) and yaw rate (rad/s).

    Examples
    --------
    >>> decode_vehicle(b'{"speed": 11.5, "yawRate": -0.01, "gpsHeading": 12}')
    {'gpsHeading': 12.0, 'speed': 11.5, 'yawRate': -0.01}
    """
    text = _object(data, "vehicle")
    _numbers(text, _VEHICLE, "vehicle")
    return {name: float(value) for name, value in sorted(text.items()) if _is_number(value)}


def encode_vehicle(facts: Mapping[str, float]) -> bytes:
    """Encode a ``vehicle.json``."""
    return json.dumps(dict(sorted(facts.items())), indent=4).encode()


def decode_timestamp(data: bytes) -> int:
    """Decode a ``timestamp.txt``: nanoseconds.

    Raises
    ------
    FormatError
        No whole number.

    Examples
    --------
    >>> decode_timestamp(b"58000000")
    58000000
    """
    text = data.strip()
    if not 1 <= len(text) <= 19 or not text.isdigit() or int(text) >= 2**63:
        raise FormatError(f"timestamp: expected whole nanoseconds, found {data[:40]!r}")
    return int(text)


def decode_disparity(data: bytes) -> Levels:
    """Decode a disparity PNG: (H, W) levels of `DISPARITY_SCALE`, `NO_DISPARITY` where none is.

    The file holds the level plus one, and 0 where nothing was measured; every file value has its
    own level.

    Raises
    ------
    FormatError
        Not a whole 16-bit grey PNG.

    Examples
    --------
    >>> decode_disparity(encode_png(np.array([[0, 1, 257]], np.uint16)))
    array([[65535,     0,   256]], dtype=uint16)
    """
    levels: Levels = decode_png_map(data, "disparity", (16,)) - np.uint16(1)
    return levels


def encode_disparity(disparity: npt.NDArray[np.floating]) -> bytes:
    """Encode disparity (H, W) in pixels, rounded to levels; NaN where nothing was measured.

    Raises
    ------
    UsageError
        A disparity below 0 or above 255.98 px.
    """
    levels = np.rint(disparity.astype(np.float64) / DISPARITY_SCALE)
    known = np.isfinite(levels)
    if ((levels < 0) | (levels > NO_DISPARITY - 1))[known].any():
        raise UsageError("encode_disparity: expected disparities of 0 to 255.99 px, or NaN")
    return encode_png(np.where(known, levels + 1, 0).astype(np.uint16))


def decode_labels(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a ``labelIds.png``: (H, W) uint8, see `CLASSES`."""
    return decode_png_map(data, "labelIds", (8,))


def decode_instance_ids(data: bytes) -> Levels:
    """Decode an ``instanceIds.png``: (H, W) uint16, a label, or a label * 1000 + number."""
    return decode_png_map(data, "instanceIds", (16,))


def read_camera(path: str | Path) -> CameraFile:
    """Read a file as `decode_camera` does; errors name the path."""
    return read_with(path, decode_camera)


def read_vehicle(path: str | Path) -> dict[str, float]:
    """Read a file as `decode_vehicle` does; errors name the path."""
    return read_with(path, decode_vehicle)


def read_timestamp(path: str | Path) -> int:
    """Read a file as `decode_timestamp` does; errors name the path."""
    return read_with(path, decode_timestamp)


def _object(data: bytes, kind: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{kind}: expected JSON, found {data[:40]!r}: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{kind}: expected a JSON object, found {data[:40]!r}")
    return value


def _numbers(value: Any, names: tuple[str, ...], where: str) -> dict[str, float]:
    given = value if isinstance(value, dict) else {}
    bad = [name for name in names if not _is_number(given.get(name))]
    if bad:
        raise FormatError(
            f"{where}: expected the numbers {', '.join(names)}, found {given.get(bad[0])!r:.40} "
            f"for {bad[0]}"
        )
    return {name: float(given[name]) for name in names}


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(float(value))
    except OverflowError:
        return False
