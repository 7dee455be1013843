"""Folders of Cityscapes: one snippet, or one annotated image, is one sequence.

``{folder}/{split}/{city}/{city}_{sequence}_{frame}_{suffix}``. Folders ending in ``_sequence`` hold
every frame of a snippet, the others its annotated frame only, which is the 20th of 30.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec

__all__ = ["KINDS", "Kind", "find_sequences", "path_of", "sequence_files"]

BEFORE, AFTER = 19, 10
"""Frames of a snippet around its annotated one."""

SNIPPET = BEFORE + 1 + AFTER

DEMO = "demoVideo"
"""A part that is not cut into snippets: every frame is in the folders of annotated ones."""

_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """One sort of files."""

    folder: str
    suffix: str

    @property
    def every(self) -> bool:
        """Whether it is there for every frame of a snippet."""
        return self.folder.endswith("_sequence")


def _kinds() -> Iterator[tuple[str, Kind]]:
    for name, ending in (
        ("leftImg8bit", "leftImg8bit.png"),
        ("rightImg8bit", "rightImg8bit.png"),
        ("disparity", "disparity.png"),
        ("vehicle", "vehicle.json"),
    ):
        yield name, Kind(name, ending)
        yield f"{name}_sequence", Kind(f"{name}_sequence", ending)
    yield "timestamp_sequence", Kind("timestamp_sequence", "timestamp.txt")
    yield "camera", Kind("camera", "camera.json")
    for name in ("gtFine", "gtCoarse"):
        for what in ("labelIds", "instanceIds"):
            yield f"{name}_{what}", Kind(name, f"{name}_{what}.png")


KINDS = dict(_kinds())
"""Name -> folder and suffix."""

_IMAGES = ("leftImg8bit", "leftImg8bit_sequence")
_FOLDERS = tuple(dict.fromkeys(kind.folder for kind in KINDS.values()))
_LABELS = tuple(name for name in KINDS if name.startswith("gt"))

Found = dict[str, dict[str, list[int]]]  # sequence -> kind -> frames


def find_sequences(dataset: str, root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the sequences below the root, or below one of its folders, parts or cities; sorted.

    Raises
    ------
    SourceError
        There is no image.
    """
    folder, only_split, only_city = _root_of(Path(root).resolve())
    specs: list[SequenceSpec] = []
    for split, city in _cities(folder):
        if only_split in (None, split) and only_city in (None, city):
            for sequence, kinds in sorted(_scan(folder, split, city).items()):
                specs += _sequences(dataset, folder, split, city, sequence, kinds)
    pictured = {spec.split for spec in specs if _frames(spec, _IMAGES)}
    without = sorted({str(spec.split) for spec in specs if spec.split not in pictured})
    specs = [spec for spec in specs if spec.split in pictured]
    if not specs:
        raise SourceError(_nothing(folder))
    if without:
        _log.warning(
            "%s: no image in %s; left out: unpack leftImg8bit for it", folder, ", ".join(without)
        )
    short = [
        spec.name
        for spec in specs
        if _frames(spec, ["leftImg8bit_sequence"])
        and len(_frames(spec, _IMAGES)) < SNIPPET
        and spec.split != DEMO
    ]
    if short:
        _log.warning(
            "%s: %d snippets (%s ...) have fewer than %d frames; unpack leftImg8bit_sequence again "
            "if that is not meant",
            folder,
            len(short),
            short[0],
            SNIPPET,
        )
    return sorted(specs, key=lambda spec: (str(spec.split), spec.name))


def path_of(spec: SequenceSpec, kind: str, frame: int) -> Path:
    """Return the file of a kind and a frame."""
    return Path(spec.root) / _relative(spec, kind, frame)


def sequence_files(spec: SequenceSpec) -> list[str]:
    """Return all files of a sequence, relative to its root."""
    return [
        _relative(spec, kind, frame)
        for kind, frames in spec.files["frames"].items()
        for frame in frames
    ]


def _relative(spec: SequenceSpec, kind: str, frame: int) -> str:
    files, (folder, suffix) = spec.files, KINDS[kind]
    city = files["city"]
    return f"{folder}/{spec.split}/{city}/{city}_{files['sequence']}_{frame:06d}_{suffix}"


def _frames(spec: SequenceSpec, kinds: Iterable[str]) -> set[int]:
    return {frame for kind in kinds for frame in spec.files["frames"].get(kind, ())}


