"""Points in samples: scattered into maps or listed, stored or derived from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.loading.maps import densify, scale_points
from depthdata.sequence.stereo import DerivedStream
from depthdata.sequence.streams import PointsStream

if TYPE_CHECKING:
    from depthdata.loading.fields import Field
    from depthdata.sequence import Points
    from depthdata.sequence.streams import Stream

__all__ = ["fill_points", "fill_scattered", "points_of"]

Size = tuple[int, int]
Array = npt.NDArray[Any]


def points_of(stream: Stream | None) -> PointsStream | None:
    """Return the stream of points that a stream is, or is derived from."""
    if isinstance(stream, DerivedStream):
        stream = stream.source
    return stream if isinstance(stream, PointsStream) else None


def read_points(stream: PointsStream | DerivedStream, t: int) -> tuple[Points, Array]:
    """Return the points of a frame and their values in this stream; NaN where there is none."""
    if isinstance(stream, PointsStream):
        points = stream.points(t)
        return points, points.value
    stored = points_of(stream)
    assert stored is not None
    points = stored.points(t)
    return points, stream.convert(points.value.astype(np.float32), t)


def fill_scattered(
    field: Field,
    value: Array,
    valid: Array,
    stream: PointsStream | DerivedStream,
    t: int,
    hw: Size,
) -> None:
    """Scatter the points of frame `t` into a map; of several at one pixel the nearest wins."""
    native = (stream.shape[0], stream.shape[1])
    points, measured = read_points(stream, t)
    usual = measured.min(initial=1) > 0 and measured.max(initial=1) < np.inf
    keep = None if usual else (measured > 0) & (measured < np.inf)
    if points.kind == "pixel" and native == hw:
        flat = points.row * np.intp(hw[1])
        flat += points.col
    else:
        x, y = scale_points(*points.positions(), from_hw=native, to_hw=hw)
        column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
        # as unsigned numbers, negative ones are large: one comparison for both ends
        inside = (column.view(np.uintp) < hw[1]) & (row.view(np.uintp) < hw[0])
        keep = inside if keep is None else keep & inside
        row *= hw[1]
        flat = np.add(row, column, out=row)
    if keep is not None and not keep.all():
        flat, measured = flat[keep], measured[keep]
    if field.is_disparity:
        measured = measured * np.float32(field.factor(native, hw))
    value.fill(0)
    densify(value.reshape(-1), flat, measured, largest=field.is_disparity)
    valid.fill(False)
    valid.reshape(-1)[flat] = True


def fill_points(
    field: Field,
    value: Array,
    valid: Array,
    stream: PointsStream | DerivedStream,
    t: int,
    hw: Size,
) -> None:
    """List the points of frame `t`: x, y and value each."""
    points, measured = read_points(stream, t)
    native = (stream.shape[0], stream.shape[1])
    n = len(points)
    if n > field.capacity:
        raise UsageError(
            f"stream {stream.name} frame {t}: {n} points, room for {field.capacity}; "
            f"give points={n} or more"
        )
    value[:n, 0], value[:n, 1] = scale_points(*points.positions(), from_hw=native, to_hw=hw)
    value[:n, 2] = measured
    value[:n, 2] *= field.factor(native, hw)
    value[n:] = 0
    np.isfinite(value[:n, 2], out=valid[:n])
    value[:n][~valid[:n]] = 0
    valid[n:] = False
