"""Dynamo-Depth's samples from sequence files: every array that was recorded of its loader."""

from __future__ import annotations

import colorsys
import io
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support import golden_cases, run_example
from torch.utils.data import DataLoader

from depthdata.codecs.images import decode_image, encode_png
from depthdata.codecs.prepared_images import area_jpeg, bicubic_jpeg
from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_frame import Box, Frame, LaserLabel
from depthdata.codecs.waymo_range_image import LaserReturn, laser_returns
from depthdata.conversion import convert
from depthdata.errors import UsageError
from depthdata.loading import DynamoDepthDataset, SequenceDataset, Undistort, collate
from depthdata.loading.float_jitter import float_jitter, shift_hue
from depthdata.sequence import Points, SequenceWriter
from depthdata.sequence.camera_writer import CameraWriter
from depthdata.sources.waymo import SPEED_THRESHOLD
from depthdata.sources.waymo_dynamo import instance_records
from depthdata.sources.waymo_motion import match_instances, motion_values
from depthdata.splits import Split


def write(
    path: Path,
    size: tuple[int, int],
    K: Any,
    times: Any,
    fill: Callable[[CameraWriter], None],
    name: str = "front",
) -> Path:
    """Write a sequence of one camera; `fill` adds its streams."""
    with SequenceWriter(
        path,
        dataset="prepared",
        sequence=path.stem,
        licence="CC0",
        citation="none",
        converter="test 1",
        source_fingerprint="xxh3:0000000000000000",
    ) as writer:
        writer.timeline(np.asarray(times, np.int64), [f"{t:06d}" for t in range(len(times))])
        camera = writer.camera(name, height=size[0], width=size[1], intrinsics=np.asarray(K))
        fill(camera)
    return path


def pictures(camera: CameraWriter, name: str, frames: dict[int, np.ndarray]) -> None:
    blobs = [encode_png(image) for image in frames.values()]
    sizes = [len(blob) for blob in blobs]
    camera.encoded(name, blobs, sizes, encoding="png", frame_index=list(frames))


def converter_case(golden: Path, text: str) -> Path:
    """The case of the converters that the description of an input names."""
    found = re.search(r"converters/(\w+)", text)
    assert found
    return golden / "converters" / found[1]


def nuscenes_file(golden: Path, facts: dict[str, Any], arrays: Any, out: Path) -> Path:
    """Write the scene that the description says: the converter's depth on a larger image."""
    case = converter_case(golden, facts["input"]) / "expected"
    cam = json.loads((case / "cam.json").read_text())
    info = json.loads((case / "info.json").read_text())
    prepared = np.load(case / "arrays.npz", allow_pickle=False)
    height, width = arrays["nuscenes_gt_dim"].tolist()
    factor = width / cam["dim"][1]
    frame = int(facts["line"].split()[1])
    rows = prepared[f"depth_{frame:06d}"] * [factor, factor, 1]
    labels = prepared[f"motion_{frame:06d}"]
    shown = {
        int(key.rpartition("_")[2]): arrays[key]
        for key in arrays
        if key.startswith("nuscenes_image_")
    }

    def fill(camera: CameraWriter) -> None:
        size = next(iter(shown.values())).shape[:2]
        pictures(camera, f"rgb_{size[0]}x{size[1]}", shown)
        points = Points(kind="subpixel", x=rows[:, 0], y=rows[:, 1], value=rows[:, 2].copy())
        camera.points("depth", [points], frame_index=[frame], unit="m")
        motion = Points(
            kind="subpixel", x=rows[:, 0], y=rows[:, 1], value=labels.astype(np.float32)
        )
        camera.points("motion_labels", [motion], frame_index=[frame], quantity="label")

    K = np.array(cam["intrinsic_mat"]) * np.array([[width], [height], [1]])
    times = np.array(info["camera_timestamps"]) * 1000
    name = facts["line"].split()[0].rpartition("/")[2]
    return write(out / f"{name}.h5", (height, width), K, times, fill)


