"""COLMAP's text model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from depthdata.codecs.colmap import (
    ColmapCamera,
    ColmapImage,
    decode_cameras,
    decode_images,
    encode_cameras,
    encode_images,
    quaternion_from_rotation,
    read_cameras,
    read_images,
    rotation_from_quaternion,
)
from depthdata.errors import FormatError, SourceError
from depthdata.geometry import is_rigid, rotation_from_euler

CAMERAS = """# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 1
0 PINHOLE 717 435 713.679 713.679 380.477 230.371
"""
IMAGES = """# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
# Number of images: 2
0 0.686855 0.663686 0.206496 -0.212394 -2.36117 -3.41715 0.12667 0 im0.png

1 0.686855 0.663686 0.206496 -0.212394 -2.42127 -3.41715 0.12667 0 im1.png

"""

fuzzed = settings(max_examples=80, deadline=None)
angles = st.floats(-3.2, 3.2)
metres = st.floats(-1e6, 1e6)


def test_published_text():
    camera = decode_cameras(CAMERAS.encode())[0]
    expected = [[713.679, 0, 380.477], [0, 713.679, 230.371], [0, 0, 1]]
    assert camera.intrinsics.tolist() == expected and (camera.width, camera.height) == (717, 435)
    images = decode_images(IMAGES.encode())
    assert list(images) == ["im0.png", "im1.png"]
    left, right = images.values()
    assert is_rigid(left.T_cam_world) and (left.id, right.id, right.camera_id) == (0, 1, 0)
    # world to camera: the camera that stands 6 cm to the right sees the world 6 cm to the left
    np.testing.assert_allclose((left.T_cam_world - right.T_cam_world)[:3, 3], [0.0601, 0, 0])
    assert encode_cameras([camera]).decode() == CAMERAS
    assert encode_images(images.values()).decode() == IMAGES


def test_points_and_carriage_returns_are_no_matter():
    text = IMAGES.replace("im0.png\n\n", "im0.png\n12.5 3 -1 7 8.25 42\n").replace("\n", "\r\n")
    assert decode_images(text.encode()) == decode_images(IMAGES.encode())
    assert list(decode_images(IMAGES.rstrip().encode())) == ["im0.png", "im1.png"]
    assert decode_images(b"# nothing\n") == {} == decode_cameras(b"")


@fuzzed
@given(roll=angles, pitch=angles, yaw=angles)
def test_quaternions_and_rotations_are_inverse(roll, pitch, yaw):
    R = rotation_from_euler(roll, pitch, yaw)
    q = quaternion_from_rotation(R)
    assert q[0] >= 0 and np.linalg.norm(q) == pytest.approx(1)
    np.testing.assert_allclose(rotation_from_quaternion(q), R, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns(axis: int):
    R = -np.eye(3)
    R[axis, axis] = 1
    np.testing.assert_allclose(rotation_from_quaternion(quaternion_from_rotation(R)), R, atol=1e-12)
    assert quaternion_from_rotation(R)[1 + axis] == pytest.approx(1)


@fuzzed
@given(roll=angles, yaw=angles, t=st.tuples(metres, metres, metres), fx=st.floats(1e-3, 1e6))
def test_every_number_comes_back_exactly(roll, yaw, t, fx):
    w, x, y, z = quaternion_from_rotation(rotation_from_euler(roll, 0.1, yaw)).tolist()
    image = ColmapImage(3, 7, "im 0.png", (w, x, y, z), t)
    assert decode_images(encode_images([image])) == {"im 0.png": image}
    camera = ColmapCamera(7, 8, 6, fx, fx / 3, 3.1, -2.0)
    assert decode_cameras(encode_cameras([camera])) == {7: camera}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 OPENCV 8 6 9 9 3 2 0 0 0 0", "line 1: expected the model PINHOLE, found 'OPENCV'"),
        ("0 PINHOLE 8 6 9 9 3", "line 1: expected 'CAMERA_ID PINHOLE WIDTH"),
        ("# a\n0 PINHOLE 8 6 9 x 3 2", "line 2: expected a finite number, found 'x'"),
        ("0 PINHOLE 8 -6 9 9 3 2", "line 1: expected a whole number, found '-6'"),
        ("0 PINHOLE 8 6 9 0 3 2", "should be above 0"),
        ("0 PINHOLE 8 6 9 9 nan 2", "expected a finite number"),
        ("0 PINHOLE 8 6 9 9 1e999 2", "expected a finite number"),
        ("0 PINHOLE 8 6 9 9 3 2\n0 PINHOLE 8 6 9 9 3 2", "line 2: camera 0 is there already"),
        ("0 PINHOLE 8 6 9 9 3 \xe9", "byte 0xc3 is no ASCII"),
    ],
)
def test_cameras_that_make_no_sense(tmp_path: Path, text: str, message: str):
    path = tmp_path / "cameras.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=f"cameras.txt.*{message}"):
        read_cameras(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 0 0 0 0 0 0 0", "line 1: expected 'IMAGE_ID QW"),
        ("0 1 1 0 0 0 0 0 0 a.png", "quaternion should have length 1, found 1.41421"),
        ("0 0 0 0 0 0 0 0 0 a.png", "quaternion should have length 1, found 0"),
        ("0 1e300 0 0 0 0 0 0 0 a.png", "quaternion should have length 1, found inf"),
        ("0 1 0 0 0 0 0 zero 0 a.png", "expected a finite number, found 'zero'"),
        ("0 1 0 0 0 0 0 0 x a.png", "expected a whole number, found 'x'"),
        ("\n0 1 0 0 0 0 0 0 0 a.png", "line 1: expected a pose, found an empty line"),
        (
            "0 1 0 0 0 0 0 0 0 a.png\n1 1 0 0 0 0 0 0 0 b.png",
            "line 2: expected the points of 'a.png'",
        ),
        (
            "0 1 0 0 0 0 0 0 0 a.png\n\n1 1 0 0 0 0 0 0 0 a.png\n",
            "line 3: 'a.png' is there already",
        ),
    ],
)
def test_images_that_make_no_sense(tmp_path: Path, text: str, message: str):
    path = tmp_path / "images.txt"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"images.txt.*{message}") as caught:
        read_images(path)
    assert "\n" not in str(caught.value)


@fuzzed
@given(data=st.data())
def test_damaged_text_is_an_error_or_a_model(data):
    decode, text = data.draw(
        st.sampled_from([(decode_cameras, CAMERAS), (decode_images, IMAGES)]), label="file"
    )
    damaged = bytearray(text.encode())
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place : place + data.draw(st.integers(0, 60))] = data.draw(st.binary(max_size=3))
    try:
        found = decode(bytes(damaged))
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        for item in found.values():
            matrix = item.intrinsics if isinstance(item, ColmapCamera) else item.T_cam_world
            assert np.isfinite(matrix).all()


@fuzzed
@given(data=st.binary(min_size=1, max_size=200))
@pytest.mark.parametrize("decode", [decode_cameras, decode_images])
def test_any_bytes_are_no_model(decode, data):
    lines = data.decode("latin-1").split("\n")
    assume(any(line.strip() and not line.startswith("#") for line in lines))
    with pytest.raises(FormatError):
        decode(data)


@pytest.mark.parametrize("read", [read_cameras, read_images])
def test_missing_text(tmp_path: Path, read):
    with pytest.raises(SourceError, match="gone") as caught:
        read(tmp_path / "gone")
    assert caught.value.incomplete
