"""Dynamo-Depth on samples: depth, the path of the camera, and what moves by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depthdata.errors import UsageError
from depthzoo.models.base import Sample, view_frames
from depthzoo.models.card import Card, Needs
from depthzoo.models.monocular import MonocularModel, Neighbours, chained, wanted_outputs
from depthzoo.networks.dynamo_depth import DynamoDepth, Part, compose_scene, ego_motion
from depthzoo.networks.monodepth2 import PoseVector
from depthzoo.prediction import Prediction

__all__ = ["DynamoDepthModel", "parts_of"]

_MOTION = ("flow", "motion_mask")


def parts_of(outputs: Sequence[str]) -> tuple[Part, ...]:
    """Return the networks that outputs need."""
    if set(outputs) & set(_MOTION):
        return ("depth", "pose", "motion")
    return ("depth", "pose") if "pose" in outputs else ("depth",)


class DynamoDepthModel(MonocularModel):
    """A Dynamo-Depth network as a model.

    Parameters
    ----------
    card, network, device, precision, size, batch_size, channels_last
        As for `MonocularModel`.
    outputs : sequence of str, optional
        Some of ``depth``, ``pose``, ``flow``, ``motion_mask``. Not given, all of them as far as the
        frames of a sample allow, and single frames are enough; named, flow and mask make the model
        need windows of three frames (and the intrinsics, unless the card has them).
    """

    network: DynamoDepth

    def __init__(
        self, card: Card, network: DynamoDepth, *, outputs: Any = None, **options: Any
    ) -> None:
        super().__init__(card, network, **options)
        self.outputs = wanted_outputs(card, outputs)
        if outputs is not None and len(self.outputs) > 1:
            fixed = "intrinsics" in card.settings
            self.needs = Needs(offsets=(-1, 0, 1), intrinsics="flow" in self.outputs and not fixed)

    def predict(self, sample: Sample) -> Prediction:
        """Predict whatever the frames allow.

        Parameters
        ----------
        sample : mapping
            ``rgb``: uint8, (T, 3, H, W), any size, consecutive frames; for the flow
            ``intrinsics`` (T, 3, 3) of this size, unless the weights bring theirs; ``timestamps``
            (T,) in nanoseconds, where the weights are for uneven ones.

        Returns
        -------
        Prediction
            Depth (T, H, W); for T > 1 the pose (T, 4, 4) in the axes of the first camera, both up
            to one common factor; for T > 2 flow to the next frame, pixels of the given images, and
            motion mask, NaN in the first and the last frame.
        """
        frames = view_frames(sample, "rgb", model=self.card.name)
        count = len(frames)
        inverse: list[Tensor] = []
        parts: dict[str, Any] = {"depth": self._depths(frames, inverse)}
        images = Neighbours(self, frames)
        onwards: list[PoseVector] = []  # to each frame from the one after it
        if "pose" in self.network.options.parts and count > 1:
            onwards = [self._pose(images[t + 1], images[t]) for t in range(count - 1)]
        if "pose" in self.outputs and count > 1:
            parts["pose"] = chained(step.matrix()[0].double().cpu().numpy() for step in onwards)
        intrinsics, source = self._intrinsics(sample, frames)
        if set(self.outputs) & set(_MOTION) and count > 2:
            parts |= self._motion(sample, frames, inverse, onwards, intrinsics)
        meta = self._meta(intrinsics=source)
        return Prediction(**parts, invariance="scale", meta=meta)

    @torch.inference_mode()
    def _pose(self, other: Tensor, target: Tensor) -> PoseVector:
        return self.network.relative_pose(other, target)

    @torch.inference_mode()
    def _motion(
        self,
        sample: Sample,
        frames: NDArray[np.uint8],
        inverse: list[Tensor],
        onwards: list[PoseVector],
        intrinsics: Tensor | None,
    ) -> dict[str, NDArray[np.float32]]:
        """Flow and mask of every frame that has both neighbours."""
        count, _, height, width = frames.shape
        masks = np.full((count, height, width), np.nan, np.float32)
        flows = np.full((count, 2, height, width), np.nan, np.float32)
        steps = self._time_steps(sample, count)
        zoom = torch.tensor([width / self.size[1], height / self.size[0]], device=self.device)
        images = Neighbours(self, frames)
        for t in range(1, count - 1):
            previous, target, following = (images[k] for k in (t - 1, t, t + 1))
            poses = {-1: self._pose(previous, target), 1: onwards[t]}
            motion = self.network.motion(previous, target, following, ego_motion(poses))
            mask = motion.logits[0].sigmoid()
            masks[t] = self._enlarged(mask, (height, width))[0, 0].cpu()
            if intrinsics is None or "flow" not in self.outputs:
                continue
            scene = compose_scene(
                *(1 / inverse[t], poses[1], motion, intrinsics[t : t + 1]), time_step=steps[t]
            )
            flow = self._enlarged(scene.optical_flow, (height, width))
            flows[t] = (flow * zoom[:, None, None])[0].cpu()
        found: dict[str, NDArray[np.float32]] = {"motion_mask": masks}
        if intrinsics is not None:
            found["flow"] = flows
        return {name: values for name, values in found.items() if name in self.outputs}

    def _intrinsics(self, sample: Sample, frames: NDArray[np.uint8]) -> tuple[Tensor | None, str]:
        """(T, 3, 3) in pixels of the network's size, and where they come from."""
        count, _, height, width = frames.shape
        rows, columns = self.size
        fixed = self.card.settings.get("intrinsics")
        if fixed is not None:
            fx, fy, cx, cy = fixed
            matrix = np.array(
                [[fx * columns, 0, cx * columns], [0, fy * rows, cy * rows], [0, 0, 1]]
            )
            matrices, source = np.tile(matrix, (count, 1, 1)), "of the training"
        elif "intrinsics" in sample:
            given = np.asarray(sample["intrinsics"], np.float64).reshape(-1, 3, 3)
            zoom = np.array([columns / width, rows / height, 1])[:, None]
            matrices, source = np.broadcast_to(given * zoom, (count, 3, 3)), "of the sample"
        elif self.needs.intrinsics:
            raise UsageError(
                f"{self.card.name}: the flow needs 'intrinsics' (T, 3, 3) in the sample; add them, "
                "or leave flow out of outputs"
            )
        else:
            return None, "none: no flow"
        return torch.from_numpy(np.array(matrices, np.float32)).to(self.device), source

    def _time_steps(self, sample: Sample, count: int) -> list[float]:
        """Time from each frame to the next, over the median step of the training."""
        median = self.card.settings.get("median_step_ns")
        if median is None or "timestamps" not in sample:
            return [1.0] * count
        steps = np.diff(np.asarray(sample["timestamps"], np.int64).reshape(-1)) / median
        return [*steps.tolist(), 1.0]
