"""Insta-DM: depth from one image, ego-motion and the motion of objects from two.

Lee, Im, Lin, Kweon, "Learning Monocular Depth in Dynamic Scenes via Instance-Aware Projection
Consistency", AAAI 2021, https://arxiv.org/abs/2102.02629. Images are RGB in -1..1. How the three
networks work together is in `depthzoo.networks.insta_dm_projection`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.insta_dm_projection import move_objects, pose_matrix
from depthzoo.networks.precision import AutocastModule
from depthzoo.networks.reflected import ReflectedConv, ReflectedELU
from depthzoo.networks.resnet import ResNetEncoder

__all__ = [
    "MULTIPLE",
    "PARTS",
    "DispResNet",
    "EgoPoseNet",
    "InstaDM",
    "ObjPoseNet",
    "View",
    "without_objects",
]

MULTIPLE = 32
"""Height and width of images for `DispResNet` are multiples of this, twice as much at least."""

PARTS = ("disp", "ego", "obj")
"""Networks of `InstaDM`, and the prefixes of their keys in it."""

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


class View(NamedTuple):
    """One of two images for `InstaDM.pair`."""

    image: Tensor
    """(1, 3, H, W) RGB in -1..1."""
    depth: Tensor
    """(1, 1, H, W)."""
    masks: Tensor
    """(S, 1, H, W), 1 on an object; S may be 0."""


class InstaDM(AutocastModule):
    """The three networks under one roof; each is stored in a file of its own.

    Parameters
    ----------
    resnet_layers : int
        Of the depth network.
    parts : sequence of str
        The networks that are wanted, of `PARTS`.
    """

    disp: DispResNet
    ego: EgoPoseNet
    obj: ObjPoseNet

    def __init__(self, *, resnet_layers: int = 18, parts: Sequence[str] = PARTS) -> None:
        super().__init__()
        if not parts or not set(parts) <= set(PARTS):
            expected = ", ".join(PARTS)
            raise ValueError(f"Insta-DM: parts are some of {expected}; got {tuple(parts)}")
        self.parts = tuple(name for name in PARTS if name in parts)
        if "disp" in parts:
            self.disp = DispResNet(resnet_layers=resnet_layers)
        if "ego" in parts:
            self.ego = EgoPoseNet()
        if "obj" in parts:
            self.obj = ObjPoseNet()

    def use_autocast(self, dtype: Literal["float16", "bfloat16"] | None) -> None:
        """Run all under autocast; None leaves it off."""
        for name in self.parts:
            self.get_submodule(name).use_autocast(dtype)  # type: ignore[operator]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Disparity, see `DispResNet`."""
        return [self.disp(image)]

    def pair(
        self, first: View, second: View, intrinsics: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Motion between two images, one after the other.

        Parameters
        ----------
        first, second : View
            Masks of both are of the same objects in the same order.
        intrinsics : Tensor
            (1, 3, 3), pixels of this size.

        Returns
        -------
        Tensor, Tensor
            (1, 6) ego-motion: from the second camera to the first, and back.
        Tensor, Tensor
            (S, 3) translations of the objects, likewise, each in the axes of the camera it starts
            from; empty without masks.
        """
        earlier, later = without_objects(first, second)
        back, onwards = self.ego(later, earlier), self.ego(earlier, later)
        if not len(first.masks):
            none = back.new_zeros((0, ObjPoseNet.outputs))
            return back, onwards, none, none
        moved = [
            move_objects(view.image, view.masks, view.depth, pose_matrix(ego), intrinsics)
            for view, ego in ((first, onwards), (second, back))
        ]
        objects_back = self.obj(second.image * second.masks, moved[0].image)
        objects_onwards = self.obj(first.image * first.masks, moved[1].image)
        return back, onwards, objects_back, objects_onwards


def without_objects(first: View, second: View) -> tuple[Tensor, Tensor]:
    """Return both images with the objects of either blacked out, which is grey."""
    masks = torch.cat([first.masks, second.masks])
    if not len(masks):
        return first.image, second.image
    seen = 1 - masks.amax(0, keepdim=True)
    return first.image * seen, second.image * seen


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
