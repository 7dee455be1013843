"""Dynamo-Depth: depth, camera motion, 3-D scene flow and a mask of what moves by itself.

Sun, Hariharan, "Dynamo-Depth: Fixing Unsupervised Depth Estimation for Dynamical Scenes",
NeurIPS 2023, https://arxiv.org/abs/2310.18887. The seven sub-networks carry the names of their
checkpoint files. A depth network alone, a pose network alone ... are built by naming the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.disparity import MULTIPLE, check_images, depth_of, wanted_scales
from depthzoo.networks.geometry import back_project, invert_rigid
from depthzoo.networks.lite_mono import LiteMonoDecoder, LiteMonoEncoder, LiteMonoOptions
from depthzoo.networks.monodepth2 import DepthDecoder, PoseDecoder, PoseVector
from depthzoo.networks.precision import AutocastModule, without_autocast
from depthzoo.networks.resnet import ResNetEncoder
from depthzoo.networks.scene_flow import SceneFlow, moved_pixels, optical_flow, split_flow

__all__ = [
    "DynamoDepth",
    "DynamoDepthOptions",
    "Motion",
    "MotionDecoder",
    "Scene",
    "compose_scene",
    "ego_motion",
]

DepthModel = Literal["litemono", "monodepthv2"]
Part = Literal["depth", "pose", "motion"]

OFFSETS = (-1, 1)
"""The frames before and after the target."""
MOTION_LEVELS = 6
_MOTION_SCALE = 0.01
_EGO_SCALE = 100.0


@dataclass(frozen=True)
class DynamoDepthOptions:
    """Options of the architecture; defaults as published.

    Parameters
    ----------
    depth_model : str
        ``litemono`` (Lite-Mono 8m) or ``monodepthv2`` (ResNet).
    scales : tuple of int
        Disparities that have a head, and motion fields of training; not given, those of the paper:
        0 to 2, or 0 to 3 with ``monodepthv2``.
    layers : int
        Of the ResNets.
    parts : tuple of str
        What is built: ``depth``, ``pose``, ``motion``.
    drop_path : float
        Highest rate of stochastic depth of ``litemono``, in training.
    """

    depth_model: DepthModel = "litemono"
    scales: tuple[int, ...] = ()
    layers: int = 18
    parts: tuple[Part, ...] = get_args(Part)
    drop_path: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values that the architecture does not have."""
        if self.depth_model not in get_args(DepthModel):
            expected = ", ".join(get_args(DepthModel))
            raise ValueError(
                f"Dynamo-Depth: depth_model is one of {expected}; got {self.depth_model!r}"
            )
        if not self.parts or not set(self.parts) <= set(get_args(Part)):
            expected = ", ".join(get_args(Part))
            raise ValueError(f"Dynamo-Depth: parts are some of {expected}; got {self.parts!r}")
        most = 3 if self.depth_model == "litemono" else 4
        scales = tuple(sorted(set(self.scales))) or tuple(range(most))
        if not set(scales) <= set(range(most)):
            raise ValueError(
                f"Dynamo-Depth: scales of {self.depth_model} are some of {tuple(range(most))}; "
                f"got {self.scales}"
            )
        object.__setattr__(self, "scales", scales)


class Motion(NamedTuple):
    """What the motion networks say, by scale: sizes 1/2^s of the image's."""

    complete_flow: dict[int, Tensor]
    """(N, 3, H/2^s, W/2^s) towards the next frame; towards the previous one it is the negative."""
    logits: dict[int, Tensor]
    """(N, 1, H/2^s, W/2^s); their sigmoid is the probability of motion."""


class Scene(NamedTuple):
    """Everything about a target frame and one of its neighbours, at the size of the image."""

    depth: Tensor
    """(N, 1, H, W), up to one factor."""
    pose: Tensor
    """(N, 4, 4): the neighbour's camera in the axes of the target's."""
    flow: SceneFlow
    mask: Tensor
    """(N, 1, H, W) probability of motion."""
    optical_flow: Tensor
    """(N, 2, H, W) pixels."""


