"""Semi-global matching (OpenCV): disparity without any weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import UsageError
from depthzoo.models.card import Card, Needs

if TYPE_CHECKING:
    from depthzoo.models.base import Sample
    from depthzoo.prediction import Prediction

__all__ = ["CARDS", "SemiGlobalMatching", "load"]

CARDS = (
    Card(
        name="sgbm",
        family="sgbm",
        title="Semi-global block matching",
        licence="Apache-2.0 (OpenCV)",
        paper="https://doi.org/10.1109/TPAMI.2007.1166",
        homepage="https://opencv.org",
        needs=Needs(views=("left", "right")),
        gives=("disparity",),
        invariance="disparity",
        notes=("NaN where there is no unique match that is the same from both sides.",),
    ),
)


class SemiGlobalMatching:
    """The classical matcher as a model.

    Parameters
    ----------
    card : Card
    max_disparity : int
        Largest disparity to look for, pixels.
    """

    def __init__(self, card: Card, *, max_disparity: int = 192) -> None:
        if max_disparity < 1:
            raise UsageError(f"{card.name}: max_disparity is at least 1 pixel; got {max_disparity}")
        self.card = card
        self.needs = card.needs
        self.weights_sha256: str | None = None
        self.max_disparity = max_disparity

    def predict(self, sample: Sample) -> Prediction:
        """Match ``rgb`` against ``right_rgb``, frame by frame.

        Returns
        -------
        Prediction
            Disparity (T, H, W), NaN where there is no reliable match.
        """
        import numpy as np

        from depthdata.stereo_sgbm import sgbm_disparity
        from depthzoo.models.base import stereo_frames
        from depthzoo.prediction import Prediction

        left, right = stereo_frames(sample, model=self.card.name)
        maps = np.empty((left.shape[0], *left.shape[2:]), np.float32)
        for t, pair in enumerate(zip(left, right, strict=True)):
            one, other = (np.ascontiguousarray(image.transpose(1, 2, 0)) for image in pair)
            maps[t] = sgbm_disparity(one, other, max_disparity=self.max_disparity)
        meta = {"model": self.card.name, "max_disparity": self.max_disparity}
        return Prediction(disparity=maps, invariance="disparity", meta=meta)


def load(
    card: Card,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> SemiGlobalMatching:
    """Return the matcher; it runs on the CPU in its own arithmetic whatever is asked for."""
    if weights is not None:
        raise UsageError(f"{card.name} has no weights; leave weights= out")
    unknown = sorted(set(options) - {"max_disparity"})
    if unknown:
        raise UsageError(f"{card.name} has no option {', '.join(unknown)}; it has max_disparity")
    return SemiGlobalMatching(card, **options)
