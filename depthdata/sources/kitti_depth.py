"""KITTI depth (completion and prediction): its card, and its drives and selections as sequences.

A drive of ``train`` or ``val`` is a sequence with the cameras ``left`` (02) and ``right`` (03); an
image of a selection is a sequence of one frame. Images of drives are those of KITTI raw, where its
tree lies beside.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import SourceError
from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.kitti_depth_selection import SELECTIONS, selected

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CAMERAS", "CARD", "KINDS", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

CAMERAS = {"left": 2, "right": 3}
"""Our camera names and KITTI's numbers."""

KINDS = {"depth": "groundtruth", "depth_raw": "velodyne_raw"}
"""Our streams and the folders in ``proj_depth``."""

_STORE = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
_PAGE = "http://www.cvlibs.net/datasets/kitti/eval_depth_all.php"

CARD = Card(
    name="kitti_depth",
    title="KITTI depth completion and prediction",
    licence="CC BY-NC-SA 3.0",
    terms_url=_PAGE,
    citation=(
        "@inproceedings{Uhrig2017THREEDV, author = {Jonas Uhrig and Nick Schneider and Lukas "
        "Schneider and Uwe Franke and Thomas Brox and Andreas Geiger}, title = {Sparsity Invariant "
        "CNNs}, booktitle = {International Conference on 3D Vision (3DV)}, year = {2017}}"
    ),
    homepage=_PAGE,
    access="registration",
    archives=tuple(
        Archive(
            f"data_depth_{part}.zip" if part != "devkit" else "devkit_depth.zip",
            f"{_STORE}/" + (f"data_depth_{part}.zip" if part != "devkit" else "devkit_depth.zip"),
            about=14_000_000_000 if part == "annotated" else None,
            parts=(part,),
            optional=part == "devkit",
            extract_to="devkit" if part == "devkit" else "",
        )
        for part in ("annotated", "velodyne", "selection", "devkit")
    ),
    splits=("train", "val", *SELECTIONS),
    cameras=(*CAMERAS, "camera"),
    streams=("rgb", "depth", "depth_raw"),
    known_defects=(
        "the first and last five frames of a drive have no depth map, for the ground truth "
        "accumulates 11 scans",
        "the ground truth is sparse, about 16 to 18 % of the pixels, none of them sky",
        "raw depth keeps points that the lidar sees and the camera does not",
    ),
    notes=(
        "depth is the annotated ground truth (groundtruth, groundtruth_depth), depth_raw one "
        "velodyne scan in the image (velodyne_raw); values of 1/256 m without loss, 0 is missing",
        "expected are train/ and val/ of both archives in one folder, or in data_depth_annotated "
        "and data_depth_velodyne there; depth_selection beside them",
        "images, calibration, times and poses of a drive come from KITTI raw where its date "
        "folders lie beside train and val, or in kitti_raw or raw there; frames at the ends have "
        "images only. Without them intrinsics are nominal, marked 'intrinsics': 'unknown' in the "
        "camera's transform",
        "an image of a selection is a sequence of one frame, since its neighbours in the list are "
        "not those in time; of the anonymous ones nobody tells which camera took them, so theirs "
        "is called camera",
        "names of the selections and of their files are from the dataset's own documentation",
    ),
)

