"""From evidence (first bytes, headers, sizes, digests, errors) to one line that says what to do.

Every function is pure: it looks at what it is given and returns text, or None where all is well.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import PurePath
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

__all__ = [
    "HEAD_BYTES",
    "clock_line",
    "clock_skew",
    "digest_line",
    "encoding_line",
    "human",
    "looks_like_page",
    "network_line",
    "page_kind",
    "page_line",
    "public_url",
    "size_line",
    "size_there_line",
    "space_line",
    "status_line",
    "truncated_line",
]

HEAD_BYTES = 512  # what is enough to tell a page from an archive
SKEW = 300.0  # seconds; signed addresses bear no more

PageKind = Literal["quota", "confirmation", "login", "licence", "expired", "busy", "page"]

# The first row whose words are in the page decides.
_WORDING: tuple[tuple[PageKind, re.Pattern[str]], ...] = (
    ("quota", re.compile(r"quota|too many users|download limit|bandwidth limit|traffic limit")),
    ("confirmation", re.compile(r"can't scan this file|virus scan warning|download anyway")),
    ("expired", re.compile(r"expiredtoken|request has expired|link (has )?expired|accessdenied")),
    ("busy", re.compile(r"maintenance|temporarily unavailable|try again later|overloaded")),
    (
        "login",
        re.compile(r"type=[\"']?password|log ?in|sign ?in|single sign|authenticat|captcha"),
    ),
    ("licence", re.compile(r"licen[cs]e agreement|terms of use|i agree|accept the terms")),
)
_ADVICE: dict[PageKind, str] = {
    "quota": "the file's download quota is used up; try again tomorrow, or from another mirror",
    "confirmation": "it asks whether to download without a virus scan; use the direct address",
    "expired": "the signed address is no longer valid; get a new one",
    "busy": "the server is in maintenance or overloaded; try again later",
    "login": "it wants a login; give the credentials of the site, or log in again",
    "licence": "it wants its terms accepted on the site first",
    "page": "the address may have moved; open it in a browser",
}
_PAGE_START = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*(?:<\?xml[^>]*>\s*)?"
    rb"<(?:!doctype\s+html|html|head|body|meta|title|script)\b",
    re.I | re.S,
)
_ERROR_START = re.compile(rb"\A\s*(?:<\?xml[^>]*>\s*)?<Error>|\A\s*\{\s*\"error", re.I)
_PAGE_SUFFIXES = {".html", ".htm", ".xhtml", ".xml", ".svg"}
_MAGIC = {
    ".zip": (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".7z": (b"7z\xbc\xaf\x27\x1c",),
}


def human(count: float) -> str:
    """Return a number of bytes as people say it.

    >>> human(999), human(3_140_000_000)
    ('999 B', '3.1 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def public_url(url: str) -> str:
    """Return an address without what may be secret in it: user, password, signature.

    >>> public_url("https://me:pw@host:8443/a/b.zip?Signature=xyz#part")
    'https://host:8443/a/b.zip'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no address)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def looks_like_page(head: bytes, name: str) -> bool:
    """Tell whether a file begins as a web page or an error text does.

    >>> looks_like_page(b"<!DOCTYPE html><html>", "a.zip"), looks_like_page(b"PK", "a.zip")
    (True, False)
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in _PAGE_SUFFIXES or head.startswith(_MAGIC.get(suffix, (b"\0never",))):
        return False
    if _PAGE_START.match(head):
        return True
    return suffix != ".json" and _ERROR_START.match(head) is not None


def page_kind(body: bytes) -> PageKind:
    """Return what a page is about, by its wording.

    >>> page_kind(b"<title>Google Drive - Quota exceeded</title>")
    'quota'
    """
    text = body.decode("utf-8", "replace").lower().replace("&#39;", "'").replace("’", "'")
    return next((kind for kind, words in _WORDING if words.search(text)), "page")


def page_line(name: str, url: str, body: bytes) -> str:
    """Say that a page came where an archive should be, and which one."""
    titled = re.search(rb"<title[^>]*>(.{1,200}?)</title>", body, re.I | re.S)
    title = ""
    if titled:
        said = html.unescape(titled.group(1).decode("utf-8", "replace"))
        title = f' "{_one_line(said, 80)}"'
    return f"{name}: {public_url(url)} gave a web page{title}, no file: {_ADVICE[page_kind(body)]}"


def status_line(
    name: str, url: str, status: int, body: bytes = b"", skew: float | None = None
) -> str:
    """Say what an HTTP error status means for the user."""
    said = {
        400: "the server does not understand the address; it may be incomplete",
        401: "it wants a login; give the credentials of the site",
        402: "it wants a payment",
        403: "it refuses access; accept the terms on the site, log in, or get a new address",
        404: "the file is not there (any more); look at the dataset's home page",
        407: "the proxy wants a login; put it into the proxy variable of the environment",
        410: "the file was removed; look at the dataset's home page",
        416: "the server has fewer bytes than it said",
        429: "the server gets too many requests; try again later, with fewer jobs and parts",
        451: "the file is withheld for legal reasons",
    }.get(status)
    kind = page_kind(body)
    if status in (400, 401, 403) and kind not in ("page", "busy"):
        said = _ADVICE[kind]
    if said is None:
        said = "the server fails; try again later" if status >= 500 else "this cannot be fetched"
    line = f"{name}: HTTP {status} from {public_url(url)}: {said}"
    if status in (400, 401, 403) and skew is not None and abs(skew) > SKEW:
        line += f" (this clock is {_amount(skew)}: signed addresses fail then)"
    return line


def truncated_line(name: str, have: int, size: int | None, why: str, tries: int) -> str:
    """Say that the connection broke for good, and where."""
    of = human(have) if size is None else f"{_of(have, size)}"
    broke = f"stopped at {of} after {tries} tries in a row without progress"
    return f"{name}: {broke} ({why}); what arrived is kept, run again to go on"


def size_line(name: str, found: int, expected: int, validator: object = "") -> str:
    """Say that the server's file has another length than the published one."""
    if found < expected:
        what = "it is cut off upstream, or was republished"
    else:
        what = "it was republished"
    said = f" ({validator})" if str(validator) else ""
    return f"{name}: the server has {found} bytes, {expected} are expected: {what}{said}"


def size_there_line(path: object, found: int, expected: int) -> str:
    """Say that a file that is there has a wrong length."""
    if found < expected:
        return f"{path} is there, but truncated at {_of(found, expected)}"
    return f"{path} is there, but has {found} bytes, expected {expected}"


def digest_line(
    name: str,
    kind: str,
    found: str,
    expected: str,
    *,
    size: int,
    expected_size: int | None = None,
    validator: object = "",
    head: bytes = b"",
) -> str:
    """Say that a checksum differs, and what the evidence says about why."""
    differs = f"{name}: {kind} is {found}, expected {expected}"
    if looks_like_page(head, name):
        return f"{differs}: a web page, no file; {_ADVICE[page_kind(head)]}"
    if expected_size is not None and size < expected_size:
        return f"{differs}: truncated at {_of(size, expected_size)}"
    said = f" ({validator})" if str(validator) else ""
    if expected_size is not None and size == expected_size:
        return f"{differs}: as long as expected, other content: republished or damaged{said}"
    return f"{differs}: republished upstream, or the server's copy is damaged{said}"


def encoding_line(name: str, encoding: str) -> str:
    """Say that the server packs the file although it was asked not to."""
    return f"{name}: the server sends it {encoding}-encoded although asked for plain bytes"


def space_line(folder: object, needed: int | None, free: int) -> str:
    """Say that the disk is too small; `needed` None: it ran full on the way."""
    if needed is None:
        return f"{folder}: the disk is full; free some space and run again, what arrived is kept"
    return f"{folder}: {human(needed)} are needed, {human(free)} are free; choose another disk"


def clock_skew(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds this clock is ahead of the server's; None where it does not say.

    >>> clock_skew({"Date": "Thu, 01 Jan 1970 01:00:00 GMT"}, 0.0)
    -3600.0
    """
    try:
        there = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return now - there


def clock_line(host: str, skew: float | None) -> str | None:
    """Say that this clock is wrong, where it is by more than five minutes."""
    if skew is None or abs(skew) <= SKEW:
        return None
    return f"this clock is {_amount(skew)} of {host}: set it, or logins and signed links fail"


def network_line(
    name: str, url: str, error: BaseException, proxies: Mapping[str, str] | None = None
) -> str:
    """Say why there was no answer: proxy, certificate, name, refusal, silence.

    Parameters
    ----------
    proxies : mapping, optional
        Environment variable to its value, those that apply to the address.
    """
    host = urlsplit(public_url(url)).netloc or "(no host)"
    text = _chain(error)
    via = ""
    if proxies:
        said = ", ".join(f"{key}={public_url(value)}" for key, value in proxies.items())
        via = f" (through the proxy of the environment: {said})"
    if "proxy" in text.lower() and proxies:
        return f"{name}: the proxy of the environment does not connect to {host}: {said}"
    if re.search(r"certificate|hostname mismatch|doesn't match", text, re.I):
        why = "the certificate of {} is not valid: {}"
        reason = re.search(r"certificate verify failed: ([^(\"'\]]+)", text, re.I)
        detail = reason.group(1).strip() if reason else "it does not fit"
        if re.search(r"expired|not yet valid", text, re.I):
            detail += "; is this machine's clock right?"
        elif "self" in text or "issuer" in text:
            detail += "; behind a filtering proxy set REQUESTS_CA_BUNDLE"
        return f"{name}: {why.format(host, detail)}{via}"
    for words, meaning in (
        (r"name or service not known|nodename|getaddrinfo|name resolution|resolve", "is not found"),
        (r"refused", "refuses the connection"),
        (r"timed? ?out", "does not answer in time"),
        (r"unreachable|no route", "cannot be reached"),
        (r"too many redirects|exceeded \d+ redirects", "redirects in circles"),
        (r"incompleteread|incomplete|closed|reset|aborted|broken pipe|eof", "drops the connection"),
    ):
        if re.search(words, text, re.I):
            return f"{name}: {host} {meaning}{via}"
    return f"{name}: {host}: {_one_line(str(error), 160)}{via}"


def _chain(error: BaseException) -> str:
    said: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(said) < 8:
        said.append(f"{type(seen).__name__}: {seen}")
        reason = getattr(seen, "reason", None)
        if isinstance(reason, BaseException):
            seen = reason
        else:
            first = seen.args[0] if seen.args else None
            seen = first if isinstance(first, BaseException) else seen.__cause__ or seen.__context__
    return " | ".join(said)


def _of(have: int, size: int) -> str:
    """Return "3.1 of 9.0 GB"; in bytes where rounding would hide the difference."""
    first, second = human(have).split(), human(size).split()
    if first == second:
        return f"{have} of {size} bytes"
    return (
        f"{first[0]} of {' '.join(second)}"
        if first[1] == second[1]
        else (f"{' '.join(first)} of {' '.join(second)}")
    )


def _amount(skew: float) -> str:
    seconds = abs(skew)
    unit, size = next(
        ((u, s) for u, s in (("days", 86400), ("hours", 3600)) if seconds >= 2 * s), ("minutes", 60)
    )
    return f"{seconds / size:.0f} {unit} {'ahead' if skew > 0 else 'behind'}"


def _one_line(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
