"""What the Scene Flow datasets fix once for all: folders, file names, cameras.

Every archive has its own folder (``frames_cleanpass``, ``disparity``, ``optical_flow`` ...), and
the same clips lie in each of them. Names of the derived data follow the dataset's own page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from depthdata.errors import SourceError

__all__ = [
    "BASELINE",
    "CAMERA_DATA",
    "KINDS",
    "LENS",
    "PARTS",
    "SETS",
    "SIZE",
    "VIEWS",
    "Kind",
    "camera_file",
    "nominal_intrinsics",
    "set_of",
]

SETS = ("FlyingThings3D", "Monkaa", "Driving")
"""Names of the sets and of their folders."""

VIEWS = {"left": "L", "right": "R"}
"""Our camera names, which are also folders, and the letter in the names of flow files."""

SIZE = (540, 960)
"""Height and width of all published frames."""

BASELINE = 1.0
"""Distance of the cameras in scene units."""

CAMERA_DATA = "camera_data"
"""Folder of the poses."""

PARTS = {"TRAIN": "train", "TEST": "test"}
"""Folder of FlyingThings3D -> our name of the split."""

LENS = re.compile(r"\d+mm_focallength")
"""The outermost folder of a clip of Driving."""

_FOCAL = {"15mm_focallength": 450.0}
_FOCAL_35MM = 1050.0


@dataclass(frozen=True)
class Kind:
    """What one stream is called in the source.

    Parameters
    ----------
    stream : str
        Our name.
    folder : str
        Below the set.
    direction : str
        ``into_future``, ``into_past``, or empty.
    prefix, suffix : str
        Of the file name, around the number of the frame; ``{view}`` is the letter of the view.
    """

    stream: str
    folder: str
    direction: str = ""
    prefix: str = ""
    suffix: str = ".pfm"

    @property
    def place(self) -> str:
        """Folder and direction, for messages."""
        return f"{self.folder}/{self.direction}".rstrip("/")

    def path(self, clip: str, view: str, frame: str = "") -> str:
        """Return a file, or the folder of all frames, relative to the folder of the set.

        >>> KINDS[3].path("TRAIN/A/0000", "left", "0006")
        'optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm'
        """
        parts = [self.folder, clip, self.direction, view]
        if frame:
            parts.append(f"{self.prefix}{frame}{self.suffix.format(view=VIEWS[view])}")
        return "/".join(part for part in parts if part)


KINDS = (
    Kind("rgb", "frames_cleanpass", suffix=".png"),
    Kind("rgb_final", "frames_finalpass", suffix=".png"),
    Kind("disparity", "disparity"),
    Kind("flow_forward", "optical_flow", "into_future", "OpticalFlowIntoFuture_", "_{view}.pfm"),
    Kind("flow_backward", "optical_flow", "into_past", "OpticalFlowIntoPast_", "_{view}.pfm"),
    Kind("disparity_change_forward", "disparity_change", "into_future"),
    Kind("disparity_change_backward", "disparity_change", "into_past"),
    Kind("instances", "object_index"),
    Kind("materials", "material_index"),
    Kind("masks/motion_boundary_forward", "motion_boundaries", "into_future", suffix=".png"),
    Kind("masks/motion_boundary_backward", "motion_boundaries", "into_past", suffix=".png"),
)
"""Every stream, in the order of writing."""


def set_of(clip: str) -> str:
    """Return the set that a clip belongs to, by the form of its path.

    >>> set_of("TRAIN/A/0000"), set_of("35mm_focallength/scene_forwards/fast"), set_of("eating_x2")
    ('FlyingThings3D', 'Driving', 'Monkaa')
    """
    first = clip.partition("/")[0]
    return SETS[0] if first in PARTS else SETS[2] if LENS.fullmatch(first) else SETS[1]


def camera_file(clip: str) -> str:
    """Return the file of a clip's poses, relative to the folder of the set."""
    return f"{CAMERA_DATA}/{clip}/camera_data.txt"


def nominal_intrinsics(clip: str, height: int, width: int) -> list[list[float]]:
    """Return the (3, 3) intrinsics of a clip's images, those of the published 960x540 scaled.

    Raises
    ------
    SourceError
        The images have other proportions: what was cut away is not known.

    Examples
    --------
    >>> nominal_intrinsics("TRAIN/A/0000", 540, 960)
    [[1050.0, 0.0, 479.5], [0.0, 1050.0, 269.5], [0.0, 0.0, 1.0]]
    """
    if height * SIZE[1] != width * SIZE[0]:
        raise SourceError(
            f"{set_of(clip)}/{clip}: expected images of {SIZE[1]}x{SIZE[0]} pixels or of its "
            f"proportions, found {width}x{height}; the intrinsics of cropped images are not known"
        )
    focal = _FOCAL.get(clip.partition("/")[0], _FOCAL_35MM) * width / SIZE[1]
    return [[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]
