"""`depthzoo evaluate`: predictions made elsewhere, stopped runs, options, other machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import ROOT

from depthdata.synthetic import SyntheticScene, write_sequence
from depthzoo.cli import main
from depthzoo.cli.options import parse_options


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    for seed in (1, 2):
        scene = SyntheticScene(seed=seed, frames=2, height=40, width=128)
        write_sequence(scene, root / f"street_{seed:04d}.h5", tracks=0, lidar=False)
    return root


@pytest.fixture(scope="module")
def predictions(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made_elsewhere")
    assert run("predict", "sgbm", folder, out, "--option", "max_disparity=32").exit_code == 0
    return out


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


EPE = ("--protocol", "stereo/epe")


def test_predictions_of_our_own_need_no_explanation(folder: Path, predictions: Path) -> None:
    found = json.loads(run("evaluate", folder, "--predictions", predictions, *EPE, "--json").stdout)
    direct = run("evaluate", "sgbm", folder, *EPE, "--option", "max_disparity=32", "--json")
    assert found["per_frame"] == json.loads(direct.stdout)["per_frame"]
    assert found["model"]["name"] == "sgbm"
    named = run("evaluate", "mine", folder, "--predictions", predictions, *EPE, "--json")
    assert json.loads(named.stdout)["model"]["name"] == "mine"


def test_arrays_need_a_quantity_and_an_invariance(
    folder: Path, predictions: Path, tmp_path: Path
) -> None:
    for name in ("street_0001", "street_0002"):
        with np.load(predictions / f"{name}.npz") as stored:
            np.save(tmp_path / f"{name}.npy", stored["disparity"])
    base = ("evaluate", folder, "--predictions", tmp_path, *EPE)
    untold = run(*base)
    assert untold.exit_code == 2 and "--quantity" in untold.stderr
    assert untold.stderr.count("\n") == 1 and untold.stdout == ""
    told = run(*base, "--quantity", "disparity", "--invariance", "disparity", "-q")
    assert told.exit_code == 0 and "epe" in told.stdout
    (tmp_path / "street_0002.npy").unlink()
    lost = run(*base, "--quantity", "disparity", "--invariance", "disparity")
    assert lost.exit_code == 2 and "2 of 4 frames" in lost.stderr
    skipped = run(*base, "--quantity", "disparity", "--invariance", "disparity", "--missing",
                  "skip", "--json")  # fmt: skip
    assert json.loads(skipped.stdout)["per_sequence"]["street_0002"]["coverage"] == 0


def test_output_is_a_file_and_no_state_is_left(
    folder: Path, predictions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results" / "a.json"
    done = run("evaluate", folder, "--predictions", predictions, *EPE, "-o", out)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())["protocol"]["id"] == "stereo/epe@1"
    assert [p.name for p in out.parent.iterdir()] == ["a.json"]


def test_a_stopped_run_goes_on(folder: Path, predictions: Path, tmp_path: Path) -> None:
    out, state = tmp_path / "a.json", tmp_path / "a.json.state"
    bad = tmp_path / "bad"
    bad.mkdir()
    for file in predictions.glob("*.npz"):
        (bad / file.name).write_bytes(file.read_bytes())
    whole = (bad / "street_0002.npz").read_bytes()
    with np.load(bad / "street_0002.npz") as stored:
        arrays = dict(stored)
    arrays["disparity"] = arrays["disparity"][:, ::2]  # fails when its turn comes
    np.savez(bad / "street_0002.npz", **arrays)
    base = ("evaluate", folder, "--predictions", bad, *EPE, "-o", out)
    failed = run(*base)
    assert failed.exit_code == 2 and not out.exists()
    assert len(list(state.iterdir())) == 1
    again = run(*base)
    assert again.exit_code == 2 and "--resume" in again.stderr
    assert len(list(state.iterdir())) == 1
    (bad / "street_0002.npz").write_bytes(whole)
    done = run(*base, "--resume")
    assert done.exit_code == 0 and out.exists() and not state.exists()
    fresh = run("evaluate", folder, "--predictions", predictions, *EPE, "--json")
    assert json.loads(out.read_text())["per_frame"] == json.loads(fresh.stdout)["per_frame"]


def test_state_never_takes_a_folder_of_something_else(
    folder: Path, predictions: Path, tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_text("{}")
    for more in ((), ("--resume",)):
        done = run("evaluate", folder, "--predictions", predictions, *EPE, "--state", tmp_path,
                   *more)  # fmt: skip
        assert done.exit_code == 2
    assert (tmp_path / "result.json").read_text() == "{}"
    assert run("evaluate", "sgbm", folder, *EPE, "--resume").exit_code == 2


def test_an_interrupt_tells_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    out, state = tmp_path / "a.json", tmp_path / "a.json.state"
    data = tmp_path / "data"
    data.mkdir()
    for i in range(60):
        (data / f"{i:02d}.h5").symlink_to(folder / "street_0001.h5")
    command = [
        sys.executable,
        "-m",
        "depthzoo",
        "evaluate",
        "sgbm",
        str(data),
        *EPE,
        "-o",
        str(out),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (state.is_dir() and any(p.suffix == ".json" for p in state.iterdir())):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before it could be stopped")
    assert process.returncode == 130 and stdout == ""
    assert "--resume" in stderr and "Traceback" not in stderr
    assert not out.exists()
    assert run("evaluate", "sgbm", data, *EPE, "-o", out, "--resume").exit_code == 0
    assert not state.exists() and out.exists()


def test_a_dask_cluster_gives_the_same(folder: Path, predictions: Path) -> None:
    distributed = pytest.importorskip("distributed")
    base = ("evaluate", folder, "--predictions", predictions, *EPE, "--json")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        there = run(*base, "--scheduler", cluster.scheduler_address)
    assert there.exit_code == 0, there.output
    here = json.loads(run(*base).stdout)
    found = json.loads(there.stdout)
    assert {**found, "timing": None} == {**here, "timing": None}


def test_wrong_use_is_told_in_a_line(folder: Path, predictions: Path) -> None:
    for wrong, told in (
        (("sgbm", folder, "--option", "max_disparity"), "KEY=VALUE"),
        (("sgbm", folder, "--option", "max_dispariti=3"), "max_disparity"),
        (("sgbm", folder, "--quantity", "depth"), "--predictions"),
        ((folder, "--predictions", predictions, "--option", "a=1"), "not of --predictions"),
        ((folder, "--predictions", predictions / "nowhere"), "does not exist"),
        (("sgbm",), "DATA"),
        (("sgbm", folder / "nothing.h5"), "does not exist"),
    ):
        result = run("evaluate", *wrong, *EPE)
        assert result.exit_code == 2 and told in result.stderr, (wrong, result.output)
        assert result.stdout == "" and "Traceback" not in result.output


def test_options_mean_what_they_say() -> None:
    pairs = ["a=1", "b=0.5", "c=true", "d=none", "e=192x640", "f=-1,0,1", "outputs=depth", "g=auto"]
    assert parse_options(pairs) == {
        "a": 1, "b": 0.5, "c": True, "d": None, "e": (192, 640), "f": (-1, 0, 1),
        "outputs": ("depth",), "g": "auto",
    }  # fmt: skip
