"""A synthetic Waymo segment as messages of perception v1, written field by field."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from depthdata.codecs.protobuf_writer import (
    blob,
    double,
    doubles,
    float32,
    integer,
    packed_floats,
    packed_integers,
    text,
)
from depthdata.codecs.waymo_frame import (
    Box,
    CameraCalibration,
    CameraLabel,
    LaserCalibration,
    LaserLabel,
)
from depthdata.synthetic.layouts.waymo_content import (
    DIVISOR,
    Context,
    Echo,
    Moment,
    Picture,
    Sweep,
)

__all__ = ["context_message", "frame_message"]

_LEVEL = 4  # of compression


def frame_message(context: bytes, name: str, moment: Moment) -> bytes:
    """Return a frame; `context` is what `context_message` gave, `name` the segment's."""
    return b"".join(
        [
            blob(1, context),
            integer(2, moment.start_micros),
            blob(3, doubles(1, moment.T_global_vehicle)),
            *(blob(4, _image(picture, name)) for picture in moment.pictures.values()),
            *(blob(5, _laser(sweep)) for sweep in moment.sweeps.values()),
            *(blob(6, _laser_label(label)) for label in moment.laser_labels),
            *(
                blob(7, doubles(1, zone[:, 0]) + doubles(2, zone[:, 1]) + text(3, f"zone_{i}"))
                for i, zone in enumerate(moment.zones)
            ),
            *(blob(8, _camera_labels(n, found)) for n, found in moment.camera_labels.items()),
            *(blob(9, _camera_labels(n, found)) for n, found in moment.projected_labels.items()),
        ]
    )


def context_message(context: Context) -> bytes:
    """Return the context, which every frame repeats."""
    stats = text(2, context.time_of_day) + text(3, context.location) + text(4, context.weather)
    return b"".join(
        [
            text(1, context.name),
            *(blob(2, _camera_calibration(camera)) for camera in context.cameras),
            *(blob(3, _laser_calibration(laser)) for laser in context.lasers),
            blob(4, stats),
        ]
    )


def _camera_calibration(camera: CameraCalibration) -> bytes:
    return (
        integer(1, camera.name)
        + doubles(2, camera.intrinsic)
        + blob(3, doubles(1, camera.T_vehicle_camera))
        + integer(4, camera.width)
        + integer(5, camera.height)
        + integer(6, camera.rolling_shutter)
    )


def _laser_calibration(laser: LaserCalibration) -> bytes:
    return (
        integer(1, laser.name)
        + doubles(2, laser.inclinations)
        + double(3, laser.least)
        + double(4, laser.most)
        + blob(5, doubles(1, laser.T_vehicle_laser))
    )


def _image(picture: Picture, sequence: str) -> bytes:
    shutter = picture.shutter
    velocity = b"".join(float32(1 + k, v) for k, v in enumerate(shutter.velocity))
    velocity += b"".join(double(4 + k, w) for k, w in enumerate(shutter.angular_velocity))
    times = (shutter.pose_timestamp, shutter.shutter, shutter.trigger, shutter.readout_done)
    parts = [
        integer(1, picture.name),
        blob(2, picture.jpeg),
        blob(3, doubles(1, shutter.T_world_vehicle)),
        blob(4, velocity),
        *(double(5 + k, value) for k, value in enumerate(times)),
    ]
    if picture.panoptic:
        ids = b"".join(
            blob(3, integer(1, local) + integer(2, common) + integer(3, int(tracked)))
            for local, (common, tracked) in picture.global_ids.items()
        )
        label = integer(1, DIVISOR) + blob(2, picture.panoptic) + ids + text(4, sequence)
        parts.append(blob(10, label))
    return b"".join(parts)


def _laser(sweep: Sweep) -> bytes:
    first, second = (_range_image(echo) for echo in sweep.echoes)
    if sweep.poses is not None:
        first += blob(4, _floats(sweep.poses))
    return integer(1, sweep.name) + blob(2, first) + blob(3, second)


def _range_image(echo: Echo) -> bytes:
    return blob(2, _floats(echo.cells)) + blob(
        3, _matrix(packed_integers(1, echo.projection), echo.projection.shape)
    )


def _floats(values: npt.NDArray[np.float32]) -> bytes:
    return _matrix(packed_floats(1, values), values.shape)


def _matrix(data: bytes, shape: tuple[int, ...]) -> bytes:
    return zlib.compress(data + blob(2, b"".join(integer(1, size) for size in shape)), _LEVEL)


def _box(box: Box) -> bytes:
    # on the wire: centre x, y, z, then WIDTH, length, height, heading
    length, width, height = box.size
    values = [*box.centre, width, length, height, box.heading]
    return b"".join(double(1 + k, float(value)) for k, value in enumerate(values))


def _laser_label(label: LaserLabel) -> bytes:
    parts = [blob(1, _box(label.box))]
    if label.speed is not None and label.acceleration is not None:
        (sx, sy, sz), (ax, ay, az) = label.speed, label.acceleration
        parts.append(
            blob(2, b"".join(double(1 + k, v) for k, v in enumerate((sx, sy, ax, ay, sz, az))))
        )
    parts += [
        integer(3, label.type),
        text(4, label.id),
        integer(5, label.detection_difficulty),
        integer(6, label.tracking_difficulty),
        integer(7, label.points),
    ]
    if label.synced_box is not None:
        parts += [text(11, label.most_visible_camera), blob(12, _box(label.synced_box))]
    return b"".join([*parts, integer(13, label.top_points)])


def _camera_labels(camera: int, labels: list[CameraLabel]) -> bytes:
    return integer(1, camera) + b"".join(blob(2, _camera_label(label)) for label in labels)


def _camera_label(label: CameraLabel) -> bytes:
    # length is the extent along x, width along y
    box = (
        double(1, label.centre[0])
        + double(2, label.centre[1])
        + double(4, label.size[1])
        + double(5, label.size[0])
    )
    out = blob(1, box) + integer(3, label.type) + text(4, label.id)
    if label.laser_object_id:
        out += blob(10, text(1, label.laser_object_id))
    return out
