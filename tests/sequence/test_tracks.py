"""Trajectories frame by frame: the same file as all at once, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from depthdata.errors import UsageError
from depthdata.sequence import SequenceWriter, open_sequence, verify

T, N = 4, 7
RNG = np.random.default_rng(0)
XY = RNG.normal(size=(T, N, 2)).astype(np.float32)
VISIBLE = RNG.integers(0, 2, (T, N)).astype(bool)
WORLD = RNG.normal(size=(T, N, 3)).astype(np.float32)


def write(path: Path, fill: Callable[[SequenceWriter], None]) -> Path:
    with SequenceWriter(path, dataset="d", sequence="s") as writer:
        writer.timeline(np.arange(T), list("abcd"))
        camera = writer.camera("left", height=4, width=4, intrinsics=np.eye(3))
        camera.dense("depth", np.ones((T, 4, 4), np.float32))
        fill(writer)
    return path


def one_by_one(writer: SequenceWriter) -> None:
    sink = writer.open_tracks("left", N, xyz_world=True)
    for t in range(T):
        sink.add(XY[t], VISIBLE[t], WORLD[t])


def test_same_bytes_as_all_at_once(tmp_path: Path) -> None:
    a = write(tmp_path / "a.h5", one_by_one)
    b = write(tmp_path / "b.h5", lambda writer: writer.tracks("left", XY, VISIBLE, WORLD))
    assert a.read_bytes() == b.read_bytes()
    assert verify(a).ok
    with open_sequence(a) as sequence:
        tracks = sequence.tracks["left"]
        np.testing.assert_array_equal(tracks.xy, XY)
        np.testing.assert_array_equal(tracks.visible, VISIBLE)
        np.testing.assert_array_equal(tracks.xyz_world, WORLD)


def too_few(writer: SequenceWriter) -> None:
    writer.open_tracks("left", N).add(XY[0], VISIBLE[0])


def too_many(writer: SequenceWriter) -> None:
    sink = writer.open_tracks("left", N)
    for t in range(T + 1):
        sink.add(XY[t % T], VISIBLE[t % T])


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (too_few, "expected 4 frames, found 1"),
        (too_many, "expected 4 frames, got more"),
        (lambda w: w.open_tracks("left", 3).add(XY[0], VISIBLE[0]), r"xy should be \(3, 2\)"),
        (lambda w: w.open_tracks("left", N).add(XY[0], VISIBLE[0], WORLD[0]), "not announced"),
        (
            lambda w: w.open_tracks("left", N, xyz_world=True).add(XY[0], VISIBLE[0]),
            "xyz_world is missing",
        ),
        (lambda w: w.open_tracks("right", N), "expected a camera of this file"),
        (lambda w: w.tracks("left", XY[:2], VISIBLE[:2]), "expected 4 frames"),
        (lambda w: w.tracks("left", XY, VISIBLE, WORLD[:, :3]), "xyz_world should be"),
    ],
)
def test_wrong_tracks_leave_nothing(
    tmp_path: Path, fill: Callable[[SequenceWriter], None], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write(tmp_path / "x.h5", fill)
    assert list(tmp_path.iterdir()) == []
