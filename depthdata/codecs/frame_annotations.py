"""Frame annotations of Dynamic Replica: a gzip file with one long JSON list of frame objects.

The list of the train split has 290,000 objects, hundreds of MB of text. It is read as a stream: at
any moment a piece of the text and one object are in memory.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from depthdata.errors import FormatError

__all__ = ["DEFAULT_FORMAT", "Annotated", "FrameAnnotation", "annotated_objects", "parse_frame"]

_PIECE = 1 << 18
_LARGEST = 1 << 22
_BLANK = " \t\r\n"
DEFAULT_FORMAT = "ndc_norm_image_bounds"
"""Of intrinsics, where a frame object does not say."""


class Annotated(NamedTuple):
    """One frame object of a file.

    Attributes
    ----------
    number : int
        Its place in the list, from 0.
    text : str
        As it stands in the file.
    value : dict
        Its content.
    """

    number: int
    text: str
    value: dict[str, Any]


@dataclass(frozen=True)
class FrameAnnotation:
    """What a frame object says; what it leaves out is None.

    Attributes
    ----------
    sequence, camera : str
    number : int
    image : str
        Path relative to the folder of the annotation, as all others.
    R : 3 rows of 3 floats
        X_cam = X_world R + T with rows as vectors; camera axes x left, y up, z forward.
    T : 3 floats
    focal_length, principal_point : 2 floats
        NDC.
    intrinsics_format : str
        Lower case.
    seconds : float, optional
    size : (height, width), optional
    depth, mask, instances, trajectories : str, optional
    flow_forward, flow_forward_mask, flow_backward, flow_backward_mask : str, optional
    """

    sequence: str
    camera: str
    number: int
    image: str
    R: tuple[tuple[float, ...], ...]
    T: tuple[float, ...]
    focal_length: tuple[float, ...]
    principal_point: tuple[float, ...]
    intrinsics_format: str = DEFAULT_FORMAT
    seconds: float | None = None
    size: tuple[int, int] | None = None
    depth: str | None = None
    mask: str | None = None
    instances: str | None = None
    flow_forward: str | None = None
    flow_forward_mask: str | None = None
    flow_backward: str | None = None
    flow_backward_mask: str | None = None
    trajectories: str | None = None


def annotated_objects(path: str | Path) -> Iterator[Annotated]:
    """Yield the objects of a ``.jgz`` file one after another.

    Raises
    ------
    FormatError
        It cannot be read, is cut or damaged, or is no list of JSON objects: one line that says
        where.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "frame_annotations_test.jgz"
    >>> _ = path.write_bytes(gzip.compress(b'[{"frame_number": 0}, {"frame_number": 1}]'))
    >>> [item.value["frame_number"] for item in annotated_objects(path)]
    [0, 1]
    """
    text = _Window(path)
    text.expect("[", "a JSON list of frame objects")
    number = 0
    while text.next_is_item(first=number == 0):
        value, source = text.object(number)
        yield Annotated(number, source, value)
        number += 1
    text.expect_end()


def parse_frame(value: Mapping[str, Any], where: str) -> FrameAnnotation:
    """Take over what a frame object says. Unknown keys are ignored, paths may be text or objects.

    Parameters
    ----------
    value : mapping
        Of `Annotated`.
    where : str
        File and place, for messages.

    Raises
    ------
    FormatError
        A key that is needed is missing, or a value is of another type.
    """
    fields = _Fields(value, where)
    view = fields.object("viewpoint", required=True)
    image = fields.object("image", required=True)
    size = image.value.get("size")
    return FrameAnnotation(
        sequence=fields.text("sequence_name"),
        camera=fields.text("camera_name"),
        number=fields.integer("frame_number"),
        seconds=fields.number("frame_timestamp"),
        size=None if size is None else _size(size, image),
        image=image.text("path"),
        depth=fields.path("depth"),
        mask=fields.path("mask"),
        instances=fields.path("instance_id_map_path"),
        flow_forward=fields.path("flow_forward"),
        flow_forward_mask=fields.path("flow_forward_mask"),
        flow_backward=fields.path("flow_backward"),
        flow_backward_mask=fields.path("flow_backward_mask"),
        trajectories=fields.path("trajectories"),
        R=tuple(_floats(row, 3, view, "R") for row in _rows(view)),
        T=_floats(view.value.get("T"), 3, view, "T"),
        focal_length=_floats(view.value.get("focal_length"), 2, view, "focal_length"),
        principal_point=_floats(view.value.get("principal_point"), 2, view, "principal_point"),
        intrinsics_format=(
            view.text("intrinsics_format").lower()
            if view.value.get("intrinsics_format") is not None
            else DEFAULT_FORMAT
        ),
    )


class _Window:
    """A piece of the text that moves on; positions are counted in characters from the start."""

    def __init__(self, path: str | Path) -> None:
        self._path, self._pieces = path, _pieces(path)
        self._text, self._at, self._before = "", 0, 0
        self._decode = json.JSONDecoder().raw_decode

    def expect(self, character: str, what: str) -> None:
        found = self._next()
        if found != character:
            self._fail(f"expected {what}, found {found!r}" if found else f"expected {what}")
        self._at += 1

    def next_is_item(self, *, first: bool) -> bool:
        """Step over the comma before an item, or over the bracket that ends the list."""
        found = self._next()
        if found == "]":
            self._at += 1
            return False
        if first:
            return True
        if found != ",":
            self._fail(f"expected a comma or ']', found {found!r}" if found else "the text is cut")
        self._at += 1
        return True

    def object(self, number: int) -> tuple[dict[str, Any], str]:
        """Return the object that begins here and its text."""
        if self._next() != "{":
            self._fail(f"frame object {number}: expected an object, found {self._next()!r}")
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                break
            except RecursionError:
                self._fail(f"frame object {number}: nested too deeply")
            except ValueError as error:
                whole = len(self._text) - self._at > _LARGEST or not self._more()
                if whole:
                    reason = getattr(error, "msg", str(error))
                    self._at = getattr(error, "pos", self._at)
                    self._fail(f"frame object {number}: {reason}")
        text = self._text[self._at : end]
        self._at = end
        return value, text

    def expect_end(self) -> None:
        found = self._next()
        if found:
            self._fail(f"expected the end after the list, found {found!r}")

    def _next(self) -> str:
        """Return the next character that is not blank, or nothing at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        piece = next(self._pieces, "")
        self._before += self._at
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def _fail(self, what: str) -> NoReturn:
        raise FormatError(
            f"{self._path}, character {self._before + self._at}: {what}; unpack it again"
        )


