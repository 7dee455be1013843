"""Models as their users meet them: names, cards, loading, predicting."""

from __future__ import annotations

import json
import logging
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np
import pytest
import torch

import depthzoo
from depthdata.errors import DepthdataError, FormatError, UsageError
from depthzoo import models, networks


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of the published layout: seeded, under a data-parallel prefix."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "raftstereo-sceneflow.pth"
    state = networks.create("raft_stereo").state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-cache"))


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 3, 24, 48), dtype=np.uint8)
    texture = coarse.repeat(2, 2).repeat(2, 3)[..., :45, :]
    return {"rgb": texture[..., :72].copy(), "right_rgb": texture[..., 6:78].copy()}


def load(weights, **options):
    return depthzoo.load("raft_stereo/sceneflow", weights=weights, **{"iterations": 2, **options})


@pytest.mark.parametrize("name", depthzoo.list_models())
def test_cards_are_complete_and_plain(name):
    card = depthzoo.model_card(name)
    assert card.name == name and card.title and card.licence and card.homepage.startswith("https")
    json.dumps(card.to_dict())
    assert card.network is None or card.network in networks.names()
    assert bool(card.weights) == (card.network is not None)


def test_names_and_cards_need_no_heavy_import():
    code = (
        "import sys, depthzoo; [depthzoo.model_card(n) for n in depthzoo.list_models()];"
        "print([m for m in ('torch', 'numpy', 'cv2', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_load():
    for name in depthzoo.__all__:
        assert getattr(depthzoo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = depthzoo.colour


@pytest.mark.parametrize("name", [n for n in depthzoo.list_models() if n != "sgbm"])
def test_a_model_without_its_weights_says_where_they_are(name):
    files = depthzoo.model_card(name).weights
    with pytest.raises(UsageError) as caught:
        depthzoo.load(name)
    named = [files[0].url, "weights=", *(file.file for file in files)]
    assert all(part in str(caught.value) for part in named)
    assert "\n" not in str(caught.value)


def test_unknown_names_options_devices_and_precisions_are_refused(weights):
    with pytest.raises(UsageError, match="no model 'raft'"):
        depthzoo.load("raft")
    with pytest.raises(UsageError, match="raft_stereo/realtime"):
        depthzoo.load("raft_stereo/kitti")
    for options, said in (
        ({"colour": 1}, "no option colour"),
        ({"precision": "fp8"}, "precision is one of"),
        ({"correlation": "cuda"}, "correlation is one of"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"device": "cuda:99"}, "CUDA devices"),
        ({"iterations": 0}, "iterations"),
        ({"memory_budget": 0}, "memory_budget"),
    ):
        with pytest.raises(UsageError, match=said):
            load(weights, **options)
    with pytest.raises(UsageError, match="no option blocks"):
        depthzoo.load("sgbm", blocks=3)
    with pytest.raises(UsageError, match="has no weights"):
        depthzoo.load("sgbm", weights=weights)


def test_weights_of_another_model_are_refused(weights):
    with pytest.raises(FormatError, match=r"does not fit RAFTStereo: .*unexpected"):
        depthzoo.load("raft_stereo/rvc", weights=weights)


def test_a_listed_digest_that_differs_is_reported(weights, caplog):
    with caplog.at_level(logging.WARNING):
        load(weights)
    assert "that a third party lists for raftstereo-sceneflow.pth" in caplog.text


def test_prediction_is_minus_the_networks_flow_on_padded_images(weights, sample):
    model = load(weights)
    assert isinstance(model, depthzoo.Model)
    assert len(model.weights_sha256) == 64
    prediction = model.predict(sample)
    assert prediction.disparity.shape == (2, 45, 72)
    assert prediction.disparity.dtype == np.float32
    assert prediction.invariance == "disparity"
    left, right = (
        torch.from_numpy(np.pad(sample[k][1:], ((0, 0), (0, 0), (9, 10), (12, 12)), mode="edge"))
        for k in ("rgb", "right_rgb")
    )
    with torch.inference_mode():
        flow = model.network(left.float(), right.float(), iterations=2).up[0, 0, 9:54, 12:84]
    np.testing.assert_allclose(prediction.disparity[1], -flow.numpy(), atol=1e-5)


def test_tensors_arrays_and_single_frames_are_the_same_sample(weights, sample):
    model = load(weights)
    want = model.predict(sample).disparity
    tensors = {key: torch.from_numpy(value) for key, value in sample.items()}
    np.testing.assert_array_equal(model.predict(tensors).disparity, want)
    frame = {key: value[1] for key, value in sample.items()}
    np.testing.assert_array_equal(model.predict(frame).disparity, want[1:])
    read_only = {key: value.copy() for key, value in sample.items()}
    for value in read_only.values():
        value.flags.writeable = False
    np.testing.assert_array_equal(model.predict(read_only).disparity, want)


def test_memory_budget_picks_correlation_and_bands_and_not_the_result(weights, sample):
    roomy = load(weights, memory_budget=10**9).predict(sample)
    tight = load(weights, memory_budget=1000).predict(sample)
    forced = load(weights, memory_budget=1000, correlation="reg").predict(sample)
    assert [p.meta["correlation"] for p in (roomy, tight, forced)] == ["reg", "alt", "reg"]
    assert [p.meta["encoder_rows"] is None for p in (roomy, tight, forced)] == [True, False, False]
    assert 1000 < roomy.meta["correlation_volume_bytes"] < roomy.meta["encoder_bytes"] < 10**9
    np.testing.assert_allclose(tight.disparity, roomy.disparity, atol=1e-5)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"channels_last": True}])
