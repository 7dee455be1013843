"""Files of predictions that were made elsewhere: a map each, or maps of a sequence in one stack.

Only numbers are read: no pickle, no object arrays. Stacks are read a frame at a time.
"""

from __future__ import annotations

import functools
import io
import json
import math
import mmap
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthdata.errors import DepthdataError, FormatError, UsageError

__all__ = ["MAPS", "QUANTITIES", "STACKS", "Stack", "open_stack", "read_map"]

QUANTITIES = ("depth", "disparity", "inverse_depth", "motion_mask", "pose")
MAPS = (".npy", ".npz", ".png", ".pfm")
STACKS = (".npz", ".npy", ".h5")
_BESIDE = ("frames", "frame_ids", "intrinsics", "baseline", "facts", "timestamps", "uncertainty")
PNG_SCALE = 256.0
_LONGEST_HEADER = 10_000

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Stack:
    """Predictions of one quantity in one file.

    Parameters
    ----------
    path : Path
    name : str
        Of the array; ``""`` in an ``.npy`` file.
    shape : tuple of int
        (n, H, W), or (n, 4, 4) and the like of poses.
    read : callable
        Number -> its (H,W) values, as stored.
    frames, frame_ids : optional
        Timeline indices, or names of the frames, where the file has them.
    facts : Mapping
        What the file says of itself: ``quantity``, ``invariance``, ``model`` ...
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    read: Callable[[int], Array]
    frames: tuple[int, ...] | None = None
    frame_ids: tuple[str, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.shape[0]

    def number(self, frame: int, frame_id: str) -> int | None:
        """Return where a frame of the timeline is, or None."""
        if self.frame_ids is not None:
            return self._ids.get(frame_id)
        if self.frames is not None:
            return self._frames.get(frame)
        return frame if frame < len(self) else None

    def __post_init__(self) -> None:
        ids = {name: n for n, name in enumerate(self.frame_ids or ())}
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_frames", {t: n for n, t in enumerate(self.frames or ())})

    _ids: dict[str, int] = field(init=False, repr=False)
    _frames: dict[int, int] = field(init=False, repr=False)


def read_map(path: Path, quantity: str, png_scale: float | None = None) -> Array:
    """Read a prediction of one frame.

    Parameters
    ----------
    path : Path
        ``.npy``, ``.npz``, ``.png`` (16 bits: value / 256, 0 is missing, as KITTI stores it; of
        motion masks value / 255 or / 65535) or ``.pfm`` (infinity is missing).
    quantity : str
        Names the array of an ``.npz`` that has several.
    png_scale : float, optional
        Another divisor.

    Returns
    -------
    (H,W) array
        As stored, or float32 with NaN where the file marks a pixel as missing.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".png":
            return _read_png(path, quantity, png_scale)
        if kind == ".pfm":
            from depthdata.codecs.pfm import read_pfm

            values = read_pfm(path)
            return _single(np.where(np.isinf(values), np.float32(np.nan), values), path)
        if kind == ".npy":
            return _single(_map_npy(path), path)
        arrays = _npz(path)
        return _single(arrays[_choose(path, arrays, quantity)].whole(), path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DepthdataError):
            raise
        raise FormatError(f"{path} cannot be read: {error}") from error


