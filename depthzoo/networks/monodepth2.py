"""Monodepth2: disparity from one image, and the motion of the camera between two.

Godard, Mac Aodha, Firman, Brostow, "Digging Into Self-Supervised Monocular Depth Estimation",
ICCV 2019, https://arxiv.org/abs/1806.01260. Dynamo-Depth uses the same parts under other keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from depthzoo.networks.disparity import MULTIPLE, check_images, wanted_scales
from depthzoo.networks.geometry import rigid, rotation_from_axis_angle
from depthzoo.networks.precision import AutocastModule, full_precision
from depthzoo.networks.reflected import ReflectedConv, ReflectedELU
from depthzoo.networks.resnet import ResNetEncoder

__all__ = ["DepthDecoder", "Monodepth2", "PoseDecoder", "PoseVector"]

_WIDTHS = (16, 32, 64, 128, 256)
_SCALES = (0, 1, 2, 3)
_POSE_SCALE = 0.01


class PoseVector(NamedTuple):
    """Rotation and translation between two cameras as the network gives them."""

    axis_angle: Tensor
    """(N, 3), radians."""
    translation: Tensor
    """(N, 3), in units of the network's depth."""

    @classmethod
    def of(cls, vectors: Tensor, dtype: torch.dtype) -> PoseVector:
        """Take the first of the vectors (N, 2, 6) of a `PoseDecoder`."""
        first = vectors[:, 0].to(dtype)
        return cls(first[:, :3], first[:, 3:])

    def matrix(self) -> Tensor:
        """Return the rigid transform (N, 4, 4) of the two."""
        return rigid(rotation_from_axis_angle(self.axis_angle), self.translation)


class DepthDecoder(nn.Module):
    """ResNet features to sigmoid disparity, coarse to fine, with skip connections.

    Parameters
    ----------
    channels : sequence of int
        Of the five features.
    scales : sequence of int
        That have a head: scale s is 1/2^s of the image's size, 0 to 3.
    keys : str
        ``numbered``: ``decoder.0`` ..., Monodepth2; ``named``: ``upconv_4_0`` ..., Dynamo-Depth.
    """

    def __init__(
        self,
        channels: Sequence[int],
        scales: Sequence[int] = _SCALES,
        keys: Literal["numbered", "named"] = "numbered",
    ) -> None:
        super().__init__()
        self.scales = tuple(sorted(set(scales)))
        if not self.scales or not set(self.scales) <= set(_SCALES):
            raise ValueError(f"Monodepth2: scales are some of {_SCALES}; got {tuple(scales)}")
        if keys not in ("numbered", "named"):
            raise ValueError(f"Monodepth2: keys is numbered or named; got {keys!r}")
        self._names: dict[str, str] = {}
        parts: dict[str, nn.Module] = {}
        for i in range(4, -1, -1):
            below = channels[4] if i == 4 else _WIDTHS[i + 1]
            skip = channels[i - 1] if i > 0 else 0
            parts[f"upconv_{i}_0"] = ReflectedELU(below, _WIDTHS[i])
            parts[f"upconv_{i}_1"] = ReflectedELU(_WIDTHS[i] + skip, _WIDTHS[i])
        for s in self.scales:
            parts[f"dispconv_{s}"] = ReflectedConv(_WIDTHS[s], 1)
        if keys == "numbered":
            self._names = {name: f"decoder.{i}" for i, name in enumerate(parts)}
            self.decoder = nn.ModuleList(parts.values())
        else:
            for name, part in parts.items():
                self.add_module(name, part)

    def part(self, name: str) -> nn.Module:
        """Return ``upconv_{level}_{0,1}`` or ``dispconv_{scale}``, whatever its key is."""
        return self.get_submodule(self._names.get(name, name))

    def forward(self, features: Sequence[Tensor], scales: Sequence[int]) -> dict[int, Tensor]:
        """Disparities (N, 1, H/2^s, W/2^s) of the wanted scales; what they do not need is left out.

        Parameters
        ----------
        features : sequence of Tensor
            Five, from the finest.
        scales : sequence of int
            Some of those with a head.
        """
        found: dict[int, Tensor] = {}
        x = features[-1]
        for i in range(4, min(scales) - 1, -1):
            x = F.interpolate(self.part(f"upconv_{i}_0")(x), scale_factor=2.0, mode="nearest")
            if i > 0:
                x = torch.cat([x, features[i - 1]], 1)
            x = self.part(f"upconv_{i}_1")(x)
            if i in scales:
                found[i] = full_precision(self.part(f"dispconv_{i}"), x).sigmoid_()
        return found


