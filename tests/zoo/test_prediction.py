"""A prediction: its parts, its invariance, its way to depth."""

from __future__ import annotations

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthzoo.prediction import Prediction


def test_depth_from_disparity_where_there_is_any():
    disparity = np.array([[[8.0, 0.0, -1.0, np.nan]], [[4.0, 2.0, 1.0, 0.5]]])
    prediction = Prediction(disparity=disparity, invariance="disparity")
    depth = prediction.to_depth(fx=np.array([400.0, 200.0]), baseline=0.5)
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth[0, 0], [25.0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(depth[1, 0], [25.0, 50.0, 100.0, 200.0])


def test_a_principal_point_that_differs_shifts_the_disparity():
    prediction = Prediction(disparity=np.full((1, 1, 1), 8.0), invariance="disparity")
    depth = prediction.to_depth(fx=100.0, baseline=1.0, cx_difference=2.0)
    assert float(depth[0, 0, 0]) == 10.0


def test_depth_that_was_predicted_is_given_as_it_is():
    depth = np.ones((2, 3, 4), np.float32)
    assert Prediction(depth=depth, invariance="scale").to_depth() is not None
    np.testing.assert_array_equal(Prediction(depth=depth).to_depth(), depth)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "without content"),
        ({"depth": np.ones((3, 4))}, r"depth has axes \(T, H, W\)"),
        ({"flow": np.ones((1, 3, 4, 4))}, r"flow has axes \(T, 2, H, W\)"),
        ({"depth": np.ones((1, 3, 4)), "disparity": np.ones((2, 3, 4))}, "differ in frames"),
        ({"depth": np.ones((1, 3, 4)), "flow": np.ones((1, 2, 3, 5))}, "differ in frames or size"),
        ({"depth": np.ones((1, 3, 4)), "invariance": "metres"}, "one of metric, scale"),
    ],
)
def test_contradictions_are_refused(parts, said):
    with pytest.raises(UsageError, match=said):
        Prediction(**parts)


def test_disparity_alone_needs_the_rig():
    prediction = Prediction(disparity=np.ones((1, 2, 2)), invariance="disparity")
    with pytest.raises(UsageError, match="fx"):
        prediction.to_depth()
    with pytest.raises(UsageError, match="positive"):
        prediction.to_depth(fx=100.0, baseline=0.0)
    with pytest.raises(UsageError, match="holds flow only"):
        Prediction(flow=np.ones((1, 2, 2, 2))).to_depth()


def test_depth_up_to_scale_may_only_be_scaled():
    assert Prediction(depth=np.ones((1, 2, 2)), invariance="scale").alignments == ("median",)
