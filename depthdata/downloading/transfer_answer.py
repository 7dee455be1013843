"""What a server's answer means: a piece, the whole file, a failure that passes or that stays."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3

from depthdata.downloading.diagnosis import (
    clock_skew,
    encoding_line,
    human,
    public_url,
    status_line,
)
from depthdata.downloading.ranges import ContentRange
from depthdata.downloading.state import Validator
from depthdata.downloading.transfer_policy import retry_after

if TYPE_CHECKING:
    import requests

__all__ = [
    "Answer",
    "Asked",
    "ChangedError",
    "FatalError",
    "RegroupError",
    "RetryError",
    "StoppedError",
    "examine",
    "read_some",
]

PASSING = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 530}
CROWDED = {429, 503, 509}
BODY_MOST = 65536


class FatalError(Exception):
    """The file cannot be had; the text is the line for the user."""


class RetryError(Exception):
    """One try failed, another may not.

    Parameters
    ----------
    line : str
        For the user, should no try succeed.
    wait : float, optional
        Seconds that the server asks for.
    suspect : bool
        It will hardly go away: two more tries are enough.
    crowded : bool
        The server has too many requests: fewer connections may help.
    broke : bool
        There was no answer, or it ended early.
    misfit : bool
        The answer does not fit the range that was asked for.
    """

    def __init__(
        self,
        line: str,
        *,
        wait: float | None = None,
        suspect: bool = False,
        crowded: bool = False,
        broke: bool = False,
        misfit: bool = False,
    ) -> None:
        super().__init__(line)
        self.wait = wait
        self.suspect = suspect
        self.crowded = crowded
        self.broke = broke
        self.misfit = misfit


class ChangedError(Exception):
    """The server has another version of the file than the one begun; the text says which."""


class RegroupError(Exception):
    """The server gives no ranges after all: go on with one connection."""


class StoppedError(Exception):
    """Somebody else ended the download."""


@dataclass(frozen=True)
class Asked:
    """One request: which bytes, and whether ``Range`` was sent."""

    name: str
    url: str
    start: int
    stop: int | None
    ranged: bool


@dataclass(frozen=True)
class Answer:
    """Bytes ``[start, stop)`` of a file of `size` will follow; None where the server is silent.

    Parameters
    ----------
    whole : bool
        The file from its first byte on (HTTP 200).
    ends : bool
        The server says where the body ends (a length, or chunks); else only the connection does.
    """

    start: int
    stop: int | None
    size: int | None
    validator: Validator
    whole: bool
    ends: bool = True


def examine(
    response: requests.Response, asked: Asked, known: Validator, size: int | None
) -> Answer:
    """Return what follows, or raise what is wrong.

    Parameters
    ----------
    known : Validator
        Of the version that was begun.
    size : int, optional
        Its length.

    Raises
    ------
    RetryError, ChangedError, FatalError
    """
    status = response.status_code
    validator = Validator(response.headers.get("ETag"), response.headers.get("Last-Modified"))
    if status in (200, 203) or (status == 206 and asked.ranged):
        _refuse_encoding(response, asked)
        if status == 206:
            return _partial(response, asked, validator, known, size)
        return _whole(response, validator)
    if status == 416:
        return _beyond(response, asked, validator, known, size)
    if status == 206:
        raise RetryError(f"{asked.name}: a part came although the whole file was asked for")
    body = read_some(response, BODY_MOST)
    now = time.time()
    skew = clock_skew(response.headers, now)
    line = status_line(asked.name, asked.url, status, body, skew)
    if status in PASSING:
        wait = retry_after(response.headers, now)
        raise RetryError(line, wait=wait, crowded=status in CROWDED)
    raise FatalError(line)


def read_some(response: requests.Response, most: int) -> bytes:
    """Return the first bytes of a body that is only looked at, unpacked."""
    try:
        return bytes(response.raw.read(most, decode_content=True))
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        return b""


def _refuse_encoding(response: requests.Response, asked: Asked) -> None:
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    # Some servers say "gzip" of what is a .gz file: its bytes are then the file's own.
    own = encoding in ("gzip", "x-gzip") and re.search(r"\.t?gz$", asked.name, re.I)
    if encoding not in ("identity", "") and not own:
        raise RetryError(encoding_line(asked.name, encoding), suspect=True)


def _length(response: requests.Response) -> int | None:
    if "chunked" in (response.headers.get("Transfer-Encoding") or "").lower():
        return None
    said = (response.headers.get("Content-Length") or "").strip()
    return int(said[:19]) if said.isascii() and said.isdigit() else None


def _whole(response: requests.Response, validator: Validator) -> Answer:
    length = _length(response)
    chunked = "chunked" in (response.headers.get("Transfer-Encoding") or "").lower()
    ends = chunked or length is not None
    return Answer(0, length, length, validator, whole=True, ends=ends)


def _partial(
    response: requests.Response,
    asked: Asked,
    validator: Validator,
    known: Validator,
    size: int | None,
) -> Answer:
    header: Any = response.headers.get("Content-Range")
    found = ContentRange.parse(header)
    if found is None or found.start is None or found.stop is None:
        raise RetryError(_unfit(asked, header), misfit=True)
    length = _length(response)
    unlike = found.start != asked.start or (
        length is not None and length != found.stop - found.start
    )
    if unlike:
        raise RetryError(_unfit(asked, header), misfit=True)
    same = validator.same(known)
    if same is False:
        raise ChangedError(f"{known} -> {validator}")
    if size is not None and found.size is not None and found.size != size:
        if same:
            raise RetryError(_unfit(asked, header), misfit=True)
        raise ChangedError(f"{human(size)} -> {human(found.size)}")
    return Answer(found.start, found.stop, found.size or size, validator, whole=False)


def _beyond(
    response: requests.Response,
    asked: Asked,
    validator: Validator,
    known: Validator,
    size: int | None,
) -> Answer:
    found = ContentRange.parse(response.headers.get("Content-Range"))
    total = None if found is None else found.size
    if asked.ranged and total is not None:
        if total == 0 and asked.start == 0:
            return Answer(0, 0, 0, validator, whole=True)
        if size is None and total == asked.start and validator.same(known) is not False:
            return Answer(total, total, total, validator, whole=False)
        if (size is not None and total != size) or total < asked.start:
            raise ChangedError(f"it now has {human(total)}")
    raise RetryError(status_line(asked.name, asked.url, 416), misfit=True)


def _unfit(asked: Asked, header: object) -> str:
    wanted = f"{asked.start}-{'' if asked.stop is None else asked.stop - 1}"
    where = public_url(asked.url)
    return f"{asked.name}: {where} was asked for bytes {wanted} and answers {header or 'none'}"
