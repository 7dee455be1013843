"""Addresses that the user brings: pasted, or in a file that the owner sends with the licence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from depthdata.errors import UsageError
from depthdata.sources.card import Archive

__all__ = ["match_links", "name_in", "read_links"]

_URL = re.compile(r"https?://[^\s\"'<>]+")
_MOST = 16 << 20  # bytes; a list of addresses is small


def read_links(path: Path) -> list[str]:
    """Return the addresses in a file, in its order.

    A JSON file may have any shape: every text in it that is an address counts, so that
    ``{"train": [...], "test": [...]}`` is fine. Of any other text, a mail for example, the same:
    every address in it counts. A line ``NAME=ADDRESS`` says which file an address is of.

    Raises
    ------
    UsageError
        The file cannot be read, or has no address.
    """
    try:
        if path.stat().st_size > _MOST:
            raise UsageError(f"{path}: expected a list of addresses, found a file of that size")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path}: the list of addresses cannot be read: {reason}") from None
    try:
        found = list(_texts(json.loads(text)))
    except ValueError:
        found = []
        for line in text.splitlines():
            if line.strip().startswith("#"):
                continue
            named = re.match(r"\s*([\w.+-]+)\s*=\s*(https?://\S+)\s*$", line)
            found += [f"{named[1]}={named[2]}"] if named else _URL.findall(line)
    if not found:
        raise UsageError(f"{path}: no address in it; expected the list that the owner sends")
    return list(dict.fromkeys(found))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (value.strip() for _ in range(1) if _URL.fullmatch(value.strip()))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def name_in(url: str) -> str:
    """Return the file name that an address tells: that of a query, else of its path.

    >>> name_in("https://s3.example.org/x/v1.0-mini.tgz?Signature=a%2Fb&Expires=9")
    'v1.0-mini.tgz'
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    for key in ("response-content-disposition", "rscd", "filename", "file", "files"):
        for value in query.get(key, []):
            named = re.search(r"filename\*?=\"?(?:UTF-8'')?([^\";]+)", value)
            name = named[1] if named else ("" if "=" in value or "/" in value else value)
            if "." in name:
                return unquote(name).strip()
    return unquote(parts.path.rstrip("/").rpartition("/")[2])


def match_links(
    archives: Sequence[Archive], links: Iterable[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the address of each archive that one was given for, and the addresses left over.

    ``NAME=ADDRESS`` says which archive it is; else the address has its name, or, where there is but
    one archive and one address, it is that.

    >>> match_links([Archive("a.zip"), Archive("b.zip")], ["https://h/a.zip?x=1", "https://h/c"])
    ({'a.zip': 'https://h/a.zip?x=1'}, ['https://h/c'])
    """
    names = {archive.name for archive in archives}
    found: dict[str, str] = {}
    rest: list[str] = []
    for link in links:
        head, equals, tail = link.partition("=")
        if equals and "://" not in head and "://" in tail:
            if head not in names:
                raise UsageError(
                    f"--link {head}=...: no file is called so; there are {shortened(sorted(names))}"
                )
            found[head] = tail
            continue
        if not _URL.fullmatch(link):
            raise UsageError(f"--link {link!r}: expected an address, or NAME=ADDRESS")
        name = name_in(link)
        if name in names:
            found[name] = link
        else:
            rest.append(link)
    if len(archives) == 1 and len(rest) == 1 and not found:
        return {archives[0].name: rest[0]}, []
    return found, rest


def shortened(names: Sequence[str], most: int = 6) -> str:
    """Return the first few names.

    >>> shortened(["a", "b", "c"], most=2)
    'a, b, ... (3)'
    """
    return ", ".join(names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")
