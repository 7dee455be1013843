"""Check a sequence file: every byte of it is covered by one checksum or another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash

from depthdata.errors import FormatError
from depthdata.sequence import hdf5
from depthdata.sequence.index import Header, Index, dtype_to_json, read_index
from depthdata.sequence.points import COLUMNS
from depthdata.sequence.storage import LocalFile
from depthdata.sequence.target import rest_digest

__all__ = ["VerifyReport", "verify"]

_SLICE = 1 << 18  # stays in the cache between reading and hashing
_NOUNS = {"encoded": "blobs", "dense": "chunks", "points": "points frames"}


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    Attributes
    ----------
    path : str
        The file.
    problems : list of str
        One line each, named by stream and frame.
    checked : dict
        How many blobs, chunks, frames of points, arrays, attributes were compared.
    """

    path: str
    problems: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Read a whole sequence file and compare every byte with its checksum.

    Parameters
    ----------
    path : str or Path
        A local file.

    Returns
    -------
    VerifyReport
        ``report.ok``, and the problems by stream and frame. A file that cannot be opened at all
        is a problem as well, not an exception.
    """
    name = os.fspath(path)
    source = LocalFile(name)
    try:
        return _verify(name, source)
    finally:
        source.close()


def _verify(name: str, source: LocalFile) -> VerifyReport:
    try:
        header, index = read_index(source)
    except FormatError as error:
        return VerifyReport(name, [str(error)])
    checked: Counter[str] = Counter()
    problems = list(_payload_problems(source, index, checked))
    rest_ok = _rest_ok(name, header, index)
    checked["bytes"] = header.file_size
    if not rest_ok:
        problems.append("HDF5 structure, small arrays or unused space: checksum does not match")
    problems += _structure_problems(name, header, index, checked)
    return VerifyReport(name, problems, dict(checked))


def _rest_ok(name: str, header: Header, index: Index) -> bool:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = rest_digest(fd, index, (header.index_offset, header.index_size))
    finally:
        os.close(fd)
    return found == header.rest_xxh3


def _payload_problems(source: LocalFile, index: Index, checked: Counter[str]) -> Iterator[str]:
    buffer = memoryview(bytearray(_SLICE))
    for group, facts in index.groups.items():
        kind = facts.get("kind")
        if kind not in _NOUNS:
            continue
        digests = index.arrays[f"{group}/xxh3"].tolist()
        frames = index.arrays.get(f"{group}/frame_index")
        for row, parts in enumerate(_frame_parts(index, group, kind)):
            if _digest(source, parts, buffer) != digests[row]:
                t = row if frames is None else int(frames[row])
                yield f"{group.removeprefix('cameras/')}, frame {t}: checksum does not match"
            checked[_NOUNS[kind]] += 1
    for path, block in index.blocks.items():
        if block.xxh3:
            found = _digest(source, [(block.offset, block.nbytes)], buffer)
            if f"{found:016x}" != block.xxh3:
                yield f"{path}: checksum does not match"
            checked["arrays"] += 1


def _frame_parts(index: Index, group: str, kind: str) -> Iterator[list[tuple[int, int]]]:
    """Yield (offset, size) of what one frame consists of."""
    if kind == "dense":
        offsets, sizes = (index.arrays[f"{group}/data#{name}"] for name in ("offset", "size"))
        for offset, size in zip(offsets.tolist(), sizes.tolist(), strict=True):
            yield [(offset, size)]
        return
    starts = index.arrays[f"{group}/offsets"].tolist()
    names = (
        ("data",) if kind == "encoded" else (*COLUMNS[index.groups[group]["point_kind"]], "sensor")
    )
    blocks = [
        index.blocks[f"{group}/{name}"] for name in names if f"{group}/{name}" in index.blocks
    ]
    widths = [
        np.dtype(block.dtype).itemsize * int(np.prod(block.shape[1:], dtype=np.int64))
        for block in blocks
    ]
    for start, stop in pairwise(starts):
        yield [
            (block.offset + start * width, (stop - start) * width)
            for block, width in zip(blocks, widths, strict=True)
        ]


def _digest(source: LocalFile, parts: list[tuple[int, int]], buffer: memoryview) -> int:
    digest = xxhash.xxh3_64()
    for offset, size in parts:
        for position in range(offset, offset + size, len(buffer)):
            piece = buffer[: offset + size - position]
            source.read_into(position, piece)
            digest.update(piece)
    return digest.intdigest()


def _structure_problems(
    name: str, header: Header, index: Index, checked: Counter[str]
) -> list[str]:
    """Compare what plain HDF5 readers see with the index."""
    try:
        with hdf5.open_file(name) as file:
            problems = [
                *_attribute_problems(file, index, checked),
                *_dataset_problems(file, header, index, checked),
            ]
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [f"HDF5 structure: h5py cannot read it: {first}"]
    return problems


def _attribute_problems(file: Any, index: Index, checked: Counter[str]) -> Iterator[str]:
    found: list[str] = []
    file.visititems(lambda path, item: found.append(path) if hasattr(item, "keys") else None)
    parents = {"", "cameras"} | {path.rpartition("/")[0] for path in index.groups}
    for extra in sorted(set(found) - set(index.groups) - parents):
        yield f"/{extra}: a group that the index does not know"
    for path, facts in index.groups.items():
        attrs = dict(file[f"/{path}"].attrs)
        for name, fact in facts.items():
            if fact is None:
                continue
            expected, value = hdf5.attribute_value(fact), attrs.pop(name, None)
            checked["attributes"] += 1
            if not _same(value, expected):
                yield f"/{path}: attribute {name}: expected {expected!r}, found {value!r}"
        for name in attrs:
            yield f"/{path}: attribute {name}: the index does not know it"


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, str) or found is None:
        return isinstance(found, bytes) and found == expected.encode()
    return np.array_equal(np.asarray(found), np.asarray(expected))


def _dataset_problems(
    file: Any, header: Header, index: Index, checked: Counter[str]
) -> Iterator[str]:
    found: list[str] = []
    file.visititems(lambda path, item: None if hasattr(item, "keys") else found.append(path))
    known = {path for path in index.arrays if "#" not in path} | set(index.blocks)
    known |= {"index", *index.chunks}
    for extra in sorted(set(found) - known):
        yield f"/{extra}: a dataset that the index does not know"
    for missing in sorted(known - set(found)):
        yield f"/{missing}: the dataset is not there"
    for path in sorted(known & set(found)):
        dataset = file[path]
        if path in index.arrays:
            checked["arrays"] += 1
            expected = index.arrays[path]
            if (
                dtype_to_json(dataset.dtype) != dtype_to_json(expected.dtype)
                or dataset[()].tobytes() != expected.tobytes()
            ):
                yield f"/{path}: differs from the index"
        elif path in index.chunks:
            yield from _chunk_problems(dataset, path, index)
        else:
            offset, nbytes = header.index_offset, header.index_size
            if path in index.blocks:
                offset, nbytes = index.blocks[path].offset, index.blocks[path].nbytes
            if (dataset.id.get_offset() or 0, dataset.nbytes) != (offset, nbytes):
                yield f"/{path}: HDF5 places it elsewhere than the index"


def _chunk_problems(dataset: Any, path: str, index: Index) -> Iterator[str]:
    chunks = index.chunks[path]
    described = (dataset.dtype.str, dataset.shape, hdf5.filters_of(dataset))
    if described != (chunks.dtype, chunks.shape, chunks.filters):
        yield f"/{path}: expected {chunks}, HDF5 says {described}"
        return
    offsets, sizes = index.arrays[f"{path}#offset"], index.arrays[f"{path}#size"]
    base = None
    for row in range(len(offsets)):
        info = dataset.id.get_chunk_info_by_coord((row, *(0 for _ in chunks.shape[1:])))
        shift = int(offsets[row]) - (info.byte_offset or 0)
        base = shift if base is None else base  # HDF5 releases differ about the user block
        if info.size != sizes[row] or shift != base or base not in (0, hdf5.PAGE):
            yield f"/{path}, chunk {row}: HDF5 places it elsewhere than the index"
