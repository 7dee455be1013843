"""What stands for a calibration that a source does not tell, and the fact that says so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["UNKNOWN_INTRINSICS", "nominal_intrinsics"]

UNKNOWN_INTRINSICS = {"intrinsics": "unknown"}
"""Fact of a camera's `transform`: readers and checks take nothing from its intrinsics."""


def nominal_intrinsics(height: int, width: int) -> npt.NDArray[np.float64]:
    """Return intrinsics (3, 3) that stand for unknown ones: 53 degrees wide, looking straight on.

    Examples
    --------
    >>> nominal_intrinsics(3, 5).tolist()
    [[5.0, 0.0, 2.0], [0.0, 5.0, 1.0], [0.0, 0.0, 1.0]]
    """
    return np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1.0]])
