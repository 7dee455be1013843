"""Lite-Mono: variants, sizes, precisions, export; its numbers are compared in test_parity.py."""

from __future__ import annotations

import pytest
import torch
from zoo.seeding import created, images

from depthzoo import networks
from depthzoo.networks.lite_mono import LiteMono, LiteMonoOptions


@pytest.fixture(scope="module")
def tiny() -> LiteMono:
    return created("lite_mono", variant="tiny")


def run(network, image, *args):
    with torch.inference_mode():
        return network(image, *args)


def test_dilations_follow_the_variant_and_the_training_size():
    assert LiteMonoOptions("base", 640).dilations[2] == (1, 2, 3, 1, 2, 3, 2, 4, 6)
    assert LiteMonoOptions("base", 1024).dilations[2] == (1, 2, 5, 1, 2, 5, 2, 4, 10)
    assert LiteMonoOptions("small", 1024).dilations == ((1, 2, 5), (1, 2, 5), (1, 2, 5, 2, 4, 10))
    assert LiteMonoOptions("8m", 1024).dilations == LiteMonoOptions("8m", 640).dilations
    rates = [m.rate for m in LiteMono(drop_path=0.2).modules() if hasattr(m, "rate")]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0.2) and rates == sorted(rates)


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (160, 64)])
def test_every_scale_at_odd_sizes(tiny, size):
    (image,) = images(1, 2, *size)
    found = run(tiny, image, (0, 1, 2))
    assert [tuple(d.shape) for d in found] == [(2, 1, size[0] >> s, size[1] >> s) for s in range(3)]
    assert all(((d > 0) & (d < 1)).all() for d in found)
    assert torch.equal(run(tiny, image)[0], found[0])
    assert torch.equal(run(tiny, image, (2, 1))[0], found[2])


def test_a_batch_is_its_images_one_by_one(tiny):
    (two,) = images(1, 2)
    alone = torch.cat([run(tiny, two[i : i + 1])[0] for i in (0, 1)])
    torch.testing.assert_close(run(tiny, two)[0], alone, rtol=0, atol=1e-6)


def test_coarse_scales_alone_leave_the_fine_layers_out(tiny):
    called = []
    handles = [
        layer.register_forward_hook(lambda *_, i=i: called.append(i))
        for i, layer in enumerate(tiny.depth.decoder)
    ]
    (image,) = images()
    run(tiny, image, (2,))
    assert called == [0, 1, 8]
    called.clear()
    run(tiny, image)
    assert called == [0, 1, 2, 3, 4, 5, 6]
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_stays_near(tiny, dtype):
    (image,) = images()
    full = run(tiny, image)[0]
    tiny.use_autocast(dtype)
    half = run(tiny, image)[0]
    tiny.use_autocast(None)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0, atol=0.02 if dtype == "bfloat16" else 0.003)
    assert not torch.equal(half, full)


def test_float64_runs_in_float64(tiny):
    wide = networks.create("lite_mono", variant="tiny").double()
    wide.load_state_dict(tiny.state_dict())
    (image,) = images()
    got = run(wide, image.double())[0]
    assert got.dtype == torch.float64
    torch.testing.assert_close(got.float(), run(tiny, image)[0], rtol=0, atol=1e-6)


def test_training_drops_branches_and_reaches_every_parameter_in_use():
    network = created("lite_mono", variant="tiny", drop_path=0.5).train()
    (image,) = images(1, 4, 32, 32)
    found = network(image)
    assert len(found) == 3
    sum(d.mean() for d in found).backward()
    unused = {n for n, p in network.named_parameters() if p.grad is None}
    assert unused and all(".norm." in name and ".stages." in name for name in unused)
    assert not torch.equal(network(image)[0], network(image)[0])
    network.eval()
    assert torch.equal(run(network, image)[0], run(network, image)[0])


def test_initial_values_are_those_of_the_authors():
    network = networks.create("lite_mono", variant="tiny")
    state = network.state_dict()
    assert state["encoder.stages.0.0.gamma"].eq(1e-6).all()
    assert state["encoder.stages.0.3.xca.temperature"].eq(1).all()
    weight = state["encoder.stages.2.0.pwconv1.weight"]
    assert float(weight.std()) == pytest.approx((2 / weight.shape[0]) ** 0.5, rel=0.02)
    assert float(state["depth.decoder.0.conv.conv.weight"].std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variant": "huge"}, "variant is one of tiny, small, base, 8m"),
        ({"trained_width": 800}, "640 or 1024"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"scales": (3,)}, "scales are some of"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create("lite_mono", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "scales", "said"),
    [
        ((1, 3, 30, 64), None, "multiples of 32 from 32 on"),
        ((1, 4, 32, 64), None, "one shape"),
        ((1, 3, 32, 64), (3,), "scales are some of"),
        ((1, 3, 32, 64), (), "scales are some of"),
    ],
)
def test_wrong_inputs_are_refused(tiny, shape, scales, said):
    with pytest.raises(ValueError, match=said):
        run(tiny, torch.zeros(shape), scales)


def test_onnx_gives_the_same_disparity(tiny, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    image, other = images(2)
    torch.onnx.export(tiny, (image,), dynamo=True, verbose=False).save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (got,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), run(tiny, other)[0], rtol=0, atol=1e-5)


def test_compiled_gives_the_same_disparity(tiny):
    (image,) = images()
    compiled = torch.compile(tiny, fullgraph=True, backend="aot_eager")  # one graph
    torch.testing.assert_close(run(compiled, image)[0], run(tiny, image)[0], rtol=0, atol=1e-5)
