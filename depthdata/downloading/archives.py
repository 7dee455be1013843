"""Unpack what was downloaded: whole and verified, or one line that says why not.

Zip, tar (plain, gz, bz2, xz), 7z, and a single compressed file. A run that ends at any point loses
nothing: the next one goes on with the next member.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from depthdata.downloading.archives_codecs import BLOCK, Damaged
from depthdata.downloading.archives_open import Archive, opened
from depthdata.downloading.archives_state import Done, Ledger, ledger_path
from depthdata.downloading.diagnosis import space_line
from depthdata.downloading.limits import Limits, Tally
from depthdata.downloading.members import Member, Places, parts_of, shown
from depthdata.downloading.progress import Progress
from depthdata.downloading.state_record import FOLDER, locked
from depthdata.errors import DownloadError, UsageError

__all__ = ["Limits", "Report", "extract", "extracted"]

FOLDERS_MOST = 10_000  # that are remembered

Existing = Literal["refuse", "keep", "replace"]


@dataclass(frozen=True)
class Report:
    """What became of an archive.

    Parameters
    ----------
    archive, into : Path
    files, bytes : int
        Written in this run.
    there : int
        Files that were there already, with the bytes of the archive.
    kept : int
        Files that were there with other bytes, and were left so on demand.
    skipped : int
        Members that were not asked for.
    deleted : bool
        Whether the archive was removed.
    """

    archive: Path
    into: Path
    files: int = 0
    bytes: int = 0
    there: int = 0
    kept: int = 0
    skipped: int = 0
    deleted: bool = False


def extract(
    archive: Path,
    into: Path,
    *,
    limits: Limits | None = None,
    members: Iterable[str] | Callable[[str], bool] | None = None,
    progress: Progress | None = None,
    strip: int = 0,
    existing: Existing = "refuse",
    delete: bool = False,
) -> Report:
    """Unpack an archive; go on where a former run, however it ended, stopped.

    Parameters
    ----------
    archive : Path
    into : Path
        Folder; it is made where it is missing. Nothing is written outside of it.
    limits : Limits, optional
    members : iterable of str or callable, optional
        The names that are wanted: patterns as of a shell (``*`` goes over folders too), or a
        function of the name. All by default. What is not wanted is not checked.
    progress : Progress, optional
    strip : int
        Leading folders of every name that are left away.
    existing : str
        What to do with a file that is there, is not from this archive and has other bytes:
        ``"refuse"`` ends with an error, ``"keep"`` leaves it, ``"replace"`` writes it anew.
    delete : bool
        Remove the archive once everything is unpacked, verified and on the disk.

    Returns
    -------
    Report

    Raises
    ------
    DownloadError
        The archive is missing, damaged, of no known kind, encrypted, not safe or above the limits;
        the disk is full; another process unpacks it. An archive with an index (zip, 7z, plain tar)
        that is refused writes nothing; of another one the members before the wrong one are there.
    MissingDependencyError
        7z, and neither py7zr nor the program 7z is there.

    Notes
    -----
    Refused are: names that are absolute, have ``..``, a drive, a backslash or control characters;
    links, devices; two members of one name, also where only case differs. Permissions, owners and
    times of the archive are not taken over. Each file is written beside its place and gets its
    name when it is whole and its checksum fits. The state is ``<into>/.depthdata/<name>.members``.
    Memory depends neither on the sizes nor, but for 16 bytes a member, on their number (7z: the
    index is held in memory, and a block of its compression).
    """
    if strip < 0:
        raise UsageError(f"strip is a number of folders, not {strip}")
    if existing not in ("refuse", "keep", "replace"):
        raise UsageError(f"existing is 'refuse', 'keep' or 'replace', not {existing!r}")
    archive, into = Path(archive), Path(into)
    limits = Limits() if limits is None else limits
    run = _Extraction(archive, into, limits, _choice(members), strip, existing)
    run.progress = Progress() if progress is None else progress
    try:
        with opened(archive, limits) as reader:
            run.all(reader)
        if delete:
            archive.unlink()
    except Damaged as error:
        raise DownloadError(f"{run.where()}: {error}; remove the archive, fetch it again") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = next(path for path in (into, *into.absolute().parents) if path.exists())
            at = os.statvfs(folder)
            line = space_line(folder, run.missing, at.f_bavail * at.f_frsize)
            raise DownloadError(line) from None
        named = error.filename or archive
        raise DownloadError(f"{archive}: {error.strerror or error}: {named}") from None
    return run.report(deleted=delete)


def extracted(archive: Path, into: Path) -> Report | None:
    """Tell whether an archive, which may be gone, was unpacked whole and all files are there still.

    Parameters
    ----------
    archive : Path
        Only its name counts.
    into : Path

    Returns
    -------
    Report or None
        None where it was not, or a file is missing or was changed.
    """
    ledger = Ledger(into, archive.name, None)
    there = _all_there(ledger, into)
    return None if there is None else Report(archive, into, there=there)


def _all_there(ledger: Ledger, into: Path) -> int | None:
    """Return how many files a finished ledger has, if each is as it was written."""
    if ledger.complete is None:
        return None
    count = 0
    seen = bytearray()
    for number, place in ledger.places():
        done = ledger.done(number)
        if number >= len(seen):
            seen.extend(bytes(number + 1 - len(seen)))
        if seen[number] or done is None:
            continue
        seen[number] = 1
        if not _same(into / place, done):
            return None
        count += 1
    return count if count == ledger.complete.get("files") else None


def _choice(
    members: Iterable[str] | Callable[[str], bool] | None,
) -> Callable[[str], bool] | None:
    if members is None or callable(members):
        return members
    if isinstance(members, str):
        raise UsageError(f"members are several patterns, not the text {members!r}: [{members!r}]")
    patterns = list(members)
    return lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _same(path: Path, done: Done) -> bool:
    """Tell whether the file is the one that was written, by its bytes where its date is another."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not path.is_file() or path.is_symlink() or found.st_size != done.size:
        return False
    return (done.trusted and found.st_mtime_ns == done.mtime_ns) or _crc(path) == done.crc


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(BLOCK):
            crc = zlib.crc32(data, crc)
    return crc


