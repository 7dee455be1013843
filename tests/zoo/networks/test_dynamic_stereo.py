"""DynamicStereo: options, modes, precisions, memory; recorded runs are in test_parity.py."""

from __future__ import annotations

import json

import pytest
import torch
from support import golden_cases
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo.plain.dynamic_stereo import plain

from depthzoo import networks
from depthzoo.live_tensors import LiveTensors
from depthzoo.networks.correlation import CHUNK_BYTES
from depthzoo.networks.dynamic_stereo import DynamicStereo
from depthzoo.networks.dynamic_stereo_attention import (
    HEADS,
    linear_attention,
    sine_encoding,
    time_attention,
)

TWO_D = {"use_3d_update_block": False, "different_update_blocks": False}


def video(t: int = 3, h: int = 32, w: int = 128, b: int = 1, seed: int = 0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (b, t, 3, h, w)
    return tuple(255 * torch.rand(shape, generator=generator, dtype=dtype) for _ in range(2))


def trained(**options) -> DynamicStereo:
    """Random weights; what starts as zero must not hide anything."""
    torch.manual_seed(0)
    network = networks.create("dynamic_stereo", **options)
    for part in network.parameters():
        if not part.any():
            torch.nn.init.normal_(part, std=0.05)
    return network


@pytest.fixture(scope="module")
def shared() -> DynamicStereo:
    return trained()


@pytest.fixture
def network(shared):
    yield shared
    shared.use_correlation("reg")
    shared.use_pieces(None)
    shared.use_autocast(None)


def run(network, *videos, **options):
    with torch.inference_mode():
        return network(*videos, **{"iterations": 2, **options})


@pytest.mark.parametrize("options", [{}, {**TWO_D, "attention_type": "self_stereo_temporal"}])
@pytest.mark.parametrize("size", [(2, 32, 256), (1, 48, 288)])
def test_the_description_taken_literally_gives_the_same(options, size):
    network = trained(**options)
    left, right = video(*size)
    with torch.inference_mode():
        want = plain(network, left[0], right[0], 4)
    for correlation, positions in (("reg", None), ("alt", 700)):
        network.use_correlation(correlation)
        network.use_pieces(positions)
        got = run(network, left, right, iterations=4)
        torch.testing.assert_close(got[0], want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 16, 16), (2, 48, 80), (4, 32, 64)])
@pytest.mark.parametrize("positions", [1, 300])
def test_neither_pieces_nor_correlation_change_the_result(network, size, positions):
    pair = video(*size)
    whole = run(network, *pair, iterations=3)
    assert whole.shape == (1, size[0], 1, *size[1:])
    assert whole.isfinite().all()
    for correlation in ("reg", "alt"):
        network.use_correlation(correlation)
        network.use_pieces(positions)
        got = run(network, *pair, iterations=3)
        torch.testing.assert_close(got, whole, rtol=0, atol=2e-5)


def test_a_batch_is_its_videos_one_by_one_and_uint8_is_float(network):
    left, right = (view.to(torch.uint8) for view in video(t=2, w=64, b=2))
    together = run(network, left, right)
    alone = [run(network, left[i : i + 1].float(), right[i : i + 1].float()) for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)
    assert torch.equal(together, run(network, left, right))


def test_frames_of_a_window_know_each_other_and_features_do_not(network):
    left, right = video(t=3, w=64)
    other = left.clone()
    other[:, 2] = 255 - other[:, 2]
    one, two = run(network, left, right), run(network, other, right)
    assert not torch.allclose(one[:, 0], two[:, 0])
    with torch.inference_mode():
        features = network.features(left[0])
        torch.testing.assert_close(features[1:2], network.features(left[0, 1:2]), rtol=0, atol=1e-5)
        torch.testing.assert_close(features[:2], network.features(other[0])[:2])


