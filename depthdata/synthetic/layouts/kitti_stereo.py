"""What the layouts of KITTI's two stereo benchmarks share: numbered images and quantised truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import encode_png
from depthdata.codecs.kitti_stereo import encode_disparity, encode_flow
from depthdata.errors import UsageError
from depthdata.geometry import backproject, se3_inverse, transform
from depthdata.synthetic.layouts.kitti_raw import gray_image

if TYPE_CHECKING:
    from depthdata.synthetic.scene import SyntheticScene

__all__ = ["TRUTH_FRAME", "StereoTruth", "frame_names", "write_images", "write_maps"]

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

TRUTH_FRAME = 10
"""The number of the frame that has ground truth."""

_PARTNER = {"left": "right", "gray_left": "gray_right"}
_LIMIT = 65535 / 256  # pixels that a disparity file can hold


@dataclass(frozen=True)
class StereoTruth:
    """Truth of one frame before it is quantised; H, W are the image size.

    Attributes
    ----------
    disparity, disparity_next : float64, (H, W)
        At this frame and at the next one, both of the surface that a pixel of this frame sees;
        NaN where one of the three quantities is missing.
    flow : float64, (H, W, 2)
        To the next frame; NaN likewise.
    seen, seen_next, seen_forward : bool, (H, W)
        Whether the surface is seen by the right camera, by both cameras at the next frame, by the
        same camera at the next frame.
    objects : uint8, (H, W)
        Number of the moving object, else 0.
    """

    disparity: Float
    disparity_next: Float
    flow: Float
    seen: Bool
    seen_next: Bool
    seen_forward: Bool
    objects: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, scene: SyntheticScene, t: int, camera: str) -> StereoTruth:
        """Compute the truth of a left camera at frame `t`, which must have a next frame."""
        frame = scene.render(t, camera, colour=False)
        height, width = frame.depth.shape
        row, column = np.mgrid[:height, :width].reshape(2, -1).astype(np.float64)
        z = np.nan_to_num(frame.depth.ravel().astype(np.float64), nan=1.0)
        points = backproject(scene.intrinsics, np.stack([column, row], 1), z)
        world = transform(scene.T_world_cam(camera)[t], points)
        body = frame.instances.ravel().astype(np.int64)
        moved = np.ascontiguousarray(scene.carry(world.T, body, t, t + 1).T)
        z_next = transform(se3_inverse(scene.T_world_cam(camera)[t + 1]), moved)[:, 2]
        fb = float(scene.intrinsics[0, 0]) * scene.baseline
        with np.errstate(divide="ignore", invalid="ignore"):
            disparity_next = (fb / z_next).reshape(height, width)
        disparity, flow = frame.disparity.astype(np.float64), np.moveaxis(frame.flow_forward, 0, 2)
        known: Bool = (np.abs(flow) < 511).all(axis=2) & _fits(disparity) & _fits(disparity_next)
        in_right = scene.visible(t + 1, _PARTNER[camera], moved).reshape(height, width)
        forward = frame.occluded_forward == 0
        return cls(
            disparity=np.where(known, disparity, np.nan),
            disparity_next=np.where(known, disparity_next, np.nan),
            flow=np.where(known[..., None], flow.astype(np.float64), np.nan),
            seen=frame.occluded_right == 0,
            seen_next=forward & in_right,
            seen_forward=forward,
            objects=np.where(frame.moving > 0, frame.instances, 0).astype(np.uint8),
        )

    def disparity_files(self, which: str) -> tuple[bytes, bytes]:
        """Return the files of all and of the seen pixels: ``"now"`` or ``"next"``."""
        values, seen = (
            (self.disparity, self.seen) if which == "now" else (self.disparity_next, self.seen_next)
        )
        return encode_disparity(values), encode_disparity(np.where(seen, values, np.nan))

    def flow_files(self) -> tuple[bytes, bytes]:
        """Return the flow files of all and of the seen pixels."""
        seen = np.where(self.seen_forward[..., None], self.flow, np.nan)
        return encode_flow(self.flow), encode_flow(seen)


def _fits(disparity: Float) -> Bool:
    """Tell where a disparity file can hold the value; NaN does not fit."""
    fits: Bool = (disparity > 1 / 256) & (disparity < _LIMIT)
    return fits


def frame_names(scene: SyntheticScene, number: int, first: int) -> list[str]:
    """Return the stem of every frame's files.

    Raises
    ------
    UsageError
        The scene lacks frame 10, the one after it, or goes beyond frame 99.
    """
    last = first + scene.frames - 1
    if not 0 <= first <= TRUTH_FRAME < last <= 99:
        raise UsageError(
            f"a scene of KITTI's stereo benchmarks has frames {TRUTH_FRAME} and {TRUTH_FRAME + 1}, "
            f"found {first} to {last}; choose first and the frames of the scene accordingly"
        )
    return [f"{number:06d}_{first + t:02d}" for t in range(scene.frames)]


def write_images(
    scene: SyntheticScene, part: Path, names: list[str], folders: Mapping[str, str]
) -> None:
    """Write the images of some cameras: camera -> folder below `part`."""
    for camera, folder in folders.items():
        (part / folder).mkdir(parents=True, exist_ok=True)
        for t, name in enumerate(names):
            image = scene.photograph(t, camera)
            if camera.startswith("gray"):
                image = gray_image(image)
            (part / folder / f"{name}.png").write_bytes(encode_png(image))


def write_maps(part: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write one file into each of some folders below `part`."""
    for folder, data in files.items():
        (part / folder).mkdir(parents=True, exist_ok=True)
        (part / folder / name).write_bytes(data)
