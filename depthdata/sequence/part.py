"""The part file: nothing bears the final name until it is whole and checked.

``<name>.h5.part-<host>-<pid>`` is created exclusively in the final folder. `commit` fsyncs it,
has it checked, renames it, and fsyncs the folder; `discard` removes it and everything beside it
that begins with its name. A killed process leaves a part that no reader opens.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from depthdata.errors import UsageError

__all__ = ["PartFile", "stale_parts"]

_PART = re.compile(r".*\.part-(?P<host>.+?)-(?P<pid>\d+)(\..*)?")


class PartFile:
    """A file in the making.

    Parameters
    ----------
    final : Path
        The name it will have.

    Raises
    ------
    UsageError
        The folder does not exist, or this process already writes the same file.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = final.with_name(f"{final.name}.part-{_host()}-{os.getpid()}")
        if not final.parent.is_dir():
            raise UsageError(f"{final.parent}: no such folder; create it before writing into it")
        try:
            self.path.touch(exist_ok=False)
        except FileExistsError:
            raise UsageError(
                f"{self.path}: exists, {final.name} is being written by this process already; "
                "remove the part if it is left over"
            ) from None
        self.path.unlink()  # h5py creates it, exclusively again

    def spool(self, name: str) -> Path:
        """Return the path of a temporary file beside the part."""
        return self.path.with_name(f"{self.path.name}.{name.replace('/', '.')}")

    def commit(self, check: Callable[[Path], None]) -> None:
        """Make the part durable, check it, give it its final name."""
        _fsync(self.path)
        check(self.path)
        self._remove_spools()
        self.path.replace(self.final)
        _fsync(self.final.parent)

    def discard(self) -> None:
        """Remove the part and its temporary files."""
        self._remove_spools()
        self.path.unlink(missing_ok=True)

    def _remove_spools(self) -> None:
        prefix = f"{self.path.name}."
        for path in self.path.parent.iterdir():
            if path.name.startswith(prefix):
                path.unlink(missing_ok=True)


def stale_parts(folder: Path) -> Iterator[Path]:
    """Yield the parts of processes of this machine that are gone, and their temporary files."""
    for path in sorted(folder.iterdir()):
        match = _PART.fullmatch(path.name)
        if match and match["host"] == _host() and not _alive(int(match["pid"]), path):
            yield path


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) or "localhost"


def _alive(pid: int, part: Path) -> bool:
    """Whether the process that wrote a part is there; its number may have come round again."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        started = Path(f"/proc/{pid}").stat().st_ctime
        return part.stat().st_mtime >= started - 1
    except OSError:  # no /proc: believe the number
        return True


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
