"""Run a model over sequences under a protocol.

Only scores and sums are kept, so memory does not grow with the data. One sequence file (or clip)
is one task; with several jobs the tasks run in processes, and the result is the same bit for bit.
"""

from __future__ import annotations

import pickle
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depthdata.errors import DepthdataError, UsageError
from depthdata.sequence import open_sequence
from depthdata.workers import WorkerLostError, run_on_dask, run_tasks
from depthzoo.evaluation.alignment import choose_alignment
from depthzoo.evaluation.examples import find_examples
from depthzoo.evaluation.frames import Plan, Task, plan_frames
from depthzoo.evaluation.kinds import TaskResult, needs_of, run_task
from depthzoo.evaluation.ledger import check_training
from depthzoo.evaluation.protocols import Protocol, get_protocol
from depthzoo.evaluation.records import FrameRecord
from depthzoo.evaluation.results import Report
from depthzoo.evaluation.scoring import Curves
from depthzoo.evaluation.state import TaskStore

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
    scheduler: str | None = None,
    limit: int | None = None,
    examples: bool = False,
    progress: Progress | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    options: Mapping[str, Any] | None = None,
    state: str | Path | None = None,
    resume: bool = False,
) -> Report:
    """Evaluate a model under a named protocol.

    Parameters
    ----------
    model : Model or str
        A model, or the name of one (`depthzoo.list_models`). `StoredPredictions` stands for a
        model that was run elsewhere.
    data : path, list of paths or SequenceDataset
        Sequence files or folders of them. A dataset brings its own frames and images; the truth
        always comes from the files at full size.
    protocol : str or Protocol
        Such as ``"kitti_raw/lidar"`` (`depthzoo.evaluation.list_protocols`).
    split : str, optional
        Evaluate the frames of this published list, in its order, or the clips of this published
        rule (``"dynamic_replica/test_150"``).
    jobs : int
        Processes; each takes whole sequences. One that dies is replaced.
    scheduler : str, optional
        Address of a Dask cluster, ``"tcp://host:port"``, that does the work instead; its workers
        see the same files.
    limit : int, optional
        At most this many frames (the first ones).
    examples : bool
        Keep pictures of the best, median and worst frame for the HTML report.
    progress : callable, optional
        ``(done, total, sequence)`` after each frame (after each sequence with several jobs).
    weights, device, precision, options
        Passed to `depthzoo.load` when `model` is a name.
    state : path, optional
        Folder in which finished sequences are kept until the whole result is there.
    resume : bool
        Go on with what `state` holds, where it is of the same model, protocol and files.

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
    source = _Source(model, weights, device, precision, _options(model, rules, options))
    running = source.load()
    plan = plan_frames(data, rules, needs_of(running, rules), split=split, limit=limit)
    if not len(plan):
        raise UsageError(_nothing(plan, rules))
    if hasattr(running, "check"):
        running.check(rules, plan.tasks)
    described = _describe_data(plan)
    versions = _versions()
    store = None
    if state is not None and plan.dataset is None:
        facts = {
            "protocol": rules.describe(),
            "model": _describe_model(source, running, ""),
            "predictions": getattr(running, "fingerprint", None),
            "versions": versions,
        }
        store = TaskStore(state, facts, resume=resume)
    results = list(_results(source, running, plan, rules, jobs, scheduler, progress, store))
    frames = [pair[1] for pair in sorted((p for r in results for p in r.records), key=_order)]
    curves = Curves(results[0].curves.quantity)
    for result in results:
        curves.merge(result.curves)
    invariance = results[0].invariance
    report = Report(
        protocol=rules,
        frames=frames,
        curves=curves,
        model=_describe_model(source, running, invariance),
        data=described,
        alignment=choose_alignment(invariance, rules.alignment, rules.quantity),
        split=plan.split,
        left_out=plan.left_out,
        versions=versions,
    )
    report.limits = [*_limits(report, plan, limit), *_other_weights(running)]
    report.ledger = check_training(running.card, plan.tasks)
    if examples:
        report.examples = find_examples(running, plan, report)
    predicting = sum(r.seconds for r in results)
    report.timing = {
        "total_s": time.perf_counter() - started,
        "predict_s": predicting,
        "predict_s_per_frame": predicting / report.number_of_frames,
    }
    return report


@dataclass(frozen=True)
class _Source:
    """How a process comes by the model."""

    model: Any
    weights: str | Path | None
    device: str
    precision: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        if not isinstance(self.model, str):
            return self.model
        from depthzoo.models import load

        return load(
            self.model,
            device=self.device,
            precision=self.precision,
            weights=self.weights,
            **self.options,
        )


_WANTED = {"trajectory": "pose", "motion": "motion_mask"}


def _options(model: Any, protocol: Protocol, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the model's options; of one that gives several things, only what is measured."""
    chosen = dict(options or {})
    wanted = _WANTED.get(protocol.kind)
    if not isinstance(model, str):
        if chosen:
            raise UsageError("options are for a model that is given by its name")
        return chosen
    from depthzoo.models import family_options, model_card

    several = "outputs" in family_options(model)
    if several and "outputs" not in chosen:
        gives = model_card(model).gives
        chosen["outputs"] = ("depth", wanted) if wanted in gives else ("depth",)
    return chosen


def _order(pair: tuple[int, FrameRecord]) -> int:
    return pair[0]


