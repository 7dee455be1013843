"""One nuScenes scene into a sequence file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.nuscenes_lidar import read_panoptic, read_scan
from depthdata.codecs.nuscenes_tables import LIDAR
from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures, read_bytes
from depthdata.sources.nuscenes import CAMERAS, SPEED_THRESHOLD
from depthdata.sources.nuscenes_data import FRONT, Channel, Scene, matrices
from depthdata.sources.nuscenes_dynamo import kept_points, write_small_pictures
from depthdata.sources.nuscenes_motion import (
    boxes_moving,
    match_labels,
    motion_labels,
    moving_points,
)
from depthdata.sources.nuscenes_points import (
    picture_of_each,
    points_seen,
    project,
    projections,
    scan_of_each,
)
from depthdata.sources.nuscenes_streams import PointLabels, write_labels

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter
    from depthdata.sequence.camera_writer import PointsSink

__all__ = ["write"]

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SCANS_KEPT = 8  # cameras of one frame take neighbouring scans

_log = logging.getLogger(__name__)


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write a scene; see `depthdata.sources.nuscenes.write`."""
    if "problem" in spec.files:
        raise SourceError(spec.files["problem"])
    try:
        _Writing(spec, writer, preset).run()
    except FormatError as error:
        raise SourceError(str(error)) from error


@dataclass
class _View:
    """A camera on the timeline of the front camera.

    Attributes
    ----------
    which : (T,) int64
        Record of each frame; -1: none.
    frames : (n,) int64
        The frames that have a picture.
    """

    name: str
    channel: Channel
    which: Rows
    frames: Rows
    target: CameraWriter
    labels: list[PointLabels] = field(default_factory=list)


