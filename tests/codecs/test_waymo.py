"""Waymo records: every field, every point and the camera model against the official package."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import REALDATA, golden_cases

from depthdata.codecs.images import decode_image
from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_camera import Shutter, image_to_world, world_to_image
from depthdata.codecs.waymo_frame import (
    CameraCalibration,
    CameraLabel,
    Frame,
    LaserLabel,
)
from depthdata.codecs.waymo_range_image import laser_returns, laser_segmentation
from depthdata.errors import FormatError


def record(case: Path, suffix: str) -> Path:
    """The record file that a golden file is about: beside it, or among the real data."""
    stem = case.stem.removesuffix("_tf213").removesuffix(suffix)
    places = [case.parent / f"{stem}.tfrecord"]
    if REALDATA is not None:
        places.append(REALDATA / "waymo" / f"{stem}.tfrecord")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        pytest.skip(f"no record file {stem}.tfrecord")
    return found


def frames(path: Path) -> list[Frame]:
    with RecordFile(path, verify="full") as records:
        return [Frame(payload, f"{path.name} record {i}") for i, payload in enumerate(records)]


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("waymo", "*_arrays*.npz"))
def test_points(case: Path) -> None:
    golden = np.load(case, allow_pickle=False)
    exact_file = case.parent / case.name.replace("_tf213", "").replace("_arrays", "_points_f64")
    exact = np.load(exact_file, allow_pickle=False) if exact_file.is_file() else None
    compared = set()
    for f, frame in enumerate(frames(record(case, "_arrays"))):
        for laser in frame.lasers:
            for echo, found in laser_returns(frame, laser).items():
                key = f"f{f}_l{laser}_r{echo - 1}"
                index = golden[f"{key}_index"]
                assert len(found.points) == golden[f"{key}_count"]
                np.testing.assert_array_equal(found.projection[index], golden[f"{key}_cp"])
                assert zlib.crc32(found.projection.tobytes()) == golden[f"{key}_cp_crc32"]
                np.testing.assert_array_equal(found.polar[index], golden[f"{key}_polar"])
                np.testing.assert_allclose(
                    found.points[index],
                    golden[f"{key}_points"],
                    rtol=0,
                    atol=1e-2 if laser == 1 else 1e-5,
                )
                if exact is not None:
                    np.testing.assert_allclose(
                        found.points[index], exact[f"{key}_points"], rtol=0, atol=1e-9
                    )
                    allowed = 1e-9 * (len(found.points) + 1)
                    np.testing.assert_allclose(
                        found.points.sum(0), exact[f"{key}_sum"], rtol=0, atol=allowed
                    )
                segmentation = laser_segmentation(frame, laser, echo)
                if f"{key}_seg_crc32" in golden:
                    assert segmentation is not None
                    assert segmentation.shape == tuple(golden[f"{key}_seg_shape"])
                    assert zlib.crc32(segmentation.tobytes()) == golden[f"{key}_seg_crc32"]
                compared.add(key)
    stored = {name.removesuffix("_count") for name in golden.files if name.endswith("_count")}
    assert {name for name in stored if golden[f"{name}_count"]} <= compared <= stored


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("waymo", "*_arrays*.npz"))
def test_pictures_and_panoptic_labels(case: Path) -> None:
    golden = np.load(case, allow_pickle=False)
    for f, frame in enumerate(frames(record(case, "_arrays"))):
        for name, image in frame.images.items():
            key = f"f{f}_c{name}"
            picture = decode_image(image.jpeg)
            assert picture.shape == tuple(golden[f"{key}_rgb_shape"])
            steps = -(-np.array(picture.shape[:2]) // golden[f"{key}_rgb_sub"].shape[:2])
            off = picture[:: steps.max(), :: steps.max()].astype(int) - golden[f"{key}_rgb_sub"]
            assert np.abs(off).max() <= 12  # theirs is made with the fast cosine transform
            assert np.abs(off).mean() < 2
            assert (image.panoptic is None) == (f"{key}_pan_crc32" not in golden)
            if image.panoptic is None:
                continue
            values = decode_image(image.panoptic.png)
            assert (*values.shape, 1) == tuple(golden[f"{key}_pan_shape"])
            assert zlib.crc32(values.tobytes()) == golden[f"{key}_pan_crc32"]
            found, counts = np.unique(values, return_counts=True)
            np.testing.assert_array_equal(found, golden[f"{key}_pan_values"])
            np.testing.assert_array_equal(counts, golden[f"{key}_pan_counts"])
            classes, instances = image.panoptic.decode()
            for values, stored in ((classes, "sem_sub"), (instances, "ins_sub")):
                theirs = np.squeeze(golden[f"{key}_{stored}"])
                step = round(values.shape[0] / theirs.shape[0])
                np.testing.assert_array_equal(values[::step, ::step], theirs)
        boxes = golden[f"f{f}_boxes"].reshape(-1, 7)
        ours = [[*b.box.centre, *b.box.size, b.box.heading] for b in frame.laser_labels]
        np.testing.assert_array_equal(np.reshape(ours, (-1, 7)), boxes)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("waymo", "*_meta.json"))
def test_every_field(case: Path) -> None:
    """What the official package prints of each frame is what ours says, value for value."""
    meta = json.loads(case.read_text())
    found = [_as_meta(frame) for frame in frames(record(case, "_meta"))]
    assert len(found) == len(meta["frames"])
    for ours, theirs in zip(found, meta["frames"], strict=True):
        _agree(ours, theirs, "frame")


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("waymo", "camera_model*.npz"))
def test_camera_model(case: Path) -> None:
    golden = np.load(case, allow_pickle=False)
    names = sorted({name.rpartition("/")[0] for name in golden.files})
    assert names
    for name in names:
        g = {key: golden[f"{name}/{key}"] for key in ("extrinsic", "intrinsic", "metadata")}
        width, height, direction = g["metadata"].tolist()
        camera = CameraCalibration(
            1, g["intrinsic"], g["extrinsic"].reshape(4, 4), width, height, direction
        )
        m = golden[f"{name}/image_metadata"]
        shutter = Shutter(m[:16].reshape(4, 4), m[16:19], m[19:22], *m[22:26])
        pixels = golden[f"{name}/pixels_depth"]
        np.testing.assert_allclose(
            image_to_world(camera, shutter, pixels[:, :2], pixels[:, 2]),
            golden[f"{name}/image_to_world"],
            rtol=0,
            atol=1e-9,
        )
        for stored, velocity, tolerance in (
            ("world_to_image", np.zeros(3), 1e-5),
            ("world_to_image_moving", golden[f"{name}/point_velocity"], 1e-4),
        ):
            uv, valid = world_to_image(camera, shutter, golden[f"{name}/world"], velocity)
            expected = golden[f"{name}/{stored}"]
            np.testing.assert_array_equal(valid, expected[:, 2] == 1)
            np.testing.assert_allclose(uv, expected[:, :2], rtol=0, atol=tolerance)


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("waymo", "real_*_meta.json"))
def test_projected_boxes_are_the_projected_corners(case: Path) -> None:
    """The rectangles in the record are the 8 corners of each box through the camera model."""
    compared = 0
    for frame in frames(record(case, "_meta")):
        boxes = {label.id: label.box for label in frame.laser_labels}
        for name, labels in frame.projected_lidar_labels.items():
            if not labels or name not in frame.images:
                continue
            camera, image = frame.cameras[name], frame.images[name]
            for label in labels:
                box = boxes[
                    label.id.rpartition("_")[0].removesuffix("_FRONT").removesuffix("_SIDE")
                ]
                corners = _corners(box) @ frame.T_world_vehicle[:3, :3].T
                uv, valid = world_to_image(
                    camera, Shutter.of(image), corners + frame.T_world_vehicle[:3, 3]
                )
                if not valid.all():
                    continue
                uv = uv.clip(0, [camera.width, camera.height])
                centre, size = (uv.max(0) + uv.min(0)) / 2, np.ptp(uv, axis=0)
                np.testing.assert_allclose(centre, label.centre, atol=1e-3)
                np.testing.assert_allclose(size, label.size, atol=1e-3)
                compared += 1
    if "nolidar" in case.stem:
        assert compared > 20


def _corners(box: Any) -> np.ndarray:
    signs = np.array([[x, y, z] for z in (-1, 1) for x in (-1, 1) for y in (-1, 1)])
    c, s = np.cos(box.heading), np.sin(box.heading)
    turned = (signs * box.size / 2) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    return turned + box.centre


def _agree(ours: Any, theirs: Any, where: str) -> None:
    """Every leaf that we expose equals theirs; a leaf that theirs lacks has the default."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            _agree(value, theirs.get(key) if isinstance(theirs, dict) else None, f"{where}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs or []), where
        for i, (a, b) in enumerate(zip(ours, theirs or [], strict=True)):
            _agree(a, b, f"{where}[{i}]")
    elif theirs is None:
        assert not ours, where
    elif isinstance(ours, float):
        assert ours == pytest.approx(float(theirs), rel=1e-6, abs=0), where
    else:
        assert str(ours) == str(theirs), where


