"""Open a sequence file and read it, in any process and any thread."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.errors import FormatError, UsageError
from depthdata.sequence.index import Header, Index, read_index
from depthdata.sequence.schema import Boxes, Objects, PoseSet, StereoPair, Tracks
from depthdata.sequence.stereo import DerivedStream, StereoGeometry
from depthdata.sequence.storage import ByteSource, open_bytes
from depthdata.sequence.streams import DenseStream, Stream, make_stream

__all__ = ["Camera", "Sequence", "open_sequence"]

Table = TypeVar("Table")

_ROOT_FACTS = (
    "format",
    "version",
    "dataset",
    "sequence",
    "split",
    "licence",
    "citation",
    "converter",
    "source_fingerprint",
    "profile",
    "digest",
    "state",
)


def open_sequence(path: str | os.PathLike[str], check: bool = True) -> Sequence:
    """Open a sequence file.

    Parameters
    ----------
    path : str or Path
        A local file, or a URL (``https://...``; needs fsspec), read by ranges.
    check : bool
        Compare every frame with its xxh3 checksum when it is read (about 0.5 % of decoding).

    Returns
    -------
    Sequence
        Picklable, safe with fork, spawn and threads; files open when a frame is first read.

    Raises
    ------
    FormatError
        Not a sequence file, incomplete, truncated, damaged, or of a newer format.
    UsageError
        No such file.
    """
    source = open_bytes(path)
    header, index = read_index(source)
    return Sequence(source, header, index, check)


class Sequence:
    """One sequence; made by `open_sequence`.

    Attributes
    ----------
    path : str
        Where it was opened.
    dataset, name : str
        Names of the source dataset and of the sequence.
    split : str or None
        The source's own split.
    licence, citation, converter, source_fingerprint : str
        Where the data came from and on what terms.
    profile : "default" or "portable"
        How dense frames are compressed.
    digest : str
        Of the content; the same for the default and the portable profile.
    attrs : dict
        Further facts.
    timestamps : (T,) int64
        Nanoseconds; `MISSING_TIME` where unknown.
    frame_ids : tuple of str
        The source's own names of the frames.
    cameras : mapping of str to Camera
        In the order of writing.
    stereo_pairs : tuple of StereoPair
        Rectified pairs.
    pose_sets : mapping of str to PoseSet
        Trajectories by name, where the source gives several or names them.
    """

    def __init__(self, source: ByteSource, header: Header, index: Index, check: bool) -> None:
        self._source, self._header, self._index = _Unchanged(source, header), header, index
        self._check = check
        root = index.groups[""]
        self.path: str = source.name
        self.dataset: str = root["dataset"]
        self.name: str = root["sequence"]
        self.split: str | None = root["split"]
        self.licence: str = root["licence"]
        self.citation: str = root["citation"]
        self.converter: str = root["converter"]
        self.source_fingerprint: str = root["source_fingerprint"]
        self.profile: str = root["profile"]
        self.digest: str = root["digest"]
        self.attrs: dict[str, Any] = {k: v for k, v in root.items() if k not in _ROOT_FACTS}
        self.timestamps: npt.NDArray[np.int64] = index.arrays["timestamps"]
        self.frame_ids: tuple[str, ...] = tuple(_texts(index.arrays["frame_ids"]))
        baselines = index.arrays.get("stereo_baselines")
        self.stereo_pairs: tuple[StereoPair, ...] = tuple(
            StereoPair(
                left.decode(),
                right.decode(),
                baseline if baseline > 0 else math.nan,  # the one object: pairs compare equal
                None if baselines is None else baselines[k],
            )
            for k, (left, right, baseline) in enumerate(index.arrays["stereo_pairs"].tolist())
        )
        self.pose_sets: Mapping[str, PoseSet] = MappingProxyType(
            {
                path.removeprefix("pose_sets/"): PoseSet(
                    path.removeprefix("pose_sets/"),
                    facts["reference"],
                    index.arrays[f"{path}/T_world_ref"],
                    index.arrays[f"{path}/T_rig_ref"],
                    facts["provenance"],
                )
                for path, facts in index.groups.items()
                if path.startswith("pose_sets/")
            }
        )
        names = [path.split("/")[1] for path in index.groups if path.count("/") == 1]
        cameras = [name for name in names if f"cameras/{name}" in index.groups]
        self._cameras = {
            name: Camera(self._source, index, name, len(self), check) for name in cameras
        }
        for pair in self.stereo_pairs:
            views = [self._cameras[pair.left], self._cameras[pair.right]]
            if pair.baseline > 0 and all(view.calibrated for view in views):
                for view in views:
                    view._derive(partial(self._geometry, pair))

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """Cameras by name."""
        return MappingProxyType(self._cameras)

    @property
    def tracks(self) -> Mapping[str, Tracks]:
        """Trajectories by camera; read when a camera is asked for."""
        return _ByCamera(self, "tracks", self._tracks)

    def _tracks(self, columns: dict[str, Any]) -> Tracks:
        return Tracks(**{**columns, "visible": columns["visible"].astype(np.bool_)})

    @property
    def boxes(self) -> Mapping[str, Boxes]:
        """2-D boxes by camera; read when a camera is asked for."""
        return _ByCamera(self, "boxes", self._boxes)

    def _boxes(self, columns: dict[str, Any]) -> Boxes:
        return Boxes(**{**columns, "category": np.array(_texts(columns["category"]), np.str_)})

    @property
    def objects(self) -> Objects | None:
        """3-D boxes, or None where the source has none."""
        if "objects" not in self._index.groups:
            return None
        columns = self._blocks("objects")
        columns["category"] = np.array(_texts(columns["category"]), np.str_)
        if "moving" in columns:
            columns["moving"] = columns["moving"].astype(np.bool_)
        return Objects(**columns)

    def stereo_geometry(self, camera: str, t: int) -> StereoGeometry:
        """Return what turns depth into disparity for a camera of a stereo pair, at frame `t`.

        For disparity by the calibration of ANOTHER frame, as some protocols have it, ask for that
        frame's geometry.

        Raises
        ------
        UsageError
            The camera belongs to no pair, or the pair's calibration is not known.
        """
        for pair in self.stereo_pairs:
            if camera in (pair.left, pair.right):
                views = (self._cameras[pair.left], self._cameras[pair.right])
                if not pair.baseline > 0 or not all(view.calibrated for view in views):
                    raise UsageError(
                        f"{self.path}: the source tells no calibration of {pair.left} and "
                        f"{pair.right}, so depth and disparity do not follow from each other"
                    )
                return self._geometry(pair, t)
        raise UsageError(
            f"{self.path}: camera {camera!r} belongs to no stereo pair, so depth and disparity do "
            "not follow from each other"
        )

    def _geometry(self, pair: StereoPair, t: int) -> StereoGeometry:
        left = self._cameras[pair.left].intrinsics(t)
        right = self._cameras[pair.right].intrinsics(t)
        return StereoGeometry(float(left[0, 0]), pair.at(t), float(right[0, 2] - left[0, 2]))

    def __len__(self) -> int:
        return len(self.timestamps)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.path, self._header, self._index, self._check)

    def __enter__(self) -> Sequence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Sequence {self.dataset} {self.name}: {len(self)} frames, "
            f"cameras {', '.join(self._cameras)}>"
        )

    def close(self) -> None:
        """Close what is open; reading a frame opens it again."""
        self._source.close()

    def _blocks(self, group: str) -> dict[str, Any]:
        return {
            path.rpartition("/")[2]: self._block(path)
            for path in self._index.blocks
            if path.rpartition("/")[0] == group
        }

    def _block(self, path: str) -> npt.NDArray[Any]:
        block = self._index.blocks[path]
        data = self._source.read(block.offset, block.nbytes) if block.nbytes else b""
        if self._check and f"{xxhash.xxh3_64_intdigest(data):016x}" != block.xxh3:
            raise FormatError(f"{self.path}: {path}: damaged: its checksum does not match")
        return np.frombuffer(data, block.dtype).reshape(block.shape)


class Camera:
    """One camera; its streams are items (``camera["masks/moving"]``) and attributes.

    Attributes
    ----------
    name : str
        ``left``, ``front`` ...
    height, width : int
        Size of the stored images.
    model : str
        ``"pinhole"`` for rectified images.
    distortion : (n,) float64 or None
        Coefficients of `distortion_model`.
    distortion_model : str or None
        Its name.
    transform : dict
        What moved the data away from the source; empty where nothing did.
    timestamps : (T,) int64
        The camera's own, or the timeline.
    poses : (T, 4, 4) float64 or None
        `T_world_cam`, NaN where unknown.
    T_rig_cam : (4, 4) float64 or None
        Pose on the rig.
    streams : tuple of str
        Names of what is stored.
    derived : tuple of str
        ``depth`` or ``disparity`` where it is not stored but follows from the other one.
    """

    def __init__(
        self, source: ByteSource, index: Index, name: str, length: int, check: bool
    ) -> None:
        group = f"cameras/{name}"
        facts, arrays = index.groups[group], index.arrays
        self.name = name
        self.height: int = facts["height"]
        self.width: int = facts["width"]
        self.model: str = facts["model"]
        self.distortion: npt.NDArray[np.float64] | None = arrays.get(f"{group}/distortion")
        self.distortion_model: str | None = facts["distortion_model"]
        self.transform: dict[str, Any] = dict(facts["transform"] or {})
        self.poses: npt.NDArray[np.float64] | None = arrays.get(f"{group}/T_world_cam")
        self.T_rig_cam: npt.NDArray[np.float64] | None = arrays.get(f"{group}/T_rig_cam")
        own_times = arrays.get(f"{group}/timestamps")
        self.timestamps: npt.NDArray[np.int64] = (
            arrays["timestamps"] if own_times is None else own_times
        )
        self._length = length
        self._intrinsics = arrays[f"{group}/intrinsics"]
        self._streams: dict[str, Stream] = {}
        for path in index.groups:
            if path.startswith(f"{group}/"):
                stream, size = path.removeprefix(f"{group}/"), (self.height, self.width)
                made = make_stream(source, index, path, stream, length, size, check)
                if made is not None:
                    self._streams[stream] = made
        for stored in self._streams.values():
            valid = self._streams.get(f"{stored.name}_valid")
            if isinstance(stored, DenseStream) and isinstance(valid, DenseStream):
                stored.valid = valid
        self._derived: dict[str, DerivedStream] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the stored streams, in the order of writing."""
        return tuple(self._streams)

    @property
    def calibrated(self) -> bool:
        """Whether the source tells the intrinsics; nominal ones stand for them where it does not.

        The fact ``"intrinsics": "unknown"`` of `transform` says so.
        """
        return self.transform.get("intrinsics") != "unknown"

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the streams that are not stored but follow from one that is."""
        return tuple(self._derived)

    def _derive(self, geometry: Callable[[int], StereoGeometry]) -> None:
        """Offer depth where disparity is stored, and the other way round."""
        for name, source in (("depth", "disparity"), ("disparity", "depth")):
            if source in self._streams and name not in (*self._streams, *self._derived):
                self._derived[name] = DerivedStream(name, self._streams[source], geometry)

    def __getitem__(self, name: str) -> Any:
        found = self._streams.get(name, self._derived.get(name))
        if found is None:
            raise UsageError(
                f"camera {self.name}: no stream {name!r}; there are "
                f"{', '.join((*self._streams, *self._derived))}"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        for streams in (self.__dict__.get("_streams", {}), self.__dict__.get("_derived", {})):
            if name in streams:
                return streams[name]
        raise AttributeError(
            f"camera {self.__dict__.get('name')} has no stream or attribute {name!r}; "
            f"there are the streams {', '.join((*self._streams, *self._derived))}"
        )

    def __dir__(self) -> list[str]:
        return [
            *super().__dir__(),
            *(name for name in (*self._streams, *self._derived) if "/" not in name),
        ]

    def __repr__(self) -> str:
        return f"<Camera {self.name} {self.height}x{self.width}: {', '.join(self._streams)}>"

    def intrinsics(self, t: int) -> npt.NDArray[np.float64]:
        """Return the (3, 3) matrix of frame `t`, for the stored size."""
        matrix = self._intrinsics
        return np.array(matrix if matrix.ndim == 2 else matrix[self._frame(t)])

    def pose(self, t: int) -> npt.NDArray[np.float64]:
        """Return `T_world_cam` (4, 4) of frame `t`, NaN where unknown."""
        frame = self._frame(t)
        return np.full((4, 4), np.nan) if self.poses is None else np.array(self.poses[frame])

    def _frame(self, t: int) -> int:
        if not -self._length <= t < self._length:
            raise IndexError(f"camera {self.name}: frame {t} of {self._length}")
        return t


class _ByCamera(Mapping[str, Table]):
    """Reads the tracks or boxes of a camera when it is asked for."""

    def __init__(
        self, sequence: Sequence, kind: str, make: Callable[[dict[str, Any]], Table]
    ) -> None:
        self._sequence, self._kind, self._make = sequence, kind, make
        groups = [path.split("/") for path in sequence._index.groups]
        self._names = [parts[1] for parts in groups if len(parts) == 2 and parts[0] == kind]

    def __getitem__(self, camera: str) -> Table:
        if camera not in self._names:
            raise KeyError(camera)
        return self._make(self._sequence._blocks(f"{self._kind}/{camera}"))

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Unchanged:
    """Bytes of a file that must still be the one whose index was read."""

    def __init__(self, source: ByteSource, header: Header) -> None:
        self.name = source.name
        self._source, self._header = source, header
        self._pid = os.getpid()

    def size(self) -> int:
        return self._source.size()

    def read(self, offset: int, size: int) -> bytes:
        if self._pid != os.getpid():
            self._confirm()
        return self._source.read(offset, size)

    def close(self) -> None:
        self._source.close()
        self._pid = 0

    def _confirm(self) -> None:
        if Header.read(self._source) != self._header:
            raise FormatError(f"{self.name}: changed since it was opened; open it again")
        self._pid = os.getpid()


def _rebuild(path: str, header: Header, index: Index, check: bool) -> Sequence:
    source = open_bytes(path)
    sequence = Sequence(source, header, index, check)
    sequence._source._pid = 0  # compare the file with the header before the first read
    return sequence


def _texts(values: npt.NDArray[np.bytes_]) -> list[str]:
    return [value.decode() for value in values.tolist()]
