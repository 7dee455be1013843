"""Which files a scene of a two-view stereo set has: what Middlebury and ETH3D have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from depthdata.sources.card import SequenceSpec

__all__ = ["VIEWS", "all_files", "archive_hint", "folders", "pair_files"]

VIEWS = {"left": 0, "right": 1}
"""Our camera names and the number that the sources put into file names."""


def pair_files(
    root: Path,
    streams: Mapping[str, str],
    texts: Iterable[str],
    required: Mapping[str, str],
) -> dict[str, Any]:
    """Look up the files of a scene.

    Parameters
    ----------
    root : Path
        Folder that all names are relative to.
    streams : dict of str to str
        Stream -> file name, with ``{view}`` for the number of the view; a name without it
        belongs to the right view.
    texts : iterable of str
        Names of text files.
    required : dict of str to str
        File -> what to do where it is missing.

    Returns
    -------
    dict
        Plain data for `SequenceSpec.files`: ``views`` (camera -> stream -> file), ``texts`` (name
        of the file without folders -> file) and ``missing`` (file -> what to do).
    """
    views: dict[str, dict[str, str]] = {camera: {} for camera in VIEWS}
    for stream, pattern in streams.items():
        for camera, view in VIEWS.items():
            name = pattern.format(view=view)
            if (camera == "right" or name != pattern) and (root / name).is_file():
                views[camera][stream] = name
    return {
        "views": views,
        "texts": {name.rpartition("/")[2]: name for name in texts if (root / name).is_file()},
        "missing": {name: hint for name, hint in required.items() if not (root / name).is_file()},
    }


def all_files(spec: SequenceSpec) -> list[str]:
    """Return every file of a scene, relative to its root."""
    views = spec.files["views"].values()
    return [*spec.files["texts"].values(), *(name for view in views for name in view.values())]


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; none of those that archives leave behind."""
    if not folder.is_dir():
        return []
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._"
    )


def archive_hint(folder: Path, *patterns: str) -> str:
    """Return a half-sentence that names an archive lying in a folder, or nothing."""
    found = [path.name for pattern in patterns for path in sorted(folder.glob(pattern))]
    return f"; unpack {found[0]} first" if found else ""
