"""Scene Flow datasets (FlyingThings3D, Monkaa, Driving): card, and clips as sequences.

A clip is a sequence, its views are ``left`` and ``right``. Images go into the sequence file byte
for byte: the clean pass is ``rgb``, the final pass ``rgb_final``. Folders of the derived data, the
camera data and the archives' names follow the dataset's own page.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from depthdata.codecs.sceneflow import KINDS, SETS, VIEWS
from depthdata.sources.card import Archive, Card, SequenceSpec
from depthdata.sources.sceneflow_tree import all_files, find_clips

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

_STORE = "https://lmb.informatik.uni-freiburg.de/data/SceneFlowDatasets_CVPR16"
_RAW = ("frames_cleanpass", "frames_finalpass")
_DERIVED = (
    "disparity",
    "optical_flow",
    "disparity_change",
    "motion_boundaries",
    "object_index",
    "material_index",
)
_USUAL = (*_RAW, "disparity", "camera_data")  # the others are for flow and segmentation
_ABOUT = {
    "flyingthings3d__frames_cleanpass.tar": 40_000_000_000,
    "flyingthings3d__frames_finalpass.tar": 40_000_000_000,
    "flyingthings3d__disparity.tar.bz2": 87_000_000_000,
}


def _archives() -> tuple[Archive, ...]:
    found = []
    for name in SETS:
        release, cameras = f"{_STORE}/Release_april16/data/{name}", f"{_STORE}/CameraData_august16"
        places = {f"{name.lower()}__{what}.tar": f"{release}/raw_data" for what in _RAW}
        places |= {
            f"{name.lower()}__{what}.tar.bz2": f"{release}/derived_data" for what in _DERIVED
        }
        places[f"{name.lower()}__camera_data.tar"] = f"{cameras}/data/{name}/raw_data"
        for file, place in places.items():
            what = file.partition("__")[2].partition(".")[0]
            found.append(
                Archive(
                    file,
                    f"{place}/{file}",
                    about=_ABOUT.get(file),
                    parts=(name.lower(), what),
                    optional=what not in _USUAL,
                    extract_to=name,
                )
            )
    return tuple(found)


CARD = Card(
    name="sceneflow",
    title="Scene Flow datasets: FlyingThings3D, Monkaa, Driving",
    licence="research use only, no redistribution, citation required",
    terms_url="https://lmb.informatik.uni-freiburg.de/resources/datasets/SceneFlowDatasets.en.html",
    citation=(
        "@inproceedings{Mayer2016CVPR, author = {Nikolaus Mayer and Eddy Ilg and Philip "
        'H{\\"a}usser and Philipp Fischer and Daniel Cremers and Alexey Dosovitskiy and Thomas '
        "Brox}, title = {A Large Dataset to Train Convolutional Networks for Disparity, Optical "
        "Flow, and Scene Flow Estimation}, booktitle = {IEEE Conference on Computer Vision and "
        "Pattern Recognition (CVPR)}, year = {2016}}"
    ),
    homepage="https://lmb.informatik.uni-freiburg.de/resources/datasets/SceneFlowDatasets.en.html",
    access="open",
    archives=_archives(),
    cameras=tuple(VIEWS),
    streams=tuple(kind.stream for kind in KINDS),
    known_defects=(
        "the page lists frames of FlyingThings3D that are of no use (all_unused_files.txt); they "
        "are converted like all others",
        "some images of FlyingThings3D are RGBA with an alpha of 255; their bytes are kept, "
        "decoding drops the alpha",
    ),
    notes=(
        "rgb is the clean pass, rgb_final the final pass; a tree of one pass has one of the two",
        "lengths are in scene units, the cameras are 1 apart: depth = fx / disparity, not metres",
        "disparities are positive in both views; NaN and infinite values count as missing",
        "intrinsics are those that the page states for 960x540 (1050 px, and 450 px for the 15 mm "
        "lens), scaled to images of its proportions; images of others are refused",
        "poses come from camera_data.txt, turned to OpenCV's axes; the world is Blender's, z up",
        "the third channel of the optical flow is not used and is left out",
        "flow is absent in a clip's last or first frame where the source has none",
        "Monkaa and Driving count as train; sets unpacked into one folder are told apart",
        "the archives are large (images of FlyingThings3D about 40 GB a pass, disparities 87 GB); "
        "the page gives no exact sizes and no checksums; its WebP archives are not supported",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the clips below the folder of the three sets, or below one of them; sorted by name.

    Raises
    ------
    SourceError
        There is no clip with images.
    """
    return find_clips(CARD.name, root)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the source files: their names, sizes and contents.

    See `depthdata.sources.files.fingerprint_files`.
    """
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, all_files(spec))


def write(spec: SequenceSpec, writer: SequenceWriter) -> None:
    """Write one clip: images of both passes and views, and everything that is derived from them.

    Raises
    ------
    SourceError
        A file is missing (`incomplete`), damaged, or of another size: one line that names it.
    """
    from depthdata.sources import sceneflow_clip

    sceneflow_clip.write(spec, writer)
