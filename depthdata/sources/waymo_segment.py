"""One Waymo segment into a sequence file: two passes over the records, one frame in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image
from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import (
    CAMERAS,
    LABEL_TYPES,
    T_CAMERA_OPTICAL,
    CameraCalibration,
    LaserLabel,
)
from depthdata.codecs.waymo_range_image import LaserReturn, laser_returns
from depthdata.distortion import MODEL
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform, rotation_from_euler, se3_inverse
from depthdata.sources.card import SequenceSpec
from depthdata.sources.waymo import SPEED_THRESHOLD
from depthdata.sources.waymo_motion import (
    PANOPTIC_CLASSES,
    InstanceMatch,
    match_instances,
    motion_values,
)
from depthdata.sources.waymo_scan import CameraScan, Place, Scan, frames_of

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, Points, SequenceWriter
    from depthdata.sequence.camera_writer import PointsSink

__all__ = ["write"]

Float = npt.NDArray[np.float64]

_EDGE = 0.5  # the source's pixel 0 begins at 0, ours has its centre there
_USUAL_FRAMES = 190
_DIRECTIONS = {1: "down", 2: "right", 3: "up", 4: "left", 5: "global"}

_log = logging.getLogger(__name__)


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write a segment; see `depthdata.sources.waymo.write`."""
    try:
        _write(spec, writer, preset)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None) -> None:
    path = Path(spec.root) / spec.files["record"]
    scan = Scan.of(path)
    if not scan.cameras:
        raise SourceError(f"{path}: no record has an image; the file was stripped of them")
    if 1 < len(scan.times) < _USUAL_FRAMES:
        _log.warning("%s has %d frames, a whole segment about 198", path, len(scan.times))
    writer.timeline(_timeline(scan), [f"{t:06d}" for t in range(len(scan.times))])
    targets: dict[int, CameraWriter] = {}
    ids = _object_ids(scan)
    for number in sorted(scan.cameras):
        shared = {} if targets else _shared_facts(scan, ids)
        targets[number] = _camera(writer, scan, scan.cameras[number], shared)
    with path.open("rb") as file:
        for number, target in targets.items():
            camera = scan.cameras[number]
            target.encoded(
                "rgb",
                (_bytes(file.fileno(), path, place) for place in camera.jpegs),
                [place.size for place in camera.jpegs],
                encoding="jpeg",
                frame_index=camera.frames,
            )
        if preset == "dynamo_depth" and 1 in targets:
            from depthdata.sources.waymo_dynamo import write_small_pictures

            camera = scan.cameras[1]
            blobs = (_bytes(file.fileno(), path, place) for place in camera.jpegs)
            write_small_pictures(targets[1], blobs, camera.calibration, camera.frames)
        matches = _write_points(path, scan, targets, preset)
        for number, target in targets.items():
            _write_panoptic(file.fileno(), path, scan.cameras[number], target, matches[number])
    for number, target in targets.items():
        _write_boxes(writer, scan.cameras[number], target.name)
    _write_objects(writer, scan, ids)


def _camera(
    writer: SequenceWriter, scan: Scan, camera: CameraScan, shared: dict[str, Any]
) -> CameraWriter:
    calibration = camera.calibration
    f_u, f_v, c_u, c_v = calibration.intrinsic[:4]
    T_rig_cam = calibration.T_vehicle_camera @ T_CAMERA_OPTICAL
    poses = np.full((len(scan.times), 4, 4), np.nan)
    poses[camera.frames] = [shutter.T_world_vehicle @ T_rig_cam for shutter in camera.shutters]
    times = _timeline(scan)
    times[camera.frames] = [_nanoseconds(shutter.pose_timestamp) for shutter in camera.shutters]
    return writer.camera(
        CAMERAS[calibration.name],
        height=calibration.height,
        width=calibration.width,
        intrinsics=[[f_u, 0, c_u - _EDGE], [0, f_v, c_v - _EDGE], [0, 0, 1]],
        distortion=calibration.intrinsic[4:],
        distortion_model=MODEL,
        T_world_cam=poses,
        T_rig_cam=T_rig_cam,
        timestamps=times,
        transform={
            "source_camera": calibration.name,
            "pixel_origin": "the source counts from the edge of a pixel: moved by -0.5",
            "rig": "vehicle: x forward, y left, z up",
            "rolling_shutter": _rolling_shutter(calibration, camera.shutters),
            **shared,
        },
    )


def _timeline(scan: Scan) -> npt.NDArray[np.int64]:
    """When a frame was taken: the mean over its cameras (a record's own time is its START)."""
    seen: list[list[int]] = [[] for _ in scan.times]
    for camera in scan.cameras.values():
        for t, shutter in zip(camera.frames, camera.shutters, strict=True):
            seen[t].append(_nanoseconds(shutter.pose_timestamp))
    return np.array(
        [
            start * 1000
            if not stamps
            else stamps[0] + sum(s - stamps[0] for s in stamps) // len(stamps)
            for start, stamps in zip(scan.times, seen, strict=True)
        ],
        dtype=np.int64,
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e6) * 1000


