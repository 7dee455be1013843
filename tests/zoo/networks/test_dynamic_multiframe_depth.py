"""Dynamic-multiframe-depth: against a literal second opinion, options, precisions, memory.

Its numbers are compared with recorded ones in test_parity.py.
"""

from __future__ import annotations

import pytest
import torch
from zoo.plain import dynamic_multiframe_depth as plain
from zoo.seeding import created, images

from depthzoo import networks
from depthzoo.networks.efficientnet import EfficientNetB5, pad_same
from depthzoo.networks.insta_dm_projection import pose_matrix
from depthzoo.networks.multiframe_cost_volume import (
    CostVolume,
    hypotheses_at_once,
    relative_pose,
)

NAME = "dynamic_multiframe_depth"


@pytest.fixture(scope="module")
def network():
    return visible(created(NAME))


def visible(network):
    torch.nn.init.constant_(network.fusion_module.gamma, 0.5)
    return network


def run(call, *args, **options):
    with torch.inference_mode():
        return call(*args, **options)


def window(n=1, h=48, w=80, sources=2, dtype=torch.float32, seed=0):
    """A keyframe and its sources, moved by half a metre or so."""
    generator = torch.Generator().manual_seed(seed)
    keyframe, *frames = (i.to(dtype) - 0.5 for i in images(1 + sources, n, h, w, seed))
    vectors = torch.randn(1 + sources, n, 6, generator=generator, dtype=dtype)
    vectors = vectors * torch.tensor([0.3, 0.2, 0.8, 0.02, 0.02, 0.02], dtype=dtype)
    keyframe_pose, *poses = (pose_matrix(vector) for vector in vectors)
    matrix = torch.eye(4, dtype=dtype).repeat(n, 1, 1)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 0.9 * w
    matrix[:, 0, 2], matrix[:, 1, 2] = 0.48 * w, 0.52 * h
    return keyframe, keyframe_pose, matrix, frames, poses, [matrix.clone() for _ in frames]


def volume_of(volume, keyframe, pose, matrix, frames, poses, matrices, **options):
    between = [relative_pose(pose, other) for other in poses]
    return run(volume, keyframe, matrix, frames, between, matrices, **options)


# ---------------------------------------------------------------- cost volume


