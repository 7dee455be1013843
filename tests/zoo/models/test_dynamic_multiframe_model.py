"""Dynamic-multiframe-depth as a model: files of its authors, crop, neighbours, metric depth."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import torch
from support import golden_cases
from zoo.seeding import created

import depthzoo
from depthdata import SequenceDataset
from depthdata.aspect_crop import AspectCrop
from depthdata.errors import FormatError, UsageError
from depthdata.loading import Window
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.evaluation.predicting import predict_sequences
from depthzoo.models import model_card
from depthzoo.networks.multiframe_cost_volume import relative_pose
from depthzoo.weights import load_checkpoint

NAME = "dynamic_multiframe_depth/resnet18"
SIZE = (48, 96)


def network_of(name: str):
    network = created("dynamic_multiframe_depth", **model_card(name).settings["options"])
    torch.nn.init.constant_(network.fusion_module.gamma, 0.5)
    return network


def checkpoint(state: dict, arch: str = "DyMultiDepthModel") -> dict:
    """What the authors' trainer saves beside the weights."""
    optimizer = {"state": {0: {"step": 5}}, "param_groups": [{"lr": 1e-4, "amsgrad": True}]}
    return {
        "arch": arch,
        "epoch": 80,
        "state_dict": OrderedDict(state),
        "optimizer": optimizer,
        "monitor_best": 0.05,
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("multiframe") / "checkpoint.pth"
    state = {f"module.{k}": v for k, v in network_of(NAME).state_dict().items()}
    torch.save(checkpoint(state, "DataParallel"), path)
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path_factory.getbasetemp() / "multiframe_cache"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.h5"
    write_sequence(SyntheticScene(seed=0, frames=4, height=61, width=170), path)
    return path


def load(weights, **options):
    return depthzoo.load(NAME, weights=weights, **{"size": SIZE, **options})


def video(scene, frames=4):
    return SequenceDataset(scene, window=Window(length=frames))[0]


# ---------------------------------------------------------------- weights


@pytest.mark.golden
@pytest.mark.parametrize("folder", golden_cases("readers", "dymultidepth_checkpoint*"))
def test_golden_readers_checkpoints(folder):
    (allowed,) = {file.allow for name in depthzoo.list_models() if name.startswith("dynamic_multi")
                  for file in model_card(name).weights}  # fmt: skip
    with np.load(folder / "expected.npz") as expected:
        files = sorted(folder.glob("*.pth"))
        assert files
        for file in files:
            found = load_checkpoint(file, allow=allowed, cache=False)
            assert set(found.state) == set(expected.files)
            for key, value in found.state.items():
                np.testing.assert_array_equal(value.numpy(), expected[key])
                assert value.numpy().dtype == expected[key].dtype
            assert found.extra["config"] is None


@pytest.fixture
def parser_class(monkeypatch):
    """The class of the training code whose object lies in a checkpoint."""
    module = ModuleType("utils.parse_config")

    class ConfigParser:
        def __init__(self):
            self.args = argparse.Namespace(config="c.json", options=[])
            self.resume = pathlib.PurePosixPath("saved/models")
            self._config = OrderedDict(arch={"type": "DyMultiDepthModel"})

    ConfigParser.__module__, ConfigParser.__qualname__ = "utils.parse_config", "ConfigParser"
    module.ConfigParser = ConfigParser
    monkeypatch.setitem(__import__("sys").modules, "utils", ModuleType("utils"))
    monkeypatch.setitem(__import__("sys").modules, "utils.parse_config", module)
    return ConfigParser


def test_every_wrapper_of_the_training_is_taken_off(weights, scene, tmp_path, parser_class):
    state = network_of(NAME).state_dict()
    want = load(weights).predict(video(scene, 3)).depth
    kinds = {
        "plain": (checkpoint(state), {}),
        "legacy": (checkpoint(state), {"_use_new_zipfile_serialization": False}),
        "uncounted": (
            checkpoint({k: v for k, v in state.items() if "num_batches" not in k}),
            {},
        ),
        "with_loss": (
            checkpoint(
                {f"module.0.{k}": v for k, v in state.items()} | {"module.1.scale": torch.ones(1)},
                "DataParallel",
            ),
            {},
        ),
    }
    for name, (content, how) in kinds.items():
        content["config"] = parser_class()
        torch.save(content, tmp_path / f"{name}.pth", **how)
        model = load(tmp_path / f"{name}.pth")
        np.testing.assert_array_equal(model.predict(video(scene, 3)).depth, want)


def test_what_a_file_names_never_runs(weights, tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    content = torch.load(weights, weights_only=True)
    torch.save({**content, "config": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(FormatError, match="nothing was run"):
        load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_the_weights_of_the_other_backbone_are_refused_in_one_line(weights):
    with pytest.raises(FormatError, match="does not fit DynamicMultiframeDepth") as caught:
        depthzoo.load("dynamic_multiframe_depth/efficientnet_b5", weights=weights)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- prediction


@pytest.mark.parametrize("name", [n for n in depthzoo.list_models() if "multiframe" in n])
def test_every_frame_with_both_neighbours_has_metric_depth(name, scene, weights, tmp_path):
    if name != NAME:
        weights = tmp_path / "b5.pth"
        torch.save(checkpoint(network_of(name).state_dict()), weights)
    model = depthzoo.load(name, weights=weights, size=SIZE)
    assert isinstance(model, depthzoo.Model) and len(model.weights_sha256) == 64
    assert model.needs.offsets == (-1, 0, 1) and model.needs.poses and model.needs.intrinsics
    prediction = model.predict(video(scene))
    assert prediction.invariance == "metric" and prediction.depth.shape == (4, 61, 170)
    left, top, right, bottom = prediction.meta["crop"]
    found = np.isfinite(prediction.depth)
    assert found[1:3, top:bottom, left:right].all()
    assert found.sum() == 2 * (bottom - top) * (right - left)
    depth = prediction.depth[found]
    assert (depth >= 1 / 0.3301).all() and (depth <= 400.1).all()


def test_prediction_is_what_the_network_says_of_the_crop(weights, scene):
    pil = pytest.importorskip("PIL.Image")
    model, sample = load(weights), video(scene, 3)
    crop = AspectCrop((61, 170), SIZE)
    left, top, right, bottom = crop.box
    pictures = [
        np.asarray(
            pil.fromarray(image[:, top:bottom, left:right].permute(1, 2, 0).numpy()).resize(
                SIZE[::-1], pil.Resampling.BILINEAR
            )
        )
        for image in sample["rgb"]
    ]
    a, k, b = (torch.from_numpy(p / 255.0 - 0.5).float().permute(2, 0, 1)[None] for p in pictures)
    matrix = torch.from_numpy(crop.intrinsics(sample["intrinsics"][0].numpy()))[None]
    pose = sample["T_world_cam"][:, None]
    with torch.inference_mode():
        found = model.network(k, pose[1], matrix, [a, b], [pose[0], pose[2]], [matrix, matrix])
    inverse = torch.nn.functional.interpolate(
        found.multi[0], (bottom - top, right - left), mode="bilinear"
    )
    got = 1 / model.predict(sample).depth[1, top:bottom, left:right]
    # Pillow's filter and PyTorch's differ by one level in few pixels.
    off = np.abs(got - inverse[0, 0].numpy())
    assert np.median(off) < 1e-4 and (off > 5e-3).mean() < 0.03


def test_a_video_is_its_windows_one_by_one(weights, scene):
    model = load(weights)
    sample = video(scene)
    whole = model.predict(sample).depth
    parts = ("rgb", "intrinsics", "T_world_cam")
    window = model.predict({key: sample[key][1:] for key in parts}).depth
    np.testing.assert_array_equal(window[1], whole[2])
    arrays = model.predict({key: sample[key].numpy() for key in parts}).depth
    np.testing.assert_array_equal(arrays, whole)


def test_memory_does_not_change_the_result(weights, scene):
    sample = video(scene, 3)
    one, all_ = (load(weights, hypotheses_at_once=n).predict(sample) for n in (1, 32))
    assert (one.meta["hypotheses_at_once"], all_.meta["hypotheses_at_once"]) == (1, 32)
    off = np.abs(one.depth / all_.depth - 1)
    assert np.nanmedian(off) < 1e-5 and (off[np.isfinite(off)] > 1e-3).mean() < 0.01


def test_other_neighbours_and_other_crops(weights, scene):
    sample = video(scene)
    past = load(weights, offsets=(-1, -2))
    assert past.needs.offsets == (-2, -1, 0)
    assert np.isfinite(past.predict(sample).depth).any((1, 2)).tolist() == [False] * 2 + [True] * 2
    wide = load(weights, size=(48, 128)).predict(sample).depth
    assert np.isfinite(wide[1]).sum() > np.isfinite(load(weights).predict(sample).depth[1]).sum()


def test_the_mono_branch_needs_one_image_alone(weights, scene):
    model = load(weights, branch="mono")
    assert model.needs.offsets == (0,) and not model.needs.poses and not model.needs.intrinsics
    sample = video(scene, 2)
    depth = model.predict({"rgb": sample["rgb"]}).depth
    assert np.isfinite(depth).any((1, 2)).all()
    assert not np.array_equal(depth[0], depth[1])


def test_frames_without_a_pose_are_left_out(weights, scene):
    sample = video(scene)
    model = load(weights)
    whole = model.predict(sample).depth
    sample["T_world_cam"][3] = torch.nan
    depth = model.predict(sample).depth
    np.testing.assert_array_equal(depth[1], whole[1])
    assert np.isfinite(depth[2]).any() and not np.array_equal(depth[2], whole[2])  # one neighbour
    sample["T_world_cam"][1] = torch.nan
    assert np.isnan(model.predict(sample).depth).all()
    sample["T_world_cam"][:] = torch.nan
    with pytest.raises(UsageError, match="'T_world_cam' is unknown in every frame"):
        model.predict(sample)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("T_world_cam"), "no 'T_world_cam'"),
        (lambda s: s.pop("intrinsics"), "no 'intrinsics'"),
        (lambda s: s.update(rgb=s["rgb"][:2]), r"at least 3 frames .* found 2"),
        (lambda s: s.update(T_world_cam=s["T_world_cam"][:2]), "of 4 frames expected; found 2"),
        (lambda s: s.pop("rgb"), "no 'rgb'"),
    ],
)
def test_samples_that_lack_something_are_refused_in_one_line(weights, scene, change, said):
    sample = dict(video(scene))
    change(sample)
    with pytest.raises(UsageError, match=said) as caught:
        load(weights).predict(sample)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": (250, 512)}, "multiples of 16"),
        ({"offsets": (0, 1)}, "offsets are different frames"),
        ({"offsets": ()}, "offsets are different frames"),
        ({"branch": "multi"}, "branch is one of fused, mono"),
        ({"hypotheses_at_once": 0}, "hypotheses_at_once is at least 1"),
        ({"precision": "fp8"}, "precision is one of"),
        ({"colour": 1}, "no option colour"),
    ],
)
def test_wrong_options_are_refused_in_one_line(weights, options, said):
    with pytest.raises(UsageError, match=said) as caught:
        load(weights, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"channels_last": False}])
