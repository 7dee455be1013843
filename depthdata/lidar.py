"""Lidar scans in a camera: the points to keep, and the depth map that the literature calls Eigen's.

A scan is (N, 4) or (N, 3) float32 in its sensor's frame, metres; for KITTI x forward, y left, z up.
A projection is (3, 4) float64 and takes a homogeneous sensor point to (u z, v z, z) in pixels and
camera metres. Every product is formed term by term in float64, so that a point gives the same bits
alone, in a scan, and when it is read back from a sequence file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.sequence.points import Points

__all__ = [
    "eigen_depth_map",
    "eigen_depth_rows",
    "lidar_to_each",
    "lidar_to_points",
    "project_sensor",
]

FloatArray = npt.NDArray[np.float64]
Value = Literal["sensor_x", "camera_z"]

_BLOCK = 1 << 15  # points: temporaries of this size stay in the cache and on the heap


def project_sensor(
    projection: npt.ArrayLike, sensor: npt.NDArray[np.floating]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Project points of the sensor's frame: column u, row v (pixels), camera z (m), each float64.

    Points in the camera's plane give infinities or NaN; points behind it come out mirrored, with
    z < 0. Neither is dropped here.

    Examples
    --------
    >>> P = np.array([[100.0, 0, 50, 0], [0, 100.0, 40, 0], [0, 0, 1, 0]])
    >>> u, v, z = project_sensor(P, np.array([[1.0, -0.5, 2.0]]))
    >>> u[0], v[0], z[0]
    (np.float64(100.0), np.float64(15.0), np.float64(2.0))
    """
    matrix = _projection(projection)
    return _divided(_turned(matrix, np.asarray(sensor)[:, :3].T), matrix[:, 3])


def lidar_to_points(
    scan: npt.NDArray[np.float32], projection: npt.ArrayLike, hw: tuple[int, int]
) -> Points:
    """Select the points of a scan that any published convention may write into the image.

    Kept, in scan order: x >= 0 (float32), -0.5 <= u <= w + 0.5 and -0.5 <= v <= h + 0.5, whatever
    the sign of the camera z. The margin on the far side is for the conventions that subtract one
    from the pixel; mirrored points (z <= 0) are there because those conventions keep them. Reading
    a dense map drops both.

    Parameters
    ----------
    scan : float32, (N, 3) or (N, 4)
        Points in the sensor's frame.
    projection : float64, (3, 4)
        Sensor point to (u z, v z, z).
    hw : (int, int)
        Height and width to cover.

    Returns
    -------
    Points
        ``kind="subpixel"``: x = u, y = v, value = camera z, sensor = the points, all float32.
    """
    return lidar_to_each(scan, [(projection, hw)])[0]


def lidar_to_each(
    scan: npt.NDArray[np.float32], cameras: Sequence[tuple[npt.ArrayLike, tuple[int, int]]]
) -> list[Points]:
    """Do `lidar_to_points` for several cameras at once; the scan is gone through only once.

    Parameters
    ----------
    scan : float32, (N, 3) or (N, 4)
    cameras : sequence of (projection, (height, width))
    """
    return [
        Points(
            kind="subpixel",
            x=u.astype(np.float32),
            y=v.astype(np.float32),
            value=z.astype(np.float32),
            sensor=sensor,
        )
        for sensor, u, v, z in _near_images(scan, cameras)
    ]


def eigen_depth_map(
    points: Points | npt.NDArray[np.float32],
    projection: npt.ArrayLike,
    hw: tuple[int, int],
    value: Value = "sensor_x",
) -> FloatArray:
    """Return the sparse lidar depth map on which the Eigen split is evaluated; 0 is "none".

    The published recipe, quirks included, exactly: points with x >= 0; pixel =
    ``round_half_even(u) - 1`` and the same for v, inside the image; written in scan order so that
    the last one wins; then the points with one key ``row * (w - 1) + column - 1`` form a group, and
    a group of several writes its smallest value at the pixel of its first point. (The key is shared
    by the last column of a row and the first one of the next.) Negative values become 0.

    Parameters
    ----------
    points : Points or (N, 3+) float32
        A scan, or the points of a sequence file that carry `sensor`.
    projection : float64, (3, 4)
        Sensor point to (u z, v z, z); the stream's fact ``projection``.
    hw : (int, int)
        Size of the map; KITTI's recipe takes ``S_rect_02`` cut to integers for every camera (the
        stream's fact ``eigen_size``), Insta-DM that of the image.
    value : "sensor_x" or "camera_z"
        The published ground truth is the forward distance from the lidar, about 0.27 m off the
        camera's z.

    Returns
    -------
    float64, (h, w)

    Examples
    --------
    >>> P = np.array([[0, -10.0, 0, 0], [0, 0, -10.0, 0], [1.0, 0, 0, 0]])
    >>> eigen_depth_map(np.array([[5, -1, -0.5], [4, -0.8, -0.4]], np.float32), P, (2, 3))
    array([[0., 4., 0.],
           [0., 0., 0.]])
    """
    height, width = _size(hw)
    depth = np.zeros((height, width))
    pixels, values = _eigen_pixels(points, projection, (height, width), value)
    depth.ravel()[pixels] = np.maximum(values, 0)
    return depth