def waymo_file(golden: Path, facts: dict[str, Any], out: Path) -> Path:
    """Write the segment: labels and boxes of the converter's case, as the source writes them."""
    case = converter_case(golden, facts["input"])
    arrays = np.load(case / "arrays.npz", allow_pickle=False)
    info = json.loads((case / "info.json").read_text())
    classes = arrays["in_semantic"].astype(np.uint16)
    instances = arrays["in_instance"].astype(np.uint16)
    points = arrays["in_points"].astype(np.float64)
    returns = LaserReturn(
        points,
        np.zeros((len(points), 3), np.float32),
        np.zeros(len(points), bool),
        arrays["in_camera_projection"],
        np.arange(len(points)),
        (1, len(points)),
    )
    labels = [
        LaserLabel(
            id=str(i),
            type=b["t"],
            box=box,
            speed=np.array(b["v"], float),
            acceleration=np.array(b["a"], float),
            synced_box=box,
            most_visible_camera="FRONT",
            points=0,
            top_points=0,
            detection_difficulty=0,
            tracking_difficulty=0,
        )
        for i, b in enumerate(info["boxes"])
        for box in [Box(np.array(b["c"], float), np.array(b["d"], float), float(b["h"]))]
    ]
    matches = match_instances(classes, instances, info["camera_name_code"], [returns], labels)
    moving = motion_values(classes, instances, matches, SPEED_THRESHOLD)
    f_u, f_v, c_u, c_v = arrays["in_intrinsic"][:4]
    rows = arrays["out_depth"]

    def fill(camera: CameraWriter) -> None:
        frames = range(info["frames"])
        small = arrays["out_downsample_rgb"]
        pictures(camera, "rgb_{}x{}".format(*small.shape[:2]), dict.fromkeys(frames, small))
        undistorted = Points(
            kind="subpixel", x=rows[:, 0] - 0.5, y=rows[:, 1] - 0.5, value=rows[:, 2].copy()
        )
        camera.points("depth_undistorted", [undistorted] * len(frames), quantity="depth", unit="m")
        at = info["frames_with_mask"]
        camera.dense("semantics", [classes] * len(at), dtype="u1", frame_index=at)
        camera.dense("instances", [instances] * len(at), dtype="u2", frame_index=at)
        camera.dense("masks/moving", [moving] * len(at), dtype="u1", missing=255, frame_index=at)

    K = [[f_u, 0, c_u - 0.5], [0, f_v, c_v - 0.5], [0, 0, 1]]
    return write(out / "segment-1.h5", classes.shape, K, np.arange(info["frames"]), fill)


def a_line(sequence: str, frame: int, camera: str = "front", **facts: str) -> Split:
    return Split.from_entries("mine", [(sequence, camera, frame)], **facts)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("eval", "dynamo_depth_loader*.json"))
def test_every_recorded_array(case: Path, golden: Path, tmp_path: Path) -> None:
    about = json.loads(case.read_text())
    arrays = np.load(case.with_suffix(".npz"), allow_pickle=False)
    compared = {key for key in arrays if key.startswith("nuscenes_image_")}  # the input

    facts = about["nuscenes"]
    file = nuscenes_file(golden, facts, arrays, tmp_path)
    frame = int(facts["line"].split()[1])
    offsets = [k.split("_")[2] for k in arrays if k.startswith("nuscenes_ts_")]
    scales = [k for k in arrays if k.startswith("nuscenes_K_")]
    image = next(arrays[k] for k in compared)
    dataset = DynamoDepthDataset(
        file,
        a_line(file.stem, frame),
        offsets=tuple(map(int, offsets)),
        size=(facts["height"], facts["width"]),
        scales=len(scales),
        image="rgb_{}x{}".format(*image.shape[:2]),
        depth=True,
        masks=True,
    )
    assert dataset.rules.name == "nuscenes"
    sample = dataset[0]
    assert len(sample["depth_gt"]) == facts["padded_rows"]
    for key in arrays:
        if not key.startswith("nuscenes_") or key in compared:
            continue
        name, expected = key.removeprefix("nuscenes_"), arrays[key]
        ours = sample[name].numpy()
        assert ours.dtype == expected.dtype, key
        if name.startswith("depth_"):
            assert not ours[facts["valid_rows"] :].any()
            ours = ours[: len(expected)]
        close = name.startswith(("color", "inv_K"))
        np.testing.assert_allclose(
            ours, expected, rtol=1e-6 if close else 0, atol=1e-6 if close else 0, err_msg=key
        )
        compared.add(key)

    facts = about["waymo"]
    file = waymo_file(golden, facts, tmp_path)
    info = json.loads((converter_case(golden, facts["input"]) / "info.json").read_text())
    for t in range(info["frames"]):
        (sample,) = DynamoDepthDataset(file, a_line(f"val/{file.stem}", t), masks=True)
        mask = sample["mot_mask"].numpy()
        if t in info["frames_with_mask"]:
            np.testing.assert_array_equal(mask, arrays["waymo_motion_mask"])
            found = dict(zip(*np.unique(mask, return_counts=True), strict=True))
            assert {str(k): n for k, n in found.items()} == facts["mask_values"]
            compared.add("waymo_motion_mask")
        else:
            assert not mask.any() and facts["missing_mask_is_all_zero"]
    assert compared == set(arrays)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "waymo*"))
