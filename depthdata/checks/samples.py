"""What the checks draw from a sequence: grey images and points with depth, kept while in use."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depthdata.sequence import Sequence, StereoGeometry
from depthdata.stereo_sgbm import grey, sgbm_disparity

__all__ = ["Sampler", "spread"]

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_KEPT_IMAGES = 24
_PAIRS = (("left", "right"), ("gray_left", "gray_right"))
_CELLS = (6, 16)  # rows and columns of the grid over which textured points are spread


def spread(count: int, most: int | None) -> list[int]:
    """Return at most `most` of the positions 0..count-1, spread evenly, ends included.

    >>> spread(10, 4), spread(3, 8)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if most is None or count <= most:
        return list(range(count))
    return [int(i) for i in np.unique(np.linspace(0, count - 1, max(most, 1)).round().astype(int))]


class Sampler:
    """Reads a sequence for the checks, each image once.

    Parameters
    ----------
    sequence : Sequence
        Open sequence.
    points : int
        At most so many points with depth are drawn from a frame.
    seed : int
        Fixes which points are drawn.
    """

    def __init__(self, sequence: Sequence, *, points: int = 1500, seed: int = 0) -> None:
        self.sequence = sequence
        self.points = points
        self.seed = seed
        self._images: OrderedDict[tuple[str, int], Image] = OrderedDict()
        self._smoothed: OrderedDict[tuple[str, int], Image] = OrderedDict()
        self._matches: OrderedDict[tuple[Any, ...], npt.NDArray[np.float32]] = OrderedDict()

    def has_images(self, camera: str) -> bool:
        """Tell whether the camera has images at all."""
        return "rgb" in self.sequence.cameras[camera].streams

    def has_image(self, camera: str, frame: int) -> bool:
        """Tell whether there is an image of that frame."""
        if not self.has_images(camera) or not 0 <= frame < len(self.sequence):
            return False
        return bool(self.sequence.cameras[camera]["rgb"].present[frame])

    def blob(self, camera: str, frame: int) -> bytes:
        """Return the encoded image."""
        return bytes(self.sequence.cameras[camera]["rgb"].blob(frame))

    def image(self, camera: str, frame: int) -> Image:
        """Return the grey image, uint8 (H, W)."""
        key = (camera, frame)
        if key not in self._images:
            image = self.sequence.cameras[camera]["rgb"][frame]
            if image.dtype == np.uint16:
                image = (image >> 8).astype(np.uint8)
            self._images[key] = np.ascontiguousarray(grey(image))
            if len(self._images) > _KEPT_IMAGES:
                self._images.popitem(last=False)
        self._images.move_to_end(key)
        return self._images[key]

    def smoothed(self, camera: str, frame: int) -> Image:
        """Return the grey image, a little blurred, for comparing patches."""
        key = (camera, frame)
        if key not in self._smoothed:
            self._smoothed[key] = np.asarray(
                cv2.GaussianBlur(self.image(camera, frame), (3, 3), 0), np.uint8
            )
            if len(self._smoothed) > _KEPT_IMAGES:
                self._smoothed.popitem(last=False)
        self._smoothed.move_to_end(key)
        return self._smoothed[key]

    def calibrated(self, camera: str) -> bool:
        """Tell whether the intrinsics of a camera are known, not nominal."""
        return self.sequence.cameras[camera].calibrated

    def view(self, camera: str) -> tuple[str, int] | None:
        """Return the other camera of the stereo pair and the sign with which disparity leads there.

        A pixel x of `camera` is seen at x + sign * disparity: -1 for a left camera, 1 for a right
        one. Where no pair is stated, names of cameras say which belong together.
        """
        for pair in self.sequence.stereo_pairs:
            if camera in (pair.left, pair.right):
                return (pair.right, -1) if camera == pair.left else (pair.left, 1)
        for left, right in _PAIRS:
            if camera in (left, right):
                other = right if camera == left else left
                sizes = {
                    (self.sequence.cameras[name].height, self.sequence.cameras[name].width)
                    for name in (left, right)
                    if name in self.sequence.cameras
                }
                if other in self.sequence.cameras and len(sizes) == 1:
                    return other, -1 if camera == left else 1
        return None

    def geometry(self, camera: str, frame: int) -> StereoGeometry | None:
        """Return what turns disparity of a calibrated pair's view into depth, or None."""
        for pair in self.sequence.stereo_pairs:
            if camera in (pair.left, pair.right):
                known = all(map(self.calibrated, (pair.left, pair.right))) and pair.baseline > 0
                return self.sequence.stereo_geometry(camera, frame) if known else None
        return None

    def has(self, camera: str, stream: str, frame: int) -> bool:
        """Tell whether a stream of a camera has that frame."""
        cam = self.sequence.cameras[camera]
        if stream not in cam.streams or not 0 <= frame < len(self.sequence):
            return False
        return bool(cam[stream].present[frame])

    def values(self, camera: str, stream: str, frame: int) -> Map:
        """Return a frame of a stream, or of depth or disparity derived from the other, float32."""
        return np.asarray(self.sequence.cameras[camera][stream][frame], np.float32)

    def flagged(self, camera: str, mask: str, frame: int, shape: tuple[int, ...]) -> Mask:
        """Return where a mask is 1, (H, W); False everywhere when there is none."""
        if not self.has(camera, mask, frame):
            return np.zeros(shape, bool)
        return np.asarray(self.sequence.cameras[camera][mask][frame] == 1)

    def objects(self, camera: str, frame: int) -> Mask | None:
        """Return where objects are, by masks/foreground or instances, or None."""
        cam = self.sequence.cameras[camera]
        if self.has(camera, "masks/foreground", frame):
            found = cam["masks/foreground"][frame]  # a soft one is between 0 and 1
            return np.asarray(found > 0.5 if found.dtype.kind == "f" else found == 1)
        if self.has(camera, "instances", frame):
            return np.asarray(
                cam["instances"][frame] != cam["instances"].attrs.get("background", 0)
            )
        return None

    def matched(
        self, left: tuple[str, int], right: tuple[str, int], most: int
    ) -> npt.NDArray[np.float32]:
        """Return the SGBM disparity (H, W) of two images (camera, frame)."""
        key = (left, right, most)
        if key not in self._matches:
            self._matches[key] = sgbm_disparity(self.image(*left), self.image(*right), most)
            if len(self._matches) > _KEPT_IMAGES:
                self._matches.popitem(last=False)
        return self._matches[key]

    def depth_source(self, camera: str) -> str | None:
        """Say where points with depth come from: "depth", "disparity", "sgbm", or None."""
        streams = self.sequence.cameras[camera].streams
        if "depth" in streams:
            return "depth"
        if not self.calibrated(camera) or self.geometry(camera, 0) is None:
            return None
        if "disparity" in streams:
            return "disparity"
        return None if self.pair_of(camera) is None else "sgbm"

    def pair_of(self, camera: str) -> Any:
        """Return the stereo pair whose left camera this is, or None."""
        return next((p for p in self.sequence.stereo_pairs if p.left == camera), None)

    def has_depth(self, camera: str, frame: int) -> bool:
        """Tell whether points with depth can be had of that frame."""
        source = self.depth_source(camera)
        if source is None or not 0 <= frame < len(self.sequence):
            return False
        if source == "sgbm":
            pair = self.pair_of(camera)
            return self.has_image(camera, frame) and self.has_image(pair.right, frame)
        return bool(self.sequence.cameras[camera][source].present[frame])

    def depth_points(
        self, camera: str, frame: int, *, textured: bool = True, most: int | None = None
    ) -> Floats:
        """Return (n, 3) column, row, depth z of at most `most` static points, drawn by the seed.

        Points on a moving object are left out when the sequence has a mask of them. With
        `textured` the points of strongest texture are taken, equally from all parts of the image,
        for only these can be followed.
        """
        most = self.points if most is None else most
        cam = self.sequence.cameras[camera]
        found = self._all_points(camera, frame)
        u, v, z = found[:, 0], found[:, 1], found[:, 2]
        inside = (u >= 0) & (u <= cam.width - 1) & (v >= 0) & (v <= cam.height - 1)
        found = found[inside & np.isfinite(z) & (z > 0)]
        moving = self.moving(camera, frame)
        if moving is not None:
            found = found[~moving[_rows(found), _columns(found)]]
        rng = np.random.default_rng([self.seed, frame])
        if not (textured and self.has_image(camera, frame)):
            return found[np.sort(rng.permutation(len(found))[:most])]
        found = found[rng.permutation(len(found))[: 8 * most]]
        strength = cv2.cornerMinEigenVal(self.image(camera, frame), 5)
        found = found[np.argsort(-strength[_rows(found), _columns(found)], kind="stable")]
        cells = (_rows(found) * _CELLS[0] // cam.height) * _CELLS[1]
        cells += _columns(found) * _CELLS[1] // cam.width
        order = np.argsort(_rank_in_group(cells), kind="stable")
        return found[order[: max(min(most, len(found) // 2), 1)]]

    def moving(self, camera: str, frame: int) -> npt.NDArray[np.bool_] | None:
        """Return the mask of moving objects, a little grown, or None where there is none."""
        cam = self.sequence.cameras[camera]
        if "masks/moving" not in cam.streams or not cam["masks/moving"].present[frame]:
            return None
        mask = (np.asarray(cam["masks/moving"][frame]) != 0).astype(np.uint8)
        return np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)) != 0)

    def _all_points(self, camera: str, frame: int) -> Floats:
        cam = self.sequence.cameras[camera]
        source = self.depth_source(camera)
        if source == "depth":
            stream = cam["depth"]
            if stream.kind == "points":
                points = stream.points(frame)
                columns = (*points.positions(), points.value)
                return np.stack([np.asarray(c, np.float64) for c in columns], 1)
            return _listed(np.asarray(stream[frame], np.float64))
        if source == "disparity":
            disparity = np.asarray(self.values(camera, "disparity", frame), np.float64)
        else:
            pair = self.pair_of(camera)
            most = min(192, cam.width // 4)
            disparity = self.matched((camera, frame), (pair.right, frame), most).astype(np.float64)
        geometry = self.sequence.stereo_geometry(camera, frame)
        return _listed(np.asarray(geometry.depth(disparity), np.float64))


def _listed(depth: Floats) -> Floats:
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    return np.stack([columns, rows, depth[rows, columns]], 1).astype(np.float64)


def _rank_in_group(groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Count, for each element, how many of its group come before it.

    >>> _rank_in_group(np.array([7, 5, 7, 7, 5])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(groups, kind="stable")
    sorted_groups = groups[order]
    first = np.searchsorted(sorted_groups, sorted_groups)
    rank = np.empty(len(groups), np.intp)
    rank[order] = np.arange(len(groups)) - first
    return rank


def _rows(points: Floats) -> npt.NDArray[np.intp]:
    return np.asarray(np.rint(points[:, 1]), np.intp)


def _columns(points: Floats) -> npt.NDArray[np.intp]:
    return np.asarray(np.rint(points[:, 0]), np.intp)
