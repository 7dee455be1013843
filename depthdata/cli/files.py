"""Commands that do the same to each of many sequence files: verify, check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from depthdata.cli.base import EXIT_FAILED, EXIT_OK, EXIT_PARTLY_FAILED, Console
from depthdata.errors import DepthdataError, UsageError

__all__ = ["expand_files", "file_arguments", "for_each_file"]

F = TypeVar("F", bound=Callable[..., Any])


def file_arguments(command: F) -> F:
    """Add ``FILE...`` (files or folders) and ``--jobs``."""
    files = click.argument(
        "files",
        metavar="FILE...",
        nargs=-1,
        required=True,
        type=click.Path(exists=True, path_type=Path),
    )
    jobs = click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True)
    return files(jobs(command))


def expand_files(paths: tuple[Path, ...]) -> list[Path]:
    """Return the sequence files named, a folder standing for all in it."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*.h5")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path}: no sequence file (*.h5) in this folder")
        found += inside
    return found


def for_each_file(
    console: Console,
    paths: tuple[Path, ...],
    jobs: int,
    action: Literal["verify", "check"],
    pictures: Path | None = None,
) -> int:
    """Run one action on each file, print what it found, return the exit code."""
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    files = expand_files(paths)
    progress = console.progress("file")
    reports: dict[Path, tuple[bool, dict[str, Any], str]] = {}
    for path, report in _run(partial(_one, action=action, pictures=pictures), files, jobs):
        reports[path] = report
        if progress is not None:
            progress(len(reports), len(files), path.name)
    ordered = [reports[path] for path in files]
    console.result([data for _, data, _ in ordered], "\n".join(text for *_, text in ordered))
    failed = sum(not ok for ok, *_ in ordered)
    if not failed:
        return EXIT_OK
    return EXIT_FAILED if failed == len(files) else EXIT_PARTLY_FAILED


def _run(task: Callable[[Path], Any], files: list[Path], jobs: int) -> Iterator[tuple[Path, Any]]:
    if jobs == 1 or len(files) == 1:
        for path in files:
            yield path, task(path)
        return
    from depthdata.workers import WorkerLostError, run_tasks

    for position, result in run_tasks(task, files, jobs):
        path = files[position]
        if isinstance(result, WorkerLostError):
            result = _failed(path, f"{path}: {result}")
        yield path, result


def _one(path: Path, action: str, pictures: Path | None) -> tuple[bool, dict[str, Any], str]:
    try:
        return _verify(path) if action == "verify" else _check(path, pictures)
    except DepthdataError as error:
        return _failed(path, str(error))


def _failed(path: Path, problem: str) -> tuple[bool, dict[str, Any], str]:
    return False, {"path": str(path), "ok": False, "problems": [problem]}, f"FAIL {problem}"


def _verify(path: Path) -> tuple[bool, dict[str, Any], str]:
    from depthdata.sequence import verify

    report = verify(path)
    lines = [f"FAIL {path}: {problem}" for problem in report.problems]
    counted = ", ".join(f"{count} {what}" for what, count in report.checked.items())
    return (
        report.ok,
        {**asdict(report), "path": str(path), "ok": report.ok},
        "\n".join(lines) if lines else f"ok   {path}: {counted}",
    )


def _check(path: Path, pictures: Path | None) -> tuple[bool, dict[str, Any], str]:
    from depthdata.checks import check

    picture = None if pictures is None else pictures / f"{path.stem}.png"
    report = check(path, picture=picture)
    return report.ok, report.to_dict(), report.table()
