"""Masks of what moves with known confusions, under every protocol of masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import golden_cases
from truth_models import Spoiler, Traveller, stream_of, times, write_file

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation import evaluate, list_protocols
from depthzoo.evaluation.targets import truth_map

FRAMES = 4
INNER = range(1, FRAMES - 1)
"""A mask of motion needs both neighbours."""


def moving(path: Path, frame: int) -> Any:
    return (stream_of(path, "masks/moving", frame) == 1).astype(float)


def confused(path: Path, frame: int) -> Any:
    """Miss every third pixel that moves; take the first of the others for moving."""
    truth = moving(path, frame).ravel()
    shown = np.where(truth == 1, 0.8, 0.2)
    shown[np.flatnonzero(truth == 1)[::3]] = 0.2
    shown[np.flatnonzero(truth == 0)[: 40 + frame]] = 0.8
    return shown.reshape(48, 160)


def confusion(path: Path) -> np.ndarray[Any, Any]:
    """Count true positives, false positives and false negatives of `confused`."""
    found = np.zeros(3, int)
    for t in INNER:
        many = int(moving(path, t).sum())
        missed = len(range(0, many, 3))
        found += [many - missed, 40 + t, missed]
    return found


def agree(values: Any, tp: int, fp: int, fn: int) -> None:
    assert values["precision"] == pytest.approx(tp / (tp + fp))
    assert values["recall"] == pytest.approx(tp / (tp + fn))
    assert values["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert values["iou"] == pytest.approx(tp / (tp + fp + fn))
    assert 0.2 <= values["threshold"] < 0.8


def test_every_mask_protocol_is_known_here() -> None:
    assert set(list_protocols("motion")) == {
        "motion/segmentation@1",
        "dynamo_depth/motion_segmentation@1",
    }


@pytest.mark.parametrize("invariance", ["metric", "scale", "affine", "disparity"])
def test_a_perfect_mask(streets: Path, invariance: str) -> None:
    model = Spoiler(streets, moving, "motion_mask", invariance)
    report = evaluate(model, streets, "motion/segmentation")
    for name in ("f1", "precision", "recall", "iou"):
        assert report.aggregate[name] == 1
    assert report.coverage == 1
    assert report.alignment == "none"
    # a model of single frames is given the neighbours, as motion needs them
    assert model.seen == [(f"street_{k:04d}", t) for k in (1, 2) for t in INNER]
    assert report.left_out == {"no image": 4}


def test_a_mask_with_a_known_confusion(streets: Path) -> None:
    report = evaluate(Spoiler(streets, confused, "motion_mask"), streets, "motion/segmentation")
    counts = [confusion(path) for path in sorted(streets.glob("*.h5"))]
    assert all(np.min(c) > 0 for c in counts)
    # counts are added over all images before a ratio is taken
    agree(report.aggregate, *sum(counts))
    for record, own in zip(report.frames, counts, strict=True):
        agree(record.score.values, *own)
        assert (record.frames, record.score.weight) == (len(INNER), len(INNER))
    curve = report.to_dict()["curves"]["precision_recall"]
    tp, _, fn = sum(counts)
    assert curve["recall"][0] == 1  # at the first threshold everything moves
    assert curve["precision"][0] == pytest.approx((tp + fn) / (2 * len(INNER) * 48 * 160))


def test_pixels_without_prediction_are_counted_and_not_measured(streets: Path) -> None:
    def half(path: Path, frame: int) -> Any:
        shown = moving(path, frame)
        shown[:, ::2] = np.nan
        return shown

    report = evaluate(Spoiler(streets, half, "motion_mask"), streets, "motion/segmentation")
    assert report.aggregate["f1"] == 1
    assert report.coverage == 0.5
    assert report.limits == ["50.00 % of the truth's pixels have no prediction"]


def test_pixels_whose_motion_is_not_known(tmp_path: Path) -> None:
    labels = np.zeros((3, 24, 40), np.uint8)
    labels[:, :6], labels[:, 6:12] = 1, 255
    file = write_file(tmp_path / "known.h5", 3, cameras=("left",), streams={"masks/moving": labels})
    everywhere = Spoiler(tmp_path, lambda path, t: np.ones((24, 40)), "motion_mask")
    report = evaluate(everywhere, file, "motion/segmentation")
    assert report.aggregate["precision"] == pytest.approx(6 / 18)
    assert report.frames[0].score.pixels == 18 * 40


def test_where_nothing_moves_nothing_is_said(tmp_path: Path) -> None:
    still = np.zeros((3, 24, 40), np.uint8)
    file = write_file(tmp_path / "still.h5", 3, cameras=("left",), streams={"masks/moving": still})
    model = Spoiler(tmp_path, lambda path, t: np.zeros((24, 40)), "motion_mask")
    report = evaluate(model, file, "motion/segmentation")
    assert np.isnan(report.aggregate["recall"])
    assert json.loads(report.to_json())["aggregate"]["recall"] is None


def test_a_smaller_mask_is_enlarged(streets: Path) -> None:
    small = Spoiler(streets, lambda path, t: np.full((12, 40), 0.7), "motion_mask")
    large = Spoiler(streets, lambda path, t: np.full((48, 160), 0.7), "motion_mask")
    reports = [evaluate(m, streets, "motion/segmentation") for m in (small, large)]
    assert reports[0].aggregate == reports[1].aggregate


def test_what_is_missing_is_said_in_a_line(streets: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sgbm predicts no motion mask"):
        evaluate("sgbm", streets, "motion/segmentation")
    model = Spoiler(tmp_path, moving, "motion_mask")
    plain = write_file(tmp_path / "plain.h5", 4, cameras=("left",))
    with pytest.raises(UsageError, match=r"nothing to evaluate .* no truth"):
        evaluate(model, plain, "motion/segmentation")
    labels = np.zeros((2, 24, 40), np.uint8)
    short = write_file(
        tmp_path / "short.h5", 2, cameras=("left",), streams={"masks/moving": labels}
    )
    with pytest.raises(UsageError, match=r"nothing to evaluate .* no image"):
        evaluate(model, short, "motion/segmentation")
    with pytest.raises(UsageError, match="predicts no motion mask"):
        evaluate(Traveller(streets, times(1)), streets, "motion/segmentation")


def waymo_file(root: Path, name: str, motion: Any, semantics: Any, size: tuple[int, int]) -> Path:
    """Write labels as Waymo has them, at all frames but the first and the last."""
    count = len(motion) + 2
    at = range(1, count - 1)
    mask = np.where(motion == 3, 255, motion == 1).astype(np.uint8)
    return write_file(
        root / f"{name}.h5", count, size, dataset="waymo", cameras=("front",),
        images=("rgb_320x480",),
        streams={
            "masks/moving": dict(zip(at, mask, strict=True)),
            "semantics": dict(zip(at, semantics, strict=True)),
            "instances": dict(zip(at, np.zeros_like(mask), strict=True)),
        },
    )  # fmt: skip


@pytest.mark.golden
@pytest.mark.parametrize("path", golden_cases("eval", "dynamo_depth_motion_segmentation*.json"))
def test_golden_motion_from_sequence_files(path: Path, tmp_path: Path) -> None:
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    case = json.loads(path.read_text(encoding="utf-8"))
    width, height = case["full_res_shape_wh"]
    shown, motion, classes = (arrays[k] for k in ("motion_mask", "mot_mask", "sem_mask"))
    # in two files, so that counts are added over sequences
    parts = {"first": slice(0, 2), "second": slice(2, None)}
    for name, part in parts.items():
        waymo_file(tmp_path, name, motion[part], classes[part], (height, width))
    model = Spoiler(
        tmp_path, lambda file, t: shown[parts[file.stem]][t - 1, 0], "motion_mask", "scale"
    )
    report = evaluate(model, tmp_path, "dynamo_depth/motion_segmentation")
    curve = report.to_dict()["curves"]["precision_recall"]
    for name in ("precision", "recall", "f1"):
        np.testing.assert_allclose(curve[name], arrays[f"out_{name}"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(
        np.array(curve["thresholds"], np.float32), arrays["out_thrds"].ravel()
    )
    best = int(arrays["out_f1"].argmax())
    for name in ("precision", "recall", "f1"):
        assert report.aggregate[name] == pytest.approx(arrays[f"out_{name}"][best], abs=1e-6)
    assert report.aggregate["threshold"] == arrays["out_thrds"].ravel()[best]
    assert curve["false_positive_share_by_class"] == pytest.approx(
        case["false_positive_rate_by_class"], abs=1e-6
    )
    assert curve["title"] == case["tally_title"]
    # the labels in the file are those of the case: what could move and what not are one to it
    with open_sequence(tmp_path / "first.h5") as seq:
        labels = truth_map("dynamo_motion", seq, "front", 1)
    np.testing.assert_array_equal(labels == 1, motion[0] == 1)
    np.testing.assert_array_equal(labels == 3, motion[0] == 3)


def test_frames_of_waymo_without_labels_are_not_measured(tmp_path: Path) -> None:
    motion = np.zeros((2, 24, 40), np.uint8)
    motion[:, :6] = 1
    file = waymo_file(tmp_path, "segment", motion, np.zeros_like(motion), (24, 40))
    model = Spoiler(tmp_path, lambda path, t: motion[0].astype(float), "motion_mask", "scale")
    report = evaluate(model, file, "dynamo_depth/motion_segmentation")
    assert model.seen == [("segment", 1), ("segment", 2)]
    assert report.left_out == {"no truth": 2}
    assert report.aggregate["f1"] == pytest.approx(1)
    assert report.aggregate["f1"] < 1  # the reference adds 1e-10 to its divisors


def test_labels_of_nuscenes_are_cells_around_points(tmp_path: Path) -> None:
    from truth_models import K, png

    from depthdata.sequence import SequenceWriter
    from depthdata.sequence.points import Points

    labels = Points(
        kind="subpixel",
        x=np.array([2.0, 12.0, 22.0]),
        y=np.array([2.0, 12.0, 22.0]),
        value=np.array([1, 0, 1], np.float32),
    )
    with SequenceWriter(
        tmp_path / "scene.h5", dataset="nuscenes", sequence="scene", licence="none", citation="",
        converter="test 1", source_fingerprint="none",
    ) as writer:  # fmt: skip
        writer.timeline(np.arange(3) * 10**8, ["a", "b", "c"])
        cam = writer.camera("front", height=25, width=40, intrinsics=K)
        data = png(288, 512)
        cam.encoded("rgb_288x512", [data] * 3, [len(data)] * 3, encoding="png")
        cam.points("motion_labels", [labels], frame_index=[1], quantity="label")
    model = Spoiler(tmp_path, lambda path, t: np.ones((288, 512)), "motion_mask", "scale")
    report = evaluate(model, tmp_path, "dynamo_depth/motion_segmentation")
    # three cells of 5 x 5 pixels have a label, the rest of the image has none
    assert report.frames[0].score.pixels == 75
    assert report.aggregate["precision"] == pytest.approx(2 / 3)
    assert "false_positive_share_by_class" not in report.to_dict()["curves"]["precision_recall"]
