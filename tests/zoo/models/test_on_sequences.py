"""Models on what the loader gives, against the exact truth of a synthetic scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import depthzoo
from depthdata import SequenceDataset
from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo import networks

FRAMES = 2


@pytest.fixture(scope="module")
def scene():
    return SyntheticScene(seed=0, frames=FRAMES, height=96, width=320)


@pytest.fixture(scope="module")
def dataset(scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("sequence") / "scene.h5"
    write_sequence(scene, path)
    return SequenceDataset(path, cameras=("left", "right"))


def test_sgbm_measures_the_scene(scene, dataset):
    model = depthzoo.load("sgbm", max_disparity=96)
    for t in range(FRAMES):
        sample = dataset[t]
        prediction = model.predict(sample)
        truth = scene.render(t)
        error = np.abs(prediction.disparity[0] - truth.disparity)
        found = np.isfinite(error)
        assert found.mean() > 0.8
        assert np.median(error[found]) < 0.5
        assert (error[found] < 1).mean() > 0.9
        depth = prediction.to_depth(
            fx=float(sample["intrinsics"][0, 0, 0]), baseline=float(sample["baseline"])
        )[0]
        both = found & np.isfinite(truth.depth) & (truth.depth < 20)
        assert np.nanmedian(np.abs(depth / truth.depth - 1)[both]) < 0.05


def test_raft_stereo_takes_a_sample_of_any_size(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path / "cache"))
    state = networks.create("raft_stereo_realtime").state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.pth")
    model = depthzoo.load("raft_stereo/realtime", weights=tmp_path / "w.pth", precision="bf16")
    sample = dataset[0]
    for key in ("rgb", "right_rgb"):
        sample[key] = sample[key][..., :71, :133]
    prediction = model.predict(sample)
    assert prediction.disparity.shape == (1, 71, 133)
    assert np.isfinite(prediction.disparity).all()
    assert prediction.meta["iterations"] == model.card.settings["iterations"]
    assert prediction.meta["padded_size"] == (96, 160)
