"""Labels of the synthetic Waymo segment: 3-D boxes, boxes in images, projected boxes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.codecs.waymo_camera import world_to_image
from depthdata.codecs.waymo_frame import Box, CameraCalibration, CameraLabel, LaserLabel
from depthdata.geometry import se3_inverse
from depthdata.synthetic.layouts.waymo_content import Picture, Sweep
from depthdata.synthetic.layouts.waymo_rig import GLOBAL, TOP, VehicleRig

__all__ = ["CAMERA_NAMES", "camera_labels", "laser_labels", "object_id", "projected_labels"]

Float = npt.NDArray[np.float64]

CAMERA_NAMES = {1: "FRONT", 2: "FRONT_LEFT", 3: "FRONT_RIGHT", 4: "SIDE_LEFT", 5: "SIDE_RIGHT"}

_TYPES = {"car": 1, "van": 1, "pedestrian": 2}
_FARTHEST = 75.0  # metres; objects beyond have no label
_LEAST = 12  # pixels of a 2-D label


def object_id(seed: int, number: int) -> str:
    """Text that names an object of a scene through the segment; 22 letters, as real ones.

    >>> len(object_id(0, 1))
    22
    """
    digest = xxhash.xxh3_128_digest(f"street {seed}, object {number}".encode())
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def laser_labels(
    rig: VehicleRig,
    t: int,
    pictures: Mapping[int, Picture],
    sweeps: Mapping[int, Sweep],
    cameras: Mapping[int, CameraCalibration],
) -> list[LaserLabel]:
    """3-D boxes of frame t, by object number; boxes are upright, as the source's are."""
    T_vehicle_world = se3_inverse(rig.T_world_vehicle(float(rig.scene.times[t])))
    labels = []
    for body in rig.scene.bodies[1:]:
        seconds = float(rig.scene.times[t])
        box = _box(T_vehicle_world @ body.path.pose(seconds), body.size)
        if np.linalg.norm(box.centre) > _FARTHEST:
            continue
        step = 0.05
        speeds = [GLOBAL[:3, :3] @ body.path.velocity(seconds + s) for s in (-step, 0, step)]
        centre = (GLOBAL @ body.path.pose(seconds))[:3, 3]
        best = _most_visible(centre, pictures, cameras)
        synced = None
        if best:
            moment = rig.camera_seconds(t, cameras[best])
            synced = _box(T_vehicle_world @ body.path.pose(moment), body.size)
        counts = {n: int((s.body == body.id).sum()) for n, s in sweeps.items()}
        labels.append(
            LaserLabel(
                id=object_id(rig.scene.seed, body.id),
                type=_TYPES[body.category],
                box=box,
                speed=speeds[1],
                acceleration=(speeds[2] - speeds[0]) / (2 * step),
                synced_box=synced,
                most_visible_camera=CAMERA_NAMES[best] if best else "",
                points=sum(counts.values()),
                top_points=counts.get(TOP, 0),
                detection_difficulty=0 if counts.get(TOP, 0) > 5 else 2,
                tracking_difficulty=0,
            )
        )
    return labels


def camera_labels(rig: VehicleRig, picture: Picture) -> list[CameraLabel]:
    """Boxes around what is seen of the objects in a picture; ids of their own."""
    labels = []
    for body in rig.scene.bodies[1:]:
        rows, columns = np.nonzero(picture.instances == body.id)
        if len(rows) < _LEAST:
            continue
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
        person = body.category == "pedestrian"
        labels.append(
            CameraLabel(
                id=object_id(rig.scene.seed, 1000 * picture.name + body.id),
                type=_TYPES[body.category],
                centre=((low[0] + high[0]) / 2, (low[1] + high[1]) / 2),
                size=(float(high[0] - low[0]), float(high[1] - low[1])),
                laser_object_id=object_id(rig.scene.seed, body.id) if person else "",
                detection_difficulty=0,
                tracking_difficulty=0,
            )
        )
    return labels


def projected_labels(
    labels: Iterable[LaserLabel],
    T_global_vehicle: Float,
    camera: CameraCalibration,
    picture: Picture,
) -> list[CameraLabel]:
    """Rectangles around the corners of the 3-D boxes in an image, cut at its borders."""
    out = []
    for label in labels:
        corners = _corners(label.box) @ T_global_vehicle[:3, :3].T + T_global_vehicle[:3, 3]
        uv, valid = world_to_image(camera, picture.shutter, corners)
        low = np.clip(uv.min(0), 0, [camera.width, camera.height])
        high = np.clip(uv.max(0), 0, [camera.width, camera.height])
        if not valid.all() or not (high - low > 0).all():
            continue
        middle, size = (low + high) / 2, high - low
        out.append(
            CameraLabel(
                id=f"{label.id}_{CAMERA_NAMES[camera.name]}",
                type=label.type,
                centre=(float(middle[0]), float(middle[1])),
                size=(float(size[0]), float(size[1])),
                laser_object_id="",
                detection_difficulty=0,
                tracking_difficulty=0,
            )
        )
    return out


def _box(T_vehicle_box: Float, size: Float) -> Box:
    heading = float(np.arctan2(T_vehicle_box[1, 0], T_vehicle_box[0, 0]))
    return Box(T_vehicle_box[:3, 3].copy(), size.copy(), heading)


def _corners(box: Box) -> Float:
    """Corners (8, 3): the lower four, then the upper four."""
    c, s = np.cos(box.heading), np.sin(box.heading)
    length, width, height = box.size / 2
    x, y = np.array([[length, width], [-length, width], [-length, -width], [length, -width]]).T
    flat = np.stack([c * x - s * y, s * x + c * y], 1)
    corners = [np.column_stack([flat, np.full(4, z)]) for z in (-height, height)]
    return np.concatenate(corners) + box.centre


def _most_visible(
    centre: Float, pictures: Mapping[int, Picture], cameras: Mapping[int, CameraCalibration]
) -> int:
    """Camera that has a global point nearest to its middle, 0 where none has it in view."""
    best, least = 0, np.inf
    for number, picture in pictures.items():
        camera = cameras[number]
        (uv,), (valid,) = world_to_image(camera, picture.shutter, centre[None])
        size = np.array([camera.width, camera.height])
        off = float(np.abs(uv / size - 0.5).max())
        if valid and off < min(least, 0.5):
            best, least = number, off
    return best
