"""One snippet or one annotated image of Cityscapes into a sequence file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.cityscapes import (
    CLASSES,
    DISPARITY_SCALE,
    INSTANCE_STEP,
    NO_DISPARITY,
    CameraFile,
    decode_disparity,
    decode_instance_ids,
    decode_labels,
    read_camera,
    read_timestamp,
    read_vehicle,
)
from depthdata.codecs.reading import read_with
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform, rotation_from_euler
from depthdata.sequence.schema import MISSING_TIME
from depthdata.sources.card import SequenceSpec
from depthdata.sources.cityscapes_tree import KINDS, path_of
from depthdata.sources.files import Pictures
from depthdata.sources.unknown import UNKNOWN_INTRINSICS, nominal_intrinsics

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["write"]

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]
Size = tuple[int, int]

_VIEWS = {"left": "leftImg8bit", "right": "rightImg8bit"}
_NANOSECONDS = 1e-9


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a sequence; see `depthdata.sources.cityscapes.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    frames = _timeline(spec)
    place = {frame: t for t, frame in enumerate(frames)}
    chosen = {
        name: _chosen(spec, name)
        for name in ("leftImg8bit", "rightImg8bit", "disparity", "vehicle")
    }
    pictures = {
        view: Pictures.of(list(chosen[name].values()))
        for view, name in _VIEWS.items()
        if chosen[name]
    }
    size = pictures["left"].size[:2]
    if "right" in pictures and pictures["right"].size[:2] != size:
        _check_size(pictures["right"].paths[0], pictures["right"].size[:2], size)
    calibration = _Calibration.read(spec, frames, size)
    times = np.full(len(frames), MISSING_TIME)
    for frame in place.keys() & spec.files["frames"].get("timestamp_sequence", ()):
        times[place[frame]] = read_timestamp(path_of(spec, "timestamp_sequence", frame))
    vehicle = {
        place[frame]: read_vehicle(path)
        for frame, path in chosen["vehicle"].items()
        if frame in place
    }

    writer.timeline(times, [f"{frame:06d}" for frame in frames])
    if "right" in pictures:
        writer.stereo_pair("left", "right", calibration.baseline)
    if calibration.T_rig_cam is not None and len(vehicle) == len(frames) > 1:
        motion = _dead_reckoning(times, [vehicle[t] for t in range(len(frames))])
        if motion is not None:
            writer.pose_set(
                "vehicle",
                motion,
                reference="vehicle",
                provenance="speed and yaw rate of vehicle.json, in the plane: approximate",
            )
    for view in pictures:
        target = writer.camera(
            view,
            height=size[0],
            width=size[1],
            intrinsics=calibration.intrinsics,
            T_rig_cam=calibration.pose(view),
            transform={
                "source_camera": _VIEWS[view],
                **({"vehicle": _columns(vehicle)} if view == "left" and vehicle else {}),
                **calibration.facts,
            },
        )
        index = [place[frame] for frame in chosen[_VIEWS[view]]]
        pictures[view].write(target, frame_index=index)
        if view == "left":
            _write_disparity(target, chosen["disparity"], place, size)
            for kind, suffix in (("gtFine", ""), ("gtCoarse", "_coarse")):
                _write_labels(spec, target, kind, suffix, place, size)


def _timeline(spec: SequenceSpec) -> list[int]:
    """Return the frames, all of which have an image; what is there of some snippet is of all."""
    files: Mapping[str, Sequence[int]] = spec.files["frames"]
    named = sorted({frame for found in files.values() for frame in found})
    first = files.get("leftImg8bit_sequence", files.get("leftImg8bit", ()))
    if not first:
        path = path_of(spec, "leftImg8bit", named[0])
        raise SourceError(
            f"{path} is missing, the image of other files that are there; unpack leftImg8bit again",
            incomplete=True,
        )
    if "leftImg8bit_sequence" in files:
        frames = list(range(named[0], named[-1] + 1))
        for kind in ("leftImg8bit_sequence", *(kind for kind in files if KINDS[kind].every)):
            _check_whole(spec, kind, frames)
        return frames
    for kind in files:
        beyond = sorted(set(files[kind]) - set(files["leftImg8bit"]))
        if beyond and KINDS[kind].suffix.endswith(".png"):
            raise SourceError(
                f"{path_of(spec, 'leftImg8bit', beyond[0])} is missing, the image of "
                f"{path_of(spec, kind, beyond[0]).name}; unpack leftImg8bit again",
                incomplete=True,
            )
    return sorted(files["leftImg8bit"])


def _check_whole(spec: SequenceSpec, kind: str, frames: list[int]) -> None:
    missing = sorted(set(frames) - set(spec.files["frames"][kind]))
    if missing:
        raise SourceError(
            f"{path_of(spec, kind, missing[0])} is missing, and {len(missing) - 1} more of the "
            f"{len(frames)} frames of the snippet; unpack {KINDS[kind].folder} again",
            incomplete=True,
        )


def _chosen(spec: SequenceSpec, name: str) -> dict[int, Path]:
    """Return frame -> file: of the whole snippet where it is there, else of the annotated frame."""
    files = spec.files["frames"]
    kind = f"{name}_sequence" if f"{name}_sequence" in files else name
    return {frame: path_of(spec, kind, frame) for frame in files.get(kind, ())}


@dataclass(frozen=True, eq=False)
class _Calibration:
    """What the camera files of a sequence say; every frame has what the last one before it says.

    Attributes
    ----------
    intrinsics : (3, 3) or (T, 3, 3)
    baseline : float, (T,) or None
    T_rig_cam : (4, 4), optional
        Of the left camera.
    facts : dict
        For the cameras.
    """

    intrinsics: Float
    baseline: Any
    T_rig_cam: Float | None
    facts: dict[str, Any]

    @classmethod
    def read(cls, spec: SequenceSpec, frames: list[int], size: Size) -> _Calibration:
        given = sorted(spec.files["frames"].get("camera", ()))
        if not given:
            return cls(nominal_intrinsics(*size), None, None, dict(UNKNOWN_INTRINSICS))
        cameras = []
        for frame in given:
            path = path_of(spec, "camera", frame)
            cameras.append(read_camera(path))
            _check_calibrated_size(path, cameras[-1], size)
        facts = {"rig": "vehicle: x forward, y left, z up, on the ground below the rear axle"}
        if all(camera == cameras[0] for camera in cameras):
            (camera,) = cameras[:1]
            return cls(camera.intrinsics, camera.baseline, camera.T_vehicle_cam, facts)
        last = np.searchsorted(given, frames, side="right") - 1
        each = [cameras[k] for k in last.clip(0)]
        return cls(
            np.stack([camera.intrinsics for camera in each]),
            np.array([camera.baseline for camera in each]),
            each[0].T_vehicle_cam,
            facts,
        )

    def pose(self, view: str) -> Float | None:
        """Return `T_rig_cam` of a view; the right one is moved along the left one's x axis."""
        if self.T_rig_cam is None or view == "left":
            return self.T_rig_cam
        shift = float(np.atleast_1d(self.baseline)[0])
        pose: Float = self.T_rig_cam @ rigid_transform(np.eye(3), [shift, 0, 0])
        return pose


