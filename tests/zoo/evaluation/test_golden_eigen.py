"""The Eigen protocol against Insta-DM's own evaluator, digit for digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golden_cases

from depthdata.codecs.images import image_size
from depthdata.codecs.kitti import read_velodyne
from depthdata.errors import SourceError, UsageError
from depthdata.lidar import lidar_to_points
from depthdata.sequence import SequenceWriter
from depthdata.splits import Split
from depthzoo.evaluation import evaluate
from depthzoo.evaluation.saved import (
    camera_projection,
    eigen_truth,
    evaluate_saved,
    format_insta_dm,
    read_image_list,
)
from depthzoo.models import Card, Needs
from depthzoo.prediction import Prediction

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


def _write_image(raw: Path, image: str, sequence: str, path: Path) -> None:
    """Write an image and its scan as a sequence file, as a converter does."""
    blob = (raw / image).read_bytes()
    height, width, channels = image_size(blob)[:3]
    scan = read_velodyne((raw / image.replace("image_02", "velodyne_points")).with_suffix(".bin"))
    projection = camera_projection(raw, image)
    with SequenceWriter(
        path, dataset="kitti_raw", sequence=sequence, licence="none", citation="",
        converter="test 1", source_fingerprint="none",
    ) as writer:  # fmt: skip
        writer.timeline(np.array([10**18]), [Path(image).stem])
        camera = writer.camera("left", height=height, width=width, intrinsics=np.eye(3))
        camera.encoded("rgb", [blob], [len(blob)], encoding="png", channels=channels)
        points = lidar_to_points(scan, projection, (height, width))
        camera.points("depth", [points], unit="m", provenance="scan", projection=projection)


@pytest.mark.parametrize("folder", CASES)
def test_insta_dm_eigen_from_sequence_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    names = read_image_list(folder / "test_files.txt")
    there = [name for name in names if (folder / "raw" / name).is_file()]
    # one file an image, because the images of a golden drive may differ in size
    sequences = {name: f"{Path(name).parts[1]}_{Path(name).stem}" for name in names}
    for name in there:
        path = tmp_path / f"{sequences[name]}.h5"
        _write_image(folder / "raw", name, sequences[name], path)
    lines = [(sequences[name], "left", int(Path(name).stem)) for name in names]
    split = Split.from_entries("eigen/test", lines, frame_refers_to="frame_id")
    monkeypatch.setattr("depthdata.splits.load_split", lambda name: split)
    predictions = np.load(folder / "predictions.npy", allow_pickle=False)
    order = {sequences[name]: i for i, name in enumerate(there)}

    class Saved:
        needs = Needs(views=("left",))
        card = Card("saved", "saved", "Saved", "none", "", "", needs, ("depth",), "scale")
        weights_sha256 = None

        def predict(self, sample: Any) -> Prediction:
            i = order[sample["index"]["sequence"]]
            return Prediction(depth=predictions[i][None], invariance="scale")

    report = evaluate(Saved(), tmp_path, "kitti_raw/eigen", split="eigen/test")
    table = np.array([[*record.score.values.values()] for record in report.frames])
    # a Prediction is float32, which the reference's float64 predictions are rounded to here
    np.testing.assert_allclose(table, expected["per_image"], rtol=2e-6, atol=2e-6)
    assert format_insta_dm(table).splitlines()[1] == expected["printed"]
    assert report.left_out == {"sequence not there": len(names) - len(there)}
