"""What models of single images share: the size of the network, precision, and depth frame by frame.

The families `monodepth2`, `lite_mono` and `dynamo_depth` build on it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from depthdata.errors import UsageError
from depthzoo.models.base import Sample, view_frames
from depthzoo.models.card import Card, Needs
from depthzoo.models.device import autocast_of, device_of
from depthzoo.networks.disparity import MULTIPLE, scaled_disparity
from depthzoo.networks.precision import AutocastModule
from depthzoo.prediction import Prediction
from depthzoo.weights import Checkpoint

__all__ = [
    "MonocularModel",
    "Neighbours",
    "Size",
    "chained",
    "wanted_outputs",
    "warn_of_other_size",
]

logger = logging.getLogger(__name__)

Size = tuple[int, int]
FloatMaps = NDArray[np.float32]

_LEAST = 64  # of a side: the smallest size that every one of these networks takes


class MonocularModel:
    """A network that gives sigmoid disparity for single images, as a model.

    Parameters
    ----------
    card : Card
        Its settings hold ``size``, the (height, width) of the training images.
    network : AutocastModule
        With its weights; called with images in 0..1 it returns disparities, the finest first. It
        is moved to `device`.
    device : str
    precision : str
        ``fp32``, or autocast to ``fp16`` or ``bf16``.
    size : (height, width), optional
        What images are resized to, multiples of 32; that of the training when not given.
    batch_size : int, optional
        Frames that pass at a time; 1 on a CPU, 8 elsewhere, when not given. It does not change the
        result beyond rounding.
    channels_last : bool
        Memory format of the convolutions; about a fifth faster than the other one on a CPU.
    """

    def __init__(
        self,
        card: Card,
        network: AutocastModule,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        size: Size | None = None,
        batch_size: int | None = None,
        channels_last: bool = True,
    ) -> None:
        self.card = card
        self.needs: Needs = card.needs
        self.weights_sha256: str | None = None
        self.precision = precision
        self.device = device_of(device, card.name)
        self.size = _checked_size(card, size)
        self.batch_size = batch_size or (1 if self.device.type == "cpu" else 8)
        if self.batch_size < 1:
            raise UsageError(f"{card.name}: batch_size is at least 1; got {batch_size}")
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        network.use_autocast(autocast_of(precision, card.name))
        network.to(memory_format=self._format)  # type: ignore[call-overload]
        self.network = network.to(self.device).eval()

    def predict(self, sample: Sample) -> Prediction:
        """Predict the depth of every frame.

        Parameters
        ----------
        sample : mapping
            ``rgb``: uint8, (T, 3, H, W), any size.

        Returns
        -------
        Prediction
            Depth (T, H, W), up to one factor; `meta` tells what was chosen.
        """
        frames = view_frames(sample, "rgb", model=self.card.name)
        return Prediction(depth=self._depths(frames), invariance="scale", meta=self._meta())

    def _depths(self, frames: NDArray[np.uint8], keep: list[Tensor] | None = None) -> FloatMaps:
        """(T, H, W): disparity is brought to the size of the frames first and inverted then.

        `keep` receives one over depth, (1, 1, h, w), of each frame at the size of the network.
        """
        depths = np.empty((len(frames), *frames.shape[2:]), np.float32)
        for first in range(0, len(frames), self.batch_size):
            here = slice(first, first + self.batch_size)
            with torch.inference_mode():
                images = torch.cat([self._image(frame) for frame in frames[here]])
                scaled = scaled_disparity(self.network(images)[0].float())
                depths[here] = self._enlarged(scaled, frames.shape[2:]).reciprocal()[:, 0].cpu()
            if keep is not None:
                keep.extend(scaled[i : i + 1] for i in range(len(scaled)))
        return depths

    def _image(self, frame: NDArray[np.uint8]) -> Tensor:
        """Bring (3, H, W) uint8 to the network's size, (1, 3, h, w) in 0..1, on the device.

        The filter is that of Pillow's bicubic on bytes; values may differ by one level, rarely.
        """
        image = torch.from_numpy(np.require(frame, requirements=["C", "W"]))[None]
        if tuple(image.shape[2:]) != self.size:
            image = F.interpolate(
                image, self.size, mode="bicubic", align_corners=False, antialias=True
            )
        moved = image.to(self.device).to(torch.float32, memory_format=self._format)
        return moved.div_(255)

    def _enlarged(self, maps: Tensor, size: tuple[int, ...]) -> Tensor:
        """Interpolate (N, C, h, w) bilinearly to the size of the frames."""
        if tuple(maps.shape[2:]) == tuple(size):
            return maps
        return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)

    def _meta(self, **more: object) -> dict[str, Any]:
        return {
            "model": self.card.name,
            "device": str(self.device),
            "precision": self.precision,
            "network_size": self.size,
            **more,
        }


class Neighbours:
    """Frames at the size of the network, each resized once, three of them kept."""

    def __init__(self, model: MonocularModel, frames: NDArray[np.uint8]) -> None:
        self._model, self._frames = model, frames
        self._kept: dict[int, Tensor] = {}

    def __getitem__(self, t: int) -> Tensor:
        """Return frame t as (1, 3, h, w)."""
        if t not in self._kept:
            self._kept = {k: v for k, v in self._kept.items() if t - 2 <= k}
            self._kept[t] = self._model._image(self._frames[t])
        return self._kept[t]


def chained(steps: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Poses (T, 4, 4) in the axes of the first camera, from those of each in its predecessor."""
    poses = [np.eye(4)]
    for step in steps:
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def _checked_size(card: Card, size: Size | None) -> Size:
    height, width = card.settings["size"] if size is None else size
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < _LEAST:
        raise UsageError(
            f"{card.name}: size is (height, width), multiples of {MULTIPLE} from {_LEAST} on; "
            f"got {(height, width)}"
        )
    return int(height), int(width)


def wanted_outputs(card: Card, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is to be predicted: depth, and what was asked for of what the weights give."""
    if outputs is None:
        return card.gives
    if isinstance(outputs, str):
        outputs = tuple(outputs.split(","))
    if not set(outputs) <= set(card.gives):
        raise UsageError(
            f"{card.name}: outputs are some of {', '.join(card.gives)}; got {', '.join(outputs)}"
        )
    return tuple(name for name in card.gives if name in outputs or name == "depth")


def warn_of_other_size(card: Card, size: Size, checkpoints: Sequence[Checkpoint]) -> None:
    """Tell when weights were trained at another size than the network will run at."""
    extra = checkpoints[0].extra if checkpoints else {}
    trained = extra.get("height"), extra.get("width")
    if None not in trained and trained != size:
        logger.warning(
            "%s: the weights were trained at %s x %s, images are resized to %s x %s; give size=",
            *(card.name, *trained, *size),
        )
