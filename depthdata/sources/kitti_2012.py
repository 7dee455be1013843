"""KITTI 2012 stereo and optical flow: its card, and its scenes as sequences.

A scene is a sequence of the frames that are there: 10 and 11, or 00 to 20 with the multi-view
extension. Grey cameras 00 and 01 become ``gray_left`` and ``gray_right``, colour cameras 02 and 03
``left`` and ``right``; the ground truth is of ``gray_left`` at frame 10.
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
    dataset="kitti_2012",
    images={
        "gray_left": "image_0",
        "gray_right": "image_1",
        "left": "colored_0",
        "right": "colored_1",
    },
    numbers={"gray_left": 0, "gray_right": 1, "left": 2, "right": 3},
    truth="gray_left",
    disparities=(
        TruthFolders("disparity", "masks/occluded", "disp_occ", "disp_noc"),
        TruthFolders(
            "disparity_reflective", "masks/occluded_reflective", "disp_refl_occ", "disp_refl_noc"
        ),
    ),
    flow=TruthFolders("flow_forward", "masks/occluded_forward", "flow_occ", "flow_noc"),
    instances=None,
    calibration=("calib",),
    archive="data_stereo_flow.zip",
    calibration_archive="data_stereo_flow.zip",
)

_STORE = "https://s3.eu-central-1.amazonaws.com/avg-kitti"
_PAGE = "http://www.cvlibs.net/datasets/kitti/eval_stereo_flow.php?benchmark=stereo"

CARD = Card(
    name="kitti_2012",
    title="KITTI 2012 stereo and optical flow",
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
            ("data_stereo_flow.zip", "pairs", False, None),
            ("data_stereo_flow_multiview.zip", "multiview", True, None),
            ("devkit_stereo_flow.zip", "devkit", True, None),
        )
    ),
    splits=("train", "test"),
    cameras=tuple(BENCHMARK.images),
    streams=(
        "rgb",
        "disparity",
        "disparity_noc",
        "disparity_reflective",
        "disparity_reflective_noc",
        "flow_forward",
        "flow_forward_valid",
        "masks/occluded",
        "masks/occluded_reflective",
        "masks/occluded_forward",
    ),
    known_defects=(
        "ground truth is sparse, and only of what stands still: moving objects have none",
        "frames of the multi-view extension have no ground truth",
    ),
    notes=(
        "the ground truth is of the left grey camera (image_0) and stored there only: the colour "
        "camera stands some centimetres beside it (P2 is not P0) and its pair has another baseline",
        "masks/occluded is 1 where disp_occ has a value and disp_noc has none, 0 where both have, "
        "255 where there is no truth; the other masks say the same of their quantities",
        "disparity_reflective is disp_refl_occ: the ground truth on reflecting surfaces",
        "a scene without its calibration file is converted with nominal intrinsics, marked "
        "'intrinsics': 'unknown' in the camera's transform, and without stereo pairs: its "
        "disparity gives no metric depth",
        "the benchmark publishes no times and no poses",
        "the layout (image_0, image_1, colored_0, colored_1, disp_*, flow_*, calib) follows the "
        "dataset's own documentation; conversion was tested on trees made in that layout only",
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
    """Write one scene: grey and colour cameras, disparity and flow of frame 10.

    Raises
    ------
    SourceError
        The tree is not as KITTI publishes it: one line that names the file.
    """
    from depthdata.sources import kitti_stereo_scene

    kitti_stereo_scene.write(BENCHMARK, spec, writer)
