"""KITTI-VIS, Insta-DM's prepared KITTI: its card, and its scenes as sequences.

A scene is one camera of one raw drive without the frames in which the car stands; its images are
832 x 256, with instance masks of every frame and optical flow between neighbours.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.vis_tree import PreparedSet, find_scenes, scene_files

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_SET = PreparedSet(
    dataset="kitti_vis",
    other="cityscapes_vis",
    folder="kitti_256",
    scene=r"\d{4}_\d{2}_\d{2}_drive_\d{4}_sync_0[23]",
    other_scene=r"[A-Za-z-]+_\d{6}_\d{6}_[01]",
    camera_of={"03": "right"},
)

_DRIVE = "https://drive.google.com/drive/folders/1tgQKHDj3tf97LZoQqXxcOF4LVHoIKXcs"

CARD = Card(
    name="kitti_vis",
    title="KITTI-VIS: KITTI at 832x256 with video instance masks and flow (Insta-DM)",
    licence="none stated; derived from KITTI (CC BY-NC-SA 3.0): research only, not to be re-hosted",
    terms_url="http://www.cvlibs.net/datasets/kitti/raw_data.php",
    citation=(
        "@inproceedings{Lee2021AAAI, author = {Seokju Lee and Sunghoon Im and Stephen Lin and In "
        "So Kweon}, title = {Learning Monocular Depth in Dynamic Scenes via Instance-Aware "
        "Projection Consistency}, booktitle = {AAAI Conference on Artificial Intelligence "
        "(AAAI)}, year = {2021}}"
    ),
    homepage=_DRIVE,
    access="open",
    archives=(Archive("kitti_256", _DRIVE, many=True),),
    splits=("train", "val"),
    cameras=("left", "right"),
    streams=("rgb", "flow_forward", "flow_backward", "instances_overlap", "instances", "depth"),
    known_defects=(
        "frames in which the car stands are left out, so neighbours need not be 0.1 s apart; the "
        "flow is that between the frames that are there",
        "masks (PANet) and flow (PWC-Net) are estimates; instances have no class, no score and no "
        "identity over time",
        "train.txt and val.txt were drawn at random by drive and cannot be made again",
    ),
    notes=(
        "a scene is <raw drive>_02 or _03, one camera: left or right; frames are called by their "
        "numbers in the raw drive",
        "masks may overlap: instances holds the lowest number of a pixel, instances_overlap the "
        "others, depthdata.instance_masks gives all masks back; the empty first channel of the "
        "source is not stored",
        "which masks are one instance is told by depthdata.association from the flow, as the "
        "authors do; depthdata.loading.insta_dm gives their samples",
        "flow_forward is flow_f, of all frames but the last; flow_backward is flow_b, of all but "
        "the first",
        "depth (camera z) is there for the frames that have it, most of them for validation",
        "split is train or val by the lists; a scene of both counts for train, the camera's "
        "transform names all lists; scenes of no list are converted as well",
        "no times and no poses; the drives in kitti_raw have them",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below the folder that holds ``image``, ``segmentation`` ...; sorted.

    Raises
    ------
    SourceError
        There is no scene, or they are those of cityscapes_vis.
    """
    return find_scenes(_SET, root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents."""
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, scene_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one scene: images, flow of both directions, instance masks, depth where it is there.

    Raises
    ------
    SourceError
        A file is missing (`incomplete`), damaged, or of another size: one line that names it.
    """
    from depthdata.sources import vis_scene

    vis_scene.write(spec, writer)
