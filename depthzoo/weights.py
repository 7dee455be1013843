"""Weights files: read without running anything, checked key by key, kept as safetensors.

A published ``.pth`` is a pickle, which may run code when it is read. Here it is read by PyTorch's
restricted unpickler, which knows tensors and what the caller allows, and nothing else. What was
read is kept as safetensors under the SHA-256 of the original, so that the pickle is read once.

Wrappers that training leaves around the tensors are taken off: entries ``model`` and
``state_dict``, the ``module.`` of a data-parallel model, the leading digit of a model that was
saved in one sequence with its loss (the model is ``0.``; the others are dropped).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import re
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor, nn

from depthdata.errors import FormatError, UsageError

__all__ = [
    "Checkpoint",
    "KeyReport",
    "cache_folder",
    "compare_keys",
    "load_checkpoint",
    "load_state",
]

logger = logging.getLogger(__name__)

Plain = bool | int | float | str | None

_ANYTHING = "*"  # of what a file may name
_MOST_NAMES = 64  # that a file may then have
_PREFIX = "module."  # left by a data-parallel wrapper
_MEMBER = re.compile(r"\d\.")  # left by a sequence of model and losses


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors of a weights file.

    Parameters
    ----------
    state : dict
        Key to tensor, on the CPU, without the prefix of a data-parallel wrapper.
    sha256 : str
        Of the file that was given.
    path : Path
        That file.
    extra : dict
        Further entries beside the tensors: numbers, texts and truth values as they are, None for
        anything else (``epoch``, ``height``, ``optimizer`` ...).
    cached : bool
        The tensors came from the cache.
    """

    state: dict[str, Tensor]
    sha256: str
    path: Path
    extra: Mapping[str, Plain] = field(default_factory=dict)
    cached: bool = False


@dataclass(frozen=True)
class KeyReport:
    """How a state fits a network."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when every key has its tensor and nothing is left over."""
        return not (self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        """Return one line: kinds of differences, how many, the first few keys of each."""
        kinds = (("missing", self.missing), ("unexpected", self.unexpected), ("shape", self.shapes))
        parts = [f"{len(keys)} {kind} ({_shortened(keys)})" for kind, keys in kinds if keys]
        return "; ".join(parts) if parts else "all keys fit"


def load_checkpoint(
    path: str | Path,
    *,
    allow: Sequence[Any] = (),
    member: str | None = None,
    sha256: str | None = None,
    cache: bool = True,
) -> Checkpoint:
    """Read a weights file without running anything in it.

    Parameters
    ----------
    path : path
        A PyTorch file, a safetensors file, a zip archive or a folder that holds `member`.
    allow : sequence
        What this very file may name beyond tensors: classes, which are then built, or dotted names
        (``"utils.parse_config.ConfigParser"``), in whose place stands an object without content;
        ``"*"`` puts such an object in the place of whatever it names.
    member : str, optional
        File name inside a given archive or folder.
    sha256 : str, optional
        Expected digest, or its beginning, of the weights file (not of an archive around it).
    cache : bool
        Keep the tensors as safetensors and read those next time.

    Raises
    ------
    UsageError
        No such file.
    FormatError
        Cut short or damaged; not a weights file; asks for code; another file than the digest says.
    """
    path = Path(path)
    if path.is_dir():
        path = _member_of_folder(path, member)
    if not path.is_file():
        raise UsageError(f"no weights file {path}; give the path of a downloaded file")
    with path.open("rb") as file:
        inside = _member_of_archive(path, member) if member else None
        if inside is None:
            return _read(file, path, allow, sha256, cache)
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as spooled:
        try:
            with archive.open(inside) as source:
                while block := source.read(1 << 20):
                    spooled.write(block)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise FormatError(f"{path}: {inside} is damaged ({error}); download it again") from None
        return _read(spooled, path, allow, sha256, cache)


def _read(
    file: IO[bytes], path: Path, allow: Sequence[Any], sha256: str | None, cache: bool
) -> Checkpoint:
    file.seek(0)
    digest = _digest(file)
    if sha256 is not None and not digest.startswith(sha256.lower()):
        raise FormatError(
            f"{path}: SHA-256 expected {sha256}, found {digest}; download the file again"
        )
    kept = cache_folder() / "weights" / f"{digest}.safetensors"
    if cache and (known := _from_cache(kept)) is not None:
        return Checkpoint(known[0], digest, path, known[1], cached=True)
    file.seek(0)
    head = file.read(9)
    file.seek(0)
    if head[8:9] == b"{":
        return Checkpoint(_unwrapped(_read_safetensors(path, file)), digest, path)
    if not head.startswith((b"PK\x03\x04", b"\x80")):
        raise FormatError(f"{path}: neither a PyTorch nor a safetensors file; give a weights file")
    state, extra = _state_of(_unpickle(path, file, allow), path)
    if cache:
        _to_cache(kept, state, extra)
    return Checkpoint(state, digest, path, extra)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _unpickle(path: Path, file: IO[bytes], allow: Sequence[Any]) -> object:
    known = [_allowed(entry) for entry in allow if entry != _ANYTHING]
    try:
        return _restricted_load(file, known, _MOST_NAMES if _ANYTHING in allow else 0)
    except pickle.UnpicklingError as error:
        wanted = _forbidden_name(str(error))
        if wanted:
            raise FormatError(
                f"{path}: refused, nothing was run: the file asks for {wanted}, "
                "which weights do not need; use the file its authors publish"
            ) from None
        raise FormatError(f"{path}: damaged or not a weights file; download it again") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError) as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0][:120]
        raise FormatError(f"{path}: cut short or damaged ({reason}); download it again") from None