def open_stack(path: Path, quantity: str | None) -> Stack:
    """Open a file that holds all predictions of a sequence.

    Parameters
    ----------
    path : Path
        ``.npy``, ``.npz`` (as `depthzoo predict` writes them) or ``.h5``.
    quantity : str or None
        Which array, where there are several; None: the one that the file names.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".npy":
            values = _map_npy(path)
            return Stack(path, "", values.shape, values.__getitem__)
        arrays = _npz(path) if kind == ".npz" else _h5(path)
        facts = _facts(path, arrays)
        name = _choose(path, arrays, quantity or facts.get("quantity"))
        chosen = arrays[name]
        ids, frames = arrays.get("frame_ids"), arrays.get("frames")
        return Stack(
            path,
            name,
            chosen.shape,
            chosen.reader(),
            None if frames is None else tuple(int(t) for t in frames.whole()),
            None if ids is None else tuple(_text(v) for v in ids.whole()),
            facts,
        )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, DepthdataError):
            raise
        raise FormatError(f"{path} cannot be read: {error}") from error


def _read_png(path: Path, quantity: str, scale: float | None) -> Array:
    from depthdata.codecs.images import decode_image

    image = decode_image(path.read_bytes())
    if image.ndim == 3 and quantity == "motion_mask":
        image = image[..., 0]
    if quantity == "motion_mask":
        share: Array = image.astype(np.float32) / np.float32(scale or np.iinfo(image.dtype).max)
        return share
    if image.ndim != 2 or image.dtype != np.uint16:
        raise FormatError(
            f"{path}: expected 16-bit grey ({quantity} * 256, 0 for none), found "
            f"{image.dtype} {image.shape}; a picture is no prediction, store the numbers"
        )
    values = image.astype(np.float32)
    values *= np.float32(1 / (scale or PNG_SCALE))
    values[image == 0] = np.nan
    return values


def _map_npy(path: Path) -> Array:
    """Map the file, so that only what is looked at is read."""
    with path.open("rb", buffering=0) as file:
        start = file.read(12)
        width = 2 if start[6:7] == b"\1" else 4
        header = 8 + width + int.from_bytes(start[8 : 8 + width], "little")
        if len(start) < 12 or start[:6] != np.lib.format.MAGIC_PREFIX or header > _LONGEST_HEADER:
            raise FormatError(f"{path}: expected a .npy file, found {start[:6]!r}")
        file.seek(0)
        shape, fortran, dtype = _header_of(file.read(header))
        if dtype.kind not in "biuf":
            raise FormatError(f"{path}: expected an array of numbers, found {dtype}")
        size, found = math.prod(shape) * dtype.itemsize, os.fstat(file.fileno()).st_size - header
        if size > found:
            raise FormatError(
                f"{path}: {'x'.join(map(str, shape))} values of {dtype} need {size} bytes, found "
                f"{found}; the file is cut"
            )
        if not size:
            return np.empty(shape, dtype)
        data = mmap.mmap(file.fileno(), header + size, access=mmap.ACCESS_READ)
    values = np.frombuffer(data, dtype, math.prod(shape), header)
    return values.reshape(shape, order="F" if fortran else "C")


@functools.lru_cache(maxsize=64)
def _header_of(start: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the beginning of an .npy file; those of many files are the same."""
    return _npy_header(io.BytesIO(start))


def _single(values: Array, path: Path) -> Array:
    found = values
    while found.ndim > 2 and 1 in (found.shape[0], found.shape[-1]):
        found = found[0] if found.shape[0] == 1 else found[..., 0]
    if found.ndim != 2:
        raise FormatError(f"{path}: expected one map (H, W), found shape {values.shape}")
    return found


@dataclass(frozen=True)
class _Member:
    """An array of an archive.

    Parameters
    ----------
    shape, kind
        `kind` is NumPy's letter of the dtype.
    whole : callable
        Reads all of it.
    reader : callable
        Makes a function that reads the n-th part.
    """

    shape: tuple[int, ...]
    kind: str
    whole: Callable[[], Array]
    reader: Callable[[], Callable[[int], Array]]


def _choose(path: Path, arrays: Mapping[str, _Member], quantity: str | None) -> str:
    if quantity in arrays:
        return str(quantity)
    named = [name for name in QUANTITIES if name in arrays]
    if quantity is None and named:
        return named[0]
    others = [
        name
        for name, member in arrays.items()
        if name not in (*_BESIDE, *QUANTITIES) and len(member.shape) >= 2 and member.kind in "biuf"
    ]
    if len(others) == 1:
        return others[0]
    found = ", ".join(f"{name} {arrays[name].shape}" for name in arrays) or "nothing"
    raise UsageError(
        f"{path}: which array is the prediction is not clear: expected {quantity or 'one'} or a "
        f"single map, found {found}"
    )