def eigen_depth_pixels(
    points: Points | npt.NDArray[np.float32],
    projection: npt.ArrayLike,
    hw: tuple[int, int],
    value: Value = "sensor_x",
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the pixels of `eigen_depth_map` that are not 0: flat indices, ascending, and values.

    Several times faster, as it makes no image.
    """
    pixels, values = _eigen_pixels(points, projection, _size(hw), value)
    kept = np.flatnonzero(values > 0)
    return pixels.take(kept), values.take(kept)


def _eigen_pixels(
    points: Points | npt.NDArray[np.float32],
    projection: npt.ArrayLike,
    hw: tuple[int, int],
    value: Value,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Written pixels (flat, ascending) and their values.

    In the order of pixels, points with one key are neighbours: the key runs on where a row ends.
    """
    width = hw[1]
    pixel, values = _eigen_points(points, projection, hw, value)
    if not len(values):
        return pixel, values
    # One sort of pixel and number in the scan: a stable order, faster than asking for one.
    both = np.sort((pixel << 32) | np.arange(len(pixel)))
    flat, number = both >> 32, both & 0xFFFFFFFF
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ordered = values.take(number)
    pixels, found = flat.take(starts), np.minimum.reduceat(ordered, starts)
    shared = np.flatnonzero((pixels[1:] == pixels[:-1] + 1) & (pixels[1:] % width == 0))
    ends = np.append(starts[1:], len(flat))
    for last in shared:  # last column of a row and first of the next one: one group, one pixel
        first, other = last, last + 1
        if number[starts[first]] > number[starts[other]]:
            first, other = other, first
        found[first] = np.minimum(found[first], found[other])
        found[other] = ordered[ends[other] - 1]
    return pixels, found


def eigen_depth_rows(
    points: Points | npt.NDArray[np.float32],
    projection: npt.ArrayLike,
    hw: tuple[int, int],
    value: Value = "sensor_x",
) -> FloatArray:
    """Return `eigen_depth_map` as rows (row, column, value), float64, row by row, values > 0 only.

    The form in which Dynamo-Depth's preparation keeps it on disk.
    """
    depth = eigen_depth_map(points, projection, hw, value)
    rows, columns = np.nonzero(depth)
    return np.stack([rows, columns, depth[rows, columns]], axis=1)


def _eigen_points(
    points: Points | npt.NDArray[np.float32],
    projection: npt.ArrayLike,
    hw: tuple[int, int],
    value: Value,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Pixels (flat) and values of the points in the map, in scan order."""
    if value not in ("sensor_x", "camera_z"):
        raise UsageError(f"value should be 'sensor_x' or 'camera_z', found {value!r}")
    scan = points.sensor if isinstance(points, Points) else points
    if scan is None:
        raise UsageError(
            "these points carry no `sensor` (the point in its sensor's frame), "
            "from which this depth map is defined"
        )
    height, width = hw
    if isinstance(points, Points):  # chosen already: hardly one of them lies outside
        matrix, coordinates = _projection(projection), np.array(scan[:, :3].T, np.float64)
        u, v, z = _divided(_turned(matrix, coordinates), matrix[:, 3])
        x = coordinates[0]
    else:
        ((sensor, u, v, z),) = _near_images(scan, [(projection, hw)])
        x = sensor[:, 0]
    with np.errstate(invalid="ignore", over="ignore"):
        columns, rows = np.rint(u) - 1, np.rint(v) - 1
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height) & (x >= 0)
        flat = rows * width + columns
    kept = np.flatnonzero(inside)
    values = x if value == "sensor_x" else z
    return flat.take(kept).astype(np.int64), values.take(kept).astype(np.float64, copy=False)


def _near_images(
    scan: npt.NDArray[np.float32], cameras: Sequence[tuple[npt.ArrayLike, tuple[int, int]]]
) -> Iterator[tuple[npt.NDArray[np.float32], FloatArray, FloatArray, FloatArray]]:
    """Points of a scan in each image and half a pixel around: sensor (n, 3), u, v, z."""
    scan = np.asarray(scan)
    if scan.ndim != 2 or scan.shape[1] not in (3, 4) or scan.dtype != np.float32:
        raise UsageError(
            f"a scan should be (N, 3) or (N, 4) float32, found {scan.shape} {scan.dtype}"
        )
    views = [(_projection(projection), _size(hw)) for projection, hw in cameras]
    blocks = [
        _candidates(scan[start : start + _BLOCK], views)
        for start in range(0, max(len(scan), 1), _BLOCK)
    ]
    shared: dict[tuple[int, bytes], tuple[npt.NDArray[np.float32], FloatArray]] = {}
    for (matrix, (height, width)), found in zip(views, zip(*blocks, strict=True), strict=True):
        # Cameras that differ by a shift share the points and all but the last sum.
        key = (id(found[0]), matrix[:, :3].tobytes())
        if key not in shared:
            columns = np.concatenate(found, axis=1)
            shared[key] = columns, _turned(matrix, columns)
        columns, turned = shared[key]
        u, v, z = _divided(turned, matrix[:, 3])
        inside = (u >= -0.5) & (u <= width + 0.5) & (v >= -0.5) & (v <= height + 0.5)
        kept = np.flatnonzero(inside)  # taking by number is several times faster than by mask
        sensor = np.ascontiguousarray(columns.take(kept, axis=1).T)
        yield sensor, u.take(kept), v.take(kept), z.take(kept)


def _turned(matrix: FloatArray, columns: npt.NDArray[np.floating]) -> FloatArray:
    """Return the first three products of each row, summed from the left: (3, n)."""
    x, y, z = columns.astype(np.float64, copy=False)
    turned, part = np.empty((3, len(x))), np.empty(len(x))
    for row, (a, b, c, _) in zip(turned, matrix, strict=True):
        np.multiply(a, x, out=row)
        row += np.multiply(b, y, out=part)
        row += np.multiply(c, z, out=part)
    return turned


def _divided(turned: FloatArray, shift: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return u, v, z."""
    q0, q1, q2 = (q + d for q, d in zip(turned, shift, strict=True))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return q0 / q2, q1 / q2, q2


def _candidates(
    scan: npt.NDArray[np.float32], views: list[tuple[FloatArray, tuple[int, int]]]
) -> list[npt.NDArray[np.float32]]:
    """Return x, y, z (3, n) of points that may be in each image: a float32 test, on the safe side.

    Rectified cameras of one size differ by a shift only: their planes are parallel, and one test
    serves them all.
    """
    columns = np.ascontiguousarray(scan[:, :3].T)
    sides = np.stack([_sides(*view) for view in views])
    if (sides[:, :, :3] == sides[0, :, :3]).all():
        return [_inside_any(columns, sides)] * len(views)
    return [_inside_any(columns, own[None]) for own in sides]


def _inside_any(columns: npt.NDArray[np.float32], sides: FloatArray) -> npt.NDArray[np.float32]:
    """Return the points that may be in one of some images with parallel sides (views, 4, 4).

    Each side of an image is a plane through the camera: (row of the matrix) . point >= 0. A point
    in front lies on the inner side of all four, a mirrored one on the outer side of all four.
    """
    normals, nearest, farthest = (
        sides[0, :, :3],
        sides[:, :, 3].max(axis=0),
        sides[:, :, 3].min(axis=0),
    )
    forward = columns[0] >= 0
    reach = max(float(columns.max(initial=0)), -float(columns.min(initial=0)))
    scales = np.abs(normals).max(axis=1) * 3 * reach + np.abs(sides[:, :, 3]).max(axis=0)
    if not (scales.min() > 1e-30 and scales.max() < 1e30 and reach < 1e30):  # NaN comes here too
        return columns[:, forward & np.isfinite(columns).all(axis=0)]
    # In units of the largest value it may take, so that one tolerance serves all planes.
    distances = (normals / scales[:, None]).astype(np.float32) @ columns
    tolerance = np.float32(2e-6)  # 16 roundings of 2**-23
    inner = (-nearest / scales).astype(np.float32) - tolerance
    outer = (-farthest / scales).astype(np.float32) + tolerance
    near = distances[0] >= inner[0]
    for distance, limit in zip(distances[1:], inner[1:], strict=True):
        near &= distance >= limit
    near |= (distances[0] <= outer[0]) & (distances[1] <= outer[1])  # mirrored, among them
    near &= forward
    return columns.take(np.flatnonzero(near), axis=1)


def _sides(matrix: FloatArray, hw: tuple[int, int]) -> FloatArray:
    """Planes (4, 4) through the left, right, upper and lower side of an image, inwards."""
    q0, q1, q2 = matrix
    height, width = hw
    return np.stack(
        [q0 + 0.5 * q2, (width + 0.5) * q2 - q0, q1 + 0.5 * q2, (height + 0.5) * q2 - q1]
    )


def _projection(projection: npt.ArrayLike) -> FloatArray:
    matrix = np.asarray(projection, dtype=np.float64)
    if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise UsageError(f"a projection should be 3x4 finite numbers, found {matrix.shape}")
    return matrix


def _size(hw: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(n) for n in hw)
    if height < 1 or width < 1:
        raise UsageError(f"the image size should be (height, width) > 0, found {hw}")
    return height, width
