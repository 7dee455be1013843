"""Bring one file over: ask, judge the answer, write, go on where it stopped, verify, give the name.

One connection leads: it alone asks first, and others join once its answer says that ranges work.
Whatever breaks, a connection asks for what is still missing of its piece; bytes that are on disk
are not asked for again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from typing import Literal

import requests

from depthdata.downloading import diagnosis
from depthdata.downloading.ranges import pieces
from depthdata.downloading.state import Part, Validator
from depthdata.downloading.state_record import locked, write_record
from depthdata.downloading.transfer_answer import (
    Answer,
    Asked,
    ChangedError,
    FatalError,
    RegroupError,
    RetryError,
    StoppedError,
    examine,
)
from depthdata.downloading.transfer_connections import Connections, Context
from depthdata.downloading.transfer_digest import Follower
from depthdata.downloading.transfer_request import Outcome, Request
from depthdata.downloading.transfer_there import already_there
from depthdata.errors import DownloadError

__all__ = ["Transfer"]

SEAM = 1024  # bytes read again and compared where the server tells nothing of the file's version
CHANGES = 3  # a file that changes more often while it is fetched is given up
SUSPECTS = 3
MISFITS = 3  # answers in a row that do not fit the range: then without ranges


class Transfer:
    """The download of one file.

    Parameters
    ----------
    request : Request
    context : Context
    """

    def __init__(self, request: Request, context: Context) -> None:
        self.request = request
        self.context = context
        self.key = str(request.path)
        self.name = request.path.name
        self.notes: list[str] = []
        self.line = Connections(request, context, self._note)
        self.stopped = False  # the whole file ends
        self._lock = threading.Lock()
        self._queue: deque[tuple[int, int | None]] = deque()
        self._helpers: list[threading.Thread] = []
        self._problem: BaseException | None = None
        self._connections = context.parts
        self._ranges = True
        self._ignored = 0  # answers that gave the whole file for a range
        self._changes = 0
        self._blind = False  # pieces were joined without proof that they are of one version
        self._again = False
        self._ends: set[int] = set()  # where connections ended that alone said that it is the end
        self._end_in_doubt = False
        self._lengths: set[int] = set()  # other lengths of the same version that the server said

    def run(self) -> Outcome:
        """Fetch the file; everything that the user can act on is in the outcome."""
        path = self.request.path
        status: Literal["ok", "failed", "there"] = "failed"
        sha256: str | None = None
        message, size = "", None
        try:
            found = already_there(self.request)
            if found is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with locked(path):
                    found = already_there(self.request)  # another process may have just ended
                    if found is None:
                        sha256, size = self._download()
                        status, message = "ok", "; ".join(self.notes)
            if found is not None:
                status, sha256, message, size = found
        except (FatalError, DownloadError) as error:
            message = str(error)
        except StoppedError:
            message = f"{self.name}: stopped; what arrived is kept, run again to go on"
        except OSError as error:
            message = self._disk_line(error)
        self.context.progress.finish(self.key, status, size)
        return Outcome(path, status, sha256, self.line.fetched, message)

    def stop(self) -> None:
        """End soon, from another thread."""
        self.stopped = True
        self.line.hang_up()

    def _note(self, line: str) -> None:
        self.notes.append(line)
        self.context.progress.note(line)

    # -- one file ---------------------------------------------------------------------------

    def _download(self) -> tuple[str, int]:
        self.part = Part(self.request.path)
        self.follower = self._follow()
        try:
            if self.part.begun:
                self.context.progress.start(self.key, self.part.size, self.part.have.total)
            while True:
                self._fetch_all()
                size = self.part.size or 0
                digests = self.follower.finish(size)
                problem = self._mismatch(digests, size)
                if problem is None:
                    break
                if self._end_in_doubt:
                    self._end_in_doubt = False
                    self.part.unlearn()  # ask for more: it may have been cut off
                    self.follower = self._follow()
                    continue
                if not self._blind or self._again:
                    self.part.discard()
                    raise FatalError(problem)
                self._again, self._blind = True, False
                self._start_afresh(f"{problem}; fetched once more in one go")
            write_record(self.request.path, self.request.url, size, digests, self.part.validator)
            self.part.complete(self.request.path)
            return digests["sha256"], size
        except BaseException:
            if self.part.begun:
                with contextlib.suppress(OSError):
                    self.part.flush()
            raise
        finally:
            self.follower.stop()
            self.part.close()

    def _follow(self) -> Follower:
        return Follower(self.part, ("sha256", "md5") if self.request.md5 else ("sha256",))

    def _mismatch(self, digests: dict[str, str], size: int) -> str | None:
        for kind, expected in (("sha256", self.request.sha256), ("md5", self.request.md5)):
            if expected and digests[kind] != expected.lower():
                return diagnosis.digest_line(
                    self.name,
                    kind,
                    digests[kind],
                    expected.lower(),
                    size=size,
                    expected_size=self.request.size,
                    validator=self.part.validator,
                    head=self.part.read(0, min(size, diagnosis.HEAD_BYTES)),
                )
        return None

    def _start_afresh(self, line: str) -> None:
        self._note(line)
        self.follower.stop()
        self.part.discard()
        self.part = Part(self.request.path)
        self.follower = self._follow()

    def _disk_line(self, error: OSError) -> str:
        folder = self.request.path.parent
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return diagnosis.space_line(folder, None, 0)
        where = error.filename or self.request.path
        return f"{where} cannot be written: {error.strerror or error}"

    # -- rounds -----------------------------------------------------------------------------

    def _complete(self) -> bool:
        size = self.part.size
        return self.part.begun and size is not None and self.part.have.covers(0, size)

    def _fetch_all(self) -> None:
        while not self._complete():
            problem = self._round()
            if isinstance(problem, ChangedError):
                self._changed(str(problem))
            elif isinstance(problem, RegroupError):
                self._connections = 1
            elif problem is not None:
                raise problem

    def _changed(self, how: str) -> None:
        self._changes += 1
        if self._changes > CHANGES:
            raise FatalError(
                f"{self.name}: changed on the server {self._changes} times while it was fetched"
                f" ({how}); its mirrors may differ, try again later"
            )
        if self._changes == CHANGES:
            self._connections = 1
        self._start_afresh(f"{self.name}: changed on the server ({how}); fetched afresh")

    def _round(self) -> BaseException | None:
        """Fetch what is missing with as many connections as help; return what ended it early."""
        self.line.abort.clear()
        if self.stopped:
            raise StoppedError
        self._problem, self._helpers = None, []
        self._queue = deque(self._plan())
        try:
            self._work(lead=True)
        except BaseException as error:
            self._fail(error)
        for helper in self._helpers:
            helper.join()
        self._helpers = []
        return StoppedError() if self.stopped and self._problem is None else self._problem

    def _plan(self) -> list[tuple[int, int | None]]:
        """Return the pieces that are missing, as far as the size is known."""
        policy, begun = self.context.policy, self.part.begun
        size = self.part.size if begun else self.request.size
        alone = self._connections == 1 or not self._ranges
        if size is None:
            return [(0, None if alone or begun else policy.first_piece)]
        if size == 0:
            return [(0, None)]
        have = self.part.have
        if alone:
            return list(have.gaps(0, size)) if begun else [(0, None)]
        most = (size - have.total) // (4 * self._connections) + 1
        most = max(policy.first_piece, min(policy.largest_piece, most))
        return list(pieces(have.gaps(0, size), most))

    def _call_helpers(self) -> None:
        """Let other connections fetch the rest, now that the size is known and ranges work."""
        size = self.part.size
        if size is None or self._helpers or self._connections == 1:
            return
        if not self._queue:
            return
        for _ in range(min(self._connections - 1, len(self._queue))):
            helper = threading.Thread(target=self._help, daemon=True)
            self._helpers.append(helper)
        for helper in self._helpers:
            helper.start()

    def _help(self) -> None:
        try:
            self._work(lead=False)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            first = self._problem is None or isinstance(self._problem, StoppedError)
            if first:
                self._problem = error
        self.line.hang_up()

    def _work(self, *, lead: bool) -> None:
        while not self.line.abort.is_set():
            try:
                piece = self._queue.popleft()
            except IndexError:
                return
            self._finish_piece(piece, lead=lead)

    # -- one piece --------------------------------------------------------------------------

    def _missing(self, start: int, stop: int | None) -> tuple[int, int | None] | None:
        """Return what to ask for next of a piece; None when it is there."""
        if not self.part.begun:
            return start, stop
        if stop is None:
            stop = self.part.size
        if stop is None:
            return self.part.have.prefix, None
        if self.part.size is not None:
            stop = min(stop, self.part.size)
        return next(self.part.have.gaps(start, stop), None)

    def _finish_piece(self, piece: tuple[int, int | None], *, lead: bool) -> None:
        failures = suspects = misfits = 0
        while (missing := self._missing(*piece)) is not None:
            if self.line.abort.is_set():
                raise StoppedError
            before = self.part.have.total
            try:
                self._attempt(*missing, lead=lead)
                failures = suspects = misfits = 0
            except RetryError as error:
                if self.line.abort.is_set():
                    raise StoppedError from None
                done = self.part.have.total - before  # by all connections: the server lives
                failures = 1 if done >= self._worth(missing) else failures + 1
                suspects += error.suspect
                misfits += error.misfit
                if misfits >= MISFITS and self._ranges:
                    self._ranges = False
                    raise RegroupError from None
                self._pause(error, failures, suspects)

    def _worth(self, missing: tuple[int, int | None]) -> int:
        """Return how many bytes count as progress: a hundredth of the file, at most a block."""
        size = self.part.size or self.request.size or 0
        return max(1, min(self.context.policy.block, size // 100))

    def _pause(self, error: RetryError, failures: int, suspects: int) -> None:
        policy, line = self.context.policy, str(error)
        if suspects >= SUSPECTS:
            raise FatalError(line)
        if failures >= policy.tries:
            if self.part.have.total:
                why = line.removeprefix(f"{self.name}: ")
                have, size = self.part.have.total, self.part.size
                line = diagnosis.truncated_line(self.name, have, size, why, failures)
            raise FatalError(line)
        seconds = policy.backoff(failures)
        if error.wait is not None:
            if error.wait > policy.longest_retry_after:
                raise FatalError(f"{line} (it asks to wait for {error.wait:.0f} s)")
            seconds = max(seconds, error.wait)
        if error.crowded:
            self._connections = max(1, self._connections // 2)
            self.context.gates.close(self.line.host, seconds)
        policy.wait(seconds, self.line.abort)

    # -- one request ------------------------------------------------------------------------

    def _attempt(self, start: int, stop: int | None, *, lead: bool) -> None:
        if_range = self.part.validator.for_if_range if self.part.begun else None
        if start and if_range is None and self.part.have.covers(max(0, start - SEAM), start):
            start, self._blind = max(0, start - SEAM), True
        whole_known = (
            stop is not None
            and start == 0
            and stop == (self.part.size if self.part.begun else self.request.size)
        )
        ranged = self._ranges and not whole_known and (start > 0 or stop is not None)
        if not ranged:
            start, stop = 0, None
        asked = Asked(self.name, self.request.url, start, stop, ranged)
        began = time.monotonic()
        with self.line.open(asked, if_range) as response:
            known = self.part.validator if self.part.begun else Validator()
            size = self.part.size if self.part.begun else None
            answer = examine(response, asked, known, size)
            head = self.line.head(response, answer) if answer.start == 0 else b""
            if answer.whole:
                self._take_whole(answer, asked, lead=lead)
            self._check_size(answer)
            if not self.part.begun:
                self._begin(answer)
            else:
                self.part.learn(answer.size, answer.validator)
            if lead and not answer.whole:
                if not self._helpers:
                    self._extend_queue(answer)
                self._pump(response, answer, asked, head, began)
            else:
                self._pump(response, answer, asked, head)

    def _take_whole(self, answer: Answer, asked: Asked, *, lead: bool) -> None:
        """Decide what to do with the whole file where a piece of it was asked for."""
        part = self.part
        if part.begun and part.have.total:
            same = answer.validator.same(part.validator)
            other_size = None not in (answer.size, part.size) and answer.size != part.size
            if same is False or (same is None and other_size):
                how = (
                    f"{part.validator} -> {answer.validator}"
                    if same is False
                    else (
                        f"{diagnosis.human(part.size or 0)} -> {diagnosis.human(answer.size or 0)}"
                    )
                )
                if not lead or self._helpers:
                    raise ChangedError(how)
                self._changed(how)  # nobody else writes: this answer is the new beginning
                return
            if other_size and answer.size is not None:
                if answer.size in self._lengths:  # the first one was wrong
                    self._lengths.clear()
                    raise ChangedError(f"{part.size} bytes were said, {answer.size} are")
                self._lengths.add(answer.size)
                raise RetryError(f"{self.name}: the server says another length than before")
        if asked.ranged:
            self._ignored += 1
            if self._ignored == 1 and part.begun and part.have.total:
                line = f"{self.name}: the server ignores the range asked for"
                raise RetryError(line, misfit=True)
        if not lead or self._helpers:
            self._ranges = False
            raise RegroupError
        self._queue.clear()

    def _check_size(self, answer: Answer) -> None:
        expected = self.request.size
        if expected is not None and answer.size is not None and answer.size != expected:
            line = diagnosis.size_line(self.name, answer.size, expected, answer.validator)
            raise RetryError(line, suspect=True)

    def _begin(self, answer: Answer) -> None:
        folder = self.request.path.parent
        if answer.size is not None:
            at = os.statvfs(folder)
            free = at.f_bavail * at.f_frsize
            needed = answer.size - Part.allocated_at(self.request.path)
            if needed > free:
                raise FatalError(diagnosis.space_line(folder, needed, free))
        self.part.begin(answer.size, answer.validator)
        self.context.progress.start(self.key, answer.size, 0)

    def _extend_queue(self, answer: Answer) -> None:
        """Plan the rest, once the first answer of a file told its size."""
        if self.request.size is None and not self._queue and answer.size is not None:
            rest = [
                (start, stop)
                for start, stop in self._plan()
                if stop is not None and answer.stop is not None and stop > answer.stop
            ]
            self._queue.extend((max(start, answer.stop or 0), stop) for start, stop in rest)

    # -- the bytes --------------------------------------------------------------------------

    def _pump(
        self,
        response: requests.Response,
        answer: Answer,
        asked: Asked,
        head: bytes,
        alone_since: float | None = None,
    ) -> None:
        """Keep the body; one that came alone (asked for at some time) calls helpers if it lags."""
        stop = answer.stop
        if stop is not None and asked.stop is not None and not answer.whole:
            stop = min(stop, asked.stop)
        position = answer.start
        for data in self.line.blocks(response, None if stop is None else stop - position, head):
            self._keep(position, data, answer)
            position += len(data)
            if self.line.abort.is_set():
                raise StoppedError
            if alone_since is not None:
                policy, seconds = self.context.policy, time.monotonic() - alone_since
                if seconds >= policy.trial and position - answer.start < policy.fast * seconds:
                    self._call_helpers()
        if stop is not None and position < stop:
            raise RetryError(f"{self.name}: {self.line.host} drops the connection", broke=True)
        if answer.size is None and answer.whole:
            if not answer.ends:
                # where it ends at the same byte twice, that is its end
                self._end_in_doubt = position not in self._ends
                self._ends.add(position)
                if self.request.size is not None and position < self.request.size:
                    raise RetryError(
                        f"{self.name}: {self.line.host} drops the connection", broke=True
                    )
            self.part.learn(position, answer.validator)
            if self.request.size is not None and position != self.request.size:
                line = diagnosis.size_line(self.name, position, self.request.size, answer.validator)
                raise FatalError(line)

    def _keep(self, position: int, data: bytes, answer: Answer) -> None:
        """Write what is new; compare what is there already."""
        stop, part = position + len(data), self.part
        for start, end in list(part.have.overlap(position, stop)):
            if part.read(start, end) != data[start - position : end - position]:
                if not answer.whole:
                    raise ChangedError("the same bytes are different now")
                line = f"{self.name}: changed on the server (other bytes at {start})"
                self._note(line)
                part.forget(position)
                self.follower.stop()
                self.follower = self._follow()
                self.context.progress.start(self.key, part.size, part.have.total)
                break
        new = 0
        for start, end in list(part.have.gaps(position, stop)):
            part.write(start, memoryview(data)[start - position : end - position])
            new += end - start
        self.follower.advance(position, data)
        self.context.progress.advance(self.key, new, len(data))
