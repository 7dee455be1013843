"""DynamicStereo as its description says it: every frame at once, three-dimensional convolutions.

The second opinion on `depthzoo.networks.dynamic_stereo`, whose weights it uses: the correlation is
a volume read by bilinear sampling, attention is written out, every iteration is upsampled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812


def interp(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def volume(left, right):
    c, w = left.shape[1], right.shape[-1]
    products = torch.einsum("ncyi,ncyj->nyij", left, right) / c**0.5
    rows = products.reshape(-1, 1, 1, w)
    pyramid = [rows]
    for _ in range(4):  # one more than is looked up
        pyramid.append(F.avg_pool2d(pyramid[-1], (1, 2), stride=(1, 2)))
    return pyramid[:4]


def lookup(pyramid, x):
    n, h, w = x.shape
    offsets = torch.arange(-4, 5, dtype=x.dtype, device=x.device)
    samples = []
    for level, rows in enumerate(pyramid):
        at = x.reshape(-1, 1, 1) / 2**level + offsets
        grid = torch.stack([2 * at / (rows.shape[-1] - 1) - 1, torch.zeros_like(at)], -1)
        found = F.grid_sample(rows, grid, align_corners=True)
        samples.append(found.view(n, h, w, -1))
    return torch.cat(samples, -1).permute(0, 3, 1, 2).contiguous()


def upsample(flow, mask):
    n, c, h, w = flow.shape
    weights = torch.softmax(mask.view(n, 1, 9, 4, 4, h, w), 2)
    around = F.unfold(4 * flow, 3, padding=1).view(n, c, 9, 1, 1, h, w)
    fine = (weights * around).sum(2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(n, c, 4 * h, 4 * w)


def attend(layer, x, source):
    n, _, c = x.shape
    q = F.elu(layer.q_proj(x)).view(n, -1, 8, c // 8) + 1
    k = F.elu(layer.k_proj(source)).view(n, -1, 8, c // 8) + 1
    v = layer.v_proj(source).view(n, -1, 8, c // 8)
    length = source.shape[1]
    summary = torch.einsum("nshd,nshe->nhde", k, v / length)
    z = 1 / (torch.einsum("nlhd,nhd->nlh", q, k.sum(1)) + 1e-6)
    message = torch.einsum("nlhd,nhde,nlh->nlhe", q, summary, z) * length
    message = layer.norm1(layer.merge(message.flatten(2)))
    return x + layer.norm2(layer.mlp(torch.cat([x, message], -1)))


def attend_in_time(block, x):
    """Tokens (T, L, C)."""
    y = block.temporal_norm1(x.transpose(0, 1))
    heads = y.view(*y.shape[:2], 8, -1).transpose(1, 2)
    weights = torch.softmax(heads @ heads.transpose(-1, -2) / heads.shape[-1] ** 0.5, -1)
    message = (weights @ heads).transpose(1, 2).flatten(2)
    return x + block.temporal_fc(block.temporal_attn.proj(message)).transpose(0, 1)


def encode(network, maps):
    """Position, as four nested sums would give it."""
    _, c, h, w = maps.shape
    code = torch.zeros_like(maps[0])
    x = torch.arange(1, w + 1, dtype=maps.dtype, device=maps.device).expand(h, w)
    y = torch.arange(1, h + 1, dtype=maps.dtype, device=maps.device)[:, None].expand(h, w)
    for j in range(c // 4):
        f = 10000.0 ** (-4 * j / c)
        code[4 * j : 4 * j + 4] = torch.stack(
            [(x * f).sin(), (x * f).cos(), (y * f).sin(), (y * f).cos()]
        )
    return maps + code


def transform(network, left, right):
    t, c, h, w = left.shape
    a, b = (encode(network, m).flatten(2).transpose(1, 2) for m in (left, right))
    if hasattr(network, "time_embed"):
        at = torch.arange(t) * network.options.num_frames // t
        a, b = (x + network.time_embed[0, at][:, None] for x in (a, b))
    for i in range(4):
        for block in network.self_attn_blocks[i : i + 1]:
            a, b = attend(block.layers[0], a, a), attend(block.layers[0], b, b)
        for block in network.cross_attn_blocks[i : i + 1]:
            a = attend(block.layers[0], a, b)
            b = attend(block.layers[0], b, a)
        for block in network.time_attn_blocks[i : i + 1]:
            a, b = attend_in_time(block, a), attend_in_time(block, b)
    return (x.transpose(1, 2).reshape(t, c, h, w) for x in (a, b))


def gru(cell, h, x):
    """(T, C, h, w), or in three dimensions (1, C, T, h, w)."""
    for step in range(1, cell.steps + 1):
        z, r, q = (getattr(cell, f"conv{gate}{step}") for gate in "zrq")

        def conv(layer, value):
            padding = [n // 2 for n in layer.kernel_size]
            apply = F.conv3d if value.dim() == 5 else F.conv2d
            return apply(value, layer.weight, layer.bias, padding=padding)

        hx = torch.cat([h, x], 1)
        gate, reset = torch.sigmoid(conv(z, hx)), torch.sigmoid(conv(r, hx))
        new = torch.tanh(conv(q, torch.cat([reset * h, x], 1)))
        h = (1 - gate) * h + gate * new
    return h


def stage(network, scale, left, right, net, flow, iterations, steps):
    shared = not network.options.different_update_blocks
    block = getattr(network, "update_block" if shared else f"update_block{scale:02}")
    h, w = left.shape[2:]
    pyramid, inp = volume(left, right), torch.relu(left[:, 128:])
    columns = torch.arange(w, dtype=flow.dtype, device=flow.device)
    for _ in range(iterations):
        motion = block.encoder(flow, lookup(pyramid, columns + flow[:, 0]))
        u = torch.cat([inp, motion], 1)
        tokens = u.flatten(2).transpose(1, 2)
        if block.time_attn is not None:
            tokens = attend_in_time(block.time_attn, tokens)
        if block.space_attn is not None:
            tokens = attend(block.space_attn.encoder_layer, tokens, tokens)
        u = tokens.transpose(1, 2).reshape(u.shape)
        head = block.flow_head
        if network.options.use_3d_update_block:
            net = gru(block.gru, net.transpose(0, 1)[None], u.transpose(0, 1)[None])
            delta = head.conv2(torch.relu(head.conv1(net)))
            net, delta = (x[0].transpose(0, 1) for x in (net, delta))
        else:
            net = gru(block.gru, net, u)
            delta = head.conv2(torch.relu(head.conv1(net)))
        flow = flow + delta
        up = upsample(flow, 0.25 * block.mask(net))
        steps.append(scale // 4 * interp(up, (scale * h, scale * w)) if scale > 4 else up)
    return net, up


def plain(network, left, right, iterations):
    """x-flow (T, 1, H, W) of a window (T, 3, H, W), 0..255."""
    left, right = (2 * (x / 255) - 1 for x in (left, right))
    fmap1, fmap2 = network.fnet(torch.cat([left, right])).chunk(2)
    left16, right16 = transform(network, F.avg_pool2d(fmap1, 4), F.avg_pool2d(fmap2, 4))
    steps = []
    net, up = torch.tanh(left16[:, :128]), torch.zeros_like(left16[:, :2])
    net, up = stage(network, 16, left16, right16, net, up, iterations // 2, steps)
    size = [n // 2 for n in fmap1.shape[2:]]
    left8, right8 = (
        (F.avg_pool2d(fine, 2) + interp(coarse, size)) / 2
        for fine, coarse in ((fmap1, left16), (fmap2, right16))
    )
    net = (torch.tanh(left8[:, :128]) + interp(net, size)) / 2
    start = -0.5 * interp(up, size)
    net, up = stage(network, 8, left8, right8, net, start, iterations // 2, steps)
    size = fmap1.shape[2:]
    net = (torch.tanh(fmap1[:, :128]) + interp(net, size)) / 2
    start = -0.5 * interp(up, size)
    stage(network, 4, fmap1, fmap2, net, start, iterations, steps)
    return steps[-1][:, :1]
