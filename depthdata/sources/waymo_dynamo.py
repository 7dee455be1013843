"""What Dynamo-Depth's preparation makes of a Waymo segment (preset ``dynamo_depth``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.prepared_images import area_jpeg
from depthdata.codecs.waymo_frame import T_CAMERA_OPTICAL, CameraCalibration, LaserLabel
from depthdata.codecs.waymo_range_image import LaserReturn
from depthdata.errors import FormatError
from depthdata.sources.files import write_made
from depthdata.sources.waymo_motion import Labels, match_instances

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, Points
    from depthdata.sequence.camera_writer import PointsSink

__all__ = [
    "SMALL_FACTOR",
    "depth_rows",
    "instance_records",
    "open_undistorted",
    "prepared_points",
    "small_picture",
    "undistorted_picture",
    "write_small_pictures",
]

SMALL_FACTOR = 4
_EDGE = 0.5


def small_picture(jpeg: bytes, calibration: CameraCalibration) -> bytes:
    """Return the prepared JPEG: fast-DCT decoding, OpenCV undistort, area reduction, quality 95.

    TensorFlow decodes JPEG with the fast integer cosine transform; that is what makes the
    published bytes.
    """
    import simplejpeg

    try:
        image = simplejpeg.decode_jpeg(jpeg, colorspace="RGB", fastdct=True, fastupsample=False)
    except ValueError as error:
        raise FormatError(f"JPEG: {len(jpeg)} bytes that do not decode: {error}") from error
    straight = undistorted_picture(image, calibration)
    height, width = straight.shape[:2]
    return area_jpeg(straight, (height // SMALL_FACTOR, width // SMALL_FACTOR))


def undistorted_picture(
    image: npt.NDArray[np.uint8], calibration: CameraCalibration
) -> npt.NDArray[np.uint8]:
    """Undistort with OpenCV, the new camera matrix being the old one; black where nothing is seen.

    The source's principal point is used as it stands: half a pixel is ignored, as published.
    """
    import cv2

    straight = cv2.undistort(image, _matrix(calibration), calibration.intrinsic[4:])
    return np.asarray(straight, np.uint8)


def write_small_pictures(
    camera: CameraWriter,
    jpegs: Iterable[bytes],
    calibration: CameraCalibration,
    frames: list[int],
) -> None:
    """Write the stream ``rgb_<h>x<w>`` of a camera."""
    height, width = calibration.height // SMALL_FACTOR, calibration.width // SMALL_FACTOR
    write_made(
        camera,
        f"rgb_{height}x{width}",
        (small_picture(jpeg, calibration) for jpeg in jpegs),
        encoding="jpeg",
        frame_index=frames,
        derived_from="rgb",
        undistorted=True,
        provenance="preset dynamo_depth: OpenCV undistort, area, JPEG quality 95",
    )


def depth_rows(
    points: npt.NDArray[np.floating], calibration: CameraCalibration
) -> npt.NDArray[np.float64]:
    """Return the prepared depth of a frame: (u, v, camera z), float64 (N, 3).

    Parameters
    ----------
    points : (N, 3)
        First returns of all lidars in the vehicle frame.
    calibration : CameraCalibration
        The pinhole without distortion, matching undistorted pictures.
    """
    E = np.linalg.inv(calibration.T_vehicle_camera @ T_CAMERA_OPTICAL)
    camera = points @ E[:3, :3].T + E[:3, 3]
    q = camera @ _matrix(calibration).T
    q = q[q[:, 2] > 0]
    u, v = q[:, 0] / q[:, 2], q[:, 1] / q[:, 2]
    inside = (u >= 0) & (u < calibration.width) & (v >= 0) & (v < calibration.height)
    rows: npt.NDArray[np.float64] = np.stack([u, v, q[:, 2]], axis=-1)[inside]
    return rows


def instance_records(
    classes: Labels,
    instances: Labels,
    camera: int,
    returns: list[LaserReturn],
    labels: list[LaserLabel],
) -> list[dict[str, Any]]:
    """Return the prepared list of objects of an image, in its published order.

    The arguments are those of `waymo_motion.match_instances`. The reference adds 1 to what it
    stores as bytes: where the largest instance of the image is exactly 255, its pixels get lost.

    Returns
    -------
    list of dict
        ``contours`` (OpenCV points, tree, simple chains), ``mask_label``, ``speed``, ``accel``,
        ``center``, ``dim``, ``heading``, ``box_label`` and ``match`` of every instance number of
        every movable class, absent ones included.
    """
    import cv2

    if instances.max(initial=0) == 255:
        classes = np.where(instances == 255, np.uint16(0), classes)
    records = []
    for found in match_instances(classes, instances, camera, returns, labels):
        here = (classes == found.category) & (instances == found.instance)
        contours, _ = cv2.findContours(
            here.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
        )
        label, box = found.label, None if found.label is None else found.label.synced_box
        records.append(
            {
                "contours": [contour[:, 0] for contour in contours],
                "mask_label": found.category,
                "speed": _three(None if label is None else label.speed, label),
                "accel": _three(None if label is None else label.acceleration, label),
                "center": _three(None if box is None else box.centre, None),
                "dim": _three(None if box is None else box.size, None),
                "heading": None if box is None else box.heading,
                "box_label": None if label is None else label.type,
                "match": found.share,
            }
        )
    return records


def _three(values: npt.NDArray[np.float64] | None, label: LaserLabel | None) -> list[float | None]:
    if values is not None:
        return [float(value) for value in values]
    return [None, None, None] if label is None else [0.0, 0.0, 0.0]


def open_undistorted(camera: CameraWriter, frames: list[int]) -> PointsSink:
    """Begin the stream of the prepared depth."""
    return camera.open_points(
        "depth_undistorted",
        frame_index=frames,
        unit="m",
        quantity="depth",
        image="undistorted, with the stored intrinsics",
        undistorted=True,
        provenance="preset dynamo_depth: first returns of all lidars, pinhole projection",
    )


def prepared_points(rows: list[npt.NDArray[np.float64]]) -> Points:
    """Return the prepared depth of a frame, by lidar, as points; pixel centres at integers."""
    from depthdata.sequence import Points

    every = np.concatenate([np.empty((0, 3)), *rows])
    return Points(
        kind="subpixel", x=every[:, 0] - _EDGE, y=every[:, 1] - _EDGE, value=every[:, 2].copy()
    )


def _matrix(calibration: CameraCalibration) -> npt.NDArray[np.float64]:
    f_u, f_v, c_u, c_v = calibration.intrinsic[:4]
    return np.array([[f_u, 0, c_u], [0, f_v, c_v], [0, 0, 1.0]])
