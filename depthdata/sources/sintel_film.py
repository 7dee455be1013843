"""One film sequence of MPI Sintel into a sequence file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.flo import read_flo
from depthdata.codecs.images import image_size
from depthdata.codecs.reading import read_with
from depthdata.codecs.sintel import decode_disparity, decode_mask, read_camera, read_depth
from depthdata.codecs.sintel_folders import BASELINE, KINDS, SETS, kind_of
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform, se3_inverse
from depthdata.sequence.schema import MISSING_TIME
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.sintel_tree import path_of
from depthdata.sources.unknown import UNKNOWN_INTRINSICS, nominal_intrinsics

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["write"]

Array = npt.NDArray[Any]
Float = npt.NDArray[np.float64]
Frames = tuple[str, ...]
Size = tuple[int, int]

_PAIRS = (("stereo/clean_left", "stereo/clean_right"), ("stereo/final_left", "stereo/final_right"))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a film sequence; see `depthdata.sources.sintel.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    frames = _timeline(spec)
    kinds: Mapping[str, tuple[str, Frames]] = spec.files["kinds"]
    pictures = {
        key: Pictures.of([path_of(spec, key, frame) for frame in frames])
        for key in kinds
        if kind_of(key).is_picture
    }
    size = _common_size(pictures)
    calibration = _Calibration.read(spec, frames, size)
    views = dict.fromkeys(kind_of(key).camera for key in kinds)

    writer.timeline(np.full(len(frames), MISSING_TIME), frames)
    if len(views) > 1:
        writer.stereo_pair("left", "right", BASELINE)
    for view in sorted(views):
        shift = rigid_transform(np.eye(3), [BASELINE * (view == "right"), 0, 0])
        poses = calibration.T_world_left
        target = writer.camera(
            view,
            height=size[0],
            width=size[1],
            intrinsics=calibration.intrinsics,
            T_world_cam=None if poses is None else poses @ shift,
            T_rig_cam=shift if len(views) > 1 else None,
            transform=calibration.facts(view),
        )
        for key in kinds:
            if kind_of(key).camera == view:
                _write_stream(spec, target, key, frames, pictures, size)


def _write_stream(
    spec: SequenceSpec,
    target: CameraWriter,
    key: str,
    frames: Frames,
    pictures: Mapping[str, Pictures],
    size: Size,
) -> None:
    stream = kind_of(key).stream
    if key in pictures:
        pictures[key].write(target, stream, provenance=key)
    elif stream in _HOW:
        how = _HOW[stream]
        there = spec.files["kinds"][key][1]
        position = {frame: t for t, frame in enumerate(frames)}
        target.dense(
            stream,
            _read_all(how.read, [path_of(spec, key, frame) for frame in there], size),
            dtype=how.dtype,
            frame_index=[position[frame] for frame in there],
            provenance=f"{key}{how.note}",
            **how.facts,
        )


def _timeline(spec: SequenceSpec) -> Frames:
    """Return the frames, all of which have all files; those of flow need not be there."""
    kinds: Mapping[str, tuple[str, Frames]] = spec.files["kinds"]
    where = f"{spec.root}: {spec.name}"
    named = {frame for key in kinds if kind_of(key).is_picture for frame in kinds[key][1]}
    if not named:
        raise SourceError(
            f"{where}: no images; unpack {SETS['stereo']} or {SETS['flow']} too", incomplete=True
        )
    halves = [
        half for pair in _PAIRS if set(pair) & set(kinds) for half in pair if half not in kinds
    ]
    for key in (*spec.files["lacking"], *halves):
        kind = kind_of(key)
        beside = "one view only" if key in halves else "where other sequences have something"
        raise SourceError(
            f"{where}: nothing in {kind.folder} ({beside}); unpack {SETS[kind.set]} again",
            incomplete=True,
        )
    frames = tuple(sorted(named, key=lambda frame: (int(frame[6:]), frame)))
    with_flow = {*kinds.get("flow/flow", ("", ()))[1]}
    for frame, after in pairwise(frames):
        if frame in with_flow and int(after[6:]) != int(frame[6:]) + 1:
            raise SourceError(
                f"{where}: {frame} has flow to the next frame, but {after} comes next; unpack the "
                "images again",
                incomplete=True,
            )
    for key, (_, there) in kinds.items():
        kind = kind_of(key)
        needed = [f for f in frames if f in with_flow] if kind.partial else frames
        if key == "flow/flow" and "flow/occlusions" in kinds:  # every flow has one
            marked = {*kinds["flow/occlusions"][1]}
            needed = [frame for frame in frames[:-1] if frame in marked]
        present = {*there}
        missing = [frame for frame in needed if frame not in present]
        if missing:
            raise SourceError(
                f"{path_of(spec, key, missing[0])} is missing, and {len(missing) - 1} more of the "
                f"{len(frames)} frames; unpack {SETS[kind.set]} again",
                incomplete=True,
            )
        beyond = sorted(present - {*frames})
        if beyond:
            raise SourceError(
                f"{path_of(spec, key, beyond[0])}: a frame without an image; unpack the images "
                "again",
                incomplete=True,
            )
    return frames


def _common_size(pictures: Mapping[str, Pictures]) -> Size:
    first = next(iter(pictures.values()))
    for other in pictures.values():
        _check_size(other.paths[0], other.size[:2], first.size[:2])
    return first.size[:2]


def _check_size(path: Path, found: tuple[int, ...], size: Size) -> None:
    if found != size:
        raise FormatError(f"{path}: {_other_size(found, size)}")


def _other_size(found: tuple[int, ...], size: Size) -> str:
    return (
        f"expected {size[1]}x{size[0]} pixels like the images, found {found[1]}x{found[0]}; take "
        "files of one size"
    )


class _Calibration(NamedTuple):
    """Intrinsics (3, 3) or (T, 3, 3), and poses of the left camera with what they came from."""

    intrinsics: Float
    T_world_left: Float | None = None
    translation: Float | None = None

    @classmethod
    def read(cls, spec: SequenceSpec, frames: Frames, size: Size) -> _Calibration:
        key = next((kind.key for kind in KINDS if kind.stream == "camera"), "")
        if key not in spec.files["kinds"]:
            return cls(nominal_intrinsics(*size))
        cameras = [read_camera(path_of(spec, key, frame)) for frame in frames]
        K = np.stack([camera.intrinsics for camera in cameras])
        T = np.stack([camera.T_cam_world for camera in cameras])
        T_world_left = se3_inverse(rigid_transform(T[..., :3], T[..., 3]))
        return cls(K[0] if (K[0] == K).all() else K, T_world_left, T[..., 3])

    def facts(self, view: str) -> dict[str, Any] | None:
        """Return what is needed to write the camera files again, or that there were none."""
        if self.translation is None:
            return dict(UNKNOWN_INTRINSICS)
        if view == "right":
            return {"made_from": f"the left camera, {BASELINE} m to the right"}
        return {
            "poses": "of camdata_left, inverted; T_cam_world_translation is theirs, metres",
            "T_cam_world_translation": self.translation.tolist(),
        }


def _read_all(
    read: Callable[[Path, Size], Array], paths: list[Path], size: Size
) -> Iterator[Array]:
    for path in paths:
        yield read(path, size)


def _png(decode: Callable[[bytes], Array]) -> Callable[[Path, Size], Array]:
    """Return a reader of PNG files that looks at the size before anything is made of it."""

    def decode_sized(blob: bytes, size: Size) -> Array:
        found = image_size(blob)[:2]
        if found != size:
            raise FormatError(_other_size(found, size))
        return decode(blob)

    return lambda path, size: read_with(path, lambda blob: decode_sized(blob, size))


def _depth(path: Path, size: Size) -> Array:
    values = read_depth(path)
    _check_size(path, values.shape, size)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def _flow(path: Path, size: Size) -> Array:
    """Return dx and dy, (2, H, W), NaN where one is not finite."""
    values = read_flo(path)
    _check_size(path, values.shape[:2], size)
    flow = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    flow[:, ~np.isfinite(flow).all(axis=0)] = np.nan
    return flow


class _Storage(NamedTuple):
    """How the files of a stream are read and what is stored of them."""

    read: Callable[[Path, Size], Array]
    dtype: str
    facts: dict[str, Any]
    note: str = ""


_MASK = _png(decode_mask)
_HOW = {
    "disparity": _Storage(
        _png(decode_disparity), "float32", {"unit": "px", "missing": 0}, ", 4 R + G/64 + B/16384"
    ),
    "masks/occluded": _Storage(
        _MASK, "uint8", {"one_means": "not seen by the right camera"}, ", 255 is 1"
    ),
    "masks/out_of_frame": _Storage(
        _MASK, "uint8", {"one_means": "out of the right image"}, ", 255 is 1"
    ),
    "depth": _Storage(_depth, "float32", {"unit": "m", "missing": "nan"}),
    "flow_forward": _Storage(_flow, "float32", {"missing": "nan"}),
    "flow_forward_valid": _Storage(
        _png(lambda blob: ~decode_mask(blob)), "uint8", {"one_means": "valid"}, ", 255 is 0"
    ),
    "masks/occluded_forward": _Storage(
        _MASK, "uint8", {"one_means": "not seen in the next frame"}, ", 255 is 1"
    ),
}
