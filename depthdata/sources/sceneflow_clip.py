"""One clip of the Scene Flow datasets into a sequence file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.blender_cameras import read_cameras
from depthdata.codecs.images import decode_image, image_size
from depthdata.codecs.pfm import read_pfm
from depthdata.codecs.reading import read_with
from depthdata.codecs.sceneflow import (
    BASELINE,
    CAMERA_DATA,
    KINDS,
    SIZE,
    VIEWS,
    camera_file,
    nominal_intrinsics,
    set_of,
)
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform
from depthdata.sequence.schema import MISSING_TIME
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.sceneflow_tree import archive_name

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["write"]

Size = tuple[int, int]
Frames = tuple[str, ...]

_BY_STREAM = {kind.stream: kind for kind in KINDS}
_PICTURES = ("rgb", "rgb_final")


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a clip; see `depthdata.sources.sceneflow.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    root, clip, streams = Path(spec.root), spec.files["clip"], spec.files["frames"]
    _check_archives(spec)
    frames = _timeline(spec)
    pictures = {
        (view, stream): Pictures.of([root / _BY_STREAM[stream].path(clip, view, f) for f in frames])
        for view in VIEWS
        for stream in _PICTURES
        if stream in streams
    }
    size = _common_size(pictures)
    intrinsics = nominal_intrinsics(clip, *size)
    poses = _poses(spec, frames)

    writer.timeline(np.full(len(frames), MISSING_TIME), frames)
    writer.stereo_pair("left", "right", BASELINE)
    for number, view in enumerate(VIEWS):
        target = writer.camera(
            view,
            height=size[0],
            width=size[1],
            intrinsics=intrinsics,
            T_world_cam=poses.get(view),
            T_rig_cam=rigid_transform(np.eye(3), [number * BASELINE, 0, 0]),
            transform=_transform(clip, size, bool(poses)),
        )
        for stream, views in streams.items():
            kind = _BY_STREAM[stream]
            if stream in _PICTURES:
                pictures[view, stream].write(target, stream, provenance=kind.place)
                continue
            storage, there = _HOW[kind.folder], set(views[view])
            if not there:  # a clip of one frame has flow in one view or none
                continue
            paths = [root / kind.path(clip, view, frame) for frame in views[view]]
            target.dense(
                stream,
                _read_all(storage.read, paths, size),
                dtype=storage.dtype,
                frame_index=[t for t, frame in enumerate(frames) if frame in there],
                provenance=f"{kind.place}{storage.note}",
                **storage.facts,
            )


def _check_archives(spec: SequenceSpec) -> None:
    """Refuse a clip that lacks what others of its part have: an archive is unpacked in part."""
    clip, streams = spec.files["clip"], spec.files["frames"]
    place, what = "", "no images"
    if not set(_PICTURES) & set(streams):
        place = _BY_STREAM["rgb"].place
    elif spec.files["lacking"]:
        stream = spec.files["lacking"][0]
        place = CAMERA_DATA if stream == CAMERA_DATA else _BY_STREAM[stream].place
        what = f"nothing in {place}, where other clips have something"
    if place:
        archive = archive_name(clip, place.partition("/")[0])
        raise SourceError(f"{spec.root}: {clip}: {what}; unpack {archive} again", incomplete=True)


def _timeline(spec: SequenceSpec) -> Frames:
    """Return the frames of the clip, all of which have all streams, flow at the ends excepted."""
    clip, streams = spec.files["clip"], spec.files["frames"]
    whole = [views for s, views in streams.items() if not _BY_STREAM[s].direction]
    named = {frame for views in whole for names in views.values() for frame in names}
    frames = tuple(sorted(named, key=lambda frame: (int(frame), frame)))
    for stream, views in streams.items():
        kind = _BY_STREAM[stream]
        end = {"into_future": frames[-1:], "into_past": frames[:1]}.get(kind.direction, ())
        for view, names in views.items():
            there = {*names, *end}
            missing = [frame for frame in frames if frame not in there]
            beyond = sorted(set(names) - named)
            if missing:
                path, folder = kind.path(clip, view, missing[0]), kind.folder
                what = f" is missing, and {len(missing) - 1} more of the {len(frames)} frames"
            elif beyond:
                path, folder = kind.path(clip, view, beyond[0]), _BY_STREAM["rgb"].folder
                what = " belongs to a frame without images"
            else:
                continue
            raise SourceError(
                f"{spec.root}/{path}{what}; unpack {archive_name(clip, folder)} again",
                incomplete=True,
            )
    return frames


def _common_size(pictures: Mapping[tuple[str, str], Pictures]) -> Size:
    first = next(iter(pictures.values()))
    for other in pictures.values():
        _check_size(other.paths[0], other.size[:2], first.size[:2])
    return first.size[:2]


def _check_size(path: Path, found: tuple[int, ...], size: tuple[int, ...]) -> None:
    if found != size:
        expected, there = ("x".join(map(str, (n[1], n[0], *n[2:]))) for n in (size, found))
        raise FormatError(
            f"{path}: expected {expected} like the left images, found {there}; take files of one "
            "size"
        )


def _poses(spec: SequenceSpec, frames: Frames) -> dict[str, npt.NDArray[np.float64]]:
    """Return the poses of both cameras, NaN for frames that the file lacks."""
    if not spec.files["camera_data"]:
        return {}
    path = Path(spec.root) / camera_file(spec.files["clip"])
    cameras = read_cameras(path)
    row = {number: k for k, number in enumerate(cameras.frames)}
    known = [(t, row[int(frame)]) for t, frame in enumerate(frames) if int(frame) in row]
    if not known:
        raise FormatError(
            f"{path}: expected frames {frames[0]} to {frames[-1]}, found {cameras.frames[0]} to "
            f"{cameras.frames[-1]}; take the file of this clip"
        )
    there, here = (list(column) for column in zip(*known, strict=True))
    poses = {view: np.full((len(frames), 4, 4), np.nan) for view in VIEWS}
    poses["left"][there], poses["right"][there] = cameras.left[here], cameras.right[here]
    return poses


def _transform(clip: str, size: Size, posed: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"source_clip": f"{set_of(clip)}/{clip}", "length_unit": "scene unit"}
    if size != SIZE:
        facts["intrinsics"] = f"of {SIZE[1]}x{SIZE[0]}, scaled to the images"
    if posed:
        facts["camera_axes"] = "Blender's (x right, y up, z backward), y and z turned"
    return facts


def _read_all(
    read: Callable[[Path, Size], npt.NDArray[Any]], paths: list[Path], size: Size
) -> Iterator[npt.NDArray[Any]]:
    for path in paths:
        yield read(path, size)


def _measured(path: Path, size: Size) -> npt.NDArray[np.float32]:
    """Return a map of one channel, NaN where it is not finite."""
    values = read_pfm(path)
    _check_size(path, values.shape, size)
    values[~np.isfinite(values)] = np.nan
    return values


def _flow(path: Path, size: Size) -> npt.NDArray[np.float32]:
    """Return dx and dy, (2, H, W), NaN where one is not finite."""
    values = read_pfm(path)
    _check_size(path, values.shape, (*size, 3))
    flow = np.ascontiguousarray(np.moveaxis(values[..., :2], -1, 0))
    flow[:, ~np.isfinite(flow).all(axis=0)] = np.nan
    return flow


def _numbers(path: Path, size: Size) -> npt.NDArray[np.uint16]:
    """Return the whole numbers of objects or materials."""
    values = read_pfm(path)
    _check_size(path, values.shape, size)
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.uint16)
    wrong = whole != values
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FormatError(
            f"{path}: expected whole numbers from 0 to 65535, found {values[row, column]} at row "
            f"{row}, column {column}"
        )
    return whole


def _boundaries(path: Path, size: Size) -> npt.NDArray[Any]:
    """Return 1 on a boundary, 0 elsewhere."""
    return read_with(path, lambda blob: _decode_boundaries(blob, size))


def _decode_boundaries(blob: bytes, size: Size) -> npt.NDArray[Any]:
    info = image_size(blob)
    if (info.height, info.width, info.channels) != (*size, 1):  # before anything is made of it
        raise FormatError(
            f"expected a grey image of {size[1]}x{size[0]} pixels, found {info.width}x"
            f"{info.height} with {info.channels} channel(s)"
        )
    values = decode_image(blob)
    found = set(np.unique(values).tolist())
    if not (found <= {0, 1} or found <= {0, 255}):
        raise FormatError(f"expected 0 and 255 (a boundary), found {sorted(found)[:4]}")
    boundaries: npt.NDArray[np.bool_] = values != 0
    return boundaries


class _Storage(NamedTuple):
    """How the files of a folder are read and what is stored of them."""

    read: Callable[[Path, Size], npt.NDArray[Any]]
    dtype: str
    facts: dict[str, Any]
    note: str = ""


_MAP = _Storage(_measured, "float32", {"unit": "px", "missing": "nan"})
_NUMBERS = _Storage(_numbers, "uint16", {})
_HOW = {
    "disparity": _MAP,
    "disparity_change": _MAP,
    "optical_flow": _Storage(_flow, "float32", {"missing": "nan"}, ", two of three channels"),
    "object_index": _NUMBERS,
    "material_index": _NUMBERS,
    "motion_boundaries": _Storage(
        _boundaries, "uint8", {"one_means": "on a boundary of motion"}, ", 255 is 1"
    ),
}
