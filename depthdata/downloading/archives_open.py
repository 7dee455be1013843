"""Which kind of archive a file is, by its bytes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from depthdata.downloading.archives_codecs import Damaged
from depthdata.downloading.archives_tar import PackedFile, TarArchive, is_tar_head, unpacked_head
from depthdata.downloading.archives_zip import ZipArchive, has_zip_end
from depthdata.downloading.diagnosis import looks_like_page, page_line
from depthdata.downloading.limits import Limits
from depthdata.downloading.members import Member
from depthdata.downloading.state_record import read_record
from depthdata.errors import DownloadError

__all__ = ["Archive", "opened"]

_HEAD = 4096
_PACKED = {"gz": b"\x1f\x8b\x08", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}
_TAR_NAMES = (".tgz", ".tbz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
_OTHERS = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\x1f\x9d": "compressed by compress",
    b"LZIP": "compressed by lzip",
}


class Archive(Protocol):
    """What the readers of the formats offer."""

    @property
    def indexed(self) -> bool:
        """Whether `members` needs no unpacking."""

    @property
    def size(self) -> int:
        """Bytes of the archive."""

    @property
    def read(self) -> int:
        """Bytes of the archive that are done with."""

    def identity(self) -> dict[str, object]:
        """Return what tells this version of the archive from another; after `members`."""

    def members(self) -> Iterator[Member]:
        """Yield every member, in the order of `contents`."""

    def contents(
        self, wanted: Callable[[Member], bool]
    ) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Ask of each member whether it is wanted; yield it with its blocks if so."""


@contextlib.contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Archive]:
    """Open an archive of whatever kind; DownloadError where it is none that is known here."""
    if path.is_dir():
        raise DownloadError(f"{path}: is a folder, not an archive")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DownloadError(f"{path}: is not there; fetch it first") from None
    with file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise DownloadError(f"{path}: is not a regular file")
        yield _reader(path, file, found.st_size, limits)


def _reader(path: Path, file: BinaryIO, size: int, limits: Limits) -> Archive:
    head = file.read(_HEAD)
    if not head:
        raise Damaged("is empty")
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        return ZipArchive(path, file, size, limits)
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        from depthdata.downloading.archives_7z import open_7z

        return open_7z(path, file, size, limits)
    for form, magic in _PACKED.items():
        if head.startswith(magic):
            return _packed(path, file, size, limits, form)
    if is_tar_head(head, named=path.name.lower().endswith(".tar")):
        return TarArchive(path, file, size, limits, "")
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise DownloadError(f"{path}: is {what}, which is not read here; unpack it by hand")
    if looks_like_page(head, path.name):
        record = read_record(path) or {}
        raise DownloadError(page_line(str(path), str(record.get("url", "")), head))
    if has_zip_end(file, size):
        return ZipArchive(path, file, size, limits)
    raise DownloadError(
        f"{path}: is no zip, tar, 7z, gz, bz2 or xz file (it begins with {head[:8].hex(' ')}); "
        "remove it and fetch it again"
    )


def _packed(path: Path, file: BinaryIO, size: int, limits: Limits, form: str) -> Archive:
    named = path.name.lower().endswith(_TAR_NAMES)
    if is_tar_head(unpacked_head(file, size, form), named=named):
        return TarArchive(path, file, size, limits, form)
    if named:
        raise Damaged("holds no tar archive, although its name says so")
    return PackedFile(path, file, size, form)
