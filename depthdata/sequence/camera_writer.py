"""One camera of a sequence being written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.codecs.images import image_size
from depthdata.errors import FormatError, UsageError
from depthdata.sequence.inputs import Blob, blob_bytes, exactly, plain_facts
from depthdata.sequence.points import Points
from depthdata.sequence.schema import check_stream_name, is_picture, quantity_of, stream_size
from depthdata.sequence.spool import PointSpool, Waiting
from depthdata.sequence.target import Target, write_all
from depthdata.sequence.values import Missing, check_missing, to_stored

__all__ = ["CameraWriter", "PointsSink", "plain_facts"]


class CameraWriter:
    """Streams of one camera; made by `SequenceWriter.camera`.

    Every stream method consumes its frames one by one, so a sequence is never held in memory.
    """

    def __init__(
        self,
        target: Target,
        name: str,
        height: int,
        width: int,
        frames: int,
        spool_base: Any,
        waiting: Waiting,
    ) -> None:
        self.name, self.height, self.width = name, height, width
        self._target, self._frames, self._spool_base = target, frames, spool_base
        self._waiting = waiting
        self._streams: set[str] = set()
        self._spools: list[PointSpool] = []
        self._sinks: list[PointsSink] = []

    def encoded(
        self,
        name: str,
        blobs: Iterable[Blob],
        sizes: Sequence[int] | npt.NDArray[Any],
        *,
        encoding: str,
        channels: int = 3,
        frame_index: Sequence[int] | npt.NDArray[Any] | None = None,
        provenance: str = "",
        **facts: Any,
    ) -> None:
        """Store the source's own image files, untouched.

        Parameters
        ----------
        name : str
            ``rgb``; a derived size is ``rgb_<h>x<w>`` (with the fact ``derived_from``).
        blobs : iterable of bytes or paths
            One file a frame.
        sizes : (n,) int
            Their lengths in bytes, known beforehand.
        encoding : {"png", "jpeg"}
            JPEG only for pictures, never for a quantity.
        channels : {1, 3}
            Of the decoded image.
        frame_index : (n,) int, optional
            The frames that have one, ascending; all frames where it is left out.
        provenance : str
            Where the stream came from.
        **facts
            Further attributes, anything that JSON holds.

        Raises
        ------
        UsageError
            Wrong name, count or encoding.
        FormatError
            A blob's length or header is not as stated; the message names the frame.
        """
        if encoding not in ("png", "jpeg"):
            raise UsageError(f"{name}: encoding must be 'png' or 'jpeg', found {encoding!r}")
        if encoding == "jpeg" and not is_picture(name):
            raise UsageError(f"{name}: a quantity must never meet JPEG; store PNG or dense")
        group, index = self._begin(name, frame_index)
        sizes = np.asarray(sizes, np.int64)
        if sizes.shape != index.shape or (sizes <= 0).any():
            raise UsageError(
                f"{name}: expected {len(index)} sizes above 0, found {sizes.shape} "
                f"with minimum {sizes.min(initial=0)}"
            )
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
        block = self._target.block(f"{group}/data", "u1", (int(offsets[-1]),))
        digests = np.zeros(len(index), np.uint64)
        depth = 8
        for k, blob in enumerate(exactly(blobs, len(index), name)):
            data = blob_bytes(blob)
            if len(data) != sizes[k]:
                raise FormatError(
                    f"{self._where(name, index[k])}: expected {sizes[k]} bytes, found {len(data)}"
                )
            bits = self._check_image(name, int(index[k]), data, encoding, channels)
            if k and bits != depth:
                raise FormatError(
                    f"{self._where(name, index[k])}: expected {depth} bits, found {bits}"
                )
            depth = bits
            digests[k] = xxhash.xxh3_64_intdigest(data)
            write_all(self._target.fd, memoryview(data), block.offset + int(offsets[k]))
        self._target.array(f"{group}/offsets", offsets)
        self._target.array(f"{group}/xxh3", digests)
        self._facts(
            group,
            name,
            facts,
            kind="encoded",
            encoding=encoding,
            channels=channels,
            bit_depth=depth,
            provenance=provenance,
        )

    def dense(
        self,
        name: str,
        frames: Iterable[npt.NDArray[Any]],
        *,
        dtype: npt.DTypeLike = "float32",
        frame_index: Sequence[int] | npt.NDArray[Any] | None = None,
        unit: str | None = None,
        scale: float | None = None,
        missing: Missing = None,
        provenance: str = "",
        **facts: Any,
    ) -> None:
        """Store one array a frame, losslessly compressed.

        Parameters
        ----------
        name : str
            ``depth``, ``disparity``, ``flow_forward``, ``instances``, ``masks/<kind>`` ...
        frames : iterable of (H, W) or (2, H, W) arrays
            Flow is planar: ``[0]`` is dx, ``[1]`` is dy.
        dtype : dtype
            What is stored; the source's own representation is best.
        frame_index : (n,) int, optional
            The frames that have one, ascending; all frames where it is left out.
        unit : str, optional
            ``"m"``, ``"px"``; left out it follows from the quantity.
        scale : float, optional
            For whole numbers: value = stored * scale.
        missing : "nan", number or None
            The stored value that means "not measured".
        provenance : str
            Where the stream came from.
        **facts
            Further attributes, anything that JSON holds.
        """
        kind = np.dtype(dtype)
        kind = kind.newbyteorder("<") if kind.itemsize > 1 else kind
        missing = check_missing(missing, kind, scale)
        group, index = self._begin(name, frame_index)
        quantity = str(facts.get("quantity", quantity_of(name)))
        planes = (2,) if quantity == "flow" else ()
        shape = (*planes, *stream_size(name, self.height, self.width))
        chunks = self._target.chunked(f"{group}/data", kind, (len(index), *shape))
        for k, frame in enumerate(exactly(frames, len(index), name)):
            values = np.asarray(frame)
            if values.shape != shape:
                raise UsageError(
                    f"{self._where(name, index[k])}: expected {shape}, found {values.shape}"
                )
            where = self._where(name, index[k])
            chunks.write(to_stored(values, kind, scale, missing, where))
        chunks.finish()
        self._facts(
            group,
            name,
            facts,
            kind="dense",
            unit=unit,
            scale=scale,
            missing=missing,
            provenance=provenance,
        )

    def points(
        self,
        name: str,
        frames: Iterable[Points],
        *,
        frame_index: Sequence[int] | npt.NDArray[Any] | None = None,
        unit: str | None = None,
        provenance: str = "",
        **facts: Any,
    ) -> None:
        """Store sparse measurements, uncompressed and in the source's order.

        Parameters
        ----------
        name : str
            ``depth``, ``disparity`` ...
        frames : iterable of Points
            All of one kind and the same columns.
        frame_index : (n,) int, optional
            The frames that have one, ascending; all frames where it is left out.
        unit : str, optional
            ``"m"``, ``"px"``; left out it follows from the quantity.
        provenance : str
            Where the stream came from.
        **facts
            Further attributes; ``projection`` (3, 4) maps a homogeneous sensor point to
            ``(x * z, y * z, z)``.
        """
        sink = self.open_points(
            name, frame_index=frame_index, unit=unit, provenance=provenance, **facts
        )
        for points in frames:
            sink.add(points)
        sink.finish()

    def open_points(
        self,
        name: str,
        *,
        frame_index: Sequence[int] | npt.NDArray[Any] | None = None,
        unit: str | None = None,
        provenance: str = "",
        **facts: Any,
    ) -> PointsSink:
        """Begin a stream as `points` does, to be given its frames one at a time.

        For a sensor that several cameras share: each scan is read once and added to every camera.
        """
        group, index = self._begin(name, frame_index)
        size = stream_size(name, self.height, self.width)
        spool = PointSpool(group, self._spool_base, size, self._waiting)
        self._spools.append(spool)

        def finish() -> None:
            self._facts(
                group,
                name,
                facts,
                kind="points",
                point_kind=spool.kind,
                one_per_pixel=spool.kind == "pixel" and spool.one_per_pixel,
                unit=unit,
                provenance=provenance,
            )

        sink = PointsSink(spool, [self._where(name, t) for t in index], finish)
        self._sinks.append(sink)
        return sink

    def finish(self) -> None:
        """Copy the points, whose sizes are known now, into the file."""
        for sink in self._sinks:
            sink.finish()
        for spool in self._spools:
            spool.copy_into(self._target)

    def close(self) -> None:
        """Close the temporary files of points."""
        for spool in self._spools:
            spool.close()

    def _begin(
        self, name: str, frame_index: Sequence[int] | npt.NDArray[Any] | None
    ) -> tuple[str, npt.NDArray[np.int64]]:
        """Check the name and the frames of a new stream; return its group and its frames."""
        check_stream_name(name)
        if name in self._streams or any(
            a.startswith(f"{b}/")
            for other in self._streams
            for a, b in [(name, other), (other, name)]
        ):
            raise UsageError(f"camera {self.name}: stream {name} is there already")
        group = f"cameras/{self.name}/{name}"
        index = np.arange(self._frames, dtype=np.int64)
        if frame_index is not None:
            given = np.asarray(frame_index, np.int64)
            rising = given.ndim == 1 and (np.diff(given) > 0).all()
            if not rising or (len(given) and (given[0] < 0 or given[-1] >= self._frames)):
                raise UsageError(
                    f"camera {self.name}, {name}: frame_index must rise within 0 to "
                    f"{self._frames - 1}, found {given.tolist()[:5]} ..."
                )
            if not np.array_equal(given, index):
                self._target.array(f"{group}/frame_index", given)
            index = given
        self._streams.add(name)
        return group, index

    def _facts(self, group: str, name: str, extra: dict[str, Any], **own: Any) -> None:
        quantity = quantity_of(name)
        if own.get("unit", "") is None:
            own["unit"] = {"depth": "m", "disparity": "px", "flow": "px"}.get(quantity, "")
        clash = set(extra) & {*own, "frame_index", "offsets", "data", "xxh3"}
        if clash:
            raise UsageError(f"{name}: fact {sorted(clash)[0]} is the format's own")
        self._target.group(group, {"quantity": quantity, **own, **plain_facts(extra)})

    def _check_image(
        self, name: str, frame: int, data: bytes | memoryview, encoding: str, channels: int
    ) -> int:
        try:
            info = image_size(data)
        except FormatError as error:
            raise FormatError(f"{self._where(name, frame)}: {error}") from error
        expected = (*stream_size(name, self.height, self.width), channels, encoding)
        found = (info.height, info.width, 1 if info.channels <= 2 else 3, info.encoding)
        if found != expected:
            raise FormatError(
                f"{self._where(name, frame)}: expected an image of {_picture(*expected)}, "
                f"found {_picture(*found)}"
            )
        return max(8, info.bit_depth)

    def _where(self, name: str, frame: Any) -> str:
        return f"camera {self.name}, {name}, frame {int(frame)}"


class PointsSink:
    """Takes the frames of one points stream; made by `CameraWriter.open_points`."""

    def __init__(self, spool: PointSpool, frames: list[str], finish: Callable[[], None]) -> None:
        self._spool, self._frames, self._finish = spool, frames, finish
        self._count = 0
        self._finished = False

    def add(self, points: Points) -> None:
        """Append the points of the next frame; they are copied."""
        if self._count == len(self._frames):
            raise UsageError(f"points: expected {len(self._frames)} frames, found more")
        self._spool.add(points, self._frames[self._count])
        self._count += 1

    def finish(self) -> None:
        """Say that every frame was added; the commit does it too."""
        if self._count < len(self._frames):
            raise UsageError(f"points: expected {len(self._frames)} frames, found {self._count}")
        if not self._finished:
            self._finished = True
            self._finish()


def _picture(height: int, width: int, channels: int, encoding: str) -> str:
    return f"{height}x{width}, {channels} channel{'s' * (channels > 1)}, {encoding}"
