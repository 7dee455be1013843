"""A file and its decoder: one place for what goes wrong when a file is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from depthdata.errors import FormatError, SourceError

__all__ = ["read_with"]

T = TypeVar("T")


def read_with(path: str | Path, decode: Callable[[bytes], T]) -> T:
    """Return what `decode` makes of the bytes of a file; errors name the path.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        As `decode` raises it.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise SourceError(
            f"{path} is missing; extract the archive it belongs to again", incomplete=True
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return decode(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
