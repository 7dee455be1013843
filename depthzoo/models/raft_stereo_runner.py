"""RAFT-Stereo on samples: padding, precision, memory, and frames one by one."""

from __future__ import annotations

import os
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depthdata.errors import UsageError
from depthzoo.models.base import Sample, stereo_frames
from depthzoo.models.card import Card
from depthzoo.models.device import autocast_of, device_of
from depthzoo.networks.correlation import volume_bytes
from depthzoo.networks.encoder_bands import band_rows, map_bytes
from depthzoo.networks.padding import padding_to_multiple
from depthzoo.networks.raft_stereo import RAFTStereo
from depthzoo.prediction import Prediction

__all__ = ["RAFTStereoModel", "free_memory"]

CorrelationChoice = Literal["auto", "reg", "alt"]

MULTIPLE = 32  # the authors pad images to multiples of this
ENCODER_MAPS = 3  # of full size, that the encoder has at a time when it works on all rows at once


class RAFTStereoModel:
    """A RAFT-Stereo network as a model.

    Parameters
    ----------
    card : Card
    network : RAFTStereo
        With its weights; it is moved to `device`.
    device : str
    precision : str
        ``fp32``, or autocast to ``fp16`` or ``bf16``: encoders and updates run in that dtype,
        correlation and upsampling in float32.
    iterations : int
        Updates of the field.
    correlation : str
        ``reg`` keeps the correlation volume, ``alt`` forms it a few rows at a time; ``auto`` takes
        ``reg`` when the volume fits `memory_budget`. Both give the same disparity.
    memory_budget : int, optional
        Bytes that the volume, and before it the encoder's maps, may take; half of the free memory
        when not given. Without autocast an encoder that exceeds it works in bands of rows, in a
        third of that memory and with the same result; see `RAFTStereo.use_bands`.
    channels_last : bool
        Memory format of the convolutions.
    """

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        iterations: int = 32,
        correlation: CorrelationChoice = "auto",
        memory_budget: int | None = None,
        channels_last: bool = False,
    ) -> None:
        if not isinstance(network, RAFTStereo):
            raise UsageError(f"{card.name}: a RAFTStereo network expected, found {type(network)}")
        autocast = autocast_of(precision, card.name)
        if correlation not in get_args(CorrelationChoice):
            expected = ", ".join(get_args(CorrelationChoice))
            raise UsageError(f"{card.name}: correlation is one of {expected}; got {correlation!r}")
        if iterations < 1:
            raise UsageError(f"{card.name}: iterations is at least 1; got {iterations}")
        if memory_budget is not None and memory_budget < 1:
            raise UsageError(
                f"{card.name}: memory_budget is a number of bytes; got {memory_budget}"
            )
        self.card = card
        self.needs = card.needs
        self.weights_sha256: str | None = None
        self.precision, self.iterations = precision, iterations
        self.correlation, self.memory_budget = correlation, memory_budget
        self.device = device_of(device, card.name)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        network.use_autocast(autocast)
        network.to(memory_format=self._format)  # type: ignore[call-overload]
        self.network = network.to(self.device).eval()

    def predict(self, sample: Sample) -> Prediction:
        """Match ``rgb`` against ``right_rgb``, frame by frame.

        Parameters
        ----------
        sample : mapping
            ``rgb`` and ``right_rgb``: uint8, (T, 3, H, W), any size.

        Returns
        -------
        Prediction
            Disparity (T, H, W) in pixels of the given size; `meta` tells what was chosen.
        """
        left, right = stereo_frames(sample, model=self.card.name)
        meta = self._choose(*left.shape[2:])
        maps = np.empty((left.shape[0], *left.shape[2:]), np.float32)
        for t, (one, other) in enumerate(zip(left, right, strict=True)):
            maps[t] = self._match(one, other)
        return Prediction(disparity=maps, invariance="disparity", meta=meta)

    def _match(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = left.shape[1:]
        padding = padding_to_multiple(height, width, MULTIPLE)
        with torch.inference_mode():
            one, other = (padding.pad(self._tensor(image)) for image in (left, right))
            flow = self.network(one, other, iterations=self.iterations)
            disparity = padding.crop(flow.up)[0, 0].neg()
            return disparity.float().cpu().numpy()  # type: ignore[no-any-return]

    def _tensor(self, image: NDArray[np.uint8]) -> Tensor:
        """Bring (3, H, W) uint8 to the device and to (1, 3, H, W) float32."""
        tensor = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(self.device)
        return tensor[None].to(torch.float32, memory_format=self._format)

    def _choose(self, height: int, width: int) -> dict[str, object]:
        """Pick correlation and bands for a size, and say what was picked."""
        padding = padding_to_multiple(height, width, MULTIPLE)
        rows, columns = height + padding.top + padding.bottom, width + padding.left + padding.right
        factor, options = self.network.factor, self.network.options
        volume = volume_bytes(1, rows // factor, columns // factor, options.corr_levels)
        budget, chosen = self.memory_budget, self.correlation
        if budget is None:
            budget = free_memory(self.device) // 2
        if chosen == "auto":
            chosen = "reg" if volume <= budget else "alt"
        self.network.use_correlation(chosen)
        trunk, size = self.network.cnet, torch.Size([1, 3, rows, columns])
        maps = ENCODER_MAPS * map_bytes(trunk, size)
        bands = band_rows(trunk, size) if maps > budget and self.precision == "fp32" else None
        self.network.use_bands(bands)
        return {
            "model": self.card.name,
            "device": str(self.device),
            "precision": self.precision,
            "iterations": self.iterations,
            "padded_size": (rows, columns),
            "correlation": chosen,
            "correlation_volume_bytes": volume,
            "encoder_bytes": maps,
            "encoder_rows": bands,
            "memory_budget": budget,
        }


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device; a cautious guess where nobody tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a Unix that counts pages
        return 4 * 2**30
