"""The path of the camera: Dynamo-Depth's snippets, KITTI's drift, trajectories as a whole."""

from __future__ import annotations

from depthzoo.evaluation.protocols.protocol import Protocol, Range

__all__ = ["PROTOCOLS"]

_DYNAMO = dict.fromkeys(("metric", "disparity", "scale"), "snippet_scale")
_COMMON = (
    "The motions from each frame to the next are the model's; they are chained into a path. Truth: "
    "the file's T_world_cam of the camera that is evaluated. "
)

PROTOCOLS = (
    Protocol(
        id="dynamo_depth/odometry@1",
        kind="trajectory",
        title="Dynamo-Depth, odometry (as published, with its defects)",
        text=(
            "Evaluation of Dynamo-Depth, eval/odometry.py, for comparison with its published "
            "numbers. Sequences: the distinct ones of the test list, sorted, the first 100. "
            "Prediction: the motion of frames 1 to n - 2 to the next one, prepared images. Truth: "
            "poses of the VEHICLE, the first one dropped. Snippets of 5 frames at every frame; the "
            "last one has 4 points. The predicted points are re-ordered (z, x, y) and moved so "
            "that the first points coincide; scale = sum(truth * prediction) / sum(prediction^2), "
            "which may be negative; error = root of the summed squared distances, divided by the "
            "number of points OUTSIDE of the root (as SfMLearner). Mean over all snippets of all "
            "sequences; standard deviation (population), minimum, median and maximum beside it. "
            "Defects: the true motions are inverted, so that their chain runs backwards, in axes x "
            "forward, y left, z up, and the camera's place on the vehicle is ignored: the negative "
            "scale repairs the forward direction, but lateral and vertical components have the "
            "wrong sign, and an exact prediction has an error. nuScenes' uneven time steps are not "
            "accounted for."
        ),
        source="Dynamo-Depth, eval/odometry.py (Sun and Hariharan 2023, arXiv 2310.18887)",
        quantity="pose",
        truth="vehicle_poses",
        valid=Range(),
        metrics=("ate_sfm", "speed"),
        alignment=_DYNAMO,
        average=dict.fromkeys(("ate_sfm", "speed"), "weighted"),
        options={"measure": "dynamo", "length": 5, "sequences": 100},
        regions="",
        images=("rgb_288x512", "rgb_320x480"),
        datasets=("nuscenes", "waymo", "waymo_v2"),
        splits=("nuscenes/test", "waymo/test"),
        camera="front",
        preset="dynamo_depth",
        corrected="odometry/snippet5@1",
    ),
    Protocol(
        id="odometry/snippet5@1",
        kind="trajectory",
        title="Error of snippets of five frames",
        text=(
            _COMMON + "Snippets of 5 frames at every frame, whole ones only; truth and prediction "
            "run forwards from the snippet's first camera, in its axes. The prediction is scaled "
            "by the least squares factor of each snippet, which may not be negative (metric depth: "
            "not at all). Error = root of the mean squared distance of the five points. Mean over "
            "all snippets. An exact prediction has no error."
        ),
        source="depthzoo; Dynamo-Depth's and SfMLearner's snippets (Zhou et al. 2017) put right",
        quantity="pose",
        truth="camera_poses",
        valid=Range(),
        metrics=("ate", "speed"),
        alignment={"metric": "none", "scale": "snippet_scale"},
        average=dict.fromkeys(("ate", "speed"), "weighted"),
        options={"measure": "snippet", "length": 5},
        regions="",
        camera="*",
    ),
    Protocol(
        id="odometry/kitti@1",
        kind="trajectory",
        title="KITTI odometry: drift over 100 to 800 m",
        text=(
            _COMMON + "t_rel (percent) and r_rel (degrees per 100 m) as KITTI's "
            "evaluate_odometry: pieces of 100, 200 ... 800 m that begin at every tenth frame and "
            "end at the first frame beyond their length along the true path; the mean over all "
            "pieces of all lengths of all sequences. A path up to scale is first multiplied by the "
            "least squares factor of its positions relative to the first one, one for each "
            "sequence. A sequence shorter than 100 m has no piece and is left out."
        ),
        source="KITTI odometry development kit (Geiger et al. 2012)",
        quantity="pose",
        truth="camera_poses",
        valid=Range(),
        metrics=("t_rel", "r_rel"),
        alignment={"metric": "none", "scale": "scale"},
        average=dict.fromkeys(("t_rel", "r_rel"), "weighted"),
        options={"measure": "kitti"},
        regions="",
        datasets=("kitti_odometry",),
        camera="*",
    ),
    Protocol(
        id="odometry/trajectory@1",
        kind="trajectory",
        title="Absolute and relative error of whole trajectories",
        text=(
            _COMMON + "ATE: root mean square distance of the positions of a sequence after the "
            "best rotation and translation (for a path up to scale also the best factor; Umeyama "
            "1991). RPE: root mean square error of the motion to the next frame, metres and "
            "degrees, with that factor. Means over sequences, weighted by their frames."
        ),
        source="Sturm et al. 2012 (RGB-D SLAM benchmark)",
        quantity="pose",
        truth="camera_poses",
        valid=Range(),
        metrics=("ate", "rpe_translation", "rpe_rotation"),
        alignment={"metric": "se3", "scale": "sim3"},
        average=dict.fromkeys(("ate", "rpe_translation", "rpe_rotation"), "weighted"),
        options={"measure": "trajectory"},
        regions="",
        camera="*",
    ),
)
