"""The JSON tables of nuScenes as numpy columns: one pass over each file, no devkit.

A table is a list of rows that name each other by tokens. Here a row is its number and a reference
is the number of the row it names (-1: none), so that the tables of all scenes take a small part of
the memory of the decoded JSON. Rows of radars are left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthdata.codecs.nuscenes_columns import Batch, Texts, TokenIndex, batches, grown, lookup
from depthdata.errors import FormatError

__all__ = [
    "CHANNELS",
    "LIDAR",
    "TABLES",
    "Annotations",
    "Calibrations",
    "NuscenesTables",
    "Records",
    "Samples",
    "Scenes",
    "read_tables",
]

LIDAR = "LIDAR_TOP"
CHANNELS = (
    *("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT"),
    *("CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT", LIDAR),
)
"""The channels whose records are kept; `Records.channel` counts in this order."""

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "sample"),
    *("sample_annotation", "sample_data", "scene", "sensor", "visibility"),
)
"""The tables that must be there; ``panoptic`` is read where it is, ``map`` never."""

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Tokens = npt.NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class Calibrations:
    """``calibrated_sensor``: where a sensor is on the vehicle.

    Attributes
    ----------
    channel : (n,) int32
        Position in `CHANNELS`, -1 for others (radars).
    pose : (n, 7) float64
        Sensor to ego: rotation w x y z, translation x y z in metres.
    intrinsics : (n, 3, 3) float64
        NaN for sensors that are no cameras.
    """

    channel: Ints
    pose: Floats
    intrinsics: Floats


@dataclass(frozen=True, eq=False)
class Scenes:
    """``scene`` with its ``log``.

    Attributes
    ----------
    tokens : (n,) bytes
    names, descriptions : list of str
    first, last : (n,) int32
        Samples.
    count : (n,) int64
        Number of samples that the table states.
    logs : list of dict
        ``logfile``, ``vehicle``, ``date_captured``, ``location``.
    """

    tokens: Tokens
    names: list[str]
    descriptions: list[str]
    first: Ints
    last: Ints
    count: Longs
    logs: list[dict[str, str]]


@dataclass(frozen=True, eq=False)
class Samples:
    """``sample``: the annotated moments (key frames), `timestamp` in microseconds."""

    tokens: Tokens
    timestamp: Longs
    scene: Ints
    prev: Ints
    next: Ints


@dataclass(frozen=True, eq=False)
class Records:
    """``sample_data`` of cameras and the top lidar, with the ``ego_pose`` of each.

    Attributes
    ----------
    tokens : (n,) bytes
    sample, calibration, prev, next : (n,) int32
    channel : (n,) int32
        Position in `CHANNELS`.
    timestamp : (n,) int64
        Microseconds.
    key : (n,) bool
        Key frame.
    size : (n, 2) int32
        Height, width; 0 for the lidar.
    pose : (n, 7) float64
        Ego to world at the time of the record: rotation w x y z, translation x y z in metres.
    files : Texts
        Path below the root.
    """

    tokens: Tokens
    sample: Ints
    calibration: Ints
    channel: Ints
    timestamp: Longs
    key: Flags
    prev: Ints
    next: Ints
    size: Ints
    pose: Floats
    files: Texts


@dataclass(frozen=True, eq=False)
class Annotations:
    """``sample_annotation``: 3-D boxes, in the order of the table.

    Attributes
    ----------
    tokens : (n,) bytes
    sample, instance, prev, next : (n,) int32
    visibility : (n,) int32
        Position in `NuscenesTables.visibilities`; -1 where not told.
    pose : (n, 7) float64
        Box to world: rotation w x y z, translation x y z in metres.
    size : (n, 3) float64
        Width, length, height as in the table, metres.
    attributes : (n,) uint64
        Bit k is set where the box has attribute k.
    lidar_points, radar_points : (n,) int64
    """

    tokens: Tokens
    sample: Ints
    instance: Ints
    visibility: Ints
    prev: Ints
    next: Ints
    pose: Floats
    size: Floats
    attributes: npt.NDArray[np.uint64]
    lidar_points: Longs
    radar_points: Longs


@dataclass(frozen=True, eq=False)
class NuscenesTables:
    """All tables of a version.

    Attributes
    ----------
    folder : Path
    attributes, visibilities, categories : list of str
        Names (levels) by row.
    category_index : (n,) int64 or None
        Number of each category in panoptic labels; None without the panoptic add-on.
    instance_tokens : (n,) bytes
    instance_category : (n,) int32
    panoptic : dict
        Record -> path of its panoptic labels below the root.
    has_panoptic : bool
        Whether there is a table ``panoptic``.
    """

    folder: Path
    calibrations: Calibrations
    scenes: Scenes
    samples: Samples
    records: Records
    annotations: Annotations
    attributes: list[str]
    visibilities: list[str]
    categories: list[str]
    category_index: Longs | None
    instance_tokens: Tokens
    instance_category: Ints
    panoptic: dict[int, str]
    has_panoptic: bool


def read_tables(folder: str | Path, channels: Collection[str] = CHANNELS) -> NuscenesTables:
    """Read the tables of a folder such as ``v1.0-mini``.

    Parameters
    ----------
    folder : path
    channels : collection of str
        Keep the records of these only.

    Raises
    ------
    SourceError
        A table is missing (`incomplete`) or cannot be read.
    FormatError
        A table is cut, lacks a field, or names a token that no row has: one line with the table,
        the row (from 0) and the field.
    """
    folder = Path(folder)
    calibrations, calibrated = _calibrations(folder, channels)
    scenes, samples, sample_index = _scenes_and_samples(folder)
    records, record_index = _records(folder, calibrations, calibrated, sample_index)
    attributes, attribute_index = _names(folder, "attribute", "name")
    visibilities, visibility_index = _names(folder, "visibility", "level")
    categories, category_index = _names(folder, "category", "name")
    numbers = _category_numbers(folder)
    tokens, category_of = _instances(folder, category_index)
    annotations = _annotations(
        folder, sample_index, TokenIndex(tokens, "instance"), visibility_index, attribute_index
    )
    has_panoptic = (folder / "panoptic.json").is_file()
    return NuscenesTables(
        folder=folder,
        calibrations=calibrations,
        scenes=scenes,
        samples=samples,
        records=records,
        annotations=annotations,
        attributes=attributes,
        visibilities=visibilities,
        categories=categories,
        category_index=numbers,
        instance_tokens=tokens,
        instance_category=category_of,
        panoptic=_panoptic(folder, record_index) if has_panoptic else {},
        has_panoptic=has_panoptic,
    )


def _names(folder: Path, table: str, field: str) -> tuple[list[str], TokenIndex]:
    tokens, names = [], []
    for batch in batches(folder, table):
        tokens.append(batch.tokens("token"))
        names += batch.texts(field)
    return names, TokenIndex(grown(tokens), table, folder)


def _calibrations(folder: Path, channels: Collection[str]) -> tuple[Calibrations, TokenIndex]:
    names, sensors = _names(folder, "sensor", "channel")
    kept = [CHANNELS.index(n) if n in CHANNELS and n in channels else -1 for n in names]
    number_of = np.array([*kept, -1], np.int32)
    tokens, sensor, poses, matrices = [], [], [], []
    for batch in batches(folder, "calibrated_sensor"):
        tokens.append(batch.tokens("token"))
        sensor.append(batch.references("sensor_token", sensors))
        poses.append(batch.poses())
        matrices.append(batch.intrinsics("camera_intrinsic"))
    index = TokenIndex(grown(tokens), "calibrated_sensor", folder)
    channel = number_of[grown(sensor, np.int32)]
    pose = grown(poses, np.float64, 7)
    return Calibrations(channel, pose, grown(matrices, np.float64, 3, 3)), index


def _scenes_and_samples(folder: Path) -> tuple[Scenes, Samples, TokenIndex]:
    log_tokens, logs = [], []
    for batch in batches(folder, "log"):
        log_tokens.append(batch.tokens("token"))
        fields = ("logfile", "vehicle", "date_captured", "location")
        columns = [batch.texts(field) for field in fields]
        logs += [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]
    log_index = TokenIndex(grown(log_tokens), "log", folder)
    scenes = list(batches(folder, "scene"))
    scene_index = TokenIndex(grown([b.tokens("token") for b in scenes]), "scene", folder)
    log_of = [int(k) for b in scenes for k in b.references("log_token", log_index)]

    parts = [_sample_columns(batch, scene_index) for batch in batches(folder, "sample")]
    tokens, timestamp, scene, prev, following = (
        zip(*parts, strict=True) if parts else ((), (), (), (), ())
    )
    index = TokenIndex(grown(tokens), "sample", folder)
    samples = Samples(
        index.tokens,
        grown(timestamp, np.int64),
        grown(scene, np.int32),
        lookup(index, grown(prev), folder, "sample", "prev"),
        lookup(index, grown(following), folder, "sample", "next"),
    )
    table = Scenes(
        scene_index.tokens,
        [name for b in scenes for name in b.texts("name")],
        [text for b in scenes for text in b.texts("description")],
        grown([b.references("first_sample_token", index) for b in scenes], np.int32),
        grown([b.references("last_sample_token", index) for b in scenes], np.int32),
        grown([b.integers("nbr_samples") for b in scenes], np.int64),
        [logs[k] for k in log_of],
    )
    return table, samples, index


def _sample_columns(batch: Batch, scenes: TokenIndex) -> tuple[Tokens, Longs, Ints, Tokens, Tokens]:
    return (
        batch.tokens("token"),
        batch.integers("timestamp"),
        batch.references("scene_token", scenes),
        batch.tokens("prev"),
        batch.tokens("next"),
    )


def _records(
    folder: Path, calibrations: Calibrations, calibrated: TokenIndex, samples: TokenIndex
) -> tuple[Records, TokenIndex]:
    tokens, prev, following, poses = [], [], [], []
    columns: dict[str, list[npt.NDArray[np.generic]]] = {
        name: [] for name in ("row", "sample", "calibration", "timestamp", "key", "size")
    }
    files = Texts()
    for every in batches(folder, "sample_data"):
        calibration = every.references("calibrated_sensor_token", calibrated)
        kept = np.flatnonzero(calibrations.channel[calibration] >= 0)
        batch = every.chosen(kept)
        if not len(batch.rows):
            continue
        tokens.append(batch.tokens("token"))
        prev.append(batch.tokens("prev"))
        following.append(batch.tokens("next"))
        poses.append(batch.tokens("ego_pose_token"))
        size = np.stack([batch.integers("height"), batch.integers("width")], -1)
        for name, values in (
            ("row", batch.numbers),
            ("sample", batch.references("sample_token", samples)),
            ("calibration", calibration[kept]),
            ("timestamp", batch.integers("timestamp")),
            ("key", batch.flags("is_key_frame")),
            ("size", size.astype(np.int32)),
        ):
            columns[name].append(values)
        files.extend(batch.texts("filename"))
    index = TokenIndex(grown(tokens), "sample_data", folder)
    rows = grown(columns["row"], np.int64)
    calibration = grown(columns["calibration"], np.int32)
    links = [
        lookup(index, grown(found), folder, "sample_data", field, rows)
        for field, found in (("prev", prev), ("next", following))
    ]
    pose = _ego_poses(folder, grown(poses), rows)
    records = Records(
        tokens=index.tokens,
        sample=grown(columns["sample"], np.int32),
        calibration=calibration,
        channel=calibrations.channel[calibration],
        timestamp=grown(columns["timestamp"], np.int64),
        key=grown(columns["key"], np.bool_),
        prev=links[0],
        next=links[1],
        size=grown(columns["size"], np.int32, 2),
        pose=pose,
        files=files,
    )
    return records, index


def _ego_poses(folder: Path, wanted: Tokens, rows: Longs) -> Floats:
    """Return the poses of the wanted tokens, (n, 7); the others are passed over."""
    index = TokenIndex(wanted, "ego_pose", repeats=True)
    place = index.find(wanted)
    poses = np.full((len(wanted), 7), np.nan)
    for batch in batches(folder, "ego_pose"):
        found = index.find(batch.tokens("token"))
        kept = np.flatnonzero(found >= 0)
        poses[found[kept]] = batch.chosen(kept).poses()
    poses = poses[place]
    absent = np.flatnonzero(np.isnan(poses[:, 0]))
    if absent.size:
        k = int(absent[0])
        raise FormatError(
            f"{folder / 'sample_data.json'}: row {rows[k]}, field ego_pose_token: no row of "
            f"ego_pose has the token {wanted[k].decode()!r}"
        )
    return poses


def _category_numbers(folder: Path) -> Longs | None:
    """Numbers of the categories in panoptic labels; None where the add-on is not there."""
    parts = []
    for batch in batches(folder, "category"):
        if not any("index" in row for row in batch.rows):
            return None
        parts.append(batch.integers("index"))
    return grown(parts, np.int64)


def _instances(folder: Path, categories: TokenIndex) -> tuple[Tokens, Ints]:
    tokens, category = [], []
    for batch in batches(folder, "instance"):
        tokens.append(batch.tokens("token"))
        category.append(batch.references("category_token", categories))
    return grown(tokens), grown(category, np.int32)


def _annotations(
    folder: Path,
    samples: TokenIndex,
    instances: TokenIndex,
    visibilities: TokenIndex,
    attributes: TokenIndex,
) -> Annotations:
    tokens, prev, following = [], [], []
    columns: dict[str, list[npt.NDArray[np.generic]]] = {}
    for batch in batches(folder, "sample_annotation"):
        tokens.append(batch.tokens("token"))
        prev.append(batch.tokens("prev"))
        following.append(batch.tokens("next"))
        for name, values in (
            ("sample", batch.references("sample_token", samples)),
            ("instance", batch.references("instance_token", instances)),
            ("visibility", batch.references("visibility_token", visibilities, optional=True)),
            ("pose", batch.poses()),
            ("size", batch.vectors("size", 3)),
            ("attributes", batch.bits("attribute_tokens", attributes)),
            ("lidar_points", batch.integers("num_lidar_pts")),
            ("radar_points", batch.integers("num_radar_pts")),
        ):
            columns.setdefault(name, []).append(values)
    index = TokenIndex(grown(tokens), "sample_annotation", folder)
    links = [
        lookup(index, grown(found), folder, "sample_annotation", field)
        for field, found in (("prev", prev), ("next", following))
    ]
    return Annotations(
        tokens=index.tokens,
        sample=grown(columns.get("sample", ()), np.int32),
        instance=grown(columns.get("instance", ()), np.int32),
        visibility=grown(columns.get("visibility", ()), np.int32),
        prev=links[0],
        next=links[1],
        pose=grown(columns.get("pose", ()), np.float64, 7),
        size=grown(columns.get("size", ()), np.float64, 3),
        attributes=grown(columns.get("attributes", ()), np.uint64),
        lidar_points=grown(columns.get("lidar_points", ()), np.int64),
        radar_points=grown(columns.get("radar_points", ()), np.int64),
    )


def _panoptic(folder: Path, records: TokenIndex) -> dict[int, str]:
    files: dict[int, str] = {}
    for batch in batches(folder, "panoptic"):
        record = batch.references("sample_data_token", records)
        files.update(zip(record.tolist(), batch.texts("filename"), strict=True))
    return files
