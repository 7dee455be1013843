"""What every model offers, and how a sample is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.models.card import Card, Needs
from depthzoo.prediction import Prediction

__all__ = ["Model", "Sample", "stereo_frames", "view_frames"]

Sample = Mapping[str, Any]
"""What `depthdata.SequenceDataset` gives, or NumPy arrays under the same keys."""


@runtime_checkable
class Model(Protocol):
    """A loaded model.

    Attributes
    ----------
    card : Card
    needs : Needs
        What `predict` wants in a sample.
    weights_sha256 : str or None
        Digest of the weights in use.
    """

    card: Card
    needs: Needs
    weights_sha256: str | None

    def predict(self, sample: Sample) -> Prediction:
        """Predict every frame of a sample (or its centre frame, as `needs.offsets` says)."""
        ...


def view_frames(sample: Sample, key: str, *, model: str = "the model") -> NDArray[np.uint8]:
    """Return the images of one camera.

    Parameters
    ----------
    sample : mapping
        `key` holds a tensor or an array, uint8, (T, 3, H, W) or one frame (3, H, W).
    key : str
        ``rgb`` for the first camera, ``right_rgb`` for the right one.
    model : str
        Who asks, for the error.

    Returns
    -------
    uint8, (T, 3, H, W)
        A view of the given memory where possible.

    Examples
    --------
    >>> import numpy as np
    >>> view_frames({"rgb": np.zeros((3, 4, 5), np.uint8)}, "rgb").shape
    (1, 3, 4, 5)
    """
    if key not in sample:
        cameras = '"left", "right"' if key.startswith("right") else '"left",'
        raise UsageError(
            f"{model}: the sample has no {key!r}, only {', '.join(map(str, sample)) or 'nothing'}; "
            f"build the dataset with cameras=({cameras})"
        )
    value = sample[key]
    frames = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if frames.ndim == 3:
        frames = frames[None]
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1] != 3:
        raise UsageError(
            f"{model}: {key!r} is uint8 of shape (T, 3, H, W), channels RGB; "
            f"got {frames.dtype} {frames.shape}"
        )
    if 0 in frames.shape:
        raise UsageError(f"{model}: {key!r} is empty, shape {frames.shape}")
    return frames


def stereo_frames(
    sample: Sample, *, model: str = "the model"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the left and right images (T, 3, H, W) of a rectified pair."""
    left = view_frames(sample, "rgb", model=model)
    right = view_frames(sample, "right_rgb", model=model)
    if left.shape != right.shape:
        raise UsageError(
            f"{model}: left and right images differ: {left.shape} and {right.shape}; "
            "a rectified pair has one size"
        )
    return left, right
