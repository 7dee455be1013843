"""Flow colours of Dynamo-Depth against its own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.view.dynamo_colors import colorize_flow_dynamo, flow_polar, hsv_to_rgb


@pytest.mark.golden
@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_geometry*.npz"))
def test_golden_flow_colours(path: Path) -> None:
    arrays = np.load(path, allow_pickle=False)
    length, angle = flow_polar(arrays["cart"])
    np.testing.assert_allclose(length, arrays["polar_r"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(angle, arrays["polar_theta"], rtol=1e-9, atol=1e-9)
    found = hsv_to_rgb(*np.moveaxis(arrays["hsv"], 1, 0))
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), arrays["rgb"], rtol=1e-9, atol=1e-9)


def test_still_is_white_and_directions_differ() -> None:
    flow = np.zeros((2, 1, 5))
    flow[:, 0, 1:] = [[1, -1, 0, 0], [0, 0, 1, -1]]
    found = colorize_flow_dynamo(flow)
    assert found.dtype == np.uint8 and found.shape == (1, 5, 3)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert len({tuple(pixel) for pixel in found[0].tolist()}) == 5
    # opposite directions have opposite hues: together they darken every channel once
    np.testing.assert_allclose(found[0, 1].astype(int) + found[0, 2], 255, atol=1)
    half = colorize_flow_dynamo(flow, largest=2.0)
    assert (half.astype(int).sum(-1) >= found.astype(int).sum(-1)).all()
    assert colorize_flow_dynamo(np.zeros((2, 2, 2))).min() == 255
    assert colorize_flow_dynamo(np.full((2, 1, 1), np.nan)).tolist() == [[[255, 255, 255]]]
