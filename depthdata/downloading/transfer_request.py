"""What is asked of the engine, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import requests

__all__ = ["Outcome", "Request"]


@dataclass(frozen=True)
class Request:
    """One file to fetch.

    Parameters
    ----------
    url : str
        http or https.
    path : Path
        Where the file goes; its name is never taken from the server.
    size : int, optional
        Bytes, where the source tells.
    sha256, md5 : str, optional
        Hexadecimal, where known.
    headers : mapping
        Sent with every request for it.
    session : requests.Session, optional
        That is logged in; else the engine's own.
    """

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    session: requests.Session | None = None


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    Parameters
    ----------
    path : Path
    status : str
        ``"ok"`` (fetched and verified), ``"there"`` (was there already) or ``"failed"``.
    sha256 : str or None
        Of the file that is there.
    bytes_fetched : int
        From the network in this run.
    message : str
        One line: why it failed, or what was noticed; may be empty.
    """

    path: Path
    status: Literal["ok", "failed", "there"]
    sha256: str | None
    bytes_fetched: int
    message: str
