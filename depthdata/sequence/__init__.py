"""The sequence file: one HDF5 file, one sequence, complete or absent.

``docs/format.md`` specifies it. Reading needs no HDF5 library: `open_sequence` finds everything
through the file's own index, so the writer and `verify`, which use h5py, load when first used.

>>> import depthdata.sequence
>>> depthdata.sequence.VERSION
1
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from depthdata.sequence.points import Points as Points
from depthdata.sequence.points import densify as densify
from depthdata.sequence.reader import Camera as Camera
from depthdata.sequence.reader import Sequence as Sequence
from depthdata.sequence.reader import open_sequence as open_sequence
from depthdata.sequence.schema import FORMAT as FORMAT
from depthdata.sequence.schema import MISSING_TIME as MISSING_TIME
from depthdata.sequence.schema import VERSION as VERSION
from depthdata.sequence.schema import Boxes as Boxes
from depthdata.sequence.schema import Objects as Objects
from depthdata.sequence.schema import PoseSet as PoseSet
from depthdata.sequence.schema import StereoPair as StereoPair
from depthdata.sequence.schema import Tracks as Tracks
from depthdata.sequence.stereo import StereoGeometry as StereoGeometry
from depthdata.sequence.streams import Stream as Stream

if TYPE_CHECKING:
    from depthdata.sequence.camera_writer import CameraWriter as CameraWriter
    from depthdata.sequence.integrity import VerifyReport as VerifyReport
    from depthdata.sequence.integrity import verify as verify
    from depthdata.sequence.part import stale_parts as stale_parts
    from depthdata.sequence.writer import SequenceWriter as SequenceWriter

_LATER = {
    "CameraWriter": "camera_writer",
    "SequenceWriter": "writer",
    "VerifyReport": "integrity",
    "stale_parts": "part",
    "verify": "integrity",
}

__all__ = [
    "FORMAT",
    "MISSING_TIME",
    "VERSION",
    "Boxes",
    "Camera",
    "CameraWriter",
    "Objects",
    "Points",
    "PoseSet",
    "Sequence",
    "SequenceWriter",
    "StereoGeometry",
    "StereoPair",
    "Stream",
    "Tracks",
    "VerifyReport",
    "densify",
    "open_sequence",
    "stale_parts",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
