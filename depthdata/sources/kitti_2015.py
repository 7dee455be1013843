"""KITTI 2015 stereo and scene flow: its card, and its scenes as sequences.

A scene is a sequence of the frames that are there: 10 and 11, or 00 to 20 with the multi-view
extension. Colour cameras 02 and 03 become ``left`` and ``right``; the ground truth is of frame 10.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.kitti_stereo_tree import (
    Benchmark,
    TruthFolders,
    find_scenes,
    scene_files,
)

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["BENCHMARK", "CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

BENCHMARK = Benchmark(
    dataset="kitti_2015",
    images={"left": "image_2", "right": "image_3"},
    numbers={"left": 2, "right": 3},
    truth="left",
    disparities=(
        TruthFolders("disparity", "masks/occluded", "disp_occ_0", "disp_noc_0"),
        TruthFolders("disparity_next", "masks/occluded_next", "disp_occ_1", "disp_noc_1"),
    ),
    flow=TruthFolders("flow_forward", "masks/occluded_forward", "flow_occ", "flow_noc"),
    instances="obj_map",
    calibration=("calib_cam_to_cam", "calib_velo_to_cam", "calib_imu_to_velo"),
    archive="data_scene_flow.zip",
    calibration_archive="data_scene_flow_calib.zip",
)

_STORE = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
_PAGE = "http://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=stereo"

CARD = Card(
    name="kitti_2015",
    title="KITTI 2015 stereo, optical flow and scene flow",
    licence="CC BY-NC-SA 3.0",
    terms_url=_PAGE,
    citation=(
        "@inproceedings{Menze2015CVPR, author = {Moritz Menze and Andreas Geiger}, title = "
        "{Object Scene Flow for Autonomous Vehicles}, booktitle = {Conference on Computer Vision "
        "and Pattern Recognition (CVPR)}, year = {2015}}"
    ),
    homepage=_PAGE,
    access="registration",
    archives=tuple(
        Archive(
            name,
            f"{_STORE}/{name}",
            about=about,
            parts=(part,),
            optional=optional,
            extract_to="devkit" if part == "devkit" else "",
        )
        for name, part, optional, about in (
            ("data_scene_flow.zip", "pairs", False, 2_000_000_000),
            ("data_scene_flow_calib.zip", "pairs", False, None),
            ("data_scene_flow_multiview.zip", "multiview", True, None),
            ("devkit_scene_flow.zip", "devkit", True, None),
        )
    ),
    splits=("train", "test"),
    cameras=("left", "right"),
    streams=(
        "rgb",
        "disparity",
        "disparity_noc",
        "disparity_next",
        "disparity_next_noc",
        "flow_forward",
        "flow_forward_valid",
        "instances",
        "masks/occluded",
        "masks/occluded_next",
        "masks/occluded_forward",
        "masks/foreground",
    ),
    known_defects=(
        "disp_noc_0 differs from disp_occ_0 in a few pixels (26, 31 and 50 in the three scenes "
        "looked at), mostly by 1/256 px, some by more than 1 px; disparity_noc keeps its values",
        "ground truth is sparse (about a fifth of the pixels) and covers no sky; cars are fitted "
        "models, their windows included",
        "frames of the multi-view extension have no ground truth",
    ),
    notes=(
        "disparity_next is disp_occ_1: the disparity at frame 11 of the surface that a pixel of "
        "frame 10 sees, in the pixels of frame 10; it is no disparity map of frame 11",
        "masks/occluded is 1 where disp_occ_0 has a value and disp_noc_0 has none (outside the "
        "right image), 0 where both have, 255 where there is no truth; masks/occluded_next and "
        "masks/occluded_forward say the same of disp_1 and flow",
        "a scene without its calibration file is converted with nominal intrinsics, marked "
        "'intrinsics': 'unknown' in the camera's transform, and without a stereo pair: its "
        "disparity gives no metric depth",
        "the benchmark publishes no times and no poses",
        "names of the folders image_2, image_3, disp_*, flow_*, obj_map and calib_* are the "
        "dataset's own; viz_* are pictures for people and are not taken over",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below the root, or below its folder training or testing; sorted.

    Raises
    ------
    SourceError
        There is no scene.
    """
    return find_scenes(BENCHMARK, root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents."""
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, scene_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one scene: both cameras, disparity, flow and instances of frame 10.

    Raises
    ------
    SourceError
        The tree is not as KITTI publishes it: one line that names the file.
    """
    from depthdata.sources import kitti_stereo_scene

    kitti_stereo_scene.write(BENCHMARK, spec, writer)