def test_other_arithmetic_stays_near(weights, sample, options):
    full = load(weights).predict(sample).disparity
    other = load(weights, **options).predict(sample).disparity
    assert other.dtype == np.float32
    np.testing.assert_allclose(other, full, atol=0.1 * np.abs(full).max())


def test_a_model_travels_to_worker_processes(weights, sample):
    model = load(weights)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(sample).disparity, model.predict(sample).disparity)


def test_sgbm_finds_a_known_shift(sample):
    model = depthzoo.load("sgbm", max_disparity=16)
    prediction = model.predict(sample)
    assert model.needs.views == ("left", "right") and model.weights_sha256 is None
    assert prediction.disparity.shape == (2, 45, 72)
    assert float(np.nanmedian(prediction.disparity)) == pytest.approx(6, abs=0.25)
    assert np.isnan(prediction.disparity).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("right_rgb"), "no 'right_rgb', only rgb; build the dataset with cameras="),
        (lambda s: s.update(rgb=s["rgb"] / 255), "uint8 of shape"),
        (lambda s: s.update(rgb=s["rgb"][:, :2]), "uint8 of shape"),
        (lambda s: s.update(rgb=s["rgb"][..., 1:]), "images differ"),
        (lambda s: s.update(rgb=s["rgb"][:0]), "is empty"),
    ],
)
def test_samples_that_do_not_fit_are_refused(sample, change, said):
    change(sample)
    with pytest.raises(UsageError, match="sgbm: ") as caught:
        depthzoo.load("sgbm").predict(sample)
    assert said in str(caught.value)


def test_plug_ins_join_the_table_and_broken_ones_do_not_stop_it(monkeypatch, caplog):
    family = ModuleType("their_models")
    family.CARDS = (
        models.Card(
            "their/net", "their", "Net", "MIT", "", "https://x", models.Needs(), ("depth",), "scale"
        ),
    )
    family.load = lambda card, **how: (card.name, how["device"])
    monkeypatch.setitem(sys.modules, "their_models", family)
    entries = [
        EntryPoint("their", "their_models", models.GROUP),
        EntryPoint("broken", "no_such_module_anywhere", models.GROUP),
    ]
    monkeypatch.setattr(models, "entry_points", lambda group: entries)
    models._table.cache_clear()
    try:
        assert "their/net" in depthzoo.list_models() and "sgbm" in depthzoo.list_models()
        assert depthzoo.load("their/net", device="cpu") == ("their/net", "cpu")
        assert "no_such_module_anywhere" in caplog.text
    finally:
        models._table.cache_clear()


def test_errors_have_one_root(weights):
    with pytest.raises(DepthdataError):
        load(weights.parent / "none.pth")
