"""KITTI raw, synced and rectified: its card, and its folders as sequences.

A drive folder is a sequence. Colour cameras 02 and 03 become ``left`` and ``right``, grey cameras
00 and 01 ``gray_left`` and ``gray_right``; image files go into the sequence file byte for byte.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import SourceError
from depthdata.sources.card import Archive, Card, SequenceSpec

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CAMERAS", "CARD", "PRESETS", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

CAMERAS = {"left": 2, "right": 3, "gray_left": 0, "gray_right": 1}
"""Our camera names and KITTI's numbers."""

PRESETS = {
    "dynamo_depth": (
        "rgb_192x640 of left and right: Pillow bicubic, JPEG quality 75, as the models of "
        "Dynamo-Depth were trained on"
    ),
}
"""Preparations that `write` can add."""

_DRIVES = {
    "2011_09_26": (
        "0001 0002 0005 0009 0011 0013 0014 0015 0017 0018 0019 0020 0022 0023 0027 0028 0029 0032 "
        "0035 0036 0039 0046 0048 0051 0052 0056 0057 0059 0060 0061 0064 0070 0079 0084 0086 0087 "
        "0091 0093 0095 0096 0101 0104 0106 0113 0117"
    ),
    "2011_09_28": "0001 0002",
    "2011_09_29": "0004 0026 0071",
    "2011_09_30": "0016 0018 0020 0027 0028 0033 0034",
    "2011_10_03": "0027 0034 0042 0047",
}
_STORE = "https://s3.eu-central-1.amazonaws.com/avg-kitti/raw_data"


def _archives() -> tuple[Archive, ...]:
    files = [f"{date}_calib.zip" for date in _DRIVES]
    for date, drives in _DRIVES.items():
        for number in drives.split():
            drive = f"{date}_drive_{number}"
            files.append(f"{drive}/{drive}_sync.zip")
    return tuple(
        Archive(
            file.rpartition("/")[2],
            f"{_STORE}/{file}",
            parts=(file[:10], "calib") if file.endswith("_calib.zip") else (file[:10],),
        )
        for file in files
    )


CARD = Card(
    name="kitti_raw",
    title="KITTI raw data, synced and rectified",
    licence="CC BY-NC-SA 3.0",
    terms_url="http://www.cvlibs.net/datasets/kitti/raw_data.php",
    citation=(
        "@article{Geiger2013IJRR, author = {Andreas Geiger and Philip Lenz and Christoph Stiller "
        "and Raquel Urtasun}, title = {Vision meets Robotics: The KITTI Dataset}, journal = "
        "{International Journal of Robotics Research (IJRR)}, year = {2013}}"
    ),
    homepage="http://www.cvlibs.net/datasets/kitti/raw_data.php",
    access="open",
    archives=_archives(),
    splits=(
        "eigen_zhou/train",
        "eigen_zhou/val",
        "eigen_zhou/test",
        "eigen/test",
        "eigen_benchmark/test",
        "eigen_full/train",
        "eigen_full/val",
    ),
    cameras=tuple(CAMERAS),
    streams=("rgb", "depth"),
    known_defects=(
        "a few frames have no velodyne scan (in 2011_09_26_drive_0009_sync, for one): "
        "depth is absent there",
        "the lidar sees over and around what the camera sees: points hidden from the camera stay",
        "a scan turns for 0.1 s while the car moves: points are not compensated for that motion",
        "oxts poses jump by centimetres to decimetres where the satellite fix changes",
    ),
    notes=(
        "a point keeps its sub-pixel position, the camera z and its place in the velodyne frame: "
        "the published ground truth is the velodyne x at a rounded pixel, not the camera z",
        "poses come from oxts, Mercator with the scale of the first frame; the world has the axes "
        "of the IMU at the first frame that has a packet",
        "reflectance, velocities and accelerations are not taken over",
        "trees whose images were saved again as JPEG are accepted as they are",
    ),
)

