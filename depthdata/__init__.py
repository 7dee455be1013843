"""Depth in dynamic scenes: many datasets, one HDF5 sequence format, one loader.

>>> import depthdata as dd
>>> "kitti_raw" in dd.list_datasets()
True

Every name below is imported when it is first used, so that ``import depthdata`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from depthdata._version import __version__

_PUBLIC = {
    "CheckReport": "depthdata.checks",
    "DepthdataError": "depthdata.errors",
    "Sequence": "depthdata.sequence",
    "SequenceDataset": "depthdata.loading",
    "SequenceWriter": "depthdata.sequence",
    "SyntheticScene": "depthdata.synthetic",
    "Window": "depthdata.loading",
    "check": "depthdata.checks",
    "collate": "depthdata.loading",
    "compare": "depthdata.comparison",
    "contact_sheet": "depthdata.view",
    "convert": "depthdata.conversion",
    "dataset_card": "depthdata.sources",
    "download": "depthdata.downloading",
    "export": "depthdata.exporting",
    "list_datasets": "depthdata.sources",
    "list_splits": "depthdata.splits",
    "list_windows": "depthdata.windows",
    "load_split": "depthdata.splits",
    "load_windows": "depthdata.windows",
    "open_sequence": "depthdata.sequence",
    "verify": "depthdata.sequence",
    "video": "depthdata.view",
}

__all__ = [*_PUBLIC, "__version__"]

if TYPE_CHECKING:
    from depthdata.checks import CheckReport as CheckReport
    from depthdata.checks import check as check
    from depthdata.comparison import compare as compare
    from depthdata.conversion import convert as convert
    from depthdata.downloading import download as download
    from depthdata.errors import DepthdataError as DepthdataError
    from depthdata.exporting import export as export
    from depthdata.loading import SequenceDataset as SequenceDataset
    from depthdata.loading import Window as Window
    from depthdata.loading import collate as collate
    from depthdata.sequence import Sequence as Sequence
    from depthdata.sequence import SequenceWriter as SequenceWriter
    from depthdata.sequence import open_sequence as open_sequence
    from depthdata.sequence import verify as verify
    from depthdata.sources import dataset_card as dataset_card
    from depthdata.sources import list_datasets as list_datasets
    from depthdata.splits import list_splits as list_splits
    from depthdata.splits import load_split as load_split
    from depthdata.synthetic import SyntheticScene as SyntheticScene
    from depthdata.view import contact_sheet as contact_sheet
    from depthdata.view import video as video
    from depthdata.windows import list_windows as list_windows
    from depthdata.windows import load_windows as load_windows


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'depthdata' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
