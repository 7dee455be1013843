"""A synthetic Waymo segment as component tables of perception v2, row by row."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from depthdata.codecs.waymo_frame import Box
from depthdata.codecs.waymo_parquet import COMPONENTS, SEGMENT, TIME, component_path, load_pyarrow
from depthdata.synthetic.layouts.waymo_content import DIVISOR, Context, Moment, Picture, Sweep
from depthdata.synthetic.layouts.waymo_labels import CAMERA_NAMES

__all__ = ["Tables"]

Row = dict[str, Any]

_CAMERA, _LASER = "key.camera_name", "key.laser_name"
_LENS = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_NUMBERS = {name: number for number, name in CAMERA_NAMES.items()}
_AXES = "xyz"


class Tables:
    """The files of a segment while they are written.

    Parameters
    ----------
    context : Context
    folder : Path
        Gets a folder for each component.
    """

    def __init__(self, context: Context, folder: Path) -> None:
        self._arrow, self._parquet = load_pyarrow()
        self._context, self._folder = context, folder
        self._writers: dict[str, Any] = {}
        self._write("camera_calibration", [_camera_calibration(c) for c in context.cameras])
        self._write("lidar_calibration", [_laser_calibration(c) for c in context.lasers])

    def __enter__(self) -> Tables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, moment: Moment) -> None:
        """Append a frame to every component."""
        context, at = self._context, {TIME: moment.start_micros}
        facts = {
            "time_of_day": context.time_of_day,
            "location": context.location,
            "weather": context.weather,
        }
        found: dict[str, list[Row]] = {
            "vehicle_pose": [{"world_from_vehicle.transform": moment.T_global_vehicle.ravel()}],
            "stats": [facts],
            "camera_image": [_image(picture) for picture in moment.pictures.values()],
            "camera_segmentation": [
                _panoptic(picture, context.name)
                for picture in moment.pictures.values()
                if picture.panoptic
            ],
            "lidar": [_images(sweep, "cells") for sweep in moment.sweeps.values()],
            "lidar_camera_projection": [
                _images(sweep, "projection") for sweep in moment.sweeps.values()
            ],
            "lidar_pose": [
                {_LASER: sweep.name, **_range_image(1, sweep.poses)}
                for sweep in moment.sweeps.values()
                if sweep.poses is not None
            ],
            "lidar_box": [_laser_box(label) for label in moment.laser_labels],
            "lidar_camera_synced_box": [
                {
                    "key.laser_object_id": label.id,
                    "most_visible_camera_name": _NUMBERS[label.most_visible_camera],
                    **_box("camera_synced_box", label.synced_box),
                }
                for label in moment.laser_labels
                if label.synced_box is not None
            ],
            "camera_box": [
                {
                    _CAMERA: camera,
                    "key.camera_object_id": label.id,
                    **dict(zip(("box.center.x", "box.center.y"), label.centre, strict=True)),
                    **dict(zip(("box.size.x", "box.size.y"), label.size, strict=True)),
                    "type": label.type,
                }
                for camera, labels in moment.camera_labels.items()
                for label in labels
            ],
        }
        for tag, rows in found.items():
            self._write(tag, [{**at, **row} for row in rows])

    def _write(self, tag: str, rows: list[Row]) -> None:
        if not rows:
            return
        names = [SEGMENT, *rows[0]]
        columns = [[self._context.name] * len(rows), *([row[n] for row in rows] for n in names[1:])]
        arrays = [
            self._arrow.array(values, self._type(tag, name))
            for name, values in zip(names, columns, strict=True)
        ]
        full = [n if n.startswith("key.") else f"[{COMPONENTS[tag]}].{n}" for n in names]
        table = self._arrow.Table.from_arrays(arrays, full)
        if tag not in self._writers:
            path = component_path(self._folder, tag, self._context.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writers[tag] = self._parquet.ParquetWriter(path, table.schema)
        self._writers[tag].write_table(table)

    def _type(self, tag: str, name: str) -> Any:
        """Return the column type that the dataset has."""
        arrow = self._arrow
        if name.endswith(".transform"):
            return arrow.list_(arrow.float64(), 16)
        if name.endswith(".shape"):
            return arrow.list_(arrow.int32(), 3)
        if name == "beam_inclination.values":
            return arrow.list_(arrow.float64())
        if name.endswith(".values"):  # of projections, too
            return arrow.list_(arrow.float32())
        if name.endswith("is_tracked"):
            return arrow.list_(arrow.bool_())
        if name.endswith("instance_ids"):
            return arrow.list_(arrow.int32())
        if name == TIME or name.startswith("num_"):
            return arrow.int64()
        if name in ("width", "height", "panoptic_label_divisor"):
            return arrow.int32()
        if name.startswith("velocity.linear"):
            return arrow.float32()
        if name in (_CAMERA, _LASER, "type", "rolling_shutter_direction") or name.startswith(
            ("most_visible", "difficulty_level")
        ):
            return arrow.int8()
        if name in ("image", "panoptic_label"):
            return arrow.binary()
        texts = ("sequence_id", "time_of_day", "location", "weather", SEGMENT)
        return arrow.string() if name in texts or name.endswith("object_id") else arrow.float64()


def _camera_calibration(camera: Any) -> Row:
    return {
        _CAMERA: camera.name,
        **{f"intrinsic.{n}": float(v) for n, v in zip(_LENS, camera.intrinsic, strict=True)},
        "extrinsic.transform": camera.T_vehicle_camera.ravel(),
        "width": camera.width,
        "height": camera.height,
        "rolling_shutter_direction": camera.rolling_shutter,
    }


def _laser_calibration(laser: Any) -> Row:
    return {
        _LASER: laser.name,
        "extrinsic.transform": laser.T_vehicle_laser.ravel(),
        "beam_inclination.min": laser.least,
        "beam_inclination.max": laser.most,
        "beam_inclination.values": laser.inclinations if laser.inclinations.size else None,
    }


def _image(picture: Picture) -> Row:
    shutter = picture.shutter
    row: Row = {
        _CAMERA: picture.name,
        "image": picture.jpeg,
        "pose.transform": shutter.T_world_vehicle.ravel(),
    }
    for name, vector in (("linear", shutter.velocity), ("angular", shutter.angular_velocity)):
        for axis, value in zip(_AXES, vector.tolist(), strict=True):
            row[f"velocity.{name}_velocity.{axis}"] = value
    row["pose_timestamp"] = shutter.pose_timestamp
    times = (shutter.shutter, shutter.trigger, shutter.readout_done)
    names = ("shutter", "camera_trigger_time", "camera_readout_done_time")
    for name, value in zip(names, times, strict=True):
        row[f"rolling_shutter_params.{name}"] = value
    return row


def _panoptic(picture: Picture, sequence: str) -> Row:
    ids = "instance_id_to_global_id_mapping"
    return {
        _CAMERA: picture.name,
        "panoptic_label_divisor": DIVISOR,
        "panoptic_label": picture.panoptic,
        f"{ids}.local_instance_ids": list(picture.global_ids),
        f"{ids}.global_instance_ids": [common for common, _ in picture.global_ids.values()],
        f"{ids}.is_tracked": [followed for _, followed in picture.global_ids.values()],
        "sequence_id": sequence,
    }


def _images(sweep: Sweep, what: str) -> Row:
    row: Row = {_LASER: sweep.name}
    for number, echo in enumerate(sweep.echoes, start=1):
        row.update(_range_image(number, getattr(echo, what)))
    return row


def _range_image(number: int, values: Any) -> Row:
    name = f"range_image_return{number}"
    return {
        f"{name}.values": values.astype(np.float32).ravel(),
        f"{name}.shape": list(values.shape),
    }


def _laser_box(label: Any) -> Row:
    vectors = {"speed": label.speed, "acceleration": label.acceleration}
    return {
        "key.laser_object_id": label.id,
        **_box("box", label.box),
        "type": label.type,
        "num_lidar_points_in_box": label.points,
        "num_top_lidar_points_in_box": label.top_points,
        **{
            f"{name}.{axis}": float(value)
            for name, vector in vectors.items()
            for axis, value in zip(_AXES, vector, strict=True)
        },
        "difficulty_level.detection": label.detection_difficulty,
        "difficulty_level.tracking": label.tracking_difficulty,
    }


def _box(name: str, box: Box) -> Row:
    out = {
        f"{name}.{part}.{axis}": float(value)
        for part, vector in (("center", box.centre), ("size", box.size))
        for axis, value in zip(_AXES, vector, strict=True)
    }
    return {**out, f"{name}.heading": box.heading}
