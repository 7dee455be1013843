"""Predictions of a window as one map in the quantity that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.targets import StereoGeometry, stereo_geometry

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.prediction import Prediction

__all__ = ["own_quantity", "predicted_map", "predicted_mask", "sample_geometry"]

FloatMap = NDArray[np.floating]


def own_quantity(prediction: Prediction) -> str:
    """Return what a prediction gives by itself: ``"depth"`` or ``"disparity"``."""
    if prediction.disparity is not None and prediction.invariance == "disparity":
        return "disparity"
    if prediction.depth is not None:
        return "depth"
    if prediction.disparity is not None:
        return "disparity"
    raise UsageError("the model predicts neither depth nor disparity")


def sample_geometry(sample: Any) -> StereoGeometry | None:
    """Return the geometry of the pair of images that a sample holds."""
    if "right_intrinsics" not in sample or "baseline" not in sample:
        return None
    left, right = (np.asarray(sample[k][0]) for k in ("intrinsics", "right_intrinsics"))
    offset = float(right[0, 2]) - float(left[0, 2])
    return StereoGeometry(float(left[0, 0]), float(sample["baseline"]), offset)


def predicted_map(
    prediction: Prediction,
    needs: Any,
    quantity: str,
    seq: Sequence,
    camera: str,
    frame: int,
    geometry: StereoGeometry | None = None,
) -> FloatMap:
    """Return the prediction (H,W) of the frame itself as depth (m) or disparity (px).

    Parameters
    ----------
    prediction : Prediction
        Of the window around `frame`.
    needs : Needs
        The model's; its offsets say where in the window the frame is.
    quantity : str
        ``"depth"``, ``"inverse_depth"`` (1/m) or ``"disparity"``; converted with the pair's
        geometry where the model gives the other one (for images that were resized, with the
        geometry of their size).
    geometry : StereoGeometry, optional
        Of the images, where they are not the stored ones.
    """
    if quantity == "inverse_depth":
        depth = predicted_map(prediction, needs, "depth", seq, camera, frame, geometry)
        with np.errstate(divide="ignore"):
            inverse: FloatMap = 1 / depth
        return inverse
    own, other = prediction.depth, prediction.disparity
    if quantity == "disparity":
        own, other = other, own
    if own is not None:
        return _centre(own, needs)
    if other is None:
        raise UsageError(f"the model predicts no {quantity}, nor what it could be computed from")
    values = _centre(other, needs)
    cam = seq.cameras[camera]
    geometry = geometry or stereo_geometry(seq, camera, frame, values.shape[-1] / cam.width)
    if geometry is None:
        raise UsageError(
            f"{seq.path}: no stereo pair with left camera {camera!r}, so depth and disparity "
            f"cannot be converted into each other; ask for the other one than {quantity}"
        )
    if prediction.invariance not in ("metric", "disparity"):
        raise UsageError(
            f"a prediction up to {prediction.invariance!r} cannot be converted to {quantity}"
        )
    return geometry.depth(values) if quantity == "depth" else geometry.disparity(values)


def predicted_mask(prediction: Prediction, needs: Any, name: str) -> FloatMap:
    """Return the probability (H,W) that each pixel of the frame itself moves."""
    if prediction.motion_mask is None:
        raise UsageError(f"{name} predicts no motion mask, which this protocol measures")
    return _centre(prediction.motion_mask, needs)


def _centre(values: FloatMap, needs: Any) -> FloatMap:
    """Return the map of the frame itself out of a window's (T,H,W)."""
    array = np.asarray(values)
    if array.ndim == 2:
        return array
    frame: FloatMap = array[tuple(needs.offsets).index(0) if len(array) > 1 else 0]
    return frame