def _rolling_shutter(calibration: CameraCalibration, shutters: list[Shutter]) -> dict[str, Any]:
    """Return what the camera model needs beside calibration and poses, by frame of the camera."""
    return {
        "readout": _DIRECTIONS.get(calibration.rolling_shutter, "unknown"),
        "velocity": [s.velocity.tolist() for s in shutters],
        "angular_velocity_rig": [s.angular_velocity.tolist() for s in shutters],
        "pose_timestamp": [s.pose_timestamp for s in shutters],
        "shutter": [s.shutter for s in shutters],
        "trigger": [s.trigger for s in shutters],
        "readout_done": [s.readout_done for s in shutters],
    }


def _shared_facts(scan: Scan, ids: dict[str, int]) -> dict[str, Any]:
    return {
        "segment": scan.segment,
        **scan.stats,
        "frame_start_ns": [start * 1000 for start in scan.times],
        "T_world_rig": [pose.tolist() for pose in scan.poses],
        "object_ids": list(ids),
    }


def _write_points(
    path: Path, scan: Scan, targets: dict[int, CameraWriter], preset: str | None
) -> dict[int, dict[int, list[InstanceMatch]]]:
    """Write the points of every camera; return the boxes of panoptic instances by frame."""
    matches: dict[int, dict[int, list[InstanceMatch]]] = {number: {} for number in targets}
    present = set(scan.with_points)
    if not present:
        return matches
    sinks: dict[tuple[int, int], PointsSink] = {}
    for number, target in targets.items():
        frames = [t for t in scan.cameras[number].frames if t in present]
        for echo, name in ((1, "depth"), (2, "depth_return2")):
            sinks[number, echo] = target.open_points(
                name,
                frame_index=frames,
                unit="m",
                quantity="depth",
                sensor="vehicle frame at the middle of the sweep",
                provenance="all lidars, at the record's own camera projection",
            )
    undistorted: PointsSink | None = None
    if preset == "dynamo_depth" and 1 in targets:
        from depthdata.sources.waymo_dynamo import open_undistorted

        undistorted = open_undistorted(
            targets[1], [t for t in scan.cameras[1].frames if t in present]
        )
    for t, frame in enumerate(frames_of(path)):
        if t not in present:
            continue
        every = {laser: laser_returns(frame, laser) for laser in frame.lasers}
        for number, camera in scan.cameras.items():
            if t not in camera.frames:
                continue
            shutter = camera.shutters[camera.frames.index(t)]
            T_cam_rig = _camera_from_rig(camera.calibration, shutter, scan.poses[t])
            for echo in (1, 2):
                returns = [found[echo] for found in every.values() if echo in found]
                sinks[number, echo].add(_seen_by(number, returns, T_cam_rig))
            firsts = [found[1] for found in every.values() if 1 in found]
            if undistorted is not None and number == 1:
                from depthdata.sources.waymo_dynamo import undistorted_points

                undistorted.add(undistorted_points(camera.calibration, firsts))
            if t in camera.panoptic:
                matches[number][t] = _matches(path, camera, t, firsts, scan.labels[t])
    return matches


def _matches(
    path: Path,
    camera: CameraScan,
    t: int,
    returns: list[LaserReturn],
    labels: list[LaserLabel],
) -> list[InstanceMatch]:
    with path.open("rb") as file:
        classes, instances = _panoptic(file.fileno(), path, camera, t)
    return match_instances(classes, instances, camera.calibration.name, returns, labels)


def _camera_from_rig(calibration: CameraCalibration, shutter: Shutter, pose: Float) -> Float:
    """Vehicle frame of the sweep to the camera at its time, optical axes; small numbers first."""
    at_image, mid = shutter.T_world_vehicle, pose
    rotation = at_image[:3, :3].T @ mid[:3, :3]
    T_image_rig = rigid_transform(rotation, at_image[:3, :3].T @ (mid[:3, 3] - at_image[:3, 3]))
    T_cam_vehicle = se3_inverse(calibration.T_vehicle_camera @ T_CAMERA_OPTICAL)
    return np.asarray(T_cam_vehicle @ T_image_rig)


def _seen_by(number: int, returns: list[LaserReturn], T_cam_rig: Float) -> Points:
    """Points that a camera sees, by either of their two projections, in the source's order."""
    from depthdata.sequence import Points

    columns, rows, points = [], [], []
    for found in returns:
        if found.projection is None:
            continue
        first, second = found.projection[:, 0] == number, found.projection[:, 3] == number
        mine = np.flatnonzero(first | second)
        pixel = np.where(first[mine, None], found.projection[mine, 1:3], found.projection[mine, 4:])
        columns.append(pixel[:, 0])
        rows.append(pixel[:, 1])
        points.append(found.points[mine])
    sensor = np.concatenate(points) if points else np.empty((0, 3))
    depth = sensor @ T_cam_rig[2, :3] + T_cam_rig[2, 3]
    return Points(
        kind="pixel",
        row=np.concatenate(rows).astype(np.uint16) if rows else np.empty(0, np.uint16),
        col=np.concatenate(columns).astype(np.uint16) if columns else np.empty(0, np.uint16),
        value=depth.astype(np.float32),
        sensor=sensor.astype(np.float32),
    )


