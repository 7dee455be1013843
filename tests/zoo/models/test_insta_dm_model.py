"""Insta-DM as a model: files of its authors, depth of any size, poses, objects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases
from zoo.seeding import created

import depthzoo
from depthdata import SequenceDataset
from depthdata.errors import FormatError, UsageError
from depthdata.loading import Window
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.models import model_card
from depthzoo.models.gaussian_resize import gaussian_resize

SMALL = (64, 96)
NAME = "insta_dm/kitti"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Weights as the authors save them: a file a network, {epoch, state_dict}."""
    folder = tmp_path_factory.mktemp("insta_dm") / "KITTI"
    folder.mkdir()
    state = created("insta_dm").state_dict()
    for file in model_card(NAME).weights:
        part = {k[len(file.prefix) :]: v for k, v in state.items() if k.startswith(file.prefix)}
        torch.save({"epoch": 3, "state_dict": part}, folder / file.file)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path_factory.getbasetemp() / "insta_cache"))


def load(weights, **options):
    return depthzoo.load(NAME, weights=weights, **{"size": SMALL, **options})


def video(frames: int = 3, height: int = 70, width: int = 131) -> dict:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (frames, 3, 1 + height // 8, 1 + width // 8), dtype=np.uint8)
    rgb = coarse.repeat(8, 2).repeat(8, 3)[:, :, :height, :width]
    labels = np.zeros((frames, height, width), np.uint16)
    for t in range(frames):
        labels[t, 20:50, 20 + 4 * t : 60 + 4 * t] = 7
        if t != 1:
            labels[t, 10:20, 90:110] = 1000
    matrix = np.array([[80.0, 0, 60], [0, 90, 30], [0, 0, 1]])
    intrinsics = np.tile(matrix, (frames, 1, 1)).astype(np.float32)
    return {"rgb": rgb, "instances": labels, "intrinsics": intrinsics}


def test_depth_is_one_over_the_disparity_of_the_resized_frame(published):
    model = load(published)
    assert isinstance(model, depthzoo.Model) and len(model.weights_sha256) == 64
    frame = video(1)["rgb"]
    image = gaussian_resize(torch.from_numpy(frame).float(), SMALL) / 127.5 - 1
    with torch.inference_mode():
        depth = 1 / model.network.disp(image)
    want = torch.nn.functional.interpolate(depth, (70, 131), mode="bilinear")[:, 0].numpy()
    prediction = model.predict({"rgb": frame})
    assert prediction.given == ("depth",) and prediction.invariance == "scale"
    np.testing.assert_allclose(prediction.depth, want, rtol=1e-4)


@pytest.mark.golden
@pytest.mark.parametrize("folder", golden_cases("readers", "insta_dm_transforms*"))
def test_golden_readers_resize(folder):
    with np.load(folder / "case.npz") as case:
        for name in (n for n in case.files if n.startswith("skimage") and "resize" in n):
            image = torch.from_numpy(case["png"]).float().permute(2, 0, 1)
            got = gaussian_resize(image, case[name].shape[:2]).permute(1, 2, 0).numpy()
            np.testing.assert_allclose(got, case[name], atol=0.005, rtol=0)


@pytest.mark.parametrize("size", [(31, 50), (64, 96), (200, 96), (5, 7)])
def test_resizing_by_its_definition(size):
    ndimage = pytest.importorskip("scipy.ndimage")
    image = np.random.default_rng(0).random((61, 143))
    ratio = np.array(image.shape) / size
    blurred = ndimage.gaussian_filter(image, np.maximum(0, (ratio - 1) / 2), mode="mirror")
    want = ndimage.zoom(blurred, 1 / ratio, order=1, mode="mirror", grid_mode=True)
    got = gaussian_resize(torch.from_numpy(image), size).numpy()
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_frames_of_any_number(published, frames):
    prediction = load(published).predict(video(frames))
    assert prediction.depth.shape == (frames, 70, 131)
    assert (prediction.depth > 0).all() and np.isfinite(prediction.depth).all()
    if frames == 1:
        assert prediction.pose is None and prediction.object_poses is None
    else:
        assert prediction.pose.shape == (frames, 4, 4)
        np.testing.assert_array_equal(prediction.pose[0], np.eye(4))
    json.dumps(prediction.meta)


def test_poses_are_a_chain_of_steps_from_each_frame_to_the_one_before(published):
    model = load(published)
    sample = video(3)
    sample.pop("instances")
    pose = model.predict(sample).pose
    two = model.predict({k: v[1:] for k, v in sample.items()}).pose
    np.testing.assert_allclose(np.linalg.inv(pose[1]) @ pose[2], two[1], atol=1e-7)


def test_objects_are_blacked_out_for_the_camera_and_placed_in_its_world(published):
    model = load(published)
    sample = video(3)
    prediction = model.predict(sample)
    places = prediction.object_poses
    assert set(places) == {7, 1000}
    assert np.isfinite(places[7]).all()
    assert np.isnan(places[1000][1]).all() and np.isfinite(places[1000][[0, 2]]).all()
    np.testing.assert_array_equal(places[7][:, :3, :3], np.tile(np.eye(3), (3, 1, 1)))
    motion = prediction.meta["object_motion"]
    assert [step is None for step in motion[7]] == [False, False, True]
    assert 1000 not in motion  # never in two frames that follow each other
    changed = {k: v.copy() for k, v in sample.items()}
    changed["rgb"][:, :, 30:40, 32:50] //= 2  # well within the object in every frame
    np.testing.assert_allclose(model.predict(changed).pose, prediction.pose, atol=1e-6)
    bare = {k: v for k, v in sample.items() if k != "instances"}
    assert not np.allclose(model.predict(bare).pose, prediction.pose, atol=1e-6)
    assert model.predict(bare).object_poses is None


def test_no_object_is_no_failure(published):
    sample = video(2)
    sample["instances"][:] = 0
    prediction = load(published).predict(sample)
    assert prediction.object_poses == {} and prediction.meta["object_motion"] == {}


def test_outputs_decide_what_is_needed_and_loaded(published):
    everything = load(published)
    assert everything.needs.offsets == (0,)
    objects = load(published, outputs=("object_poses",))
    assert objects.needs.offsets == (0, 1) and objects.needs.intrinsics
    with pytest.raises(UsageError, match="object_poses need 'intrinsics'"):
        objects.predict({"rgb": video(2)["rgb"]})
    depth = load(published / "resnet18_disp_kt.tar", outputs=("depth",))
    assert depth.predict(video(2)).given == ("depth",)
    np.testing.assert_array_equal(depth.predict(video()).depth, everything.predict(video()).depth)


def test_the_learnt_height_may_be_missing(published, tmp_path):
    content = torch.load(published / "resnet18_disp_kt.tar", weights_only=True)
    del content["state_dict"]["obj_height_prior"]
    torch.save(content, tmp_path / "old.tar")
    load(tmp_path / "old.tar", outputs=("depth",))
    del content["state_dict"]["encoder.encoder.conv1.weight"]
    torch.save(content, tmp_path / "short.tar")
    with pytest.raises(FormatError, match=r"1 missing \(encoder\.encoder\.conv1\.weight\)"):
        load(tmp_path / "short.tar", outputs=("depth",))


def test_files_of_another_network_are_refused(published):
    with pytest.raises(FormatError, match="does not fit DispResNet") as caught:
        load(published / "resnet18_ego_kt.tar", outputs=("depth",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": (250, 832)}, "multiples of 32 from 64 on"),
        ({"max_objects": -1}, "max_objects is at least 0"),
        ({"outputs": ("flow",)}, "outputs are some of depth, pose, object_poses"),
        ({"colour": 1}, "no option colour"),
    ],
)
def test_wrong_options_are_refused_in_one_line(published, options, said):
    with pytest.raises(UsageError, match=said) as caught:
        load(published, **options)
    assert "\n" not in str(caught.value)


def test_masks_of_another_size_are_refused(published):
    sample = video(2)
    sample["instances"] = sample["instances"][:, :-1]
    with pytest.raises(UsageError, match="'instances' of shape"):
        load(published).predict(sample)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"channels_last": False}])
def test_other_arithmetic_stays_near(published, options):
    full = load(published).predict(video(2))
    other = load(published, **options).predict(video(2))
    np.testing.assert_allclose(other.depth, full.depth, rtol=0.1)


def test_a_sample_of_the_loader(published, tmp_path):
    scene = SyntheticScene(seed=0, frames=3, height=70, width=120)
    write_sequence(scene, tmp_path / "scene.h5")
    dataset = SequenceDataset(
        tmp_path / "scene.h5", window=Window(offsets=(0, 1)), streams=("rgb", "instances")
    )
    prediction = load(published, outputs=("object_poses",)).predict(dataset[0])
    assert prediction.depth.shape == (2, 70, 120)
    assert prediction.object_poses