@pytest.mark.golden
@pytest.mark.parametrize("folder", golden_cases("models", "dynamic_stereo*"))
def test_keys_are_the_authors(folder):
    meta = json.loads((folder / "meta.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    state = networks.create("dynamic_stereo", **meta["options"]).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == {
        key: shape for key, (shape, _) in manifest.items()
    }


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (None, ()),
        ("self", ("self_attn_blocks",)),
        ("update_time", ("time_embed", "update_block16.time_attn")),
        ("stereo_update_space", ("cross_attn_blocks", "update_block16.space_attn")),
        ("temporal", ("time_embed", "time_attn_blocks")),
    ],
)
def test_each_kind_of_attention_is_there_when_it_is_named(kind, keys):
    network = networks.create("dynamic_stereo", attention_type=kind)
    found = {key for key in network.state_dict() if "attn" in key or "embed" in key}
    assert all(any(name.startswith(key) for name in found) for key in keys)
    assert all(name.startswith(keys) for name in found)
    assert run(network, *video(t=2, w=32)).shape == (1, 2, 1, 32, 32)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attention_type": "self_spatial"}, "attention_type is made of"),
        ({"num_frames": 0}, "num_frames is at least 1"),
        ({"corr_implementation": "fast"}, "corr_implementation is one of reg"),
        ({"autocast_dtype": "int8"}, "autocast_dtype is one of"),
        ({"colour": 1}, "no option colour"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create("dynamic_stereo", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((1, 2, 3, 32, 40), {}, "multiples of 16"),
        ((1, 0, 3, 32, 32), {}, "at least one frame"),
        ((2, 3, 32, 32), {}, r"two videos of shape \(B, T, 3, H, W\)"),
        ((1, 2, 3, 32, 32), {"iterations": 1}, "at least 2 iterations"),
        ((1, 2, 3, 32, 32), {"flow_init": torch.zeros(1, 1, 2, 8, 8)}, "flow_init"),
    ],
)
def test_wrong_input_is_refused(network, shape, options, said):
    with pytest.raises(ValueError, match=said):
        run(network, torch.zeros(shape), torch.zeros(shape), **options)


def test_time_embedding_is_the_nearest_of_the_learnt(network):
    learnt = network.time_embed[0]
    assert torch.equal(network._time_embedding(5)[:, 0], learnt)
    assert torch.equal(network._time_embedding(3)[:, 0], learnt[[0, 1, 3]])
    assert torch.equal(network._time_embedding(10)[:, 0], learnt.repeat_interleave(2, 0))


def test_attention_is_what_its_formula_says():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 6, 256, generator=generator, dtype=torch.float64)
    heads = y.view(4, 6, HEADS, 32).transpose(1, 2)
    weights = torch.softmax(heads @ heads.transpose(-1, -2) / 32**0.5, -1)
    want = (weights @ heads).transpose(1, 2).reshape(4, 6, 256)
    torch.testing.assert_close(time_attention(y), want)

    q, k, v = torch.randn(3, 2, 9, HEADS, 32, generator=generator, dtype=torch.float64)
    positive = [torch.nn.functional.elu(x) + 1 for x in (q, k)]
    weights = torch.einsum("blhd,bshd->bhls", *positive)
    weights = weights / weights.sum(-1, keepdim=True)
    want = torch.einsum("bhls,bshd->blhd", weights, v)
    torch.testing.assert_close(linear_attention(q, k, v), want, rtol=0, atol=1e-7)


def test_sums_of_linear_attention_do_not_overflow_half_precision():
    x = torch.full((1, 40_000, HEADS, 32), 3.0, dtype=torch.float16)
    torch.testing.assert_close(linear_attention(x, x, x), x.float())


def test_sine_encoding_counts_from_one():
    code = sine_encoding(2, 3, 8, torch.zeros(1))  # frequencies 1 and 1 / 100
    column, row = torch.tensor(3.0), torch.tensor(2.0)
    for j, frequency in enumerate((1.0, 0.01)):
        x, y = column * frequency, row * frequency
        want = torch.stack([x.sin(), x.cos(), y.sin(), y.cos()])
        torch.testing.assert_close(code[4 * j : 4 * j + 4, 1, 2], want)


def test_flow_init_replaces_the_coarse_scales_and_its_sign_turns(network):
    pair = video(t=2)
    seen: dict[str, torch.Tensor] = {}
    init = torch.zeros(1, 2, 2, 4, 16)
    init[:, :, 0] = 3.0
    run(network, *pair, flow_init=init, trace=seen.__setitem__)
    assert not any("16_" in name or "flow8" in name for name in seen)
    start = seen["flow4_init"]
    assert start.shape == (2, 2, 8, 32)
    want = torch.tensor([-6.0, 0.0]).view(1, 2, 1, 1).expand_as(start)
    torch.testing.assert_close(start, want)


