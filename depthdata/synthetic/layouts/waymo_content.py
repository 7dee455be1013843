"""What a synthetic Waymo segment contains, whatever files it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import (
    CameraCalibration,
    CameraLabel,
    LaserCalibration,
    LaserLabel,
)

__all__ = ["DIVISOR", "Context", "Echo", "Moment", "Picture", "Sweep"]

Float = npt.NDArray[np.float64]

DIVISOR = 1000
"""Panoptic value = class * DIVISOR + instance."""


@dataclass(frozen=True)
class Context:
    """What does not change in a segment; calibrations in the order of real records."""

    name: str
    cameras: tuple[CameraCalibration, ...]
    lasers: tuple[LaserCalibration, ...]
    time_of_day: str = "Day"
    location: str = "location_other"
    weather: str = "sunny"


@dataclass(frozen=True, eq=False)
class Echo:
    """A range image: `cells` (H, W, 4) float32 and its camera `projection` (H, W, 6) int32."""

    cells: npt.NDArray[np.float32]
    projection: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Sweep:
    """What one lidar measured in a frame.

    Attributes
    ----------
    name : int
    echoes : tuple of Echo
        First and second return.
    poses : (H, W, 6) float32 or None
        Roll, pitch, yaw, x, y, z of the vehicle at each cell, in the global frame.
    body : (H, W) int64
        Truth: object number of the first return, 0 the street, -1 nothing.
    """

    name: int
    echoes: tuple[Echo, Echo]
    poses: npt.NDArray[np.float32] | None
    body: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Picture:
    """One camera's picture, how it was taken, and its truth.

    Attributes
    ----------
    name : int
    rgb : (H, W, 3) uint8
    jpeg : bytes
    shutter : Shutter
    depth : (H, W) float64
        Truth: camera z at the moment of the pixel's line; NaN in the sky.
    classes, instances : (H, W) uint16
        Truth: panoptic classes of the source, and object numbers.
    panoptic : bytes
        PNG of the label; empty where the frame has none.
    global_ids : dict
        Instance here -> (id in the segment, whether it is followed).
    """

    name: int
    rgb: npt.NDArray[np.uint8]
    jpeg: bytes
    shutter: Shutter
    depth: Float
    classes: npt.NDArray[np.uint16]
    instances: npt.NDArray[np.uint16]
    panoptic: bytes
    global_ids: Mapping[int, tuple[int, bool]]


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame of the segment.

    Attributes
    ----------
    start_micros : int
        When the sweep began.
    T_global_vehicle : (4, 4) float64
        In the middle of the sweep.
    pictures : dict of Picture
    sweeps : dict of Sweep
    laser_labels : list of LaserLabel
    camera_labels, projected_labels : dict of lists of CameraLabel
    zones : list of (n, 2) float64
        Polygons without labels, global frame.
    """

    start_micros: int
    T_global_vehicle: Float
    pictures: dict[int, Picture]
    sweeps: dict[int, Sweep]
    laser_labels: list[LaserLabel]
    camera_labels: dict[int, list[CameraLabel]]
    projected_labels: dict[int, list[CameraLabel]]
    zones: list[Float]
