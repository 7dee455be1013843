"""What a protocol is: plain data that says everything which changes a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Kind", "Protocol", "Published", "Range"]

Kind = Literal["frame", "sequence", "trajectory", "motion"]
KINDS: Mapping[str, str] = {
    "frame": "every frame by itself",
    "sequence": "clips of consecutive frames, as one video each",
    "trajectory": "the path of the camera through a sequence",
    "motion": "masks of what moves, counted over all frames",
}
"""What the runner knows, and what a record of its result stands for."""


@dataclass(frozen=True)
class Range:
    """The truth values that count: finite and ``low < value < high``.

    A closed end belongs to it: ``<= high`` when `closed`, ``>= low`` when `closed_low`.

    >>> Range(0, 80, closed=True).contains(np.array([0.0, 80.0, np.nan])).tolist()
    [False, True, False]
    """

    low: float = float("-inf")
    high: float = float("inf")
    closed: bool = False
    closed_low: bool = False

    def contains(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return a mask of the shape of `values`, compared in their own precision."""
        with np.errstate(invalid="ignore"):
            inside = values >= self.low if self.closed_low else values > self.low
            inside &= values <= self.high if self.closed else values < self.high
            if not np.isfinite(self.low) or not np.isfinite(self.high):
                inside &= np.isfinite(values)
        found: NDArray[np.bool_] = inside
        return found


@dataclass(frozen=True)
class Published:
    """Numbers somebody published under a protocol.

    Parameters
    ----------
    model : str
        Our name of the model, or what its authors call one that has no published weights.
    values : Mapping[str, float]
        Our metric -> value.
    source : str
        Where it stands.
    split : str or None
        The published selection of frames, where the protocol has several.
    region : str
        ``"all"``, or the part of the pixels.
    verified : bool
        False where the number was not compared with its source.
    options : Mapping[str, Any]
        Options of the model that its authors used for it, beside the usual ones.
    """

    model: str
    values: Mapping[str, float]
    source: str
    split: str | None = None
    region: str = "all"
    verified: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How predictions are compared with the truth.

    Parameters
    ----------
    id : str
        ``dataset/name@version``; a change that moves a number gives a new version.
    kind : str
        One of `KINDS`.
    title, text, source : str
        One line; the whole rule in words, every quirk in it; where it comes from.
    quantity : str
        ``"depth"`` (m), ``"inverse_depth"`` (1/m), ``"disparity"`` (px), ``"pose"`` or
        ``"motion_mask"``: what of a prediction is taken.
    measured : str
        ``""``: the quantity itself; ``"depth"``: both are inverted after alignment and clamping.
    truth : str
        Name of the rule in `depthzoo.evaluation.targets` that derives the truth.
    valid : Range
        Truth values that count.
    metrics : tuple of str
        Keys of `depthzoo.evaluation.measures.MEASURES`; the first is the headline.
    alignment : Mapping[str, str]
        Alignment for each invariance of a prediction.
    median : str
        Of an even number of values: ``"middle"`` (the mean of the middle two) or ``"lower"``.
    align_on : Range or None
        Truth values that the alignment is taken from; None: those that count.
    average : Mapping[str, str]
        Metric -> ``"images"`` (mean of the records' values), ``"pixels"`` (pooled over all),
        ``"weighted"`` (mean by the records' weights: frames, snippets, pieces) or ``"counts"``
        (from counts summed over all). Metrics that are not named are averaged over images.
    crop : tuple of 4 floats or None
        Top, bottom, left, right as fractions of the truth's size; bounds are cut to integers.
    resize : str
        ``"none"``: the prediction must have the truth's size; ``"linear"``: it is resized (OpenCV
        bilinear, on the compared quantity itself); ``"inverse"``: one over it is resized
        (half-pixel bilinear), then inverted back.
    clamp : (low, high) or None
        Limits of the prediction, applied after the alignment.
    empty : str
        A record without any pixel that counts is left out of the averages (``"skip"``) or makes
        them NaN (``"nan"``).
    regions : str
        Where the parts of an image come from: ``"masks"`` of the file (moving, occluded) and
        distance; ``"dynamo"``: Dynamo-Depth's motion mask; ``"crop"``: the file's mask of moving
        objects at the prepared size.
    region_average : str
        ``"pixels"``: pooled over the region's pixels in all images; ``"images"``: mean over the
        images that have some; ``"by_pixels"``: the images' values weighted by their pixels, also
        of root measures.
    images : tuple of str
        Streams that the model is given, the first one that a camera has; of a pair, of both.
    prepare : str
        ``""``, or ``"HxW"``: the middle of the image that has this shape is cut and resized
        (`depthdata.aspect_crop`).
    poses : str or None
        Which trajectory of the file a model that needs poses is given; None: the camera's.
    clip : int or None
        Kind ``"sequence"``: at most so many first frames of each sequence.
    options : Mapping[str, Any]
        Further rules of the kind, as its module says.
    reported : Mapping[str, str]
        The authors' result names -> our metric names.
    datasets : tuple of str
        Where the protocol's numbers mean what its name says; other data can be measured too, but
        is not comparable with published numbers.
    splits : tuple of str
        The published selections it belongs to; any of them.
    camera : str
        The camera that is evaluated; ``"*"``: ``left``, ``front``, or the first one of a file.
    preset : str or None
        Preparation that the conversion must have made.
    corrected : str or None
        The protocol without this one's defects.
    published : tuple of Published
        Numbers to print beside ours.
    """

    id: str
    title: str
    text: str
    source: str
    quantity: str
    truth: str
    valid: Range
    metrics: tuple[str, ...]
    alignment: Mapping[str, str]
    kind: Kind = "frame"
    measured: str = ""
    median: str = "middle"
    align_on: Range | None = None
    average: Mapping[str, str] = field(default_factory=dict)
    crop: tuple[float, float, float, float] | None = None
    resize: str = "none"
    clamp: tuple[float, float] | None = None
    empty: str = "skip"
    regions: str = "masks"
    region_average: str = "pixels"
    images: tuple[str, ...] = ("rgb",)
    prepare: str = ""
    poses: str | None = None
    clip: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    reported: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    camera: str = "left"
    preset: str | None = None
    corrected: str | None = None
    published: tuple[Published, ...] = ()

    @property
    def headline(self) -> str:
        """The metric that ranks records."""
        return self.metrics[0]

    @property
    def split(self) -> str | None:
        """The first of the published selections."""
        return self.splits[0] if self.splits else None

    @property
    def compared(self) -> str:
        """The quantity that is measured: ``"depth"``, ``"disparity"``, ``"pose"`` ..."""
        return self.measured or self.quantity

    @property
    def charted(self) -> str:
        """The error that pictures and histograms show: measured pixel by pixel, not a yes or no."""
        return "epe" if self.compared == "disparity" else "abs_rel"

    def average_of(self, metric: str) -> str:
        """Return ``"images"``, ``"pixels"``, ``"weighted"`` or ``"counts"``."""
        return self.average.get(metric, "images")

    def describe(self) -> dict[str, Any]:
        """Return every rule as plain data for a result file (infinite limits as None)."""
        data = dataclasses.asdict(self)
        data.pop("published")
        return {key: _finite(value) for key, value in data.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
