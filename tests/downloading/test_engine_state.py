"""The part and its journal: what they say is on disk is on disk, after any end of the process."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from downloading.hostile_server import HostileServer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import ROOT

from depthdata.downloading.engine import Policy, Request, fetch
from depthdata.downloading.ranges import ContentRange, RangeSet
from depthdata.downloading.state import Part, Validator
from depthdata.downloading.state_record import locked

KIB = 1024
TAG = Validator('"abc"', None)

FETCH = """
import sys
from pathlib import Path
from depthdata.downloading.engine import Policy, Request, fetch
policy = Policy(first_piece=64 << 10, largest_piece=512 << 10, first_wait=0.01, trial=0)
(outcome,) = fetch([Request(sys.argv[1], Path(sys.argv[2]))], parts=3, policy=policy)
sys.exit(outcome.message if outcome.status == "failed" else 0)
"""


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_ranges_are_sets_of_bytes(pairs: list[tuple[int, int]], start: int, stop: int) -> None:
    ranges = RangeSet(pairs)
    truth = {byte for begin, end in pairs for byte in range(begin, end)}
    assert {byte for begin, end in ranges for byte in range(begin, end)} == truth
    assert ranges.total == len(truth)
    assert ranges.end == max(truth, default=-1) + 1
    assert ranges.prefix == next(n for n in range(62) if n not in truth)
    wanted = set(range(start, stop))
    assert {b for i, j in ranges.overlap(start, stop) for b in range(i, j)} == truth & wanted
    assert {b for i, j in ranges.gaps(start, stop) for b in range(i, j)} == wanted - truth
    assert ranges.covers(start, stop) == (wanted <= truth)
    bounds = [bound for pair in ranges for bound in pair]
    assert bounds == sorted(set(bounds))


@given(st.text(max_size=40))
def test_no_content_range_makes_an_exception(text: str) -> None:
    for said in (text, f"bytes {text}", f"bytes 0-{text}/5"):
        found = ContentRange.parse(said)
        assert found is None or found.size is None or found.size >= (found.stop or 0)


def written(path: Path) -> Part:
    part = Part(path)
    part.begin(100, TAG)
    part.write(0, b"a" * 10)
    part.write(50, b"b" * 20)
    part.flush()
    part.write(10, b"c" * 5)
    part.close()
    return part


def test_a_killed_process_loses_nothing_a_crashed_machine_what_was_not_safe(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.bin"
    state = written(path).state_path
    text = state.read_text()
    again = Part(path)
    assert list(again.have) == [(0, 15), (50, 70)] and (again.size, again.validator) == (100, TAG)
    assert again.read(8, 16) == b"aaccccc\0"
    again.close()
    state.write_text(text.replace(json.loads(text.splitlines()[0])["boot"], "another boot"))
    after_crash = Part(path)
    assert list(after_crash.have) == [(0, 10), (50, 70)]
    after_crash.close()


def test_a_journal_cut_anywhere_never_says_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    state = written(path).state_path
    whole = state.read_bytes()
    seen = set()
    for cut in range(len(whole)):
        state.write_bytes(whole[:cut])
        part = Part(path)
        seen.add(part.have.total)
        assert not set(part.have) - {(0, 10), (0, 15), (50, 70)}
        part.close()
    assert seen == {0, 10, 30}


@settings(max_examples=60)
@given(junk=st.binary(max_size=60), at=st.integers(0, 200))
@example(junk=b" ", at=29)  # the name of a key
def test_a_damaged_journal_makes_no_exception(tmp_path_factory, junk: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.bin"
    state = written(path).state_path
    whole = state.read_bytes()
    state.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    part = Part(path)
    assert part.have.end <= 100
    part.close()


def test_a_long_journal_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthdata.downloading.state.JOURNAL_MOST", 2000)
    part = Part(tmp_path / "a.bin")
    part.begin(100_000, TAG)
    for position in range(0, 50_000, 10):
        part.write(position, b"0123456789")
    part.close()
    assert part.state_path.stat().st_size < 4000
    assert list(Part(tmp_path / "a.bin").have) == [(0, 50_000)]


def test_a_state_without_its_part_counts_for_nothing(tmp_path: Path) -> None:
    part = written(tmp_path / "a.bin")
    part.path.unlink()
    assert Part(tmp_path / "a.bin").have.total == 0
    part.path.write_bytes(b"short")
    assert Part(tmp_path / "a.bin").have.total == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_any_moment_it_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    data = random.Random(5).randbytes(6000 * KIB)
    path, draw = tmp_path / "a.bin", random.Random(how)
    fetched = kills = 0
    with HostileServer() as server:
        url = server.add("/a.bin", data)
        server.pace = 0.01
        before = 0
        for _ in range(4):
            process = subprocess.Popen(
                [sys.executable, "-c", FETCH, url, path], cwd=ROOT, stderr=subprocess.DEVNULL
            )
            while server.sent() <= before and process.poll() is None:
                time.sleep(0.002)
            time.sleep(draw.uniform(0.0, 0.25))
            process.send_signal(how)
            began = time.monotonic()
            kills += process.wait() != 0
            assert time.monotonic() - began < 3
            part = Part(path)
            have, before = part.have.total, server.sent()
            for start, stop in part.have:
                assert part.read(start, stop) == data[start:stop]
            part.close()
            assert have >= fetched
            fetched = have
        server.pace = 0.0
        time.sleep(0.1)  # what the server still sends to nobody
        (outcome,) = fetch([Request(url, path)], policy=Policy(first_piece=64 * KIB))
        assert outcome.status == "ok" and kills >= 3
        assert outcome.bytes_fetched == len(data) - fetched
        assert outcome.sha256 == hashlib.sha256(data).hexdigest()
        # each kill destroys what is on its way: a block and two small buffers per connection
        assert server.sent() <= 1.02 * len(data) + kills * 3 * 80 * KIB
    assert {p.name for p in tmp_path.iterdir()} == {"a.bin", ".depthdata"}


@pytest.mark.parametrize("moment", ["record", "rename", "state"])
def test_killed_while_the_file_gets_its_name(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step of the last ones was the last, the next run ends with the file."""

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    def name_and_die(part: Part, path: Path) -> None:
        part.path.replace(path)
        raise Killed

    path, data = tmp_path / "a.bin", random.Random(1).randbytes(300_000)
    with HostileServer() as server:
        request = Request(server.add("/a.bin", data), path, sha256=hashlib.sha256(data).hexdigest())
        with monkeypatch.context() as patch:
            if moment == "record":
                patch.setattr("depthdata.downloading.transfer.write_record", die)
            elif moment == "rename":
                patch.setattr(Part, "complete", die)
            else:
                patch.setattr(Part, "complete", name_and_die)
            with pytest.raises(Killed):
                fetch([request])
        (outcome,) = fetch([request])
        assert outcome.status == ("there" if moment == "state" else "ok")
        assert server.sent() == len(data) and path.read_bytes() == data
    assert {p.name for p in tmp_path.iterdir()} == {"a.bin", ".depthdata"}


def test_two_processes_want_one_file(tmp_path: Path) -> None:
    with HostileServer() as server:
        request = Request(server.add("/a.bin", b"abc"), tmp_path / "a.bin")
        with locked(request.path):
            (outcome,) = fetch([request])
        assert outcome.status == "failed" and not server.hits
        assert outcome.message == (
            f"{request.path}: another process is downloading this file; wait for it or stop it"
        )
        assert fetch([request])[0].status == "ok"
    assert [path.name for path in (tmp_path / ".depthdata").iterdir()] == ["a.bin.json"]
