"""Published window rules: which frames make a training or test sample, in the authors' order.

Many papers publish no list of frames but a rule: the first 150 frames of each test sequence, or
every clip of five frames of all sequences but 40 that a seeded permutation picks. The rules are
data (``splits/windows/``; the README in ``splits/`` says how); `WindowRule.resolve` applies one to
the sequences that there are. Pure: it opens no file of a dataset.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthdata.errors import FormatError, UsageError
from depthdata.splits import Split, list_splits, load_split, published_folder
from depthdata.window_kinds import KINDS, Clip, Listed, draw_positions

if TYPE_CHECKING:
    from depthdata.sequence import Sequence as SequenceFile

__all__ = ["Clip", "Listed", "WindowRule", "list_windows", "load_selection", "load_windows"]

FORMAT = "depthdata.windows"
VERSION = 1

logger = logging.getLogger(__name__)

Images = str | Mapping[str, str]


@dataclass(frozen=True)
class WindowRule:
    """A published rule for windows; made by `load_windows`.

    Attributes
    ----------
    name : str
        ``"dynamic_replica/test_150"``.
    dataset : str
        The source dataset whose sequences it is for.
    source : str
        Where it was published.
    parameters : mapping of str to int
        What the caller may change, as it is set now.
    sequences, windows : mapping
        The rule itself, as in the file: which sequences, then which frames of them.
    images : tuple
        The pictures that the authors use, one after the other: arguments ``image=`` of
        `SequenceDataset`. Not given: ``rgb``.
    repeat : int
        How often the authors repeat the samples in their training mix.
    assumptions : tuple of str
        What the publication leaves open and how it was decided here.

    Examples
    --------
    >>> rule = load_windows("dynamic_replica/test_150", sample_len=2)
    >>> rule.resolve([("a", "test", 5), ("b", "train", 5)])
    (Clip(sequence='a', frames=(0, 1)),)
    """

    name: str
    dataset: str
    source: str
    parameters: Mapping[str, int]
    sequences: Mapping[str, Any]
    windows: Mapping[str, Any]
    images: tuple[Images, ...] = ()
    repeat: int = 1
    assumptions: tuple[str, ...] = ()

    def set(self, **parameters: int) -> WindowRule:
        """Return the rule with other parameters (sample length, seed)."""
        odd = sorted(parameters.keys() - self.parameters.keys())
        if odd:
            raise UsageError(
                f"rule {self.name}: no parameter {', '.join(odd)}; "
                f"it has {', '.join(self.parameters) or 'none'}"
            )
        for key, value in parameters.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise UsageError(f"rule {self.name}: {key} must be a whole number, found {value!r}")
        return replace(self, parameters={**self.parameters, **parameters})

    def describe(self) -> dict[str, Any]:
        """Return all facts as plain data, parameters in their places."""
        return {
            "name": self.name,
            "dataset": self.dataset,
            "source": self.source,
            "parameters": dict(self.parameters),
            "sequences": self._values(self.sequences),
            "windows": self._values(self.windows),
            "images": list(self.images),
            "repeat": self.repeat,
            "assumptions": list(self.assumptions),
        }

    def choose(
        self, sequences: Iterable[Listed | tuple[Any, ...]], *, strict: bool = False
    ) -> tuple[str, ...]:
        """Return the names of the sequences that the rule takes frames of, in its order.

        Parameters and errors are those of `resolve`.
        """
        return tuple(item.name for item in self._choose(sequences, strict))

    def resolve(
        self, sequences: Iterable[Listed | tuple[Any, ...]], *, strict: bool = False
    ) -> tuple[Clip, ...]:
        """Apply the rule.

        Parameters
        ----------
        sequences : iterable of Listed or (name, split, frames)
            ALL sequences of the source: a rule may number them. Those of other parts may be there,
            too. Their order matters only where the rule says ``order: given``.
        strict : bool
            Raise instead of warn where their number is not the published one.

        Returns
        -------
        tuple of Clip
            In the authors' order; frames count from 0.

        Raises
        ------
        UsageError
            No sequence is of the rule, or `strict` and the number differs.
        """
        options = self._values(self.windows)
        make, total = KINDS[options.pop("kind")], options.pop("total", None)
        chosen = self._choose(sequences, strict)
        count = sum(item.frames for item in chosen)
        self._count(count, total, "frames", "draw" in options, strict)
        try:
            return tuple(make(chosen, **options))
        except TypeError as error:
            raise FormatError(f"rule {self.name}: damaged file ({error})") from error

    def resolve_files(
        self, sequences: Iterable[SequenceFile], *, strict: bool = False
    ) -> tuple[Clip, ...]:
        """Apply the rule to opened sequence files; those of other datasets may be among them.

        They are taken in the order of their names: a file does not tell the order of its source.
        Parameters and errors are those of `resolve`.
        """
        given = list(sequences)
        mine = [seq for seq in given if seq.dataset == self.dataset]
        if not mine:
            there = ", ".join(sorted({seq.dataset for seq in given})) or "none"
            raise UsageError(
                f"rule {self.name} is for sequences of {self.dataset}; the {len(given)} files "
                f"given are of: {there}"
            )
        mine.sort(key=lambda seq: seq.name)
        listed = [Listed(seq.name, seq.split, len(seq), seq.frame_ids) for seq in mine]
        clips = self.resolve(listed, strict=strict)
        if not clips:
            lengths = sorted(item.frames for item in listed)
            facts = ", ".join(f"{key}={value}" for key, value in self.parameters.items())
            raise UsageError(
                f"rule {self.name}: no window of {facts or 'its kind'} fits into the {len(listed)} "
                f"sequences, which have {lengths[0]} to {lengths[-1]} frames"
            )
        return clips

    def sequences_of(self, sequences: Iterable[Listed | tuple[Any, ...]]) -> frozenset[str]:
        """Return the names of those sequences that the rule takes; their frames do not matter.

        Examples
        --------
        >>> rule = load_windows("dynamic_replica/test_150")
        >>> sorted(rule.sequences_of([("a", "train", 300), ("b", "test", 300)]))
        ['b']
        """
        return frozenset(item.name for item in self._choose(sequences, strict=False))

    def _values(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Put parameters where the file says ``$name``."""
        values: dict[str, Any] = {}
        for key, value in options.items():
            if isinstance(value, Mapping):
                value = self._values(value)
            elif isinstance(value, str) and value.startswith("$"):
                value = self.parameters[value[1:]]
            values[key] = value
        return values

    def _choose(self, sequences: Iterable[Listed | tuple[Any, ...]], strict: bool) -> list[Listed]:
        rule = self._values(self.sequences)
        given = [Listed(*item) for item in sequences]
        prefix, split, names = rule.get("prefix", ""), rule.get("split"), rule.get("names")
        found = [
            item
            for item in given
            if item.name.startswith(prefix)
            and (split is None or item.split == split)
            and (names is None or item.name in names)
        ]
        if not found:
            what = "" if split is None else f" of part {split!r}"
            what += "" if not prefix else f" with a name that begins {prefix!r}"
            what += "" if names is None else f" named {names[0]}, ..."
            raise UsageError(
                f"rule {self.name}: none of the {len(given)} sequences is one{what}; it is for "
                f"sequences of {self.dataset}"
            )
        if names is not None:
            found.sort(key=lambda item: names.index(item.name))
        elif rule.get("order") != "given":
            found.sort(key=lambda item: item.name)
        self._count(len(found), rule.get("total"), "sequences", "draw" in rule, strict)
        if "draw" in rule:
            drawn, keep = draw_positions(len(found), rule["draw"]), rule["draw"]["keep"]
            found = [item for i, item in enumerate(found) if (i in drawn) == keep]
        return found

    def _count(self, found: int, total: int | None, what: str, drawn: bool, strict: bool) -> None:
        """Compare a number with the published one."""
        if total is None or found == total:
            return
        message = f"rule {self.name}: published for {total} {what}, there are {found}: " + (
            "the permutation is another one, and so is the choice"
            if drawn
            else "the result is not the whole published one"
        )
        if strict:
            raise UsageError(f"{message}; convert all of them, or give strict=False")
        logger.warning("%s", message)


