"""Dynamic-multiframe-depth's volumes and fusion, literally: everything at once, nothing saved."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

CHANNELS = (5 / 32, 16 / 32, 11 / 32)


def errors(warped, keyframe, use_ssim):
    """Photometric error per channel of warped images (D, 3, H, W)."""
    difference = (warped - keyframe).abs()
    if use_ssim == 0:
        return difference
    if use_ssim == 3:
        return F.avg_pool2d(difference, 3, 1, 1)
    x, y = (F.pad(i, (1, 1, 1, 1), mode="reflect") for i in (warped + 0.5, keyframe + 0.5))
    mx, my = F.avg_pool2d(x, 3, 1), F.avg_pool2d(y, 3, 1)
    sx, sy = F.avg_pool2d(x**2, 3, 1) - mx**2, F.avg_pool2d(y**2, 3, 1) - my**2
    sxy = F.avg_pool2d(x * y, 3, 1) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mx * my + c1) * (2 * sxy + c2)
    ssim = above / ((mx**2 + my**2 + c1) * (sx + sy + c2))
    error = ((1 - ssim) / 2).clamp(0, 1)
    return error if use_ssim == 1 else 0.85 * error + 0.15 * difference


def cost_volume(keyframe, pose, matrix, frames, poses, matrices, *, steps=32, patch=3, use_ssim=1):
    """(N, steps, H, W) and what each frame says by itself."""
    n, _, h, w = keyframe.shape
    inverse = torch.linspace(0.0025, 0.33, steps, dtype=keyframe.dtype)
    v, u = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)]).reshape(3, -1).to(keyframe.dtype)
    border = patch // 2 + 1
    mask = torch.zeros(1, 1, h, w, dtype=keyframe.dtype)
    mask[..., border : h - border, border : w - border] = 1
    weights = torch.tensor(CHANNELS, dtype=keyframe.dtype).view(1, 3, 1, 1)
    kernel = weights.expand(1, 3, patch, patch) / patch**2
    volumes, singles = [], [[] for _ in frames]
    for b in range(n):
        rays = torch.inverse(matrix[b])[:3, :3] @ pixels
        points = (1 / inverse).view(-1, 1, 1) * rays
        points = torch.cat([points, torch.ones_like(points[:, :1])], 1)
        sads, valids = [], []
        for f in range(len(frames)):
            move = torch.inverse(poses[f][b]) @ pose[b]
            p = (matrices[f][b] @ move)[:3] @ points
            place = p[:, :2] / (p[:, 2:] + 1e-7)
            size = torch.tensor([w - 1, h - 1], dtype=keyframe.dtype).view(2, 1)
            grid = ((place / size - 0.5) * 2).clamp(-2, 2)
            grid = grid.transpose(1, 2).reshape(steps, h, w, 2)
            sample = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": False}
            warped = F.grid_sample(frames[f][b : b + 1].expand(steps, -1, -1, -1), grid, **sample)
            seen = F.grid_sample(mask.expand(steps, -1, -1, -1), grid, **sample)
            valids.append(mask[0, 0] * (seen != 0).all(0)[0])
            error = errors(warped, keyframe[b : b + 1], use_ssim)
            sads.append(F.conv2d(error, kernel, padding=patch // 2)[:, 0])
            singles[f].append((1 - 2 * sads[-1]) * valids[-1])
        total, volume = torch.zeros(h, w), torch.zeros(steps, h, w, dtype=keyframe.dtype)
        for sad, valid in zip(sads, valids, strict=True):
            s = torch.exp(-10 * (sad - sad.min(0).values) ** 2).sum(0)
            weight = (1 - (s - 1) / (steps - 1)) * valid
            total = total + weight
            volume = volume + weight * sad
        found = torch.where(total != 0, total, torch.ones_like(total))
        volumes.append(torch.where(total != 0, 1 - 2 * volume / found, torch.zeros_like(volume)))
    return torch.stack(volumes), [torch.stack(single) for single in singles]


def one_hot(inverse, steps=32):
    """(N, steps, H, W): 1 at the hypothesis nearest in depth."""
    depth = (1 / inverse).clamp(1e-3, 80)
    places = 1 / torch.linspace(0.0025, 0.33, steps, dtype=inverse.dtype)
    nearest = (depth - places.view(1, -1, 1, 1)).abs().argmin(1)
    return F.one_hot(nearest, steps).permute(0, 3, 1, 2).to(inverse.dtype)


def fuse(module, mono, multi):
    """The published fusion with the whole matrices of attention."""
    small = {"mono": module.mono_expand(mono), "multi": module.multi_expand(multi)}
    out = {}
    for guide, other in (("mono", "multi"), ("multi", "mono")):
        q = getattr(module, f"lin_{guide}_q")(small[guide]).flatten(2)
        k = getattr(module, f"lin_{guide}_k")(small[guide]).flatten(2)
        v = getattr(module, f"lin_{other}_v")(small[other])
        attention = torch.softmax(q.transpose(1, 2) @ k, -1)
        out[other] = (v.flatten(2) @ attention.transpose(1, 2)).view(v.shape)
    fused = F.interpolate(torch.cat([out["multi"], out["mono"]], 1), mono.shape[2:])
    kept = torch.cat([module.mono_reg(mono), module.multi_reg(multi)], 1)
    return kept + module.gamma * fused


def estimate(network, keyframe, volume):
    """Inverse depth of all scales from the cost volume on."""
    features = network._feature_extractor(keyframe + 0.5, levels=5)[:3]
    mono = network.mono_module(keyframe, features, (0, 1, 2, 3))
    fused = fuse(network.fusion_module, one_hot(mono[0]), volume)
    return network.depth_module(torch.cat([fused, keyframe], 1), features, (0, 1, 2, 3))
