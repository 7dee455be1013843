"""Ground truth of one frame, derived from what a sequence file stores.

Each rule takes ``(sequence, camera name, frame)`` and returns (H,W) floats, NaN where there is no
truth; `RULES` names them for the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthdata.lidar import eigen_depth_map
from depthdata.sequence import StereoGeometry

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = ["RULES", "StereoGeometry", "frames_with_truth", "stereo_geometry", "truth_map"]

FloatMap = NDArray[np.floating]


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


def lidar_depth(seq: Sequence, camera: str, frame: int) -> FloatMap:
    """Return the measured depth z (m) at the nearest pixels; of several points the nearest."""
    stream = seq.cameras[camera][lidar_stream(seq, camera)]
    return np.asarray(stream[frame], np.float64)


def eigen(seq: Sequence, camera: str, frame: int) -> FloatMap:
    """Return the published Eigen map (lidar x, m, float32) with all its conventions."""
    cam = seq.cameras[camera]
    stream = cam[lidar_stream(seq, camera)]
    projection = stream.attrs.get("projection")
    if stream.kind != "points" or projection is None:
        raise UsageError(
            f"{seq.path}: camera {camera!r} has no lidar points with their sensor coordinates; "
            "the Eigen truth needs them (protocol kitti_raw/lidar works with any depth)"
        )
    values = eigen_depth_map(
        stream.points(frame),
        np.asarray(projection, np.float64),
        (cam.height, cam.width),
        value="sensor_x",
    ).astype(np.float32)
    return np.where(values > 0, values, np.float32(np.nan))


def disparity_stream(seq: Sequence, camera: str, frame: int) -> FloatMap:
    """Return the stored disparity (px)."""
    return np.asarray(seq.cameras[camera]["disparity"][frame], np.float64)


def disparity(seq: Sequence, camera: str, frame: int) -> FloatMap:
    """Return the stored disparity (px), or the one that follows from the depth."""
    if _present(seq, camera, "disparity", frame):
        return disparity_stream(seq, camera, frame)
    geometry = stereo_geometry(seq, camera, frame)
    if geometry is None:
        raise UsageError(
            f"{seq.path}: camera {camera!r} has neither disparity nor a stereo pair to derive it "
            "from depth; evaluate a depth protocol instead"
        )
    name = "depth" if _present(seq, camera, "depth", frame) else "lidar_depth"
    return geometry.disparity(np.asarray(seq.cameras[camera][name][frame], np.float64))


def _present(seq: Sequence, camera: str, stream: str, frame: int) -> bool:
    cam = seq.cameras[camera]
    return stream in cam.streams and bool(cam[stream].present[frame])


Rule = Callable[["Sequence", str, int], FloatMap]

RULES: Mapping[str, tuple[Rule, tuple[str, ...]]] = {
    "lidar_depth": (lidar_depth, ("depth", "lidar_depth")),
    "eigen": (eigen, ("depth", "lidar_depth")),
    "disparity_stream": (disparity_stream, ("disparity",)),
    "disparity": (disparity, ("disparity", "depth", "lidar_depth")),
}
"""Rule by name, with the streams any of which it can start from."""

_LIDAR_RULES = ("lidar_depth", "eigen")


def truth_map(rule: str, seq: Sequence, camera: str, frame: int) -> FloatMap:
    """Return the truth (H,W), NaN where there is none, by the rule of that name."""
    return RULES[rule][0](seq, camera, frame)


def frames_with_truth(rule: str, seq: Sequence, camera: str) -> NDArray[np.bool_]:
    """Return (T,) bool: the frames for which the rule has something to start from."""
    found = np.zeros(len(seq), bool)
    cam: Any = seq.cameras.get(camera)
    if cam is not None:
        names = RULES[rule][1]
        if rule in _LIDAR_RULES:
            names = (lidar_stream(seq, camera),)
        for name in names:
            if name in cam.streams:
                found |= np.asarray(cam[name].present, bool)
    return found
