"""Damaged archives end in one line; a run that is killed is finished by the next one."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from downloading.archive_builder import KINDS, TREE, build, compressed, files
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

from depthdata.downloading import archives_state
from depthdata.downloading.archives import extract, extracted
from depthdata.downloading.state_record import locked
from depthdata.errors import DownloadError

SMALL = {"a/1.bin": bytes(range(256)) * 4, "a/2.txt": b"two" * 50, "b": b""}
SINGLE = "txt.gz"
EXTRACT = """
import os, pathlib, signal, sys
from depthdata.downloading.archives import extract
if sys.argv[1].endswith("7z"):
    import py7zr
left = int(sys.argv[3])
def deadly(function):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call
for owner, name in ((os, "write"), (os, "open"), (os, "close"), (pathlib.Path, "replace"),
                    (pathlib.Path, "mkdir"), (pathlib.Path, "unlink")):
    setattr(owner, name, deadly(getattr(owner, name)))
extract(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""


@cache
def whole(kind: str) -> bytes:
    if kind == SINGLE:
        return compressed(SMALL["a/1.bin"], kind)
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(folder) / "a", kind, SMALL).read_bytes()


def unpack(kind: str, data: bytes) -> dict[str, bytes] | None:
    """Unpack bytes; None where they are refused in a line. Nothing half-written may be left."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"x.{kind}").write_bytes(data)
        try:
            extract(folder / f"x.{kind}", folder / "out")
            found = files(folder / "out")
        except DownloadError as error:
            assert "\n" not in str(error)
            found = None
        assert not list(folder.rglob("*.part"))
        assert {path.name for path in folder.iterdir()} <= {f"x.{kind}", "out"}
        return found


@pytest.mark.parametrize("kind", [*KINDS, SINGLE])
@settings(max_examples=40)
@given(data=st.data())
def test_a_cut_archive_is_never_taken_for_a_whole_one(kind: str, data: st.DataObject) -> None:
    good = whole(kind)
    end = len(good)
    if kind == "tar":
        end = len(good.rstrip(b"\0"))  # some of the zeros behind the end may be missing
    assert unpack(kind, good[: data.draw(st.integers(0, end - 1))]) is None


@pytest.mark.parametrize("kind", [*KINDS, SINGLE])
@settings(max_examples=60)
@given(data=st.data())
def test_changed_bytes_are_refused_or_change_nothing(kind: str, data: st.DataObject) -> None:
    changed = bytearray(whole(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    found = unpack(kind, bytes(changed))
    if found is not None and kind not in ("tar", SINGLE):
        # a name has no checksum in a zip archive, the bytes have
        assert sorted(found.values()) == sorted(SMALL.values())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(rest=st.binary(max_size=2000))
def test_random_bytes_behind_the_magic(kind: str, rest: bytes) -> None:
    unpack(kind, whole(kind)[:6] + rest)


@settings(max_examples=60)
@given(data=st.data())
def test_a_lying_index_of_7z_with_fitting_checksums(data: st.DataObject) -> None:
    changed = bytearray(whole("7z"))
    offset, length = struct.unpack_from("<QQ", changed, 12)
    start = 32 + offset
    for _ in range(data.draw(st.integers(1, 4))):
        at = start + data.draw(st.integers(0, length - 1))
        changed[at] = data.draw(st.sampled_from([0, 1, 127, 128, 240, 255]))
    struct.pack_into("<L", changed, 28, zlib.crc32(changed[start : start + length]))
    struct.pack_into("<L", changed, 8, zlib.crc32(changed[12:32]))
    unpack("7z", bytes(changed))


# -- runs that end anywhere -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "7z"])
def test_kill_9_anywhere_then_the_next_run_completes(tmp_path: Path, kind: str) -> None:
    random_ = random.Random(kind)
    sizes = [random_.choice((0, 10, 3000, 600_000)) for _ in range(30)]
    many = {f"s{n % 4}/{n:03d}.bin": random_.randbytes(size) for n, size in enumerate(sizes)}
    archive, into = build(tmp_path / f"a.{kind}", kind, many), tmp_path / "out"
    for step in (2, 7, 11, 14, 17, 21, 24, 30, 33):  # calls of the system until the end
        command = [sys.executable, "-c", EXTRACT, archive, into, str(step)]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        found = files(into)
        # a file that has its name is whole
        assert all(many[name] == data for name, data in found.items() if not name.endswith(".part"))
        assert sum(name.endswith(".part") for name in found) <= 1
    there = {name for name in files(into) if not name.endswith(".part")}
    assert 5 < len(there) < len(many)
    before = {name: (into / name).stat().st_mtime_ns for name in there}
    report = extract(archive, into)
    assert files(into) == many
    assert report.there == len(there)  # nothing is written twice
    assert all((into / name).stat().st_mtime_ns == mtime for name, mtime in before.items())
    assert f"{archive.name}.members" in {path.name for path in (into / ".depthdata").iterdir()}


def stopped(
    archive: Path, into: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> archives_state.Ledger:
    """Unpack some members and stop as an interrupt does; return what the state then says."""
    real = archives_state.Ledger.add
    calls = 0

    def add(self: archives_state.Ledger, *values: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        real(self, *values)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(archives_state.Ledger, "add", add)
        extract(archive, into)
    return archives_state.Ledger(into, archive.name, None)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_leaves_whole_files_only(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, into = build(tmp_path / f"a.{kind}", kind), tmp_path / "out"
    stopped(archive, into, 2, monkeypatch)
    found = files(into)
    assert len(found) == 2
    assert all(TREE[name] == data for name, data in found.items())
    assert (extract(archive, into).there, files(into)) == (2, TREE)


def test_after_a_crash_of_the_machine_files_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel lost the bytes of a file whose size and state had reached the disk."""
    archive, into = build(tmp_path / "a.tar.gz", "tar.gz"), tmp_path / "out"
    stopped(archive, into, 3, monkeypatch)
    lost = into / "scene/left/000000.png"
    found = lost.stat()
    lost.write_bytes(bytes(found.st_size))
    os.utime(lost, ns=(found.st_mtime_ns, found.st_mtime_ns))
    monkeypatch.setattr(archives_state, "boot_id", lambda: "another")
    report = extract(archive, into)
    assert (report.there, report.files) == (2, 3)
    assert files(into) == TREE


