"""The images that KITTI's depth benchmark selects for validation and test, as specs."""

from __future__ import annotations

import re
from pathlib import Path

from depthdata.sources.card import SequenceSpec

__all__ = ["SELECTIONS", "selected"]

SELECTIONS = (
    "val_selection_cropped",
    "test_depth_completion_anonymous",
    "test_depth_prediction_anonymous",
)
"""Folders of ``depth_selection``, which are the parts of the dataset, too."""

_FOLDERS = {"image": "png", "groundtruth_depth": "png", "velodyne_raw": "png", "intrinsics": "txt"}
_HAS = {
    "val_selection_cropped": ("image", "groundtruth_depth", "velodyne_raw", "intrinsics"),
    "test_depth_completion_anonymous": ("image", "velodyne_raw", "intrinsics"),
    "test_depth_prediction_anonymous": ("image", "intrinsics"),
}
_NAMED = re.compile(
    r"(\d{4}_\d\d_\d\d_drive_\d{4}_sync)_(?:image|groundtruth_depth|velodyne_raw)_"
    r"(\d{10}_image_0[23])",
    re.ASCII,
)
_SIDES = {"2": "left", "3": "right"}


def selected(base: Path, selections: tuple[str, ...]) -> list[SequenceSpec]:
    """Return one spec an image of some selections, sorted by name.

    `base` is the folder ``depth_selection``. A spec lists what is there (``paths``) and what each
    image of its selection has (``expected``: path).
    """
    return [spec for name in selections for spec in _selection(base, name)]


def _selection(base: Path, name: str) -> list[SequenceSpec]:
    files: dict[str, dict[str, str]] = {}
    for kind in _HAS[name]:
        folder = base / name / kind
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        for entry in entries:
            key = _key(entry.stem, named=name == SELECTIONS[0])
            if key is not None and entry.suffix == f".{_FOLDERS[kind]}":
                files.setdefault(key, {})[kind] = f"{name}/{kind}/{entry.name}"
    return [
        SequenceSpec(
            dataset="kitti_depth",
            name=f"{name}_{key}",
            root=str(base),
            split=name,
            files={
                "selection": name,
                "frame": key,
                "camera": _SIDES[key[-1]] if name == SELECTIONS[0] else "camera",
                "paths": paths,
                "expected": {kind: _path(name, kind, key) for kind in _HAS[name]},
            },
        )
        for key, paths in sorted(files.items())
    ]


def _key(stem: str, *, named: bool) -> str | None:
    """Return what the files of one image share: drive, frame and camera, or the number."""
    if not named:
        return stem if re.fullmatch(r"\d{10}", stem, re.ASCII) else None
    match = _NAMED.fullmatch(stem)
    return f"{match[1]}_{match[2]}" if match else None


def _path(selection: str, kind: str, key: str) -> str:
    stem = key
    if selection == SELECTIONS[0]:
        drive, frame = key[:26], key[27:]
        stem = f"{drive}_{'image' if kind == 'intrinsics' else kind}_{frame}"
    return f"{selection}/{kind}/{stem}.{_FOLDERS[kind]}"
