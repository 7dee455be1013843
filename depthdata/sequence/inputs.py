"""What converters hand over, made plain: facts, blobs, counted iterables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from depthdata.errors import UsageError

__all__ = ["Blob", "blob_bytes", "exactly", "plain_facts"]

Blob = bytes | bytearray | memoryview | os.PathLike[str]
Item = TypeVar("Item")


def plain_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with arrays and numpy numbers as plain JSON values.

    >>> plain_facts({"P": np.eye(2), "n": np.int64(3), "crop": (0, 1)})
    {'P': [[1.0, 0.0], [0.0, 1.0]], 'n': 3, 'crop': [0, 1]}
    """
    return {str(name): _plain(value) for name, value in facts.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return plain_facts(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def blob_bytes(blob: Blob) -> bytes | memoryview:
    """Return the bytes of a blob, or of the file that it names."""
    if isinstance(blob, os.PathLike):
        return Path(blob).read_bytes()
    return memoryview(blob).cast("B")


def exactly(items: Iterable[Item], count: int, name: str) -> Iterator[Item]:
    """Yield `count` items; UsageError when there are fewer or more."""
    found = 0
    for item in items:
        found += 1
        if found > count:
            raise UsageError(f"{name}: expected {count} frames, found more")
        yield item
    if found < count:
        raise UsageError(f"{name}: expected {count} frames, found {found}")
