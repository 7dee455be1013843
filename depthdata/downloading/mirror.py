"""Mirrors: another place that has the files, or a proxy in front of where they are.

A template says where. With ``{dataset}`` and ``{name}`` (or without any field, when
``/{dataset}/{name}`` is added) it is a store of files by name, which needs neither login nor links.
With ``{host}`` and ``{path}`` it rewrites each address, those of logins and file hosts too, so that
the way to a file stays the same. Checksums are verified in both cases.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from depthdata.errors import UsageError

__all__ = ["VARIABLE", "Mirror", "mirror_from"]

VARIABLE = "DEPTHDATA_MIRROR"
_STORE = {"dataset", "name"}
_REWRITE = {"scheme", "host", "path", "query"}


@dataclass(frozen=True)
class Mirror:
    """Where files are instead.

    Parameters
    ----------
    template : str
        Address with fields, or the beginning of one.

    Examples
    --------
    >>> Mirror("https://mirror.lab/data").store("sintel", "a.zip")
    'https://mirror.lab/data/sintel/a.zip'
    >>> Mirror("https://cache.lab/{host}/{path}").rewrite("https://example.org/x/a.zip?id=3")
    'https://cache.lab/example.org/x/a.zip?id=3'
    """

    template: str

    def __post_init__(self) -> None:
        """Refuse a template that makes no sense."""
        fields = set(re.findall(r"\{(\w*)\}", self.template))
        known = fields <= _STORE or fields <= _REWRITE
        whole = not fields or "name" in fields or "path" in fields
        if "://" not in self.template or not known or not whole:
            raise UsageError(
                f"mirror {self.template!r}: expected an address, or one with the fields {{dataset}}"
                " and {name}, or {host} and {path}"
            )

    @property
    def is_store(self) -> bool:
        """Whether it has the files by name."""
        return not re.search(r"\{(?:scheme|host|path|query)\}", self.template)

    def store(self, dataset: str, name: str) -> str:
        """Return the address of a dataset's file."""
        template = self.template
        if "{" not in template:
            template = template.rstrip("/") + "/{dataset}/{name}"
        return template.replace("{dataset}", quote(dataset)).replace("{name}", quote(name))

    def rewrite(self, url: str) -> str:
        """Return the address that an address has here; the same where the mirror is a store."""
        if self.is_store:
            return url
        parts = urlsplit(url)
        found = self.template
        for field, value in (
            ("scheme", parts.scheme),
            ("host", parts.netloc.rpartition("@")[2]),
            ("path", parts.path.lstrip("/")),
        ):
            found = found.replace(f"{{{field}}}", value)
        if "{query}" in found:
            return found.replace("{query}", parts.query)
        return f"{found}{'&' if '?' in found else '?'}{parts.query}" if parts.query else found


def mirror_from(given: str | None) -> Mirror | None:
    """Return the mirror that was named, or that of the environment, if any."""
    template = given or os.environ.get(VARIABLE)
    return Mirror(template) if template else None
