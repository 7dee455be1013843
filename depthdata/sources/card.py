"""What a source dataset is: plain facts, and the plain data that names one sequence of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Archive", "Card", "SequenceSpec"]


@dataclass(frozen=True)
class Archive:
    """One file to download.

    Parameters
    ----------
    name : str
        File name.
    url : str, optional
        Not given where the owner sends the address with the licence.
    size : int, optional
        Bytes, where the source tells.
    sha256 : str, optional
        Hexadecimal, where known.
    """

    name: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None


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
