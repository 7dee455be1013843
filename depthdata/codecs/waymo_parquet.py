"""Component tables of the Waymo Open Dataset, perception v2: rows of a Parquet file, streamed.

A segment has one file for each component. Columns are ``key.<name>`` and
``[<Component>].<field>``; here they are named by key or field alone. pyarrow is imported when a
file is read (extra ``waymo2``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthdata.errors import FormatError, MissingDependencyError

__all__ = [
    "COMPONENTS",
    "SEGMENT",
    "TIME",
    "component_path",
    "load_pyarrow",
    "matrix",
    "range_image",
    "rows",
]

COMPONENTS = {
    "camera_image": "CameraImageComponent",
    "camera_calibration": "CameraCalibrationComponent",
    "lidar": "LiDARComponent",
    "lidar_pose": "LiDARPoseComponent",
    "lidar_camera_projection": "LiDARCameraProjectionComponent",
    "lidar_calibration": "LiDARCalibrationComponent",
    "vehicle_pose": "VehiclePoseComponent",
    "lidar_box": "LiDARBoxComponent",
    "lidar_camera_synced_box": "LiDARCameraSyncedBoxComponent",
    "camera_box": "CameraBoxComponent",
    "camera_segmentation": "CameraSegmentationLabelComponent",
    "stats": "StatsComponent",
}
"""Tag of a component (its folder) and the prefix of its columns."""

SEGMENT = "key.segment_context_name"
TIME = "key.frame_timestamp_micros"

_BUFFER = 1 << 20  # bytes read ahead of each column
_MOST_CELLS = 1 << 22  # of a range image; the largest real one has 170,000


def rows(
    path: str | os.PathLike[str],
    tag: str,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    batch: int = 256,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a component, in the order of the file.

    Parameters
    ----------
    path : path
    tag : str
        One of `COMPONENTS`.
    columns : sequence of str
        Fields, and keys (``key.…``) to read; nothing else is decoded.
    optional : sequence of str
        Fields that may be missing, or empty in a row; None then. Numbers among `columns` may not,
        text, bytes and lists may.
    batch : int
        Rows decoded at a time: few where they are large.

    Returns
    -------
    iterator of dict
        Column -> number, str, bytes, numpy array of a list, or None.

    Raises
    ------
    FormatError
        The file is damaged, or has no such column.
    MissingDependencyError
        pyarrow is not installed.
    """
    pyarrow, parquet = load_pyarrow()
    names = {column: _column(tag, column) for column in (*columns, *optional)}
    try:
        with parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            known = set(file.schema_arrow.names)
            for column in columns:
                if names[column] not in known:
                    raise FormatError(
                        f"{path}: no column {names[column]!r}; no component {tag} of perception v2"
                    )
            present = {column: name for column, name in names.items() if name in known}
            batches = file.iter_batches(
                batch_size=batch, columns=list(present.values()), use_threads=False
            )
            for part in batches:
                arrays = {column: part.column(name) for column, name in present.items()}
                for name in columns:
                    plain = pyarrow.types.is_primitive(arrays[name].type)
                    if plain and arrays[name].null_count:
                        raise FormatError(f"{path}: column {names[name]!r} has empty rows")
                for i in range(part.num_rows):
                    row = {column: _value(array[i]) for column, array in arrays.items()}
                    yield {column: row.get(column) for column in names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: no UTF-8
        text = " ".join(str(error).split())
        raise FormatError(f"{path}: no readable Parquet file: {text}") from error


def matrix(values: npt.NDArray[np.float64] | None, where: str) -> npt.NDArray[np.float64]:
    """Return a transform (4, 4) from its 16 numbers."""
    if values is None or values.size != 16:
        found = "none" if values is None else values.size
        raise FormatError(f"{where}: expected a 4x4 matrix, found {found} numbers")
    return np.array(values, np.float64).reshape(4, 4)


def range_image(row: dict[str, Any], name: str, where: str) -> npt.NDArray[Any] | None:
    """Return the range image `name` of a row, in its shape; None where it is not there."""
    values, shape = row[f"{name}.values"], row[f"{name}.shape"]
    if values is None or not values.size:
        return None
    dims = () if shape is None else tuple(int(n) for n in shape)
    if len(dims) != 3 or min(dims) < 1 or dims[0] * dims[1] > _MOST_CELLS:
        raise FormatError(f"{where}: expected the shape of a range image (H, W, n), found {dims}")
    if int(np.prod(dims)) != values.size:
        raise FormatError(f"{where}: {values.size} values do not fill the shape {dims}")
    image: npt.NDArray[Any] = values.reshape(dims)
    return image


def _column(tag: str, column: str) -> str:
    return column if column.startswith("key.") else f"[{COMPONENTS[tag]}].{column}"


def _value(scalar: Any) -> Any:
    if not scalar.is_valid:
        return None
    values = getattr(scalar, "values", None)
    if values is not None:  # a list
        return values.to_numpy(zero_copy_only=False)
    return scalar.as_py()


def load_pyarrow() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises
    ------
    MissingDependencyError
        They are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingDependencyError(
            "tables of Waymo v2 need pyarrow: pip install 'depthdata[waymo2]'"
        ) from error
    return pyarrow, parquet


def component_path(root: str | os.PathLike[str], tag: str, context: str) -> Path:
    """Return the file of a component of a segment."""
    return Path(root) / tag / f"{context}.parquet"
