"""How a prediction may be brought to the scale of the truth before it is measured.

A prediction says up to what it is determined (its invariance); an alignment is allowed only
when it removes at least that freedom. A prediction up to scale measured without alignment
would be a number about nothing, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.metrics.depth import median_scale
from depthzoo.prediction import PERMITTED

__all__ = ["PERMITTED_OF_PATHS", "choose_alignment", "scale_factor"]

PERMITTED_OF_PATHS: Mapping[str, tuple[str, ...]] = {
    "metric": ("none", "first", "se3", "snippet_scale", "scale", "sim3", "sim3_scale"),
    "disparity": ("none", "first", "se3", "snippet_scale", "scale", "sim3", "sim3_scale"),
    "scale": ("snippet_scale", "scale", "sim3", "sim3_scale"),
    "affine": (),
}
"""Alignments of a camera's path to the true one that each invariance permits."""

_ANYTHING = {name: ("none",) for name in PERMITTED}


def choose_alignment(
    invariance: str, wanted: Mapping[str, str] | str, quantity: str = "depth"
) -> str:
    """Return the alignment for a prediction, or refuse.

    Parameters
    ----------
    invariance : str
        ``"metric"``, ``"disparity"`` (pixels), ``"scale"`` or ``"affine"``.
    wanted : str or Mapping[str, str]
        The alignment, or one for each invariance.
    quantity : str
        What is aligned: for ``"pose"`` there are others, ``"motion_mask"`` needs none.

    Examples
    --------
    >>> choose_alignment("scale", {"metric": "none", "scale": "median"})
    'median'
    """
    if invariance not in PERMITTED:
        raise UsageError(
            f"unknown invariance {invariance!r} of a prediction; expected {', '.join(PERMITTED)}"
        )
    alignment = wanted if isinstance(wanted, str) else wanted.get(invariance, "")
    table = {"pose": PERMITTED_OF_PATHS, "motion_mask": _ANYTHING}.get(quantity, PERMITTED)
    permitted = table[invariance]
    if alignment not in permitted:
        offered = " or ".join(permitted) if permitted else "none that exists here"
        asked = f"alignment {alignment!r}" if alignment else "this protocol"
        raise UsageError(
            f"{asked} does not fit a prediction that is determined up to {invariance!r}: "
            f"permitted is {offered}; choose another protocol or alignment"
        )
    return alignment


def scale_factor(
    alignment: str,
    prediction: NDArray[np.floating],
    truth: NDArray[np.floating],
    median: str = "middle",
) -> float:
    """Return the factor that multiplies a prediction, from the pixels that count.

    Parameters
    ----------
    alignment : str
        ``"none"`` (1.0) or ``"median"`` (median of the truth over median of the prediction).
    prediction, truth : (N,) float
        Of the same pixels.
    median : str
        ``"middle"`` (numpy's: the mean of the middle two) or ``"lower"``.

    Returns
    -------
    float
        NaN where there are no pixels.
    """
    if alignment == "none":
        return 1.0
    if alignment != "median":
        raise UsageError(f"no alignment {alignment!r}; there are none, median")
    return median_scale(prediction, truth, median=median)
