"""A large JSON file that holds one list of objects, read a batch of rows at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depthdata.errors import FormatError, SourceError

__all__ = ["json_rows"]

_BLOCK = 1 << 18
_LONGEST = 1 << 20  # characters of one row; more than that is no row but a damaged file
_GAP = re.compile(r"[ \t\n\r]*")

Row = dict[str, Any]


def json_rows(path: str | Path, block: int = _BLOCK) -> Iterator[list[Row]]:
    """Yield the rows of ``[{...}, {...}]`` in batches; never more than a few blocks in memory.

    Parameters
    ----------
    path : str or Path
    block : int
        Bytes that are read at a time.

    Yields
    ------
    list of dict
        Consecutive rows, at least one.

    Raises
    ------
    SourceError
        The file is missing (`incomplete`) or cannot be read.
    FormatError
        It is cut, or is something else: one line with the row.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "sensor.json"
    >>> _ = path.write_text('[{"token": "a"}, {"token": "b"}]')
    >>> list(json_rows(path))
    [[{'token': 'a'}, {'token': 'b'}]]
    """
    parser = _Parser(str(path))
    try:
        with Path(path).open("rb") as file:
            while data := file.read(block):
                if rows := parser.feed(data):
                    yield rows
    except FileNotFoundError:
        raise SourceError(
            f"{path} is missing; unpack the archive it belongs to again", incomplete=True
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if rows := parser.finish():
        yield rows


class _Parser:
    """Takes bytes, gives the rows that are whole."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._text = ""
        self._rows = 0
        self._expected = "["  # "[" | "{" | "{]" | ",]" | ""
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        decoder = json.JSONDecoder()
        self._parse, self._parse_all = decoder.raw_decode, decoder.decode

    def feed(self, data: bytes, final: bool = False) -> list[Row]:
        """Return the rows that became whole."""
        try:
            text = self._text + self._decode(data, final)
        except UnicodeDecodeError as error:
            raise FormatError(f"{self._where}: row {self._rows}: no UTF-8 text: {error}") from error
        rows: list[Row] = []
        tried = False
        at = _end_of_gap(text, 0)
        while at < len(text):
            sign = text[at]
            if sign not in self._expected:
                wanted = " or ".join(self._expected) or "the end of the file"
                raise self._broken(f"expected {wanted}, found {text[at : at + 20]!r}")
            if sign == "{":
                if not tried and (several := self._several(text, at)):
                    tried = True
                    rows += several
                    self._rows += len(several)
                    at, self._expected = text.rindex("},") + 1, ",]"
                    continue
                tried = True
                try:
                    row, at = self._parse(text, at)
                except (ValueError, RecursionError) as error:
                    if not final and len(text) - at < _LONGEST:
                        break  # the rest of the row is still to come
                    raise self._broken(str(error)) from error
                rows.append(row)
                self._rows += 1
                self._expected = ",]"
            else:
                at += 1
                self._expected = {"[": "{]", ",": "{", "]": ""}[sign]
            at = _end_of_gap(text, at)
        self._text = text[at:]
        return rows

    def _several(self, text: str, at: int) -> list[Row]:
        """Return all rows up to the last ``},`` at once; none where that is within a row."""
        end = text.rfind("},", at) + 1
        if not end:
            return []
        try:
            rows = self._parse_all(f"[{text[at:end]}]")
        except (ValueError, RecursionError):
            return []
        return rows if set(map(type, rows)) == {dict} else []

    def finish(self) -> list[Row]:
        """Return the last rows; refuse a file that is not whole."""
        rows = self.feed(b"", final=True)
        if self._expected:
            raise self._broken("the file is cut")
        return rows

    def _broken(self, why: str) -> FormatError:
        return FormatError(
            f"{self._where}: row {self._rows}: broken JSON: {why}; expected a list of objects; "
            "unpack the file again"
        )


def _end_of_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at
