"""Waymo segments as sequences: golden vectors, real pieces, damaged files."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from support import golden_cases

from depthdata.checks import check
from depthdata.codecs.images import decode_image
from depthdata.codecs.prepared_images import area_jpeg
from depthdata.codecs.tfrecord import RecordFile
from depthdata.codecs.waymo_frame import Box, CameraCalibration, Frame, LaserLabel
from depthdata.codecs.waymo_range_image import LaserReturn, laser_returns
from depthdata.conversion import convert
from depthdata.sequence import open_sequence, verify
from depthdata.sources import waymo
from depthdata.sources.waymo_dynamo import (
    depth_rows,
    instance_records,
    small_picture,
    undistorted_picture,
)


def frames(path: Path) -> list[Frame]:
    with RecordFile(path) as records:
        return [Frame(payload) for payload in records]


def converted(record: Path, out: Path, **options: object) -> Path:
    root = out / "raw" / "val"
    root.mkdir(parents=True)
    (root / record.name).symlink_to(record)
    report = convert("waymo", root.parent, out / "h5", jobs=1, **options)
    assert report.ok, report
    (path,) = (out / "h5").glob("*.h5")
    return path


def records() -> list[object]:
    """The golden record files."""
    return golden_cases("waymo", "*.tfrecord")


@pytest.mark.golden
@pytest.mark.parametrize("case", records())
def test_what_a_segment_holds(case: Path, tmp_path: Path) -> None:
    path = converted(case, tmp_path)
    assert verify(path).ok
    source = frames(case)
    with open_sequence(path) as sequence:
        assert len(sequence) == len(source)
        assert sequence.split == "val"
        first = next(iter(sequence.cameras.values()))
        poses = np.array(first.transform["T_world_rig"])
        ids = first.transform["object_ids"]
        for t, frame in enumerate(source):
            np.testing.assert_array_equal(poses[t], frame.T_world_vehicle)
            boxes = sequence.objects.at(t)
            assert [ids[i] for i in boxes.id] == [label.id for label in frame.laser_labels]
            for label, T, size, speed in zip(
                frame.laser_labels, boxes.T_world_box, boxes.size, boxes.velocity, strict=True
            ):
                front = np.linalg.inv(frame.T_world_vehicle) @ T @ [1, 0, 0, 1]
                heading = [np.cos(label.box.heading), np.sin(label.box.heading), 0]
                np.testing.assert_allclose(front[:3] - label.box.centre, heading, atol=1e-9)
                np.testing.assert_array_equal(size, label.box.size)
                np.testing.assert_array_equal(speed, label.speed)
            for number, image in frame.images.items():
                camera = sequence.cameras[waymo_name(number)]
                calibration = frame.cameras[number]
                assert camera.rgb.blob(t) == bytes(image.jpeg)
                np.testing.assert_array_equal(camera.distortion, calibration.intrinsic[4:])
                assert camera.intrinsics(t)[0, 2] + 0.5 == calibration.intrinsic[2]
                assert camera.timestamps[t] == round(image.pose_timestamp * 1e6) * 1000
                assert (image.panoptic is not None) == (
                    "semantics" in camera.streams and bool(camera.semantics.present[t])
                )
                if image.panoptic is not None:
                    values = decode_image(image.panoptic.png)
                    again = camera.semantics[t].astype(np.uint16) * image.panoptic.divisor
                    np.testing.assert_array_equal(again + camera.instances[t], values)
                drawn = sequence.boxes[camera.name].at(t) if camera.name in sequence.boxes else ()
                assert len(drawn) == len(frame.camera_labels.get(number, ()))


def waymo_name(number: int) -> str:
    return ("front", "front_left", "front_right", "side_left", "side_right")[number - 1]


@pytest.mark.golden
@pytest.mark.parametrize("case", records())
def test_points_of_each_camera(case: Path, tmp_path: Path) -> None:
    """Every return with a projection is in its cameras, at its pixel, with its depth."""
    path = converted(case, tmp_path)
    compared = 0
    with open_sequence(path) as sequence:
        for t, frame in enumerate(frames(case)):
            returns = {laser: laser_returns(frame, laser) for laser in frame.lasers}
            for number, image in frame.images.items():
                camera = sequence.cameras[waymo_name(number)]
                for echo, name in ((1, "depth"), (2, "depth_return2")):
                    chosen = [r[echo] for r in returns.values() if echo in r]
                    if not chosen or name not in camera.streams:
                        continue
                    points = np.concatenate([r.points for r in chosen])
                    projection = np.concatenate([r.projection for r in chosen])
                    first, second = projection[:, 0] == number, projection[:, 3] == number
                    mine = first | second
                    pixel = np.where(first[:, None], projection[:, 1:3], projection[:, 4:])[mine]
                    stored = camera[name].points(t)
                    np.testing.assert_array_equal(np.stack([stored.col, stored.row], 1), pixel)
                    np.testing.assert_array_equal(stored.sensor, points[mine].astype(np.float32))
                    E = frame.cameras[number].T_vehicle_camera
                    world = points[mine] @ frame.T_world_vehicle[:3, :3].T
                    world += frame.T_world_vehicle[:3, 3] - image.T_world_vehicle[:3, 3]
                    ahead = (world @ image.T_world_vehicle[:3, :3] - E[:3, 3]) @ E[:3, 0]
                    np.testing.assert_allclose(stored.value, ahead, rtol=1e-6, atol=1e-5)
                    compared += len(stored)
    assert compared


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("converters", "waymo*"))
def test_preparation_of_dynamo_depth(case: Path) -> None:
    arrays = np.load(case / "arrays.npz", allow_pickle=False)
    info = json.loads((case / "info.json").read_text())
    semantic = arrays["in_semantic"].astype(np.uint16)
    instance = arrays["in_instance"].astype(np.uint16)
    height, width = semantic.shape
    calibration = CameraCalibration(
        info["camera_name_code"], arrays["in_intrinsic"], arrays["in_extrinsic"], width, height, 2
    )
    points = arrays["in_points"]
    np.testing.assert_allclose(
        depth_rows(points, calibration), arrays["out_depth"], rtol=1e-12, atol=1e-9
    )
    picture = decode_image((case / "image_rgb_order.png").read_bytes())
    size = arrays["out_downsample_rgb"].shape[:2]
    small = decode_image(area_jpeg(undistorted_picture(picture, calibration), size))
    off = np.abs(small.astype(int) - arrays["out_downsample_rgb"])
    assert off.max() <= 2
    one = LaserReturn(
        points.astype(np.float64),
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
    ours = instance_records(semantic, instance, calibration.name, [one], labels)
    assert len(ours) == len(info["objects"])
    for found, expected in zip(ours, info["objects"], strict=True):
        contours = [np.asarray(c).reshape(-1, 2).tolist() for c in expected["contours"]]
        assert [c.tolist() for c in found["contours"]] == contours
        for key in ("mask_label", "box_label", "speed", "accel", "center", "dim", "heading"):
            assert found[key] == expected[key], key
        assert found["match"] == pytest.approx(expected["match"], abs=1e-9)


@pytest.mark.golden
@pytest.mark.realdata
@pytest.mark.parametrize("case", golden_cases("waymo", "dynamo_frame*.npz"))
def test_a_whole_frame_of_dynamo_depth(case: Path, realdata: Path) -> None:
    golden = np.load(case, allow_pickle=False)
    expected = json.loads((case.parent / f"{case.stem}_objects.json").read_text())["records"]
    (path,) = realdata.glob("waymo/semireal*frame1.tfrecord")
    (frame,) = frames(path)
    calibration, image = frame.cameras[1], frame.images[1]
    returns = [laser_returns(frame, laser, (1,))[1] for laser in frame.lasers]
    points = np.concatenate([r.points for r in returns])
    E = np.linalg.inv(
        calibration.T_vehicle_camera @ [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
    )
    camera = points @ E[:3, :3].T + E[:3, 3]
    f_u, f_v, c_u, c_v = calibration.intrinsic[:4]
    u = f_u * camera[:, 0] / camera[:, 2] + c_u
    v = f_v * camera[:, 1] / camera[:, 2] + c_v
    every = np.stack([u, v, camera[:, 2]], 1)[::7]
    off = np.abs(every - golden["depth"])
    assert (off.max(0) <= [1.5, 0.6, 1e-2]).all()
    assert abs(len(depth_rows(points, calibration)) - int(golden["depth_count"])) <= 2
    classes, instances = image.panoptic.decode()
    for values, name in ((classes, "semantic"), (instances, "instance")):
        assert zlib.crc32(values.astype(np.uint8).tobytes()) == golden[f"{name}_crc"]
    small = decode_image(small_picture(bytes(image.jpeg), calibration))[..., ::-1]
    off = np.abs(small[::8, ::8].astype(int) - golden["down_sub"])
    assert off.max() <= 2
    np.testing.assert_allclose(small.mean((0, 1)), golden["down_mean"], atol=0.2)
    ours = instance_records(classes, instances, 1, returns, frame.laser_labels)
    assert len(ours) == len(expected)
    for found, record in zip(ours, expected, strict=True):
        assert [len(c) for c in found["contours"]] == record["contour_sizes"]
        assert [c[0].tolist() for c in found["contours"]] == record["contour_first"]
        for key in ("mask_label", "box_label", "speed", "accel", "center", "dim", "heading"):
            assert found[key] == record[key], key
        assert found["match"] == pytest.approx(record["match"], abs=0.005)


@pytest.mark.realdata
def test_real_frames(realdata: Path, tmp_path: Path) -> None:
    """Facts of the real pieces, from the sequence files."""
    report = convert("waymo", realdata / "waymo", tmp_path, preset="dynamo_depth", jobs=1)
    by_status = {r.status for r in report.results}
    assert by_status == {"converted", "failed"}
    (failed,) = report.failed
    assert "no record has an image" in failed.message
    assert failed.sequence.endswith("metadata_only")
    for path in tmp_path.glob("*.h5"):
        assert verify(path).ok
        assert check(path).ok
        with open_sequence(path) as sequence:
            front = sequence.cameras["front"]
            assert (front.height, front.width) == (1280, 1920)
            assert len(front.rgb.blob(0)) == 446413
            assert (sequence.cameras["side_left"].height, len(sequence.objects)) == (886, 75)
            assert [len(sequence.boxes[n]) for n in sequence.boxes] == [13, 29, 9, 3, 12]
            assert front.intrinsics(0)[0, 0] == 2044.5083584358413
            assert front.transform["location"] == "location_sf"
            assert front["rgb_320x480"][0].shape == (320, 480, 3)
            assert {"semantics", "instances"} <= set(front.streams)
            if "semireal" in path.name:
                moving = front["masks/moving"][0]
                assert {0, 1} <= set(np.unique(moving)) <= {0, 1, 255}
                # ground truth of the prepared set: 20,467 points of the real lidar
                assert abs(len(front["depth_undistorted"].points(0)) - 20467) <= 2


def test_damaged_files_are_one_line_and_leave_nothing(golden: Path, tmp_path: Path) -> None:
    whole = next((golden / "waymo").glob("*.tfrecord")).read_bytes()
    root = tmp_path / "raw"
    root.mkdir()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    broken = {
        "cut": (whole[:-7], "cut in record"),
        "flipped": (bytes(flipped), "checksum"),
        "empty": (b"", "holds no record"),
        "text": (b"<html>Sign in</html>" * 3, "checksum of its length"),
    }
    for name, (data, _) in broken.items():
        (root / f"segment-{name}_with_camera_labels.tfrecord").write_bytes(data)
    report = convert("waymo", root, tmp_path / "out", jobs=1)
    assert len(report.failed) == len(broken)
    for result in report.failed:
        name = result.sequence.removeprefix("segment-")
        assert broken[name][1] in result.message
        assert f"{name}_with" in result.message
        assert "\n" not in result.message
    assert not list((tmp_path / "out").glob("*.h5*"))


def test_names_and_splits(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        (tmp_path / split).mkdir()
        name = f"segment-1_{split}_with_camera_labels.tfrecord"
        (tmp_path / split / name).write_bytes(b"")
    assert [(spec.name, spec.split) for spec in waymo.sequences(tmp_path)] == [
        ("segment-1_training", "train"),
        ("segment-1_validation", "val"),
    ]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "training_0000.tar").write_bytes(b"")
    with pytest.raises(Exception, match=r"no record file found.*unpack training_0000.tar first"):
        waymo.sequences(tmp_path / "empty")
