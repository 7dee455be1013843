"""ETH3D, low-resolution two-view stereo: its card, and its scenes as sequences.

A scene is a sequence of one frame: im0 becomes ``left``, im1 ``right``. Poses come from the
COLMAP files of the scene. That test scenes may have a calibration and poses too follows the
dataset's own documentation.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import SourceError
from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.middlebury_files import all_files, archive_hint, folders, pair_files

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_STORE = "https://www.eth3d.net/data"
_SHA256 = {
    "two_view_training": "cb7683a01ba037759f30b5a4f561d302453e20f1f7095cbdc51c8564b218224b",
    "two_view_training_gt": "e440f7ec4444dfd2af33a44495f325a3aed06762432e2419277596ba7dcb9b40",
    "two_view_test": None,
}

CARD = Card(
    name="eth3d",
    title="ETH3D low-resolution two-view stereo",
    licence="CC BY-NC-SA 4.0",
    terms_url="https://www.eth3d.net/datasets#low-res-two-view-training-data",
    citation=(
        '@inproceedings{Schoeps2017CVPR, author = {Thomas Sch{\\"o}ps and Johannes L. '
        'Sch{\\"o}nberger and Silvano Galliani and Torsten Sattler and Konrad Schindler and Marc '
        "Pollefeys and Andreas Geiger}, title = {A Multi-View Stereo Benchmark with "
        "High-Resolution Images and Multi-Camera Videos}, booktitle = {Conference on Computer "
        "Vision and Pattern Recognition (CVPR)}, year = {2017}}"
    ),
    homepage="https://www.eth3d.net/datasets#low-res-two-view-training-data",
    access="open",
    archives=tuple(
        Archive(
            f"{name}.7z",
            f"{_STORE}/{name}.7z",
            sha256=sha256,
            about=None if sha256 is None else 14_000_000,
            parts=("test" if name.endswith("test") else "training",),
            extract_to=name,
        )
        for name, sha256 in _SHA256.items()
    ),
    cameras=("left", "right"),
    streams=("rgb", "disparity", "masks/occluded"),
    notes=(
        "unpack each archive into a folder of its own name (two_view_testing for two_view_test is "
        "accepted); 7z is needed",
        "disparity is NaN where the source has +inf; the published reader takes disparity < 512 as "
        "valid and leaves the mask alone",
        "images look grey but have three channels; images of one channel are accepted",
        "the baseline is in millimetres in calib.txt and in metres in images.txt; a scene in which "
        "the two differ by more than 1 % is refused (three scenes looked at: below 0.001 %)",
        "the quaternion and translation of images.txt stand in each camera's transform",
        "a test scene without calib.txt gets nominal intrinsics, which its cameras call unknown, "
        "and no stereo pair",
        "training scenes are converted without ground truth where there is no folder "
        "two_view_training_gt; their cameras say so",
        "the SHA-256 sums of the training archives come from a third party, not from the owner",
    ),
)

_TRAINING, _TRUTH = "two_view_training", "two_view_training_gt"
_PARTS = {_TRAINING: "train", "two_view_testing": "test", "two_view_test": "test"}
_TEXTS = ("calib.txt", "cameras.txt", "images.txt")


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below a root, sorted by name.

    Parameters
    ----------
    root : path
        The folder with ``two_view_training``, ``two_view_training_gt`` and ``two_view_testing``,
        one of the first and the last, or the folder of a scene.

    Raises
    ------
    SourceError
        There is no scene.
    """
    folder = Path(root).resolve()
    scenes = _scene_folders(folder)
    if not scenes:
        raise SourceError(
            f"{folder}: no scene found; expected {_TRAINING}/<scene> (and {_TRUTH}/<scene>) or "
            "two_view_testing/<scene>, or one of these folders itself"
            f"{archive_hint(folder, 'two_view*.7z', '*.7z')}"
        )
    return sorted((_spec(scene) for scene in scenes), key=lambda spec: spec.name)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents.

    See `depthdata.sources.files.fingerprint_files`.
    """
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, all_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one scene: both images, disparity and mask of the left one, calibration, poses.

    Raises
    ------
    SourceError
        The scene is not as ETH3D publishes it: one line that names the file.
    """
    from functools import partial

    from depthdata.sources.eth3d_poses import read_poses
    from depthdata.sources.middlebury_scene import write_pair

    texts = spec.files["texts"]
    posed = "images.txt" in texts and "calib.txt" in texts
    write_pair(spec, writer, partial(read_poses, Path(spec.root), texts) if posed else None)


def _scene_folders(folder: Path) -> list[Path]:
    if folder.parent.name in _PARTS:
        return [folder] if folder.is_dir() else []
    if folder.name in _PARTS:
        return folders(folder)
    return [scene for part in _PARTS for scene in folders(folder / part)]


def _spec(scene: Path) -> SequenceSpec:
    part, root = scene.parent.name, scene.parents[1]
    split, inside = _PARTS[part], f"{part}/{scene.name}"
    truth = f"{_TRUTH}/{scene.name}"
    streams = {"rgb": f"{inside}/im{{view}}.png"}
    required = dict.fromkeys((f"{inside}/im0.png", f"{inside}/im1.png"), f"unpack {part}.7z again")
    facts = {}
    if split == "train":
        required[f"{inside}/calib.txt"] = f"unpack {part}.7z again"
        if (root / _TRUTH).is_dir():
            streams["disparity"] = f"{truth}/disp{{view}}GT.pfm"
            streams["masks/occluded"] = f"{truth}/mask{{view}}nocc.png"
            names = (f"{truth}/disp0GT.pfm", f"{truth}/mask0nocc.png")
            required |= dict.fromkeys(names, f"unpack {_TRUTH}.7z again")
        else:
            facts["left_out"] = f"ground truth: there is no folder {_TRUTH}"
    colmap = [f"{inside}/{name}" for name in _TEXTS[1:]]
    if any((root / name).is_file() for name in colmap):
        required |= dict.fromkeys(colmap, f"unpack {part}.7z again")
    files = pair_files(root, streams, (f"{inside}/{name}" for name in _TEXTS), required)
    return SequenceSpec(
        CARD.name, scene.name, str(root), split, {**files, "scene": scene.name, **facts}
    )
