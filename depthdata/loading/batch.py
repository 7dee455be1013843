"""Batches: memory for them, samples as views of them, and `collate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from depthdata.errors import UsageError

__all__ = ["NUMPY_TYPES", "Samples", "collate", "new_tensor", "sample_of"]

Sample = dict[str, Any]
NUMPY_TYPES = {
    torch.bool: np.bool_,
    torch.uint8: np.uint8,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.float32: np.float32,
    torch.float64: np.float64,
}


def new_tensor(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Uninitialised memory; inside a DataLoader worker, shared so that it is not copied again."""
    if torch.utils.data.get_worker_info() is None and dtype in NUMPY_TYPES:
        # numpy asks the system for huge pages, torch does not: fewer page faults in a large batch
        return torch.from_numpy(np.empty(shape, dtype=NUMPY_TYPES[dtype]))
    count = 1
    for n in shape:
        count *= n
    size = max(count, 1) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    shared: torch.Tensor = torch.empty(0, dtype=dtype)
    shared.set_(storage, 0, shape)  # type: ignore[call-overload]
    return shared


def sample_of(batch: Mapping[str, Any], i: int) -> Sample:
    """Sample `i` of a batch; its tensors are views."""
    return {key: _part(value, i) for key, value in batch.items()}


def _part(value: Any, i: int) -> Any:
    if isinstance(value, Mapping):
        return {k: _part(v, i) for k, v in value.items()}
    item = value[i]
    return int(item) if isinstance(item, torch.Tensor) and _is_count(item) else item


def _is_count(item: torch.Tensor) -> bool:
    return item.ndim == 0 and item.dtype == torch.int64


class Samples(Sequence[Sample]):
    """The samples of a batch that is already one: a list of views for any collate function.

    `collate` takes `batch` as it is; a foreign collate function sees ordinary samples.
    """

    def __init__(self, batch: Sample, length: int) -> None:
        self.batch = batch
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(self._length))]
        if not -self._length <= i < self._length:
            raise IndexError(i)
        return sample_of(self.batch, i % self._length)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self._length))


def collate(samples: Sequence[Sample] | Samples | Sample) -> Sample:
    """Make one batch of samples; the ``collate_fn`` for a DataLoader over a `SequenceDataset`.

    Tensors are stacked along a new first axis, numbers become tensors, strings lists. What the
    dataset already decoded into one batch passes through untouched.

    Raises
    ------
    UsageError
        The samples differ in their keys or in the shape of a tensor.

    Examples
    --------
    >>> batch = collate([{"x": torch.zeros(2), "index": {"sequence": s}} for s in "ab"])
    >>> batch["x"].shape, batch["index"]
    (torch.Size([2, 2]), {'sequence': ['a', 'b']})
    """
    if isinstance(samples, Samples):
        return samples.batch
    if isinstance(samples, Mapping):
        return dict(samples)
    if not samples:
        raise UsageError("collate needs at least one sample")
    first = samples[0]
    for sample in samples[1:]:
        if sample.keys() != first.keys():
            odd = sorted(sample.keys() ^ first.keys())
            raise UsageError(f"samples of one batch have different keys: {', '.join(odd)}")
    return {key: _stack(key, [sample[key] for sample in samples]) for key in first}


def _stack(key: str, values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, torch.Tensor):
        shapes = sorted({tuple(v.shape) for v in values})
        if len(shapes) > 1:
            raise UsageError(
                f"{key}: samples of one batch have different shapes {shapes}; give the dataset a "
                "size, or crop"
            )
        out = new_tensor((len(values), *first.shape), first.dtype)
        return torch.stack(values, out=out)
    if isinstance(first, Mapping):
        return collate(values)
    if isinstance(first, bool | int | float):
        return torch.tensor(values)
    return values
