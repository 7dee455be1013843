"""Published split lists: which frames a paper trained or tested on, in the order it published.

The lists live in ``splits/`` as compact JSON (its README says how) and are expanded on use; the
SHA-256 of the expanded list is checked every time, so a list is the published one or an error.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, UsageError

__all__ = ["Split", "SplitEntry", "list_splits", "load_split"]

FORMAT = "depthdata.split"
VERSION = 1
_CSV_HEADER = "sequence,camera,frame\n"


class SplitEntry(NamedTuple):
    """One line of a split list."""

    sequence: str
    camera: str
    frame: int


@dataclass(frozen=True, eq=False)
class Split:
    """A list of (sequence, camera, frame) in its published order.

    Attributes
    ----------
    name : str
        ``"<list>/<part>"``, for example ``"eigen_zhou/test"``.
    groups : tuple of (sequence, camera)
        The distinct pairs that occur, sorted.
    group : int array, (n,)
        Which of `groups` each line belongs to.
    frame : int array, (n,)
        The frame number of each line; `frame_refers_to` says what it counts.
    sha256 : str
        SHA-256 of `as_csv()`.
    source : str
        Where the list was published.
    frame_refers_to : {"frame_id", "index"}
        ``"frame_id"``: the number in the source's own file name. ``"index"``: the position in the
        sequence, from 0.
    texts : mapping
        The authors' own text files that `as_text` can write, by the name of the project.

    Examples
    --------
    >>> split = load_split("eigen_zhou/test")
    >>> len(split), split[0]
    (697, SplitEntry(sequence='2011_09_26_drive_0002_sync', camera='left', frame=69))
    >>> split.as_text("dynamo_depth").splitlines()[0]
    '2011_09_26/2011_09_26_drive_0002_sync 0000000069 l'
    """

    name: str
    groups: tuple[tuple[str, str], ...]
    group: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    sha256: str
    source: str = ""
    frame_refers_to: str = "index"
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def from_entries(
        cls,
        name: str,
        entries: Iterable[tuple[str, str, int]],
        *,
        source: str = "",
        frame_refers_to: str = "index",
        texts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Split:
        """Make a split of one's own from (sequence, camera, frame) triples.

        Examples
        --------
        >>> len(Split.from_entries("mine", [("a", "front", 3), ("a", "front", 5)]))
        2
        """
        if frame_refers_to not in ("index", "frame_id"):
            raise UsageError(
                f"split {name}: frame_refers_to must be 'index' or 'frame_id', "
                f"found {frame_refers_to!r}"
            )
        rows = [(str(s), str(c), int(f)) for s, c, f in entries]
        groups = tuple(sorted({(s, c) for s, c, _ in rows}))
        position = {pair: i for i, pair in enumerate(groups)}
        group = np.array([position[s, c] for s, c, _ in rows], dtype=np.int64)
        frame = np.array([f for _, _, f in rows], dtype=np.int64)
        digest = hashlib.sha256(_csv_text(groups, group, frame).encode()).hexdigest()
        return cls(name, groups, group, frame, digest, source, frame_refers_to, texts or {})

    @classmethod
    def from_csv(cls, path: str | Path, name: str | None = None, **facts: Any) -> Split:
        """Read a list in the form that `as_csv` writes (header ``sequence,camera,frame``)."""
        path = Path(path)
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        if not rows or rows[0] != _CSV_HEADER.strip().split(","):
            raise FormatError(
                f"{path}: expected the header '{_CSV_HEADER.strip()}', "
                f"found {','.join(rows[0]) if rows else 'an empty file'!r}"
            )
        for number, row in enumerate(rows[1:], start=2):
            if len(row) != 3 or not row[2].lstrip("-").isdigit():
                raise FormatError(
                    f"{path} line {number}: expected sequence,camera,frame, found {row}"
                )
        return cls.from_entries(
            name or path.stem, [(s, c, int(f)) for s, c, f in rows[1:]], **facts
        )

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, i: int) -> SplitEntry:
        sequence, camera = self.groups[self.group[i]]
        return SplitEntry(sequence, camera, int(self.frame[i]))

    def __iter__(self) -> Iterator[SplitEntry]:
        for g, f in zip(self.group.tolist(), self.frame.tolist(), strict=True):
            sequence, camera = self.groups[g]
            yield SplitEntry(sequence, camera, f)

    def __repr__(self) -> str:
        return f"Split({self.name!r}, {len(self)} frames of {len(self.sequences)} sequences)"

    @property
    def entries(self) -> tuple[SplitEntry, ...]:
        """All lines as (sequence, camera, frame), in published order."""
        return tuple(self)

    @functools.cached_property
    def sequences(self) -> tuple[str, ...]:
        """The distinct sequences, sorted."""
        return tuple(sorted({s for s, _ in self.groups}))

    def filter(self, sequences: Iterable[str] | Callable[[str], bool]) -> Split:
        """Return the lines of some sequences only, in the same order.

        Parameters
        ----------
        sequences : iterable of str, or callable
            The names to keep, or a function that says so.
        """
        if callable(sequences):
            keep_name: Callable[[str], bool] = sequences
        else:
            keep_name = frozenset(sequences).__contains__
        keep = np.array([keep_name(s) for s, _ in self.groups], dtype=bool)[self.group]
        rows = [self[i] for i in np.flatnonzero(keep).tolist()]
        return Split.from_entries(
            self.name, rows, source=self.source, frame_refers_to=self.frame_refers_to
        )

    def as_csv(self) -> str:
        r"""Return the list as CSV text: a header, then one line per frame, ``\n`` at each end."""
        return _csv_text(self.groups, self.group, self.frame)

    def as_text(self, project: str) -> str:
        """Return the text file that the authors of `project` published for this list.

        Raises
        ------
        UsageError
            The text of that project is not known for this list.
        FormatError
            The text does not have the SHA-256 of the published file.
        """
        if project not in self.texts:
            known = ", ".join(sorted(self.texts)) or "none"
            raise UsageError(
                f"split {self.name}: no text file of {project!r} is known; known: {known}"
            )
        line, expected = self.texts[project]["line"], self.texts[project]["sha256"]
        text = "".join(_format_line(line, entry) for entry in self)
        found = hashlib.sha256(text.encode()).hexdigest()
        if found != expected:
            raise FormatError(
                f"split {self.name}: the text of {project} has SHA-256 {found}, expected {expected}"
            )
        return text


def list_splits(folder: str | Path | None = None) -> tuple[str, ...]:
    """Return the names of all published lists.

    Examples
    --------
    >>> "kitti_odom/train" in list_splits()
    True
    """
    root = Path(folder) if folder is not None else published_folder()
    files = sorted(root.glob("*/*.json"))
    return tuple(f"{file.parent.name}/{file.stem}" for file in files)


def load_split(name: str, folder: str | Path | None = None) -> Split:
    """Load a published list by name.

    Parameters
    ----------
    name : str
        One of `list_splits`, for example ``"eigen_zhou/train"``.
    folder : path, optional
        Where to look instead of the lists that come with the package.

    Raises
    ------
    UsageError
        There is no such list.
    FormatError
        The file is damaged: it does not expand to the published list.
    """
    root = Path(folder) if folder is not None else published_folder()
    return _load(name, root)


@functools.lru_cache(maxsize=32)
def _load(name: str, root: Path) -> Split:
    document = _read(name, root)
    target = document
    if "same_as" in document:
        target = _read(document["same_as"], root)
    try:
        groups = tuple((str(s), str(c)) for s, c, _ in target["groups"])
        frames = [parse_ranges(ranges) for _, _, ranges in target["groups"]]
        counts = [len(f) for f in frames]
        group = np.repeat(np.arange(len(groups), dtype=np.int64), counts)
        frame = np.concatenate(frames) if frames else np.empty(0, dtype=np.int64)
        if target["order"] != "sorted":
            order = unpack_order(target["order"], len(frame))
            group, frame = group[order], frame[order]
        expected = str(document["sha256"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(f"split {name} in {root}: damaged file ({error})") from error
    found = hashlib.sha256(_csv_text(groups, group, frame).encode()).hexdigest()
    if found != expected:
        raise FormatError(
            f"split {name} in {root}: expands to a list with SHA-256 {found}, expected {expected}; "
            "restore the file"
        )
    group.flags.writeable = frame.flags.writeable = False
    return Split(
        name,
        groups,
        group,
        frame,
        expected,
        str(document["source"]),
        str(target["frame_refers_to"]),
        document.get("texts", {}),
    )


def _read(name: str, root: Path) -> dict[str, Any]:
    file = root / f"{name}.json"
    if not re.fullmatch(r"\w+/\w+", name) or not file.is_file():
        known = ", ".join(list_splits(root)) or f"none in {root}"
        rule = "; it is a rule for windows: load_windows"
        is_rule = re.fullmatch(r"\w+/\w+", name) and (root / "windows" / f"{name}.json").is_file()
        raise UsageError(f"no split list {name!r}{rule if is_rule else ''}; known: {known}")
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = document["format"], document["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{file}: not a split list ({error})") from error
    if version != (FORMAT, VERSION):
        raise FormatError(f"{file}: expected {FORMAT} version {VERSION}, found {version}")
    return document


def published_folder() -> Path:
    """Return the folder of the lists and rules that come with the package."""
    here = Path(__file__).resolve().parent
    installed = here / "_splits"
    return installed if installed.is_dir() else here.parent / "splits"


def _csv_text(
    groups: tuple[tuple[str, str], ...], group: npt.NDArray[np.int64], frame: npt.NDArray[np.int64]
) -> str:
    heads = [f"{s},{c}," for s, c in groups]
    lines = zip(group.tolist(), frame.tolist(), strict=True)
    return _CSV_HEADER + "".join(f"{heads[g]}{f}\n" for g, f in lines)


def _format_line(line: str, entry: SplitEntry) -> str:
    return (
        line.format(
            sequence=entry.sequence,
            date=entry.sequence[:10],
            frame=entry.frame,
            side=entry.camera[:1],
        )
        + "\n"
    )


def format_ranges(frames: npt.NDArray[np.int64]) -> str:
    """Write ascending frame numbers as runs: ``a``, ``a-b`` or ``a-b/step``.

    Examples
    --------
    >>> format_ranges(np.array([3, 5, 7, 9, 10, 11, 20]))
    '3-9/2 10 11 20'
    """
    runs, i, values = [], 0, frames.tolist()
    while i < len(values):
        j = i
        step = values[i + 1] - values[i] if i + 1 < len(values) else 1
        while j + 1 < len(values) and values[j + 1] - values[j] == step:
            j += 1
        if j - i >= 2:
            runs.append(f"{values[i]}-{values[j]}" + (f"/{step}" if step != 1 else ""))
            i = j + 1
        else:
            runs.append(f"{values[i]}")
            i += 1
    return " ".join(runs)


def parse_ranges(text: str) -> npt.NDArray[np.int64]:
    """Read what `format_ranges` wrote.

    Examples
    --------
    >>> parse_ranges("3-9/2 10 11 20").tolist()
    [3, 5, 7, 9, 10, 11, 20]
    """
    frames: list[int] = []
    for run in text.split():
        span, _, step = run.partition("/")
        first, _, last = span.partition("-")
        frames.extend(range(int(first), int(last or first) + 1, int(step or 1)))
    return np.array(frames, dtype=np.int64)


def pack_order(order: npt.NDArray[np.int64]) -> str:
    """Write a permutation of n as n little-endian numbers of ceil(log2 n) bits, in base 85.

    Examples
    --------
    >>> unpack_order(pack_order(np.array([2, 0, 1])), 3).tolist()
    [2, 0, 1]
    """
    width = _width(len(order))
    bits = (order[:, None] >> np.arange(width)) & 1
    packed = np.packbits(bits.astype(np.uint8).ravel(), bitorder="little")
    return base64.b85encode(packed.tobytes()).decode("ascii")


def unpack_order(text: str, n: int) -> npt.NDArray[np.int64]:
    """Read what `pack_order` wrote for `n` numbers."""
    width = _width(n)
    packed = np.frombuffer(base64.b85decode(text), dtype=np.uint8)
    bits = np.unpackbits(packed, count=n * width, bitorder="little").reshape(n, width)
    order = bits.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    return np.asarray(order, dtype=np.int64)


def _width(n: int) -> int:
    return max(1, (n - 1).bit_length())
