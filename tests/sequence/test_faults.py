"""Whatever happens to a file afterwards: readers never return something else in silence."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depthdata.errors import FormatError
from depthdata.sequence import open_sequence, verify
from depthdata.sequence.index import read_index
from depthdata.sequence.storage import LocalFile


def everything(path: Path) -> list[Any]:
    """Return all that a reader gives."""
    sequence = open_sequence(path)
    found: list[Any] = [sequence.attrs, sequence.digest]
    found += [sequence.licence, sequence.timestamps, sequence.frame_ids, sequence.stereo_pairs]
    for camera in sequence.cameras.values():
        found += [camera.poses, camera.intrinsics(0), camera.T_rig_cam, camera.transform]
        for name in camera.streams:
            stream = camera[name]
            found += [stream.attrs, stream.frames]
            for t in stream.frames.tolist():
                if stream.kind == "points":
                    found += stream.points(t).columns().values()
                else:
                    found.append(stream.blob(t) if stream.kind == "encoded" else stream.raw(t))
    for tracks in sequence.tracks.values():
        found += vars(tracks).values()
    found += vars(sequence.objects).values()
    return found


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f") if isinstance(x, np.ndarray) else x == y
        for x, y in zip(a, b, strict=True)
    )


@pytest.fixture(scope="module")
def victim(tmp_path_factory: Any, clip_writer: Any) -> tuple[Path, bytes, list[Any]]:
    path = tmp_path_factory.mktemp("victim") / "clip.h5"
    clip_writer(path)
    return path, path.read_bytes(), everything(path)


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_flipped_bit_is_found(victim: Any, data: Any) -> None:
    path, whole, truth = victim
    position = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    _flip_and_check(path, whole, truth, position, bit)


def test_flips_in_every_region_are_found(victim: Any) -> None:
    """The header, the index, each dataset, HDF5's own headers, unused space."""
    path, whole, truth = victim
    header, index = read_index(LocalFile(str(path)))
    dice = random.Random(11)
    regions = [(0, 8), (8, 64), (64, 512), (512, 4096), (4096, 4144)]
    regions += [(header.index_offset, header.index_offset + header.index_size)]
    regions += [(offset, offset + size) for offset, size in index.payload()]
    signatures = (b"OHDR", b"OCHK", b"FSHD", b"FADB", b"FAHD", b"clip", b"CC0-1.0", b"toy 1")
    for signature in signatures:
        at = whole.find(signature, 4096)
        if at >= 0:
            regions.append((at, at + 40))
    for start, stop in regions:
        for _ in range(3):
            _flip_and_check(path, whole, truth, dice.randrange(start, stop), dice.randrange(8))


def _flip_and_check(path: Path, whole: bytes, truth: list[Any], position: int, bit: int) -> None:
    damaged = bytes([whole[position] ^ 1 << bit])
    with path.open("r+b") as file:
        file.seek(position)
        file.write(damaged)
    try:
        report = verify(path)
        assert not report.ok, f"bit {bit} of byte {position} is not found"
        try:
            read = everything(path)
        except FormatError:
            return
        assert same(read, truth), f"bit {bit} of byte {position} changes what is read"
    finally:
        with path.open("r+b") as file:
            file.seek(position)
            file.write(whole[position : position + 1])


def test_any_truncation_is_refused(victim: Any, tmp_path: Path) -> None:
    _, whole, _ = victim
    path = tmp_path / "short.h5"
    dice = random.Random(2)
    lengths = {0, 1, 7, 8, 511, 512, 513, 4096, len(whole) - 1, len(whole) - 4096}
    lengths |= {dice.randrange(len(whole)) for _ in range(60)}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match="truncated"):
            open_sequence(path)
        assert not verify(path).ok


def test_a_file_truncated_after_it_was_opened(clip_path: Path) -> None:
    sequence = open_sequence(clip_path)
    with clip_path.open("r+b") as file:
        file.truncate(9000)
    with pytest.raises(FormatError, match="truncated"):
        for camera in sequence.cameras.values():
            for t in range(4):
                camera.rgb[t]


def test_problems_are_named_by_stream_and_frame(clip_path: Path) -> None:
    sequence = open_sequence(clip_path)
    blob = sequence.cameras["right"].rgb.blob(3)
    x = sequence.cameras["left"].depth.points(0).x.tobytes()
    whole = bytearray(clip_path.read_bytes())
    whole[whole.index(blob) + 5] ^= 4
    whole[whole.index(x) + 100] ^= 4
    clip_path.write_bytes(whole)
    assert verify(clip_path).problems == [
        "left/depth, frame 0: checksum does not match",
        "right/rgb, frame 3: checksum does not match",
    ]


def test_a_chunk_is_named_by_its_frame(clip_path: Path) -> None:
    _, index = read_index(LocalFile(str(clip_path)))
    place = int(index.arrays["cameras/left/masks/moving/data#offset"][1])
    whole = bytearray(clip_path.read_bytes())
    whole[place] ^= 1
    clip_path.write_bytes(whole)
    assert verify(clip_path).problems == ["left/masks/moving, frame 3: checksum does not match"]


def test_edits_through_h5py_are_found_and_named(clip_path: Path) -> None:
    with h5py.File(clip_path, "r+") as file:
        file.attrs["licence"] = np.bytes_("CC0-1.1")
        file["cameras/left/intrinsics"][0, 0] = 31
    report = verify(clip_path)
    assert not report.ok
    text = "\n".join(report.problems)
    assert "checksum does not match" in text or "found" in text
    if "attribute licence" in text:  # the file has still its length
        assert "/cameras/left/intrinsics: differs from the index" in text


def test_verify_counts_what_it_checked(clip: Any) -> None:
    report = verify(clip[0])
    assert report.ok
    assert report.checked["blobs"] == 8
    assert report.checked["chunks"] == 4 + 4 + 3 + 2
    assert report.checked["points frames"] == 12
    assert report.checked["bytes"] == clip[0].stat().st_size
    assert report.checked["attributes"] > 20
