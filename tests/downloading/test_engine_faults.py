"""Two hundred random plans of faults: every file arrives intact or fails with the right line."""

from __future__ import annotations

import hashlib
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from downloading.hostile_server import Fault, HostileServer

from depthdata.downloading.diagnosis import HEAD_BYTES
from depthdata.downloading.engine import Outcome, Policy, Request, fetch

PLANS = int(os.environ.get("DEPTHDATA_FAULT_PLANS", "200"))
FIRST = int(os.environ.get("DEPTHDATA_FAULT_SEED", "0"))
KIB = 1024
QUICK = Policy(
    tries=100,  # no plan is as long: what can be mended must be
    first_wait=0.001,
    longest_wait=0.01,
    connect_timeout=5,
    read_timeout=0.3,
    slowest=20_000,
    slow_seconds=0.2,
    first_piece=64 * KIB,
    largest_piece=128 * KIB,
    block=64 * KIB,
    trial=0,
    fast=1e12,
)

# What a fault that cannot be mended may make the engine say; nothing else is right.
LINES = {
    "page": r"web page .*login",
    "status": r"HTTP (403|404) from",
    "change": r"changed on the server \d+ times",
    "republished": r"bytes, \d+ are expected|expected [0-9a-f]{64}",
    "other_length": r"bytes, \d+ are expected",
    "gzip": r"gzip-encoded",
}
KINDS = (
    "drop", "drop", "drop", "refuse", "busy", "storm", "ignore_range", "wrong_range",
    "no_range_head", "other_length", "trickle", "stall", "no_length", "chunked", "chunked_cut",
    "no_length_cut", "gzip", "redirect", "change", "page", "forbidden",
)  # fmt: skip


@dataclass
class Plan:
    """One file, its server and what goes wrong."""

    versions: list[bytes]
    faults: list[Fault]
    options: dict[str, object]
    knows_size: bool
    knows_digest: bool

    @classmethod
    def of(cls, seed: int) -> Plan:
        draw = random.Random(seed)
        size = draw.choice([0, 1, 700, draw.randrange(70_000), draw.randrange(200_000, 700_000)])
        names = [draw.choice(KINDS) for _ in range(draw.randrange(1, 7))]
        versions = [draw.randbytes(size)]
        versions += [
            draw.randbytes(draw.choice([size, draw.randrange(1, 400_000)]))
            for _ in range(names.count("change"))
        ]
        faults: list[Fault] = []
        for name in names:
            faults += cls._faults(name, size, draw)
        etag = draw.choice(["strong", "strong", "weak", "none"])
        options = {
            "etag": etag,
            "dated": draw.random() < 0.8,
            "ranges": draw.random() < 0.85,
        }
        changes = len(versions) > 1
        lies = any(f.kind == "other_length" and f.at < 0 for f in faults)
        # what the server never says, only a checksum can tell
        blind = not options["dated"] and etag == "none"
        unsure = any(f.kind == "no_length" for f in faults)
        return cls(
            versions,
            faults,
            options,
            knows_size=not changes and (lies or draw.random() < 0.5),
            knows_digest=(blind and changes) or (lies and changes) or unsure or draw.random() < 0.5,
        )

    @staticmethod
    def _faults(name: str, size: int, draw: random.Random) -> list[Fault]:
        at = draw.randrange(max(1, size))
        if name == "busy":
            return [Fault("status", status=draw.choice([429, 500, 502, 503, 504]))]
        if name == "storm":
            after = (("Retry-After", draw.choice(["0", "Thu, 01 Jan 2004 00:00:00 GMT", "x"])),)
            return [Fault("status", status=429, headers=after)] * draw.randrange(1, 7)
        if name == "forbidden":
            return [Fault("status", status=draw.choice([403, 404]))]
        if name == "wrong_range":
            return [Fault(name, at=draw.choice([-1, 1, 1000]))]
        if name == "other_length":
            return [Fault(name, at=draw.choice([-1, -1000, 1, 1000]))]
        if name == "trickle":
            return [Fault(name, at=at, seconds=0.02)]
        if name == "stall":
            return [Fault(name, at=at, seconds=0.5)]
        if name == "chunked_cut":
            return [Fault("chunked", at=at + 1)]
        if name == "no_length_cut":
            return [Fault("no_length", at=at + 1)]
        return [Fault(name, at=at)]


