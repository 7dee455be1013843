"""What Dynamo-Depth's data set classes take from KITTI, nuScenes and Waymo, told from streams.

Nothing here looks at where a file comes from: streams and their facts decide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.lidar import eigen_depth_rows, project_sensor

if TYPE_CHECKING:
    from depthdata.sequence import Camera
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["RULES", "KittiRules", "NuscenesRules", "Rules", "WaymoRules", "rules_of"]

Float = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_BACKGROUND, _MOVING, _STATIC, _UNLABELLED = 0, 1, 2, 3


class Rules(ABC):
    """What one of the authors' data set classes does.

    Attributes
    ----------
    name : str
        As in the authors' options.
    size : (height, width)
        Of the network's input.
    image, depth_image : str
        Stream of the pictures; that of evaluation of depth.
    signs : tuple of str
        Streams by which a file is known to be for these rules.
    """

    name: str
    size: tuple[int, int]
    image: str
    depth_image: str
    signs: tuple[str, ...]

    def fits(self, camera: Camera) -> bool:
        """Whether a camera has what these rules are for."""
        return any(name in camera.streams for name in self.signs)

    def positions(self, file: SequenceFile, anchors: Ints, offset: int) -> Ints:
        """Return the place in the timeline of each frame + `offset`; -1 where there is none."""
        frames = anchors + offset
        return np.where((frames >= 0) & (frames < len(file)), frames, -1)

    def time_step(self, camera: Camera, anchor: int, t: int) -> float:
        """Return the relative time between a frame and its neighbour."""
        return 1.0

    def intrinsics(self, camera: Camera) -> Float:
        """Return the intrinsics divided by the size of the images, (3, 3)."""
        K = np.array(camera.intrinsics(0), np.float64)
        K[0] /= camera.width
        K[1] /= camera.height
        return K

    @abstractmethod
    def depth(self, camera: Camera, t: int) -> Float:
        """Return the ground truth: rows (row, column, depth), float64 (N, 3)."""

    @abstractmethod
    def masks(self, camera: Camera, t: int) -> tuple[Labels, Labels]:
        """Return classes and motion at the size of the ground truth.

        Motion: 0 background, 1 moving, 2 could move but does not, 3 unlabelled.
        """


class KittiRules(Rules):
    """KITTI raw: the authors' own intrinsics, velodyne x at rounded pixels, no masks."""

    name = "kitti"
    size = (192, 640)
    image, depth_image = "rgb_192x640", "rgb"
    signs = ("rgb_192x640",)
    _LAST_ROW, _LAST_COLUMN = 374, 1241

    def fits(self, camera: Camera) -> bool:
        """Tell KITTI by the prepared pictures, or by the size its depth is defined for."""
        if super().fits(camera):
            return True
        return "depth" in camera.streams and "eigen_size" in camera["depth"].attrs

    def positions(self, file: SequenceFile, anchors: Ints, offset: int) -> Ints:
        """Count by the numbers of the images; -1 stands for 0, as published."""
        numbers = [int(name) for name in file.frame_ids]
        place = {number: t for t, number in enumerate(numbers)}
        wanted = [numbers[t] + offset for t in anchors.tolist()]
        return np.array([place.get(0 if n == -1 else n, -1) for n in wanted], np.int64)

    def intrinsics(self, camera: Camera) -> Float:
        """Return what the authors take for every drive, not the calibration."""
        return np.array([[0.58, 0, 0.5], [0, 1.92, 0.5], [0, 0, 1]])

    def depth(self, camera: Camera, t: int) -> Float:
        """Return the prepared rows; their last row and column are those of 375 x 1242."""
        stream = _stream(camera, "depth")
        projection, size = stream.attrs["projection"], tuple(stream.attrs["eigen_size"])
        rows = eigen_depth_rows(stream.points(t), projection, size)
        rows[:, 0] = np.minimum(rows[:, 0], self._LAST_ROW)
        rows[:, 1] = np.minimum(rows[:, 1], self._LAST_COLUMN)
        return rows

    def masks(self, camera: Camera, t: int) -> tuple[Labels, Labels]:
        """Return zeros: none were published."""
        return _filled(camera, 0), _filled(camera, _BACKGROUND)


