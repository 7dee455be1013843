"""The worker pool: order, exceptions, lost workers, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from worker_tasks import die_once, die_or_double, double, environment, fail, hang

from depthdata.workers import ONE_THREAD, WorkerLostError, run_tasks


def test_every_task_is_done_once():
    results = list(run_tasks(double, [1, 2, 3, 4, 5], 2))
    assert sorted(results) == [(0, 2), (1, 4), (2, 6), (3, 8), (4, 10)]
    assert list(run_tasks(double, [], 2)) == []


def test_a_lost_workers_task_is_done_by_another(tmp_path: Path):
    (result,) = run_tasks(die_once, [str(tmp_path / "been here")], 1)
    assert result == (0, "second attempt")


def test_a_task_that_kills_its_workers_stops_no_other():
    results = dict(run_tasks(die_or_double, [1, -9, 3], 2))
    assert results[0] == 2 and results[2] == 6
    assert isinstance(results[1], WorkerLostError)
    assert "killed by signal 9, 2 times" in str(results[1])


def test_an_exception_comes_back():
    with pytest.raises(KeyError, match="what went wrong"):
        list(run_tasks(fail, ["what went wrong"], 1))


def test_what_the_worker_cannot_import_is_an_error_not_a_hang(monkeypatch):
    module = ModuleType("only_in_this_process")
    exec("def nothing(task): pass", vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(ModuleNotFoundError, match=module.__name__):
        list(run_tasks(module.nothing, [1], 1))


def test_workers_compute_with_one_thread_and_print_nowhere_dangerous(capfd):
    (result,) = run_tasks(environment, [list(ONE_THREAD)], 1)
    assert result == (0, ["1"] * len(ONE_THREAD))
    assert "printed by a worker" in capfd.readouterr().err


def _pid_in(path: Path, limit: float = 20) -> int:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if path.is_file() and path.read_text():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("no worker came up")


def _is_gone(pid: int, limit: float = 10) -> bool:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, how: signal.Signals):
    note = tmp_path / "pid"
    code = (
        f"import signal, sys; sys.path[:] = {sys.path!r}\n"
        # A shell ignores the interrupt for what it starts in the background.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from depthdata.workers import run_tasks; from worker_tasks import hang\n"
        f"list(run_tasks(hang, [{str(note)!r}], 1))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as parent:
        worker = _pid_in(note)
        os.kill(parent.pid, how)
        parent.wait(20)
    assert _is_gone(worker)


def test_leaving_early_ends_the_workers(tmp_path: Path):
    results = run_tasks(hang, [str(tmp_path / "pid"), ""], 2)
    assert next(results) == (1, None)
    worker = _pid_in(tmp_path / "pid")
    results.close()
    assert _is_gone(worker)
