"""Middlebury stereo: the evaluation set v3 and the scenes of 2014; card, and scenes as sequences.

A scene folder is a sequence of one frame: im0 becomes ``left``, im1 ``right``. The evaluation set
has each scene in three sizes, ``training{F,H,Q}`` and ``test{F,H,Q}``; the size is part of the
sequence's name.

The right view's disparity and mask, the vertical disparities (``disp0GTy``, ``disp0y``) and the
calibration of test scenes follow the dataset's own documentation.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import SourceError
from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.middlebury_files import VIEWS, all_files, archive_hint, folders, pair_files

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_SCENES_2014 = (
    "Adirondack Backpack Bicycle1 Cable Classroom1 Couch Flowers Jadeplant Mask Motorcycle Piano "
    "Pipes Playroom Playtable Recycle Shelves Shopvac Sticks Storage Sword1 Sword2 Umbrella Vintage"
)
_STORE = "https://vision.middlebury.edu/stereo"
_SHA256 = {
    "MiddEval3-data-Q.zip": "a1411f283b523541e0d2e8b3a1dd6618974a0e539aea0122490791a041fffc09",
    "MiddEval3-GT0-Q.zip": "489b6a4015951a3c865aa54c0f37dcb648b5d0efad8019264e22499cef35ca45",
}


def _archives() -> tuple[Archive, ...]:
    names = [f"MiddEval3-{what}-{size}.zip" for what in ("data", "GT0") for size in "QHF"]
    evaluation = [
        Archive(
            name,
            f"{_STORE}/submit3/zip/{name}",
            sha256=_SHA256.get(name),
            parts=("MiddEval3", name[-5]),
            existing="keep",
        )
        for name in names
    ]
    scenes = [
        Archive(
            f"{scene}-{kind}.zip",
            f"{_STORE}/data/scenes2014/zip/{scene}-{kind}.zip",
            parts=("2014", kind),
            extract_to="2014",
        )
        for scene in _SCENES_2014.split()
        for kind in ("perfect", "imperfect")
    ]
    return (*evaluation, *scenes)


CARD = Card(
    name="middlebury",
    title="Middlebury stereo, evaluation set v3 and 2014 scenes",
    licence="free for research use with citation",
    terms_url="https://vision.middlebury.edu/stereo/data/",
    citation=(
        "@inproceedings{Scharstein2014GCPR, author = {Daniel Scharstein and Heiko "
        "Hirschm{\\\"u}ller and York Kitajima and Greg Krathwohl and Nera Ne{\\v{s}}i{\\'c} and Xi "
        "Wang and Porter Westling}, title = {High-Resolution Stereo Datasets with "
        "Subpixel-Accurate Ground Truth}, booktitle = {German Conference on Pattern Recognition "
        "(GCPR)}, year = {2014}}"
    ),
    homepage="https://vision.middlebury.edu/stereo/data/",
    access="open",
    archives=_archives(),
    cameras=("left", "right"),
    streams=(
        "rgb",
        "rgb_exposure",
        "rgb_lighting",
        "disparity",
        "disparity_y",
        "masks/occluded",
    ),
    known_defects=(
        "the rectification of imperfect 2014 scenes, and of some evaluation scenes, is off by "
        "parts of a pixel: dyavg and dymax in the calibration say by how much",
    ),
    notes=(
        "unpack all MiddEval3 archives into one place, the 2014 archives into a folder 2014",
        "disparity is NaN where the source has +inf; the published reader of the 2014 scenes "
        "takes disparity < 1000 as valid, that of the evaluation set masks/occluded == 0",
        "the principal points differ: depth = fx * baseline / (disparity + doffs), doffs = cx of "
        "the right view - cx of the left one",
        "the scale in the header of a disparity file is a sign only; its magnitude is not applied",
        "lines of calib.txt stand in the transform of the left camera, as in the file (baseline "
        "in millimetres)",
        "a test scene without calib.txt gets nominal intrinsics, which its cameras call unknown, "
        "and no stereo pair",
        "training scenes are converted without ground truth where no scene of their folder has "
        "any; their cameras say so",
        "the ambient images, sample counts and deviations of the 2014 archives are not taken over",
        "the SHA-256 sums of MiddEval3-data-Q and -GT0-Q come from a third party, not from the "
        "owner",
    ),
)

_PART = re.compile(r"(training|test)([FHQ])")
_SCENE_2014 = re.compile(r".+-(im)?perfect")
_EVALUATION = {
    "rgb": "im{view}.png",
    "disparity": "disp{view}GT.pfm",
    "disparity_y": "disp{view}GTy.pfm",
    "masks/occluded": "mask{view}nocc.png",
}
_TRUTH = tuple(_EVALUATION.values())[1:]
_2014 = {
    "rgb": "im{view}.png",
    "rgb_exposure": "im1E.png",
    "rgb_lighting": "im1L.png",
    "disparity": "disp{view}.pfm",
    "disparity_y": "disp{view}y.pfm",
}
_WITHOUT_TRUTH = "ground truth is not in the source tree"


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the scenes below a root, sorted by name.

    Parameters
    ----------
    root : path
        The folder with ``MiddEval3`` and ``2014``, one of the two, ``trainingF`` and its like, or
        the folder of a scene.

    Raises
    ------
    SourceError
        There is no scene.
    """
    folder = Path(root).resolve()
    scenes = _scene_folders(folder)
    if not scenes:
        hint = archive_hint(folder, "MiddEval3-*.zip", "*perfect.zip", "*.zip")
        raise SourceError(
            f"{folder}: no scene found; expected MiddEval3/training<F, H or Q>/<scene> or "
            f"2014/<scene>-perfect, or one of these folders itself{hint}"
        )
    with_truth = {part: _has_truth(part) for part in {scene.parent for scene in scenes}}
    specs = [_spec(scene, with_truth[scene.parent]) for scene in scenes]
    return sorted(specs, key=lambda spec: spec.name)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents.

    See `depthdata.sources.files.fingerprint_files`.
    """
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, all_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one scene: both images, disparities, masks and the calibration.

    Raises
    ------
    SourceError
        The scene is not as Middlebury publishes it: one line that names the file.
    """
    from depthdata.sources.middlebury_scene import write_pair

    write_pair(spec, writer)


