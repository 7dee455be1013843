"""Evaluation protocols: named, versioned data that says everything which changes a number.

>>> get_protocol("kitti_raw/eigen").id
'kitti_raw/eigen@1'
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError

__all__ = ["Protocol", "Published", "Range", "get_protocol", "list_protocols"]


@dataclass(frozen=True)
class Range:
    """The truth values that count: finite and ``low < value < high`` (``<= high`` when closed).

    >>> Range(0, 80, closed=True).contains(np.array([0.0, 80.0, np.nan])).tolist()
    [False, True, False]
    """

    low: float = float("-inf")
    high: float = float("inf")
    closed: bool = False

    def contains(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return a mask of the shape of `values`."""
        with np.errstate(invalid="ignore"):
            below = values <= self.high if self.closed else values < self.high
            inside: NDArray[np.bool_] = np.isfinite(values) & (values > self.low) & below
        return inside


@dataclass(frozen=True)
class Published:
    """Numbers somebody published under a protocol."""

    model: str
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Protocol:
    """How predictions are compared with the truth.

    Parameters
    ----------
    id : str
        ``dataset/name@version``; a change that moves a number gives a new version.
    title, text, source : str
        One line; the whole rule in words; where it comes from.
    quantity : str
        ``"depth"`` (m) or ``"disparity"`` (px): what is compared.
    truth : str
        Name of the rule in `depthzoo.evaluation.targets` that derives the truth.
    valid : Range
        Truth values that count.
    metrics : tuple of str
        Keys of `depthzoo.evaluation.metrics.METRICS`; the first is the headline.
    alignment : Mapping[str, str]
        Alignment for each invariance of a prediction.
    average : Mapping[str, str]
        Metric -> ``"images"`` (mean of the images' values) or ``"pixels"`` (pooled over all).
        Metrics that are not named are averaged over images.
    crop : tuple of 4 floats or None
        Top, bottom, left, right as fractions of the truth's size; bounds are cut to integers.
    resize : str
        ``"none"``: the prediction must have the truth's size; ``"linear"``: it is resized
        (OpenCV bilinear, on the compared quantity itself).
    clamp : (low, high) or None
        Limits of the prediction, applied after the alignment.
    empty : str
        An image without any pixel that counts is left out of the averages (``"skip"``) or makes
        them NaN (``"nan"``).
    reported : Mapping[str, str]
        The authors' result names -> our metric names.
    datasets : tuple of str
        Where the protocol's numbers mean what its name says; other data can be measured too, but
        is not comparable with published numbers.
    split : str or None
        The published split it belongs to.
    camera : str
        The camera that is evaluated.
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
    average: Mapping[str, str] = field(default_factory=dict)
    crop: tuple[float, float, float, float] | None = None
    resize: str = "none"
    clamp: tuple[float, float] | None = None
    empty: str = "skip"
    reported: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    split: str | None = None
    camera: str = "left"
    published: tuple[Published, ...] = ()

    @property
    def headline(self) -> str:
        """The metric that ranks frames."""
        return self.metrics[0]

    def average_of(self, metric: str) -> str:
        """Return ``"images"`` or ``"pixels"``."""
        return self.average.get(metric, "images")

    def describe(self) -> dict[str, Any]:
        """Return every rule as plain data for a result file (infinite limits as None)."""
        data = dataclasses.asdict(self)
        data.pop("published")
        for key in ("low", "high"):
            if not np.isfinite(data["valid"][key]):
                data["valid"][key] = None
        return data

    def crop_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return (H,W) bool, True where pixels count."""
        mask = np.ones(shape, bool)
        if self.crop is not None:
            top, bottom, left, right = self.crop
            h, w = shape
            mask[:] = False
            mask[int(top * h) : int(bottom * h), int(left * w) : int(right * w)] = True
        return mask


_METRIC = {"metric": "none", "disparity": "none"}
_DEPTH = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")

