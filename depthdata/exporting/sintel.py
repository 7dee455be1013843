"""Sequences as film sequences of MPI Sintel, the stereo, depth and flow sets in their folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.flo import encode_flo
from depthdata.codecs.sintel import (
    SintelCamera,
    encode_camera,
    encode_depth,
    encode_disparity,
    encode_mask,
)
from depthdata.codecs.sintel_folders import KINDS, Kind, frames_in
from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse

if TYPE_CHECKING:
    from depthdata.sequence import Camera, Sequence

__all__ = ["write"]

_ENCODE: dict[str, Callable[[npt.NDArray[Any]], bytes]] = {
    "disparity": encode_disparity,
    "depth": encode_depth,
    "flow_forward": lambda flow: encode_flo(np.moveaxis(flow, 0, -1)),
    "flow_forward_valid": lambda valid: encode_mask(valid == 0),
    "masks/occluded": encode_mask,
    "masks/out_of_frame": encode_mask,
    "masks/occluded_forward": encode_mask,
}


def write(sequences: Iterable[Sequence], root: Path) -> None:
    """Write sequences to ``stereo/training``, ``depth/training``, ``flow/training`` of `root`.

    Images come back byte for byte, everything else value for value. Left images go to the set
    that they came from. Test images go to ``flow/test``.

    Raises
    ------
    UsageError
        A sequence of another dataset: frames and the distance of the cameras are fixed here.
    """
    for sequence in sequences:
        names = sequence.frame_ids
        if sequence.dataset != "sintel" or len(frames_in(list(names), "")) != len(names):
            raise UsageError(
                f"{sequence.name}: expected a sequence of sintel, found one of {sequence.dataset}; "
                "the cameras of MPI Sintel are 0.1 m apart, so others have no place there"
            )
        for kind in KINDS:
            camera = sequence.cameras.get(kind.camera)
            if camera is None:
                continue
            part = "test" if sequence.split == "test" else "training"
            folder = root / kind.set / part / kind.folder / sequence.name
            if kind.stream == "camera":
                _write_cameras(camera, names, folder, kind)
            elif kind.stream in camera.streams:
                _write_stream(camera, names, folder, kind)


def _write_stream(camera: Camera, names: tuple[str, ...], folder: Path, kind: Kind) -> None:
    stream = camera[kind.stream]
    if kind.is_picture and stream.attrs["provenance"] != kind.key:  # from the other set
        return
    for t in stream.frames.tolist():
        data = stream.blob(t) if kind.is_picture else _ENCODE[kind.stream](stream.raw(t))
        _write(folder / f"{names[t]}{kind.suffix}", data)


def _write_cameras(camera: Camera, names: tuple[str, ...], folder: Path, kind: Kind) -> None:
    """Write the camera files with the very numbers that the source had."""
    if camera.poses is None:
        return
    T_cam_world = se3_inverse(camera.poses)[:, :3]
    T_cam_world[..., 3] = camera.transform.get("T_cam_world_translation", T_cam_world[..., 3])
    for t, name in enumerate(names):
        data = encode_camera(SintelCamera(camera.intrinsics(t), T_cam_world[t]))
        _write(folder / f"{name}{kind.suffix}", data)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
