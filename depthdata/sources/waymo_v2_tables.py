"""The component tables of a Waymo v2 segment as a recording."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import (
    Box,
    CameraCalibration,
    CameraLabel,
    LaserCalibration,
    LaserLabel,
)
from depthdata.codecs.waymo_parquet import TIME, matrix, range_image, rows
from depthdata.codecs.waymo_range_image import LaserReturn, image_returns
from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec
from depthdata.sources.waymo_scan import FrameFacts, PanopticFacts, PictureFacts, Sweep

__all__ = ["TableSegment"]

Float = npt.NDArray[np.float64]
Row = dict[str, Any]

_CAMERA, _LASER = "key.camera_name", "key.laser_name"
_OBJECT, _BOX_2D = "key.laser_object_id", "key.camera_object_id"
_NAMES = {1: "FRONT", 2: "FRONT_LEFT", 3: "FRONT_RIGHT", 4: "SIDE_LEFT", 5: "SIDE_RIGHT"}
_LENS = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_IDS = "instance_id_to_global_id_mapping"
_ECHOES = {1: "range_image_return1", 2: "range_image_return2"}
_MOTION = (
    *(f"velocity.linear_velocity.{axis}" for axis in "xyz"),
    *(f"velocity.angular_velocity.{axis}" for axis in "xyz"),
    "pose_timestamp",
    *(f"rolling_shutter_params.{n}" for n in ("shutter", "camera_trigger_time")),
    "rolling_shutter_params.camera_readout_done_time",
)


class TableSegment:
    """The tables of a segment; see `depthdata.sources.waymo_scan.Recording`.

    Calibrations, poses, boxes and panoptic labels (a few megabytes) are held; pictures and range
    images are streamed, row by row.
    """

    def __init__(self, spec: SequenceSpec) -> None:
        self._files = {tag: Path(spec.root) / name for tag, name in spec.files.items()}
        self.path = self._files["camera_image"]
        self._segment = spec.name.removeprefix("segment-")
        self._poses = {
            row[TIME]: matrix(row["world_from_vehicle.transform"], self._where("vehicle_pose"))
            for row in self._rows("vehicle_pose", [TIME, "world_from_vehicle.transform"])
        }
        self._times = sorted(self._poses)
        self._labels = self._laser_labels()
        self._png: dict[tuple[int, int], Row] = {}

    def frames(self) -> Iterator[FrameFacts]:
        """Yield what the tables say."""
        cameras = self._cameras()
        drawn = self._camera_labels()
        self._png = self._panoptic_rows()
        with_points = {row[TIME] for row in self._rows("lidar", [TIME])}
        stats = self._stats()
        pictures = _Joined(
            self._rows(
                "camera_image", [TIME, _CAMERA, "image", "pose.transform", *_MOTION], batch=4
            ),
            self._where("camera_image"),
        )
        for t, time in enumerate(self._times):
            facts = {row[_CAMERA]: self._picture(row, t) for row in pictures.at(time)}
            yield FrameFacts(
                self._segment,
                stats,
                time,
                self._poses[time],
                cameras,
                facts,
                self._labels_at(time),
                drawn.get(time, {}),
                time in with_points,
            )
        pictures.end()

    def jpegs(self, camera: int, frames: list[int]) -> Iterator[bytes]:
        """Yield pictures."""
        wanted = iter([self._times[t] for t in frames])
        for row in self._rows("camera_image", [TIME, _CAMERA, "image"], batch=4):
            if row[_CAMERA] == camera and row["image"]:
                if row[TIME] != next(wanted, None):
                    raise SourceError(f"{self.path} changed while it was read")
                yield row["image"]

    def panoptic(self, camera: int, t: int) -> bytes:
        """Return a panoptic label."""
        return bytes(self._png[camera, t]["panoptic_label"])

    def covered(self, camera: int, t: int) -> bytes:
        """Return the second picture of a panoptic label."""
        return bytes(self._png[camera, t]["num_cameras_covered"])

    def sweeps(self) -> Iterator[Sweep]:
        """Yield the points of the frames."""
        lasers = self._lasers()
        fields = [f"{name}.{part}" for name in _ECHOES.values() for part in ("values", "shape")]
        lidar, seen = (
            _Joined(self._rows(tag, [TIME, _LASER, *fields], batch=1), self._where(tag))
            for tag in ("lidar", "lidar_camera_projection")
        )
        turns = _Joined(
            self._rows("lidar_pose", [TIME, _LASER, *fields[:2]], batch=1),
            self._where("lidar_pose"),
        )
        for time in self._times:
            tables = [_ByLaser(part.at(time)) for part in (lidar, seen, turns)]
            returns = partial(self._returns, time, lasers, *tables)
            yield Sweep(returns, partial(self._labels_at, time))

    def _labels_at(self, time: int) -> list[LaserLabel]:
        return self._labels.get(time, [])

    def _returns(
        self,
        time: int,
        lasers: dict[int, LaserCalibration],
        images: _ByLaser,
        projections: _ByLaser,
        turns: _ByLaser,
    ) -> Iterator[dict[int, LaserReturn]]:
        for laser, calibration in sorted(lasers.items()):
            row, seen, turn = (table.take(laser) for table in (images, projections, turns))
            if row is None:
                continue
            where = f"{self._where('lidar')}, {time} us, laser {laser}"
            poses = None
            if turn is not None:
                poses = range_image(turn, _ECHOES[1], f"{where}, poses")
            found = {}
            for echo, name in _ECHOES.items():
                cells = range_image(row, name, f"{where}, return {echo}")
                if cells is None:
                    continue
                projection = None
                if seen is not None:
                    projection = range_image(seen, name, f"{where}, projection")
                found[echo] = image_returns(
                    cells,
                    calibration,
                    self._poses[time],
                    poses=poses,
                    projection=None if projection is None else projection.astype(np.int32),
                    where=where,
                )
            yield found
        stranger = images.another()
        if stranger is not None:
            raise SourceError(
                f"{self._where('lidar')}, {time} us: a range image of laser {stranger} without "
                "calibration"
            )

    # --- tables ---------------------------------------------------------------------------------

    def _rows(
        self, tag: str, columns: list[str], optional: tuple[str, ...] = (), batch: int = 256
    ) -> Iterator[Row]:
        if tag not in self._files:
            return iter(())
        return rows(self._files[tag], tag, columns, optional=optional, batch=batch)

    def _where(self, tag: str) -> str:
        return str(self._files.get(tag, tag))

    def _stats(self) -> dict[str, str]:
        names = ("time_of_day", "location", "weather")
        for row in self._rows("stats", list(names)):
            return {name: row[name] for name in names if row[name]}
        return {}

    def _cameras(self) -> dict[int, CameraCalibration]:
        lens = [f"intrinsic.{name}" for name in _LENS]
        rest = ["extrinsic.transform", "width", "height", "rolling_shutter_direction"]
        where = self._where("camera_calibration")
        return {
            row[_CAMERA]: CameraCalibration(
                row[_CAMERA],
                np.array([row[name] for name in lens], np.float64),
                matrix(row[rest[0]], where),
                *(int(row[name]) for name in rest[1:]),
            )
            for row in self._rows("camera_calibration", [_CAMERA, *lens, *rest])
        }

    def _lasers(self) -> dict[int, LaserCalibration]:
        columns = ["extrinsic.transform", "beam_inclination.min", "beam_inclination.max"]
        where = self._where("lidar_calibration")
        out = {}
        listed = ("beam_inclination.values",)
        for row in self._rows("lidar_calibration", [_LASER, *columns], listed):
            inclinations = row[listed[0]]
            out[row[_LASER]] = LaserCalibration(
                row[_LASER],
                np.empty(0) if inclinations is None else inclinations.astype(np.float64),
                float(row[columns[1]]),
                float(row[columns[2]]),
                matrix(row[columns[0]], where),
            )
        return out

    def _picture(self, row: Row, t: int) -> PictureFacts:
        v, label = [float(row[name]) for name in _MOTION], self._png.get((row[_CAMERA], t))
        shutter = Shutter(
            matrix(row["pose.transform"], self._where("camera_image")),
            np.array(v[:3]),
            np.array(v[3:6]),
            *v[6:],
        )
        facts = None
        if label is not None:
            local, common, followed = (
                [] if label[name] is None else label[name].tolist()
                for name in (
                    f"{_IDS}.local_instance_ids",
                    f"{_IDS}.global_instance_ids",
                    f"{_IDS}.is_tracked",
                )
            )
            if not len(local) == len(common) == len(followed):
                raise SourceError(f"{self._where('camera_segmentation')}: lists of ids differ")
            ids = {a: (b, bool(c)) for a, b, c in zip(local, common, followed, strict=True)}
            facts = PanopticFacts(
                int(label["panoptic_label_divisor"]),
                ids,
                label["sequence_id"] or "",
                bool(label["num_cameras_covered"]),
            )
        return PictureFacts(len(row["image"] or b""), shutter, facts)

    def _panoptic_rows(self) -> dict[tuple[int, int], Row]:
        index = {time: t for t, time in enumerate(self._times)}
        columns = [TIME, _CAMERA, "panoptic_label_divisor", "panoptic_label"]
        ids = [f"{_IDS}.{n}" for n in ("local_instance_ids", "global_instance_ids", "is_tracked")]
        found = self._rows(
            "camera_segmentation", columns, (*ids, "sequence_id", "num_cameras_covered")
        )
        return {
            (row[_CAMERA], index[row[TIME]]): row
            for row in found
            if row[TIME] in index and row["panoptic_label"]
        }

    def _laser_labels(self) -> dict[int, list[LaserLabel]]:
        columns = ["type", "num_lidar_points_in_box", "num_top_lidar_points_in_box"]
        moved = [f"{name}.{axis}" for name in ("speed", "acceleration") for axis in "xyz"]
        levels = ["difficulty_level.detection", "difficulty_level.tracking"]
        synced = {
            (row[TIME], row[_OBJECT]): row
            for row in self._rows(
                "lidar_camera_synced_box",
                [TIME, _OBJECT, "most_visible_camera_name", *_box_columns("camera_synced_box")],
            )
        }
        out: dict[int, list[LaserLabel]] = {}
        for row in self._rows(
            "lidar_box", [TIME, _OBJECT, *_box_columns("box")], (*columns, *moved, *levels)
        ):
            other = synced.get((row[TIME], row[_OBJECT]))
            out.setdefault(row[TIME], []).append(
                LaserLabel(
                    id=row[_OBJECT],
                    type=int(row["type"] or 0),
                    box=_box(row, "box"),
                    speed=_three(row, moved[:3]),
                    acceleration=_three(row, moved[3:]),
                    synced_box=_box(other, "camera_synced_box") if other else None,
                    most_visible_camera=(
                        _NAMES.get(other["most_visible_camera_name"], "") if other else ""
                    ),
                    points=int(row[columns[1]] or 0),
                    top_points=int(row[columns[2]] or 0),
                    detection_difficulty=int(row[levels[0]] or 0),
                    tracking_difficulty=int(row[levels[1]] or 0),
                )
            )
        return out

    def _camera_labels(self) -> dict[int, dict[int, list[CameraLabel]]]:
        place = ["box.center.x", "box.center.y", "box.size.x", "box.size.y"]
        out: dict[int, dict[int, list[CameraLabel]]] = {}
        for row in self._rows("camera_box", [TIME, _CAMERA, _BOX_2D, *place], ("type",)):
            x, y, w, h = (float(row[name]) for name in place)
            label = CameraLabel(row[_BOX_2D], int(row["type"] or 0), (x, y), (w, h), "", 0, 0)
            out.setdefault(row[TIME], {}).setdefault(row[_CAMERA], []).append(label)
        return out


class _Joined:
    """The rows of a table by time, taken along with the frames; the table must be in order."""

    def __init__(self, found: Iterator[Row], where: str) -> None:
        self._where = where
        self._groups = groupby(found, _time)
        self._next = next(self._groups, None)
        self._taken = False

    def at(self, time: int) -> Iterator[Row]:
        """Return the rows of a time, later than all asked for before; read as they are taken."""
        self._advance()
        if self._next is None or self._next[0] > time:
            return iter(())
        if self._next[0] < time:
            raise self._unknown(self._next[0])
        self._taken = True
        return self._next[1]

    def end(self) -> None:
        """Refuse rows that are left."""
        self._advance()
        if self._next is not None:
            raise self._unknown(self._next[0])

    def _advance(self) -> None:
        """Go on to the next time if the rows of this one were taken."""
        if not self._taken or self._next is None:
            return
        last, self._taken = self._next[0], False
        self._next = next(self._groups, None)
        if self._next is not None and self._next[0] < last:
            raise SourceError(f"{self._where}: rows are not in order of time")

    def _unknown(self, time: int) -> SourceError:
        return SourceError(
            f"{self._where}: a row at {time} microseconds, where vehicle_pose has none, or not in "
            "order of time"
        )


class _ByLaser:
    """The rows of a time by lidar; what comes before the one that is asked for is kept."""

    def __init__(self, found: Iterator[Row]) -> None:
        self._found, self._kept = found, dict[int, Row]()

    def take(self, laser: int) -> Row | None:
        """Return the row of a lidar, once; None where there is none."""
        while laser not in self._kept:
            row = next(self._found, None)
            if row is None:
                return None
            self._kept[row[_LASER]] = row
        return self._kept.pop(laser)

    def another(self) -> int | None:
        """Return a lidar that was not asked for, if there is one."""
        for row in self._found:
            self._kept[row[_LASER]] = row
        return next(iter(self._kept), None)


def _time(row: Row) -> int:
    return int(row[TIME])


def _box_columns(name: str) -> list[str]:
    return [
        *(f"{name}.{part}.{axis}" for part in ("center", "size") for axis in "xyz"),
        f"{name}.heading",
    ]


def _box(row: Row, name: str) -> Box:
    *six, heading = (float(row[column]) for column in _box_columns(name))
    return Box(np.array(six[:3]), np.array(six[3:]), heading)


def _three(row: Row, columns: list[str]) -> Float | None:
    """Return a vector; a missing z counts as 0, nothing at all as None."""
    values = [row[column] for column in columns]
    if all(value is None for value in values):
        return None
    return np.array([0.0 if value is None else value for value in values], np.float64)
