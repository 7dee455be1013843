"""Insta-DM's networks: options, modes, precisions; their numbers are compared in test_parity.py."""

from __future__ import annotations

import pytest
import torch
from zoo.seeding import created, images

from depthzoo import networks
from depthzoo.networks.insta_dm import View


@pytest.fixture(scope="module")
def disp():
    return created("insta_dm_disp")


@pytest.fixture(scope="module")
def whole():
    return created("insta_dm")


def run(call, *args, **options):
    with torch.inference_mode():
        return call(*args, **options)


def centred(*size, count=1, n=1):
    return [2 * image - 1 for image in images(count, n, *size)]


@pytest.mark.parametrize(
    ("name", "tensors"),
    [("insta_dm_disp", 151), ("insta_dm_ego_pose", 130), ("insta_dm_obj_pose", 130)],
)
def test_each_network_is_a_part_of_the_whole(whole, name, tensors):
    prefix = f"{name.split('_')[2]}."
    keys = set(networks.create(name).state_dict())
    assert len(keys) == tensors
    assert {k.removeprefix(prefix) for k in whole.state_dict() if k.startswith(prefix)} == keys


def test_parts_that_are_not_wanted_are_not_built():
    state = networks.create("insta_dm", parts=("ego",)).state_dict()
    assert all(key.startswith("ego.") for key in state)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("insta_dm", {"parts": ("depth",)}, "parts are some of disp, ego, obj"),
        ("insta_dm", {"parts": ()}, "parts are some of"),
        ("insta_dm_disp", {"resnet_layers": 34}, "resnet_layers is 18 or 50"),
        ("insta_dm_ego_pose", {"resnet_layers": 50}, "resnet_layers is 18"),
    ],
)
def test_wrong_options_are_refused_in_one_line(name, options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(64, 64), (96, 224), (128, 64)])
def test_disparity_is_positive_at_every_size(disp, size):
    (image,) = centred(*size)
    found = run(disp, image)
    assert found.shape == (1, 1, *size)
    assert (found > 0).all()


def test_a_coarse_scale_alone_is_that_of_all(disp):
    (image,) = centred(64, 96)
    everything = run(disp.scales, image, (0, 1, 2, 3))
    assert [tuple(d.shape[2:]) for d in everything] == [(64, 96), (32, 48), (16, 24), (8, 12)]
    for scale in (1, 3):
        assert torch.equal(run(disp.scales, image, (scale,))[0], everything[scale])
    assert torch.equal(run(disp, image), everything[0])
    with pytest.raises(ValueError, match="scales are some of"):
        disp.scales(image, (4,))


def test_heads_that_nobody_asks_for_are_not_computed(disp):
    called = []
    hooks = [
        head.register_forward_hook(lambda *_, k=k: called.append(k))
        for k, head in enumerate(disp.decoder.dispconvs)
    ]
    run(disp, *centred(64, 64))
    for hook in hooks:
        hook.remove()
    assert called == [0]


def test_a_batch_is_its_images_one_by_one(disp):
    (image,) = centred(64, 96, n=2)
    one = run(disp, image[1:])
    torch.testing.assert_close(run(disp, image)[1:], one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (33, 71)])
def test_poses_of_images_of_any_size(whole, size):
    one, other = centred(*size, count=2)
    ego = run(whole.ego, one, other)
    assert ego.shape == (1, 6) and run(whole.obj, one, other).shape == (1, 3)
    assert not torch.allclose(ego, run(whole.ego, other, one), atol=1e-6)


@pytest.mark.parametrize("size", [(60, 96), (32, 64), (64, 100)])
def test_wrong_sizes_are_refused(disp, size):
    with pytest.raises(ValueError, match="multiples of 32 from 64 on"):
        disp(torch.zeros(1, 3, *size))


def test_wrong_images_are_refused(disp, whole):
    with pytest.raises(ValueError, match="one shape"):
        disp(torch.zeros(1, 4, 64, 64))
    with pytest.raises(ValueError, match="one shape"):
        whole.ego(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 96))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_stays_near(whole, dtype):
    one, other = centred(64, 96, count=2)
    disparity, pose = run(whole, one)[0], run(whole.ego, one, other)
    whole.use_autocast(dtype)
    rough, rough_pose = run(whole, one)[0], run(whole.ego, one, other)
    whole.use_autocast(None)
    assert rough.dtype == rough_pose.dtype == torch.float32
    assert not torch.equal(rough, disparity)
    share = 0.01 if dtype == "float16" else 0.06
    torch.testing.assert_close(rough, disparity, rtol=0, atol=share * float(disparity.max()))
    torch.testing.assert_close(rough_pose, pose, rtol=0, atol=share * float(pose.abs().max()))


def test_a_pair_without_objects_is_the_ego_network_alone(whole):
    one, other = centred(64, 96, count=2)
    none = torch.zeros(0, 1, 64, 96)
    first, second = (View(image, torch.ones(1, 1, 64, 96), none) for image in (one, other))
    matrix = torch.tensor([[[80.0, 0, 48], [0, 80, 32], [0, 0, 1]]])
    back, onwards, *objects = run(whole.pair, first, second, matrix)
    assert torch.equal(back, run(whole.ego, other, one))
    assert torch.equal(onwards, run(whole.ego, one, other))
    assert all(o.shape == (0, 3) for o in objects)


def test_objects_of_a_pair_depend_on_their_own_pixels_alone(whole):
    one, other = centred(64, 96, count=2)
    masks = torch.zeros(2, 1, 64, 96)
    masks[0, :, 10:30, 10:40] = 1
    masks[1, :, 35:60, 50:90] = 1
    depth = torch.full((1, 1, 64, 96), 2.0)
    matrix = torch.tensor([[[80.0, 0, 48], [0, 80, 32], [0, 0, 1]]])
    before = run(whole.pair, View(one, depth, masks), View(other, depth, masks), matrix)
    changed = one.clone()
    changed[..., 38:58, 55:85] += 1.0  # within the second object
    after = run(whole.pair, View(changed, depth, masks), View(other, depth, masks), matrix)
    for k in (0, 1):  # objects are blacked out for the ego network
        assert torch.equal(before[k], after[k])
    for k in (2, 3):
        assert before[k].shape == (2, 3)
        torch.testing.assert_close(before[k][0], after[k][0], rtol=0, atol=1e-7)
        assert (before[k][1] - after[k][1]).abs().max() > 1e-6


def test_training_reaches_every_parameter_in_use():
    disp = created("insta_dm_disp").train()
    (image,) = centred(64, 64, n=2)
    sum(d.mean() for d in disp.scales(image, (0, 1, 2, 3))).backward()
    without = {n for n, p in disp.named_parameters() if p.grad is None}
    assert without == {"obj_height_prior", "encoder.encoder.fc.weight", "encoder.encoder.fc.bias"}


def test_onnx_gives_the_same_disparity(disp, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    image, other = centred(64, 96, count=2)
    torch.onnx.export(disp, (image,), dynamo=True, verbose=False).save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (got,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), run(disp, other), rtol=1e-5, atol=1e-5)


def test_compiled_gives_the_same_disparity(disp):
    (image,) = centred(64, 64)
    compiled = torch.compile(disp, fullgraph=True, backend="aot_eager")  # no C++ compiler needed
    torch.testing.assert_close(run(compiled, image), run(disp, image), rtol=1e-5, atol=1e-5)
