"""Memory for batches, used again once nothing looks at it any more.

A batch of a long window is hundreds of megabytes. Asking the system for them anew costs a page
fault and a pass of zeros each time; a training loop lets one batch go when it takes the next.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from depthdata.loading.batch import NUMPY_TYPES, new_tensor

__all__ = ["Memory"]

_SMALL = 1 << 20
Block = npt.NDArray[np.uint8]


class Memory:
    """Gives uninitialised tensors; the memory of one that is gone serves the next of its size.

    Parameters
    ----------
    limit : int
        Bytes that may lie idle.

    Examples
    --------
    >>> memory = Memory()
    >>> first = memory.tensor((4, 3, 300, 400), torch.float32)
    >>> place = first.data_ptr()
    >>> del first
    >>> memory.tensor((4, 3, 300, 400), torch.float32).data_ptr() == place
    True
    """

    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit = limit
        self._idle: dict[int, list[Block]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit, "_idle": {}}

    def tensor(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor with any content; in a DataLoader worker, in shared memory."""
        size = math.prod(shape) * dtype.itemsize
        in_worker = torch.utils.data.get_worker_info() is not None
        if in_worker or size < _SMALL or dtype not in NUMPY_TYPES:
            return new_tensor(shape, dtype)
        block = self._take(size)
        # Only the tensor holds this view, and whatever looks at the tensor holds the tensor: when
        # the view goes, nobody looks at the block any more.
        view: npt.NDArray[Any] = block.view(NUMPY_TYPES[dtype]).reshape(shape)
        weakref.finalize(view, _give_back, self._idle, block, self.limit).atexit = False
        return torch.from_numpy(view)

    def _take(self, size: int) -> Block:
        try:
            return self._idle.get(size, []).pop()
        except IndexError:
            # numpy asks the system for huge pages, torch does not: fewer page faults
            return np.empty(size, dtype=np.uint8)


def _give_back(idle: dict[int, list[Block]], block: Block, limit: int) -> None:
    """Keep a block; sizes that were not wanted for longest go first.

    May run in any thread and at any time. Two at once may lose a block, which is then freed; none
    is ever lent twice, for taking one off a list is a single step.
    """
    blocks = idle.pop(block.nbytes, [])
    idle[block.nbytes] = blocks  # now the last one of the dict
    blocks.append(block)
    sizes = tuple(idle.items())
    total = sum(size * len(kept) for size, kept in sizes)
    for size, kept in sizes:
        while total > limit and kept:
            kept.pop()
            total -= size
