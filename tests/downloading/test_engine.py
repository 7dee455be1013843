"""Files arrive whole and verified, whatever the server is like."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
from downloading.hostile_server import LOGIN_PAGE, QUOTA_PAGE, Fault, HostileServer

from depthdata.downloading.engine import Outcome, Policy, Progress, Request, fetch
from depthdata.errors import UsageError

KIB = 1024
QUICK = Policy(
    first_wait=0.001,
    longest_wait=0.01,
    connect_timeout=5,
    read_timeout=5,
    first_piece=64 * KIB,
    largest_piece=256 * KIB,
    trial=0,
    fast=1e12,
    seed=0,
)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


def some_bytes(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def get(request: Request, **options) -> Outcome:
    (outcome,) = fetch([request], **{"policy": QUICK, **options})
    return outcome


@pytest.mark.parametrize("size", [0, 1, 511, 64 * KIB, 64 * KIB + 1, 900 * KIB])
@pytest.mark.parametrize("parts", [1, 4])
def test_a_file_arrives(server: HostileServer, tmp_path: Path, size: int, parts: int) -> None:
    data = some_bytes(size)
    url = server.add("/a.bin", data)
    outcome = get(Request(url, tmp_path / "deep" / "b.bin"), parts=parts)
    assert (outcome.status, outcome.message) == ("ok", "")
    assert (outcome.sha256, outcome.bytes_fetched) == (sha256(data), size)
    assert (tmp_path / "deep" / "b.bin").read_bytes() == data
    assert server.sent() == size
    assert {p.name for p in (tmp_path / "deep").rglob("*")} == {"b.bin", ".depthdata", "b.bin.json"}


def test_the_record_says_what_it_is(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(1000)
    url = server.add("/a.bin", data).replace("//", "//me:secret@") + "?Signature=secret"
    get(Request(url, tmp_path / "a.bin"))
    text = (tmp_path / ".depthdata" / "a.bin.json").read_text()
    record = json.loads(text)
    assert record["sha256"] == sha256(data) and record["size"] == 1000
    assert record["etag"] and record["last_modified"]
    assert record["url"].endswith("/a.bin") and "secret" not in text


def test_a_big_file_comes_in_ranges_over_several_connections(
    server: HostileServer, tmp_path: Path
) -> None:
    data = some_bytes(2000 * KIB)
    server.pace = 0.001
    outcome = get(Request(server.add("/a.bin", data), tmp_path / "a.bin"), parts=4)
    assert outcome.status == "ok" and outcome.sha256 == sha256(data)
    assert server.most_open >= 3
    assert {hit.status for hit in server.hits} == {206}
    assert server.sent() == len(data)


def test_a_connection_that_is_fast_is_enough(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(2000 * KIB)
    server.pace = 0.001
    policy = dataclasses.replace(QUICK, fast=1.0)
    request = Request(server.add("/a.bin", data), tmp_path / "a.bin")
    assert get(request, parts=4, policy=policy).sha256 == sha256(data)
    assert server.most_open == 1 and server.sent() == len(data)


def test_a_dropped_connection_is_resumed_where_it_broke(
    server: HostileServer, tmp_path: Path
) -> None:
    data = some_bytes(900 * KIB)
    faults = [Fault("drop", at=n) for n in (100_000, 1, 0, 50_000)]
    url = server.add("/a.bin", data, faults=faults)
    outcome = get(Request(url, tmp_path / "a.bin"), parts=1)
    assert outcome.status == "ok" and outcome.sha256 == sha256(data)
    assert server.sent() <= 1.02 * len(data)
    assert server.hits[1].range == f"bytes=100000-{len(data) - 1}"
    assert server.hits[1].if_range == server.resources["/a.bin"].tag()


def test_a_stop_between_runs_loses_nothing(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(900 * KIB)
    down = [Fault("drop", at=200_000)] + [Fault("refuse")] * 20
    url = server.add("/a.bin", data, faults=down)
    request = Request(url, tmp_path / "a.bin", len(data), sha256(data))
    first = get(request, parts=1)
    assert first.status == "failed" and (tmp_path / "a.bin.part").exists()
    assert re.fullmatch(
        r"a\.bin: stopped at 200\.0 of 921\.6 kB after 8 tries in a row without progress "
        r"\(127\.0\.0\.1:\d+ drops the connection\); what arrived is kept, run again to go on",
        first.message,
    )
    server.resources["/a.bin"].faults.clear()
    second = get(request)
    assert (second.status, second.bytes_fetched) == ("ok", len(data) - 200_000)
    assert server.sent() == len(data)
    third = get(request)
    assert (third.status, third.bytes_fetched, third.sha256) == ("there", 0, sha256(data))
    assert server.sent() == len(data)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("validator", ["strong", "weak", "dated", "none"])
def test_a_file_changed_between_runs_is_fetched_afresh(
    server: HostileServer, tmp_path: Path, ranges: bool, validator: str
) -> None:
    old, new = some_bytes(500 * KIB, 1), some_bytes(500 * KIB, 2)
    url = server.add(
        "/a.bin", old, new, ranges=ranges, dated=validator == "dated",
        etag=validator if validator in ("strong", "weak") else "none",
        faults=[Fault("drop", at=300_000), *[Fault("refuse")] * 20],
    )  # fmt: skip
    get(Request(url, tmp_path / "a.bin"), parts=1)
    server.resources["/a.bin"].faults.clear()
    server.resources["/a.bin"].current = 1
    outcome = get(Request(url, tmp_path / "a.bin"))
    assert outcome.status == "ok" and outcome.sha256 == sha256(new)
    assert outcome.message.startswith("a.bin: changed on the server")


def test_a_server_without_ranges_is_not_asked_for_what_is_right_twice(
    server: HostileServer, tmp_path: Path
) -> None:
    data = some_bytes(800 * KIB)
    url = server.add("/a.bin", data, ranges=False, faults=[Fault("drop", at=500_000)])
    outcome = get(Request(url, tmp_path / "a.bin"))
    assert outcome.status == "ok" and outcome.sha256 == sha256(data)
    assert server.sent() == 500_000 + len(data)  # the whole comes again; nothing else can come


def test_retry_after_is_obeyed(server: HostileServer, tmp_path: Path) -> None:
    waits: list[float] = []
    patient = dataclasses.replace(QUICK, sleep=waits.append)
    date = formatdate(time.time() - 5000 + 40, usegmt=True)  # by a clock that is 5000 s slow
    server.clock = -5000
    busy = [
        Fault("status", status=429, headers=(("Retry-After", "7"),)),
        Fault("status", status=503, headers=(("Retry-After", date),)),
        Fault("status", status=500),
    ]
    outcome = get(Request(server.add("/a", b"abc", faults=busy), tmp_path / "a"), policy=patient)
    assert outcome.status == "ok"
    assert 7.0 in waits and any(38 <= seconds <= 41 for seconds in waits)
    assert outcome.message == f"this clock is 83 minutes ahead of {server.base[7:]}: " + (
        "set it, or logins and signed links fail"
    )


def test_a_long_retry_after_is_reported_not_waited_for(
    server: HostileServer, tmp_path: Path
) -> None:
    busy = [Fault("status", status=429, headers=(("Retry-After", "86400"),))]
    outcome = get(Request(server.add("/a.zip", b"abc", faults=busy), tmp_path / "a.zip"))
    assert outcome.status == "failed" and "asks to wait for 86400 s" in outcome.message


def test_a_storm_of_429_makes_connections_fewer(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(2000 * KIB)
    storm = [Fault("status", status=429)] * 6
    url = server.add("/a.bin", data)
    server.resources["/a.bin"].faults.extend([Fault("trickle", at=1 << 30), *storm])
    outcome = get(Request(url, tmp_path / "a.bin"), parts=4)
    assert outcome.status == "ok" and outcome.sha256 == sha256(data)
    assert server.sent() == len(data)


def test_backoff_grows_and_ends() -> None:
    policy = Policy(first_wait=1, longest_wait=60, seed=3)
    waits = [policy.backoff(failures) for failures in range(1, 12)]
    for failures, seconds in enumerate(waits, 1):
        assert min(60, 2 ** (failures - 1)) / 2 <= seconds <= min(60, 2 ** (failures - 1))
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize(
    ("page", "advice"), [(LOGIN_PAGE, "wants a login"), (QUOTA_PAGE, "quota is used up")]
)
def test_a_page_instead_of_an_archive_is_not_kept(
    server: HostileServer, tmp_path: Path, page: bytes, advice: str
) -> None:
    url = server.add("/a.zip", b"PK" + bytes(5000), faults=[Fault("page", body=page)])
    outcome = get(Request(url, tmp_path / "a.zip", size=5002))
    assert outcome.status == "failed" and advice in outcome.message
    assert not list(tmp_path.glob("a.zip*"))


def test_a_page_in_the_middle_keeps_what_has_arrived(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(500_000)
    faults = [Fault("drop", at=300_000), Fault("page")]
    request = Request(server.add("/a.zip", data, faults=faults), tmp_path / "a.zip")
    assert "wants a login" in get(request, parts=1).message
    assert get(request, parts=1).bytes_fetched == 200_000
    assert (tmp_path / "a.zip").read_bytes() == data


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "it wants a login"),
        (403, "it refuses access"),
        (404, "not there"),
        (410, "was removed"),
        (418, "cannot be fetched"),
    ],
)
def test_lasting_errors_are_not_tried_again(
    server: HostileServer, tmp_path: Path, status: int, said: str
) -> None:
    url = server.add("/a.zip", b"abc", faults=[Fault("status", status=status)])
    outcome = get(Request(url, tmp_path / "a.zip"))
    assert outcome.status == "failed" and f"HTTP {status}" in outcome.message
    assert said in outcome.message and len(server.hits) == 1


def test_an_expired_signature_is_recognised(server: HostileServer, tmp_path: Path) -> None:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>Request has expired</Error>"
    url = server.add("/a.zip", b"abc", faults=[Fault("status", status=403, body=body)])
    outcome = get(Request(url + "?Signature=tell-nobody", tmp_path / "a.zip"))
    assert "no longer valid; get a new one" in outcome.message
    assert "tell-nobody" not in outcome.message


def test_a_wrong_checksum_leaves_nothing(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(100_000)
    url = server.add("/a.zip", data)
    for kinds in ({"sha256": "0" * 64}, {"md5": "0" * 32}):
        outcome = get(Request(url, tmp_path / "a.zip", size=len(data), **kinds))
        assert outcome.status == "failed" and f"expected {'0' * 32}" in outcome.message
        assert "as long as expected, other content" in outcome.message
        assert not list(tmp_path.glob("a.zip*"))
    right = hashlib.md5(data).hexdigest().upper()
    assert get(Request(url, tmp_path / "a.zip", md5=right)).status == "ok"


def test_a_wrong_size_is_noticed_before_it_is_fetched(
    server: HostileServer, tmp_path: Path
) -> None:
    url = server.add("/a.zip", some_bytes(3_000_000))
    outcome = get(Request(url, tmp_path / "a.zip", size=2_999_999))
    assert "has 3000000 bytes, 2999999 are expected: it was republished" in outcome.message
    assert server.sent() < 1_000_000 and not list(tmp_path.glob("a.zip*"))


def test_redirects_are_followed_and_circles_end(server: HostileServer, tmp_path: Path) -> None:
    url = server.add("/a.bin", b"abc", faults=[Fault("redirect")])
    assert get(Request(url, tmp_path / "a.bin")).status == "ok"
    url = server.add("/b.bin", b"abc", faults=[Fault("redirect")] * 50)
    outcome = get(Request(url, tmp_path / "b.bin"))
    assert "redirects in circles" in outcome.message and len(server.hits) < 40


def test_the_name_of_the_server_is_never_used(server: HostileServer, tmp_path: Path) -> None:
    where = "/x/evil.bin"
    url = server.add("/a.bin", b"x", faults=[Fault("redirect", location=where)])
    server.add(where, b"abc")
    assert get(Request(url, tmp_path / "in" / "a.bin")).status == "ok"
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"in/a.bin", "in/.depthdata/a.bin.json"}


def test_plain_bytes_are_asked_for_and_packed_ones_refused(
    server: HostileServer, tmp_path: Path
) -> None:
    url = server.add("/a.bin", b"abc", faults=[Fault("gzip")] * 9)
    outcome = get(Request(url, tmp_path / "a.bin", headers={"X-Key": "7"}))
    assert "gzip-encoded although asked for plain bytes" in outcome.message
    assert {hit.headers["Accept-Encoding"] for hit in server.hits} == {"identity"}
    assert {hit.headers["X-Key"] for hit in server.hits} == {"7"}
    url = server.add("/a.tar.gz", b"\x1f\x8babc", faults=[Fault("gzip")])  # its own nature
    assert get(Request(url, tmp_path / "a.tar.gz")).status == "ok"


def test_a_trickle_is_left_for_a_new_connection(server: HostileServer, tmp_path: Path) -> None:
    data = some_bytes(300_000)
    url = server.add("/a.bin", data, faults=[Fault("trickle", at=100_000, seconds=0.1)])
    hasty = dataclasses.replace(QUICK, slowest=500_000, slow_seconds=0.2)
    began = time.monotonic()
    outcome = get(Request(url, tmp_path / "a.bin"), policy=hasty, parts=1)
    assert outcome.status == "ok" and time.monotonic() - began < 1.0
    assert len(server.hits) == 2


def test_many_files_at_once_share_the_rate(server: HostileServer, tmp_path: Path) -> None:
    files = {f"/{n}.bin": some_bytes(100_000, n) for n in range(5)}
    wanted = [Request(server.add(path, data), tmp_path / path[1:]) for path, data in files.items()]
    progress = Progress()
    began = time.monotonic()
    outcomes = fetch(wanted, jobs=3, limit_rate=1_000_000, progress=progress, policy=QUICK)
    seconds = time.monotonic() - began
    assert [outcome.sha256 for outcome in outcomes] == [sha256(d) for d in files.values()]
    assert 0.35 < seconds < 1.2
    at = progress.snapshot()
    assert (at.done, at.size, at.fetched, at.files_done) == (500_000, 500_000, 500_000, 5)


def test_one_failure_does_not_stop_the_others(server: HostileServer, tmp_path: Path) -> None:
    wanted = [
        Request(server.add("/1", b"one"), tmp_path / "1"),
        Request(server.base + "/nothing", tmp_path / "2"),
        Request(server.add("/3", b"three"), tmp_path / "3"),
    ]
    assert [o.status for o in fetch(wanted, policy=QUICK)] == ["ok", "failed", "ok"]
    with pytest.raises(UsageError, match="two downloads go to"):
        fetch([wanted[0], wanted[0]])


def test_too_little_space_is_said_before_anything_is_fetched(
    server: HostileServer, tmp_path: Path
) -> None:
    huge = 1 << 60
    url = server.add("/a.bin", b"abc")
    small = Request(url, tmp_path / "small.bin", size=3)
    outcomes = fetch([Request(url, tmp_path / "a.bin", size=huge), small], policy=QUICK)
    assert {outcome.status for outcome in outcomes} == {"failed"} and not server.hits
    assert re.search(r"1152921\.5 TB are needed, [\d.]+ .B are free", outcomes[0].message)


def test_a_disk_that_fills_up_on_the_way(
    server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some_bytes(600_000)
    write, room = os.pwrite, [400_000]

    def full(descriptor: int, view: memoryview, offset: int) -> int:
        if room[0] < len(view):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(view)
        return write(descriptor, view, offset)

    monkeypatch.setattr(os, "pwrite", full)
    request = Request(server.add("/a.bin", data), tmp_path / "a.bin")
    outcome = get(request)
    assert outcome.status == "failed"
    assert outcome.message.startswith(f"{tmp_path}: the disk is full; free some space")
    room[0] = 1 << 30
    outcome = get(request)
    assert outcome.status == "ok" and outcome.sha256 == sha256(data)
    assert outcome.bytes_fetched < 400_000


def test_a_file_that_is_there_is_judged_not_replaced(server: HostileServer, tmp_path: Path) -> None:
    path, url = tmp_path / "a.zip", server.add("/a.zip", b"PK abc")
    path.write_bytes(b"PK abc")
    assert get(Request(url, path)).message.startswith("not verified")
    assert get(Request(url, path, sha256=sha256(b"PK abc"))).status == "there"
    outcome = get(Request(url, path, sha256="0" * 64))
    assert outcome.status == "failed" and "expected 000" in outcome.message
    assert "truncated at 6 of 9 B" in get(Request(url, path, size=9)).message
    path.write_bytes(LOGIN_PAGE)
    assert "is a web page" in get(Request(url, path)).message
    assert path.read_bytes() == LOGIN_PAGE and not server.hits


def test_no_server_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = get(Request(f"http://{host}/a.zip", tmp_path / "a.zip"))
    assert outcome.message == f"a.zip: {host} refuses the connection"
    for url in ("ftp://host/a.zip", "nonsense", "http://[broken/a.zip"):
        outcome = get(Request(url, tmp_path / "a.zip"))
        assert outcome.status == "failed" and outcome.message.startswith("a.zip: ")


def test_a_proxy_of_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    outcome = get(Request("http://data.example/a.zip", tmp_path / "a.zip"))
    assert "the proxy of the environment does not connect to data.example" in outcome.message
    assert "http_proxy=http://127.0.0.1:9" in outcome.message and "secret" not in outcome.message


def test_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    with HostileServer((certificate, key)) as server:
        request = Request(server.add("/a.zip", b"abc"), tmp_path / "a.zip")
        outcome = get(request)
        assert "the certificate of 127.0.0.1" in outcome.message
        assert "self" in outcome.message and "REQUESTS_CA_BUNDLE" in outcome.message
        trusting = requests.Session()
        trusting.trust_env = False  # REQUESTS_CA_BUNDLE would win
        trusting.verify = str(certificate)
        assert get(dataclasses.replace(request, session=trusting)).status == "ok"


def test_progress_as_json_lines(server: HostileServer, tmp_path: Path) -> None:
    text = io.StringIO()
    progress = Progress("json", stream=text, every=0.0)
    data = some_bytes(300_000)
    fetch(
        [Request(server.add("/a.bin", data), tmp_path / "a.bin", size=len(data))],
        limit_rate=250_000, parts=1, progress=progress, policy=QUICK,
    )  # fmt: skip
    progress.close()
    events = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [event["event"] for event in events][-2:] == ["file", "end"]
    assert events[-2]["status"] == "ok" and events[-2]["bytes"] == len(data)
    middle = [event for event in events if event["event"] == "progress" and event["rate"]]
    assert middle and all(event["seconds_left"] is not None for event in middle)


def test_progress_as_bars(server: HostileServer, tmp_path: Path) -> None:
    text = io.StringIO()
    progress = Progress("bars", stream=text)
    wanted = [Request(server.add(f"/{n}", b"abc"), tmp_path / f"{n}.bin", size=3) for n in "12"]
    fetch(wanted, progress=progress, policy=QUICK)
    progress.close()
    assert "1.bin" in text.getvalue() and "all (2/2)" in text.getvalue()
