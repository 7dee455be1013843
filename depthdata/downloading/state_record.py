"""What stays beside finished files: ``.depthdata/<name>.json``, and the lock of a running one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depthdata.downloading.diagnosis import public_url
from depthdata.downloading.state import Validator, durable_write
from depthdata.errors import DownloadError

__all__ = ["FOLDER", "locked", "read_record", "record_path", "write_record"]

FOLDER = ".depthdata"
VERSION = 1


def record_path(path: Path) -> Path:
    """Return where the record of a finished file lies."""
    return path.parent / FOLDER / f"{path.name}.json"


def write_record(path: Path, url: str, size: int, digests: dict[str, str], of: Validator) -> None:
    """Write the record of a file; neither a time nor a secret of the address is in it."""
    record = {
        "version": VERSION,
        "name": path.name,
        "url": public_url(url),
        "size": size,
        **digests,
        "etag": of.etag,
        "last_modified": of.last_modified,
    }
    record_path(path).parent.mkdir(exist_ok=True)
    durable_write(record_path(path), (json.dumps(record, indent=2) + "\n").encode())


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a file; None where there is none that makes sense."""
    try:
        record = json.loads(record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        return None
    return record if type(record.get("size")) is int else None


@contextlib.contextmanager
def locked(path: Path, doing: str = "downloading") -> Iterator[None]:
    """Hold the lock of a file's download; DownloadError where another process holds it.

    The lock is the kernel's, so it goes with a killed process. A file system without locks (some
    network mounts) gives none.
    """
    lock = path.parent / FOLDER / f"{path.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                raise DownloadError(
                    f"{path}: another process is {doing} this file; wait for it or stop it"
                ) from None
        with contextlib.suppress(OSError):
            # whoever held it before may have removed the file between our open and our lock
            if os.fstat(descriptor).st_ino == lock.stat().st_ino:
                break
        os.close(descriptor)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)
