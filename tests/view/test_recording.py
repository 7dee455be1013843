"""Recordings for rerun: readable, and what is in them is what the sequence says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from depthdata.cli import main
from depthdata.errors import MissingDependencyError, UsageError
from depthdata.sequence import open_sequence
from depthdata.synthetic import SyntheticScene, write_sequence
from depthdata.view import moments, odometry_recording, recording

FRAMES = 3


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = SyntheticScene(seed=3, frames=FRAMES, height=48, width=160, objects=4)
    return write_sequence(scene, tmp_path_factory.mktemp("recording") / "street.h5", tracks=6)


def columns(file: Path) -> dict[str, dict[str, list]]:
    """Entity -> component -> its values in the order of the file."""
    chunks = pytest.importorskip("rerun.chunk", reason="reads recordings")
    found: dict[str, dict[str, list]] = {}
    for chunk in chunks.RrdReader(str(file)).stream().to_chunks():
        batch = chunk.to_record_batch()
        for name in batch.schema.names:
            if ":" not in name:  # times
                continue
            values = batch.column(name).to_pylist()
            found.setdefault(chunk.entity_path, {}).setdefault(name, []).extend(values)
    return found


@pytest.fixture(scope="module")
def whole(path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list]]:
    pytest.importorskip("rerun", reason="extra view")
    return columns(recording(path, tmp_path_factory.mktemp("rrd") / "street.rrd"))


def test_every_stream_is_there(whole):
    for name in ("left", "left/rgb", "left/depth", "left/masks/moving", "left/flow_forward",
                 "left/tracks", "right/rgb", "objects", "paths/left"):  # fmt: skip
        assert f"/world/{name}" in whole, name


def test_images_are_the_storedbytes(whole, path):
    blobs = whole["/world/left/rgb"]["EncodedImage:blob"]
    with open_sequence(path) as sequence:
        stored = [sequence.cameras["left"].rgb.blob(t) for t in range(FRAMES)]
    assert [bytes(blob[0]) for blob in blobs] == stored


def test_poses_and_lenses_are_the_cameras(whole, path):
    camera = whole["/world/left"]
    with open_sequence(path) as sequence:
        cam = sequence.cameras["left"]
        poses = np.stack([cam.pose(t) for t in range(FRAMES)])
        K = cam.intrinsics(0)
    moved = [value[0] for value in camera["Transform3D:translation"] if value]
    np.testing.assert_allclose(moved, poses[:, :3, 3], atol=1e-4)
    turned = [np.reshape(value[0], (3, 3)).T for value in camera["Transform3D:mat3x3"] if value]
    np.testing.assert_allclose(turned, poses[:, :3, :3], atol=1e-6)
    (lens,) = [value[0] for value in camera["Pinhole:image_from_camera"] if value]
    shown = np.reshape(lens, (3, 3)).T
    np.testing.assert_allclose(shown[:2, 2], K[:2, 2] + 0.5, atol=1e-4)  # pixel corners
    assert shown[0, 0] == pytest.approx(K[0, 0])


def test_odometry_has_the_way_and_what_moves(path, tmp_path):
    pytest.importorskip("rerun", reason="extra view")
    with open_sequence(path) as sequence:
        found = list(moments(sequence, "left"))
    file = odometry_recording(iter(found), tmp_path / "street.rrd", title="street")
    assert [p.name for p in tmp_path.iterdir()] == ["street.rrd"]
    entities = columns(file)
    ways = [value for value in entities["/world/path"]["LineStrips3D:strips"] if value]
    np.testing.assert_allclose(ways[-1][0], [one.pose[:3, 3] for one in found], atol=1e-4)
    depths = [value[0] for value in entities["/world/camera/depth"]["DepthImage:buffer"]]
    first = np.frombuffer(bytes(depths[0]), np.float32).reshape(48, 160)
    np.testing.assert_array_equal(first, found[0].depth)
    masks = [v[0] for v in entities["/world/camera/moving"]["SegmentationImage:buffer"]]
    np.testing.assert_array_equal(
        np.frombuffer(bytes(masks[1]), np.uint8).reshape(48, 160), found[1].moving > 0.5
    )
    assert "/world/moving/points" in entities and "/world/moving/displacements" in entities
    sizes = [v for v in entities["/world/objects"]["Boxes3D:half_sizes"] if v]
    np.testing.assert_allclose(sizes[0], found[0].solids.size / 2, atol=1e-5)


def test_frames_can_be_chosen(path, tmp_path):
    pytest.importorskip("rerun", reason="extra view")
    file = recording(path, tmp_path / "one.rrd", frames=[1])
    assert len(columns(file)["/world/left/rgb"]["EncodedImage:blob"]) == 1
    with pytest.raises(UsageError, match="expected frames from 0 to 2, found 7"):
        recording(path, tmp_path / "none.rrd", frames=[7])
    assert not (tmp_path / "none.rrd").exists()


def test_without_rerun_one_line_says_what_to_do(path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'depthdata\[view\]'"):
        recording(path, tmp_path / "street.rrd")
    result = CliRunner().invoke(main, ["view", str(path), "--recording", "-o", str(tmp_path)])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
