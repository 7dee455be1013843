"""Ground truth of one frame, derived from what a sequence file stores.

Each rule takes ``(sequence, camera name, frame, first frame of the clip)`` and returns (H,W)
floats, NaN where there is no truth, a `PixelTruth`, or the rows of a `PointTruth`; `RULES` names
them for the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.aspect_crop import AspectCrop
from depthdata.errors import UsageError
from depthdata.lidar import eigen_depth_pixels
from depthdata.sequence import StereoGeometry

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = [
    "RULES",
    "PixelTruth",
    "PointTruth",
    "StereoGeometry",
    "Truth",
    "frames_with_truth",
    "stereo_geometry",
    "truth_map",
]

FloatMap = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class PointTruth:
    """Sparse truth whose positions are not whole pixels.

    Parameters
    ----------
    rows : (N, 3) float64
        Row, column (pixels of `size`), value.
    size : (H, W)
    """

    rows: NDArray[np.floating]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the image that the rows lie in."""
        return self.size

    def to_dense(self) -> FloatMap:
        """Return the rows at their truncated positions, (H, W), the last of several."""
        image = np.full(self.size, np.nan)
        inside = (self.rows[:, :2] >= 0).all(1) & (self.rows[:, :2] < self.size).all(1)
        row, column = self.rows[inside, :2].astype(np.int64).T
        image[row, column] = self.rows[inside, 2]
        return image


@dataclass(frozen=True, eq=False)
class PixelTruth:
    """Sparse truth at whole pixels; as an array it is the image, NaN where there is none.

    Parameters
    ----------
    at : (N,) int64
        Flat (row-major) indices, ascending.
    values : (N,) float
    size : (H, W)
    """

    at: NDArray[np.int64]
    values: NDArray[np.floating]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the image."""
        return self.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        image = np.full(self.size, np.nan, self.values.dtype)
        image.reshape(-1)[self.at] = self.values
        return image if dtype is None else image.astype(dtype, copy=False)


Truth = NDArray[Any] | PointTruth | PixelTruth


def stereo_geometry(
    seq: Sequence, camera: str, frame: int, scale: float = 1.0
) -> StereoGeometry | None:
    """Return the geometry of the rectified pair whose left camera is `camera`, or None.

    With `scale`, for images that are that many times as wide as the stored ones.
    """
    if all(pair.left != camera for pair in seq.stereo_pairs):
        return None
    stored = seq.stereo_geometry(camera, frame)
    return StereoGeometry(stored.fx * scale, stored.baseline, stored.offset * scale)


def lidar_stream(seq: Sequence, camera: str) -> str:
    """Return the name of the camera's measured depth: the stream that is points, else ``depth``."""
    cam = seq.cameras[camera]
    for name in ("depth", "lidar_depth"):
        if name in cam.streams and cam[name].kind == "points":
            return name
    return "depth"


