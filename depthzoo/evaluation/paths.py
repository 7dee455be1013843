"""The path of the camera under one protocol: predicted motions and true poses in, measures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthzoo.evaluation.alignment import choose_alignment
from depthzoo.evaluation.metrics.snippets import dynamo_snippets, snippet_ate
from depthzoo.evaluation.metrics.trajectory import align_positions, ate, kitti_drift, rpe
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.scoring import Score

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = ["camera_poses", "chain", "path_score", "true_poses", "vehicle_poses"]

Poses = NDArray[np.float64]


def true_poses(protocol: Protocol, seq: Sequence, camera: str, frames: tuple[int, ...]) -> Poses:
    """Return the poses (N, 4, 4) that a protocol compares with, to the world.

    Raises
    ------
    UsageError
        The file has none, or not for every frame.
    """
    every = (vehicle_poses if protocol.truth == "vehicle_poses" else camera_poses)(seq, camera)
    chosen = every[list(frames)]
    lost = int((~np.isfinite(chosen).all((1, 2))).sum())
    if lost:
        raise UsageError(
            f"{seq.path}: camera {camera!r} has no pose in {lost} of {len(frames)} frames; "
            f"{protocol.id} needs all of them"
        )
    return chosen


def camera_poses(seq: Sequence, camera: str) -> Poses:
    """Return T_world_cam (T, 4, 4)."""
    poses = seq.cameras[camera].poses
    if poses is None:
        raise UsageError(f"{seq.path}: camera {camera!r} has no poses, which are the truth here")
    return poses


def vehicle_poses(seq: Sequence, camera: str) -> Poses:
    """Return the poses (T, 4, 4) of the vehicle as the source has them.

    nuScenes: the ego poses of the camera's records; Waymo: the frame's pose; else the camera's
    pose with its place on the rig taken out.
    """
    for cam in seq.cameras.values():
        if "ego_poses" in cam.transform:
            rows = np.asarray(cam.transform["ego_poses"], np.float64)
            return _from_quaternions(rows)
        if "T_world_rig" in cam.transform:
            return np.asarray(cam.transform["T_world_rig"], np.float64)
    cam = seq.cameras[camera]
    if cam.T_rig_cam is None:
        raise UsageError(
            f"{seq.path}: neither poses of the vehicle nor the place of camera {camera!r} on it "
            "are known; odometry/snippet5 takes the camera's own poses"
        )
    return camera_poses(seq, camera) @ np.linalg.inv(cam.T_rig_cam)


def _from_quaternions(rows: Poses) -> Poses:
    """Return (T, 4, 4) from (T, 7): w x y z, translation."""
    w, x, y, z = (rows[:, :4] / np.linalg.norm(rows[:, :4], axis=1, keepdims=True)).T
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, 0, :3] = np.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1
    )
    poses[:, 1, :3] = np.stack(
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], 1
    )
    poses[:, 2, :3] = np.stack(
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1
    )
    poses[:, :3, 3] = rows[:, 4:]
    return poses


def chain(motions: Poses) -> Poses:
    """Return poses (N+1, 4, 4) in the axes of the first camera, from motions (N, 4, 4)."""
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ motion)
    return np.stack(poses)


def path_score(protocol: Protocol, motions: Poses, poses: Poses, invariance: str) -> Score:
    """Measure the path through one sequence.

    Parameters
    ----------
    protocol : Protocol
        ``options["measure"]``: ``"dynamo"``, ``"snippet"``, ``"kitti"`` or ``"trajectory"``.
    motions : (N, 4, 4)
        Predicted pose of each next camera in the one before it.
    poses : (N+1, 4, 4)
        True ones of the same frames, of the camera or of the vehicle as the protocol says.
    invariance : str
        The prediction's.
    """
    alignment = choose_alignment(invariance, protocol.alignment, "pose")
    measure = protocol.options["measure"]
    predicted = chain(np.asarray(motions, np.float64))
    series: dict[str, Any] = {}
    scale = 1.0
    if measure in ("dynamo", "snippet"):
        length = protocol.options["length"]
        if measure == "dynamo":
            errors, speeds = dynamo_snippets(motions[1:], poses, length=length)
        else:
            fit = "none" if alignment == "none" else "positive"
            errors, speeds = snippet_ate(motions, poses, length=length, scale=fit)
        series = {"error": errors.tolist(), "speed": speeds.tolist()}
        means = [float(a.mean()) if len(a) else float("nan") for a in (errors, speeds)]
        values, weight = dict(zip(protocol.metrics, means, strict=True)), float(len(errors))
        shown = "sim3"
    elif measure == "kitti":
        scale = align_positions(predicted, poses, alignment)[1] if alignment != "none" else 1.0
        drift = kitti_drift(predicted, poses, scale=scale)
        values = {name: float(drift[name]) for name in protocol.metrics}
        weight, shown = float(drift["pieces"]), "first" if alignment == "none" else alignment
        series = {"t_rel_by_length": [v["t_rel"] for v in drift["by_length"].values()]}
    else:
        whole = ate(predicted, poses, alignment=alignment)
        scale = whole["scale"]
        steps = rpe(predicted, poses, scale=scale)
        values = {
            "ate": whole["rmse"],
            "rpe_translation": steps["translation"]["rmse"],
            "rpe_rotation": steps["rotation"]["rmse"],
        }
        weight, shown = float(len(poses)), alignment
    placed = align_positions(predicted, poses, shown)[0]
    for name, positions in (("predicted", placed), ("true", poses[:, :3, 3])):
        series |= {f"{name}_{axis}": positions[:, k].tolist() for k, axis in enumerate("xyz")}
    series["up"] = _up(protocol, poses)
    return Score(values, len(poses), 0, scale, weight=weight, series=series)


def _up(protocol: Protocol, poses: Poses) -> list[float]:
    """Return which way is up (3,) in the world: a camera's -y, a vehicle's z, on average."""
    axes = poses[:, :3, 2] if protocol.truth == "vehicle_poses" else -poses[:, :3, 1]
    found: list[float] = axes.mean(0).tolist()
    return found