def test_only_the_last_result_is_upsampled_and_a_trace_changes_nothing(network):
    calls = []
    handles = [
        getattr(network, f"update_block{s}").mask.register_forward_hook(lambda *_: calls.append(1))
        for s in ("16", "08", "04")
    ]
    last = run(network, *video(), iterations=4)
    assert len(calls) == 3  # one a scale
    seen: dict[str, torch.Tensor] = {}
    traced = run(network, *video(), iterations=4, trace=seen.__setitem__)
    for handle in handles:
        handle.remove()
    assert torch.equal(last, traced)
    assert torch.equal(seen["pred_iter8"], last[0])
    assert {"fmap1_dw16", "corr8_iter2", "flow16_iter1", "flow4_init", "pred_iter1"} <= set(seen)


@pytest.mark.parametrize("correlation", ["reg", "alt"])
def test_training_gives_every_step_and_a_gradient(correlation):
    network = trained(corr_implementation=correlation).train()
    network.use_pieces(100)  # of no effect where a graph is kept
    steps = network(*video(t=2, w=64), iterations=2)
    assert len(steps) == 4 and {step.shape for step in steps} == {(1, 2, 1, 32, 64)}
    sum(step.abs().mean() for step in steps).backward()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert without and all(name.endswith("temporal_attn.qkv.weight") for name in without)
    assert network.fnet.conv2.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("dtype", "correlation", "width"),
    [("bfloat16", "alt", 128), ("float16", "reg", 16)],  # the latter is slow on a CPU
)
def test_autocast_stays_near_and_correlates_in_float32(network, dtype, correlation, width):
    pair = video(t=2, w=width)
    full = run(network, *pair)
    network.use_autocast(dtype)
    network.use_correlation(correlation)
    seen: dict[str, torch.Tensor] = {}
    half = run(network, *pair, trace=seen.__setitem__)
    assert seen["fmap1"].dtype == getattr(torch, dtype)
    assert seen["corr4_iter1"].dtype == half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0, atol=0.05 * float(full.abs().max()))


def test_float64_runs_in_float64(network):
    wide = networks.create("dynamic_stereo")
    wide.load_state_dict(network.state_dict())
    flow = run(wide.double(), *(view.double() for view in video(t=2)))
    assert flow.dtype == torch.float64
    torch.testing.assert_close(flow.float(), run(network, *video(t=2)), rtol=0, atol=1e-4)


def test_compiles_as_one_graph(network):
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    pair = video(t=2, w=32)
    torch.testing.assert_close(run(compiled, *pair), run(network, *pair), rtol=0, atol=1e-5)


def peak(way, frames: int, height: int, width: int) -> int:
    """Bytes of tensors alive at a time, at a size that is not computed."""
    with FakeTensorMode(), torch.inference_mode():
        network = networks.create("dynamic_stereo")
        views = [torch.zeros(frames, 3, height, width) for _ in range(2)]
        with LiveTensors([*network.parameters(), *views]) as live:
            way(network, *views)
    return live.peak


def test_a_window_of_twenty_frames_takes_a_quarter_of_the_memory(monkeypatch):
    monkeypatch.setitem(CHUNK_BYTES, "cpu", 2**27)  # as elsewhere: fewer tensors to count

    def lean(network, left, right):
        network.use_correlation("alt")
        network.use_pieces(2**16)
        network(left[None], right[None], 2)

    size = (20, 736, 1280)
    least, most = peak(lean, *size), peak(lambda *given: plain(*given, 2), *size)
    assert least < most / 4
    assert least < 8e9


def test_counted_and_computed_memory_are_equal(network):
    network.use_correlation("alt")
    network.use_pieces(500)
    left, right = video()
    with torch.inference_mode(), LiveTensors([*network.parameters(), left, right]) as live:
        network(left, right, 2)

    def same(fake, left, right):
        fake.use_correlation("alt")
        fake.use_pieces(500)
        fake(left[None], right[None], 2)

    assert live.peak == peak(same, *left.shape[1:2], *left.shape[3:])
