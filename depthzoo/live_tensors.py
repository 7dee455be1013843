"""Peak memory of a computation, counted tensor by tensor, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["LiveTensors"]


class LiveTensors(TorchDispatchMode):
    """Follow the bytes of all storages that operations return, until they are freed.

    What a library's kernel takes and gives back inside does not count. On PyTorch's meta device,
    where a tensor has a size and no content, it tells the memory of sizes that no machine at hand
    could compute.

    Parameters
    ----------
    given : iterable of Tensor
        Do not count these, such as weights.

    Attributes
    ----------
    live, peak : int
        Bytes now, and at most so far.

    Examples
    --------
    >>> with LiveTensors() as meter:
    ...     total = (torch.zeros(1000) + 1).sum()
    >>> meter.peak
    8000
    """

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known = {_key(tensor.untyped_storage()): 0 for tensor in given}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count what it returns."""
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = _key(storage), storage.nbytes()
        if not size or key in self._known:
            return
        self._known[key] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.live -= self._known.pop(key, 0)


def _key(storage: torch.UntypedStorage) -> int:
    return int(storage._cdata)  # a meta tensor's data have no address
