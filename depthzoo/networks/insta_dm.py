"""Insta-DM: depth from one image, ego-motion and the motion of objects from two.

Lee, Im, Lin, Kweon, "Learning Monocular Depth in Dynamic Scenes via Instance-Aware Projection
Consistency", AAAI 2021, https://arxiv.org/abs/2102.02629. Images are RGB in -1..1. How the three
networks work together is in `depthzoo.networks.insta_dm_projection`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.precision import AutocastModule
from depthzoo.networks.reflected import ReflectedConv, ReflectedELU
from depthzoo.networks.resnet import ResNetEncoder

__all__ = ["MULTIPLE", "DispResNet", "EgoPoseNet", "InstaDM", "MotionEstimate", "ObjPoseNet"]

MULTIPLE = 32
"""Height and width of images for `DispResNet` are multiples of this, twice as much at least."""

Trace = Callable[[str, Tensor], None]

_WIDTHS = (256, 128, 64, 32, 16)  # of the decoder, from the coarsest level
_SCALES = (0, 1, 2, 3)
_POSE_WIDTH = 256
_POSE_SCALE = 0.01
_OBJECT_HEIGHT = 0.02  # what the learnt height of objects starts from


class DisparityDecoder(nn.Module):
    """ResNet features to positive disparity, coarse to fine, with skip connections."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        below = (channels[-1], *_WIDTHS[:-1])
        skips = (*reversed(channels[:-1]), 0)
        self.upconvs0 = nn.ModuleList(map(ReflectedELU, below, _WIDTHS))
        self.upconvs1 = nn.ModuleList(
            ReflectedELU(width + skip, width) for width, skip in zip(_WIDTHS, skips, strict=True)
        )
        self.dispconvs = nn.ModuleList(ReflectedConv(_WIDTHS[4 - s], 1) for s in _SCALES)

    def forward(self, features: Sequence[Tensor], scales: Sequence[int] = (0,)) -> list[Tensor]:
        """Disparities (N, 1, H/2^s, W/2^s) of the wanted scales, in their order."""
        found: dict[int, Tensor] = {}
        x = features[-1]
        for step in range(5 - min(scales)):
            x = F.interpolate(self.upconvs0[step](x), scale_factor=2.0, mode="nearest")
            scale = 4 - step
            if scale > 0:
                x = torch.cat([x, features[scale - 1]], 1)
            x = self.upconvs1[step](x)
            if scale in scales:
                found[scale] = F.softplus(self.dispconvs[scale](x))
        return [found[scale] for scale in scales]


class DispResNet(AutocastModule):
    """Depth network.

    Parameters
    ----------
    resnet_layers : int
        18 as published, or 50.

    Examples
    --------
    >>> import torch
    >>> with torch.inference_mode():
    ...     disparity = DispResNet().eval()(torch.zeros(1, 3, 64, 96))
    >>> disparity.shape
    torch.Size([1, 1, 64, 96])
    """

    def __init__(self, *, resnet_layers: int = 18) -> None:
        super().__init__()
        _check_layers(resnet_layers)
        # The height of objects, learnt beside the weights: an image needs it as little as `fc`.
        self.obj_height_prior = nn.Parameter(torch.tensor(_OBJECT_HEIGHT))
        self.encoder = ResNetEncoder(resnet_layers, mean=0.0, scale=1.0)
        self.decoder = DisparityDecoder(self.encoder.channels)

    def forward(self, image: Tensor) -> Tensor:
        """Predict disparity.

        Parameters
        ----------
        image : Tensor
            (N, 3, H, W) RGB in -1..1; H and W are multiples of 32 and at least 64.

        Returns
        -------
        Tensor
            (N, 1, H, W), above 0; one over it is depth up to a factor, the same for all images.
        """
        return self.scales(image, (0,))[0]

    def scales(
        self, image: Tensor, scales: Sequence[int], trace: Trace | None = None
    ) -> list[Tensor]:
        """Disparities at 1/2^s of the size; the authors train the finest head alone.

        `trace` is called with ``feat_{0..4}``, the features of the encoder.
        """
        _check_images("DispResNet", image)
        height, width = image.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE or min(height, width) < 2 * MULTIPLE:
            raise ValueError(
                f"DispResNet takes multiples of {MULTIPLE} from {2 * MULTIPLE} on as size; "
                f"got {height}x{width}"
            )
        if not scales or not set(scales) <= set(_SCALES):
            raise ValueError(f"scales are some of {_SCALES}; got {tuple(scales)}")
        with self._autocast(image):
            features = self.encoder(image)
            found: list[Tensor] = self.decoder(features, scales)
        _trace_features(trace, features)
        return [disparity.to(image.dtype) for disparity in found]


