"""The streams of one camera: encoded pictures, dense arrays, points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.codecs.images import decode_image, decode_into
from depthdata.errors import AbsentFrameError, FormatError, UsageError
from depthdata.sequence.chunks import decode_chunk
from depthdata.sequence.index import Index
from depthdata.sequence.points import COLUMNS, PointKind, Points, densify, draw_pixels
from depthdata.sequence.schema import StreamKind, measures, stream_size
from depthdata.sequence.storage import ByteSource
from depthdata.sequence.values import from_stored

__all__ = ["DenseStream", "EncodedStream", "PointsStream", "Stream", "make_stream"]


class Stream(ABC):
    """What all streams share; ``stream[t]`` gives frame `t` of the timeline as an array.

    Attributes
    ----------
    name : str
        ``"rgb"``, ``"depth"``, ``"masks/moving"`` ...
    kind : {"encoded", "dense", "points"}
        How it is stored.
    attrs : dict
        All facts: quantity, unit, scale, missing, provenance and the source's own.
    unit : str
        ``"m"``, ``"px"`` or empty.
    dtype : numpy.dtype
        Of ``stream[t]``.
    shape : tuple of int
        Of ``stream[t]``.
    frames : (n,) int64
        The frames that are there.
    present : (T,) bool
        Whether a frame is there.
    """

    kind: StreamKind

    def __init__(
        self,
        source: ByteSource,
        index: Index,
        group: str,
        name: str,
        length: int,
        size: tuple[int, int],
        check: bool,
    ) -> None:
        self.name = name
        self.attrs: dict[str, Any] = dict(index.groups[group])
        self.unit: str = self.attrs.get("unit", "")
        self.shape: tuple[int, ...] = stream_size(name, *size)
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self._where = f"{source.name}: {group.removeprefix('cameras/')}"
        self._source, self._check = source, check
        self._digests = index.arrays[f"{group}/xxh3"]
        given = index.arrays.get(f"{group}/frame_index")
        self.frames: npt.NDArray[np.int64] = np.arange(length) if given is None else given
        self._length = length
        self._row: dict[int, int] | None = (
            None if given is None else {int(t): k for k, t in enumerate(given)}
        )

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Whether each frame of the timeline is there."""
        present = np.zeros(self._length, np.bool_)
        present[self.frames] = True
        return present

    def __len__(self) -> int:
        return self._length

    @abstractmethod
    def __getitem__(self, t: int) -> npt.NDArray[Any]:
        """Return frame `t` as an array."""

    def __repr__(self) -> str:
        return f"<{self.kind} stream {self.name}: {len(self.frames)} of {self._length} frames>"

    def _find(self, t: int) -> int:
        """Return the row of frame `t`; negative `t` counts from the end."""
        frame = int(t)
        if not -self._length <= frame < self._length:
            raise IndexError(f"{self._where}: frame {t} of {self._length}")
        frame %= self._length
        row = frame if self._row is None else self._row.get(frame)
        if row is None:
            raise AbsentFrameError(
                f"{self._where}: nothing stored for frame {frame}; see stream.present"
            )
        return row

    def _bytes(self, row: int, *parts: tuple[int, int]) -> list[bytes]:
        """Read the parts of a frame and check them together."""
        data = [self._source.read(offset, size) if size else b"" for offset, size in parts]
        if self._check:
            if len(data) == 1:
                found = xxhash.xxh3_64_intdigest(data[0])
            else:
                digest = xxhash.xxh3_64()
                for part in data:
                    digest.update(part)
                found = digest.intdigest()
            if found != self._digests[row]:
                raise FormatError(
                    f"{self._where}, frame {self.frames[row]}: damaged: its checksum does not "
                    "match; run depthdata verify, and convert again"
                )
        return data


class EncodedStream(Stream):
    """The source's own PNG or JPEG files."""

    kind = "encoded"

    def __init__(self, source: ByteSource, index: Index, group: str, *rest: Any) -> None:
        super().__init__(source, index, group, *rest)
        offsets = index.arrays[f"{group}/offsets"].astype(np.int64)
        self._offsets = index.blocks[f"{group}/data"].offset + offsets[:-1]
        self._sizes = np.diff(offsets)
        self.dtype = np.dtype(np.uint16 if self.attrs["bit_depth"] > 8 else np.uint8)
        if self.attrs["channels"] > 1:
            self.shape = (*self.shape, self.attrs["channels"])

    def blob(self, t: int) -> bytes:
        """Return the image file of frame `t`."""
        row = self._find(t)
        return self._bytes(row, (int(self._offsets[row]), int(self._sizes[row])))[0]

    def __getitem__(self, t: int) -> npt.NDArray[Any]:
        image = decode_image(self.blob(t))
        if image.shape != self.shape:
            raise FormatError(
                f"{self._where}, frame {t}: expected {self.shape}, decoded {image.shape}"
            )
        return image

    def read_into(self, t: int, out: npt.NDArray[np.uint8]) -> None:
        """Decode frame `t` into a contiguous (H, W, 3) uint8 array; grey fills all channels."""
        decode_into(self.blob(t), out)


