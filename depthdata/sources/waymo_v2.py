"""Waymo Open Dataset, perception v2: its card, and its component tables as sequences.

A segment is one Parquet file for each component (camera_image, lidar, ...). What is made of it is
what `depthdata.sources.waymo` makes of the record file of the same segment.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from depthdata.errors import SourceError
from depthdata.sources import waymo
from depthdata.sources.card import Archive, Card, SequenceSpec

if TYPE_CHECKING:
    from depthdata.sequence import SequenceWriter

__all__ = ["CARD", "PRESETS", "VERSION", "fingerprint", "sequences", "write"]

VERSION = 1

PRESETS = waymo.PRESETS
"""Preparations that `write` can add."""

_NEEDED = ("camera_image", "camera_calibration", "vehicle_pose")
_WITH_LIDAR = ("lidar_calibration", "lidar_pose", "lidar_camera_projection")
_OPTIONAL = ("lidar_box", "lidar_camera_synced_box", "camera_box", "camera_segmentation", "stats")
_BUCKET = "gs://waymo_open_dataset_v_2_0_1"


def _archives() -> tuple[Archive, ...]:
    return tuple(
        Archive(
            f"{split}/{component}",
            f"{_BUCKET}/{split}/{component}/*.parquet",
            parts=(split, component),
            optional=split == "testing" or component == "stats",
            extract_to=f"{split}/{component}",
            unpack=False,
            many=True,
        )
        for split in ("training", "validation", "testing")
        for component in (*_NEEDED, "lidar", *_WITH_LIDAR, *_OPTIONAL)
    )


CARD: Card = replace(
    waymo.CARD,
    name="waymo_v2",
    archives=_archives(),
    title="Waymo Open Dataset, perception v2 (Parquet components)",
    notes=(
        *waymo.CARD.notes,
        "read with pyarrow: pip install 'depthdata[waymo2]'",
        "of the components only those that are there are used; camera_image, camera_calibration "
        "and vehicle_pose must be; lidar needs lidar_calibration, lidar_pose and "
        "lidar_camera_projection",
        "there are no polygons of no-label zones and no map",
        "names of components and columns are from the dataset's own documentation; the layout was "
        "written and read by us only, as no real tables were at hand",
    ),
)


def sequences(root: str | os.PathLike[str]) -> list[SequenceSpec]:
    """Return the segments below a folder or its folders training, validation ...; by name.

    Raises
    ------
    SourceError
        There is no camera_image component.
    """
    folder = Path(root).resolve()
    if folder.name == "camera_image":
        folder = folder.parent
    places = [folder, *(folder / name for name in waymo.SPLITS if (folder / name).is_dir())]
    specs = [
        SequenceSpec(
            dataset=CARD.name,
            name=f"segment-{path.stem}",
            root=str(place),
            split=waymo.SPLITS.get(place.name),
            files={
                tag: f"{tag}/{path.name}"
                for tag in (*_NEEDED, "lidar", *_WITH_LIDAR, *_OPTIONAL)
                if (place / tag / path.name).is_file()
            },
        )
        for place in places
        for path in sorted((place / "camera_image").glob("*.parquet"))
    ]
    if not specs:
        raise SourceError(
            f"{folder}: no segment found; expected camera_image/*.parquet here or in training, "
            "validation or testing"
        )
    return sorted(specs, key=lambda spec: spec.name)


def fingerprint(spec: SequenceSpec) -> str:
    """Return a digest of the tables; see `depthdata.sources.files.fingerprint_files`."""
    from depthdata.sources.files import fingerprint_files

    return fingerprint_files(spec.root, sorted(spec.files.values()))


def write(spec: SequenceSpec, writer: SequenceWriter, preset: str | None = None) -> None:
    """Write one segment; the memory does not depend on the size of the tables.

    `preset` is one of `PRESETS`.

    Raises
    ------
    SourceError
        A component is missing (`incomplete`) or damaged: one line.
    MissingDependencyError
        pyarrow is not installed.
    """
    for tag in (*_NEEDED, *(_WITH_LIDAR if "lidar" in spec.files else ())):
        if tag not in spec.files:
            name = f"{spec.name.removeprefix('segment-')}.parquet"
            raise SourceError(
                f"{Path(spec.root) / tag / name} is missing; download the component {tag}, too",
                incomplete=True,
            )
    from depthdata.sources.waymo_segment import write_recording
    from depthdata.sources.waymo_v2_tables import TableSegment

    write_recording(TableSegment(spec), writer, preset)
