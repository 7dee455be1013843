"""One Waymo segment into a sequence file: two passes over its frames, one in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image
from depthdata.codecs.waymo_camera import Shutter
from depthdata.codecs.waymo_frame import CAMERAS, T_CAMERA_OPTICAL, CameraCalibration
from depthdata.codecs.waymo_range_image import LaserReturn
from depthdata.distortion import MODEL
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform, se3_inverse
from depthdata.sources.card import SequenceSpec
from depthdata.sources.waymo import SPEED_THRESHOLD
from depthdata.sources.waymo_motion import (
    PANOPTIC_CLASSES,
    Motion,
    draw_motion,
    match_instances,
    motion_of,
)
from depthdata.sources.waymo_records import RecordSegment
from depthdata.sources.waymo_scan import CameraScan, Recording, Scan

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, Points, SequenceWriter
    from depthdata.sequence.camera_writer import PointsSink

__all__ = ["write", "write_recording"]

Float = npt.NDArray[np.float64]

_FRONT = 1
_EDGE = 0.5  # the source's pixel 0 begins at 0, ours has its centre there
_USUAL_FRAMES = 190
_DIRECTIONS = {1: "down", 2: "right", 3: "up", 4: "left", 5: "global"}

_log = logging.getLogger(__name__)


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write the segment of a record file; see `depthdata.sources.waymo.write`."""
    write_recording(RecordSegment(Path(spec.root) / spec.files["record"]), writer, preset)


def write_recording(
    recording: Recording, writer: SequenceWriter, preset: str | None = None
) -> None:
    """Write the segment that a recording holds."""
    try:
        _write(recording, writer, preset)
    except FormatError as error:
        named = str(recording.path.parent) in str(error)
        raise SourceError(f"{error}" if named else f"{recording.path}: {error}") from error


def _write(recording: Recording, writer: SequenceWriter, preset: str | None) -> None:
    scan = Scan.of(recording)
    if not scan.cameras:
        raise SourceError(
            f"{recording.path}: no record has an image; the file was stripped of them"
        )
    if 1 < len(scan.times) < _USUAL_FRAMES:
        _log.warning("%s has %d frames, a whole segment about 198", recording.path, len(scan.times))
    writer.timeline(_timeline(scan), [f"{t:06d}" for t in range(len(scan.times))])
    targets: dict[int, CameraWriter] = {}
    for number in sorted(scan.cameras):
        shared = {} if targets else _shared_facts(scan)
        targets[number] = _camera(writer, scan, scan.cameras[number], shared)
    for number, target in targets.items():
        camera = scan.cameras[number]
        target.encoded(
            "rgb",
            recording.jpegs(number, camera.frames),
            camera.sizes,
            encoding="jpeg",
            frame_index=camera.frames,
        )
    if preset == "dynamo_depth" and _FRONT in targets:
        from depthdata.sources.waymo_dynamo import write_small_pictures

        camera = scan.cameras[_FRONT]
        blobs = recording.jpegs(_FRONT, camera.frames)
        write_small_pictures(targets[_FRONT], blobs, camera.calibration, camera.frames)
    motion = _write_points(recording, scan, targets, preset)
    for number, target in targets.items():
        _write_panoptic(recording, scan.cameras[number], target, motion[number])
    for number, target in targets.items():
        _write_boxes(writer, scan.cameras[number], target.name)
    _write_objects(writer, scan)


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


def _shared_facts(scan: Scan) -> dict[str, Any]:
    return {
        "segment": scan.segment,
        **scan.stats,
        "frame_start_ns": [start * 1000 for start in scan.times],
        "T_world_rig": [pose.tolist() for pose in scan.poses],
        "object_ids": list(scan.object_ids),
    }


