"""RAFT-Stereo as its description says it: both images at once, the full volume, nothing saved.

The second opinion on `depthzoo.networks.raft_stereo`, whose weights and options it uses.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from zoo.plain.dynamic_stereo import lookup, volume


def residual(block, x):
    y = block.norm1(block.conv1(x)).relu_()
    y = block.norm2(block.conv2(y)).relu_()
    if block.downsample is not None:
        x = block.norm3(block.downsample[0](x))
    return (x + y).relu_()


def through(blocks, x):
    for block in blocks:
        x = residual(block, x)
    return x


def trunk(net, images):
    x = net.norm1(net.conv1(images)).relu_()
    return through(net.layer3, through(net.layer2, through(net.layer1, x)))


def head(layers, x):
    return layers[1](residual(layers[0], x))


def encode(network, left, right):
    """Features of both images, initial states and context terms, finest level first."""
    net, options = network.cnet, network.options
    if options.shared_backbone:
        both = trunk(net, torch.cat([left, right]))
        features = head(network.conv2, both).chunk(2)
        x = both.chunk(2)[0]
    else:
        features, x = None, trunk(net, left)
    levels = [(head(net.outputs08[0], x), head(net.outputs08[1], x))]
    if options.n_gru_layers > 1:
        x = through(net.layer4, x)
        levels.append((head(net.outputs16[0], x), head(net.outputs16[1], x)))
    if options.n_gru_layers > 2:
        x = through(net.layer5, x)
        levels.append((net.outputs32[0](x), net.outputs32[1](x)))
    states = [torch.tanh(state) for state, _ in levels]
    terms = [
        conv(torch.relu(context)).chunk(3, 1)
        for conv, (_, context) in zip(network.context_zqr_convs, levels, strict=True)
    ]
    if features is None:
        features = network.fnet.conv2(trunk(network.fnet, torch.cat([left, right]))).chunk(2)
    return features, states, terms


def gru(cell, h, terms, *inputs):
    x = torch.cat(inputs, 1)
    hx = torch.cat([h, x], 1)
    z, r = torch.sigmoid(cell.convz(hx) + terms[0]), torch.sigmoid(cell.convr(hx) + terms[1])
    q = torch.tanh(cell.convq(torch.cat([r * h, x], 1)) + terms[2])
    return (1 - z) * h + z * q


def pool(x):
    return F.avg_pool2d(x, 3, stride=2, padding=1)


def interp(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def motion(encoder, flow, corr):
    a = torch.relu(encoder.convc2(torch.relu(encoder.convc1(corr))))
    b = torch.relu(encoder.convf2(torch.relu(encoder.convf1(flow))))
    return torch.cat([torch.relu(encoder.conv(torch.cat([a, b], 1))), flow], 1)


def update(block, states, terms, *, coarsest=True, middle=True, finest=None):
    """Refresh the levels that are asked for; `finest` is flow and correlation."""
    h, count = list(states), len(states)
    if coarsest and count > 2:
        h[2] = gru(block.gru32, h[2], terms[2], pool(h[1]))
    if middle and count > 1:
        above = [interp(h[2], h[1])] if count > 2 else []
        h[1] = gru(block.gru16, h[1], terms[1], pool(h[0]), *above)
    if finest is not None:
        above = [interp(h[1], h[0])] if count > 1 else []
        h[0] = gru(block.gru08, h[0], terms[0], motion(block.encoder, *finest), *above)
    return h


def upsample(flow, mask, f):
    n, c, h, w = flow.shape
    weights = torch.softmax(mask.view(n, 1, 9, f, f, h, w), 2)
    around = F.unfold(f * flow, 3, padding=1).view(n, c, 9, 1, 1, h, w)
    fine = (weights * around).sum(2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(n, c, f * h, f * w)


def plain(network, left, right, iterations):
    """x-flow (N, 1, H, W) of images (N, 3, H, W), 0..255; four levels, radius 4."""
    block = network.update_block
    left, right = (2 * (x / 255) - 1 for x in (left, right))
    features, states, terms = encode(network, left, right)
    pyramid = volume(*features)
    n, _, h, w = features[0].shape
    columns = torch.arange(w, dtype=left.dtype, device=left.device).expand(n, h, w)
    flow = torch.zeros(n, 2, h, w, dtype=left.dtype, device=left.device)
    for _ in range(iterations):
        corr = lookup(pyramid, columns + flow[:, 0])
        if network.options.slow_fast_gru:
            if len(states) > 2:
                states = update(block, states, terms, middle=False)
            states = update(block, states, terms)
        states = update(block, states, terms, finest=(flow, corr))
        delta = block.flow_head.conv2(torch.relu(block.flow_head.conv1(states[0])))
        flow = flow + delta * torch.tensor([1, 0], dtype=delta.dtype).view(1, 2, 1, 1)
        up = upsample(flow, 0.25 * block.mask(states[0]), 2**network.options.n_downsample)[:, :1]
    return up
