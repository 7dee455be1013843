"""Pictures of predictions: pieces are joined, perfect predictions are the truth's moments."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse
from depthdata.sequence import open_sequence
from depthdata.synthetic import SyntheticScene, write_sequence
from depthdata.view import moments
from depthzoo.cli import main
from depthzoo.models.card import Needs
from depthzoo.pictures import KINDS, draw_prediction, predicted_moments
from depthzoo.prediction import Prediction

FRAMES = 11


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = SyntheticScene(seed=3, frames=FRAMES, height=48, width=160, objects=4)
    return write_sequence(scene, tmp_path_factory.mktemp("predicted") / "street.h5", tracks=0)


class Oracle:
    """Says the truth of the frames it is given, as a model of motion would."""

    needs = Needs()
    card = SimpleNamespace(
        name="oracle", gives=("depth", "pose", "flow", "motion_mask"), invariance="scale"
    )

    def __init__(self, path: Path, factor: float = 0.5) -> None:
        self.path, self.factor, self.asked = path, factor, []

    def predict(self, sample):
        with open_sequence(self.path) as sequence:
            start = sample["index"]["frame"]
            frames = range(start, start + len(sample["rgb"]))
            self.asked.append(list(frames))
            cam = sequence.cameras["left"]
            for image, t in zip(sample["rgb"], frames, strict=True):
                np.testing.assert_array_equal(image.transpose(1, 2, 0), cam.rgb[t])
            depth = np.stack([cam.depth[t] for t in frames]) * self.factor
            poses = np.stack([cam.pose(t) for t in frames])
            pose = se3_inverse(poses[0]) @ poses
            pose[:, :3, 3] *= self.factor
            flow = np.full((len(frames), 2, 48, 160), np.nan)
            mask = np.full((len(frames), 48, 160), np.nan)
            for i, t in enumerate(frames):
                if 0 < i < len(frames) - 1:
                    flow[i], mask[i] = cam.flow_forward[t], cam["masks/moving"][t]
        return Prediction(
            depth=depth, pose=pose, flow=flow, motion_mask=mask, invariance=self.card.invariance
        )


def test_pieces_are_joined_to_one_path(path):
    oracle = Oracle(path)
    with open_sequence(path) as sequence:
        found = list(predicted_moments(oracle, sequence))
        truth = list(moments(sequence, "left"))
    assert [one.frame for one in found] == list(range(FRAMES))
    assert oracle.asked == [list(range(8)), [6, 7, 8, 9, 10]]
    first = se3_inverse(truth[0].pose)
    for ours, theirs in zip(found, truth, strict=True):
        expected = first @ theirs.pose
        expected[:3, 3] *= 0.5
        np.testing.assert_allclose(ours.pose, expected, atol=1e-9)
        np.testing.assert_allclose(ours.depth, theirs.depth * 0.5, rtol=1e-6)
        np.testing.assert_array_equal(ours.image, theirs.image)
    for ours, theirs in list(zip(found, truth, strict=True))[1:-1]:  # flow is known in between
        np.testing.assert_allclose(ours.flow, theirs.flow)
        np.testing.assert_array_equal(ours.moving, theirs.moving)
    assert np.isnan(found[0].flow).all() and np.isnan(found[-1].moving).all()


def test_a_stereo_model_has_the_poses_of_the_data(path):
    from depthzoo.models import load

    with open_sequence(path) as sequence:
        found = list(predicted_moments(load("sgbm"), sequence, limit=3))
        truth = list(moments(sequence, "left", [0, 1, 2]))
    assert [one.frame for one in found] == [0, 1, 2]
    for ours, theirs in zip(found, truth, strict=True):
        np.testing.assert_array_equal(ours.pose, theirs.pose)
        both = np.isfinite(ours.depth) & np.isfinite(theirs.depth)
        assert np.median(np.abs(ours.depth[both] / theirs.depth[both] - 1)) < 0.1
        assert ours.flow is None and ours.moving is None


def test_depth_up_to_scale_has_no_poses_of_the_data(path):
    class Plain(Oracle):
        card = SimpleNamespace(name="plain", gives=("depth",), invariance="scale")

        def predict(self, sample):
            return Prediction(depth=np.ones((1, 48, 160)), invariance="scale")

    with open_sequence(path) as sequence:
        (found,) = predicted_moments(Plain(path), sequence, limit=1)
    assert found.pose is None and (found.depth == 1).all()


def test_objects_that_a_model_follows_have_places(path):
    class Follows(Oracle):
        def predict(self, sample):
            said = super().predict(sample)
            places = np.repeat(np.eye(4)[None], len(said), 0)
            places[:, :3, 3] = [1.0, 0.0, 8.0]
            lost = np.full_like(places, np.nan)
            return Prediction(depth=said.depth, pose=said.pose, invariance="scale",
                              object_poses={5: places, 6: lost})  # fmt: skip

    with open_sequence(path) as sequence:
        found = list(predicted_moments(Follows(path), sequence))
    assert found[0].solids.id.tolist() == [5]
    np.testing.assert_allclose(found[0].solids.T_world_box[0, :3, 3], [1, 0, 8])
    assert not np.allclose(found[-1].solids.T_world_box[0, :3, 3], [1, 0, 8])  # of its piece


def frames_of(path: Path) -> int:
    video, count = cv2.VideoCapture(str(path)), 0
    while video.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "recording"])
def test_videos_decode(path, tmp_path, kind):
    done = []
    with open_sequence(path) as sequence:
        out = draw_prediction(
            Oracle(path), sequence, tmp_path / "clip.mp4", kind=kind, progress=done.append
        )
    assert frames_of(out) == FRAMES and done == list(range(1, FRAMES + 1))


def test_a_recording_is_readable(path, tmp_path):
    pytest.importorskip("rerun", reason="extra view")
    chunks = pytest.importorskip("rerun.chunk", reason="reads recordings")
    with open_sequence(path) as sequence:
        out = draw_prediction(Oracle(path), sequence, tmp_path / "o.rrd", kind="recording")
    entities = {c.entity_path for c in chunks.RrdReader(str(out)).stream().to_chunks()}
    assert {"/world/path", "/world/camera/depth", "/world/camera/moving", "/world/moving/points",
            "/world/moving/displacements"} <= entities  # fmt: skip


def test_from_the_shell(path, tmp_path):
    run = CliRunner().invoke
    result = run(main, ["view", "sgbm", str(path), "-o", str(tmp_path / "out"), "--limit", "2"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out" / "street.mp4")
    assert frames_of(tmp_path / "out" / "street.mp4") == 2
    odd = ["view", "sgbm", str(path), "-o", str(tmp_path / "out"), "--odometry", "--limit", "2"]
    assert run(main, odd).exit_code == 0
    assert frames_of(tmp_path / "out" / "street.odometry.mp4") == 2


def test_what_cannot_be_drawn_is_said(path, tmp_path):
    with open_sequence(path) as sequence:
        with pytest.raises(UsageError, match="kind is one of video, points"):
            draw_prediction(Oracle(path), sequence, tmp_path / "x.gif", kind="gif")
        far = SimpleNamespace(needs=Needs(offsets=(-20, 0)), card=Oracle.card)
        with pytest.raises(UsageError, match="no frame has all images"):
            list(predicted_moments(far, sequence))
