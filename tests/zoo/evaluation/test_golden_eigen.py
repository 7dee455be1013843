"""The Eigen protocol against Insta-DM's own evaluator, digit for digit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.errors import SourceError, UsageError
from depthzoo.evaluation.saved import (
    eigen_truth,
    evaluate_saved,
    format_insta_dm,
    read_image_list,
)

pytestmark = pytest.mark.golden
CASES = golden_cases("eval", "insta_dm_eigen*")


@pytest.mark.parametrize("folder", CASES)
def test_insta_dm_eigen(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    names = read_image_list(folder / "test_files.txt")
    predictions = np.load(folder / "predictions.npy", allow_pickle=False)
    result = evaluate_saved(folder / "raw", names, predictions, skip_missing=True)
    table = result.table()
    wanted = np.array(expected["per_image"])
    assert table.shape == wanted.shape
    assert (np.abs(table - wanted) <= 1e-7 * np.maximum(1, np.abs(wanted))).all()
    assert format_insta_dm(table).splitlines()[1] == expected["printed"]
    heads = format_insta_dm(table).splitlines()[0].split(", ")
    assert [head.strip() for head in heads] == expected["columns"]
    assert list(result.images) + list(result.skipped) == names


@pytest.mark.parametrize("folder", CASES)
def test_insta_dm_eigen_truth(folder: Path) -> None:
    expected = np.load(folder / "expected.npz", allow_pickle=False)
    names = read_image_list(folder / "test_files.txt")
    there = [name for name in names if (folder / "raw" / name).is_file()]
    wanted = [key for key in expected.files if key.startswith("gt_velodepth_")]
    assert len(there) == len(wanted)
    for i, name in enumerate(there):
        truth = eigen_truth(folder / "raw", name)
        assert truth.dtype == np.float32
        np.testing.assert_array_equal(truth, expected[f"gt_velodepth_{i}"])


@pytest.mark.parametrize("folder", CASES)
def test_insta_dm_eigen_is_strict_about_missing_images(folder: Path) -> None:
    names = read_image_list(folder / "test_files.txt")
    predictions = np.load(folder / "predictions.npy", allow_pickle=False)
    with pytest.raises(SourceError, match="missing"):
        evaluate_saved(folder / "raw", names, predictions)
    with pytest.raises(UsageError, match=f"{len(predictions) + 9} predictions"):
        many = np.concatenate([predictions, np.ones((9, *predictions.shape[1:]))])
        evaluate_saved(folder / "raw", names, many, skip_missing=True)


@pytest.mark.parametrize("folder", CASES)
def test_insta_dm_eigen_keeps_each_prediction_with_its_image(folder: Path) -> None:
    names = read_image_list(folder / "test_files.txt")
    there = [name for name in names if (folder / "raw" / name).is_file()]
    gone = [name for name in names if name not in there]
    predictions = np.load(folder / "predictions.npy", allow_pickle=False)
    in_order = evaluate_saved(folder / "raw", there, predictions)
    # the missing image comes first and has a prediction of its own: the others must not shift
    with_gap = np.concatenate([np.full_like(predictions[: len(gone)], 3.0), predictions])
    shifted = evaluate_saved(folder / "raw", [*gone, *there], with_gap, skip_missing=True)
    np.testing.assert_array_equal(in_order.table(), shifted.table())