def test_segment_of_waymo(case: Path, golden: Path, tmp_path: Path) -> None:
    file = waymo_file(golden, {"input": f"converters/{case.name}"}, tmp_path)
    arrays = np.load(case / "arrays.npz", allow_pickle=False)
    info = json.loads((case / "info.json").read_text())
    dataset = DynamoDepthDataset(file, a_line("val/segment-1", 1), depth=True, masks=True)
    assert dataset.rules.name == "waymo"
    (sample,) = dataset
    rows = sample["depth_gt"][sample["depth_valid"] > 0].numpy()
    np.testing.assert_array_equal(rows, arrays["out_depth"][:, [1, 0, 2]].astype(np.float32))
    assert sample["gt_dim"].tolist() == list(arrays["in_semantic"].shape)
    np.testing.assert_array_equal(sample["sem_mask"], arrays["in_semantic"])
    height, width = dataset.size
    K = np.array(info["cam_json"]["intrinsic_mat"]).reshape(-1)
    expected = np.zeros((4, 4))
    expected[:3, :3], expected[3, 3] = K.reshape(3, 3), 1
    expected[:2] *= [[width], [height]]
    np.testing.assert_array_equal(sample["K_0"], expected.astype(np.float32))
    color = sample["color_0_0"].permute(1, 2, 0) * 255
    np.testing.assert_allclose(color, arrays["out_downsample_rgb"], atol=1e-4)
    assert sample["ts_0"] == 1
    assert "mot_mask" in sample and sample["line"]["frame"] == 1


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "kitti_raw*"))
def test_drive_of_kitti(case: Path, tmp_path: Path) -> None:
    report = convert("kitti_raw", case / "raw", tmp_path, preset="dynamo_depth", jobs=1)
    assert report.ok
    (path,) = tmp_path.glob("*.h5")
    expected = np.load(case / "expected/depth.npz", allow_pickle=False)
    (images,) = (case / "raw").glob("*/*_sync")
    for key in expected:
        found = re.fullmatch(r"depth_points_image_(0[23])_(\d+)", key)
        if not found:
            continue
        side, frame = {"02": "left", "03": "right"}[found[1]], int(found[2])
        line = a_line(path.stem, frame, side, frame_refers_to="frame_id")
        dataset = DynamoDepthDataset(path, line, depth=True, masks=True, scales=4)
        assert (dataset.rules.name, dataset.image) == ("kitti", "rgb")
        (sample,) = dataset
        count = int(sample["depth_valid"].sum())
        np.testing.assert_array_equal(sample["depth_gt"][:count], expected[key].astype(np.float32))
        original = Image.open(images / f"image_{found[1]}/data/{frame:010d}.png")
        resized = original.convert("RGB").resize((640, 192), Image.Resampling.BICUBIC)
        color = sample["color_0_0"].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(color, np.asarray(resized) / 255, atol=1e-6)
        assert not sample["mot_mask"].any() and not sample["sem_mask"].any()
        np.testing.assert_allclose(sample["K_3"][0, :3], [0.58 * 80, 0, 40], rtol=1e-6)
        training = DynamoDepthDataset(path, line, offsets=(0, -1), drop_incomplete=True)
        assert training.image == "rgb_192x640"
        (sample,) = training
        prepared = case / f"expected/image_{found[1]}_{frame:010d}.jpg"
        if prepared.is_file():
            with Image.open(prepared) as picture:
                off = np.asarray(picture) / 255 - sample["color_0_0"].permute(1, 2, 0).numpy()
            assert np.abs(off).max() <= 2 / 255 + 1e-6
        if frame == 0:  # frame -1 stands for frame 0
            assert torch.equal(sample["color_-1_0"], sample["color_0_0"])
        else:
            assert not torch.equal(sample["color_-1_0"], sample["color_0_0"])


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "nuscenes*"))
def test_scene_of_nuscenes(case: Path, tmp_path: Path) -> None:
    assert convert("nuscenes", case / "raw", tmp_path, preset="dynamo_depth", jobs=1).ok
    (path,) = tmp_path.glob("*.h5")
    expected = np.load(case / "expected/arrays.npz", allow_pickle=False)
    steps = json.loads((case / "expected/ts.json").read_text())
    count = sum(key.startswith("depth_") for key in expected)
    split = Split.from_entries("all", [(path.stem, "front", t) for t in range(count)])
    (small,) = (name for name in _streams(path) if name.startswith("rgb_"))
    dataset = DynamoDepthDataset(
        path, split, offsets=(0, -1, 1), depth=True, masks=True, image=small, drop_incomplete=True
    )
    assert [dataset[i]["index"] for i in range(len(dataset))] == list(range(1, count - 1))
    for sample in dataset:
        t = sample["line"]["frame"]
        rows = sample["depth_gt"][sample["depth_valid"] > 0].numpy()
        published = expected[f"depth_{t:06d}"][:, [1, 0, 2]]
        assert rows.shape == published.shape
        np.testing.assert_allclose(rows[:, :2], published[:, :2], atol=0.02)
        np.testing.assert_allclose(rows[:, 2], published[:, 2], atol=1e-3)
        assert [float(sample[f"ts_{o}"]) for o in (-1, 0, 1)] == [
            steps[t - 1] / 100,
            0,
            steps[t] / 100,
        ]
        labels = np.unique(sample["mot_mask"])
        if f"motion_{t:06d}" in expected:
            assert set(labels) - {3} <= set(expected[f"motion_{t:06d}"].tolist())
            assert len(labels) > 1
        else:
            assert labels.tolist() == [3]
        assert sample["sem_mask"].eq(1).all()


