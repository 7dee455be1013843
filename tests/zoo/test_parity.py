"""Parity: recorded runs against our networks, and the runner against injected faults."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch
from support import golden_cases

from depthdata.errors import UsageError
from depthzoo import networks
from depthzoo.parity import run_parity
from depthzoo.parity_adapters import adapter_of
from depthzoo.seeded import seeded_state, seeded_tensor


def architecture(folder: Path) -> str:
    meta = json.loads((folder / "meta.json").read_text())
    return str(meta.get("model") or meta.get("network"))


# Folders of architectures that have no adapter are not ours to run; `run_parity` reports them.
GOLDEN_RUNS = [
    pytest.param(*case.values, how, marks=case.marks, id=f"{case.id}-{how}")
    for case in golden_cases("models", "*")
    for adapter in [case.values[0] and adapter_of(architecture(case.values[0]))]
    if case.values[0] is None or adapter
    for how in (adapter.correlations if adapter else ("reg",))
]


@pytest.mark.golden
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("folder", "correlation"), GOLDEN_RUNS)
def test_golden(folder: Path, dtype: str, correlation: str):
    results = run_parity(folder, dtype=dtype, correlation=correlation)
    assert {f"{result.case}.npz" for result in results} == {p.name for p in folder.glob("*.npz")}
    bad = [str(result) for result in results if not result.ok]
    assert not bad, "\n".join(bad)


SLOW_ON_A_CPU = ("RAFTStereo", "DynamicStereo", "full (*")  # small sizes: beside the networks
HALF_RUNS = [
    pytest.param(*case.values, dtype, marks=case.marks, id=f"{case.id}-{dtype}")
    for case in golden_cases("models", "*")
    for dtype in ("bfloat16", "float16")
    if dtype == "bfloat16"
    or case.values[0] is None
    or not any(fnmatchcase(architecture(case.values[0]), slow) for slow in SLOW_ON_A_CPU)
]


@pytest.mark.golden
@pytest.mark.parametrize(("folder", "dtype"), HALF_RUNS)
def test_golden_in_half_precision(folder: Path, dtype: str, tmp_path: Path):
    """The smallest case of each; others differ in size only."""
    few = tmp_path / folder.name
    few.mkdir()
    smallest = min(folder.glob("*.npz"), key=lambda path: path.stat().st_size)
    for path in (folder / "manifest.json", folder / "meta.json", smallest):
        (few / path.name).symlink_to(path)
    results = [r for r in run_parity(few, dtype=dtype) if "no file case" not in r.message]
    assert results and all(r.case == smallest.stem for r in results)
    bad = [f"{r} {r.worst:.2f} of what is tolerated" for r in results if not r.ok]
    assert not bad, "\n".join(bad)
    # half precision was in use: float32 is a thousand times as exact
    assert max(r.worst for r in results) > 1e-3


# ------------------------------------------------- the runner, on a folder of our own making

OPTIONS = {"n_gru_layers": 1, "n_downsample": 3, "corr_levels": 2}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Record a run of our own network in the published layout."""
    folder = tmp_path_factory.mktemp("models") / "raft_tiny"
    folder.mkdir()
    network = networks.create("raft_stereo", **OPTIONS)
    manifest = {
        f"module.{key}": [list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in network.state_dict().items()
    }
    state = seeded_state(manifest, seed=3)
    network.load_state_dict({k[7:]: torch.from_numpy(v) for k, v in state.items()})
    rng = np.random.default_rng(0)
    images = {k: rng.integers(0, 256, (1, 32, 64, 3), dtype=np.uint8) for k in ("left", "right")}
    tensors = [torch.from_numpy(image).float().permute(0, 3, 1, 2) for image in images.values()]
    seen: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        flow = network(*tensors, iterations=2, trace=seen.__setitem__)
    arrays = {
        "fmap1_c16": seen["fmap1"][:, ::16],
        "corr_iter2": seen["corr_iter2"],
        "flow_up": flow.up,
    }
    np.savez(folder / "case_a.npz", **images, **{k: v.numpy() for k, v in arrays.items()})
    meta = {
        "model": "RAFTStereo",
        "options": OPTIONS,
        "key_prefix": "module.",
        "cases": [{"file": "case_a.npz", "weight_seed": 3, "iters": 2}],
        "suggested_tolerance": {"float32": {"default": {"atol": 1e-5}, "flow_*": {"rtol": 1e-5}}},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def copy(recorded, tmp_path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "models" / recorded.name))


def change_arrays(folder: Path, **changes) -> None:
    with np.load(folder / "case_a.npz") as stored:
        arrays = dict(stored)
    for name, change in changes.items():
        arrays[name] = change(arrays.get(name))
    np.savez(folder / "case_a.npz", **arrays)


def change_meta(folder: Path, **changes) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, **changes}))