class NuscenesRules(Rules):
    """nuScenes: uneven time steps, the points of one scan, motion labels of key frames."""

    name = "nuscenes"
    size = (288, 512)
    image = depth_image = "rgb_288x512"
    signs = ("rgb_288x512", "motion_labels")
    _NEAREST, _BORDER, _CELL, _USUAL_STEP = 1.0, 1.0, 5, 100.0

    def fits(self, camera: Camera) -> bool:
        """Tell nuScenes by what its preset adds, or by the projection of each scan."""
        if super().fits(camera):
            return True
        return "depth" in camera.streams and "projections" in camera["depth"].attrs

    def time_step(self, camera: Camera, anchor: int, t: int) -> float:
        """Sum the steps between the frames: milliseconds, modulo 256 as published, over 100."""
        first, last = min(anchor, t), max(anchor, t)
        microseconds = np.diff(camera.timestamps[first : last + 1] // 1000)
        steps = np.rint(microseconds / 1000).astype(np.int64) % 256
        return float(steps.sum() / self._USUAL_STEP)

    def depth(self, camera: Camera, t: int) -> Float:
        """Return the points well inside the image, a metre away or more."""
        stream = _stream(camera, "depth")
        points = stream.points(t)
        if "projections" in stream.attrs and points.sensor is not None:
            which = int(np.searchsorted(stream.frames, t))
            u, v, z = project_sensor(stream.attrs["projections"][which], points.sensor)
        else:
            x, y = points.positions()
            u, v, z = x.astype(np.float64), y.astype(np.float64), points.value.astype(np.float64)
        right, bottom = camera.width - self._BORDER, camera.height - self._BORDER
        with np.errstate(invalid="ignore"):
            kept = (u > self._BORDER) & (u < right) & (v > self._BORDER) & (v < bottom)
            kept &= z > self._NEAREST
        return np.stack([v, u, z], axis=1)[kept]

    def masks(self, camera: Camera, t: int) -> tuple[Labels, Labels]:
        """Spread the label of each point over a cell of 5 x 5 pixels; of several the last wins."""
        motion = np.full((camera.height // self._CELL, camera.width // self._CELL), _UNLABELLED)
        motion = motion.astype(np.uint8)
        if _has(camera, "motion_labels", t):
            labels = camera["motion_labels"].points(t)  # type: ignore[union-attr]
            x, y = labels.positions()
            row = np.minimum((y / self._CELL).astype(np.int64), motion.shape[0] - 1)
            column = np.minimum((x / self._CELL).astype(np.int64), motion.shape[1] - 1)
            last = np.full(motion.shape, -1, np.int64)
            np.maximum.at(last, (row, column), np.arange(len(labels)))
            motion[last >= 0] = labels.value[last[last >= 0]]
        rows = np.arange(camera.height) * motion.shape[0] // camera.height
        columns = np.arange(camera.width) * motion.shape[1] // camera.width
        return _filled(camera, 1), motion[rows[:, None], columns]


class WaymoRules(Rules):
    """Waymo: undistorted pictures and points, panoptic masks of the distorted image."""

    name = "waymo"
    size = (320, 480)
    image = depth_image = "rgb_320x480"
    signs = ("rgb_320x480", "depth_undistorted")
    _EDGE = 0.5  # the source counts from the edge of a pixel, as the authors do
    _MOVABLE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 27)
    _LOST = 255

    def intrinsics(self, camera: Camera) -> Float:
        """Return the source's intrinsics, whose pixel 0 begins at 0."""
        K = np.array(camera.intrinsics(0), np.float64)
        K[:2, 2] += self._EDGE
        K[0] /= camera.width
        K[1] /= camera.height
        return K

    def depth(self, camera: Camera, t: int) -> Float:
        """Return the first returns of all lidars in the undistorted image."""
        points = _stream(camera, "depth_undistorted").points(t)
        x, y = points.positions()
        return np.stack([y + self._EDGE, x + self._EDGE, points.value], axis=1).astype(np.float64)

    def masks(self, camera: Camera, t: int) -> tuple[Labels, Labels]:
        """Tell moving instances from others; zeros where a frame has no panoptic labels."""
        names = ("semantics", "instances", "masks/moving")
        if not all(_has(camera, name, t) for name in names):
            return _filled(camera, 0), _filled(camera, _BACKGROUND)
        classes, instances, moving = (
            np.asarray(camera[name].raw(t))  # type: ignore[union-attr]
            for name in names
        )
        motion = np.where(np.isin(classes, self._MOVABLE), _STATIC, _BACKGROUND).astype(np.uint8)
        motion[moving == 1] = _MOVING
        motion[moving == 255] = _UNLABELLED
        if instances.max() == self._LOST:  # wraps to 0 in the published preparation
            motion[instances == self._LOST] = _BACKGROUND
        return classes.astype(np.uint8), motion


RULES: dict[str, Rules] = {
    rules.name: rules for rules in (KittiRules(), NuscenesRules(), WaymoRules())
}
"""The rules by name."""


def rules_of(file: SequenceFile, camera: str) -> Rules:
    """Return the rules that the streams of a camera are for.

    Raises
    ------
    UsageError
        It has none of their streams.
    """
    for rules in RULES.values():
        if rules.fits(file.cameras[camera]):
            return rules
    signs = ", ".join(sign for rules in RULES.values() for sign in rules.signs)
    raise UsageError(
        f"{file.path}: camera {camera} has none of the streams {signs}, so it is not known which "
        "samples are meant; convert with preset='dynamo_depth', or give rules"
    )


def _stream(camera: Camera, name: str) -> Any:
    if name not in camera.streams:
        raise UsageError(
            f"camera {camera.name} has no stream {name}; convert with preset='dynamo_depth'"
        )
    return camera[name]


def _has(camera: Camera, name: str, t: int) -> bool:
    return name in camera.streams and bool(camera[name].present[t])


def _filled(camera: Camera, value: int) -> Labels:
    return np.full((camera.height, camera.width), value, np.uint8)
