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
from depthzoo.prediction import PERMITTED

__all__ = ["choose_alignment", "scale_factor"]


def choose_alignment(invariance: str, wanted: Mapping[str, str] | str) -> str:
    """Return the alignment for a prediction, or refuse.

    Parameters
    ----------
    invariance : str
        ``"metric"``, ``"disparity"`` (pixels), ``"scale"`` or ``"affine"``.
    wanted : str or Mapping[str, str]
        The alignment, or one for each invariance.

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
    permitted = PERMITTED[invariance]
    if alignment not in permitted:
        offered = " or ".join(permitted) if permitted else "none that exists here"
        asked = f"alignment {alignment!r}" if alignment else "this protocol"
        raise UsageError(
            f"{asked} does not fit a prediction that is determined up to {invariance!r}: "
            f"permitted is {offered}; choose another protocol or alignment"
        )
    return alignment


def scale_factor(
    alignment: str, prediction: NDArray[np.floating], truth: NDArray[np.floating]
) -> float:
    """Return the factor that multiplies a prediction, from the pixels that count.

    Parameters
    ----------
    alignment : str
        ``"none"`` (1.0) or ``"median"`` (median of the truth over median of the prediction,
        numpy's median: the mean of the middle two).
    prediction, truth : (N,) float
        Depths of the same pixels.

    Returns
    -------
    float
        NaN where there are no pixels.
    """
    if alignment == "none":
        return 1.0
    if alignment != "median":
        raise UsageError(f"no alignment {alignment!r}; there are none, median")
    if truth.size == 0:
        return float("nan")
    return float(np.median(truth) / np.median(prediction))
