"""What would be fetched: which archives of a dataset, how big, from where, what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from depthdata.downloading.access import Access, Kind, Places, kind_of
from depthdata.downloading.access_links import shortened
from depthdata.downloading.diagnosis import human, public_url
from depthdata.downloading.state import Part
from depthdata.errors import UsageError
from depthdata.sources.card import Archive, Card

__all__ = ["Plan", "PlannedFile", "make_plan", "part_names", "select"]


@dataclass(frozen=True)
class PlannedFile:
    """One archive of a plan.

    Parameters
    ----------
    name : str
    access : str
        How one gets at it: open, login, link, bucket, google_drive, dropbox, nextcloud, page.
    url : str or None
        Without what may be secret in it.
    size : int or None
        Bytes; roughly, where `exact` is False.
    exact : bool
    checksum : str or None
        Kind of the published checksum.
    parts : tuple of str
    into : str
        Folder that it is unpacked into, relative to the root.
    state : str
        ``""``, ``"begun"``, ``"fetched"`` or ``"unpacked"``.
    many : bool
        It stands for many files.
    """

    name: str
    access: Kind
    url: str | None
    size: int | None
    exact: bool
    checksum: str | None
    parts: tuple[str, ...]
    into: str
    state: str
    many: bool


@dataclass(frozen=True)
class Plan:
    """Archives that were chosen, what it takes to get at them, and what is left out.

    Parameters
    ----------
    files : tuple of PlannedFile
    needs : tuple of str
        A line for each thing that the user has to bring.
    left_out : tuple of str
        Names of the archives that were not chosen.
    """

    files: tuple[PlannedFile, ...]
    needs: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the files whose size is known, roughly or exactly."""
        return sum(file.size or 0 for file in self.files)

    @property
    def summary(self) -> str:
        """One line: how many files, how many bytes."""
        unknown = sum(file.size is None for file in self.files)
        count, sets = len(self.files), sum(file.many for file in self.files)
        noun = "set of files" if sets == count else "file"
        if count != 1:
            noun = "sets of files" if sets == count else "files"
        text = f"{count} {noun}"
        if unknown == count:
            return f"{text}, size{'' if count == 1 else 's'} not published"
        about = "" if all(file.exact for file in self.files) else "about "
        rest = f", {unknown} without a published size" if unknown else ""
        return f"{text}, {about}{human(self.size)}{rest}"

    def table(self) -> str:
        """Return the files as lines of text."""
        rows = [
            (
                file.name + ("/*" if file.many else ""),
                "-" if file.size is None else ("" if file.exact else "~") + human(file.size),
                file.access,
                f"-> {file.into}/" if file.into else "-> .",
                file.checksum or "",
                file.state,
            )
            for file in self.files
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(6)] if rows else []
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def _several(given: Iterable[str] | None, what: str) -> list[str] | None:
    if isinstance(given, str):
        raise UsageError(f"{what} are several names, not the text {given!r}: [{given!r}]")
    return None if given is None else list(given)


def part_names(card: Card) -> tuple[str, ...]:
    """Return the parts that a dataset's archives can be chosen by.

    >>> from depthdata.sources import dataset_card
    >>> part_names(dataset_card("sintel"))
    ('stereo', 'depth', 'flow')
    """
    return tuple(dict.fromkeys(part for archive in card.archives for part in archive.parts))


