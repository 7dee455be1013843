"""Sites with a login: the form is sent once, its session fetches the files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import requests

from depthdata.downloading import diagnosis
from depthdata.downloading.pages import asks_password, inputs, links
from depthdata.errors import DownloadError
from depthdata.sources.card import Archive, Card, Login

__all__ = ["Ask", "credentials", "file_addresses", "log_in", "variables"]

Ask = Callable[[str], tuple[str, str] | None]
Rewrite = Callable[[str], str]
_TIMEOUT = (20, 60)


def variables(name: str) -> tuple[str, str]:
    """Return the environment variables that may hold user and password of a dataset's site.

    >>> variables("cityscapes")
    ('DEPTHDATA_CITYSCAPES_USER', 'DEPTHDATA_CITYSCAPES_PASSWORD')
    """
    base = f"DEPTHDATA_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
    return f"{base}_USER", f"{base}_PASSWORD"


def credentials(card: Card, login: Login, ask: Ask | None = None) -> tuple[str, str, str]:
    """Return user, password, and where they are from: environment, netrc, or a question.

    Raises
    ------
    DownloadError
        There are none.
    """
    names = variables(card.name)
    user, password = (os.environ.get(name) for name in names)
    if user and password:
        return user, password, "the environment"
    host = urlsplit(login.page).hostname or ""
    known = requests.utils.get_netrc_auth(login.page)
    if known:
        return known[0], known[1], "netrc"
    answered = ask(host) if ask is not None else None
    if answered:
        return *answered, "the question"
    raise DownloadError(
        f"{card.name}: {host} wants a login: register at {card.homepage}, then put user and "
        f"password into ~/.netrc (machine {host} login ... password ...) or into "
        f"{' and '.join(names)}"
    )


def log_in(card: Card, login: Login, ask: Ask | None, rewrite: Rewrite) -> requests.Session:
    """Send the form; return the session that is logged in.

    Raises
    ------
    DownloadError
        There are no credentials, the site refuses them, or it does not answer.
    """
    user, password, origin = credentials(card, login, ask)
    session = requests.Session()
    session.auth = _no_auth  # else netrc would send the password with every request
    page = rewrite(login.page)
    form = _get(card.name, page, session)
    hidden = {
        field["name"]: field.get("value", "")
        for field in inputs(form)
        if field.get("type", "").lower() == "hidden"
    }
    fields = {**hidden, login.user: user, login.password: password, **dict(login.extra)}
    try:
        answer = session.post(page, data=fields, timeout=_TIMEOUT, headers={"Referer": page})
    except requests.RequestException as error:
        raise DownloadError(diagnosis.network_line(card.name, page, error)) from None
    refused = answer.status_code in (401, 403) or (answer.ok and asks_password(answer.text))
    if refused:
        host = urlsplit(login.page).hostname
        raise DownloadError(
            f"{card.name}: {host} refuses user {user!r} with the password from {origin}; "
            "correct them"
        )
    if not answer.ok:
        line = diagnosis.status_line(card.name, page, answer.status_code, answer.content[:4096])
        raise DownloadError(line)
    return session


def file_addresses(
    card: Card,
    login: Login,
    archives: Sequence[Archive],
    session: requests.Session,
    rewrite: Rewrite,
) -> dict[str, str]:
    """Return the address of each archive that the site has: by its own list, else as known.

    The numbers that a site gives its files may change; its list tells them by name.
    """
    keys = {archive.name: archive.key for archive in archives}
    if login.index is not None:
        index = _get(card.name, rewrite(login.index), session)
        if asks_password(index):
            raise DownloadError(
                f"{card.name}: {diagnosis.public_url(login.index)} wants a login although one was "
                "made; look at your account on the site"
            )
        keys |= {name: key for name, key in _listed(index, login).items() if name in keys}
    return {
        name: rewrite(login.files.replace("{key}", key))
        for name, key in keys.items()
        if key is not None
    }


def _listed(page: str, login: Login) -> dict[str, str]:
    """Return name and number of the files that a page links to."""
    before = urlsplit(login.files.partition("{key}")[0])
    pattern = re.compile(re.escape(f"{before.path}?{before.query}") + r"([\w.-]+)")
    found = {}
    for link, text in links(page):
        key = pattern.search(link)
        name = re.search(r"[\w.+-]+\.(?:zip|tar|tgz|gz|7z|bz2)\b", text)
        if key and name:
            found[name[0]] = key[1]
    return found


def _get(name: str, url: str, session: requests.Session) -> str:
    try:
        answer = session.get(url, timeout=_TIMEOUT)
    except requests.RequestException as error:
        raise DownloadError(diagnosis.network_line(name, url, error)) from None
    if not answer.ok:
        body = answer.content[:4096]
        raise DownloadError(diagnosis.status_line(name, url, answer.status_code, body))
    text: str = answer.text
    return text


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
