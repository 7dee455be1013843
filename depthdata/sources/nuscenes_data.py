"""What the tables of nuScenes say of one scene, as plain data of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["FRONT", "Boxes", "Channel", "Scene", "matrices"]

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

FRONT = "CAM_FRONT"
"""The channel whose records are the frames."""


@dataclass(frozen=True, eq=False)
class Channel:
    """The records of a sensor in a scene, in time order.

    Attributes
    ----------
    joined : str
        Their paths below the root, one a line.
    tokens : (n,) bytes
    timestamp : (n,) int64
        Microseconds.
    key : (n,) bool
    sample : (n,) int32
        Number of the sample within the scene.
    pose : (n, 7) float64
        Ego to world: rotation w x y z, translation.
    calibration : (n,) int32
        Row of `mounts` and `intrinsics`.
    mounts : (m, 7) float64
        Sensor to ego.
    intrinsics : (m, 3, 3) float64
    size : (height, width)
    """

    joined: str
    tokens: npt.NDArray[np.bytes_]
    timestamp: Longs
    key: npt.NDArray[np.bool_]
    sample: Ints
    pose: Floats
    calibration: Ints
    mounts: Floats
    intrinsics: Floats
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.timestamp)

    @property
    def files(self) -> list[str]:
        """Paths below the root."""
        return self.joined.split("\n") if self.joined else []

    def chosen(self, which: npt.NDArray[np.intp]) -> Channel:
        """Return some of the records."""
        files = self.files
        return replace(
            self,
            joined="\n".join(files[k] for k in which),
            tokens=self.tokens[which],
            timestamp=self.timestamp[which],
            key=self.key[which],
            sample=self.sample[which],
            pose=self.pose[which],
            calibration=self.calibration[which],
        )


@dataclass(frozen=True, eq=False)
class Boxes:
    """The annotated boxes of a scene, by sample and then in the order of the table.

    Attributes
    ----------
    sample : (n,) int32
        Number of the sample within the scene.
    instance : (n,) int32
        Row of `instance_tokens`; numbered in order of first appearance.
    category, visibility : (n,) int32
        Rows of the lists of the same name; visibility -1 where not told.
    attributes : (n,) uint64
        Bits: rows of `attribute_names`.
    pose : (n, 7) float64
        Box to world: rotation w x y z, translation.
    size : (n, 3) float64
        Width, length, height.
    velocity : (n, 3) float64
        Metres per second in the world; NaN where unknown.
    lidar_points, radar_points : (n,) int64
    tokens, instance_tokens : (n,), (m,) bytes
    """

    sample: Ints
    instance: Ints
    category: Ints
    visibility: Ints
    attributes: npt.NDArray[np.uint64]
    pose: Floats
    size: Floats
    velocity: Floats
    lidar_points: Longs
    radar_points: Longs
    tokens: npt.NDArray[np.bytes_]
    instance_tokens: npt.NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class Scene:
    """What the tables say of one scene; plain data, so that a worker needs no table.

    Attributes
    ----------
    channels : dict
        Of the channels that were downloaded.
    left_out : tuple of str
        Folders that were not.
    sample_tokens : (n,) bytes
    boxes : Boxes
    category_index : (n,) int64 or None
        None without the panoptic add-on.
    panoptic : dict
        Number of the sample -> file of the labels of its scan.
    has_panoptic : bool
        Whether the tables have a table of panoptic labels.
    """

    version: str
    token: str
    description: str
    log: dict[str, str]
    channels: dict[str, Channel]
    left_out: tuple[str, ...]
    sample_tokens: npt.NDArray[np.bytes_]
    boxes: Boxes
    categories: tuple[str, ...]
    category_index: Longs | None
    attribute_names: tuple[str, ...]
    visibilities: tuple[str, ...]
    panoptic: dict[int, str]
    has_panoptic: bool


def matrices(pose: npt.ArrayLike) -> Floats:
    """Rotations and translations (..., 7) as transforms (..., 4, 4).

    As pyquaternion does it, all at once: normalised, then the product of two 4x4 matrices of the
    quaternion.

    >>> matrices([0.0, 0, 0, 2, 1, 2, 3]).tolist()[0]
    [-1.0, 0.0, 0.0, 1.0]
    """
    pose = np.asarray(pose, np.float64)
    q = pose[..., :4]
    w, x, y, z = np.moveaxis(q / np.sqrt((q * q).sum(axis=-1, keepdims=True)), -1, 0)
    left = [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]
    right = [[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]]
    A, B = (np.stack([np.stack(row, -1) for row in rows], -2) for rows in (left, right))
    out = np.zeros((*pose.shape[:-1], 4, 4))
    out[..., :3, :3] = (A @ np.swapaxes(B, -1, -2))[..., 1:, 1:]
    out[..., :3, 3], out[..., 3, 3] = pose[..., 4:], 1.0
    return out
