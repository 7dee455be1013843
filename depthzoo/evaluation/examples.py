"""Pictures of the best, the median and the worst frame of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from depthdata.sequence import open_sequence
from depthzoo.evaluation.frames import Plan, Task, complete_windows, sample_of
from depthzoo.evaluation.inputs import image_stream
from depthzoo.evaluation.kinds import Clock, Run, clip_maps, frame_map
from depthzoo.evaluation.measures import measure_named
from depthzoo.evaluation.metrics.motion import binary_scores
from depthzoo.evaluation.metrics.resampling import resize
from depthzoo.evaluation.protocols import Protocol
from depthzoo.evaluation.quantities import predicted_mask
from depthzoo.evaluation.records import FrameRecord
from depthzoo.evaluation.results import Example, Report
from depthzoo.evaluation.scoring import Score, error_map
from depthzoo.evaluation.targets import truth_map

__all__ = ["find_examples"]

_CANDIDATES = 8
"""Frames of a sequence that are looked at for a picture of its mask."""

_UNLABELLED = 3
T = TypeVar("T")


def find_examples(model: Any, plan: Plan, report: Report) -> list[Example]:
    """Predict some frames once more and keep the pictures.

    Of frames the best, the median and the worst; of clips the worst frame of the best, the median
    and the worst one, and the first frame of the worst; of masks a frame of each of those
    sequences. Of paths there are none: charts show them.
    """
    find = {"frame": _of_frames, "sequence": _of_clips, "motion": _of_masks}
    kind = report.protocol.kind
    return list(find[kind](model, plan, report)) if kind in find else []


def _picks(pairs: Iterable[tuple[float, T]], name: str) -> dict[str, T]:
    """Return what is best, median and worst by a measure; each thing once."""
    sign = 1.0 if measure_named(name).lower_is_better else -1.0
    known = [(sign * value, i, what) for i, (value, what) in enumerate(pairs) if value == value]
    ranked = [what for *_, what in sorted(known, key=lambda one: one[:2])]
    found: dict[str, T] = {}
    if ranked:
        places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
        taken: set[int] = set()
        for kind, place in places.items():
            if place not in taken:
                taken.add(place)
                found[kind] = ranked[place]
    return found


def _of_frames(model: Any, plan: Plan, report: Report) -> Iterator[Example]:
    where = sorted(
        (order, frame, i)
        for i, task in enumerate(plan.tasks)
        for frame, order in zip(task.frames, task.order, strict=True)
    )
    name = report.protocol.headline
    scored = [
        (record.score.values[name] if record.score.pixels else math.nan, (record, *place))
        for record, place in zip(report.frames, where, strict=True)
    ]
    for kind, (record, order, frame, i) in _picks(scored, name).items():
        with _running(model, plan, report, plan.tasks[i]) as run:
            values, invariance = frame_map(run, frame, order)
            yield _map(run, kind, record, frame, values, invariance)


def _of_clips(model: Any, plan: Plan, report: Report) -> Iterator[Example]:
    for kind, (record, task) in _picks(_tasks(plan, report), report.protocol.headline).items():
        errors = np.array(record.score.series["epe"], np.float64)
        if np.isnan(errors).all():
            continue
        wanted = {int(np.nanargmax(errors)): (kind, "the worst frame of the clip")}
        if kind == "worst" and 0 not in wanted and np.isfinite(errors[0]):
            wanted[0] = ("first", "the first frame of the worst clip")
        found = []
        with _running(model, plan, report, task) as run:
            for position, values, invariance in _maps(run, wanted):
                frame, (shown, note) = task.frames[position], wanted[position]
                own = Score({"epe": float(errors[position])}, 0, 0, 1.0)
                one = run.record(frame, own)
                found.append(_map(run, shown, one, frame, values, invariance, note, task.frames[0]))
        yield from sorted(found, key=lambda example: example.kind == "first")


def _maps(run: Run, wanted: Mapping[int, Any]) -> Iterator[tuple[int, NDArray[np.floating], str]]:
    """Yield the predictions at positions of a clip; one that takes videos sees all before them."""
    if hasattr(run.model, "stream"):
        last = max(wanted)
        for position, (_, values, invariance) in enumerate(clip_maps(run)):
            if position in wanted:
                yield position, values, invariance
            if position == last:
                return
        return
    complete = complete_windows(run.seq, run.task.camera, run.model.needs, run.inputs.images)
    for position in sorted(wanted):
        frame = run.task.frames[position]
        if complete[frame]:
            yield position, *frame_map(run, frame, run.task.order[position])


def _of_masks(model: Any, plan: Plan, report: Report) -> Iterator[Example]:
    name = report.protocol.headline
    threshold = report.aggregate["threshold"]
    for kind, (_, task) in _picks(_tasks(plan, report), name).items():
        with _running(model, plan, report, task) as run:
            seen = [
                (one.record.score.values["f1"], one)
                for one in (
                    _mask(run, kind, task.frames[p], task.order[p], threshold)
                    for p in _spread(run, task)
                )
            ]
        found = _picks(seen, "f1")
        if found:
            yield found.get(kind, found["best"])


def _spread(run: Run, task: Task) -> list[int]:
    """Return positions spread over a sequence, of frames in which something moves."""
    every = np.linspace(0, len(task.frames) - 1, min(4 * _CANDIDATES, len(task.frames)))
    places = dict.fromkeys(every.round().astype(int).tolist())
    moving = [
        p
        for p in places
        if 1 in np.asarray(truth_map(run.protocol.truth, run.seq, task.camera, task.frames[p]))
    ]
    chosen = np.linspace(0, len(moving) - 1, min(_CANDIDATES, len(moving))).round().astype(int)
    return [moving[i] for i in chosen.tolist()]


def _mask(run: Run, kind: str, frame: int, order: int, threshold: float) -> Example:
    sample = sample_of(run.seq, run.task, frame, order, run.needs, None, run.inputs)
    values = predicted_mask(run.predict(sample), run.needs, run.model.card.name)
    labels = np.asarray(truth_map(run.protocol.truth, run.seq, run.task.camera, frame))
    size = (int(labels.shape[0]), int(labels.shape[1]))
    if values.shape != size:
        values = resize(np.asarray(values), size)
    told = labels != _UNLABELLED
    said, moves = (values > threshold), labels == 1
    outcome = np.select([moves & said, ~moves & said, moves & ~said], [1.0, 2.0, 3.0], 0.0)
    outcome[~told] = np.nan
    scores = binary_scores(said, moves, told & np.isfinite(values))
    kept = {name: float(scores[name]) for name in ("f1", "precision", "recall", "iou")}
    record = run.record(frame, Score(kept, int(told.sum()), 0, 1.0))
    note = f"one of {len(run.task.frames)} frames, decided at threshold {threshold:.3f}"
    image = _image(run, frame, size)
    return Example(kind, record, image, labels.astype(np.float64), values, outcome, note)


def _tasks(plan: Plan, report: Report) -> list[tuple[float, tuple[FrameRecord, Task]]]:
    """Return each record that is a whole task, with its value and its task."""
    tasks = sorted(plan.tasks, key=lambda task: task.order[0])
    name = report.protocol.headline
    return [
        (record.score.values[name], (record, task))
        for record, task in zip(report.frames, tasks, strict=True)
    ]


@contextmanager
def _running(model: Any, plan: Plan, report: Report, task: Task) -> Iterator[Run]:
    with open_sequence(task.path) as seq:
        yield Run(model, task, report.protocol, plan.dataset, seq, None, Clock())


def _map(
    run: Run,
    kind: str,
    record: FrameRecord,
    frame: int,
    values: NDArray[np.floating],
    invariance: str,
    note: str = "",
    first: int | None = None,
) -> Example:
    protocol: Protocol = run.protocol
    camera = run.task.camera
    truth = truth_map(protocol.truth, run.seq, camera, frame, first)
    size = (int(truth.shape[0]), int(truth.shape[1]))
    if values.shape == (1, 1):
        values = np.broadcast_to(values, size)
    aligned, shown, errors = error_map(protocol, values, truth, invariance)
    return Example(kind, record, _image(run, frame, size), shown, aligned, errors, note)


def _image(run: Run, frame: int, size: Sequence[int]) -> NDArray[np.uint8]:
    """Return what the model saw, at the truth's size."""
    stream = image_stream(run.seq, run.task.camera, (*run.protocol.images, "rgb"))
    if stream is None:
        return np.zeros((size[0], size[1], 3), np.uint8)
    image = np.asarray(run.seq.cameras[run.task.camera][stream][frame])
    if image.shape[:2] != tuple(size):
        import cv2

        shrunk = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, np.uint8)
    return image