def _as_meta(frame: Frame) -> dict[str, Any]:
    return {
        "timestamp_micros": frame.timestamp_micros,
        "pose": {"transform": frame.T_world_vehicle.ravel().tolist()}
        if frame._message.has(3)
        else {},
        "context": {
            "name": frame.segment,
            "stats": frame.stats,
            "camera_calibrations": [
                {
                    "name": c.name,
                    "intrinsic": c.intrinsic.tolist(),
                    "extrinsic": {"transform": c.T_vehicle_camera.ravel().tolist()},
                    "width": c.width,
                    "height": c.height,
                    "rolling_shutter_direction": c.rolling_shutter,
                }
                for c in frame.cameras.values()
            ],
            "laser_calibrations": [
                {
                    "name": c.name,
                    "beam_inclinations": c.inclinations.tolist(),
                    "beam_inclination_min": c.least,
                    "beam_inclination_max": c.most,
                    "extrinsic": {"transform": c.T_vehicle_laser.ravel().tolist()},
                }
                for c in frame.laser_calibrations.values()
            ],
        },
        "images": [_image_meta(image) for image in frame.images.values()],
        "laser_labels": [_laser_label_meta(label) for label in frame.laser_labels],
        "camera_labels": _labels_meta(frame.camera_labels),
        "projected_lidar_labels": _labels_meta(frame.projected_lidar_labels),
        "no_label_zones": [
            {"x": zone[:, 0].tolist(), "y": zone[:, 1].tolist()} for zone in frame.no_label_zones
        ],
    }


