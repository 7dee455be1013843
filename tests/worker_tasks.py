"""Functions for test_workers to run in other processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def die_once(mark: str) -> str:
    if Path(mark).exists():
        return "second attempt"
    Path(mark).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_or_double(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), -number)
    return double(number)


def fail(message: str) -> None:
    raise KeyError(message)


def environment(names: list[str]) -> list[str]:
    print("printed by a worker", flush=True)
    return [os.environ[name] for name in names]


def hang(note: str) -> None:
    if note:
        Path(note).write_text(str(os.getpid()))
        time.sleep(60)
