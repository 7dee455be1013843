"""Terms of use: shown once, accepted once, remembered with a hash of their text.

What was accepted is in ``terms.json`` in the user's own folder: ``DEPTHDATA_CONFIG``, or the
platform's place for settings. When the text changes, it has to be accepted again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthdata.downloading.state import durable_write
from depthdata.errors import TermsError
from depthdata.sources.card import Card

__all__ = ["Terms", "accept", "accepted", "config_folder", "require", "terms_of"]

FILE = "terms.json"


@dataclass(frozen=True)
class Terms:
    """Under which terms something may be had.

    Parameters
    ----------
    key : str
        What they are remembered under: ``dataset/sintel``.
    title, licence, url : str
        Of what they are, what they say in short, where they stand in full.
    """

    key: str
    title: str
    licence: str
    url: str

    @property
    def text(self) -> str:
        """What is shown."""
        return f"{self.title}\nlicence: {self.licence}\nterms:   {self.url}"

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def terms_of(card: Card, kind: str = "dataset") -> Terms:
    """Return the terms of a dataset, or of what else a card of this form is of.

    Examples
    --------
    >>> from depthdata.sources import dataset_card
    >>> terms_of(dataset_card("kitti_raw")).licence
    'CC BY-NC-SA 3.0'
    """
    return Terms(f"{kind}/{card.name}", card.title, card.licence, card.terms_url)


def accepted(terms: Terms) -> bool:
    """Tell whether this very text was accepted before."""
    entry = _read().get(terms.key)
    return isinstance(entry, dict) and entry.get("sha256") == terms.digest


def accept(terms: Terms) -> None:
    """Remember that the text was accepted.

    Raises
    ------
    TermsError
        It cannot be written down.
    """
    path = config_folder() / FILE
    entry = {"sha256": terms.digest, "text": terms.text}
    record = dict(sorted({**_read(), terms.key: entry}.items()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable_write(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise TermsError(
            f"{path}: what was accepted cannot be written down ({error.strerror or error}); name "
            "another folder in DEPTHDATA_CONFIG"
        ) from None


def require(terms: Terms, *, accept_license: bool) -> None:
    """Go on only where the terms were accepted.

    Raises
    ------
    TermsError
        They were not.
    """
    if accepted(terms):
        return
    if not accept_license:
        raise TermsError(
            f"{terms.title}: its terms are not accepted yet ({terms.licence}; {terms.url}); read "
            "them, then give --accept-license (accept_license=True)"
        )
    accept(terms)


def config_folder() -> Path:
    """Return the folder of settings: ``DEPTHDATA_CONFIG``, or the platform's place for them."""
    named = os.environ.get("DEPTHDATA_CONFIG")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "depthdata"


def _read() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        record = json.loads((config_folder() / FILE).read_text(encoding="utf-8"))
        if isinstance(record, dict):
            return record
    return {}