def _image_meta(image: Any) -> dict[str, Any]:
    velocity = [*image.velocity.tolist(), *image.angular_velocity.tolist()]
    out = {
        "name": image.name,
        "image": _digest(image.jpeg),
        "pose": {"transform": image.T_world_vehicle.ravel().tolist()},
        "velocity": dict(zip(("v_x", "v_y", "v_z", "w_x", "w_y", "w_z"), velocity, strict=True)),
        "pose_timestamp": image.pose_timestamp,
        "shutter": image.shutter,
        "camera_trigger_time": image.trigger,
        "camera_readout_done_time": image.readout_done,
    }
    label = image.panoptic
    if label is not None:
        out["camera_segmentation_label"] = {
            "panoptic_label": _digest(label.png),
            "panoptic_label_divisor": label.divisor,
            "sequence_id": label.sequence_id,
            "instance_id_to_global_id_mapping": [
                {
                    "local_instance_id": local,
                    "global_instance_id": common,
                    "is_tracked": tracked,
                }
                for local, (common, tracked) in label.global_ids.items()
            ],
        }
    return out


def _laser_label_meta(label: LaserLabel) -> dict[str, Any]:
    def box(b: Any) -> dict[str, float]:
        names = ("center_x", "center_y", "center_z", "length", "width", "height")
        values = [*b.centre.tolist(), *b.size.tolist()]
        return {**dict(zip(names, values, strict=True)), "heading": b.heading}

    out: dict[str, Any] = {
        "id": label.id,
        "type": label.type,
        "box": box(label.box),
        "most_visible_camera_name": label.most_visible_camera,
        "num_lidar_points_in_box": label.points,
        "num_top_lidar_points_in_box": label.top_points,
        "detection_difficulty_level": label.detection_difficulty,
        "tracking_difficulty_level": label.tracking_difficulty,
    }
    if label.synced_box is not None:
        out["camera_synced_box"] = box(label.synced_box)
    if label.speed is not None and label.acceleration is not None:
        out["metadata"] = {
            **{f"speed_{axis}": v for axis, v in zip("xyz", label.speed.tolist(), strict=True)},
            **{
                f"accel_{axis}": v
                for axis, v in zip("xyz", label.acceleration.tolist(), strict=True)
            },
        }
    return out


