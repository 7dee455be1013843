"""The crop of the multi-frame papers: boxes of KITTI's image sizes, intrinsics, sparse depth."""

from __future__ import annotations

import numpy as np
import pytest

from depthdata.aspect_crop import AspectCrop
from depthdata.errors import UsageError


@pytest.mark.parametrize(
    ("image", "box", "margins"),
    [
        ((376, 1241), (244, 0, 997, 376), (244.5, 0)),
        ((370, 1226), (243, 0, 983, 370), (243, 0)),
        ((375, 1242), (246, 0, 996, 375), (246, 0)),
        ((61, 96), (0, 6, 96, 55), (0, 6.5)),
    ],
)
def test_boxes(image, box, margins):
    crop = AspectCrop(image, (256, 512))
    assert crop.box == box and crop.margins == margins


def test_intrinsics_ignore_the_odd_pixel_and_the_half_one():
    K = AspectCrop((376, 1241), (256, 512)).intrinsics([[718, 0, 607], [0, 718, 185], [0, 0, 1]])
    scale = 376 / 256
    expected = [[718 / scale, 0, (607 - 244.5) / 752 * 512], [0, 718 / scale, 185 / scale]]
    np.testing.assert_allclose(K[:2], np.array([expected[0], [0, *expected[1][1:]]]), rtol=1e-15)


def test_the_last_point_of_a_cell_wins():
    depth = np.full((4, 8), np.nan, np.float32)
    depth[0, 0], depth[0, 1], depth[3, 7] = 2, 4, 8  # columns 0 and 0.5 round to 0 (half to even)
    out = AspectCrop((4, 8), (2, 4)).scatter(depth)
    np.testing.assert_array_equal(out, [[1 / 4, 0, 0, 0], [0, 0, 0, 1 / 8]])


def test_wrong_sizes():
    with pytest.raises(UsageError):
        AspectCrop((0, 4), (2, 2))
    with pytest.raises(UsageError):
        AspectCrop((4, 4), (2, 2)).scatter(np.zeros((3, 3)))
