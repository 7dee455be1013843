"""Insta-DM on samples: depth, the path of the camera, and where objects are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from depthdata.errors import UsageError
from depthzoo.models.base import Sample, view_frames
from depthzoo.models.card import Card, Needs
from depthzoo.models.gaussian_resize import gaussian_resize
from depthzoo.models.monocular import MonocularModel, Neighbours, chained, wanted_outputs
from depthzoo.networks.geometry import back_project
from depthzoo.networks.insta_dm import InstaDM, View, without_objects
from depthzoo.networks.insta_dm_projection import pose_matrix
from depthzoo.prediction import Prediction

__all__ = ["InstaDMModel"]

Poses = NDArray[np.float64]


class InstaDMModel(MonocularModel):
    """An Insta-DM network as a model.

    Parameters
    ----------
    card, network, device, precision, size, batch_size
        As for `MonocularModel`.
    channels_last : bool
        Memory format of the convolutions; on a CPU the other one takes a quarter longer.
    outputs : sequence of str, optional
        Some of ``depth``, ``pose``, ``object_poses``. Not given, all of them as far as weights and
        sample allow, and single frames are enough; named, ``pose`` makes the model need two frames,
        ``object_poses`` intrinsics, too.
    max_objects : int
        In a pair of frames, the largest ones of the first.
    """

    network: InstaDM

    def __init__(
        self,
        card: Card,
        network: InstaDM,
        *,
        outputs: Any = None,
        max_objects: int = 3,
        channels_last: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(card, network, channels_last=channels_last, **options)
        self.outputs = wanted_outputs(card, outputs)
        if max_objects < 0:
            raise UsageError(f"{card.name}: max_objects is at least 0; got {max_objects}")
        self.max_objects = max_objects
        if outputs is not None and len(self.outputs) > 1:
            self.needs = Needs(offsets=(0, 1), intrinsics="object_poses" in self.outputs)

    def predict(self, sample: Sample) -> Prediction:
        """Predict whatever the frames allow.

        Parameters
        ----------
        sample : mapping
            ``rgb``: uint8, (T, 3, H, W), any size, consecutive frames. For objects also
            ``instances`` (T, H, W), 0 where there is none, the number of an object the same in all
            frames, and ``intrinsics`` (T, 3, 3) of this size.

        Returns
        -------
        Prediction
            Depth (T, H, W); for T > 1 the pose (T, 4, 4) in the axes of the first camera; of
            objects the pose, too: where their middle is, turned like the first camera, NaN where an
            object is not seen. All are up to one common factor. ``meta["object_motion"]`` has the
            displacement of each object to the next frame, in the same axes, None where there is
            none.
        """
        frames = view_frames(sample, "rgb", model=self.card.name)
        kept: list[Tensor] = []
        parts: dict[str, Any] = {"depth": self._depths(frames, kept)}
        several = len(frames) > 1 and len(self.outputs) > 1
        masks = self._masks(sample, frames) if several else None
        meta = self._meta(objects="no 'instances' in the sample" if masks is None else "masked")
        if several:
            with torch.inference_mode():
                parts |= self._motion(frames, kept, masks, self._intrinsics(sample, frames), meta)
        return Prediction(**parts, invariance="scale", meta=meta)

    def _depths(
        self, frames: NDArray[np.uint8], keep: list[Tensor] | None = None
    ) -> NDArray[np.float32]:
        """(T, H, W): depth, not disparity, is brought to the size of the frames.

        `keep` receives the depth (1, 1, h, w) of each frame at the size of the network.
        """
        depths = np.empty((len(frames), *frames.shape[2:]), np.float32)
        for first in range(0, len(frames), self.batch_size):
            here = slice(first, first + self.batch_size)
            with torch.inference_mode():
                images = torch.cat([self._image(frame) for frame in frames[here]])
                found = self.network(images)[0].float().reciprocal()
                depths[here] = self._enlarged(found, frames.shape[2:])[:, 0].cpu()
            if keep is not None:
                keep.extend(found[i : i + 1] for i in range(len(found)))
        return depths

    def _image(self, frame: NDArray[np.uint8]) -> Tensor:
        """Bring (3, H, W) uint8 to the network's size, (1, 3, h, w) in -1..1, on the device."""
        image = torch.from_numpy(np.require(frame, requirements=["C", "W"]))[None].to(self.device)
        resized = gaussian_resize(image.float(), self.size)
        return resized.div_(255).sub_(0.5).div_(0.5).contiguous(memory_format=self._format)

    def _masks(self, sample: Sample, frames: NDArray[np.uint8]) -> Tensor | None:
        """(T, h, w) numbers of objects at the size of the network."""
        if "instances" not in sample or self.max_objects == 0:
            return None
        labels = torch.as_tensor(np.asarray(sample["instances"]).astype(np.int64))
        labels = labels.reshape(-1, *labels.shape[-2:])
        expected = (len(frames), *frames.shape[2:])
        if tuple(labels.shape) != expected:
            raise UsageError(
                f"{self.card.name}: 'instances' of shape {expected} expected, as the images; "
                f"found {tuple(labels.shape)}"
            )
        # Nearest pixels; float64 holds every number of an object exactly.
        small = F.interpolate(labels[:, None].double(), self.size, mode="nearest-exact")
        return small[:, 0].long().to(self.device)

    def _intrinsics(self, sample: Sample, frames: NDArray[np.uint8]) -> Tensor | None:
        """(T, 3, 3) in pixels of the network's size."""
        if "intrinsics" not in sample:
            if self.needs.intrinsics:
                raise UsageError(
                    f"{self.card.name}: object_poses need 'intrinsics' (T, 3, 3) in the sample; "
                    "add them, or leave object_poses out of outputs"
                )
            return None
        (rows, columns), (height, width) = self.size, frames.shape[2:]
        given = np.asarray(sample["intrinsics"], np.float64).reshape(-1, 3, 3)
        zoom = np.array([columns / width, rows / height, 1])[:, None]
        matrices = np.broadcast_to(given * zoom, (len(frames), 3, 3)).astype(np.float32)
        return torch.from_numpy(matrices).to(self.device)

    def _motion(
        self,
        frames: NDArray[np.uint8],
        depths: list[Tensor],
        masks: Tensor | None,
        intrinsics: Tensor | None,
        meta: dict[str, Any],
    ) -> dict[str, Any]:
        """Pose of the camera and of objects; adds their motion to `meta`."""
        images = Neighbours(self, frames)
        with_objects = (
            "object_poses" in self.outputs and masks is not None and intrinsics is not None
        )
        steps: list[Poses] = []
        moves: list[dict[int, tuple[Poses, Poses]]] = []
        for t in range(len(frames) - 1):
            numbers = self._common(masks, t) if masks is not None else []
            first, second = (
                View(images[k], depths[k], _stack(masks, k, numbers, depths[k])) for k in (t, t + 1)
            )
            if not with_objects:
                back = self.network.ego(*reversed(without_objects(first, second)))
                moves.append({})
            else:
                assert intrinsics is not None
                back, _, *objects = self.network.pair(first, second, intrinsics[t : t + 1])
                pairs = zip(*(o.double().cpu().numpy() for o in objects), strict=True)
                moves.append(dict(zip(numbers, pairs, strict=True)))
            steps.append(pose_matrix(back.double())[0].cpu().numpy())
        poses = chained(iter(steps))
        found: dict[str, Any] = {"pose": poses} if "pose" in self.outputs else {}
        if with_objects:
            assert masks is not None and intrinsics is not None
            found["object_poses"] = _places(depths, masks, intrinsics, poses)
            meta["object_motion"] = _displacements(moves, poses)
        return found

    def _common(self, masks: Tensor, t: int) -> list[int]:
        """Objects of frame t that are in frame t + 1 too, the largest first."""
        numbers, areas = torch.unique(masks[t], return_counts=True)
        following = set(torch.unique(masks[t + 1]).tolist())
        sized = sorted(zip(areas.tolist(), numbers.tolist(), strict=True), reverse=True)
        return [n for _, n in sized if n > 0 and n in following][: self.max_objects]


