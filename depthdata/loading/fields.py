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
import torch

from depthdata.errors import UsageError
from depthdata.loading.maps import densify, nearest_resize, scale_points

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Points, Stream

__all__ = ["Field", "allocate", "fields_of", "fill"]

Size = tuple[int, int]
Arrays = Mapping[str, "np.ndarray[Any, Any]"]
New = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]

_local = threading.local()


@dataclass(frozen=True)
class Field:
    """What a stream becomes in a sample.

    Attributes
    ----------
    stream : str
        Name in the file, for example ``"masks/moving"``.
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
        """Whether values are pixels along a row, so that they scale with the width."""
        return self.stream.split("/")[-1].startswith("disparity")


def fields_of(
    cameras: Iterable[Camera], streams: Iterable[str], prefix: str, points: bool | int
) -> tuple[Field, ...]:
    """Decide the fields of one camera position of all sequences; streams it lacks are left out."""
    cameras = tuple(cameras)
    fields = []
    for name in streams:
        found = [camera[name] for camera in cameras if name in camera.streams]
        if found:
            fields.append(_field(name, found, prefix, points))
    return tuple(fields)


def _field(name: str, found: list[Stream], prefix: str, points: bool | int) -> Field:
    key = prefix + name.replace("/", "_")
    kinds = {_kind(name, stream) for stream in found}
    if kinds == {"map", "points"} and not points:
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
        capacity = max(_most_points(s) for s in found) if points is True else int(points)
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
    if stream.kind == "points":
        return "points"
    if len(stream.shape) == 4:
        return "flow"
    quantity = name.split("/")[0]
    if quantity in ("instances", "semantics", "masks") or quantity.endswith("_valid"):
        return "labels"
    return "map"


def _most_points(stream: Stream) -> int:
    return int(max((len(stream.points(t).value) for t in stream.frames.tolist()), default=0))


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
        "labels": (),
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
    valid = arrays.get(f"{field.key}_valid")
    if stream is None or not stream.present[t]:
        value[...] = 0
        if valid is not None:
            valid[at] = False
        return
    if field.kind == "image":
        _fill_image(value, stream, t, hw)
        return
    assert valid is not None
    if field.kind == "labels":
        value[...] = nearest_resize(stream[t], hw)
        valid[at] = True
    elif field.kind == "points":
        _fill_points(field, value, valid[at], stream, t, hw)
    elif field.kind == "map" and stream.kind == "points":
        _fill_scattered(field, value, stream, t, hw)
        np.not_equal(value, 0, out=valid[at])
    elif field.kind == "map":
        native = stream.shape[-2:]
        read = nearest_resize(stream[t], hw)
        np.isfinite(read, out=valid[at])
        np.multiply(read, hw[1] / native[1] if field.is_disparity else 1, out=value)
        if not valid[at].all():
            value[~valid[at]] = 0
    else:
        native = stream.shape[-2:]
        read = nearest_resize(stream[t], hw)
        np.isfinite(read).all(axis=0, out=valid[at])
        np.multiply(read[0], hw[1] / native[1], out=value[0])
        np.multiply(read[1], hw[0] / native[0], out=value[1])
        if not valid[at].all():
            value[:, ~valid[at]] = 0


def _fill_image(out: np.ndarray[Any, Any], stream: Stream, t: int, hw: Size) -> None:
    image = _decoded(stream, t)
    if image.shape[:2] == hw:
        if image.ndim == 2:
            out[...] = image
        else:
            cv2.split(image, list(out))
        return
    planes = torch.from_numpy(image)
    planes = planes[None] if image.ndim == 2 else planes.permute(2, 0, 1)
    resized = torch.nn.functional.interpolate(
        planes[None], size=hw, mode="bicubic", antialias=True, align_corners=False
    )
    torch.from_numpy(out).copy_(resized[0].expand(3, *hw))


def _decoded(stream: Stream, t: int) -> np.ndarray[Any, Any]:
    """Decode into memory that the thread uses again."""
    shape = tuple(stream.shape[1:])
    buffer = getattr(_local, "image", None)
    if buffer is None or buffer.shape != shape:
        buffer = _local.image = np.empty(shape, dtype=np.uint8)
    stream.read_into(t, buffer)
    return buffer


def _positions(points: Points, native: Size, hw: Size) -> tuple[Any, Any]:
    """Column and row of each point in an image of size `hw`."""
    if points.kind == "pixel":
        return scale_points(points.col, points.row, native, hw)
    return scale_points(points.x, points.y, native, hw)


def _fill_scattered(
    field: Field, out: np.ndarray[Any, Any], stream: Stream, t: int, hw: Size
) -> None:
    native = stream.shape[-2:]
    points = stream.points(t)
    x, y = _positions(points, native, hw)
    value = points.value
    out[...] = 0
    if points.kind == "pixel" and native == hw:
        flat = y * np.intp(hw[1])
        flat += x
        keep = value > 0
    else:
        column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
        keep = (value > 0) & (column >= 0) & (column < hw[1]) & (row >= 0) & (row < hw[0])
        flat = row * hw[1] + column
    if not keep.all():
        flat, value = flat[keep], value[keep]
    if field.is_disparity:
        value = value * np.float32(hw[1] / native[1])
    densify(out.reshape(-1), flat, value, largest=field.is_disparity)


def _fill_points(
    field: Field,
    out: np.ndarray[Any, Any],
    valid: np.ndarray[Any, Any],
    stream: Stream,
    t: int,
    hw: Size,
) -> None:
    native = stream.shape[-2:]
    points = stream.points(t)
    n = len(points.value)
    if n > field.capacity:
        raise UsageError(
            f"stream {stream.name} frame {t}: {n} points, room for {field.capacity}; "
            f"give points={n} or more"
        )
    x, y = _positions(points, native, hw)
    out[:n, 0], out[:n, 1], out[:n, 2] = x, y, points.value
    if field.is_disparity:
        out[:n, 2] *= hw[1] / native[1]
    out[n:] = 0
    valid[:n] = True
    valid[n:] = False
