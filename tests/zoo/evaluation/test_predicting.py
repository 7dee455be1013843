"""Predictions written to files: complete or absent, resumable, the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.evaluation.frames import build_sample
from depthzoo.evaluation.predicting import predict_sequences
from depthzoo.models import Card, Needs, load
from depthzoo.prediction import Prediction


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    for seed in (1, 2):
        scene = SyntheticScene(seed=seed, frames=3, height=40, width=128)
        write_sequence(scene, root / f"street_{seed:04d}.h5", tracks=0, lidar=False)
    return root


def test_a_file_holds_what_the_model_predicts(folder: Path, tmp_path: Path) -> None:
    model = load("sgbm")
    results = predict_sequences(model, folder, tmp_path)
    assert [r.status for r in results] == ["predicted", "predicted"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["street_0001.npz", "street_0002.npz"]
    for result in results:
        with (
            np.load(result.path, allow_pickle=False) as stored,
            open_sequence(folder / f"{result.sequence}.h5") as seq,
        ):
            assert stored["disparity"].dtype == np.float32
            assert stored["frames"].tolist() == [0, 1, 2]
            assert stored["frame_ids"].tolist() == list(seq.frame_ids)
            assert float(stored["baseline"]) == seq.stereo_pairs[0].baseline
            np.testing.assert_array_equal(
                stored["intrinsics"][1], seq.cameras["left"].intrinsics(1)
            )
            facts = json.loads(str(stored["facts"]))
            assert (facts["model"], facts["digest"]) == ("sgbm", seq.digest)
            assert (facts["quantity"], facts["invariance"]) == ("disparity", "disparity")
            for n in range(3):
                direct = model.predict(build_sample(seq, "left", n, model.needs)).disparity
                np.testing.assert_array_equal(stored["disparity"][n], direct[0])


def test_depth_is_the_same_scene(folder: Path, tmp_path: Path) -> None:
    file = folder / "street_0001.h5"
    predict_sequences(load("sgbm"), file, tmp_path, quantity="depth", png16=True)
    with np.load(tmp_path / "street_0001.npz") as stored, open_sequence(file) as seq:
        depth, ids = stored["depth"], stored["frame_ids"]
        truth = np.stack([seq.cameras["left"].depth[t] for t in range(3)])
    both = np.isfinite(depth) & np.isfinite(truth)
    assert both.mean() > 0.2
    assert np.median(np.abs(depth - truth)[both] / truth[both]) < 0.1
    png = cv2.imread(str(tmp_path / "street_0001" / f"{ids[0]}.png"), cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16
    near = np.isfinite(depth[0]) & (depth[0] < 250)
    np.testing.assert_allclose(png[near] / 256, depth[0][near], atol=1 / 512 + 1e-3)
    assert (png[np.isnan(depth[0])] == 0).all()


def test_what_is_there_is_skipped_and_other_predictions_are_not_overwritten(
    folder: Path, tmp_path: Path
) -> None:
    model = load("sgbm")
    file = folder / "street_0001.h5"
    predict_sequences(model, file, tmp_path)
    bytes_before = (tmp_path / "street_0001.npz").read_bytes()
    assert predict_sequences(model, file, tmp_path)[0].status == "skipped"
    refused = predict_sequences(model, file, tmp_path, quantity="depth")[0]
    assert refused.status == "failed" and "overwrite" in refused.message
    assert (tmp_path / "street_0001.npz").read_bytes() == bytes_before
    (tmp_path / "street_0001.npz").write_bytes(bytes_before[:100])  # a damaged file is not "there"
    assert predict_sequences(model, file, tmp_path)[0].status == "failed"
    assert predict_sequences(model, file, tmp_path, overwrite=True)[0].status == "predicted"
    assert (tmp_path / "street_0001.npz").read_bytes() == bytes_before


def test_one_bad_sequence_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "street_0001.h5").write_bytes((folder / "street_0001.h5").read_bytes()[:5000])
    (mixed / "street_0002.h5").write_bytes((folder / "street_0002.h5").read_bytes())
    results = predict_sequences(load("sgbm"), mixed, tmp_path / "out")
    assert [r.status for r in results] == ["failed", "predicted"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["street_0002.npz"]


def test_a_model_that_breaks_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    model = load("sgbm")
    calls = []

    class Breaks:
        card, needs, weights_sha256 = model.card, model.needs, None

        def predict(self, sample: object) -> object:
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError("out of memory")
            return model.predict(sample)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError):
        predict_sequences(Breaks(), folder / "street_0001.h5", tmp_path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_dry_run_writes_nothing(folder: Path, tmp_path: Path) -> None:
    results = predict_sequences(load("sgbm"), folder, tmp_path / "out", dry_run=True)
    assert [(r.status, r.frames) for r in results] == [("planned", 3), ("planned", 3)]
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="quantity"):
        predict_sequences(load("sgbm"), folder, tmp_path, quantity="flow")


class Mover:
    """A model that knows all of a scene, given consecutive frames."""

    weights_sha256 = None
    needs = Needs()
    card = Card("mover", "mover", "Mover", "none", "", "", Needs(),
                ("depth", "pose", "flow", "motion_mask"), "scale")  # fmt: skip

    def __init__(self, file: Path) -> None:
        self.file = file

    def predict(self, sample: Any) -> Prediction:
        first, count = int(sample["index"]["frame"]), len(sample["rgb"])
        with open_sequence(self.file) as seq:
            cam = seq.cameras["left"]
            frames = range(first, first + count)
            depth = np.stack([cam.depth[t] for t in frames])
            pose = np.stack([cam.pose(t) for t in frames])
        numbers = np.arange(first, first + count, dtype=np.float32)[:, None, None]
        mask = np.broadcast_to(numbers, depth.shape).copy()
        mask[[0, -1]] = np.nan
        return Prediction(
            depth=depth,
            motion_mask=mask if count > 2 else None,
            flow=np.stack([mask, mask], 1) if count > 2 else None,
            pose=np.linalg.inv(pose[0]) @ pose if count > 1 else None,
            invariance="scale",
        )


def test_poses_flow_and_masks_lie_beside_the_depth(tmp_path: Path) -> None:
    count = 10  # more than a piece
    file = write_sequence(
        SyntheticScene(seed=1, frames=count, height=32, width=96),
        *(tmp_path / "street_0001.h5",), tracks=0, lidar=False,
    )  # fmt: skip
    (result,) = predict_sequences(Mover(file), file, tmp_path / "out")
    assert result.status == "predicted", result.message
    with np.load(result.path, allow_pickle=False) as stored, open_sequence(file) as seq:
        assert stored["frames"].tolist() == list(range(count))
        assert stored["flow"].shape == (count, 2, 32, 96)
        inner = stored["motion_mask"][1:-1]
        assert (inner == np.arange(1, count - 1)[:, None, None]).all()
        assert np.isnan(stored["motion_mask"][[0, -1]]).all()
        poses = np.stack([seq.cameras["left"].pose(t) for t in range(count)])
        np.testing.assert_allclose(stored["pose"], np.linalg.inv(poses[0]) @ poses, atol=1e-9)
    from depthzoo.evaluation import evaluate
    from depthzoo.evaluation.stored import StoredPredictions

    report = evaluate(StoredPredictions(tmp_path / "out"), file, "odometry/trajectory")
    assert report.model["name"] == "mover" and report.model["invariance"] == "scale"
    assert report.aggregate["ate"] == pytest.approx(0, abs=1e-6)
    depth = evaluate(StoredPredictions(tmp_path / "out"), file, "depth/lidar")
    assert depth.alignment == "median" and depth.aggregate["abs_rel"] == pytest.approx(0, abs=1e-6)


def test_a_model_of_videos_is_given_a_sequence_as_one(folder: Path, tmp_path: Path) -> None:
    class Video:
        weights_sha256 = None
        card, needs = load("sgbm").card, load("sgbm").needs
        videos = 0

        def predict(self, sample: object) -> Prediction:
            raise AssertionError("a video is not predicted frame by frame")

        def stream(self, samples: Any) -> Any:
            self.videos += 1
            for t, sample in enumerate(samples):
                values = np.full((1, *sample["rgb"].shape[2:]), t, np.float32)
                meta = {"frames": (t,)}
                yield Prediction(disparity=values, invariance="disparity", meta=meta)

    model = Video()
    results = predict_sequences(model, folder, tmp_path)
    assert model.videos == 2
    with np.load(results[1].path, allow_pickle=False) as stored:
        assert stored["disparity"][:, 0, 0].tolist() == [0, 1, 2]


def test_a_model_that_loses_frames_is_told(folder: Path, tmp_path: Path) -> None:
    class Loses:
        weights_sha256 = None
        card, needs = load("sgbm").card, load("sgbm").needs

        def predict(self, sample: object) -> Prediction:
            raise AssertionError

        def stream(self, samples: Any) -> Any:
            for t, sample in enumerate(samples):
                if t != 1:
                    values = np.zeros((1, *sample["rgb"].shape[2:]), np.float32)
                    meta = {"frames": (t,)}
                    yield Prediction(disparity=values, invariance="disparity", meta=meta)

    result = predict_sequences(Loses(), folder / "street_0001.h5", tmp_path)[0]
    assert result.status == "failed" and "2 of 3 frames" in result.message
    assert list(tmp_path.iterdir()) == []


def test_other_options_are_other_predictions(folder: Path, tmp_path: Path) -> None:
    file, model = folder / "street_0001.h5", load("sgbm", max_disparity=32)
    options = {"max_disparity": 32, "size": (1, 2)}
    for wanted in ("predicted", "skipped"):
        assert predict_sequences(model, file, tmp_path, options=options)[0].status == wanted
    assert predict_sequences(load("sgbm"), file, tmp_path)[0].status == "failed"
