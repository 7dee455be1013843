"""What a program needs of a web page: forms, links, the attributes of a tag."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

__all__ = ["asks_password", "attributes", "inputs", "links"]


def attributes(tag: str) -> dict[str, str]:
    """Return the attributes of a tag.

    >>> attributes('<input type="hidden" name=a value="1 &amp; 2">')
    {'type': 'hidden', 'name': 'a', 'value': '1 & 2'}
    """
    found = re.findall(r"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", tag)
    return {key.lower(): html.unescape(one or two or bare) for key, one, two, bare in found}


def inputs(text: str) -> Iterator[dict[str, str]]:
    """Yield the attributes of each input field that has a name."""
    for tag in re.findall(r"<input\b[^>]*>", text, re.I):
        field = attributes(tag)
        if field.get("name"):
            yield field


def links(text: str) -> Iterator[tuple[str, str]]:
    """Yield the address and the text of each link.

    >>> list(links('<p><a class="x" href="/a?b=1&amp;c=2">one <b>two</b></a></p>'))
    [('/a?b=1&c=2', 'one two')]
    """
    for tag, inside in re.findall(r"(<a\b[^>]*>)(.*?)</a>", text, re.I | re.S):
        address = attributes(tag).get("href")
        if address:
            yield address, " ".join(html.unescape(re.sub(r"<[^>]+>", " ", inside)).split())


def asks_password(text: str) -> bool:
    """Tell whether a page has a field for a password."""
    return any(field.get("type", "").lower() == "password" for field in inputs(text))
