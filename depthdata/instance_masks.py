"""Instance masks that overlap: a map of numbers, and a list of what the map leaves out.

A pixel of the map has the lowest number of the masks that cover it, 0 where none does. Every other
number that covers the pixel is a row of the list. Together they hold every mask, empty ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError

if TYPE_CHECKING:
    from depthdata.sequence import Camera

__all__ = ["OVERLAPS", "PackedMasks", "instance_masks", "pack_masks"]

OVERLAPS = "instances_overlap"
"""Stream of the list: points, value = number of the mask."""

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Masks of one frame.

    Attributes
    ----------
    labels : (H, W) uint16
        The lowest number, from 1 on; 0 where no mask is.
    row, col, number : (K,) uint16
        Further numbers of pixels, by number and then by row.
    count : int
        How many masks there are.
    """

    labels: npt.NDArray[np.uint16]
    row: npt.NDArray[np.uint16]
    col: npt.NDArray[np.uint16]
    number: npt.NDArray[np.uint16]
    count: int

    def masks(self) -> Masks:
        """Return the masks, (count, H, W) bool."""
        numbers = np.arange(1, self.count + 1, dtype=np.uint16)
        masks: Masks = self.labels == numbers[:, None, None]
        masks[self.number.astype(np.intp) - 1, self.row, self.col] = True
        return masks


def pack_masks(masks: npt.NDArray[Any]) -> PackedMasks:
    """Pack masks (N, H, W), not 0 where an instance is.

    Examples
    --------
    >>> packed = pack_masks(np.array([[[1, 1, 0]], [[0, 1, 1]]]))
    >>> packed.labels.tolist(), packed.col.tolist(), packed.number.tolist()
    ([[1, 1, 2]], [1], [2])
    >>> packed.masks().astype(int).tolist()
    [[[1, 1, 0]], [[0, 1, 1]]]
    """
    if masks.ndim != 3 or max(masks.shape) > 0xFFFF:
        raise UsageError(f"pack_masks: expected (N, H, W) below 65536, found {masks.shape}")
    count, height, width = masks.shape
    labels = np.zeros((height, width), np.uint16)
    for k in range(count - 1, -1, -1):
        labels[masks[k] != 0] = k + 1
    further = [np.nonzero((masks[k] != 0) & (labels != k + 1)) for k in range(count)]
    rows, cols = (
        np.concatenate([np.zeros(0, np.intp), *(found[axis] for found in further)])
        for axis in (0, 1)
    )
    numbers = np.repeat(np.arange(1, count + 1), [len(found[0]) for found in further])
    row, col, number = (column.astype(np.uint16) for column in (rows, cols, numbers))
    return PackedMasks(labels, row, col, number, count)


def instance_masks(camera: Camera, t: int) -> Masks:
    """Return the masks of a frame of a sequence file, (N, H, W) bool, in the source's order.

    Where a camera has no list of overlaps, every number of the map is a mask of its own.

    Parameters
    ----------
    camera : Camera
        With the stream ``instances``.
    t : int
        Index of the frame.
    """
    stream = camera["instances"]
    labels = stream[t]
    if OVERLAPS not in camera.streams:
        numbers = np.unique(labels[labels > 0])
        found: Masks = labels == numbers[:, None, None]
        return found
    frame = t % len(stream)
    counts = stream.attrs["counts"]
    count = int(counts[int(np.searchsorted(stream.frames, frame))])
    points = camera[OVERLAPS].points(frame)
    return PackedMasks(labels, points.row, points.col, points.value, count).masks()
