"""Sequences as clips of FlyingThings3D, Monkaa and Driving."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthdata.codecs.blender_cameras import BlenderCameras, encode_cameras
from depthdata.codecs.images import encode_png
from depthdata.codecs.pfm import encode_pfm
from depthdata.codecs.sceneflow import KINDS, VIEWS, Kind, camera_file
from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Sequence

__all__ = ["write"]


def write(sequences: Iterable[Sequence], root: Path) -> None:
    """Write sequences below `root`, the folder of ``FlyingThings3D``, ``Monkaa`` and ``Driving``.

    Images come back byte for byte; PFM files have the header of the published ones, and NaN where
    something is missing.

    Raises
    ------
    UsageError
        A sequence of another dataset: the intrinsics of these sets are fixed, and a tree of them
        has no place for others.
    """
    for sequence in sequences:
        source = sequence.cameras["left"].transform.get("source_clip", "")
        if sequence.dataset != "sceneflow" or "/" not in source or not _is_pair(sequence):
            raise UsageError(
                f"{sequence.name}: expected a sequence of sceneflow, found one of "
                f"{sequence.dataset}; the cameras of the Scene Flow datasets are fixed, so others "
                "have no place there"
            )
        name, _, clip = source.partition("/")
        for view in VIEWS:
            for kind in KINDS:
                _write_stream(sequence, sequence.cameras[view], kind, root / name, clip)
        _write_cameras(sequence, root / name / camera_file(clip))


def _is_pair(sequence: Sequence) -> bool:
    return set(VIEWS) <= set(sequence.cameras)


def _write_stream(sequence: Sequence, camera: Camera, kind: Kind, folder: Path, clip: str) -> None:
    if kind.stream not in camera.streams:
        return
    stream = camera[kind.stream]
    for t in stream.frames.tolist():
        path = folder / kind.path(clip, camera.name, sequence.frame_ids[t])
        if stream.kind == "encoded":
            data = bytes(stream.blob(t))
        elif kind.suffix == ".png":
            data = encode_png(stream.raw(t) * np.uint8(255))
        else:
            values = stream.raw(t)
            if values.ndim == 3:  # flow: dx, dy and a channel that is not used
                values = np.dstack([*values, np.zeros_like(values[0])])
            data = encode_pfm(values, blanks=True)
        _write(path, data)


def _write_cameras(sequence: Sequence, path: Path) -> None:
    """Write the poses of the frames that have them."""
    left, right = (sequence.cameras[view].poses for view in VIEWS)
    if left is None or right is None:
        return
    known = np.isfinite(left).all((1, 2)) & np.isfinite(right).all((1, 2))
    frames = tuple(int(sequence.frame_ids[t]) for t in np.flatnonzero(known))
    _write(path, encode_cameras(BlenderCameras(frames, left[known], right[known])))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