def _restricted_load(file: IO[bytes], known: list[Any], more: int) -> object:
    """Load a file; at most so many more names that it asks for become inert, one a try."""
    file.seek(0)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(known):
            warnings.simplefilter("ignore")  # about pickle protocols
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = _forbidden_name(str(error))
        entry = _allowed(wanted)
        met = {name for _, name in (k for k in known if isinstance(k, tuple))}
        if not more or wanted is None or "." not in wanted or wanted in met:
            raise
    return _restricted_load(file, [*known, entry], more - 1)


def _forbidden_name(message: str) -> str | None:
    """Return what the restricted unpickler refused, out of its message."""
    for mark in (
        "Unsupported global: GLOBAL ",
        "Unsupported class ",
        "Trying to load unsupported GLOBAL ",
        "Trying to load unsupported ",
    ):
        _, found, rest = message.partition(mark)
        if found:
            return rest.split()[0].rstrip(".,")
    if "Unsupported operand" in message or "REDUCE" in message or "instruction" in message:
        return "an operation"
    return None


class _Inert:
    """Stands in for an object that weights do not need: takes everything, keeps nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _allowed(entry: Any) -> Any:
    # a class of its own a name: the unpickler tells what it may build by class
    return (type("Inert", (_Inert,), {}), entry) if isinstance(entry, str) else entry


def _state_of(content: object, path: Path) -> tuple[dict[str, Tensor], dict[str, Plain]]:
    """Return the mapping of tensors in what a file holds, and the rest."""
    extra: dict[str, Plain] = {}
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            extra |= {str(k): _plain(v) for k, v in content.items() if k != wrapper}
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise FormatError(f"{path}: a mapping of tensors expected, found {type(content).__name__}")
    others = {key: value for key, value in content.items() if not isinstance(value, Tensor)}
    strange = [key for key, value in others.items() if _plain(value) is None]
    if strange or len(others) == len(content):
        raise FormatError(
            f"{path}: {len(others)} entries are no tensors "
            f"({_shortened(map(str, strange or others))}); "
            "a state dict expected, bare or under 'model' or 'state_dict'"
        )
    extra |= {str(key): _plain(value) for key, value in others.items()}
    tensors = {str(k): v.detach().contiguous() for k, v in content.items() if k not in others}
    return _unwrapped(tensors), dict(sorted(extra.items()))


def _plain(value: object) -> Plain:
    return value if isinstance(value, (bool, int, float, str)) else None


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if all(key.startswith(_PREFIX) for key in state):
        state = {key.removeprefix(_PREFIX): value for key, value in state.items()}
    if all(_MEMBER.match(key) for key in state) and any(key.startswith("0.") for key in state):
        state = {key[2:]: value for key, value in state.items() if key.startswith("0.")}
    return state


def _read_safetensors(path: Path, file: IO[bytes]) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load(file.read())
    except (SafetensorError, ValueError) as error:
        raise FormatError(f"{path}: cut short or damaged ({error}); download it again") from None
    return state


def _member_of_folder(folder: Path, member: str | None) -> Path:
    found = sorted(folder.rglob(member)) if member else []
    if not found:
        wanted = member or "a file: a folder was given"
        raise UsageError(f"{folder}: expected {wanted}; give the path of the weights file")
    return found[0]


def _member_of_archive(path: Path, member: str) -> str | None:
    """Name of the member in an archive; None when the file itself is the weights."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return None  # a PyTorch file is a zip too
    found = [name for name in names if name.split("/")[-1] == member]
    if not found:
        raise UsageError(f"{path}: the archive has no {member}; it has {_shortened(names)}")
    return found[0]


