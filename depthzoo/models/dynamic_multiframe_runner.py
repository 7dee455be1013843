"""Dynamic-multiframe-depth on samples: the crop, neighbours with poses, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from depthdata.aspect_crop import AspectCrop
from depthdata.errors import UsageError
from depthzoo.models.base import Sample, view_frames
from depthzoo.models.card import Card, Needs
from depthzoo.models.device import autocast_of, device_of, full_float32
from depthzoo.networks.dynamic_multiframe_depth import DynamicMultiframeDepth
from depthzoo.networks.multiframe_cost_volume import hypotheses_at_once as default_at_once
from depthzoo.networks.multiframe_decoder import MULTIPLE
from depthzoo.prediction import Prediction

__all__ = ["DynamicMultiframeModel"]

Branch = Literal["fused", "mono"]
Matrices = NDArray[np.float64]


class _Frame(NamedTuple):
    """One frame as the network takes it."""

    image: Tensor
    pose: Tensor
    intrinsics: Tensor


class DynamicMultiframeModel:
    """A Dynamic-multiframe-depth network as a model.

    Parameters
    ----------
    card : Card
    network : DynamicMultiframeDepth
        With its weights; it is moved to `device`.
    device : str
    precision : str
        ``fp32``, or autocast to ``fp16`` or ``bf16`` of fusion and depth branch. Cost volume and
        mono branch, where roundings would move pixels to other hypotheses, stay in float32.
    size : (height, width), optional
        Multiples of 16. The middle of each image that has this shape is cut and resized to it; that
        of the training when not given. Other shapes see more of an image: (256, 832) all of KITTI's
        height at the scale of the training, and more of its width.
    offsets : sequence of int
        Frames that the keyframe is compared with, relative to it.
    branch : str
        ``fused`` is the result; ``mono`` what the keyframe alone says, which needs neither
        neighbours nor poses.
    hypotheses_at_once : int, optional
        Of the cost volume's 32 depths, how many are worked on together: memory, not the result.
        What a CPU's cache holds, on a GPU all, when not given.
    channels_last : bool
        Memory format of the convolutions; on a CPU the other one takes a third longer.
    """

    def __init__(
        self,
        card: Card,
        network: DynamicMultiframeDepth,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        size: tuple[int, int] | None = None,
        offsets: Sequence[int] = (-1, 1),
        branch: Branch = "fused",
        hypotheses_at_once: int | None = None,
        channels_last: bool = True,
    ) -> None:
        self.card = card
        self.weights_sha256: str | None = None
        self.size = _checked_size(card, card.settings["size"] if size is None else size)
        if branch not in get_args(Branch):
            expected = ", ".join(get_args(Branch))
            raise UsageError(f"{card.name}: branch is one of {expected}; got {branch!r}")
        self.offsets = () if branch == "mono" else _checked_offsets(card, offsets)
        if hypotheses_at_once is not None and hypotheses_at_once < 1:
            raise UsageError(
                f"{card.name}: hypotheses_at_once is at least 1; got {hypotheses_at_once}"
            )
        self.branch, self.precision = branch, precision
        window = tuple(sorted({0, *self.offsets}))
        several = bool(self.offsets)
        self.needs = Needs(offsets=window, intrinsics=several, poses=several)
        self.device = device_of(device, card.name)
        steps = network.options.cv_depth_steps
        chosen = default_at_once(*self.size, steps, self.device.type)
        self.hypotheses_at_once = hypotheses_at_once or chosen
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        network.use_autocast(autocast_of(precision, card.name))
        network.to(memory_format=self._format)  # type: ignore[call-overload]
        self.network = network.to(self.device).eval()

    def predict(self, sample: Sample) -> Prediction:
        """Predict every frame that has the neighbours it is compared with.

        Parameters
        ----------
        sample : mapping
            ``rgb``: uint8, (T, 3, H, W), any size, frames that follow each other; ``intrinsics``
            (T, 3, 3) of this size; ``T_world_cam`` (T, 4, 4), metres, NaN where unknown.

        Returns
        -------
        Prediction
            Depth (T, H, W) in metres. NaN beside the crop, in frames at either end that lack a
            neighbour, and in those without a known pose of their own and of one neighbour.
        """
        frames = view_frames(sample, "rgb", model=self.card.name)
        keyframes = self._keyframes(len(frames))
        poses, intrinsics = self._cameras(sample, len(frames))
        crop = AspectCrop((frames.shape[2], frames.shape[3]), self.size)
        left, top, right, bottom = crop.box
        depths = np.full((len(frames), *frames.shape[2:]), np.nan, np.float32)
        kept: dict[int, _Frame] = {}
        for t in keyframes:
            sources = [t + o for o in self.offsets if np.isfinite(poses[t + o]).all()]
            if self.offsets and not (sources and np.isfinite(poses[t]).all()):
                continue
            for k in (t, *sources):
                if k not in kept:
                    kept[k] = self._frame(frames[k], poses[k], intrinsics[k], crop)
            with torch.inference_mode(), full_float32(self.device, self.precision):
                inverse = self._inverse_depth(kept[t], [kept[k] for k in sources])
                depth = _enlarged(inverse, (bottom - top, right - left)).reciprocal()
                depths[t, top:bottom, left:right] = depth[0, 0].cpu()
            oldest = t + 1 + min(self.needs.offsets)
            kept = {k: frame for k, frame in kept.items() if k >= oldest}
        return Prediction(depth=depths, invariance="metric", meta=self._meta(crop))

    def _keyframes(self, count: int) -> range:
        """Frames whose neighbours are there."""
        first, last = self.needs.offsets[0], self.needs.offsets[-1]
        if count < 1 + last - first:
            raise UsageError(
                f"{self.card.name}: at least {1 + last - first} frames that follow each other are "
                f"needed; found {count}; give Window(offsets={self.needs.offsets}), or load with "
                "branch='mono'"
            )
        return range(-first, count - last)

    def _cameras(self, sample: Sample, count: int) -> tuple[Matrices, Matrices]:
        """Poses (T, 4, 4) and intrinsics (T, 3, 3); of no consequence for a single image."""
        found = []
        for key, side in (("T_world_cam", 4), ("intrinsics", 3)):
            if not self.offsets:
                found.append(np.tile(np.eye(side), (count, 1, 1)))
                continue
            if key not in sample:
                raise UsageError(
                    f"{self.card.name}: the sample has no {key!r}, which says where the frames "
                    "were taken; give sequences with poses, or load with branch='mono'"
                )
            matrices = np.asarray(sample[key], np.float64).reshape(-1, side, side)
            if len(matrices) not in (1, count) or (len(matrices) != count and side == 4):
                raise UsageError(
                    f"{self.card.name}: {key!r} of {count} frames expected; found {len(matrices)}"
                )
            if not np.isfinite(matrices).all((1, 2)).any():
                raise UsageError(
                    f"{self.card.name}: {key!r} is unknown in every frame; give sequences with "
                    "poses, or load with branch='mono'"
                )
            found.append(np.broadcast_to(matrices, (count, side, side)))
        return found[0], found[1]

    def _frame(
        self, image: NDArray[np.uint8], pose: Matrices, intrinsics: Matrices, crop: AspectCrop
    ) -> _Frame:
        """Cut, resize as Pillow's bilinear filter does on bytes, and bring to the device."""
        left, top, right, bottom = crop.box
        part = np.require(image[:, top:bottom, left:right], requirements=["C", "W"])
        tensor = torch.from_numpy(part)[None]
        if tuple(tensor.shape[2:]) != self.size:
            tensor = F.interpolate(
                tensor, self.size, mode="bilinear", align_corners=False, antialias=True
            )
        moved = tensor.to(self.device).to(torch.float32, memory_format=self._format)
        cameras = (
            # float64: only the little between two poses counts, far from the world's origin too.
            torch.from_numpy(np.array(matrix)).to(self.device)[None]
            for matrix in (pose, crop.intrinsics(intrinsics))
        )
        return _Frame(moved.div_(255).sub_(0.5), *cameras)

    def _inverse_depth(self, keyframe: _Frame, sources: list[_Frame]) -> Tensor:
        if not sources:
            return self.network.single(keyframe.image).float()
        found = self.network(
            *keyframe,
            *(list(parts) for parts in zip(*sources, strict=True)),
            at_once=self.hypotheses_at_once,
        )
        inverse: Tensor = found.multi[0]
        return inverse.float()

    def _meta(self, crop: AspectCrop) -> dict[str, Any]:
        return {
            "model": self.card.name,
            "device": str(self.device),
            "precision": self.precision,
            "branch": self.branch,
            "offsets": self.offsets,
            "network_size": self.size,
            "crop": crop.box,
            "hypotheses_at_once": self.hypotheses_at_once,
        }


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _checked_size(card: Card, size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < MULTIPLE:
        raise UsageError(
            f"{card.name}: size is (height, width), multiples of {MULTIPLE}; got {(height, width)}"
        )
    return int(height), int(width)


def _checked_offsets(card: Card, offsets: Sequence[int]) -> tuple[int, ...]:
    found = tuple(int(offset) for offset in offsets)
    if not found or 0 in found or len(set(found)) < len(found):
        raise UsageError(
            f"{card.name}: offsets are different frames beside the keyframe, such as (-1, 1); "
            f"got {found}"
        )
    return found
