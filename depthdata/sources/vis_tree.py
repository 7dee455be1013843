"""Folders of Insta-DM's prepared sets: one scene is one sequence.

``image/SCENE/FRAME.jpg`` and ``cam.txt``, ``segmentation/SCENE/FRAME.npy``, ``flow_f/SCENE/*.flo``,
``flow_b/SCENE/*.flo``, and the lists ``train.txt`` and ``val.txt``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec

__all__ = ["FOLDERS", "LISTS", "PreparedSet", "find_scenes", "scene_files"]

FOLDERS = {"image": ".jpg", "segmentation": ".npy", "flow_f": ".flo", "flow_b": ".flo"}
"""Folder -> suffix of its files."""

LISTS = {"train": "train.txt", "val": "val.txt"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedSet:
    """What tells the two sets apart.

    Parameters
    ----------
    dataset, other : str
        Our name, and that of the other set.
    folder : str
        What the authors call it, for messages.
    scene, other_scene : str
        Patterns of the names of their scenes.
    camera_of : mapping
        Last two characters of a scene's name -> camera; ``left`` for any other.
    """

    dataset: str
    other: str
    folder: str
    scene: str
    other_scene: str
    camera_of: Mapping[str, str]


def find_scenes(prepared: PreparedSet, root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below the folder of ``image``, or below ``image`` itself; sorted.

    Raises
    ------
    SourceError
        There is no scene, or the scenes are those of the other set.
    """
    folder = Path(root).resolve()
    if folder.name in FOLDERS and not (folder / "image").is_dir():
        folder = folder.parent
    scenes = {kind: _scenes(folder / kind) for kind in FOLDERS}
    if not scenes["image"]:
        raise SourceError(_nothing(prepared, folder, scenes))
    names = sorted({name for found in scenes.values() for name in found})
    foreign = [name for name in names if re.fullmatch(prepared.other_scene, name)]
    if foreign:
        raise SourceError(
            f"{folder}: image/{foreign[0]} is a scene of {prepared.other}; convert that, or name "
            f"the folder of {prepared.folder}"
        )
    listed = {part: _read_list(folder / name) for part, name in LISTS.items()}
    _warn(folder, names, listed)
    return [_spec(prepared, folder, name, listed) for name in names]


def scene_files(spec: SequenceSpec) -> list[str]:
    """Return all files of a scene, relative to its root."""
    scene, kinds = spec.files["scene"], spec.files["kinds"]
    return [
        *spec.files["texts"],
        *(f"{kind}/{scene}/{name}" for kind, found in kinds.items() for name in found),
        *(f"image/{scene}/{name}" for name in spec.files["depth"]),
    ]


def _spec(
    prepared: PreparedSet, folder: Path, scene: str, listed: Mapping[str, list[str]]
) -> SequenceSpec:
    kinds = {kind: _named(folder / kind / scene, suffix) for kind, suffix in FOLDERS.items()}
    parts = [part for part, names in listed.items() if scene in names]
    camera_text = f"image/{scene}/cam.txt"
    return SequenceSpec(
        dataset=prepared.dataset,
        name=scene,
        root=str(folder),
        split=parts[0] if parts else None,
        files={
            "scene": scene,
            "camera": prepared.camera_of.get(scene[-2:], "left"),
            "kinds": kinds,
            "depth": _named(folder / "image" / scene, ".npy"),
            "texts": (camera_text,) if (folder / camera_text).is_file() else (),
            "lists": parts,
        },
    )


def _scenes(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [entry.name for entry in os.scandir(folder) if entry.is_dir()]


def _named(folder: Path, suffix: str) -> tuple[str, ...]:
    """Names of the files of a folder, sorted: their order is what ties the folders together."""
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.name.endswith(suffix) and not entry.name.startswith(".")
        )
    )


def _read_list(path: Path) -> list[str]:
    """Return the scenes of a list; any line ends and blank lines will do."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: expected one scene a line: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _warn(folder: Path, names: list[str], listed: Mapping[str, list[str]]) -> None:
    for part, scenes in listed.items():
        absent = sorted(set(scenes) - set(names))
        if absent:
            _log.warning(
                "%s: %d of %d scenes of %s (%s ...) have no folder; unpack them, if they are "
                "wanted",
                folder,
                len(absent),
                len(scenes),
                LISTS[part],
                absent[0],
            )


def _nothing(prepared: PreparedSet, folder: Path, scenes: Mapping[str, list[str]]) -> str:
    message = (
        f"{folder}: no scene of {prepared.dataset} found; expected image/SCENE/FRAME.jpg, "
        "segmentation/SCENE, flow_f/SCENE and flow_b/SCENE"
    )
    if not folder.is_dir():
        return f"{message}; there is no such folder"
    archives = sorted(path.name for path in folder.iterdir() if path.suffix in (".zip", ".tar"))
    if archives:
        return f"{message}; unpack {archives[0]} there first"
    others = [kind for kind, found in scenes.items() if found]
    if others:
        return f"{message}; there is only {', '.join(others)}, unpack the images there too"
    if (folder / "leftImg8bit").is_dir() or (folder / "leftImg8bit_sequence").is_dir():
        return f"{message}; this is Cityscapes itself: convert cityscapes"
    if any(re.fullmatch(r"\d{4}_\d{2}_\d{2}", entry.name) for entry in os.scandir(folder)):
        return f"{message}; these are KITTI's raw drives: convert kitti_raw"
    inside = [entry.name for entry in os.scandir(folder) if (Path(entry.path) / "image").is_dir()]
    return f"{message}; {f'name {inside[0]} in it' if inside else 'unpack ' + prepared.folder}"
