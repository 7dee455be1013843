"""Disparity of single rectified pairs: RAFT-Stereo's validations, and the benchmarks' own rules."""

from __future__ import annotations

from collections.abc import Mapping

from depthzoo.evaluation.protocols.depth import METRIC
from depthzoo.evaluation.protocols.protocol import Protocol, Published, Range

__all__ = ["PROTOCOLS"]

_RAFT = (
    "Image protocol of RAFT-Stereo's evaluate_stereo.py. Error = |predicted - true disparity| of "
    "{valid}. EPE: mean over images of each image's mean. D1: percentage of pixels with an error "
    "above {tau} px (absolute threshold only, not KITTI's 3 px and 5 %), {d1}. An image without "
    "any such pixel makes the mean NaN, as in the reference. Pixels without prediction are left "
    "out and counted (coverage)."
)
_PAPER = "paper (arXiv 2109.07547), zero-shot from Scene Flow, quoted from memory"


def _raft(
    name: str,
    title: str,
    dataset: str,
    valid: Range,
    rule: str,
    tau: int,
    *,
    pooled: bool,
    split: str,
    corrected: str,
    paper: float | None = None,
    images: tuple[str, ...] = ("rgb",),
    published: tuple[Published, ...] = (),
) -> Protocol:
    key, bad = name.replace("_", ""), f"bad_{tau}"
    d1 = "pooled over all pixels" if pooled else "mean over images"
    if paper is not None:
        published = (
            *published,
            Published("raft_stereo/sceneflow", {bad: paper}, _PAPER, verified=False),
        )
    return Protocol(
        id=f"stereo/raft@1/{name}",
        title=f"RAFT-Stereo image protocol, {title}",
        text=_RAFT.format(valid=rule, tau=tau, d1=d1),
        source="RAFT-Stereo, evaluate_stereo.py (Lipson, Teed and Deng 2021, arXiv 2109.07547)",
        quantity="disparity",
        truth="disparity_stream",
        valid=valid,
        metrics=("epe", bad),
        alignment=METRIC,
        average={bad: "pixels" if pooled else "images"},
        empty="nan",
        reported={f"{key}-epe": "epe", f"{key}-d1": bad},
        images=images,
        datasets=(dataset,),
        splits=(split,),
        corrected=corrected,
        published=published,
    )


_RAFT_Q = Published(
    "raft_stereo/sceneflow",
    {"epe": 1.3627, "bad_2": 10.93},
    "issue tracker of the authors' repository: raftstereo-sceneflow.pth, reference evaluation",
)
_FINITE = (
    "the pixels with finite truth (occluded ones included: the reference loads the mask of "
    "non-occluded pixels, but its test of it is always true)"
)

_MISSING = (
    "Pixels without prediction are left out of EPE and bad-k and counted (coverage); 'D1-all or "
    "missing' counts them as wrong. "
)


def _benchmark(
    identifier: str,
    title: str,
    text: str,
    source: str,
    datasets: tuple[str, ...],
    splits: tuple[str, ...],
    truth: str,
    metrics: tuple[str, ...],
    average: Mapping[str, str] | None = None,
) -> Protocol:
    return Protocol(
        id=identifier,
        title=title,
        text=text,
        source=source,
        quantity="disparity",
        truth=truth,
        valid=Range(0.0),
        metrics=metrics,
        alignment=METRIC,
        average=average or {},
        datasets=datasets,
        splits=splits,
    )


PROTOCOLS = (
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
        alignment=METRIC,
    ),
    _raft(
        "eth3d",
        "ETH3D two-view training",
        "eth3d",
        Range(high=512.0),
        "the pixels with true disparity < 512 (the mask of non-occluded pixels is ignored)",
        1,
        pooled=False,
        split="eth3d/train",
        corrected="stereo/eth3d@1",
        paper=3.28,
    ),
    _raft(
        "kitti",
        "KITTI 2015 training (disp_occ_0)",
        "kitti_2015",
        Range(0.0),
        "the pixels with true disparity > 0",
        3,
        pooled=True,
        split="kitti_2015/train",
        corrected="stereo/kitti_2015@1",
        paper=5.74,
    ),
    _raft(
        "things",
        "FlyingThings3D TEST, final pass, 400 images",
        "sceneflow",
        Range(-192.0, 192.0),
        "the pixels with |true disparity| < 192 (the reader's limit of 512 then never acts); the "
        "400 images are drawn with a fixed seed",
        1,
        pooled=True,
        split="flyingthings3d/things_test",
        corrected="stereo/epe@1",
        images=("rgb_final",),
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
            split=f"middlebury/official_train_{size}",
            corrected="stereo/middlebury@1",
            paper=paper,
            published=(_RAFT_Q,) if size == "Q" else (),
        )
        for size, paper in (("F", 18.33), ("H", 12.59), ("Q", 9.36))
    ),
    _benchmark(
        "stereo/eth3d@1",
        "ETH3D two-view training, pixels that both views see",
        "Truth > 0 where the mask of non-occluded pixels says so. EPE, bad-0.5, bad-1, bad-2: "
        + _MISSING
        + "Means over images.",
        "ETH3D benchmark (Schöps et al. 2017): bad-k of non-occluded pixels; not in RAFT-Stereo",
        ("eth3d",),
        ("eth3d/train",),
        "disparity_seen",
        ("bad_1", "bad_0.5", "bad_2", "epe", "d1_all_or_missing"),
    ),
    _benchmark(
        "stereo/middlebury@1",
        "Middlebury 2014 training, pixels that both views see",
        "Truth > 0 where mask0nocc is 255. bad-0.5, bad-1, bad-2, EPE. "
        + _MISSING
        + "Means over images, each with equal weight (the benchmark's page weights its scenes).",
        "Middlebury stereo evaluation v3 (Scharstein et al. 2014); not in RAFT-Stereo",
        ("middlebury",),
        tuple(f"middlebury/official_train_{size}" for size in "FHQ"),
        "disparity_seen",
        ("bad_2", "bad_0.5", "bad_1", "epe", "d1_all_or_missing"),
    ),
    _benchmark(
        "stereo/kitti_2015@1",
        "KITTI 2015 training, official D1-all",
        "Truth of disp_occ_0 > 0. D1-all: percentage of pixels with an error above 3 px AND above "
        "5 % of the truth, pooled per image, then averaged over images. " + _MISSING,
        "KITTI stereo 2015 (Menze and Geiger 2015); not in RAFT-Stereo",
        ("kitti_2015",),
        ("kitti_2015/train",),
        "disparity_stream",
        ("d1_all", "d1_all_or_missing", "epe", "bad_3"),
    ),
)
