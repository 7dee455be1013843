"""One sequence of Dynamic Replica into a sequence file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.frame_annotations import FrameAnnotation
from depthdata.codecs.half_png import read_half_flow, read_half_png
from depthdata.codecs.ndc_cameras import intrinsics_from_ndc, pose_from_view
from depthdata.codecs.pickled_array import read_pickled_array
from depthdata.codecs.png_maps import decode_png_map
from depthdata.codecs.reading import read_with
from depthdata.codecs.trajectories import read_trajectories
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import is_rigid
from depthdata.sequence import MISSING_TIME
from depthdata.sources.card import SequenceSpec
from depthdata.sources.dynamic_replica_frames import KINDS, VIEWS, annotated_paths, views_of
from depthdata.sources.files import Pictures

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter, SequenceWriter

__all__ = ["AXES", "MASK_SCALE", "write"]

AXES = "PyTorch3D: rows as vectors, x left, y up, z forward; NDC"
"""What the source's cameras are, as `transform` tells it."""

MASK_SCALE = 1 / 255
"""Of foreground masks that have values between 0 and 255."""

_RENDERED = "rendered by the source"
_PREDICTED = "predicted by RAFT-Stereo, partly within masks of people only: no ground truth"

Paths = Mapping[int, Path]


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write a sequence; see `depthdata.sources.dynamic_replica.write`."""
    try:
        _write(spec, writer)
    except FormatError as error:
        raise SourceError(str(error)) from error


def _write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    views = views_of(spec)
    found = {name: _View.find(spec, name, views[name]) for name in VIEWS}
    left, right = found["left"], found["right"]
    if left.pictures.size[:2] != right.pictures.size[:2]:
        raise SourceError(
            f"{right.pictures.paths[0]}: expected {left.pictures.size.width}x"
            f"{left.pictures.size.height} pixels like {left.pictures.paths[0].name}, found "
            f"{right.pictures.size.width}x{right.pictures.size.height}; the views are one pair"
        )
    baseline = right.T[:, 0] - left.T[:, 0]  # OpenCV's x is PyTorch3D's -x
    if not (baseline > 0).all():
        t = int(np.argmin(baseline))
        raise SourceError(
            f"{_where(spec)}: expected the right camera right of the left one, found a baseline of "
            f"{baseline[t]} m at frame {t}; take the published file"
        )
    times = {name: _times(views[name]) for name in VIEWS}
    writer.timeline(times["left"], [str(frame.number) for frame in views["left"]])
    writer.stereo_pair("left", "right", _one_or_all(baseline))
    for name, view in found.items():
        own = None if np.array_equal(times[name], times["left"]) else times[name]
        view.write(writer, own, _PREDICTED if spec.split == "real" else _RENDERED)


@dataclass(frozen=True, eq=False)
class _View:
    """One camera of a sequence: what the annotation says, and which of its files are there."""

    name: str
    frames: list[FrameAnnotation]
    pictures: Pictures
    files: Mapping[str, Paths]
    left_out: tuple[str, ...]
    T: npt.NDArray[np.float64]

    @classmethod
    def find(cls, spec: SequenceSpec, name: str, frames: list[FrameAnnotation]) -> _View:
        root, where = Path(spec.root), f"{_where(spec)}, {name}"
        images, _ = annotated_paths(root, frames, "image")
        _refuse_missing(root, frames, "image", images, where)
        files, left_out = {}, []
        for stream, kind in KINDS.items():
            there, named = annotated_paths(root, frames, kind)
            if named and not there:
                left_out.append(stream)
            elif named:
                _refuse_missing(root, frames, kind, there, where)
                files[stream] = there
        pictures = Pictures.of(list(images.values()))
        size = pictures.size[:2]
        for t, frame in enumerate(frames):
            if frame.size is not None and frame.size != size:
                raise SourceError(
                    f"{images[t]}: {size[1]}x{size[0]} pixels, but the annotation has "
                    f"{frame.size[1]}x{frame.size[0]}; take the published files"
                )
        T = np.array([frame.T for frame in frames])
        return cls(name, frames, pictures, files, tuple(left_out), T)

    def write(
        self, writer: SequenceWriter, times: npt.NDArray[np.int64] | None, depth_from: str
    ) -> None:
        height, width, _ = self.pictures.size
        formats = sorted({frame.intrinsics_format for frame in self.frames})
        camera = writer.camera(
            self.name,
            height=height,
            width=width,
            intrinsics=_one_or_all(self._intrinsics(height, width)),
            T_world_cam=self._poses(),
            timestamps=times,
            transform={
                "source_axes": AXES,
                "intrinsics_format": formats[0] if len(formats) == 1 else formats,
                "T": self.T,
                **({"left_out": list(self.left_out)} if self.left_out else {}),
            },
        )
        self.pictures.write(camera)
        self._dense(camera, "depth", read_half_png, "f2", missing=0, provenance=depth_from)
        self._foreground(camera)
        for flow in ("flow_forward", "flow_backward"):
            self._dense(camera, flow, read_half_flow, "f2", missing="nan", provenance=_RENDERED)
            valid = f"{flow}_valid"
            if flow in self.files:
                self._dense(camera, valid, _read_validity, "u1", provenance="masks of the flow")
        self._instances(camera)
        self._tracks(writer)

    def _intrinsics(self, height: int, width: int) -> npt.NDArray[np.float64]:
        return np.stack(
            [
                intrinsics_from_ndc(
                    f.focal_length, f.principal_point, (height, width), f.intrinsics_format
                )
                for f in self.frames
            ]
        )

    def _poses(self) -> npt.NDArray[np.float64]:
        poses = pose_from_view(np.array([frame.R for frame in self.frames]), self.T)
        wrong = np.flatnonzero(~is_rigid(poses, tol=1e-3))
        if len(wrong):
            raise SourceError(
                f"{self.pictures.paths[wrong[0]]}: its viewpoint's R is no rotation; "
                "take the published annotation"
            )
        return poses

    def _dense(
        self,
        camera: CameraWriter,
        stream: str,
        read: Callable[[Path], npt.NDArray[Any]],
        dtype: str,
        **facts: Any,
    ) -> None:
        paths = self.files.get(stream)
        if paths is not None:
            size = self.pictures.size[:2]
            frames = (_sized(path, read(path), size) for path in paths.values())
            camera.dense(stream, frames, dtype=dtype, frame_index=list(paths), **facts)

    def _foreground(self, camera: CameraWriter) -> None:
        stream = "masks/foreground"
        paths = self.files.get(stream, {})
        plain = all(np.isin(_read_mask(path), (0, 255)).all() for path in paths.values())
        facts: dict[str, Any] = {} if plain else {"scale": MASK_SCALE}
        read = partial(_read_mask, levels=1 if plain else 255)
        self._dense(camera, stream, read, "u1", provenance=_RENDERED, **facts)

    def _instances(self, camera: CameraWriter) -> None:
        paths = self.files.get("instances", {})
        limits = [_limits(path) for path in paths.values()]
        low = min((low for low, _ in limits), default=0)
        high = max((high for _, high in limits), default=0)
        dtype = next((t for t in ("u2", "i4", "i8") if _fits(low, high, t)), None)
        if dtype is None:
            raise SourceError(f"{next(iter(paths.values()))}: instance numbers up to {high}")
        pickled = any(not _is_png(path) for path in paths.values())
        self._dense(
            camera,
            "instances",
            _read_instances,
            dtype,
            provenance=_RENDERED,
            source_format="pickle" if pickled else "png",
        )

    def _tracks(self, writer: SequenceWriter) -> None:
        paths = self.files.get("tracks")
        if paths is None:
            return
        first_path = next(iter(paths.values()))
        first = read_trajectories(first_path)
        count, spatial = len(first), first.xyz_world is not None
        sink = writer.open_tracks(self.name, count, xyz_world=spatial)
        nowhere = np.full((count, 3), np.nan, np.float32)
        for t in range(len(self.frames)):
            if t not in paths:
                sink.add(nowhere[:, :2], np.zeros(count, np.uint8), nowhere if spatial else None)
                continue
            found = read_trajectories(paths[t])
            if len(found) != count or (found.xyz_world is not None) != spatial:
                raise SourceError(
                    f"{paths[t]}: expected {count} trajectories like {first_path.name}, with the "
                    f"same columns, found {len(found)}; a point keeps its row in all frames"
                )
            sink.add(found.xy, found.visible, found.xyz_world)


def _refuse_missing(
    root: Path, frames: list[FrameAnnotation], kind: str, there: Paths, where: str
) -> None:
    for t, frame in enumerate(frames):
        name = getattr(frame, kind)
        if name is not None and t not in there:
            raise SourceError(
                f"{root / name} is missing, the {kind} of frame {frame.number} in {where}; "
                "unpack the archives of the split again",
                incomplete=True,
            )


def _times(frames: list[FrameAnnotation]) -> npt.NDArray[np.int64]:
    return np.array(
        [MISSING_TIME if f.seconds is None else round(f.seconds * 1e9) for f in frames], np.int64
    )


def _one_or_all(values: npt.NDArray[np.float64]) -> Any:
    """Return the value of all frames where it is one."""
    return values[0] if (values == values[0]).all() else values


def _sized(path: Path, values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    if values.shape[-2:] != size:
        raise SourceError(
            f"{path}: expected {size[1]}x{size[0]} pixels like its image, found "
            f"{values.shape[-1]}x{values.shape[-2]}; take the published files"
        )
    return values


def _read_png(path: Path, kind: str, bits: tuple[int, ...]) -> npt.NDArray[Any]:
    return read_with(path, partial(decode_png_map, kind=kind, bits=bits))


def _read_mask(path: Path, levels: int = 255) -> npt.NDArray[Any]:
    mask = _read_png(path, "mask", (8,))
    return mask if levels == 255 else _as_bits(mask)


def _read_validity(path: Path) -> npt.NDArray[Any]:
    return _as_bits(_read_png(path, "mask of the flow", (8,)))


def _as_bits(mask: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    bits: npt.NDArray[np.uint8] = np.not_equal(mask, 0).astype(np.uint8)
    return bits


def _read_instances(path: Path) -> npt.NDArray[Any]:
    if _is_png(path):
        return _read_png(path, "instance map", (8, 16))
    values = read_pickled_array(path)
    if values.ndim != 2:
        raise SourceError(f"{path}: expected a map of two axes, found {values.shape}")
    return values


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _limits(path: Path) -> tuple[int, int]:
    if _is_png(path):
        return 0, 0xFFFF
    values = _read_instances(path)
    return int(values.min(initial=0)), int(values.max(initial=0))


def _fits(low: int, high: int, dtype: str) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= low and high <= limits.max)


def _where(spec: SequenceSpec) -> str:
    return f"{spec.files['annotation']}, sequence {spec.name}"
