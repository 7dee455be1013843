"""Dynamo-Depth: its networks alone, and the whole of them in the configurations of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from depthzoo.parity_adapters import Adapter, Arrays, Meta, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ADAPTER"]

Results = dict[str, "Tensor"]


def _build(meta: Meta, correlation: str) -> nn.Module:
    from depthzoo import networks

    name = str(meta["network"])
    if name in ("litemono", "monodepthv2"):
        options = {"depth_model": name, "parts": ("depth",), "scales": meta.get("scales", ())}
    elif name in ("pose", "motion"):
        options = {"parts": (name,)}
    else:  # full (NAME): ...
        depth_model = name.partition("(")[2].partition(")")[0]
        options = {"depth_model": depth_model, "scales": meta.get("scales", ())}
    return networks.create("dynamo_depth", **options)


def _run(network: Any, meta: Meta, arrays: Arrays, dtype: Any) -> Results:
    inputs = {
        name: tensor(network, array, dtype)
        for name, array in arrays.items()
        if name.startswith("in_")
    }
    runs: dict[str, Callable[[Any, Meta, Results], Results]] = {
        "litemono": _disparities,
        "monodepthv2": _disparities,
        "pose": _pose,
        "motion": _motion,
    }
    results = runs.get(str(meta["network"]), _everything)(network, meta, inputs)
    # intermediate results are recorded for the first image alone
    return {k: v[:1] if k.startswith("mid_") else v for k, v in results.items()}


@contextmanager
def _recorded(places: dict[str, nn.Module]) -> Iterator[Results]:
    """Keep what modules return, as it is before anything works on it in place."""
    results: Results = {}
    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: results.__setitem__(name, output.clone())
        )
        for name, module in places.items()
    ]
    try:
        yield results
    finally:
        for handle in handles:
            handle.remove()


def _features(features: list[Tensor]) -> Results:
    return {f"mid_feat_{level}": feature for level, feature in enumerate(features)}


def _disparities(network: Any, meta: Meta, inputs: Results) -> Results:
    image, scales = inputs["in_color"], network.options.scales
    encoder, decoder = network.depth_enc, network.depth_dec
    if network.options.depth_model == "litemono":
        places = {
            "mid_stem1": encoder.downsample_layers[0],
            "mid_stem2": encoder.stem2,
            "mid_down1": encoder.downsample_layers[1],
            "mid_down2": encoder.downsample_layers[2],
        }
        for s, stage in enumerate(encoder.stages):
            places |= {f"mid_stage{s}_block{b}": block for b, block in enumerate(stage)}
            places[f"mid_stage{s}_block{len(stage) - 1}_xca"] = stage[-1].xca
        last = encoder.stages[0][-1]
        places[f"mid_stage0_block{len(encoder.stages[0]) - 1}_posenc"] = last.pos_embd
    else:
        levels = [f"upconv_{i}_{j}" for i in range(5) for j in (0, 1)]
        places = {f"mid_{name}": decoder.part(name) for name in levels}
    with _recorded(places) as results:
        disparities = network(image, scales)
        features = encoder(image)
    results |= {f"out_disp_{s}": d for s, d in zip(scales, disparities, strict=True)}
    results |= _features(features)
    if network.options.depth_model == "litemono":
        pooled = (image - 0.45) / 0.225
        for level in (1, 2, 3):
            pooled = _pooled(pooled)
            results[f"mid_pool{level}"] = pooled
    else:
        results["mid_bn1"] = features[0]  # rectified in place before it was recorded
    return results


def _pooled(image: Tensor) -> Tensor:
    from depthzoo.networks.gru import pool_half

    return pool_half(image)


def _pose(network: Any, meta: Meta, inputs: Results) -> Results:
    from depthzoo.networks.geometry import invert_rigid

    other, target = inputs["in_frame_i"], inputs["in_frame_0"]
    squeeze, *_, last = network.pose_dec.net
    with _recorded({"mid_squeeze_pre_relu": squeeze, "mid_pose2": last}) as results:
        pose = network.relative_pose(other, target)
        features = network.pose_enc(other, target)
        vectors = network.pose_dec(features[-1])[:, :, None]
    return {
        **results,
        **_features(features),
        "out_axisangle_all": vectors[..., :3],
        "out_translation_all": vectors[..., 3:],
        "out_axisangle": pose.axis_angle[:, None],
        "out_translation": pose.translation[:, None],
        "out_cam_T_cam": invert_rigid(pose.matrix()),
        "out_pose_not_inverted": pose.matrix(),
    }


def _motion(network: Any, meta: Meta, inputs: Results) -> Results:
    frames = [inputs[f"in_frame_{name}"] for name in ("prev", "0", "next")]
    ego, scales = inputs["in_ego_motion"].flatten(1), range(6)
    places: dict[str, nn.Module] = {}
    for name, decoder in (("dec", network.motion_dec), ("mask", network.motion_mask)):
        places[f"mid_motion_{name}_residual_translation"] = decoder._residual_translation
        for level in scales:
            convolutions = decoder.get_submodule(f"refine_motion_conv{level}")
            places[f"mid_motion_{name}_conv{level}_0"] = convolutions[0]
            places[f"mid_motion_{name}_conv{level}_1"] = convolutions[1]
            places[f"mid_motion_{name}_redu{level}"] = decoder.get_submodule(
                f"refine_motion_redu{level}"
            )
        decoder.composed = False
    with _recorded(places) as results:  # layer by layer
        network.motion(*frames, ego, scales)
    network.motion_dec.composed = network.motion_mask.composed = True
    motion = network.motion(*frames, ego, scales)  # as predictions are made
    results |= {f"out_complete_flow_{s}": flow for s, flow in motion.complete_flow.items()}
    results |= {f"out_motion_prob_{s}": logits for s, logits in motion.logits.items()}
    results |= {f"out_motion_mask_{s}": logits.sigmoid() for s, logits in motion.logits.items()}
    return {**results, **_features(network.motion_enc(*frames))}


# ---------------------------------------------------------------- the whole of them


def _everything(network: Any, meta: Meta, inputs: Results) -> Results:
    """Results of every configuration; those of the last phase have no prefix."""
    from depthzoo.networks.photometric import image_pyramid

    results: Results = {}
    colours = {i: inputs[f"in_color_{i}"] for i in (-1, 0, 1)}
    scales = network.options.scales
    for s, colour in enumerate(image_pyramid(colours[0], max(scales) + 1)):
        results[f"out_color_0_scale{s}"] = colour
    for i, colour in colours.items():
        disparities = zip(scales, network(colour, scales), strict=True)
        results |= {f"out_disp_{i}_{s}": d for s, d in disparities}
    for phase in ("disp_init", "motion_init", "mask_init", "fine_tune"):
        found = _synthesis(network, inputs, results, phase)
        results |= {f"{phase}_{name}": value for name, value in found.items()}
        if phase == "fine_tune":
            results |= found
    return results


def _synthesis(network: Any, inputs: Results, known: Results, phase: str) -> Results:
    """Predictions and views of both neighbours at every scale, as one phase makes them."""
    import torch

    from depthzoo.networks.disparity import scaled_disparity
    from depthzoo.networks.dynamo_depth import ego_motion
    from depthzoo.networks.geometry import (
        back_project,
        inverse_warp,
        invert_rigid,
        sampling_grid,
        scale_intrinsics,
    )
    from depthzoo.networks.photometric import photometric_error
    from depthzoo.networks.scene_flow import moved_pixels, split_flow

    frames = [inputs[f"in_color_{i}"] for i in (-1, 0, 1)]
    target, size = frames[1], frames[1].shape[-2:]
    intrinsics = scale_intrinsics(inputs["in_K_normalised"], *size)
    poses = {i: network.relative_pose(frames[i + 1], target) for i in (-1, 1)}
    scales = network.options.scales
    motion = network.motion(*frames, ego_motion(poses), scales)
    out: Results = {}
    for i, pose in poses.items():
        out[f"out_axisangle_{i}"] = pose.axis_angle[:, None]
        out[f"out_translation_{i}"] = pose.translation[:, None]
        out[f"out_cam_T_cam_{i}"] = invert_rigid(pose.matrix())
    for s in scales:
        scaled = scaled_disparity(_resized(known[f"out_disp_0_{s}"], size))
        points = back_project(1 / scaled, intrinsics)
        out |= {f"out_disp_scaled_0_{s}": scaled, f"out_depth_0_{s}": 1 / scaled}
        errors = []
        for row, i in enumerate((-1, 1)):
            step = inputs["in_ts"][row][:, None, None, None]
            network_flow, logits = i * motion.complete_flow[s], motion.logits[s]
            transform = out[f"out_cam_T_cam_{i}"]
            mask = _resized(logits.sigmoid(), size)
            flow = split_flow(points, _resized(network_flow, size) * step, transform, mask)
            if phase == "disp_init":
                pixels = moved_pixels(points, intrinsics, transform=transform)
            elif phase == "motion_init":
                pixels = moved_pixels(points, intrinsics, flow=flow.complete)
            else:
                pixels = moved_pixels(
                    points, intrinsics, transform=transform, flow=flow.independent
                )
            warped = inverse_warp(frames[i + 1], pixels)
            errors.append(photometric_error(target, warped))
            ego_pixels = moved_pixels(points, intrinsics, transform=transform)
            complete_pixels = moved_pixels(points, intrinsics, flow=flow.complete)
            small = known[f"out_disp_0_{s}"].shape[-2:]
            out |= {
                f"out_complete_flow_{i}_{s}": network_flow,
                f"out_motion_mask_{i}_{s}": logits.sigmoid(),
                f"out_motion_prob_{i}_{s}": logits,
                f"out_sample_{i}_{s}": sampling_grid(pixels),
                f"out_sample_ego_{i}_{s}": sampling_grid(ego_pixels),
                f"out_sample_complete_{i}_{s}": sampling_grid(complete_pixels),
                f"out_color_{i}_{s}": warped,
                f"out_independ_flow_{i}_{s}": flow.independent,
                f"out_residual_flow_{i}_{s}": _resized(flow.residual, small),
                f"out_ego_flow_{i}_{s}": flow.ego.flatten(2),
            }
        still = [photometric_error(target, frames[i + 1]) for i in (-1, 1)]
        best = torch.cat([*still, *errors], 1).argmin(1)
        out[f"out_identity_selection_{s}"] = (best >= len(still)).to(target.dtype)
    return out


def _resized(values: Tensor, size: Any) -> Tensor:
    import torch.nn.functional as F  # noqa: N812

    return F.interpolate(values, tuple(size), mode="bilinear", align_corners=False)


ADAPTER = Adapter(_build, _run, ("in_*", "*_ground_picks_*"))
