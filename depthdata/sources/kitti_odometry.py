"""KITTI odometry: its card, and its numbered folders as sequences.

Colour cameras 2 and 3 become ``left`` and ``right``, grey cameras 0 and 1 ``gray_left`` and
``gray_right``; image files go into the sequence file byte for byte. What the multi-frame papers add
to the tree (poses of DVSO, annotated depth, masks of moving objects) is taken where it is there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import SourceError
from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.kitti_odometry_drives import SEQUENCES, annotated_depth

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CAMERAS", "CARD", "POSES", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

CAMERAS = {"left": 2, "right": 3, "gray_left": 0, "gray_right": 1}
"""Our camera names and KITTI's numbers."""

POSES = {"kitti_gt": "poses", "dvso": "poses_dvso"}
"""Our names of the trajectories and their folders; the first that is there gives the poses."""

_STORE = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
_MONOREC = "https://vision.in.tum.de/_media/research/monorec"
_PAGE = "http://www.cvlibs.net/datasets/kitti/eval_odometry.php"

CARD = Card(
    name="kitti_odometry",
    title="KITTI odometry",
    licence="CC BY-NC-SA 3.0",
    terms_url=_PAGE,
    citation=(
        "@inproceedings{Geiger2012CVPR, author = {Andreas Geiger and Philip Lenz and Raquel "
        "Urtasun}, title = {Are we ready for Autonomous Driving? The KITTI Vision Benchmark "
        "Suite}, booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)}, "
        "year = {2012}}"
    ),
    homepage=_PAGE,
    access="registration",
    archives=(
        *(
            Archive(
                f"data_odometry_{part}.zip",
                f"{_STORE}/data_odometry_{part}.zip",
                about=65_000_000_000 if part == "color" else None,
                parts=(part,),
                optional=part in ("gray", "velodyne"),
                strip=1,  # dataset/
                # the archives of images have a calib.txt too, of four lines instead of five
                existing="replace" if part == "calib" else "keep",
            )
            for part in ("color", "gray", "velodyne", "calib", "poses")
        ),
        Archive(
            "data_depth_annotated.zip",
            f"{_STORE}/data_depth_annotated.zip",
            about=14_000_000_000,
            parts=("depth",),
        ),
        *(
            Archive(f"{part}.zip", f"{_MONOREC}/{part}.zip", parts=(part,))
            for part in ("poses_dvso", "mvobj_mask")
        ),
    ),
    splits=("train", "test", "kitti_odom/train", "kitti_odom/val"),
    cameras=tuple(CAMERAS),
    streams=("rgb", "depth", "depth_annotated", "masks/moving_256x512"),
    known_defects=(
        "the raw drive of sequence 03 is not published, so there is no annotated depth of it",
        "annotated depth lacks the first and last five frames of a raw drive: it is there for "
        "frames 5 to n - 6, in sequence 08 from frame 0 on",
        "ground truth poses have seven digits: their rotations are orthogonal to 2e-7",
    ),
    notes=(
        "expected are calib.txt, times.txt, image_2 and what else there is of image_3, image_0, "
        "image_1, velodyne, image_depth_annotated, mvobj_mask in sequences/00 ... 21, and beside "
        "sequences the folders poses and poses_dvso; an unpacked data_depth_annotated (train, val) "
        "there is used through the table of raw drives",
        "poses are those of poses (of rectified camera 0), else of poses_dvso (taken as those of "
        "image_2, as their users do); both are kept as they are in pose_sets kitti_gt and dvso",
        "times count from the first frame of the sequence",
        "depth is the velodyne scan as points, depth_annotated the accumulated depth of KITTI's "
        "depth benchmark, 16-bit values of 1/256 m without loss",
        "masks/moving_256x512 is mvobj_mask at its own size: the crop of MonoRec's loader, whose "
        "box in the whole image is the stream's fact crop",
        "train and test are KITTI's parts: 00 to 10 with poses, 11 to 21 without",
        "a tree with some of the images only (an excerpt) is converted; frame_ids are the numbers",
        "velodyne, image_0 and image_1 are named as in the dataset's own documentation",
    ),
)

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the sequences of the folder that holds ``sequences``, of that, or of one in it.

    Raises
    ------
    SourceError
        There is none, one is called by a number that KITTI does not have, or a frame is there
        twice.
    """
    folder = Path(root).resolve()
    if folder.parent.name == "sequences" and (folder / "calib.txt").is_file():
        return [_spec(folder.parents[1], folder.name)]
    base = folder.parent if folder.name == "sequences" else folder
    if not (base / "sequences").is_dir() and (base / "dataset" / "sequences").is_dir():
        base = base / "dataset"
    found = _names(base / "sequences")
    if not found:
        archives = sorted(folder.glob("data_odometry*.zip")) if folder.is_dir() else []
        hint = f"; unpack {archives[0].name} first" if archives else ""
        raise SourceError(
            f"{folder}: no sequence found; expected sequences/00 ... sequences/21 with calib.txt, "
            f"times.txt and image_2{hint}"
        )
    return [_spec(base, name) for name in found]


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents."""
    from depthdata.sources.files import fingerprint_files

    files = spec.files
    groups = [*files["images"].values(), *files["depth"].values(), files["scans"], files["masks"]]
    names = [name for group in groups for name in group.values()]
    return fingerprint_files(spec.root, [*files["texts"].values(), *names])


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one sequence: images, poses, times, lidar points, annotated depth, moving objects.

    Raises
    ------
    SourceError
        The tree is not as published: one line that names the file.
    """
    from depthdata.sources import kitti_odometry_sequence

    kitti_odometry_sequence.write(spec, writer)


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    for name in names:
        if re.fullmatch(r"\d+", name, re.ASCII) and name not in SEQUENCES:
            raise SourceError(
                f"{folder / name}: KITTI odometry has the sequences 00 to 21, found {name}; rename "
                "or remove it"
            )
    return [name for name in names if name in SEQUENCES]


def _spec(root: Path, name: str) -> SequenceSpec:
    if name not in SEQUENCES:
        raise SourceError(
            f"{root / 'sequences' / name}: KITTI odometry has the sequences 00 to 21, found {name}"
        )
    folder = f"sequences/{name}"
    images = {
        camera: _numbered(root, f"{folder}/image_{number}", _IMAGE_SUFFIXES)
        for camera, number in CAMERAS.items()
    }
    depth = annotated_depth(root, name)
    prepared = _numbered(root, f"{folder}/image_depth_annotated", (".png",))
    if prepared:
        depth["left"] = prepared
    texts = {
        "calib": f"{folder}/calib.txt",
        "times": f"{folder}/times.txt",
        **{kind: f"{where}/{name}.txt" for kind, where in POSES.items()},
    }
    return SequenceSpec(
        dataset=CARD.name,
        name=name,
        root=str(root),
        split="train" if int(name) <= 10 else "test",
        files={
            "images": {camera: frames for camera, frames in images.items() if frames},
            "scans": _numbered(root, f"{folder}/velodyne", (".bin",)),
            "depth": depth,
            "masks": _numbered(root, f"{folder}/mvobj_mask", (".npy",)),
            "texts": {kind: path for kind, path in texts.items() if (root / path).is_file()},
        },
    )


def _numbered(root: Path, folder: str, suffixes: tuple[str, ...]) -> dict[int, str]:
    """Frame number -> path relative to the root, of the files called <number><suffix>."""
    if not (root / folder).is_dir():
        return {}
    found: dict[int, str] = {}
    for file in sorted(entry.name for entry in (root / folder).iterdir()):
        stem, _, suffix = file.rpartition(".")
        if f".{suffix.lower()}" not in suffixes or not (stem.isascii() and stem.isdigit()):
            continue
        number = int(stem)
        if number in found:
            other = Path(found[number])
            if other.stem == stem and other.suffix.lower() == suffixes[0]:
                continue  # the source's own; the copy counts for nothing
            if other.stem != stem:
                raise SourceError(
                    f"{root / folder}: frame {number} is there twice, {other.name} and {file}; "
                    "remove one"
                )
        found[number] = f"{folder}/{file}"
    return found
