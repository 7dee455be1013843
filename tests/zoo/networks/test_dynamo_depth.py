"""Dynamo-Depth: parts, wiring, precisions; its numbers are compared in test_parity.py."""

from __future__ import annotations

import pytest
import torch
from zoo.seeding import created, images

from depthzoo import networks
from depthzoo.networks.dynamo_depth import DynamoDepth, MotionDecoder, ego_motion

INTRINSICS = torch.tensor([[[56.0, 0, 48], [0, 120, 32], [0, 0, 1]]])


@pytest.fixture(scope="module")
def network() -> DynamoDepth:
    return created("dynamo_depth")


def run(call, *args, **options):
    with torch.inference_mode():
        return call(*args, **options)


@pytest.mark.parametrize(
    ("part", "learnable"),
    [
        ("depth_enc", 8_139_960),
        ("depth_dec", 635_891),
        ("pose_enc", 11_698_920),
        ("pose_dec", 1_314_572),
        ("motion_enc", 11_708_328),
        ("motion_dec", 6_378_260),
        ("motion_mask", 6_355_508),
    ],
)
def test_parameters_of_the_sub_networks(network, part, learnable):
    assert sum(p.numel() for p in network.get_submodule(part).parameters()) == learnable


def test_the_depth_network_of_monodepth2_has_its_own_keys():
    with torch.device("meta"):
        network = DynamoDepth(depth_model="monodepthv2", parts=("depth",))
    count = {n: sum(p.numel() for p in m.parameters()) for n, m in network.named_children()}
    assert count == {"depth_enc": 11_689_512, "depth_dec": 3_152_724}
    assert "depth_dec.dispconv_3.conv.weight" in network.state_dict()


def test_parts_that_are_not_built_are_missed_by_name():
    network = networks.create("dynamo_depth", parts=("pose",))
    assert all(key.startswith(("pose_enc.", "pose_dec.")) for key in network.state_dict())
    (image,) = images()
    with pytest.raises(ValueError, match="without its depth network"):
        network(image)
    with pytest.raises(ValueError, match="without its motion network"):
        network.motion(image, image, image, torch.zeros(1, 6))


def test_both_names_of_a_pose_layer_are_one_tensor(network):
    state = network.state_dict()
    for i, name in enumerate(("squeeze", "pose0", "pose1", "pose2")):
        for kind in ("weight", "bias"):
            assert torch.equal(state[f"pose_dec.{name}.{kind}"], state[f"pose_dec.net.{i}.{kind}"])
    other = {k: v + 1 if ".net." in k else v for k, v in state.items()}
    fresh = networks.create("dynamo_depth")
    fresh.load_state_dict(other)
    assert torch.equal(fresh.pose_dec.squeeze.weight, state["pose_dec.squeeze.weight"] + 1)


@pytest.mark.parametrize("outputs", [1, 3])
def test_two_linear_layers_in_one_are_the_same_layers(outputs):
    torch.manual_seed(0)
    decoder = MotionDecoder((9, 4, 4, 8, 8, 16), outputs).double().eval()
    widths = zip((9, 4, 4, 8, 8, 16), (64, 32, 16, 8, 4, 2), strict=True)
    pyramid = [torch.randn(2, c, h, 2 * h, dtype=torch.float64) for c, h in widths]
    ego = torch.randn(2, 6, dtype=torch.float64)
    together = run(decoder, pyramid, ego, range(6))
    decoder.composed = False
    apart = run(decoder, pyramid, ego, range(6))
    assert together.keys() == apart.keys() == set(range(6))
    for scale, field in apart.items():
        assert field.shape == (2, outputs, 64 >> scale, 128 >> scale)
        torch.testing.assert_close(together[scale], field, rtol=1e-12, atol=1e-12)
    coarse = run(decoder, pyramid, ego, (4,))
    assert torch.equal(coarse[4], apart[4])


def test_motion_of_a_batch_is_that_of_its_images(network):
    frames = images(3, 2)
    ego = 0.01 * torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    both = run(network.motion, *frames, ego)
    one = run(network.motion, *(f[1:] for f in frames), ego[1:])
    torch.testing.assert_close(both.complete_flow[0][1:], one.complete_flow[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(both.logits[0][1:], one.logits[0], atol=1e-6, rtol=0)


def test_a_scene_holds_together(network):
    frames = images(3)
    forward = run(network.scene, *frames, INTRINSICS)
    backward = run(network.scene, *frames, INTRINSICS, offset=-1)
    poses = {-1: run(network.relative_pose, frames[0], frames[1])}
    poses[1] = run(network.relative_pose, frames[2], frames[1])
    torch.testing.assert_close(forward.pose, poses[1].matrix())
    torch.testing.assert_close(backward.pose, poses[-1].matrix())
    flow = forward.flow
    torch.testing.assert_close(flow.residual, flow.complete - flow.ego)
    torch.testing.assert_close(flow.independent, flow.residual * forward.mask)
    torch.testing.assert_close(backward.flow.complete, -flow.complete)
    half = run(network.scene, *frames, INTRINSICS, time_step=torch.tensor([0.5]))
    torch.testing.assert_close(half.flow.complete, flow.complete / 2)
    torch.testing.assert_close(half.flow.ego, flow.ego)
    ego = ego_motion(poses)
    assert ego.shape == (1, 6)
    torch.testing.assert_close(ego[:, :3], (poses[-1].translation - poses[1].translation) / 2)
    with pytest.raises(ValueError, match="offset is -1 or 1"):
        network.scene(*frames, INTRINSICS, offset=2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_stays_near(network, dtype):
    frames = images(3)
    full = run(network.scene, *frames, INTRINSICS)
    network.use_autocast(dtype)
    half = run(network.scene, *frames, INTRINSICS)
    network.use_autocast(None)
    assert half.depth.dtype == half.mask.dtype == torch.float32
    torch.testing.assert_close(half.depth, full.depth, rtol=0.05, atol=0)
    torch.testing.assert_close(half.mask, full.mask, rtol=0, atol=0.05)


def test_training_reaches_every_parameter_in_use():
    network = created("dynamo_depth", drop_path=0.0).train()
    previous, target, following = images(3, 2, 32, 32)
    poses = {-1: network.relative_pose(previous, target)}
    poses[1] = network.relative_pose(following, target)
    motion = network.motion(previous, target, following, ego_motion(poses), (0, 1, 2))
    found = [*network(target), *motion.complete_flow.values(), *motion.logits.values()]
    assert len(found) == 9
    sum(x.mean() for x in found).backward()
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert all(".fc." in n or (".norm." in n and ".stages." in n) for n in without)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth_model": "resnet"}, "depth_model is one of litemono, monodepthv2"),
        ({"parts": ("colour",)}, "parts are some of depth, pose, motion"),
        ({"scales": (3,)}, "scales of litemono"),
        ({"layers": 19, "parts": ("pose",)}, "layers is one of"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create("dynamo_depth", **options)
    assert "\n" not in str(caught.value)


def test_wrong_inputs_are_refused(network):
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match="multiples of 32"):
        network(image[..., :40])
    with pytest.raises(ValueError, match="one shape"):
        network.relative_pose(image, image[..., :32])
    with pytest.raises(ValueError, match="0 to 5"):
        network.motion(image, image, image, torch.zeros(1, 6), (6,))


def test_compiled_gives_the_same_motion(network):
    frames = images(3)
    ego = torch.full((1, 6), 0.01)
    compiled = torch.compile(network.motion, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        run(compiled, *frames, ego).complete_flow[0],
        run(network.motion, *frames, ego).complete_flow[0],
        rtol=0,
        atol=1e-6,
    )
