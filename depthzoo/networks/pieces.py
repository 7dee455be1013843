"""Work on a few images or rows at a time, so that intermediate results stay small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["in_pieces"]


def in_pieces(
    function: Callable[[slice], Tensor],
    length: int,
    size: int | None,
    *,
    dim: int = 0,
    out: Tensor | None = None,
) -> Tensor:
    """Put the pieces of a result together.

    Parameters
    ----------
    function : callable
        Makes the piece of a slice of ``0 .. length``.
    length, size : int
        Of the whole and of a piece; None or a size that covers the whole is one call, whose result
        is returned as it is.
    dim : int
        Axis of the result along which the pieces lie.
    out : Tensor, optional
        Receives the pieces; it may be what `function` reads, if a piece depends on no other.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(5.0)
    >>> in_pieces(lambda at: x[at] ** 2, 5, 2)
    tensor([ 0.,  1.,  4.,  9., 16.])
    """
    if size is None or size >= length:
        return function(slice(0, length))
    size = max(1, size)
    for start in range(0, length, size):
        stop = min(start + size, length)
        piece = function(slice(start, stop))
        if out is None:
            shape = list(piece.shape)
            shape[dim] = length
            out = torch.empty(shape, dtype=piece.dtype, device=piece.device)
        out.narrow(dim, start, stop - start).copy_(piece)
    assert out is not None  # length is at least 1
    return out