class MotionDecoder(nn.Module):
    """A motion field that is refined from the motion of the camera, level by level.

    No level has an activation, so its three convolutions are one linear map; in eval mode the
    second and the third run as one, whose weights are put together on the way (`composed`).

    Parameters
    ----------
    channels : sequence of int
        Of the pyramid, the image first.
    outputs : int
        3 for a flow, 1 for a mask.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.composed = True
        self._residual_translation = nn.Conv2d(6, outputs, 1)
        for level, n in enumerate(reversed(channels)):
            first = nn.Conv2d(n + outputs, n, 3, padding=1)
            second = nn.Conv2d(n, n, 3, padding=1)
            self.add_module(f"refine_motion_conv{level}", nn.ModuleList([first, second]))
            self.add_module(f"refine_motion_redu{level}", nn.Conv2d(2 * n, outputs, 1))

    def forward(
        self, pyramid: Sequence[Tensor], ego: Tensor, scales: Sequence[int]
    ) -> dict[int, Tensor]:
        """Fields (N, outputs, H/2^s, W/2^s) of the wanted scales.

        Parameters
        ----------
        pyramid : sequence of Tensor
            Stacked images, then the features from the finest.
        ego : Tensor
            (N, 6): translation, axis-angle; see `ego_motion`.
        scales : sequence of int
            0 to 5.
        """
        found: dict[int, Tensor] = {}
        motion = self._residual_translation(_EGO_SCALE * ego[:, :, None, None])
        for level in range(MOTION_LEVELS - min(scales)):
            scale = MOTION_LEVELS - 1 - level
            motion = self._refine(level, motion, pyramid[scale])
            if scale in scales:
                found[scale] = _MOTION_SCALE * motion
        return found

    def _refine(self, level: int, motion: Tensor, features: Tensor) -> Tensor:
        if level == 0:  # replicates a single pixel
            upsampled = motion.expand(-1, -1, *features.shape[-2:])
        else:
            upsampled = F.interpolate(
                motion, features.shape[-2:], mode="bilinear", align_corners=False
            )
        first, second = self.get_submodule(f"refine_motion_conv{level}").children()
        reduce = self.get_submodule(f"refine_motion_redu{level}")
        assert isinstance(second, nn.Conv2d) and isinstance(reduce, nn.Conv2d)
        a = first(torch.cat([upsampled, features], 1))
        if self.training or not self.composed:
            change: Tensor = reduce(torch.cat([a, second(a)], 1))
        else:
            change = F.conv2d(a, *_compose(second, reduce), padding=1)
        return upsampled + change


def _compose(second: nn.Conv2d, reduce: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of one 3x3 convolution that equals ``reduce(cat(a, second(a)))`` of a."""
    assert second.bias is not None and reduce.bias is not None
    with without_autocast(second.weight):
        of_a, of_b = reduce.weight[:, :, 0, 0].chunk(2, 1)
        weight = torch.einsum("kn,nmij->kmij", of_b, second.weight)
        weight = weight + F.pad(of_a[:, :, None, None], (1, 1, 1, 1))  # the centre tap
        return weight, of_b @ second.bias + reduce.bias


