"""The program depthzoo: as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import ROOT

from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    for seed in (1, 2):
        scene = SyntheticScene(seed=seed, frames=2, height=40, width=128, lidar_steps=600)
        write_sequence(scene, root / f"street_{seed:04d}.h5", tracks=0)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_list_and_info() -> None:
    found = json.loads(run("list", "--json").stdout)
    assert "sgbm" in [row["name"] for row in found]
    protocols = run("list", "--protocols").stdout
    assert "kitti_raw/eigen@1" in protocols
    card = json.loads(run("info", "sgbm", "--json").stdout)
    assert card["gives"] == ["disparity"]
    text = run("info", "raft_stereo/sceneflow", "kitti_raw/eigen").stdout
    assert "raftstereo-sceneflow.pth" in text and "Garg crop" in text
    unknown = run("info", "no_such_thing")
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("error: no_such_thing") and unknown.stdout == ""


def test_evaluate_prints_a_table_and_writes_the_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = run("evaluate", "sgbm", folder, "--protocol", "kitti_raw/lidar", "--html", page)
    assert result.exit_code == 0, result.output
    assert "abs_rel" in result.stdout and "street_0002" in result.stdout
    assert str(page) in result.stderr and str(page) not in result.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_evaluate_json_is_json_and_nothing_else(folder: Path) -> None:
    result = run(
        "evaluate", "sgbm", folder, "--protocol", "stereo/epe", "--limit", 3, "-j", 2, "--json"
    )
    data = json.loads(result.stdout)
    assert data["protocol"]["id"] == "stereo/epe@1"
    assert len(data["per_frame"]["rows"]) == 3
    quiet = run("evaluate", "sgbm", folder, "--protocol", "stereo/epe", "--limit", 1, "-q")
    assert quiet.stderr == "" and quiet.exit_code == 0


def test_predict_writes_and_resumes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    planned = run("predict", "sgbm", folder, out, "--dry-run", "--json")
    assert [r["status"] for r in json.loads(planned.stdout)] == ["planned", "planned"]
    assert not out.exists()
    first = run("predict", "sgbm", folder, out, "--png16")
    assert first.exit_code == 0, first.output
    with np.load(out / "street_0001.npz", allow_pickle=False) as stored:
        assert stored["disparity"].shape == (2, 40, 128)
    assert len(list((out / "street_0002").glob("*.png"))) == 2
    again = json.loads(run("predict", "sgbm", folder, out, "--json").stdout)
    assert [r["status"] for r in again] == ["skipped", "skipped"]


def test_exit_codes(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.h5").write_bytes(b"not a sequence file")
    all_failed = run("predict", "sgbm", bad, tmp_path / "out")
    assert all_failed.exit_code == 1
    (bad / "b.h5").write_bytes((folder / "street_0001.h5").read_bytes())
    partly = run("predict", "sgbm", bad, tmp_path / "out", "--json")
    assert partly.exit_code == 3
    assert [r["status"] for r in json.loads(partly.stdout)] == ["failed", "predicted"]
    assert "a.h5" in partly.stderr and "Traceback" not in partly.output
    broken = run("evaluate", "sgbm", bad, "--protocol", "stereo/epe")
    assert broken.exit_code == 1 and broken.stderr.count("\n") == 1
    for wrong in (
        ("evaluate", "sgbm", folder, "--protocol", "kitti_raw/nothing"),
        ("evaluate", "no_model", folder, "--protocol", "stereo/epe"),
        ("evaluate", "sgbm", tmp_path / "missing", "--protocol", "stereo/epe"),
        ("evaluate", "sgbm", folder),
        ("evaluate", "raft_stereo/sceneflow", folder, "--protocol", "stereo/epe"),
        ("no_command",),
    ):
        result = run(*wrong)
        assert result.exit_code == 2, wrong
        assert result.stdout == "" and "Traceback" not in result.stderr


def test_a_mistyped_protocol_is_refused_before_any_work(tmp_path: Path) -> None:
    result = run("evaluate", "raft_stereo/sceneflow", tmp_path, "--protocol", "stereo/ape")
    assert result.exit_code == 2 and "stereo/epe@1" in result.stderr


@pytest.mark.golden
def test_parity(golden: Path) -> None:
    folder = golden / "models"
    if not (folder / "raft_stereo_realtime").is_dir():
        pytest.skip("no golden vectors of raft_stereo_realtime")
    result = run("parity", folder, "--model", "raft_stereo_realtime")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and lines and all(line.endswith(" ok") for line in lines)
    data = json.loads(run("parity", folder, "--model", "raft_stereo_realtime", "--json").stdout)
    assert len(data) == len(lines) and all(row["ok"] for row in data)
    assert run("parity", folder, "--model", "no_such_model").exit_code == 2


def test_parity_fails_when_an_array_differs(golden: Path, tmp_path: Path) -> None:
    source = golden / "models" / "raft_stereo_realtime"
    if not source.is_dir():
        pytest.skip("no golden vectors of raft_stereo_realtime")
    copy = tmp_path / source.name
    copy.mkdir()
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    case = next(copy.glob("case_*.npz"))
    with np.load(case, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["flow_up"] = arrays["flow_up"] + 1
    np.savez(case, **arrays)
    result = run("parity", copy)
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if line.endswith("FAIL")]
    assert len(failed) == 1 and f"{case.stem} flow_up " in failed[0]


def test_the_program_itself(folder: Path) -> None:
    command = [sys.executable, "-m", "depthzoo", "evaluate", "sgbm", str(folder)]
    done = subprocess.run(
        [*command, "--protocol", "stereo/epe", "--limit", "1", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["counts"]["frames"] == 1
    assert "\r" not in done.stderr  # no progress bar off a terminal


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'torch', 'cv2', 'h5py'}"
    code = (
        "import sys; from depthzoo.cli import main\n"
        "try: main(['--help'])\n"
        f"finally: assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout and "parity" in done.stdout
