"""What an archive says of a member, and whether its name is safe to write to."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from depthdata.downloading.limits import Limits
from depthdata.downloading.state_record import FOLDER
from depthdata.errors import DownloadError

__all__ = ["Kind", "Member", "Places", "parts_of", "shown"]

Kind = Literal["file", "folder", "symbolic link", "hard link", "device"]

PART_BYTES = 255  # what the file systems take for one part of a path
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:[. ].*)?", re.I)


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive, as the archive has it.

    Parameters
    ----------
    number : int
        Position in the archive, from 0.
    name : str
        With ``/`` between folders.
    kind : str
    size : int
        Bytes, unpacked.
    crc : int or None
        CRC-32 of the bytes, where the format has one.
    offset, packed, method : int
        Where the format finds it: for its reader.
    """

    number: int
    name: str
    kind: Kind
    size: int
    crc: int | None = None
    offset: int = 0
    packed: int = 0
    method: int = 0


def shown(name: str) -> str:
    r"""Return a name fit for a line of text.

    >>> print(shown("a\nb"), shown("x" * 200)[-3:])
    a\nb ...
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return text if len(text) <= 120 else f"{text[:117]}..."


def parts_of(name: str, limits: Limits) -> tuple[str, ...]:
    """Return the folders and the name of a member; ValueError where it is not safe.

    The same names are refused on every system: what is written here may be copied elsewhere.

    >>> parts_of("./a/b.png", Limits())
    ('a', 'b.png')
    >>> parts_of("a/../../b.png", Limits())
    Traceback (most recent call last):
        ...
    ValueError: it has '..' in it
    """
    if _CONTROL.search(name):
        raise ValueError("it has control characters in it")
    if "\\" in name:
        raise ValueError("it has a backslash in it")
    if name.startswith("/"):
        raise ValueError("it is absolute")
    if _DRIVE.match(name):
        raise ValueError("it begins with a drive letter")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ValueError("it has '..' in it")
    if len(parts) > limits.depth:
        raise ValueError(f"it is {len(parts)} folders deep, at most {limits.depth} are expected")
    if len(name) > limits.name_bytes or _bytes(name) > limits.name_bytes:
        raise ValueError(f"it is longer than {limits.name_bytes} bytes")
    for part in parts:
        if len(part) > PART_BYTES or _bytes(part) > PART_BYTES:
            raise ValueError(f"a part of it is longer than {PART_BYTES} bytes")
        if part.casefold().startswith(FOLDER):
            raise ValueError(f"names that begin with {FOLDER} are kept for the state of downloads")
        if _RESERVED.fullmatch(part):
            raise ValueError(f"{part!r} is a device on Windows")
    return parts


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _folded(parts: tuple[str, ...]) -> int:
    """Return a number that names share which some file system takes for one."""
    name = "/".join(part.rstrip(". ") or part for part in parts)
    if not name.isascii():
        name = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
    # 64 random bits each instead of the names: two of ten million meet once in 400 000 archives
    return hash(name.casefold())


class Places:
    """The places that the members of one archive take; each can be taken once.

    Parameters
    ----------
    archive : path
        For the messages.
    strip : int
        Leading folders of every name that are left away.
    """

    def __init__(self, archive: object, limits: Limits, strip: int = 0) -> None:
        self.archive = archive
        self.limits = limits
        self.strip = strip
        self._files: set[int] = set()
        self._folders: set[int] = set()
        self._last: tuple[str, ...] = ()

    def take(self, member: Member) -> tuple[str, ...]:
        """Return the place of a member, empty where nothing of its name is left; or refuse it."""
        try:
            parts = parts_of(member.name, self.limits)
        except ValueError as error:
            raise self.refusal(member, f"its name is not safe: {error}") from None
        parts = parts[self.strip :]
        if not parts:
            if member.kind == "file" and not self.strip:
                raise self.refusal(member, "its name is empty")
            return ()
        folder = parts if member.kind == "folder" else parts[:-1]
        self._take_folders(member, folder)
        if member.kind != "folder":
            key = _folded(parts)
            if key in self._files:
                raise self.refusal(
                    member, "another member has this name, or one that differs in case only"
                )
            if key in self._folders:
                raise self.refusal(member, "a folder has the same name")
            self._files.add(key)
        return parts

    def _take_folders(self, member: Member, folder: tuple[str, ...]) -> None:
        if folder == self._last:
            return
        for depth in range(1, len(folder) + 1):
            key = _folded(folder[:depth])
            if key in self._files:
                raise self.refusal(member, "a file has the name of one of its folders")
            self._folders.add(key)
        self._last = folder

    def refusal(self, member: Member, why: str) -> DownloadError:
        """Return the error that refuses the archive because of a member."""
        return DownloadError(f"{self.archive}: member '{shown(member.name)}' is refused: {why}")