def _check_calibrated_size(path: Path, camera: CameraFile, size: Size) -> None:
    """Refuse images that were resized: nothing but the principal point tells their size."""
    height, width = size
    off = max(abs(camera.u0 / width - 0.5), abs(camera.v0 / height - 0.5))
    if off > 0.2:
        raise SourceError(
            f"{path}: the principal point {camera.u0:g}, {camera.v0:g} is not in the middle of "
            f"images of {width}x{height}: it is for those of 2048x1024; take the published images"
        )


def _dead_reckoning(times: npt.NDArray[np.int64], vehicle: list[dict[str, float]]) -> Float | None:
    """Return the poses of the vehicle in its first frame, or None where a time is missing."""
    if (times == MISSING_TIME).any():
        return None
    seconds = np.diff(times) * _NANOSECONDS
    speed, turn = (
        (values[1:] + values[:-1]) / 2
        for values in (np.array([v[name] for v in vehicle]) for name in ("speed", "yawRate"))
    )
    heading = np.concatenate([[0.0], np.cumsum(turn * seconds)])
    middle = (heading[1:] + heading[:-1]) / 2
    steps = (speed * seconds)[:, None] * np.stack([np.cos(middle), np.sin(middle)], axis=1)
    place = np.zeros((len(times), 3))
    place[1:, :2] = np.cumsum(steps, axis=0)
    return rigid_transform(rotation_from_euler(0.0, 0.0, heading), place)


