"""What a sample says of its cameras: intrinsics, poses, times, baselines."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from depthdata.distortion import MODEL
from depthdata.geometry import scale_intrinsics

if TYPE_CHECKING:
    from depthdata.sequence import Camera, PoseSet, StereoPair
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["are_distorted", "baselines", "cameras_at", "lenses", "vary"]

logger = logging.getLogger(__name__)


def cameras_at(
    prefix: str,
    cameras: Sequence[Camera],
    frames: Sequence[Sequence[int]],
    hw: tuple[int, int],
    pose_sets: Sequence[PoseSet] | None = None,
) -> dict[str, torch.Tensor]:
    """Return intrinsics, poses and times of each camera and frame, for images of size `hw`.

    Poses are the cameras' own, or those of the pose sets of their files.
    """
    lead = (len(cameras), len(frames[0]))
    intrinsics = np.empty((*lead, 3, 3), dtype=np.float64)
    pose = np.full((*lead, 4, 4), np.nan)
    times = np.empty(lead, dtype=np.int64)
    for b, (camera, ts) in enumerate(zip(cameras, frames, strict=True)):
        for k, t in enumerate(ts):
            intrinsics[b, k] = camera.intrinsics(t)
        if (camera.height, camera.width) != hw:
            intrinsics[b] = scale_intrinsics(intrinsics[b], (camera.height, camera.width), hw)
        if pose_sets is not None:
            rig = np.eye(4) if camera.T_rig_cam is None else camera.T_rig_cam
            pose[b] = pose_sets[b].of(rig, list(ts))
        elif camera.poses is not None:
            pose[b] = camera.poses[ts]
        times[b] = camera.timestamps[ts]
    return {
        f"{prefix}intrinsics": torch.from_numpy(intrinsics.astype(np.float32)),
        f"{prefix}T_world_cam": torch.from_numpy(pose),
        f"{prefix}timestamps": torch.from_numpy(times),
    }


def lenses(prefix: str, cameras: Sequence[Camera], length: int) -> dict[str, torch.Tensor]:
    """Return the distortion of each camera and frame: k1, k2, p1, p2, k3; 0 where there is none."""
    found = np.zeros((len(cameras), length, 5))
    for b, camera in enumerate(cameras):
        if camera.distortion is not None and camera.distortion_model == MODEL:
            found[b, :, : len(camera.distortion)] = camera.distortion
    return {f"{prefix}distortion": torch.from_numpy(found.astype(np.float32))}


def are_distorted(cameras: Iterable[Camera], streams: Sequence[str]) -> bool:
    """Whether what is loaded of some camera is distorted: the stream fact ``undistorted`` counts.

    A distortion of another model than OpenCV's is told of in the log, once a dataset.
    """
    models = set()
    for camera in cameras:
        loaded = [camera[name] for name in streams if name in camera.streams]
        if camera.distortion is None or not camera.distortion.any():
            continue
        if all(stream.attrs.get("undistorted") for stream in loaded):
            continue
        models.add(camera.distortion_model)
    for model in sorted(str(m) for m in models if m != MODEL):
        logger.warning("distortion of model %s is not given in samples; only %s is", model, MODEL)
    return MODEL in models


def baselines(
    files: Sequence[SequenceFile],
    rigs: Sequence[tuple[str, ...]],
    frames: Sequence[Sequence[int]],
    *,
    varying: bool,
) -> dict[str, torch.Tensor]:
    """Return ``baselines`` (B, K) of the first two cameras, and ``baseline`` (B,) of constant ones.

    Nothing where they are not a pair. `varying` says that some pair of the dataset changes: then
    there is no single number, in any sample.
    """
    pairs = [_pair(file, rig) for file, rig in zip(files, rigs, strict=True)]
    values = [
        [pair.at(t) for t in ts] for pair, ts in zip(pairs, frames, strict=True) if pair is not None
    ]
    if len(values) < len(pairs):
        return {}
    each = torch.tensor(values, dtype=torch.float32)
    return {"baselines": each} if varying else {"baseline": each[:, 0].clone(), "baselines": each}


def vary(sequences: Sequence[SequenceFile], rigs: Sequence[tuple[str, ...]]) -> bool:
    """Whether the baseline of a pair that is loaded changes in time."""
    pairs = (_pair(sequence, rig) for sequence in sequences for rig in rigs)
    return any(pair is not None and pair.baselines is not None for pair in pairs)


def _pair(sequence: SequenceFile, rig: tuple[str, ...]) -> StereoPair | None:
    return next((p for p in sequence.stereo_pairs if (p.left, p.right) == rig[:2]), None)