class PoseDecoder(nn.Module):
    """The coarsest features of a stacked pair to two pose vectors, of which the first is used.

    Parameters
    ----------
    channels : int
        Of these features.
    aliases : bool
        The files hold every tensor twice, by name and by number (Dynamo-Depth); by number alone
        otherwise. Where both differ, the number, which loads last, takes effect.
    """

    def __init__(self, channels: int, *, aliases: bool = False) -> None:
        super().__init__()
        parts = {
            "squeeze": nn.Conv2d(channels, 256, 1),
            "pose0": nn.Conv2d(256, 256, 3, padding=1),
            "pose1": nn.Conv2d(256, 256, 3, padding=1),
            "pose2": nn.Conv2d(256, 12, 1),
        }
        if aliases:
            for name, part in parts.items():
                self.add_module(name, part)
        self.net = nn.ModuleList(parts.values())

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, 2, 6): axis-angle, then translation."""
        *hidden, last = self.net
        x = features
        for layer in hidden:
            x = layer(x).relu_()
        mean: Tensor = full_precision(last, x).mean((2, 3))
        return _POSE_SCALE * mean.view(-1, 2, 6)


class Monodepth2(AutocastModule):
    """Depth and pose networks under the prefixes of the published files.

    Parameters
    ----------
    layers : int
        Of the ResNets.
    scales : sequence of int
        Disparities that have a head.
    pose : bool
        Build the pose network too.

    Examples
    --------
    >>> import torch
    >>> network = Monodepth2().eval()
    >>> with torch.inference_mode():
    ...     disparity = network(torch.zeros(1, 3, 64, 96))[0]
    >>> disparity.shape
    torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self, *, layers: int = 18, scales: Sequence[int] = _SCALES, pose: bool = True
    ) -> None:
        super().__init__()
        self.encoder = ResNetEncoder(layers)
        self.depth = DepthDecoder(self.encoder.channels, scales)
        self.has_pose = pose
        if pose:
            self.pose_encoder = ResNetEncoder(layers, images=2)
            self.pose = PoseDecoder(self.pose_encoder.channels[-1])

    def forward(self, image: Tensor, scales: Sequence[int] | None = None) -> list[Tensor]:
        """Predict disparity.

        Parameters
        ----------
        image : Tensor
            (N, 3, H, W) RGB in 0..1, multiples of 32, at least 64.
        scales : sequence of int, optional
            Wanted ones; scale 0 in eval mode and all in training when not given.

        Returns
        -------
        list of Tensor
            For each the sigmoid disparity (N, 1, H/2^s, W/2^s); `disparity.depth_of` converts it.
        """
        check_images("Monodepth2", image, least=2 * MULTIPLE)
        scales = wanted_scales(self, self.depth.scales, scales)
        with self._autocast(image):
            found: dict[int, Tensor] = self.depth(self.encoder(image), scales)
        return [found[scale].to(image.dtype) for scale in scales]

    def relative_pose(self, first: Tensor, second: Tensor) -> PoseVector:
        """Motion between two images (N, 3, H, W) in the order of time.

        Its matrix maps points in the first camera to the second one.
        """
        if not self.has_pose:
            raise ValueError("Monodepth2 was built without its pose network; give pose=True")
        check_images("Monodepth2", first, second)
        with self._autocast(first):
            vectors: Tensor = self.pose(self.pose_encoder(first, second)[-1])
        return PoseVector.of(vectors, first.dtype)
