"""Folders of FlyingThings3D, Monkaa and Driving: which clips are there, with which frames."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from depthdata.codecs.sceneflow import (
    CAMERA_DATA,
    KINDS,
    LENS,
    PARTS,
    SETS,
    VIEWS,
    Kind,
    camera_file,
    set_of,
)
from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec

__all__ = ["all_files", "archive_name", "find_clips", "sequence_name"]

Frames = tuple[str, ...]

_FOLDERS = frozenset(kind.folder for kind in KINDS)
_PASSES = ("frames_cleanpass", "frames_finalpass")


def sequence_name(clip: str) -> str:
    """Return the name of a clip's sequence; within a set the names sort as the paths do.

    >>> sequence_name("TRAIN/A/0000"), sequence_name("eating_x2")
    ('flyingthings3d_TRAIN_A_0000', 'monkaa_eating_x2')
    """
    return f"{set_of(clip).lower()}_{clip.replace('/', '_')}"


def archive_name(clip: str, folder: str) -> str:
    """Return the archive that a folder comes from.

    >>> archive_name("eating_x2", "disparity")
    'monkaa__disparity.tar.bz2'
    """
    packed = "" if folder in (*_PASSES, CAMERA_DATA) else ".bz2"
    return f"{set_of(clip).lower()}__{folder}.tar{packed}"


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
    posed = {clip for clip in clips if CAMERA_DATA in there and _posed(top / camera_file(clip))}
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
            PARTS.get(clip.partition("/")[0], "train"),
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
    return first if first in PARTS else set_of(clip)


def _clips(folder: Path) -> Iterator[str]:
    for first in _folders(folder):
        if first not in PARTS and not LENS.fullmatch(first):
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


def _posed(file: Path) -> bool:
    return file.name in _names(file.parent)


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
