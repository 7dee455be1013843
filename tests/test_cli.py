"""The program depthdata as it is used from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from depthdata.cli import main
from depthdata.synthetic import SyntheticScene, write_raw, write_sequence

DRIVE = "2011_09_26_drive_0001_sync"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    write_raw("kitti_raw", SyntheticScene(seed=1, frames=3, height=96, width=320), root)
    return root


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.h5"
    write_sequence(SyntheticScene(seed=1, frames=3, height=96, width=320), path)
    return path


def test_list_and_info_of_a_dataset() -> None:
    assert "kitti_raw" in run("list").stdout
    listed = json.loads(run("list", "--json").stdout)
    assert "kitti_raw" in {record["name"] for record in listed}
    card = json.loads(run("info", "kitti_raw", "--json").stdout)
    assert card["licence"].startswith("CC BY-NC-SA")


def test_convert_twice_verify_info(raw: Path, tmp_path: Path) -> None:
    plan = json.loads(run("convert", "kitti_raw", raw, tmp_path, "--dry-run", "--json").stdout)
    assert [r["sequence"] for r in plan["results"]] == [DRIVE] and not list(tmp_path.iterdir())
    first = json.loads(run("convert", "kitti_raw", raw, tmp_path, "--json", "-j", 1).stdout)
    assert first["converted"] == 1
    again = json.loads(run("convert", "kitti_raw", raw, tmp_path, "--json", "-j", 1).stdout)
    assert again["skipped"] == 1
    assert run("verify", tmp_path).exit_code == 0
    described = json.loads(run("info", tmp_path / f"{DRIVE}.h5", "--json").stdout)
    assert described["frames"] == 3
    assert described["cameras"]["left"]["streams"]["depth"]["kind"] == "points"
    assert "camera left" in run("info", tmp_path / f"{DRIVE}.h5").stdout


def test_verify_many_files_partly_failed(scene_file: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.h5", tmp_path / "b.h5"
    data = bytearray(scene_file.read_bytes())
    good.write_bytes(data)
    data[len(data) // 2] ^= 4
    bad.write_bytes(data)
    result = run("verify", tmp_path, "--json", "-j", 2)
    assert result.exit_code == 3
    assert [record["ok"] for record in json.loads(result.stdout)] == [True, False]
    assert run("verify", bad).exit_code == 1


def test_check_reports_and_draws(scene_file: Path, tmp_path: Path) -> None:
    result = run("check", scene_file, "--pictures", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["ok"]
    assert (tmp_path / "scene.png").stat().st_size > 1000


def test_compare(scene_file: Path, tmp_path: Path) -> None:
    portable = tmp_path / "portable.h5"
    size = ("--size", 96, 320)
    assert run("synth", portable, "--seed", 1, "--frames", 3, *size, "--portable").exit_code == 0
    assert run("compare", scene_file, portable).exit_code == 0
    other = tmp_path / "other.h5"
    assert run("synth", other, "--seed", 2, "--frames", 3, *size).exit_code == 0
    result = run("compare", scene_file, other)
    assert result.exit_code == 1 and "rgb" in result.stdout


def test_view_sheet_and_video(scene_file: Path, tmp_path: Path) -> None:
    assert run("view", scene_file, "--out", tmp_path / "sheet.png").exit_code == 0
    assert run("view", scene_file, "--video", "--out", tmp_path / "clip.mp4").exit_code == 0
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "clip.mp4").stat().st_size > 1000


def test_split_forms() -> None:
    assert "eigen_zhou/test" in run("split").stdout
    rows = run("split", "eigen_zhou/test").stdout.splitlines()
    assert rows[0] == "sequence,camera,frame" and len(rows) == 698
    form = run("split", "eigen_zhou/test", "--form", "dynamo_depth").stdout.splitlines()
    assert len(form) == 697 and form[0].endswith(" l")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["convert", "no_such", ".", "out"], 2, "kitti_raw"),
        (["info", "no_such"], 2, "neither a dataset"),
        (["split", "no_such/split"], 2, "eigen_zhou/test"),
        (["verify", "no_such.h5"], 2, "no_such.h5"),
        (["no_such"], 2, "No such command"),
        (["synth", "out", "--layout", "no_such"], 2, "kitti_raw"),
    ],
)
def test_wrong_input_is_one_line_and_a_code(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code
    assert said in result.stderr and "Traceback" not in result.output
    assert not list(tmp_path.iterdir())
