"""Names, kinds and rules of the sequence file, format ``depthdata.sequence`` version 1.

``docs/format.md`` is the specification; this module is its vocabulary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse

__all__ = [
    "FORMAT",
    "MISSING_TIME",
    "VERSION",
    "Boxes",
    "Objects",
    "PoseSet",
    "Profile",
    "StereoPair",
    "StreamKind",
    "Tracks",
    "check_name",
    "check_stream_name",
    "is_picture",
    "measures",
    "quantity_of",
    "stream_size",
]

FORMAT = "depthdata.sequence"
VERSION = 1
MISSING_TIME = -(2**63)
"""The int64 nanosecond value that means "no timestamp" (numpy's NaT)."""

Profile = Literal["default", "portable"]
StreamKind = Literal["encoded", "dense", "points", "derived"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
_STREAM = re.compile(r"[a-z][a-z0-9_]*(/[a-z0-9][a-z0-9_]*)?")
_PICTURE = re.compile(r"(rgb|gray|image|infrared)(_[a-z0-9_]+)?")
_QUANTITIES = {
    "rgb": "colour",
    "gray": "intensity",
    "depth": "depth",
    "disparity": "disparity",
    "flow_forward": "flow",
    "flow_backward": "flow",
    "instances": "instance id",
    "semantics": "class id",
    "materials": "class id",
    "masks": "mask",
}
_DERIVED = re.compile(r"_(\d+)x(\d+)$")
_CAMERA_WORDS = ("intrinsics", "distortion", "T_world_cam", "T_rig_cam", "timestamps")


@dataclass(frozen=True)
class StereoPair:
    """Two rectified cameras; ``x_left - x_right = fx * baseline / depth - (cx_right - cx_left)``.

    Attributes
    ----------
    left, right : str
        Camera names.
    baseline : float
        Metres; of the first frame where it varies; NaN where the source does not tell.
    baselines : (T,) float64 or None
        Of every frame, where it varies.
    """

    left: str
    right: str
    baseline: float
    baselines: npt.NDArray[np.float64] | None = field(default=None, compare=False)

    def at(self, t: int) -> float:
        """Return the baseline of frame `t`, metres."""
        return self.baseline if self.baselines is None else float(self.baselines[t])


@dataclass(frozen=True, eq=False)
class Tracks:
    """Trajectories of N points through the T frames of one camera.

    Attributes
    ----------
    xy : (T, N, 2) float32
        Position in pixels, NaN where there is none.
    visible : (T, N) bool
        Whether the point is seen.
    xyz_world : (T, N, 3) float32, optional
        Position in the world frame, metres.
    """

    xy: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    xyz_world: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class PoseSet:
    """One of several trajectories that a source gives for the same drive, as it gives them.

    Attributes
    ----------
    name : str
        ``"kitti_gt"``, ``"dvso"`` ...
    reference : str
        What the poses are of: the name of a camera, or of the rig's frame.
    T_world_ref : (T, 4, 4) float64
        NaN where unknown. Each set has a world of its own.
    T_rig_ref : (4, 4) float64
        The reference on the rig, as `T_rig_cam` of the cameras.
    provenance : str
        Where it came from.
    """

    name: str
    reference: str
    T_world_ref: npt.NDArray[np.float64]
    T_rig_ref: npt.NDArray[np.float64]
    provenance: str = ""

    def of(self, T_rig_cam: npt.ArrayLike, frames: Any = slice(None)) -> npt.NDArray[np.float64]:
        """Return `T_world_cam` of a camera, (T, 4, 4) or of some frames.

        The reference's own poses come back to the last bit.
        """
        poses: npt.NDArray[np.float64] = self.T_world_ref[frames].copy()
        if np.array_equal(T_rig_cam, self.T_rig_ref):
            return poses
        T_ref_cam: npt.NDArray[np.float64] = se3_inverse(self.T_rig_ref) @ np.asarray(T_rig_cam)
        return poses @ T_ref_cam


@dataclass(frozen=True, eq=False)
class Boxes:
    """The 2-D boxes that people drew in the images of one camera, one row per box and frame.

    Attributes
    ----------
    frame : (M,) int64
        Index on the timeline.
    id : (M,) int64
        The same for the same object; not the id of a 3-D box.
    category : (M,) str
        The source's own class names.
    rectangle : (M, 4) float64
        Centre x, y and extent in x, y: pixels of the stored image, centres at integers.
    """

    frame: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    category: npt.NDArray[np.str_]
    rectangle: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    def at(self, frame: int) -> Boxes:
        """Return the boxes of one frame."""
        rows = self.frame == frame
        return Boxes(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True, eq=False)
class Objects:
    """The 3-D boxes of a sequence as columns, one row per box and frame.

    Attributes
    ----------
    frame : (M,) int64
        Index on the timeline.
    id : (M,) int64
        The same for the same object.
    category : (M,) str
        The source's own class names.
    T_world_box : (M, 4, 4) float64
        Box frame (x forward, y left, z up, origin in the middle) to world.
    size : (M, 3) float64
        Length x, width y, height z, metres.
    velocity : (M, 3) float64, optional
        In the world frame, metres per second; NaN where unknown.
    moving : (M,) bool, optional
        Whether the source says that the object moves.
    """

    frame: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    category: npt.NDArray[np.str_]
    T_world_box: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64] | None = None
    moving: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def at(self, frame: int) -> Objects:
        """Return the boxes of one frame."""
        rows = self.frame == frame
        columns: dict[str, Any] = {
            name: None if column is None else column[rows] for name, column in vars(self).items()
        }
        return Objects(**columns)


def check_name(name: str, what: str) -> str:
    """Return `name` if it may name a camera; raise UsageError otherwise."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{what} {name!r}: expected lower-case letters, digits and underscores "
            "(the source's own name in lower case)"
        )
    return name


def check_stream_name(name: str) -> str:
    """Return `name` if it may name a stream (``depth``, ``masks/moving``); raise otherwise."""
    if not _STREAM.fullmatch(name) or name in _CAMERA_WORDS:
        raise UsageError(
            f"stream {name!r}: expected a lower-case name such as 'rgb', 'depth' or 'masks/moving'"
        )
    return name


def is_picture(name: str) -> bool:
    """Whether a stream is a picture, so that a lossy source encoding (JPEG) is allowed.

    >>> is_picture("rgb"), is_picture("rgb_192x640"), is_picture("depth_png")
    (True, True, False)
    """
    return _PICTURE.fullmatch(name) is not None


def quantity_of(name: str) -> str:
    """Return what a stream of this name holds.

    >>> quantity_of("masks/moving"), quantity_of("disparity_next"), quantity_of("rgb_192x640")
    ('mask', 'disparity', 'colour')
    """
    base = _DERIVED.sub("", name.split("/")[0])
    if base.endswith("_valid"):
        return "mask"
    if base in _QUANTITIES:
        return _QUANTITIES[base]
    kind = base.split("_")[0]
    return _QUANTITIES[kind] if kind in ("rgb", "gray", "disparity") else base


def measures(quantity: str) -> bool:
    """Whether readers return float32 with NaN for a quantity (depth, not class numbers)."""
    return quantity in ("depth", "disparity", "flow")


def stream_size(name: str, height: int, width: int) -> tuple[int, int]:
    """Return the frame size of a stream: the camera's, or that in its name if it is derived.

    >>> stream_size("rgb", 375, 1242), stream_size("rgb_192x640", 375, 1242)
    ((375, 1242), (192, 640))
    """
    derived = _DERIVED.search(name)
    return (height, width) if derived is None else (int(derived[1]), int(derived[2]))
