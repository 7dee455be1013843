"""What Dynamo-Depth's preparation makes of a nuScenes scene (preset ``dynamo_depth``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image
from depthdata.codecs.prepared_images import area_jpeg
from depthdata.sources.files import write_made
from depthdata.sources.nuscenes_points import project

if TYPE_CHECKING:
    from depthdata.sequence import Camera, CameraWriter

__all__ = [
    "camera_facts",
    "depth_rows",
    "kept_points",
    "milliseconds",
    "odometry_lines",
    "small_size",
    "write_small_pictures",
]

_REDUCED = 3.125
_NEAREST = 1.0
_BORDER = 1.0

Floats = npt.NDArray[np.float64]


def small_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of the prepared pictures.

    >>> small_size(900, 1600)
    (288, 512)
    """
    return int(height / _REDUCED), int(width / _REDUCED)


def write_small_pictures(
    camera: CameraWriter, jpegs: Iterable[bytes], frame_index: Sequence[int]
) -> None:
    """Write the stream ``rgb_<h>x<w>`` of a camera."""
    size = small_size(camera.height, camera.width)
    write_made(
        camera,
        f"rgb_{size[0]}x{size[1]}",
        (area_jpeg(decode_image(jpeg), size) for jpeg in jpegs),
        encoding="jpeg",
        frame_index=frame_index,
        derived_from="rgb",
        provenance="preset dynamo_depth: OpenCV area, JPEG quality 95",
    )


def kept_points(u: Floats, v: Floats, z: Floats, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Tell which projected points the preparation keeps."""
    height, width = size
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (z > _NEAREST)
            & (u > _BORDER)
            & (u < width - _BORDER)
            & (v > _BORDER)
            & (v < height - _BORDER)
        )


def depth_rows(camera: Camera, t: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the prepared ``.npy`` of a frame from a sequence file: rows (u, v, camera z).

    In float64 throughout, which differs from the published rounding by up to 0.02 px and 1e-3 m.

    Returns
    -------
    rows : (N, 3) float64
    kept : (M,) bool
        Which points of the streams ``depth`` and ``panoptic`` they are.
    """
    stream = camera["depth"]
    which = int(np.searchsorted(stream.frames, t))
    points = stream.points(t)
    u, v, z = project(np.asarray(stream.attrs["projections"][which]), points.sensor)
    kept = kept_points(u, v, z, (camera.height, camera.width))
    return np.stack([u, v, z], axis=1)[kept], kept


def milliseconds(timestamps: npt.NDArray[np.int64]) -> list[int]:
    """Return ``ts.json``: steps between pictures (ns), rounded half to even, wrapped at 256.

    >>> milliseconds(np.array([0, 100_500_000, 500_500_000]))
    [100, 144]
    """
    steps = np.rint(np.diff(np.asarray(timestamps) // 1000) / 1000)
    return [int(step) for step in steps.astype(np.int64).astype(np.uint8)]


def camera_facts(
    intrinsics: Floats, mount: Sequence[float], size: tuple[int, int]
) -> dict[str, Any]:
    """Return ``cam.json``; `mount` is rotation w x y z and translation, camera to vehicle."""
    height, width = size
    normalised = np.array(intrinsics, np.float64)
    normalised[0] /= width
    normalised[1] /= height
    return {
        "camera_intrinsic": np.asarray(intrinsics).tolist(),
        "translation": list(mount[4:]),
        "rotation": list(mount[:4]),
        "dim": [height, width],
        "intrinsic_mat": normalised.tolist(),
    }


def odometry_lines(ego_poses: npt.ArrayLike) -> list[str]:
    """Return the lines of ``odometry.txt`` from poses (T, 7): vehicle to world, row by row.

    Rotations by pyquaternion, as published: the text is the same to the last digit.
    """
    from pyquaternion import Quaternion

    lines = []
    for pose in np.asarray(ego_poses, np.float64):
        T = Quaternion(pose[:4]).transformation_matrix
        T[:3, 3] = pose[4:]
        lines.append(" ".join(map(str, T.ravel().tolist())))
    return lines
