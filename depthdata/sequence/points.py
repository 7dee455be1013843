"""Sparse measurements of one frame, and their dense picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

__all__ = ["COLUMNS", "PointKind", "Points", "densify", "draw_pixels", "one_per_pixel"]

PointKind = Literal["pixel", "subpixel"]
Array = npt.NDArray[Any]

COLUMNS: dict[str, tuple[str, ...]] = {
    "pixel": ("row", "col", "value"),
    "subpixel": ("x", "y", "value"),
}
_EXACT_IN_FLOAT32 = 1 << 24
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
            return draw_pixels(self.row, self.col, self.value, (height, width))
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
    exact = np.float64 if height * width > _EXACT_IN_FLOAT32 else np.float32
    with np.errstate(over="ignore"):
        col, row = np.rint(x).astype(exact, copy=False), np.rint(y).astype(exact, copy=False)
    value = value.astype(np.float32, copy=False)
    keep = (col >= 0) & (col < width) & (row >= 0) & (row < height) & (value > 0)
    keep &= value < np.inf
    with np.errstate(invalid="ignore"):  # infinite positions, which `keep` leaves out
        row *= width
        row += col
    return _draw(row[keep].astype(np.intp), value[keep], height, width)


def one_per_pixel(points: Points, height: int, width: int) -> bool:
    """Whether whole-pixel points can be drawn without looking: inside, above 0, no two on one."""
    if points.row is None or points.col is None:
        return False
    value, flat = points.value, _flat(points.row, points.col, width)
    inside = (points.row < height) & (points.col < width) & (value > 0) & (value < np.inf)
    return bool(inside.all()) and len(np.unique(flat)) == len(flat)


def draw_pixels(
    row: Array, col: Array, value: Array, hw: tuple[int, int], *, distinct: bool = False
) -> npt.NDArray[np.float32]:
    """Draw whole-pixel points like `densify`; `distinct` says that `one_per_pixel` holds."""
    height, width = hw
    value = value.astype(np.float32, copy=False)
    flat = _flat(row, col, width)
    if distinct:
        image = np.full(height * width, np.nan, np.float32)
        image[flat] = value
        return image.reshape(height, width)
    keep = (row < height) & (col < width) & (value > 0) & (value < np.inf)
    return _draw(flat[keep], value[keep], height, width)


def _flat(row: Array, col: Array, width: int) -> npt.NDArray[np.intp]:
    flat = row.astype(np.int32)  # half the time of 64 bits throughout; rows and columns are u2
    flat *= width
    flat += col
    return flat.astype(np.intp)


def _draw(
    flat: npt.NDArray[np.intp], value: npt.NDArray[np.float32], height: int, width: int
) -> npt.NDArray[np.float32]:
    image = np.full(height * width, np.nan, np.float32)
    image[flat] = value
    nearer = value < image[flat]  # another point of the same pixel was drawn over these
    while nearer.any():
        flat, value = flat[nearer], value[nearer]
        image[flat] = value
        nearer = value < image[flat]
    return image.reshape(height, width)