def _stack(masks: Tensor | None, t: int, numbers: list[int], like: Tensor) -> Tensor:
    """(S, 1, h, w), 1 on each of the objects."""
    if masks is None or not numbers:
        return like.new_zeros((0, *like.shape[1:]))
    chosen = torch.tensor(numbers, device=masks.device).view(-1, 1, 1, 1)
    return (masks[t] == chosen).to(like.dtype)


def _places(
    depths: list[Tensor], masks: Tensor, intrinsics: Tensor, poses: Poses
) -> dict[int, Poses]:
    """Where the middle of each object is, (T, 4, 4) by number."""
    found: dict[int, Poses] = {}
    for t, depth in enumerate(depths):
        points = back_project(depth, intrinsics[t : t + 1])[0]
        for number in torch.unique(masks[t]).tolist():
            if number <= 0:
                continue
            middle = points[:, masks[t] == number].double().mean(1).cpu().numpy()
            places = found.setdefault(number, np.full((len(depths), 4, 4), np.nan))
            places[t] = np.eye(4)
            places[t, :3, 3] = poses[t, :3, :3] @ middle + poses[t, :3, 3]
    return found


def _displacements(
    moves: list[dict[int, tuple[Poses, Poses]]], poses: Poses
) -> dict[int, list[list[float] | None]]:
    """Motion of objects to the next frame in the axes of the first camera, both ways averaged."""
    numbers = sorted({number for move in moves for number in move})
    found: dict[int, list[list[float] | None]] = {n: [None] * len(poses) for n in numbers}
    for t, move in enumerate(moves):
        for number, (back, onwards) in move.items():
            both = poses[t, :3, :3] @ onwards - poses[t + 1, :3, :3] @ back
            found[number][t] = (both / 2).tolist()
    return found
