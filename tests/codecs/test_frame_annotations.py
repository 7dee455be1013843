"""Annotations as a stream: whole files, odd files, cut files, and never much in memory."""

from __future__ import annotations

import gzip
import json
import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.codecs import frame_annotations
from depthdata.codecs.annotation_writer import AnnotationWriter, frame_object
from depthdata.codecs.frame_annotations import FrameAnnotation, annotated_objects, parse_frame
from depthdata.errors import FormatError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON, max_size=5), max_size=6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frame_annotations_test.jgz"


def _value(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "sequence_name": "aa-3_obj",
        "frame_number": 4,
        "image": {"path": "images/a.png"},
        "viewpoint": {
            "R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            "T": [0.5, 0, 0],
            "focal_length": [2, 2.5],
            "principal_point": [0, 0.1],
        },
        "camera_name": "left",
    }
    return {**value, **changes}


def _view(**changes: Any) -> dict[str, Any]:
    return _value(viewpoint={**_value()["viewpoint"], **changes})


@given(OBJECTS, st.sampled_from([None, 1, 3]), st.integers(1, 40), st.booleans())
@settings(max_examples=50, deadline=None)
def test_any_list_of_objects(tmp_path_factory, objects, indent, piece, ascii_only):
    path = tmp_path_factory.mktemp("any") / "a.jgz"
    text = json.dumps(objects, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(gzip.compress(f" \n{text}\r\n ".encode(errors="replace")))
    wanted = json.loads(text.encode(errors="replace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_annotations, "_PIECE", piece)  # so that objects lie across pieces
        found = list(annotated_objects(path))
    assert [item.value for item in found] == wanted
    assert [item.number for item in found] == list(range(len(wanted)))
    assert [json.loads(item.text) for item in found] == wanted


def test_memory_stays_flat(path: Path):
    with AnnotationWriter(path) as annotations:
        for number in range(20_000):
            annotations.add({"frame_number": number, "path": f"{number:0600d}"})
    tracemalloc.start()
    count = sum(1 for _ in annotated_objects(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000 and peak < 4e6  # of 13 MB of text


TEXTS = {
    "empty": (b"", "expected a JSON list of frame objects"),
    "object": (b'{"a": 1}', "character 0: expected a JSON list of frame objects, found '{'"),
    "number in the list": (b"[{}, 3]", "character 5: frame object 1: expected an object, found"),
    "cut list": (b"[{}, {}", "character 7: the text is cut"),
    "cut object": (b'[{}, {"a": 1', "frame object 1: Expecting"),
    "cut text": (b'[{"a": "bc', "character 8: frame object 0: Unterminated string"),
    "comma": (b"[{} {}]", "character 4: expected a comma or ']', found '{'"),
    "second list": (b"[{}] [", "character 5: expected the end after the list"),
    "nothing between": (b"[{},,{}]", "character 4: frame object 1: expected an object, found ','"),
    "trailing comma": (b"[{},]", "frame object 1: expected an object, found ']'"),
    "deep": (b'[{"a":' + b"[" * 100_000, "frame object 0: nested too deeply"),
    "latin": (b'[{"a": "\xe9"}]', "no UTF-8"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_wrong_text_gives_one_line_with_the_place(path: Path, what: str):
    text, message = TEXTS[what]
    path.write_bytes(gzip.compress(text))
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        list(annotated_objects(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_object_without_end_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frame_annotations, "_LARGEST", 1 << 12)
    monkeypatch.setattr(frame_annotations, "_PIECE", 1 << 8)
    path.write_bytes(gzip.compress(b'[{"a": "' + b"b" * 100_000 + b'"}]'))
    with pytest.raises(FormatError, match="Unterminated string"):
        list(annotated_objects(path))


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="Python has no limit")
def test_a_number_of_many_digits(path: Path):
    path.write_bytes(gzip.compress(b'[{"a": ' + b"1" * 5000 + b"}]"))
    with pytest.raises(FormatError, match="frame object 0: Exceeds the limit"):
        list(annotated_objects(path))


def test_wrong_gzip(path: Path):
    whole = gzip.compress(json.dumps([{"number": n} for n in range(500)]).encode(), mtime=0)
    for data, message in (
        (whole[:-300], "cut or damaged after"),
        (whole[:5], "cut or damaged after 0 bytes"),
        (b"[{}]", "cut or damaged after 0 bytes"),
        (whole[:-6] + bytes(2) + whole[-4:], "cut or damaged"),
        (whole + b"more", "cut or damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=message):
            list(annotated_objects(path))
    with pytest.raises(FormatError, match="cannot be read"):
        list(annotated_objects(path.with_name("nowhere.jgz")))


WHOLE = gzip.compress(json.dumps([_value(frame_number=n) for n in range(3)]).encode(), mtime=0)


@given(st.integers(10, len(WHOLE) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_changed_bytes_are_found(tmp_path_factory, place: int, flip: int):
    data = bytearray(WHOLE)
    data[place] ^= flip
    path = tmp_path_factory.mktemp("changed") / "a.jgz"
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError):
        list(annotated_objects(path))


def test_what_is_left_out_has_defaults():
    frame = parse_frame(_value(unknown={"x": 1}, meta=[1], depth=None), "here")
    assert (frame.sequence, frame.camera, frame.number) == ("aa-3_obj", "left", 4)
    assert frame.image == "images/a.png" and frame.intrinsics_format == "ndc_norm_image_bounds"
    assert (frame.seconds, frame.size, frame.depth, frame.mask, frame.trajectories) == (None,) * 5
    assert frame.T == (0.5, 0.0, 0.0) and frame.focal_length == (2.0, 2.5)


@pytest.mark.parametrize("key", ["instance_id_map_path", "trajectories", "flow_forward_mask"])
def test_paths_are_text_or_objects(key: str):
    for value in ("a/b", {"path": "a/b"}, {"path": "a/b", "more": 1}):
        assert "a/b" in vars(parse_frame(_value(**{key: value}), "here")).values()
    for value in (None, {}, {"path": None}):
        assert parse_frame(_value(**{key: value}), "here") == parse_frame(_value(), "here")


def test_a_frame_object_comes_back():
    frame = parse_frame(
        _value(
            frame_timestamp=0.1,
            image={"path": "i", "size": [2, 3]},
            **{key: {"path": key} for key in ("depth", "mask", "flow_backward", "trajectories")},
        ),
        "here",
    )
    assert parse_frame(json.loads(json.dumps(frame_object(frame))), "here") == frame
    assert frame_object(FrameAnnotation("s", "left", 0, "i", frame.R, frame.T, (1, 1), (0, 0)))


WRONG = {
    "no name": (_value(sequence_name=None), "here: sequence_name is missing"),
    "name": (_value(sequence_name=3), "sequence_name: expected text, found int '3'"),
    "no number": (_value(frame_number=None), "frame_number is missing"),
    "number": (_value(frame_number=1.5), "frame_number: expected a whole number from 0 on"),
    "truth": (_value(frame_number=True), "found bool 'True'"),
    "time": (_value(frame_timestamp="0"), "frame_timestamp: expected a number"),
    "long time": (_value(frame_timestamp=1e12), "frame_timestamp: expected a number up to 9e+09"),
    "no image": (_value(image=None), "image is missing"),
    "image": (_value(image="a.png"), "image: expected an object"),
    "image without path": (_value(image={}), "here, image: path is missing"),
    "size": (_value(image={"path": "a", "size": [2]}), "size: expected [height, width]"),
    "depth": (_value(depth=["a"]), "depth: expected text, an object with a path, or null"),
    "no viewpoint": (_value(viewpoint=None), "viewpoint is missing"),
    "R": (_view(R=[[1, 0, 0]]), "here, viewpoint: R: expected 3 rows of 3 numbers"),
    "row of R": (_view(R=[[1, 0, 0]] * 2 + [[0, 0]]), "R: expected 3 numbers, found list"),
    "T": (_view(T=None), "T: expected 3 numbers, found null"),
    "text in T": (_view(T=[0, 0, "1"]), "T: expected a number up to 1e+30, found str '1'"),
    "NaN": (_view(T=[0, 0, float("nan")]), "T: expected a number"),
    "infinite": (_view(T=[0, 0, float("inf")]), "T: expected a number"),
    "huge": (_view(T=[0, 0, 10**400]), "T: expected a number"),
    "focal": (_view(focal_length=[1]), "focal_length: expected 2 numbers"),
    "format": (_view(intrinsics_format=1), "intrinsics_format: expected text"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_types(what: str):
    value, message = WRONG[what]
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        parse_frame(value, "here")
    assert "\n" not in str(caught.value)


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_any_value_in_any_place(value: Any):
    for whole in (
        *(_value(**{key: value}) for key in _value()),
        *(_view(**{key: value}) for key in _value()["viewpoint"]),
    ):
        _parsed_or_refused(whole)


def _parsed_or_refused(value: dict[str, Any]) -> None:
    try:
        parse_frame(value, "here")
    except FormatError as error:
        assert "\n" not in str(error)
