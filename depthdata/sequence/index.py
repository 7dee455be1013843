"""The two things a reader needs before any frame: the header and the index.

The header is the first 512 bytes of the file (the start of HDF5's user block). It is written last
and says where the index is; the index mirrors the HDF5 tree: attributes, small arrays, and where
the bytes of the large ones lie. Both carry an xxh3-64, so reading needs no HDF5 library.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from depthdata.errors import FormatError, UsageError
from depthdata.sequence.schema import FORMAT, VERSION
from depthdata.sequence.storage import ByteSource

__all__ = ["HEADER_SIZE", "Block", "Chunks", "Header", "Index", "canonical_json", "read_index"]

HEADER_SIZE = 512
MAGIC = b"DEPTHSEQ"
_COMPLETE = b"complete"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEADER = struct.Struct("<8sII8sQQQQQ")
_LENGTH = struct.Struct("<Q")
_ALIGN = 8


@dataclass(frozen=True)
class Header:
    """The first 512 bytes: what the file is, and where its index lies.

    Attributes
    ----------
    file_size : int
        Length of the whole file in bytes.
    index_offset, index_size, index_xxh3 : int
        Place and checksum of the index.
    rest_xxh3 : int
        Checksum of all bytes that neither the header, the index, a block nor a chunk covers:
        HDF5's own structure, the small arrays and unused space.
    version : int
        Major version of the format.
    minor : int
        Additions that older readers may ignore.
    """

    file_size: int
    index_offset: int
    index_size: int
    index_xxh3: int
    rest_xxh3: int
    version: int = VERSION
    minor: int = 0

    def pack(self) -> bytes:
        """Return the 512 bytes."""
        head = _HEADER.pack(
            MAGIC,
            self.version,
            self.minor,
            _COMPLETE,
            self.file_size,
            self.index_offset,
            self.index_size,
            self.index_xxh3,
            self.rest_xxh3,
        ).ljust(HEADER_SIZE - 8, b"\0")
        return head + _LENGTH.pack(xxhash.xxh3_64_intdigest(head))

    @classmethod
    def read(cls, source: ByteSource) -> Header:
        """Read and check the header; FormatError says in one line what is wrong with the file."""
        size = source.size()
        data = source.read(0, min(size, HEADER_SIZE))
        magic = data[: len(MAGIC)]
        if magic == _HDF5_SIGNATURE:
            raise FormatError(
                f"{source.name}: an HDF5 file, but not a {FORMAT} file (no {MAGIC.decode()} header)"
            )
        if size < HEADER_SIZE:
            raise FormatError(
                f"{source.name}: truncated: expected a header of {HEADER_SIZE} bytes, found {size}"
            )
        if not any(data):
            raise FormatError(
                f"{source.name}: incomplete: writing it was not finished; convert it again"
            )
        if xxhash.xxh3_64_intdigest(data[:-8]) != _LENGTH.unpack(data[-8:])[0]:
            if magic != MAGIC:
                raise FormatError(
                    f"{source.name}: not a {FORMAT} file: expected {MAGIC.decode()} first, "
                    f"found {magic.hex(' ')}"
                )
            raise FormatError(f"{source.name}: damaged header: its checksum does not match")
        _, version, minor, state, length, offset, index_size, index_xxh3, rest_xxh3 = (
            _HEADER.unpack_from(data)
        )
        if version > VERSION:
            raise FormatError(
                f"{source.name}: format version {version}, this program reads {FORMAT} up to "
                f"{VERSION}; update depthdata"
            )
        header = cls(length, offset, index_size, index_xxh3, rest_xxh3, version, minor)
        if magic != MAGIC or state != _COMPLETE:
            raise FormatError(f"{source.name}: damaged header: state {state!r}")
        if size != header.file_size:
            what = "truncated" if size < header.file_size else "changed after it was written"
            raise FormatError(
                f"{source.name}: {what}: expected {header.file_size} bytes, found {size}"
            )
        return header


@dataclass(frozen=True)
class Block:
    """A contiguous dataset: `offset` is the place of its first byte in the file."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    xxh3: str = ""  # of the whole block, hexadecimal; empty where each frame has its own

    @property
    def nbytes(self) -> int:
        """Length in bytes."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Chunks:
    """A dataset of one chunk a frame: its places are the index arrays ``<path>#offset`` ..."""

    dtype: str
    shape: tuple[int, ...]
    filters: tuple[str, ...]


