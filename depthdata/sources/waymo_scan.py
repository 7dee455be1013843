"""The first pass over a Waymo record file: everything but pixels and points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import (
    CAMERAS,
    CameraCalibration,
    CameraLabel,
    Frame,
    LaserLabel,
)
from depthdata.errors import SourceError

__all__ = ["CameraScan", "PanopticPlace", "Place", "Scan", "frames_of"]

Float = npt.NDArray[np.float64]


class Place(NamedTuple):
    """Bytes of the file: offset and size."""

    offset: int
    size: int


class PanopticPlace(NamedTuple):
    """A panoptic label: where its PNGs lie, and what its numbers mean."""

    png: Place
    covered: Place
    divisor: int
    global_ids: dict[int, tuple[int, bool]]
    sequence_id: str


@dataclass
class CameraScan:
    """What the records say of one camera; frames that lack it are not in `frames`."""

    calibration: CameraCalibration
    frames: list[int] = field(default_factory=list)
    jpegs: list[Place] = field(default_factory=list)
    shutters: list[Shutter] = field(default_factory=list)
    panoptic: dict[int, PanopticPlace] = field(default_factory=dict)
    labels: dict[int, list[CameraLabel]] = field(default_factory=dict)


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
    labels : list of list
        3-D boxes of each frame.
    with_points : list of int
        Frames that have a range image.
    """

    segment: str
    stats: dict[str, str]
    times: list[int]
    poses: list[Float]
    cameras: dict[int, CameraScan]
    labels: list[list[LaserLabel]]
    with_points: list[int]

    @classmethod
    def of(cls, path: Path) -> Scan:
        """Read a record file once, checking every byte."""
        scan: Scan | None = None
        for t, frame, start, payload in _located(path):
            if scan is None:
                scan = cls(frame.segment, frame.stats, [], [], {}, [], [])
            if frame.segment != scan.segment:
                raise SourceError(
                    f"{path}: record {t} is of segment {frame.segment}, those before of "
                    f"{scan.segment}; a file holds one segment"
                )
            if scan.times and frame.timestamp_micros <= scan.times[-1]:
                raise SourceError(
                    f"{path}: record {t} is not later than the one before "
                    f"({frame.timestamp_micros} after {scan.times[-1]} microseconds)"
                )
            scan.times.append(frame.timestamp_micros)
            scan.poses.append(frame.T_world_vehicle)
            scan.labels.append(frame.laser_labels)
            if any(laser.message(2).data(2) for laser in frame.lasers.values()):
                scan.with_points.append(t)
            scan._add_cameras(path, t, frame, start, payload)
        if scan is None:
            raise SourceError(f"{path} holds no record; download it again")
        return scan

    def _add_cameras(
        self, path: Path, t: int, frame: Frame, start: int, payload: memoryview
    ) -> None:
        base = _address(payload)

        def place(view: memoryview) -> Place:
            return Place(start + _address(view) - base if view else 0, len(view))

        for number, image in frame.images.items():
            if number not in CAMERAS or not image.jpeg:
                continue
            if number not in frame.cameras:
                raise SourceError(
                    f"{path}: record {t} has an image of camera {number} without its calibration"
                )
            camera = self.cameras.setdefault(number, CameraScan(frame.cameras[number]))
            camera.frames.append(t)
            camera.jpegs.append(place(image.jpeg))
            camera.shutters.append(Shutter.of(image))
            label = image.panoptic
            if label is not None:
                camera.panoptic[t] = PanopticPlace(
                    place(label.png),
                    place(label.cameras_covered),
                    label.divisor,
                    dict(label.global_ids),
                    label.sequence_id,
                )
        for number, labels in frame.camera_labels.items():
            if number in self.cameras:
                self.cameras[number].labels[t] = labels


def frames_of(path: Path) -> Iterator[Frame]:
    """Yield the frames of a file, one in memory at a time."""
    with RecordFile(path) as records:
        for t, payload in enumerate(records):
            yield Frame(payload, f"{path}: record {t}")


def _located(path: Path) -> Iterator[tuple[int, Frame, int, memoryview]]:
    with RecordFile(path, verify="full") as records:
        for t, record in enumerate(records.index):
            payload = records[t]
            yield t, Frame(payload, f"{path}: record {t}"), record.offset, payload


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
