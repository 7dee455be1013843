"""How far a download is: bytes of each file and of all, rate, time left; bars, JSON or nothing."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, TextIO

__all__ = ["FileProgress", "Progress", "Snapshot"]

WINDOW = 10.0  # seconds that the rate looks back
SAMPLE = 0.2

_log = logging.getLogger(__name__)


@dataclass
class FileProgress:
    """One file: bytes that are there (`done`), of them `fetched` in this run."""

    name: str
    size: int | None = None
    done: int = 0
    fetched: int = 0
    status: str = "waiting"  # "running", "ok", "there", "failed"


@dataclass(frozen=True)
class Snapshot:
    """All files at one moment.

    Parameters
    ----------
    done, fetched : int
        Bytes.
    size : int or None
        Bytes of all files; None while a size is not known.
    rate : float
        Bytes per second over the last ten seconds.
    seconds_left : float or None
    files, files_done : int
    """

    done: int
    fetched: int
    size: int | None
    rate: float
    seconds_left: float | None
    files: int
    files_done: int


class Progress:
    """Counts, and shows the counts. Threads may call it at the same time.

    Parameters
    ----------
    mode : str
        ``"bars"`` draws on `stream`, ``"json"`` writes a JSON object a line there, ``"quiet"``
        only counts.
    stream : text file, optional
        stderr by default.
    every : float
        Seconds between two lines of the JSON mode.
    """

    def __init__(
        self,
        mode: Literal["bars", "json", "quiet"] = "quiet",
        *,
        stream: TextIO | None = None,
        every: float = 1.0,
    ) -> None:
        self.mode = mode
        self.files: dict[str, FileProgress] = {}
        self._stream = sys.stderr if stream is None else stream
        self._every = every
        self._lock = threading.RLock()
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._fetched = 0
        self._shown_at = 0.0
        self._bars: dict[str, Any] = {}

    def expect(self, key: str, name: str, size: int | None) -> None:
        """Announce a file before it is fetched, so that the total is right from the start."""
        with self._lock:
            self.files[key] = FileProgress(name, size)

    def start(self, key: str, size: int | None, done: int) -> None:
        """Say how big a file is and how much of it is there."""
        with self._lock:
            file = self.files.setdefault(key, FileProgress(key))
            file.size, file.done, file.status = size, done, "running"
            self._show(key)

    def advance(self, key: str, new: int, fetched: int | None = None) -> None:
        """Count bytes: `new` of the file, `fetched` from the network (the same by default)."""
        with self._lock:
            file = self.files.setdefault(key, FileProgress(key))
            count = new if fetched is None else fetched
            file.done += new
            file.fetched += count
            self._fetched += count
            now = time.monotonic()
            if now - self._samples[-1][0] >= SAMPLE:
                self._samples.append((now, self._fetched))
                while len(self._samples) > 2 and now - self._samples[1][0] > WINDOW:
                    self._samples.popleft()
                self._show(key)

    def finish(self, key: str, status: str, size: int | None = None) -> None:
        """Say how a file ended."""
        with self._lock:
            file = self.files.setdefault(key, FileProgress(key))
            file.status = status
            if status in ("ok", "there") and size is not None:
                file.size = file.done = size
            self._show(key, always=True)

    def note(self, line: str) -> None:
        """Say one line to the person watching."""
        _log.info("%s", line)
        with self._lock:
            if self.mode == "json":
                self._write({"event": "note", "message": line})
            elif self.mode == "bars":
                from tqdm import tqdm

                tqdm.write(line, file=self._stream)

    def snapshot(self) -> Snapshot:
        """Return the counts of this moment."""
        with self._lock:
            files = list(self.files.values())
            sizes = [file.size for file in files]
            size = None if None in sizes else sum(s for s in sizes if s is not None)
            done = sum(file.done for file in files)
            then, before = self._samples[0]
            seconds = time.monotonic() - then
            rate = (self._fetched - before) / seconds if seconds > 0 else 0.0
            left = None if size is None or rate <= 0 else max(0, size - done) / rate
            ended = sum(file.status in ("ok", "there", "failed") for file in files)
            return Snapshot(done, self._fetched, size, rate, left, len(files), ended)

    def close(self) -> None:
        """Take the bars away; in JSON mode write the last line."""
        with self._lock:
            for bar in self._bars.values():
                bar.close()
            self._bars.clear()
            if self.mode == "json":
                self._write({"event": "end", **self._totals()})

    def _show(self, key: str, *, always: bool = False) -> None:
        if self.mode == "bars":
            self._draw(key)
        elif self.mode == "json":
            now = time.monotonic()
            if always or now - self._shown_at >= self._every:
                self._shown_at = now
                file = self.files[key]
                self._write(
                    {
                        "event": "file" if always else "progress",
                        "file": file.name,
                        "status": file.status,
                        "bytes": file.done,
                        "size": file.size,
                        **self._totals(),
                    }
                )

    def _totals(self) -> dict[str, Any]:
        at = self.snapshot()
        left = None if at.seconds_left is None else round(at.seconds_left, 1)
        return {
            "total_bytes": at.done,
            "total_size": at.size,
            "fetched": at.fetched,
            "rate": round(at.rate),
            "seconds_left": left,
            "files": at.files,
            "files_done": at.files_done,
        }

    def _write(self, event: dict[str, Any]) -> None:
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()

    def _draw(self, key: str) -> None:
        file, at = self.files[key], self.snapshot()
        if file.status in ("ok", "there", "failed"):
            bar = self._bars.pop(key, None)
            if bar is not None:
                bar.close()
        else:
            self._bar(key, file.name, file.size, file.done)
        if at.files > 1:
            self._bar("", f"all ({at.files_done}/{at.files})", at.size, at.done)

    def _bar(self, key: str, name: str, size: int | None, done: int) -> None:
        from tqdm import tqdm

        bar = self._bars.get(key)
        if bar is None:
            bar = self._bars[key] = tqdm(
                file=self._stream,
                unit="B",
                unit_scale=True,
                leave=False,
                initial=done,  # what is there already says nothing about the rate
                mininterval=0.0,
                dynamic_ncols=True,
            )
        bar.total, bar.initial = size, min(bar.initial, done)
        bar.set_description_str(name, refresh=False)
        bar.n = done
        bar.refresh()
