"""What a Waymo segment says beside pixels and points, gathered in a first pass over its frames.

The files of a segment (record file of v1, tables of v2) are a `Recording`; all that follows is the
same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import (
    CAMERAS,
    LABEL_TYPES,
    CameraCalibration,
    CameraLabel,
    LaserLabel,
)
from depthdata.codecs.waymo_range_image import LaserReturn
from depthdata.errors import SourceError
from depthdata.geometry import rigid_transform, rotation_from_euler

__all__ = [
    "BoxRows",
    "CameraScan",
    "FrameFacts",
    "ObjectRows",
    "PanopticFacts",
    "PictureFacts",
    "Recording",
    "Scan",
    "Sweep",
]

Float = npt.NDArray[np.float64]


class PanopticFacts(NamedTuple):
    """What the numbers of a panoptic label mean; `covered`: whether it has that second picture."""

    divisor: int
    global_ids: dict[int, tuple[int, bool]]
    sequence_id: str
    covered: bool


class PictureFacts(NamedTuple):
    """A picture: bytes of its JPEG, how it was taken, its panoptic label."""

    size: int
    shutter: Shutter
    panoptic: PanopticFacts | None


@dataclass(frozen=True, eq=False)
class FrameFacts:
    """A frame of a segment without pixels and points.

    Attributes
    ----------
    segment : str
    stats : dict
        Time of day, location, weather.
    start_micros : int
        START of the frame.
    T_world_vehicle : (4, 4) float64
        In the middle of the sweep.
    cameras : dict
        Calibrations by camera number.
    pictures : dict
        By camera number, those that are there.
    laser_labels : list of LaserLabel
    camera_labels : dict
        2-D boxes; a camera without an entry was not annotated.
    has_points : bool
    """

    segment: str
    stats: Mapping[str, str]
    start_micros: int
    T_world_vehicle: Float
    cameras: Mapping[int, CameraCalibration]
    pictures: Mapping[int, PictureFacts]
    laser_labels: list[LaserLabel]
    camera_labels: Mapping[int, list[CameraLabel]]
    has_points: bool


class Sweep(NamedTuple):
    """The points of a frame, not decoded yet.

    Attributes
    ----------
    returns : callable
        Decodes lidar by lidar, in ascending order: echo (1, 2) -> points.
    labels : callable
        Gives the 3-D boxes.
    """

    returns: Callable[[], Iterator[dict[int, LaserReturn]]]
    labels: Callable[[], list[LaserLabel]]


class Recording(Protocol):
    """The files of a segment; every method reads them from the start, one frame in memory."""

    path: Path
    """Names the segment in errors."""

    def frames(self) -> Iterator[FrameFacts]:
        """Yield the frames in order of time; must have been consumed before the others."""

    def jpegs(self, camera: int, frames: list[int]) -> Iterator[bytes]:
        """Yield the pictures of a camera in some frames, ascending."""

    def panoptic(self, camera: int, t: int) -> bytes:
        """Return a panoptic label, a PNG."""

    def covered(self, camera: int, t: int) -> bytes:
        """Return the PNG of how many cameras see a pixel."""

    def sweeps(self) -> Iterator[Sweep]:
        """Yield the points of every frame."""


class ObjectRows(NamedTuple):
    """3-D boxes of one frame: object numbers, types, `T_world_box`, sizes, velocities (n, 3)."""

    ids: list[int]
    categories: list[str]
    T_world_box: Float
    size: Float
    velocity: Float


class BoxRows(NamedTuple):
    """2-D boxes of one picture: numbers, types, centre x, y and extent x, y (n, 4)."""

    ids: list[int]
    categories: list[str]
    rectangles: Float


@dataclass
class CameraScan:
    """What the frames say of one camera; frames that lack it are not in `frames`."""

    calibration: CameraCalibration
    frames: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    shutters: list[Shutter] = field(default_factory=list)
    panoptic: dict[int, PanopticFacts] = field(default_factory=dict)
    boxes: dict[int, BoxRows] = field(default_factory=dict)
    box_ids: dict[str, int] = field(default_factory=dict)


@dataclass
class Scan:
    """A segment without its pixels and points.

    Attributes
    ----------
    segment : str
    stats : dict
        Time of day, location, weather.
    times : list of int
        Start of each frame, microseconds.
    poses : list of (4, 4)
        Vehicle in the middle of each sweep, in the world.
    cameras : dict
        Of the cameras that have pictures, by number.
    objects : list of ObjectRows
        3-D boxes of each frame.
    object_ids : dict
        The source's texts -> our numbers, in order of first appearance.
    with_points : set of int
        Frames that have a range image.
    """

    segment: str
    stats: Mapping[str, str]
    times: list[int] = field(default_factory=list)
    poses: list[Float] = field(default_factory=list)
    cameras: dict[int, CameraScan] = field(default_factory=dict)
    objects: list[ObjectRows] = field(default_factory=list)
    object_ids: dict[str, int] = field(default_factory=dict)
    with_points: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, recording: Recording) -> Scan:
        """Read a recording once."""
        scan: Scan | None = None
        for frame in recording.frames():
            if scan is None:
                scan = cls(frame.segment, frame.stats)
            scan._add(recording.path, frame)
        if scan is None:
            raise SourceError(f"{recording.path} holds no record; download it again")
        return scan

    def _add(self, path: Path, frame: FrameFacts) -> None:
        t = len(self.times)
        if frame.segment != self.segment:
            raise SourceError(
                f"{path}: record {t} is of segment {frame.segment}, those before of "
                f"{self.segment}; a file holds one segment"
            )
        if self.times and frame.start_micros <= self.times[-1]:
            raise SourceError(
                f"{path}: record {t} is not later than the one before "
                f"({frame.start_micros} after {self.times[-1]} microseconds)"
            )
        self.times.append(frame.start_micros)
        self.poses.append(frame.T_world_vehicle.copy())
        self.objects.append(self._object_rows(frame))
        if frame.has_points:
            self.with_points.add(t)
        for number, picture in frame.pictures.items():
            if number not in CAMERAS or not picture.size:
                continue
            if number not in frame.cameras:
                raise SourceError(
                    f"{path}: record {t} has an image of camera {number} without its calibration"
                )
            camera = self.cameras.setdefault(number, CameraScan(_kept(frame.cameras[number])))
            camera.frames.append(t)
            camera.sizes.append(picture.size)
            camera.shutters.append(picture.shutter)
            if picture.panoptic is not None:
                camera.panoptic[t] = picture.panoptic
        for number, labels in frame.camera_labels.items():
            if labels and number in self.cameras:
                self.cameras[number].boxes[t] = _box_rows(labels, self.cameras[number].box_ids)

    def _object_rows(self, frame: FrameFacts) -> ObjectRows:
        labels, ids = frame.laser_labels, self.object_ids
        poses = np.empty((len(labels), 4, 4))
        for row, label in zip(poses, labels, strict=True):
            turned = rotation_from_euler(0, 0, label.box.heading)
            row[:] = frame.T_world_vehicle @ rigid_transform(turned, label.box.centre)
        unknown = np.full(3, np.nan)
        speeds = [unknown if label.speed is None else label.speed for label in labels]
        return ObjectRows(
            [ids.setdefault(label.id, len(ids)) for label in labels],
            [LABEL_TYPES.get(label.type, "unknown") for label in labels],
            poses,
            np.array([label.box.size for label in labels]).reshape(-1, 3),
            np.array(speeds).reshape(-1, 3),
        )


def _kept(calibration: CameraCalibration) -> CameraCalibration:
    """Copy what would keep the memory of a record alive."""
    return calibration._replace(
        intrinsic=calibration.intrinsic.copy(),
        T_vehicle_camera=calibration.T_vehicle_camera.copy(),
    )


def _box_rows(labels: list[CameraLabel], ids: dict[str, int]) -> BoxRows:
    return BoxRows(
        [ids.setdefault(label.id, len(ids)) for label in labels],
        [LABEL_TYPES.get(label.type, "unknown") for label in labels],
        np.array([[*label.centre, *label.size] for label in labels]),
    )
