"""Pictures of the best, the median and the worst frame of an evaluation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from depthdata.sequence import open_sequence
from depthzoo.evaluation.frames import Plan, Task
from depthzoo.evaluation.inputs import Inputs, image_stream
from depthzoo.evaluation.kinds import frame_map
from depthzoo.evaluation.measures import measure_named
from depthzoo.evaluation.results import Example, Report
from depthzoo.evaluation.scoring import error_map
from depthzoo.evaluation.targets import truth_map

__all__ = ["find_examples"]


def find_examples(model: Any, plan: Plan, report: Report) -> list[Example]:
    """Predict the best, the median and the worst frame once more and keep the pictures.

    Of other kinds than ``"frame"`` there are none.
    """
    if report.protocol.kind != "frame":
        return []
    name = report.protocol.headline
    sign = 1.0 if measure_named(name).lower_is_better else -1.0
    where = {
        order: (task, frame)
        for task in plan.tasks
        for frame, order in zip(task.frames, task.order, strict=True)
    }
    ranked = sorted(
        (sign * record.score.values[name], order)
        for order, record in zip(sorted(where), report.frames, strict=True)
        if record.score.pixels
    )
    if not ranked:
        return []
    picks = {"best": ranked[0], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[-1]}
    position = {order: i for i, order in enumerate(sorted(where))}
    found, seen = [], set()
    for kind, (_, order) in picks.items():
        if order in seen:
            continue
        seen.add(order)
        task, frame = where[order]
        found.append(_example(model, plan, report, kind, task, frame, order, position[order]))
    return found


def _example(
    model: Any, plan: Plan, report: Report, kind: str, task: Task, frame: int, order: int, i: int
) -> Example:
    protocol = report.protocol
    with open_sequence(task.path) as seq:
        run = SimpleNamespace(
            model=model,
            task=task,
            protocol=protocol,
            dataset=plan.dataset,
            seq=seq,
            inputs=Inputs.of(protocol),
            predict=model.predict,
        )
        values, invariance = frame_map(run, frame, order)
        truth = truth_map(protocol.truth, seq, task.camera, frame)
        cam = seq.cameras[task.camera]
        stream = image_stream(seq, task.camera, (*protocol.images, "rgb"))
        size = (int(truth.shape[0]), int(truth.shape[1]))
        image = np.zeros((*size, 3), np.uint8) if stream is None else np.asarray(cam[stream][frame])
    aligned, shown, errors = error_map(protocol, values, truth, invariance)
    if image.shape[:2] != size:
        import cv2

        image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return Example(kind, report.frames[i], image, shown, aligned, errors)
