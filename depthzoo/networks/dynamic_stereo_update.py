"""The recurrent update of DynamicStereo: motion, attention, GRU along x, y and time, flow head.

Karaev et al., "DynamicStereo", CVPR 2023, section 3.3. Everything here is about the T frames of one
window, (T, C, h, w). The authors' three-dimensional convolutions are computed as two-dimensional
ones: kernels 1x1x5, 1x5x1 and 5x1x1 run along one axis each, and a 3x3x3 kernel is a 3x3 kernel
over the channels of three neighbouring frames. So an update can go through the frames (and, along
time, through the rows) a few at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.correlation import Sampler
from depthzoo.networks.dynamic_stereo_attention import SpaceAttention, TimeAttention
from depthzoo.networks.pieces import in_pieces
from depthzoo.networks.raft_stereo import MotionEncoder
from depthzoo.networks.upsampling import convex_upsample

__all__ = ["FACTOR", "HIDDEN", "FlowHead", "Pieces", "SeparableGRU", "UpdateBlock", "over_frames"]

HIDDEN = 128
FACTOR = 4  # of the convex upsampling
_KERNELS = ((1, 5), (5, 1), (5, 1))  # along x, along y, and along the first axis: time


@dataclass(frozen=True)
class Pieces:
    """How many frames, and how many rows of all frames, are worked on at a time; None is all."""

    frames: int | None = None
    rows: int | None = None

    @classmethod
    def of(cls, positions: int | None, frames: int, height: int, width: int) -> Pieces:
        """Pieces of about so many positions; the size changes nothing but memory and speed."""
        if positions is None:
            return cls()
        return cls(max(1, positions // (height * width)), max(1, positions // (frames * width)))


class SeparableGRU(nn.Module):
    """GRU whose gates see five neighbours along one axis at a time."""

    def __init__(self, hidden: int, inputs: int, *, through_time: bool) -> None:
        super().__init__()
        self.steps = 3 if through_time else 2
        kernels = ((1, 1, 5), (1, 5, 1), (5, 1, 1)) if through_time else _KERNELS[:2]
        conv: Any = nn.Conv3d if through_time else nn.Conv2d
        for step, kernel in enumerate(kernels, 1):
            for gate in "zrq":
                setattr(self, f"conv{gate}{step}", conv(hidden + inputs, hidden, kernel))

    def step(self, number: int, h: Tensor, x: Tensor) -> Tensor:
        """Next state from the state `h` and the input `x`.

        Step 1 sees neighbours along the last axis, 2 and 3 along the one before: for step 3 that is
        time, tensors being (1, C, T, positions).
        """
        kernel, hidden = _KERNELS[number - 1], h.shape[1]
        padding = (kernel[0] // 2, kernel[1] // 2)
        convs = [getattr(self, f"conv{gate}{number}") for gate in "zrq"]
        weights = [conv.weight.reshape(*conv.weight.shape[:2], *kernel) for conv in convs]
        of_state = torch.cat([weight[:, :hidden] for weight in weights])
        of_input = torch.cat([weight[:, hidden:] for weight in weights])
        bias = torch.cat([conv.bias for conv in convs])
        terms = F.conv2d(x, of_input, bias, padding=padding)
        gates = F.conv2d(h, of_state[: 2 * hidden], padding=padding)
        z, r = gates.add_(terms[:, : 2 * hidden]).sigmoid_().chunk(2, 1)
        q = F.conv2d(r * h, of_state[2 * hidden :], padding=padding)
        q = q.add_(terms[:, 2 * hidden :]).tanh_()
        return torch.lerp(h, q.to(h.dtype), z.to(h.dtype))


class FlowHead(nn.Module):
    """Hidden state to a correction of the flow."""

    def __init__(self, hidden: int, *, through_time: bool) -> None:
        super().__init__()
        conv: Any = nn.Conv3d if through_time else nn.Conv2d
        self.conv1 = conv(hidden, 256, 3, padding=1)
        self.conv2 = conv(256, 2, 3, padding=1)
        self.through_time = through_time

    def forward(self, h: Tensor, pieces: Pieces) -> Tensor:
        """Map (T, hidden, h, w) to (T, 2, h, w)."""
        if not self.through_time:
            return in_pieces(
                lambda at: self.conv2(self.conv1(h[at]).relu_()), len(h), pieces.frames
            )
        # channels of the frame before, of the frame itself, of the frame after
        first: Tensor = self.conv1.weight.transpose(1, 2).flatten(1, 2)
        # what a frame adds to the frame after, to itself, to the frame before
        second = self.conv2.weight.permute(2, 0, 1, 3, 4).flatten(0, 1)

        def shares(at: slice) -> Tensor:
            hidden = F.conv2d(_with_neighbours(h, at), first, self.conv1.bias, padding=1)
            return F.conv2d(hidden.relu_(), second, padding=1)

        before, own, after = in_pieces(shares, len(h), pieces.frames).chunk(3, 1)
        bias: Tensor = self.conv2.bias
        total = own + bias[:, None, None].to(own.dtype)
        none = torch.zeros_like(total[:1])
        return total + torch.cat([none, before[:-1]]) + torch.cat([after[1:], none])


def _with_neighbours(h: Tensor, at: slice) -> Tensor:
    """(n, 3 C, h, w): each frame of a slice after its predecessor and before its successor."""
    none = torch.zeros_like(h[:1])
    before = h[at.start - 1 : at.stop - 1] if at.start else torch.cat([none, h[: at.stop - 1]])
    last = at.stop == len(h)
    after = torch.cat([h[at.start + 1 :], none]) if last else h[at.start + 1 : at.stop + 1]
    return torch.cat([before, h[at], after], 1)


class UpdateBlock(nn.Module):
    """One update of state and flow; options add attention to the input of the GRU."""

    def __init__(
        self, samples: int, *, through_time: bool, time: bool = False, space: bool = False
    ) -> None:
        super().__init__()
        self.encoder = MotionEncoder(samples, corr=(256, 192), flow=(128, 64))
        self.gru = SeparableGRU(HIDDEN, 2 * HIDDEN, through_time=through_time)
        self.flow_head = FlowHead(HIDDEN, through_time=through_time)
        self.mask = nn.Sequential(
            nn.Conv2d(HIDDEN, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 9 * FACTOR**2, 1),
        )
        self.time_attn = TimeAttention(2 * HIDDEN) if time else None
        self.space_attn = SpaceAttention(2 * HIDDEN) if space else None

    def forward(
        self, net: Tensor, features: Tensor, flow: Tensor, motion: Tensor, pieces: Pieces
    ) -> tuple[Tensor, Tensor]:
        """Refresh the state; return it and the correction of the flow (T, 2, h, w).

        Parameters
        ----------
        net : Tensor
            (T, 128, h, w); it is overwritten when the work goes by pieces.
        features : Tensor
            (T, 256, h, w) of the left view, whose second half is the context.
        flow : Tensor
            (T, 2, h, w).
        motion : Tensor
            (T, 128, h, w), what `encoder` made of flow and correlation.
        pieces : Pieces
        """
        frames, _, height, width = net.shape
        attended = self._attend(features, motion, pieces)

        def inputs(at: slice, rows: slice = slice(None)) -> Tensor:
            if attended is not None:
                return attended[at, :, rows]
            context = torch.relu(features[at, HIDDEN:, rows])
            return torch.cat([context, motion[at, :, rows]], 1)

        def along_space(at: slice) -> Tensor:
            x = inputs(at)
            return self.gru.step(2, self.gru.step(1, net[at], x), x)

        def along_time(rows: slice) -> Tensor:
            h, x = (
                part.transpose(0, 1).flatten(2)[None]
                for part in (net[:, :, rows], inputs(slice(None), rows))
            )
            after = self.gru.step(3, h, x)[0]
            return after.view(*after.shape[:2], -1, width).transpose(0, 1)

        net = in_pieces(along_space, frames, pieces.frames, out=net)
        if self.gru.steps == 3:
            net = in_pieces(along_time, height, pieces.rows, dim=2, out=net)
        return net, self.flow_head(net, pieces)

    def motion(self, flow: Tensor, corr_of: Sampler, pieces: Pieces) -> Tensor:
        """Motion features (T, 128, h, w) at a flow."""
        columns = torch.arange(flow.shape[-1], dtype=flow.dtype, device=flow.device)

        def encoded(at: slice) -> Tensor:
            here: Tensor = self.encoder(flow[at], corr_of(columns + flow[at, 0], at))
            return here

        return in_pieces(encoded, len(flow), pieces.frames)

    def upsampled(self, flow: Tensor, net: Tensor, pieces: Pieces) -> Tensor:
        """Flow (T, C, h, w) at four times the size, convexly combined."""

        def fine(at: slice) -> Tensor:
            mask = 0.25 * self.mask(net[at])
            with torch.autocast(flow.device.type, enabled=False):
                return convex_upsample(flow[at], mask, FACTOR)

        return in_pieces(fine, len(flow), pieces.frames)

    def _attend(self, features: Tensor, motion: Tensor, pieces: Pieces) -> Tensor | None:
        """Context and motion (T, 256, h, w) after attention, where the block has any."""
        if self.time_attn is None and self.space_attn is None:
            return None
        frames, _, height, width = motion.shape
        u = torch.cat([torch.relu(features[:, HIDDEN:]), motion], 1)
        if self.time_attn is not None:
            u = over_frames(self.time_attn, u, pieces)
        if self.space_attn is not None:
            space = self.space_attn

            def attended(at: slice) -> Tensor:
                tokens = u[at].flatten(2).transpose(1, 2)
                done: Tensor = space(tokens).transpose(1, 2)
                return done.reshape(*done.shape[:2], height, width)

            u = in_pieces(attended, frames, pieces.frames, out=u)
        return u


def over_frames(attention: TimeAttention, x: Tensor, pieces: Pieces) -> Tensor:
    """Apply an attention over time to every position of (T, C, h, w); may overwrite it."""

    def attended(rows: slice) -> Tensor:
        part = x[:, :, rows]
        tokens = part.flatten(2).permute(2, 0, 1)  # (positions, T, C)
        done: Tensor = attention(tokens).permute(1, 2, 0)
        return done.reshape(part.shape)

    return in_pieces(attended, x.shape[2], pieces.rows, dim=2, out=x)
