"""Monodepth2 on samples: depth of every frame, and the path of the camera through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from depthzoo.models.base import Sample, view_frames
from depthzoo.models.card import Card
from depthzoo.models.monocular import MonocularModel, Neighbours, chained, wanted_outputs
from depthzoo.networks.geometry import invert_rigid
from depthzoo.networks.monodepth2 import Monodepth2
from depthzoo.prediction import Prediction

__all__ = ["Monodepth2Model"]


class Monodepth2Model(MonocularModel):
    """A Monodepth2 network as a model.

    Parameters
    ----------
    card, network, device, precision, size, batch_size, channels_last
        As for `MonocularModel`.
    outputs : sequence of str, optional
        ``depth``, ``pose``; all that the weights give when not given.
    """

    network: Monodepth2

    def __init__(
        self, card: Card, network: Monodepth2, *, outputs: Any = None, **options: Any
    ) -> None:
        super().__init__(card, network, **options)
        self.outputs = wanted_outputs(card, outputs)

    def predict(self, sample: Sample) -> Prediction:
        """Predict the depth of every frame, and poses where there are several.

        Parameters
        ----------
        sample : mapping
            ``rgb``: uint8, (T, 3, H, W), any size, in the order of time.

        Returns
        -------
        Prediction
            Depth (T, H, W); for T > 1 the pose (T, 4, 4) too, in the axes of the first camera.
            Both are up to one common factor.
        """
        frames = view_frames(sample, "rgb", model=self.card.name)
        depth = self._depths(frames)
        several = "pose" in self.outputs and len(frames) > 1
        pose = chained(self._steps(frames)) if several else None
        return Prediction(depth=depth, pose=pose, invariance="scale", meta=self._meta())

    def _steps(self, frames: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
        """Yield the pose of each frame in the camera of the one before."""
        images = Neighbours(self, frames)
        for t in range(len(frames) - 1):
            with torch.inference_mode():
                onwards = self.network.relative_pose(images[t], images[t + 1]).matrix()
                yield invert_rigid(onwards)[0].double().cpu().numpy()
