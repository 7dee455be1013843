"""Fetch files over HTTP: whole and verified, or one line that says why not.

>>> from pathlib import Path
>>> from depthdata.downloading.engine import Request, fetch
>>> fetch([])
[]
>>> Request("https://example.org/a.zip", Path("a.zip"), size=10).path.name
'a.zip'
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from depthdata.downloading.diagnosis import space_line
from depthdata.downloading.progress import Progress
from depthdata.downloading.state import Part
from depthdata.downloading.transfer import Transfer
from depthdata.downloading.transfer_connections import Context
from depthdata.downloading.transfer_policy import Policy, TokenBucket
from depthdata.downloading.transfer_request import Outcome, Request
from depthdata.errors import UsageError

__all__ = ["Outcome", "Policy", "Progress", "Request", "fetch"]

LAST_WORDS = 2.0  # seconds that running connections get to end after an interrupt


def fetch(
    requests: Sequence[Request],
    *,
    jobs: int = 4,
    parts: int = 4,
    limit_rate: float | None = None,
    progress: Progress | None = None,
    policy: Policy | None = None,
) -> list[Outcome]:
    """Fetch files; go on where a former run, however it ended, stopped.

    Parameters
    ----------
    requests : sequence of Request
    jobs : int
        Files at once.
    parts : int
        Connections per file, where the server gives ranges.
    limit_rate : float, optional
        Bytes per second of all connections together.
    progress : Progress, optional
    policy : Policy, optional
        Patience and sizes.

    Returns
    -------
    list of Outcome
        One per request, in their order. A file that fails does not stop the others.

    Raises
    ------
    UsageError
        Two requests have one path, or a number makes no sense.

    Notes
    -----
    On its way a file is ``<name>.part`` with the state ``<name>.part.json``; it gets its name when
    it is whole, verified and on the disk. ``.depthdata/<name>.json`` beside it then says where it
    is from. Memory does not depend on the sizes: at most `Policy.block` bytes per connection.
    """
    if jobs < 1 or parts < 1:
        raise UsageError(f"jobs and parts are at least 1, not {jobs} and {parts}")
    if limit_rate is not None and not limit_rate > 0:
        raise UsageError(f"limit_rate is a number of bytes per second above 0, not {limit_rate}")
    paths = [Path(os.path.abspath(request.path)) for request in requests]  # noqa: PTH100
    twice = next((path for path in paths if paths.count(path) > 1), None) if paths else None
    if twice is not None:
        raise UsageError(f"two downloads go to {twice}; give them different names")
    progress = Progress() if progress is None else progress
    for request in requests:
        progress.expect(str(request.path), request.path.name, request.size)
    full = _too_small(requests)
    with _session(jobs * parts) as session:
        context = Context(
            session,
            Policy() if policy is None else policy,
            TokenBucket(limit_rate),
            progress,
            parts,
        )
        run = _Run([Transfer(request, context) for request in requests], full)
        run.all(min(jobs, len(requests)))
    return run.outcomes()


def _session(connections: int) -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=8, pool_maxsize=connections, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _too_small(wanted: Sequence[Request]) -> dict[int, str]:
    """Return, by device, the line of those disks on which the files will not fit together."""
    needed: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for request in wanted:
        if request.size is None or request.path.exists():
            continue
        folder = _existing(request.path.parent)
        device = folder.stat().st_dev
        folders.setdefault(device, folder)
        needed[device] = needed.get(device, 0) + request.size - Part.allocated_at(request.path)
    lines = {}
    for device, folder in folders.items():
        at = os.statvfs(folder)
        free = at.f_bavail * at.f_frsize
        if needed[device] > free:
            lines[device] = space_line(folder, needed[device], free)
    return lines


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


class _Run:
    """The transfers of one call, done by a few threads."""

    def __init__(self, transfers: list[Transfer], full: dict[int, str]) -> None:
        self.transfers = transfers
        self.full = full
        self._waiting = deque(enumerate(transfers))
        self._ended: dict[int, Outcome] = {}
        self._error: BaseException | None = None

    def all(self, jobs: int) -> None:
        """Run every transfer; an interrupt ends them, what has arrived stays."""
        threads = [threading.Thread(target=self._some, daemon=True) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            self._stop()
            for thread in threads:
                thread.join(LAST_WORDS)
            raise
        if self._error is not None:
            raise self._error

    def outcomes(self) -> list[Outcome]:
        """Return how each ended."""
        return [self._ended[number] for number in range(len(self.transfers))]

    def _stop(self) -> None:
        self._waiting.clear()
        for transfer in self.transfers:
            transfer.stop()

    def _some(self) -> None:
        while True:
            try:
                number, transfer = self._waiting.popleft()
            except IndexError:
                return
            try:
                self._ended[number] = self._one(transfer)
            except BaseException as error:  # ours, not the network's: the caller shall see it
                self._error = error
                self._stop()

    def _one(self, transfer: Transfer) -> Outcome:
        request = transfer.request
        if self.full and not request.path.exists():
            line = self.full.get(_existing(request.path.parent).stat().st_dev)
            if line is not None:
                transfer.context.progress.finish(transfer.key, "failed")
                return Outcome(request.path, "failed", None, 0, line)
        return transfer.run()
