"""Component tables of Waymo v2: the same content as the record file of the same segment."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

import depthdata as dd
from depthdata.cli import main
from depthdata.codecs import waymo_parquet
from depthdata.comparison.sequences import differences
from depthdata.errors import MissingDependencyError, SourceError
from depthdata.sources import waymo_v2
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.layouts import waymo as v1_layout
from depthdata.synthetic.layouts import waymo_v2 as v2_layout
from depthdata.synthetic.layouts.waymo_scene import WaymoDrive


@pytest.fixture(scope="module")
def drive() -> WaymoDrive:
    scene = SyntheticScene(seed=4, frames=2, width=128, objects=6)
    return WaymoDrive(scene, panoptic=(1,), top=(16, 240), near=(30, 90))


@pytest.fixture(scope="module")
def roots(drive: WaymoDrive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same drive as record file and as tables."""
    root, moments = tmp_path_factory.mktemp("raw"), list(drive)
    (root / "v1" / "training").mkdir(parents=True)
    v1_layout.write_segment(drive.context, moments, root / "v1" / "training")
    v2_layout.write_segment(drive.context, moments, root / "v2" / "training")
    return root / "v1", root / "v2"


def converted(dataset: str, root: Path, out: Path, **options: Any) -> Path:
    report = dd.convert(dataset, root, out, jobs=1, **options)
    assert report.ok, report
    return report.results[0].path


def test_both_releases_are_the_same_sequence(roots: tuple[Path, Path], tmp_path: Path) -> None:
    options = {"preset": "dynamo_depth"}
    first = converted("waymo", roots[0], tmp_path / "1", **options)
    second = converted("waymo_v2", roots[1], tmp_path / "2", **options)
    assert [d.where for d in differences(first, second)] == ["dataset"]
    with dd.open_sequence(second) as sequence:
        assert {"depth", "depth_return2", "masks/moving"} <= set(sequence.cameras["front"].streams)
        assert len(sequence.objects) and len(sequence.boxes["front"])
        assert len(sequence.cameras["front"].depth.points(1)) > 200


def test_from_the_shell(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    chain: list[list[object]] = [
        ["synth", raw, "--layout", "waymo_v2", "--frames", 1, "--size", 40, 96, "--objects", 1],
        ["convert", "waymo_v2", raw, out, "-j", 1],
        ["verify", out],
        ["check", out],
    ]
    for arguments in chain:
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output


def test_only_pictures(roots: tuple[Path, Path], tmp_path: Path) -> None:
    """Components that were not downloaded are left out."""
    raw = tmp_path / "raw"
    for tag in ("camera_image", "camera_calibration", "vehicle_pose"):
        shutil.copytree(roots[1] / "training" / tag, raw / tag)
    with dd.open_sequence(converted("waymo_v2", raw, tmp_path / "out")) as sequence:
        assert sequence.split is None
        assert list(sequence.cameras["side_left"].streams) == ["rgb"]
        assert sequence.objects is None


@pytest.mark.parametrize("tag", ["vehicle_pose", "lidar_calibration", "lidar_pose"])
def test_a_component_that_is_needed(tag: str, roots: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(roots[1] / "training", tmp_path / "raw")
    shutil.rmtree(tmp_path / "raw" / tag)
    (result,) = dd.convert("waymo_v2", tmp_path / "raw", tmp_path / "out", jobs=1).results
    assert result.status == "failed"
    assert f"is missing; download the component {tag}, too" in result.message
    report = dd.convert(
        "waymo_v2", tmp_path / "raw", tmp_path / "out", jobs=1, skip_incomplete=True
    )
    assert report.ok
    assert not list((tmp_path / "out").glob("*.h5*"))


def _rewrite(path: Path, change: Any) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def _without_image(table: pa.Table) -> pa.Table:
    return table.drop_columns(["[CameraImageComponent].image"])


def _smaller(table: pa.Table) -> pa.Table:
    name = "[LiDARComponent].range_image_return1.shape"
    i = table.schema.get_field_index(name)
    shapes = [[3, 3, 4]] * len(table)
    return table.set_column(i, name, pa.array(shapes, pa.list_(pa.int32(), 3)))


def _first_row(table: pa.Table) -> pa.Table:
    return table.slice(0, 1)


DAMAGE: dict[str, tuple[str, Any, str]] = {
    "cut": ("camera_image", lambda p: p.write_bytes(p.read_bytes()[:-50]), "no readable Parquet"),
    "text": ("lidar", lambda p: p.write_text("<html>"), "no readable Parquet"),
    "column": ("camera_image", lambda p: _rewrite(p, _without_image), "no column"),
    "calibration": ("lidar_calibration", lambda p: _rewrite(p, _first_row), "without calibration"),
    "shape": ("lidar", lambda p: _rewrite(p, _smaller), "do not fill the shape (3, 3, 4)"),
    "order": (
        "camera_image",
        lambda p: _rewrite(p, lambda table: table.take(list(range(len(table)))[::-1])),
        "not in order of time",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_line_and_leaves_nothing(
    kind: str, roots: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(roots[1] / "training", tmp_path / "raw")
    tag, spoil, message = DAMAGE[kind]
    (path,) = (tmp_path / "raw" / tag).glob("*.parquet")
    spoil(path)
    (result,) = dd.convert("waymo_v2", tmp_path / "raw", tmp_path / "out", jobs=1).results
    assert result.status == "failed"
    assert message in result.message
    assert path.name in result.message
    assert "\n" not in result.message
    assert not list((tmp_path / "out").glob("*.h5*"))


def test_names_and_wrong_folders(roots: tuple[Path, Path], tmp_path: Path) -> None:
    (spec,) = waymo_v2.sequences(roots[1])
    assert spec.split == "train"
    for place in ("training", "training/camera_image"):
        assert waymo_v2.sequences(roots[1] / place)[0].name == spec.name
    with pytest.raises(SourceError, match="expected camera_image"):
        waymo_v2.sequences(tmp_path)


def test_without_pyarrow(
    roots: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"pip install 'depthdata\[waymo2\]'"):
        waymo_parquet.load_pyarrow()
    (result,) = dd.convert("waymo_v2", roots[1], tmp_path, jobs=1).results
    assert (result.status, "pyarrow" in result.message) == ("failed", True)


def test_rows_of_every_type(tmp_path: Path) -> None:
    table = pa.table(
        {
            "key.camera_name": pa.array([1, 2], pa.int8()),
            "[CameraImageComponent].image": pa.array([b"ab", None], pa.binary()),
            "[CameraImageComponent].pose.transform": pa.array(
                [list(range(16)), None], pa.list_(pa.float64(), 16)
            ),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    columns = ["key.camera_name", "image", "pose.transform"]
    a, b = waymo_parquet.rows(
        tmp_path / "x.parquet", "camera_image", columns, optional=("none",), batch=1
    )
    assert (a["image"], a["none"], b["image"], b["pose.transform"]) == (b"ab", None, None, None)
    np.testing.assert_array_equal(
        waymo_parquet.matrix(a["pose.transform"], "x"), np.arange(16.0).reshape(4, 4)
    )
