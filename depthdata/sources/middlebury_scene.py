"""One scene of a two-view stereo set into a sequence file: Middlebury's and ETH3D's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.codecs.middlebury import UNKNOWN, Calib, read_calib, read_mask
from depthdata.codecs.pfm import read_pfm
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import rigid_transform
from depthdata.sequence.schema import MISSING_TIME
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.middlebury_files import VIEWS
from depthdata.sources.unknown import UNKNOWN_INTRINSICS, nominal_intrinsics

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["Pose", "write_pair"]


class Pose(NamedTuple):
    """Pose `T_world_cam` (4, 4) of a camera, and facts about it for its transform."""

    T_world_cam: npt.NDArray[np.float64]
    facts: Mapping[str, Any]


def write_pair(
    spec: SequenceSpec,
    writer: SequenceWriter,
    poses: Callable[[Calib], Mapping[str, Pose]] | None = None,
) -> None:
    """Write a scene whose files `depthdata.sources.middlebury_files.pair_files` named.

    Parameters
    ----------
    spec : SequenceSpec
    writer : SequenceWriter
    poses : callable, optional
        Gives the pose of each camera where the scene has poses; without it `T_rig_cam` says that
        the right camera is the baseline beside the left one.

    Raises
    ------
    SourceError
        A file is missing (`incomplete`), damaged, or of another size.
    """
    try:
        _write(spec, writer, poses)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(
    spec: SequenceSpec,
    writer: SequenceWriter,
    poses: Callable[[Calib], Mapping[str, Pose]] | None,
) -> None:
    root, texts = Path(spec.root), spec.files["texts"]
    for name, hint in spec.files["missing"].items():
        raise SourceError(f"{root / name} is missing; {hint}", incomplete=True)
    views: Mapping[str, Mapping[str, str]] = spec.files["views"]
    pictures = {
        camera: {
            stream: Pictures.of([root / name])
            for stream, name in files.items()
            if stream.startswith("rgb")
        }
        for camera, files in views.items()
    }
    height, width, _ = pictures["left"]["rgb"].size
    calib = read_calib(root / texts["calib.txt"]) if "calib.txt" in texts else None
    _check_sizes(root / texts.get("calib.txt", ""), calib, pictures)
    placed = {} if calib is None or poses is None else poses(calib)

    writer.timeline(np.array([MISSING_TIME]), [spec.files["scene"]])
    writer.stereo_pair("left", "right", None if calib is None else calib.baseline)
    for camera, files in views.items():
        pose = placed.get(camera)
        facts = dict(pose.facts) if pose is not None else {}
        target = writer.camera(
            camera,
            height=height,
            width=width,
            intrinsics=nominal_intrinsics(height, width)
            if calib is None
            else _intrinsics(calib, camera),
            T_world_cam=None if pose is None else pose.T_world_cam[None],
            T_rig_cam=None if calib is None or pose is not None else _beside(calib, camera),
            transform=_transform(spec, camera, calib) | facts,
        )
        for stream, picture in pictures[camera].items():
            picture.write(target, stream, provenance=files[stream].rpartition("/")[2])
        _write_truth(target, root, files, (height, width))


def _write_truth(
    target: CameraWriter, root: Path, files: Mapping[str, str], size: tuple[int, int]
) -> None:
    for stream in ("disparity", "disparity_y"):
        if stream in files:
            target.dense(
                stream,
                _disparities(root / files[stream], size),
                unit="px",
                missing="nan",
                provenance=f"{files[stream].rpartition('/')[2]}, +inf is NaN",
            )
    if "masks/occluded" in files:
        name = files["masks/occluded"]
        target.dense(
            "masks/occluded",
            _masks(root / name, size),
            dtype="u1",
            missing=UNKNOWN,
            provenance=f"{name.rpartition('/')[2]}: 255 is 0, 128 is 1, 0 (unknown) is {UNKNOWN}",
        )


def _disparities(path: Path, size: tuple[int, int]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the one map of a file, NaN for its +inf."""
    values = read_pfm(path)
    _check_size(path, values.shape, size)
    unknown = values == np.inf
    wrong = ~np.isfinite(values) & ~unknown
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FormatError(
            f"{path}: expected finite disparities and +inf (unknown), found "
            f"{values[row, column]} at row {row}, column {column}"
        )
    yield np.where(unknown, np.float32(np.nan), values)


def _masks(path: Path, size: tuple[int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    mask = read_mask(path)
    _check_size(path, mask.shape, size)
    yield mask


def _check_size(path: Path, found: tuple[int, ...], size: tuple[int, int]) -> None:
    if found != size:
        what = f"{found[1]}x{found[0]}" + "".join(f"x{n}" for n in found[2:])
        raise FormatError(
            f"{path}: expected {size[1]}x{size[0]} pixels like im0.png, found {what}; take files "
            "of one size"
        )


def _check_sizes(
    calib_path: Path, calib: Calib | None, pictures: Mapping[str, Mapping[str, Pictures]]
) -> None:
    """Refuse images of several sizes, or of another size than the calibration is for."""
    size = pictures["left"]["rgb"].size[:2]
    for picture in (p for streams in pictures.values() for p in streams.values()):
        _check_size(picture.paths[0], picture.size[:2], size)
    if calib is not None and (calib.height, calib.width) != size:
        raise FormatError(
            f"{calib_path}: is for {calib.width}x{calib.height} pixels but the images have "
            f"{size[1]}x{size[0]}; take the images as published"
        )


def _intrinsics(calib: Calib, camera: str) -> npt.NDArray[np.float64]:
    return (calib.cam0, calib.cam1)[VIEWS[camera]]


def _beside(calib: Calib, camera: str) -> npt.NDArray[np.float64]:
    return rigid_transform(np.eye(3), [VIEWS[camera] * calib.baseline, 0, 0])


def _transform(spec: SequenceSpec, camera: str, calib: Calib | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"source_view": f"im{VIEWS[camera]}"}
    if calib is None:
        facts |= UNKNOWN_INTRINSICS
    elif camera == "left":
        own = {"doffs": calib.doffs, "baseline": calib.baseline_mm}
        facts["calib"] = own | dict(calib.facts)
    if "left_out" in spec.files:
        facts["left_out"] = spec.files["left_out"]
    return facts
