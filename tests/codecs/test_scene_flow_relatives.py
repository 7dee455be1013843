"""Camera files of Scene Flow, disparities of Falling Things and TartanAir."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import golden_cases

from depthdata.codecs import falling_things, tartan_air
from depthdata.codecs.blender_cameras import (
    BlenderCameras,
    decode_cameras,
    encode_cameras,
    read_cameras,
)
from depthdata.codecs.falling_things import read_falling_things
from depthdata.codecs.images import encode_png
from depthdata.codecs.tartan_air import read_tartan_air
from depthdata.errors import FormatError, SourceError, UsageError
from depthdata.geometry import rigid_transform, rotation_from_euler, transform

# Both cameras look along the world's y axis; the right one is a unit to the right.
WRITTEN = b"""\
Frame 6
L 1 0 0 5 0 0 -1 6 0 1 0 7.5 0 0 0 1
R 1 0 0 6 0 0 -1 6 0 1 0 7.5 0 0 0 1

Frame 7
L 1.0 0.0 0.0 5.5 0.0 0.0 -1.0 6.0 0.0 1.0 0.0 7.5 0.0 0.0 0.0 1.0
R 1.0 0.0 0.0 6.5 0.0 0.0 -1.0 6.0 0.0 1.0 0.0 7.5 0.0 0.0 0.0 1.0
"""


@pytest.mark.golden
@pytest.mark.parametrize("case", golden_cases("readers", "other_stereo*"))
def test_golden_disparities(case: Path):
    expected = np.load(case / "expected.npz")
    (depth,) = case.glob("*.depth.png")
    (npy,) = case.glob("*.npy")
    found = {"falling": read_falling_things(depth), "tartan": read_tartan_air(npy)}
    assert set(expected.files) == {f"{n}_{what}" for n in found for what in ("disp", "valid")}
    for name, disparity in found.items():
        assert disparity.dtype == expected[f"{name}_disp"].dtype
        np.testing.assert_allclose(disparity, expected[f"{name}_disp"], rtol=1e-6)
        np.testing.assert_array_equal(disparity > 0, expected[f"{name}_valid"])


def test_axes_of_a_written_file():
    cameras = decode_cameras(WRITTEN)
    assert cameras.frames == (6, 7)
    ahead_right_down = [[0, 0, 2], [3, 0, 0], [0, 4, 0]]  # OpenCV: x right, y down, z forward
    left, right = cameras.left[0], cameras.right[1]
    np.testing.assert_array_equal(
        transform(left, ahead_right_down), [[5, 8, 7.5], [8, 6, 7.5], [5, 6, 3.5]]
    )
    np.testing.assert_array_equal(transform(right, [[0, 0, 2]]), [[6.5, 8, 7.5]])
    assert decode_cameras(WRITTEN.replace(b"\n", b" \r\n")).frames == (6, 7)


def _poses(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rigid_transform(rotation_from_euler(*rng.normal(size=(3, n))), rng.normal(size=(n, 3)))


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_cameras_come_back_to_the_bit(seed: int, n: int):
    frames = tuple(range(3, 3 + n))
    given_ = BlenderCameras(frames, _poses(seed, n), _poses(seed + 1, n))
    found = decode_cameras(encode_cameras(given_))
    assert found.frames == frames
    assert found.left.tobytes() == given_.left.tobytes()
    assert found.right.tobytes() == given_.right.tobytes()
    rounded = decode_cameras(encode_cameras(given_, digits=6))
    np.testing.assert_allclose(rounded.left, given_.left, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"Frame 6", b"Picture 6"), "line 1: expected 'Frame <n>', found 'Picture 6'"),
        ((b"Frame 7", b"Frame x"), "line 5: expected 'Frame <n>', found 'Frame x'"),
        ((b"Frame 7", b"Frame 6"), "line 5: frame 6 is there already"),
        ((b"R 1 0 0 6 0 0 -1 6 0 1 0 7.5 0 0 0 1\n", b""), "line 4: expected 'R <16 numbers>'"),
        ((b"7.5 0 0 0 1\n\nF", b"7.5 0 0 0\n\nF"), "line 3: expected 'R <16 numbers>', found 'R 1"),
        ((b"L 1 0", b"L 1_0 0"), "line 2: expected 'L <16 numbers>'"),
        ((b"L 1 0", b"L nan 0"), "line 2: expected 'L <16 numbers>'"),
        ((b"L 1 0 0 5", b"L 2 0 0 5"), "line 2: expected a rotation and a translation"),
        ((b"7.5 0 0 0 1\nR 1 0", b"7.5 0 0 1 0\nR 1 0"), "line 2: expected a rotation"),
        ((b"L 1.0", b"L \xff"), "line 6: byte 0xff is no ASCII text"),
        ((WRITTEN, b"\n \n"), "line 1: expected 'Frame <n>', found no line at all"),
        ((WRITTEN[-69:], b""), "line 7: expected 'R <16 numbers>', found no line"),
    ],
)
def test_wrong_line(change: tuple[bytes, bytes], message: str, tmp_path: Path):
    path = tmp_path / "camera_data.txt"
    path.write_bytes(WRITTEN.replace(*change))
    with pytest.raises(FormatError) as error:
        read_cameras(path)
    assert f"camera_data.txt: camera data, {message}" in str(error.value)


def test_poses_that_cannot_be_written():
    pose = np.eye(4)[None]
    with pytest.raises(UsageError, match="expected poses"):
        encode_cameras(BlenderCameras((1, 2), pose, pose))
    with pytest.raises(UsageError, match="found NaN"):
        encode_cameras(BlenderCameras((1,), pose, pose * np.nan))


def _npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_as_numpy_writes_it(dtype: str, order: str, version: tuple[int, int]):
    depth = np.asarray(np.arange(6).reshape(2, 3), dtype, order=order)
    found = tartan_air.decode_depth(_npy(depth, version))
    assert found.dtype == depth.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, depth)
    disparity = tartan_air.disparity_from_depth(found)
    assert disparity.dtype == np.float32 and disparity[0, 0] == np.inf and disparity[1, 1] == 20


DEPTH = _npy(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a .npy file"),
        (_npy(np.array([[None]])), "expected a .npy file of floats with two axes"),
        (_npy(np.ones(3)), "expected a .npy file of floats with two axes"),
        (_npy(np.ones((2, 2), int)), "expected a .npy file of floats with two axes"),
        (_npy(np.ones((0, 3))), "3x0 pixels need 0 bytes"),
        (DEPTH[:-1], "3x2 pixels need 24 bytes after the header, found 23"),
        (
            DEPTH.replace(b"(2, 3), }        ", b"(99999999, 99999)}"),
            "99999x99999999 pixels need 39999599600004 bytes after the header, found 25",
        ),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff{'descr'", "expected a .npy file"),
    ],
)
def test_damaged_npy(data: bytes, message: str):
    with pytest.raises(FormatError, match=r"^depth: ") as error:
        tartan_air.decode_depth(data)
    assert message in str(error.value)


SETTINGS = b'{"camera_settings": [{"intrinsic_settings": {"fx": 768.5}}]}'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[" * 100000,
        b"[]",
        b"{}",
        b'{"camera_settings": []}',
        b'{"camera_settings": {"0": 1}}',
        b'{"camera_settings": [{"intrinsic_settings": {"fx": "768"}}]}',
        b'{"camera_settings": [{"intrinsic_settings": {"fx": true}}]}',
        b'{"camera_settings": [{"intrinsic_settings": {"fx": 0}}]}',
        b'{"camera_settings": [{"intrinsic_settings": {"fx": 1e999}}]}',
        SETTINGS.replace(b"768.5", b"9" * 400),
    ],
)
def test_settings_without_a_focal_length(text: bytes):
    with pytest.raises(FormatError, match=r"^camera settings: "):
        falling_things.decode_focal_length(text)


def test_falling_things_files(tmp_path: Path):
    depth = tmp_path / "000000.left.depth.png"
    with pytest.raises(SourceError, match=r"_camera_settings\.json is missing") as missing:
        read_falling_things(depth)
    assert missing.value.incomplete
    (tmp_path / "_camera_settings.json").write_text(json.dumps(json.loads(SETTINGS), indent=4))
    depth.write_bytes(encode_png(np.array([[1, 600, 0]], np.uint16)))
    np.testing.assert_array_equal(
        read_falling_things(depth), np.array([[461100, 768.5, np.inf]], np.float32)
    )
    depth.write_bytes(encode_png(np.array([[1, 60, 0]], np.uint8)))
    with pytest.raises(FormatError, match=r"depth\.png: "):
        read_falling_things(depth)


DECODERS = {
    "cameras": (decode_cameras, WRITTEN),
    "npy": (tartan_air.decode_depth, DEPTH),
    "settings": (falling_things.decode_focal_length, SETTINGS),
}


@pytest.mark.parametrize("name", DECODERS)
@given(st.data())
def test_damaged_bytes_give_one_line(name: str, data: st.DataObject):
    decode, whole = DECODERS[name]
    changed = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(changed) + data.draw(st.binary(max_size=4)))
    except FormatError as error:
        assert "\n" not in str(error)
