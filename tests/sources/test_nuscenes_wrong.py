"""Trees that are not as nuScenes publishes them: one line that says so, and nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from depthdata.conversion import convert
from depthdata.errors import SourceError
from depthdata.sequence import open_sequence
from depthdata.sources import nuscenes
from depthdata.synthetic import SyntheticScene, write_raw

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nuscenes") / "raw"
    scene = SyntheticScene(seed=2, frames=7, height=24, width=48, lidar_rows=8, lidar_steps=90)
    return write_raw("nuscenes", scene, root)


@pytest.fixture
def raw(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "raw")


def table(raw: Path, name: str) -> Path:
    return raw / "v1.0-mini" / f"{name}.json"


def edit(raw: Path, name: str, change: Callable[[Rows], object]) -> None:
    rows = json.loads(table(raw, name).read_text())
    change(rows)
    table(raw, name).write_text(json.dumps(rows))


def refused(raw: Path, *, incomplete: bool = False) -> str:
    """The message, of planning or of writing; nothing may be left in the folder."""
    out = raw.parent / "out"
    try:
        results = convert("nuscenes", raw, out, jobs=1).results
    except SourceError as error:
        message, missing = str(error), error.incomplete
    else:
        assert [result.status for result in results] == ["failed"]
        message = results[0].message
        (skipped,) = convert("nuscenes", raw, out, jobs=1, skip_incomplete=True).results
        missing = skipped.status == "skipped"
    assert missing == incomplete, message
    assert "\n" not in message
    assert not list(out.glob("*.h5*"))
    return message


def test_missing_files(raw: Path) -> None:
    """A file that the tables name, in a folder that is there."""
    for pattern in (
        "sweeps/CAM_FRONT/*",
        "samples/CAM_BACK/*",
        "sweeps/LIDAR_TOP/*",
        "panoptic/*/*",
    ):
        gone = min(raw.glob(pattern))
        gone.rename(raw / "away")
        message = refused(raw, incomplete=True)
        assert str(gone) in message
        (raw / "away").rename(gone)
    assert convert("nuscenes", raw, raw.parent / "out", jobs=1).ok


@pytest.mark.parametrize("name", ["ego_pose", "sample_data", "sample_annotation", "scene", "log"])
def test_missing_table(raw: Path, name: str) -> None:
    table(raw, name).unlink()
    assert f"{name}.json is missing; unpack the archive" in refused(raw, incomplete=True)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("sample_data", "ego_pose_token"),
        ("sample_data", "sample_token"),
        ("sample_data", "calibrated_sensor_token"),
        ("sample_data", "next"),
        ("calibrated_sensor", "sensor_token"),
        ("sample", "scene_token"),
        ("scene", "first_sample_token"),
        ("scene", "log_token"),
        ("instance", "category_token"),
        ("sample_annotation", "instance_token"),
        ("sample_annotation", "visibility_token"),
        ("panoptic", "sample_data_token"),
    ],
)
def test_wrong_token(raw: Path, name: str, field: str) -> None:
    rows = json.loads(table(raw, name).read_text())
    last = len(rows) - 1
    edit(raw, name, lambda rows: rows[last].update({field: "f" * 32}))
    message = refused(raw)
    assert f"{name}.json: row {last}, field {field}: no row of " in message
    assert "f" * 32 in message


def test_wrong_values(raw: Path) -> None:
    changes = {
        "rotation": ("ego_pose", [1, 0, 0], "expected 4 finite numbers, found [1, 0, 0]"),
        "translation": ("ego_pose", [1, 0, "x"], "expected 3 finite numbers"),
        "timestamp": ("sample_data", "now", "expected a whole number, found 'now'"),
        "is_key_frame": ("sample_data", 1, "expected true or false, found 1"),
        "filename": ("sample_data", None, "expected a text, found None"),
        "camera_intrinsic": ("calibrated_sensor", [[1, 2, 3]], "expected a 3x3 matrix or []"),
        "size": ("sample_annotation", [1, 2, float("nan")], "expected 3 finite numbers"),
        "attribute_tokens": ("sample_annotation", ["zz"], "no row of attribute has the token 'zz'"),
    }
    for field, (name, value, expected) in changes.items():
        kept = table(raw, name).read_text()
        edit(raw, name, lambda rows, f=field, v=value: rows[0].update({f: v}))
        message = refused(raw)
        assert f"{name}.json: row 0, field {field}: {expected}" in message
        edit(raw, name, lambda rows, f=field: rows[0].pop(f))
        assert f"{name}.json: row 0: field {field} is missing" in refused(raw)
        table(raw, name).write_text(kept)
    edit(raw, "sample", lambda rows: rows.append(rows[0]))
    assert "rows 0 and 2, field token: both are" in refused(raw)


def test_broken_json(raw: Path) -> None:
    path = table(raw, "sample_data")
    text = path.read_text()
    for broken, expected in {
        text[: len(text) // 2]: "broken JSON",
        text[:-1]: "the file is cut",
        "": "row 0: broken JSON: the file is cut",
        "<html>Sign in</html>": "expected [, found '<html>Sign in</html>'",
        "[1, 2]": "expected { or ], found '1, 2]'",
        text + "x": "expected the end of the file, found 'x'",
    }.items():
        path.write_text(broken)
        message = refused(raw)
        assert "sample_data.json: row" in message
        assert expected in message
    path.write_bytes(b"[\xff]")
    assert "no UTF-8 text" in refused(raw)


def test_scenes_that_contradict_themselves(raw: Path) -> None:
    """Each is named; the others would be converted."""
    changes: dict[str, tuple[str, Callable[[Rows], object]]] = {
        "nbr_samples is 9, but 2 samples": ("scene", lambda r: r[0].update(nbr_samples=9)),
        "last_sample_token is": (
            "scene",
            lambda r: r[0].update(last_sample_token=r[0]["first_sample_token"]),
        ),
        "prev and next disagree": ("sample", lambda r: r[1].update(prev="")),
        "expected a key frame of CAM_FRONT for each of 2 samples": (
            "sample_data",
            lambda r: [x.update(is_key_frame=False) for x in r[6:7]],
        ),
        "is not later than the one before it": (
            "sample_data",
            lambda r: r[3].update(timestamp=r[2]["timestamp"]),
        ),
    }
    for expected, (name, change) in changes.items():
        kept = table(raw, name).read_text()
        edit(raw, name, change)
        message = refused(raw)
        assert expected in message
        assert "v1.0-mini: scene-0061: " in message
        table(raw, name).write_text(kept)


def test_damaged_files(raw: Path) -> None:
    scan = sorted(raw.glob("sweeps/LIDAR_TOP/*"))[1]
    data = scan.read_bytes()
    scan.write_bytes(data[:-7])
    message = refused(raw)
    assert f"{scan}: lidar scan: expected points of 20 bytes" in message
    scan.write_bytes(data)
    labels = min(raw.glob("panoptic/*/*"))
    kept = labels.read_bytes()
    labels.write_bytes(kept[: len(kept) // 2])
    assert f"{labels}: panoptic labels: no npz file" in refused(raw)
    other = max(raw.glob("samples/LIDAR_TOP/*"))
    content = other.read_bytes()
    labels.write_bytes(kept)
    for path in raw.glob("samples/LIDAR_TOP/*"):
        path.write_bytes(path.read_bytes()[:-20])
    assert "points" in refused(raw)
    other.write_bytes(content)


def test_pictures_of_another_size(raw: Path) -> None:
    edit(raw, "sample_data", lambda rows: [row.update(height=900) for row in rows if row["height"]])
    assert "48x24 pixels, but sample_data says 48x900" in refused(raw)


def test_no_tables(raw: Path, tmp_path: Path) -> None:
    (raw / "v1.0-mini").rename(raw / "tables")
    assert "no nuScenes tables found; expected a folder v1.0-mini" in refused(raw)
    assert "lie in this folder itself" in refused(raw / "tables")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "v1.0-mini.tgz").write_bytes(b"")
    assert "unpack v1.0-mini.tgz first" in refused(empty)


def test_add_on_without_numbers_of_categories(raw: Path) -> None:
    edit(raw, "category", lambda rows: [row.pop("index") for row in rows])
    message = refused(raw)
    assert "category.json: field index is missing, but there is a panoptic.json" in message


def test_parts_of_a_download(raw: Path, tmp_path: Path) -> None:
    """Folders that are not there were not downloaded; the file says which."""
    for folder in (
        "samples/CAM_BACK",
        "sweeps/CAM_BACK",
        "sweeps/LIDAR_TOP",
        "sweeps/CAM_BACK_LEFT",
    ):
        shutil.rmtree(raw / folder)
    shutil.rmtree(raw / "panoptic")
    table(raw, "panoptic").unlink()
    (result,) = convert("nuscenes", raw, tmp_path / "out", jobs=1).results
    assert result.status == "converted", result.message
    with open_sequence(result.path) as sequence:
        front = sequence.cameras["front"]
        assert "back" not in sequence.cameras
        assert front.depth.frames.tolist() == front.transform["key_frames"] == [0, 6]
        assert sequence.cameras["back_left"].rgb.frames.tolist() == [0, 6]
        assert sorted(front.transform["left_out"]) == [
            "samples/CAM_BACK",
            "sweeps/CAM_BACK_LEFT",
            "sweeps/LIDAR_TOP",
        ]
    shutil.rmtree(raw / "sweeps/CAM_FRONT")
    with pytest.raises(SourceError, match=r"sweeps/CAM_FRONT/.* cannot be read") as caught:
        nuscenes.fingerprint(nuscenes.sequences(raw)[0])
    assert caught.value.incomplete


def test_a_test_set_has_no_boxes(tmp_path: Path) -> None:
    scene = SyntheticScene(frames=2, height=24, width=48, lidar_rows=4, lidar_steps=60)
    raw = write_raw("nuscenes", scene, tmp_path / "raw", version="v1.0-test", annotations=False)
    (result,) = convert("nuscenes", raw, tmp_path / "out", jobs=1, preset="dynamo_depth").results
    with open_sequence(result.path) as sequence:
        assert sequence.split == "test"
        assert sequence.objects is None
        assert "masks/moving" not in sequence.cameras["front"].streams


def test_two_versions_in_one_root(raw: Path) -> None:
    """A scene of the mini set that is in trainval too is taken from there."""
    shutil.copytree(raw / "v1.0-mini", raw / "v1.0-trainval")
    assert [spec.split for spec in nuscenes.sequences(raw)] == ["trainval"]
    assert [spec.split for spec in nuscenes.sequences(raw / "v1.0-mini")] == ["mini"]
