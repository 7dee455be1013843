"""Our decoding of chunks against the HDF5 library's, and dense values both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.errors import FormatError, UsageError
from depthdata.sequence import SequenceWriter, open_sequence
from depthdata.sequence.chunks import decode_chunk
from depthdata.sequence.hdf5 import chunked, create_file, filters_of
from depthdata.sequence.values import from_stored, to_stored

DTYPES = ["u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "i8", "f8"]


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    planes=st.booleans(),
    profile=st.sampled_from(["default", "portable"]),
    smooth=st.booleans(),
    seed=st.integers(0, 99),
)
def test_chunks_decode_as_hdf5_decodes_them(
    tmp_path_factory: Any,
    dtype: str,
    shape: Any,
    planes: bool,
    profile: Any,
    smooth: bool,
    seed: int,
) -> None:
    """Noise too, for which HDF5 may leave the compression out and say so in the mask."""
    rng = np.random.default_rng(seed)
    shape = (2, *shape) if planes else shape
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    frame = np.frombuffer(bytes(size) if smooth else rng.bytes(size), dtype).reshape(shape)
    path = tmp_path_factory.mktemp("chunks") / "a.h5"
    with create_file(str(path)) as file:
        dataset = chunked(file, "x", dtype, (1, *shape), profile)
        dataset[0] = frame
        mask, stored = dataset.id.read_direct_chunk((0,) * dataset.ndim)
        filters = filters_of(dataset)
    found = decode_chunk(stored, np.dtype(dtype), shape, filters, mask)
    assert found.dtype == dtype
    assert found.tobytes() == frame.tobytes()
    with h5py.File(path) as file:
        assert file["x"][0].tobytes() == frame.tobytes()


def test_damaged_chunks_are_errors() -> None:
    with pytest.raises(FormatError, match="do not decode"):
        decode_chunk(b"\x28\xb5\x2f\xfdnonsense", np.dtype("u1"), (4,), ("zstd",))
    with pytest.raises(FormatError, match="expected 4 bytes, decoded 3"):
        decode_chunk(b"abc", np.dtype("u1"), (4,), ())
    with pytest.raises(FormatError, match="unknown filter 305"):
        decode_chunk(b"abc", np.dtype("u1"), (3,), ("305",))


@pytest.mark.parametrize("scale", [1 / 256, 1 / 64, 0.001, 0.01, 1 / 128])
def test_every_16_bit_value_survives_its_scale(scale: float) -> None:
    stored = np.arange(65536, dtype=np.uint16)
    values = from_stored(stored, scale, 0)
    assert values.dtype == np.float32
    assert np.isnan(values[0])
    np.testing.assert_array_equal(values[1:], (stored[1:] * scale).astype(np.float32))
    back = to_stored(values, np.dtype("u2"), scale, 0)
    np.testing.assert_array_equal(back, stored)


def test_values_that_would_change_are_refused() -> None:
    u2 = np.dtype("u2")
    with pytest.raises(UsageError, match="marks missing ones"):
        to_stored(np.zeros((1, 1)), u2, 0.5, 0)
    with pytest.raises(UsageError, match="says nothing is missing"):
        to_stored(np.full((1, 1), np.nan), u2, 0.5, None)
    with pytest.raises(UsageError, match="do not fit"):
        to_stored(np.full((1, 1), 40000.0), u2, 0.5, None)
    with pytest.raises(UsageError, match="does not fit into float16"):
        to_stored(np.full((1, 1), 1e6), np.dtype("f2"), None, "nan")


def test_what_readers_return_for_each_kind_of_dense_stream(tmp_path: Path) -> None:
    path, shape = tmp_path / "a.h5", (1, 2, 3)
    with SequenceWriter(path, dataset="d", sequence="s") as writer:
        writer.timeline([0], ["0"])
        camera = writer.camera("left", height=2, width=3, intrinsics=np.eye(3))
        camera.dense("depth", np.full(shape, 1.5, np.float16), dtype="f2", missing="nan")
        camera.dense("disparity", np.full(shape, 7, np.int32), dtype="u1", missing=7)
        camera.dense("instances", np.full(shape, 300, np.uint16), dtype="u2")
        camera.dense("depth_double", np.full(shape, 1 / 3), dtype="f8", missing=0.0)
        camera.dense("uncertainty", np.full(shape, 4, np.uint16), dtype="u2", scale=0.25)
    left = open_sequence(path).cameras["left"]
    assert (left.depth[0].dtype, left.depth.raw(0).dtype) == (np.float32, np.float16)
    assert np.isnan(left.disparity[0]).all()  # a quantity: floats with NaN, whatever is stored
    assert (left.instances[0].dtype, left.instances.dtype) == (np.uint16, np.uint16)
    assert left.depth_double.raw(0)[0, 0] == 1 / 3
    assert left.depth_double[0].dtype == np.float32
    assert left.uncertainty[0][0, 0] == 1.0
    out = np.zeros((2, 3))
    left.depth.read_into(0, out)
    assert out[0, 0] == 1.5


def test_every_half_float_is_widened_exactly() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    for part in (
        bits,
        bits[:0x7C00],
        bits[: 0x7C00 + 1],
        np.r_[bits[:0x7C00], bits[0x8000:0xFC00]],
    ):
        half = part.view(np.float16)
        out = np.empty(half.shape, np.float32)
        assert from_stored(half, None, "nan", out) is out
        assert out.tobytes() == half.astype(np.float32).tobytes()


@pytest.mark.parametrize("dtype", ["<u2", "<i2", "<f2", "<f4", "<f8", "<i4"])
@pytest.mark.parametrize("missing", [None, 3])
def test_values_written_into_an_array_are_those_returned(dtype: str, missing: int | None) -> None:
    stored = np.array([[0, 3, 7], [5, 3, 1]], dtype)
    for scale in (None,) if np.dtype(dtype).kind == "f" else (None, 0.25, 0.1):
        expected = from_stored(stored.copy(), scale, missing)
        out = np.empty(stored.shape, np.float32)
        from_stored(stored.copy(), scale, missing, out)
        np.testing.assert_array_equal(out, expected)
        assert np.isnan(out).sum() == (0 if missing is None else 2)
