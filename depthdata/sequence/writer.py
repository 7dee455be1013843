"""Write one sequence file: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, UsageError
from depthdata.sequence.camera_writer import CameraWriter
from depthdata.sequence.inputs import plain_facts
from depthdata.sequence.integrity import verify
from depthdata.sequence.part import PartFile
from depthdata.sequence.schema import FORMAT, VERSION, Profile, check_name
from depthdata.sequence.spool import Waiting
from depthdata.sequence.target import Target
from depthdata.sequence.track_writer import TracksSink

__all__ = ["SequenceWriter"]

_RECORD = ("dataset", "sequence", "split", "licence", "citation", "converter", "source_fingerprint")


class SequenceWriter:
    """Context manager that writes one sequence; the final name appears on a clean exit only.

    Parameters
    ----------
    path : str or Path
        The final name, ``<sequence>.h5``. An older file of that name is replaced at the end.
    dataset, sequence : str
        Names of the source dataset and of the drive, scene, segment or clip.
    split : str, optional
        The source's own split.
    licence, citation : str
        Of the source.
    converter : str
        Program and version that write this, for example ``"depthdata kitti_raw 1"``.
    source_fingerprint : str
        Digest of what was read.
    profile : {"default", "portable"}
        Dense frames with zstd (needs hdf5plugin in plain h5py), or with gzip (needs nothing).
    attrs : mapping, optional
        Further facts, anything that JSON holds.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from depthdata.sequence import open_sequence
    >>> path = Path(tempfile.mkdtemp()) / "clip.h5"
    >>> with SequenceWriter(path, dataset="mine", sequence="clip") as writer:
    ...     writer.timeline(np.array([0, 100_000_000]), ["a", "b"])
    ...     camera = writer.camera("left", height=2, width=3, intrinsics=np.eye(3))
    ...     camera.dense("depth", [np.ones((2, 3)), np.full((2, 3), 2.0)], missing="nan")
    >>> open_sequence(path).cameras["left"].depth[1].max()
    np.float32(2.0)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dataset: str,
        sequence: str,
        split: str | None = None,
        licence: str = "",
        citation: str = "",
        converter: str = "",
        source_fingerprint: str = "",
        profile: Profile = "default",
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        if profile not in ("default", "portable"):
            raise UsageError(f"profile must be 'default' or 'portable', found {profile!r}")
        self.path = Path(path)
        record = (dataset, sequence, split, licence, citation, converter, source_fingerprint)
        self._facts: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            **dict(zip(_RECORD, record, strict=True)),
            "profile": profile,
        }
        extra = plain_facts(dict(attrs or {}))
        clash = sorted(set(extra) & {*self._facts, "digest", "state"})
        if clash:
            raise UsageError(f"{self.path.name}: fact {clash[0]} is the format's own")
        self._facts |= extra
        self._profile: Profile = profile
        self._frames = -1
        self._cameras: dict[str, CameraWriter] = {}
        self._pairs: list[tuple[str, str, npt.NDArray[np.float64]]] = []
        self._tracks: list[TracksSink] = []
        self._part: PartFile | None = None
        self._waiting = Waiting()
        self._target: Target | None = None

    def __enter__(self) -> SequenceWriter:
        self._part = PartFile(self.path)
        try:
            self._target = Target(self._part.path, self._profile)
            self._target.group("", self._facts)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._commit()
        except BaseException:
            self._discard()
            raise

    def timeline(
        self, timestamps: Sequence[int] | npt.NDArray[Any], frame_ids: Sequence[str]
    ) -> None:
        """Say when the frames are and what the source calls them; the first call.

        Parameters
        ----------
        timestamps : (T,) int64
            Nanoseconds; `MISSING_TIME` where unknown.
        frame_ids : (T,) str
            The source's own names.
        """
        target = self._open_target()
        if self._frames >= 0:
            raise UsageError(f"{self.path.name}: timeline is called twice")
        times = _times(timestamps, len(frame_ids), "timeline")
        if not len(times):
            raise UsageError(f"{self.path.name}: a sequence needs at least one frame")
        if len(set(frame_ids)) != len(frame_ids):
            raise UsageError(f"{self.path.name}: frame_ids are not all different")
        self._frames = len(times)
        target.array("timestamps", times)
        target.array("frame_ids", _texts(frame_ids))

    def stereo_pair(self, left: str, right: str, baseline: npt.ArrayLike | None) -> None:
        """Say that two cameras are a rectified pair.

        `baseline` in metres: one number, (T,) where it varies from frame to frame, or None where
        the source does not tell; disparity and depth do not follow from each other then.
        """
        metres = np.asarray(np.nan if baseline is None else baseline, np.float64)
        known = baseline is None or (metres > 0).all()
        if left == right or metres.ndim > 1 or not metres.size or not known:
            raise UsageError(
                f"stereo pair {left}, {right}: expected two cameras and a baseline above 0, "
                f"found {metres.tolist() if metres.size < 4 else metres.min()}"
            )
        self._pairs.append((left, right, metres))

    def camera(
        self,
        name: str,
        *,
        height: int,
        width: int,
        intrinsics: npt.ArrayLike,
        model: str = "pinhole",
        distortion: npt.ArrayLike | None = None,
        distortion_model: str | None = None,
        T_world_cam: npt.ArrayLike | None = None,
        T_rig_cam: npt.ArrayLike | None = None,
        timestamps: Sequence[int] | npt.NDArray[Any] | None = None,
        transform: Mapping[str, Any] | None = None,
    ) -> CameraWriter:
        """Add a camera and return the writer of its streams.

        Parameters
        ----------
        name : str
            ``left``, ``front`` ...
        height, width : int
            Size of the stored images.
        intrinsics : (3, 3) or (T, 3, 3) float64
            For the stored size, pixel centres at integers.
        model : str
            ``"pinhole"`` unless the stored image is not rectified.
        distortion : (n,) float64, optional
            Coefficients of `distortion_model`.
        distortion_model : str, optional
            For example ``"opencv"``.
        T_world_cam : (T, 4, 4) float64, optional
            Poses; rows of NaN where unknown.
        T_rig_cam : (4, 4) float64, optional
            Pose on the rig.
        timestamps : (T,) int64, optional
            The camera's own, where they differ from the timeline.
        transform : mapping, optional
            What moved the data away from the source (crop, resize, axes), so that it can be undone.
        """
        target = self._open_target()
        if self._frames < 0:
            raise UsageError(f"camera {name}: call timeline first")
        if check_name(name, "camera") in self._cameras:
            raise UsageError(f"camera {name}: is there already")
        if height < 1 or width < 1:
            raise UsageError(f"camera {name}: expected a size above 0, found {height}x{width}")
        if (distortion is None) != (distortion_model is None):
            raise UsageError(f"camera {name}: distortion and distortion_model belong together")
        group, frames = f"cameras/{name}", self._frames
        target.group(
            group,
            {
                "height": int(height),
                "width": int(width),
                "model": model,
                "distortion_model": distortion_model,
                "transform": None if transform is None else plain_facts(dict(transform)),
            },
        )
        matrix = _matrix(intrinsics, f"camera {name}: intrinsics", [(3, 3), (frames, 3, 3)])
        if not np.isfinite(matrix).all() or not (matrix[..., 2, :] == (0, 0, 1)).all():
            raise UsageError(f"camera {name}: intrinsics must be finite with last row 0 0 1")
        target.array(f"{group}/intrinsics", matrix)
        if distortion is not None:
            target.array(f"{group}/distortion", np.asarray(distortion, "<f8").reshape(-1))
        if T_world_cam is not None:
            poses = _matrix(T_world_cam, f"camera {name}: T_world_cam", [(frames, 4, 4)])
            target.array(f"{group}/T_world_cam", _rigid(poses, f"camera {name}: T_world_cam"))
        if T_rig_cam is not None:
            pose = _matrix(T_rig_cam, f"camera {name}: T_rig_cam", [(4, 4)])
            target.array(f"{group}/T_rig_cam", _rigid(pose, f"camera {name}: T_rig_cam"))
        if timestamps is not None:
            target.array(f"{group}/timestamps", _times(timestamps, frames, f"camera {name}"))
        assert self._part is not None
        camera = CameraWriter(
            target, name, int(height), int(width), frames, self._part.spool, self._waiting
        )
        self._cameras[name] = camera
        return camera

    def pose_set(
        self,
        name: str,
        T_world_ref: npt.ArrayLike,
        *,
        reference: str,
        T_rig_ref: npt.ArrayLike | None = None,
        provenance: str = "",
    ) -> None:
        """Add a trajectory as the source gives it, where there are several; see `PoseSet`.

        `T_world_ref` (T, 4, 4), of a camera or the rig's frame called `reference`, which is at
        `T_rig_ref` (4, 4) on the rig; left out, it is the rig's frame itself.
        """
        target, where = self._open_target(), f"pose set {name}"
        group = f"pose_sets/{check_name(name, 'pose set')}"
        if self._frames < 0 or group in target.index.groups:
            raise UsageError(f"{where}: expected once, after timeline")
        poses = _matrix(T_world_ref, f"{where}: T_world_ref", [(self._frames, 4, 4)])
        rig = _matrix(np.eye(4) if T_rig_ref is None else T_rig_ref, where, [(4, 4)])
        target.group(group, {"reference": reference, "provenance": provenance})
        target.array(f"{group}/T_world_ref", _rigid(poses, where))
        target.array(f"{group}/T_rig_ref", _rigid(rig, where))

    def tracks(
        self,
        camera: str,
        xy: npt.ArrayLike,
        visible: npt.ArrayLike,
        xyz_world: npt.ArrayLike | None = None,
    ) -> None:
        """Add the trajectories of N points: `xy` (T, N, 2), `visible` (T, N), `xyz_world`."""
        positions, seen = np.asarray(xy, "<f4"), np.asarray(visible)
        count = positions.shape[1] if positions.ndim == 3 else 0
        if positions.shape[:1] != (self._frames,) or seen.shape[:1] != (self._frames,):
            raise UsageError(
                f"tracks of {camera}: expected {self._frames} frames, found xy {positions.shape} "
                f"and visible {seen.shape}"
            )
        world = None if xyz_world is None else np.asarray(xyz_world, "<f4")
        if world is not None and world.shape != (*positions.shape[:2], 3):
            raise UsageError(
                f"tracks of {camera}: xyz_world should be {(*positions.shape[:2], 3)}, "
                f"found {world.shape}"
            )
        sink = self.open_tracks(camera, count, xyz_world=world is not None)
        for t in range(self._frames):
            sink.add(positions[t], seen[t], None if world is None else world[t])

    def open_tracks(self, camera: str, count: int, *, xyz_world: bool = False) -> TracksSink:
        """Begin the trajectories of `count` points, to be given one frame at a time.

        `xyz_world` announces their place in the world.
        """
        target = self._open_target()
        if camera not in self._cameras or f"tracks/{camera}" in target.index.groups:
            raise UsageError(f"tracks of {camera}: expected a camera of this file, once")
        sink = TracksSink(target, camera, self._frames, int(count), xyz_world)
        self._tracks.append(sink)
        return sink

    def boxes(
        self,
        camera: str,
        frame: npt.ArrayLike,
        id: npt.ArrayLike,
        category: Sequence[str],
        rectangle: npt.ArrayLike,
    ) -> None:
        """Add the 2-D boxes of a camera's images, one row per box and frame; see `Boxes`."""
        target, group = self._open_target(), f"boxes/{camera}"
        if camera not in self._cameras or group in target.index.groups:
            raise UsageError(f"boxes of {camera}: expected a camera of this file, once")
        rows = len(category)
        frames = self._frame_column(frame, rows, f"boxes of {camera}")
        ids = _matrix(id, f"boxes of {camera}: id", [(rows,)], "<i8")
        sides = _matrix(rectangle, f"boxes of {camera}: rectangle", [(rows, 4)])
        target.group(group, {"unit": "px"})
        target.whole_block(f"{group}/frame", frames)
        target.whole_block(f"{group}/id", ids)
        target.whole_block(f"{group}/category", _texts(category))
        target.whole_block(f"{group}/rectangle", sides)

    def objects(
        self,
        frame: npt.ArrayLike,
        id: npt.ArrayLike,
        category: Sequence[str],
        T_world_box: npt.ArrayLike,
        size: npt.ArrayLike,
        velocity: npt.ArrayLike | None = None,
        moving: npt.ArrayLike | None = None,
    ) -> None:
        """Add the 3-D boxes of the sequence, one row per box and frame; see `Objects`."""
        target = self._open_target()
        if "objects" in target.index.groups:
            raise UsageError("objects: are there already")
        rows = len(category)
        frames = self._frame_column(frame, rows, "objects")
        boxes = _matrix(T_world_box, "objects: T_world_box", [(rows, 4, 4)])
        target.group("objects", {"unit": "m", "velocity_unit": "m/s"})
        target.whole_block("objects/frame", frames)
        target.whole_block("objects/id", _matrix(id, "objects: id", [(rows,)], "<i8"))
        target.whole_block("objects/category", _texts(category))
        target.whole_block("objects/T_world_box", _rigid(boxes, "objects: T_world_box"))
        target.whole_block("objects/size", _matrix(size, "objects: size", [(rows, 3)]))
        if velocity is not None:
            speed = _matrix(velocity, "objects: velocity", [(rows, 3)])
            target.whole_block("objects/velocity", speed)
        if moving is not None:
            flags = _matrix(moving, "objects: moving", [(rows,)], "|u1")
            target.whole_block("objects/moving", flags)

    def _frame_column(self, frame: npt.ArrayLike, rows: int, where: str) -> npt.NDArray[np.int64]:
        frames: npt.NDArray[np.int64] = _matrix(frame, f"{where}: frame", [(rows,)], "<i8")
        if rows and (frames.min() < 0 or frames.max() >= self._frames):
            raise UsageError(f"{where}: frame must lie within 0 to {self._frames - 1}")
        return frames

    def _open_target(self) -> Target:
        if self._target is None:
            raise UsageError(f"{self.path.name}: use `with SequenceWriter(...) as writer`")
        return self._target

    def _commit(self) -> None:
        target, part = self._open_target(), self._part
        assert part is not None
        if not self._cameras:
            raise UsageError(f"{self.path.name}: a sequence needs a timeline and a camera")
        for camera in self._cameras.values():
            camera.finish()
        for sink in self._tracks:
            sink.finish()
        self._write_pairs(target)
        target.group("", {"digest": target.content_digest()})
        target.index.groups[""]["state"] = "complete"
        target.finish()
        part.commit(_checked)
        self._target = self._part = None

    def _write_pairs(self, target: Target) -> None:
        missing = {name for pair in self._pairs for name in pair[:2]} - set(self._cameras)
        if missing:
            raise UsageError(f"stereo pair: no camera {sorted(missing)[0]} in this file")
        lefts = _texts([pair[0] for pair in self._pairs])
        rights = _texts([pair[1] for pair in self._pairs])
        dtype = [("left", lefts.dtype), ("right", rights.dtype), ("baseline", "<f8")]
        table = np.zeros(len(self._pairs), dtype)
        table["left"], table["right"] = lefts, rights
        table["baseline"] = [metres.flat[0] for _, _, metres in self._pairs]
        target.array("stereo_pairs", table)
        every = np.empty((len(self._pairs), self._frames))
        for row, (left, right, metres) in zip(every, self._pairs, strict=True):
            if metres.ndim and len(metres) != self._frames:
                raise UsageError(
                    f"stereo pair {left}, {right}: expected 1 or {self._frames} baselines, "
                    f"found {len(metres)}"
                )
            row[:] = metres
        if (every[:, 1:] != every[:, :1]).any() and not np.isnan(every).all():
            target.array("stereo_baselines", every)

    def _discard(self) -> None:
        # On a full disk closing fails too; what was written must go all the same.
        for owner in (*self._cameras.values(), self._target):
            if owner is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    owner.close()
        if self._part is not None:
            self._part.discard()
        self._target = self._part = None


