"""Dynamo-Depth's evaluation of depth: KITTI, nuScenes, Waymo."""

from __future__ import annotations

from depthzoo.evaluation.protocols.depth import DEPTH, GARG, README_NAMES
from depthzoo.evaluation.protocols.protocol import Protocol, Published, Range

__all__ = ["DYNAMO_REPORTED", "IMAGES", "PROTOCOLS"]

IMAGES = {"kitti": "rgb", "nuscenes": "rgb_288x512", "waymo": "rgb_320x480"}
DYNAMO_REPORTED = {
    **dict(zip(("de:abs_rel", "de:sq_rel", "de:rms", "de:log_rms"), DEPTH[:4], strict=True)),
    **dict(zip(("da:a1", "da:a2", "da:a3"), DEPTH[4:], strict=True)),
}
_TEXT = (
    "Evaluation of Dynamo-Depth, eval/depth.py. Truth: rows (row, column, depth), sub-pixel where"
    " the source is: {truth} A row counts with 0.001 < depth < {cap} m and its sub-pixel position"
    " in {crop}. The model is given {image}. One over its depth is resized to the truth's size "
    "(bilinear, half-pixel centres) and THEN inverted; it is read at the row's truncated "
    "position; several rows in a pixel all count. Median scaling per image over the rows that "
    "count; the median is the LOWER middle element. Then the prediction is clamped to "
    "0.001..{cap} m. Mean over images; one without a row makes it NaN. {mask}Rows without "
    "prediction are left out and counted (coverage)."
)
_MASK = (
    "Regions background, moving, static (could move but does not) by the motion mask at the "
    "truncated position: the same scaled predictions; an image's values weighted by its rows, also "
    "of the root measures (which is not the root of the pooled mean; the code says macro). "
    "Published for the list test_mask only. "
)
_REVISED = ", revised: slightly different from the paper"
_CHANGED = ("kitti", "waymo", "waymo_md2")


def _numbers(
    dataset: str, lite: tuple[float, ...], md2: tuple[float, ...]
) -> tuple[Published, ...]:
    split = {"kitti": "eigen_zhou/test", "nuscenes": "nuscenes/test", "waymo": "waymo/test"}
    return tuple(
        Published(
            f"dynamo_depth/{dataset}{tag}",
            dict(zip(DEPTH, values, strict=True)),
            README_NAMES + _REVISED * (f"{dataset}{tag}" in _CHANGED),
            split=split[dataset],
        )
        for tag, values in (("", lite), ("_md2", md2))
    )


def _depth(
    name: str,
    title: str,
    datasets: tuple[str, ...],
    splits: tuple[str, ...],
    cap: float,
    truth: str,
    image: str,
    *,
    kitti: bool = False,
    camera: str = "front",
    corrected: str = "depth/lidar@1",
    published: tuple[Published, ...] = (),
) -> Protocol:
    crop = "the Garg crop, whose four bounds are cut to integers" if kitti else "the image"
    return Protocol(
        id=f"dynamo_depth/depth@1/{name}",
        title=f"Dynamo-Depth, depth on {title}",
        text=_TEXT.format(
            truth=truth, cap=f"{cap:g}", crop=crop, image=image, mask="" if kitti else _MASK
        ),
        source="Dynamo-Depth, eval/depth.py (Sun and Hariharan 2023, arXiv 2310.18887)",
        quantity="depth",
        truth="dynamo_rows",
        valid=Range(1e-3, cap),
        metrics=DEPTH,
        alignment={"metric": "median", "disparity": "median", "scale": "median"},
        median="lower",
        crop=GARG if kitti else (0.0, 1.0, 0.0, 1.0),
        resize="inverse",
        clamp=(1e-3, cap),
        empty="nan",
        regions="" if kitti else "dynamo",
        region_average="by_pixels",
        images=(IMAGES[name],),
        reported=DYNAMO_REPORTED,
        datasets=datasets,
        splits=splits,
        camera=camera,
        preset=None if kitti else "dynamo_depth",
        corrected=corrected,
        published=published,
    )


PROTOCOLS = (
    _depth(
        "kitti",
        "KITTI (Eigen)",
        ("kitti_raw",),
        ("eigen_zhou/test",),
        80.0,
        "of KITTI the value is the lidar's own x, at rounded pixels; row and column are cut to "
        "those of 375 x 1242.",
        "the whole image, and the model resizes it (bicubic)",
        kitti=True,
        camera="left",
        corrected="kitti_raw/lidar@1",
        published=_numbers(
            "kitti",
            (0.112, 0.768, 4.528, 0.184, 0.874, 0.961, 0.984),
            (0.120, 0.864, 4.850, 0.195, 0.858, 0.956, 0.982),
        ),
    ),
    _depth(
        "nuscenes",
        "nuScenes",
        ("nuscenes",),
        (
            "nuscenes/test",
            "nuscenes/test_mask",
            "nuscenes_dayclear/test",
            "nuscenes_dayclear/test_mask",
        ),
        75.0,
        "camera z of the lidar points of the nearest scan, a metre away or more and a pixel "
        "inside the image.",
        "the prepared JPEG of 288 x 512",
        published=_numbers(
            "nuscenes",
            (0.179, 2.118, 7.050, 0.271, 0.787, 0.896, 0.940),
            (0.193, 2.285, 7.357, 0.287, 0.765, 0.885, 0.935),
        ),
    ),
    _depth(
        "waymo",
        "Waymo",
        ("waymo", "waymo_v2"),
        ("waymo/test", "waymo/test_mask"),
        75.0,
        "camera z of the first returns of all lidars in the undistorted image, pixels counted "
        "from their edge; the motion mask is that of the distorted image.",
        "the prepared, undistorted JPEG of 320 x 480",
        published=_numbers(
            "waymo",
            (0.121, 1.216, 6.003, 0.176, 0.861, 0.962, 0.986),
            (0.137, 1.502, 6.582, 0.194, 0.833, 0.951, 0.982),
        ),
    ),
)
