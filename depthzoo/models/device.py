"""Where and in what arithmetic a model runs, checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from depthdata.errors import UsageError

__all__ = ["autocast_of", "device_of", "full_float32"]

_AUTOCAST: dict[str, Literal["float16", "bfloat16"] | None] = {
    "fp32": None,
    "fp16": "float16",
    "bf16": "bfloat16",
}


def autocast_of(precision: str, model: str) -> Literal["float16", "bfloat16"] | None:
    """Return the dtype of autocast for ``fp32`` (none), ``fp16`` or ``bf16``."""
    if precision not in _AUTOCAST:
        expected = ", ".join(_AUTOCAST)
        raise UsageError(f"{model}: precision is one of {expected}; got {precision!r}")
    return _AUTOCAST[precision]


def device_of(name: str, model: str) -> torch.device:
    """Return a device that this machine has."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"{model}: no device {name!r}; give cpu, cuda or cuda:INDEX") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"{model}: no device {name!r}, this machine shows {torch.cuda.device_count()} CUDA "
            "devices; give device='cpu'"
        )
    return device


@contextmanager
def full_float32(device: torch.device, precision: str) -> Iterator[None]:
    """Keep the convolutions of a GPU from rounding to TF32 where ``fp32`` was asked for."""
    if device.type != "cuda" or precision != "fp32":
        yield
        return
    before = torch.backends.cudnn.allow_tf32  # matrix products are exact unless asked otherwise
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