def select(
    card: Card, files: Iterable[str] | None = None, parts: Iterable[str] | None = None
) -> tuple[Archive, ...]:
    """Return the archives that are wanted.

    Parameters
    ----------
    card : Card
    files : iterable of str, optional
        Names, or patterns as of a shell.
    parts : iterable of str, optional
        One of these has to fit: a part, or several joined by ``+`` that have to fit together;
        ``all`` is everything.

    Returns
    -------
    tuple of Archive
        Without a choice: all but the optional ones.

    Raises
    ------
    UsageError
        A name or a part that the dataset does not have.

    Examples
    --------
    >>> from depthdata.sources import dataset_card
    >>> [a.name for a in select(dataset_card("sceneflow"), parts=["monkaa+disparity"])]
    ['monkaa__disparity.tar.bz2']
    """
    files, parts = _several(files, "files"), _several(parts, "parts")
    if not card.archives:
        raise UsageError(f"{card.name}: its card names no archives; get them at {card.homepage}")
    if files is None and parts is None:
        return tuple(archive for archive in card.archives if not archive.optional)
    chosen = list(card.archives)
    if parts is not None:
        known = {*part_names(card), "all"}
        for part in (one for joined in parts for one in joined.split("+")):
            if part not in known:
                raise UsageError(
                    f"{card.name} has no part {part!r}; there are "
                    f"{', '.join(part_names(card)) or 'none'}, all"
                )
        wanted = [set(joined.split("+")) - {"all"} for joined in parts]
        chosen = [a for a in chosen if any(joined <= set(a.parts) for joined in wanted)]
    if files is not None:
        for pattern in files:
            if not any(fnmatchcase(archive.name, pattern) for archive in chosen):
                raise UsageError(
                    f"{card.name} has no file {pattern!r}"
                    f"{'' if parts is None else ' in these parts'}; there are "
                    f"{shortened([archive.name for archive in chosen])}"
                )
        chosen = [a for a in chosen if any(fnmatchcase(a.name, pattern) for pattern in files)]
    if not chosen:
        raise UsageError(f"{card.name} has no file in {', '.join(parts or ())} together")
    return tuple(chosen)


def make_plan(card: Card, archives: Sequence[Archive], access: Access, places: Places) -> Plan:
    """Describe what fetching these archives means; asks no server."""
    planned = tuple(_planned(card, archive, access, places) for archive in archives)
    chosen = {archive.name for archive in archives}
    left_out = tuple(archive.name for archive in card.archives if archive.name not in chosen)
    return Plan(planned, tuple(_needs(card, planned, access)), left_out)


def _planned(card: Card, archive: Archive, access: Access, places: Places) -> PlannedFile:
    kind, url = kind_of(archive, card.login), archive.url
    if access.mirror is not None and access.mirror.is_store:
        url = access.mirror.store(card.name, archive.name)
        kind = "open" if url.startswith(("http://", "https://")) else "bucket"
    elif url is not None:
        url = access.rewrite(url)
    checksum = "sha256" if archive.sha256 else "md5" if archive.md5 else None
    return PlannedFile(
        name=archive.name,
        access=kind,
        url=None if url is None else public_url(url),
        size=archive.about if archive.size is None else archive.size,
        exact=archive.size is not None,
        checksum=checksum,
        parts=archive.parts,
        into=archive.extract_to,
        state=_state(archive, places),
        many=archive.many,
    )


def _state(archive: Archive, places: Places) -> str:
    if archive.many:
        return ""
    path, into = places.of(archive, archive.name), places.into(archive, archive.name)
    if into is not None and unpacked(archive, path, into):
        return "unpacked"
    if path.exists():
        return "fetched"
    return "begun" if Part.data_of(path).exists() else ""


def unpacked(archive: Archive, path: Path, into: Path) -> bool:
    """Tell whether an archive was unpacked whole, and its files are there still.

    Where another archive may have replaced some of them, that it was unpacked is enough.
    """
    from depthdata.downloading.archives import extracted
    from depthdata.downloading.archives_state import Ledger, ledger_path

    if not ledger_path(path.name, into).exists():
        return False
    if archive.existing != "refuse":
        return Ledger(into, path.name, None).complete is not None
    return extracted(path, into) is not None


def _needs(card: Card, files: Sequence[PlannedFile], access: Access) -> Iterable[str]:
    if access.folder is not None:
        yield f"the archives in {access.folder}; nothing is fetched"
        return
    kinds = {file.access for file in files}
    if "login" in kinds and card.login is not None:
        from depthdata.downloading.access_login import variables

        host = urlsplit(card.login.page).hostname
        user, password = variables(card.name)
        yield f"a login at {host}: ~/.netrc, {user} and {password}, or you are asked"
    if "link" in kinds and not (access.links or access.lists):
        yield (
            f"addresses that the owner gives with the licence ({card.homepage}): --links FILE or "
            "--link ADDRESS"
        )
    if "bucket" in kinds and any((file.url or "").startswith("gs://") for file in files):
        yield (
            f"a Google account that accepted the terms at {card.homepage}, and its credentials "
            "on this machine; pip install 'depthdata[gcs]'"
        )
    if "page" in kinds:
        yield "files from a page without direct addresses: --link ADDRESS or --from FOLDER"
    if any(file.name.endswith(".7z") for file in files):
        yield "7z: pip install 'depthdata[7z]', or the program 7z"