def _root_of(folder: Path) -> tuple[Path, str | None, str | None]:
    """Return the root of a folder in it, and which part and city was named."""
    for up, place in enumerate((folder, *list(folder.parents)[:2])):
        if place.name in _FOLDERS and place.is_dir():
            below = folder.relative_to(place).parts
            return place.parent, below[0] if up else None, below[1] if up > 1 else None
    return folder, None, None


def _cities(root: Path) -> list[tuple[str, str]]:
    """Return split and city of every folder of files."""
    found = {
        (split, city)
        for folder in _FOLDERS
        for split in _inside(root / folder)
        for city in _inside(root / folder / split)
    }
    return sorted(found)


def _inside(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [entry.name for entry in os.scandir(folder) if entry.is_dir()]


def _scan(root: Path, split: str, city: str) -> Found:
    found: Found = {}
    for folder in _FOLDERS:
        place = root / folder / split / city
        if not place.is_dir():
            continue
        endings = {kind.suffix: name for name, kind in KINDS.items() if kind.folder == folder}
        pattern = re.compile(
            rf"{re.escape(city)}_(\d{{6}})_(\d{{6}})_({'|'.join(map(re.escape, endings))})"
        )
        for entry in os.scandir(place):
            match = pattern.fullmatch(entry.name)
            if match is not None:
                kinds = found.setdefault(match[1], {})
                kinds.setdefault(endings[match[3]], []).append(int(match[2]))
    return found


def _sequences(
    dataset: str, root: Path, split: str, city: str, sequence: str, kinds: dict[str, list[int]]
) -> Iterator[SequenceSpec]:
    sets = {kind: set(found) for kind, found in kinds.items()}
    for name, frames in _cut(split, kinds):
        inside = {kind: sorted(frames & found) for kind, found in sets.items() if frames & found}
        label = f"{city}_{sequence}" + ("" if name is None else f"_{name:06d}")
        yield SequenceSpec(
            dataset=dataset,
            name=label,
            root=str(root),
            split=split,
            files={"city": city, "sequence": sequence, "annotated": name, "frames": inside},
        )


def _cut(split: str, kinds: dict[str, list[int]]) -> Iterator[tuple[int | None, set[int]]]:
    """Yield the annotated frame and all frames of each sequence."""
    every = set(kinds.get("leftImg8bit_sequence", ()))
    if split == DEMO:
        yield None, every | {frame for found in kinds.values() for frame in found}
        return
    single = {frame for kind, found in kinds.items() if not KINDS[kind].every for frame in found}
    wanted = {frame for kind in ("leftImg8bit", *_LABELS) for frame in kinds.get(kind, ())}
    rest = set(every)
    for frame in sorted(single):
        snippet = set(range(frame - BEFORE, frame + AFTER + 1))
        if snippet & rest:
            yield frame, snippet
            rest -= snippet
        elif frame in wanted:
            yield frame, {frame}
    for first in _chunks(rest):
        yield first + BEFORE, set(range(first, first + SNIPPET))


def _chunks(frames: set[int]) -> Iterator[int]:
    """Yield where snippets begin, if nothing tells the annotated frames."""
    if frames and max(frames) < SNIPPET:  # a sequence of its own, numbered from 0
        yield 0
        return
    end = -1
    for frame in sorted(frames):
        if frame >= end:
            yield frame
            end = frame + SNIPPET


def _nothing(folder: Path) -> str:
    message = (
        f"{folder}: no image of Cityscapes found; expected leftImg8bit/train/aachen/"
        "aachen_000000_000019_leftImg8bit.png, or leftImg8bit_sequence"
    )
    if not folder.is_dir():
        return f"{message}; there is no such folder"
    archives = sorted(path.name for path in folder.glob("*.zip"))
    if archives:
        return f"{message}; unpack {archives[0]} there first"
    others = [name for name in _FOLDERS if (folder / name).is_dir() and name not in _IMAGES]
    if others:
        return (
            f"{message}; there is only {', '.join(others)}: unpack leftImg8bit_trainvaltest.zip "
            "or leftImg8bit_sequence_trainvaltest.zip there, too"
        )
    if (folder / "image").is_dir() and (folder / "segmentation").is_dir():
        return f"{message}; this is Insta-DM's prepared set: convert cityscapes_vis"
    return f"{message}; unpack leftImg8bit_trainvaltest.zip there"
