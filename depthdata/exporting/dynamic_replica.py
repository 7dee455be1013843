"""Sequence files back into Dynamic Replica's folders and annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.annotation_writer import AnnotationWriter, frame_object, usual_path
from depthdata.codecs.frame_annotations import DEFAULT_FORMAT, FrameAnnotation
from depthdata.codecs.half_png import encode_half_flow, encode_half_png
from depthdata.codecs.images import encode_png
from depthdata.codecs.ndc_cameras import ndc_from_intrinsics, view_from_pose
from depthdata.codecs.pickled_array import encode_pickled_array
from depthdata.codecs.trajectories import Trajectories, encode_trajectories
from depthdata.errors import UsageError
from depthdata.sequence import MISSING_TIME
from depthdata.sources.dynamic_replica import SPLITS
from depthdata.sources.dynamic_replica_frames import KINDS, VIEWS

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Sequence, Tracks

__all__ = ["write"]

Array = npt.NDArray[Any]


def write(sequences: Iterable[Sequence], root: Path) -> None:
    """Write sequences with a left and a right camera below `root`, one annotation a split.

    Images come out byte for byte, half floats bit for bit. Depth and flow of another source are
    rounded to half floats. A sequence of no split of the dataset goes to ``test``. What a file
    says to be left out is annotated all the same, as it was in the source.

    Parameters
    ----------
    sequences : iterable of Sequence
        One is open at a time.
    root : Path
        The folder of ``train``, ``valid``, ``test`` and ``real``.

    Raises
    ------
    UsageError
        A sequence lacks a view, an image or a pose.
    """
    with ExitStack() as stack:
        annotations: dict[Path, AnnotationWriter] = {}
        for sequence in sequences:
            split = sequence.split if sequence.split in SPLITS else "test"
            folder = root / split
            if split == "real":
                folder, split = folder / sequence.name / "test", "test"
            path = folder / f"frame_annotations_{split}.jgz"
            if path not in annotations:
                folder.mkdir(parents=True)
                annotations[path] = stack.enter_context(AnnotationWriter(path))
            for name in VIEWS:
                if name not in sequence.cameras:
                    raise UsageError(
                        f"{sequence.path}: the layout needs cameras left and right, found "
                        f"{', '.join(sequence.cameras)}"
                    )
                view = _View(sequence, sequence.cameras[name], folder)
                for t in range(len(sequence)):
                    annotations[path].add(view.write(t))


class _View:
    """One camera of a sequence and the folder of its split."""

    def __init__(self, sequence: Sequence, camera: Camera, folder: Path) -> None:
        self.sequence, self.camera, self.folder = sequence, camera, folder
        self.size = camera.height, camera.width
        own = camera.transform.get("intrinsics_format")
        self.format = own if isinstance(own, str) else DEFAULT_FORMAT
        self.left_out = tuple(camera.transform.get("left_out", ()))
        self.numbers = _numbers(sequence.frame_ids)
        self.seconds = _seconds(camera.timestamps)
        self.tracks: Tracks | None = sequence.tracks.get(camera.name)
        if camera.poses is None or not np.isfinite(camera.poses).all():
            raise UsageError(f"{sequence.path}: camera {camera.name} has frames without a pose")
        self.R, self.T = view_from_pose(camera.poses)
        self.T = np.asarray(camera.transform.get("T", self.T))
        self.encoders: dict[str, Callable[[str, int], bytes]] = {
            "depth": self._depth,
            "masks/foreground": self._foreground,
            "flow_forward": self._flow,
            "flow_forward_valid": self._validity,
            "flow_backward": self._flow,
            "flow_backward_valid": self._validity,
            "instances": self._instances,
        }

    def write(self, t: int) -> dict[str, Any]:
        """Write the files of a frame; return its object."""
        paths: dict[str, str] = {}
        for stream, encode in self.encoders.items():
            if self._has(stream, t):
                paths[KINDS[stream]] = self._save(KINDS[stream], t, encode(stream, t))
        if self.tracks is not None:
            paths["trajectories"] = self._save("trajectories", t, self._trajectories(t))
        for stream in self.left_out:
            paths[KINDS[stream]] = self._path(KINDS[stream], t)
        focal, centre = ndc_from_intrinsics(self.camera.intrinsics(t), self.size, self.format)
        return frame_object(
            FrameAnnotation(
                sequence=self.sequence.name,
                camera=self.camera.name,
                number=self.numbers[t],
                seconds=self.seconds[t],
                size=self.size,
                image=self._image(t),
                R=tuple(map(tuple, self.R[t].tolist())),
                T=tuple(self.T[t].tolist()),
                focal_length=tuple(focal.tolist()),
                principal_point=tuple(centre.tolist()),
                intrinsics_format=self.format,
                **paths,
            )
        )

    def _has(self, stream: str, t: int) -> bool:
        if stream.endswith("_valid") and self.sequence.dataset != "dynamic_replica":
            stream = stream.removesuffix("_valid")  # NaN where nothing is known
        return stream in self.camera.streams and bool(self.camera[stream].present[t])

    def _image(self, t: int) -> str:
        stream = self.camera["rgb"] if "rgb" in self.camera.streams else None
        if stream is None or not stream.present[t]:
            raise UsageError(
                f"{self.sequence.path}: camera {self.camera.name} has no image at frame {t}"
            )
        suffix = {"png": ".png", "jpeg": ".jpg"}[stream.attrs["encoding"]]
        return self._save("image", t, stream.blob(t), suffix)

    def _depth(self, stream: str, t: int) -> bytes:
        return encode_half_png(_half(self.camera[stream], t))

    def _flow(self, stream: str, t: int) -> bytes:
        return encode_half_flow(_half(self.camera[stream], t))

    def _validity(self, stream: str, t: int) -> bytes:
        if stream in self.camera.streams:
            valid = self.camera[stream].raw(t) != 0
        else:
            valid = np.isfinite(self.camera[stream.removesuffix("_valid")][t]).all(0)
        return encode_png(valid.astype(np.uint8) * 255)

    def _foreground(self, stream: str, t: int) -> bytes:
        levels = self.camera[stream].raw(t)
        if self.camera[stream].scale is None:
            levels = (levels != 0).astype(np.uint8) * 255
        return encode_png(levels)

    def _instances(self, stream: str, t: int) -> bytes:
        values = self.camera[stream].raw(t)
        return encode_png(values) if self._pictured else encode_pickled_array(values)

    @property
    def _pictured(self) -> bool:
        return bool(self.camera["instances"].attrs.get("source_format") == "png")

    def _trajectories(self, t: int) -> bytes:
        assert self.tracks is not None
        world = None if self.tracks.xyz_world is None else self.tracks.xyz_world[t]
        return encode_trajectories(Trajectories(self.tracks.xy[t], self.tracks.visible[t], world))

    def _path(self, field: str, t: int, suffix: str | None = None) -> str:
        name = usual_path(field, self.sequence.name, self.camera.name, self.numbers[t])
        return name if suffix is None else str(Path(name).with_suffix(suffix))

    def _save(self, field: str, t: int, data: bytes, suffix: str | None = None) -> str:
        if field == "instances" and self._pictured:
            suffix = ".png"
        name = self._path(field, t, suffix)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name


def _half(stream: Any, t: int) -> npt.NDArray[np.float16]:
    """Return what is stored where it is half floats, else the values rounded, 0 for missing."""
    if stream.kind == "dense":
        stored: Array = stream.raw(t)
        if stored.dtype == np.float16:
            return stored
    values: Array = stream[t]
    with np.errstate(over="ignore"):
        rounded: npt.NDArray[np.float16] = values.astype(np.float16)
    rounded[np.isnan(rounded)] = 0
    return rounded


def _numbers(frame_ids: tuple[str, ...]) -> list[int]:
    """Return the numbers that the source gave, where these count up by one; else from 0."""
    if all(name.isascii() and name.isdigit() and len(name) < 10 for name in frame_ids):
        given = [int(name) for name in frame_ids]
        if given == list(range(given[0], given[0] + len(given))):
            return given
    return list(range(len(frame_ids)))


def _seconds(timestamps: npt.NDArray[np.int64]) -> list[float | None]:
    """Return seconds that give the nanoseconds again; since the first frame where these cannot."""
    known = timestamps != MISSING_TIME
    exact = all(round(int(ns) / 1e9 * 1e9) == ns for ns in timestamps[known])
    start = 0 if exact or not known.any() else int(timestamps[known][0])
    return [
        (int(ns) - start) / 1e9 if there else None
        for ns, there in zip(timestamps, known, strict=True)
    ]
