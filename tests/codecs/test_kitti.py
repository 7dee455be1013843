"""The text and binary files of KITTI raw."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depthdata.codecs.kitti import (
    MISSING_TIME,
    OXTS_FIELDS,
    read_calibration,
    read_oxts,
    read_timestamps,
    read_velodyne,
)
from depthdata.errors import DepthdataError, FormatError, SourceError

fuzzed = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
finite = st.floats(allow_nan=False, allow_infinity=False)
keys = st.from_regex(r"[A-Z][A-Za-z_0-9]{0,10}", fullmatch=True)


def _file(folder: Path, content: str | bytes, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@fuzzed
@given(values=st.dictionaries(keys, st.lists(finite, min_size=1, max_size=12), min_size=1))
def test_calibration_returns_every_number_exactly(tmp_path, values):
    text = "".join(f"{key}: {' '.join(map(repr, row))}\n" for key, row in values.items())
    calibration = read_calibration(_file(tmp_path, text))
    assert list(calibration.values) == list(values)
    for key, row in values.items():
        np.testing.assert_array_equal(calibration.numbers(key, len(row)), row)


def test_calibration_splits_at_the_first_colon_and_keeps_text(tmp_path):
    path = _file(tmp_path, "calib_time: 09-Jan-2012 13:57:47\nS: 1e+01 -2.5\r\n\nP:1 2 3 4 5 6\n")
    calibration = read_calibration(path)
    assert calibration.values["calib_time"] == "09-Jan-2012 13:57:47"
    assert calibration.numbers("S", 2).tolist() == [10, -2.5]
    assert calibration.numbers("P", 2, 3).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert "P" in calibration and "Q" not in calibration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S: 1 2\nno colon here\n", r"file\.txt, line 2: .*no colon here"),
        ("S: 1 2\n: 3\n", r"line 2: expected 'key: values'"),
        ("S: 1 2\nT: 1 2-3\n", r"line 2: '2-3' is no number"),
        ("S: 1\nS: 2\n", r"line 2: S is there already in line 1"),
        ("\n\n", r"file\.txt: .* empty"),
        (b"S: 1\nT: \xff\n", r"file\.txt, line 2: byte 0xff"),
    ],
)
def test_calibration_error_names_file_and_line(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read_calibration(_file(tmp_path, text))


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("R", (3, 3), r"line 1: R should have 9 numbers, found 3"),
        ("T", (3,), r"line 2: T should be numbers, found 'left'"),
        ("P_rect_02", (3, 4), r"file\.txt: no line 'P_rect_02"),
    ],
)
def test_calibration_of_the_wrong_shape(tmp_path, key, shape, message):
    calibration = read_calibration(_file(tmp_path, "R: 1 0 0\nT: left\n"))
    with pytest.raises(FormatError, match=message):
        calibration.numbers(key, *shape)


def test_missing_calibration_is_an_incomplete_source(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere\.txt is missing") as caught:
        read_calibration(tmp_path / "nowhere.txt")
    assert caught.value.incomplete


places = st.floats(-89, 89)


@fuzzed
@given(numbers=st.lists(finite, min_size=28, max_size=28), latitude=places, longitude=places)
def test_oxts_returns_its_thirty_numbers(tmp_path, numbers, latitude, longitude):
    packet = [latitude, longitude, *numbers]
    found = read_oxts(_file(tmp_path, " ".join(map(repr, packet)) + "\n"))
    np.testing.assert_array_equal(found, packet)
    assert len(OXTS_FIELDS) == len(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 " * 29, r"line 1: expected 30 numbers, found 29"),
        ("1 " * 30 + "\n" + "1 " * 30, r"expected 1 line of 30 numbers, found 2 lines"),
        ("", r"found 0 lines"),
        ("\n" + "1 " * 29 + "x", r"line 2: 'x' is no number"),
        ("1 1 nan " + "1 " * 27, r"line 1: alt is not a finite number"),
        ("91 8 " + "1 " * 28, r"line 1: latitude 91"),
    ],
)
def test_oxts_error_names_file_and_line(tmp_path, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        read_oxts(_file(tmp_path, text))
    assert "file.txt" in str(caught.value)


times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))


@fuzzed
@given(moments=st.lists(st.tuples(times, st.integers(0, 999)), max_size=5))
def test_timestamps_keep_every_nanosecond(tmp_path, moments):
    lines = [f"{moment:%Y-%m-%d %H:%M:%S.%f}{extra:03d}\n" for moment, extra in moments]
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    expected = []
    for moment, extra in moments:
        past = moment.replace(tzinfo=timezone.utc) - epoch
        micro = (past.days * 86400 + past.seconds) * 10**6 + past.microseconds
        expected.append(micro * 1000 + extra)
    assert read_timestamps(_file(tmp_path, "".join(lines))).tolist() == expected


def test_timestamps_with_a_gap_and_short_fractions(tmp_path):
    text = "1970-01-01 00:00:01.5\n\n1970-01-01 00:00:02"
    assert read_timestamps(_file(tmp_path, text)).tolist() == [1500000000, MISSING_TIME, 2000000000]


@pytest.mark.parametrize(
    "line",
    ["2011-09-26", "2011-02-30 00:00:00.0", "2011-09-26 24:00:00.0", "x", "2011-09-26 1:00:00",
     "9999-01-01 00:00:00", "2011-09-26 13:02:44.0123456789"],
)  # fmt: skip
def test_timestamps_error_names_file_and_line(tmp_path, line):
    path = _file(tmp_path, f"2011-09-26 13:02:44.335092332\n{line}\n")
    with pytest.raises(FormatError, match=rf"file\.txt, line 2: '{re.escape(line)[:30]}"):
        read_timestamps(path)


@fuzzed
@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=4, max_size=40))
def test_velodyne_returns_the_floats_of_the_file(tmp_path, values):
    scan = np.array(values[: len(values) // 4 * 4], dtype="<f4")
    found = read_velodyne(_file(tmp_path, scan.tobytes(), "0.bin"))
    assert found.dtype == np.float32 and found.shape == (len(scan) // 4, 4)
    np.testing.assert_array_equal(found.ravel(), scan)


@pytest.mark.parametrize(("size", "message"), [(0, "empty"), (17, "1 left over"), (15, "15 left")])
def test_cut_velodyne(tmp_path, size, message):
    with pytest.raises(FormatError, match=rf"0\.bin.*{message}"):
        read_velodyne(_file(tmp_path, bytes(size), "0.bin"))


@fuzzed
@given(data=st.binary(max_size=200))
@pytest.mark.parametrize("read", [read_calibration, read_oxts, read_timestamps, read_velodyne])
def test_any_bytes_give_numbers_or_one_line(tmp_path, read, data):
    path = _file(tmp_path, data)
    try:
        read(path)
    except DepthdataError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


@pytest.mark.realdata
def test_real_drive_files(realdata):
    date = realdata / "kitti_raw" / "2011_09_26"
    cam = read_calibration(date / "calib_cam_to_cam.txt")
    assert cam.values["calib_time"] == "09-Jan-2012 13:57:47"
    assert cam.numbers("P_rect_02", 3, 4)[0].tolist() == [721.5377, 0, 609.5593, 44.85728]
    first = {
        "0001": (49.015003823272, 8.4342971002335, 116.43032836914, 0.035752, 0.00903,
                 -2.6087069803847, "2011-09-26T13:02:25.964389445"),
        "0002": (49.014469305055, 8.4323954473023, 116.43120574951, 0.013512, 0.007208,
                 -3.0025129803847, "2011-09-26T13:02:44.335092332"),
        "0005": (49.011212804408, 8.4228850417969, 112.83492279053, 0.022447, 1e-05,
                 -1.2219096732051, "2011-09-26T13:04:32.349659964"),
    }  # fmt: skip
    lines = {"0001": 108, "0002": 77, "0005": 154}
    for drive, (*pose, time) in first.items():
        oxts = date / f"2011_09_26_drive_{drive}_sync" / "oxts"
        assert read_oxts(oxts / "data" / "0000000000.txt")[:6].tolist() == pose
        found = read_timestamps(oxts / "timestamps.txt")
        assert len(found) == lines[drive]
        assert found.view("M8[ns]")[0] == np.datetime64(time)
        assert math.isclose(np.median(np.diff(found)), 1e8, rel_tol=0.1)
