"""DynamicStereo on videos of any length: windows, features made once, memory that stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depthdata.errors import UsageError
from depthzoo.models.base import Sample, stereo_frames
from depthzoo.models.card import Card
from depthzoo.models.device import autocast_of, device_of
from depthzoo.models.raft_stereo_runner import free_memory
from depthzoo.networks.correlation import volume_bytes
from depthzoo.networks.dynamic_stereo import FEATURES, LEVELS, DynamicStereo
from depthzoo.networks.dynamic_stereo_update import HIDDEN
from depthzoo.networks.padding import Padding, padding_to_multiple
from depthzoo.networks.windows import Window, Windows
from depthzoo.prediction import Prediction

__all__ = ["DynamicStereoModel", "window_bytes"]

CorrelationChoice = Literal["auto", "reg", "alt"]
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

MULTIPLE = 32  # the authors pad images to multiples of this
# Positions worked on at a time: at least, and at most, where larger pieces are no faster.
LEAST_POSITIONS = 4096
MOST_POSITIONS = {"cpu": 2**16}
_MOST_POSITIONS_ELSEWHERE = 2**18
_KEPT_CHANNELS = 2 * FEATURES + 2 * HIDDEN + 32  # of a window: features, state, motion, fields
_PIECE_CHANNELS = 1800  # of a piece: what an update has in hand


def window_bytes(
    frames: int, height: int, width: int, *, positions: int, bytes_per_value: int = 4
) -> int:
    """Memory of a window's tensors at 1/4 (`height`, `width`), correlation volume left out.

    Examples
    --------
    >>> round(window_bytes(20, 184, 320, positions=58880) / 2**30, 1)
    3.9
    """
    every = frames * height * width
    piece = min(every, max(positions, height * width))
    return bytes_per_value * (_KEPT_CHANNELS * every + _PIECE_CHANNELS * piece)


class DynamicStereoModel:
    """A DynamicStereo network as a model.

    Windows begin every half a window, and neighbours meet in the middle of their overlap. Features
    of a frame serve all of its windows.

    Parameters
    ----------
    card : Card
    network : DynamicStereo
        With its weights; it is moved to `device`.
    device : str
    precision : str
        ``fp32``, or autocast to ``fp16`` or ``bf16``: encoder, attention and updates run in that
        dtype, correlation and upsampling in float32.
    iterations : int
        Updates at 1/4, at least 2.
    window : int
        Frames that are predicted together; a shorter video is one window.
    reference_windows : bool
        Keep of each window what the authors keep. It is the same for an even `window` and a video
        of that many frames at least; otherwise frames are lost, or occur twice: `meta["frames"]` of
        a prediction tells which there are.
    correlation : str
        ``reg`` keeps the correlation volumes of a window, ``alt`` forms them a few rows at a time;
        ``auto`` takes ``reg`` when it fits `memory_budget`. Both give the same disparity.
    memory_budget : int, optional
        Bytes that the tensors of a window may take; half of the free memory when not given. It
        decides on the correlation and on how many positions are worked on at a time, which does
        not change the result; the least that is possible is used where less is given.
    channels_last : bool
        Memory format of the encoder's convolutions.
    """

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        iterations: int = 20,
        window: int = 20,
        reference_windows: bool = False,
        correlation: CorrelationChoice = "auto",
        memory_budget: int | None = None,
        channels_last: bool = False,
    ) -> None:
        name = card.name
        if not isinstance(network, DynamicStereo):
            raise UsageError(f"{name}: a DynamicStereo network expected, found {type(network)}")
        autocast = autocast_of(precision, name)
        if correlation not in get_args(CorrelationChoice):
            expected = ", ".join(get_args(CorrelationChoice))
            raise UsageError(f"{name}: correlation is one of {expected}; got {correlation!r}")
        if iterations < 2:
            raise UsageError(f"{name}: iterations is at least 2; got {iterations}")
        if memory_budget is not None and memory_budget < 1:
            raise UsageError(f"{name}: memory_budget is a number of bytes; got {memory_budget}")
        try:
            self.windows = Windows(window, reference=reference_windows)
        except ValueError as error:
            raise UsageError(f"{name}: window: {error}") from None
        self.card = card
        self.needs = card.needs
        self.weights_sha256: str | None = None
        self.precision, self.iterations = precision, iterations
        self.correlation, self.memory_budget = correlation, memory_budget
        self.device = device_of(device, name)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        network.use_autocast(autocast)
        encoder: nn.Module = network.fnet  # the kernels of the updates have five axes
        encoder.to(memory_format=self._format)  # type: ignore[call-overload]
        self.network = network.to(self.device).eval()

    def predict(self, sample: Sample) -> Prediction:
        """Match ``rgb`` against ``right_rgb``, all frames of a sample as one video.

        Parameters
        ----------
        sample : mapping
            ``rgb`` and ``right_rgb``: uint8, (T, 3, H, W), any length and size.

        Returns
        -------
        Prediction
            Disparity (T, H, W) in pixels of the given size, never negative; `meta` tells what was
            chosen.
        """
        left, right = stereo_frames(sample, model=self.card.name)
        meta: dict[str, object] = {}
        found = list(self._run(zip(left, right, strict=True), meta))
        maps = np.empty((len(found), *left.shape[2:]), np.float32)
        for i, (_, disparity) in enumerate(found):
            maps[i] = disparity
        meta["frames"] = tuple(t for t, _ in found)
        return Prediction(disparity=maps, invariance="disparity", meta=meta)

    def stream(self, samples: Iterable[Sample]) -> Iterator[Prediction]:
        """Predict a video that is given, and returned, piece by piece.

        Parameters
        ----------
        samples : iterable of mapping
            Consecutive frames of one video, one or more in each sample. They are read as they are
            needed; no more than a window of them is held.

        Yields
        ------
        Prediction
            One frame each, in order; ``meta["frames"]`` has its index in the video.
        """
        pairs = (
            pair
            for sample in samples
            for pair in zip(*stereo_frames(sample, model=self.card.name), strict=True)
        )
        meta: dict[str, object] = {}
        for t, disparity in self._run(pairs, meta):
            yield Prediction(
                disparity=disparity[None], invariance="disparity", meta={**meta, "frames": (t,)}
            )

    def _run(
        self, pairs: Iterable[Pair], meta: dict[str, object]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Index and disparity of every frame that is kept; `meta` is filled when it is known."""
        features: _Features | None = None
        for window in self.windows.over(pairs):
            height, width = window.frames[0][0].shape[1:]
            padding = padding_to_multiple(height, width, MULTIPLE)
            if features is None:
                meta.update(self._choose(len(window.frames), height, width, padding))
                features = _Features(len(window.frames), self.windows.step)
            self._encode(window, features, padding)
            if window.kept.start == window.kept.stop:
                continue
            for i, disparity in enumerate(self._match(window, features, padding)):
                yield window.start + window.kept.start + i, disparity

    @torch.inference_mode()
    def _encode(self, window: Window[Pair], features: _Features, padding: Padding) -> None:
        """Bring the features of a window's frames up to date."""
        if window.start:
            features.advance()
        known = len(window.frames) - window.fresh
        size = window.frames[0][0].shape
        for at, pair in enumerate(window.frames[known:], known):
            if pair[0].shape != size:
                raise UsageError(
                    f"{self.card.name}: frame {window.start + at} has size {pair[0].shape[1:]}, "
                    f"those before it {size[1:]}; a video has one size"
                )
            for view, image in enumerate(pair):
                features.put(view, at, self.network.features(padding.pad(self._tensor(image))))

    @torch.inference_mode()
    def _match(
        self, window: Window[Pair], features: _Features, padding: Padding
    ) -> NDArray[np.float32]:
        left, right = (view[: len(window.frames)] for view in features.views)
        flow = self.network.match(left, right, self.iterations)[-1][window.kept]
        disparity = padding.crop(flow)[:, 0].abs().float().cpu().numpy()
        return np.asarray(disparity, np.float32)

    def _tensor(self, image: NDArray[np.uint8]) -> Tensor:
        """Bring (3, H, W) uint8 to the device and to (1, 3, H, W) float32."""
        tensor = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(self.device)
        return tensor[None].to(torch.float32, memory_format=self._format)

    def _choose(self, frames: int, height: int, width: int, padding: Padding) -> dict[str, object]:
        """Pick correlation and pieces for a window, and say what was picked."""
        rows, columns = height + padding.top + padding.bottom, width + padding.left + padding.right
        size = (frames, rows // 4, columns // 4)
        value = 4 if self.precision == "fp32" else 2

        def needed(positions: int) -> int:
            return window_bytes(*size, positions=positions, bytes_per_value=value)

        volume = volume_bytes(*size, LEVELS)
        budget, chosen = self.memory_budget, self.correlation
        budget = free_memory(self.device) // 2 if budget is None else budget
        if chosen == "auto":
            chosen = "reg" if needed(LEAST_POSITIONS) + volume <= budget else "alt"
        kept = volume if chosen == "reg" else 0
        positions = MOST_POSITIONS.get(self.device.type, _MOST_POSITIONS_ELSEWHERE)
        while positions > LEAST_POSITIONS and needed(positions) + kept > budget:
            positions //= 2
        self.network.use_correlation(chosen)
        self.network.use_pieces(positions)
        return {
            "model": self.card.name,
            "device": str(self.device),
            "precision": self.precision,
            "iterations": self.iterations,
            "window": self.windows.size,
            "reference_windows": self.windows.reference,
            "padded_size": (rows, columns),
            "correlation": chosen,
            "correlation_volume_bytes": volume,
            "positions_at_once": positions,
            "window_bytes": needed(positions) + kept,
            "memory_budget": budget,
        }


class _Features:
    """Features of the frames of a window, both views, in place while the window moves on."""

    def __init__(self, frames: int, step: int) -> None:
        self.frames, self.step = frames, step
        self.views: list[Tensor] = []

    def put(self, view: int, frame: int, features: Tensor) -> None:
        """Keep the features (1, C, h, w) of a frame."""
        if not self.views:
            shape = (self.frames, *features.shape[1:])
            self.views = [features.new_empty(shape) for _ in range(2)]
        self.views[view][frame] = features[0]

    def advance(self) -> None:
        """Forget the oldest frames of a full window, one step of them."""
        for view in self.views:
            for frame in range(self.frames - self.step):
                view[frame].copy_(view[frame + self.step])