@dataclass
class Index:
    """The HDF5 tree as a reader needs it; all keys are HDF5 paths without the first slash.

    Attributes
    ----------
    groups : dict
        Attributes of every group, in writing order; ``""`` is the root.
    arrays : dict
        Small arrays, whole; a name with ``#`` exists only here, not as an HDF5 dataset.
    blocks : dict
        Contiguous large datasets.
    chunks : dict
        Chunked datasets.
    """

    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    chunks: dict[str, Chunks] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Return the index as bytes: length of the JSON, JSON, then the arrays, 8-aligned."""
        place, entries, parts = 0, {}, []
        for path, array in self.arrays.items():
            data = np.ascontiguousarray(array).tobytes()
            entries[path] = {
                "dtype": dtype_to_json(array.dtype),
                "shape": list(array.shape),
                "start": place,
            }
            parts.append(data.ljust(_aligned(len(data)), b"\0"))
            place += len(parts[-1])
        text = canonical_json(
            {
                "format": FORMAT,
                "version": VERSION,
                "groups": [[path, attrs] for path, attrs in self.groups.items()],
                "arrays": [[path, entry] for path, entry in entries.items()],
                "blocks": [[path, vars(block)] for path, block in self.blocks.items()],
                "chunks": [[path, vars(chunks)] for path, chunks in self.chunks.items()],
            }
        ).encode()
        text = text.ljust(_aligned(len(text)), b" ")
        return b"".join([_LENGTH.pack(len(text)), text, *parts])

    @classmethod
    def unpack(cls, data: bytes) -> Index:
        """Return the index that `pack` wrote."""
        (length,) = _LENGTH.unpack_from(data)
        tree = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        base = _LENGTH.size + length
        index = cls(groups=dict(tree["groups"]))
        for path, entry in tree["arrays"]:
            dtype, shape = dtype_from_json(entry["dtype"]), tuple(entry["shape"])
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(data, dtype, count, base + entry["start"]) if count else None
            index.arrays[path] = np.empty(shape, dtype) if array is None else array.reshape(shape)
        for path, entry in tree["blocks"]:
            index.blocks[path] = Block(**{**entry, "shape": tuple(entry["shape"])})
        for path, entry in tree["chunks"]:
            index.chunks[path] = Chunks(
                entry["dtype"], tuple(entry["shape"]), tuple(entry["filters"])
            )
        return index

    def payload(self) -> list[tuple[int, int]]:
        """Return (offset, size) of every block and chunk, sorted, empty ones left out."""
        ranges = [(block.offset, block.nbytes) for block in self.blocks.values()]
        for path in self.chunks:
            offsets, sizes = self.arrays[f"{path}#offset"], self.arrays[f"{path}#size"]
            ranges += zip(offsets.tolist(), sizes.tolist(), strict=True)
        return sorted(item for item in ranges if item[1])


def read_index(source: ByteSource) -> tuple[Header, Index]:
    """Read and check the header and the index of a file."""
    header = Header.read(source)
    data = source.read(header.index_offset, header.index_size)
    if xxhash.xxh3_64_intdigest(data) != header.index_xxh3:
        raise FormatError(f"{source.name}: damaged index: its checksum does not match")
    return header, Index.unpack(data)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, plain ASCII, no NaN.

    >>> canonical_json({"b": 1.5, "a": [True, None]})
    '{"a":[true,null],"b":1.5}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a fact of the file is not JSON: {error}") from error


def dtype_to_json(dtype: np.dtype[Any]) -> Any:
    """Return a dtype as JSON: ``"<f8"``, or ``[[name, dtype], ...]`` for records."""
    if dtype.names is None:
        return dtype.str
    return [[name, dtype[name].str] for name in dtype.names]


def dtype_from_json(value: Any) -> np.dtype[Any]:
    """Return the dtype that `dtype_to_json` described."""
    return np.dtype(value if isinstance(value, str) else [tuple(item) for item in value])


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
