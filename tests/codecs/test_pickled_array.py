"""Arrays out of pickles that are read, never run."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from depthdata.codecs.pickled_array import (
    decode_pickled_array,
    encode_pickled_array,
    read_pickled_array,
)
from depthdata.errors import FormatError, SourceError, UsageError

TYPES = ("u1", "i1", "<u2", ">u2", "<i4", ">i4", "<i8", "<u8", "?")
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
MAPS = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays(np.dtype(kind), array_shapes(max_dims=3, min_side=0, max_side=6))
)


@given(MAPS, st.sampled_from(PROTOCOLS), st.sampled_from(["C", "F", "strided", "frozen"]))
@settings(max_examples=150, deadline=None)
def test_what_numpy_pickles(values: np.ndarray, protocol: int, order: str):
    if order == "strided":
        values = values[::-1]
    elif order == "frozen":
        values.flags.writeable = False
    else:
        values = np.asarray(values, order=order)
    # the program in C and the one in Python choose other opcodes
    for data in (pickle.dumps(values, protocol), pickle._dumps(values, protocol)):
        found = decode_pickled_array(data)
        np.testing.assert_array_equal(found, values)
        assert found.dtype == (values.dtype if values.dtype.kind != "b" else np.uint8)


@given(MAPS)
@settings(max_examples=60, deadline=None)
def test_what_is_encoded_loads_anywhere(values: np.ndarray):
    data = encode_pickled_array(values)
    np.testing.assert_array_equal(pickle.loads(data), values)
    np.testing.assert_array_equal(decode_pickled_array(data), values)
    assert b"numpy._core" not in data  # NumPy 1 has no such module
    assert b"numpy.core.multiarray" in data


def test_pickles_of_other_numpy_and_python():
    values = np.arange(6, dtype="<i8").reshape(2, 3)
    new = pickle.dumps(values, 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    new = old.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    for data in (old, new):
        np.testing.assert_array_equal(decode_pickled_array(data), values)
    # Python 2 wrote bytes as its strings: BINSTRING
    start, _, rest = encode_pickled_array(values).rpartition(b"B" + struct.pack("<I", 48))
    python_2 = start.replace(b"C\x01b", b"U\x01b") + b"T" + struct.pack("<i", 48) + rest
    np.testing.assert_array_equal(decode_pickled_array(python_2), values)


class Command:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(protocol: int, tmp_path: Path):
    mark = tmp_path / "was_run"
    inside = np.empty(1, object)
    inside[0] = Command(mark)
    for evil in (Command(mark), [Command(mark)], {"a": Command(mark)}, inside):
        with pytest.raises(FormatError):
            decode_pickled_array(pickle.dumps(evil, protocol))
    assert not mark.exists()
    for name in (builtins.eval, builtins.exec, builtins.getattr, subprocess.Popen, __import__):
        with pytest.raises(FormatError):
            decode_pickled_array(pickle.dumps(name, protocol))


def test_a_name_of_the_list_with_other_arguments():
    plain = encode_pickled_array(np.zeros((2, 2), np.int64))
    for old, new in (
        (b"cnumpy\nndarray\n", b"cos\nsystem\n"),
        (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"),
        (b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n"),
        (b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nfromfile\n"),
        (b"X\x02\x00\x00\x00i8", b"X\x02\x00\x00\x00O8"),
        (b"X\x02\x00\x00\x00i8", b"X\x02\x00\x00\x00f8"),
        (b"J\x02\x00\x00\x00", b"J\xff\xff\xff\x7f"),
        (b"J\x02\x00\x00\x00", b"J\xfe\xff\xff\xff"),
    ):
        assert old in plain
        with pytest.raises(FormatError):
            decode_pickled_array(plain.replace(old, new, 1))


OTHERS = {
    "floats": np.zeros((2, 2)),
    "text": np.array(["a"]),
    "objects": np.array([None]),
    "times": np.zeros(2, "M8[s]"),
    "records": np.zeros(2, [("a", "i4")]),
    "complex": np.zeros(2, complex),
    "subclass": np.ma.zeros((2, 2), int),
    "scalar": np.int64(3),
    "number": 3,
    "list": [np.zeros(2, int)],
    "two": (np.zeros(2, int), np.zeros(2, int)),
    "dict": OrderedDict(a=np.zeros(2, int)),
    "none": None,
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_anything_else_is_refused(what: str, protocol: int):
    with pytest.raises(FormatError, match="pickle: "):
        decode_pickled_array(pickle.dumps(OTHERS[what], protocol))


BLOBS = [pickle.dumps(np.arange(12).reshape(3, 4), p) for p in PROTOCOLS]


@given(st.sampled_from(BLOBS), st.integers(0, 400), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_changed_bytes(blob: bytes, place: int, flip: int):
    data = bytearray(blob)
    data[place % len(data)] ^= flip
    try:
        found = decode_pickled_array(bytes(data))
    except FormatError as error:
        assert "\n" not in str(error)
    else:  # a flip in the content cannot be known
        assert found.dtype.kind in "iu" and found.nbytes <= len(blob)


@given(st.sampled_from(BLOBS), st.integers(0, 400))
def test_cut_and_longer(blob: bytes, size: int):
    with pytest.raises(FormatError):
        decode_pickled_array(blob[: size % len(blob)])
    with pytest.raises(FormatError, match="after its end"):
        decode_pickled_array(blob + b"\x00")


@given(st.sampled_from([b"", b"\x80\x04"]), st.binary(max_size=60), st.sampled_from([b"", b"."]))
@settings(max_examples=300, deadline=None)
def test_random_bytes(start: bytes, middle: bytes, end: bytes):
    with pytest.raises(FormatError) as caught:
        decode_pickled_array(start + middle + end)
    assert "\n" not in str(caught.value)


def test_a_lying_length_allocates_nothing():
    for opcode in (b"\x8e", b"\x96", b"\x8d"):  # BINBYTES8, BYTEARRAY8, BINUNICODE8
        with pytest.raises(FormatError):
            decode_pickled_array(b"\x80\x05" + opcode + struct.pack("<Q", 1 << 40) + b"a.")


def test_errors_name_the_path(tmp_path: Path):
    path = tmp_path / "map.pkl"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(FormatError, match=r"map\.pkl: pickle: names builtins\.print"):
        read_pickled_array(path)
    with pytest.raises(SourceError, match="is missing"):
        read_pickled_array(tmp_path / "nowhere.pkl")
    with pytest.raises(UsageError, match="whole numbers"):
        encode_pickled_array(np.zeros(2))