class PoseDecoder(nn.Module):
    """The coarsest features of a stacked pair to one vector."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv_squeeze = nn.Conv2d(channels, _POSE_WIDTH, 1)
        self.convs_pose = nn.ModuleList([
            nn.Conv2d(_POSE_WIDTH, _POSE_WIDTH, 3, padding=1),
            nn.Conv2d(_POSE_WIDTH, _POSE_WIDTH, 3, padding=1),
            nn.Conv2d(_POSE_WIDTH, outputs, 1),
        ])  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, outputs)."""
        first, second, last = self.convs_pose
        x = second(first(self.conv_squeeze(features).relu_()).relu_()).relu_()
        # The mean is taken before the last layer, which is linear and sees single pixels.
        x = last(x.mean((2, 3), keepdim=True)).flatten(1)
        return _POSE_SCALE * x  # type: ignore[no-any-return]


class PoseNet(AutocastModule):
    """Two images to one motion vector; the first image is the target's."""

    outputs = 0

    def __init__(self, *, resnet_layers: int = 18) -> None:
        super().__init__()
        _check_layers(resnet_layers, (18,))
        self.encoder = ResNetEncoder(resnet_layers, images=2, mean=0.0, scale=1.0)
        self.decoder = PoseDecoder(self.encoder.channels[-1], self.outputs)

    def forward(self, target: Tensor, reference: Tensor, trace: Trace | None = None) -> Tensor:
        """Predict the motion that brings points of the target's camera to the reference's.

        Parameters
        ----------
        target, reference : Tensor
            (N, 3, H, W) RGB in -1..1, what is masked being 0; any size.
        trace : callable, optional
            Called with ``feat_{0..4}``, the features of the encoder.

        Returns
        -------
        Tensor
            (N, 6): translation in units of the depth network, then rotations about x, y and z in
            radians (`insta_dm_projection.pose_matrix`); of an object (N, 3), the translation.
        """
        _check_images(type(self).__name__, target, reference)
        with self._autocast(target):
            features = self.encoder(target, reference)
            vector: Tensor = self.decoder(features[-1])
        _trace_features(trace, features)
        return vector.to(target.dtype)


class EgoPoseNet(PoseNet):
    """Motion of the camera between two images whose instances are blacked out, (N, 6)."""

    outputs = 6


class ObjPoseNet(PoseNet):
    """Motion of one object between two images of it alone, ego-motion taken out, (N, 3)."""

    outputs = 3


class MotionEstimate(NamedTuple):
    """Depth and ego-motion of consecutive images."""

    disparity: Tensor
    """(T, 1, H, W)."""
    forward: Tensor
    """(T - 1, 6): points of image t + 1 to those of image t."""
    backward: Tensor
    """(T - 1, 6): points of image t to those of image t + 1."""


class InstaDM(nn.Module):
    """The three networks under one roof; each is stored in a file of its own.

    Parameters
    ----------
    resnet_layers : int
        Of the depth network.
    """

    def __init__(self, *, resnet_layers: int = 18) -> None:
        super().__init__()
        self.disp = DispResNet(resnet_layers=resnet_layers)
        self.ego = EgoPoseNet()
        self.obj = ObjPoseNet()

    def use_autocast(self, dtype: str | None) -> None:
        """Run all three under autocast to ``float16`` or ``bfloat16``; None leaves it off."""
        for part in (self.disp, self.ego, self.obj):
            part.use_autocast(dtype)  # type: ignore[arg-type]

    def forward(self, images: Tensor, background: Tensor | None = None) -> MotionEstimate:
        """Depth of T consecutive images and the motion of the camera between them.

        Parameters
        ----------
        images : Tensor
            (T, 3, H, W) RGB in -1..1.
        background : Tensor, optional
            (T, 1, H, W), 0 on instances of objects that may move, else 1. A pair of images is seen
            through the masks of both.
        """
        disparity = torch.cat([self.disp(image) for image in _singly(images)])
        earlier, later = images[:-1], images[1:]
        if background is not None:
            seen = background[:-1] * background[1:]
            earlier, later = earlier * seen, later * seen
        pairs = list(zip(_singly(earlier), _singly(later), strict=True))
        none = images.new_zeros((0, EgoPoseNet.outputs))
        forward = torch.cat([none, *(self.ego(b, a) for a, b in pairs)])
        backward = torch.cat([none, *(self.ego(a, b) for a, b in pairs)])
        return MotionEstimate(disparity, forward, backward)


def _singly(images: Tensor) -> list[Tensor]:
    return [images[t : t + 1] for t in range(len(images))]


def _check_layers(layers: int, allowed: tuple[int, ...] = (18, 50)) -> None:
    if layers not in allowed:
        expected = " or ".join(map(str, allowed))
        raise ValueError(f"Insta-DM: resnet_layers is {expected}; got {layers!r}")


def _check_images(name: str, *images: Tensor) -> None:
    first = images[0]
    if any(image.shape != first.shape for image in images) or first.shape[1:2] != (3,):
        shapes = " and ".join(str(tuple(image.shape)) for image in images)
        raise ValueError(f"{name} takes images of one shape (N, 3, H, W); got {shapes}")


def _trace_features(trace: Trace | None, features: Sequence[Tensor]) -> None:
    if trace is not None:
        for level, feature in enumerate(features):
            trace(f"feat_{level}", feature)