def _results(
    source: _Source,
    model: Any,
    plan: Plan,
    protocol: Protocol,
    jobs: int,
    scheduler: str | None,
    progress: Progress | None,
    store: TaskStore | None,
) -> Iterator[TaskResult]:
    """Results of the tasks in their order; each is kept in the store as soon as it is there."""
    total, done = len(plan), 0
    digests: dict[Path, str] = {}
    for path in {task.path for task in plan.tasks}:
        with open_sequence(path) as seq:
            digests[path] = seq.digest
    ready: dict[int, TaskResult] = {}
    for i, task in enumerate(plan.tasks):
        found = store.load(task, digests[task.path]) if store is not None else None
        if found is not None:
            ready[i] = found
            done += len(task.frames)
    todo = [i for i in range(len(plan.tasks)) if i not in ready]
    if done and progress is not None:
        progress(done, total, "resumed")

    def keep(i: int, result: TaskResult) -> None:
        if store is not None:
            store.save(plan.tasks[i], digests[plan.tasks[i].path], result)

    if scheduler is None and (jobs == 1 or len(todo) <= 1):
        for i, task in enumerate(plan.tasks):
            if i in ready:
                yield ready.pop(i)
                continue
            before = done

            def step(n: int, name: str, before: int = before) -> None:
                if progress is not None:
                    progress(before + n, total, name)

            result = run_task(model, task, protocol, plan.dataset, step)
            keep(i, result)
            yield result
            done += len(task.frames)
        return
    try:
        work = pickle.dumps((source, plan.dataset, protocol))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"this model cannot be sent to other processes ({error}); use jobs=1, or give the "
            "model by its name"
        ) from None
    jobs_of = [(work, plan.tasks[i]) for i in todo]
    running = run_tasks(_work, jobs_of, jobs) if scheduler is None else _on_dask(jobs_of, scheduler)
    following = 0
    for position, answer in running:
        i = todo[position]
        task = plan.tasks[i]
        if isinstance(answer, WorkerLostError):
            raise DepthdataError(f"{task.path}: {answer}")
        if isinstance(answer, Exception):
            raise answer
        keep(i, answer)
        ready[i] = answer
        done += len(task.frames)
        if progress is not None:
            progress(done, total, task.path.stem)
        while following in ready:
            yield ready.pop(following)
            following += 1
    while following in ready:
        yield ready.pop(following)
        following += 1


Work = tuple[bytes, Task]


def _on_dask(work: list[Work], scheduler: str) -> Iterator[tuple[int, Any]]:
    for position, answer in run_on_dask(_work, work, scheduler):
        lost = isinstance(answer, BaseException) and not isinstance(answer, DepthdataError)
        yield position, WorkerLostError(repr(answer)) if lost else answer


_LOADED: dict[bytes, tuple[Any, Any, Protocol]] = {}


def _work(work: Work) -> TaskResult:
    """Do a task in a process of its own; its model is loaded once."""
    what, task = work
    if what not in _LOADED:
        import cv2

        cv2.setNumThreads(1)
        source, dataset, protocol = pickle.loads(what)
        _LOADED.clear()
        _LOADED[what] = (source.load(), dataset, protocol)
    model, dataset, protocol = _LOADED[what]
    return run_task(model, task, protocol, dataset, None)


def _limits(report: Report, plan: Plan, limit: int | None) -> list[str]:
    protocol, found = report.protocol, list(plan.notes)
    strange = sorted({d["dataset"] for d in report.data} - set(protocol.datasets))
    if protocol.datasets and strange:
        found.append(f"data are {', '.join(strange)}, not {', '.join(protocol.datasets)}")
    if protocol.splits and (report.split or {}).get("name") not in protocol.splits:
        found.append(f"frames are not those of split {' or '.join(protocol.splits)}")
    if limit is not None:
        found.append(f"only the first {limit} frames were asked for")
    asked = report.left_out if report.split else {}
    found += [f"{n} frames left out: {why}" for why, n in asked.items()]
    if protocol.clip is not None:
        short = sum(record.frames != protocol.clip for record in report.frames)
        if short:
            found.append(f"{short} clips are shorter than {protocol.clip} frames")
    if report.coverage < 1:
        missing = 100 * (1 - report.coverage)
        found.append(f"{missing:.2f} % of the truth's pixels have no prediction")
    return found


def _other_weights(model: Any) -> list[str]:
    """Say when a model has other weights than its card names; predictions are taken as they are."""
    files = model.card.weights
    if not files or hasattr(model, "fingerprint"):
        return []
    found = model.weights_sha256
    if found is None:
        return ["the model is untrained"]
    known = files[0].sha256 or files[0].sha256_prefix
    if len(files) == 1 and known and not found.startswith(known):
        return [f"weights (SHA-256 {found[:12]}) are not the published ones ({known[:12]})"]
    return []


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
        "options": dict(source.options) or dict(getattr(model, "options", {})),
    }


def _describe_data(plan: Plan) -> list[dict[str, Any]]:
    found = []
    for path in dict.fromkeys(task.path for task in plan.tasks):
        with open_sequence(path) as seq:
            found.append(
                {
                    "sequence": seq.name,
                    "dataset": seq.dataset,
                    "split": seq.split,
                    "file": path.name,
                    "digest": seq.digest,
                    "source_fingerprint": seq.source_fingerprint,
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
