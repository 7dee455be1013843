"""Predictions that were made elsewhere: every file form gives what a model with them would give."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from depthdata.codecs.pfm import encode_pfm
from depthdata.errors import FormatError, UsageError
from depthdata.sequence import open_sequence
from depthdata.splits import Split
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.evaluation import evaluate
from depthzoo.evaluation.predicting import predict_sequences
from depthzoo.evaluation.stored import StoredPredictions
from depthzoo.models import load

FRAMES = 4
Maps = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    for seed in (1, 2):
        scene = SyntheticScene(seed=seed, frames=FRAMES, height=32, width=96)
        write_sequence(scene, root / f"street_{seed:04d}.h5", tracks=0, lidar=False)
    return root


def truth(folder: Path, name: str, stream: str = "depth") -> np.ndarray:
    with open_sequence(folder / f"{name}.h5") as seq:
        return np.stack([seq.cameras["left"][stream][t] for t in range(FRAMES)]).astype(np.float32)


def ids(folder: Path, name: str) -> list[str]:
    with open_sequence(folder / f"{name}.h5") as seq:
        return [str(i) for i in seq.frame_ids]


NAMES = ("street_0001", "street_0002")


def write_files(root: Path, folder: Path, maps: Maps, kind: str, camera: str = "") -> None:
    """One file a frame."""
    for name, values in maps.items():
        (root / name / camera).mkdir(parents=True)
        for frame, value in zip(ids(folder, name), values, strict=True):
            path = root / name / camera / f"{frame}.{kind}"
            if kind == "npy":
                np.save(path, value)
            elif kind == "npz":
                np.savez_compressed(path, anything=value)
            elif kind == "pfm":
                path.write_bytes(encode_pfm(np.where(np.isnan(value), np.inf, value)))
            else:
                image = np.rint(np.nan_to_num(value * 256)).clip(0, 65535).astype(np.uint16)
                cv2.imwrite(str(path), image)


def write_stacks(root: Path, folder: Path, maps: Maps, kind: str) -> None:
    """One file a sequence."""
    root.mkdir(exist_ok=True)
    for name, values in maps.items():
        path = root / f"{name}.{kind.partition(' ')[0]}"
        if kind == "npy":
            np.save(path, values)
        elif kind == "npz":
            np.savez(path, depth=values, intrinsics=np.eye(3), frame_ids=ids(folder, name))
        elif kind == "npz deflated":
            np.savez_compressed(path, pred=values)
        elif kind == "npz backwards":
            np.savez(path, depth=values[::-1], frames=np.arange(FRAMES)[::-1])
        else:
            with h5py.File(path, "w") as file:
                file.create_dataset("depth", data=values, chunks=(1, *values.shape[1:]))
                file["frame_ids"] = ids(folder, name)


FORMS: dict[str, Callable[..., None]] = {
    **{kind: write_files for kind in ("npy", "npz", "pfm", "png")},
    **{f"stacked {k}": write_stacks
       for k in ("npy", "npz", "npz deflated", "npz backwards", "h5")},
}  # fmt: skip


@pytest.fixture(scope="module")
def wrong_by_a_tenth(folder: Path) -> Maps:
    return {name: truth(folder, name) * np.float32(1.1) for name in NAMES}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_error_that_was_put_in(
    form: str, folder: Path, tmp_path: Path, wrong_by_a_tenth: Maps
) -> None:
    FORMS[form](tmp_path, folder, wrong_by_a_tenth, form.removeprefix("stacked "))
    stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric", name="theirs")
    report = evaluate(stored, folder, "depth/lidar")
    tolerance = 1e-3 if form == "png" else 1e-6
    assert report.aggregate["abs_rel"] == pytest.approx(0.1, abs=tolerance)
    assert report.number_of_frames == 2 * FRAMES
    assert report.alignment == "none"
    assert report.model["name"] == "theirs"
    assert report.model["options"]["quantity"] == "depth"
    aligned = StoredPredictions(tmp_path, quantity="depth", invariance="scale")
    assert evaluate(aligned, folder, "depth/lidar").alignment == "median"


def test_all_forms_agree(folder: Path, tmp_path: Path, wrong_by_a_tenth: Maps) -> None:
    found = {}
    for form, write in FORMS.items():
        root = tmp_path / form.replace(" ", "_")
        root.mkdir()
        write(root, folder, wrong_by_a_tenth, form.removeprefix("stacked "))
        stored = StoredPredictions(root, quantity="depth", invariance="metric", name="theirs")
        found[form] = evaluate(stored, folder, "depth/lidar").to_dict()["per_frame"]
    del found["png"]  # rounded to 1/256 m
    assert all(one == found["npy"] for one in found.values())


def test_quantities_are_turned_into_what_is_measured(folder: Path, tmp_path: Path) -> None:
    disparity = {name: truth(folder, name, "disparity") for name in NAMES}
    write_files(tmp_path / "disparity", folder, {n: d + 1.5 for n, d in disparity.items()}, "npy")
    write_files(
        tmp_path / "inverse", folder, {n: 3 / truth(folder, n) for n in NAMES}, "npy", camera="left"
    )
    stored = StoredPredictions(tmp_path / "disparity", quantity="disparity", invariance="disparity")
    assert evaluate(stored, folder, "stereo/epe").aggregate["epe"] == pytest.approx(1.5, abs=1e-5)
    inverse = StoredPredictions(tmp_path / "inverse", quantity="inverse_depth", invariance="scale")
    report = evaluate(inverse, folder, "depth/lidar")
    exact = StoredPredictions(tmp_path / "disparity", quantity="disparity", invariance="metric")
    assert evaluate(exact, folder, "depth/lidar").aggregate["abs_rel"] > 0.05
    assert report.aggregate["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert np.median([r.score.scale for r in report.frames]) == pytest.approx(3, rel=1e-6)
    with pytest.raises(UsageError, match="scale"):
        evaluate(inverse, folder, "stereo/epe")


def test_what_predict_writes_is_measured_as_the_model_itself(folder: Path, tmp_path: Path) -> None:
    predict_sequences(load("sgbm"), folder, tmp_path / "out")
    stored = StoredPredictions(tmp_path / "out")
    theirs = evaluate(stored, folder, "stereo/epe").to_dict()
    direct = evaluate("sgbm", folder, "stereo/epe").to_dict()
    for key in ("per_frame", "aggregate", "alignment", "training"):
        assert theirs.get(key) == direct.get(key)
    assert theirs["model"]["name"] == "sgbm"
    assert theirs["model"]["invariance"] == "disparity"


def test_numbers_of_frames_may_be_written_with_other_zeros(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "street_0001").mkdir()
    for t, values in enumerate(truth(folder, "street_0001")):
        number = int(ids(folder, "street_0001")[t])
        np.save(tmp_path / "street_0001" / f"{number}.npy", values)
    stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
    assert evaluate(stored, folder / "street_0001.h5", "depth/lidar").number_of_frames == FRAMES


def test_one_folder_of_images_serves_one_sequence_only(folder: Path, tmp_path: Path) -> None:
    for frame, values in zip(ids(folder, "street_0001"), truth(folder, "street_0001"), strict=True):
        np.save(tmp_path / f"{frame}.npy", values)
    stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
    assert evaluate(stored, folder / "street_0001.h5", "depth/lidar").coverage > 0.9
    with pytest.raises(UsageError, match="several sequences"):
        evaluate(stored, folder, "depth/lidar")


def test_one_file_holds_the_frames_of_a_split_in_its_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [("street_0002", "left", 3), ("street_0001", "left", 1), ("street_0002", "left", 0)]
    split = Split.from_entries("mine/test", lines)
    monkeypatch.setattr("depthdata.splits.load_split", lambda name: split)
    values = np.stack([truth(folder, name)[t] * (1 + n) for n, (name, _, t) in enumerate(lines)])
    np.save(tmp_path / "depths.npy", values)
    stored = StoredPredictions(tmp_path / "depths.npy", quantity="depth", invariance="scale")
    report = evaluate(stored, folder, "depth/lidar", split="mine/test")
    scales = [record.score.scale for record in report.frames]
    assert scales == pytest.approx([1, 1 / 2, 1 / 3], rel=1e-6)
    np.save(tmp_path / "depths.npy", values[:2])
    with pytest.raises(UsageError, match="2 predictions for 3 frames"):
        evaluate(stored, folder, "depth/lidar", split="mine/test")


def test_missing_predictions_stop_or_are_counted(
    folder: Path, tmp_path: Path, wrong_by_a_tenth: Maps
) -> None:
    write_files(tmp_path, folder, wrong_by_a_tenth, "npy")
    gone = tmp_path / "street_0002" / f"{ids(folder, 'street_0002')[2]}.npy"
    gone.unlink()
    stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
    with pytest.raises(UsageError, match=rf"1 of {2 * FRAMES} frames.*street_0002/{gone.stem}"):
        evaluate(stored, folder, "depth/lidar")
    skipping = StoredPredictions(
        tmp_path, quantity="depth", invariance="metric", missing="skip", name="theirs"
    )
    report = evaluate(skipping, folder, "depth/lidar")
    assert report.frames[FRAMES + 2].score.pixels == 0
    assert report.coverage == pytest.approx(1 - 1 / (2 * FRAMES), abs=0.05)
    assert report.aggregate["abs_rel"] == pytest.approx(0.1, abs=1e-6)
    (tmp_path / "empty").mkdir()
    nothing = StoredPredictions(
        tmp_path / "empty", quantity="depth", invariance="metric", missing="skip"
    )
    with pytest.raises(UsageError, match="8 of 8 frames have no prediction"):
        evaluate(nothing, folder, "depth/lidar")


def test_what_the_predictions_are_must_be_known(
    folder: Path, tmp_path: Path, wrong_by_a_tenth: Maps
) -> None:
    write_files(tmp_path, folder, wrong_by_a_tenth, "npy")
    with pytest.raises(UsageError, match=r"quantity.*--quantity"):
        evaluate(StoredPredictions(tmp_path, invariance="metric"), folder, "depth/lidar")
    with pytest.raises(UsageError, match=r"invariance.*--invariance"):
        evaluate(StoredPredictions(tmp_path, quantity="depth"), folder, "depth/lidar")
    with pytest.raises(UsageError, match="inverse_depth"):
        stored = StoredPredictions(tmp_path, quantity="disparity", invariance="scale")
        evaluate(stored, folder, "stereo/epe")
    with pytest.raises(UsageError, match="no such folder"):
        StoredPredictions(tmp_path / "nowhere")
    for wrong in ({"quantity": "flow"}, {"invariance": "up to luck"}, {"missing": "maybe"},
                  {"png_scale": 0.0}):  # fmt: skip
        with pytest.raises(UsageError):
            StoredPredictions(tmp_path, **wrong)  # type: ignore[arg-type]


class _Evil:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_nothing_is_executed_and_damage_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "street_0001.h5"
    evil = np.array([_Evil()] * FRAMES, object)

    def refused(name: str, write: Callable[[Path], object]) -> None:
        path = tmp_path / name
        write(path)
        stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
        with pytest.raises((UsageError, FormatError), match="street_0001"):
            evaluate(stored, file, "depth/lidar")
        path.unlink()

    refused("street_0001.npy", lambda p: np.save(p, evil, allow_pickle=True))
    refused("street_0001.npz", lambda p: np.savez(p, depth=evil))
    refused("street_0001.npy", lambda p: p.write_bytes(pickle.dumps(_Evil())))
    refused("street_0001.npz", lambda p: p.write_bytes(b"PK\3\4 nothing"))
    refused("street_0001.h5", lambda p: p.write_bytes(b"no file of this kind"))
    refused("street_0001.npy", lambda p: np.save(p, np.zeros(3)))
    refused("street_0001.npz", lambda p: np.savez(p, a=np.zeros((4, 2, 2)), b=np.ones((4, 2, 2))))
    values = truth(folder, "street_0001")

    def cut(path: Path) -> None:
        np.save(path, values)
        path.write_bytes(path.read_bytes()[:-100])

    refused("street_0001.npy", cut)

    def lying(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive, archive.open("depth.npy", "w") as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (FRAMES, 10**6, 10**6)}
            np.lib.format.write_array_header_1_0(member, header)

    refused("street_0001.npz", lying)
    assert "executed" not in capsys.readouterr().out


def test_pictures_are_no_predictions(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "street_0001").mkdir()
    for frame in ids(folder, "street_0001"):
        cv2.imwrite(str(tmp_path / "street_0001" / f"{frame}.png"), np.zeros((32, 96), np.uint8))
    stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
    with pytest.raises(FormatError, match="16-bit"):
        evaluate(stored, folder / "street_0001.h5", "depth/lidar")


def _motion(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """True poses (T,4,4) and times (s) of a sequence."""
    with open_sequence(folder / "street_0001.h5") as seq:
        poses = np.stack([seq.cameras["left"].pose(t) for t in range(FRAMES)])
        return poses, np.asarray(seq.timestamps) / 1e9


def _quaternion(rotation: np.ndarray) -> list[float]:
    from depthdata.codecs.colmap import quaternion_from_rotation

    w, x, y, z = quaternion_from_rotation(rotation)
    return [x, y, z, w]


@pytest.mark.parametrize("form", ["kitti", "tum", "npy", "npz", "inside"])
def test_paths_of_other_systems(form: str, folder: Path, tmp_path: Path) -> None:
    poses, times = _motion(folder)
    moved = np.linalg.inv(poses[0]) @ poses  # any world serves
    moved[:, :3, 3] *= 0.5
    if form == "kitti":
        np.savetxt(tmp_path / "street_0001.txt", moved[:, :3].reshape(-1, 12))
    elif form == "inside":
        (tmp_path / "street_0001" / "left").mkdir(parents=True)
        path = tmp_path / "street_0001" / "left" / "trajectory.txt"
        np.savetxt(path, moved[:, :3].reshape(-1, 12))
    elif form == "tum":
        rows = [
            [t, *pose[:3, 3], *_quaternion(pose[:3, :3])]
            for t, pose in zip(times, moved, strict=True)
        ]
        text = "# time tx ty tz qx qy qz qw\n" + "\n".join(
            " ".join(f"{v:.9f}" for v in row) for row in reversed(rows)
        )
        (tmp_path / "street_0001.txt").write_text(text)
    elif form == "npy":
        np.save(tmp_path / "street_0001.npy", moved)
    else:
        facts = json.dumps({"quantity": "depth", "invariance": "scale", "model": "odo"})
        np.savez(tmp_path / "street_0001.npz", pose=moved, frames=np.arange(FRAMES), facts=facts)
    file = folder / "street_0001.h5"
    stated = None if form == "npz" else "scale"
    stored = StoredPredictions(tmp_path, invariance=stated)
    report = evaluate(stored, file, "odometry/trajectory")
    assert report.aggregate["ate"] == pytest.approx(0, abs=1e-6)
    assert report.aggregate["rpe_rotation"] == pytest.approx(0, abs=1e-4)
    metric = evaluate(StoredPredictions(tmp_path, invariance="metric"), file, "odometry/trajectory")
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    half = np.sqrt(np.mean((steps / 2) ** 2))
    assert metric.aggregate["rpe_translation"] == pytest.approx(half, rel=1e-6)


def test_paths_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    file, path = folder / "street_0001.h5", tmp_path / "street_0001.txt"
    poses, times = _motion(folder)
    stored = StoredPredictions(tmp_path, invariance="metric")
    rows = poses[:, :3].reshape(-1, 12)

    def refused(text: str, match: str) -> None:
        path.write_text(text)
        with pytest.raises((UsageError, FormatError), match=match):
            evaluate(stored, file, "odometry/trajectory")

    def lines(values: np.ndarray) -> str:
        return "\n".join(" ".join(f"{v}" for v in row) for row in values)

    refused("", "empty")
    refused("1 2 3", "line 1: expected 12 numbers")
    refused("a b c", "expected numbers")
    refused(lines(rows[:2]), "2 poses for sequence street_0001 of 4 frames")
    refused(lines(rows * 2), "rotation")
    tum = np.array([[t + 60, 0, 0, 0, 0, 0, 0, 1] for t in times])
    refused(lines(tum), "no pose for 4 of 4 frames")
    path.unlink()
    with pytest.raises(UsageError, match="no path of street_0001"):
        evaluate(stored, file, "odometry/trajectory")


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_masks_of_motion(kind: str, folder: Path, tmp_path: Path) -> None:
    with open_sequence(folder / "street_0001.h5") as seq:
        masks = [np.asarray(seq.cameras["left"]["masks/moving"].raw(t)) for t in range(FRAMES)]
        frames = [str(i) for i in seq.frame_ids]
    (tmp_path / "street_0001").mkdir()
    for frame, mask in zip(frames, masks, strict=True):
        path = tmp_path / "street_0001" / f"{frame}.{kind}"
        if kind == "npy":
            np.save(path, (mask == 1) * np.float32(0.8))
        else:
            cv2.imwrite(str(path), ((mask == 1) * 255).astype(np.uint8))
    file = folder / "street_0001.h5"
    report = evaluate(StoredPredictions(tmp_path), file, "motion/segmentation")
    assert report.aggregate["f1"] == 1 and report.aggregate["iou"] == 1
    wrong = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
    with pytest.raises(UsageError, match="motion_mask"):
        evaluate(wrong, file, "motion/segmentation")


def test_clips_of_video(folder: Path, tmp_path: Path) -> None:
    off = {n: truth(folder, n, "disparity") + 2 for n in NAMES}
    write_files(tmp_path, folder, off, "npy")
    stored = StoredPredictions(tmp_path, quantity="disparity", invariance="disparity")
    report = evaluate(stored, folder, "stereo/video")
    assert report.aggregate["epe"] == pytest.approx(2, abs=1e-5)
    assert report.aggregate["tepe"] == pytest.approx(0, abs=1e-5)


def test_predictions_travel_to_other_processes(
    folder: Path, tmp_path: Path, wrong_by_a_tenth: Maps
) -> None:
    write_stacks(tmp_path, folder, wrong_by_a_tenth, "h5")
    results = []
    for jobs in (1, 2):
        stored = StoredPredictions(tmp_path, quantity="depth", invariance="metric")
        data = evaluate(stored, folder, "depth/lidar", jobs=jobs).to_dict()
        data.pop("timing")
        results.append(json.dumps(data))
    assert results[0] == results[1]
