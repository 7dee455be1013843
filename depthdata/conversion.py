"""Convert a raw dataset: plan, run, receipts.

One sequence is one task with no shared state. A sequence file is complete or absent, whatever
happens to the process that writes it; what is complete already is skipped, so a stopped conversion
is continued by starting it again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from depthdata import sources
from depthdata._version import __version__
from depthdata.errors import (
    DepthdataError,
    FormatError,
    SourceError,
    UsageError,
)
from depthdata.receipts import append_receipt, rebuild_index
from depthdata.sequence import SequenceWriter, open_sequence, stale_parts
from depthdata.sources import SequenceSpec
from depthdata.workers import WorkerLostError, run_on_dask, run_tasks

__all__ = ["ConversionReport", "SequenceResult", "convert", "remove_stale_parts"]

Status = Literal["converted", "skipped", "failed", "planned"]
Profile = Literal["default", "portable"]
Progress = Callable[[int, int, str], object]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SequenceResult:
    """What became of one sequence.

    Parameters
    ----------
    sequence : str
    status : "converted", "skipped", "failed" or "planned"
        ``planned`` in a dry run only.
    path : Path, optional
        The sequence file; None where there is none.
    seconds : float
        Wall time of the task.
    bytes : int
        Size of the sequence file.
    message : str
        Why it failed or was skipped: one line.
    source_fingerprint : str
    """

    sequence: str
    status: Status
    path: Path | None = None
    seconds: float = 0.0
    bytes: int = 0
    message: str = ""
    source_fingerprint: str = ""


@dataclass(frozen=True)
class ConversionReport:
    """Results of all sequences, in the order of the plan."""

    results: tuple[SequenceResult, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[SequenceResult, ...]:
        """The results that failed."""
        return tuple(result for result in self.results if result.status == "failed")


@dataclass(frozen=True)
class _Task:
    spec: SequenceSpec
    out: str
    profile: Profile
    overwrite: bool
    skip_incomplete: bool
    preset: str | None


def convert(
    name: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    sequences: Iterable[str] | None = None,
    split: str | None = None,
    jobs: int = 2,
    scheduler: str | None = None,
    shard: str | None = None,
    overwrite: bool = False,
    skip_incomplete: bool = False,
    portable: bool = False,
    preset: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a raw dataset to sequence files ``out/<sequence>.h5``.

    A file that is there, complete, and of the same source, version and profile is skipped. A
    sequence that fails does not stop the others. ``dataset.json`` and ``receipts.jsonl`` in `out`
    are brought up to date; see `depthdata.receipts`.

    Parameters
    ----------
    name : str
        Dataset; see `depthdata.list_datasets`.
    source, out : path
        Folder of the raw data, folder for the sequence files.
    sequences : iterable of str, optional
        Only these.
    split : str, optional
        Only sequences of a published split (``"eigen_zhou/test"``) or of a part of the source.
    jobs : int
        Worker processes; 1 works in this process.
    scheduler : str, optional
        Address of a Dask cluster (``"tcp://host:port"``) that does the work instead.
    shard : str, optional
        ``"i/n"``: only each n-th sequence from the i-th on. Counting from 1 to n and from 0 to n-1
        both cover everything.
    overwrite : bool
        Convert again what is there but made from another source state, version or profile.
    skip_incomplete : bool
        Skip sequences whose source lacks files instead of failing them.
    portable : bool
        gzip instead of zstd, so that HDF5 needs no plug-in to read the file.
    preset : str, optional
        A preparation that the source offers, in addition to everything else: ``"dynamo_depth"``
        adds the small images that Dynamo-Depth's models were trained on. The file records it.
    dry_run : bool
        Only tell what would be done: results are ``planned`` or ``skipped``.
    progress : callable, optional
        Called with (done, total, sequence) after each sequence.

    Raises
    ------
    UsageError
        An argument is wrong.
    SourceError
        Nothing to convert was found in `source`.
    """
    source_module = sources.get(name)
    planned = _chosen(source_module.sequences(str(source)), sequences, split, shard, Path(source))
    if jobs < 1:
        raise UsageError(f"jobs should be 1 or more, found {jobs}")
    out = Path(out)
    profile: Profile = "portable" if portable else "default"
    presets = getattr(source_module, "PRESETS", {})
    if preset is not None and preset not in presets:
        raise UsageError(
            f"{name} has no preset {preset!r}; it has {', '.join(sorted(presets)) or 'none'}"
        )
    tasks = [_Task(spec, str(out), profile, overwrite, skip_incomplete, preset) for spec in planned]
    if dry_run:
        return ConversionReport(tuple(_plan(task) for task in tasks))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be a folder: {error.strerror or error}") from error
    remove_stale_parts(out)

    results: dict[int, SequenceResult] = {}
    try:
        for position, result in _run(tasks, jobs, scheduler):
            if isinstance(result, WorkerLostError):
                sequence = tasks[position].spec.name
                result = SequenceResult(sequence, "failed", message=f"{sequence}: {result}")
            results[position] = result
            _note(name, out, tasks[position], result)
            if progress is not None:
                progress(len(results), len(tasks), result.sequence)
    finally:
        remove_stale_parts(out)
        try:
            rebuild_index(out)
        except DepthdataError as error:  # the index can be made again, the report cannot
            _log.warning("%s", error)
    return ConversionReport(tuple(results[position] for position in range(len(tasks))))


