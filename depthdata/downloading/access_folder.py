"""Archives that the user has already: found in a folder, verified like those of a download."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from depthdata.downloading import diagnosis
from depthdata.downloading.progress import Progress
from depthdata.downloading.state import durable_write
from depthdata.downloading.state_record import FOLDER
from depthdata.downloading.transfer_digest import file_digests
from depthdata.downloading.transfer_request import Outcome
from depthdata.errors import DownloadError, UsageError
from depthdata.sources.card import Archive

__all__ = ["found_in", "put_in_place", "verify"]


def found_in(folder: Path, archives: Sequence[Archive]) -> dict[str, list[tuple[str, Path]]]:
    """Return the files of each archive in a folder and below it, with their names.

    An archive that stands for many files has those that its pattern fits, in the folder of its
    name. Where a file is there twice, the one that is nearest to the folder counts.

    Raises
    ------
    UsageError
        There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--from {folder}: no such folder; name the one with the archives")
    wanted = {archive.name for archive in archives if not archive.many}
    places: dict[str, Path] = {}
    for path in sorted(_files(folder), key=lambda path: (len(path.parts), path)):
        if path.name in wanted:
            places.setdefault(path.name, path)
    found: dict[str, list[tuple[str, Path]]] = {}
    for archive in archives:
        if archive.many:
            found[archive.name] = list(_set(folder, archive))
        elif archive.name in places:
            found[archive.name] = [(archive.name, places[archive.name])]
    return {name: files for name, files in found.items() if files}


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != FOLDER]
        yield from (Path(at) / name for name in files)


def _set(folder: Path, archive: Archive) -> Iterator[tuple[str, Path]]:
    pattern = (archive.url or "").rpartition("/")[2] or "*"
    inside = folder / archive.name
    if inside.is_dir():
        for path in sorted(_files(inside)):
            if "*" not in pattern or fnmatchcase(path.name, pattern):
                yield path.relative_to(inside).as_posix(), path


def verify(path: Path, archive: Archive, root: Path, progress: Progress) -> Outcome:
    """Compare a file with what is known of it; a file that was compared before is not read again.

    What was found is kept below `root`, for the folder of the file may be read-only.
    """
    state = root / FOLDER / "from" / f"{archive.name.replace('/', '_')}.json"
    at = path.stat()
    expected = {
        kind: value.lower()
        for kind, value in (("sha256", archive.sha256), ("md5", archive.md5))
        if value and not archive.many
    }
    facts: dict[str, Any] = {
        "path": str(path.resolve()), "size": at.st_size, "mtime_ns": at.st_mtime_ns
    }  # fmt: skip
    progress.start(str(path), at.st_size, 0)
    try:
        if archive.size is not None and not archive.many and at.st_size != archive.size:
            line = diagnosis.size_there_line(path, at.st_size, archive.size)
            raise DownloadError(f"{line}; download it again")
        with path.open("rb") as file:
            head = file.read(diagnosis.HEAD_BYTES)
        if diagnosis.looks_like_page(head, path.name):
            raise DownloadError(f"{path} is a web page, no file; download it again")
        known = _read(state)
        if known is None or any(known.get(key) != value for key, value in facts.items()):
            known = {**facts, **(file_digests(path, {"sha256", *expected}) if expected else {})}
        for kind, value in expected.items():
            found = known.get(kind) or file_digests(path, {kind})[kind]
            if found != value:
                line = f"{path}: {kind} is {found}, expected {value}"
                raise DownloadError(f"{line}: damaged, or another release; download it again")
        if expected:
            state.parent.mkdir(parents=True, exist_ok=True)
            durable_write(state, (json.dumps(known, indent=1) + "\n").encode())
    except DownloadError as error:
        progress.finish(str(path), "failed")
        return Outcome(path, "failed", None, 0, str(error))
    progress.finish(str(path), "there", at.st_size)
    message = "" if expected else "not verified: no checksum is published"
    return Outcome(path, "there", known.get("sha256"), 0, message)


def put_in_place(path: Path, to: Path) -> None:
    """Give a file a second name in a dataset's tree; copy it where that cannot be."""
    if to.exists() and (to.samefile(path) or to.stat().st_size == path.stat().st_size):
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        try:
            os.link(path, part)
        except OSError:
            shutil.copyfile(path, part)
        part.replace(to)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DownloadError(f"{to} cannot be written: {error.strerror or error}") from None


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None
