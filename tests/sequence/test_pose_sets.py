"""Several trajectories in one file: written, read, compared, in another file's poses."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from depthdata.comparison.sequences import differences
from depthdata.errors import UsageError
from depthdata.geometry import rigid_transform, rotation_from_euler, se3_inverse
from depthdata.sequence import PoseSet, SequenceWriter, open_sequence, verify

RIG = rigid_transform(rotation_from_euler(0.1, -0.2, 0.3), [0.5, 0.0, 0.1])
OTHER = rigid_transform(rotation_from_euler(0.0, 0.1, 0.0), [-0.5, 0.0, 0.1])


def _poses(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rigid_transform(rotation_from_euler(*rng.random(3)), rng.random(3))] * 3)


def _write(path: Path, **sets: np.ndarray) -> Path:
    with SequenceWriter(path, dataset="mine", sequence="clip") as writer:
        writer.timeline(np.arange(3), ["a", "b", "c"])
        for name, poses in sets.items():
            writer.pose_set(name, poses, reference="left", T_rig_ref=RIG, provenance="made up")
        writer.camera("left", height=2, width=3, intrinsics=np.eye(3), T_rig_cam=RIG)
        writer.camera("right", height=2, width=3, intrinsics=np.eye(3), T_rig_cam=OTHER)
    return path


def test_they_come_back(tmp_path: Path):
    path = _write(tmp_path / "clip.h5", truth=_poses(0), left=_poses(1))
    assert verify(path).ok
    for sequence in (open_sequence(path), pickle.loads(pickle.dumps(open_sequence(path)))):
        assert list(sequence.pose_sets) == ["truth", "left"]
        assert list(sequence.cameras) == ["left", "right"]
        found = sequence.pose_sets["truth"]
        assert (found.name, found.reference, found.provenance) == ("truth", "left", "made up")
        np.testing.assert_array_equal(found.T_world_ref, _poses(0))
        np.testing.assert_array_equal(found.of(sequence.cameras["left"].T_rig_cam), _poses(0))
        expected = _poses(0) @ se3_inverse(RIG) @ OTHER
        right = found.of(sequence.cameras["right"].T_rig_cam)
        np.testing.assert_allclose(right, expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found.of(OTHER, [2, 0]), right[[2, 0]])


def test_unknown_poses_stay_unknown():
    poses = _poses(0)
    poses[1] = np.nan
    found = PoseSet("a", "rig", poses, np.eye(4)).of(OTHER)
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()


def test_a_file_may_have_none(tmp_path: Path):
    assert dict(open_sequence(_write(tmp_path / "clip.h5")).pose_sets) == {}


def test_compare_sees_them(tmp_path: Path):
    a = _write(tmp_path / "a.h5", truth=_poses(0))
    assert not list(differences(a, _write(tmp_path / "b.h5", truth=_poses(0))))
    other, lacking = _write(tmp_path / "c.h5", truth=_poses(1)), _write(tmp_path / "d.h5")
    assert [d.where for d in differences(a, other)] == ["pose set truth T_world_ref"]
    assert [d.where for d in differences(a, lacking)] == ["pose set truth"]


def test_wrong_calls(tmp_path: Path):
    with SequenceWriter(tmp_path / "clip.h5", dataset="mine", sequence="clip") as writer:
        with pytest.raises(UsageError, match="after timeline"):
            writer.pose_set("a", _poses(0), reference="left")
        writer.timeline(np.arange(3), ["a", "b", "c"])
        with pytest.raises(UsageError, match=r"expected \(3, 4, 4\), found \(2, 4, 4\)"):
            writer.pose_set("a", _poses(0)[:2], reference="left")
        with pytest.raises(UsageError, match="lower-case"):
            writer.pose_set("Ground Truth", _poses(0), reference="left")
        writer.pose_set("a", _poses(0), reference="left")
        with pytest.raises(UsageError, match="expected once"):
            writer.pose_set("a", _poses(0), reference="left")
        writer.camera("left", height=2, width=3, intrinsics=np.eye(3))
