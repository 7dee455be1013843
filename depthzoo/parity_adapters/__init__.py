"""How each architecture is built and run for a parity test: one module a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Adapter", "Arrays", "Meta", "adapter_of"]

Arrays = Mapping[str, NDArray[Any]]
Meta = Mapping[str, Any]

# names that meta.json gives as ``model`` or ``network``, as patterns -> module, whose ADAPTER it is
_TABLE = {
    "RAFTStereo": "raft_stereo",
    "insta_dm_*": "insta_dm",
    "dymultidepth_*": "dynamic_multiframe_depth",
    "monodepth2*": "monodepth2",
    "lite-mono*": "lite_mono",
    "litemono": "dynamo_depth",
    "monodepthv2": "dynamo_depth",
    "pose": "dynamo_depth",
    "motion": "dynamo_depth",
    "full (*": "dynamo_depth",
    "DynamicStereo": "dynamic_stereo",
}


@dataclass(frozen=True)
class Adapter:
    """How one architecture is built and run.

    Parameters
    ----------
    build : callable
        ``(meta, correlation) -> network`` with the authors' keys.
    run : callable
        ``(network, meta, arrays, dtype) -> results by name``, each in the layout that is recorded;
        the entries of the case stand in `meta` beside those of its folder.
    inputs : tuple of str
        Patterns of array names that are inputs.
    correlations : tuple of str
        The ways of correlating that the network has.
    outputs : tuple of str
        Patterns of the arrays that count where the network runs in half precision.
    half : mapping
        ``float16`` and ``bfloat16`` to what is tolerated of an output there: the root mean square
        of the difference over that of the recorded values.
    """

    build: Callable[[Meta, str], nn.Module]
    run: Callable[[nn.Module, Meta, Arrays, Any], Mapping[str, Tensor]]
    inputs: tuple[str, ...] = ("in_*",)
    correlations: tuple[str, ...] = ("reg",)
    outputs: tuple[str, ...] = ("out_*",)
    half: Mapping[str, float] = field(default_factory=lambda: {"float16": 0.01, "bfloat16": 0.05})


def adapter_of(architecture: str) -> Adapter | None:
    """Return the adapter of the name in a ``meta.json``, None where there is no such network."""
    for pattern, module in _TABLE.items():
        if fnmatchcase(architecture, pattern):
            found: Adapter = import_module(f"{__name__}.{module}").ADAPTER
            return found
    return None


def tensor(network: nn.Module, array: NDArray[np.generic], dtype: Any) -> Tensor:
    """Return an input on the device of a network."""
    import torch

    return torch.from_numpy(array).to(next(network.parameters()).device, dtype)
