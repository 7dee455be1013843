"""Trajectories: tensors come out, code does not run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthdata.codecs.trajectories import Trajectories, encode_trajectories, read_trajectories
from depthdata.errors import FormatError, MissingDependencyError, UsageError

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
POINTS = Trajectories(
    RNG.normal(size=(5, 2)).astype(np.float32),
    np.array([True, False, True, True, False]),
    RNG.normal(size=(5, 3)).astype(np.float32),
)


def _same(a: Trajectories, b: Trajectories) -> None:
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.visible, b.visible)
    np.testing.assert_array_equal(a.xyz_world, b.xyz_world)
    assert a.visible.dtype == bool and a.xy.dtype == np.float32


def test_they_come_back(tmp_path: Path):
    path = tmp_path / "000003.pth"
    path.write_bytes(encode_trajectories(POINTS))
    _same(read_trajectories(path), POINTS)
    flat = Trajectories(POINTS.xy, POINTS.visible)
    path.write_bytes(encode_trajectories(flat))
    assert read_trajectories(path).xyz_world is None


def test_what_the_source_has_besides_is_left_alone(tmp_path: Path):
    path = tmp_path / "a.pth"
    content = {
        "traj_2d": torch.from_numpy(np.column_stack([POINTS.xy, RNG.normal(size=5)])).float(),
        "traj_3d_world": torch.from_numpy(POINTS.xyz_world),
        "verts_inds_vis": torch.from_numpy(POINTS.visible),
        "img": torch.zeros(4, 6, 3),
        "instances": torch.arange(5),
    }
    torch.save(content, path)
    _same(read_trajectories(path), POINTS)


class Command:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("old_format", [False, True])
def test_nothing_is_run(tmp_path: Path, old_format: bool):
    mark, path = tmp_path / "was_run", tmp_path / "evil.pth"
    content = {"traj_2d": torch.zeros(1, 3), "img": Command(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    expected = "no file of PyTorch 1.6" if old_format else "holds more than tensors.*posix.system"
    with pytest.raises(FormatError, match=rf"evil\.pth.*{expected}"):
        read_trajectories(path)
    assert not mark.exists()


WRONG = {
    "a tensor": torch.zeros(3),
    "nothing": {},
    "no visibility": {"traj_2d": torch.zeros(2, 3)},
    "another length": {"traj_2d": torch.zeros(2, 3), "verts_inds_vis": torch.ones(3).bool()},
    "another shape": {"traj_2d": torch.zeros(2), "verts_inds_vis": torch.ones(2).bool()},
    "whole numbers": {"traj_2d": torch.zeros(2, 3).int(), "verts_inds_vis": torch.ones(2).bool()},
    "float truth": {"traj_2d": torch.zeros(2, 3), "verts_inds_vis": torch.ones(2)},
    "world": {
        "traj_2d": torch.zeros(2, 3),
        "verts_inds_vis": torch.ones(2).bool(),
        "traj_3d_world": torch.zeros(2, 2),
    },
    "a list": {"traj_2d": [1.0, 2.0], "verts_inds_vis": torch.ones(2).bool()},
    "repeated without end": {
        "traj_2d": torch.zeros(1).expand(10**9, 3),
        "verts_inds_vis": torch.ones(1).bool().expand(10**9),
    },
}


@pytest.mark.parametrize("what", WRONG)
def test_other_content(tmp_path: Path, what: str):
    path = tmp_path / "a.pth"
    torch.save(WRONG[what], path)
    with pytest.raises(FormatError, match=r"a\.pth: expected") as caught:
        read_trajectories(path)
    assert "\n" not in str(caught.value)


BLOB = encode_trajectories(POINTS)


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_changed_bytes(tmp_path_factory, place: int, flip: int):
    data = bytearray(BLOB)
    data[place] ^= flip
    path = tmp_path_factory.mktemp("changed") / "a.pth"
    path.write_bytes(bytes(data))
    try:
        found = read_trajectories(path)
    except FormatError as error:
        assert "\n" not in str(error)
    else:  # padding, or fields of the archive that say nothing
        _same(found, POINTS)


@given(st.integers(0, len(BLOB) - 1), st.binary(max_size=50))
@settings(max_examples=30, deadline=None)
def test_cut_and_random(tmp_path_factory, size: int, data: bytes):
    path = tmp_path_factory.mktemp("cut") / "a.pth"
    for blob in (BLOB[:size], data):
        path.write_bytes(blob)
        with pytest.raises(FormatError):
            read_trajectories(path)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"depthdata\[zoo\]"):
        read_trajectories(tmp_path / "a.pth")
    with pytest.raises(MissingDependencyError):
        encode_trajectories(POINTS)


def test_usage():
    with pytest.raises(UsageError, match=r"xy \(5, 2\)"):
        encode_trajectories(Trajectories(POINTS.xy[:3], POINTS.visible))
    with pytest.raises(FormatError, match="cannot be read"):
        read_trajectories("nowhere.pth")
