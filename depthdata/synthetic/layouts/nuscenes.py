"""A scene as nuScenes publishes its data: tables, pictures of six cameras, scans, panoptic labels.

Every sensor has its own clock, as on the real car: cameras at 12 Hz one after another, the lidar at
20 Hz, key frames at 2 Hz.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import simplejpeg
import xxhash

from depthdata.codecs.colmap import quaternion_from_rotation
from depthdata.codecs.images import encode_png
from depthdata.codecs.nuscenes_lidar import DIVISOR, encode_panoptic, encode_scan
from depthdata.errors import UsageError
from depthdata.synthetic.layouts.nuscenes_scene import (
    CAMERAS,
    LIDAR,
    STEPS_PER_KEY,
    STEPS_PER_PICTURE,
    STEPS_PER_SCAN,
    T_GLOBAL_WORLD,
    Label,
    SurroundScene,
)

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["CATEGORIES", "write"]

Float = npt.NDArray[np.float64]
Row = dict[str, Any]

CATEGORIES = {
    "noise": 0,
    "animal": 1,
    "human.pedestrian.adult": 2,
    "vehicle.bus.rigid": 16,
    "vehicle.car": 17,
    "vehicle.truck": 23,
    "flat.driveable_surface": 24,
    "static.manmade": 28,
    "vehicle.ego": 31,
}
"""Categories and their numbers in panoptic labels."""

_OF_BODY = {"car": "vehicle.car", "van": "vehicle.truck", "pedestrian": "human.pedestrian.adult"}
_ATTRIBUTES = ("vehicle.moving", "vehicle.parked", "pedestrian.moving", "pedestrian.standing")
_LOG = "n015-2018-07-24-11-22-45+0800"
_FULL = 255


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    version: str = "v1.0-mini",
    name: str = "scene-0061",
    panoptic: bool = True,
    annotations: bool = True,
) -> Path:
    """Write the scene, seen by the six cameras of a surround rig, below `root`.

    Parameters
    ----------
    scene : SyntheticScene
        Of `scene.frames` pictures of each camera; `SurroundScene.of` gives the one that is written.
    root : Path
        The data root: gets ``<version>``, ``samples``, ``sweeps``, ``maps``, ``panoptic``.
    version : str
        Name of the folder of the tables.
    name : str
        Of the scene.
    panoptic : bool
        With the nuScenes-panoptic add-on.
    annotations : bool
        With boxes; False as in v1.0-test.

    Returns
    -------
    Path
        `root`.
    """
    if not version.startswith("v1.0-"):
        raise UsageError(f"version should be v1.0-mini, v1.0-trainval ..., found {version!r}")
    return _Layout(SurroundScene.of(scene), root, version, name).write(panoptic, annotations)


class _Layout:
    """Collects the rows of all tables while files are written."""

    def __init__(self, scene: SurroundScene, root: Path, version: str, name: str) -> None:
        self._scene, self._root, self._version, self._name = scene, root, version, name
        self._tables: dict[str, list[Row]] = {}
        self._keys = [
            (k, k * STEPS_PER_KEY)
            for k in range(-(-scene.pictures * STEPS_PER_PICTURE // STEPS_PER_KEY))
        ]

    def write(self, panoptic: bool, annotations: bool) -> Path:
        """Write everything."""
        self._vocabulary(panoptic)
        self._scenes()
        for channel in CAMERAS:
            self._records(channel, self._scene.steps(channel), "jpg")
        self._records(LIDAR, self._scene.steps(LIDAR), "pcd.bin")
        found = self._scans()
        self._boxes(found, annotations)
        if panoptic and annotations:
            self._panoptic(found)
        for table, rows in self._tables.items():
            path = self._root / self._version / f"{table}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows, indent=0), encoding="ascii")
        return self._root

    def _token(self, *parts: object) -> str:
        return str(xxhash.xxh3_128_hexdigest(" ".join(map(str, (self._name, *parts))).encode()))

    def _add(self, table: str, **fields: Any) -> None:
        self._tables.setdefault(table, []).append(fields)

    def _file(self, name: str, data: bytes) -> str:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def _microseconds(self, step: int) -> int:
        return int(self._scene.timestamps[step]) // 1000

    def _vocabulary(self, panoptic: bool) -> None:
        for name, index in CATEGORIES.items():
            more = {"index": index} if panoptic else {}
            self._add("category", token=self._token(name), name=name, description="", **more)
        for name in _ATTRIBUTES:
            self._add("attribute", token=self._token(name), name=name, description="")
        for k, level in enumerate(("v0-40", "v40-60", "v60-80", "v80-100"), start=1):
            self._add("visibility", description="", token=str(k), level=level)
        for channel in (*CAMERAS, LIDAR):
            camera = channel != LIDAR
            self._add(
                "sensor",
                token=self._token("sensor", channel),
                channel=channel,
                modality="camera" if camera else "lidar",
            )
            self._add(
                "calibrated_sensor",
                token=self._token("calibrated", channel),
                sensor_token=self._token("sensor", channel),
                **_pose(self._scene.T_ego_sensor(channel)),
                camera_intrinsic=self._scene.intrinsics.tolist() if camera else [],
            )

    def _scenes(self) -> None:
        log, image = self._token("log"), self._token("map")
        self._add(
            "log",
            token=log,
            logfile=_LOG,
            vehicle=_LOG[:4],
            date_captured=_LOG[5:15],
            location="singapore-onenorth",
        )
        self._file(f"maps/{image}.png", encode_png(np.zeros((8, 8), np.uint8)))
        self._add(
            "map",
            token=image,
            log_tokens=[log],
            category="semantic_prior",
            filename=f"maps/{image}.png",
        )
        self._add(
            "scene",
            token=self._token("scene"),
            log_token=log,
            nbr_samples=len(self._keys),
            first_sample_token=self._sample(0),
            last_sample_token=self._sample(len(self._keys) - 1),
            name=self._name,
            description="Synthetic street",
        )
        for k, step in self._keys:
            self._add(
                "sample",
                token=self._sample(k),
                timestamp=self._microseconds(step),
                prev=self._sample(k - 1),
                next=self._sample(k + 1),
                scene_token=self._token("scene"),
            )

    def _sample(self, k: int) -> str:
        return self._token("sample", k) if 0 <= k < len(self._keys) else ""

    def _records(self, channel: str, steps: list[int], suffix: str) -> None:
        """Write the rows of a sensor and, of a camera, its pictures."""
        scene = self._scene
        for i, step in enumerate(steps):
            token, key = self._token(channel, step), step // STEPS_PER_KEY
            is_key = step == scene.key_step(channel, key)
            folder = "samples" if is_key else "sweeps"
            name = f"{folder}/{channel}/{_LOG}__{channel}__{self._microseconds(step)}.{suffix}"
            if channel != LIDAR:
                picture = np.ascontiguousarray(scene.photograph(step, channel))
                self._file(name, simplejpeg.encode_jpeg(picture, quality=95))
            height, width = (0, 0) if channel == LIDAR else (scene.height, scene.width)
            self._add(
                "sample_data",
                token=token,
                sample_token=self._sample(key),
                ego_pose_token=token,
                calibrated_sensor_token=self._token("calibrated", channel),
                timestamp=self._microseconds(step),
                fileformat=suffix.partition(".")[0],
                is_key_frame=is_key,
                height=height,
                width=width,
                filename=name,
                prev=self._token(channel, steps[i - 1]) if i else "",
                next=self._token(channel, steps[i + 1]) if i + 1 < len(steps) else "",
            )
            self._add(
                "ego_pose",
                token=token,
                timestamp=self._microseconds(step),
                **_pose(scene.T_global_ego(step)),
            )

    def _scans(self) -> dict[int, Label]:
        """Write all scans; return what the points of key frames are."""
        names = {
            row["token"]: row["filename"]
            for row in self._tables["sample_data"]
            if row["filename"].endswith(".pcd.bin")
        }
        labels = {}
        for step in self._scene.steps(LIDAR):
            points, label = self._scene.scan(step)
            points[:, 3] = np.round(points[:, 3] * _FULL)
            self._file(names[self._token(LIDAR, step)], encode_scan(points))
            if step % STEPS_PER_KEY == 0:
                labels[step // STEPS_PER_KEY] = label
        return labels

    def _boxes(self, found: dict[int, Label], annotations: bool) -> None:
        """Write the boxes of all bodies at every key frame."""
        self._tables["instance"], self._tables["sample_annotation"] = [], []
        if not annotations:
            return
        last = len(self._keys) - 1
        for body in self._scene.bodies[1:]:
            category = _OF_BODY[body.category]
            kind = category.partition(".")[0].replace("human", "pedestrian")
            still = "standing" if kind == "pedestrian" else "parked"
            attribute = f"{kind}.{'moving' if body.path.moving else still}"
            tokens = ["", *(self._token("box", body.id, k) for k, _ in self._keys), ""]
            self._add(
                "instance",
                token=self._token("instance", body.id),
                category_token=self._token(category),
                nbr_annotations=last + 1,
                first_annotation_token=tokens[1],
                last_annotation_token=tokens[-2],
            )
            length, width, height = body.size.tolist()
            for k, step in self._keys:
                self._add(
                    "sample_annotation",
                    token=tokens[k + 1],
                    sample_token=self._sample(k),
                    instance_token=self._token("instance", body.id),
                    visibility_token="4",
                    attribute_tokens=[self._token(attribute)],
                    size=[width, length, height],
                    **_pose(T_GLOBAL_WORLD @ self._scene.body_poses(step)[body.id]),
                    prev=tokens[k],
                    next=tokens[k + 2],
                    num_lidar_pts=int((found[k].body == body.id).sum()),
                    num_radar_pts=0,
                )

    def _panoptic(self, found: dict[int, Label]) -> None:
        numbers = [0] * len(self._scene.bodies)
        for body in self._scene.bodies[1:]:
            numbers[body.id] = CATEGORIES[_OF_BODY[body.category]] * DIVISOR + body.id
        for k, step in self._keys:
            token = self._token(LIDAR, step)
            label = found[k]
            stuff = np.where(
                label.on_road, CATEGORIES["flat.driveable_surface"], CATEGORIES["static.manmade"]
            )
            values = np.where(label.body > 0, np.array(numbers)[label.body], stuff * DIVISOR)
            name = f"panoptic/{self._version}/{token}_panoptic.npz"
            self._file(name, encode_panoptic(values.astype(np.uint16)))
            self._add("panoptic", token=token, sample_data_token=token, filename=name)


def _pose(T: Float) -> dict[str, list[float]]:
    """Return the fields ``rotation`` and ``translation`` of a transform."""
    return {
        "rotation": [float(x) for x in quaternion_from_rotation(T[:3, :3])],
        "translation": [float(x) for x in T[:3, 3]],
    }


assert STEPS_PER_KEY % STEPS_PER_PICTURE == STEPS_PER_KEY % STEPS_PER_SCAN == 0
