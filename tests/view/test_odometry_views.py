"""Unified visual odometry: what is shown is what the sequence says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from depthdata.cli import main
from depthdata.errors import UsageError
from depthdata.geometry import transform
from depthdata.sequence import open_sequence
from depthdata.synthetic import SyntheticScene, write_sequence
from depthdata.view import moments, odometry_video, points_video
from depthdata.view.moments import Moment, Solids, cloud, displacements, with_next
from depthdata.view.odometry import MOVING_RGB, PATH_RGB, odometry_images
from depthdata.view.video import write_video

FRAMES = 4


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = SyntheticScene(seed=3, frames=FRAMES, height=60, width=200, objects=4)
    return write_sequence(scene, tmp_path_factory.mktemp("odometry") / "street.h5", tracks=0)


@pytest.fixture(scope="module")
def found(path: Path) -> list[Moment]:
    with open_sequence(path) as sequence:
        return list(moments(sequence, "left"))


def read_video(path: Path) -> list[np.ndarray]:
    video, images = cv2.VideoCapture(str(path)), []
    while True:
        good, image = video.read()
        if not good:
            return images
        images.append(image[..., ::-1])


def test_moments_are_the_sequence(path, found):
    assert [one.frame for one in found] == list(range(FRAMES))
    assert [one.seconds for one in found] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    with open_sequence(path) as sequence:
        cam = sequence.cameras["left"]
        for one in found:
            np.testing.assert_array_equal(one.image, cam.rgb[one.frame])
            np.testing.assert_array_equal(one.depth, cam.depth[one.frame])
            np.testing.assert_array_equal(one.pose, cam.pose(one.frame))
            np.testing.assert_array_equal(one.moving == 1, cam["masks/moving"][one.frame] == 1)
    assert found[0].flow is not None and found[-1].flow is None
    assert found[0].solids is not None and len(found[0].solids.id)


def test_points_of_two_frames_are_the_same_world(found):
    """What stands still has one place: the clouds of two frames overlap."""
    first, second = cloud(found[0], 10**6), cloud(found[1], 10**6)
    near = first.points[~first.moving][::50]
    gaps = np.linalg.norm(near[:, None] - second.points[None, ::1], axis=-1).min(1)
    assert np.median(gaps / first.widths[~first.moving][::50]) < 1.0
    assert len(first.points) == np.isfinite(found[0].depth).sum()
    assert len(cloud(found[0], 500).points) <= 700
    far = cloud(found[0], 10**6, farthest=10.0)
    assert np.isclose(far.points, far.points).all() and len(far.points) < len(first.points)


def test_displacements_are_the_motion_of_the_bodies(found):
    """A moving pixel's arrow is its box's own motion."""
    now, after = found[0], found[1]
    starts, ends = displacements(now, after, most=400)
    assert len(starts) > 20
    checked = 0
    for i, number in enumerate(now.solids.id.tolist()):
        if number not in after.solids.id.tolist():
            continue
        j = after.solids.id.tolist().index(number)
        local = transform(np.linalg.inv(now.solids.T_world_box[i]), starts)
        inside = (np.abs(local) < now.solids.size[i] / 2 * 0.98).all(-1)
        expected = transform(after.solids.T_world_box[j], local[inside])
        checked += inside.sum()
        if inside.any():
            error = np.linalg.norm(ends[inside] - expected, axis=-1)
            assert np.median(error) < 0.08, number
    assert checked > 10
    nothing = dataclasses.replace(now, flow=None)
    assert len(displacements(nothing, after)[0]) == 0


def test_frames_after_a_gap_are_not_neighbours(found):
    pairs = list(with_next([found[0], found[1], found[3]]))
    assert [(a.frame, b and b.frame) for a, b in pairs] == [(0, 1), (1, None), (3, None)]


def test_edges_are_as_long_as_the_box():
    solids = Solids(np.array([4]), np.eye(4)[None], np.array([[1.0, 2.0, 3.0]]))
    starts, ends = solids.edges()
    lengths = np.linalg.norm(starts - ends, axis=-1)[0]
    assert sorted(lengths.tolist()) == [1.0] * 4 + [2.0] * 4 + [3.0] * 4


def test_the_scene_shows_the_way_and_what_moves(found):
    images = list(odometry_images(iter(found), "street", height=240))
    assert len(images) == FRAMES and len({image.shape for image in images}) == 1

    def count(image, shade):
        return (image == shade).all(-1).sum()

    assert count(images[0], PATH_RGB) == 0  # no way yet
    assert count(images[-1], PATH_RGB) > 20
    still = [dataclasses.replace(one, moving=None, solids=None) for one in found]
    plain = list(odometry_images(still, height=240))[1]
    orange = [dataclasses.replace(one, moving=np.ones((60, 200)), solids=None) for one in found]
    moved = list(odometry_images(orange, height=240))[1]
    redder = (moved[..., 0].astype(int) - moved[..., 2]).mean()
    assert redder > (plain[..., 0].astype(int) - plain[..., 2]).mean() + 20
    assert count(moved, MOVING_RGB) > 0  # arrows


def test_unknown_parts_leave_the_rest(found):
    bare = [Moment(i, str(i), None, one.image, one.intrinsics) for i, one in enumerate(found)]
    assert len(list(odometry_images(bare, height=120))) == FRAMES
    mixed = [dataclasses.replace(found[0], depth=None, pose=None, flow=None), *found[1:]]
    assert len({image.shape for image in odometry_images(mixed, height=120)}) == 1


def test_videos_decode(found, tmp_path):
    for draw in (odometry_video, points_video):
        out = draw(iter(found), tmp_path / "clip.mp4", title="street", height=160, fps=5.0)
        images = read_video(out)
        assert len(images) == FRAMES
        assert images[0].std() > 20
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_video_appears_whole_or_not_at_all(found, tmp_path):
    def broken():
        yield found[0]
        yield found[1]
        raise UsageError("the model stopped")

    with pytest.raises(UsageError, match="the model stopped"):
        odometry_video(broken(), tmp_path / "clip.mp4", height=120)
    with pytest.raises(UsageError, match="no frame"):
        points_video([], tmp_path / "clip.mp4")
    with pytest.raises(UsageError, match="one size; found 40x30 after 20x30"):
        write_video(tmp_path / "c.mp4", [np.zeros((30, w, 3), np.uint8) for w in (20, 40)], 5.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["points", "odometry"])
def test_from_the_shell(path, tmp_path, kind):
    result = CliRunner().invoke(main, ["view", str(path), f"--{kind}", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert len(read_video(tmp_path / f"street.{kind}.mp4")) == FRAMES
