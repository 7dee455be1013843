"""Monodepth2: options, sizes, precisions, export; its numbers are compared in test_parity.py."""

from __future__ import annotations

import pytest
import torch
from zoo.seeding import created, images

from depthzoo import networks
from depthzoo.networks.monodepth2 import DepthDecoder, Monodepth2


@pytest.fixture(scope="module")
def network() -> Monodepth2:
    return created("monodepth2")


def run(network, image, *args):
    with torch.inference_mode():
        return network(image, *args)


@pytest.mark.parametrize("size", [(64, 64), (64, 160)])
def test_every_scale(network, size):
    (image,) = images(1, 2, *size)
    found = run(network, image, (0, 1, 2, 3))
    assert [tuple(d.shape[2:]) for d in found] == [(size[0] >> s, size[1] >> s) for s in range(4)]
    assert torch.equal(run(network, image)[0], found[0])
    assert torch.equal(run(network, image, [3])[0], found[3])


def test_a_batch_is_its_images_one_by_one(network):
    first, second = images(2, 2)
    alone = torch.cat([run(network, first[i : i + 1])[0] for i in (0, 1)])
    torch.testing.assert_close(run(network, first)[0], alone, rtol=0, atol=1e-6)
    with torch.inference_mode():
        pose = network.relative_pose(first, second)
        one = network.relative_pose(first[1:], second[1:])
        other_way = network.relative_pose(second, first)
    torch.testing.assert_close(pose.matrix()[1:], one.matrix())
    assert pose.axis_angle.shape == pose.translation.shape == (2, 3)
    assert not torch.allclose(pose.translation, other_way.translation, atol=1e-6)


def test_both_kinds_of_keys_are_one_decoder():
    channels = (8, 8, 8, 8, 8)
    numbered, named = DepthDecoder(channels), DepthDecoder(channels, keys="named")
    for i, name in enumerate(
        [f"upconv_{i}_{j}" for i in range(4, -1, -1) for j in (0, 1)]
        + [f"dispconv_{s}" for s in range(4)]
    ):
        assert numbered.part(name) is numbered.decoder[i]
        named.part(name).load_state_dict(numbered.part(name).state_dict())
    assert "upconv_4_0.conv.conv.weight" in named.state_dict()
    features = [torch.rand(1, 8, 64 >> level, 96 >> level) for level in range(1, 6)]
    with torch.inference_mode():
        a, b = numbered(features, (0, 2)), named(features, (0, 2))
    assert a.keys() == b.keys() == {0, 2} and all(torch.equal(a[s], b[s]) for s in a)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_stays_near(network, dtype):
    first, second = images(2)
    full, pose = run(network, first)[0], run(network.relative_pose, first, second)
    network.use_autocast(dtype)
    half, half_pose = run(network, first)[0], run(network.relative_pose, first, second)
    network.use_autocast(None)
    assert half.dtype == half_pose.translation.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0, atol=0.02 if dtype == "bfloat16" else 0.003)
    torch.testing.assert_close(half_pose.translation, pose.translation, rtol=0.05, atol=1e-4)


def test_training_reaches_every_parameter_in_use():
    network = created("monodepth2").train()
    first, second = images(2, 2)
    found, pose = network(first), network.relative_pose(first, second)
    assert len(found) == 4
    (sum(d.mean() for d in found) + pose.matrix().sum()).backward()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert without == {
        f"{part}.encoder.fc.{kind}"
        for part in ("encoder", "pose_encoder")
        for kind in ("weight", "bias")
    }


def test_other_resnets_and_depth_alone():
    network = networks.create("monodepth2", layers=50, pose=False, scales=(0,))
    assert run(network, *images())[0].shape == (1, 1, 64, 96)
    assert len(network.depth.decoder) == 11
    with pytest.raises(ValueError, match="pose=True"):
        network.relative_pose(*images(2))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"layers": 19}, "layers is one of"), ({"scales": (4,)}, "scales are some of")],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create("monodepth2", **options)
    assert "\n" not in str(caught.value)


def test_wrong_inputs_are_refused(network):
    with pytest.raises(ValueError, match="multiples of 32 from 64 on"):
        network(torch.zeros(1, 3, 32, 64))
    with pytest.raises(ValueError, match="one shape"):
        network.relative_pose(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 96))


def test_onnx_gives_the_same_disparity(network, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    image, other = images(2)
    torch.onnx.export(network, (image,), dynamo=True, verbose=False).save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (got,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), run(network, other)[0], rtol=0, atol=1e-5)


def test_compiled_gives_the_same_disparity(network):
    (image,) = images()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")  # one graph
    torch.testing.assert_close(run(compiled, image)[0], run(network, image)[0], rtol=0, atol=1e-5)