def remove_stale_parts(root: str | os.PathLike[str]) -> list[Path]:
    """Remove what conversions on this host left half-written when they were killed.

    Parts of processes that live, and of other hosts, stay.
    """
    removed = []
    for path in stale_parts(Path(root)):
        with contextlib.suppress(FileNotFoundError):  # another conversion was faster
            path.unlink()
            removed.append(path)
    return removed


def _chosen(
    specs: list[SequenceSpec],
    sequences: Iterable[str] | None,
    split: str | None,
    shard: str | None,
    source: Path,
) -> list[SequenceSpec]:
    by_name: dict[str, SequenceSpec] = {}
    for spec in specs:
        if spec.name in by_name:
            raise SourceError(
                f"{source}: sequence {spec.name} is there twice, in {by_name[spec.name].root} and "
                f"{spec.root}; convert one of the two"
            )
        by_name[spec.name] = spec
    if sequences is not None:
        wanted = list(dict.fromkeys([sequences] if isinstance(sequences, str) else sequences))
        unknown = [name for name in wanted if name not in by_name]
        if unknown:
            raise UsageError(
                f"{source} has no sequence {', '.join(unknown)}; it has {_some(list(by_name))}"
            )
        specs = [spec for spec in specs if spec.name in wanted]
    if split is not None:
        specs = _of_split(specs, split, source)
    return specs[_shard(shard)] if shard is not None else specs


def _of_split(specs: list[SequenceSpec], split: str, source: Path) -> list[SequenceSpec]:
    own = [spec for spec in specs if spec.split == split]
    if own:
        return own
    from depthdata.splits import Split
    from depthdata.windows import load_selection

    chosen = load_selection(split)
    if isinstance(chosen, Split):
        # Waymo's lists name the folder of a record, too
        named = frozenset(name.rpartition("/")[2] for name in chosen.sequences)
    else:
        named = chosen.sequences_of((spec.name, spec.split, 0) for spec in specs)
    found = [spec for spec in specs if spec.name in named]
    if not found:
        raise UsageError(
            f"{source} has none of the sequences of split {split}; "
            f"it has {_some([spec.name for spec in specs])}"
        )
    return found


def _shard(text: str) -> slice:
    match = re.fullmatch(r"(\d+)/(\d+)", text, flags=re.ASCII)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if count < 1 or index > count:
        raise UsageError(f"shard should be I/N such as 1/8 ... 8/8, found {text!r}")
    return slice(index % count, None, count)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} ... ({len(names)})" if len(names) > 5 else shown or "none"


def _run(tasks: list[_Task], jobs: int, scheduler: str | None) -> Iterator[tuple[int, Any]]:
    if scheduler is not None:
        for position, answer in run_on_dask(_convert_one, tasks, scheduler):
            lost = isinstance(answer, BaseException)
            yield position, WorkerLostError(str(answer)) if lost else answer
    elif jobs == 1 or len(tasks) <= 1:
        for position, task in enumerate(tasks):
            yield position, _convert_one(task)
    else:
        yield from run_tasks(_convert_one, tasks, jobs)


