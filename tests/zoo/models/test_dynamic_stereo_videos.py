"""DynamicStereo as its users meet it: videos of any length and size, streams, published files."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from support import golden_cases

import depthzoo
from depthdata.errors import FormatError, UsageError
from depthzoo import networks
from depthzoo.models.dynamic_stereo_runner import DynamicStereoModel
from depthzoo.seeded import seeded_state
from tools.bench.memory import LiveTensors

NAME = "dynamic_stereo/dr_sf"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-cache"))


def published(state: dict[str, torch.Tensor]) -> dict[str, object]:
    """The layout of the published files, with what an earlier architecture left in them."""
    left_over = {
        "cross_att_fn.layers.0.q_proj.weight": torch.zeros(256, 256),
        "conv_offset_16.weight": torch.zeros(18, 256, 3, 3),
        "conv_offset_8.bias": torch.zeros(18),
    }
    return {"model": {**state, **left_over}, "optimizer": {}, "total_steps": 200_000}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = networks.create("dynamic_stereo")
    for part in network.parameters():
        if not part.any():
            torch.nn.init.normal_(part, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "dynamic_stereo_dr_sf.pth"
    torch.save(published(network.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (7, 3, 16, 40), dtype=np.uint8).repeat(2, 2).repeat(2, 3)
    return {"rgb": texture[..., :29, :63].copy(), "right_rgb": texture[..., :29, 5:68].copy()}


def load(weights, **options):
    return depthzoo.load(NAME, weights=weights, **{"iterations": 2, "window": 4, **options})


def first(sample, count: int) -> dict[str, np.ndarray]:
    return {key: value[:count] for key, value in sample.items()}


@pytest.mark.golden
@pytest.mark.parametrize("folder", golden_cases("models", "dynamic_stereo*"))
def test_whole_videos_are_those_of_the_authors(folder):
    meta = json.loads((folder / "meta.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    for case in meta["cases"]:
        if case["kernel_size"] is None:
            continue
        state = seeded_state(manifest, case["weight_seed"], case["weight_gain"])
        network = networks.create("dynamic_stereo", **meta["options"])
        network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        model = DynamicStereoModel(
            depthzoo.model_card(NAME),
            network,
            iterations=case["iters"],
            window=case["kernel_size"],
            reference_windows=True,
        )
        with np.load(folder / case["file"]) as stored:
            video, want = stored["video"].transpose(1, 0, 4, 2, 3), stored["disparity"][:, 0]
        got = model.predict({"rgb": video[0], "right_rgb": video[1]})
        np.testing.assert_allclose(got.disparity, want, rtol=2e-6, atol=6e-5)


@pytest.mark.parametrize(("window", "count"), [(4, 7), (4, 2), (1, 2), (3, 4), (20, 1)])
def test_every_frame_of_any_video_is_predicted(weights, sample, window, count):
    prediction = load(weights, window=window).predict(first(sample, count))
    assert prediction.disparity.shape == (count, 29, 63)
    assert np.isfinite(prediction.disparity).all() and (prediction.disparity >= 0).all()
    assert prediction.meta["frames"] == tuple(range(count))
    assert prediction.meta["padded_size"] == (32, 64)
    assert prediction.invariance == "disparity"


def test_a_window_is_the_networks_flow_on_padded_frames(weights, sample):
    model = load(weights)
    left, right = (
        torch.from_numpy(np.pad(view[:3], ((0, 0), (0, 0), (1, 2), (0, 1)), mode="edge"))[None]
        for view in sample.values()
    )
    with torch.inference_mode():
        flow = model.network(left, right, 2)[0, :, 0, 1:30, :63]
    got = model.predict(first(sample, 3)).disparity
    np.testing.assert_allclose(got, flow.abs(), atol=2e-5)


def test_reference_windows_lose_the_end_of_a_short_video(weights, sample):
    ours, theirs = (load(weights, window=6, reference_windows=r) for r in (False, True))
    short = first(sample, 4)
    all_of_it, most_of_it = ours.predict(short), theirs.predict(short)
    assert most_of_it.meta["frames"] == (0, 1)
    np.testing.assert_array_equal(most_of_it.disparity, all_of_it.disparity[:2])
    assert theirs.predict(first(sample, 2)).disparity.shape == (0, 29, 63)


def test_a_stream_gives_what_the_whole_gives_and_makes_features_once(weights, sample):
    model = load(weights)
    whole = model.predict(sample).disparity
    made = []
    handle = model.network.fnet.register_forward_hook(lambda *_: made.append(1))
    pieces = [{k: v[i] for k, v in sample.items()} for i in range(5)]
    pieces.append({k: v[5:] for k, v in sample.items()})
    streamed = list(model.stream(iter(pieces)))
    handle.remove()
    assert len(made) == 2 * len(whole)  # both views of each frame
    assert [p.meta["frames"] for p in streamed] == [(t,) for t in range(len(whole))]
    np.testing.assert_array_equal(np.concatenate([p.disparity for p in streamed]), whole)


def test_memory_of_a_stream_does_not_grow_with_its_length(weights, sample):
    model = load(weights, window=2)
    peaks = []
    for count in (3, 7):
        frames = ({k: v[t] for k, v in sample.items()} for t in range(count))
        with LiveTensors(model.network.parameters()) as live:
            for prediction in model.stream(frames):
                assert len(prediction) == 1
        peaks.append(live.peak)
    assert peaks[0] == peaks[1]


def test_a_stream_refuses_frames_of_another_size(weights, sample):
    frames = [{k: v[0] for k, v in sample.items()}, {k: v[1, ..., 1:] for k, v in sample.items()}]
    with pytest.raises(UsageError, match="frame 1 has size"):
        list(load(weights).stream(frames))


def test_memory_budget_picks_the_correlation_and_not_the_result(weights, sample):
    short = first(sample, 3)
    roomy = load(weights, memory_budget=10**9).predict(short)
    tight = load(weights, memory_budget=1).predict(short)
    forced = load(weights, memory_budget=1, correlation="reg").predict(short)
    assert [p.meta["correlation"] for p in (roomy, tight, forced)] == ["reg", "alt", "reg"]
    assert tight.meta["window_bytes"] <= forced.meta["window_bytes"] < roomy.meta["memory_budget"]
    np.testing.assert_allclose(tight.disparity, roomy.disparity, atol=2e-5)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"channels_last": True}])
def test_other_arithmetic_stays_near(weights, sample, options):
    short = first(sample, 2)
    full = load(weights).predict(short).disparity
    other = load(weights, **options).predict(short).disparity
    assert other.dtype == np.float32
    np.testing.assert_allclose(other, full, atol=0.1 * np.abs(full).max())


def test_unknown_options_and_values_are_refused(weights):
    for options, said in (
        ({"colour": 1}, "no option colour"),
        ({"window": 0}, "window: a window has at least 1"),
        ({"window": 1, "reference_windows": True}, "at least 2 frames"),
        ({"iterations": 1}, "iterations is at least 2"),
        ({"correlation": "cuda"}, "correlation is one of"),
        ({"memory_budget": 0}, "memory_budget"),
        ({"precision": "fp8"}, "precision is one of"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            load(weights, **options)
        assert "\n" not in str(caught.value)


def test_left_over_tensors_pass_and_others_do_not(weights, tmp_path):
    model = load(weights)
    assert len(model.weights_sha256) == 64 and isinstance(model, depthzoo.Model)
    state = torch.load(weights, weights_only=True)["model"]
    for change, said in (
        ({"cross_attention.weight": torch.zeros(2)}, r"1 unexpected \(cross_attention\.weight"),
        ({"time_embed": torch.zeros(1, 4, 256)}, "shape"),
    ):
        torch.save({**state, **change}, tmp_path / "other.pth")
        with pytest.raises(FormatError, match=said) as caught:
            load(tmp_path / "other.pth")
        assert "\n" not in str(caught.value)
    bare = {f"module.{key}": value for key, value in state.items() if "offset" not in key}
    bare.pop("module.time_embed")
    torch.save(bare, tmp_path / "less.pth")
    with pytest.raises(FormatError, match=r"1 missing \(time_embed\)"):
        load(tmp_path / "less.pth")


def test_a_model_travels_to_worker_processes(weights, sample):
    model = load(weights)
    short = first(sample, 1)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(short).disparity, model.predict(short).disparity)