def spoiled(server: HostileServer, path: str, plan: Plan) -> int:
    """Bytes that were sent and that the faults themselves made useless."""
    hits = [hit for hit in server.hits if hit.path.partition("?")[0] == path]
    if len(plan.versions) > 1:
        return sum(hit.sent for hit in hits)
    misfits = {"ignore_range", "wrong_range", "no_range_head", "other_length", "gzip", "page"}
    no_ranges = not plan.options["ranges"] or any(hit.fault in misfits for hit in hits)
    unsure = plan.knows_digest and any(hit.fault == "no_length" for hit in hits)
    return sum(
        hit.sent
        for number, hit in enumerate(hits)
        if hit.fault in misfits
        or unsure
        or (number and hit.status == 200 and no_ranges)
        or hit.sent < HEAD_BYTES  # nothing is kept before the first bytes have been judged
    )


@pytest.mark.parametrize("group", range(4))
def test_a_file_arrives_intact_or_fails_with_the_right_line(group: int, tmp_path: Path) -> None:
    seeds = range(FIRST + group * PLANS // 4, FIRST + (group + 1) * PLANS // 4)
    plans = {seed: Plan.of(seed) for seed in seeds}
    with HostileServer() as server:
        requests = []
        for seed, plan in plans.items():
            wanted = plan.versions[0]
            url = server.add(f"/{seed}.zip", *plan.versions, faults=plan.faults, **plan.options)
            size = len(wanted) if plan.knows_size else None
            sha256 = hashlib.sha256(wanted).hexdigest() if plan.knows_digest else None
            requests.append(Request(url, tmp_path / f"{seed}" / f"{seed}.zip", size, sha256))
        outcomes = fetch(requests, jobs=8, parts=1 + 2 * (group % 2), policy=QUICK)
        for (seed, plan), outcome in zip(plans.items(), outcomes, strict=True):
            judge(seed, plan, outcome, server)


def judge(seed: int, plan: Plan, outcome: Outcome, server: HostileServer) -> None:
    now = server.resources[f"/{seed}.zip"].data
    hits = [hit for hit in server.hits if hit.path.startswith(f"/{seed}.zip")]
    seen = "\n".join(f"{h.fault} {h.range} {h.if_range} {h.status} {h.sent}" for h in hits)
    faults = "\n".join(f"{f.kind} {f.at} {f.status}" for f in plan.faults)
    about = f"plan {seed} {plan.options}:\n{faults}\n{outcome}\n{seen}"
    left = {path.name for path in outcome.path.parent.iterdir()}
    if outcome.status == "ok":
        assert outcome.path.read_bytes() == now, about
        assert outcome.sha256 == hashlib.sha256(now).hexdigest(), about
        assert left == {outcome.path.name, ".depthdata"}, about
    else:
        assert not outcome.path.exists(), about
        assert "\n" not in outcome.message
        kinds = {fault.kind for fault in plan.faults}
        allowed = [line for kind, line in LINES.items() if kind in kinds]
        if len(plan.versions) > 1 and (plan.knows_digest or plan.knows_size):
            allowed.append(LINES["republished"])
        assert any(re.search(line, outcome.message) for line in allowed), about
    sent = sum(hit.sent for hit in hits)
    # where no validator is sent, a seam of a kibibyte is read again at each resumption
    seams = 1024 * len(hits) * (plan.options["etag"] != "strong" and not plan.options["dated"])
    assert sent <= 1.02 * len(now) + spoiled(server, f"/{seed}.zip", plan) + seams, about
    assert outcome.bytes_fetched <= sent
