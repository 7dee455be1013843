"""One drive of KITTI's depth benchmark into a sequence file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti import MISSING_TIME, read_timestamps
from depthdata.codecs.kitti_depth import read_depth_levels
from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.kitti_depth import CAMERAS, KINDS
from depthdata.sources.kitti_depth_maps import PROVENANCE, write_depth
from depthdata.sources.kitti_raw_geometry import DriveGeometry, trajectory
from depthdata.sources.unknown import UNKNOWN_INTRINSICS, nominal_intrinsics

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["write"]


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a drive; see `depthdata.sources.kitti_depth.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    root, files = Path(spec.root), spec.files
    images: Mapping[str, Mapping[int, str]] = files["images"]
    streams = {kind: files[kind] for kind in KINDS}
    cameras = [c for c in CAMERAS if any(c in each for each in (images, *streams.values()))]
    numbers = sorted(
        {n for each in (images, *streams.values()) for frames in each.values() for n in frames}
    )
    position = {number: t for t, number in enumerate(numbers)}
    pictures = {
        camera: Pictures.of([root / frames[n] for n in sorted(frames)])
        for camera, frames in images.items()
    }
    sizes = {camera: _size(spec, pictures, camera) for camera in cameras}
    geometry = _geometry(spec, sizes)
    motion = None
    if geometry is not None and files["oxts"]:
        motion = trajectory(root, files["oxts"], numbers)
    times = {camera: _times(spec, camera, numbers) for camera in cameras}
    timeline = times[cameras[0]].copy()
    for own in times.values():
        timeline[timeline == MISSING_TIME] = own[timeline == MISSING_TIME]

    writer.timeline(timeline, [f"{number:010d}" for number in numbers])
    if len(cameras) == 2:
        writer.stereo_pair("left", "right", geometry.baseline(2, 3) if geometry else None)
    for camera in cameras:
        number, (height, width) = CAMERAS[camera], sizes[camera]
        facts: dict[str, Any] = {"source_camera": f"image_{number:02d}"}
        matrices: dict[str, Any] = {}
        if geometry is None:
            matrices["intrinsics"] = nominal_intrinsics(height, width)
            facts.update(UNKNOWN_INTRINSICS)
        else:
            T_rig_cam = geometry.T_rig_cam(number)
            matrices = {"intrinsics": geometry.intrinsics(number), "T_rig_cam": T_rig_cam}
            facts["rig"] = geometry.rig
            if motion is not None:
                matrices["T_world_cam"] = motion.T_world_imu @ T_rig_cam
                facts.update(motion.facts)
        target = writer.camera(
            camera,
            height=height,
            width=width,
            timestamps=times[camera],
            transform=facts,
            **matrices,
        )
        if camera in images:
            pictures[camera].write(
                target, frame_index=[position[n] for n in sorted(images[camera])]
            )
        for stream, maps in streams.items():
            if camera in maps:
                paths = {position[n]: root / name for n, name in maps[camera].items()}
                write_depth(target, stream, paths, PROVENANCE[stream])


def _size(spec: SequenceSpec, pictures: Mapping[str, Pictures], camera: str) -> tuple[int, int]:
    """Height and width of the images, else of the first depth map."""
    if camera in pictures:
        return pictures[camera].size.height, pictures[camera].size.width
    maps = next(spec.files[kind][camera] for kind in KINDS if camera in spec.files[kind])
    height, width = read_depth_levels(Path(spec.root) / maps[min(maps)]).shape
    return height, width


def _geometry(spec: SequenceSpec, sizes: Mapping[str, tuple[int, int]]) -> DriveGeometry | None:
    """Return the calibration of the drive's date; None where the user has none of KITTI raw."""
    if spec.files["date"] is None:
        return None
    date = Path(spec.root) / spec.files["date"]
    geometry = DriveGeometry.read(date, velodyne=False, oxts=bool(spec.files["oxts"]))
    for camera, size in sizes.items():
        known = [found for found in map(geometry.size, (CAMERAS[camera], 2)) if found is not None]
        if known and size not in known:
            raise SourceError(
                f"{spec.root}: image_{CAMERAS[camera]:02d} of {spec.name} has {size[1]}x{size[0]} "
                f"pixels but {date}/calib_cam_to_cam.txt is for {known[0][1]}x{known[0][0]}; take "
                "the files as published"
            )
    return geometry


def _times(spec: SequenceSpec, camera: str, numbers: list[int]) -> npt.NDArray[np.int64]:
    """Time of each frame: the line of its number."""
    out = np.full(len(numbers), MISSING_TIME, dtype=np.int64)
    name = f"{spec.files['date']}/{spec.name}/image_{CAMERAS[camera]:02d}/timestamps.txt"
    if name in spec.files["texts"]:
        times = read_timestamps(Path(spec.root) / name)
        for t, number in enumerate(numbers):
            if number < len(times):
                out[t] = times[number]
    return out
