"""Points and their dense picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.errors import UsageError
from depthdata.sequence import Points, SequenceWriter, densify, open_sequence


def slowly(x: Any, y: Any, value: Any, height: int, width: int) -> Any:
    """Draw point by point."""
    image = np.full((height, width), np.nan, np.float32)
    for u, v, z in zip(x.tolist(), y.tolist(), value.tolist(), strict=True):
        if not (np.isfinite([u, v, z]).all() and z > 0):
            continue
        row, col = round(v), round(u)  # both halves to even
        if 0 <= row < height and 0 <= col < width and not image[row, col] <= np.float32(z):
            image[row, col] = z
    return image


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 200))
def test_the_nearest_of_a_pixel_wins(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-3, 9, count), rng.uniform(-3, 7, count)
    x[rng.random(count) < 0.3] = rng.integers(-3, 9)  # many in one column, some on edges
    half = rng.random(count) < 0.2
    x[half] = np.floor(x[half]) + 0.5
    value = rng.choice([0.5, 1.0, 2.0, 3.5, -1.0, 0.0, np.nan, np.inf], count)
    np.testing.assert_array_equal(densify(x, y, value, 5, 7), slowly(x, y, value, 5, 7))


def test_points_off_any_number_are_left_out() -> None:
    far = np.array([np.nan, np.inf, -np.inf, 1e300, 1.0])
    with np.errstate(all="raise"):
        image = densify(far, far[::-1].copy(), np.ones(5), 3, 3)
        assert np.isnan(image).all()
        image = densify(far, np.ones(5), np.ones(5), 3, 3)
    assert np.isfinite(image).sum() == 1


@pytest.mark.parametrize(("row", "value"), [(1, 5), (2, 5), (0, -1), (0, np.inf), (9, 5)])
def test_pixels_that_need_a_look_when_they_are_drawn(tmp_path: Any, row: int, value: float) -> None:
    """The file says whether a stream has one point on each pixel; both ways draw the same."""
    points = Points(
        kind="pixel", row=np.uint16([1, row]), col=np.uint16([1, 1]), value=np.float32([7, value])
    )
    with SequenceWriter(tmp_path / "a.h5", dataset="d", sequence="s") as writer:
        writer.timeline([0], ["0"])
        camera = writer.camera("left", height=4, width=3, intrinsics=np.eye(3))
        camera.points("depth", [points])
    depth = open_sequence(tmp_path / "a.h5").cameras["left"].depth
    assert depth.attrs["one_per_pixel"] == (row == 2)
    expected = slowly(points.col, points.row, points.value, 4, 3)
    np.testing.assert_array_equal(depth[0], expected)
    np.testing.assert_array_equal(points.to_dense(4, 3), expected)


def test_projecting_the_sensor_points_anew() -> None:
    rng = np.random.default_rng(0)
    projection = np.array([[700, 0, 600, 45], [0, 700, 170, 0.2], [0, 0, 1, 0.003]]) @ np.eye(4)
    sensor = rng.uniform(1, 50, (100, 3)).astype(np.float32)
    points = Points(
        kind="subpixel", x=np.zeros(100), y=np.zeros(100), value=np.ones(100), sensor=sensor
    )
    found = points.project(projection)
    for point, row in zip(sensor.astype(float), found, strict=True):
        u, v, z = projection @ [*point, 1]
        np.testing.assert_allclose(row, [u / z, v / z, z], rtol=1e-14)


def test_wrong_columns_are_refused() -> None:
    one = np.ones(1, np.float32)
    with pytest.raises(UsageError, match="expected columns row, col, value"):
        Points(kind="pixel", x=one, y=one, value=one)
    with pytest.raises(UsageError, match="row must be u2"):
        Points(kind="pixel", row=one, col=one, value=one)
    with pytest.raises(UsageError, match="sensor must be"):
        Points(kind="subpixel", x=one, y=one, value=one, sensor=one)
    with pytest.raises(UsageError, match="no sensor coordinates"):
        Points(kind="subpixel", x=one, y=one, value=one).project(np.eye(3, 4))


def test_positions_of_either_kind() -> None:
    whole = Points(
        kind="pixel", row=np.uint16([3]), col=np.uint16([8]), value=np.ones(1, np.float32)
    )
    x, y = whole.positions()
    assert (x.tolist(), y.tolist()) == ([8.0], [3.0])