class DynamoDepth(AutocastModule):
    """The network; options as keywords, see `DynamoDepthOptions`.

    Examples
    --------
    >>> import torch
    >>> network = DynamoDepth(parts=("depth",)).eval()
    >>> with torch.inference_mode():
    ...     disparity = network(torch.zeros(1, 3, 64, 96))[0]
    >>> disparity.shape
    torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        *,
        depth_model: DepthModel = "litemono",
        scales: Sequence[int] = (),
        layers: int = 18,
        parts: Sequence[Part] = get_args(Part),
        drop_path: float = 0.4,
    ) -> None:
        super().__init__()
        self.options = opts = DynamoDepthOptions(
            depth_model, tuple(scales), layers, tuple(parts), drop_path
        )
        if "depth" in opts.parts:
            self._build_depth(opts)
        if "pose" in opts.parts:
            self.pose_enc = ResNetEncoder(layers, images=2)
            self.pose_dec = PoseDecoder(self.pose_enc.channels[-1], aliases=True)
        if "motion" in opts.parts:
            self.motion_enc = ResNetEncoder(layers, images=3)
            channels = (9, *self.motion_enc.channels)
            self.motion_dec = MotionDecoder(channels, 3)
            self.motion_mask = MotionDecoder(channels, 1)

    def _build_depth(self, opts: DynamoDepthOptions) -> None:
        self.depth_enc: nn.Module
        self.depth_dec: nn.Module
        if opts.depth_model == "litemono":
            self.depth_enc = LiteMonoEncoder(LiteMonoOptions("8m", drop_path=opts.drop_path))
            self.depth_dec = LiteMonoDecoder(self.depth_enc.channels, opts.scales)
        else:
            self.depth_enc = ResNetEncoder(opts.layers)
            self.depth_dec = DepthDecoder(self.depth_enc.channels, opts.scales, keys="named")

    def forward(self, image: Tensor, scales: Sequence[int] | None = None) -> list[Tensor]:
        """Predict disparity.

        Parameters
        ----------
        image : Tensor
            (N, 3, H, W) RGB in 0..1, multiples of 32 (at least 64 with ``monodepthv2``).
        scales : sequence of int, optional
            Wanted ones; scale 0 in eval mode and all in training when not given.

        Returns
        -------
        list of Tensor
            For each the sigmoid disparity (N, 1, H/2^s, W/2^s); `disparity.depth_of` converts it.
        """
        self._need("depth")
        least = MULTIPLE * (1 if self.options.depth_model == "litemono" else 2)
        check_images("Dynamo-Depth", image, least=least)
        scales = wanted_scales(self, self.options.scales, scales)
        with self._autocast(image):
            found = self.depth_dec(self.depth_enc(image), scales)
        return [found[scale].to(image.dtype) for scale in scales]

    def relative_pose(self, other: Tensor, target: Tensor) -> PoseVector:
        """Motion between a neighbouring image and the target, (N, 3, H, W) each.

        Its matrix is the pose of the other camera in the axes of the target's, whichever is first
        in time; points are brought from the target's camera to the other one by its inverse.
        """
        self._need("pose")
        check_images("Dynamo-Depth", other, target)
        with self._autocast(target):
            vectors: Tensor = self.pose_dec(self.pose_enc(other, target)[-1])
        return PoseVector.of(vectors, target.dtype)

    def motion(
        self,
        previous: Tensor,
        target: Tensor,
        following: Tensor,
        ego: Tensor,
        scales: Sequence[int] = (0,),
    ) -> Motion:
        """Scene flow and motion mask of the target.

        Parameters
        ----------
        previous, target, following : Tensor
            (N, 3, H, W).
        ego : Tensor
            (N, 6), see `ego_motion`.
        scales : sequence of int
            0 to 5.
        """
        self._need("motion")
        check_images("Dynamo-Depth", previous, target, following)
        if not scales or not set(scales) <= set(range(MOTION_LEVELS)):
            raise ValueError(f"Dynamo-Depth: scales of the motion are 0 to 5; got {tuple(scales)}")
        images = torch.cat([previous, target, following], 1)
        with self._autocast(target):
            pyramid = [images, *self.motion_enc(images)]
            fields = [
                decoder(pyramid, ego, scales) for decoder in (self.motion_dec, self.motion_mask)
            ]
        flow, logits = ({s: x.to(target.dtype) for s, x in field.items()} for field in fields)
        return Motion(flow, logits)

    def scene(
        self,
        previous: Tensor,
        target: Tensor,
        following: Tensor,
        intrinsics: Tensor,
        *,
        offset: Literal[-1, 1] = 1,
        time_step: Tensor | float = 1.0,
    ) -> Scene:
        """Everything about the target frame and its neighbour at `offset`.

        Parameters
        ----------
        previous, target, following : Tensor
            (N, 3, H, W).
        intrinsics, offset, time_step
            As for `compose_scene`.
        """
        if offset not in OFFSETS:
            raise ValueError(f"Dynamo-Depth: offset is -1 or 1; got {offset}")
        depth = depth_of(self(target, (0,))[0])
        poses = {-1: self.relative_pose(previous, target), 1: self.relative_pose(following, target)}
        motion = self.motion(previous, target, following, ego_motion(poses))
        return compose_scene(
            depth, poses[offset], motion, intrinsics, offset=offset, time_step=time_step
        )

    def _need(self, part: Part) -> None:
        if part not in self.options.parts:
            have = ", ".join(self.options.parts)
            raise ValueError(f"Dynamo-Depth was built without its {part} network (parts: {have})")


def ego_motion(poses: Mapping[int, PoseVector]) -> Tensor:
    """Half of the motion from the frame before (-1) to the frame after (1), (N, 6).

    Translation first; what the motion decoders start from.
    """
    before, after = poses[-1], poses[1]
    translation = (before.translation - after.translation) / 2
    return torch.cat([translation, (before.axis_angle - after.axis_angle) / 2], 1)


def compose_scene(
    depth: Tensor,
    pose: PoseVector,
    motion: Motion,
    intrinsics: Tensor,
    *,
    offset: Literal[-1, 1] = 1,
    time_step: Tensor | float = 1.0,
) -> Scene:
    """Put the predictions about a target frame and one of its neighbours together.

    Parameters
    ----------
    depth : Tensor
        (N, 1, H, W).
    pose : PoseVector
        Of the neighbour, see `DynamoDepth.relative_pose`.
    motion : Motion
        With scale 0.
    intrinsics : Tensor
        (N, 3, 3), pixels of this size.
    offset : int
        -1 or 1: which neighbour.
    time_step : float or (N,) Tensor
        Time to the neighbour over the median time between frames of the training.
    """
    step = torch.as_tensor(time_step, dtype=depth.dtype, device=depth.device).view(-1, 1, 1, 1)
    points = back_project(depth, intrinsics)
    mask = motion.logits[0].sigmoid()
    matrix = pose.matrix()
    transform = invert_rigid(matrix)
    flow = split_flow(points, offset * step * motion.complete_flow[0], transform, mask)
    pixels = moved_pixels(points, intrinsics, transform=transform, flow=flow.independent)
    return Scene(depth, matrix, flow, mask, optical_flow(pixels))
