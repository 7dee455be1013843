"""What the archives of MPI Sintel hold: folders, file names, and the distance of the cameras.

The archives are the stereo set, the depth set and the flow set ("complete"). Each has a folder
``training`` (the flow set ``test`` too) with folders like ``clean/<sequence>/frame_0001.png``.
Folders of the flow set are named as the dataset's own page describes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BASELINE", "FOLDERS", "KINDS", "SETS", "Kind", "frames_in", "kind_of"]

BASELINE = 0.1
"""Metres between the two cameras."""

SETS = {
    "stereo": "MPI-Sintel-stereo-training-20150305.zip",
    "depth": "MPI-Sintel-depth-training-20150305.zip",
    "flow": "MPI-Sintel-complete.zip",
}
"""Set -> name of its archive."""


@dataclass(frozen=True)
class Kind:
    """What one folder of a set holds.

    Parameters
    ----------
    set : str
        One of `SETS`.
    folder : str
        Below ``training``.
    stream : str
        Our name; ``camera`` for camera files.
    camera : str
        ``left`` or ``right``.
    suffix : str
        Of the files.
    """

    set: str
    folder: str
    stream: str
    camera: str = "left"
    suffix: str = ".png"

    @property
    def key(self) -> str:
        """Set and folder: what names a kind."""
        return f"{self.set}/{self.folder}"

    @property
    def is_picture(self) -> bool:
        """Whether the files are images of the film."""
        return self.stream.startswith("rgb")

    @property
    def partial(self) -> bool:
        """Whether some frames, the last for one, have no such file."""
        return self.folder in ("flow", "invalid") or self.key == "flow/occlusions"


KINDS = (
    Kind("stereo", "clean_left", "rgb"),
    Kind("stereo", "clean_right", "rgb", "right"),
    Kind("flow", "clean", "rgb"),
    Kind("stereo", "final_left", "rgb_final"),
    Kind("stereo", "final_right", "rgb_final", "right"),
    Kind("flow", "final", "rgb_final"),
    Kind("flow", "albedo", "rgb_albedo"),
    Kind("stereo", "disparities", "disparity"),
    Kind("stereo", "occlusions", "masks/occluded"),
    Kind("stereo", "outofframe", "masks/out_of_frame"),
    Kind("depth", "depth", "depth", suffix=".dpt"),
    Kind("depth", "camdata_left", "camera", suffix=".cam"),
    Kind("flow", "flow", "flow_forward", suffix=".flo"),
    Kind("flow", "invalid", "flow_forward_valid"),
    Kind("flow", "occlusions", "masks/occluded_forward"),
)
"""Every kind, in the order of writing; of two kinds of one stream and camera the first is taken."""

FOLDERS = {kind.folder: kind.suffix for kind in KINDS}
"""Folder -> suffix of its files."""

_BY_KEY = {kind.key: kind for kind in KINDS}
_FRAME = re.compile(r"frame_[0-9]+")


def kind_of(key: str) -> Kind:
    """Return the kind of a key.

    >>> kind_of("stereo/occlusions").stream, kind_of("flow/occlusions").stream
    ('masks/occluded', 'masks/occluded_forward')
    """
    return _BY_KEY[key]


def frames_in(names: list[str], suffix: str) -> tuple[str, ...]:
    """Return the frames among file names, in the order of their numbers.

    >>> frames_in(["frame_0010.png", "frame_0009.png", "Thumbs.db"], ".png")
    ('frame_0009', 'frame_0010')
    """
    stems = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    frames = [stem for stem in stems if _FRAME.fullmatch(stem)]
    return tuple(sorted(frames, key=lambda frame: (int(frame[6:]), frame)))
