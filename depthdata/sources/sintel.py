"""MPI Sintel: card, and film sequences with whatever archives are unpacked.

A film sequence (``alley_1`` ...) is a sequence, its views are ``left`` and ``right``. Images go
into the sequence file byte for byte: the clean pass is ``rgb``, the final pass ``rgb_final``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.codecs.sintel_folders import SETS
from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.sintel_tree import find_sequences, fingerprint_parts

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_STORE = "https://files.is.tue.mpg.de"

CARD = Card(
    name="sintel",
    title="MPI Sintel: stereo, depth and optical flow",
    licence="free for research with citation; film content CC BY 3.0 (Blender Foundation)",
    terms_url="http://sintel.is.tue.mpg.de/",
    citation=(
        "@inproceedings{Butler:ECCV:2012, author = {Butler, D. J. and Wulff, J. and Stanley, G. B. "
        "and Black, M. J.}, title = {A naturalistic open source movie for optical flow "
        "evaluation}, booktitle = {European Conf. on Computer Vision (ECCV)}, series = {Part IV, "
        "LNCS 7577}, pages = {611--625}, publisher = {Springer-Verlag}, year = {2012}}"
    ),
    homepage="http://sintel.is.tue.mpg.de/stereo",
    access="open",
    archives=tuple(
        Archive(
            SETS[part],
            f"{_STORE}/{place}/{SETS[part]}",
            parts=(part,),
            extract_to=part,
        )
        for part, place in (
            ("stereo", "jwulff/sintel"),
            ("depth", "jwulff/sintel"),
            ("flow", "sintel"),
        )
    ),
    cameras=("left", "right"),
    streams=(
        "rgb",
        "rgb_final",
        "rgb_albedo",
        "disparity",
        "masks/occluded",
        "masks/out_of_frame",
        "depth",
        "flow_forward",
        "flow_forward_valid",
        "masks/occluded_forward",
    ),
    known_defects=(
        "RAFT-Stereo's reader takes disparities modulo 256 (R * 4 in 8 bits); the values here are "
        "right, depthdata.codecs.sintel.wrapped_disparity gives those of that reader",
        "occlusions does not mark all pixels whose match is out of the frame: the published "
        "readers, which do not use outofframe, take these for valid",
        "the folder occlusions has one meaning in the stereo set and another in the flow set",
    ),
    notes=(
        "23 training sequences with 1,064 frames of 1024x436; stereo and depth exist for training "
        "only, the flow set has test images besides",
        "unpack each archive in a folder of its own, and convert the folder of these folders: what "
        "is there becomes one file a sequence",
        "rgb is the clean pass, rgb_final the final pass; left images are those of the stereo set "
        "where it is there, else of the flow set, which has no right view",
        "disparity, depth and flow are of the left view; disparity 0 counts as missing; valid in "
        "the published readers is: not masks/occluded and disparity above 0",
        "intrinsics and poses come from the depth set (camdata_left); without it the intrinsics "
        "are nominal, which the cameras call unknown, and no depth is derived from disparity",
        "the right camera is 0.1 m to the right of the left one; its poses are made from that",
        "flow is absent in frames that have none, the last one for example; where invalid marks a "
        "pixel its flow reads as missing, the stored value stays",
        "the source gives no times; disparities_viz, depth_viz, flow_viz are not taken over",
        "the archives' sizes and checksums are not published",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the film sequences below a folder, sorted by name.

    Parameters
    ----------
    root : path
        A folder ``training``, the folder that holds it, or a folder of several unpacked archives.

    Raises
    ------
    SourceError
        There is no sequence with images, or what a folder holds cannot be told.
    """
    return find_sequences(CARD.name, root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents.

    It does not depend on which of the folders above was named as the root.
    """
    return fingerprint_parts(spec)


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one film sequence: images of both passes, and what the unpacked archives have.

    Raises
    ------
    SourceError
        A file is missing (`incomplete`), damaged, or of another size: one line that names it.
    """
    from depthdata.sources import sintel_film

    sintel_film.write(spec, writer)