def _columns(vehicle: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
    """Return the vehicle's files as columns, None where a file lacks the number."""
    names = sorted({name for facts in vehicle.values() for name in facts})
    return {
        "frame": list(vehicle),
        **{name: [facts.get(name) for facts in vehicle.values()] for name in names},
    }


def _write_disparity(
    target: CameraWriter, paths: Mapping[int, Path], place: Mapping[int, int], size: Size
) -> None:
    if paths:
        folder = next(iter(paths.values())).parents[2].name
        target.dense(
            "disparity",
            _read_all(paths.values(), decode_disparity, size),
            dtype="u2",
            frame_index=[place[frame] for frame in paths],
            unit="px",
            scale=DISPARITY_SCALE,
            missing=NO_DISPARITY,
            provenance=f"{folder}: semi-global matching; stored is the file's value less 1",
        )


def _read_all(paths: Any, decode: Any, size: Size) -> Iterator[Array]:
    for path in paths:
        yield _read(path, decode, size)


def _read(path: Path, decode: Any, size: Size) -> Array:
    array: Array = read_with(path, decode)
    _check_size(path, array.shape, size)
    return array


def _write_labels(
    spec: SequenceSpec,
    target: CameraWriter,
    kind: str,
    suffix: str,
    place: Mapping[int, int],
    size: Size,
) -> None:
    """Write classes and instances of the annotated frames, of which a sequence has one or few.

    An id below 1000 is a class: it is in the classes already, unless the two files disagree.
    """
    files = spec.files["frames"]
    labels, ids = (
        {frame: _read(path_of(spec, name, frame), decode, size) for frame in files.get(name, ())}
        for name, decode in (
            (f"{kind}_labelIds", decode_labels),
            (f"{kind}_instanceIds", decode_instance_ids),
        )
    )
    derived = {frame: _labels_of(found) for frame, found in ids.items()}
    classes = labels or {frame: found.astype(np.uint8) for frame, found in derived.items()}
    if classes:
        target.dense(
            f"semantics{suffix}",
            classes.values(),
            dtype="u1",
            frame_index=[place[frame] for frame in classes],
            provenance=f"{kind}_{'labelIds' if labels else 'instanceIds'}",
            quantity="class id",
            classes={str(number): name for number, name in CLASSES.items()},
        )
    if ids:
        index = [place[frame] for frame in ids]
        facts: dict[str, Any] = {"quantity": "instance id", "provenance": f"{kind}_instanceIds"}
        target.dense(
            f"instances{suffix}",
            (np.where(found < INSTANCE_STEP, 0, found) for found in ids.values()),
            dtype="u2",
            frame_index=index,
            background=0,
            meaning="class * 1000 + number; 0 where the file has a class only",
            **facts,
        )
        if any(not np.array_equal(derived[f], classes.get(f, derived[f])) for f in ids):
            target.dense(
                f"instance_ids{suffix}",
                ids.values(),
                dtype="u2",
                frame_index=index,
                meaning="as in the file, which disagrees with labelIds somewhere",
                **facts,
            )


def _labels_of(ids: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    return np.where(ids < INSTANCE_STEP, ids, ids // INSTANCE_STEP)


def _check_size(path: Path, found: Sequence[int], size: Size) -> None:
    if tuple(found) != size:
        raise SourceError(
            f"{path}: expected {size[1]}x{size[0]} pixels like the left images, found "
            f"{found[1]}x{found[0]}; take files of one size"
        )