def _write_points(
    recording: Recording, scan: Scan, targets: dict[int, CameraWriter], preset: str | None
) -> dict[int, dict[int, Motion]]:
    """Write the points of every camera; return what moves in panoptic labels, by camera, frame."""
    motion: dict[int, dict[int, Motion]] = {number: {} for number in targets}
    if not scan.with_points:
        return motion
    sinks: dict[tuple[int, int], PointsSink] = {}
    for number, target in targets.items():
        frames = [t for t in scan.cameras[number].frames if t in scan.with_points]
        for echo, name in ((1, "depth"), (2, "depth_return2")):
            sinks[number, echo] = target.open_points(
                name,
                frame_index=frames,
                unit="m",
                quantity="depth",
                sensor="vehicle frame at the middle of the sweep",
                provenance="all lidars, at the record's own camera projection",
            )
    prepared: PointsSink | None = None
    if preset == "dynamo_depth" and _FRONT in targets:
        from depthdata.sources.waymo_dynamo import open_undistorted

        frames = [t for t in scan.cameras[_FRONT].frames if t in scan.with_points]
        prepared = open_undistorted(targets[_FRONT], frames)
    for t, sweep in enumerate(recording.sweeps()):
        if t not in scan.with_points:
            continue
        seeing = {n: camera for n, camera in scan.cameras.items() if t in camera.frames}
        labelled = [n for n, camera in seeing.items() if t in camera.panoptic]
        transforms = {
            n: _camera_from_rig(c.calibration, c.shutters[c.frames.index(t)], scan.poses[t])
            for n, c in seeing.items()
        }
        pieces: dict[tuple[int, int], list[Points]] = {
            (number, echo): [] for number in seeing for echo in (1, 2)
        }
        rows: list[Float] = []
        firsts: list[LaserReturn] = []  # kept only where all lidars are needed together
        for returns in sweep.returns():
            for number, echo in pieces:
                if echo in returns:
                    points = _seen_by(number, returns[echo], transforms[number])
                    pieces[number, echo].append(points)
            if 1 in returns and labelled:
                firsts.append(_first_seen_by(labelled, returns[1]))
            if 1 in returns and prepared is not None and _FRONT in seeing:
                from depthdata.sources.waymo_dynamo import depth_rows

                rows.append(depth_rows(returns[1].points, seeing[_FRONT].calibration))
        for key, parts in pieces.items():
            sinks[key].add(_joined(parts))
        if prepared is not None and _FRONT in seeing:
            from depthdata.sources.waymo_dynamo import prepared_points

            prepared.add(prepared_points(rows))
        labels = sweep.labels() if labelled else []
        for number in labelled:
            classes, instances = _panoptic(recording, scan.cameras[number], t)
            matches = match_instances(classes, instances, number, firsts, labels)
            motion[number][t] = motion_of(matches, SPEED_THRESHOLD)
    return motion


def _camera_from_rig(calibration: CameraCalibration, shutter: Shutter, pose: Float) -> Float:
    """Vehicle frame of the sweep to the camera at its time, optical axes; small numbers first."""
    at_image, mid = shutter.T_world_vehicle, pose
    rotation = at_image[:3, :3].T @ mid[:3, :3]
    T_image_rig = rigid_transform(rotation, at_image[:3, :3].T @ (mid[:3, 3] - at_image[:3, 3]))
    T_cam_vehicle = se3_inverse(calibration.T_vehicle_camera @ T_CAMERA_OPTICAL)
    return np.asarray(T_cam_vehicle @ T_image_rig)


def _seen_by(number: int, found: LaserReturn, T_cam_rig: Float) -> Points:
    """Points that a camera sees, by either of their two projections, in the source's order."""
    from depthdata.sequence import Points

    projection = found.projection
    if projection is None:
        projection = np.zeros((len(found.points), 6), np.int32)
    first = projection[:, 0] == number
    mine = np.flatnonzero(first | (projection[:, 3] == number))
    pixel = np.where(first[mine, None], projection[mine, 1:3], projection[mine, 4:])
    sensor = found.points[mine]
    depth = sensor @ T_cam_rig[2, :3] + T_cam_rig[2, 3]
    return Points(
        kind="pixel",
        row=pixel[:, 1].astype(np.uint16),
        col=pixel[:, 0].astype(np.uint16),
        value=depth.astype(np.float32),
        sensor=sensor.astype(np.float32),
    )


