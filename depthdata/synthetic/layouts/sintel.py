"""A scene as a film sequence of MPI Sintel: the stereo, depth and flow sets, each in its folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.flo import encode_flo
from depthdata.codecs.images import encode_png
from depthdata.codecs.sintel import (
    SintelCamera,
    encode_camera,
    encode_depth,
    encode_disparity,
    encode_mask,
)
from depthdata.codecs.sintel_folders import BASELINE, KINDS, SETS, Kind
from depthdata.errors import UsageError
from depthdata.geometry import se3_inverse
from depthdata.synthetic.layouts.sceneflow import final_pass

if TYPE_CHECKING:
    from depthdata.synthetic.frame import Frame
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["flat_pass", "out_of_frame", "sintel_pair", "write"]


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    sequence: str = "alley_1",
    first: int = 1,
    sets: Collection[str] = tuple(SETS),
    without: Collection[str] = (),
    test: bool = False,
) -> Path:
    """Write the scene, seen by cameras 0.1 m apart, below `root`.

    Parameters
    ----------
    scene : SyntheticScene
        `sintel_pair` gives the one that is written. Flow is of its left camera.
    root : Path
        The folder that holds the folders of the sets: ``stereo``, ``depth``, ``flow``.
    sequence : str
        Name of the film sequence.
    first : int
        Number of the first frame.
    sets : collection of str
        Those to write.
    without : collection of str
        Folders to leave out: ``outofframe``, ``stereo/occlusions``, ``flow/occlusions`` ...
    test : bool
        Write images only, to ``flow/test``.

    Returns
    -------
    Path
        `root`.

    Raises
    ------
    UsageError
        No such set or folder.
    """
    known = {name for kind in KINDS for name in (kind.key, kind.folder)}
    unknown = [*sorted(set(sets) - set(SETS)), *sorted(set(without) - known)]
    if unknown:
        raise UsageError(f"there is no set or folder {unknown[0]!r} in MPI Sintel")
    kinds = [k for k in KINDS if k.set in sets and not {k.key, k.folder} & set(without)]
    if test:
        kinds = [kind for kind in kinds if kind.set == "flow" and kind.is_picture]
        kinds = [kind for kind in kinds if kind.folder != "albedo"]
    scene = sintel_pair(scene)
    for t in range(scene.frames):
        frames = {view: scene.render(t, view) for view in dict.fromkeys(k.camera for k in kinds)}
        for kind in kinds:
            if kind.partial and t == scene.frames - 1:  # nothing to lead to
                continue
            place = root / kind.set / ("test" if test else "training") / kind.folder / sequence
            place.mkdir(parents=True, exist_ok=True)
            data = _file(kind, scene, frames[kind.camera], t)
            (place / f"frame_{first + t:04d}{kind.suffix}").write_bytes(data)
    return root


def sintel_pair(scene: SyntheticScene) -> SyntheticScene:
    """Return the same scene with the cameras 0.1 m apart."""
    if scene.baseline == BASELINE:
        return scene
    return type(scene)(**{**scene.arguments, "baseline": BASELINE})


def out_of_frame(disparity: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Tell where the match of a left pixel lies left of the right image, (H, W).

    >>> out_of_frame(np.array([[1.0, 1.0, 3.0]], np.float32)).tolist()
    [[True, False, True]]
    """
    return np.asarray(np.arange(disparity.shape[1]) - disparity < 0)


def flat_pass(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the image in few colours, as a stand-in for the albedo pass."""
    return np.asarray((rgb & 0xE0) | 0x10)


def _camera_file(scene: SyntheticScene, t: int) -> bytes:
    T_cam_world = se3_inverse(scene.T_world_cam("left")[t])
    return encode_camera(SintelCamera(scene.intrinsics, T_cam_world[:3]))


def _occlusions(frame: Frame) -> npt.NDArray[np.bool_]:
    hidden = (frame.occluded_right == 1) & np.isfinite(frame.disparity)
    return np.asarray(hidden & ~out_of_frame(frame.disparity))


def _flow_file(frame: Frame) -> bytes:
    return encode_flo(np.moveaxis(np.nan_to_num(frame.flow_forward, nan=0.0), 0, -1))


_MADE: dict[str, Callable[[Frame], bytes]] = {
    "stereo/disparities": lambda frame: encode_disparity(frame.disparity),
    "stereo/occlusions": lambda frame: encode_mask(_occlusions(frame)),
    "stereo/outofframe": lambda frame: encode_mask(out_of_frame(frame.disparity)),
    "depth/depth": lambda frame: encode_depth(frame.depth),
    "flow/flow": _flow_file,
    "flow/invalid": lambda frame: encode_mask(np.isnan(frame.flow_forward).any(axis=0)),
    "flow/occlusions": lambda frame: encode_mask(frame.occluded_forward),
}


def _file(kind: Kind, scene: SyntheticScene, frame: Frame, t: int) -> bytes:
    """Return the file of one folder and frame."""
    if kind.stream == "rgb_final":
        return encode_png(final_pass(frame.rgb, t))
    if kind.stream == "rgb_albedo":
        return encode_png(flat_pass(frame.rgb))
    if kind.is_picture:
        return encode_png(frame.rgb)
    if kind.stream == "camera":
        return _camera_file(scene, t)
    return _MADE[kind.key](frame)