def _scene_folders(folder: Path) -> list[Path]:
    if _PART.fullmatch(folder.parent.name) or _SCENE_2014.fullmatch(folder.name):
        return [folder] if folder.is_dir() else []
    if _PART.fullmatch(folder.name):
        return folders(folder)
    found = []
    for entry in folders(folder):
        if _PART.fullmatch(entry.name):
            found += folders(entry)
        elif _SCENE_2014.fullmatch(entry.name):
            found.append(entry)
        elif entry.name in ("MiddEval3", "2014"):
            found += _scene_folders(entry)
    return found


def _has_truth(part: Path) -> bool:
    """Whether any scene has ground truth: else its archive is not unpacked."""
    names = [pattern.format(view=view) for pattern in _TRUTH for view in VIEWS.values()]
    return any((scene / name).is_file() for scene in folders(part) for name in names)


def _spec(scene: Path, with_truth: bool) -> SequenceSpec:
    part = _PART.fullmatch(scene.parent.name)
    if part is None:
        archive = f"unpack {scene.name}.zip again"
        required = dict.fromkeys(("im0.png", "im1.png", "disp0.pfm", "calib.txt"), archive)
        return _made(scene, f"2014_{scene.name}", "2014", _2014, required, {})
    split = "train" if part[1] == "training" else "test"
    archive = f"unpack MiddEval3-{{}}-{part[2]}.zip again"
    required = dict.fromkeys(("im0.png", "im1.png"), archive.format("data"))
    facts = {}
    if split == "train":
        required["calib.txt"] = archive.format("data")
        if with_truth:
            truth = archive.format("GT0")
            required |= {"disp0GT.pfm": truth, "mask0nocc.png": truth}
        else:
            facts["left_out"] = _WITHOUT_TRUTH
    return _made(scene, f"{part[0]}_{scene.name}", split, _EVALUATION, required, facts)


def _made(
    scene: Path,
    name: str,
    split: str,
    streams: dict[str, str],
    required: dict[str, str],
    facts: dict[str, Any],
) -> SequenceSpec:
    files = pair_files(scene, streams, ("calib.txt",), required)
    return SequenceSpec(CARD.name, name, str(scene), split, {**files, "scene": scene.name, **facts})
