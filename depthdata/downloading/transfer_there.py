"""Whether a file that is there before anything is fetched is the one that is wanted."""

from __future__ import annotations

from typing import Literal, NamedTuple

from depthdata.downloading import diagnosis
from depthdata.downloading.state import Part, Validator
from depthdata.downloading.state_record import read_record, write_record
from depthdata.downloading.transfer_digest import file_digests
from depthdata.downloading.transfer_request import Request

__all__ = ["Found", "already_there"]


class Found(NamedTuple):
    """What lies where the file should go."""

    status: Literal["there", "failed"]
    sha256: str | None
    message: str
    size: int | None


def already_there(request: Request) -> Found | None:
    """Return what is at the path of a request; None when nothing is.

    A file that a finished download left is known by its record and not read again. Any other one
    is read, and compared with what is known of it; it is never replaced.
    """
    path = request.path
    if not path.exists():
        return None
    advice = "move it away to fetch it again"
    if not path.is_file():
        return Found("failed", None, f"{path} is no file: {advice}", None)
    size = path.stat().st_size
    wanted: dict[str, str | None] = {"sha256": request.sha256, "md5": request.md5}
    expected = {kind: value.lower() for kind, value in wanted.items() if value}
    record = read_record(path)
    known = record is not None and record["size"] == size
    if known and record is not None and all(kind in record for kind in expected):
        digests = {kind: str(record[kind]) for kind in wanted if kind in record}
    elif request.size is not None and size != request.size:
        digests = {}
    else:
        digests = file_digests(path, {"sha256", *expected}) if expected else {}
    if request.size is not None and size != request.size:
        line = diagnosis.size_there_line(path, size, request.size)
        return Found("failed", None, f"{line}: {advice}", size)
    with path.open("rb") as file:
        head = file.read(diagnosis.HEAD_BYTES)
    if diagnosis.looks_like_page(head, path.name):
        return Found("failed", None, f"{path} is a web page, no file: {advice}", size)
    for kind, value in expected.items():
        if digests[kind] != value:
            line = f"{path} is there, but its {kind} is {digests[kind]}, expected {value}"
            return Found("failed", None, f"{line}: {advice}", size)
    part = Part.state_of(path)
    if part.exists() and not Part.data_of(path).exists():
        part.unlink(missing_ok=True)  # its process was killed right after it gave the name
    if expected and not known:
        write_record(path, request.url, size, digests, Validator())
    nothing = not expected and not known
    message = "not verified: neither a record nor a published checksum" if nothing else ""
    return Found("there", digests.get("sha256"), message, size)
