"""What a source dataset is: plain facts, and the plain data that names one sequence of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Archive", "Card", "Login", "SequenceSpec"]


@dataclass(frozen=True)
class Archive:
    """One file to download, or one set of files that the source publishes under a name.

    Parameters
    ----------
    name : str
        File name; where `many`, the name of the set.
    url : str, optional
        Not given where the owner sends the address with the licence, or a login leads to it. A
        page of a file host (Google Drive, Dropbox, Nextcloud) stands for the file on it;
        ``gs://bucket/path`` is in a cloud bucket.
    size : int, optional
        Bytes, where the source tells.
    sha256, md5 : str, optional
        Hexadecimal, where known.
    about : int, optional
        Bytes, roughly, where that is all one knows.
    parts : tuple of str
        Names that select it, for example the split or the film pass that it holds.
    optional : bool
        Downloaded only where it is asked for.
    extract_to : str
        Folder below the dataset's root that it is unpacked into, or lies in.
    unpack : bool
        False: it is no archive, the file itself is what the dataset has.
    strip : int
        Leading folders of its members' names that are left away.
    existing : str
        What happens to a file that another archive of the dataset wrote with other bytes:
        ``"refuse"``, ``"keep"`` or ``"replace"``.
    many : bool
        The address stands for many files: a pattern in a bucket, or a folder.
    key : str, optional
        The file's number or name on a site with a login, where known.
    """

    name: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    about: int | None = None
    parts: tuple[str, ...] = ()
    optional: bool = False
    extract_to: str = ""
    unpack: bool = True
    strip: int = 0
    existing: Literal["refuse", "keep", "replace"] = "refuse"
    many: bool = False
    key: str | None = None


@dataclass(frozen=True)
class Login:
    """How a site lets one in, and where its files then are.

    Parameters
    ----------
    page : str
        Address of the form.
    files : str
        Address of a file, with ``{key}`` for the number that the site gives it.
    index : str, optional
        Page that lists the files with their numbers.
    user, password : str
        Names of the form's fields.
    extra : tuple of (str, str)
        Further fields that the form sends.
    """

    page: str
    files: str
    index: str | None = None
    user: str = "username"
    password: str = "password"
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Card:
    """Facts about a source dataset.

    Parameters
    ----------
    name : str
        Our name, as in ``depthdata convert NAME``.
    title : str
    licence : str
        Of the data.
    terms_url, homepage : str
    citation : str
        BibTeX.
    access : str
        How one gets it: ``"open"`` (plain download), ``"registration"`` or ``"agreement"``.
    archives : tuple of Archive
    splits : tuple of str
        Published splits that name its sequences.
    cameras, streams : tuple of str
        Names that its sequence files may have.
    known_defects : tuple of str
        What is wrong in the published data, a line each.
    notes : tuple of str
        What a user should know about the conversion, a line each.
    login : Login, optional
        Where files are behind a login.
    """

    name: str
    title: str
    licence: str
    terms_url: str
    citation: str
    homepage: str
    access: str
    archives: tuple[Archive, ...] = ()
    splits: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    known_defects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    login: Login | None = None


@dataclass(frozen=True)
class SequenceSpec:
    """One sequence of a raw dataset: plain picklable data, so that a worker need not scan again.

    Parameters
    ----------
    dataset, name : str
        The sequence file is called ``<name>.h5``.
    root : str
        Absolute folder that `files` are relative to.
    split : str, optional
        The source's own part (train, test ...) that the sequence belongs to.
    files : mapping
        What the source module needs to write it.
    """

    dataset: str
    name: str
    root: str
    split: str | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
