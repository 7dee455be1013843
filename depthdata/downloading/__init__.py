"""Fetching what the sources publish: files that arrive whole, or one line that says why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthdata.downloading.plan import Plan
    from depthdata.downloading.progress import Progress
    from depthdata.downloading.run import DownloadReport
    from depthdata.downloading.transfer_policy import Policy

__all__ = ["download", "plan_download"]

ARCHIVES = "archives"
"""Folder below the root in which archives are kept."""


def download(
    name: str,
    root: str | os.PathLike[str],
    *,
    accept_license: bool = False,
    files: Iterable[str] | None = None,
    parts: Iterable[str] | None = None,
    links: Iterable[str] = (),
    link_files: Iterable[str | os.PathLike[str]] = (),
    from_folder: str | os.PathLike[str] | None = None,
    archives: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    jobs: int = 4,
    connections: int = 4,
    limit_rate: float | None = None,
    extract: bool = True,
    delete_archives: bool = False,
    ask: Callable[[str], tuple[str, str] | None] | None = None,
    progress: Progress | None = None,
    policy: Policy | None = None,
) -> DownloadReport:
    """Fetch a dataset from its owner, verify it, and unpack it so that `convert` reads it.

    A run that ends at any point loses nothing: the same call goes on. What is there is not fetched
    again. A file that fails does not stop the others.

    Parameters
    ----------
    name : str
        Dataset; see `depthdata.list_datasets`.
    root : path
        Folder for the dataset.
    accept_license : bool
        You have read the terms of the dataset and accept them; remembered for the next time.
    files, parts : iterable of str, optional
        Which archives: their names or patterns; parts as the plan lists them, ``a+b`` for what is
        in both. All but the optional ones by default.
    links, link_files : iterable
        Addresses, and files with addresses, that the owner gave with the licence.
    from_folder : path, optional
        Where the archives are already: they are verified and unpacked from there.
    archives : path, optional
        Where archives are kept; ``root/archives`` by default.
    mirror : str, optional
        See `depthdata.downloading.mirror.Mirror`; ``DEPTHDATA_MIRROR`` by default.
    jobs, connections : int
        Files at once, connections per file.
    limit_rate : float, optional
        Bytes per second, all together.
    extract : bool
        Unpack the archives.
    delete_archives : bool
        Remove each archive once all of it is unpacked.
    ask : callable, optional
        Given a host, returns user and password, where neither environment nor netrc has them.
    progress : Progress, optional
    policy : Policy, optional

    Returns
    -------
    DownloadReport

    Raises
    ------
    TermsError
        The terms are not accepted.
    UsageError
        A name, a part or an address that makes no sense.
    """
    from depthdata.downloading.plan import select
    from depthdata.downloading.run import How, run
    from depthdata.downloading.terms import require, terms_of
    from depthdata.errors import UsageError
    from depthdata.sources import dataset_card

    card = dataset_card(name)
    files = None if files is None else list(files)
    parts = None if parts is None else list(parts)
    chosen = select(card, files, parts)
    access = _access(links, link_files, from_folder, mirror, ask)
    if delete_archives and (from_folder is not None or not extract):
        raise UsageError(
            "deleting archives is for those that were downloaded and unpacked here, not for those "
            "of a folder of yours, nor for those that stay packed"
        )
    require(terms_of(card), accept_license=accept_license)
    how = How(
        jobs=jobs,
        parts=connections,
        limit_rate=limit_rate,
        extract=extract,
        delete_archives=delete_archives,
        chosen=files is not None or parts is not None,
        policy=policy,
    )
    return run(card, chosen, access, _places(root, archives), how, progress)


def plan_download(
    name: str,
    root: str | os.PathLike[str],
    *,
    files: Iterable[str] | None = None,
    parts: Iterable[str] | None = None,
    links: Iterable[str] = (),
    link_files: Iterable[str | os.PathLike[str]] = (),
    from_folder: str | os.PathLike[str] | None = None,
    archives: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
) -> Plan:
    """Say what `download` would fetch; nothing is asked of any server, nothing is written."""
    from depthdata.downloading.plan import make_plan, select
    from depthdata.sources import dataset_card

    card = dataset_card(name)
    access = _access(links, link_files, from_folder, mirror, None)
    return make_plan(card, select(card, files, parts), access, _places(root, archives))


def _access(links: Any, lists: Any, folder: Any, mirror: str | None, ask: Any) -> Any:
    from depthdata.downloading.access import Access
    from depthdata.downloading.mirror import mirror_from

    return Access(
        tuple(links),
        tuple(map(Path, lists)),
        None if folder is None else Path(folder),
        mirror_from(mirror),
        ask,
    )


def _places(root: str | os.PathLike[str], archives: str | os.PathLike[str] | None) -> Any:
    from depthdata.downloading.access import Places

    root = Path(root)
    return Places(root / ARCHIVES if archives is None else Path(archives), root)
