"""Folders of KITTI's stereo and flow benchmarks, 2012 and 2015: one scene is one sequence.

Every folder below ``training`` and ``testing`` holds one file a scene (``000002.txt``) or a frame
of a scene (``000002_10.png``). Frame 10 has ground truth; frame 11 is the next one, and the
multi-view extension adds those from 00 to 20.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec

__all__ = ["PARTS", "Benchmark", "TruthFolders", "find_scenes", "scene_files"]

PARTS = {"training": "train", "testing": "test"}
"""Folder of the source -> our name of the split."""

_IMAGE = re.compile(r"(\d{6})_(\d{2})\.png")
_TEXT = re.compile(r"(\d{6})\.txt")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthFolders:
    """Two folders with one quantity: of all pixels, and of those that the other image sees, too.

    Parameters
    ----------
    stream, mask : str
        Names in the sequence file.
    all, seen : str
        Folders.
    """

    stream: str
    mask: str
    all: str
    seen: str


@dataclass(frozen=True)
class Benchmark:
    """What the folders of a benchmark are called.

    Parameters
    ----------
    dataset : str
        Our name.
    images : mapping
        Camera -> folder; the pairs follow one another, left before right.
    numbers : mapping
        Camera -> KITTI's number of it in the calibration.
    truth : str
        The camera that the ground truth belongs to.
    disparities : tuple of TruthFolders
    flow : TruthFolders
    instances : str, optional
        Folder of the instance maps.
    calibration : tuple of str
        Folders of texts; a scene without the first one has no known intrinsics.
    archive, calibration_archive : str
        Names for messages.
    """

    dataset: str
    images: Mapping[str, str]
    numbers: Mapping[str, int]
    truth: str
    disparities: tuple[TruthFolders, ...]
    flow: TruthFolders
    instances: str | None
    calibration: tuple[str, ...]
    archive: str
    calibration_archive: str

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Left and right cameras."""
        names = tuple(self.images)
        return tuple(zip(names[::2], names[1::2], strict=True))

    @property
    def truth_folders(self) -> tuple[str, ...]:
        """Folders of ground truth."""
        folders = [folder for d in (*self.disparities, self.flow) for folder in (d.all, d.seen)]
        return (*folders, *([] if self.instances is None else [self.instances]))


def find_scenes(benchmark: Benchmark, root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below the folder of ``training`` and ``testing``, or one of these.

    Raises
    ------
    SourceError
        There is no scene.
    """
    folder = Path(root).resolve()
    parts = [folder] if folder.name in PARTS else [folder / part for part in PARTS]
    specs = [spec for part in sorted(parts) for spec in _part(benchmark, part)]
    if not any(spec.files["images"] for spec in specs):  # ground truth alone is no scene
        raise SourceError(_nothing(benchmark, folder))
    without = [spec.name for spec in specs if not _calibrated(benchmark, spec)]
    if without:
        _log.warning(
            "%s: %d of %d scenes (%s%s) have no file in %s: they are converted without intrinsics "
            "and without metric depth; unpack %s there if that is not meant",
            folder,
            len(without),
            len(specs),
            ", ".join(without[:3]),
            " ..." if len(without) > 3 else "",
            benchmark.calibration[0],
            benchmark.calibration_archive,
        )
    return specs


def scene_files(spec: SequenceSpec) -> list[str]:
    """Return all files of a scene, relative to its root."""
    files = spec.files
    groups = [*files["images"].values(), *files["truth"].values()]
    return [*files["texts"].values(), *(name for group in groups for name in group.values())]


def _part(benchmark: Benchmark, part: Path) -> list[SequenceSpec]:
    """Return the scenes of one part, by name."""
    images = {camera: _frames(part, folder) for camera, folder in benchmark.images.items()}
    truth = {folder: _frames(part, folder) for folder in benchmark.truth_folders}
    texts = {folder: _texts(part, folder) for folder in benchmark.calibration}
    scenes = sorted({scene for found in (*images.values(), *truth.values()) for scene in found})
    return [
        SequenceSpec(
            dataset=benchmark.dataset,
            name=f"{part.name}_{scene}",
            root=str(part),
            split=PARTS[part.name],
            files={
                "scene": scene,
                "images": {c: found[scene] for c, found in images.items() if scene in found},
                "truth": {f: found[scene] for f, found in truth.items() if scene in found},
                "texts": {f: found[scene] for f, found in texts.items() if scene in found},
            },
        )
        for scene in scenes
    ]


def _frames(part: Path, folder: str) -> dict[str, dict[str, str]]:
    """Scene -> frame -> path relative to the part, of one folder of images."""
    found: dict[str, dict[str, str]] = {}
    for name, match in _matches(part / folder, _IMAGE):
        scene, frame = match.groups()
        found.setdefault(scene, {})[frame] = f"{folder}/{name}"
    return found


def _texts(part: Path, folder: str) -> dict[str, str]:
    return {match[1]: f"{folder}/{name}" for name, match in _matches(part / folder, _TEXT)}


def _matches(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str]]]:
    if folder.is_dir():
        for name in sorted(entry.name for entry in os.scandir(folder)):
            match = pattern.fullmatch(name)
            if match is not None:
                yield name, match


def _calibrated(benchmark: Benchmark, spec: SequenceSpec) -> bool:
    return benchmark.calibration[0] in spec.files["texts"]


def _nothing(benchmark: Benchmark, folder: Path) -> str:
    """Say what was expected, and what is likely to be there instead."""
    first, second = list(benchmark.images.values())[:2]
    expected = f"training/{first}/000000_10.png and {second}, or testing"
    message = f"{folder}: no scene of {benchmark.dataset} found; expected {expected}"
    if not folder.is_dir():
        return f"{message}; there is no such folder"
    archives = sorted(path.name for path in folder.glob("*.zip"))
    inside = {entry.name for part in (folder, *map(folder.joinpath, PARTS)) for entry in _in(part)}
    if archives:
        return f"{message}; unpack {archives[0]} there first"
    other = {"image_0", "colored_0"} if "image_2" in benchmark.images.values() else {"image_2"}
    if other & inside:
        name = "kitti_2012" if "image_0" in other else "kitti_2015"
        return f"{message}; {sorted(other & inside)[0]} belongs to {name}: convert that"
    if "devkit" in inside or folder.name == "devkit":
        return f"{message}; this is the development kit, unpack {benchmark.archive} there too"
    if set(benchmark.calibration) & inside:
        return f"{message}; this is the calibration only, unpack {benchmark.archive} there too"
    return f"{message}; unpack {benchmark.archive} there"


def _in(folder: Path) -> list[os.DirEntry[str]]:
    return list(os.scandir(folder)) if folder.is_dir() else []