def _facts(path: Path, arrays: Mapping[str, _Member]) -> dict[str, Any]:
    if "facts" not in arrays:
        return {}
    value = arrays["facts"].whole()
    facts = json.loads(_text(value[()] if isinstance(value, np.ndarray) else value))
    if not isinstance(facts, dict):
        raise FormatError(f"{path}: expected facts as a JSON object, found {facts!r:.40}")
    return facts


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _npz(path: Path) -> dict[str, _Member]:
    """Members of an archive by name; what is stored uncompressed is mapped, not read."""
    found: dict[str, _Member] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            with archive.open(info) as file:
                shape, fortran, dtype = _npy_header(file)
                start = file.tell()
            if dtype.hasobject:
                raise FormatError(f"{path}: {info.filename} holds objects, which are not read")
            name = info.filename.removesuffix(".npy")
            found[name] = _npz_member(path, info, shape, fortran, dtype, start)
    return found


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy version {version} is not known")
    reads = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reads[version[0] - 1](file)
    return shape, fortran, dtype


def _npz_member(
    path: Path,
    info: zipfile.ZipInfo,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype[Any],
    start: int,
) -> _Member:
    def whole() -> Array:
        if info.compress_type == zipfile.ZIP_STORED and int(np.prod(shape)):
            return _mapped(path, info, shape, fortran, dtype, start)
        with zipfile.ZipFile(path) as archive, archive.open(info) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))

    def reader() -> Callable[[int], Array]:
        if info.compress_type == zipfile.ZIP_STORED or fortran or len(shape) < 2:
            return whole().__getitem__
        return _Inflated(path, info, shape, dtype, start).read

    return _Member(shape, dtype.kind, whole, reader)


def _mapped(
    path: Path,
    info: zipfile.ZipInfo,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype[Any],
    start: int,
) -> Array:
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)
    if len(header) != 30 or header[:4] != b"PK\3\4":
        raise FormatError(f"{path}: {info.filename} is not where the archive says")
    at = info.header_offset + 30 + int.from_bytes(header[26:28], "little")
    at += int.from_bytes(header[28:30], "little") + start
    order: Any = "F" if fortran else "C"
    return np.asarray(np.memmap(path, dtype, "r", at, shape, order))


class _Inflated:
    """Parts of a compressed member, best asked for in order: going back starts anew."""

    def __init__(
        self,
        path: Path,
        info: zipfile.ZipInfo,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        start: int,
    ) -> None:
        self._path, self._info, self._dtype, self._start = path, info, dtype, start
        self._shape = shape
        self._size = dtype.itemsize * int(np.prod(shape[1:]))
        self._file: Any = None

    def read(self, number: int) -> Array:
        if not 0 <= number < self._shape[0]:
            raise IndexError(number)
        try:
            if self._file is None:
                self._file = zipfile.ZipFile(self._path).open(self._info)  # noqa: SIM115
            self._file.seek(self._start + number * self._size)
            data = self._file.read(self._size)
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise FormatError(f"{self._path} cannot be read: {error}") from error
        if len(data) != self._size:
            raise FormatError(f"{self._path}: {self._info.filename} is cut")
        return np.frombuffer(data, self._dtype).reshape(self._shape[1:])


def _h5(path: Path) -> dict[str, _Member]:
    import h5py

    found: dict[str, _Member] = {}
    file = h5py.File(path, "r", locking=False)
    for name, item in file.items():
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "biufSUO":
            found[name] = _Member(item.shape, item.dtype.kind, _whole(item), _parts(item))
    facts = {key: value for key, value in file.attrs.items() if isinstance(value, str)}
    if facts and "facts" not in found:
        text = np.array(facts["facts"] if "facts" in facts else json.dumps(facts))
        found["facts"] = _Member((), "U", lambda: text, lambda: text.__getitem__)
    return found


def _whole(item: Any) -> Callable[[], Array]:
    return lambda: item[()]


def _parts(item: Any) -> Callable[[], Callable[[int], Array]]:
    return lambda: item.__getitem__
