"""Cityscapes-VIS, Insta-DM's prepared Cityscapes: its card, and its scenes as sequences.

A scene is every second frame of a snippet without those in which the car stands; its images are
832 x 256 (the lower quarter is cut off), with instance masks and optical flow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.kitti_vis import CARD as _KITTI
from depthdata.sources.vis_tree import PreparedSet, find_scenes, scene_files

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_SET = PreparedSet(
    dataset="cityscapes_vis",
    other="kitti_vis",
    folder="cityscapes_256",
    scene=r"[A-Za-z-]+_\d{6}_\d{6}_[01]",
    other_scene=r"\d{4}_\d{2}_\d{2}_drive_\d{4}_sync_0[23]",
    camera_of={},
)

CARD = Card(
    name="cityscapes_vis",
    title="Cityscapes-VIS: Cityscapes at 832x256 with video instance masks and flow (Insta-DM)",
    licence=(
        "none stated; derived from Cityscapes (non-commercial, no redistribution): research only, "
        "not to be re-hosted"
    ),
    terms_url="https://www.cityscapes-dataset.com/license/",
    citation=_KITTI.citation,
    homepage=_KITTI.homepage,
    access="open",
    archives=(Archive("cityscapes_256", _KITTI.homepage, many=True),),
    splits=("train", "val"),
    cameras=("left",),
    streams=("rgb", "flow_forward", "flow_backward", "instances_overlap", "instances"),
    known_defects=(
        "frames in which the car hardly moved are left out, so neighbours are 2/17 s or more apart",
        "the images keep the upper 256 of 342 rows: intrinsics are those of the whole image",
        *_KITTI.known_defects[1:],
    ),
    notes=(
        "a scene is <city>_<sequence>_<first frame>_<phase>: phase 0 has the even, 1 the odd "
        "frames of a run; frames are called by their numbers in Cityscapes",
        *_KITTI.notes[1:4],
        _KITTI.notes[5],
        "no times and no poses; the snippets in cityscapes have times, speed and yaw rate",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below the folder that holds ``image``, ``segmentation`` ...; sorted.

    Raises
    ------
    SourceError
        There is no scene, or they are those of kitti_vis.
    """
    return find_scenes(_SET, root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents."""
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, scene_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one scene; see `depthdata.sources.kitti_vis.write`."""
    from depthdata.sources import vis_scene

    vis_scene.write(spec, writer)
