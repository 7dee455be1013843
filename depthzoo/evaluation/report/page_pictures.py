"""The pictures of examples, read back from a report page.

Nothing but the pictures' own bytes, names and numbers is taken over: a page could hold anything.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

__all__ = ["Shown", "read_pictures"]

_URI = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+=*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_SCALE = re.compile(r"[\d.e+-]{1,12} to [\d.e+-]{1,12}( (px|m))?")
_LARGEST = 64 << 20


@dataclass
class Shown:
    """An example of a page: ``best``, ``median`` or ``worst``, its frame, its figures.

    Of a figure there are its name, the picture's data and what its first and last colour stand for.
    `value` is the headline of the picture's frame, NaN where the page does not say.
    """

    kind: str
    key: tuple[str, ...]
    value: float = math.nan
    figures: list[tuple[str, str, str]] = field(default_factory=list)


def read_pictures(result: Path | None) -> list[Shown]:
    """Return the examples of the report page beside a result file; none where there is no page."""
    page = None if result is None else result.with_suffix(".html")
    if page is None or not page.is_file() or page.stat().st_size > _LARGEST:
        return []
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8", errors="replace"))
    return reader.found


class _Reader(HTMLParser):
    """Collects images below elements that say which example they are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Shown] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {key: value or "" for key, value in attrs}
        if "data-example" in facts:
            key = tuple(facts.get(f"data-{part}", "") for part in _PLACE)
            value = facts.get("data-value", "")
            known = float(value) if _NUMBER.fullmatch(value) else math.nan
            self.found.append(Shown(facts["data-example"], key, known))
        elif tag == "img" and self.found and "data-part" in facts and _URI.fullmatch(facts["src"]):
            scale = facts.get("data-scale", "")
            shown = scale if _SCALE.fullmatch(scale) else ""
            self.found[-1].figures.append((facts["data-part"], facts["src"], shown))


_PLACE = ("sequence", "camera", "frame", "name")