# ---------------------------------------------------------------- cache


def cache_folder() -> Path:
    """Folder of converted weights: ``DEPTHZOO_CACHE``, or the platform's place for caches."""
    named = os.environ.get("DEPTHZOO_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "depthzoo"


def _from_cache(path: Path) -> tuple[dict[str, Tensor], dict[str, Plain]] | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            extra = json.loads((file.metadata() or {}).get("extra", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, extra  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        logger.warning("cached weights %s are damaged (%s): converting again", path, error)
        return None


def _to_cache(path: Path, state: Mapping[str, Tensor], extra: Mapping[str, Plain]) -> None:
    """Write whole or not at all; a cache that cannot be written is no failure."""
    own = {key: value.clone() for key, value in state.items()}  # aliases would share memory
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(own, part, {"extra": json.dumps(extra)})
        part.replace(path)
    except OSError as error:
        logger.warning("weights are not cached: %s", error)
        with suppress(OSError):
            part.unlink(missing_ok=True)


# ---------------------------------------------------------------- keys


def compare_keys(
    network: nn.Module, state: Mapping[str, Tensor], ignore: Sequence[str] = ()
) -> KeyReport:
    """Compare the keys and shapes of a state with those of a network.

    Parameters
    ----------
    network : Module
        Says what is expected.
    state : mapping
        Key to tensor.
    ignore : sequence of str
        Patterns (``*`` and ``?``) of keys that may be missing or left over.
    """
    expected = network.state_dict()

    def passed(key: str) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in ignore)

    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key}: file {_shape(state[key])}, network {_shape(value)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    return KeyReport(
        missing=tuple(key for key in missing if not passed(key)),
        unexpected=tuple(key for key in unexpected if not passed(key)),
        shapes=tuple(shapes),
        ignored=tuple(key for key in (*missing, *unexpected) if passed(key)),
    )


def load_state(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    ignore: Sequence[str] = (),
    source: str | Path = "the weights",
) -> KeyReport:
    """Copy a state into a network; every key must fit.

    Parameters
    ----------
    network, state, ignore
        As in `compare_keys`.
    source : str or path
        What to call the state in an error.

    Raises
    ------
    FormatError
        One line that lists the differences by key. The network is left as it was.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(2, 1)
    >>> load_state(layer, {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}).ok
    True
    """
    report = compare_keys(network, state, ignore)
    if not report.ok:
        name = type(network).__name__
        raise FormatError(
            f"{source} does not fit {name}: {report}; choose the model these weights belong to"
        )
    ignored = set(report.ignored)
    network.load_state_dict({k: v for k, v in state.items() if k not in ignored}, strict=False)
    return report


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _shortened(keys: Iterable[str], most: int = 3) -> str:
    listed = list(keys)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
