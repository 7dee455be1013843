"""Depth of single frames: KITTI raw, and any data with measured depth."""

from __future__ import annotations

from depthzoo.evaluation.protocols.protocol import Protocol, Published, Range

__all__ = ["DEPTH", "GARG", "METRIC", "PROTOCOLS", "README_NAMES"]

METRIC = {"metric": "none", "disparity": "none"}
DEPTH = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")
GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
README_NAMES = "authors' README"

_PLAIN = (
    "0 < z <= 80 m; no crop. The prediction is read at that pixel and used as it is (no "
    "clamping). Alignment: none for metric depth and for disparity (turned to depth with fx and "
    "baseline), median scaling per image for depth up to scale. Measures are averaged over "
    "images. Pixels without prediction are left out and counted (coverage)."
)
_POINTS = (
    "Truth: camera z of the lidar points stored in the sequence file, at the pixel nearest to "
    "(u, v) (half to even); of several points in a pixel the nearest counts; "
)

_INSTA_DM = "Insta-DM README: ResNet18, {}, 832 x 256"


def _insta(tag: str, data: str, *values: float) -> Published:
    return Published(
        f"insta_dm/{tag}", dict(zip(DEPTH, values, strict=True)), _INSTA_DM.format(data)
    )


PROTOCOLS = (
    Protocol(
        id="kitti_raw/lidar@1",
        title="KITTI raw, projected lidar, camera depth",
        text=_POINTS.replace("camera z", "z in the left colour camera's frame") + _PLAIN,
        source="depthzoo; the measures of Eigen et al. 2014",
        quantity="depth",
        truth="lidar_depth",
        valid=Range(0.0, 80.0, closed=True),
        metrics=DEPTH,
        alignment={**METRIC, "scale": "median"},
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
            "median(prediction) per image (of an even number the mean of the middle two), then "
            "clamped to 0.001..80 m. Mean over images. The model is given the whole image. An "
            "image that is not there is left out with its prediction (the reference leaves out the "
            "image alone, and all later predictions meet the wrong image). Pixels without "
            "prediction are left out and counted (coverage)."
        ),
        source="Insta-DM's kitti_eval (Lee et al. 2021); Eigen et al. 2014; Garg et al. 2016",
        quantity="depth",
        truth="eigen",
        valid=Range(1e-3, 80.0),
        metrics=DEPTH,
        alignment={"metric": "median", "disparity": "median", "scale": "median"},
        crop=GARG,
        resize="linear",
        clamp=(1e-3, 80.0),
        datasets=("kitti_raw",),
        splits=("eigen/test",),
        corrected="kitti_raw/lidar@1",
        published=(
            _insta("kitti", "ImageNet then KITTI", 0.112, 0.777, 4.772, 0.191, 0.872, 0.959, 0.982),
            _insta(
                *("cityscapes_kitti", "Cityscapes then KITTI"),
                *(0.109, 0.740, 4.547, 0.184, 0.883, 0.962, 0.983),
            ),
        ),
    ),
    Protocol(
        id="depth/lidar@1",
        title="Measured depth of any dataset, camera depth",
        text=_POINTS
        + _PLAIN
        + (
            " Where a camera has dense depth and no points, every pixel of it counts. Regions: "
            "static and moving by the file's mask, and by distance, pooled over their pixels."
        ),
        source="depthzoo; the measures of Eigen et al. 2014",
        quantity="depth",
        truth="measured_depth",
        valid=Range(0.0, 80.0, closed=True),
        metrics=DEPTH,
        alignment={**METRIC, "scale": "median"},
        camera="*",
    ),
)