def _labels_meta(labels: dict[int, list[CameraLabel]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "labels": [
                {
                    "id": label.id,
                    "type": label.type,
                    "box": {
                        "center_x": label.centre[0],
                        "center_y": label.centre[1],
                        "length": label.size[0],
                        "width": label.size[1],
                    },
                }
                for label in entries
            ],
        }
        for name, entries in labels.items()
    ]


def _digest(data: memoryview) -> str:
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()}" if data else ""


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_damaged_records_are_one_line(noise: bytes, start: int) -> None:
    whole = frame_message()
    broken = whole[:start] + noise + whole[start + len(noise) :]
    with contextlib.suppress(FormatError):
        frame = Frame(broken)
        for image in frame.images.values():
            _ = image.T_world_vehicle, image.velocity, image.panoptic
        _ = frame.cameras, frame.laser_labels, frame.camera_labels, frame.no_label_zones
        for laser in frame.lasers:
            laser_returns(frame, laser)


def frame_message() -> bytes:
    """A little frame, written by hand: one camera, one lidar of 2 x 8 cells."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, *_varint(len(data))]) + data

    def matrix(values: np.ndarray) -> bytes:
        dims = b"".join(b"\x08" + _varint(n) for n in values.shape)
        return zlib.compress(field(1, values.astype("<f4").tobytes()) + field(2, dims))

    pose = field(1, np.eye(4).astype("<f8").tobytes())
    laser = b"\x08\x02" + b"\x19" + np.float64(-0.3).tobytes() + b"\x21"
    laser += np.float64(0.2).tobytes() + field(5, pose)
    camera = b"\x08\x01" + field(2, np.ones(9).tobytes()) + field(3, pose) + b"\x20\x08\x28\x06"
    context = field(1, b"tiny") + field(2, camera) + field(3, laser)
    cells = np.full((2, 8, 4), 10.0)
    cells[0, 3] = -1
    image = b"\x08\x01" + field(2, b"jpeg") + field(3, pose)
    return (
        field(1, context)
        + b"\x10\x07"
        + field(3, pose)
        + field(4, image)
        + field(5, b"\x08\x02" + field(2, field(2, matrix(cells))))
    )


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def test_missing_cells_and_projections() -> None:
    frame = Frame(frame_message())
    found = laser_returns(frame, 2)
    assert list(found) == [1]
    assert len(found[1].points) == 15
    assert found[1].projection is None
    np.testing.assert_allclose(np.linalg.norm(found[1].points, axis=1), 10)
    assert laser_returns(frame, 1) == {}
