"""What a model says of a sequence, frame by frame, in the form that pictures are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthdata.sequence import MISSING_TIME, Sequence
from depthdata.view import (
    Moment,
    odometry_recording,
    odometry_video,
    panels_video,
    points_video,
)
from depthdata.view.moments import Solids
from depthdata.view.video import frame_rate
from depthzoo.evaluation.inputs import complete_windows
from depthzoo.evaluation.pieces import predicted_frames

if TYPE_CHECKING:
    from depthzoo.models import Model
    from depthzoo.prediction import Prediction

__all__ = ["KINDS", "draw_prediction", "predicted_moments"]

KINDS = {
    "video": ".mp4",
    "points": ".points.mp4",
    "odometry": ".odometry.mp4",
    "recording": ".rrd",
}
"""What `draw_prediction` draws, and how its files end."""

_METRIC = ("metric", "disparity")


def draw_prediction(
    model: Model,
    sequence: Sequence,
    out: str | Path,
    *,
    kind: str = "video",
    camera: str = "left",
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Run a model on a sequence and write what it says as a picture that moves.

    Parameters
    ----------
    model : Model
        See `depthzoo.load`.
    sequence : Sequence
    out : path
        The file to write; it appears when it is whole.
    kind : str
        ``"video"`` (image, depth, flow), ``"points"`` (the points of the depth, in space),
        ``"odometry"`` (depth, flow, the way of the camera and what moves, in space) or
        ``"recording"`` (the same for the viewer rerun).
    camera : str
    limit : int, optional
        At most this many frames.
    progress : callable, optional
        Called with the number of frames done.

    Raises
    ------
    UsageError
        No such kind, or no frame that the model can predict.
    MissingDependencyError
        A recording is asked for and rerun is not installed.
    """
    if kind not in KINDS:
        raise UsageError(f"kind is one of {', '.join(KINDS)}, found {kind!r}")

    def counted() -> Iterator[Moment]:
        found = predicted_moments(model, sequence, camera, limit=limit)
        for number, one in enumerate(found, start=1):
            yield one
            if progress is not None:
                progress(number)

    title = f"{model.card.name} | {sequence.name}"
    if kind == "recording":
        return odometry_recording(counted(), out, title=title)
    draw: dict[str, Callable[..., Path]] = {
        "video": panels_video,
        "points": points_video,
        "odometry": odometry_video,
    }
    return draw[kind](counted(), out, title=title, fps=frame_rate(sequence.timestamps))


def predicted_moments(
    model: Model, sequence: Sequence, camera: str = "left", *, limit: int | None = None
) -> Iterator[Moment]:
    """Yield what a model says of the frames of a sequence, in order.

    A model that predicts motion is given pieces of consecutive frames that overlap, and its poses
    are joined to one path. Of a model without poses the pose is the sequence's own where the
    prediction is metric, else unknown.

    Parameters
    ----------
    model : Model
    sequence : Sequence
    camera : str
    limit : int, optional
        At most this many frames.

    Raises
    ------
    UsageError
        No frame has all images that the model needs.
    """
    complete = complete_windows(sequence, camera, model.needs)
    frames = np.flatnonzero(complete)[:limit].tolist()
    if not frames:
        raise UsageError(f"{sequence.path}: no frame has all images that the model needs")
    for found in predicted_frames(model, sequence, camera, frames):
        yield _moment(sequence, camera, found.frame, found.prediction, found.at, found.world)


def _moment(
    sequence: Sequence,
    camera: str,
    frame: int,
    prediction: Prediction,
    at: int,
    world: NDArray[np.float64] | None = None,
) -> Moment:
    """Take one frame out of a prediction; `world` is the pose of the prediction's first camera."""
    cam, times = sequence.cameras[camera], sequence.timestamps
    known = times[times != MISSING_TIME]
    pose = None
    if world is not None and prediction.pose is not None:
        pose = world @ prediction.pose[at]
    elif prediction.invariance in _METRIC and cam.poses is not None:
        pose = cam.pose(frame)
    image = np.asarray(cam["rgb"][frame])
    return Moment(
        frame=frame,
        name=str(sequence.frame_ids[frame]),
        seconds=None
        if times[frame] == MISSING_TIME
        else (int(times[frame]) - int(known[0])) * 1e-9,
        image=image if image.ndim == 3 else np.repeat(image[..., None], 3, 2),
        intrinsics=cam.intrinsics(frame),
        pose=pose if pose is not None and np.isfinite(pose).all() else None,
        depth=_depth(sequence, camera, frame, prediction, at),
        moving=None if prediction.motion_mask is None else prediction.motion_mask[at],
        flow=None if prediction.flow is None else prediction.flow[at],
        solids=_solids(prediction, at, world),
    )


def _depth(
    sequence: Sequence, camera: str, frame: int, prediction: Prediction, at: int
) -> NDArray[np.floating] | None:
    if prediction.depth is not None:
        return np.asarray(prediction.depth[at])
    if prediction.disparity is None:
        return None
    return sequence.stereo_geometry(camera, frame).depth(prediction.disparity[at])


def _solids(prediction: Prediction, at: int, world: NDArray[np.float64] | None) -> Solids | None:
    """Return the places of objects that a model follows; it says nothing of their sizes."""
    if not prediction.object_poses or world is None:
        return None
    found = {k: world @ poses[at] for k, poses in prediction.object_poses.items()}
    seen = {k: T for k, T in found.items() if np.isfinite(T).all()}
    places = np.array(list(seen.values())).reshape(-1, 4, 4)
    return Solids(np.array(list(seen), np.int64), places, np.zeros((len(seen), 3)))
