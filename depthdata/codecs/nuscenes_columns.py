"""Columns of nuScenes tables: rows of JSON checked and turned into arrays, tokens into numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from depthdata.codecs.json_rows import json_rows
from depthdata.errors import FormatError

__all__ = ["Batch", "Texts", "TokenIndex", "batches", "grown", "lookup"]

Tokens = npt.NDArray[np.bytes_]
Ints = npt.NDArray[np.int32]

_MIX = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)
_ATTRIBUTES = 64


class TokenIndex:
    """Finds the row that has a token.

    Parameters
    ----------
    tokens : (n,) bytes
    table : str
        For messages.
    folder : Path, optional
        For messages.
    repeats : bool
        Whether a token may be there several times; one of its rows is found then.

    Examples
    --------
    >>> TokenIndex(np.array([b"x", b"y"]), "sensor").find(np.array([b"y", b"z", b""]))
    array([ 1, -1, -1], dtype=int32)
    """

    def __init__(
        self, tokens: Tokens, table: str, folder: Path | None = None, *, repeats: bool = False
    ) -> None:
        self.tokens, self.table = tokens, table
        self._hashed = True
        keys: npt.NDArray[Any] = _hashes(tokens)
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        if (tokens[order[same]] != tokens[order[same + 1]]).any():  # sort by the tokens themselves
            self._hashed, keys = False, tokens
            order = np.argsort(keys, kind="stable")
            same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        if same.size and not repeats:
            first, second = order[same[0]], order[same[0] + 1]
            where = table if folder is None else f"{folder / table}.json"
            raise FormatError(
                f"{where}: rows {first} and {second}, field token: both are "
                f"{tokens[first].decode()!r}; a token names one row"
            )
        self._keys, self._order = keys[order], order.astype(np.int32)

    def find(self, wanted: Tokens) -> Ints:
        """Return the row of each token, -1 where there is none; int32."""
        if not len(self.tokens):
            return np.full(len(wanted), -1, np.int32)
        keys = _hashes(wanted) if self._hashed else wanted
        place = np.searchsorted(self._keys, keys)
        found = self._order[np.minimum(place, len(self._order) - 1)]
        return np.where(self.tokens[found] == wanted, found, np.int32(-1))


def _hashes(tokens: Tokens) -> npt.NDArray[np.uint64]:
    """Whole numbers that are equal for equal tokens, and nearly always only for those."""
    words = max(1, -(-tokens.dtype.itemsize // 8))
    padded = np.ascontiguousarray(tokens.astype(f"S{8 * words}"))
    numbers = padded.view(np.uint64).reshape(len(tokens), words)
    total = np.zeros(len(tokens), np.uint64)
    for k in range(words):  # a word of zeros adds nothing: the width does not matter
        total += numbers[:, k] * (_MIX[k % 4] + np.uint64(2 * (k // 4)))
    return total


class Texts:
    """Many short texts in one block of memory."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends = array("q", [0])

    def extend(self, texts: Iterable[str]) -> None:
        """Append texts."""
        end = len(self._data)
        coded = [text.encode() for text in texts]
        for text in coded:
            end += len(text)
            self._ends.append(end)
        self._data += b"".join(coded)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, k: int) -> str:
        return self._data[self._ends[k] : self._ends[k + 1]].decode()


