"""A scene as a clip of FlyingThings3D, Monkaa or Driving, with all that the page publishes of one.

The cameras of these sets are given, not measured: the scene is seen through their lens, with a
baseline of 1. Its metres are the scene units.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.blender_cameras import BlenderCameras, encode_cameras
from depthdata.codecs.images import encode_png
from depthdata.codecs.pfm import encode_pfm
from depthdata.codecs.sceneflow import (
    BASELINE,
    CAMERA_DATA,
    KINDS,
    SETS,
    VIEWS,
    camera_file,
    nominal_intrinsics,
    set_of,
)
from depthdata.errors import SourceError, UsageError
from depthdata.geometry import backproject, pixel_grid, se3_inverse, transform

if TYPE_CHECKING:
    from depthdata.synthetic.frame import Frame
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["disparity_change", "final_pass", "motion_boundary", "through_lens", "write"]

Map = npt.NDArray[np.float32]

_MAPS = {"disparity": "disparity", "object_index": "instances", "material_index": "semantics"}
_STEPS = {"into_future": 1, "into_past": -1}
_BOUNDARY_PX = 1.0  # by which the flows of two neighbours differ at a boundary
_NOISE = 2.0  # grey levels


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    clip: str = "TRAIN/A/0000",
    first: int | None = None,
    without: Collection[str] = (),
    alpha: bool = False,
    digits: int | None = None,
) -> Path:
    """Write the scene, seen through the lens of the set, below `root`.

    Parameters
    ----------
    scene : SyntheticScene
        Of 16:9 images; `through_lens` gives the one that is written.
    root : Path
        The folder that holds ``FlyingThings3D``, ``Monkaa`` and ``Driving``.
    clip : str
        ``TRAIN/A/0000`` or ``TEST/...`` belongs to FlyingThings3D, a form like
        ``15mm_focallength/scene_forwards/fast`` to Driving, any other name to Monkaa.
    first : int, optional
        Number of the first frame; 6 in FlyingThings3D and 1 elsewhere when not given.
    without : collection of str
        Folders to leave out: ``frames_finalpass``, ``optical_flow``, ``camera_data`` ...
    alpha : bool
        Write images as RGBA with an alpha of 255, as some of FlyingThings3D are.
    digits : int, optional
        After the point in the camera data; all that a float64 has when not given.

    Returns
    -------
    Path
        The folder of the set.

    Raises
    ------
    UsageError
        Images of other proportions, or no such folder to leave out.
    """
    unknown = sorted(set(without) - {CAMERA_DATA, *(kind.folder for kind in KINDS)})
    if unknown:
        raise UsageError(f"without: there is no folder {unknown[0]!r} in the Scene Flow datasets")
    scene = through_lens(scene, clip)
    folder = root / set_of(clip)
    start = (6 if set_of(clip) == SETS[0] else 1) if first is None else first
    numbers = range(start, start + scene.frames)
    kinds = [kind for kind in KINDS if kind.folder not in without]
    for t, number in enumerate(numbers):
        for view in VIEWS:
            frame = scene.render(t, view)
            for kind in kinds:
                step = _STEPS.get(kind.direction, 0)
                if 0 <= t + step < scene.frames:
                    data = _file(kind.folder, scene, frame, t, step, view, alpha)
                    _write(folder / kind.path(clip, view, f"{number:04d}"), data)
    if CAMERA_DATA not in without:
        poses = BlenderCameras(tuple(numbers), *(scene.T_world_cam(view) for view in VIEWS))
        _write(folder / camera_file(clip), encode_cameras(poses, digits))
    return folder


def through_lens(scene: SyntheticScene, clip: str = "TRAIN/A/0000") -> SyntheticScene:
    """Return the same scene with the intrinsics and the baseline of a clip's cameras.

    Raises
    ------
    UsageError
        Images of other proportions than 16:9.
    """
    try:
        intrinsics = nominal_intrinsics(clip, scene.height, scene.width)
    except SourceError as error:
        raise UsageError(f"{error}; render the scene 16 to 9") from error
    lens = {"intrinsics": intrinsics, "baseline": BASELINE}
    return type(scene)(**{**scene.arguments, **lens})


def disparity_change(scene: SyntheticScene, frame: Frame, t: int, step: int, view: str) -> Map:
    """Return by how much the disparity of what a pixel sees changes until frame t + step.

    Parameters
    ----------
    scene : SyntheticScene
    frame : Frame
        Frame `t` of the camera `view`.
    t, step : int
    view : str

    Returns
    -------
    (H, W) float32
        Pixels; NaN in the sky, and where the surface goes behind the camera.
    """
    grid = pixel_grid(scene.height, scene.width).reshape(-1, 2)
    z = np.nan_to_num(frame.depth.ravel().astype(np.float64), nan=1.0)
    points = transform(scene.T_world_cam(view)[t], backproject(scene.intrinsics, grid, z))
    body = frame.instances.ravel().astype(np.int64)
    moved = scene.carry(np.ascontiguousarray(points.T), body, t, t + step).T
    z_there = transform(se3_inverse(scene.T_world_cam(view)[t + step]), moved)[:, 2]
    fb = float(scene.intrinsics[0, 0]) * scene.baseline
    with np.errstate(divide="ignore", invalid="ignore"):
        there = np.where(z_there > 0, fb / z_there, np.nan).reshape(frame.depth.shape)
    change: Map = (there - frame.disparity).astype(np.float32)
    return change


def motion_boundary(flow: Map, instances: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which pixels lie beside one of another object that moves otherwise, (H, W).

    >>> flow = np.zeros((2, 1, 4), np.float32)
    >>> flow[0, 0, 2:] = 3
    >>> motion_boundary(flow, np.array([[1, 1, 2, 3]])).tolist()
    [[False, True, True, False]]
    """
    boundary = np.zeros(instances.shape, np.bool_)
    for axis in (0, 1):
        other = np.diff(instances.astype(np.int64), axis=axis) != 0
        apart = np.linalg.norm(np.diff(flow, axis=axis + 1), axis=0) > _BOUNDARY_PX
        before, behind = ((1, 0), (0, 0)), ((0, 1), (0, 0))
        for side in (before, behind):
            boundary |= np.pad(other & apart, side if axis == 0 else side[::-1])
    return boundary


