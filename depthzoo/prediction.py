"""What a model says about a sequence, and up to what it is determined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError

__all__ = ["PERMITTED", "Invariance", "Prediction"]

Invariance = Literal["metric", "scale", "affine", "disparity"]
FloatArray = NDArray[np.float32]

PERMITTED: Mapping[str, tuple[str, ...]] = {
    "metric": ("none", "median"),
    "disparity": ("none", "median"),
    "scale": ("median",),
    "affine": (),
}
"""Alignments to the truth that each invariance permits; less would leave the number undefined."""

_DIMS = {"depth": 3, "disparity": 3, "flow": 4, "pose": 3, "motion_mask": 3, "uncertainty": 3}
_AXES = {"flow": "(T, 2, H, W)", "pose": "(T, 4, 4)"}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions for T frames; whatever the model does not give is None.

    Parameters
    ----------
    depth : float32, (T, H, W)
        z in metres where `invariance` is ``metric``, else up to what it says. NaN: no prediction.
    disparity : float32, (T, H, W)
        ``x_left - x_right`` in pixels of the given image. NaN: no prediction.
    flow : float32, (T, 2, H, W)
        Displacement (dx, dy) to the next frame, pixels.
    pose : float64, (T, 4, 4)
        ``T_world_cam``, the first frame's camera being the world unless `meta` says otherwise.
    motion_mask : float32, (T, H, W)
        Probability that a pixel moves by itself.
    uncertainty : float32, (T, H, W)
        Larger is less certain; `meta` names the measure.
    object_poses : mapping
        Object id to (T, 4, 4).
    invariance : str
        ``metric`` (metres), ``disparity`` (pixels: metric once the baseline is known), ``scale``
        (up to one factor), ``affine`` (up to factor and shift of inverse depth).
    meta : dict
        What the model chose: implementation, precision, memory, time.

    Examples
    --------
    >>> import numpy as np
    >>> prediction = Prediction(disparity=np.full((1, 2, 3), 8.0), invariance="disparity")
    >>> float(prediction.to_depth(fx=400.0, baseline=0.5)[0, 0, 0])
    25.0
    """

    depth: FloatArray | None = None
    disparity: FloatArray | None = None
    flow: FloatArray | None = None
    pose: NDArray[np.float64] | None = None
    motion_mask: FloatArray | None = None
    uncertainty: FloatArray | None = None
    object_poses: Mapping[int, NDArray[np.float64]] | None = None
    invariance: Invariance = "metric"
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and bring dtypes to the stated ones."""
        if self.invariance not in get_args(Invariance):
            expected = ", ".join(get_args(Invariance))
            raise UsageError(f"a prediction is one of {expected}; got {self.invariance!r}")
        sizes = set()
        for name in self.given:
            value = np.asarray(getattr(self, name), "f8" if name == "pose" else "f4")
            axes = _AXES.get(name, "(T, H, W)")
            if value.ndim != _DIMS[name] or (name == "flow" and value.shape[1] != 2):
                raise UsageError(f"a prediction's {name} has axes {axes}; got shape {value.shape}")
            sizes.add((value.shape[0], None if name == "pose" else value.shape[-2:]))
            object.__setattr__(self, name, value)
        if not self.given:
            raise UsageError(f"a prediction without content; give any of {', '.join(_DIMS)}")
        frames, images = {t for t, _ in sizes}, {hw for _, hw in sizes if hw is not None}
        if len(frames) > 1 or len(images) > 1:
            shapes = ", ".join(f"{name} {getattr(self, name).shape}" for name in self.given)
            raise UsageError(f"the parts of a prediction differ in frames or size: {shapes}")

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the arrays that the model gave."""
        return tuple(name for name in _DIMS if getattr(self, name) is not None)

    @property
    def alignments(self) -> tuple[str, ...]:
        """Alignments to the truth that this prediction permits."""
        return PERMITTED[self.invariance]

    def __len__(self) -> int:
        return len(getattr(self, self.given[0]))

    def to_depth(
        self,
        fx: float | NDArray[np.floating] | None = None,
        baseline: float | None = None,
        *,
        cx_difference: float | NDArray[np.floating] = 0.0,
    ) -> FloatArray:
        """Depth in metres (or up to the invariance) from whatever was predicted.

        Parameters
        ----------
        fx : float or (T,) array
            Focal length in pixels of the given image; needed when only disparity was predicted.
        baseline : float
            Metres between the two cameras; as `fx`.
        cx_difference : float or (T,) array
            Principal point of the right camera minus that of the left, pixels.

        Returns
        -------
        float32, (T, H, W)
            NaN where nothing was predicted and where the disparity puts the point at or beyond
            infinity.
        """
        if self.depth is not None:
            return self.depth
        if self.disparity is None:
            found = ", ".join(self.given)
            raise UsageError(f"no depth from a prediction that holds {found} only")
        if fx is None or baseline is None:
            raise UsageError("depth from disparity needs fx (pixels) and baseline (metres)")
        if not baseline > 0:
            raise UsageError(f"the baseline is a positive length in metres; got {baseline}")
        shift = self.disparity + _per_frame(cx_difference)
        with np.errstate(invalid="ignore"):
            shift = np.where(shift > 0, shift, np.nan)
        return np.asarray(_per_frame(fx) * baseline / shift, np.float32)


def _per_frame(value: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """Shape a number, or one for each frame, to go with (T, H, W)."""
    array = np.asarray(value, np.float64)
    return array[:, None, None] if array.ndim == 1 else array
