"""Masks of what moves: Dynamo-Depth's evaluation, and the same without its small additions."""

from __future__ import annotations

from depthzoo.evaluation.protocols.protocol import Protocol, Range

__all__ = ["PROTOCOLS"]

_ANY = {"metric": "none", "disparity": "none", "scale": "none", "affine": "none"}
_METRICS = ("f1", "precision", "recall", "iou", "threshold")
_COUNTS = dict.fromkeys(_METRICS, "counts")

PROTOCOLS = (
    Protocol(
        id="dynamo_depth/motion_segmentation@1",
        kind="motion",
        title="Dynamo-Depth, motion segmentation",
        text=(
            "Evaluation of Dynamo-Depth, eval/mot_seg.py. Frames of the mask lists of nuScenes "
            "(its README takes nuscenes_dayclear) and Waymo whose neighbours are there; the model "
            "sees the prepared images of the frame and both neighbours. Its motion probability is "
            "resized to the truth's size (bilinear, half-pixel centres). 150 thresholds evenly "
            "spaced from -1/149 to 1 - 1/149, the first of which makes everything positive; a "
            "pixel is predicted to move with value > threshold. Truth: label 1 moves, 3 is "
            "unlabelled and left out, 0 and 2 do not move; of nuScenes the labels are blocks of 5 "
            "x 5 pixels around lidar points. Counts are summed over all pixels of all images (the "
            "plot's title says macro, the number is pooled); precision, recall and F1 add 1e-10 to "
            "every divisor; reported is the largest F1 over thresholds and the values there. "
            "Counters are integers here (float32 in the reference, which rounds beyond 1.7e7). IoU "
            "is not in the reference. Of Waymo the false positives at that threshold are told by "
            "semantic class."
        ),
        source="Dynamo-Depth, eval/mot_seg.py (Sun and Hariharan 2023, arXiv 2310.18887)",
        quantity="motion_mask",
        truth="dynamo_motion",
        valid=Range(),
        metrics=_METRICS,
        alignment=_ANY,
        average=_COUNTS,
        images=("rgb_288x512", "rgb_320x480"),
        options={"reference": True, "classes": 29},
        regions="",
        datasets=("nuscenes", "waymo", "waymo_v2"),
        splits=("nuscenes_dayclear/test_mask", "nuscenes/test_mask", "waymo/test_mask"),
        camera="front",
        preset="dynamo_depth",
        corrected="motion/segmentation@1",
    ),
    Protocol(
        id="motion/segmentation@1",
        kind="motion",
        title="Motion segmentation against the file's mask of moving objects",
        text=(
            "Truth: the stream masks/moving (1 moves, 0 does not, 255 unknown: left out), every "
            "frame that has it and the images that the model needs; a model of single frames is "
            "given both neighbours, too. The model's motion "
            "probability, resized bilinearly (half-pixel centres) where its size differs, is "
            "compared with 150 thresholds from just below 0 to just below 1; counts are integers "
            "summed over all pixels of all images; precision, recall, F1 and IoU of the threshold "
            "with the largest F1. Where nothing moves, or nothing is predicted to, a value is not "
            "defined (null)."
        ),
        source="depthzoo; the thresholds of Dynamo-Depth (Sun and Hariharan 2023)",
        quantity="motion_mask",
        truth="moving",
        valid=Range(),
        metrics=_METRICS,
        alignment=_ANY,
        average=_COUNTS,
        options={"reference": False, "classes": 0},
        regions="",
        camera="*",
    ),
)