def _write_panoptic(
    file: int,
    path: Path,
    camera: CameraScan,
    target: CameraWriter,
    matches: dict[int, list[InstanceMatch]],
) -> None:
    if not camera.panoptic:
        return
    frames = sorted(camera.panoptic)
    divisors = {label.divisor for label in camera.panoptic.values()}
    facts: dict[str, Any] = {
        "divisor": sorted(divisors),
        "global_ids": {
            str(t): {str(k): list(v) for k, v in camera.panoptic[t].global_ids.items()}
            for t in frames
        },
        "sequence_id": {str(t): camera.panoptic[t].sequence_id for t in frames},
    }
    classes = {str(k): name for k, name in enumerate(PANOPTIC_CLASSES)}
    source = "panoptic label of the record"

    def labels(which: int) -> Iterator[npt.NDArray[np.uint16]]:
        for t in frames:
            yield _panoptic(file, path, camera, t)[which]

    target.dense(
        "semantics",
        labels(0),
        dtype="u1",
        frame_index=frames,
        classes=classes,
        provenance=source,
    )
    target.dense("instances", labels(1), dtype="u2", frame_index=frames, provenance=source, **facts)
    covered = [t for t in frames if camera.panoptic[t].covered.size]
    if covered:
        target.dense(
            "cameras_covered",
            (decode_image(_bytes(file, path, camera.panoptic[t].covered)) for t in covered),
            dtype="u1",
            frame_index=covered,
            provenance="number of cameras that see the pixel",
        )
    if matches:
        target.dense(
            "masks/moving",
            (
                motion_values(*_panoptic(file, path, camera, t), matches[t], SPEED_THRESHOLD)
                for t in sorted(matches)
            ),
            dtype="u1",
            missing=255,
            frame_index=sorted(matches),
            one_means=f"on an object faster than {SPEED_THRESHOLD} m/s",
            speed_threshold=SPEED_THRESHOLD,
            provenance="panoptic instances and the speed of the 3-D box on their lidar points",
        )


def _panoptic(
    file: int, path: Path, camera: CameraScan, t: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    label = camera.panoptic[t]
    values = decode_image(_bytes(file, path, label.png))
    size = (camera.calibration.height, camera.calibration.width)
    if values.shape != size:
        raise SourceError(
            f"{path}: record {t}: the panoptic label of {CAMERAS[camera.calibration.name]} should "
            f"be {size}, found {values.shape}"
        )
    classes, instances = np.divmod(values.astype(np.uint16), np.uint16(max(label.divisor, 1)))
    return classes, instances


def _write_boxes(writer: SequenceWriter, camera: CameraScan, name: str) -> None:
    rows = [(t, label) for t, labels in sorted(camera.labels.items()) for label in labels]
    if not rows:
        return
    ids: dict[str, int] = {}
    writer.boxes(
        name,
        [t for t, _ in rows],
        [ids.setdefault(label.id, len(ids)) for _, label in rows],
        [LABEL_TYPES.get(label.type, "unknown") for _, label in rows],
        [(label.centre[0] - _EDGE, label.centre[1] - _EDGE, *label.size) for _, label in rows],
    )


def _object_ids(scan: Scan) -> dict[str, int]:
    ids: dict[str, int] = {}
    for labels in scan.labels:
        for label in labels:
            ids.setdefault(label.id, len(ids))
    return ids


def _write_objects(writer: SequenceWriter, scan: Scan, ids: dict[str, int]) -> None:
    rows = [(t, label) for t, labels in enumerate(scan.labels) for label in labels]
    if not rows:
        return
    poses = [
        scan.poses[t]
        @ rigid_transform(rotation_from_euler(0, 0, label.box.heading), label.box.centre)
        for t, label in rows
    ]
    speeds = np.array(
        [np.full(3, np.nan) if label.speed is None else label.speed for _, label in rows]
    )
    writer.objects(
        [t for t, _ in rows],
        [ids[label.id] for _, label in rows],
        [LABEL_TYPES.get(label.type, "unknown") for _, label in rows],
        np.stack(poses),
        np.stack([label.box.size for _, label in rows]),
        velocity=speeds,
        moving=np.linalg.norm(np.nan_to_num(speeds), axis=1) > SPEED_THRESHOLD,
    )


def _bytes(file: int, path: Path, place: Place) -> bytes:
    data = os.pread(file, place.size, place.offset)
    if len(data) != place.size:
        raise SourceError(f"{path} changed while it was read")
    return data
