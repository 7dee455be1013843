"""Files in a cloud bucket, or anywhere else that fsspec reaches, with the user's own credentials.

>>> is_remote("gs://bucket/a"), is_remote("https://example.org/a")
(True, False)
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthdata.downloading import diagnosis
from depthdata.downloading.progress import Progress
from depthdata.downloading.state import Part, Validator
from depthdata.downloading.state_record import locked, write_record
from depthdata.downloading.transfer_digest import file_digests
from depthdata.downloading.transfer_policy import Policy, TokenBucket
from depthdata.downloading.transfer_request import Outcome, Request
from depthdata.downloading.transfer_there import already_there
from depthdata.errors import DepthdataError, DownloadError, MissingDependencyError

__all__ = ["Remote", "fetch_remote", "is_remote", "list_remote"]

PIECE = 8 << 20
_EXTRAS = {"gs": "gcs", "gcs": "gcs"}
_REFUSED = ("401", "403", "anonymous", "forbidden", "unauthorized", "permission", "credential")


@dataclass(frozen=True)
class Remote:
    """One file to fetch: what `Request` says, at an address of fsspec."""

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None


def is_remote(url: str) -> bool:
    """Tell whether an address is one for fsspec and not for a web server."""
    return "://" in url and not url.startswith(("http://", "https://"))


def list_remote(pattern: str) -> list[tuple[str, int | None]]:
    """Return address and size of each file that a pattern names, sorted.

    Raises
    ------
    DownloadError
        There is none, or the credentials do not open the bucket.
    MissingDependencyError
        A package is needed to get there.
    """
    scheme = pattern.partition("://")[0]
    system, inside = _filesystem(pattern)
    try:
        found: dict[str, dict[str, Any]] = system.glob(inside, detail=True)
    except Exception as error:
        raise _explained(pattern, error) from None
    files = {path: info for path, info in sorted(found.items()) if info.get("type") != "directory"}
    if not files:
        raise DownloadError(
            f"{pattern}: nothing is there; it may have moved, or your account does not see it"
        )
    return [(f"{scheme}://{path.lstrip('/')}" if scheme != "file" else f"file://{path}",
             info.get("size")) for path, info in files.items()]  # fmt: skip


def fetch_remote(
    remotes: Sequence[Remote],
    *,
    jobs: int = 4,
    limit_rate: float | None = None,
    progress: Progress | None = None,
    policy: Policy | None = None,
) -> list[Outcome]:
    """Fetch files; go on where a former run, however it ended, stopped.

    The same promises as `depthdata.downloading.engine.fetch`; one connection a file.
    """
    progress = Progress() if progress is None else progress
    run = _Run(remotes, progress, Policy() if policy is None else policy, TokenBucket(limit_rate))
    for remote in remotes:
        progress.expect(str(remote.path), remote.path.name, remote.size)
    threads = [threading.Thread(target=run.some, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        run.stop.set()
        for thread in threads:
            thread.join(2.0)
        raise
    if run.error is not None:
        raise run.error
    return [run.outcomes[number] for number in range(len(remotes))]


class _Run:
    def __init__(
        self, remotes: Sequence[Remote], progress: Progress, policy: Policy, bucket: TokenBucket
    ) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._waiting = deque(enumerate(remotes))
        self._progress, self._policy, self._bucket = progress, policy, bucket

    def some(self) -> None:
        while not self.stop.is_set():
            try:
                number, remote = self._waiting.popleft()
            except IndexError:
                return
            try:
                self.outcomes[number] = self._one(remote)
            except BaseException as error:
                self.error = error
                self.stop.set()

    def _one(self, remote: Remote) -> Outcome:
        path, key = remote.path, str(remote.path)
        status, sha256, message, size, fetched = "failed", None, "", None, 0
        request = Request(remote.url, path, remote.size, remote.sha256, remote.md5)
        try:
            found = already_there(request)
            if found is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with locked(path):
                    found = already_there(request)
                    if found is None:
                        sha256, size, fetched = self._fetch(remote)
                        status = "ok"
            if found is not None:
                status, sha256, message, size = found
        except DepthdataError as error:
            message = str(error)
        except OSError as error:
            message = f"{error.filename or path} cannot be written: {error.strerror or error}"
        self._progress.finish(key, status, size)
        return Outcome(path, status, sha256, fetched, message)  # type: ignore[arg-type]

    def _fetch(self, remote: Remote) -> tuple[str, int, int]:
        path = remote.path
        system, inside = _filesystem(remote.url)
        try:
            info = system.info(inside)
        except Exception as error:
            raise _explained(remote.url, error) from None
        size = int(info["size"])
        if remote.size is not None and remote.size != size:
            raise DownloadError(diagnosis.size_line(path.name, size, remote.size))
        version = info.get("etag") or info.get("generation") or info.get("ETag")
        changed = info.get("updated") or info.get("mtime") or info.get("created")
        now = Validator(str(version) if version else None, str(changed) if changed else None)
        part = Part(path)
        fetched = 0
        try:
            if not part.begun or part.size != size or now.same(part.validator) is False:
                part.begin(size, now)
            self._progress.start(str(path), size, part.have.total)
            for start, stop in list(part.have.gaps(0, size)):
                for at in range(start, stop, PIECE):
                    end = min(stop, at + PIECE)
                    data = self._piece(system, inside, remote, at, end)
                    part.write(at, data)
                    fetched += len(data)
                    self._progress.advance(str(path), len(data))
                    self._bucket.take(len(data), self.stop)
            part.flush()
            digests = file_digests(part.path, {"sha256", "md5"})
            self._verify(remote, info, digests, part, size)
            write_record(path, remote.url, size, digests, now)
            part.complete(path)
        finally:
            part.close()
        return digests["sha256"], size, fetched

    def _piece(self, system: Any, inside: str, remote: Remote, start: int, stop: int) -> bytes:
        failures = 0
        while True:
            if self.stop.is_set():
                raise DownloadError(f"{remote.path.name}: stopped; run again to go on")
            try:
                data: bytes = system.cat_file(inside, start=start, end=stop)
                if len(data) == stop - start:
                    return data
                error: Exception = EOFError(f"{len(data)} of {stop - start} bytes arrived")
            except Exception as problem:
                error = problem
            failures += 1
            if failures >= self._policy.tries or _is_refusal(error):
                raise _explained(remote.url, error) from None
            self._policy.wait(self._policy.backoff(failures), self.stop)

    def _verify(
        self, remote: Remote, info: dict[str, Any], digests: dict[str, str], part: Part, size: int
    ) -> None:
        said = info.get("md5Hash")
        expected = {
            "sha256": remote.sha256,
            "md5": remote.md5 or (base64.b64decode(said).hex() if said else None),
        }
        for kind, value in expected.items():
            if value and digests[kind] != value.lower():
                part.discard()
                raise DownloadError(
                    diagnosis.digest_line(
                        remote.path.name, kind, digests[kind], value.lower(), size=size
                    )
                )


def _filesystem(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    extra = _EXTRAS.get(scheme, "remote")
    try:
        from fsspec.core import url_to_fs

        system, inside = url_to_fs(url)
    except ImportError as error:
        raise MissingDependencyError(
            f"{diagnosis.public_url(url)}: a package is missing ({error}); "
            f"pip install 'depthdata[{extra}]'"
        ) from None
    except Exception as error:
        raise _explained(url, error) from None
    return system, str(inside)


def _is_refusal(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return isinstance(error, PermissionError) or any(word in text for word in _REFUSED)


def _explained(url: str, error: Exception) -> DownloadError:
    where = url.partition("?")[0]
    said = " ".join(str(error).split())[:160] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return DownloadError(f"{where}: not there (any more); look at the dataset's home page")
    if _is_refusal(error):
        how = "with the credentials of this machine"
        if where.startswith(("gs://", "gcs://")):
            how += (
                ": accept the terms on the dataset's site, then `gcloud auth application-default "
                "login` with that account, or name a key file in GOOGLE_APPLICATION_CREDENTIALS"
            )
        return DownloadError(f"{where}: no access {how} ({said})")
    return DownloadError(f"{where}: {said}")
