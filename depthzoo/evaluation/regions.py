"""Parts of an image whose errors are told apart: masks that the file has, and distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.evaluation.protocols import Protocol

__all__ = ["EDGES", "Masks", "region_masks", "within"]

Masks = Mapping[str, NDArray[np.bool_]]

EDGES: Mapping[str, tuple[float, ...]] = {"depth": (0, 10, 20, 40, 80)}
"""Distances (m) that bound the regions of depth."""

_UNKNOWN = 255


def region_masks(
    protocol: Protocol, seq: Sequence, camera: str, frame: int, size: tuple[int, int]
) -> dict[str, NDArray[np.bool_]]:
    """Return region -> (H,W) bool of the truth's size; what the file does not tell is not there.

    ``moving``, ``static``, ``occluded``, ``visible``, and of Dynamo-Depth's masks ``background``.
    """
    cam = seq.cameras[camera]
    if protocol.regions == "dynamo":
        from depthzoo.evaluation.targets import dynamo_motion, frames_with_truth

        if not frames_with_truth("dynamo_motion", seq, camera)[frame]:
            return {}  # the published rules take a frame without labels for background
        labels = dynamo_motion(seq, camera, frame, frame)
        return {"background": labels == 0, "static": labels == 2, "moving": labels == 1}
    if protocol.regions == "crop":
        name = f"masks/moving_{size[0]}x{size[1]}"
        mask = _mask(cam, name, frame, size)
        return {} if mask is None else {"moving": mask > 0, "static": mask == 0}
    if protocol.regions != "masks":
        return {}
    found: dict[str, NDArray[np.bool_]] = {}
    for name, yes, no in (("moving", "moving", "static"), ("occluded", "occluded", "visible")):
        if name == "occluded" and protocol.compared != "disparity":
            continue
        mask = _mask(cam, f"masks/{name}", frame, size)
        if mask is not None:
            found[yes], found[no] = (mask != 0) & (mask != _UNKNOWN), mask == 0
    return found


def _mask(cam: Any, name: str, frame: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if name not in cam.streams or not cam[name].present[frame]:
        return None
    mask: NDArray[np.uint8] = np.asarray(cam[name].raw(frame))
    return mask if mask.shape == tuple(size) else None


def within(compared: str, truth: NDArray[np.floating]) -> dict[str, NDArray[np.bool_]]:
    """Return the regions by distance of pixels (N,)."""
    from depthzoo.evaluation.metrics.regions import by_distance

    return by_distance(truth, EDGES[compared]) if compared in EDGES else {}