_DATE = re.compile(r"\d{4}_\d{2}_\d{2}")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the drives below the raw root, a date folder, or a drive folder; sorted by name.

    Raises
    ------
    SourceError
        There is no drive, or one folder holds a frame twice.
    """
    folder = Path(root).resolve()
    drives = _drive_folders(folder)
    if not drives:
        archives = sorted(folder.glob("*.zip")) if folder.is_dir() else []
        hint = f"; unpack {archives[0].name} first" if archives else ""
        raise SourceError(
            f"{folder}: no drive found; expected <date>/<date>_drive_<number>_sync with "
            f"folders image_00 ... image_03, or one of these folders itself{hint}"
        )
    return [_spec(drive) for drive in drives]


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents.

    See `depthdata.sources.files.fingerprint_files`.
    """
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, _all_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write one drive: images of every camera, lidar points in each, poses, times, stereo pairs.

    `preset` is one of `PRESETS`.

    Raises
    ------
    SourceError
        The tree is not as KITTI publishes it: one line that names the file.
    """
    from depthdata.sources import kitti_raw_drive

    kitti_raw_drive.write(spec, writer, preset)


def _drive_folders(folder: Path) -> list[Path]:
    if _is_drive(folder):
        return [folder]
    if _DATE.fullmatch(folder.name):
        dates = [folder]
    else:
        dates = [entry for entry in _folders(folder) if _DATE.fullmatch(entry.name)]
    return [drive for date in dates for drive in _folders(date) if _is_drive(drive)]


def _is_drive(folder: Path) -> bool:
    name = folder.name
    return (
        name.startswith(f"{folder.parent.name}_drive_")
        and not name.endswith("_extract")
        and _DATE.fullmatch(folder.parent.name) is not None
        and folder.is_dir()
    )


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir())


def _spec(drive: Path) -> SequenceSpec:
    date = drive.parent
    images = {}
    for camera, number in CAMERAS.items():
        found = _numbered(drive / f"image_{number:02d}" / "data", _IMAGE_SUFFIXES)
        if found:
            images[camera] = found
    texts = [
        f"{name}.txt" for name in ("calib_cam_to_cam", "calib_velo_to_cam", "calib_imu_to_velo")
    ]
    times = [f"{drive.name}/image_{number:02d}/timestamps.txt" for number in CAMERAS.values()]
    return SequenceSpec(
        dataset=CARD.name,
        name=drive.name,
        root=str(date),
        files={
            "images": images,
            "scans": _numbered(drive / "velodyne_points" / "data", (".bin",)),
            "oxts": _numbered(drive / "oxts" / "data", (".txt",)),
            "texts": tuple(name for name in texts + times if (date / name).is_file()),
        },
    )


def _numbered(folder: Path, suffixes: tuple[str, ...]) -> dict[int, str]:
    """Frame number -> path relative to the date folder, of the files called <number><suffix>."""
    if not folder.is_dir():
        return {}
    found: dict[int, str] = {}
    prefix = str(folder.relative_to(folder.parents[2]))
    for file in sorted(entry.name for entry in folder.iterdir()):
        stem, _, suffix = file.rpartition(".")
        if f".{suffix.lower()}" not in suffixes or not (stem.isascii() and stem.isdigit()):
            continue
        number = int(stem)
        if number in found:
            other = Path(found[number])
            if other.stem != stem:
                raise SourceError(
                    f"{folder}: frame {number} is there twice, {other.name} and {file}; remove one"
                )
            if other.suffix.lower() == suffixes[0]:  # the source's own; the copy counts for nothing
                continue
        found[number] = f"{prefix}/{file}"
    return found


def _all_files(spec: SequenceSpec) -> list[str]:
    files = spec.files
    images = [name for frames in files["images"].values() for name in frames.values()]
    return [*files["texts"], *images, *files["scans"].values(), *files["oxts"].values()]
