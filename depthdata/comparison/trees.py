"""Compare two files of prepared trees: decoded, with a tolerance per kind.

Pictures: 2 levels, 0.2 on average. ``.npy`` and ``.npz`` of floats: 1e-3 (pixels, metres), other
arrays exactly. JSON and numbers in text: 1e-9 relative. Everything else: the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.codecs.images import decode_image
from depthdata.comparison.difference import Difference
from depthdata.errors import FormatError

__all__ = ["array_difference", "differences", "picture_difference"]

PICTURE_LEVELS, PICTURE_MEAN = 2, 0.2
ARRAY_TOLERANCE = 1e-3
NUMBER_TOLERANCE = 1e-9

_PICTURES = (".jpg", ".jpeg", ".png")


def differences(a: Path, b: Path) -> Iterator[Difference]:
    """Yield what differs between two files of the same name."""
    left, right = a.read_bytes(), b.read_bytes()
    if left == right:
        return
    suffix = a.suffix.lower()
    try:
        if suffix in _PICTURES:
            message = picture_difference(decode_image(left), decode_image(right))
            yield from _given("", message)
        elif suffix == ".npy":
            yield from _given("", array_difference(_array(a), _array(b), ARRAY_TOLERANCE))
        elif suffix == ".npz":
            yield from _archives(a, b)
        elif suffix == ".json":
            yield from _values("", json.loads(left), json.loads(right))
        elif suffix == ".txt":
            yield from _texts(left.decode(), right.decode())
        else:
            yield Difference("", f"{len(left)} bytes that are not the {len(right)} of {b}")
    except (FormatError, ValueError, OSError) as error:
        yield Difference("", f"cannot be read: {' '.join(str(error).split())}")


def picture_difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> str | None:
    """Say how two pictures differ beyond the tolerance; None when they do not."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"picture {a.shape} {a.dtype}, but {b.shape} {b.dtype}"
    gap = np.abs(a.astype(np.int32) - b)
    if gap.max() <= PICTURE_LEVELS and gap.mean() <= PICTURE_MEAN:
        return None
    return f"pictures differ by up to {gap.max()} levels, {gap.mean():.3f} on average"


def array_difference(
    a: npt.NDArray[Any], b: npt.NDArray[Any], tolerance: float = 0.0
) -> str | None:
    """Say how two arrays differ beyond the tolerance (NaN equals NaN); None when they do not."""
    if a.shape != b.shape:
        return f"shape {a.shape}, but {b.shape}"
    if a.dtype.kind != b.dtype.kind:
        return f"numbers of type {a.dtype}, but {b.dtype}"
    if a.dtype.kind not in "fc":
        count = int((a != b).sum())
        return f"{count} of {a.size} values differ" if count else None
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))
    both = np.isnan(a) & np.isnan(b)
    wrong = ~both & ~(gap <= tolerance)
    count = int(wrong.sum())
    if not count:
        return None
    return f"{count} of {a.size} values differ, by up to {np.max(gap[wrong]):.6g}"


def _archives(a: Path, b: Path) -> Iterator[Difference]:
    with np.load(a, allow_pickle=False) as left, np.load(b, allow_pickle=False) as right:
        for name in sorted({*left.files, *right.files}):
            if name not in left.files or name not in right.files:
                yield Difference(name, f"is missing in {a if name not in left.files else b}")
            else:
                yield from _given(name, array_difference(left[name], right[name], ARRAY_TOLERANCE))


def _array(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _values(where: str, a: Any, b: Any) -> Iterator[Difference]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            inner = f"{where}.{key}".lstrip(".")
            if key not in a or key not in b:
                yield Difference(
                    inner, f"is on the {'second' if key not in a else 'first'} side only"
                )
            else:
                yield from _values(inner, a[key], b[key])
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from _values(f"{where}[{i}]", left, right)
    elif not _same(a, b):
        yield Difference(where, f"{_short(a)}, but {_short(b)}")


def _texts(a: str, b: str) -> Iterator[Difference]:
    left, right = a.splitlines(), b.splitlines()
    if len(left) != len(right):
        yield Difference("", f"{len(left)} lines, but {len(right)}")
        return
    for number, (x, y) in enumerate(zip(left, right, strict=True), 1):
        tokens, others = x.split(), y.split()
        same = len(tokens) == len(others)
        if not (same and all(_same(_number(s), _number(t)) for s, t in zip(tokens, others))):  # noqa: B905
            yield Difference(f"line {number}", f"{_short(x)}, but {_short(y)}")


def _same(a: Any, b: Any) -> bool:
    numbers = (int, float)
    if isinstance(a, numbers) and isinstance(b, numbers):
        both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
        return both_nan or math.isclose(a, b, rel_tol=NUMBER_TOLERANCE, abs_tol=1e-12)
    return type(a) is type(b) and bool(a == b)


def _number(token: str) -> float | str:
    try:
        return float(token)
    except ValueError:
        return token


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _given(where: str, message: str | None) -> Iterator[Difference]:
    if message is not None:
        yield Difference(where, message)
