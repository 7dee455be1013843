"""Protocols and alignments: what counts, what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.splits import list_splits
from depthdata.windows import list_windows
from depthzoo.evaluation import get_protocol, list_protocols
from depthzoo.evaluation.alignment import choose_alignment, scale_factor
from depthzoo.evaluation.measures import MEASURES
from depthzoo.evaluation.protocols import KINDS, Range
from depthzoo.evaluation.scoring import Curves, compare, score
from depthzoo.evaluation.targets import RULES


@pytest.mark.parametrize("name", list_protocols())
def test_every_protocol_is_complete_data(name: str) -> None:
    protocol = get_protocol(name)
    assert set(protocol.metrics) <= set(MEASURES)
    assert set(protocol.average) <= set(protocol.metrics)
    assert set(protocol.reported.values()) <= set(protocol.metrics)
    assert protocol.kind in KINDS
    assert protocol.kind == "trajectory" or protocol.truth in RULES
    assert set(protocol.splits) <= {*list_splits(), *list_windows()}
    assert protocol.corrected in (None, *list_protocols())
    assert all(set(row.values) <= set(protocol.metrics) for row in protocol.published)
    assert len(protocol.text) > 80 and protocol.source
    json.dumps(protocol.describe(), allow_nan=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.id = "other"  # type: ignore[misc]


def test_a_protocol_is_found_without_its_version() -> None:
    assert get_protocol("kitti_raw/eigen").id == "kitti_raw/eigen@1"
    assert get_protocol("stereo/raft/eth3d").id == "stereo/raft@1/eth3d"
    with pytest.raises(UsageError, match=r"kitti_raw/lidar@1"):
        get_protocol("kitti_raw/ledar")
    with pytest.raises(UsageError):
        get_protocol("kitti_raw/eigen@99")


def test_alignments_follow_the_invariance() -> None:
    lidar = get_protocol("kitti_raw/lidar").alignment
    assert [choose_alignment(i, lidar) for i in ("metric", "disparity", "scale")] == [
        "none",
        "none",
        "median",
    ]
    with pytest.raises(UsageError, match=r"'none' does not fit .* 'scale'"):
        choose_alignment("scale", "none")
    with pytest.raises(UsageError, match="affine"):
        choose_alignment("affine", lidar)
    with pytest.raises(UsageError, match="'scale'"):
        choose_alignment("scale", get_protocol("stereo/epe").alignment)
    with pytest.raises(UsageError, match="unknown invariance"):
        choose_alignment("similarity", "median")


def test_median_scaling_takes_the_mean_of_the_middle_two() -> None:
    factor = scale_factor("median", np.array([1.0, 2.0, 4.0, 100.0]), np.array([3.0, 6.0]))
    assert factor == pytest.approx(4.5 / 3.0)
    assert np.isnan(scale_factor("median", np.empty(0), np.empty(0)))


def test_scaled_predictions_are_as_good_as_the_truth_itself() -> None:
    truth = np.random.default_rng(1).uniform(1, 79, (40, 60))
    found = score(get_protocol("kitti_raw/eigen"), truth / 17.0, truth, "scale")
    assert found.values["abs_rel"] == pytest.approx(0, abs=1e-12)
    assert found.values["a1"] == 1
    assert found.scale == pytest.approx(17)


def test_the_range_of_the_truth() -> None:
    values = np.array([0.0, 1e-3, 1.0, 80.0, 80.001, np.inf, np.nan])
    lidar, eigen = get_protocol("kitti_raw/lidar"), get_protocol("kitti_raw/eigen")
    assert np.flatnonzero(lidar.valid.contains(values)).tolist() == [1, 2, 3]
    assert np.flatnonzero(eigen.valid.contains(values)).tolist() == [2]
    assert Range().contains(values).sum() == 5


def test_the_crop_of_an_image_of_kitti() -> None:
    protocol = get_protocol("kitti_raw/eigen")
    found = compare(protocol, np.ones((375, 1242)), np.full((375, 1242), 5.0), "scale")
    rows, columns = found.at // 1242, found.at % 1242
    assert (rows.min(), rows.max() + 1) == (153, 371)
    assert (columns.min(), columns.max() + 1) == (44, 1197)
    assert found.at.size == (371 - 153) * (1197 - 44)


def test_lidar_protocol_uses_predictions_as_they_are() -> None:
    protocol = get_protocol("kitti_raw/lidar")
    truth = np.array([[10.0, 20.0, 90.0, np.nan, 40.0]])
    predicted = np.array([[12.0, np.nan, 90.0, 7.0, 500.0]])
    curves = Curves("depth")
    found = score(protocol, predicted, truth, "metric", curves)
    assert (found.pixels, found.missing) == (2, 1)
    assert found.coverage == pytest.approx(2 / 3)
    assert found.values["abs_rel"] == pytest.approx((0.2 + 11.5) / 2)
    assert curves.errors.sum() == curves.pixels.sum() == 2
    assert curves.error_sum.sum() == pytest.approx(11.7)


def test_eigen_clamps_after_scaling() -> None:
    protocol = dataclasses.replace(get_protocol("kitti_raw/eigen"), crop=None)
    truth = np.array([[10.0, 10.0, 10.0, 70.0]])
    found = score(protocol, np.array([[1.0, 1.0, 1.0, 1000.0]]), truth, "scale")
    assert found.scale == 10
    assert found.values["abs_rel"] == pytest.approx((80 - 70) / 70 / 4)


def test_a_prediction_of_another_size() -> None:
    truth = np.full((8, 12), 5.0)
    with pytest.raises(UsageError, match=r"\(4, 6\).*\(8, 12\)"):
        score(get_protocol("kitti_raw/lidar"), np.full((4, 6), 5.0), truth, "metric")
    assert score(get_protocol("kitti_raw/eigen"), np.full((4, 6), 2.0), truth, "scale").scale == 2.5