def final_pass(rgb: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
    """Return the image with blur to the sides and noise, as a stand-in for the final pass."""
    levels = rgb.astype(np.float32)
    blurred = (levels + np.roll(levels, 1, axis=1) + np.roll(levels, -1, axis=1)) / 3
    noise = np.random.default_rng(seed).normal(0, _NOISE, rgb.shape)
    return np.clip(np.round(blurred + noise), 0, 255).astype(np.uint8)


def _file(
    folder: str, scene: SyntheticScene, frame: Frame, t: int, step: int, view: str, alpha: bool
) -> bytes:
    """Return the file of one folder, frame and view."""
    if folder.startswith("frames"):
        final = folder == "frames_finalpass"
        return _picture(final_pass(frame.rgb, t) if final else frame.rgb, alpha)
    flow = frame.flow_forward if step > 0 else frame.flow_backward
    if folder == "motion_boundaries":
        return encode_png(np.where(motion_boundary(flow, frame.instances), 255, 0).astype(np.uint8))
    if folder == "optical_flow":
        return encode_pfm(np.dstack([*flow, np.zeros_like(flow[0])]), blanks=True)
    if folder == "disparity_change":
        return encode_pfm(disparity_change(scene, frame, t, step, view), blanks=True)
    return encode_pfm(getattr(frame, _MAPS[folder]), blanks=True)


def _picture(rgb: npt.NDArray[np.uint8], alpha: bool) -> bytes:
    if not alpha:
        return encode_png(rgb)
    import cv2

    opaque = np.full(rgb.shape[:2], 255, np.uint8)
    encoded: bytes = cv2.imencode(".png", np.dstack([rgb[..., ::-1], opaque]))[1].tobytes()
    return encoded


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