def test_other_arithmetic_stays_near(weights, scene, options):
    sample = video(scene, 3)
    full, other = load(weights).predict(sample).depth, load(weights, **options).predict(sample)
    off = np.abs(other.depth / full - 1)
    assert np.nanmedian(off) < 0.02
    assert (off[np.isfinite(off)] > 0.2).mean() < 0.02


def test_whole_sequences_are_predicted(weights, scene, tmp_path):
    (done,) = predict_sequences(load(weights), scene, tmp_path / "out")
    assert (done.status, done.frames) == ("predicted", 2)
    with np.load(done.path) as stored:
        assert stored["frames"].tolist() == [1, 2]
        assert stored["depth"].shape == (2, 61, 170)
        assert np.isfinite(stored["depth"]).any((1, 2)).all()


def test_the_cost_volume_finds_the_true_depth_of_a_scene(weights, tmp_path):
    write_sequence(SyntheticScene(seed=0, frames=3, height=128, width=320), tmp_path / "s.h5")
    window = Window(offsets=(-1, 0, 1))
    sample = SequenceDataset(tmp_path / "s.h5", window=window, streams=("rgb", "depth"))[0]
    model = load(weights, size=(128, 256))  # a crop that is not resized
    crop = AspectCrop((128, 320), model.size)
    left, top, right, bottom = crop.box
    before, at, after = (
        model._frame(
            *(sample[key][k].numpy() for key in ("rgb", "T_world_cam", "intrinsics")), crop
        )
        for k in range(3)
    )
    volume = model.network.cost_volume

    def share_right(*sources):
        between = [relative_pose(at.pose, source.pose) for source in sources]
        with torch.inference_mode():
            found = volume(
                *(at.image, at.intrinsics, [s.image for s in sources], between),
                [s.intrinsics for s in sources],
            )[0]
        step = (0.33 - 0.0025) / 31
        want = (1 / sample["depth"][1][top:bottom, left:right] - 0.0025) / step
        clear = (found.amax(0) > 0.8) & (want < 31)
        return ((found.argmax(0) - want).abs() < 1.5)[clear].float().mean()

    assert share_right(before, after) > 0.7
    swapped = before._replace(pose=after.pose), after._replace(pose=before.pose)
    assert share_right(*swapped) < 0.4
