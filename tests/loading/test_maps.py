"""Sampling of maps and scattering of points."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from depthdata.loading.maps import densify, nearest_resize, scale_points


@given(st.integers(0, 10_000), st.integers(1, 60), st.booleans())
def test_nearest_wins_whatever_the_order(seed: int, n: int, largest: bool) -> None:
    rng = np.random.default_rng(seed)
    flat = rng.integers(0, 8, n)
    value = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], n).astype(np.float32)
    out = np.zeros(8, np.float32)
    densify(out, flat, value, largest=largest)
    best = max if largest else min
    for pixel in range(8):
        there = value[flat == pixel]
        assert out[pixel] == (best(there) if len(there) else 0)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_resize_samples_the_pixel_under_the_new_centre(h: int, w: int, h2: int, w2: int) -> None:
    image = np.arange(h * w).reshape(h, w)
    small = nearest_resize(image, (h2, w2))
    assert small.shape == (h2, w2)
    for i in range(h2):
        for j in range(w2):
            # the centre of the new pixel in old coordinates, in whole units of 1 / (2 h2)
            assert small[i, j] == image[(2 * i + 1) * h // (2 * h2), (2 * j + 1) * w // (2 * w2)]


def test_points_and_maps_move_alike() -> None:
    image = np.zeros((6, 8), np.float32)
    image[2:4, 4:6] = 7
    rows, columns = np.nonzero(image)
    x, y = scale_points(columns.astype(float), rows.astype(float), (6, 8), (3, 4))
    out = np.zeros(12, np.float32)
    flat = np.rint(y).astype(int) * 4 + np.rint(x).astype(int)
    assert set(flat.tolist()) <= {1 * 4 + 2}
    densify(out, flat, image[rows, columns])
    assert (out.reshape(3, 4) == nearest_resize(image, (3, 4))).all()
