"""Tables, scans and labels of nuScenes: right arrays, or one clear error."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depthdata.codecs.json_rows import json_rows
from depthdata.codecs.nuscenes_columns import Texts, TokenIndex
from depthdata.codecs.nuscenes_lidar import (
    decode_panoptic,
    decode_scan,
    encode_panoptic,
    encode_scan,
)
from depthdata.codecs.nuscenes_tables import CHANNELS, read_tables
from depthdata.errors import FormatError, SourceError

TINY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = st.lists(
    st.dictionaries(
        st.text(max_size=4),
        st.one_of(st.integers(), st.text(alphabet='{}[],"\\ \nä', max_size=12), st.none())
        | st.lists(st.dictionaries(st.text(max_size=2), st.text(max_size=3)), max_size=2),
        max_size=4,
    ),
    max_size=12,
)


@given(rows=ROWS, indent=st.sampled_from([None, 0, 2]), block=st.integers(1, 90))
@TINY
def test_rows_come_back(tmp_path: Path, rows: list, indent: int | None, block: int) -> None:
    """Whatever the rows hold and however they are cut into blocks."""
    path = tmp_path / "table.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    batches = list(json_rows(path, block))
    assert all(batches)
    assert [row for batch in batches for row in batch] == rows


@given(rows=ROWS, cut=st.floats(0, 0.999), block=st.integers(1, 90))
@TINY
def test_cut_tables_are_refused(tmp_path: Path, rows: list, cut: float, block: int) -> None:
    path = tmp_path / "table.json"
    data = json.dumps(rows, indent=0, ensure_ascii=False).encode()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(FormatError, match=r"table.json: row \d+: ") as caught:
        list(json_rows(path, block))
    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=60) | st.text(alphabet='[]{},:"a1 ', max_size=40).map(str.encode))
@TINY
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(data)
    try:
        rows = [row for batch in json_rows(path, 7) for row in batch]
    except FormatError:
        return
    assert rows == json.loads(data)


def test_what_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(FormatError, match="row 0"):
        list(json_rows(path))
    path.write_bytes(b'[{"a": ' + b"[" * 100_000)
    with pytest.raises(FormatError, match="row 0"):
        list(json_rows(path))
    path.write_bytes(b'[{"a": ' + b"9" * 10_000 + b"}]")  # Python refuses such numbers
    with pytest.raises(FormatError, match="row 0"):
        list(json_rows(path))
    with pytest.raises(SourceError, match="is missing") as caught:
        list(json_rows(tmp_path / "none.json"))
    assert caught.value.incomplete


@given(
    tokens=st.lists(
        st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1),
        unique=True,
        min_size=1,
    ),
    wanted=st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0"))),
)
@TINY
def test_tokens_are_found(tokens: list[str], wanted: list[str]) -> None:
    index = TokenIndex(np.array(tokens, np.bytes_), "sample")
    asked = [*wanted, *tokens]
    expected = [tokens.index(token) if token in tokens else -1 for token in asked]
    assert index.find(np.array(asked, np.bytes_)).tolist() == expected


def test_tokens_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from depthdata.codecs import nuscenes_columns

    monkeypatch.setattr(
        nuscenes_columns, "_hashes", lambda tokens: np.zeros(len(tokens), np.uint64)
    )
    index = TokenIndex(np.array([b"b", b"a", b"c"]), "sample")
    assert index.find(np.array([b"a", b"c", b"x", b"b"])).tolist() == [1, 2, -1, 0]
    with pytest.raises(FormatError, match="rows 0 and 2, field token"):
        TokenIndex(np.array([b"b", b"a", b"b"]), "sample")


def test_texts() -> None:
    texts = Texts()
    texts.extend(["a", "", "straße"])
    texts.extend(["b"])
    assert [texts[k] for k in range(len(texts))] == ["a", "", "straße", "b"]


def test_radars_are_left_out(tmp_path: Path) -> None:
    """Of a set with a camera, a lidar and a radar, in any order, two records stay."""
    names = ["RADAR_FRONT", "CAM_BACK", "LIDAR_TOP"]
    empty: list = []
    tables: dict[str, list] = {
        "sensor": [{"token": f"s{k}", "channel": name} for k, name in enumerate(names)],
        "calibrated_sensor": [
            {"token": f"c{k}", "sensor_token": f"s{k}", "rotation": [1, 0, 0, 0],
             "translation": [k, 0, 0], "camera_intrinsic": []}
            for k in range(3)
        ],
        "log": [{"token": "l", "logfile": "", "vehicle": "", "date_captured": "", "location": ""}],
        "scene": [{"token": "z", "name": "scene-0001", "description": "", "log_token": "l",
                   "first_sample_token": "q", "last_sample_token": "q", "nbr_samples": 1}],
        "sample": [{"token": "q", "timestamp": 5, "scene_token": "z", "prev": "", "next": ""}],
        "ego_pose": [{"token": "e", "rotation": [1, 0, 0, 0], "translation": [7, 8, 9]}],
        "sample_data": [
            {"token": f"d{k}", "sample_token": "q", "ego_pose_token": "e", "prev": "", "next": "",
             "calibrated_sensor_token": f"c{k}", "timestamp": 5 + k, "is_key_frame": True,
             "height": 0, "width": 0, "filename": f"f{k}"}
            for k in range(3)
        ],
        **dict.fromkeys(("category", "attribute", "visibility", "instance"), empty),
        "sample_annotation": empty,
    }  # fmt: skip
    for name, rows in tables.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    found = read_tables(tmp_path).records
    assert [CHANNELS[k] for k in found.channel] == ["CAM_BACK", "LIDAR_TOP"]
    assert [found.files[k] for k in range(2)] == ["f1", "f2"]
    np.testing.assert_array_equal(found.pose, [[1, 0, 0, 0, 7, 8, 9]] * 2)
    only = read_tables(tmp_path, channels=("CAM_BACK",)).records
    assert only.tokens.tolist() == [b"d1"]


@given(values=st.lists(st.floats(width=32), max_size=20), extra=st.integers(0, 19))
@TINY
def test_scans(values: list[float], extra: int) -> None:
    points = np.array(values[: len(values) // 5 * 5], np.float32).reshape(-1, 5)
    data = encode_scan(points)
    if extra or not len(points):
        with pytest.raises(FormatError, match="20 bytes"):
            decode_scan(data + bytes(extra))
    else:
        np.testing.assert_array_equal(decode_scan(data), points)


@given(
    labels=st.lists(st.integers(0, 65535), max_size=40),
    flip=st.integers(0, 3000),
    bit=st.integers(0, 7),
    cut=st.integers(0, 3000),
)
@TINY
def test_panoptic_labels(labels: list[int], flip: int, bit: int, cut: int) -> None:
    expected = np.array(labels, np.uint16)
    data = bytearray(encode_panoptic(expected))
    np.testing.assert_array_equal(decode_panoptic(bytes(data)), expected)
    data[flip % len(data)] ^= 1 << bit
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        try:
            found = decode_panoptic(damaged)
        except FormatError:
            continue
        np.testing.assert_array_equal(found, expected)  # what the archive does not care for


def test_panoptic_files_that_lie() -> None:
    def archive(name: str, array: np.ndarray | None = None, content: bytes = b"") -> bytes:
        out = io.BytesIO()
        if array is not None:
            inner = io.BytesIO()
            np.save(inner, array, allow_pickle=True)
            content = inner.getvalue()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, content)
        return out.getvalue()

    pickled = np.empty((), object)
    pickled[()] = {"a": 1}
    promising = io.BytesIO()  # a header that promises 10 GB
    np.lib.format.write_array_header_1_0(
        promising, {"descr": "<u2", "fortran_order": False, "shape": (5_000_000_000,)}
    )
    for data, message in {
        archive("other.npy", np.zeros(3, np.uint16)): "no array 'data'",
        archive("data.npy", np.zeros(3, np.int64)): "no npz file of uint16",
        archive("data.npy", np.zeros((3, 2), np.uint16)): "no npz file of uint16",
        archive("data.npy", pickled): "no npz file of uint16",
        archive("data.npy", content=bytes(1 << 25)): "more than a scan",
        archive("data.npy", content=b"x"): "no npz file of uint16",
        archive("data.npy", content=promising.getvalue()): "no npz file of uint16",
        b"": "no npz file of uint16",
    }.items():
        with pytest.raises(FormatError, match=message):
            decode_panoptic(data)