def _checked(part: Path) -> None:
    report = verify(part)
    if not report.ok:
        raise FormatError(f"{part}: damaged while it was written: {report.problems[0]}")


def _times(
    timestamps: Sequence[int] | npt.NDArray[Any], count: int, where: str
) -> npt.NDArray[np.int64]:
    times = np.asarray(timestamps)
    if times.shape != (count,) or times.dtype.kind not in "iu":
        raise UsageError(
            f"{where}: expected {count} integer timestamps (nanoseconds), "
            f"found {times.dtype} {times.shape}"
        )
    return times.astype("<i8")


def _texts(values: Sequence[str]) -> npt.NDArray[np.bytes_]:
    encoded = [str(value).encode() for value in values]
    if any(b"\0" in value for value in encoded):
        raise UsageError("text with NUL cannot be stored")
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")


def _matrix(
    values: npt.ArrayLike, where: str, shapes: Sequence[tuple[int, ...]], dtype: str = "<f8"
) -> npt.NDArray[Any]:
    array = np.ascontiguousarray(values).astype(dtype)
    if array.shape not in shapes:
        expected = " or ".join(map(str, shapes))
        raise UsageError(f"{where}: expected {expected}, found {array.shape}")
    return array


def _rigid(poses: npt.NDArray[np.float64], where: str) -> npt.NDArray[np.float64]:
    known = np.isfinite(poses).all(axis=(-1, -2))
    if not (
        poses[known][:, 3] == (0, 0, 0, 1) if poses.ndim == 3 else poses[3] == (0, 0, 0, 1)
    ).all():
        raise UsageError(f"{where}: expected a last row 0 0 0 1")
    return poses
