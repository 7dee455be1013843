"""How one gets at each archive of a dataset, and from that the files to fetch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from depthdata.downloading.access_bucket import Remote, is_remote, list_remote
from depthdata.downloading.access_links import match_links, read_links, shortened
from depthdata.downloading.limits import Limits
from depthdata.downloading.members import parts_of
from depthdata.downloading.mirror import Mirror
from depthdata.errors import DownloadError, MissingDependencyError, UsageError
from depthdata.sources.card import Archive, Card

if TYPE_CHECKING:
    import requests

    from depthdata.downloading.transfer_request import Request

__all__ = ["Access", "Item", "Kind", "Places", "Resolved", "is_archive", "kind_of", "resolve"]

Kind = Literal["open", "login", "link", "bucket", "google_drive", "dropbox", "nextcloud", "page"]
Ask = Callable[[str], tuple[str, str] | None]

_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".7z")
_FILES = (*_SUFFIXES, ".gz", ".bz2", ".pth", ".pt", ".ckpt", ".safetensors", ".txt", ".json", ".h5")


@dataclass(frozen=True)
class Access:
    """What the user brings.

    Parameters
    ----------
    links : tuple of str
        Addresses, or ``NAME=ADDRESS``.
    lists : tuple of Path
        Files with addresses.
    folder : Path, optional
        With archives that are there already; nothing is fetched then.
    mirror : Mirror, optional
    ask : callable, optional
        Given a host, asks for user and password; None where nobody is there to ask.
    """

    links: tuple[str, ...] = ()
    lists: tuple[Path, ...] = ()
    folder: Path | None = None
    mirror: Mirror | None = None
    ask: Ask | None = None

    def rewrite(self, url: str) -> str:
        """Return the address that an address has on the mirror."""
        return url if self.mirror is None else self.mirror.rewrite(url)


@dataclass(frozen=True)
class Places:
    """Where files go: archives on their way, and the dataset.

    Parameters
    ----------
    archives, root : Path
    """

    archives: Path
    root: Path

    def of(self, archive: Archive, name: str) -> Path:
        """Return where a file of an archive lies once it is fetched."""
        if archive.unpack and (not archive.many or is_archive(name)):
            return self.archives / (f"{archive.name}/{name}" if archive.many else name)
        return self.root / archive.extract_to / name

    def into(self, archive: Archive, name: str) -> Path | None:
        """Return the folder that a file is unpacked into; None where it stays as it is."""
        if not archive.unpack or (archive.many and not is_archive(name)):
            return None
        into = self.root / archive.extract_to
        return into / PurePosixPath(name).parent if archive.many else into


@dataclass(frozen=True)
class Item:
    """One file of an archive: fetched by the engine, or by fsspec."""

    archive: Archive
    name: str
    path: Path
    request: Request | None = None
    remote: Remote | None = None


@dataclass
class Resolved:
    """The files to fetch, what cannot be fetched and why, and what there is to say."""

    items: list[Item] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is one that is unpacked."""
    return name.lower().endswith(_SUFFIXES)


def kind_of(archive: Archive, login: object = None) -> Kind:
    """Return how one gets at an archive.

    >>> kind_of(Archive("a.zip", "https://drive.google.com/uc?id=1"))
    'google_drive'
    >>> kind_of(Archive("a.zip"))
    'link'
    """
    if archive.url is None:
        return "link" if login is None else "login"
    return kind_of_url(archive.url, many=archive.many)


def kind_of_url(url: str, *, many: bool = False) -> Kind:
    """Return what kind of place an address is in."""
    if is_remote(url):
        return "bucket"
    parts = urlsplit(url)
    host, path = (parts.hostname or "").lower(), parts.path
    if host in ("drive.google.com", "docs.google.com", "drive.usercontent.google.com"):
        return "google_drive"
    if host == "dropbox.com" or host.endswith(".dropbox.com"):
        return "dropbox"
    if "/s/" in path and PurePosixPath(path).parent.name == "s":
        return "nextcloud"
    named = unquote(path.rpartition("/")[2]).lower()
    return "page" if many or not named.endswith(_FILES) else "open"


