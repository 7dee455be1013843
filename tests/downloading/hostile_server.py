"""A loopback HTTP server that misbehaves as it is told, and counts every byte it sends.

A `Resource` is what lies under a path; a `Fault` is what happens to one request of it. Faults are
taken in order, a request each; when none is left the server is well-behaved.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BLOCK = 16384
LOGIN_PAGE = b"""<!DOCTYPE html>
<html><head><title>Log in - Dataset server</title></head>
<body><form><input name="user"><input type="password"></form></body></html>"""
QUOTA_PAGE = b"""<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head>
<body>Sorry, you can't view or download this file at this time. Too many users have viewed or
downloaded this file recently.</body></html>"""


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    kind:
      drop           the connection ends after `at` bytes of the body
      refuse         the connection ends before any answer
      status         HTTP `status` with `headers` and `body`
      ignore_range   200 with the whole file although a range was asked for
      wrong_range    206 whose Content-Range is shifted by `at` bytes (the body as well)
      no_range_head  206 without Content-Range
      other_length   206 or 200 whose Content-Length is `at` bytes off; the connection ends
      trickle        `at` bytes, then a pause of `seconds` before each further block
      stall          `at` bytes, then nothing for `seconds`
      no_length      neither length nor chunks; the end of the connection is the end
      chunked        in chunks, without a length; with at > 0 cut off after so many bytes
      gzip           a Content-Encoding nobody asked for
      page           200 with an HTML page
      redirect       302 to `location` (the same path with ?redirected by default)
      change         the file becomes `resource.next_version()` first, then a good answer
    """

    kind: str
    at: int = 0
    seconds: float = 0.0
    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    location: str | None = None


@dataclass
class Resource:
    """A file of the server.

    Parameters
    ----------
    versions : list of bytes
        The first is served; a `change` goes on to the next.
    etag : str
        "strong", "weak" or "none".
    dated : bool
        Whether Last-Modified is sent.
    ranges : bool
        Whether the server knows ranges at all.
    """

    versions: list[bytes]
    etag: str = "strong"
    dated: bool = True
    ranges: bool = True
    content_type: str = "application/octet-stream"
    faults: deque[Fault] = field(default_factory=deque)
    current: int = 0
    spoiled: int = 0  # bytes whose sending a fault made useless

    @property
    def data(self) -> bytes:
        return self.versions[self.current]

    def tag(self) -> str | None:
        digest = hashlib.md5(self.data).hexdigest()[:12]
        return {"strong": f'"{digest}"', "weak": f'W/"{digest}"', "none": None}[self.etag]

    def date(self) -> str:
        return formatdate(1_700_000_000 + 1000 * self.current, usegmt=True)


@dataclass
class Hit:
    """One request as the server saw it."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0  # bytes of the body
    fault: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class HostileServer:
    """Serve resources on a free port of the loopback interface until closed."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.resources: dict[str, Resource] = {}
        self.hits: list[Hit] = []
        self.lock = threading.Lock()
        self.open = 0
        self.most_open = 0
        self.clock = 0.0  # seconds that the Date header is off
        self.pace = 0.0  # seconds before each block of every answer
        self.closing = threading.Event()
        handler = type("BoundHandler", (_Handler,), {"owner": self})
        self.httpd = _Server(("127.0.0.1", 0), handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, certificate))
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True)
            scheme = "https"
        self.base = f"{scheme}://127.0.0.1:{self.httpd.server_address[1]}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closing.set()
        self.httpd.shutdown()
        self.httpd.server_close()

    def add(self, path: str, *versions: bytes, faults: Iterable[Fault] = (), **options) -> str:
        """Put a file under a path; return its address."""
        self.resources[path] = Resource(list(versions), faults=deque(faults), **options)
        return self.base + path

    def sent(self, path: str | None = None) -> int:
        """Bytes of bodies sent, of files (not of error answers)."""
        with self.lock:
            return sum(h.sent for h in self.hits if path in (None, h.path.partition("?")[0]))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        connection, address = super().get_request()
        # Small, so that what was sent is nearly what has arrived, and the counts mean something.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        return connection, address

    def handle_error(self, request, client_address) -> None:
        pass  # a client that goes away is no error here


