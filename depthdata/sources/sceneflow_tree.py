"""Folders and file names of FlyingThings3D, Monkaa and Driving: which clip has which frames.

Every archive has its own folder (``frames_cleanpass``, ``disparity``, ``optical_flow`` ...), and
the same clips lie in each of them. Names of the derived data follow the dataset's own page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec

__all__ = [
    "BASELINE",
    "CAMERA_DATA",
    "KINDS",
    "SETS",
    "SIZE",
    "VIEWS",
    "Kind",
    "all_files",
    "archive_name",
    "camera_file",
    "find_clips",
    "nominal_intrinsics",
    "sequence_name",
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
_FOCAL = {"15mm_focallength": 450.0}
_FOCAL_35MM = 1050.0
_LENS = re.compile(r"\d+mm_focallength")
_PARTS = {"TRAIN": "train", "TEST": "test"}

Frames = tuple[str, ...]


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

_FOLDERS = frozenset(kind.folder for kind in KINDS)
_PASSES = ("frames_cleanpass", "frames_finalpass")


def set_of(clip: str) -> str:
    """Return the set that a clip belongs to, by the form of its path.

    >>> set_of("TRAIN/A/0000"), set_of("35mm_focallength/scene_forwards/fast"), set_of("eating_x2")
    ('FlyingThings3D', 'Driving', 'Monkaa')
    """
    first = clip.partition("/")[0]
    return SETS[0] if first in _PARTS else SETS[2] if _LENS.fullmatch(first) else SETS[1]


def sequence_name(clip: str) -> str:
    """Return the name of a clip's sequence; within a set the names sort as the paths do.

    >>> sequence_name("TRAIN/A/0000"), sequence_name("eating_x2")
    ('flyingthings3d_TRAIN_A_0000', 'monkaa_eating_x2')
    """
    return f"{set_of(clip).lower()}_{clip.replace('/', '_')}"


def camera_file(clip: str) -> str:
    """Return the file of a clip's poses, relative to the folder of the set."""
    return f"{CAMERA_DATA}/{clip}/camera_data.txt"


def archive_name(clip: str, folder: str) -> str:
    """Return the archive that a folder comes from.

    >>> archive_name("eating_x2", "disparity")
    'monkaa__disparity.tar.bz2'
    """
    packed = "" if folder in (*_PASSES, CAMERA_DATA) else ".bz2"
    return f"{set_of(clip).lower()}__{folder}.tar{packed}"


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


