"""Fetch archives, unpack each as soon as it is there, say what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Literal

from depthdata.downloading.access import Access, Item, Places, Resolved, resolve
from depthdata.downloading.access_bucket import fetch_remote
from depthdata.downloading.access_folder import found_in, put_in_place, verify
from depthdata.downloading.archives import extract
from depthdata.downloading.engine import Policy, fetch
from depthdata.downloading.plan import unpacked
from depthdata.downloading.progress import Progress
from depthdata.downloading.transfer_request import Outcome
from depthdata.errors import DepthdataError
from depthdata.sources.card import Archive, Card

__all__ = ["DownloadReport", "FileResult", "run"]

Status = Literal["ok", "there", "failed", "missing"]
UNPACKERS = 2


@dataclass(frozen=True)
class FileResult:
    """What became of one archive.

    Parameters
    ----------
    name : str
    status : str
        ``"ok"`` (fetched or unpacked in this run), ``"there"`` (was there already), ``"failed"``,
        or ``"missing"`` (not in the folder that was named, and not asked for by name).
    path : Path or None
        The file; None where it was deleted after unpacking, or is not there.
    into : Path or None
        Folder that it was unpacked into.
    bytes_fetched : int
        From the network, in this run.
    sha256 : str or None
    files : int
        That the archive has.
    message : str
        Why it failed, or what was noticed; one line, may be empty.
    """

    name: str
    status: Status
    path: Path | None = None
    into: Path | None = None
    bytes_fetched: int = 0
    sha256: str | None = None
    files: int = 0
    message: str = ""


@dataclass(frozen=True)
class DownloadReport:
    """Results of all files, in the order of the card, and remarks on the whole."""

    dataset: str
    root: Path
    results: tuple[FileResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[FileResult, ...]:
        """The results that failed."""
        return tuple(result for result in self.results if result.status == "failed")

    @property
    def bytes_fetched(self) -> int:
        """From the network, in this run."""
        return sum(result.bytes_fetched for result in self.results)


@dataclass(frozen=True)
class How:
    """How to fetch and what to do with it; see `depthdata.downloading.download`."""

    jobs: int = 4
    parts: int = 4
    limit_rate: float | None = None
    extract: bool = True
    delete_archives: bool = False
    chosen: bool = False
    policy: Policy | None = None


def run(
    card: Card,
    archives: Sequence[Archive],
    access: Access,
    places: Places,
    how: How,
    progress: Progress | None = None,
) -> DownloadReport:
    """Fetch and unpack; an archive that fails does not stop the others."""
    progress = Progress() if progress is None else progress
    done: dict[str, list[FileResult]] = {archive.name: [] for archive in archives}
    todo = []
    for archive in archives:
        finished = _finished(archive, archive.name, places, how)
        if finished is None:
            todo.append(archive)
        else:
            done[archive.name].append(finished)
    notes: list[str] = []
    if access.folder is not None:
        strict = len(todo) == len(archives)
        for archive, result in _from_folder(access.folder, todo, places, how, progress, strict):
            done[archive.name].append(result)
    elif todo:
        resolved = resolve(card, todo, access, places)
        notes += resolved.notes
        for name, line in resolved.problems.items():
            done[name].append(FileResult(name, "failed", message=line))
        for archive, result in _fetch(resolved, places, how, progress):
            done[archive.name].append(result)
    results = tuple(result for archive in archives for result in done[archive.name])
    return DownloadReport(card.name, places.root, results, tuple(notes))


def _finished(archive: Archive, name: str, places: Places, how: How) -> FileResult | None:
    """Return the result of a file that a former run has unpacked whole; None of any other."""
    path, into = places.of(archive, name), places.into(archive, name)
    if not how.extract or into is None or not unpacked(archive, path, into):
        return None
    if how.delete_archives:
        path.unlink(missing_ok=True)
    return FileResult(_shown(archive, name), "there", path if path.exists() else None, into)


def _shown(archive: Archive, name: str) -> str:
    return f"{archive.name}/{name}" if archive.many else name


def _fetch(
    resolved: Resolved, places: Places, how: How, progress: Progress
) -> list[tuple[Archive, FileResult]]:
    found = [(item, _finished(item.archive, item.name, places, how)) for item in resolved.items]
    done = [(item.archive, result) for item, result in found if result is not None]
    items = [item for item, result in found if result is None]
    unpacker = _Unpacker(items, places, how, progress)
    watched = _Watched(progress, unpacker)
    common: dict[str, Any] = {
        "jobs": how.jobs, "limit_rate": how.limit_rate, "progress": watched, "policy": how.policy
    }  # fmt: skip
    outcomes: dict[Path, Outcome] = {}
    with unpacker:
        requests = [item.request for item in items if item.request is not None]
        if requests:
            outcomes |= {o.path: o for o in fetch(requests, parts=how.parts, **common)}
        remotes = [item.remote for item in items if item.remote is not None]
        if remotes:
            outcomes |= {o.path: o for o in fetch_remote(remotes, **common)}
    fetched = [(item.archive, _result(item, outcomes[item.path], unpacker)) for item in items]
    return [*done, *fetched]


def _result(item: Item, outcome: Outcome, unpacker: _Unpacker) -> FileResult:
    found = FileResult(
        _shown(item.archive, item.name),
        outcome.status,
        outcome.path if outcome.status != "failed" else None,
        None,
        outcome.bytes_fetched,
        outcome.sha256,
        message=outcome.message,
    )
    return unpacker.added(item.path, found)


class _Unpacker:
    """Unpacks each archive in a thread, from the moment that it is there.

    The threads are daemons: an interrupt ends the program at once, and the next run goes on.
    """

    def __init__(self, items: Sequence[Item], places: Places, how: How, progress: Progress):
        self._items = {str(item.path): item for item in items}
        self._places, self._how, self._progress = places, how, progress
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._known: set[str] = set()
        self._results: dict[str, FileResult] = {}
        self._problem: BaseException | None = None
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(UNPACKERS)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, kind: object, *_: object) -> None:
        for _thread in self._threads:
            self._queue.put(None)
        if kind is None:
            for thread in self._threads:
                thread.join()
            if self._problem is not None:
                raise self._problem

    def there(self, key: str) -> None:
        """Begin with a file that is whole."""
        item = self._items.get(key)
        if item is None or not self._how.extract or key in self._known:
            return
        if self._places.into(item.archive, item.name) is not None:
            self._known.add(key)
            self._queue.put(key)

    def added(self, path: Path, found: FileResult) -> FileResult:
        """Return a result with what unpacking says."""
        unpacked_ = self._results.get(str(path))
        if found.status == "failed" or unpacked_ is None:
            return found
        return _joined(found, unpacked_)

    def _run(self) -> None:
        while (key := self._queue.get()) is not None:
            item = self._items[key]
            into = self._places.into(item.archive, item.name)
            assert into is not None
            try:
                self._results[key] = _unpack(
                    item.archive, item.path, into, self._how, self._progress
                )
            except BaseException as error:  # ours: the caller shall see it
                self._problem = error
                return


class _Watched(Progress):
    """Hands everything on, and tells the unpacker of each file that is whole."""

    def __init__(self, progress: Progress, unpacker: _Unpacker) -> None:
        super().__init__()
        self._inner, self._unpacker = progress, unpacker

    def expect(self, key: str, name: str, size: int | None) -> None:
        self._inner.expect(key, name, size)

    def start(self, key: str, size: int | None, done: int) -> None:
        self._inner.start(key, size, done)

    def advance(self, key: str, new: int, fetched: int | None = None) -> None:
        self._inner.advance(key, new, fetched)

    def note(self, line: str) -> None:
        self._inner.note(line)

    def finish(self, key: str, status: str, size: int | None = None) -> None:
        self._inner.finish(key, status, size)
        if status in ("ok", "there"):
            self._unpacker.there(key)


def _unpack(archive: Archive, path: Path, into: Path, how: How, progress: Progress) -> FileResult:
    try:
        report = extract(
            path,
            into,
            progress=progress,
            strip=archive.strip,
            existing=archive.existing,
            delete=how.delete_archives,
        )
    except DepthdataError as error:
        return FileResult(archive.name, "failed", path, into, message=str(error))
    except OSError as error:
        line = f"{error.filename or into}: {error.strerror or error}"
        return FileResult(archive.name, "failed", path, into, message=line)
    status: Status = "ok" if report.files else "there"
    kept = f"{report.kept} files were there with other bytes and kept" if report.kept else ""
    rest = None if report.deleted else path
    return FileResult(
        archive.name, status, rest, into, files=report.files + report.there, message=kept
    )


def _joined(found: FileResult, unpacked_: FileResult) -> FileResult:
    """Return one result for fetching and unpacking."""
    status = found.status if unpacked_.status == "there" else unpacked_.status
    said = "; ".join(line for line in (found.message, unpacked_.message) if line)
    return replace(
        found,
        status=status,
        path=unpacked_.path,
        into=unpacked_.into,
        files=unpacked_.files,
        message=said,
    )


def _from_folder(
    folder: Path,
    archives: Sequence[Archive],
    places: Places,
    how: How,
    progress: Progress,
    strict: bool,
) -> list[tuple[Archive, FileResult]]:
    """Verify and unpack what is in a folder; the files there are left as they are.

    That an archive is not there is a failure where it was asked for, or where there is none at all.
    """
    found = found_in(folder, archives)
    results = []
    for archive in archives:
        if archive.name not in found:
            line = f"{archive.name}: not in {folder}"
            status: Status = "failed" if how.chosen or (strict and not found) else "missing"
            results.append((archive, FileResult(archive.name, status, message=line)))
        for name, path in found.get(archive.name, []):
            results.append((archive, _taken(archive, name, path, places, how, progress)))
    return results


def _taken(
    archive: Archive, name: str, path: Path, places: Places, how: How, progress: Progress
) -> FileResult:
    shown = _shown(archive, name)
    try:
        outcome = verify(path, archive, places.root, progress)
        result = FileResult(
            shown, outcome.status, path, sha256=outcome.sha256, message=outcome.message
        )
        into = places.into(archive, name)
        if result.status == "failed":
            return replace(result, path=None)
        if into is None:
            to = places.of(archive, name)
            was_there = to.exists()
            put_in_place(path, to)
            return replace(result, status="there" if was_there else "ok", path=to)
        if not how.extract:
            return result
        return _joined(result, _unpack(archive, path, into, how, progress))
    except (DepthdataError, OSError) as error:
        return FileResult(shown, "failed", message=" ".join(str(error).split()))
