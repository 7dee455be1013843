"""The HDF5 file being written and the index that grows beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.errors import FormatError
from depthdata.sequence import hdf5
from depthdata.sequence.index import (
    HEADER_SIZE,
    Block,
    Chunks,
    Header,
    Index,
    canonical_json,
)
from depthdata.sequence.schema import Profile
from depthdata.sequence.timeless import clear_extension_times

__all__ = ["Target", "rest_digest", "write_all"]

_NOT_CONTENT = ("profile", "converter", "source_fingerprint", "digest", "state")


class Target:
    """Datasets into the part file, their places into the index.

    Parameters
    ----------
    path : Path
        The part file, not there yet.
    profile : {"default", "portable"}
        Which compression dense frames get.
    """

    def __init__(self, path: Path, profile: Profile) -> None:
        self.path = path
        self.profile: Profile = profile
        self.index = Index()
        self.file = hdf5.create_file(str(path))
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._content: dict[str, bytes] = {}

    def group(self, path: str, facts: dict[str, Any]) -> None:
        """Create a group with its facts, or add facts to it."""
        group = hdf5.create_group(self.file, path) if path else self.file
        hdf5.set_attributes(group, facts)
        self.index.groups.setdefault(path, {}).update(facts)

    def array(self, path: str, values: npt.NDArray[Any]) -> None:
        """Write a small array: into the HDF5 tree and, whole, into the index."""
        values = np.ascontiguousarray(values)
        dataset = hdf5.contiguous(self.file, path, values.dtype, values.shape)
        write_all(self.fd, memoryview(values.tobytes()), dataset.id.get_offset() or 0)
        self.index.arrays[path] = values

    def block(self, path: str, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Block:
        """Reserve a contiguous dataset; its bytes are written with `write_all` on `fd`."""
        dtype = np.dtype(dtype)
        dataset = hdf5.contiguous(self.file, path, dtype, shape)
        block = Block(dataset.id.get_offset() or 0, dtype.str, shape)
        self.index.blocks[path] = block
        return block

    def whole_block(self, path: str, values: npt.NDArray[Any]) -> None:
        """Write a large array as one block with one checksum."""
        values = np.ascontiguousarray(values)
        block = self.block(path, values.dtype, values.shape)
        data = values.tobytes()
        write_all(self.fd, memoryview(data), block.offset)
        self.index.blocks[path] = Block(
            block.offset, block.dtype, block.shape, f"{xxhash.xxh3_64_intdigest(data):016x}"
        )

    def chunked(self, path: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> ChunkWriter:
        """Create a dataset of one compressed chunk a frame."""
        dataset = hdf5.chunked(self.file, path, dtype, shape, self.profile)
        self.index.chunks[path] = Chunks(dtype.str, shape, hdf5.filters_of(dataset))
        return ChunkWriter(self, path, dataset)

    def content(self, path: str, digest: bytes) -> None:
        """Say what a dataset means, where its stored bytes depend on the compression."""
        self._content[path] = digest

    def content_digest(self) -> str:
        """Return the digest of all facts, arrays and frames, however they are stored."""
        index = self.index
        whole = xxhash.xxh3_128()
        groups = [
            [path, {name: value for name, value in facts.items() if name not in _NOT_CONTENT}]
            for path, facts in index.groups.items()
        ]
        whole.update(canonical_json(groups).encode())
        for path, array in sorted(index.arrays.items()):
            if "#" not in path:
                data = self._content.get(path, array.tobytes())
                whole.update(canonical_json([path, array.dtype.str, list(array.shape)]).encode())
                whole.update(data)
        for path, block in sorted(index.blocks.items()):
            whole.update(
                canonical_json([path, block.dtype, list(block.shape), block.xxh3]).encode()
            )
        for path, chunks in sorted(index.chunks.items()):
            whole.update(canonical_json([path, chunks.dtype, list(chunks.shape)]).encode())
        return f"xxh3-128:{whole.hexdigest()}"

    def finish(self) -> None:
        """Write the index, the state and, after everything else, the header."""
        self._settle_chunk_offsets()
        data = self.index.pack()
        place = hdf5.contiguous(self.file, "index", "u1", (len(data),)).id.get_offset()
        hdf5.set_attributes(self.file, {"state": "complete"})
        self.file.close()
        clear_extension_times(self.fd, hdf5.PAGE)
        write_all(self.fd, memoryview(data), place)
        header = Header(
            file_size=os.fstat(self.fd).st_size,
            index_offset=place,
            index_size=len(data),
            index_xxh3=xxhash.xxh3_64_intdigest(data),
            rest_xxh3=rest_digest(self.fd, self.index, (place, len(data))),
        )
        write_all(self.fd, memoryview(header.pack()), 0)
        self.close()

    def close(self) -> None:
        """Close both handles; safe to repeat."""
        if self.file.id.valid:
            self.file.close()
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _settle_chunk_offsets(self) -> None:
        """Make chunk offsets count from byte 0: HDF5 releases differ about the user block."""
        self.file.flush()
        for path in self.index.chunks:
            offsets, sizes = self.index.arrays[f"{path}#offset"], self.index.arrays[f"{path}#size"]
            if not len(offsets):
                continue
            digest = self.index.arrays[f"{path.rpartition('/')[0]}/xxh3"][0]
            for base in (0, hdf5.PAGE):
                stored = os.pread(self.fd, int(sizes[0]), int(offsets[0]) + base)
                if xxhash.xxh3_64_intdigest(stored) == digest:
                    self.index.arrays[f"{path}#offset"] = offsets + np.uint64(base)
                    break
            else:
                raise FormatError(f"{self.path}: {path}: HDF5 did not store the first chunk")


class ChunkWriter:
    """Frames into a chunked dataset, one by one."""

    def __init__(self, target: Target, path: str, dataset: Any) -> None:
        self._target, self._path, self._dataset = target, path, dataset
        self._places: list[tuple[int, int, int, int, int]] = []

    def write(self, frame: npt.NDArray[Any]) -> None:
        """Compress and write the next frame."""
        k = len(self._places)
        start = (k, *(0 for _ in frame.shape))
        self._dataset[k] = frame
        info = self._dataset.id.get_chunk_info_by_coord(start)
        mask, stored = self._dataset.id.read_direct_chunk(start)
        content = xxhash.xxh3_64_intdigest(frame.tobytes())
        self._places.append(
            (info.byte_offset, info.size, mask, xxhash.xxh3_64_intdigest(stored), content)
        )

    def finish(self) -> None:
        """Hand places and checksums to the index."""
        table = np.array(self._places, np.uint64).reshape(-1, 5)
        arrays = self._target.index.arrays
        for i, name in enumerate(("offset", "size", "mask")):
            arrays[f"{self._path}#{name}"] = table[:, i].copy()
        digests = f"{self._path.rpartition('/')[0]}/xxh3"
        self._target.array(digests, table[:, 3].copy())
        self._target.content(digests, table[:, 4].tobytes())


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`."""
    while len(data):
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def rest_digest(fd: int, index: Index, index_place: tuple[int, int]) -> int:
    """Return the checksum of all bytes that no other checksum covers."""
    digest = xxhash.xxh3_64()
    position = HEADER_SIZE
    for start, size in [*sorted([*index.payload(), index_place]), (os.fstat(fd).st_size, 0)]:
        while position < start:
            data = os.pread(fd, min(start - position, 1 << 20), position)
            if not data:
                return digest.intdigest()
            digest.update(data)
            position += len(data)
        position = max(position, start + size)
    return digest.intdigest()