class _Extraction:
    """One archive on its way into a folder."""

    progress: Progress

    def __init__(
        self,
        archive: Path,
        into: Path,
        limits: Limits,
        choice: Callable[[str], bool] | None,
        strip: int,
        existing: Existing,
    ) -> None:
        self.archive, self.into, self.limits = archive, into, limits
        self.missing: int | None = None
        self._choice, self._strip, self._existing = choice, strip, existing
        self._tally = Tally(archive, limits)
        self._places = Places(archive, limits, strip)
        self._parts: tuple[str, ...] = ()
        self._folders: set[tuple[str, ...]] = {()}  # that were made or found
        self._member: Member | None = None
        self._counts = dict.fromkeys(("files", "bytes", "there", "kept", "skipped"), 0)
        self._shown = 0
        self._size = self._crc = 0  # of the member that is being read
        self._reader: Archive
        self._ledger: Ledger

    def where(self) -> str:
        """Return the archive and the member that is looked at, for a message."""
        member = self._member
        return str(self.archive) + (f": member '{shown(member.name)}'" if member else "")

    def report(self, *, deleted: bool) -> Report:
        """Return what was done."""
        return Report(self.archive, self.into, **self._counts, deleted=deleted)

    # -- the whole --------------------------------------------------------------------------

    def all(self, reader: Archive) -> None:
        """Check what the index tells, before anything is written; then go through the members."""
        self._reader = reader
        sizes = []
        if reader.indexed:
            for member in reader.members():
                self._check(member)
                if self._parts and member.kind == "file":
                    sizes.append((member.number, member.size))
        identity = {**reader.identity(), "strip": self._strip}
        self.into.mkdir(parents=True, exist_ok=True)
        key = f"{self.archive}#unpack"
        self.progress.expect(key, f"unpack {self.archive.name}", reader.size)
        with locked(self.into / ledger_path(self.archive.name, self.into).name, "unpacking"):
            ledger = self._ledger = Ledger(self.into, self.archive.name, identity)
            whole = not reader.indexed and ledger.complete and not ledger.complete.get("kept")
            there = _all_there(ledger, self.into) if whole else None
            if there is not None:
                self._counts["there"] = there
                self.progress.finish(key, "there", reader.size)
                return
            self._check_space(sizes)
            del sizes
            self.progress.start(key, reader.size, 0)
            try:
                ledger.open()
                for member, blocks in reader.contents(self._wanted):
                    self._write(member, blocks)
                    self._show(key)
                self._member = None
                if self._choice is None:
                    files = self._counts["files"] + self._counts["there"]
                    ledger.finish({"files": files, "kept": self._counts["kept"]})
                else:
                    ledger.flush()
            except BaseException:
                ledger.close(forget=True)
                self.progress.finish(key, "failed")
                raise
            ledger.close()
        self.progress.finish(key, "ok", reader.size)

    def _show(self, key: str) -> None:
        self.progress.advance(key, self._reader.read - self._shown)
        self._shown = self._reader.read

    def _check_space(self, sizes: list[tuple[int, int]]) -> None:
        done = self._ledger.done
        needed = sum(size for number, size in sizes if done(number) is None)
        at = os.statvfs(self.into)
        free = at.f_bavail * at.f_frsize
        # what is there from elsewhere is not counted: only where nothing is, the answer is certain
        if needed > free and not self._ledger.known and not _holds_files(self.into):
            raise DownloadError(space_line(self.into, needed, free))
        self.missing = needed or None

    # -- one member -------------------------------------------------------------------------

    def _check(self, member: Member) -> None:
        """Refuse a member, or set the parts of its place: none where it is not wanted."""
        self._tally.member()
        self._parts = ()
        if self._choice is not None and not self._choice(member.name):
            return
        if member.kind not in ("file", "folder"):
            raise self._places.refusal(member, f"it is a {member.kind}; leave it out by `members`")
        self._parts = self._places.take(member)
        if self._parts and member.kind == "file" and member.size > 0:
            self._tally.add(member.size, self._reader.size)

    def _wanted(self, member: Member) -> bool:
        """Tell whether the bytes of a member are needed; make its folder."""
        self._member = member
        if not self._reader.indexed:
            self._check(member)
        elif self._choice is None or self._choice(member.name):
            self._parts = self._parts_of(member)
        else:
            self._parts = ()
        if not self._parts:
            self._counts["skipped"] += member.kind == "file"
            return False
        self._make_folder(self._parts if member.kind == "folder" else self._parts[:-1])
        return member.kind == "file" and not self._is_there(member)

    def _parts_of(self, member: Member) -> tuple[str, ...]:
        return parts_of(member.name, self.limits)[self._strip :]

    def _make_folder(self, parts: tuple[str, ...]) -> None:
        if parts in self._folders:
            return
        if len(self._folders) > FOLDERS_MOST:
            self._folders.clear()
        if not parts:
            return
        self._make_folder(parts[:-1])
        at = self.into.joinpath(*parts)
        if at.is_symlink():
            raise DownloadError(
                f"{at}: is a link in the place of a folder; nothing is written through it: "
                "put a folder there, or unpack where it leads to"
            )
        try:
            at.mkdir(exist_ok=True)
        except FileExistsError:
            raise DownloadError(f"{at}: is a file in the place of a folder; move it away") from None
        self._folders.add(parts)

    def _is_there(self, member: Member) -> bool:
        path = self.into.joinpath(*self._parts)
        done = self._ledger.done(member.number)
        if done is not None and _same(path, done):
            self._counts["there"] += 1
            return True
        if not os.path.lexists(path):
            return False
        if path.is_dir() and not path.is_symlink():
            raise DownloadError(f"{path}: is a folder in the place of a file; move it away")
        return False

    def _write(self, member: Member, blocks: Iterator[bytes]) -> None:
        if member is not self._member:  # 7z asks of all of them first
            self._member, self._parts = member, self._parts_of(member)
        path = self.into.joinpath(*self._parts)
        done = self._ledger.done(member.number)
        ours = done is not None and not done.trusted  # half-written when the machine went down
        if os.path.lexists(path) and not ours and self._existing != "replace":
            self._compare(member, path, blocks)
            return
        temporary = self._ledger.temporary(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(temporary, flags, 0o666)
        try:
            for block in self._verified(member, blocks):
                view = memoryview(block)
                while view:
                    view = view[os.write(descriptor, view) :]
            mtime_ns = os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
        self._note(member, mtime_ns)
        temporary.replace(path)
        self._counts["files"] += 1
        self._counts["bytes"] += self._size

    def _note(self, member: Member, mtime_ns: int) -> None:
        place = "/".join(self._parts)
        self._ledger.add(member.number, self._size, self._crc, mtime_ns, place)

    def _compare(self, member: Member, path: Path, blocks: Iterator[bytes]) -> None:
        """Take a file that is there for this member, if it has its bytes."""
        same = path.is_file() and not path.is_symlink()
        same = same and member.size in (-1, path.stat().st_size)
        if same:
            with path.open("rb", buffering=0) as file:
                for block in self._verified(member, blocks):
                    same = same and _read(file.read, len(block)) == block
                same = same and not file.read(1)
        if same:
            self._note(member, path.stat().st_mtime_ns)
            self._counts["there"] += 1
        elif self._existing == "keep":
            self._counts["kept"] += 1
        else:
            raise DownloadError(
                f"{path}: is there with other bytes than {self.archive.name} has; move it away, "
                "or unpack into another folder"
            )

    def _verified(self, member: Member, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks; Damaged unless they are what the archive says of the member."""
        self._crc = self._size = 0
        for block in blocks:
            self._size += len(block)
            if member.size < 0:
                self._tally.add(len(block), self._reader.size)
            elif self._size > member.size:
                raise Damaged(f"unpacks to more than its {member.size} bytes")
            self._crc = zlib.crc32(block, self._crc)
            yield block
        if self._size < member.size:
            raise Damaged(f"ends after {self._size} of {member.size} bytes")
        if member.crc is not None and self._crc != member.crc:
            raise Damaged("its checksum differs")


def _read(read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count)
    while len(data) < count and (more := read(count - len(data))):
        data += more
    return data


def _holds_files(folder: Path) -> bool:
    return any(entry.name != FOLDER for entry in os.scandir(folder))