def resolve(card: Card, archives: Sequence[Archive], access: Access, places: Places) -> Resolved:
    """Find the files of archives; asks servers only where a kind of access needs that.

    Returns
    -------
    Resolved
        An archive that one cannot get at is among its problems, with one line that says what to do.

    Raises
    ------
    UsageError
        What the user gave makes no sense.
    """
    found = Resolved()
    given = _given(card, archives, access, found)
    sites = _Sites(card, archives, access, given)
    for archive in archives:
        try:
            if archive.name in given:
                found.items.append(sites.linked(archive, given[archive.name], places))
            else:
                found.items += sites.items(archive, places)
        except (DownloadError, MissingDependencyError) as error:  # noqa: PERF203 - few, and slow
            found.problems[archive.name] = str(error)
    twice = _twice(item.path for item in found.items)
    if twice is not None:
        raise DownloadError(f"{card.name}: two files would go to {twice}; fetch them one by one")
    return found


def _given(
    card: Card, archives: Sequence[Archive], access: Access, found: Resolved
) -> dict[str, str]:
    """Return the addresses that the user gave, by name of their archive."""
    pasted, rest = match_links(archives, access.links)
    if rest:
        names = [archive.name for archive in archives]
        raise UsageError(
            f"--link {rest[0].partition('?')[0]}: tells no name of a file of {card.name} "
            f"({shortened(names)}); write NAME=ADDRESS"
        )
    listed = [link for path in access.lists for link in read_links(path)]
    from_lists, left = match_links(archives, listed)
    if listed and not from_lists:
        raise UsageError(
            f"{access.lists[0]}: none of its {len(listed)} addresses is of {card.name}"
            f"{'' if len(archives) == len(card.archives) else ', or of what was chosen of it'}"
        )
    if left and len(archives) == len(card.archives):
        found.notes.append(
            f"{len(left)} addresses are of no known file and left out, {left[0].partition('?')[0]} "
            "for one"
        )
    return {**from_lists, **pasted}


def _twice(paths: Iterable[Path]) -> Path | None:
    seen: set[str] = set()
    for path in paths:
        name = os.path.abspath(path)  # noqa: PTH100 - links are not followed
        if name in seen:
            return path
        seen.add(name)
    return None