def list_windows(folder: str | Path | None = None) -> tuple[str, ...]:
    """Return the names of all published rules.

    Examples
    --------
    >>> "dynamic_replica/test_150" in list_windows()
    True
    """
    files = sorted(_folder(folder).glob("*/*.json"))
    return tuple(f"{file.parent.name}/{file.stem}" for file in files)


def load_windows(name: str, folder: str | Path | None = None, **parameters: int) -> WindowRule:
    """Load a published rule by name.

    Parameters
    ----------
    name : str
        One of `list_windows`, for example ``"dynamic_replica/train"``.
    folder : path, optional
        Where to look instead of the rules that come with the package.
    **parameters : int
        Other values of its parameters, for example ``sample_len=7``.

    Raises
    ------
    UsageError
        There is no such rule or no such parameter.
    FormatError
        The file is damaged.
    """
    rule = _load(name, _folder(folder))
    return rule.set(**parameters) if parameters else rule


def load_selection(name: str) -> Split | WindowRule:
    """Load what is published under a name: a list of frames or a rule for windows.

    Examples
    --------
    >>> type(load_selection("sintel/all")).__name__
    'WindowRule'
    """
    if name in list_windows():
        return load_windows(name)
    if name in list_splits():
        return load_split(name)
    raise UsageError(
        f"no split list {name!r}; known: {', '.join(list_splits())}; and rules for windows: "
        f"{', '.join(list_windows())}"
    )


@functools.lru_cache(maxsize=64)
def _load(name: str, root: Path) -> WindowRule:
    file = root / f"{name}.json"
    if not re.fullmatch(r"\w+/\w+", name) or not file.is_file():
        known = ", ".join(list_windows(root)) or f"none in {root}"
        raise UsageError(f"no window rule {name!r}; known: {known}")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        version = document["format"], document["version"]
        if version != (FORMAT, VERSION):
            raise FormatError(f"{file}: expected {FORMAT} version {VERSION}, found {version}")
        rule = WindowRule(
            name=str(document["name"]),
            dataset=str(document["dataset"]),
            source=str(document["source"]),
            parameters=dict(document["parameters"]),
            sequences=dict(document["sequences"]),
            windows=dict(document["windows"]),
            images=tuple(document.get("images", ())),
            repeat=int(document.get("repeat", 1)),
            assumptions=tuple(document["assumptions"]),
        )
        if rule.windows["kind"] not in KINDS:
            raise FormatError(f"{file}: no kind of windows {rule.windows['kind']!r} is known")
        rule._values({**rule.sequences, **rule.windows})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{file}: not a window rule ({error!r})") from error
    return rule


def _folder(folder: str | Path | None) -> Path:
    return Path(folder) if folder is not None else published_folder() / "windows"