_RAFT = (
    "Image protocol of RAFT-Stereo's evaluate_stereo.py. Error = |predicted - true disparity| of "
    "{valid}. EPE: mean over images of each image's mean. D1: percentage of pixels with an error "
    "above {tau} px (absolute threshold only, not KITTI's 3 px and 5 %), {d1}. An image without "
    "any such pixel makes the mean NaN, as in the reference. Pixels without prediction are left "
    "out and counted (coverage)."
)


def _raft(
    name: str,
    title: str,
    dataset: str,
    valid: Range,
    rule: str,
    tau: int,
    pooled: bool,
    published: tuple[Published, ...] = (),
) -> Protocol:
    key = name.replace("_", "")
    d1 = "pooled over all pixels" if pooled else "mean over images"
    return Protocol(
        id=f"stereo/raft@1/{name}",
        title=f"RAFT-Stereo image protocol, {title}",
        text=_RAFT.format(valid=rule, tau=tau, d1=d1),
        source="RAFT-Stereo, evaluate_stereo.py (Lipson, Teed and Deng 2021, arXiv 2109.07547)",
        quantity="disparity",
        truth="disparity_stream",
        valid=valid,
        metrics=("epe", f"bad_{tau}"),
        alignment=_METRIC,
        average={f"bad_{tau}": "pixels" if pooled else "images"},
        empty="nan",
        reported={f"{key}-epe": "epe", f"{key}-d1": f"bad_{tau}"},
        datasets=(dataset,),
        published=published,
    )


_RAFT_Q = Published(
    "raft_stereo/sceneflow",
    {"epe": 1.3627, "bad_2": 10.93},
    "issue tracker of the authors' repository: raftstereo-sceneflow.pth, reference evaluation",
)
_FINITE = "the pixels with finite truth (occluded ones included)"

