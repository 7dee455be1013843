"""Colours mean what the docstrings say."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthdata.view import colors


def hue(rgb: np.ndarray) -> float:
    return colorsys.rgb_to_hsv(*(np.asarray(rgb) / 255))[0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=20))
def test_any_values_give_colours(values):
    low, high = colors.finite_range(values)
    assert low < high
    image = colors.colorize(values, low, high)
    assert image.dtype == np.uint8 and image.shape == (len(values), 3)
    for value, rgb in zip(values, image.tolist(), strict=True):
        assert (tuple(rgb) == colors.MISSING_RGB) == (not np.isfinite(value))


def test_near_is_red_and_far_is_blue():
    near, far, none = colors.colorize_depth(np.array([3.0, 80.0, np.nan]), 2, 100)
    assert near[0] > near[2] and far[2] > far[0] and tuple(none) == colors.MISSING_RGB
    large, small = colors.colorize_disparity(np.array([60.0, 1.0]), 0, 64)
    assert large[0] > large[2] and small[2] > small[0]


def test_depth_of_zero_is_missing():
    assert tuple(colors.colorize_depth(np.array([0.0, 5.0]))[0]) == colors.MISSING_RGB


def test_errors_are_green_then_yellow_then_red():
    green, yellow, red = colors.colorize([0.0, 0.5, 0.8], 0, 1, "error").astype(int)
    assert green[1] > green[0] and min(yellow[:2]) > 180 and red[0] > 2 * red[1]


def test_reversed_is_the_other_way_round():
    ramp = np.linspace(0, 1, 256)
    there, back = (colors.colorize(ramp, 0, 1, name) for name in ("turbo", "turbo_reversed"))
    np.testing.assert_array_equal(there, back[::-1])


@pytest.mark.parametrize("angle", np.arange(0, 360, 30))
def test_direction_of_flow_is_hue(angle):
    dx, dy = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    flow = np.array([dx, dy]).reshape(2, 1, 1) * [[[5.0]], [[5.0]]]
    rgb = colors.colorize_flow(flow, 5.0)[0, 0]
    assert abs((hue(rgb) - angle / 360 + 0.5) % 1 - 0.5) < 0.01


def test_no_flow_is_white_and_missing_flow_is_grey():
    flow = np.zeros((2, 1, 3))
    flow[:, 0, 1], flow[0, 0, 2] = np.nan, 8
    still, missing, moving = colors.colorize_flow(flow, 10.0)[0]
    assert still.tolist() == [255, 255, 255] and tuple(missing) == colors.MISSING_RGB
    assert moving.max() - moving.min() > 100


def test_instances_keep_their_colours_and_differ():
    labels = np.arange(20).reshape(4, 5)
    image = colors.colorize_instances(labels).reshape(-1, 3)
    assert tuple(image[0]) == colors.MISSING_RGB
    assert len({tuple(c) for c in image}) == 20
    np.testing.assert_array_equal(
        colors.colorize_instances(labels[::-1]), image.reshape(4, 5, 3)[::-1]
    )


def test_masks_alone_and_over_images():
    mask = np.array([[0, 1]])
    assert colors.colorize_mask(mask)[0, 1].tolist() == [255, 96, 48]
    image = np.full((1, 2), 200, np.uint8)
    over = colors.colorize_mask(mask, image)
    assert over[0, 0].tolist() == [120] * 3 and over[0, 1, 0] > over[0, 1, 2]


def test_blend_leaves_the_rest_alone():
    image = np.full((1, 2, 3), 100, np.uint8)
    out = colors.blend(image, np.full((1, 2, 3), 200, np.uint8), np.array([[True, False]]), 0.5)
    assert out[0, 0].tolist() == [150] * 3 and out[0, 1].tolist() == [100] * 3
