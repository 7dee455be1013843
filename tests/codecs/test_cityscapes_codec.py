"""Files of Cityscapes: written and read, damaged and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.codecs.cityscapes import (
    CLASSES,
    DISPARITY_SCALE,
    NO_DISPARITY,
    CameraFile,
    decode_camera,
    decode_disparity,
    decode_instance_ids,
    decode_labels,
    decode_timestamp,
    decode_vehicle,
    encode_camera,
    encode_disparity,
    encode_vehicle,
    read_camera,
    read_timestamp,
    read_vehicle,
)
from depthdata.codecs.images import encode_png
from depthdata.errors import FormatError, SourceError, UsageError
from depthdata.geometry import project, rigid_transform, se3_inverse, transform

CAMERA = CameraFile(
    fx=2262.52, fy=2265.3017905988554, u0=1096.98, v0=513.137, baseline=0.209313,
    pitch=0.038, roll=0.0, yaw=-0.0195, x=1.7, y=0.1, z=1.22,
)  # fmt: skip


def test_camera_comes_back():
    assert decode_camera(encode_camera(CAMERA)) == CAMERA
    again = CameraFile.of(CAMERA.intrinsics, CAMERA.baseline, CAMERA.T_vehicle_cam)
    for name, value in vars(CAMERA).items():
        assert getattr(again, name) == pytest.approx(value, abs=1e-12), name


def test_a_camera_that_is_pitched_looks_down():
    """A known fact: the horizon of these cameras lies above the middle row, the road below."""
    T_cam_vehicle = se3_inverse(CAMERA.T_vehicle_cam)
    np.testing.assert_allclose(CAMERA.T_vehicle_cam[:3, 3], (1.7, 0.1, 1.22))
    far, _ = project(CAMERA.intrinsics, transform(T_cam_vehicle, [[1e9, 0, 0]]))
    assert 420 < far[0, 1] < 430 and abs(far[0, 0] - CAMERA.u0) < 60
    left, _ = project(CAMERA.intrinsics, transform(T_cam_vehicle, [[20.0, 4, 0], [20.0, -4, 0]]))
    assert left[0, 0] < CAMERA.u0 < left[1, 0] and (left[:, 1] > far[0, 1]).all()


@given(*(st.floats(-1.4, 1.4) for _ in range(3)), st.integers(0, 2**32 - 1))
def test_any_pose_comes_back(roll: float, pitch: float, yaw: float, seed: int):
    place = np.random.default_rng(seed).normal(size=3)
    camera = CameraFile(9.0, 8.0, 4.0, 3.0, 0.2, pitch, roll, yaw, *place)
    T = camera.T_vehicle_cam
    again = CameraFile.of(camera.intrinsics, 0.2, T)
    np.testing.assert_allclose(again.T_vehicle_cam, T, atol=1e-12)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(T @ se3_inverse(T), rigid_transform(np.eye(3), [0, 0, 0]), atol=1e-9)


def test_disparity_keeps_every_level():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = decode_disparity(encode_png(levels))
    assert found[0, 0] == NO_DISPARITY and found[0, 1] == 0
    np.testing.assert_array_equal(found + np.uint16(1), levels)
    pixels = np.array([[np.nan, 0, 1 / 256, 17.25, 255.9]])
    found = decode_disparity(encode_disparity(pixels))
    assert found[0, 0] == NO_DISPARITY
    np.testing.assert_allclose(found[0, 1:] * DISPARITY_SCALE, pixels[0, 1:], atol=1 / 512)
    for wrong in (-1.0, 256.0):
        with pytest.raises(UsageError, match=r"0 to 255\.99 px"):
            encode_disparity(np.array([[wrong]]))


def test_names_of_classes():
    assert (len(CLASSES), CLASSES[7], CLASSES[26], CLASSES[33]) == (34, "road", "car", "bicycle")


def test_vehicle_and_time():
    facts = {"speed": 3.5, "yawRate": 0.01, "gpsLatitude": 50.7}
    assert decode_vehicle(encode_vehicle(facts)) == facts
    assert decode_vehicle(b'{"speed": 3, "yawRate": 0, "gpsHeading": null}') == {
        "speed": 3.0,
        "yawRate": 0.0,
    }
    assert decode_timestamp(b" 1700000000\n") == 1_700_000_000


def _camera_without(part: str, name: str, value: object = None) -> bytes:
    text = json.loads(encode_camera(CAMERA))
    text[part][name] = value
    return json.dumps(text).encode()


GREY = encode_png(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("decode", "data", "message"),
    [
        (decode_camera, b"<!DOCTYPE html>", "camera: expected JSON"),
        (decode_camera, b"[1]", "expected a JSON object"),
        (decode_camera, b"{}", "intrinsic: expected the numbers fx, fy, u0, v0, found None"),
        (decode_camera, _camera_without("extrinsic", "pitch"), "found None for pitch"),
        (decode_camera, _camera_without("extrinsic", "x", "1.7"), "found '1.7' for x"),
        (decode_camera, _camera_without("intrinsic", "fx", True), "found True for fx"),
        (decode_camera, _camera_without("intrinsic", "u0", float("nan")), "found nan for u0"),
        (decode_camera, _camera_without("intrinsic", "fx", 10**400), "for fx"),
        (decode_camera, _camera_without("extrinsic", "baseline", 0), "above 0, found 2262.52"),
        (decode_camera, b"[" * 100_000, "camera: expected JSON"),
        (decode_vehicle, b'{"speed": 3}', "found None for yawRate"),
        (decode_timestamp, b"", "expected whole nanoseconds"),
        (decode_timestamp, b"1.5", "expected whole nanoseconds"),
        (decode_timestamp, b"9" * 19, "expected whole nanoseconds"),
        (decode_timestamp, "٣".encode(), "expected whole nanoseconds"),
        (decode_disparity, GREY, "disparity: expected 16-bit grey PNG, found 8-bit"),
        (decode_instance_ids, GREY, "instanceIds: expected 16-bit grey PNG"),
        (decode_labels, encode_png(np.zeros((2, 3), np.uint16)), "labelIds: expected 8-bit grey"),
        (decode_labels, GREY[:-5], "PNG cut at"),
    ],
)
def test_other_files_are_refused(decode, data: bytes, message: str):
    with pytest.raises(FormatError, match=message) as caught:
        decode(data)
    assert len(str(caught.value)) < 300


def test_errors_name_the_file(tmp_path: Path):
    for read, name in (
        (read_camera, "camera.json"),
        (read_vehicle, "vehicle.json"),
        (read_timestamp, "timestamp.txt"),
    ):
        with pytest.raises(SourceError, match=f"{name} is missing"):
            read(tmp_path / name)
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(FormatError, match=f"{name}: "):
            read(tmp_path / name)


_DECODERS = (
    (decode_camera, encode_camera(CAMERA)),
    (decode_vehicle, encode_vehicle({"speed": 1.0, "yawRate": 0.5})),
    (decode_timestamp, b"1234567890"),
    (decode_disparity, encode_disparity(np.ones((4, 5)))),
)


@settings(max_examples=100)
@given(st.data())
def test_damage_never_ends_in_another_error(data: st.DataObject):
    decode, good = data.draw(st.sampled_from(_DECODERS))
    bad = bytearray(good)
    if data.draw(st.booleans()):
        del bad[data.draw(st.integers(0, len(good) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decode(bytes(bad))
    except FormatError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=80))
def test_random_bytes_are_refused(data: bytes):
    for decode, _ in _DECODERS[:2]:
        with pytest.raises(FormatError):
            decode(data)
