"""A record file of Waymo perception v1 as a recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import CameraImage, Frame
from depthdata.codecs.waymo_range_image import LaserReturn, laser_returns
from depthdata.errors import SourceError
from depthdata.sources.waymo_scan import FrameFacts, PanopticFacts, PictureFacts, Sweep

__all__ = ["RecordSegment"]


class _Place(NamedTuple):
    """Bytes of the file."""

    offset: int
    size: int


class _Places(NamedTuple):
    jpeg: _Place
    panoptic: _Place
    covered: _Place


class RecordSegment:
    """A record file; see `depthdata.sources.waymo_scan.Recording`.

    The first pass checks every byte and keeps where the pictures lie.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[tuple[int, int], _Places] = {}

    def frames(self) -> Iterator[FrameFacts]:
        """Yield what the records say."""
        with RecordFile(self.path, verify="full") as records:
            for t, record in enumerate(records.index):
                payload = records[t]
                frame = Frame(payload, f"{self.path}: record {t}")
                for number, image in frame.images.items():
                    self._places[number, t] = _places(image, payload, record.offset)
                yield FrameFacts(
                    frame.segment,
                    frame.stats,
                    frame.timestamp_micros,
                    frame.T_world_vehicle,
                    frame.cameras,
                    {number: _facts(image) for number, image in frame.images.items()},
                    frame.laser_labels,
                    frame.camera_labels,
                    any(laser.message(2).data(2) for laser in frame.lasers.values()),
                )

    def jpegs(self, camera: int, frames: list[int]) -> Iterator[bytes]:
        """Yield pictures."""
        with self.path.open("rb") as file:
            for t in frames:
                yield self._read(file.fileno(), self._places[camera, t].jpeg)

    def panoptic(self, camera: int, t: int) -> bytes:
        """Return a panoptic label."""
        with self.path.open("rb") as file:
            return self._read(file.fileno(), self._places[camera, t].panoptic)

    def covered(self, camera: int, t: int) -> bytes:
        """Return the second picture of a panoptic label."""
        with self.path.open("rb") as file:
            return self._read(file.fileno(), self._places[camera, t].covered)

    def sweeps(self) -> Iterator[Sweep]:
        """Yield the points of the records."""
        with RecordFile(self.path) as records:
            for t, payload in enumerate(records):
                frame = Frame(payload, f"{self.path}: record {t}")
                yield Sweep(partial(_returns, frame), partial(getattr, frame, "laser_labels"))

    def _read(self, file: int, place: _Place) -> bytes:
        data = os.pread(file, place.size, place.offset)
        if len(data) != place.size:
            raise SourceError(f"{self.path} changed while it was read")
        return data


def _returns(frame: Frame) -> Iterator[dict[int, LaserReturn]]:
    return (laser_returns(frame, laser) for laser in frame.lasers)


def _facts(image: CameraImage) -> PictureFacts:
    label, facts, shutter = image.panoptic, None, Shutter.of(image)
    if label is not None:
        ids = dict(label.global_ids)
        facts = PanopticFacts(label.divisor, ids, label.sequence_id, bool(label.cameras_covered))
    # a copy, not to keep the memory of the record alive
    shutter = shutter._replace(T_world_vehicle=shutter.T_world_vehicle.copy())
    return PictureFacts(len(image.jpeg), shutter, facts)


def _places(image: CameraImage, payload: memoryview, start: int) -> _Places:
    base, label = _address(payload), image.panoptic

    def place(view: memoryview) -> _Place:
        return _Place(start + _address(view) - base if view else 0, len(view))

    nothing = memoryview(b"")
    return _Places(
        place(image.jpeg),
        place(label.png if label else nothing),
        place(label.cameras_covered if label else nothing),
    )


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