@pytest.mark.parametrize("use_ssim", [0, 1, 2, 3])
@pytest.mark.parametrize(("steps", "patch"), [(32, 3), (5, 1), (8, 5)])
def test_cost_volume_by_its_definition(use_ssim, steps, patch):
    given = window(2, 40, 67, dtype=torch.float64)
    want, singles = plain.cost_volume(*given, steps=steps, patch=patch, use_ssim=use_ssim)
    seen: dict[str, torch.Tensor] = {}
    volume = CostVolume(steps=steps, patch=patch, error=use_ssim)
    got = volume_of(volume, *given, trace=seen.__setitem__)
    assert 0.1 < (want != 0).double().mean() < 1  # the borders are seen by no frame
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    for f, single in enumerate(singles):
        torch.testing.assert_close(seen[f"single_frame_cv_{f}"], single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_hypotheses_at_once_change_memory_alone(at_once):
    given = window()
    torch.testing.assert_close(
        volume_of(CostVolume(), *given, at_once=at_once),
        volume_of(CostVolume(), *given, at_once=32),
        rtol=0,
        atol=1e-6,
    )


def test_on_a_cpu_the_images_of_a_step_fit_its_cache():
    assert hypotheses_at_once(256, 512, 32, "cpu") == 2
    assert hypotheses_at_once(16, 16, 32, "cpu") == 32
    assert hypotheses_at_once(4096, 4096, 32, "cpu") == 1
    assert hypotheses_at_once(4096, 4096, 32, "cuda") == 32


def test_order_of_the_sources_does_not_matter():
    keyframe, pose, matrix, *lists = window(sources=3)
    swapped = [[x[2], x[0], x[1]] for x in lists]
    torch.testing.assert_close(
        volume_of(CostVolume(), keyframe, pose, matrix, *lists),
        volume_of(CostVolume(), keyframe, pose, matrix, *swapped),
        rtol=0,
        atol=1e-5,
    )


def test_far_from_the_origin_float32_poses_in_float64_are_as_good():
    given = window()
    near = volume_of(CostVolume(), *given)
    keyframe, pose, matrix, frames, poses, matrices = given
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([3000.0, -20.0, 8000.0])
    pose, poses = shift @ pose.double(), [shift @ p.double() for p in poses]
    far = volume_of(CostVolume(), keyframe, pose, matrix, frames, poses, matrices)
    torch.testing.assert_close(far, near, rtol=0, atol=1e-4)


def test_the_true_depth_matches_best():
    volume = CostVolume()
    index = 20
    depth = float(volume.depths(torch.zeros(1, dtype=torch.float64))[index])
    keyframe, pose, matrix, *_ = window(1, 64, 96, 0, dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64)[None]
    other = pose.clone()
    other[:, 0, 3] = 6 * depth / float(matrix[0, 0, 0])  # a wall that moves by six pixels
    frame = torch.roll(keyframe, -6, 3)
    found = volume_of(volume, keyframe, pose, matrix, [frame], [other], [matrix])
    inside = found[0, :, 8:-8, 24:-24]
    assert (inside.argmax(0) - index).abs().double().mean() < 1
    assert inside[index].mean() > 0.8


def test_no_gradient_passes_the_volume():
    keyframe, pose, matrix, frames, poses, matrices = window()
    keyframe.requires_grad_()
    between = [relative_pose(pose, other) for other in poses]
    assert not CostVolume()(keyframe, matrix, frames, between, matrices).requires_grad


# ---------------------------------------------------------------- the network


def test_the_whole_is_its_parts_done_literally():
    network = visible(created(NAME)).double()
    given = window(dtype=torch.float64)
    got = run(network, *given, scales=(0, 1, 2, 3)).multi
    want = run(plain.estimate, network, given[0], plain.cost_volume(*given)[0])
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_every_hypothesis_is_the_nearest_in_depth(network):
    generator = torch.Generator().manual_seed(0)
    inverse = 0.0025 + 0.3275 * torch.rand(2, 1, 60, 70, generator=generator).square()
    index = network._hypothesis(inverse)
    want = plain.one_hot(inverse.double()).argmax(1, keepdim=True)
    assert index.min() >= 1 and index.max() == 31  # 80 m bounds the depth
    assert (index != want).float().mean() < 1e-3
    middle = (network.cost_volume.depths(inverse.double())[3:5]).mean()
    assert network._hypothesis(1 / middle.view(1, 1, 1, 1)) == 3  # the farther of two


@pytest.mark.parametrize("size", [(16, 48), (48, 16), (64, 80)])
def test_sizes_are_multiples_of_16(network, size):
    found = run(network, *window(1, *size))
    assert [tuple(x.shape) for x in (*found.multi, *found.mono)] == [(1, 1, *size)] * 2
    assert all(((x >= 0.0025) & (x <= 0.33)).all() for x in (*found.multi, *found.mono))


@pytest.mark.parametrize("sources", [1, 3])
def test_any_number_of_sources(network, sources):
    assert run(network, *window(sources=sources)).multi[0].isfinite().all()


def test_scales_that_nobody_asks_for_are_not_computed(network):
    given = window()
    everything = run(network, *given, scales=(0, 1, 2, 3))
    assert [x.shape[-1] for x in everything.multi] == [80, 40, 20, 10]
    called = []
    hooks = [
        head.register_forward_hook(lambda *_, k=k: called.append(k))
        for k, head in enumerate(network.depth_module.predictors)
    ]
    coarse = run(network, *given, scales=(2,))
    assert called == [1]
    torch.testing.assert_close(coarse.multi[0], everything.multi[2])
    torch.testing.assert_close(coarse.mono[0], everything.mono[2])
    called.clear()
    run(network, *given)
    assert called == [3]
    for hook in hooks:
        hook.remove()
    with pytest.raises(ValueError, match="scales are some of"):
        run(network, *given, scales=(4,))


def test_the_keyframe_alone_gives_the_mono_branch(network):
    given = window()
    torch.testing.assert_close(run(network.single, given[0]), run(network, *given).mono[0])


def test_a_batch_is_its_windows_one_by_one(network):
    given = window(2)
    both = run(network, *given).multi[0]
    one = run(network, *(x[1:] if torch.is_tensor(x) else [y[1:] for y in x] for x in given))
    different = (both[1:] - one.multi[0]).abs() > 1e-4
    assert different.float().mean() < 0.02  # a pixel may change its hypothesis


@pytest.mark.parametrize("kind", ["mono_guide_multi", "multi_guide_mono"])
def test_one_sided_fusions_have_half_of_the_channels(kind):
    network = visible(networks.create(NAME, fusion_type=kind))
    assert network.depth_module.enc[0][0].conv_y.in_channels == 35
    assert run(network, *window()).multi[0].shape == (1, 1, 48, 80)


def test_wide_images_are_reduced_once_more():
    wide = networks.create(NAME, input_size=(256, 1024))
    seen: dict[str, torch.Tensor] = {}
    run(wide, *window(), trace=seen.__setitem__)
    assert seen["attention"].shape == (1, 64, 6, 10)


def test_the_large_model_runs():
    large = networks.create(NAME, large_model=True, fusion_type="mono_guide_multi")
    assert run(large, *window(1, 16, 32)).multi[0].shape == (1, 1, 16, 32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_stays_near(network, dtype):
    given = window()
    seen: dict[str, torch.Tensor] = {}
    full = run(network, *given, trace=seen.__setitem__)
    volume = seen["cost_volume"]
    network.use_autocast(dtype)
    rough = run(network, *given, trace=seen.__setitem__)
    network.use_autocast(None)
    assert torch.equal(seen["cost_volume"], volume)
    assert seen["fused"].dtype == getattr(torch, dtype)
    assert rough.multi[0].dtype == rough.mono[0].dtype == torch.float32
    assert torch.equal(rough.mono[0], full.mono[0])  # it decides which hypothesis a pixel is of
    assert not torch.equal(rough.multi[0], full.multi[0])
    share = 0.005 if dtype == "float16" else 0.05
    torch.testing.assert_close(
        rough.multi[0], full.multi[0], rtol=0, atol=share * float(full.multi[0].max())
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone_type": "vgg"}, "backbone_type is one of resnet18, efficientnetb5"),
        ({"fusion_type": "sum"}, "fusion_type is one of ccf_fusion"),
        ({"cv_patch_size": 4}, "cv_patch_size odd"),
        ({"cv_depth_steps": 1}, "cv_depth_steps is at least 2"),
        ({"use_ssim": 4}, "use_ssim is one of"),
        ({"inv_depth_min_max": (0.0025, 0.33)}, "smallest, then of the largest"),
        ({"input_size": (1, 2, 3)}, "input_size is two numbers"),
        ({"colour": 1}, "no option colour"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as caught:
        networks.create(NAME, **options)
    assert "\n" not in str(caught.value)


def test_wrong_inputs_are_refused(network):
    keyframe, pose, matrix, frames, poses, matrices = window()
    with pytest.raises(ValueError, match="multiples of 16"):
        network(*window(1, 40, 80))
    with pytest.raises(ValueError, match="one shape"):
        network(keyframe, pose, matrix, [frames[0][..., :64]], poses[:1], matrices[:1])
    with pytest.raises(ValueError, match="one frame or more"):
        network(keyframe, pose, matrix, [], [], [])
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        network(keyframe, pose, matrix, frames, poses[:1], matrices)


def test_training_reaches_every_parameter_in_use():
    network = visible(created(NAME)).train()
    found = network(*window(2, 32, 48))
    assert len(found.multi) == len(found.mono) == 4
    sum(x.mean() for x in (*found.multi, *found.mono)).backward()
    dead = ("layer3", "layer4", ".fc.")
    without = {n for n, p in network.named_parameters() if p.grad is None}
    assert without and all(any(part in name for part in dead) for name in without)


# ---------------------------------------------------------------- EfficientNet


def test_efficientnet_has_the_keys_of_the_published_one():
    with torch.device("meta"):
        state = EfficientNetB5().state_dict()
    assert len(state) == 852
    assert state["conv_head.weight"].shape == (2048, 512, 1, 1)
    assert state["blocks.5.0.se.conv_reduce.weight"].shape[0] == 44  # a quarter of 176


def test_stages_that_are_not_used_are_not_computed():
    network = EfficientNetB5().eval()
    called = []
    network.blocks[3].register_forward_hook(lambda *_: called.append(3))
    (image,) = images()
    assert len(run(network, image)) == 3 and not called
    assert [f.shape[1] for f in run(network, image, 7)] == [24, 40, 64, 128, 176, 304, 512]
    assert called


@pytest.mark.parametrize(
    ("size", "kernel", "want"), [(8, 3, (0, 1)), (8, 5, (1, 2)), (9, 3, (1, 1)), (8, 7, (2, 3))]
)
def test_odd_zeros_go_to_the_end(size, kernel, want):
    padded = pad_same(torch.ones(1, 1, size, size), (kernel, kernel), (2, 2))[0, 0, size // 2]
    ones = torch.nonzero(padded).flatten()
    assert (int(ones[0]), len(padded) - 1 - int(ones[-1])) == want


# ---------------------------------------------------------------- export


def test_onnx_of_the_learnt_part_gives_the_same_depth(network, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")

    class FromVolume(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, keyframe, volume):
            return self.network.estimate(keyframe, volume).multi[0]

    given = window()
    keyframe, volume = given[0], volume_of(network.cost_volume, *given)
    exported = torch.onnx.export(
        FromVolume().eval(), (torch.zeros_like(keyframe), volume), dynamo=True, verbose=False
    )
    exported.save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    names = [entry.name for entry in session.get_inputs()]
    (got,) = session.run(None, dict(zip(names, (keyframe.numpy(), volume.numpy()), strict=True)))
    off = (torch.from_numpy(got) - run(network, *given).multi[0]).abs()
    assert (off > 1e-4).float().mean() < 0.02  # a pixel may change its hypothesis


def test_compiled_gives_the_same_depth(network):
    given = window(1, 16, 32)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        run(compiled, *given).multi[0], run(network, *given).multi[0], rtol=0, atol=1e-5
    )
