"""nuScenes v1.0: its card, and its scenes as sequences.

A scene of 20 seconds becomes one sequence on the timeline of the front camera (12 Hz): six cameras
with their own JPEG bytes and times, the points of the top lidar where each camera sees them, boxes
of the key frames, and panoptic labels where the add-on is there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.sources.card import Archive, Card, SequenceSpec

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CAMERAS", "CARD", "PRESETS", "SPEED_THRESHOLD", "VERSION", "fingerprint"]
__all__ += ["sequences", "write"]

VERSION = 1

SPEED_THRESHOLD = 0.5
"""Metres per second above which an object counts as moving."""

CAMERAS = {
    "front": "CAM_FRONT",
    "front_left": "CAM_FRONT_LEFT",
    "front_right": "CAM_FRONT_RIGHT",
    "back": "CAM_BACK",
    "back_left": "CAM_BACK_LEFT",
    "back_right": "CAM_BACK_RIGHT",
}
"""Our camera names and the channels of nuScenes."""

PRESETS = {
    "dynamo_depth": (
        "rgb_288x512 of front: reduced by area (OpenCV), JPEG quality 95; motion_labels of front "
        "at key frames with panoptic labels: 0 not movable, 1 moving, 2 movable but static, 3 "
        "unlabelled, for the points of the prepared depth, in its order"
    ),
}
"""Preparations that `write` can add."""


def _archives() -> tuple[Archive, ...]:
    blobs = [f"v1.0-trainval{number:02d}_blobs.tgz" for number in range(1, 11)]
    return (
        Archive("v1.0-mini.tgz", parts=("mini",), optional=True, existing="keep"),
        Archive("v1.0-trainval_meta.tgz", parts=("trainval", "meta"), existing="keep"),
        *(Archive(name, parts=("trainval", "blobs"), existing="keep") for name in blobs),
        Archive("v1.0-test_meta.tgz", parts=("test", "meta"), optional=True, existing="keep"),
        Archive("v1.0-test_blobs.tgz", parts=("test", "blobs"), optional=True, existing="keep"),
        # its category.json takes the place of that of the tables
        Archive("nuScenes-panoptic-v1.0-all.tar.gz", parts=("panoptic",), existing="replace"),
    )


CARD = Card(
    name="nuscenes",
    title="nuScenes v1.0 (mini, trainval, test)",
    licence="CC BY-NC-SA 4.0 with additional non-commercial terms",
    terms_url="https://www.nuscenes.org/terms-of-use",
    citation=(
        "@inproceedings{Caesar2020CVPR, author = {Holger Caesar and Varun Bankiti and Alex H. Lang "
        "and Sourabh Vora and Venice Erin Liong and Qiang Xu and Anush Krishnan and Yu Pan and "
        "Giancarlo Baldan and Oscar Beijbom}, title = {nuScenes: A Multimodal Dataset for "
        "Autonomous Driving}, booktitle = {Conference on Computer Vision and Pattern Recognition "
        "(CVPR)}, year = {2020}}"
    ),
    homepage="https://www.nuscenes.org",
    access="registration",
    archives=_archives(),
    splits=(
        "nuscenes/train",
        "nuscenes/test",
        "nuscenes/test_mask",
        "nuscenes_dayclear/test",
        "nuscenes_dayclear/test_mask",
    ),
    cameras=tuple(CAMERAS),
    streams=(
        "rgb",
        "depth",
        "panoptic",
        "semantics",
        "instances",
        "masks/moving",
        "rgb_288x512",
        "motion_labels",
    ),
    known_defects=(
        "the lidar sees over and around what the camera sees: points hidden from the camera stay",
        "a scan turns for 0.05 s while the car moves, and objects move between scan and image: "
        "points are carried through both ego poses, not compensated for either",
        "attributes of cycles tell of their rider, not of motion; their speed tells here",
        "ego poses have height 0: the published localisation is flat",
    ),
    notes=(
        "frames are all records of CAM_FRONT, key frames and sweeps, from the first key frame on; "
        "frame numbers are those of the published splits",
        "another camera's picture belongs to the front picture of the same sample, else to the "
        "nearest in time within 0.1 s, each to one only; every camera has its own timestamps",
        "T_world_cam: ego pose at the time of the camera's own record, times its extrinsics",
        "depth: the scan of the same sample for key frames, else the nearest in time; `sensor` is "
        "the point in the lidar's frame, `projections` (n, 3, 4) takes it to (x z, y z, z)",
        "panoptic: labels of the points of depth, in its order (category index * 1000 + instance); "
        "semantics and instances are the same drawn at the nearest pixel, the nearest point first",
        f"masks/moving: 1 where a panoptic label's box is faster than {SPEED_THRESHOLD} m/s, 255 "
        "where there is no point or no box; without the panoptic add-on it is not there",
        "objects are the boxes of the key frames; velocity is the difference between the boxes "
        "before and after, as the devkit has it; where there is none, attributes tell of motion",
        "key_frames, sample_tokens, ego_poses and the object table's tokens, attributes, "
        "visibility and point counts are in the transform of the camera front",
        "a folder samples/<channel> or sweeps/LIDAR_TOP that is not there was not downloaded and "
        "is left out; a missing file in a folder that is there is an error",
        "radar, lidarseg, maps and the CAN bus are not taken over",
        "the addresses of the archives are signed and come with the login on the site; the names "
        "of the archives are from the site; where the panoptic archive unpacks into a folder of "
        "its own, move panoptic and v1.0-trainval from there to the root",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below the data root, or of one folder of tables in it; sorted by name.

    The tables are read once, here.

    Raises
    ------
    SourceError
        There are no tables, or they do not fit together.
    """
    from depthdata.sources import nuscenes_tree

    return nuscenes_tree.sequences(root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the scene: its rows of the tables, and its files.

    See `depthdata.sources.files.fingerprint_files`.
    """
    from depthdata.sources import nuscenes_tree

    return nuscenes_tree.fingerprint(spec)


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write one scene. `preset` is one of `PRESETS`.

    Raises
    ------
    SourceError
        A file is missing or damaged, or the tables contradict each other: one line.
    """
    from depthdata.sources.nuscenes_scene import write as write_scene

    write_scene(spec, writer, preset)
