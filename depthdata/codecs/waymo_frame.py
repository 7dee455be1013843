"""Frames of the Waymo Open Dataset, perception v1: what a record says, field by field, lazily.

Axes are the source's: vehicle x forward, y left, z up; cameras x out of the lens, y left, z up.
Sensors are keyed by name, as their order differs from record to record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image
from depthdata.codecs.protobuf import Message
from depthdata.errors import FormatError

__all__ = [
    "CAMERAS",
    "LABEL_TYPES",
    "LASERS",
    "T_CAMERA_OPTICAL",
    "Box",
    "CameraCalibration",
    "CameraImage",
    "CameraLabel",
    "Frame",
    "LaserCalibration",
    "LaserLabel",
    "Panoptic",
]

Float = npt.NDArray[np.float64]

CAMERAS: Mapping[int, str] = {
    1: "front",
    2: "front_left",
    3: "front_right",
    4: "side_left",
    5: "side_right",
    6: "rear_left",
    7: "rear",
    8: "rear_right",
}
"""Camera numbers and our names; 6 to 8 are not in perception v1."""

LASERS: Mapping[int, str] = {1: "top", 2: "front", 3: "side_left", 4: "side_right", 5: "rear"}
LABEL_TYPES: Mapping[int, str] = {
    0: "unknown",
    1: "vehicle",
    2: "pedestrian",
    3: "sign",
    4: "cyclist",
}

T_CAMERA_OPTICAL: Float = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Optical axes (x right, y down, z forward) to a Waymo camera's own."""


class CameraCalibration(NamedTuple):
    """A camera of the rig.

    Attributes
    ----------
    name : int
        Key of `CAMERAS`.
    intrinsic : (9,) float64
        f_u, f_v, c_u, c_v, k1, k2, p1, p2, k3; pixel 0 begins at coordinate 0.
    T_vehicle_camera : (4, 4) float64
        From the camera's own axes.
    width, height : int
    rolling_shutter : int
        1 top to bottom, 2 left to right, 3 bottom to top, 4 right to left, 5 global, 0 unknown.
    """

    name: int
    intrinsic: Float
    T_vehicle_camera: Float
    width: int
    height: int
    rolling_shutter: int


class LaserCalibration(NamedTuple):
    """A lidar of the rig; `inclinations` is empty where they are uniform from least to most."""

    name: int
    inclinations: Float
    least: float
    most: float
    T_vehicle_laser: Float


class Box(NamedTuple):
    """An upright box: centre (3,), size length, width, height (3,), heading in radians."""

    centre: Float
    size: Float
    heading: float


@dataclass(frozen=True, eq=False)
class LaserLabel:
    """A 3-D box of an object, in the vehicle frame of `Frame.pose`.

    Attributes
    ----------
    id : str
        The same for an object through the segment.
    type : int
        Key of `LABEL_TYPES`.
    box : Box
    speed, acceleration : (3,) float64 or None
        In GLOBAL axes, m/s and m/s^2; None where the record has none. A missing z counts as 0.
    synced_box : Box or None
        The box when the most visible camera saw its centre.
    most_visible_camera : str
    points, top_points : int
        Lidar points in the box.
    detection_difficulty, tracking_difficulty : int
    """

    id: str
    type: int
    box: Box
    speed: Float | None
    acceleration: Float | None
    synced_box: Box | None
    most_visible_camera: str
    points: int
    top_points: int
    detection_difficulty: int
    tracking_difficulty: int


class CameraLabel(NamedTuple):
    """A 2-D box in an image: centre x, y and extent x, y in pixels."""

    id: str
    type: int
    centre: tuple[float, float]
    size: tuple[float, float]
    laser_object_id: str
    detection_difficulty: int
    tracking_difficulty: int


