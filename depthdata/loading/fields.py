"""From a stream of a sequence file to tensors of a batch: one small table of kinds.

A field is what a stream becomes in a sample. Its kind decides which tensors there are (`allocate`)
and how a frame is written into them (`fill`); nothing is allocated on the way that the batch does
not keep, but for one decoded image per thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from depthdata.errors import AbsentFrameError, UsageError
from depthdata.loading.catalogue import Image, has_stream, stream_of
from depthdata.loading.maps import disparity_factor, is_disparity, nearest_resize
from depthdata.loading.sparse import fill_points, fill_scattered, points_of

if TYPE_CHECKING:
    from depthdata.sequence import Camera
    from depthdata.sequence.streams import DenseStream, EncodedStream, Stream

__all__ = ["Field", "allocate", "fields_of", "fill"]

Size = tuple[int, int]
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
New = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]

_local = threading.local()


@dataclass(frozen=True)
class Field:
    """What a stream becomes in a sample.

    Attributes
    ----------
    stream : str
        Name in the file, for example ``"masks/moving"``; for ``"rgb"`` another picture may stand.
    key : str
        Name in the sample, for example ``"right_masks_moving"``.
    kind : {"image", "map", "flow", "labels", "points"}
    dtype : torch.dtype
        Of the values.
    capacity : int
        Points per frame, for kind ``"points"``.
    """

    stream: str
    key: str
    kind: str
    dtype: torch.dtype = torch.float32
    capacity: int = 0

    @property
    def is_disparity(self) -> bool:
        """Whether values are pixels along a row or a column, so that they scale with the image."""
        return is_disparity(self.stream)

    def factor(self, native: Size, hw: Size) -> float:
        """Return what values are multiplied with when an image of size `native` becomes `hw`."""
        return disparity_factor(self.stream, native, hw)


def fields_of(
    cameras: Iterable[Camera],
    streams: Iterable[str],
    image: Image,
    prefix: str,
    points: bool | int,
) -> tuple[Field, ...]:
    """Decide the fields of one camera position of all sequences.

    Streams that it lacks are left out, and so is ``<name>_valid`` beside ``<name>``, whose validity
    holds it already.
    """
    cameras, streams = tuple(cameras), tuple(streams)
    fields = []
    for name in streams:
        if name.endswith("_valid") and name.removesuffix("_valid") in streams:
            continue
        names = [(camera, stream_of(camera, name, image)) for camera in cameras]
        found = [camera[stream] for camera, stream in names if has_stream(camera, stream)]
        if found:
            fields.append(_field(name, found, prefix, points))
    return tuple(fields)


def _field(name: str, found: list[Any], prefix: str, points: bool | int) -> Field:
    key = prefix + name.replace("/", "_")
    kinds = {_kind(name, stream) for stream in found}
    if (kinds == {"map", "points"} and not points) or kinds == {"map", "labels"}:
        kinds = {"map"}
    if len(kinds) > 1:
        raise UsageError(
            f"stream {name!r} is {' in some files and '.join(sorted(kinds))} in others; "
            "load them as separate datasets"
        )
    kind = kinds.pop()
    if kind == "points":
        if not points:
            return Field(name, key, "map")
        sources = [source for source in map(points_of, found) if source is not None]
        longest = max(int(source.counts.max(initial=0)) for source in sources)
        capacity = longest if points is True else int(points)
        return Field(name, f"{key}_points", "points", capacity=capacity)
    if kind == "image":
        return Field(name, key, kind, torch.uint8)
    if kind == "labels":
        small = all(np.dtype(stream.dtype) in (np.uint8, np.bool_) for stream in found)
        return Field(name, key, kind, torch.uint8 if small else torch.int32)
    return Field(name, key, kind)


def _kind(name: str, stream: Stream) -> str:
    if stream.kind == "encoded":
        return "image"
    if points_of(stream) is not None:
        return "points"
    if len(stream.shape) == 3:
        return "flow"
    quantity = name.split("/")[0]
    whole = quantity in ("instances", "semantics", "materials", "masks")
    whole = whole or quantity.endswith("_valid")
    return "labels" if whole and np.dtype(stream.dtype).kind != "f" else "map"


def allocate(field: Field, lead: tuple[int, ...], hw: Size, new: New) -> dict[str, torch.Tensor]:
    """Make the tensors of a field; `new(shape, dtype)` gives memory."""
    shapes: dict[str, tuple[int, ...]] = {
        "image": (3, *hw),
        "map": hw,
        "flow": (2, *hw),
        "labels": hw,
        "points": (field.capacity, 3),
    }
    valid: dict[str, tuple[int, ...]] = {
        "map": hw,
        "flow": hw,
        "labels": hw,
        "points": (field.capacity,),
    }
    tensors = {field.key: new((*lead, *shapes[field.kind]), field.dtype)}
    if field.kind in valid:
        tensors[f"{field.key}_valid"] = new((*lead, *valid[field.kind]), torch.bool)
    return tensors


def fill(
    field: Field, arrays: Arrays, at: tuple[int, int], stream: Stream | None, t: int, hw: Size
) -> None:
    """Write frame `t` of `stream` into place `at` (sample, position in the window)."""
    value = arrays[field.key][at]
    all_valid = arrays.get(f"{field.key}_valid")
    valid = None if all_valid is None else all_valid[at[0]][at[1], ...]
    kind = "scattered" if field.kind == "map" and points_of(stream) is not None else field.kind
    try:
        if stream is not None:
            _FILL[kind](field, value, valid, stream, t, hw)
            return
    except AbsentFrameError:
        pass
    value[...] = 0
    if valid is not None:
        valid[...] = False


def _fill_labels(
    field: Field, value: Array, valid: Array, stream: DenseStream, t: int, hw: Size
) -> None:
    labels = nearest_resize(stream[t], hw)
    value[...] = labels
    if stream.missing is None:
        valid.fill(True)
        return
    np.not_equal(labels, stream.missing, out=valid)
    _blank(value, valid)


def _fill_map(
    field: Field, value: Array, valid: Array, stream: DenseStream, t: int, hw: Size
) -> None:
    native: Size = (stream.shape[0], stream.shape[1])
    if native == hw:
        stream.read_into(t, value)
    else:
        np.multiply(nearest_resize(stream[t], hw), field.factor(native, hw), out=value)
    np.isfinite(value, out=valid)
    _blank(value, valid)


def _fill_flow(
    field: Field, value: Array, valid: Array, stream: DenseStream, t: int, hw: Size
) -> None:
    native: Size = (stream.shape[1], stream.shape[2])
    if native == hw:
        stream.read_into(t, value)
    else:
        read = nearest_resize(stream[t], hw)
        np.multiply(read[0], hw[1] / native[1], out=value[0])
        np.multiply(read[1], hw[0] / native[0], out=value[1])
    np.isfinite(value).all(axis=0, out=valid)
    _blank(value, valid)


def _blank(value: Array, valid: Array) -> None:
    """Write zeros where nothing is valid; `value` may have axes in front."""
    if not valid.all():
        np.copyto(value, 0, where=~valid)


def _fill_image(
    field: Field, value: Array, valid: None, stream: EncodedStream, t: int, hw: Size
) -> None:
    image = _decoded(stream, t)
    if image.shape[:2] == hw:
        cv2.split(image, list(value))  # straight into the three planes of the batch
        return
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None],
        size=hw,
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    torch.from_numpy(value).copy_(resized[0])


def _decoded(stream: EncodedStream, t: int) -> Array:
    """Decode into memory that the thread uses again."""
    height, width = stream.shape[:2]
    buffer = getattr(_local, "image", None)
    if buffer is None or buffer.shape != (height, width, 3):
        buffer = _local.image = np.empty((height, width, 3), dtype=np.uint8)
    stream.read_into(t, buffer)
    return np.asarray(buffer)


_FILL: dict[str, Callable[..., None]] = {
    "image": _fill_image,
    "labels": _fill_labels,
    "map": _fill_map,
    "scattered": fill_scattered,
    "flow": _fill_flow,
    "points": fill_points,
}
