"""A scene in the layout of Cityscapes: one snippet, with the labels of one frame."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.cityscapes import (
    INSTANCE_STEP,
    CameraFile,
    encode_camera,
    encode_disparity,
    encode_vehicle,
)
from depthdata.codecs.images import encode_png
from depthdata.errors import UsageError
from depthdata.geometry import euler_from_rotation, rigid_transform

if TYPE_CHECKING:
    from depthdata.synthetic.frame import Frame
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["LABELS", "T_vehicle_imu", "label_maps", "vehicle_facts", "write"]

LABELS = {0: 23, 1: 7, 2: 8, 3: 11, 4: 21, 5: 17, 6: 26, 7: 26, 8: 24}
"""Class of the scene -> labelId of the dataset."""

_FOLDERS = {
    "leftImg8bit",
    "rightImg8bit",
    "disparity",
    "camera",
    "vehicle",
    "timestamp",
    "gtFine",
    "gtCoarse",
}
_LARGEST = 255.9  # pixels that a disparity file can hold
_COARSE = 4  # pixels of a cell in which the coarse labels do not change


def write(
    scene: SyntheticScene,
    root: Path,
    *,
    split: str = "train",
    city: str = "aachen",
    sequence: int = 0,
    number: int = 19,
    annotated: int | None = None,
    every: bool = True,
    without: Collection[str] = (),
) -> Path:
    """Write images of both views, disparity, calibration, odometry, times and labels.

    Parameters
    ----------
    scene : SyntheticScene
        Its frames are the snippet; 30 of them in the dataset.
    root : Path
        The folder of ``leftImg8bit`` and so on; several snippets may share it.
    split, city : str
    sequence : int
    number : int
        Of the annotated frame: 19 where a sequence is a snippet, more in the long sequences.
    annotated : int, optional
        Which frame of the scene that is; not given: the 20th or else the last.
    every : bool
        Write the folders ``<name>_sequence``, too; else there is the annotated frame only.
    without : collection of str
        What to leave out: ``disparity``, ``gtCoarse``, ``vehicle_sequence`` ...

    Returns
    -------
    Path
        `root`.
    """
    t_annotated = min(19, scene.frames - 1) if annotated is None else annotated
    first = number - t_annotated
    if not 0 <= t_annotated < scene.frames or first < 0:
        raise UsageError(
            f"Cityscapes: frame {t_annotated} of {scene.frames} cannot be called {number}"
        )
    unknown = sorted({name.removesuffix("_sequence") for name in without} - _FOLDERS)
    if unknown:
        raise UsageError(f"there is no folder {unknown[0]!r} in Cityscapes")

    def put(folder: str, t: int, suffix: str, data: bytes) -> None:
        if folder not in without:
            place = root / folder / split / city
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{city}_{sequence:06d}_{first + t:06d}_{suffix}").write_bytes(data)

    for t in range(scene.frames):
        if not every and t != t_annotated:
            continue
        left = scene.render(t, "left")
        files = {
            "leftImg8bit": ("leftImg8bit.png", encode_png(left.rgb)),
            "rightImg8bit": ("rightImg8bit.png", encode_png(scene.photograph(t, "right"))),
            "disparity": ("disparity.png", _disparity_file(left)),
            "vehicle": ("vehicle.json", encode_vehicle(vehicle_facts(scene, t))),
        }
        for folder, (suffix, data) in files.items():
            if every:
                put(f"{folder}_sequence", t, suffix, data)
            if t == t_annotated:
                put(folder, t, suffix, data)
        if every:
            nanoseconds = round((first + t) / scene.fps * 1e9)
            put("timestamp_sequence", t, "timestamp.txt", b"%d" % nanoseconds)
        if t == t_annotated:
            put("camera", t, "camera.json", encode_camera(_camera(scene)))
            for kind, cell in (("gtFine", 1), ("gtCoarse", _COARSE)):
                labels, ids = (coarse(found, cell) for found in label_maps(left))
                put(kind, t, f"{kind}_labelIds.png", encode_png(labels))
                put(kind, t, f"{kind}_instanceIds.png", encode_png(ids))
    return root


def label_maps(frame: Frame) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return labelIds and instanceIds of a frame; an instance has the number of its body less 1."""
    table = np.array([LABELS[k] for k in sorted(LABELS)], np.uint8)
    labels = table[frame.semantics]
    named = labels.astype(np.uint16) * np.uint16(INSTANCE_STEP) + frame.instances - np.uint16(1)
    return labels, np.where(frame.instances > 0, named, labels).astype(np.uint16)


def coarse(labels: npt.NDArray[np.generic], cell: int) -> npt.NDArray[np.generic]:
    """Return labels that change between cells only, as a stand-in for coarse annotation."""
    rows, columns = (np.arange(n) // cell * cell for n in labels.shape)
    return labels[np.ix_(rows, columns)]


def T_vehicle_imu(scene: SyntheticScene) -> npt.NDArray[np.float64]:
    """Inertial unit to vehicle, (4, 4): the vehicle's origin is below it, on the ground."""
    return rigid_transform(np.eye(3), [0.0, 0.0, scene.rig.imu_height])


def vehicle_facts(scene: SyntheticScene, t: int) -> dict[str, float]:
    """Return what ``vehicle.json`` says of a frame: speed forward, yaw rate."""
    moment, step = float(scene.times[t]), 1e-3
    poses = scene.path.pose(np.array([moment - step, moment, moment + step]))
    _, _, yaw = euler_from_rotation(poses[:, :3, :3])
    speed = poses[1, :3, 0] @ (poses[2, :3, 3] - poses[0, :3, 3]) / (2 * step)
    turn = math.remainder(float(yaw[2] - yaw[0]), math.tau) / (2 * step)
    return {
        "gpsHeading": (90.0 - math.degrees(float(yaw[1]))) % 360,
        "gpsLatitude": 50.78,
        "gpsLongitude": 6.08,
        "outsideTemperature": 18.5,
        "speed": float(speed),
        "yawRate": turn,
    }


def _camera(scene: SyntheticScene) -> CameraFile:
    T = T_vehicle_imu(scene) @ scene.rig.T_imu_cam("left")
    return CameraFile.of(scene.intrinsics, scene.baseline, T)


def _disparity_file(frame: Frame) -> bytes:
    with np.errstate(invalid="ignore"):
        return encode_disparity(
            np.where(frame.disparity <= _LARGEST, frame.disparity, np.float32(np.nan))
        )
