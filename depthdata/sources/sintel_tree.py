"""Folders of MPI Sintel's archives: which sequences are there, with which files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from depthdata.codecs.sintel_folders import FOLDERS, KINDS, SETS, Kind, frames_in, kind_of
from depthdata.errors import SourceError
from depthdata.sources.card import SequenceSpec

__all__ = ["find_sequences", "fingerprint_parts", "path_of"]

Frames = tuple[str, ...]
Found = dict[str, dict[str, Frames]]  # folder -> sequence -> frames

_PARTS = {"training": "train", "test": "test"}
_OF_STEREO = {kind.folder for kind in KINDS if kind.set == "stereo"} - {"occlusions"}
_OF_FLOW = {kind.folder for kind in KINDS if kind.set == "flow"} - {"occlusions"}


def find_sequences(dataset: str, root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the sequences below a root, sorted by name.

    Parameters
    ----------
    dataset : str
        Our name.
    root : path
        A folder ``training`` or ``test`` by whatever name, the folder that holds it, or a folder
        that holds several such folders.

    Raises
    ------
    SourceError
        There is no sequence with images, something is there twice, or the ``occlusions`` of two
        sets cannot be told apart.
    """
    folder = Path(root).resolve()
    parts = _parts(folder)
    merged: dict[str, dict[str, tuple[str, Frames]]] = {}
    lacking: dict[str, set[str]] = {}
    splits: dict[str, tuple[str, Path]] = {}
    for part, found in parts.items():
        kinds = _kinds(part, found)
        split = _PARTS.get(part.name, "train")
        for name in sorted({name for kind in kinds.values() for name in kind}):
            other = splits.setdefault(name, (split, part))
            if other[0] != split:
                raise SourceError(f"{name} is in {other[1]} and in {part}; remove one")
            own = merged.setdefault(name, {})
            for key, sequences in kinds.items():
                if name not in sequences:
                    lacking.setdefault(name, set()).add(key)
                    continue
                place = (part / kind_of(key).folder / name).relative_to(folder).as_posix()
                if key in own and kind_of(key).stream != "camera":  # two archives have the cameras
                    raise SourceError(
                        f"{folder}: {own[key][0]} and {place} hold the same; remove one"
                    )
                own.setdefault(key, (place, sequences[name]))
    if not any(_has_pictures(kinds) for kinds in merged.values()):
        raise SourceError(_nothing(folder, list(parts)))
    return [
        SequenceSpec(
            dataset,
            name,
            str(folder),
            splits[name][0],
            {
                "kinds": (preferred := _preferred(kinds)),
                "lacking": _not_served(lacking.get(name, set()), preferred),
            },
        )
        for name, kinds in sorted(merged.items())
    ]


def path_of(spec: SequenceSpec, key: str, frame: str) -> Path:
    """Return the file of a kind and a frame."""
    return Path(spec.root, spec.files["kinds"][key][0], f"{frame}{kind_of(key).suffix}")


def fingerprint_parts(spec: SequenceSpec) -> str:
    """Return a digest of all files of a sequence that does not depend on where the parts lie."""
    from depthdata.sources.files import fingerprint_files

    parts: dict[Path, list[str]] = {}
    for key, (place, frames) in spec.files["kinds"].items():
        part, suffix = Path(spec.root, place).parents[1], kind_of(key).suffix
        inside = f"{kind_of(key).folder}/{spec.name}"
        parts.setdefault(part, []).extend(f"{inside}/{frame}{suffix}" for frame in frames)
    digests = sorted(fingerprint_files(part, names) for part, names in parts.items())
    if len(digests) == 1:
        return digests[0]
    import xxhash

    return f"xxh3:{xxhash.xxh3_128_hexdigest(' '.join(digests).encode())}"