_DRIVE = re.compile(r"\d{4}_\d\d_\d\d_drive_\d{4}_sync")
_PARTS = ("train", "val")
_TOPS = ("", "data_depth_annotated", "data_depth_velodyne")
_RAW = ("", "kitti_raw", "raw")


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the drives and the selected images below the root, or below one of its folders.

    The root holds ``train``, ``val`` or ``depth_selection``; one of these, a drive or a selection
    may be given as well.

    Raises
    ------
    SourceError
        There is none.
    """
    folder = Path(root).resolve()
    if folder.name in SELECTIONS:
        found = selected(folder.parent, (folder.name,))
    elif (folder / "proj_depth").is_dir():
        found = _drives(folder.parents[1], (folder.parent.name,), folder.name)
    elif folder.name in _PARTS:
        found = _drives(folder.parent, (folder.name,))
    else:
        found = _drives(folder, _PARTS)
        for top in ("", "depth_selection", "data_depth_selection/depth_selection"):
            found += selected(folder / top, SELECTIONS)
    if not found:
        archives = sorted(folder.glob("data_depth*.zip")) if folder.is_dir() else []
        hint = f"; unpack {archives[0].name} first" if archives else ""
        raise SourceError(
            f"{folder}: no depth map found; expected "
            "train|val/<drive>_sync/proj_depth/groundtruth/image_02 or "
            f"depth_selection/{SELECTIONS[0]}{hint}"
        )
    return found


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents."""
    from depthdata.sources.files import fingerprint_files

    files = spec.files
    if "selection" in files:
        return fingerprint_files(spec.root, files["paths"].values())
    groups = [frames for kind in ("images", *KINDS) for frames in files[kind].values()]
    names = [name for frames in (*groups, files["oxts"]) for name in frames.values()]
    return fingerprint_files(spec.root, [*files["texts"], *names])


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one drive, or one selected image.

    Raises
    ------
    SourceError
        The tree is not as KITTI publishes it: one line that names the file.
    """
    if "selection" in spec.files:
        from depthdata.sources import kitti_depth_image

        kitti_depth_image.write(spec, writer)
    else:
        from depthdata.sources import kitti_depth_drive

        kitti_depth_drive.write(spec, writer)


def _drives(base: Path, parts: tuple[str, ...], only: str | None = None) -> list[SequenceSpec]:
    found: dict[tuple[str, str], None] = {}
    for part in parts:
        for top in _TOPS:
            folder = base / top / part
            names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
            for name in names:
                if _DRIVE.fullmatch(name) and only in (None, name):
                    found[part, name] = None
    specs = [_spec(base, part, drive) for part, drive in sorted(found)]
    return [spec for spec in specs if spec.files["depth"] or spec.files["depth_raw"]]


def _spec(base: Path, part: str, drive: str) -> SequenceSpec:
    maps: dict[str, dict[str, dict[int, str]]] = {kind: {} for kind in KINDS}
    for kind, where in KINDS.items():
        for camera, number in CAMERAS.items():
            for top in _TOPS:
                folder = Path(top) / part / drive / "proj_depth" / where / f"image_{number:02d}"
                if (base / folder).is_dir():
                    frames = _numbered(base, folder)
                    if frames:
                        maps[kind][camera] = frames
    return SequenceSpec(
        dataset="kitti_depth",
        name=drive,
        root=str(base),
        split=part,
        files={**maps, **_raw(base, drive)},
    )


def _raw(base: Path, drive: str) -> dict[str, object]:
    """Find what KITTI raw has of a drive: images, texts and packets, relative to `base`."""
    from depthdata.sources import kitti_raw

    date = drive[:10]
    images: dict[str, dict[int, str]] = {}
    oxts: dict[int, str] = {}
    for top in _RAW:
        folder = base / top / date
        if (folder / drive).is_dir():
            (spec,) = kitti_raw.sequences(folder / drive)
            prefix = Path(top) / date
            found = {c: spec.files["images"][c] for c in CAMERAS if c in spec.files["images"]}
            images = {c: _prefixed(prefix, frames) for c, frames in found.items()}
            oxts = _prefixed(prefix, spec.files["oxts"])
        elif not (folder / "calib_cam_to_cam.txt").is_file():
            continue
        names = ("calib_cam_to_cam", "calib_velo_to_cam", "calib_imu_to_velo")
        texts = [f"{name}.txt" for name in names]
        texts += [f"{drive}/image_{number:02d}/timestamps.txt" for number in CAMERAS.values()]
        here = [(Path(top) / date / name).as_posix() for name in texts]
        return {
            "date": (Path(top) / date).as_posix(),
            "images": images,
            "oxts": oxts,
            "texts": tuple(name for name in here if (base / name).is_file()),
        }
    return {"date": None, "images": {}, "oxts": {}, "texts": ()}


def _prefixed(prefix: Path, frames: dict[int, str]) -> dict[int, str]:
    return {number: (prefix / name).as_posix() for number, name in frames.items()}


def _numbered(base: Path, folder: Path) -> dict[int, str]:
    names = sorted(path.name for path in (base / folder).glob("*.png"))
    return {
        int(name[:-4]): (folder / name).as_posix()
        for name in names
        if re.fullmatch(r"\d{10}\.png", name, re.ASCII)
    }