def _first_seen_by(cameras: list[int], found: LaserReturn) -> LaserReturn:
    """Of a return only what `match_instances` needs of some cameras, to hold little."""
    if found.projection is None:
        return found
    mine = np.flatnonzero(np.isin(found.projection[:, 0], cameras))
    return found._replace(
        points=found.points[mine],
        polar=found.polar[:0].copy(),
        no_label_zone=found.no_label_zone[:0].copy(),
        projection=found.projection[mine],
        cell=found.cell[:0].copy(),
    )


def _joined(parts: list[Points]) -> Points:
    from depthdata.sequence import Points

    dtypes = {"row": "u2", "col": "u2", "value": "f4"}
    columns = {
        name: np.concatenate([np.empty(0, kind), *(part.columns()[name] for part in parts)])
        for name, kind in dtypes.items()
    }
    sensor = [np.empty((0, 3), np.float32), *(part.columns()["sensor"] for part in parts)]
    return Points(kind="pixel", sensor=np.concatenate(sensor), **columns)


def _write_panoptic(
    recording: Recording, camera: CameraScan, target: CameraWriter, motion: dict[int, Motion]
) -> None:
    if not camera.panoptic:
        return
    number, frames = camera.calibration.name, sorted(camera.panoptic)
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
            yield _panoptic(recording, camera, t)[which]

    target.dense(
        "semantics",
        labels(0),
        dtype="u1",
        frame_index=frames,
        classes=classes,
        provenance=source,
    )
    target.dense("instances", labels(1), dtype="u2", frame_index=frames, provenance=source, **facts)
    covered = [t for t in frames if camera.panoptic[t].covered]
    if covered:
        target.dense(
            "cameras_covered",
            (decode_image(recording.covered(number, t)) for t in covered),
            dtype="u1",
            frame_index=covered,
            provenance="number of cameras that see the pixel",
        )
    if motion:
        target.dense(
            "masks/moving",
            (draw_motion(*_panoptic(recording, camera, t), motion[t]) for t in sorted(motion)),
            dtype="u1",
            missing=255,
            frame_index=sorted(motion),
            one_means=f"on an object faster than {SPEED_THRESHOLD} m/s",
            speed_threshold=SPEED_THRESHOLD,
            provenance="panoptic instances and the speed of the 3-D box on their lidar points",
        )


def _panoptic(
    recording: Recording, camera: CameraScan, t: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    calibration, label = camera.calibration, camera.panoptic[t]
    values = decode_image(recording.panoptic(calibration.name, t))
    size = (calibration.height, calibration.width)
    if values.shape != size:
        raise SourceError(
            f"{recording.path}: record {t}: the panoptic label of {CAMERAS[calibration.name]} "
            f"should be {size}, found {values.shape}"
        )
    classes, instances = np.divmod(values.astype(np.uint16), np.uint16(max(label.divisor, 1)))
    return classes, instances


def _write_boxes(writer: SequenceWriter, camera: CameraScan, name: str) -> None:
    if not camera.boxes:
        return
    frames = sorted(camera.boxes)
    rows = [camera.boxes[t] for t in frames]
    centred = np.concatenate([part.rectangles for part in rows]) - [_EDGE, _EDGE, 0, 0]
    writer.boxes(
        name,
        [t for t, part in zip(frames, rows, strict=True) for _ in part.ids],
        [i for part in rows for i in part.ids],
        [category for part in rows for category in part.categories],
        centred,
    )


def _write_objects(writer: SequenceWriter, scan: Scan) -> None:
    if not any(part.ids for part in scan.objects):
        return
    speeds = np.concatenate([part.velocity for part in scan.objects])
    writer.objects(
        [t for t, part in enumerate(scan.objects) for _ in part.ids],
        [i for part in scan.objects for i in part.ids],
        [category for part in scan.objects for category in part.categories],
        np.concatenate([part.T_world_box for part in scan.objects]),
        np.concatenate([part.size for part in scan.objects]),
        velocity=speeds,
        moving=np.linalg.norm(np.nan_to_num(speeds), axis=1) > SPEED_THRESHOLD,
    )
