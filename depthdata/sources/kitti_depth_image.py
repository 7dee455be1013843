"""One selected image of KITTI's depth benchmark into a sequence file of one frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthdata.codecs.kitti import MISSING_TIME
from depthdata.codecs.kitti_depth import read_intrinsics
from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import SequenceSpec
from depthdata.sources.files import Pictures
from depthdata.sources.kitti_depth_maps import PROVENANCE, write_depth

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["write"]

_STREAMS = {"groundtruth_depth": "depth", "velodyne_raw": "depth_raw"}


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write an image; see `depthdata.sources.kitti_depth.write`."""
    root, files = Path(spec.root), spec.files
    for kind, name in files["expected"].items():
        if kind not in files["paths"]:
            raise SourceError(
                f"{root / name} is missing; unpack data_depth_selection.zip again", incomplete=True
            )
    paths = {kind: root / name for kind, name in files["paths"].items()}
    try:
        picture = Pictures.of([paths["image"]])
        writer.timeline(np.array([MISSING_TIME]), [files["frame"]])
        camera = writer.camera(
            files["camera"],
            height=picture.size.height,
            width=picture.size.width,
            intrinsics=read_intrinsics(paths["intrinsics"]),
            transform={"selection": files["selection"]},
        )
        picture.write(camera)
        for kind, stream in _STREAMS.items():
            if kind in paths:
                write_depth(camera, stream, {0: paths[kind]}, PROVENANCE[stream])
    except FormatError as error:
        raise SourceError(str(error)) from error
