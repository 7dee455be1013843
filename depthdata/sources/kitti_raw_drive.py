"""One KITTI raw drive into a sequence file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti import MISSING_TIME, read_timestamps, read_velodyne
from depthdata.codecs.prepared_images import KITTI_SIZE, bicubic_jpeg
from depthdata.errors import FormatError, SourceError
from depthdata.lidar import lidar_to_each
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures, PictureSize, read_bytes, write_made
from depthdata.sources.kitti_raw import CAMERAS
from depthdata.sources.kitti_raw_geometry import DriveGeometry, trajectory

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["write"]

Frames = Mapping[int, str]

_PROVENANCE = "velodyne scan of the same frame number, projected without motion compensation"


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write a drive; see `depthdata.sources.kitti_raw.write`."""
    try:
        _write(spec, writer, preset)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None) -> None:
    date = Path(spec.root)
    images: Mapping[str, Frames] = spec.files["images"]
    scans: Frames = spec.files["scans"]
    if not images:
        raise SourceError(
            f"{date / spec.name}: the drive has no image; expected files in image_02/data "
            "(or 00, 01, 03); unpack its archive again",
            incomplete=True,
        )
    geometry = DriveGeometry.read(date, velodyne=bool(scans), oxts=bool(spec.files["oxts"]))
    pictures = {
        camera: Pictures.of([date / frames[number] for number in sorted(frames)])
        for camera, frames in images.items()
    }
    sizes = {camera: found.size for camera, found in pictures.items()}
    for camera, size in sizes.items():
        _check_calibrated_size(spec, geometry, camera, size)

    numbers = sorted(set().union(*images.values()))
    names = {
        number: Path(name).stem for frames in images.values() for number, name in frames.items()
    }
    times = {camera: _times(spec, camera, numbers) for camera in images}
    motion = trajectory(date, spec.files["oxts"], numbers)

    writer.timeline(_first_known(times.values()), [names[number] for number in numbers])
    for left, right in (("left", "right"), ("gray_left", "gray_right")):
        if left in images and right in images:
            writer.stereo_pair(left, right, geometry.baseline(CAMERAS[left], CAMERAS[right]))
    targets = {}
    for camera, frames in images.items():
        number = CAMERAS[camera]
        height, width, _ = sizes[camera]
        T_rig_cam = geometry.T_rig_cam(number)
        target = writer.camera(
            camera,
            height=height,
            width=width,
            intrinsics=geometry.intrinsics(number),
            T_world_cam=None if motion is None else motion.T_world_imu @ T_rig_cam,
            T_rig_cam=T_rig_cam,
            timestamps=times[camera],
            transform={
                "source_camera": f"image_{number:02d}",
                "rig": geometry.rig,
                **({} if motion is None else motion.facts),
            },
        )
        present = [t for t, n in enumerate(numbers) if n in frames]
        pictures[camera].write(target, frame_index=present)
        if preset == "dynamo_depth" and camera in ("left", "right"):
            height, width = KITTI_SIZE
            write_made(
                target,
                f"rgb_{height}x{width}",
                (bicubic_jpeg(read_bytes(path), KITTI_SIZE) for path in pictures[camera].paths),
                encoding="jpeg",
                frame_index=present,
                derived_from="rgb",
                provenance="preset dynamo_depth: Pillow bicubic, JPEG quality 75",
            )
        targets[camera] = target
    if scans:
        _write_points(spec, geometry, numbers, sizes, targets)


def _write_points(
    spec: SequenceSpec,
    geometry: DriveGeometry,
    numbers: list[int],
    sizes: Mapping[str, PictureSize],
    targets: Mapping[str, CameraWriter],
) -> None:
    """Write the scans as points of every camera that has an image of the same number."""
    date = Path(spec.root)
    eigen = geometry.size(2) or sizes.get("left", next(iter(sizes.values())))[:2]
    scans: Frames = spec.files["scans"]
    views, sinks = {}, {}
    for camera, target in targets.items():
        images: Frames = spec.files["images"][camera]
        scanned = [t for t, n in enumerate(numbers) if n in images and n in scans]
        if not scanned:
            continue
        projection = geometry.velo_projection(CAMERAS[camera])
        height, width, _ = sizes[camera]
        views[camera] = projection, (max(height, eigen[0]), max(width, eigen[1]))
        sinks[camera] = target.open_points(
            "depth",
            frame_index=_index(scanned),
            unit="m",
            provenance=_PROVENANCE,
            note="camera z; the velodyne x of the published depth is in the sensor coordinates",
            sensor="velodyne",
            projection=projection,
            eigen_size=list(eigen),
        )
    for number in numbers:
        seen = [camera for camera in sinks if number in spec.files["images"][camera]]
        if number in scans and seen:
            scan = read_velodyne(date / scans[number])
            each = lidar_to_each(scan, [views[camera] for camera in seen])
            for camera, points in zip(seen, each, strict=True):
                sinks[camera].add(points)


def _check_calibrated_size(
    spec: SequenceSpec, geometry: DriveGeometry, camera: str, size: PictureSize
) -> None:
    """Refuse images that were resized or cropped: the calibration would not hold for them."""
    calibrated = [geometry.size(number) for number in (CAMERAS[camera], 2)]
    known = [c for c in calibrated if c is not None]
    if known and size[:2] not in known:
        height, width = known[0]
        raise SourceError(
            f"{spec.root}/{spec.name}: image_{CAMERAS[camera]:02d} has {size[1]}x{size[0]} pixels "
            f"but calib_cam_to_cam.txt is for {width}x{height}; take the images as published"
        )


def _times(spec: SequenceSpec, camera: str, numbers: list[int]) -> npt.NDArray[np.int64]:
    """Time of each frame: the line of its number, for files may list frames that were cut off."""
    out = np.full(len(numbers), MISSING_TIME, dtype=np.int64)
    name = f"{spec.name}/image_{CAMERAS[camera]:02d}/timestamps.txt"
    if name in spec.files["texts"]:
        times = read_timestamps(Path(spec.root) / name)
        for t, number in enumerate(numbers):
            if number < len(times):
                out[t] = times[number]
    return out


def _first_known(times: Iterable[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the times of the first camera, of the next where that has none."""
    first, *others = times
    known: npt.NDArray[np.int64] = first.copy()
    for other in others:
        missing = known == MISSING_TIME
        known[missing] = other[missing]
    return known


def _index(frames: list[int]) -> npt.NDArray[np.int64]:
    return np.array(frames, dtype=np.int64)
