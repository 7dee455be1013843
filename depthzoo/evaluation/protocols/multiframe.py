"""Multi-frame depth on KITTI odometry: MonoRec's and Dynamic-multiframe-depth's evaluation."""

from __future__ import annotations

from depthzoo.evaluation.protocols.depth import DEPTH, METRIC
from depthzoo.evaluation.protocols.protocol import Protocol, Published, Range

__all__ = ["PROTOCOLS"]

_PAPER = "paper (arXiv 2304.08993, CVPR 2023), KITTI odometry, 256 x 512, quoted from memory"


def _row(tag: str, region: str, *values: float) -> Published:
    return Published(
        f"dynamic_multiframe_depth/{tag}",
        dict(zip(DEPTH, values, strict=True)),
        _PAPER,
        region=region,
        verified=False,
    )


PROTOCOLS = (
    Protocol(
        id="kitti_odometry/multiframe@1",
        title="KITTI odometry, sparse inverse depth at 256 x 512, moving objects",
        text=(
            "Evaluation of Dynamic-multiframe-depth (and MonoRec). Sequences 00, 04, 05, 07; "
            "keyframes with both neighbours, five frames at either end left out (8634 samples); "
            "poses of DVSO. The middle of the image that has the shape of 256 x 512 is cut and "
            "resized (Pillow's bilinear filter on bytes, intrinsics without the half pixel of "
            "pixel centres). The TRUTH is moved to that size, not the prediction to the image's: "
            "inverse depth of KITTI's annotated depth, pixel indices scaled and rounded half to "
            "even, the last one in row order wins. Truth counts where 1/truth <= 80 m, compared in "
            "float32; predictions farther than 80 m (or negative) count as 80 m; no limit at the "
            "near end, no crop, no median scaling for metric depth. For depth up to scale the "
            "paper's option is used: inverse depth times median(truth)/median(prediction) over ALL "
            "pixels with truth, lower medians, before the clamping. Measures per image, then mean "
            "over the images that have such pixels, each with equal weight (batch size 1; its "
            "misnamed 'metrics_correct', in which empty images count 0, is not reported). Region "
            "moving: the pixels of the mask of moving objects (> 0.5), mean over the images that "
            "have some; static: the rest (not in the reference). Values are not rounded (the "
            "reference: three decimals). Pixels without prediction are left out and counted "
            "(coverage)."
        ),
        source=(
            "Dynamic-multiframe-depth, evaluater/ and model/metric_functions/ (Li et al. 2023); "
            "MonoRec (Wimbauer et al. 2021)"
        ),
        quantity="inverse_depth",
        measured="depth",
        truth="annotated_crop",
        valid=Range(1 / 80, closed_low=True),
        metrics=DEPTH,
        alignment={**METRIC, "scale": "median"},
        median="lower",
        align_on=Range(0.0),
        clamp=(1 / 80, float("inf")),
        regions="crop",
        region_average="images",
        prepare="256x512",
        poses="dvso",
        datasets=("kitti_odometry",),
        splits=("kitti_odometry/test",),
        corrected="kitti_odometry/annotated@1",
        published=(
            _row("resnet18", "all", 0.043, 0.151, 2.113, 0.073, 0.975, 0.996, 0.999),
            _row("efficientnet_b5", "all", 0.046, 0.155, 2.112, 0.076, 0.973, 0.996, 0.999),
            _row("efficientnet_b5", "moving", 0.118, 0.835, 4.297, 0.146, 0.871, 0.975, 0.990),
        ),
    ),
    Protocol(
        id="kitti_odometry/annotated@1",
        title="KITTI's annotated depth at full resolution",
        text=(
            "Truth: KITTI's accumulated depth (stream depth_annotated) at its own pixels, 0 < z <= "
            "80 m, no crop. The model is given the whole image, its prediction is read at each "
            "pixel and used as it is. Alignment: none for metric depth and for disparity, median "
            "scaling per image for depth up to scale. Mean over images. Regions by distance, and "
            "moving where there is a mask of the image's size. Pixels without prediction are left "
            "out and counted (coverage): a model that sees only the middle of the image covers "
            "less."
        ),
        source="depthzoo; KITTI depth benchmark (Uhrig et al. 2017), measures of Eigen et al. 2014",
        quantity="depth",
        truth="annotated_depth",
        valid=Range(0.0, 80.0, closed=True),
        metrics=DEPTH,
        alignment={**METRIC, "scale": "median"},
        datasets=("kitti_odometry", "kitti_raw", "kitti_depth"),
        splits=("kitti_odometry/test",),
    ),
)
