"""Autocast as a switch of a network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["AutocastModule"]


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
