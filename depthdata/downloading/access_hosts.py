"""File hosts: from the page that a person would open to the address of the file itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

import requests

from depthdata.downloading import diagnosis
from depthdata.downloading.pages import attributes, inputs, links
from depthdata.errors import DownloadError

__all__ = [
    "dropbox_url",
    "google_drive_direct",
    "google_drive_id",
    "google_drive_listing",
    "google_drive_url",
    "is_google_drive_folder",
    "nextcloud_url",
]

Rewrite = Callable[[str], str]

_DRIVE = "https://drive.google.com"
_HEAD = 256 << 10  # bytes of a page that are looked at
_TIMEOUT = (20, 60)
_DEPTH = 4  # folders inside one another


def google_drive_id(url: str) -> str:
    """Return the id of the file or folder that an address of Google Drive is of.

    >>> google_drive_id("https://drive.google.com/file/d/1AbC_d-9/view?usp=sharing")
    '1AbC_d-9'
    >>> google_drive_id("https://drive.google.com/uc?id=1AbC_d-9")
    '1AbC_d-9'
    """
    parts = urlsplit(url)
    found = re.search(r"/(?:d|folders)/([\w-]+)", parts.path)
    name = found[1] if found else parse_qs(parts.query).get("id", [""])[0]
    if not re.fullmatch(r"[\w-]+", name):
        raise DownloadError(f"{url}: expected the address of a file on Google Drive with its id")
    return name


def is_google_drive_folder(url: str) -> bool:
    """Tell whether an address is that of a folder."""
    return "/folders/" in urlsplit(url).path


def google_drive_url(name: str, url: str, session: requests.Session, rewrite: Rewrite) -> str:
    """Return the address that gives the file, past the page that asks about a virus scan.

    Raises
    ------
    DownloadError
        The quota of the file is used up, it wants a login, or it is not there.
    """
    asked = rewrite(f"{_DRIVE}/uc?export=download&id={google_drive_id(url)}")
    body, kind, final, status = _head(name, asked, session)
    if status >= 400:
        raise DownloadError(diagnosis.status_line(name, asked, status, body))
    if "html" not in kind and not diagnosis.looks_like_page(body, name):
        return asked
    if diagnosis.page_kind(body) in ("quota", "login"):
        raise DownloadError(diagnosis.page_line(name, asked, body))
    confirmed = _form(body.decode("utf-8", "replace"), final)
    if confirmed is None:
        raise DownloadError(diagnosis.page_line(name, asked, body))
    return rewrite(confirmed) if urlsplit(confirmed).netloc != urlsplit(asked).netloc else confirmed


def google_drive_direct(url: str) -> str:
    """Return the address of a file without asking: for the many files of a folder.

    >>> google_drive_direct("https://drive.google.com/file/d/1Ab/view")
    'https://drive.usercontent.google.com/download?id=1Ab&export=download&confirm=t'
    """
    number = google_drive_id(url)
    return f"https://drive.usercontent.google.com/download?id={number}&export=download&confirm=t"


def _form(page: str, base: str) -> str | None:
    """Return what the button of a confirmation page leads to."""
    for form in re.findall(r"<form\b.*?</form>", page, re.I | re.S):
        values = {field["name"]: field.get("value", "") for field in inputs(form)}
        action = attributes(form[: form.index(">") + 1]).get("action")
        if action and ("confirm" in values or "confirm=" in action):
            target = urlsplit(urljoin(base, action))
            query = [*parse_qsl(target.query), *values.items()]
            return urlunsplit(target._replace(query=urlencode(dict(query))))
    found = next((link for link, _ in links(page) if re.search(r"[?&]confirm=", link)), None)
    return urljoin(base, found) if found else None


def google_drive_listing(
    name: str, url: str, session: requests.Session, rewrite: Rewrite, depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield path and address of each file in a folder and the folders in it.

    Raises
    ------
    DownloadError
        The folder is not open to everybody, or its page has another form than known.
    """
    asked = rewrite(f"{_DRIVE}/embeddedfolderview?id={google_drive_id(url)}")
    body, _, _, status = _head(name, asked, session)
    if status >= 400:
        raise DownloadError(diagnosis.status_line(name, asked, status, body))
    entries = _entries(body.decode("utf-8", "replace"))
    if not entries and depth == 0:
        raise DownloadError(
            f"{name}: {diagnosis.public_url(url)} shows no list of files to a program; open it in "
            "a browser, then give the files with --from"
        )
    for title, link in entries:
        if not is_google_drive_folder(link):
            yield title, link
        elif depth < _DEPTH:
            for inner, address in google_drive_listing(name, link, session, rewrite, depth + 1):
                yield f"{title}/{inner}", address


def _entries(page: str) -> list[tuple[str, str]]:
    return [
        (title.replace("/", "_"), link)
        for link, title in links(page)
        if title and re.search(r"/(?:file/d|folders)/[\w-]+", link)
    ]


def dropbox_url(url: str) -> str:
    """Return the address that gives the file and not the page around it.

    >>> dropbox_url("https://www.dropbox.com/s/abc/models.zip?dl=0")
    'https://www.dropbox.com/s/abc/models.zip?dl=1'
    """
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("dl", "raw")]
    return urlunsplit(parts._replace(query=urlencode([*query, ("dl", "1")])))


def nextcloud_url(url: str, file: str | None = None) -> str:
    """Return the address that gives what is shared: a file, or a zip of a folder.

    >>> nextcloud_url("https://cloud.example.org/index.php/s/AbCd")
    'https://cloud.example.org/index.php/s/AbCd/download'
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    path = path if path.endswith("/download") else f"{path}/download"
    query = parts.query if file is None else f"path=%2F&files={quote(file)}"
    return urlunsplit(parts._replace(path=path, query=query))


def _head(name: str, url: str, session: requests.Session) -> tuple[bytes, str, str, int]:
    """Return the beginning of an answer, its kind, its address after redirects, its status."""
    try:
        with session.get(url, stream=True, timeout=_TIMEOUT) as response:
            kind = response.headers.get("Content-Type", "").lower()
            wanted = _HEAD if "html" in kind or response.status_code >= 400 else 512
            body = b""
            for block in response.iter_content(16384):
                body += block
                if len(body) >= wanted:
                    break
            return body, kind, response.url, response.status_code
    except requests.RequestException as error:
        raise DownloadError(diagnosis.network_line(name, url, error)) from None
