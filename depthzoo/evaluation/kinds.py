"""What the runner does with a task, by the kind of its protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.alignment import choose_alignment
from depthzoo.evaluation.frames import Task, sample_of
from depthzoo.evaluation.inputs import (
    Inputs,
    build_sample,
    complete_windows,
    prepared_geometry,
)
from depthzoo.evaluation.masks import MaskScore
from depthzoo.evaluation.paths import path_score, true_poses
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.quantities import predicted_map, predicted_mask, sample_geometry
from depthzoo.evaluation.records import FrameRecord
from depthzoo.evaluation.regions import region_masks
from depthzoo.evaluation.scoring import Curves, score
from depthzoo.evaluation.targets import frames_with_truth, truth_map
from depthzoo.evaluation.video import VideoScore
from depthzoo.models.card import Needs

if TYPE_CHECKING:
    from depthdata.sequence import Sequence

__all__ = ["Clock", "Run", "TaskResult", "clip_maps", "frame_map", "needs_of", "run_task"]

Step = Callable[[int, str], None]
PATH_FRAMES = 8
"""Frames that a model of paths is given together; neighbouring pieces share one."""


@dataclass
class TaskResult:
    """What a task gave.

    Parameters
    ----------
    records : list of (order, FrameRecord)
    curves : Curves
    invariance : str
        Of the predictions.
    seconds : float
        In the model.
    """

    records: list[tuple[int, FrameRecord]]
    curves: Curves
    invariance: str
    seconds: float


class Clock:
    """Adds up the time that a model takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


def run_task(
    model: Any, task: Task, protocol: Protocol, dataset: Any = None, step: Step | None = None
) -> TaskResult:
    """Predict and measure the frames of one file.

    Parameters
    ----------
    step : callable, optional
        ``(frames done of this task, sequence)``.
    """
    clock = Clock()
    with open_sequence(task.path) as seq:
        result = _KINDS[protocol.kind](Run(model, task, protocol, dataset, seq, step, clock))
    result.seconds = clock.seconds
    return result


@dataclass(frozen=True)
class Run:
    """A task that is being done."""

    model: Any
    task: Task
    protocol: Protocol
    dataset: Any
    seq: Sequence
    step: Step | None
    clock: Clock

    @property
    def inputs(self) -> Inputs:
        """Which images the model is given."""
        return Inputs.of(self.protocol)

    @property
    def needs(self) -> Needs:
        """What the model needs under the protocol."""
        return needs_of(self.model, self.protocol)

    def done(self, number: int) -> None:
        """Say how many frames are done."""
        if self.step is not None:
            self.step(number, self.seq.name)

    def record(self, frame: int, scored: Any, frames: int = 1) -> FrameRecord:
        """Return the record that begins at a frame."""
        name = str(self.seq.frame_ids[frame])
        return FrameRecord(self.seq.name, self.task.camera, frame, name, scored, frames)

    def predict(self, sample: Any) -> Any:
        """Run the model, on the clock."""
        with self.clock:
            return self.model.predict(sample)


def needs_of(model: Any, protocol: Protocol) -> Needs:
    """Return what a model is given: a mask of motion needs the neighbours, where it has them."""
    needs: Needs = model.needs
    if protocol.kind == "motion" and needs.views and needs.offsets == (0,):
        return replace(needs, offsets=(-1, 0, 1))
    return needs


def frame_map(run: Any, frame: int, order: int) -> tuple[NDArray[np.floating], str]:
    """Return the prediction of a frame in the protocol's quantity, and its invariance."""
    inputs = run.inputs
    sample = sample_of(run.seq, run.task, frame, order, run.model.needs, run.dataset, inputs)
    prediction = run.predict(sample)
    geometry = None
    if inputs.prepare:
        geometry = sample_geometry(sample) or prepared_geometry(
            *(run.seq, run.task.camera, frame, inputs)
        )
    values = predicted_map(
        *(prediction, run.model.needs, run.protocol.quantity, run.seq, run.task.camera, frame),
        geometry,
    )
    return values, prediction.invariance


def _frames(run: Run) -> TaskResult:
    protocol, camera = run.protocol, run.task.camera
    result = TaskResult([], Curves(protocol.compared), "", 0.0)
    pairs = zip(run.task.frames, run.task.order, strict=True)
    for n, (frame, order) in enumerate(pairs, start=1):
        values, result.invariance = frame_map(run, frame, order)
        truth = truth_map(protocol.truth, run.seq, camera, frame)
        size = (int(truth.shape[0]), int(truth.shape[1]))
        if values.shape == (1, 1):
            values = np.broadcast_to(values, size)
        regions = region_masks(protocol, run.seq, camera, frame, size)
        scored = score(protocol, values, truth, result.invariance, result.curves, regions)
        result.records.append((order, run.record(frame, scored)))
        run.done(n)
    return result