def _streams(path: Path) -> tuple[str, ...]:
    from depthdata.sequence import open_sequence

    with open_sequence(path) as sequence:
        return sequence.cameras["front"].streams


def prepared(tmp_path: Path, frames: int = 6, name: str = "segment-7") -> Path:
    """Write a small file with the signs of Waymo."""
    rng = np.random.default_rng(1)

    def fill(camera: CameraWriter) -> None:
        shown = {t: rng.integers(0, 256, (8, 12, 3), np.uint8) for t in range(frames) if t != 4}
        pictures(camera, "rgb_320x480", {t: np.kron(p, _BLOCK) for t, p in shown.items()})

    return write(tmp_path / f"{name}.h5", (1280, 1920), np.eye(3), np.arange(frames), fill)


_BLOCK = np.ones((40, 40, 1), np.uint8)


def test_a_batch_for_training(tmp_path: Path) -> None:
    path = prepared(tmp_path)
    split = Split.from_entries("mine", [("train/segment-7", "front", t) for t in (2, 1)])
    dataset = DynamoDepthDataset(path, split, offsets=(0, -1, 1), augment=True, seed=3)
    alone = [dataset[i] for i in range(2)]
    (batch,) = DataLoader(dataset, 2, num_workers=1, collate_fn=collate)
    for key, value in alone[1].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(batch[key][1], value), key
    assert batch["index"].tolist() == [0, 1]
    assert batch["line"]["frame"].tolist() == [2, 1]
    plain = DynamoDepthDataset(path, split, offsets=(0, -1, 1))
    flips, changes = set(), set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        sample, exact = dataset[0], plain[0]
        flipped = torch.equal(sample["color_0_0"], exact["color_0_0"].flip(-1))
        assert flipped or torch.equal(sample["color_0_0"], exact["color_0_0"])
        for key in ("color_-1_0", "color_1_0"):  # one decision for the sample
            assert torch.equal(sample[key], exact[key].flip(-1) if flipped else exact[key])
        assert torch.equal(sample["K_0"], exact["K_0"])  # as published: cx stays
        changed = not torch.equal(sample["color_aug_0_0"], sample["color_0_0"])
        assert changed != torch.equal(sample["color_aug_1_0"], sample["color_1_0"])
        flips.add(flipped)
        changes.add(changed)
    assert flips == changes == {False, True}