class _Writing:
    """The steps of writing one scene."""

    def __init__(self, spec: SequenceSpec, writer: SequenceWriter, preset: str | None) -> None:
        self._spec, self._writer, self._preset = spec, writer, preset
        self._root = Path(spec.root)
        self._scene: Scene = spec.files["scene"]
        self._front = self._scene.channels[FRONT]
        self._lidar = self._scene.channels.get(LIDAR)
        self._scans: dict[int, npt.NDArray[np.float32]] = {}
        self._check_add_on()

    def run(self) -> None:
        """Write everything."""
        scene, front = self._scene, self._front
        self._writer.timeline(front.timestamp * 1000, [t.decode() for t in front.tokens])
        views = [
            self._camera(name, scene.channels[channel])
            for name, channel in CAMERAS.items()
            if channel in scene.channels
        ]
        if self._lidar is not None:
            self._points(views)
            for view in views:
                write_labels(view.target, view.labels, scene, self._preset)
        self._objects()

    def _check_add_on(self) -> None:
        scene, where = self._scene, f"{self._root / self._scene.version}"
        if scene.has_panoptic and scene.category_index is None:
            raise SourceError(
                f"{where}/category.json: field index is missing, but there is a panoptic.json; "
                "take the category.json of the nuScenes-panoptic add-on"
            )
        if self._preset == "dynamo_depth" and not scene.has_panoptic:
            _log.warning(
                "%s: %s has no panoptic.json (nuScenes-panoptic add-on): no motion labels",
                self._spec.name,
                where,
            )

    def _camera(self, name: str, channel: Channel) -> _View:
        """Write a camera and its pictures."""
        front = self._front
        which = picture_of_each(front, channel)
        frames = np.flatnonzero(which >= 0)
        rows = which[frames]
        files = channel.files
        pictures = Pictures.of([self._root / files[k] for k in rows])
        if pictures.size[:2] != channel.size:
            raise SourceError(
                f"{pictures.paths[0]}: {pictures.size.width}x{pictures.size.height} pixels, but "
                f"sample_data says {channel.size[1]}x{channel.size[0]}; the intrinsics are for "
                "that size: take the images as published"
            )
        mounts = channel.mounts[channel.calibration[rows]]
        poses = np.full((len(front), 4, 4), np.nan)
        poses[frames] = matrices(channel.pose[rows]) @ matrices(mounts)
        times = front.timestamp * 1000
        times[frames] = channel.timestamp[rows] * 1000
        target = self._writer.camera(
            name,
            height=channel.size[0],
            width=channel.size[1],
            intrinsics=self._intrinsics(name, channel, which),
            T_world_cam=poses,
            T_rig_cam=matrices(mounts[0]) if len(channel.mounts) == 1 else None,
            timestamps=times,
            transform={
                "source_camera": CAMERAS[name],
                "rig": "ego: x forward, y left, z up, at the rear axle",
                "sensor_pose": mounts[0].tolist(),
                **(self._facts() if name == "front" else {}),
            },
        )
        pictures.write(target, frame_index=frames.tolist())
        if self._preset == "dynamo_depth" and name == "front":
            write_small_pictures(target, map(read_bytes, pictures.paths), frames.tolist())
        return _View(name, channel, which, frames, target)

    def _intrinsics(self, name: str, channel: Channel, which: Rows) -> Floats:
        """Return one matrix where one holds, else that of each frame."""
        found = channel.intrinsics
        if np.isnan(found).any():
            raise SourceError(
                f"{self._root / self._scene.version}/calibrated_sensor.json: {CAMERAS[name]} has "
                "no camera_intrinsic"
            )
        if len(found) == 1:
            return np.asarray(found[0])
        return np.asarray(found[channel.calibration[np.maximum(which, 0)]])

    def _facts(self) -> dict[str, Any]:
        """Return what is told of the scene, in the transform of the front camera."""
        scene, front, boxes = self._scene, self._front, self._scene.boxes
        bits = boxes.attributes.tolist()
        return {
            "scene_token": scene.token,
            "description": scene.description,
            **scene.log,
            "tables": scene.version,
            "left_out": list(scene.left_out),
            "key_frames": np.flatnonzero(front.key).tolist(),
            "sample_tokens": [token.decode() for token in scene.sample_tokens],
            "ego_poses": front.pose.tolist(),
            "object_ids": [token.decode() for token in boxes.instance_tokens],
            "attribute_names": list(scene.attribute_names),
            "visibility_levels": list(scene.visibilities),
            "object_rows": {
                "token": [token.decode() for token in boxes.tokens],
                "attributes": [
                    [k for k in range(len(scene.attribute_names)) if mask >> k & 1] for mask in bits
                ],
                "visibility": boxes.visibility.tolist(),
                "lidar_points": boxes.lidar_points.tolist(),
                "radar_points": boxes.radar_points.tolist(),
            },
        }

    def _points(self, views: list[_View]) -> None:
        """Write the scans as points of every camera; keep the labels of key frames."""
        lidar = self._lidar
        assert lidar is not None
        scans, maps = {}, {}
        sinks: dict[str, PointsSink] = {}
        for view in views:
            found = np.full(len(self._front), -1, np.int64)
            found[view.frames] = scan_of_each(view.channel, lidar)[view.which[view.frames]]
            frames = np.flatnonzero(found >= 0)
            if not frames.size:
                continue
            matrix = projections(view.channel, view.which[frames], lidar, found[frames])
            scans[view.name] = found
            maps[view.name] = dict(zip(frames.tolist(), matrix, strict=True))
            sinks[view.name] = view.target.open_points(
                "depth",
                frame_index=frames,
                unit="m",
                quantity="depth",
                sensor="LIDAR_TOP: x right, y forward, z up",
                projections=matrix,
                scan_times=(lidar.timestamp[found[frames]] * 1000).tolist(),
                provenance="LIDAR_TOP scan of the same sample or nearest in time, carried through "
                "both ego poses",
            )
        seen_by = [view for view in views if view.name in sinks]
        for t in range(len(self._front)):
            labelled = self._labels(t)
            for view in seen_by:
                record = int(scans[view.name][t])
                if record < 0:
                    continue
                matrix = maps[view.name][t]
                points, kept = points_seen(self._scan(record), matrix, view.channel.size)
                sinks[view.name].add(points)
                if labelled is None or record != labelled.record:
                    continue
                found_labels = PointLabels.of(
                    t, points, labelled.labels[kept], labelled.moving[kept]
                )
                if self._preset == "dynamo_depth" and view.name == "front":
                    self._motion(found_labels, labelled, kept, matrix)
                view.labels.append(found_labels)

    def _labels(self, t: int) -> _Labelled | None:
        """Return the panoptic labels of the scan of a key frame, where there are any."""
        scene, lidar = self._scene, self._lidar
        assert lidar is not None
        sample = int(self._front.sample[t])
        if not self._front.key[t] or sample not in scene.panoptic:
            return None
        record = int(np.flatnonzero(lidar.key & (lidar.sample == sample))[0])
        scan, path = self._scan(record), self._root / scene.panoptic[sample]
        labels = read_panoptic(path)
        if len(labels) != len(scan):
            raise SourceError(
                f"{path}: {len(labels)} labels, but {self._root / lidar.files[record]} has "
                f"{len(scan)} points"
            )
        T = matrices(lidar.pose[record]) @ matrices(lidar.mounts[lidar.calibration[record]])
        world = scan[:, :3] @ T[:3, :3].T + T[:3, 3]
        moving = moving_points(
            labels,
            match_labels(scene, sample, labels, world),
            boxes_moving(scene, SPEED_THRESHOLD),
        )
        return _Labelled(record, sample, labels, world, moving)

    def _motion(
        self, into: PointLabels, labelled: _Labelled, kept: npt.NDArray[np.intp], matrix: Floats
    ) -> None:
        """Add the motion labels of the preparation, which sees the points it keeps only."""
        u, v, z = project(matrix, self._scan(labelled.record)[kept])
        chosen = kept_points(u, v, z, self._front.size)
        rows = kept[chosen]
        labels = labelled.labels[rows]
        matches = match_labels(self._scene, labelled.sample, labels, labelled.world[rows])
        into.motion = motion_labels(self._scene, labels, matches)
        into.prepared = np.stack([u, v], axis=1)[chosen]

    def _scan(self, record: int) -> npt.NDArray[np.float32]:
        lidar = self._lidar
        assert lidar is not None
        scan = self._scans.pop(record, None)
        if scan is None:
            scan = read_scan(self._root / lidar.files[record])
        self._scans[record] = scan  # the last used is last
        while len(self._scans) > _SCANS_KEPT:
            del self._scans[next(iter(self._scans))]
        return scan

    def _objects(self) -> None:
        """Write the boxes of the key frames."""
        scene, boxes = self._scene, self._scene.boxes
        if not len(boxes.sample):
            return
        frames = np.flatnonzero(self._front.key)
        self._writer.objects(
            frames[boxes.sample],
            boxes.instance,
            [scene.categories[k] for k in boxes.category],
            matrices(boxes.pose),
            boxes.size[:, [1, 0, 2]],
            velocity=boxes.velocity,
            moving=boxes_moving(scene, SPEED_THRESHOLD),
        )


@dataclass(frozen=True)
class _Labelled:
    """A scan with panoptic labels; `world` is where its points are, `moving` whether they move."""

    record: int
    sample: int
    labels: npt.NDArray[np.uint16]
    world: Floats
    moving: npt.NDArray[np.uint8]