def _clip(run: Run) -> TaskResult:
    protocol, task = run.protocol, run.task
    result = TaskResult([], Curves(protocol.compared), "", 0.0)
    sums = VideoScore(protocol, result.curves)
    known = frames_with_truth(protocol.truth, run.seq, task.camera)
    cam = run.seq.cameras[task.camera]
    for n, (frame, values, invariance) in enumerate(clip_maps(run), start=1):
        choose_alignment(invariance, protocol.alignment, protocol.quantity)
        result.invariance = invariance
        truth = np.full((cam.height, cam.width), np.nan)
        if known[frame]:
            truth = np.asarray(
                truth_map(protocol.truth, run.seq, task.camera, frame, task.frames[0])
            )
        if values.shape == (1, 1):
            values = np.broadcast_to(values, truth.shape)
        if values.shape != truth.shape:
            raise UsageError(
                f"prediction is {values.shape}, truth is {truth.shape}; {protocol.id} compares "
                "pixel by pixel, so the model must return the size of its input"
            )
        size = (truth.shape[0], truth.shape[1])
        sums.add(values, truth, region_masks(protocol, run.seq, task.camera, frame, size))
        run.done(n)
    if sums.frames != len(task.frames):
        raise UsageError(
            f"{task.path}: the model predicted {sums.frames} of {len(task.frames)} frames; "
            f"{protocol.id} needs all (leave out reference_windows)"
        )
    record = run.record(task.frames[0], sums.finish(), len(task.frames))
    result.records.append((task.order[0], record))
    return result


def clip_maps(run: Run) -> Iterator[tuple[int, NDArray[np.floating], str]]:
    """Frame, map and invariance, in order; a model that takes videos is given the clip as one."""
    model, seq, camera, frames = run.model, run.seq, run.task.camera, run.task.frames
    quantity = run.protocol.quantity
    if hasattr(model, "stream"):
        reading = Clock()

        def samples() -> Iterator[Any]:
            for frame in frames:
                with reading:
                    sample = build_sample(seq, camera, frame, model.needs, run.inputs)
                yield sample

        predictions = iter(model.stream(samples()))
        while True:
            before = reading.seconds
            with run.clock:
                prediction = next(predictions, None)
            run.clock.seconds -= reading.seconds - before
            if prediction is None:
                return
            frame = frames[prediction.meta["frames"][0]]
            values = predicted_map(prediction, model.needs, quantity, seq, camera, frame)
            yield frame, values, prediction.invariance
    complete = complete_windows(seq, camera, model.needs, run.inputs.images)
    nothing = np.full((1, 1), np.nan)
    for frame, order in zip(frames, run.task.order, strict=True):
        if complete[frame]:
            values, invariance = frame_map(run, frame, order)
            yield frame, values, invariance
        else:
            yield frame, nothing, model.card.invariance


def _path(run: Run) -> TaskResult:
    protocol, task = run.protocol, run.task
    poses = true_poses(protocol, run.seq, task.camera, task.frames)
    if hasattr(run.model, "poses_of"):
        predicted, invariance = run.model.poses_of(run.seq, task.camera, task.frames)
        motions = np.linalg.inv(predicted[:-1]) @ predicted[1:]
        run.done(len(task.frames))
    else:
        motions, invariance = _motions(run)
    result = TaskResult([], Curves("pose"), invariance, 0.0)
    scored = path_score(protocol, motions, poses, invariance)
    record = run.record(task.frames[0], scored, len(task.frames))
    result.records.append((task.order[0], record))
    return result


def _motions(run: Run) -> tuple[NDArray[np.float64], str]:
    """Return the pose of each next camera in the one before it, (N-1, 4, 4)."""
    frames, found, invariance = run.task.frames, [], ""
    if len(frames) < 2:
        raise UsageError(f"{run.task.path}: a path needs two frames, found {len(frames)}")
    for start in range(0, len(frames) - 1, PATH_FRAMES - 1):
        piece = frames[start : start + PATH_FRAMES]
        offsets = [t - piece[0] for t in piece]
        sample = build_sample(
            run.seq, run.task.camera, piece[0], run.model.needs, run.inputs, offsets
        )
        prediction = run.predict(sample)
        if prediction.pose is None:
            raise UsageError(
                f"{run.model.card.name} predicts no poses, which {run.protocol.id} measures"
            )
        invariance = prediction.invariance
        pose = np.asarray(prediction.pose, np.float64)
        found.append(np.linalg.inv(pose[:-1]) @ pose[1:])
        run.done(min(start + PATH_FRAMES, len(frames)))
    return np.concatenate(found), invariance


def _masks(run: Run) -> TaskResult:
    protocol, task, seq = run.protocol, run.task, run.seq
    classes = int(protocol.options["classes"]) if seq.dataset.startswith("waymo") else 0
    result = TaskResult([], Curves("motion_mask"), "", 0.0)
    sums = MaskScore(protocol, classes)
    for n, (frame, order) in enumerate(zip(task.frames, task.order, strict=True), start=1):
        sample = sample_of(seq, task, frame, order, run.needs, None, run.inputs)
        prediction = run.predict(sample)
        result.invariance = prediction.invariance
        values = predicted_mask(prediction, run.needs, run.model.card.name)
        labels = np.asarray(truth_map(protocol.truth, seq, task.camera, frame))
        semantics = None
        if classes:
            semantics = np.asarray(seq.cameras[task.camera]["semantics"].raw(frame))
            semantics = np.minimum(semantics, classes - 1)
        sums.add(values, labels, semantics)
        run.done(n)
    record = run.record(task.frames[0], sums.finish(), len(task.frames))
    result.records.append((task.order[0], record))
    return result


_KINDS: dict[str, Callable[[Run], TaskResult]] = {
    "frame": _frames,
    "sequence": _clip,
    "trajectory": _path,
    "motion": _masks,
}