class _Sites:
    """The sites that have the archives of a dataset; each is asked at most once."""

    def __init__(
        self, card: Card, archives: Sequence[Archive], access: Access, given: dict[str, str]
    ) -> None:
        self.card, self.access = card, access
        self._behind_login = [
            archive
            for archive in archives
            if archive.name not in given and kind_of(archive, card.login) == "login"
        ]
        self._files: dict[str, str] | DownloadError | None = None
        self._session: requests.Session | None = None
        self._listings: dict[str, list[tuple[str, str]]] = {}

    def items(self, archive: Archive, places: Places) -> list[Item]:
        """Return the files of an archive from where the source or the mirror has it."""
        mirror = self.access.mirror
        if mirror is not None and mirror.is_store:
            return self._stored(archive, mirror, places)
        kind = kind_of(archive, self.card.login)
        if kind == "login":
            return [self._item(archive, self._file_behind_login(archive), places, logged_in=True)]
        if archive.url is None:
            raise DownloadError(
                f"{archive.name}: its owner gives the address with the licence: get it at "
                f"{self.card.homepage}, then --link ADDRESS or --links FILE; --from FOLDER where "
                "you have the file"
            )
        if kind == "bucket":
            return self._bucket(archive, self.access.rewrite(archive.url), places)
        if kind == "google_drive" and "/folders/" in archive.url:
            return self._drive_folder(archive, archive.url, places)
        return [self._hosted(archive, archive.name, archive.url, kind, places)]

    def linked(self, archive: Archive, url: str, places: Places) -> Item:
        """Return the file of an archive at an address that the user gave."""
        kind = kind_of_url(url)
        direct = "open" if kind == "page" else kind
        return self._hosted(archive, archive.name, url, direct, places)

    # -- kinds ------------------------------------------------------------------------------

    def _stored(self, archive: Archive, mirror: Mirror, places: Places) -> list[Item]:
        url = mirror.store(self.card.name, archive.name)
        if not archive.many:
            if is_remote(url):
                return self._bucket(archive, url, places)
            return [self._item(archive, url, places)]
        if is_remote(url):
            pattern = (archive.url or "").rpartition("/")[2]
            return self._bucket(archive, f"{url}/{pattern if '*' in pattern else '**'}", places)
        raise DownloadError(
            f"{archive.name}: stands for many files, which this mirror cannot list; use --from"
        )

    def _bucket(self, archive: Archive, url: str, places: Places) -> list[Item]:
        if not archive.many:
            path = places.of(archive, archive.name)
            sums = (archive.size, archive.sha256, archive.md5)
            return [Item(archive, archive.name, path, remote=Remote(url, path, *sums))]
        found = []
        base = url.partition("*")[0].rpartition("/")[0] + "/"
        for address, size in list_remote(url):
            # a file system may spell the beginning in another way: count the folders instead
            name = address.partition(base)[2] or address.rpartition("/")[2]
            name = _safe(archive, name)
            path = places.of(archive, name)
            found.append(Item(archive, name, path, remote=Remote(address, path, size)))
        return found

    def _drive_folder(self, archive: Archive, url: str, places: Places) -> list[Item]:
        from depthdata.downloading.access_hosts import google_drive_direct, google_drive_listing

        session = self._plain_session()
        if url not in self._listings:
            listing = google_drive_listing(archive.name, url, session, self.access.rewrite)
            self._listings[url] = list(listing)
        listed = self._listings[url]
        if archive.many:
            top = f"{archive.name}/"
            found = [(n.removeprefix(top), link) for n, link in listed if n.startswith(top)]
            found = found or [
                (n, link) for n, link in listed if fnmatchcase(n, f"{archive.name}.*")
            ]
        else:
            found = [
                (archive.name, link)
                for name, link in listed
                if name.rpartition("/")[2] == archive.name
            ][:1]
        if not found:
            names = sorted({name.partition("/")[0] for name, _ in listed})
            raise DownloadError(
                f"{archive.name}: not in the folder {url}, which has {shortened(names)}"
            )
        if not archive.many:
            return [self._hosted(archive, archive.name, found[0][1], "google_drive", places)]
        return [
            self._item(archive, self.access.rewrite(direct), places, name=name, session=session)
            for name, direct in (
                (_safe(archive, name), google_drive_direct(link)) for name, link in found
            )
        ]

    def _hosted(self, archive: Archive, name: str, url: str, kind: Kind, places: Places) -> Item:
        from depthdata.downloading import access_hosts

        if kind == "page" or (kind == "google_drive" and access_hosts.is_google_drive_folder(url)):
            raise DownloadError(
                f"{name}: is published on a page and not by a direct address: open {url}, then "
                "--link ADDRESS, or --from FOLDER with the file"
            )
        if kind == "google_drive":
            session = self._plain_session()
            direct = access_hosts.google_drive_url(name, url, session, self.access.rewrite)
            return self._item(archive, direct, places, name=name, session=session)
        if kind == "dropbox":
            url = access_hosts.dropbox_url(url)
        elif kind == "nextcloud":
            url = access_hosts.nextcloud_url(url)
        elif kind == "bucket":
            return self._bucket(archive, url, places)[0]
        return self._item(archive, self.access.rewrite(url), places, name=name)

    def _file_behind_login(self, archive: Archive) -> str:
        from depthdata.downloading.access_login import file_addresses, log_in

        login = self.card.login
        assert login is not None
        if self._files is None:
            try:
                rewrite = self.access.rewrite
                self._session = log_in(self.card, login, self.access.ask, rewrite)
                self._files = file_addresses(
                    self.card, login, self._behind_login, self._session, rewrite
                )
            except DownloadError as error:
                self._files = error  # the same for every file: the site is not asked again
        if isinstance(self._files, DownloadError):
            raise DownloadError(str(self._files))
        if archive.name not in self._files:
            raise DownloadError(
                f"{archive.name}: the site does not list it to this account; look at "
                f"{login.index or self.card.homepage}"
            )
        return self._files[archive.name]

    def _item(
        self,
        archive: Archive,
        url: str,
        places: Places,
        *,
        name: str | None = None,
        session: requests.Session | None = None,
        logged_in: bool = False,
    ) -> Item:
        from depthdata.downloading.transfer_request import Request

        name = archive.name if name is None else name
        path = places.of(archive, name)
        if is_remote(url):
            sums = (archive.size, archive.sha256, archive.md5)
            return Item(archive, name, path, remote=Remote(url, path, *sums))
        request = Request(
            url,
            path,
            None if archive.many else archive.size,
            None if archive.many else archive.sha256,
            None if archive.many else archive.md5,
            session=self._session if logged_in else session,
        )
        return Item(archive, name, path, request)

    def _plain_session(self) -> requests.Session:
        import requests

        if self._session is None:
            self._session = requests.Session()
        return self._session


def _safe(archive: Archive, name: str) -> str:
    """Return a name that a server told, if it may be a path below our folders."""
    try:
        parts = parts_of(name, Limits())
    except ValueError as error:
        raise DownloadError(f"{archive.name}: the server tells a name that is not safe: {error}") \
            from None  # fmt: skip
    return "/".join(parts)
