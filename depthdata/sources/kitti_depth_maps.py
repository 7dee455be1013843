"""Depth maps of KITTI's depth benchmark: 16-bit PNG files as a stream, without loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.kitti_depth import DEPTH_SCALE, read_depth_levels
from depthdata.errors import SourceError

if TYPE_CHECKING:
    from depthdata.sequence import CameraWriter

__all__ = ["PROVENANCE", "write_depth"]

PROVENANCE = {
    "depth": "KITTI's annotated depth: scans of 11 frames accumulated, filtered with stereo",
    "depth_raw": "one velodyne scan in the image (velodyne_raw), as KITTI projects it",
}
"""Where the two depths of the benchmark come from."""


def write_depth(
    camera: CameraWriter, name: str, paths: Mapping[int, Path], provenance: str
) -> None:
    """Write depth PNGs as the stream `name`: position on the timeline -> file.

    Raises
    ------
    SourceError
        A file is of another size than the images of the camera.
    """
    index = sorted(paths)
    camera.dense(
        name,
        _levels(camera, [paths[t] for t in index]),
        dtype="uint16",
        frame_index=index,
        unit="m",
        scale=DEPTH_SCALE,
        missing=0,
        provenance=provenance,
        quantity="depth",
    )


def _levels(camera: CameraWriter, paths: list[Path]) -> Iterator[npt.NDArray[np.uint16]]:
    for path in paths:
        levels = read_depth_levels(path)
        if levels.shape != (camera.height, camera.width):
            raise SourceError(
                f"{path}: expected {camera.width}x{camera.height} pixels like the images, found "
                f"{levels.shape[1]}x{levels.shape[0]}; take the published files"
            )
        yield levels
