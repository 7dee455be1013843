"""RAFT-Stereo: options, modes, precisions; its numbers are compared in test_parity.py."""

from __future__ import annotations

import pytest
import torch

from depthzoo import networks
from depthzoo.networks.raft_stereo import RAFTStereo

SMALL = {"n_gru_layers": 2, "corr_levels": 2}


def pair(n: int = 1, h: int = 32, w: int = 64, seed: int = 0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return tuple(255 * torch.rand(n, 3, h, w, generator=generator, dtype=dtype) for _ in range(2))


@pytest.fixture(scope="module")
def network() -> RAFTStereo:
    torch.manual_seed(0)
    return networks.create("raft_stereo")


def run(network, *images, **options):
    with torch.inference_mode():
        return network(*images, **options)


@pytest.mark.parametrize("name", [n for n in networks.names() if "raft" in n])
def test_every_published_configuration_runs(name):
    flow = run(networks.create(name), *pair(), iterations=2)
    f = networks.create(name).factor
    assert flow.low.shape == (1, 2, 32 // f, 64 // f)
    assert flow.up.shape == (1, 1, 32, 64)
    assert flow.low[:, 1].eq(0).all()
    assert flow.up.isfinite().all()


@pytest.mark.parametrize("size", [(32, 16), (36, 44), (4, 8), (20, 132)])
def test_volume_and_on_demand_agree_at_odd_and_narrow_sizes(network, size):
    images = pair(2, *size)
    flows = {}
    for name in ("reg", "alt", "reg_cuda", "alt_cuda"):
        network.use_correlation(name)
        flows[name] = run(network, *images, iterations=3).up
    network.use_correlation("reg")
    for flow in flows.values():
        torch.testing.assert_close(flow, flows["reg"], rtol=0, atol=2e-5)


def test_a_batch_is_its_images_one_by_one(network):
    left, right = pair(2)
    together = run(network, left, right, iterations=2).up
    alone = torch.cat(
        [run(network, left[i : i + 1], right[i : i + 1], iterations=2).up for i in (0, 1)]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"slow_fast_gru": True},
        {"shared_backbone": True, "context_norm": "group"},
        {"context_norm": "none", "n_gru_layers": 1},
        {"n_downsample": 0, "n_gru_layers": 1, "corr_radius": 2},
        {"hidden_dims": [128, 64, 128], "n_gru_layers": 3},
    ],
)
def test_other_options_build_a_network_that_runs(options):
    flow = run(networks.create("raft_stereo", **options), *pair(h=16, w=32), iterations=1)
    assert flow.up.shape == (1, 1, 16, 32)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corr_implementation": "fast"}, "corr_implementation is one of reg"),
        ({"n_gru_layers": 4}, "n_gru_layers is one of 1, 2, 3"),
        ({"colour": 1}, "no option colour"),
        ({"hidden_dims": [64, 128, 128]}, "hidden_dims"),
        ({"n_downsample": -1}, "n_downsample"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create("raft_stereo", **options)
    assert "\n" not in str(caught.value)


def test_unknown_network_is_refused():
    with pytest.raises(ValueError, match="there are raft_stereo"):
        networks.create("raft")


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ((1, 3, 30, 64), (1, 3, 30, 64), "multiples of 4"),
        ((1, 3, 32, 64), (1, 3, 32, 32), "two images"),
    ],
)
def test_wrong_sizes_are_refused(network, left, right, said):
    with pytest.raises(ValueError, match=said):
        run(network, torch.zeros(left), torch.zeros(right))


def test_eval_upsamples_once_and_a_trace_changes_nothing(network):
    calls = []
    handle = network.update_block.mask.register_forward_hook(lambda *_: calls.append(1))
    plain = run(network, *pair(), iterations=3)
    assert len(calls) == 1
    seen: dict[str, torch.Tensor] = {}
    traced = run(network, *pair(), iterations=3, trace=seen.__setitem__)
    handle.remove()
    assert torch.equal(plain.up, traced.up)
    assert torch.equal(seen["flow_up_iter3"], plain.up)
    assert {"fmap1", "net2", "inp0_q", "corr_iter1", "mask_iter2", "flow_low_iter3"} <= set(seen)