class _Handler(BaseHTTPRequestHandler):
    owner: HostileServer
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    timeout = 60
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp=None) -> str:
        return formatdate(time.time() + self.owner.clock, usegmt=True)

    def do_GET(self) -> None:
        owner = self.owner
        path = self.path.partition("?")[0]
        resource = owner.resources.get(path)
        hit = Hit(
            self.path, self.headers.get("Range"), self.headers.get("If-Range"),
            headers=dict(self.headers.items()),
        )  # fmt: skip
        with owner.lock:
            owner.hits.append(hit)
            owner.open += 1
            owner.most_open = max(owner.most_open, owner.open)
            fault = resource.faults.popleft() if resource is not None and resource.faults else None
        self.hit, self.resource, self.fault = hit, resource, fault
        hit.fault = None if fault is None else fault.kind
        try:
            if resource is None:
                self._plain(404, b"not here")
            else:
                self._serve(resource, fault)
        except OSError:
            self.close_connection = True
        finally:
            with owner.lock:
                owner.open -= 1

    def _plain(self, status: int, body: bytes, headers=()) -> None:
        self.hit.status = status
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self, resource: Resource, fault: Fault | None) -> None:
        kind = None if fault is None else fault.kind
        if kind == "refuse":
            self.close_connection = True
            return
        if kind == "status":
            self._plain(fault.status, fault.body, fault.headers)
            return
        if kind == "page":
            self._plain(200, fault.body or LOGIN_PAGE, (("Content-Type", "text/html"),))
            return
        if kind == "redirect":
            where = fault.location or f"{self.path.partition('?')[0]}?redirected"
            self._plain(302, b"", (("Location", where),))
            return
        if kind == "change":
            with self.owner.lock:
                resource.current = min(resource.current + 1, len(resource.versions) - 1)
        data = resource.data
        span = self._wanted(resource, data) if kind != "ignore_range" else None
        if span == "unsatisfiable":
            self._plain(416, b"", (("Content-Range", f"bytes */{len(data)}"),))
            return
        start, stop = span or (0, len(data))
        if kind == "wrong_range" and span is not None:
            start = max(0, min(start + fault.at, stop - 1))
        self.hit.status = 206 if span is not None else 200
        self.send_response(self.hit.status)
        if span is not None and kind != "no_range_head":
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Type", resource.content_type)
        if resource.tag() is not None:
            self.send_header("ETag", resource.tag())
        if resource.dated:
            self.send_header("Last-Modified", resource.date())
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        length = stop - start
        if kind == "other_length":
            self.send_header("Content-Length", str(max(0, length + fault.at)))
        elif kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif kind != "no_length":
            self.send_header("Content-Length", str(length))
        if kind == "no_length":
            self.send_header("Connection", "close")
        self.end_headers()
        self._body(data, start, stop, fault)

    def _wanted(self, resource: Resource, data: bytes) -> tuple[int, int] | str | None:
        asked = self.hit.range
        if asked is None or not resource.ranges:
            return None
        condition = self.hit.if_range
        if condition is not None and condition not in (
            resource.tag() if resource.etag == "strong" else None,
            resource.date() if resource.dated else None,
        ):
            return None
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first)
        stop = min(len(data), int(last) + 1 if last else len(data))
        return (start, stop) if start < stop else "unsatisfiable"

    def _body(self, data: bytes, start: int, stop: int, fault: Fault | None) -> None:
        kind = None if fault is None else fault.kind
        cut = kind in ("drop", "stall") or (kind == "chunked" and fault.at > 0)
        cut = cut or (kind == "no_length" and fault.at > 0)
        end = min(stop, start + fault.at) if cut else stop
        if kind == "other_length":
            end = stop + min(0, fault.at)
        position = start
        while position < end:
            if self.owner.closing.is_set():
                self.close_connection = True
                return
            if self.owner.pace:
                time.sleep(self.owner.pace)
            if kind == "trickle" and position - start >= fault.at:
                time.sleep(fault.seconds)
            block = data[position : min(end, position + BLOCK)]
            if kind == "chunked":
                self.wfile.write(b"%x\r\n" % len(block) + block + b"\r\n")
            else:
                self.wfile.write(block)
            with self.owner.lock:
                self.hit.sent += len(block)
            position += len(block)
        if kind == "chunked" and end == stop:
            self.wfile.write(b"0\r\n\r\n")
        if kind == "stall":
            self.owner.closing.wait(fault.seconds)
        if end < stop or kind in ("no_length", "other_length"):
            self.close_connection = True


def serve_from_process(path: Path, port_file: Path) -> None:
    """Serve one file for ever; for tests that measure another process."""
    server = HostileServer()
    server.add("/file.bin", path.read_bytes())
    port_file.write_text(server.base, encoding="ascii")
    threading.Event().wait()