@dataclass(frozen=True)
class Batch:
    """Some rows of a table; `numbers` (n,) are their places in it."""

    path: Path
    rows: Sequence[dict[str, Any]]
    numbers: npt.NDArray[np.int64]

    def chosen(self, which: npt.NDArray[np.intp]) -> Batch:
        """Return some of the rows."""
        return Batch(self.path, [self.rows[k] for k in which], self.numbers[which])

    def texts(self, field: str) -> list[str]:
        """Return a column of texts."""
        column = self._column(field)
        self._typed(field, column, {str}, "a text")
        return column

    def tokens(self, field: str) -> Tokens:
        """Return a column of tokens; empty ones name nothing."""
        column = self.texts(field)
        try:
            return np.array(column, np.bytes_)
        except UnicodeEncodeError:
            k = next(k for k, text in enumerate(column) if not text.isascii())
            raise self._wrong(k, field, "a token in ASCII", column[k]) from None

    def references(self, field: str, index: TokenIndex, *, optional: bool = False) -> Ints:
        """Return the rows of another table that a column names."""
        wanted = self.tokens(field)
        found = index.find(wanted)
        absent = (found < 0) & (wanted != b"") if optional else found < 0
        if absent.any():
            k = int(absent.argmax())
            raise FormatError(
                f"{self.path}: row {self.numbers[k]}, field {field}: no row of {index.table} has "
                f"the token {wanted[k].decode()!r}"
            )
        return found

    def integers(self, field: str) -> npt.NDArray[np.int64]:
        """Return a column of whole numbers."""
        column = self._column(field)
        self._typed(field, column, {int}, "a whole number")
        try:
            return np.array(column, np.int64)
        except OverflowError:
            k = next(k for k, value in enumerate(column) if abs(value) >= 1 << 63)
            raise self._wrong(k, field, "a number of 64 bits", column[k]) from None

    def flags(self, field: str) -> npt.NDArray[np.bool_]:
        """Return a column of truth values."""
        column = self._column(field)
        self._typed(field, column, {bool}, "true or false")
        return np.array(column, np.bool_)

    def vectors(self, field: str, width: int) -> npt.NDArray[np.float64]:
        """Return a column of lists of finite numbers, (n, width)."""
        column = self._column(field)
        values = self._numbers(column, width)
        if values is None:
            k = next(k for k, value in enumerate(column) if self._numbers([value], width) is None)
            raise self._wrong(k, field, f"{width} finite numbers", column[k])
        return values

    def poses(self) -> npt.NDArray[np.float64]:
        """Return the columns rotation (w x y z, not all 0) and translation, (n, 7)."""
        rotation = self.vectors("rotation", 4)
        zero = ~(rotation * rotation).sum(axis=1).astype(bool)
        if zero.any():
            k = int(zero.argmax())
            raise self._wrong(k, "rotation", "a quaternion that is not 0", rotation[k].tolist())
        return np.concatenate([rotation, self.vectors("translation", 3)], axis=1)

    def intrinsics(self, field: str) -> npt.NDArray[np.float64]:
        """Return a column of 3x3 matrices, (n, 3, 3); NaN where the list is empty."""
        out = np.full((len(self.rows), 3, 3), np.nan)
        for k, value in enumerate(self._column(field)):
            if value != []:
                rows = None if type(value) is not list else self._numbers(value, 3)
                if rows is None or rows.shape != (3, 3):
                    raise self._wrong(k, field, "a 3x3 matrix or []", value)
                out[k] = rows
        return out

    def bits(self, field: str, index: TokenIndex) -> npt.NDArray[np.uint64]:
        """Return a column of lists of tokens as bits: bit k for row k of the other table."""
        column = self._column(field)
        self._typed(field, column, {list}, "a list of tokens")
        counts = [len(value) for value in column]
        flat = list(chain.from_iterable(column))
        owner = np.repeat(np.arange(len(column)), counts)
        inner = Batch(self.path, [{field: token} for token in flat], self.numbers[owner])
        number = inner.references(field, index) if flat else np.zeros(0, np.int32)
        if len(index.tokens) > _ATTRIBUTES:
            raise FormatError(f"{self.path}: more than {_ATTRIBUTES} rows in {index.table}")
        out = np.zeros(len(column), np.uint64)
        np.bitwise_or.at(out, owner, np.uint64(1) << number.astype(np.uint64))
        return out

    @staticmethod
    def _numbers(column: list[Any], width: int) -> npt.NDArray[np.float64] | None:
        """Return lists of numbers as an array, or None if one is something else."""
        if set(map(type, column)) - {list} or set(map(len, column)) - {width}:
            return None
        flat = list(chain.from_iterable(column))
        if set(map(type, flat)) - {int, float}:
            return None
        try:
            values = np.array(flat, np.float64).reshape(-1, width)
        except OverflowError:
            return None
        return values if np.isfinite(values).all() else None

    def _column(self, field: str) -> list[Any]:
        try:
            return [row[field] for row in self.rows]
        except KeyError:
            k = next(k for k, row in enumerate(self.rows) if field not in row)
            raise FormatError(
                f"{self.path}: row {self.numbers[k]}: field {field} is missing; found "
                f"{', '.join(self.rows[k]) or 'none'}"
            ) from None

    def _typed(self, field: str, column: list[Any], types: set[type], what: str) -> None:
        if set(map(type, column)) - types:
            k = next(k for k, value in enumerate(column) if type(value) not in types)
            raise self._wrong(k, field, what, column[k])

    def _wrong(self, k: int, field: str, expected: str, found: object) -> FormatError:
        return FormatError(
            f"{self.path}: row {self.numbers[k]}, field {field}: expected {expected}, found "
            f"{repr(found)[:60]}"
        )


def batches(folder: Path, table: str) -> Iterator[Batch]:
    """Yield the rows of a table."""
    path = folder / f"{table}.json"
    first = 0
    for rows in json_rows(path):
        yield Batch(path, rows, np.arange(first, first + len(rows)))
        first += len(rows)


def lookup(
    index: TokenIndex,
    wanted: Tokens,
    folder: Path,
    table: str,
    field: str,
    rows: npt.NDArray[np.int64] | None = None,
) -> Ints:
    """Return the rows of a column of tokens, -1 where it is empty; `rows` are for the message."""
    found = index.find(wanted)
    absent = (found < 0) & (wanted != b"")
    if absent.any():
        k = int(absent.argmax())
        raise FormatError(
            f"{folder / table}.json: row {k if rows is None else rows[k]}, field {field}: no row "
            f"of {index.table} has the token {wanted[k].decode()!r}"
        )
    return found


@overload
def grown(parts: Sequence[npt.NDArray[Any]]) -> Tokens: ...
@overload
def grown(
    parts: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike, *shape: int
) -> npt.NDArray[Any]: ...
def grown(
    parts: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike = "S1", *shape: int
) -> npt.NDArray[Any]:
    """Join the parts of a column; `dtype` and `shape` of a row count where there is none.

    A list of parts is emptied, so that a long column is not in memory twice for long.
    """
    if not len(parts):
        return np.zeros((0, *shape), dtype)
    whole = np.concatenate(parts)
    if isinstance(parts, list):
        parts.clear()
    return whole
