"""Files arrive whole and verified, whatever the server is like."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_server import Fault, HostileServer

from depthdata.download.engine import Outcome, Policy, Request, fetch

KIB = 1024
QUICK = Policy(
    first_wait=0.001,
    longest_wait=0.01,
    connect_timeout=5,
    read_timeout=5,
    first_piece=64 * KIB,
    largest_piece=256 * KIB,
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
