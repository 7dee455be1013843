"""Run tasks in worker processes that may die: a lost worker's task is done once more by another.

Workers are plain ``python -c`` processes fed through a socket. They import no ``__main__`` (a
script needs no ``if __name__ == "__main__"``), inherit no threads or handles, compute with one BLAS
thread each, and end when the process that started them does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import Empty, Queue, SimpleQueue
from typing import Any, TypeVar

from depthdata.errors import MissingDependencyError

__all__ = ["WorkerLostError", "run_on_dask", "run_tasks"]

Task = TypeVar("Task")

ATTEMPTS = 2
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

_START = "import sys; sys.path[:] = {path!r}; from depthdata.workers import serve; serve({number})"
_PATIENCE = 5.0


class WorkerLostError(Exception):
    """The worker died while it did the task, and so did the one that tried again."""


def run_tasks(
    function: Callable[[Task], Any], tasks: list[Task], jobs: int
) -> Iterator[tuple[int, Any]]:
    """Yield ``(position, function(task))`` for each task, as they are done.

    Parameters
    ----------
    function : callable
        A function of a module (it is sent by name). It should return its failures: an exception
        that it raises is raised here and stops all workers.
    tasks : list
        Picklable.
    jobs : int
        Worker processes.

    Yields
    ------
    int, object
        Position in `tasks` and the result, or a `WorkerLostError` in its place.
    """
    waiting: Queue[int] = Queue()
    for position in range(len(tasks)):
        waiting.put(position)
    done: SimpleQueue[tuple[int, bool, Any]] = SimpleQueue()
    crew = [_Worker() for _ in range(min(jobs, len(tasks)))]
    threads = [
        threading.Thread(target=_feed, args=(worker, function, tasks, waiting, done), daemon=True)
        for worker in crew
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in tasks:
            position, raised, value = done.get()
            if raised:
                raise value
            yield position, value
    finally:
        with contextlib.suppress(Empty):
            while True:
                waiting.get_nowait()
        for worker in crew:
            worker.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for worker in crew:
            worker.close()


def run_on_dask(
    function: Callable[[Task], Any], tasks: list[Task], scheduler: str
) -> Iterator[tuple[int, Any]]:
    """Yield ``(position, function(task))`` for each task, as the workers of a cluster are done.

    Parameters
    ----------
    function, tasks
        As for `run_tasks`.
    scheduler : str
        Address, ``tcp://host:port``.

    Yields
    ------
    int, object
        Position in `tasks` and the result, or the exception in its place.

    Raises
    ------
    MissingDependencyError
        dask.distributed is not installed.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise MissingDependencyError(
            "scheduler= needs dask.distributed: pip install 'depthdata[dask]'"
        ) from None
    with Client(scheduler) as client:
        # pure=False: each task runs, however often the same one was asked for.
        futures = client.map(function, tasks, pure=False, retries=1)
        positions = {future.key: position for position, future in enumerate(futures)}
        for future in as_completed(futures):
            error = future.exception()
            yield positions[future.key], future.result() if error is None else error


def _feed(
    worker: _Worker,
    function: Callable[[Task], Any],
    tasks: list[Task],
    waiting: Queue[int],
    done: SimpleQueue[tuple[int, bool, Any]],
) -> None:
    """Give one worker a task after the other; runs in a thread of its own."""
    while True:
        try:
            position = waiting.get_nowait()
        except Empty:
            return
        try:
            done.put((position, *worker.call(function, tasks[position])))
        except Exception as error:
            done.put((position, True, error))


class _Worker:
    """A process and the line to it; started when it is needed, and anew after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def call(self, function: Callable[[Any], Any], task: Any) -> tuple[bool, Any]:
        """Return (whether it raised, the exception or the result)."""
        code: int | None = None
        for _ in range(ATTEMPTS):
            if not self._start():
                break
            answer, code = self._ask(function, task)
            if answer is not None:
                return answer
        if code is not None and code < 0:
            return False, WorkerLostError(
                f"the worker was killed by signal {-code}, {ATTEMPTS} times; "
                "is there enough memory?"
            )
        return False, WorkerLostError(f"the worker ended with code {code}, {ATTEMPTS} times")

    def stop(self) -> None:
        """End the process: ask it first, so that it can clean up."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Close the line to a process that has ended."""
        with self._lock:
            line, self._line, self._process = self._line, None, None
        if line is not None:
            line.close()

    def _ask(
        self, function: Callable[[Any], Any], task: Any
    ) -> tuple[tuple[bool, Any] | None, int | None]:
        assert self._process is not None and self._line is not None
        try:
            self._line.send((function, task))
            return self._line.recv(), None
        except (OSError, EOFError):  # nobody at the other end
            code = self._process.wait()
            self.close()
            return None, code

    def _start(self) -> bool:
        with self._lock:
            if self._stopped or self._process is not None:
                return not self._stopped
            self._line, theirs = Pipe()
            with theirs:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        _START.format(path=sys.path, number=theirs.fileno()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what a library prints is no result of ours
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
                )
            return True


def serve(number: int) -> None:
    """Do the tasks that come through a socket; the life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells when to stop
    signal.signal(signal.SIGTERM, _leave)
    line = Connection(number)
    requests: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(line, requests), daemon=True).start()
    while True:
        line.send(_answer(requests.get()))


def _answer(request: Any) -> tuple[bool, Any]:
    try:
        if isinstance(request, Exception):
            raise request
        function, task = request
        return False, function(task)
    except Exception as error:
        try:
            ForkingPickler.dumps(error)
        except Exception:
            return True, RuntimeError(repr(error))
        return True, error


def _listen(line: Connection, requests: SimpleQueue[Any]) -> None:
    """Read tasks even while one is being done, so as to notice that the parent is gone."""
    while True:
        requests.put(_received(line))


def _received(line: Connection) -> Any:
    try:
        return line.recv()
    except (EOFError, OSError):
        os._exit(1)  # what is half-done must not be finished behind the back of the next run
    except Exception as error:
        return error


def _leave(signum: int, frame: Any) -> None:
    raise SystemExit(128 + signum)
