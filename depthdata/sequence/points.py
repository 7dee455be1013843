"""Sparse measurements of one frame, and their dense picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = ["COLUMNS", "PointKind", "Points", "densify"]

PointKind = Literal["pixel", "subpixel"]
Array = npt.NDArray[Any]

COLUMNS: dict[str, tuple[str, ...]] = {
    "pixel": ("row", "col", "value"),
    "subpixel": ("x", "y", "value"),
}
_DTYPES = {"row": "u2", "col": "u2", "x": "f4 f8", "y": "f4 f8", "value": "f4 f8", "sensor": "f4"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """The points of one frame, in the source's order.

    Attributes
    ----------
    kind : {"pixel", "subpixel"}
        Whether `row`, `col` or `x`, `y` are given.
    value : (N,) float32 or float64
        The quantity of the stream (depth: camera z, metres).
    row, col : (N,) uint16
        Whole pixels (``kind="pixel"``).
    x, y : (N,) float32 or float64
        Position in pixels, centres at integers (``kind="subpixel"``).
    sensor : (N, 3) float32, optional
        The same points in the frame of the sensor that measured them, metres.

    Examples
    --------
    >>> points = Points(kind="pixel", row=np.uint16([0, 0]), col=np.uint16([1, 1]),
    ...                 value=np.float32([7, 5]))
    >>> points.to_dense(1, 3)
    array([[nan,  5., nan]], dtype=float32)
    """

    kind: PointKind
    value: Array
    row: Array | None = None
    col: Array | None = None
    x: Array | None = None
    y: Array | None = None
    sensor: Array | None = None

    def __post_init__(self) -> None:
        if self.kind not in COLUMNS:
            raise UsageError(f"points: kind must be 'pixel' or 'subpixel', found {self.kind!r}")
        given = {name for name in _DTYPES if getattr(self, name) is not None}
        if given - {"sensor"} != set(COLUMNS[self.kind]):
            raise UsageError(
                f"points of kind {self.kind}: expected columns {', '.join(COLUMNS[self.kind])}, "
                f"found {', '.join(sorted(given))}"
            )
        for name, column in self.columns().items():
            shape = (len(self.value), 3) if name == "sensor" else (len(self.value),)
            dtypes = _DTYPES[name].split()
            if column.shape != shape or column.dtype.str[1:] not in dtypes:
                raise UsageError(
                    f"points: {name} must be {' or '.join(dtypes)} {shape}, "
                    f"found {column.dtype.str[1:]} {column.shape}"
                )

    def __len__(self) -> int:
        return len(self.value)

    def columns(self) -> dict[str, Array]:
        """Return the columns that are there, in their stored order."""
        names = (*COLUMNS[self.kind], "sensor")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def positions(self) -> tuple[Array, Array]:
        """Return (x, y) in pixels, whatever the kind: column and row, centres at integers."""
        if self.kind == "pixel":
            assert self.row is not None and self.col is not None
            return self.col.astype(np.float32), self.row.astype(np.float32)
        assert self.x is not None and self.y is not None
        return self.x, self.y

    def project(self, projection: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Project the sensor points anew, in float64.

        Parameters
        ----------
        projection : (3, 4) array_like
            Homogeneous sensor point to ``(x * z, y * z, z)``; the stream's fact ``projection``.

        Returns
        -------
        (N, 3) float64
            Position x, y in pixels, and camera z in metres.

        Raises
        ------
        UsageError
            The points carry no sensor coordinates.
        """
        if self.sensor is None:
            raise UsageError("points.project: these points carry no sensor coordinates")
        matrix = np.asarray(projection, np.float64)
        if matrix.shape != (3, 4):
            raise UsageError(f"points.project: expected a (3, 4) projection, found {matrix.shape}")
        homogeneous = np.ones((len(self), 4))
        homogeneous[:, :3] = self.sensor
        projected: npt.NDArray[np.float64] = np.dot(matrix, homogeneous.T).T
        with np.errstate(divide="ignore", invalid="ignore"):
            projected[:, :2] /= projected[:, 2:]
        return projected

    def to_dense(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Return the points as an image; see `densify`."""
        if self.kind == "pixel":
            assert self.row is not None and self.col is not None
            return _scatter(self.row, self.col, self.value, height, width)
        x, y = self.positions()
        return densify(x, y, self.value, height, width)


def densify(x: Array, y: Array, value: Array, height: int, width: int) -> npt.NDArray[np.float32]:
    """Draw points into an image.

    Parameters
    ----------
    x, y : (N,) float
        Position in pixels, centres at integers. A point belongs to the nearest centre (ties to
        even); points outside the image are left out.
    value : (N,) float
        Only finite values above 0 are drawn; the smallest wins where several meet.
    height, width : int
        Size of the image.

    Returns
    -------
    (height, width) float32
        NaN where there is no point.

    Examples
    --------
    >>> densify(np.array([0.4, 9.0]), np.array([0.0, 0.0]), np.array([3.0, 1.0]), 1, 2)
    array([[ 3., nan]], dtype=float32)
    """
    keep = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    row, col = np.rint(y[keep]).astype(np.int64), np.rint(x[keep]).astype(np.int64)
    return _scatter(row, col, value[keep], height, width)


def _scatter(
    row: Array, col: Array, value: Array, height: int, width: int
) -> npt.NDArray[np.float32]:
    value = value.astype(np.float32, copy=False)
    flat = row.astype(np.int64) * width + col
    keep = (row < height) & (col < width) & (value > 0) & (value < np.inf)
    if not keep.all():
        flat, value = flat[keep], value[keep]
    image = np.full(height * width, np.nan, np.float32)
    image[flat] = value
    nearer = value < image[flat]  # another point of the same pixel was drawn over these
    while nearer.any():
        flat, value = flat[nearer], value[nearer]
        image[flat] = value
        nearer = value < image[flat]
    return image.reshape(height, width)
