"""Where the bytes of a sequence file come from: a local file, or ranges of a remote one."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

from depthdata.errors import FormatError, MissingDependencyError, UsageError

__all__ = ["ByteSource", "LocalFile", "RemoteFile", "open_bytes"]


class ByteSource(Protocol):
    """Bytes at a position, from any process and any thread."""

    @property
    def name(self) -> str:
        """Path or URL, for messages."""

    def size(self) -> int:
        """Return the length of the file."""

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`; FormatError when there are fewer."""

    def close(self) -> None:
        """Let go of what is open; reading opens it again."""


class LocalFile:
    """One descriptor a process, opened when first needed; ``os.pread`` needs no lock.

    Parameters
    ----------
    path : str
        The file.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._reset()

    def _reset(self) -> None:
        self._fd: int | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.name = state["name"]
        self._reset()

    def __del__(self) -> None:
        if getattr(self, "_fd", None) is not None:
            self.close()

    def _descriptor(self) -> int:
        fd = self._fd
        if fd is not None and self._pid == os.getpid():
            return fd
        return self._open()

    def _open(self) -> int:
        if self._pid != os.getpid():  # forked: a lock copied while held would never be released
            self._lock = threading.Lock()
        with self._lock:
            if self._fd is None or self._pid != os.getpid():
                try:
                    fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC)
                except OSError as error:
                    raise UsageError(
                        f"{self.name}: cannot be opened ({error.strerror or error})"
                    ) from error
                self._fd, self._pid = fd, os.getpid()
            return self._fd

    def size(self) -> int:
        """Return the length of the file."""
        return os.fstat(self._descriptor()).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`."""
        data = os.pread(self._descriptor(), size, offset)
        while len(data) < size:
            more = os.pread(self._descriptor(), size - len(data), offset + len(data))
            if not more:
                raise FormatError(
                    f"{self.name}: truncated: expected {size} bytes at {offset}, found {len(data)}"
                )
            data += more
        return data

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` with the bytes from `offset`."""
        done = 0
        while done < len(out):
            count = os.preadv(self._descriptor(), [out[done:]], offset + done)
            if not count:
                raise FormatError(
                    f"{self.name}: truncated: expected {len(out)} bytes at {offset}, found {done}"
                )
            done += count

    def close(self) -> None:
        """Close this process's descriptor."""
        fd, self._fd = self._fd, None
        if fd is not None and self._pid == os.getpid():
            os.close(fd)


class RemoteFile:
    """Ranges of a URL through fsspec, one request each.

    Parameters
    ----------
    url : str
        Anything fsspec knows: ``https://``, ``s3://``, ``memory://``.
    """

    def __init__(self, url: str) -> None:
        self.name = url
        self._reset()

    def _reset(self) -> None:
        self._fs: Any = None
        self._pid = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.name = state["name"]
        self._reset()

    def _filesystem(self) -> tuple[Any, str]:
        if self._fs is None or self._pid != os.getpid():
            try:
                from fsspec.core import url_to_fs  # type: ignore[import-untyped]
            except ImportError as error:
                raise MissingDependencyError(
                    f"{self.name}: URLs need fsspec; pip install 'depthdata[remote]'"
                ) from error
            self._fs, self._pid = url_to_fs(self.name), os.getpid()
        return self._fs  # type: ignore[no-any-return]

    def size(self) -> int:
        """Return the length of the file."""
        fs, path = self._filesystem()
        try:
            return int(fs.size(path))
        except OSError as error:
            raise UsageError(f"{self.name}: cannot be opened ({error})") from error

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes from `offset`."""
        fs, path = self._filesystem()
        try:
            data: bytes = fs.cat_file(path, start=offset, end=offset + size)
        except OSError as error:
            raise UsageError(f"{self.name}: cannot be read ({error})") from error
        if len(data) != size:
            raise FormatError(
                f"{self.name}: truncated: expected {size} bytes at {offset}, found {len(data)}"
            )
        return data

    def close(self) -> None:
        """Forget the connection."""
        self._fs = None


def open_bytes(path: str | os.PathLike[str]) -> ByteSource:
    """Return the bytes behind a local path or a URL."""
    name = os.fspath(path)
    return RemoteFile(name) if "://" in name else LocalFile(name)