@pytest.mark.parametrize("tail", [b"[1,", b"\xff\xfe\n", b"{}\n", b'[1, 2, "x", 3, 4]\n', b"[]\n"])
def test_a_state_that_ends_in_garbage(
    tmp_path: Path, tail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, into = build(tmp_path / "a.zip", "zip"), tmp_path / "out"
    ledger = stopped(archive, into, 3, monkeypatch)
    with ledger.path.open("ab") as file:
        file.write(tail)
    assert extract(archive, into).there == 3
    assert files(into) == TREE
    for line in ledger.path.read_text().splitlines():
        json.loads(line)


@settings(max_examples=30)
@given(garbage=st.binary(max_size=300), keep=st.booleans())
def test_no_state_ends_a_run(garbage: bytes, keep: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        archive, into = build(Path(name) / "a.zip", "zip", SMALL), Path(name) / "out"
        extract(archive, into)
        state = archives_state.ledger_path("a.zip", into)
        head = state.read_bytes().partition(b"\n")[0] + b"\n" if keep else b""
        state.write_bytes(head + garbage)
        extracted(archive, into)
        extract(archive, into)
        assert files(into) == SMALL


def test_two_runs_at_once(tmp_path: Path) -> None:
    archive = build(tmp_path / "a.zip", "zip")
    (tmp_path / "out").mkdir()
    with (
        locked(tmp_path / "out" / "a.zip.members"),
        pytest.raises(DownloadError, match="another process is unpacking this file"),
    ):
        extract(archive, tmp_path / "out")


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, into = build(tmp_path / "a.zip", "zip"), tmp_path / "out"
    real: Callable[..., int] = os.write
    written = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 50_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patch, pytest.raises(DownloadError, match="free") as caught:
        patch.setattr(os, "write", write)
        extract(archive, into)
    assert "\n" not in str(caught.value)
    assert not list(into.rglob("*.part"))
    assert extract(archive, into).there > 0
    assert files(into) == TREE
