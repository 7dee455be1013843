"""Cityscapes: its card, and its snippets as sequences.

A snippet of 30 frames is a sequence, with the labels of its 20th; where only the annotated images
are there, each is a sequence of one frame. Images go into the sequence file byte for byte.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.sources.card import Archive, Card, Login, SequenceSpec
from depthdata.sources.cityscapes_tree import find_sequences, sequence_files

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_HOME = "https://www.cityscapes-dataset.com"
_ARCHIVES = {  # number on the site, where known; whether it is asked for by name only
    "leftImg8bit_trainvaltest": ("3", False),
    "leftImg8bit_trainextra": (None, True),
    "leftImg8bit_sequence_trainvaltest": ("14", True),
    "leftImg8bit_demoVideo": (None, True),
    "rightImg8bit_trainvaltest": ("5", False),
    "rightImg8bit_sequence_trainvaltest": (None, True),
    "disparity_trainvaltest": ("7", False),
    "disparity_sequence_trainvaltest": (None, True),
    "camera_trainvaltest": ("8", False),
    "vehicle_trainvaltest": ("10", False),
    "vehicle_sequence_trainvaltest": (None, True),
    "timestamp_sequence_trainvaltest": (None, True),
    "gtFine_trainvaltest": ("1", False),
    "gtCoarse": (None, True),
}


def _archives() -> tuple[Archive, ...]:
    found = []
    for name, (key, optional) in _ARCHIVES.items():
        kind, _, rest = name.partition("_")
        parts = (kind, *(("sequence",) if rest.startswith("sequence_") else ()))
        # each archive has a README and a licence of its own at the top
        found.append(
            Archive(f"{name}.zip", parts=parts, optional=optional, existing="keep", key=key)
        )
    return tuple(found)


CARD = Card(
    name="cityscapes",
    title="Cityscapes",
    licence="Cityscapes licence: non-commercial research and education, no redistribution",
    terms_url=f"{_HOME}/license/",
    citation=(
        "@inproceedings{Cordts2016Cityscapes, author = {Marius Cordts and Mohamed Omran and "
        "Sebastian Ramos and Timo Rehfeld and Markus Enzweiler and Rodrigo Benenson and Uwe Franke "
        "and Stefan Roth and Bernt Schiele}, title = {The Cityscapes Dataset for Semantic Urban "
        "Scene Understanding}, booktitle = {IEEE Conference on Computer Vision and Pattern "
        "Recognition (CVPR)}, year = {2016}}"
    ),
    homepage=f"{_HOME}/",
    access="registration",
    archives=_archives(),
    login=Login(
        page=f"{_HOME}/login/",
        files=f"{_HOME}/file-handling/?packageID={{key}}",
        index=f"{_HOME}/downloads/",
        extra=(("submit", "Login"),),
    ),
    splits=("train", "val", "test", "train_extra", "demoVideo"),
    cameras=("left", "right"),
    streams=(
        "rgb",
        "disparity",
        "semantics",
        "instances",
        "semantics_coarse",
        "instances_coarse",
        "instance_ids",
        "instance_ids_coarse",
    ),
    known_defects=(
        "the lower quarter of the image shows the car itself; disparities there mean nothing",
        "disparity is from semi-global matching: it is no ground truth",
        "labels of test are withheld: what the files hold there are void classes only",
        "there are no camera poses: speed and yaw rate give a rough path in the plane",
    ),
    notes=(
        "a sequence is called <city>_<sequence>_<annotated frame>, like the annotated image; its "
        "frames are called by their numbers",
        "snippets are the 19 frames before and 10 after an annotated one; where no annotated frame "
        "is known, 30 frames in a row",
        "demoVideo is not cut: one sequence is one video",
        "labels, right images and disparity are there for the frames that have them: with the "
        "archives without _sequence, for the annotated frame only",
        "semantics is labelIds; instances is instanceIds where it names an instance (class * 1000 "
        "+ number), else 0; gtCoarse gives semantics_coarse and instances_coarse",
        "instance_ids is there only where the two files of a frame disagree",
        "disparity is stored as the file's value less 1, 65535 where the file has 0: d = (p - 1) / "
        "256",
        "camera files belong to annotated frames and hold for the whole snippet; without one the "
        "intrinsics are nominal, marked 'intrinsics': 'unknown', and there is no metric depth",
        "T_rig_cam is the pose in the vehicle; the order of the three angles, Rz(yaw) Ry(pitch) "
        "Rx(roll), is from the dataset's calibration document, the class names from its scripts",
        "speed, yaw rate, GPS and temperature of vehicle.json are in the left camera's transform; "
        "pose set 'vehicle' is the path that follows from speed and yaw rate, where all frames "
        "have a time",
        "times begin with 0 at the first frame of a sequence of the source",
        "gtFine_color and gtFine_polygons are not taken over; nor are the variants foggy, "
        "rainy and blurred, boxes and panoptic maps",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the snippets below the root, or below ``leftImg8bit``, one of its parts or cities.

    Raises
    ------
    SourceError
        There is no image.
    """
    return find_sequences(CARD.name, root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents."""
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, sequence_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one sequence: images of both views, disparity, labels of the annotated frame.

    Raises
    ------
    SourceError
        A file is missing (`incomplete`), damaged, or of another size: one line that names it.
    """
    from depthdata.sources import cityscapes_snippet

    cityscapes_snippet.write(spec, writer)
