"""What lies beside the sequence files of a folder: ``dataset.json`` and ``receipts.jsonl``.

``dataset.json`` is an index of the complete sequence files, rebuilt from them at any time; the same
files give the same bytes. ``receipts.jsonl`` tells, a line each, what was converted from which
source by which version in what time, failures too; wall-clock time is found here only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from depthdata.errors import DepthdataError, FormatError
from depthdata.sequence import Sequence, open_sequence

__all__ = ["INDEX", "RECEIPTS", "append_receipt", "read_receipts", "rebuild_index"]

INDEX = "dataset.json"
RECEIPTS = "receipts.jsonl"

_log = logging.getLogger(__name__)


def append_receipt(root: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Add one line to ``receipts.jsonl``; the time is added here.

    Several processes may append at the same time. A line that a killed process left half-written
    is closed first.
    """
    path = Path(root) / RECEIPTS
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = json.dumps({"time": time, **record}, ensure_ascii=False) + "\n"
    try:
        with _locked(Path(root)):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    line = "\n" + line
                data = line.encode()
                if os.write(descriptor, data) != len(data):
                    raise OSError("the line was not written whole; is the disk full?")
            finally:
                os.close(descriptor)
    except OSError as error:
        raise DepthdataError(f"{path} cannot be written: {error.strerror or error}") from error


def read_receipts(root: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of ``receipts.jsonl``, oldest first; half-written ones are left out."""
    path = Path(root) / RECEIPTS
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


def rebuild_index(root: str | os.PathLike[str]) -> dict[str, Any]:
    """Write ``dataset.json`` anew from the sequence files of a folder, whole or not at all.

    Returns
    -------
    dict
        What was written: ``sequences`` (file, sequence, dataset, split, frames, bytes, digest,
        cameras with sizes and streams) in the order of the file names, and ``problems`` for the
        files called ``*.h5`` that are no complete sequence file.
    """
    root = Path(root)
    try:
        with _locked(root):
            index = _index(root)
            _write_whole(root / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DepthdataError(
            f"{root / INDEX} cannot be written: {error.strerror or error}"
        ) from error
    return index


def _index(root: Path) -> dict[str, Any]:
    sequences, problems = [], {}
    for path in sorted(root.glob("*.h5")):
        entry = _entry(path)
        if isinstance(entry, FormatError):
            problems[path.name] = str(entry).replace(str(path), path.name)
            _log.warning("%s", entry)
        else:
            sequences.append(entry)
    return {
        "format": "depthdata.dataset",
        "version": 1,
        "frames": sum(entry["frames"] for entry in sequences),
        "bytes": sum(entry["bytes"] for entry in sequences),
        "sequences": sequences,
        "problems": problems,
    }


def _entry(path: Path) -> dict[str, Any] | FormatError:
    try:
        with open_sequence(path) as sequence:
            return _facts(path, sequence)
    except FormatError as error:
        return error


def _facts(path: Path, sequence: Sequence) -> dict[str, Any]:
    cameras = {
        name: {
            "height": camera.height,
            "width": camera.width,
            "poses": camera.poses is not None,
            "streams": {stream: len(camera[stream].frames) for stream in camera.streams},
        }
        for name, camera in sequence.cameras.items()
    }
    return {
        "file": path.name,
        "sequence": sequence.name,
        "dataset": sequence.dataset,
        "split": sequence.split,
        "frames": len(sequence),
        "bytes": path.stat().st_size,
        "digest": sequence.digest,
        "converter": sequence.converter,
        "source_fingerprint": sequence.source_fingerprint,
        "cameras": cameras,
        "stereo_pairs": [[pair.left, pair.right] for pair in sequence.stereo_pairs],
    }


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the folder's lock, so that concurrent shards neither mix lines nor lose entries."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        # Without locks on a network file system, appending stays whole on all but exotic ones.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
