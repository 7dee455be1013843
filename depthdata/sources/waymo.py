"""Waymo Open Dataset, perception v1: its card, and its record files as sequences.

A record file is a segment of 20 seconds and becomes one sequence: five cameras with their own JPEG
bytes, the points of all five lidars where each camera sees them, panoptic labels, boxes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import SourceError
from depthdata.sources.card import Archive, Card, SequenceSpec

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = [
    "CARD",
    "PRESETS",
    "SPEED_THRESHOLD",
    "SPLITS",
    "VERSION",
    "fingerprint",
    "sequences",
    "write",
]

VERSION = 1

SPEED_THRESHOLD = 1.0
"""Metres per second above which an object counts as moving (as in Dynamo-Depth)."""

PRESETS = {
    "dynamo_depth": (
        "rgb_320x480 of front: undistorted (OpenCV), reduced by area, JPEG quality 95, decoded "
        "with the fast cosine transform as TensorFlow does; depth_undistorted of front: first "
        "returns of all lidars, pinhole projection, the ground truth of January 2025"
    ),
}
"""Preparations that `write` can add."""

_BUCKET = "gs://waymo_open_dataset_v_1_4_3/individual_files"

CARD = Card(
    name="waymo",
    title="Waymo Open Dataset, perception v1 (TFRecord)",
    licence="Waymo Dataset License Agreement for Non-Commercial Use",
    terms_url="https://waymo.com/open/terms",
    citation=(
        "@inproceedings{Sun2020CVPR, author = {Pei Sun and Henrik Kretzschmar and Xerxes "
        "Dotiwalla and Aurelien Chouard and Vijaysai Patnaik and others}, title = {Scalability in "
        "Perception for Autonomous Driving: Waymo Open Dataset}, booktitle = {Conference on "
        "Computer Vision and Pattern Recognition (CVPR)}, year = {2020}}"
    ),
    homepage="https://waymo.com/open",
    access="agreement",
    archives=tuple(
        Archive(
            split,
            f"{_BUCKET}/{split}/*.tfrecord",
            about=about,
            parts=(split,),
            optional=split == "testing",
            extract_to=split,
            unpack=False,
            many=True,
        )
        for split, about in (
            ("training", 760_000_000_000),
            ("validation", 192_000_000_000),
            ("testing", None),
        )
    ),
    splits=("waymo/test", "waymo/test_mask"),
    cameras=("front", "front_left", "front_right", "side_left", "side_right"),
    streams=(
        "rgb",
        "depth",
        "depth_return2",
        "semantics",
        "instances",
        "cameras_covered",
        "masks/moving",
        "rgb_320x480",
        "depth_undistorted",
    ),
    known_defects=(
        "the official reader computes points in float32 with global coordinates: its points of the "
        "roof lidar are up to 8 mm off, those here are not",
        "panoptic labels differ between releases (1.1 % of the pixels of one frame): compare "
        "masks of one release only",
        "speed_z and accel_z are missing in older releases and count as 0",
    ),
    notes=(
        "the source counts pixels from their edge; principal points, points and boxes are moved by "
        "half a pixel, so that centres lie at integers",
        "images are distorted and stored as they are; undistortion is an option of the loader",
        "depth is the camera's forward coordinate at the time of its pose, at the pixel of the "
        "record's own projection (rolling shutter and motion taken into account); `sensor` is the "
        "point in the vehicle frame at the middle of the sweep (`T_world_rig` in the transform of "
        "the first camera)",
        "a point that two cameras see is in both",
        "masks/moving: pixels of panoptic instances whose 3-D box moves faster than 1 m/s; 255 "
        "where an instance of a movable class has no box",
        "the texts of object ids are in the transform of the first camera, numbered in order of "
        "first appearance",
        "lidar intensity and elongation, no-label zones, lidar segmentation and maps are not taken "
        "over; depthdata.codecs.waymo_frame reads them",
        "the bucket opens for the Google account that accepted the terms on the site; its name and "
        "folders are from the dataset's own documentation",
    ),
)

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "domain_adaptation": "domain_adaptation",
}
"""Folders of the dataset and the names of their splits."""


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the segments below a folder, its folders train, val ..., or one file; sorted by name.

    Raises
    ------
    SourceError
        There is no record file.
    """
    folder = Path(root).resolve()
    places = [folder, *(folder / name for name in SPLITS if (folder / name).is_dir())]
    specs = [
        SequenceSpec(
            dataset=CARD.name,
            name=path.stem.partition("_with")[0],
            root=str(path.parent),
            split=SPLITS.get(path.parent.name),
            files={"record": path.name},
        )
        for place in places
        for path in sorted(place.glob("*.tfrecord"))
    ]
    if not specs:
        archives = sorted(folder.glob("*.tar")) if folder.is_dir() else []
        hint = f"; unpack {archives[0].name} first" if archives else ""
        raise SourceError(
            f"{folder}: no record file found; expected segment-*.tfrecord here or in train, val or "
            f"test{hint}"
        )
    return sorted(specs, key=lambda spec: spec.name)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the record file; see `depthdata.sources.files.fingerprint_files`."""
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, [spec.files["record"]])


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write one segment; the memory does not depend on the size of the file.

    `preset` is one of `PRESETS`.

    Raises
    ------
    SourceError
        The file is cut or damaged, or no frames of one segment: one line with the record.
    """
    from depthdata.sources import waymo_segment

    waymo_segment.write(spec, writer, preset)
