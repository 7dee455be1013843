"""The connections of one file: ask, look at the first bytes, hand the rest over block by block."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
import urllib3

from depthdata._version import __version__
from depthdata.downloading import diagnosis
from depthdata.downloading.progress import Progress
from depthdata.downloading.ranges import range_header
from depthdata.downloading.transfer_answer import (
    Answer,
    Asked,
    FatalError,
    RetryError,
    StoppedError,
    read_some,
)
from depthdata.downloading.transfer_policy import HostGates, Policy, TokenBucket
from depthdata.downloading.transfer_request import Request

__all__ = ["Connections", "Context"]

LASTING = (
    requests.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)


@dataclass
class Context:
    """What all files of one run share."""

    session: requests.Session
    policy: Policy
    bucket: TokenBucket
    progress: Progress
    parts: int
    gates: HostGates = field(default_factory=HostGates)
    told_clocks: set[str] = field(default_factory=set)


class Connections:
    """What a file's threads use to talk to its server.

    Parameters
    ----------
    request : Request
    context : Context
    note : callable
        Takes a line that the user should see.
    """

    def __init__(self, request: Request, context: Context, note: Callable[[str], None]) -> None:
        self.request = request
        self.context = context
        self.name = request.path.name
        self.host = urlsplit(diagnosis.public_url(request.url)).netloc
        self.abort = threading.Event()  # set: whoever reads or waits ends
        self.fetched = 0
        self._note = note
        self._session = request.session or context.session
        self._lock = threading.Lock()
        self._live: set[requests.Response] = set()

    def hang_up(self) -> None:
        """End every connection, also those that wait for the server."""
        self.abort.set()
        with self._lock:
            live = list(self._live)
        for response in live:
            shutdown = getattr(response.raw, "shutdown", None)  # since urllib3 2.3
            if shutdown is not None:
                with contextlib.suppress(Exception):
                    shutdown()

    @contextlib.contextmanager
    def open(self, asked: Asked, if_range: str | None) -> Iterator[requests.Response]:
        """Ask; the answer is open within the ``with`` block."""
        policy = self.context.policy
        headers = {
            "User-Agent": f"depthdata/{__version__}",
            "Accept": "*/*",
            **self.request.headers,
            "Accept-Encoding": "identity",
        }
        if asked.ranged:
            headers["Range"] = range_header(asked.start, asked.stop)
            if if_range is not None:
                headers["If-Range"] = if_range
        policy.wait(self.context.gates.wait_seconds(self.host), self.abort)
        if self.abort.is_set():
            raise StoppedError
        try:
            response = self._session.get(
                asked.url,
                headers=headers,
                stream=True,
                timeout=(policy.connect_timeout, policy.read_timeout),
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._network_error(error) from None
        except ValueError as error:  # an address that makes no sense, ours or of a redirect
            raise FatalError(f"{self.name}: {error}") from None
        with self._lock:
            self._live.add(response)
        try:
            self._tell_clock(response)
            yield response
        finally:
            with self._lock:
                self._live.discard(response)
            response.close()

    def head(self, response: requests.Response, answer: Answer) -> bytes:
        """Return the first bytes of the file; a web page ends the download here."""
        length = diagnosis.HEAD_BYTES if answer.stop is None else answer.stop
        head = b""
        try:
            while len(head) < min(length, diagnosis.HEAD_BYTES):
                data = response.raw.read1(diagnosis.HEAD_BYTES - len(head), decode_content=False)
                if not data:
                    break
                head += data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._count(head)
            raise self._network_error(error) from None
        if diagnosis.looks_like_page(head, self.name):
            body = head + read_some(response, 65536)
            raise FatalError(diagnosis.page_line(self.name, self.request.url, body))
        return head

    def blocks(self, response: requests.Response, left: int | None, head: bytes) -> Iterator[bytes]:
        """Yield the body as it arrives: the `head` that was read, then `left` bytes in all."""
        context, policy = self.context, self.context.policy
        if head:
            self._count(head)
            yield head
        left = None if left is None else left - len(head)
        most = context.bucket.block(policy.block)
        seconds, arrived = 0.0, 0
        while left is None or left > 0:
            began = time.monotonic()
            try:
                data = response.raw.read1(
                    most if left is None else min(most, left), decode_content=False
                )
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if self.abort.is_set():
                    raise StoppedError from None
                raise self._network_error(error) from None
            if not data:
                return
            left = None if left is None else left - len(data)
            self._count(data)
            seconds, arrived = seconds + time.monotonic() - began, arrived + len(data)
            if seconds > policy.slow_seconds:
                if arrived < policy.slowest * seconds:
                    yield data
                    rate = diagnosis.human(arrived / seconds)
                    line = f"{self.name}: {self.host} brings only {rate} a second"
                    raise RetryError(line, broke=True)
                seconds, arrived = 0.0, 0
            yield data
            context.bucket.take(len(data), self.abort)

    def _network_error(self, error: BaseException) -> Exception:
        url = self.request.url
        line = diagnosis.network_line(self.name, url, error, _proxies(url))
        if isinstance(error, LASTING) or " certificate of " in line:
            return FatalError(line)
        return RetryError(line, broke=True)

    def _tell_clock(self, response: requests.Response) -> None:
        line = diagnosis.clock_line(self.host, diagnosis.clock_skew(response.headers, time.time()))
        if line is not None and self.host not in self.context.told_clocks:
            self.context.told_clocks.add(self.host)
            self._note(line)

    def _count(self, data: bytes) -> None:
        with self._lock:
            self.fetched += len(data)


def _proxies(url: str) -> dict[str, str]:
    """Return the variables of the environment that send this address through a proxy."""
    try:
        if not requests.utils.get_environ_proxies(url):
            return {}
    except ValueError:  # an address that makes no sense
        return {}
    names = (f"{urlsplit(url).scheme}_proxy", "all_proxy")
    spelled = [spelling for name in names for spelling in (name, name.upper())]
    return {name: os.environ[name] for name in spelled if os.environ.get(name)}
