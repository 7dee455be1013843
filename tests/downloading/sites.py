"""A loopback server that plays the sites which publish datasets, and counts what it sends.

It stands behind a rewriting mirror (``--mirror http://127.0.0.1:PORT/{host}/{path}``), so each site
is a folder that is called like its host.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LOGIN_FORM = """<!DOCTYPE html><html><head><title>Login</title></head><body>
<form method="post"><input type="hidden" name="token" value="t&amp;1">
<input type="text" name="username"><input type="password" name="password">
<input type="submit" name="submit" value="Login"></form></body></html>"""
QUOTA = "<html><title>Google Drive - Quota exceeded</title>Too many users have viewed it</html>"

Answer = tuple[int, dict[str, str], bytes]


class Sites:
    """Serve on a free port until closed."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.pages: dict[str, Callable[[str, dict[str, list[str]], str], Answer]] = {}
        self.sent: dict[str, int] = {}
        self.posts: list[dict[str, list[str]]] = []
        self.asked: list[str] = []
        self.user = ("ada", "s3cret")
        handler = type("BoundHandler", (_Handler,), {"sites": self})
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.httpd.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        self.mirror = self.base + "/{host}/{path}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Sites:
        return self

    def __exit__(self, *_: object) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()

    def add(self, url: str, data: bytes) -> str:
        """Publish a file under an address of the real world; return its address here."""
        parts = urlsplit(url)
        path = f"/{parts.netloc}{unquote(parts.path)}"
        self.files[path] = data
        return self.base + path

    def cityscapes(self, files: dict[str, tuple[str, bytes]]) -> None:
        """Play the site with a login: file name -> (number, content)."""
        site = "/www.cityscapes-dataset.com"
        rows = "".join(
            f'<li><a href="/file-handling/?packageID={key}">{name}</a> (1 GB)</li>'
            for name, (key, _) in files.items()
        )

        def login(method: str, query: dict[str, list[str]], cookie: str) -> Answer:
            if method == "POST":
                given = (query.get("username", [""])[0], query.get("password", [""])[0])
                if given == self.user and query.get("token") == ["t&1"]:
                    return 200, {"Set-Cookie": "sid=42; Path=/"}, b"<html>Welcome</html>"
            return 200, {}, LOGIN_FORM.encode()

        def inside(method: str, query: dict[str, list[str]], cookie: str) -> Answer:
            if "sid=42" not in cookie:
                return 200, {}, LOGIN_FORM.encode()
            return 200, {}, f"<html><ul>{rows}</ul></html>".encode()

        def handling(method: str, query: dict[str, list[str]], cookie: str) -> Answer:
            if "sid=42" not in cookie:
                return 200, {}, LOGIN_FORM.encode()
            for key, data in files.values():
                if query.get("packageID") == [key]:
                    return 200, {"Content-Type": "application/zip"}, data
            return 404, {}, b"no such package"

        self.pages |= {
            f"{site}/login/": login,
            f"{site}/downloads/": inside,
            f"{site}/file-handling/": handling,
        }

    def google_drive(self, files: dict[str, bytes | None], *, strict: bool = True) -> None:
        """Play Google Drive: id -> content of a big file, None where its quota is used up.

        Where it is strict, a file comes only to who has seen the page that asks.
        """

        def ask(method: str, query: dict[str, list[str]], cookie: str) -> Answer:
            name = query.get("id", [""])[0]
            if files.get(name) is None:
                return 200, {}, QUOTA.encode()
            page = (
                "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>"
                '<body><form id="download-form" method="get" '
                'action="https://drive.usercontent.google.com/download">'
                f'<input type="hidden" name="id" value="{name}">'
                '<input type="hidden" name="confirm" value="t">'
                '<input type="hidden" name="uuid" value="u-1"></form></body></html>'
            )
            return 200, {}, page.encode()

        def give(method: str, query: dict[str, list[str]], cookie: str) -> Answer:
            data = files.get(query.get("id", [""])[0])
            seen = query.get("uuid") == ["u-1"] or not strict
            if data is None or query.get("confirm") != ["t"] or not seen:
                return 200, {}, QUOTA.encode()
            return 200, {"Content-Type": "application/octet-stream"}, data

        self.pages["/drive.google.com/uc"] = ask
        self.pages["/drive.usercontent.google.com/download"] = give

    def google_drive_folder(self, tree: dict[str, bytes], top: str) -> None:
        """Play a folder on Google Drive that is open to everybody: path -> content."""
        inside: dict[str, set[str]] = {top: set()}
        for path in tree:
            parts = path.split("/")
            for depth in range(len(parts)):
                above = "/".join([top, *parts[:depth]])
                inside.setdefault(above, set()).add("/".join([top, *parts[: depth + 1]]))
        numbers = {name: f"1n{number}" for number, name in enumerate(sorted(inside))}
        numbers[top] = top
        folders = {number: name for name, number in numbers.items()}
        files = {f"1f{number}": path for number, path in enumerate(sorted(tree))}
        ids = {f"{top}/{path}": number for number, path in files.items()}

        def listing(method: str, query: dict[str, list[str]], cookie: str) -> Answer:
            rows = ""
            for name in sorted(inside[folders[query["id"][0]]]):
                kind, key = ("file/d", ids[name]) if name in ids else ("drive/folders", "")
                where = f"https://drive.google.com/{kind}/{key or numbers[name]}"
                rows += f'<a href="{where}"><div>{name.rpartition("/")[2]}</div></a>'
            return 200, {}, f"<html>{rows}</html>".encode()

        self.pages["/drive.google.com/embeddedfolderview"] = listing
        self.google_drive({number: tree[path] for number, path in files.items()}, strict=False)

    def total(self) -> int:
        """Bytes of files that were sent."""
        return sum(self.sent.values())


class _Handler(BaseHTTPRequestHandler):
    sites: Sites
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._answer(parts.path, parse_qs(parts.query))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        fields = parse_qs(body.decode())
        self.sites.posts.append(fields)
        self._answer(urlsplit(self.path).path, fields)

    def _answer(self, path: str, query: dict[str, list[str]]) -> None:
        self.sites.asked.append(self.path)
        page = self.sites.pages.get(path)
        headers: dict[str, str] = {}
        if page is not None:
            status, headers, data = page(self.command, query, self.headers.get("Cookie", ""))
        elif unquote(path) in self.sites.files:
            status, data = 200, self.sites.files[unquote(path)]
        else:
            status, headers, data = 404, {}, b"not here"
        kind = headers.setdefault(
            "Content-Type", "text/html" if page is not None else "application/octet-stream"
        )
        is_file = status == 200 and kind != "text/html"
        headers["ETag"] = f'"{hashlib.md5(data).hexdigest()}"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if is_file and asked:
            start, size = int(asked[1]), len(data)
            stop = min(size, int(asked[2]) + 1 if asked[2] else size)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            status, data = 206, data[start:stop]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if is_file:
            self.sites.sent[path] = self.sites.sent.get(path, 0) + len(data)
