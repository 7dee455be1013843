"""Dynamic Replica: its card, and the sequences of its annotations.

Which files there are is told by ``frame_annotations_<split>.jgz`` alone; no folder name is assumed.
A sequence has the cameras ``left`` and ``right``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import FormatError, SourceError
from depthdata.sources.card import Card, SequenceSpec
from depthdata.sources.dynamic_replica_archives import ARCHIVES

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "SPLITS", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

SPLITS = ("train", "valid", "test", "real")
"""Folders of the dataset; `real` holds one folder a sequence with a folder ``test`` in it."""

CARD = Card(
    name="dynamic_replica",
    title="Dynamic Replica",
    licence="own agreement, non-commercial research (Dynamic Replica)",
    terms_url="https://dynamic-stereo.github.io/",
    citation=(
        "@inproceedings{Karaev2023CVPR, author = {Nikita Karaev and Ignacio Rocco and Benjamin "
        "Graham and Natalia Neverova and Andrea Vedaldi and Christian Rupprecht}, title = "
        "{DynamicStereo: Consistent Dynamic Depth from Stereo Videos}, booktitle = {Conference on "
        "Computer Vision and Pattern Recognition (CVPR)}, year = {2023}}"
    ),
    homepage="https://dynamic-stereo.github.io/",
    access="agreement",
    archives=ARCHIVES,
    splits=SPLITS,
    cameras=("left", "right"),
    streams=(
        "rgb",
        "depth",
        "masks/foreground",
        "flow_forward",
        "flow_forward_valid",
        "flow_backward",
        "flow_backward_valid",
        "instances",
    ),
    known_defects=(
        "users report that in some sequences the given disparity matches the foreground but not "
        "the background; a photometric check of both views shows it",
        "real: depth was predicted by RAFT-Stereo, partly within masks of people only; it is no "
        "ground truth",
        "some depths are 0 or below 1e-5 m: the authors' reader takes these, and disparities of 0 "
        "or of 512 px and more, as invalid",
    ),
    notes=(
        "the addresses of the archives come with the agreement, in a file links.json",
        "unpacked: train 1.8 TB (484 sequences of 300 frames), test 328 GB (20 of 900), valid "
        "106 GB (20 of 300), real 152 MB (3 recordings of a ZED camera); unpack every archive of "
        "a split into <folder>/<split>",
        "the Replica scans and the assets of people and animals have terms of their own",
        "poses are T_world_cam with OpenCV axes, from R and T of the annotation; T itself stands "
        "in the camera's transform",
        "a principal point of 0 becomes (W / 2, H / 2), as the authors use it with whole pixel "
        "indices",
        "the baseline is T_right.x - T_left.x of each frame; the authors scale the disparities of "
        "a sample with baseline and focal length of its first frame and left camera, and leave "
        "out that principal points may differ",
        "foreground masks of 0 and 255 become 0 and 1, others keep their values with a scale of "
        "1/255; masks of the flow count as valid where they are not 0",
        "instance maps are pickles; they are read without being run. That they are, and the third "
        "column of traj_2d, traj_3d_world, img and instances in trajectories, is from other users' "
        "code, not from the authors'",
        "of trajectories traj_2d (two columns), verts_inds_vis and traj_3d_world are taken over; "
        "img and instances are not. Reading them needs PyTorch",
        "a kind of file (depth, masks, flow ...) of which a view has none on disk is left out, and "
        "the camera's transform says so; where some are missing the sequence is incomplete",
    ),
)

_PREFIX, _SUFFIX = "frame_annotations_", ".jgz"
_REAL = ("teddy_static", "ignacio_waving", "nikita_reading")


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the sequences that the annotations below a root name, in their order.

    Parameters
    ----------
    root : path
        The folder with ``train``, ``valid``, ``test`` and ``real``, or one of these, or a folder
        with an annotation.

    Raises
    ------
    SourceError
        There is no annotation, or one is damaged.
    """
    from depthdata.sources.dynamic_replica_frames import scan

    folder = Path(root).resolve()
    annotations = _annotations(folder)
    if not annotations:
        archives = sorted([*folder.glob("*.zip"), *folder.glob("*/*.zip")])
        hint = ""
        if archives:
            split = archives[0].stem.partition("_")[0]
            hint = f"; unpack {archives[0].name} into a folder {split} first"
        raise SourceError(
            f"{folder}: no annotation found; expected <split>/{_PREFIX}<split>{_SUFFIX} or "
            f"real/<name>/test/{_PREFIX}test{_SUFFIX}, or the folder of one"
            f"{hint}"
        )
    try:
        return [spec for path in annotations for spec in scan(path, *_part(path))]
    except FormatError as error:
        raise SourceError(str(error)) from error


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of what the annotation says of the sequence, and of its files.

    See `depthdata.sources.files.fingerprint_files`.
    """
    from depthdata.sources.dynamic_replica_frames import fingerprint

    return fingerprint(spec)


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one sequence: both views with all that is on disk, poses, baseline, trajectories.

    Raises
    ------
    SourceError
        Annotation and files do not fit: one line that names the file.
    MissingDependencyError
        There are trajectories, and PyTorch is not installed.
    """
    from depthdata.sources import dynamic_replica_sequence

    dynamic_replica_sequence.write(spec, writer)


def _annotations(folder: Path) -> list[Path]:
    """Return the annotations in a folder, else those of the splits and recordings below it."""
    own = _own(folder)
    if own:
        return own
    splits = [folder / name for name in SPLITS[:-1]]
    recordings = [part / "test" for part in _folders(folder / "real")]
    if folder.name == "real":
        recordings += [part / "test" for part in _folders(folder)]
    return [path for part in [*splits, *recordings] for path in _own(part)]


def _own(folder: Path) -> list[Path]:
    found = folder.glob(f"{_PREFIX}*{_SUFFIX}")
    return sorted(path for path in found if path.is_file())


def _folders(folder: Path) -> list[Path]:
    return sorted(part for part in folder.iterdir() if part.is_dir()) if folder.is_dir() else []


def _part(path: Path) -> tuple[str, str | None]:
    """Split of an annotation, and the name of the recording where it is a real one."""
    folder, recording = path.parent, path.parent.parent
    if folder.name == "test" and (recording.parent.name == "real" or recording.name in _REAL):
        return "real", recording.name
    return path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX), None