class DenseStream(Stream):
    """One array a frame, compressed without loss.

    Attributes
    ----------
    valid : DenseStream or None
        The stream ``<name>_valid``, 1 where a value of this one was measured. `raw` knows nothing
        of it.
    """

    kind = "dense"

    def __init__(self, source: ByteSource, index: Index, group: str, *rest: Any) -> None:
        super().__init__(source, index, group, *rest)
        chunks = index.chunks[f"{group}/data"]
        places = (index.arrays[f"{group}/data#{name}"] for name in ("offset", "size", "mask"))
        self._offsets, self._sizes, self._masks = places
        self._stored, self._filters = np.dtype(chunks.dtype), chunks.filters
        self.shape = chunks.shape[1:]
        self.scale: float | None = self.attrs.get("scale")
        self.missing: str | int | float | None = self.attrs.get("missing")
        self._measures = (
            self._stored.kind == "f" or self.scale is not None or measures(self.attrs["quantity"])
        )
        self.dtype = np.dtype(np.float32) if self._measures else self._stored
        self.valid: DenseStream | None = None

    def raw(self, t: int) -> npt.NDArray[Any]:
        """Return frame `t` as it is stored, in the stored dtype."""
        return self._decode(t, None)

    def __getitem__(self, t: int) -> npt.NDArray[Any]:
        raw = self.raw(t)
        if not self._measures:
            return raw
        values = from_stored(raw, self.scale, self.missing)
        self._blank(t, values)
        return values

    def read_into(self, t: int, out: npt.NDArray[Any]) -> None:
        """Copy frame `t` into an array of the same shape; fastest where it is contiguous float32.

        What the array holds after an error is undefined.
        """
        if not self._measures or out.dtype != np.float32 or not out.flags.c_contiguous:
            np.copyto(out, self[t], casting="same_kind")
            return
        if out.shape != self.shape:
            raise UsageError(f"{self._where}: expected an array of {self.shape}, found {out.shape}")
        raw = self._decode(t, out if self._stored == out.dtype else None)
        from_stored(raw, self.scale, self.missing, out)
        self._blank(t, out)

    def _decode(self, t: int, out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        row = self._find(t)
        (stored,) = self._bytes(row, (int(self._offsets[row]), int(self._sizes[row])))
        mask = int(self._masks[row])
        return decode_chunk(stored, self._stored, self.shape, self._filters, mask, out)

    def _blank(self, t: int, values: npt.NDArray[np.float32]) -> None:
        """Write NaN where `valid` says that nothing was measured."""
        if self.valid is not None and self.valid.present[t]:
            invalid = self.valid.raw(t) == 0
            if invalid.any():
                values[..., invalid] = np.nan


class PointsStream(Stream):
    """Sparse measurements; ``stream[t]`` draws them, `points` gives them."""

    kind = "points"

    def __init__(self, source: ByteSource, index: Index, group: str, *rest: Any) -> None:
        super().__init__(source, index, group, *rest)
        self._starts = index.arrays[f"{group}/offsets"].astype(np.int64)
        self.point_kind: PointKind = self.attrs["point_kind"]
        self._one_per_pixel = bool(self.attrs.get("one_per_pixel"))
        names = (*COLUMNS[self.point_kind], "sensor")
        self._columns = []
        for name in names:
            block = index.blocks.get(f"{group}/{name}")
            if block is not None:
                dtype = np.dtype(block.dtype)
                width = dtype.itemsize * int(np.prod(block.shape[1:], dtype=np.int64))
                self._columns.append((name, block, dtype, width))

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of points of each stored frame, (n,)."""
        return np.diff(self._starts)

    def points(self, t: int) -> Points:
        """Return the points of frame `t` in the source's order."""
        return Points(kind=self.point_kind, **self._read(t))

    def __getitem__(self, t: int) -> npt.NDArray[np.float32]:
        data, (height, width) = self._read(t), self.shape
        if self.point_kind == "pixel":
            row, col, value = data["row"], data["col"], data["value"]
            return draw_pixels(row, col, value, (height, width), distinct=self._one_per_pixel)
        return densify(data["x"], data["y"], data["value"], height, width)

    def _read(self, t: int) -> dict[str, npt.NDArray[Any]]:
        row = self._find(t)
        start, count = int(self._starts[row]), int(self._starts[row + 1] - self._starts[row])
        parts = [
            (block.offset + start * width, count * width) for _, block, _, width in self._columns
        ]
        return {
            name: np.frombuffer(part, dtype).reshape(count, *block.shape[1:])
            for (name, block, dtype, _), part in zip(
                self._columns, self._bytes(row, *parts), strict=True
            )
        }


_KINDS: dict[str, type[Stream]] = {
    "encoded": EncodedStream,
    "dense": DenseStream,
    "points": PointsStream,
}


def make_stream(source: ByteSource, index: Index, group: str, *rest: Any) -> Stream | None:
    """Return the stream of a group by its kind, or None for a kind of a later minor version."""
    kind = _KINDS.get(index.groups[group].get("kind", ""))
    return None if kind is None else kind(source, index, group, *rest)