def measured_depth(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return the measured depth z (m) at the nearest pixels; of several points the nearest."""
    stream = seq.cameras[camera][lidar_stream(seq, camera)]
    return np.asarray(stream[frame], np.float64)


def eigen(seq: Sequence, camera: str, frame: int, first: int) -> PixelTruth:
    """Return the published Eigen map (lidar x, m, float32) with all its conventions."""
    cam = seq.cameras[camera]
    stream = cam[lidar_stream(seq, camera)]
    projection = stream.attrs.get("projection")
    if stream.kind != "points" or projection is None:
        raise UsageError(
            f"{seq.path}: camera {camera!r} has no lidar points with their sensor coordinates; "
            "the Eigen truth needs them (protocol kitti_raw/lidar works with any depth)"
        )
    size = (cam.height, cam.width)
    at, values = eigen_depth_pixels(
        stream.points(frame), np.asarray(projection, np.float64), size, value="sensor_x"
    )
    return PixelTruth(at, values.astype(np.float32), size)


def annotated_depth(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return KITTI's accumulated depth (m), NaN where there is none."""
    return np.asarray(seq.cameras[camera]["depth_annotated"][frame], np.float64)


CROP_SIZE = (256, 512)


def annotated_crop(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return KITTI's accumulated depth as inverse depth (1/m, float32; 0: none) at 256 x 512."""
    depth = np.asarray(seq.cameras[camera]["depth_annotated"][frame])
    return AspectCrop((depth.shape[0], depth.shape[1]), CROP_SIZE).scatter(depth)


def dynamo_rows(seq: Sequence, camera: str, frame: int, first: int) -> PointTruth:
    """Return Dynamo-Depth's rows (row, column, depth) of a frame."""
    from depthdata.loading.dynamo_depth_rules import rules_of

    cam = seq.cameras[camera]
    rows = rules_of(seq, camera).depth(cam, frame)
    return PointTruth(rows, (cam.height, cam.width))


def dynamo_motion(seq: Sequence, camera: str, frame: int, first: int) -> NDArray[np.uint8]:
    """Return Dynamo-Depth's labels of motion: 0 background, 1 moves, 2 could move, 3 unknown."""
    from depthdata.loading.dynamo_depth_rules import rules_of

    return rules_of(seq, camera).masks(seq.cameras[camera], frame)[1]


def moving(seq: Sequence, camera: str, frame: int, first: int) -> NDArray[np.uint8]:
    """Return labels of motion from the mask of moving objects: 0, 1 moves, 3 unknown."""
    mask = np.asarray(seq.cameras[camera]["masks/moving"].raw(frame))
    return np.where(mask == 255, 3, mask != 0).astype(np.uint8)


def disparity_stream(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return the stored disparity (px)."""
    return np.asarray(seq.cameras[camera]["disparity"][frame], np.float64)


def disparity(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return the stored disparity (px), or the one that follows from the depth."""
    if _present(seq, camera, "disparity", frame):
        return disparity_stream(seq, camera, frame, first)
    geometry = stereo_geometry(seq, camera, frame)
    if geometry is None:
        raise UsageError(
            f"{seq.path}: camera {camera!r} has neither disparity nor a stereo pair to derive it "
            "from depth; evaluate a depth protocol instead"
        )
    name = "depth" if _present(seq, camera, "depth", frame) else "lidar_depth"
    return geometry.disparity(np.asarray(seq.cameras[camera][name][frame], np.float64))


def disparity_seen(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return the stored disparity where the occlusion mask says that the other view sees it."""
    cam = seq.cameras[camera]
    values = disparity_stream(seq, camera, frame, first)
    if "masks/occluded" not in cam.streams or not cam["masks/occluded"].present[frame]:
        raise UsageError(
            f"{seq.path}: camera {camera!r} has no masks/occluded at frame {frame}, which this "
            "protocol needs; protocol stereo/epe takes every pixel with truth"
        )
    return np.where(np.asarray(cam["masks/occluded"].raw(frame)) == 0, values, np.nan)


def disparity_first_frame(seq: Sequence, camera: str, frame: int, first: int) -> FloatMap:
    """Return the disparity (px) from depth by the calibration of the clip's first frame.

    The principal points do not enter; depth below 1e-5 m gives no disparity. Where no depth is
    stored, the stored disparity.
    """
    cam = seq.cameras[camera]
    if "depth" not in cam.streams:
        return disparity_stream(seq, camera, frame, first)
    geometry = stereo_geometry(seq, camera, first)
    if geometry is None:
        raise UsageError(
            f"{seq.path}: camera {camera!r} is not the left one of a stereo pair; this protocol "
            "derives disparity from the depth of a pair"
        )
    depth = np.asarray(cam["depth"][frame])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(depth >= 1e-5, np.float64(geometry.fx * geometry.baseline) / depth, np.nan)


def _present(seq: Sequence, camera: str, stream: str, frame: int) -> bool:
    cam = seq.cameras[camera]
    return stream in cam.streams and bool(cam[stream].present[frame])


Rule = Callable[["Sequence", str, int, int], Truth]

_DEPTH = ("depth", "lidar_depth")
RULES: Mapping[str, tuple[Rule, tuple[str, ...]]] = {
    "lidar_depth": (measured_depth, _DEPTH),
    "measured_depth": (measured_depth, _DEPTH),
    "eigen": (eigen, _DEPTH),
    "annotated_depth": (annotated_depth, ("depth_annotated",)),
    "annotated_crop": (annotated_crop, ("depth_annotated",)),
    "dynamo_rows": (dynamo_rows, ("depth_undistorted", "depth")),
    "dynamo_motion": (dynamo_motion, ("motion_labels", "masks/moving")),
    "moving": (moving, ("masks/moving",)),
    "disparity_stream": (disparity_stream, ("disparity",)),
    "disparity": (disparity, ("disparity", *_DEPTH)),
    "disparity_seen": (disparity_seen, ("disparity",)),
    "disparity_first_frame": (disparity_first_frame, ("depth", "disparity")),
}
"""Rule by name, with the streams any of which it can start from."""

_LIDAR_RULES = ("lidar_depth", "measured_depth", "eigen")
_FIRST_OF = ("dynamo_rows", "dynamo_motion")


def truth_map(rule: str, seq: Sequence, camera: str, frame: int, first: int | None = None) -> Truth:
    """Return the truth of a frame by the rule of that name.

    Parameters
    ----------
    rule : str
        One of `RULES`.
    first : int, optional
        First frame of the clip that the frame is in; itself when not given.
    """
    return RULES[rule][0](seq, camera, frame, frame if first is None else first)


def frames_with_truth(rule: str, seq: Sequence, camera: str) -> NDArray[np.bool_]:
    """Return (T,) bool: the frames for which the rule has something to start from."""
    found = np.zeros(len(seq), bool)
    cam: Any = seq.cameras.get(camera)
    if cam is None:
        return found
    names = tuple(name for name in RULES[rule][1] if name in cam.streams)
    if rule in _LIDAR_RULES:
        names = tuple({lidar_stream(seq, camera)} & set(cam.streams))
    elif rule in _FIRST_OF:
        names = names[:1]
    for name in names:
        found |= np.asarray(cam[name].present, bool)
    return found
