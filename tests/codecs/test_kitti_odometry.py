"""Poses, times, calibration and masks of KITTI odometry: exact, and refused when damaged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from depthdata.codecs.images import encode_png
from depthdata.codecs.kitti_depth import decode_depth_levels, decode_intrinsics, read_intrinsics
from depthdata.codecs.kitti_odometry import (
    decode_moving_mask,
    decode_poses,
    decode_times,
    encode_moving_mask,
    encode_poses,
    encode_times,
    read_moving_mask,
    read_odometry_calibration,
    read_poses,
    read_times,
)
from depthdata.errors import FormatError, SourceError, UsageError
from depthdata.geometry import rigid_transform, rotation_from_euler

POSE = "1 0 0 0.5 0 1 0 -2 0 0 1 7"
CALIBRATION = "".join(f"P{n}: 700 0 600 {70 * n} 0 700 180 0 0 0 1 0\n" for n in range(4)) + (
    "Tr: 0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27\n"
)

angles = st.floats(-3, 3)
metres = st.floats(-1e5, 1e5)


@given(st.lists(st.tuples(angles, angles, angles, metres, metres, metres), min_size=1, max_size=5))
def test_poses_come_back_to_the_last_bit(moves: list):
    poses = np.stack([rigid_transform(rotation_from_euler(*m[:3]), m[3:]) for m in moves])
    np.testing.assert_array_equal(decode_poses(encode_poses(poses)), poses)
    np.testing.assert_allclose(decode_poses(encode_poses(poses, 6)), poses, rtol=6e-7, atol=1e-12)


def test_a_pose_is_three_rows():
    (pose,) = decode_poses(f"{POSE}\r\n\n".encode())
    np.testing.assert_array_equal(pose[:3], np.array(POSE.split(), float).reshape(3, 4))
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])
    with pytest.raises(UsageError):
        encode_poses(np.eye(4))


@given(st.lists(st.integers(0, 10**15), min_size=1))
def test_times_come_back(nanoseconds: list[int]):
    found = decode_times(encode_times(nanoseconds))
    # nine digits after the point: to the nanosecond below ten seconds, else to 1e-10 of itself
    np.testing.assert_allclose(found, nanoseconds, rtol=5.1e-10, atol=0)
    short = [n % 10**10 for n in nanoseconds]
    np.testing.assert_array_equal(decode_times(encode_times(short)), short)


def test_a_time_is_its_decimal_text():
    text = b"0.000000e+00\n1.038752e-01\n4.701235e+02\n0.1000000005\n"
    assert decode_times(text).tolist() == [0, 103875200, 470123500000, 100000000]


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.sampled_from(["?", "u1", "<i4", ">i2", "<f4", "<f8"]),
    st.booleans(),
)
def test_masks_come_back(mask: np.ndarray, dtype: str, columns_first: bool):
    np.testing.assert_array_equal(decode_moving_mask(encode_moving_mask(mask)), mask)
    file = io.BytesIO()
    np.save(
        file,
        np.array(mask * (1 if dtype == "?" else 5), dtype, order="F" if columns_first else "C"),
    )
    found = decode_moving_mask(file.getvalue())
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, mask)
    np.testing.assert_array_equal(np.load(io.BytesIO(encode_moving_mask(mask))), mask)


@pytest.mark.parametrize(
    ("decode", "data", "message"),
    [
        (decode_poses, b"", "poses: the file is empty"),
        (decode_poses, POSE.encode() + b"\n1 0 0", r"line 2: expected 12 numbers, found 3"),
        (decode_poses, f"{POSE}\n\n{POSE}".encode(), "line 2 is empty"),
        (decode_poses, POSE.replace("7", "x").encode(), "line 1: 'x' is no number"),
        (decode_poses, POSE.replace("7", "1_0").encode(), "line 1: '1_0' is no number"),
        (decode_poses, POSE.replace("7", "nan").encode(), "line 1: nan is no finite number"),
        (decode_poses, b"2 0 0 0 0 2 0 0 0 0 2 0", "line 1: the first three columns are no rot"),
        (decode_poses, b"1 0\xff", "line 1: byte 0xff is no ASCII text"),
        (decode_times, b"\n \n", "times: the file is empty"),
        (decode_times, b"0\n-1", "line 2: -1 is no time"),
        (decode_times, b"0 1", "line 1: '0 1' is no number"),
        (decode_times, b"1e300", "line 1: 1e300 is no"),
        (decode_moving_mask, b"", "expected a .npy file of numbers with two axes"),
        (decode_moving_mask, encode_moving_mask(np.ones((2, 3)))[:-1], "need 6 bytes after the h"),
        (decode_intrinsics, b"1 0 0 0 1 0 0 0", "expected 9 numbers"),
        (decode_intrinsics, b"1 0 0 0 1 0 0 0 2", "these are none"),
        (decode_depth_levels, encode_png(np.zeros((2, 2), np.uint8)), "expected 16-bit grey PNG"),
    ],
)
def test_what_is_wrong_is_said(decode, data: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        decode(data)


@pytest.mark.parametrize("read", [read_poses, read_times, read_moving_mask, read_intrinsics])
def test_errors_name_the_file(read, tmp_path: Path):
    path = tmp_path / "07.txt"
    with pytest.raises(SourceError, match=r"07\.txt is missing") as error:
        read(path)
    assert error.value.incomplete
    path.write_bytes(b"1 2")
    with pytest.raises(FormatError, match=r"07\.txt: "):
        read(path)


def test_a_mask_of_objects_is_not_unpickled():
    file = io.BytesIO()
    np.save(file, np.array([[{}]]), allow_pickle=True)
    with pytest.raises(FormatError, match="two axes"):
        decode_moving_mask(file.getvalue())


def test_calibration(tmp_path: Path):
    path = tmp_path / "calib.txt"
    path.write_text(CALIBRATION)
    calibration = read_odometry_calibration(path)
    np.testing.assert_array_equal(calibration.intrinsics(2)[0], [700, 0, 600])
    assert calibration.baseline(2, 3) == pytest.approx(-0.1)
    np.testing.assert_array_equal(calibration.T_cam_rect0(0), np.eye(4))
    assert calibration.T_rect0_velo is not None and calibration.T_rect0_velo[2, 3] == -0.27
    path.write_text("".join(CALIBRATION.splitlines(keepends=True)[:4]))
    assert read_odometry_calibration(path).T_rect0_velo is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("P3", "P4", "no line 'P3: ...'"),
        ("P1: 700", "P1:", "line 2: P1 should have 12 numbers, found 11"),
        ("P2: 700", "P2: -700", "line 3: P2 is no projection"),
        ("Tr: 0", "Tr: 5", "line 5: Tr is no rigid motion"),
    ],
)
def test_wrong_calibration(tmp_path: Path, old: str, new: str, message: str):
    path = tmp_path / "calib.txt"
    path.write_text(CALIBRATION.replace(old, new))
    with pytest.raises(FormatError, match=message):
        read_odometry_calibration(path)


WHOLE = {
    decode_poses: encode_poses(np.stack([np.eye(4)] * 3)),
    decode_times: encode_times([0, 103875200, 207894100]),
    decode_moving_mask: encode_moving_mask(np.eye(5)),
    decode_intrinsics: b"7.25e+02 0 3.1e2 0 7.25e+02 1.7e2 0 0 1",
}


@settings(max_examples=150)
@given(st.sampled_from(list(WHOLE)), st.data())
def test_damaged_files_are_refused_or_read(decode, data: st.DataObject):
    whole = bytearray(WHOLE[decode])
    if data.draw(st.booleans(), label="cut"):
        del whole[data.draw(st.integers(0, len(whole))) :]
    for _ in range(data.draw(st.integers(0, 3), label="flips")):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(whole))
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert found.nbytes < 10_000


@given(st.sampled_from(list(WHOLE)), st.binary(max_size=200))
def test_random_bytes(decode, data: bytes):
    try:
        decode(data)
    except FormatError as error:
        assert "\n" not in str(error)
