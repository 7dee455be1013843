"""The source datasets: one module each, found by name.

A source is a module (or any object) with

- ``CARD``, a `Card`;
- ``VERSION``, an integer that grows whenever the same input gives another sequence file;
- ``sequences(root)``, a list of `SequenceSpec`, cheap: names and sizes, no decoding;
- ``fingerprint(spec)``, a text that changes when the source files do;
- ``write(spec, writer)``, which fills a `depthdata.SequenceWriter`;
- where it offers ``PRESETS``, a dict of name and description, ``write(spec, writer, preset=name)``
  adds what the preset says.

Other packages add their own through the entry point group ``depthdata.sources``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast

from depthdata.errors import UsageError
from depthdata.sources.card import Archive, Card, SequenceSpec

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = [
    "Archive",
    "Card",
    "SequenceSpec",
    "Source",
    "dataset_card",
    "get",
    "list_datasets",
    "names",
]

GROUP = "depthdata.sources"

_BUILT_IN = {
    "cityscapes": "depthdata.sources.cityscapes",
    "cityscapes_vis": "depthdata.sources.cityscapes_vis",
    "dynamic_replica": "depthdata.sources.dynamic_replica",
    "eth3d": "depthdata.sources.eth3d",
    "kitti_2012": "depthdata.sources.kitti_2012",
    "kitti_2015": "depthdata.sources.kitti_2015",
    "kitti_depth": "depthdata.sources.kitti_depth",
    "kitti_odometry": "depthdata.sources.kitti_odometry",
    "kitti_raw": "depthdata.sources.kitti_raw",
    "kitti_vis": "depthdata.sources.kitti_vis",
    "middlebury": "depthdata.sources.middlebury",
    "nuscenes": "depthdata.sources.nuscenes",
    "sceneflow": "depthdata.sources.sceneflow",
    "sintel": "depthdata.sources.sintel",
    "waymo": "depthdata.sources.waymo",
    "waymo_v2": "depthdata.sources.waymo_v2",
}


class Source(Protocol):
    """What a source module offers."""

    CARD: Card
    VERSION: int

    def sequences(self, root: str) -> list[SequenceSpec]:
        """Return the sequences below a folder."""

    def fingerprint(self, spec: SequenceSpec) -> str:
        """Return a text that changes with the files of the sequence."""

    def write(self, spec: SequenceSpec, writer: SequenceWriter) -> None:
        """Fill a sequence file."""


def names() -> tuple[str, ...]:
    """Return the names of all sources, sorted."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def get(name: str) -> Source:
    """Return the source of a name.

    Raises
    ------
    UsageError
        There is none of that name.

    Examples
    --------
    >>> get("kitti_raw").CARD.licence
    'CC BY-NC-SA 3.0'
    """
    if name in _BUILT_IN:
        return cast(Source, import_module(_BUILT_IN[name]))
    for point in entry_points(group=GROUP):
        if point.name == name:
            return cast(Source, point.load())
    raise UsageError(f"no source dataset is called {name!r}; there are {', '.join(names())}")


def list_datasets() -> tuple[str, ...]:
    """Return the names of the datasets that can be converted.

    Examples
    --------
    >>> "kitti_raw" in list_datasets()
    True
    """
    return names()


def dataset_card(name: str) -> Card:
    """Return the facts about a dataset: licence, citation, archives, splits, known defects.

    Examples
    --------
    >>> len(dataset_card("kitti_raw").archives)
    66
    """
    return get(name).CARD