def _pieces(path: str | Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    try:
        with Path(path).open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
            while data := file.read(_PIECE):
                read += len(data)
                if text := decoder.decode(data):
                    yield text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: no UTF-8 before byte {read} of its text: {error}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(
            f"{path}: the gzip file is cut or damaged after {read} bytes of text ({error}); "
            "unpack it again"
        ) from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from error


class _Fields:
    """A JSON object whose values are taken with a check of their type."""

    def __init__(self, value: Mapping[str, Any], where: str) -> None:
        self.value, self.where = value, where

    def text(self, key: str) -> str:
        found = self._required(key)
        if not isinstance(found, str) or not found:
            self.fail(key, "text", found)
        return found

    def integer(self, key: str) -> int:
        found = self._required(key)
        if type(found) is not int or not 0 <= found < 1 << 31:
            self.fail(key, "a whole number from 0 on", found)
        return found

    def number(self, key: str) -> float | None:
        found = self.value.get(key)
        if found is None:
            return None
        return _float(found, self, key, most=9e9)  # so that nanoseconds fit into 64 bits

    def object(self, key: str, *, required: bool = False) -> _Fields:
        found = self._required(key) if required else self.value.get(key)
        if not isinstance(found, dict):
            self.fail(key, "an object", found)
        return _Fields(found, f"{self.where}, {key}")

    def path(self, key: str) -> str | None:
        """Return a path: text, an object with ``path``, or null."""
        found = self.value.get(key)
        if isinstance(found, dict):
            found = found.get("path")
        if found is None:
            return None
        if not isinstance(found, str) or not found:
            self.fail(key, "text, an object with a path, or null", found)
        return found

    def fail(self, key: str, expected: str, found: Any) -> NoReturn:
        shown = "null" if found is None else f"{type(found).__name__} {str(found)[:40]!r}"
        raise FormatError(f"{self.where}: {key}: expected {expected}, found {shown}")

    def _required(self, key: str) -> Any:
        if self.value.get(key) is None:
            raise FormatError(f"{self.where}: {key} is missing")
        return self.value[key]


def _rows(view: _Fields) -> list[Any]:
    found = view.value.get("R")
    if not isinstance(found, list) or len(found) != 3:
        view.fail("R", "3 rows of 3 numbers", found)
    return found


def _floats(found: Any, count: int, fields: _Fields, key: str) -> tuple[float, ...]:
    if not isinstance(found, list) or len(found) != count:
        fields.fail(key, f"{count} numbers", found)
    return tuple(_float(item, fields, key) for item in found)


def _float(found: Any, fields: _Fields, key: str, most: float = 1e30) -> float:
    if type(found) not in (int, float) or not abs(found) <= most:
        fields.fail(key, f"a number up to {most:g}", found)
    return float(found)


def _size(found: Any, image: _Fields) -> tuple[int, int]:
    if (
        not isinstance(found, list)
        or len(found) != 2
        or not all(type(n) is int and n > 0 for n in found)
    ):
        image.fail("size", "[height, width]", found)
    return found[0], found[1]
