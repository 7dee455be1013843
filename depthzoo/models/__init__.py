"""The models: a table of families, each a module with its cards and how to load them.

A family module has ``CARDS`` (a tuple of `Card`) and ``load(card, *, device, precision, weights,
**options)``, which returns a `Model`. Third parties add theirs through the entry point group
``depthzoo.models``, whose entries name such modules.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from depthdata.errors import UsageError
from depthzoo.models.card import Card, Needs, PublishedNumber, WeightsFile

if TYPE_CHECKING:
    from depthzoo.models.base import Model

__all__ = [
    "Card",
    "Model",
    "Needs",
    "PublishedNumber",
    "WeightsFile",
    "family_options",
    "list_models",
    "load",
    "model_card",
]

logger = logging.getLogger(__name__)

GROUP = "depthzoo.models"
_FAMILIES = (
    "depthzoo.models.sgbm",
    "depthzoo.models.raft_stereo",
    "depthzoo.models.dynamic_stereo",
    "depthzoo.models.monodepth2",
    "depthzoo.models.lite_mono",
    "depthzoo.models.dynamo_depth",
    "depthzoo.models.insta_dm",
    "depthzoo.models.dynamic_multiframe_depth",
)


def __getattr__(name: str) -> Any:
    if name == "Model":  # its module imports NumPy, which a list of names does not need
        return import_module("depthzoo.models.base").Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _table() -> dict[str, tuple[ModuleType, Card]]:
    families = [import_module(name) for name in _FAMILIES]
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    families += [family for family in map(_plug_in, entries) if family is not None]
    table: dict[str, tuple[ModuleType, Card]] = {}
    for family in families:
        for card in family.CARDS:
            if card.name in table:
                logger.warning("model %s of %s is known already: left out", card.name, family)
            table.setdefault(card.name, (family, card))
    return table


def _plug_in(entry: EntryPoint) -> ModuleType | None:
    """Load a third party's family; a broken one must not take the others along."""
    try:
        family: ModuleType = entry.load()
    except Exception as error:
        logger.warning("model plug-in %s (%s) fails: %s", entry.name, entry.value, error)
        return None
    return family


def list_models() -> tuple[str, ...]:
    """Return the names that `load` knows.

    Examples
    --------
    >>> "raft_stereo/sceneflow" in list_models()
    True
    """
    return tuple(_table())


def model_card(name: str) -> Card:
    """Return the facts about a model.

    Examples
    --------
    >>> model_card("sgbm").gives
    ('disparity',)
    """
    return _entry(name)[1]


def family_options(name: str) -> tuple[str, ...]:
    """Return the names of the options that a model's family offers.

    Examples
    --------
    >>> "outputs" in family_options("dynamo_depth/kitti")
    True
    """
    return tuple(getattr(_entry(name)[0], "OPTIONS", ()))


def load(
    name: str,
    device: str = "cpu",
    precision: str = "fp32",
    weights: str | Path | None = None,
    **options: Any,
) -> Model:
    """Load a model, ready to predict.

    Parameters
    ----------
    name : str
        One of `list_models()`.
    device : str
        ``cpu``, ``cuda``, ``cuda:1`` ...
    precision : str
        ``fp32``, ``fp16`` or ``bf16``.
    weights : path, optional
        The authors' file, the archive around it, or the folder that holds it; by default what
        ``depthzoo download`` put into the cache.
    **options
        What the family offers beyond, such as ``iterations`` or ``memory_budget``.

    Raises
    ------
    UsageError
        Unknown name or option; weights needed and not there (the line tells how to get them).
    FormatError
        The weights are damaged, unsafe, or of another model.
    """
    family, card = _entry(name)
    model: Model = family.load(card, device=device, precision=precision, weights=weights, **options)
    return model


def _entry(name: str) -> tuple[ModuleType, Card]:
    table = _table()
    if name not in table:
        near = [known for known in table if known.split("/")[0] == name.split("/")[0]]
        raise UsageError(f"no model {name!r}; there are {', '.join(near or table)}")
    return table[name]
