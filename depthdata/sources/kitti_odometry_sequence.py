"""One sequence of KITTI odometry into a sequence file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.aspect_crop import AspectCrop
from depthdata.codecs.kitti import read_velodyne
from depthdata.codecs.kitti_odometry import (
    OdometryCalibration,
    read_moving_mask,
    read_odometry_calibration,
    read_poses,
    read_times,
)
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import se3_inverse
from depthdata.lidar import lidar_to_each
from depthdata.sequence.schema import PoseSet
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.kitti_depth_maps import PROVENANCE, write_depth
from depthdata.sources.kitti_odometry import CAMERAS, POSES

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["write"]

Frames = Mapping[int, str]

_PAIRS = (("left", "right"), ("gray_left", "gray_right"))
_POSES_OF = {
    "kitti_gt": "KITTI's ground truth poses, of rectified camera 0",
    "dvso": "poses of DVSO (stereo-trained visual odometry), taken as those of image_2",
}


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a sequence; see `depthdata.sources.kitti_odometry.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    root = Path(spec.root)
    images: Mapping[str, Frames] = spec.files["images"]
    numbers = _numbers(spec, images)
    calibration = read_odometry_calibration(_text(spec, "calib"))
    times = read_times(_text(spec, "times"))
    _check_count(spec, images, numbers, len(times))
    pictures = {
        camera: Pictures.of([root / frames[n] for n in numbers])
        for camera, frames in images.items()
    }
    _check_pairs(pictures)
    sets = list(_pose_sets(spec, calibration, len(times), numbers))

    first = images[next(iter(images))]
    writer.timeline(times[numbers], [Path(first[n]).stem for n in numbers])
    for left, right in _PAIRS:
        if left in images and right in images:
            writer.stereo_pair(left, right, calibration.baseline(CAMERAS[left], CAMERAS[right]))
    for each in sets:
        writer.pose_set(
            each.name,
            each.T_world_ref,
            reference=each.reference,
            T_rig_ref=each.T_rig_ref,
            provenance=each.provenance,
        )
    targets = {}
    for camera, number in CAMERAS.items():
        if camera not in images:
            continue
        height, width, _ = pictures[camera].size
        T_rig_cam = _T_rig_cam(calibration, number)
        target = writer.camera(
            camera,
            height=height,
            width=width,
            intrinsics=calibration.intrinsics(number),
            T_world_cam=sets[0].of(T_rig_cam) if sets else None,
            T_rig_cam=T_rig_cam,
            transform={
                "source_camera": f"image_{number}",
                "projection": calibration.projections[number].tolist(),
                "rig": "rect0",
                **({"poses": sets[0].name} if sets else {}),
                "published_frames": len(times),
            },
        )
        pictures[camera].write(target)
        targets[camera] = target
    _write_points(spec, calibration, numbers, targets)
    position = {number: t for t, number in enumerate(numbers)}
    for camera, maps in spec.files["depth"].items():
        here = {position[n]: root / name for n, name in maps.items() if n in position}
        if here and camera in targets:
            write_depth(targets[camera], "depth_annotated", here, PROVENANCE["depth"])
    masks = {position[n]: root / name for n, name in spec.files["masks"].items() if n in position}
    if masks and "left" in targets:
        _write_masks(targets["left"], masks)


def _numbers(spec: SequenceSpec, images: Mapping[str, Frames]) -> list[int]:
    """Frame numbers, which all cameras must have."""
    if not images:
        raise SourceError(
            f"{spec.root}/sequences/{spec.name}: the sequence has no image; expected files in "
            "image_2 (or image_0, 1, 3); unpack its archive again",
            incomplete=True,
        )
    numbers = sorted(set().union(*images.values()))
    for camera, frames in images.items():
        lacking = [n for n in numbers if n not in frames]
        if lacking:
            folder = f"{spec.root}/sequences/{spec.name}/image_{CAMERAS[camera]}"
            raise SourceError(
                f"{folder}: {len(frames)} images, another camera has {len(numbers)}; the first "
                f"that is missing is {lacking[0]:06d}.png; unpack the archive again",
                incomplete=True,
            )
    return numbers


def _text(spec: SequenceSpec, kind: str) -> Path:
    if kind not in spec.files["texts"]:
        raise SourceError(
            f"{spec.root}/sequences/{spec.name}/{kind}.txt is missing; unpack "
            "data_odometry_calib.zip there",
            incomplete=True,
        )
    return Path(spec.root, spec.files["texts"][kind])


def _check_count(
    spec: SequenceSpec, images: Mapping[str, Frames], numbers: list[int], lines: int
) -> None:
    if numbers[-1] >= lines:
        last = next(iter(images.values()))[numbers[-1]]
        raise SourceError(
            f"{spec.root}/{spec.files['texts']['times']} has {lines} lines but there is an image "
            f"{last}; take both from the same sequence"
        )


def _check_pairs(pictures: Mapping[str, Pictures]) -> None:
    """All cameras of a sequence are rectified to one size."""
    (camera, first), *others = pictures.items()
    for other, found in others:
        if found.size[:2] != first.size[:2]:
            raise SourceError(
                f"{found.paths[0]}: expected {first.size.width}x{first.size.height} pixels as in "
                f"image_{CAMERAS[camera]}, found {found.size.width}x{found.size.height}; take the "
                f"published images of {other}"
            )


def _T_rig_cam(calibration: OdometryCalibration, number: int) -> npt.NDArray[np.float64]:
    return se3_inverse(calibration.T_cam_rect0(number))


def _pose_sets(
    spec: SequenceSpec, calibration: OdometryCalibration, frames: int, numbers: list[int]
) -> Iterator[PoseSet]:
    """Trajectories that are there, in the order of preference, for the frames `numbers`."""
    references = {"kitti_gt": ("rect0", np.eye(4)), "dvso": ("left", _T_rig_cam(calibration, 2))}
    for name in POSES:
        if name not in spec.files["texts"]:
            continue
        path = Path(spec.root) / spec.files["texts"][name]
        poses = read_poses(path)
        if len(poses) != frames:
            raise SourceError(
                f"{path}: expected {frames} poses, one for each line of "
                f"{spec.files['texts']['times']}, found {len(poses)}; extract the file again"
            )
        reference, T_rig_ref = references[name]
        yield PoseSet(name, reference, poses[numbers], T_rig_ref, _POSES_OF[name])


def _write_points(
    spec: SequenceSpec,
    calibration: OdometryCalibration,
    numbers: list[int],
    targets: Mapping[str, CameraWriter],
) -> None:
    """Write the velodyne scans as points of every camera."""
    scans: Frames = spec.files["scans"]
    scanned = [t for t, n in enumerate(numbers) if n in scans]
    if not scanned:
        return
    if calibration.T_rect0_velo is None:
        raise SourceError(
            f"{calibration.path}: no line 'Tr: ...', which the scans in velodyne need; take "
            "calib.txt from data_odometry_calib.zip"
        )
    views, sinks = [], []
    for camera, target in targets.items():
        projection = calibration.projections[CAMERAS[camera]] @ calibration.T_rect0_velo
        views.append((projection, (target.height, target.width)))
        sinks.append(
            target.open_points(
                "depth",
                frame_index=scanned,
                unit="m",
                provenance="velodyne scan of the same frame number, as published",
                note="camera z; the point in the velodyne frame is in the sensor coordinates",
                sensor="velodyne",
                projection=projection,
                eigen_size=[target.height, target.width],
            )
        )
    for t in scanned:
        scan = read_velodyne(Path(spec.root) / scans[numbers[t]])
        for sink, points in zip(sinks, lidar_to_each(scan, views), strict=True):
            sink.add(points)


def _write_masks(camera: CameraWriter, paths: Mapping[int, Path]) -> None:
    """Write the masks of moving objects at their own size, which the first one tells."""
    index = sorted(paths)
    height, width = read_moving_mask(paths[index[0]]).shape
    crop = AspectCrop((camera.height, camera.width), (height, width))
    camera.dense(
        f"masks/moving_{height}x{width}",
        _alike((paths[t] for t in index), (height, width)),
        dtype="uint8",
        frame_index=index,
        provenance="masks of moving objects by the authors of MonoRec (mvobj_mask)",
        one_means="on a moving object",
        crop=list(crop.box),
        crop_note="left, top, right, bottom of the part of the whole image that the mask covers",
    )


def _alike(paths: Iterable[Path], size: tuple[int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    for path in paths:
        mask = read_moving_mask(path)
        if mask.shape != size:
            raise SourceError(
                f"{path}: expected a mask of {size[1]}x{size[0]} like the first, found "
                f"{mask.shape[1]}x{mask.shape[0]}"
            )
        yield mask