_PROTOCOLS = [
    Protocol(
        id="kitti_raw/lidar@1",
        title="KITTI raw, projected lidar, camera depth",
        text=(
            "Truth: z in the left colour camera's frame of the lidar points stored in the "
            "sequence file, at the pixel nearest to (u, v) (half to even); of several points in "
            "a pixel the nearest counts; 0 < z <= 80 m; no crop. The prediction is read at that "
            "pixel and used as it is (no clamping). Alignment: none for metric depth and for "
            "disparity (turned to depth with fx and baseline), median scaling per image for depth "
            "up to scale. Measures are averaged over images. Pixels without prediction "
            "are left out and counted (coverage)."
        ),
        source="depthzoo; the measures of Eigen et al. 2014",
        quantity="depth",
        truth="lidar_depth",
        valid=Range(0.0, 80.0, closed=True),
        metrics=_DEPTH,
        alignment={**_METRIC, "scale": "median"},
        datasets=("kitti_raw",),
    ),
    Protocol(
        id="kitti_raw/eigen@1",
        title="KITTI raw, Eigen split, Garg crop, 80 m",
        text=(
            "Truth as in Insta-DM and Monodepth: value = the lidar's own x coordinate (not camera "
            "z), points with x >= 0 projected without a test of their depth, column and row = "
            "round(u) - 1, round(v) - 1, minimum of the points of a pixel found with the "
            "reference's key row * (w - 1) + column - 1. 0.001 < truth < 80 m inside the Garg crop "
            "(rows 0.40810811 h to 0.99189189 h, columns 0.03594771 w to 0.96405229 w). The depth "
            "is resized to the truth's size with OpenCV bilinear, scaled by median(truth) / "
            "median(prediction) per image, then clamped to 0.001..80 m. Mean over images. Pixels "
            "without prediction are left out and counted (coverage)."
        ),
        source="Insta-DM's kitti_eval (Lee et al. 2021); Eigen et al. 2014; Garg et al. 2016",
        quantity="depth",
        truth="eigen",
        valid=Range(1e-3, 80.0),
        metrics=_DEPTH,
        alignment={"metric": "median", "disparity": "median", "scale": "median"},
        crop=(0.40810811, 0.99189189, 0.03594771, 0.96405229),
        resize="linear",
        clamp=(1e-3, 80.0),
        datasets=("kitti_raw",),
        split="eigen/test",
        published=(
            Published(
                "insta_dm/kitti",
                dict(zip(_DEPTH, (0.112, 0.777, 4.772, 0.191, 0.872, 0.959, 0.982), strict=True)),
                "Insta-DM README: ResNet18, ImageNet then KITTI, 832 x 256",
            ),
            Published(
                "insta_dm/cityscapes_kitti",
                dict(zip(_DEPTH, (0.109, 0.740, 4.547, 0.184, 0.883, 0.962, 0.983), strict=True)),
                "Insta-DM README: ResNet18, Cityscapes then KITTI, 832 x 256",
            ),
        ),
    ),
    Protocol(
        id="stereo/epe@1",
        title="Disparity error of a rectified pair",
        text=(
            "Truth: the sequence's disparity of the left camera; where there is none, "
            "fx * baseline / z of its depth (for sparse lidar: of the nearest point of a pixel), "
            "corrected for different principal points. Truth > 0. EPE = mean |error|; bad-k = "
            "percentage of pixels with an error above k px; D1-all = percentage with an error "
            "above 3 px and above 5 % of the truth (KITTI 2015). Values are means over images; "
            "the same pooled over all pixels stands beside them. Pixels without prediction are "
            "left out, except in 'D1-all or missing', which counts them as wrong; their share is "
            "1 - coverage."
        ),
        source="depthzoo; measures of the Middlebury and KITTI 2015 benchmarks",
        quantity="disparity",
        truth="disparity",
        valid=Range(0.0),
        metrics=("epe", "bad_1", "bad_2", "bad_3", "d1_all", "d1_all_or_missing"),
        alignment=_METRIC,
    ),
    _raft(
        "eth3d",
        "ETH3D two-view training",
        "eth3d",
        Range(high=512.0),
        "the pixels with true disparity < 512 (the non-occlusion mask is ignored)",
        1,
        pooled=False,
    ),
    _raft(
        "kitti",
        "KITTI 2015 training (disp_occ_0)",
        "kitti2015",
        Range(0.0),
        "the pixels with true disparity > 0",
        3,
        pooled=True,
    ),
    _raft(
        "things",
        "FlyingThings3D TEST, final pass, 400 images",
        "sceneflow",
        Range(-192.0, 192.0),
        "the pixels with |true disparity| < 192",
        1,
        pooled=True,
    ),
    *(
        _raft(
            f"middlebury_{size}",
            f"Middlebury 2014 training, size {size}",
            "middlebury",
            Range(),
            _FINITE,
            2,
            pooled=False,
            published=(_RAFT_Q,) if size == "Q" else (),
        )
        for size in "FHQ"
    ),
]

_BY_ID = {p.id: p for p in _PROTOCOLS}


def list_protocols() -> tuple[str, ...]:
    """Return the ids of all protocols."""
    return tuple(_BY_ID)


def get_protocol(name: str | Protocol) -> Protocol:
    """Return a protocol by its id; without ``@version`` the newest one.

    Parameters
    ----------
    name : str or Protocol
        Such as ``"kitti_raw/eigen@1"`` or ``"kitti_raw/eigen"``.
    """
    if isinstance(name, Protocol):
        return name
    if name in _BY_ID:
        return _BY_ID[name]
    same = [p for p in _PROTOCOLS if p.id.replace(f"@{_version(p.id)}", "") == name]
    if not same:
        raise UsageError(f"no protocol {name!r}; there are {', '.join(_BY_ID)}")
    return max(same, key=lambda p: _version(p.id))


def _version(identifier: str) -> int:
    return int(identifier.partition("@")[2].partition("/")[0])
