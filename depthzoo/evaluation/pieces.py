"""Frames of a sequence through a model, in the way that suits it: one by one, or as a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthzoo.evaluation.inputs import build_sample, complete_windows
from depthzoo.models.card import Needs

if TYPE_CHECKING:
    from depthdata.sequence import Sequence
    from depthzoo.prediction import Prediction

__all__ = ["FramePrediction", "predictable_frames", "predicted_frames"]

PIECE = 8
MOTION = ("pose", "flow", "motion_mask")


@dataclass(frozen=True, eq=False)
class FramePrediction:
    """What a model says of one frame.

    Parameters
    ----------
    frame : int
        Timeline index.
    prediction : Prediction
        Of this frame and perhaps others.
    at : int
        Where in it the frame is.
    world : (4, 4) float64 or None
        Pose of the first camera of the prediction in the axes of the run's first one; None where
        the model is not given consecutive frames.
    run : int
        Number of the run of consecutive frames.
    """

    frame: int
    prediction: Prediction
    at: int
    world: NDArray[np.float64] | None = None
    run: int = 0

    @property
    def pose(self) -> NDArray[np.float64] | None:
        """Pose (4, 4) of the camera in the axes of the first one of its run."""
        if self.world is None or self.prediction.pose is None:
            return None
        pose: NDArray[np.float64] = self.world @ self.prediction.pose[self.at]
        return pose


def _takes_pieces(model: Any) -> bool:
    moving = set(MOTION) & set(getattr(model, "outputs", model.card.gives))
    return bool(moving) and len(model.needs.views) == 1


def predictable_frames(model: Any, sequence: Sequence, camera: str) -> list[int]:
    """Return the frames around which every image that the model needs is there."""
    needs = Needs(views=model.needs.views) if _takes_pieces(model) else model.needs
    found: list[int] = np.flatnonzero(complete_windows(sequence, camera, needs)).tolist()
    return found


def predicted_frames(
    model: Any, sequence: Sequence, camera: str, frames: list[int]
) -> Iterator[FramePrediction]:
    """Yield what a model says of frames, in order.

    A model that predicts motion is given pieces of consecutive frames that overlap, and its poses
    are joined to one path. One that takes videos is given each run of consecutive frames as one.

    Parameters
    ----------
    model : Model
    sequence : Sequence
    camera : str
    frames : list of int
        Ascending, of `predictable_frames`.
    """
    if _takes_pieces(model):
        yield from _in_pieces(model, sequence, camera, frames)
    elif hasattr(model, "stream"):
        for number, run in enumerate(_runs(frames)):
            samples = (build_sample(sequence, camera, t, model.needs) for t in run)
            for prediction in model.stream(samples):
                frame = run[prediction.meta["frames"][0]]
                yield FramePrediction(frame, prediction, 0, run=number)
    else:
        for frame in frames:
            prediction = model.predict(build_sample(sequence, camera, frame, model.needs))
            several = len(getattr(prediction, prediction.given[0])) > 1
            at = tuple(model.needs.offsets).index(0) if several else 0
            yield FramePrediction(frame, prediction, at)


def _in_pieces(
    model: Any, sequence: Sequence, camera: str, frames: list[int]
) -> Iterator[FramePrediction]:
    """Predict runs of frames piece by piece; neighbours share two frames.

    Flow and masks of the first and the last frame of a piece are not known: those of the frames
    between are taken.
    """
    for number, run in enumerate(_runs(frames)):
        world = np.eye(4)  # of the first camera of the piece
        done = run[0] - 1
        for piece in _pieces(run):
            offsets = [t - piece[0] for t in piece]
            sample = build_sample(sequence, camera, piece[0], model.needs, offsets=offsets)
            cam = sequence.cameras[camera]
            if "instances" in cam.streams and all(cam["instances"].present[t] for t in piece):
                sample["instances"] = np.stack([cam["instances"][t] for t in piece])
            prediction = model.predict(sample)
            last = piece[-1] == run[-1]
            for i, frame in enumerate(piece):
                if frame > done and (last or i < len(piece) - 1):
                    yield FramePrediction(frame, prediction, i, world, number)
                    done = frame
            if prediction.pose is not None and not last:
                world = world @ prediction.pose[len(piece) - 2]


def _runs(frames: list[int]) -> Iterator[list[int]]:
    """Split frames where they are not consecutive.

    >>> list(_runs([1, 2, 5]))
    [[1, 2], [5]]
    """
    cuts = np.flatnonzero(np.diff(frames) != 1) + 1
    for part in np.split(np.asarray(frames), cuts):
        yield part.tolist()


def _pieces(run: list[int], size: int = PIECE) -> Iterator[list[int]]:
    """Cut a run into pieces of which neighbours share two frames.

    >>> list(_pieces([0, 1, 2, 3, 4], 4))
    [[0, 1, 2, 3], [2, 3, 4]]
    """
    start = 0
    while True:
        yield run[start : start + size]
        if start + size >= len(run):
            return
        start += size - 2
