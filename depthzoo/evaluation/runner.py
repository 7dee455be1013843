"""Run a model over sequences under a protocol, frame by frame.

Only scores and sums are kept, so memory does not grow with the data. One sequence file is one
task; with several jobs the tasks run in processes, and the result is the same bit for bit.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.errors import UsageError
from depthdata.sequence import open_sequence
from depthzoo.evaluation.alignment import choose_alignment
from depthzoo.evaluation.frames import Plan, Task, plan_frames, sample_of
from depthzoo.evaluation.metrics import metric
from depthzoo.evaluation.protocols import Protocol, get_protocol
from depthzoo.evaluation.quantities import predicted_map
from depthzoo.evaluation.results import Example, FrameRecord, Report
from depthzoo.evaluation.scoring import Curves, error_map, score
from depthzoo.evaluation.targets import truth_map

if TYPE_CHECKING:
    from depthdata.loading import SequenceDataset
    from depthzoo.models import Model

__all__ = ["evaluate"]

Progress = Callable[[int, int, str], None]


def evaluate(
    model: Model | str,
    data: str | Path | Iterable[str | Path] | SequenceDataset,
    protocol: str | Protocol,
    *,
    split: str | None = None,
    jobs: int = 1,
    limit: int | None = None,
    examples: bool = False,
    progress: Progress | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "fp32",
) -> Report:
    """Evaluate a model under a named protocol.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one (`depthzoo.list_models`).
    data : path, list of paths or SequenceDataset
        Sequence files or folders of them. A dataset brings its own frames and images; the truth
        always comes from the files at full size.
    protocol : str or Protocol
        Such as ``"kitti_raw/lidar"`` (`depthzoo.evaluation.list_protocols`).
    split : str, optional
        Evaluate the frames of this published list, in its order.
    jobs : int
        Processes; each takes whole sequences.
    limit : int, optional
        At most this many frames (the first ones).
    examples : bool
        Keep pictures of the best, median and worst frame for the HTML report.
    progress : callable, optional
        ``(done, total, sequence)`` after each frame (after each sequence with several jobs).
    weights, device, precision
        Passed to `depthzoo.load` when `model` is a name.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        The data lack what the model or the protocol needs, or the protocol offers no alignment
        that the prediction's invariance permits.
    """
    started = time.perf_counter()
    rules = get_protocol(protocol)
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, found {jobs}")
    source = _Source(model, weights, device, precision)
    running = source.load()
    plan = plan_frames(data, rules, running.needs, split=split, limit=limit)
    if not len(plan):
        raise UsageError(_nothing(plan, rules))
    results = list(_results(source, running, plan, rules, jobs, progress))
    frames = [pair[1] for pair in sorted((p for r in results for p in r.records), key=_order)]
    curves = Curves(rules.quantity)
    for result in results:
        curves.merge(result.curves)
    invariance = results[0].invariance
    report = Report(
        protocol=rules,
        frames=frames,
        curves=curves,
        model=_describe_model(source, running, invariance),
        data=_describe_data(plan),
        alignment=choose_alignment(invariance, rules.alignment),
        split=plan.split,
        left_out=plan.left_out,
        versions=_versions(),
    )
    report.limits = _limits(report, limit)
    if examples:
        report.examples = _examples(running, plan, report)
    predicting = sum(r.seconds for r in results)
    report.timing = {
        "total_s": time.perf_counter() - started,
        "predict_s": predicting,
        "predict_s_per_frame": predicting / len(frames),
    }
    return report


@dataclass(frozen=True)
class _Source:
    """How a process comes by the model."""

    model: Any
    weights: str | Path | None
    device: str
    precision: str

    def load(self) -> Any:
        if not isinstance(self.model, str):
            return self.model
        from depthzoo.models import load

        return load(self.model, device=self.device, precision=self.precision, weights=self.weights)


@dataclass
class _TaskResult:
    records: list[tuple[int, FrameRecord]]
    curves: Curves
    invariance: str
    seconds: float


def _order(pair: tuple[int, FrameRecord]) -> int:
    return pair[0]


def _results(
    source: _Source,
    model: Any,
    plan: Plan,
    protocol: Protocol,
    jobs: int,
    progress: Progress | None,
) -> Iterator[_TaskResult]:
    total, done = len(plan), 0
    if jobs == 1 or len(plan.tasks) == 1:
        for task in plan.tasks:
            before = done

            def step(n: int, name: str, before: int = before) -> None:
                if progress is not None:
                    progress(before + n, total, name)

            yield _run_task(model, task, protocol, plan.dataset, step)
            done += len(task.frames)
        return
    with ProcessPoolExecutor(
        min(jobs, len(plan.tasks)),
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(source, plan.dataset),
    ) as pool:
        futures = [pool.submit(_run_in_worker, task, protocol) for task in plan.tasks]
        try:
            for task, future in zip(plan.tasks, futures, strict=True):
                result = future.result()
                done += len(task.frames)
                if progress is not None:
                    progress(done, total, task.path.stem)
                yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_WORKER: dict[str, Any] = {}


def _start_worker(source: _Source, dataset: Any) -> None:
    import cv2

    cv2.setNumThreads(1)
    _WORKER.update(model=source.load(), dataset=dataset)


def _run_in_worker(task: Task, protocol: Protocol) -> _TaskResult:
    return _run_task(_WORKER["model"], task, protocol, _WORKER["dataset"], None)


def _run_task(
    model: Any,
    task: Task,
    protocol: Protocol,
    dataset: Any,
    step: Callable[[int, str], None] | None,
) -> _TaskResult:
    result = _TaskResult([], Curves(protocol.quantity), "", 0.0)
    with open_sequence(task.path) as seq:
        for n, (frame, order) in enumerate(zip(task.frames, task.order, strict=True), start=1):
            sample = sample_of(seq, task, frame, order, model.needs, dataset)
            start = time.perf_counter()
            prediction = model.predict(sample)
            result.seconds += time.perf_counter() - start
            values = predicted_map(
                prediction, model.needs, protocol.quantity, seq, task.camera, frame
            )
            truth = truth_map(protocol.truth, seq, task.camera, frame)
            scored = score(protocol, values, truth, prediction.invariance, result.curves)
            name = str(seq.frame_ids[frame])
            record = FrameRecord(seq.name, task.camera, frame, name, scored)
            result.records.append((order, record))
            result.invariance = prediction.invariance
            if step is not None:
                step(n, seq.name)
    return result


def _examples(model: Any, plan: Plan, report: Report) -> list[Example]:
    """Predict the best, the median and the worst frame once more and keep the pictures."""
    name = report.protocol.headline
    sign = 1.0 if metric(name).lower_is_better else -1.0
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
        sample = sample_of(seq, task, frame, order, model.needs, plan.dataset)
        prediction = model.predict(sample)
        values = predicted_map(prediction, model.needs, protocol.quantity, seq, task.camera, frame)
        truth = truth_map(protocol.truth, seq, task.camera, frame)
        image = np.asarray(seq.cameras[task.camera]["rgb"][frame])
    aligned, errors = error_map(protocol, values, truth, prediction.invariance)
    shown = np.where(protocol.valid.contains(truth), truth, np.nan)
    return Example(kind, report.frames[i], image, shown, aligned, errors)


def _limits(report: Report, limit: int | None) -> list[str]:
    protocol, found = report.protocol, []
    strange = sorted({d["dataset"] for d in report.data} - set(protocol.datasets))
    if protocol.datasets and strange:
        found.append(f"data are {', '.join(strange)}, not {', '.join(protocol.datasets)}")
    if protocol.split and (report.split or {}).get("name") != protocol.split:
        found.append(f"frames are not those of split {protocol.split}")
    if limit is not None:
        found.append(f"only the first {limit} frames were asked for")
    asked = report.left_out if report.split else {}
    found += [f"{n} frames left out: {why}" for why, n in asked.items()]
    if report.coverage < 1:
        missing = 100 * (1 - report.coverage)
        found.append(f"{missing:.2f} % of the truth's pixels have no prediction")
    return found


def _describe_model(source: _Source, model: Any, invariance: str) -> dict[str, Any]:
    named = isinstance(source.model, str)
    weights = source.weights if named else None
    return {
        "name": model.card.name,
        "title": model.card.title,
        "invariance": invariance,
        "weights_sha256": model.weights_sha256,
        "weights_file": Path(weights).name if weights is not None else None,
        "device": source.device if named else str(getattr(model, "device", "")) or None,
        "precision": source.precision if named else getattr(model, "precision", None),
    }


def _describe_data(plan: Plan) -> list[dict[str, Any]]:
    found = []
    for path in dict.fromkeys(task.path for task in plan.tasks):
        with open_sequence(path) as seq:
            found.append(
                {
                    "sequence": seq.name,
                    "dataset": seq.dataset,
                    "file": path.name,
                    "digest": seq.digest,
                    "converter": seq.converter,
                }
            )
    return found


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    import cv2

    from depthdata._version import __version__

    found = {
        "depthdata": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
    with suppress(PackageNotFoundError):
        found["torch"] = version("torch")
    return found


def _nothing(plan: Plan, protocol: Protocol) -> str:
    reasons = "; ".join(f"{n} frames: {why}" for why, n in plan.left_out.items())
    return (
        f"nothing to evaluate under {protocol.id}: "
        f"{reasons or 'no frames'} (camera {protocol.camera!r})"
    )