def test_colours_change_as_torchvision_has_it() -> None:
    rng = np.random.default_rng(5)
    image = torch.from_numpy(rng.random((3, 6, 7), np.float32))
    image[:, 0, 0] = 0.4  # grey has no hue
    turned = shift_hue(image, -0.07)
    for y, x in np.ndindex(6, 7):
        h, s, v = colorsys.rgb_to_hsv(*image[:, y, x].tolist())
        expected = colorsys.hsv_to_rgb((h - 0.07) % 1, s, v)
        np.testing.assert_allclose(turned[:, y, x], expected, atol=1e-6)
    still = float_jitter(image, rng, brightness=0, contrast=0, saturation=0, hue=0)
    torch.testing.assert_close(still, image, atol=1e-6, rtol=0)
    kinds = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    gray = image[0] * 0.2989 + image[1] * 0.587 + image[2] * 0.114
    for kind, still_value in (
        ("brightness", torch.zeros(3, 6, 7)),
        ("contrast", gray.mean().expand(3, 6, 7)),
        ("saturation", gray.expand(3, 6, 7)),
    ):
        out = float_jitter(image, rng, **(kinds | {kind: 0.5}))
        inside = (out > 0) & (out < 1)
        factors = ((out - still_value) / (image - still_value))[inside]
        assert 0.5 <= factors.median() <= 1.5
        near = (factors - factors.median()).abs() < 1e-2
        assert near.float().mean() > 0.9
    one, two = (float_jitter(image, np.random.default_rng(s)) for s in (1, 2))
    assert not torch.equal(one, two)
    assert float(one.min()) >= 0 and float(one.max()) <= 1


def test_pictures_decode_as_pillow_decodes_them() -> None:
    yy, xx = np.mgrid[:96, :128]
    image = np.stack([yy * 2, xx * 2 - yy, (xx * yy) % 251], -1).astype(np.uint8)
    for blob in (area_jpeg(image, (48, 64)), bicubic_jpeg(encode_png(image), (48, 64))):
        with Image.open(io.BytesIO(blob)) as picture:
            theirs = np.asarray(picture.convert("RGB"))
        np.testing.assert_array_equal(decode_image(blob), theirs)


def test_what_is_missing_is_named(
    tmp_path: Path, plane: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = prepared(tmp_path)
    lines = [("val/segment-7", "front", t) for t in (1, 3, 5)]
    split = Split.from_entries("mine", [*lines, ("val/segment-8", "front", 1)])
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(UsageError, match=r"segment-7.h5: frame 000003 .* no picture at offset 1"),
    ):
        DynamoDepthDataset(path, split, offsets=(0, -1, 1))
    assert "split mine: 1 of its 2 sequences are on disk" in caplog.text
    kept = DynamoDepthDataset(path, split, offsets=(0, -1, 1), drop_incomplete=True)
    assert [kept[i]["index"] for i in range(len(kept))] == [0]
    assert "1 of the 4 lines" in repr(kept)
    with pytest.raises(UsageError, match="no stream depth_undistorted; convert with preset"):
        DynamoDepthDataset(path, a_line("segment-7", 1), depth=True)[0]
    with pytest.raises(UsageError, match="camera front has no rgb_288x512; convert with preset"):
        DynamoDepthDataset(path, split, rules="nuscenes")
    with pytest.raises(UsageError, match="camera left has none of the streams rgb_192x640"):
        DynamoDepthDataset(plane("plane_0"), a_line("plane_0", 1, "left"))
    with pytest.raises(UsageError, match="never load depth or masks with augmentation"):
        DynamoDepthDataset(path, split, augment=True, depth=True)
    with pytest.raises(UsageError, match="offsets begin with 0"):
        DynamoDepthDataset(path, split, offsets=(-1, 0, 1))
    with pytest.raises(UsageError, match="rules 'tum' are not known"):
        DynamoDepthDataset(path, split, rules="tum")
    with pytest.raises(UsageError, match="0 of its 202 sequences"):
        DynamoDepthDataset(path, "waymo/test")