def _convert_one(task: _Task) -> SequenceResult:
    """Convert a sequence; whatever goes wrong becomes part of the result."""
    start = time.perf_counter()
    try:
        result = _converted(task)
    except DepthdataError as error:
        incomplete = task.skip_incomplete and getattr(error, "incomplete", False)
        result = _without_file(task, "skipped" if incomplete else "failed", str(error))
    except Exception as error:
        known = isinstance(error, OSError)
        message = (
            _no_space(error, task.out) or f"{'' if known else type(error).__name__ + ': '}{error}"
        )
        if not known:
            _log.debug("%s", task.spec.name, exc_info=True)
        result = _without_file(task, "failed", f"{task.spec.name}: {message}")
    seconds = round(time.perf_counter() - start, 3)
    return SequenceResult(**{**vars(result), "seconds": seconds})


def _converted(task: _Task) -> SequenceResult:
    spec = task.spec
    source = sources.get(spec.dataset)
    fingerprint = source.fingerprint(spec)
    path = _path(task)
    if path.exists() and _up_to_date(task, fingerprint):
        size = path.stat().st_size
        return SequenceResult(spec.name, "skipped", path, 0.0, size, "is up to date", fingerprint)
    with SequenceWriter(
        path,
        dataset=spec.dataset,
        sequence=spec.name,
        split=spec.split,
        licence=source.CARD.licence,
        citation=source.CARD.citation,
        converter=_converter(task),
        source_fingerprint=fingerprint,
        profile=task.profile,
        attrs=_preset(task),
    ) as writer:
        source.write(spec, writer, **_preset(task))
    size = path.stat().st_size
    return SequenceResult(spec.name, "converted", path, 0.0, size, "", fingerprint)


def _up_to_date(task: _Task, fingerprint: str) -> bool:
    """Whether the file that is there need not be written; raise where it may not be replaced."""
    path = _path(task)
    try:
        with open_sequence(path) as sequence:
            differences = [
                f"{what} {found}, now {now}"
                for what, found, now in (
                    ("source", sequence.source_fingerprint, fingerprint),
                    ("converter", sequence.converter, _converter(task)),
                    ("sequence", sequence.name, task.spec.name),
                    ("profile", sequence.profile, task.profile),
                )
                if found != now
            ]
    except FormatError as error:
        differences = [str(error)]
    if not differences or task.overwrite:
        return not differences
    raise DepthdataError(
        f"{path} exists and is not what would be written ({'; '.join(differences)}); "
        "convert with overwrite, or to another folder"
    )


def _plan(task: _Task) -> SequenceResult:
    path, spec = _path(task), task.spec
    if not path.exists():
        return SequenceResult(spec.name, "planned", path)
    try:
        fingerprint = sources.get(spec.dataset).fingerprint(spec)
        current = _up_to_date(task, fingerprint)
    except DepthdataError as error:
        return SequenceResult(spec.name, "failed", path, message=str(error))
    if current:
        return SequenceResult(
            spec.name, "skipped", path, 0.0, path.stat().st_size, "is up to date", fingerprint
        )
    return SequenceResult(spec.name, "planned", path, message="would be replaced")


def _path(task: _Task) -> Path:
    return Path(task.out) / f"{task.spec.name}.h5"


def _preset(task: _Task) -> dict[str, str]:
    return {} if task.preset is None else {"preset": task.preset}


def _converter(task: _Task) -> str:
    dataset = task.spec.dataset
    return " ".join(
        ["depthdata", dataset, str(sources.get(dataset).VERSION), *_preset(task).values()]
    )


def _without_file(task: _Task, status: Status, message: str) -> SequenceResult:
    return SequenceResult(task.spec.name, status, message=" ".join(message.split()))


def _no_space(error: BaseException | None, out: str) -> str:
    """Say it plainly when the disk is full; HDF5 tells it in the text of other errors only."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        told = re.search(r"errno = (\d+)", str(error))
        if (number or (int(told[1]) if told else 0)) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return f"no space left in {out}; free some and convert again"
        error = error.__cause__ or error.__context__
    return ""


def _note(name: str, out: Path, task: _Task, result: SequenceResult) -> None:
    """Write the receipt; a full disk must not lose the other results."""
    record = {
        "dataset": name,
        "sequence": result.sequence,
        "status": result.status,
        "version": __version__,
        "converter": _converter(task),
        "source": task.spec.root,
        "source_fingerprint": result.source_fingerprint,
        "profile": task.profile,
        "seconds": result.seconds,
        "bytes": result.bytes,
        "message": result.message,
    }
    try:
        append_receipt(out, record)
    except DepthdataError as error:
        _log.warning("%s", error)
