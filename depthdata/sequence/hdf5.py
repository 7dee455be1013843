"""The few HDF5 calls of the writer and of `verify`; readers never come here."""

from __future__ import annotations

from typing import Any

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from depthdata.errors import UsageError
from depthdata.sequence.index import canonical_json
from depthdata.sequence.schema import Profile

__all__ = [
    "PAGE",
    "attribute_value",
    "chunked",
    "contiguous",
    "create_file",
    "create_group",
    "filters_of",
    "open_file",
    "set_attributes",
]

PAGE = 4096
"""Size of a file space page, and of the user block: HDF5 wants the block to be whole pages.

HDF5 begins every dataset and chunk of a page or more on a new page, half a page is lost each time:
with 64 KiB pages a short sequence grows by a tenth and more, with 4 KiB by less than 2 %.
"""

ZSTD = 32015  # registered HDF5 filter number
_FILTER_NAMES = {
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    ZSTD: "zstd",
}
_ATTRIBUTES_IN_HEADER = 255  # object headers carry a checksum, dense storage only wastes pages


def create_file(path: str) -> h5py.File:
    """Create a file exclusively: bounds v110, paged space, a user block of one page."""
    fcpl = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    fcpl.set_userblock(PAGE)
    fcpl.set_file_space_strategy(h5py.h5f.FSPACE_STRATEGY_PAGE, False, 1)
    fcpl.set_file_space_page_size(PAGE)
    fcpl.set_obj_track_times(False)
    fcpl.set_attr_phase_change(_ATTRIBUTES_IN_HEADER, 0)
    fapl = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    fapl.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    fapl.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    _without_locking(fapl)
    return h5py.File(h5py.h5f.create(path.encode(), h5py.h5f.ACC_EXCL, fcpl=fcpl, fapl=fapl))


def open_file(path: str) -> h5py.File:
    """Open for reading, as `verify` does."""
    return h5py.File(path, "r", rdcc_nbytes=0, locking=False)


def _without_locking(fapl: Any) -> None:
    if hasattr(fapl, "set_file_locking"):  # the part's name is our lock; network disks have none
        fapl.set_file_locking(False, True)


def create_group(file: h5py.File, path: str) -> h5py.Group:
    """Create a group (its parents too) that stores no times."""
    parent: h5py.Group = file
    for name in path.split("/"):
        if name not in parent:
            gcpl = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            gcpl.set_obj_track_times(False)
            gcpl.set_attr_phase_change(_ATTRIBUTES_IN_HEADER, 0)
            h5py.h5g.create(parent.id, name.encode(), gcpl=gcpl)
        parent = parent[name]
    return parent


def contiguous(
    file: h5py.File, path: str, dtype: npt.DTypeLike, shape: tuple[int, ...]
) -> h5py.Dataset:
    """Create a contiguous dataset whose space is there at once, so that pwrite may fill it."""
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_layout(h5py.h5d.CONTIGUOUS)
    dcpl.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dcpl.set_obj_track_times(False)
    return _create(file, path, dtype, shape, dcpl)


def chunked(
    file: h5py.File, path: str, dtype: npt.DTypeLike, shape: tuple[int, ...], profile: Profile
) -> h5py.Dataset:
    """Create a dataset of one chunk a frame, compressed without loss."""
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_chunk((1, *shape[1:]))
    if np.dtype(dtype).itemsize > 1:
        dcpl.set_shuffle()
    if profile == "portable":
        dcpl.set_deflate(4)
    else:
        zstd = hdf5plugin.Zstd(clevel=3)
        dcpl.set_filter(ZSTD, h5py.h5z.FLAG_OPTIONAL, tuple(zstd.filter_options))
    dcpl.set_fletcher32()
    dcpl.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dcpl.set_obj_track_times(False)
    dapl = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    dapl.set_chunk_cache(0, 0, 0.75)  # every chunk goes to the file when it is written
    return _create(file, path, dtype, shape, dcpl, dapl)


def _create(
    file: h5py.File,
    path: str,
    dtype: npt.DTypeLike,
    shape: tuple[int, ...],
    dcpl: Any,
    dapl: Any = None,
) -> h5py.Dataset:
    group, _, name = path.rpartition("/")
    parent = create_group(file, group) if group else file
    space = h5py.h5s.create_simple(shape)
    made = h5py.h5d.create(
        parent.id, name.encode(), _hdf5_type(np.dtype(dtype)), space, dcpl=dcpl, dapl=dapl
    )
    return h5py.Dataset(made)


def _hdf5_type(dtype: np.dtype[Any]) -> Any:
    if dtype.names is not None:
        fields = [(name, _text_type(dtype[name])) for name in dtype.names]
        return h5py.h5t.py_create(np.dtype(fields), logical=True)
    return h5py.h5t.py_create(_text_type(dtype), logical=True)


def _text_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype


def filters_of(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Return the names of a dataset's filters in the order of writing."""
    dcpl = dataset.id.get_create_plist()
    codes = [dcpl.get_filter(i)[0] for i in range(dcpl.get_nfilters())]
    return tuple(_FILTER_NAMES.get(code, str(code)) for code in codes)


def set_attributes(target: h5py.Group, facts: dict[str, Any]) -> None:
    """Write facts as HDF5 attributes; a fact that is None has none.

    Text has a fixed length (UTF-8): it lies in the object header then, which carries a checksum.
    HDF5's heap for text of any length has none; a flipped bit there is silent, or hangs HDF5.
    """
    for name, value in facts.items():
        if value is None:
            continue
        stored = attribute_value(value)
        if isinstance(stored, str):
            data = stored.encode()
            text = h5py.string_dtype("utf-8", max(1, len(data)))
            target.attrs.create(name, np.bytes_(data), dtype=text)
        else:
            target.attrs[name] = stored


def attribute_value(value: Any) -> Any:
    """Return what HDF5 stores for a JSON value: text, a number, an array, or else JSON text.

    >>> attribute_value([1, 2]), attribute_value({"crop": [0, 1]})
    (array([1, 2]), '{"crop":[0,1]}')
    """
    if isinstance(value, str):
        if "\0" in value:
            raise UsageError(f"fact {value!r}: HDF5 text cannot hold NUL")
        return value
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, list) and value:
        try:
            array = np.array(value)
        except ValueError:
            return canonical_json(value)
        if array.dtype.kind in "if":
            return array
    return canonical_json(value)
