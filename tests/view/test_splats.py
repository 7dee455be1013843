"""Points and lines as pictures: known colours at known pixels, what is near hides what is far."""

from __future__ import annotations

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.geometry import project, se3_inverse, transform
from depthdata.view.panels import BACKGROUND
from depthdata.view.splats import Canvas, look_at

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
K = np.array([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]])
SIZE = (31, 41)


def canvas(pose=None):
    return Canvas(SIZE, K, np.eye(4) if pose is None else pose)


def test_a_point_is_at_its_pixel():
    picture = canvas()
    picture.points([[0.25, -0.25, 2.0]], RED)  # u = 20 + 40 / 8, v = 15 - 40 / 8
    image = picture.image()
    assert image[10, 25].tolist() == list(RED)
    assert (image != BACKGROUND).any(-1).sum() == 1
    assert picture.depth()[10, 25] == 2.0 and np.isinf(picture.depth()).sum() == 31 * 41 - 1


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_nearest_wins_in_any_order(order):
    picture = canvas()
    points, shades = np.array([[0, 0, 3.0], [0, 0, 1.0], [0, 0, 2.0]]), np.array([RED, GREEN, BLUE])
    picture.points(points[order], shades[order])
    assert picture.image()[15, 20].tolist() == list(GREEN)
    picture.points([[0, 0, 1.5]], BLUE)  # later, but behind
    assert picture.image()[15, 20].tolist() == list(GREEN)
    picture.points([[0, 0, 0.5]], BLUE)
    assert picture.image()[15, 20].tolist() == list(BLUE)


def test_a_point_covers_its_extent():
    picture = canvas()
    picture.points([[0, 0, 2.0]], RED, 0.25)  # 40 * 0.25 / 2 = 5 pixels
    rows, columns = np.nonzero((picture.image() == RED).all(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (13, 17, 18, 22)
    assert len(rows) == 25


def test_what_is_behind_or_unknown_is_left_out():
    picture = canvas()
    picture.points([[0, 0, -1.0], [0, 0, 0], [np.nan, 0, 1], [0, 0, np.inf], [1e9, 0, 1]], RED)
    picture.points(np.zeros((0, 3)), RED)
    picture.lines([[0, 0, -2.0], [np.nan] * 3], [[1, 0, -1.0], [0, 0, 1]], RED)
    assert (picture.image() == BACKGROUND).all()


def test_agrees_with_a_loop_over_points():
    rng = np.random.default_rng(7)
    points = rng.uniform([-3, -3, -1], [3, 3, 6], (400, 3))
    shades = rng.integers(0, 256, (400, 3), dtype=np.uint8)
    pose = look_at([0.3, -0.2, -1], [0, 0, 3], [0, -1, 0])
    picture = canvas(pose)
    picture.points(points, shades)
    expected = np.empty((*SIZE, 3), np.uint8)
    expected[:] = BACKGROUND
    nearest = np.full(SIZE, np.inf)
    uv, z = project(K, transform(se3_inverse(pose), points))
    for (u, v), depth, shade in zip(np.floor(uv + 0.5), z, shades, strict=True):
        if depth > 0 and 0 <= u < SIZE[1] and 0 <= v < SIZE[0]:
            at = int(v), int(u)
            if np.float32(depth) < nearest[at]:
                nearest[at], expected[at] = np.float32(depth), shade
    np.testing.assert_array_equal(picture.image(), expected)


def test_a_line_is_straight_and_hidden_by_what_is_nearer():
    picture = canvas()
    picture.points([[0, 0, 1.0]], GREEN)
    picture.lines([[-1.0, 0, 2]], [[1.0, 0, 2]], RED, 1)
    row = picture.image()[15]
    assert row[20].tolist() == list(GREEN)
    assert (row[[0, 10, 19, 21, 40]] == RED).all()
    assert (picture.image()[[14, 16]] == BACKGROUND).all()


def test_a_line_from_behind_the_viewer_is_cut():
    picture = canvas()
    picture.lines([[0, 1.0, -4]], [[0, 1.0, 8]], RED, 1)  # on the ground, under the viewer
    rows, columns = np.nonzero((picture.image() == RED).all(-1))
    assert set(columns.tolist()) == {20} and rows.min() == 20 and rows.max() == 30


def test_a_path_is_interrupted_where_nothing_is_known():
    places = np.array([[-0.4, 0, 1], [-0.2, 0, 1], [np.nan] * 3, [0.2, 0, 1], [0.4, 0, 1.0]])
    picture = canvas()
    picture.path(places, BLUE, 1)
    row = (picture.image()[15] == BLUE).all(-1)
    assert row[4:12].all() and row[29:36].all() and not row[14:27].any()


def test_look_at_looks_at():
    pose = look_at([1, 2, 3], [4, 5, 9], [0, -1, 0])
    assert np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3)) and np.linalg.det(pose) > 0
    uv, z = project(K, transform(se3_inverse(pose), [4, 5, 9]))
    assert np.allclose(uv, [20, 15]) and z == pytest.approx(np.sqrt(9 + 9 + 36))
    above = transform(se3_inverse(pose), [4, 4, 9])
    assert above[1] < 0  # up in the picture
    with pytest.raises(UsageError, match="parallel"):
        look_at([0, 0, 0], [0, 1, 0], [0, -1, 0])
