"""How patient a download is, and how fast it may be."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

__all__ = ["HostGates", "Policy", "TokenBucket", "retry_after"]

MIB = 1 << 20


@dataclass(frozen=True)
class Policy:
    """What may be tuned; the defaults suit the servers that publish datasets.

    Parameters
    ----------
    tries : int
        Failures in a row, without progress between them, before a file is given up.
    first_wait, longest_wait : float
        Seconds of the exponential back-off (each is shortened by a random share of up to a half).
    longest_retry_after : float
        A server that asks for a longer pause is not waited for.
    connect_timeout, read_timeout : float
        Seconds.
    slowest, slow_seconds : float
        A connection that brings fewer bytes a second for so long is dropped and made anew.
    first_piece, largest_piece : int
        Bytes asked for at once: by the first request, which learns the size, and by the others.
    fast, trial : float
        A connection that after so many seconds (the second) has brought so many bytes a second (the
        first) is enough; more of them would only cost time.
    block : int
        Bytes in memory per connection, at most.
    sleep : callable, optional
        Waits that many seconds, in place of a wait that a stop ends early; for tests.
    seed : int, optional
        Of the random shares.
    """

    tries: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_retry_after: float = 900.0
    connect_timeout: float = 20.0
    read_timeout: float = 60.0
    slowest: float = 1000.0
    slow_seconds: float = 60.0
    first_piece: int = 8 * MIB
    largest_piece: int = 64 * MIB
    fast: float = 250e6
    trial: float = 0.05
    block: int = MIB
    sleep: Callable[[float], None] | None = None
    seed: int | None = None
    _random: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the generator of random shares."""
        object.__setattr__(self, "_random", random.Random(self.seed))

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        longest = min(self.longest_wait, self.first_wait * 2.0 ** max(0, failures - 1))
        return longest * self._random.uniform(0.5, 1.0)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait, or until `stop` is set."""
        if seconds > 0:
            (self.sleep or stop.wait)(seconds)


class TokenBucket:
    """Bytes a second that all connections together may take.

    Parameters
    ----------
    rate : float, optional
        Bytes per second; None: no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._paid_until = time.monotonic()

    def block(self, most: int) -> int:
        """Return how many bytes to read at once so that the flow stays even."""
        if self.rate is None:
            return most
        return max(1024, min(most, int(self.rate / 8)))

    def take(self, count: int, stop: threading.Event) -> None:
        """Pay for bytes that have arrived: wait until the next ones may be read."""
        if self.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._paid_until = max(self._paid_until, now - 0.1) + count / self.rate
            due = self._paid_until - now
        if due > 0:
            stop.wait(due)


class HostGates:
    """Hosts that asked for a pause, and until when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def close(self, host: str, seconds: float) -> None:
        """Let nobody ask the host for so long."""
        with self._lock:
            self._until[host] = max(self._until.get(host, 0.0), time.monotonic() + seconds)

    def wait_seconds(self, host: str) -> float:
        """Return how long the host wants to be left alone."""
        with self._lock:
            return max(0.0, self._until.get(host, 0.0) - time.monotonic())


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; None where it does not.

    A date counts from the server's own clock (``Date``) where it tells it, so that a wrong clock
    here does no harm.

    >>> retry_after({"Retry-After": "120"}, now=0.0)
    120.0
    >>> retry_after({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT",
    ...              "Date": "Thu, 01 Jan 1970 00:01:30 GMT"}, now=0.0)
    30.0
    """
    said = (headers.get("Retry-After") or "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        until = parsedate_to_datetime(said).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    try:
        start = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        start = now
    return max(0.0, until - start)