def only_bad(folder: Path):
    bad = [result for result in run_parity(folder) if not result.ok]
    assert len(bad) == 1
    assert str(bad[0]).endswith("FAIL") and "\n" not in str(bad[0])
    return bad[0]


def test_an_equal_run_is_ok_from_every_level_of_the_tree(copy):
    for root in (copy, copy.parent, copy.parent.parent):
        results = run_parity(root)
        assert [r.name for r in results] == ["fmap1_c16", "corr_iter2", "flow_up"]
        assert all(r.ok and str(r).endswith(" ok") for r in results)


def off_by(amount):
    def change(array):
        array = array.copy()
        array.flat[-1] += amount
        return array

    return change


def test_one_wrong_value_fails_its_array(copy):
    change_arrays(copy, fmap1_c16=off_by(1e-3))
    bad = only_bad(copy)
    assert (bad.case, bad.name, bad.status) == ("case_a", "fmap1_c16", "FAIL")
    assert bad.max_abs == pytest.approx(1e-3, rel=0.05)
    assert bad.worst == pytest.approx(100, rel=0.05)


def test_tolerances_are_those_of_the_longest_prefix(copy):
    change_arrays(copy, flow_up=off_by(1e-3))
    assert only_bad(copy).name == "flow_up"
    tolerance = {"default": {"atol": 0.0}, "f*": {"atol": 0.0}, "flow_*": {"atol": 1.0}}
    change_meta(copy, suggested_tolerance={"float32": tolerance})
    assert {r.name: r.ok for r in run_parity(copy)}["flow_up"]


def test_nan_never_agrees_with_a_number(copy):
    change_arrays(copy, corr_iter2=off_by(np.nan))
    assert only_bad(copy).status == "FAIL"


def test_other_shapes_and_unknown_arrays_fail(copy):
    change_arrays(copy, flow_up=lambda a: a[..., 1:])
    assert "shape (1, 1, 32, 64), recorded (1, 1, 32, 63)" in str(only_bad(copy))
    change_arrays(copy, flow_up=lambda a: np.zeros((1, 1, 32, 64), "f4"))
    change_meta(copy, suggested_tolerance={"float32": {"default": {"atol": 1e9}}})
    change_arrays(copy, surprise=lambda _: np.zeros(3))
    assert (only_bad(copy).status, only_bad(copy).name) == ("missing", "surprise")


def test_a_case_without_its_file_and_a_file_without_its_case_fail(copy):
    (copy / "case_a.npz").rename(copy / "case_b.npz")
    results = run_parity(copy)
    assert {(r.case, r.status) for r in results} == {("case_a", "missing"), ("case_b", "error")}


def test_weights_that_do_not_fit_are_an_error_that_names_the_key(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest.pop("module.cnet.conv1.bias")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "1 missing (cnet.conv1.bias)" in str(only_bad(copy))


def test_an_unknown_architecture_is_one_failing_line(copy):
    change_meta(copy, model="FutureNet")
    assert (only_bad(copy).status, only_bad(copy).message) == (
        "missing",
        "no network for 'FutureNet'",
    )


def test_damaged_files_are_errors(copy):
    (copy / "case_a.npz").write_bytes(b"PK")
    assert only_bad(copy).status == "error"
    (copy / "meta.json").write_text("{")
    assert only_bad(copy).status == "error"


def test_filters_and_arguments(copy, tmp_path):
    assert run_parity(copy.parent, models=["raft_*"])
    with pytest.raises(UsageError, match="no model 'x'"):
        run_parity(copy.parent, models=["x"])
    with pytest.raises(UsageError, match="float32, float64"):
        run_parity(copy, dtype="int8")
    with pytest.raises(UsageError, match="reg or alt"):
        run_parity(copy, correlation="cuda")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no meta\.json"):
        run_parity(tmp_path / "empty")
    with pytest.raises(UsageError, match="no folder"):
        run_parity(tmp_path / "nowhere")


def test_seeded_tensors_depend_on_key_and_seed_only():
    one = seeded_tensor("a.weight", (3, 4), "float32", seed=1)
    np.testing.assert_array_equal(
        one, seeded_state({"a.weight": [[3, 4], "float32"]}, 1)["a.weight"]
    )
    assert not np.array_equal(one, seeded_tensor("b.weight", (3, 4), "float32", seed=1))
    assert not np.array_equal(one, seeded_tensor("a.weight", (3, 4), "float32", seed=2))
    large = {
        k: seeded_tensor(k, (4000,), "float64", 5) for k in ("n.weight", "n.bias", "n.running_var")
    }
    assert large["n.weight"].mean() == pytest.approx(1, abs=0.01)
    assert large["n.bias"].std() == pytest.approx(0.1, abs=0.01)
    assert large["n.running_var"].min() >= 1
