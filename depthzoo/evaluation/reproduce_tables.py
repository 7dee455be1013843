"""The published tables that ``depthzoo reproduce`` knows: which numbers, of which runs.

A table is data. Its numbers stand in the protocols (`Protocol.published`) or on the models' cards;
here is only what belongs together, and runs whose numbers are not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from depthdata.errors import UsageError
from depthdata.splits import list_splits
from depthdata.windows import load_windows
from depthzoo.evaluation.protocols import Protocol, Published, get_protocol
from depthzoo.evaluation.protocols.depth import DEPTH
from depthzoo.models import list_models, model_card

__all__ = ["TABLES", "Number", "Row", "Table", "find_table", "table_rows"]


@dataclass(frozen=True)
class Number:
    """One cell.

    Parameters
    ----------
    metric, region : str
        Our names.
    value : float or None
        As published; None where the number is not recorded here.
    source : str
    verified : bool
        False where the number was not compared with its source.
    """

    metric: str
    region: str = "all"
    value: float | None = None
    source: str = ""
    verified: bool = True


@dataclass(frozen=True)
class Row:
    """One run: a model under a protocol on a published selection, and the cells that it fills.

    Parameters
    ----------
    model : str
        Our name; of a method without published weights what its authors call it.
    protocol, split : str
    options : Mapping
        Of the model, as its authors used them.
    numbers : tuple of Number
    """

    model: str
    protocol: str
    split: str
    options: Mapping[str, Any] = field(default_factory=dict)
    numbers: tuple[Number, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether there are published weights."""
        return self.model in list_models()

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets whose sequences the selection names.

        >>> Row("sgbm", "dynamo_depth/motion_segmentation@1", "waymo/test_mask").datasets
        ('waymo', 'waymo_v2')
        """
        if self.split in list_splits():
            name = self.split.partition("/")[0].partition("_")[0]
            name = "kitti_raw" if name == "eigen" else name
        else:
            name = load_windows(self.split).dataset
        taken = get_protocol(self.protocol).datasets
        return tuple(d for d in taken if d in (name, f"{name}_v2")) or (name,)

    @property
    def title(self) -> str:
        """Model, protocol and split in a line."""
        return f"{self.model} under {self.protocol} on {self.split}"

    @property
    def slug(self) -> str:
        """The row as a file name.

        >>> Row("sgbm", "stereo/raft@1/eth3d", "eth3d/train").slug
        'sgbm-stereo_raft_1_eth3d-eth3d_train'
        """
        parts = (self.model, self.protocol, self.split)
        return "-".join(re.sub(r"\W+", "_", part).strip("_") for part in parts)


@dataclass(frozen=True)
class Table:
    """A published table.

    Parameters
    ----------
    name, title : str
    protocols : tuple of str
        Whose published numbers it takes.
    source : str
        Only numbers whose source says this.
    models : tuple of str
        Rows for these models (under every one of `protocols`) whose numbers are not recorded.
    splits : tuple of str
        Of such rows; those that a protocol lists.
    regions : tuple of str
        Of such rows.
    cards : str
        Family whose numbers stand on the cards of its models.
    note : str
        What a reader must know.
    """

    name: str
    title: str
    protocols: tuple[str, ...]
    source: str = ""
    models: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("all",)
    cards: str = ""
    note: str = ""


_NOT_RECORDED = (
    "Its numbers stand in the paper (tables 6 to 8, figures 4 and 8) and are not recorded here: "
    "ours are printed alone."
)
_NEAREST = (
    "Measured as Dynamo-Depth measures on the same frames (Garg crop, 80 m, median scaling, "
    "disparity resized): the authors' own program is no protocol here, so small differences are "
    "to be expected."
)
_NUSCENES = ("dynamo_depth/nuscenes", "dynamo_depth/nuscenes_md2")
_WAYMO = ("dynamo_depth/waymo", "dynamo_depth/waymo_md2")
_BY_MOTION = ("all", "background", "static", "moving")

TABLES = (
    Table(
        "dynamic_stereo/table5",
        "DynamicStereo, table 5: Sintel clean and final, Dynamic Replica",
        (
            "stereo/dynamic_stereo@1/sintel_clean",
            "stereo/dynamic_stereo@1/sintel_final",
            "stereo/dynamic_stereo@1/dynamic_replica_150",
        ),
        source="table 5",
    ),
    Table(
        "dynamic_stereo/issue11",
        "DynamicStereo, issue 11: all ten measures on Dynamic Replica test",
        ("stereo/dynamic_stereo@1/dynamic_replica_150",),
        source="issue 11",
    ),
    Table(
        "dynamic_stereo/flyingthings3d",
        "DynamicStereo on 40 sequences of FlyingThings3D TEST",
        ("stereo/dynamic_stereo@1/flyingthings3d_10",),
    ),
    Table(
        "raft_stereo/zero_shot",
        "RAFT-Stereo, trained on Scene Flow: KITTI 2015, Middlebury F, H, Q, ETH3D",
        (
            "stereo/raft@1/kitti",
            "stereo/raft@1/middlebury_F",
            "stereo/raft@1/middlebury_H",
            "stereo/raft@1/middlebury_Q",
            "stereo/raft@1/eth3d",
        ),
        source="paper",
        note="The paper averages several trainings; its authors say that single checkpoints vary.",
    ),
    Table(
        "raft_stereo/middlebury_q",
        "RAFT-Stereo's published checkpoint on Middlebury Q, from its issue tracker",
        ("stereo/raft@1/middlebury_Q",),
        source="issue tracker",
    ),
    Table(
        "dynamic_multiframe_depth/paper",
        "Dynamic-multiframe-depth: KITTI odometry, all pixels and moving objects",
        ("kitti_odometry/multiframe@1",),
    ),
    Table(
        "dynamo_depth/readme",
        "Dynamo-Depth, README: depth on KITTI, nuScenes, Waymo",
        (
            "dynamo_depth/depth@1/kitti",
            "dynamo_depth/depth@1/nuscenes",
            "dynamo_depth/depth@1/waymo",
        ),
        note="Its authors say that K_Dynamo-Depth and the Waymo rows differ a little from the "
        "paper; Waymo's with the corrected annotation.",
    ),
    Table(
        "dynamo_depth/dayclear",
        "Dynamo-Depth: depth on nuScenes by day and clear weather",
        ("dynamo_depth/depth@1/nuscenes",),
        source="-",
        models=_NUSCENES,
        splits=("nuscenes_dayclear/test",),
        note=_NOT_RECORDED,
    ),
    Table(
        "dynamo_depth/nuscenes_moving",
        "Dynamo-Depth: depth of background, static and moving objects, nuScenes",
        ("dynamo_depth/depth@1/nuscenes",),
        source="-",
        models=_NUSCENES,
        splits=("nuscenes/test_mask", "nuscenes_dayclear/test_mask"),
        regions=_BY_MOTION,
        note=_NOT_RECORDED,
    ),
    Table(
        "dynamo_depth/waymo_moving",
        "Dynamo-Depth: depth of background, static and moving objects, Waymo",
        ("dynamo_depth/depth@1/waymo",),
        source="-",
        models=_WAYMO,
        splits=("waymo/test_mask",),
        regions=_BY_MOTION,
        note=_NOT_RECORDED,
    ),
    Table(
        "dynamo_depth/nuscenes_segmentation",
        "Dynamo-Depth: motion segmentation, nuScenes by day and clear weather",
        ("dynamo_depth/motion_segmentation@1",),
        models=_NUSCENES,
        splits=("nuscenes_dayclear/test_mask",),
        note=_NOT_RECORDED,
    ),
    Table(
        "dynamo_depth/waymo_segmentation",
        "Dynamo-Depth: motion segmentation, Waymo",
        ("dynamo_depth/motion_segmentation@1",),
        models=_WAYMO,
        splits=("waymo/test_mask",),
        note=_NOT_RECORDED,
    ),
    Table(
        "dynamo_depth/nuscenes_odometry",
        "Dynamo-Depth: odometry, nuScenes",
        ("dynamo_depth/odometry@1", "odometry/snippet5@1"),
        models=_NUSCENES,
        splits=("nuscenes/test",),
        note=f"{_NOT_RECORDED} Both as published and put right.",
    ),
    Table(
        "dynamo_depth/waymo_odometry",
        "Dynamo-Depth: odometry, Waymo",
        ("dynamo_depth/odometry@1", "odometry/snippet5@1"),
        models=_WAYMO,
        splits=("waymo/test",),
        note=f"{_NOT_RECORDED} Both as published and put right.",
    ),
    Table(
        "insta_dm/readme",
        "Insta-DM, README: depth on KITTI, Eigen split",
        ("kitti_raw/eigen@1",),
        source="Insta-DM",
    ),
    Table(
        "monodepth2/readme",
        "Monodepth2, README: depth on KITTI, Eigen split",
        ("dynamo_depth/depth@1/kitti",),
        source="-",
        cards="monodepth2",
        note=_NEAREST,
    ),
    Table(
        "lite_mono/readme",
        "Lite-Mono, README: depth on KITTI, Eigen split",
        ("dynamo_depth/depth@1/kitti",),
        source="-",
        cards="lite_mono",
        note=_NEAREST,
    ),
)
"""In the order of ``depthzoo reproduce --list``."""

_CARD_METRICS = ("Abs Rel", "Sq Rel", "RMSE", "RMSE log", "a1", "a2", "a3")


def find_table(name: str) -> Table:
    """Return a table by its name.

    >>> find_table("insta_dm/readme").protocols
    ('kitti_raw/eigen@1',)
    """
    for table in TABLES:
        if table.name == name:
            return table
    raise UsageError(f"no table {name!r}; there are {', '.join(t.name for t in TABLES)}")


def table_rows(table: Table) -> tuple[Row, ...]:
    """Return the runs of a table, each with all of its numbers.

    >>> [row.model for row in table_rows(find_table("insta_dm/readme"))]
    ['insta_dm/kitti', 'insta_dm/cityscapes_kitti']
    """
    merged: dict[tuple[Any, ...], Row] = {}
    for row in _rows(table):
        key = (row.model, row.protocol, row.split, tuple(sorted(row.options.items())))
        before = merged[key].numbers if key in merged else ()
        merged[key] = Row(row.model, row.protocol, row.split, row.options, before + row.numbers)
    return tuple(merged.values())


def _rows(table: Table) -> Iterator[Row]:
    for protocol in map(get_protocol, table.protocols):
        for one in protocol.published:
            if table.source in one.source and table.source != "-":
                yield _published(protocol, one)
        for split in table.splits:
            for model in table.models:
                yield Row(model, protocol.id, split, {}, _unrecorded(protocol, table.regions))
        for model in list_models() if table.cards else ():
            card = model_card(model)
            if card.family == table.cards and card.numbers:
                yield Row(model, protocol.id, protocol.split or "", {}, _of_card(card))


def _published(protocol: Protocol, one: Published) -> Row:
    numbers = tuple(
        Number(metric, one.region, value, one.source, one.verified)
        for metric, value in one.values.items()
    )
    return Row(one.model, protocol.id, one.split or protocol.split or "", one.options, numbers)


def _unrecorded(protocol: Protocol, regions: tuple[str, ...]) -> tuple[Number, ...]:
    return tuple(Number(metric, region) for region in regions for metric in protocol.metrics)


def _of_card(card: Any) -> tuple[Number, ...]:
    ours = dict(zip(_CARD_METRICS, DEPTH, strict=True))
    return tuple(Number(ours[n.metric], "all", n.value, n.source) for n in card.numbers)
