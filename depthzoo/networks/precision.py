"""Autocast as a switch of a network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["AutocastModule", "full_precision", "without_autocast"]


class AutocastModule(nn.Module):
    """A module whose heavy parts run under autocast where that is asked for."""

    _autocast_dtype: torch.dtype | None = None

    def use_autocast(self, dtype: Literal["float16", "bfloat16"] | None) -> None:
        """Run under autocast to a dtype; None leaves whatever is around in effect."""
        self._autocast_dtype = None if dtype is None else getattr(torch, dtype)

    def _autocast(self, like: Tensor) -> AbstractContextManager[object]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(like.device.type, self._autocast_dtype)


def without_autocast(like: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the device of a tensor, where it is on."""
    kind = like.device.type
    if not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def full_precision(layer: nn.Module, x: Tensor) -> Tensor:
    """Call a layer in the dtype of its own weights, also where autocast is on.

    For the heads of a network: half precision would show as steps in what they predict.
    """
    if not torch.is_autocast_enabled(x.device.type):
        y: Tensor = layer(x)
        return y
    with torch.autocast(x.device.type, enabled=False):
        y = layer(x.to(next(layer.parameters()).dtype))
        return y