def _parts(folder: Path) -> dict[Path, Found]:
    """Return the folders that hold folders of sequences, and what is in them."""
    parts: dict[Path, Found] = {}
    deep: list[Path] = []
    if found := _scan(folder):
        return {folder: found}
    for child in _folders(folder):
        if found := _scan(child):
            parts[child] = found
            continue
        for grandchild in _folders(child):
            found = _scan(grandchild) if grandchild.name in _PARTS else {}
            if found:
                parts[grandchild] = found
            else:
                deep += [part for name in _PARTS if _scan(part := grandchild / name)]
    if deep:
        raise SourceError(
            f"{deep[0]} is unpacked one level too deep; move it to {deep[0].parents[1]}, or name "
            f"{deep[0].parents[1]} as the source"
        )
    return parts


def _scan(part: Path) -> Found:
    found: Found = {}
    same: dict[Frames, Frames] = {}  # sequences have the same frames in all folders
    for name in sorted(FOLDERS.keys() & _names(part)):
        for sequence in _folders(part / name):
            frames = frames_in(_names(sequence), FOLDERS[name])
            if frames:
                found.setdefault(name, {})[sequence.name] = same.setdefault(frames, frames)
    return found


def _kinds(part: Path, found: Found) -> dict[str, dict[str, Frames]]:
    """Return the same by kind: a folder ``occlusions`` belongs to the set of its neighbours."""
    stereo, flow = (bool(names & found.keys()) for names in (_OF_STEREO, _OF_FLOW))
    if "occlusions" in found and stereo == flow:
        what = "the stereo set and the flow set share" if stereo else "neither of the sets is in"
        raise SourceError(
            f"{part / 'occlusions'}: occlusions of stereo and of flow cannot be told apart, for "
            f"{what} this folder; unpack each archive in a folder of its own"
        )
    kinds = {}
    for kind in KINDS:
        own = {"stereo": stereo, "flow": flow}.get(kind.set, True)
        if kind.folder in found and own:
            kinds[kind.key] = found[kind.folder]
    return kinds


def _preferred(kinds: Mapping[str, tuple[str, Frames]]) -> dict[str, tuple[str, Frames]]:
    """Return one kind for each stream of each camera, in the order of writing."""
    chosen: dict[tuple[str, str], Kind] = {}
    for kind in KINDS:
        if kind.key in kinds:
            chosen.setdefault((kind.stream, kind.camera), kind)
    return {kind.key: kinds[kind.key] for kind in chosen.values()}


def _not_served(lacking: set[str], kinds: Mapping[str, object]) -> tuple[str, ...]:
    """Return the kinds that no other set stands in for."""
    served = {(kind_of(key).stream, kind_of(key).camera) for key in kinds}
    return tuple(
        kind.key
        for kind in KINDS
        if kind.key in lacking and (kind.stream, kind.camera) not in served
    )


def _has_pictures(kinds: Mapping[str, object]) -> bool:
    return any(kind_of(key).is_picture for key in kinds)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:  # the type of an entry comes with its name, unasked
            names = [e.name for e in entries if e.name[0] not in "._" and e.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _nothing(folder: Path, parts: list[Path]) -> str:
    """Say what was expected, and what is likely to be there instead."""
    message = (
        f"{folder}: no sequence of MPI Sintel found; expected a folder training with clean_left "
        "(stereo set) or clean (flow set), or a folder of such folders"
    )
    if not folder.is_dir():
        return f"{message}; there is no such folder"
    if parts:
        inside = sorted(FOLDERS.keys() & _names(parts[0]))
        return (
            f"{message}; {parts[0]} has only {', '.join(inside)}: unpack {SETS['stereo']} or "
            f"{SETS['flow']} too"
        )
    archives = sorted(_archives(folder))
    if archives:
        return f"{message}; unpack {archives[0]} first"
    if folder.name in FOLDERS:
        return f"{message}; name the folder above"
    if folder.parent.name in FOLDERS:
        return f"{message}; name the folder two above"
    return message


def _archives(folder: Path) -> Iterator[str]:
    for place in (folder, *_folders(folder)):
        yield from (name for name in _names(place) if name.endswith(".zip"))