@dataclass(frozen=True, eq=False)
class Panoptic:
    """The panoptic label of an image.

    Attributes
    ----------
    png : memoryview
        16-bit grey; value = class * `divisor` + instance.
    divisor : int
    global_ids : dict
        Instance in this image -> (id common to cameras and times, whether it is tracked).
    sequence_id : str
    cameras_covered : memoryview
        8-bit PNG of how many cameras see a pixel; empty where it is not there.
    """

    png: memoryview
    divisor: int
    global_ids: Mapping[int, tuple[int, bool]]
    sequence_id: str
    cameras_covered: memoryview

    def decode(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """Return the classes and the instances (0 = none), (H, W) uint16 each."""
        values = decode_image(self.png)
        if values.ndim != 2:
            raise FormatError(f"panoptic label: expected a grey PNG, found shape {values.shape}")
        classes, instances = np.divmod(values, values.dtype.type(max(self.divisor, 1)))
        return classes.astype(np.uint16), instances.astype(np.uint16)


class CameraImage:
    """One camera's picture in a frame.

    Attributes
    ----------
    name : int
    jpeg : memoryview
        Into the record: copy it before it goes to another process.
    T_world_vehicle : (4, 4) float64
        At `pose_timestamp`.
    velocity, angular_velocity : (3,) float64
        Of the vehicle: m/s in global axes, rad/s in VEHICLE axes.
    pose_timestamp, shutter, trigger, readout_done : float
        Seconds.
    """

    def __init__(self, message: Message) -> None:
        self._message = message
        self.name = message.integer(1)

    @property
    def jpeg(self) -> memoryview:
        """The picture."""
        return self._message.data(2)

    @cached_property
    def T_world_vehicle(self) -> Float:
        """Pose of the vehicle at `pose_timestamp`."""
        return _transform(self._message, 3)

    @cached_property
    def velocity(self) -> Float:
        """Velocity of the vehicle, global axes, m/s."""
        velocity = self._message.message(4)
        return np.array([velocity.float(k) for k in (1, 2, 3)])

    @cached_property
    def angular_velocity(self) -> Float:
        """Turn rates of the vehicle, vehicle axes, rad/s."""
        velocity = self._message.message(4)
        return np.array([velocity.double(k) for k in (4, 5, 6)])

    @property
    def pose_timestamp(self) -> float:
        """Time of the pose, seconds."""
        return self._message.double(5)

    @property
    def shutter(self) -> float:
        """Exposure, seconds."""
        return self._message.double(6)

    @property
    def trigger(self) -> float:
        """When the exposure of the first line began, seconds."""
        return self._message.double(7)

    @property
    def readout_done(self) -> float:
        """When the last line was read, seconds."""
        return self._message.double(8)

    @cached_property
    def panoptic(self) -> Panoptic | None:
        """The panoptic label, where the image has one."""
        label = self._message.message(10)
        png = label.data(2)
        if not png:
            return None
        return Panoptic(
            png,
            label.integer(1),
            {m.integer(1): (m.integer(2), bool(m.integer(3))) for m in label.messages(3)},
            label.text(4),
            label.data(5),
        )


class Frame:
    """One record: parsed as far as it is asked for.

    Parameters
    ----------
    payload : bytes-like
        The record; stays referenced.
    where : str
        Names the record in errors.
    """

    def __init__(self, payload: bytes | memoryview, where: str = "frame") -> None:
        self.where = where
        self._message = Message(payload, where)
        if not self._message.has(1):
            raise FormatError(f"{where}: no context; the record is no frame of perception v1")

    @cached_property
    def context(self) -> Message:
        """The context: name, calibrations, statistics; the same in all frames of a segment."""
        return self._message.message(1)

    @property
    def segment(self) -> str:
        """Name of the segment."""
        return self.context.text(1)

    @property
    def timestamp_micros(self) -> int:
        """START of the frame, microseconds; it does not belong to `T_world_vehicle`."""
        return self._message.integer(2)

    @cached_property
    def T_world_vehicle(self) -> Float:
        """Pose of the vehicle in the middle of the sweep; points and boxes refer to it."""
        return _transform(self._message, 3)

    @cached_property
    def stats(self) -> dict[str, str]:
        """Time of day, location, weather, where given."""
        stats = self.context.message(4)
        found = {"time_of_day": stats.text(2), "location": stats.text(3), "weather": stats.text(4)}
        return {key: text for key, text in found.items() if text}

    @cached_property
    def cameras(self) -> dict[int, CameraCalibration]:
        """Calibration of each camera."""
        out = {}
        for message in self.context.messages(2):
            intrinsic = message.doubles(2)
            if intrinsic.shape != (9,):
                raise FormatError(
                    f"{message.where}: expected 9 intrinsic numbers, found {intrinsic.size}"
                )
            name = message.integer(1)
            out[name] = CameraCalibration(
                name,
                intrinsic,
                _transform(message, 3),
                message.integer(4),
                message.integer(5),
                message.integer(6),
            )
        return out

    @cached_property
    def laser_calibrations(self) -> dict[int, LaserCalibration]:
        """Calibration of each lidar."""
        return {
            message.integer(1): LaserCalibration(
                message.integer(1),
                message.doubles(2),
                message.double(3),
                message.double(4),
                _transform(message, 5),
            )
            for message in self.context.messages(3)
        }

    @cached_property
    def images(self) -> dict[int, CameraImage]:
        """The pictures by camera, in the order of the record."""
        found = (CameraImage(message) for message in self._message.messages(4))
        return {image.name: image for image in found}

    @cached_property
    def lasers(self) -> dict[int, Message]:
        """The lidars' range images by lidar; none where a file was stripped of them."""
        found = {message.integer(1): message for message in self._message.messages(5)}
        return {name: found[name] for name in sorted(found) if name in LASERS}

    @cached_property
    def laser_labels(self) -> list[LaserLabel]:
        """The 3-D boxes."""
        return [_laser_label(message) for message in self._message.messages(6)]

    @cached_property
    def camera_labels(self) -> dict[int, list[CameraLabel]]:
        """Human 2-D boxes; a camera without an entry was not annotated."""
        return self._labels(8)

    @cached_property
    def projected_lidar_labels(self) -> dict[int, list[CameraLabel]]:
        """Rectangles around the projected 3-D boxes; id = the 3-D id, `_`, camera name."""
        return self._labels(9)

    @cached_property
    def no_label_zones(self) -> list[Float]:
        """Polygons (n, 2) in the GLOBAL frame."""
        return [
            np.stack([zone.doubles(1), zone.doubles(2)], axis=-1)
            for zone in self._message.messages(7)
        ]

    def _labels(self, number: int) -> dict[int, list[CameraLabel]]:
        return {
            entry.integer(1): [_camera_label(label) for label in entry.messages(2)]
            for entry in self._message.messages(number)
        }


def _transform(message: Message, number: int) -> Float:
    matrix = message.message(number).doubles(1)
    if matrix.size != 16:
        raise FormatError(
            f"{message.where}, field {number}: expected a 4x4 matrix, found {matrix.size} numbers"
        )
    return matrix.reshape(4, 4)


def _box(message: Message) -> Box:
    # on the wire: centre x, y, z, then WIDTH, length, height, heading
    x, y, z, width, length, height, heading = (message.double(k) for k in range(1, 8))
    return Box(np.array([x, y, z]), np.array([length, width, height]), heading)


def _laser_label(message: Message) -> LaserLabel:
    speed = acceleration = None
    if message.has(2):
        # on the wire: speed x, y, acceleration x, y, speed z, acceleration z
        sx, sy, ax, ay, sz, az = (message.message(2).double(k) for k in range(1, 7))
        speed, acceleration = np.array([sx, sy, sz]), np.array([ax, ay, az])
    return LaserLabel(
        id=message.text(4),
        type=message.integer(3),
        box=_box(message.message(1)),
        speed=speed,
        acceleration=acceleration,
        synced_box=_box(message.message(12)) if message.has(12) else None,
        most_visible_camera=message.text(11),
        points=message.integer(7),
        top_points=message.integer(13),
        detection_difficulty=message.integer(5),
        tracking_difficulty=message.integer(6),
    )


def _camera_label(message: Message) -> CameraLabel:
    box = message.message(1)
    return CameraLabel(
        id=message.text(4),
        type=message.integer(3),
        centre=(box.double(1), box.double(2)),
        size=(box.double(5), box.double(4)),
        laser_object_id=message.message(10).text(1),
        detection_difficulty=message.integer(5),
        tracking_difficulty=message.integer(6),
    )