@pytest.mark.realdata
def test_real_labels_of_waymo(realdata: Path, tmp_path: Path) -> None:
    """The mask is what OpenCV draws of the published contours; the picture, what we undistort."""
    (record,) = realdata.glob("waymo/semireal*frame1.tfrecord")
    report = convert(
        "waymo", record.parent, tmp_path, sequences=[record.stem], preset="dynamo_depth", jobs=1
    )
    assert report.ok
    (path,) = tmp_path.glob("*.h5")
    (sample,) = DynamoDepthDataset(path, a_line(path.stem, 0), depth=True, masks=True)
    with RecordFile(record) as records:
        frame = Frame(next(iter(records)))
    classes, instances = frame.images[1].panoptic.decode()
    returns = [laser_returns(frame, laser, (1,))[1] for laser in frame.lasers]
    expected = np.zeros(classes.shape, np.uint8)
    for found in instance_records(classes, instances, 1, returns, frame.laser_labels):
        if found["contours"]:
            moves = found["box_label"] is not None and np.linalg.norm(found["speed"]) > 1
            value = 3 if found["box_label"] is None else 1 if moves else 2
            contours = [contour.reshape(-1, 1, 2) for contour in found["contours"]]
            cv2.drawContours(expected, contours, -1, int(value), cv2.FILLED)
    np.testing.assert_array_equal(sample["mot_mask"], expected)
    assert {0, 1, 2, 3} == set(np.unique(expected))
    assert 20_000 < int(sample["depth_valid"].sum()) < 21_000

    # Undistorted here: the prepared picture, and the record's own pixels become the pinhole's.
    facts = {"streams": ("rgb", "depth", "depth_undistorted"), "points": True}
    raw = SequenceDataset(path, cameras=("front",), **facts)[0]
    straight = Undistort()(raw, np.random.default_rng(0))
    prepared_picture = sample["color_0_0"].permute(1, 2, 0).numpy()
    off = []
    for each in (raw, straight):
        image = each["rgb"][0].permute(1, 2, 0).numpy()
        small = cv2.resize(image, (480, 320), interpolation=cv2.INTER_AREA) / 255
        off.append(np.abs(small - prepared_picture).mean())
    assert off[1] < 0.5 * off[0]
    seen, pinhole = (
        straight[f"{name}_points"][0][straight[f"{name}_points_valid"][0]].numpy()
        for name in ("depth", "depth_undistorted")
    )
    distances = [
        np.linalg.norm(pinhole[np.abs(pinhole[:, 2] - z) < 0.05, :2] - (x, y), axis=1).min(
            initial=9
        )
        for x, y, z in seen[::40]
    ]
    assert np.median(distances) < 0.6  # whole pixels in the record


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scene that is in the list and has pictures of the usual size."""

    def fill(camera: CameraWriter) -> None:
        for name, size in (("rgb_288x512", (288, 512)), ("rgb", (900, 1600))):
            pictures(camera, name, dict.fromkeys(range(9), np.zeros((*size, 3), np.uint8)))
        none = Points(kind="subpixel", x=np.ones(0), y=np.ones(0), value=np.ones(0))
        camera.points("depth", [none] * 9, unit="m")

    (tmp_path / "nuscenes").mkdir()
    for name in ("scene-0003", "scene-0001"):  # of the test list, of the training list
        write(tmp_path / f"nuscenes/{name}.h5", (900, 1600), np.eye(3), np.arange(9) * 10**8, fill)
    monkeypatch.chdir(tmp_path)
    names = run_example("The authors' samples")
    assert names["test"][0]["line"] == {"sequence": "scene-0003", "camera": "front", "frame": 0}
    assert names["test"][0]["mot_mask"].eq(3).all()
    assert {names["train"][i]["line"]["sequence"] for i in range(2)} == {"scene-0001"}
    assert len(run_example("Published lists")["dataset"]) == len(names["test"])
