"""Published weights in the cache: fetched from their authors, found again by `depthzoo.load`.

They lie below ``cache_folder()/downloads``: an archive in the folder of its family, since several
models may be in it, other files in a folder of their model. The way to them is that of
`depthdata.download`, terms included.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import UsageError
from depthzoo.models.card import Card, WeightsFile

if TYPE_CHECKING:
    from depthdata.downloading.access import Access, Places
    from depthdata.downloading.plan import Plan
    from depthdata.downloading.progress import Progress
    from depthdata.downloading.run import DownloadReport
    from depthdata.downloading.transfer_policy import Policy
    from depthdata.sources.card import Card as SourceCard

__all__ = ["download", "downloaded", "plan_download", "source_card"]


def download(
    name: str,
    *,
    accept_license: bool = False,
    links: Iterable[str] = (),
    link_files: Iterable[str | os.PathLike[str]] = (),
    from_folder: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    limit_rate: float | None = None,
    ask: Callable[[str], tuple[str, str] | None] | None = None,
    progress: Progress | None = None,
    policy: Policy | None = None,
) -> DownloadReport:
    """Fetch the weights of a model into the cache; `load` then finds them.

    Parameters
    ----------
    name : str
        One of `list_models()`.
    accept_license : bool
        You have read the terms of the weights and accept them; remembered for the next time.
    links, link_files, from_folder, mirror, limit_rate, ask, progress, policy
        As in `depthdata.download`.

    Returns
    -------
    DownloadReport

    Raises
    ------
    TermsError
        The terms are not accepted.
    UsageError
        No such model, or one that needs no weights.
    """
    from depthdata.downloading.run import How, run
    from depthdata.downloading.terms import require, terms_of

    card = _card(name)
    source = source_card(card)
    access = _access(card, links, link_files, from_folder, mirror, ask)
    require(terms_of(source, "model"), accept_license=accept_license)
    archives = source.archives
    if access.folder is not None and _has_all(access.folder, card) is not None:
        archives = _alone(card)  # the files themselves, whatever archive they were in
    how = How(limit_rate=limit_rate, chosen=True, policy=policy)
    return run(source, archives, access, _places(card), how, progress)


def plan_download(
    name: str,
    *,
    links: Iterable[str] = (),
    link_files: Iterable[str | os.PathLike[str]] = (),
    from_folder: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
) -> Plan:
    """Say what `download` would fetch; nothing is asked of any server."""
    from depthdata.downloading.plan import make_plan

    card = _card(name)
    source = source_card(card)
    access = _access(card, links, link_files, from_folder, mirror, None)
    return make_plan(source, source.archives, access, _places(card))


def downloaded(card: Card) -> Path | None:
    """Return what `load_checkpoint` can read of a card's weights in the cache, if all is there."""
    folder = _folder(card)
    found = [folder / a.extract_to / a.name for a in source_card(card).archives]
    if len(found) == 1 and found[0].is_file():
        return found[0]
    alone = folder / _tag(card)
    return _has_all(alone, card) if alone.is_dir() else None


def source_card(card: Card) -> SourceCard:
    """Return the card of a model's weights in the form that downloads know.

    Examples
    --------
    >>> from depthzoo.models import model_card
    >>> source_card(model_card("raft_stereo/eth3d")).archives[0].name
    'models.zip'
    """
    from depthdata.sources.card import Archive
    from depthdata.sources.card import Card as SourceCard

    archives: dict[str, Archive] = {}
    for file in card.weights:
        name, folder = _place(card, file)
        archives[name] = Archive(
            name,
            file.url,
            sha256=None if file.archive else file.sha256,
            md5=file.archive_md5,
            extract_to=folder,
            unpack=False,
        )
    return SourceCard(
        name=card.name,
        title=card.title,
        licence=card.licence,
        terms_url=card.homepage,
        citation="",
        homepage=card.homepage,
        access="open",
        archives=tuple(archives.values()),
    )


def _place(card: Card, file: WeightsFile) -> tuple[str, str]:
    """Return the name of what is fetched for a file, and the folder for it."""
    from depthdata.downloading.access import kind_of_url

    if file.archive is not None:
        return file.archive, ""
    if kind_of_url(file.url) == "nextcloud" and len(card.weights) > 1:
        return f"{_tag(card)}.zip", _tag(card)  # a share of several files comes as a zip
    return file.file, _tag(card)


def _alone(card: Card) -> tuple[Any, ...]:
    from depthdata.sources.card import Archive

    return tuple(
        Archive(file.file, file.url, sha256=file.sha256, extract_to=_tag(card), unpack=False)
        for file in card.weights
    )


def _has_all(folder: Path, card: Card) -> Path | None:
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    if not {file.file for file in card.weights} <= names:
        return None
    if len(card.weights) == 1:
        return next(path for path in sorted(folder.rglob(card.weights[0].file)))
    return folder


def _card(name: str) -> Card:
    from depthzoo.models import model_card

    card = model_card(name)
    if not card.weights:
        raise UsageError(f"{name} needs no weights: there is nothing to download")
    return card


def _folder(card: Card) -> Path:
    from depthzoo.weights import cache_folder

    return cache_folder() / "downloads" / card.family


def _tag(card: Card) -> str:
    return card.name.partition("/")[2] or card.name


def _places(card: Card) -> Places:
    from depthdata.downloading.access import Places

    folder = _folder(card)
    return Places(folder, folder)


def _access(
    card: Card,
    links: Iterable[str],
    lists: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str] | None,
    mirror: str | None,
    ask: Callable[[str], tuple[str, str] | None] | None,
) -> Access:
    from depthdata.downloading.access import Access
    from depthdata.downloading.mirror import mirror_from

    given = None if folder is None else Path(folder)
    return Access(tuple(links), tuple(map(Path, lists)), given, mirror_from(mirror), ask)