def test_flow_init_is_where_the_search_starts(network):
    init = torch.zeros(1, 2, 8, 16)
    init[:, 0] = -3.0
    seen: dict[str, torch.Tensor] = {}
    low = run(network, *pair(), iterations=1, flow_init=init, trace=seen.__setitem__).low
    cold = run(network, *pair(), iterations=1).low
    assert not torch.allclose(low, cold)
    still = networks.create("raft_stereo", **SMALL)
    torch.nn.init.zeros_(still.update_block.flow_head.conv2.weight)
    torch.nn.init.zeros_(still.update_block.flow_head.conv2.bias)
    assert torch.equal(run(still, *pair(), iterations=2, flow_init=init).low, init)
    with pytest.raises(ValueError, match="flow_init"):
        run(network, *pair(), flow_init=init[..., :4])


@pytest.mark.parametrize("correlation", ["reg", "alt"])
def test_training_gives_every_step_and_a_gradient(correlation):
    torch.manual_seed(0)
    network = networks.create("raft_stereo", corr_implementation=correlation, **SMALL).train()
    assert not any(m.training for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    steps = network(*pair(), iterations=2)
    assert isinstance(steps, list) and len(steps) == 2
    assert steps[-1].shape == (1, 1, 32, 64)
    sum(step.abs().mean() for step in steps).backward()
    unused = ("cnet.layer5", "cnet.outputs32", "update_block.gru32")
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert all(name.startswith(unused) for name in without)
    assert network.fnet.conv2.weight.grad.abs().max() > 0


def test_training_gradients_do_not_depend_on_the_implementation():
    gradients = []
    for correlation in ("reg", "alt"):
        torch.manual_seed(0)
        network = networks.create("raft_stereo", corr_implementation=correlation, **SMALL)
        network.double().train()
        network(*pair(dtype=torch.float64), iterations=2)[-1].square().mean().backward()
        gradients.append(network.fnet.conv1.weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("correlation", "dtype"),
    [(name, "bfloat16") for name in ("reg", "alt", "reg_cuda", "alt_cuda")]
    + [("reg_cuda", "float16")],  # slow on a CPU, once is enough
)
def test_autocast_reaches_the_volume_only_where_the_name_says_so(network, dtype, correlation):
    full = run(network, *pair(), iterations=2).up
    network.use_autocast(dtype)
    network.use_correlation(correlation)
    seen: dict[str, torch.Tensor] = {}
    half = run(network, *pair(), iterations=2, trace=seen.__setitem__)
    network.use_autocast(None)
    network.use_correlation("reg")
    low = getattr(torch, dtype)
    assert seen["fmap1"].dtype == low and seen["hidden_iter1"].dtype == low
    assert seen["corr_iter1"].dtype == (low if correlation.endswith("_cuda") else torch.float32)
    assert half.low.dtype == half.up.dtype == torch.float32
    torch.testing.assert_close(half.up, full, rtol=0, atol=0.05 * float(full.abs().max()))


def test_correlation_of_reg_stays_wide_under_an_autocast_around_it(network):
    seen: dict[str, torch.Tensor] = {}
    with torch.autocast("cpu", torch.bfloat16):
        run(network, *pair(), iterations=1, trace=seen.__setitem__)
    assert seen["fmap1"].dtype == torch.bfloat16
    assert seen["corr_iter1"].dtype == torch.float32


def test_onnx_gives_the_same_flow(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = networks.create("raft_stereo_realtime").eval()
    exported = torch.onnx.export(
        network, pair(), kwargs={"iterations": 2}, dynamo=True, verbose=False
    )
    exported.save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    others = pair(seed=1)
    names = [value.name for value in session.get_inputs()]
    given = {name: image.numpy() for name, image in zip(names, others, strict=True)}
    got = [torch.from_numpy(value) for value in session.run(None, given)]
    torch.testing.assert_close(got, list(run(network, *others, iterations=2)), rtol=0, atol=1e-4)


def test_float64_runs_in_float64(network):
    wide = networks.create("raft_stereo")
    wide.load_state_dict(network.state_dict())
    seen: dict[str, torch.Tensor] = {}
    left, right = (image.double() for image in pair())
    flow = run(wide.double(), left, right, iterations=2, trace=seen.__setitem__)
    assert seen["corr_iter1"].dtype == flow.up.dtype == torch.float64
    torch.testing.assert_close(
        flow.up.float(), run(network, *pair(), iterations=2).up, rtol=0, atol=1e-4
    )