def find_clips(dataset: str, root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the clips below a root, sorted by name.

    Parameters
    ----------
    dataset : str
        Our name.
    root : path
        The folder of ``FlyingThings3D``, ``Monkaa`` and ``Driving``, or one of the three. Which it
        is shows in the folders inside, not in its name.

    Raises
    ------
    SourceError
        There is no clip with images, or the images are WebP.
    """
    folder = Path(root).resolve()
    tops = [top for top in (*map(folder.joinpath, SETS), folder) if _FOLDERS & set(_names(top))]
    specs = [spec for top in tops for spec in _clips_of(dataset, top)]
    if not any(_has_pictures(spec) for spec in specs):
        raise SourceError(_nothing(folder, tops))
    return sorted(specs, key=lambda spec: spec.name)


def all_files(spec: SequenceSpec) -> list[str]:
    """Return every file of a clip, relative to its root."""
    clip, frames = spec.files["clip"], spec.files["frames"]
    found = [camera_file(clip)] if spec.files["camera_data"] else []
    for kind in KINDS:
        for view, names in frames.get(kind.stream, {}).items():
            found += [kind.path(clip, view, name) for name in names]
    return found


def _clips_of(dataset: str, top: Path) -> Iterator[SequenceSpec]:
    """Yield the clips of the folder of a set, or of several sets unpacked into one."""
    there = set(_names(top))
    kinds = [kind for kind in KINDS if kind.folder in there]
    clips = sorted({clip for folder in {k.folder for k in kinds} for clip in _clips(top / folder)})
    posed = set(_clips(top / CAMERA_DATA)) if CAMERA_DATA in there else set()
    found: dict[str, dict[str, dict[str, Frames]]] = {}
    same: dict[Frames, Frames] = {}  # clips of a set have the same frames: keep one tuple of them
    for clip in clips:
        streams = {}
        for kind in kinds:
            views = {view: _frames(top, kind, clip, view) for view in VIEWS}
            if any(views.values()):
                streams[kind.stream] = {v: same.setdefault(f, f) for v, f in views.items()}
        found[clip] = streams
    given = _given(found, posed)
    for clip, streams in found.items():
        lacking = given[_group(clip)] - set(streams) - ({CAMERA_DATA} if clip in posed else set())
        yield SequenceSpec(
            dataset,
            sequence_name(clip),
            str(top),
            _PARTS.get(clip.partition("/")[0], "train"),
            {
                "clip": clip,
                "frames": streams,
                "camera_data": clip in posed,
                "lacking": tuple(sorted(lacking)),
            },
        )


def _given(found: Mapping[str, Mapping[str, object]], posed: set[str]) -> dict[str, set[str]]:
    """Return what at least one clip has, by set and part: every other clip must have it too."""
    given: dict[str, set[str]] = {}
    for clip, streams in found.items():
        group = given.setdefault(_group(clip), set())
        group |= set(streams)
        if clip in posed:
            group.add(CAMERA_DATA)
    return given


def _group(clip: str) -> str:
    first = clip.partition("/")[0]
    return first if first in _PARTS else set_of(clip)


def _clips(folder: Path) -> Iterator[str]:
    for first in _folders(folder):
        if first not in _PARTS and not _LENS.fullmatch(first):
            yield first
            continue
        for second in _folders(folder / first):
            for third in _folders(folder / first / second):
                yield f"{first}/{second}/{third}"


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:  # the type of an entry comes with its name, unasked
            return [e.name for e in entries if e.name[0] not in "._" and e.is_dir()]
    except OSError:
        return []


def _frames(top: Path, kind: Kind, clip: str, view: str) -> Frames:
    """Return the numbers of the frames in one folder, as written, in order."""
    folder = f"{top}/{kind.path(clip, view)}"
    names = _names(folder)
    start, end = len(kind.prefix), kind.suffix.format(view=VIEWS[view])
    numbers = [
        name[start : -len(end)]
        for name in names
        if name.startswith(kind.prefix) and name.endswith(end)
    ]
    frames = sorted((n for n in numbers if n.isascii() and n.isdigit()), key=lambda n: (int(n), n))
    if not frames and any(name.endswith(".webp") for name in names):
        raise SourceError(_no_webp(folder, archive_name(clip, kind.folder)))
    return tuple(frames)


def _names(folder: str | Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _has_pictures(spec: SequenceSpec) -> bool:
    return bool({"rgb", "rgb_final"} & set(spec.files["frames"]))


def _no_webp(where: str | Path, archive: str) -> str:
    return (
        f"{where}: WebP images are not supported, for they are not the published PNG files and a "
        f"sequence file stores PNG or JPEG; unpack {archive}"
    )


def _nothing(folder: Path, tops: list[Path]) -> str:
    """Say what was expected, and what is likely to be there instead."""
    message = (
        f"{folder}: no clip of Scene Flow found; expected FlyingThings3D, Monkaa or Driving with "
        "frames_cleanpass or frames_finalpass inside, or one of the three"
    )
    if not folder.is_dir():
        return f"{message}; there is no such folder"
    places = [*map(folder.joinpath, SETS), folder]
    for place in places:
        webp = sorted(name for name in _names(place) if re.fullmatch(r"frames_\w+_webp", name))
        if webp:
            archive = f"the archive {webp[0].removesuffix('_webp')}.tar of the set"
            return _no_webp(place / webp[0], archive)
    archives = sorted(
        name for place in places for name in _names(place) if re.search(r"\.tar(\.bz2)?$", name)
    )
    if archives:
        return f"{message}; unpack {archives[0]} first"
    if folder.name in _FOLDERS:
        return f"{message}; name the folder above"
    if tops:
        inside = sorted(_FOLDERS & set(_names(tops[0])))
        return f"{message}; {tops[0]} has only {', '.join(inside)}: unpack the images there too"
    return message
