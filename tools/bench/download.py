#!/usr/bin/env python
"""Speed of one big file over loopback against curl, and memory against its size.

usage: tools/bench/download.py [--gigabytes G] [--rounds N] [--folder DIR] [--json]

The server hands a file to the kernel (sendfile), in a process of its own. Both programs fetch it
into a fresh folder, each run a process of its own and in turn (A B B A ...); the ratio is that of
the best times over the rounds (what else the machine does only adds), with the start of both left
out (curl's is the time for a file of one byte). We also compute the SHA-256, and flush the file to
the disk before it gets its name; curl does neither, so "curl + sha256sum" is measured too. The
default folder is /dev/shm, where the disk has no part in it.

memory: peak of the process (ru_maxrss) for the file and for one of a sixteenth of its size.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WANTED = 0.8
MOST_GROWTH = 16  # MB of memory
PROJECT = Path(__file__).resolve().parents[2]
OURS = """
import resource, sys, time
from pathlib import Path
from depthdata.downloading.engine import Request, fetch
began = time.perf_counter()
(outcome,) = fetch([Request(sys.argv[1], Path(sys.argv[2]))], parts=int(sys.argv[3]))
seconds = time.perf_counter() - began
assert outcome.status == "ok", outcome
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def answer(connection: socket.socket, folder: Path) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asked = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in asked:
                more = connection.recv(65536)
                if not more:
                    return
                asked += more
            head, _, asked = asked.partition(b"\r\n\r\n")
            path = folder / head.split()[1].decode().lstrip("/")
            size = path.stat().st_size
            found = re.search(rb"range: bytes=(\d+)-(\d*)", head, re.I)
            start, stop, status = 0, size, "200 OK"
            if found:
                start, last = int(found[1]), found[2]
                stop = min(size, int(last) + 1) if last else size
                status = "206 Partial Content"
            lines = [f"HTTP/1.1 {status}", 'ETag: "1"', f"Content-Length: {stop - start}"]
            if found:
                lines.append(f"Content-Range: bytes {start}-{stop - 1}/{size}")
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            with path.open("rb") as file:
                while start < stop:
                    start += os.sendfile(connection.fileno(), file.fileno(), start, stop - start)


def serve(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=answer, args=(connection, folder), daemon=True).start()


def run_curl(url: str, path: Path, *, digest: bool = False) -> float:
    began = time.perf_counter()
    subprocess.run(["curl", "-sS", "--fail", "-o", path, url], check=True)
    if digest:
        subprocess.run(["sha256sum", path], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def run_ours(url: str, path: Path, parts: int) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", OURS, url, path, str(parts)],
        check=True, capture_output=True, text=True, cwd=PROJECT,
    )  # fmt: skip
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak / 1024


def measure(url: str, folder: Path, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {"curl": [], "curl + sha256sum": [], "1": [], "4": []}
    for number in range(rounds + 1):
        for name in sorted(times, reverse=bool(number % 2)):
            target = folder / "target"
            target.mkdir()
            if name.startswith("curl"):
                seconds = run_curl(url, target / "file", digest="sha" in name)
                seconds -= run_curl(f"{url}.tiny", target / "tiny")
            else:
                seconds, _ = run_ours(url, target / "file", int(name))
            shutil.rmtree(target)
            if number:  # the first round warms up
                times[name].append(seconds)
    return {name: min(found) for name, found in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    if shutil.which("curl") is None:
        sys.exit("no curl here: install it to compare with")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        block = os.urandom(1 << 24)
        sizes = {"file": int(options.gigabytes * 1e9)}
        sizes["small"] = sizes["file"] // 16
        for file, size in sizes.items():
            with (folder / file).open("wb") as out:
                for start in range(0, size, len(block)):
                    out.write(block[: size - start])
        (folder / "file.tiny").write_bytes(b"x")
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", folder], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            seconds = measure(f"{base}/file", folder, options.rounds)
            peaks = {}
            for file in sizes:
                _, peaks[file] = run_ours(f"{base}/{file}", folder / "out" / file, 4)
                shutil.rmtree(folder / "out")
        finally:
            server.kill()
    rates = {name: sizes["file"] / found / 1e6 for name, found in seconds.items()}
    ratios = {
        f"{parts} connection(s) against {other}": seconds[other] / seconds[parts]
        for parts in "14"
        for other in ("curl", "curl + sha256sum")
    }
    growth = peaks["file"] - peaks["small"]
    best = max(ratios["1 connection(s) against curl"], ratios["4 connection(s) against curl"])
    ok = best >= WANTED and growth <= MOST_GROWTH
    if options.json:
        print(json.dumps({"MB/s": rates, "ratios": ratios, "peak MB": peaks, "ok": ok}, indent=2))
    else:
        for what, rate in rates.items():
            print(f"{what:<18} {rate:8.0f} MB/s")
        for what, ratio in ratios.items():
            print(f"{what:<42} {ratio:5.2f}")
        print(
            f"peak memory {peaks['small']:.0f} MB -> {peaks['file']:.0f} MB (file 16 times as big)"
        )
        print("ok" if ok else f"FAIL: wanted {WANTED} of curl, at most {MOST_GROWTH} MB more")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
