"""depthzoo reproduce: every table's plan without data, and tables run on synthetic datasets."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner, Result
from zoo.seeding import created

from depthdata import sources
from depthdata.cli import main as depthdata
from depthdata.conversion import convert
from depthdata.sequence import open_sequence
from depthdata.splits import list_splits, load_split
from depthdata.synthetic import SyntheticScene
from depthdata.synthetic.layouts import write_raw
from depthdata.windows import list_windows, load_windows
from depthzoo.cli import main as depthzoo
from depthzoo.evaluation import evaluate, get_protocol, reproduce_tables, runner
from depthzoo.evaluation.measures import MEASURES
from depthzoo.evaluation.reproduce_plan import plan_table
from depthzoo.evaluation.reproduce_tables import TABLES, Table, find_table, table_rows
from depthzoo.evaluation.reproduce_weights import read_places
from depthzoo.models import list_models, model_card

Q = "raft_stereo/middlebury_q"
RAFT = "raft_stereo/sceneflow"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(depthzoo, ["reproduce", *map(str, arguments)])


def result_of(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this machine's data and weights is seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPTHZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DEPTHDATA_SEQUENCES", raising=False)
    monkeypatch.setitem(model_card(RAFT).settings, "iterations", 2)  # type: ignore[arg-type]
    yield


@pytest.fixture(scope="module")
def middlebury(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 15 scenes of the evaluation set in size Q, small."""
    root = tmp_path_factory.mktemp("middlebury")
    names = load_windows("middlebury/official_train_Q").sequences["names"]
    for seed, name in enumerate(names):
        scene = SyntheticScene(seed=seed, frames=1, height=40, width=72)
        part, folder = "MiddEval3/trainingQ", name.partition("_")[2]
        write_raw("middlebury", scene, root / "raw", part=part, name=folder)
    assert convert("middlebury", root / "raw", root / "h5", jobs=1).ok
    return root / "h5"


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as its authors save it."""
    file = tmp_path_factory.mktemp("raft") / "raftstereo-sceneflow.pth"
    state = created("raft_stereo").state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, file)
    return file


@pytest.fixture
def own_table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table of the model that needs no weights."""
    mine = Table(
        "own/table", "Semi-global matching", ("stereo/raft@1/middlebury_Q",), source="-",
        models=("sgbm",), splits=("middlebury/official_train_Q",),
    )  # fmt: skip
    monkeypatch.setattr(reproduce_tables, "TABLES", (mine,))
    return mine


# ---------------------------------------------------------------- plans


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_every_plan_prints_without_data(table: Table, tmp_path: Path) -> None:
    shown = run(table.name, "--dry-run")
    assert shown.exit_code == 0 and table.title in shown.stdout, shown.output
    data = result_of(table.name, "--dry-run")
    rows = data["plan"]["rows"]
    assert data["status"] == "planned" and rows
    for row in rows:
        protocol = get_protocol(row["protocol"])
        assert row["protocol"] == protocol.id
        assert row["split"] in (*list_splits(), *list_windows())
        assert row["datasets"] and set(row["datasets"]) <= set(sources.names())
        for number in row["numbers"]:
            assert number["metric"] in protocol.metrics and number["metric"] in MEASURES
            assert number["value"] is None or math.isfinite(number["value"])
        if row["status"] == "unpublished":
            assert row["model"] not in list_models()
            continue
        assert model_card(row["model"]).weights
        assert row["status"] == "missing" and row["data"]["have"] == 0
        assert row["data"]["wanted"] > 0
        for step in row["steps"]:
            assert any(one.startswith(step) for one in data["plan"]["steps"])
    steps = data["plan"]["steps"]
    assert steps and len(set(steps)) == len(steps)
    for step in steps:
        check_step(step)


def check_step(step: str) -> None:
    """A command is one of ours, its arguments parse, and its names are those of something."""
    if step.startswith("#"):
        assert "http" in step and " None" not in step
        return
    program, name, *arguments = shlex.split(step)
    group = {"depthdata": depthdata, "depthzoo": depthzoo}[program]
    command = group.get_command(click.Context(group), name)
    assert command is not None, step
    assert CliRunner().invoke(group, [name, "--help"]).exit_code == 0
    if name == "convert":
        Path(arguments[1]).mkdir(parents=True, exist_ok=True)
    values = command.make_context(name, list(arguments)).params
    if name == "download":
        check_archives(step)
    if program == "depthzoo":
        assert arguments[0] in list_models()
        return
    assert arguments[0] in sources.names()
    if name == "convert":
        source = sources.get(arguments[0])
        assert values["preset"] is None or values["preset"] in getattr(source, "PRESETS", {})
        parts = {"train", "valid", "val", "test", None}
        assert values["split"] in {*parts, *list_splits()}


def check_archives(step: str) -> None:
    """The parts and files that are downloaded are those of archives."""
    words = shlex.split(step)[2:]
    if words[0] not in sources.names():
        assert words == [words[0]] and words[0] in list_models()
        return
    archives = sources.get(words[0]).CARD.archives
    for option, value in zip(words[2::2], words[3::2], strict=True):
        assert option in ("--part", "--file")
        wanted = set(value.split("+"))
        if option == "--part":
            assert any(wanted <= set(a.parts) for a in archives), step
        else:
            assert any(fnmatchcase(a.name, value) for a in archives), step


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_where_the_programs_download_they_are_asked_to(table: Table) -> None:
    plan = plan_table(table, commands={"depthdata download", "depthzoo download"})
    downloads = [step for step in plan.steps if " download " in step]
    assert not [step for step in plan.steps if step.startswith("#")]
    assert {shlex.split(step)[0] for step in downloads} == {"depthdata", "depthzoo"}
    for step in downloads:
        check_archives(step)


def test_every_published_number_is_in_a_table() -> None:
    listed = {
        (row.protocol, row.model, row.split, n.metric, n.region, n.value)
        for table in TABLES
        for row in table_rows(table)
        for n in row.numbers
    }
    for name in {p for table in TABLES for p in table.protocols}:
        protocol = get_protocol(name)
        for one in protocol.published:
            split = one.split or protocol.split
            for metric, value in one.values.items():
                assert (protocol.id, one.model, split, metric, one.region, value) in listed
    from depthzoo.evaluation import list_protocols

    with_numbers = {p for p in list_protocols() if get_protocol(p).published}
    assert with_numbers <= {p for table in TABLES for p in table.protocols}
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_the_list_and_wrong_calls(tmp_path: Path) -> None:
    listed = json.loads(run("--list", "--json").stdout)
    assert [row["name"] for row in listed] == [table.name for table in TABLES]
    assert all(name in run("--list").stdout for name in ("insta_dm/readme", Q))
    for wrong, said in (
        ((), "TABLE"),
        (("no/table",), Q),
        ((Q, "--data", tmp_path / "missing"), "missing"),
        ((Q, "--weights", tmp_path / "missing"), "MODEL=PATH"),
        ((Q, "--model", "sgbm"), RAFT),
    ):
        result = run(*wrong)
        assert result.exit_code == 2 and said in result.stderr, wrong
        assert result.stdout == "" and "Traceback" not in result.stderr


def test_where_nothing_can_run_one_line_says_why() -> None:
    result = run(Q, "-o", "r.json")
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"nothing of {Q} could run: data: 0 of 15 sequences")
    assert "delta" not in result.stdout and "depthdata convert middlebury" in result.stdout
    assert json.loads(Path("r.json").read_text())["status"] == "nothing"


# ---------------------------------------------------------------- runs


@contextmanager
def published_as(file: Path) -> Iterator[None]:
    """The model's authors published this file."""
    card = model_card(RAFT)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    authors = card.weights
    object.__setattr__(card, "weights", (replace(authors[0], sha256_prefix=digest[:12]),))
    yield
    object.__setattr__(card, "weights", authors)


@pytest.fixture(scope="module")
def whole(
    middlebury: Path, raft: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """A table that ran whole: the folder of its result and page, and what was printed."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch, published_as(raft):
        patch.setenv("DEPTHZOO_CACHE", str(out / "cache"))
        patch.setitem(model_card(RAFT).settings, "iterations", 2)  # type: ignore[arg-type]
        files = ("-o", out / "r.json", "--html", out / "r.html")
        return out, run(Q, "--data", middlebury, "--weights", raft.parent, *files)


def test_a_whole_table(whole: tuple[Path, Result]) -> None:
    out, result = whole
    assert result.exit_code == 0, result.output
    assert "15 of 15 sequences" in result.stdout and "delta" in result.stdout
    assert "training data: none of these frames (sceneflow:train)" in result.stdout
    data = json.loads((out / "r.json").read_text(encoding="utf-8"))
    assert (data["format"], data["status"]) == ("depthzoo.reproduction", "complete")
    (row,) = data["rows"]
    for cell in row["cells"]:
        assert cell["ours"] == row["result"]["aggregate"][cell["metric"]]
        assert cell["delta"] == pytest.approx(cell["ours"] - cell["published"])
        assert f"{cell['delta']:+.4f}" in result.stdout
    published = {cell["metric"]: cell["published"] for cell in row["cells"]}
    assert published == {"epe": 1.3627, "bad_2": 10.93}
    assert not (out / "r.json.state").exists()
    page = (out / "r.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "src=" not in page and "10.93" in page
    pages = list((out / "r_rows").iterdir())
    assert len(pages) == 1 and f'href="r_rows/{pages[0].name}"' in page


def test_results_say_everything_that_is_needed_to_repeat_them(
    whole: tuple[Path, Result], middlebury: Path, raft: Path
) -> None:
    found = json.loads((whole[0] / "r.json").read_text(encoding="utf-8"))["rows"][0]["result"]
    assert found["protocol"]["id"] == "stereo/raft@1/middlebury_Q"
    assert found["split"]["name"] == "middlebury/official_train_Q"
    assert len(found["split"]["sha256"]) == 64
    assert found["alignment"]["method"] == "none"
    assert found["model"]["weights_sha256"] == hashlib.sha256(raft.read_bytes()).hexdigest()
    assert found["model"]["name"] == RAFT and found["model"]["device"] == "cpu"
    assert {"depthdata", "numpy", "opencv", "python", "torch"} <= set(found["versions"])
    assert found["training"]["overlap"] == "none"
    assert len(found["data"]) == 15
    for told in found["data"]:
        with open_sequence(middlebury / told["file"]) as seq:
            assert told["digest"] == seq.digest
            assert told["source_fingerprint"] == seq.source_fingerprint != ""
            assert told["converter"] == seq.converter


def test_other_weights_than_the_published_ones_are_told(middlebury: Path, raft: Path) -> None:
    files = sorted(middlebury.glob("*.h5"))[:1]
    options = {"iterations": 1}
    report = evaluate(RAFT, files, "stereo/raft@1/middlebury_Q", weights=raft, options=options)
    assert any("not the published ones" in reason for reason in report.limits)
    assert all(row["delta"] is None for row in report.published())
    with published_as(raft):
        report = evaluate(RAFT, files, "stereo/epe", weights=raft, options=options)
    assert not any("weights" in reason for reason in report.limits)


def test_a_list_of_frames_has_its_hash_too(kitti: Path) -> None:
    report = evaluate("sgbm", kitti, "kitti_raw/eigen", split="eigen/test").to_dict()
    published = load_split("eigen/test")
    assert report["split"] == {"name": "eigen/test", "sha256": published.sha256}
    assert report["alignment"]["method"] == "median"
    assert report["model"]["weights_sha256"] is None


def test_a_part_of_a_table(middlebury: Path, raft: Path) -> None:
    result = run("raft_stereo/zero_shot", "--data", middlebury, "--weights", raft)
    assert result.exit_code == 3, result.output
    assert "0 of 200 sequences" in result.stdout and "0 of 27 sequences" in result.stdout
    assert "depthdata convert eth3d raw/eth3d" in result.stdout
    assert "9.36?" in result.stdout and "quoted from memory" in result.stdout
    assert "raft_stereo/sceneflow under stereo/raft@1/eth3d on eth3d/train: skipped" in (
        result.stdout
    )
    (step,) = [line for line in result.stdout.splitlines() if "trainingH_Teddy" in line]
    check_step(step.strip())


def test_a_part_of_the_data_runs_only_when_asked_for(
    middlebury: Path, own_table: Table, tmp_path: Path
) -> None:
    some = tmp_path / "some"
    shutil.copytree(middlebury, some, ignore=shutil.ignore_patterns("*Teddy*", "*Vintage*"))
    (some / "broken.h5").write_bytes(b"not a sequence file")
    call = (own_table.name, "--data", some)
    refused = run(*call)
    assert refused.exit_code == 1 and "13 of 15 sequences" in refused.stdout
    assert "missing: trainingQ_Teddy, trainingQ_Vintage" in refused.stdout
    assert "--partial runs what is there" in refused.stderr and "broken.h5" in refused.stderr
    result = run(*call, "--partial")
    assert result.exit_code == 3, result.output
    assert "not comparable: 13 of 15 sequences" in result.stdout


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive of the Eigen split, of which frames 0 and 3 are here."""
    root = tmp_path_factory.mktemp("kitti")
    scene = SyntheticScene(seed=3, frames=4, height=40, width=128, lidar_rows=32, lidar_steps=900)
    write_raw("kitti_raw", scene, root / "raw", drive="2011_09_26_drive_0002_sync")
    assert convert("kitti_raw", root / "raw", root / "h5", jobs=1).ok
    return root / "h5"


def test_frames_of_a_list_are_counted(kitti: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "insta_dm/kitti"
    folder = Path("cache") / "weights" / name
    folder.mkdir(parents=True)
    state = created("insta_dm").state_dict()
    for file in model_card(name).weights:
        part = {k[len(file.prefix) :]: v for k, v in state.items() if k.startswith(file.prefix)}
        torch.save({"epoch": 3, "state_dict": part}, folder / file.file)
    monkeypatch.setenv("DEPTHDATA_SEQUENCES", str(kitti))
    planned = result_of("insta_dm/readme", "--dry-run")["plan"]["rows"]
    assert [row["status"] for row in planned] == ["partial", "missing"]
    first = planned[0]["data"]
    assert (first["have"], first["wanted"], first["usable"]) == (2, 697, 2)
    assert len(first["missing"]) == 27
    result = run("insta_dm/readme", "--partial", "--model", name, "-o", "r.json")
    assert result.exit_code == 3, result.output
    assert "not comparable: 2 of 697 frames" in result.stdout
    assert "training data: none of these frames" in result.stdout
    (row,) = json.loads(Path("r.json").read_text())["rows"]
    assert row["status"] == "partial" and len(row["cells"]) == 7
    for cell in row["cells"]:
        assert math.isfinite(cell["ours"]) and cell["published"] and cell["delta"] is None


def test_a_conversion_without_its_preset_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = SyntheticScene(seed=3, frames=4, height=48, width=80, lidar_rows=8, lidar_steps=100)
    write_raw("nuscenes", scene, tmp_path / "raw", name="scene-0003")
    assert convert("nuscenes", tmp_path / "raw", tmp_path / "h5", jobs=1).ok
    found = result_of("dynamo_depth/readme", "--data", "h5", "--model", "*/nuscenes", "--dry-run")
    (row,) = found["plan"]["rows"]
    assert any("without --preset dynamo_depth" in why for why in row["reasons"])
    (step,) = [s for s in row["steps"] if "convert" in s]
    assert step.endswith("h5 --split nuscenes/test --preset dynamo_depth --overwrite")
    assert row["data"]["have"] > 0 and row["data"]["usable"] == 0


# ---------------------------------------------------------------- stop and go on


def test_a_stopped_run_goes_on(
    middlebury: Path, own_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    stop_at = 5
    run_task = runner.run_task

    def counted(model: Any, task: Any, *rest: Any) -> Any:
        if len(done) == stop_at:
            raise KeyboardInterrupt
        done.append(task.path.stem)
        return run_task(model, task, *rest)

    monkeypatch.setattr(runner, "run_task", counted)
    call = (own_table.name, "--data", middlebury, "-o", "r.json")
    stopped = run(*call)
    assert stopped.exit_code == 130 and not Path("r.json").exists()
    assert len(list(Path("r.json.state").rglob("*.json"))) == stop_at
    stop_at = -1
    assert run(*call).exit_code == 0
    assert len(done) == len(set(done)) == 15
    assert not Path("r.json.state").exists()
    resumed = json.loads(Path("r.json").read_text())
    fresh = result_of(own_table.name, "--data", middlebury, "-j", 2)
    for data in (resumed, fresh):
        data["rows"][0]["result"].pop("timing")
    assert resumed["rows"] == fresh["rows"]


def test_what_fails_does_not_stop_the_others(
    middlebury: Path, own_table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = replace(own_table, models=("sgbm", RAFT))
    monkeypatch.setattr(reproduce_tables, "TABLES", (both,))
    Path("raftstereo-sceneflow.pth").write_bytes(b"not weights")
    result = run(both.name, "--data", middlebury, "--weights", ".")
    assert result.exit_code == 3, result.output
    assert "failed: " in result.stdout and "raftstereo-sceneflow.pth" in result.stdout
    assert "sgbm, middlebury/official_train_Q" in result.stdout


# ---------------------------------------------------------------- weights


def test_weights_are_found_by_name_folder_and_archive(tmp_path: Path) -> None:
    card = model_card("monodepth2/mono_640x192")
    other = model_card("monodepth2/mono_1024x320")
    for name in ("mono_640x192", "mono_1024x320"):
        (tmp_path / "w" / name).mkdir(parents=True)
        for file in card.weights:
            (tmp_path / "w" / name / file.file).write_bytes(b"")
    places = read_places([str(tmp_path / "w")])
    assert places.find(card) == tmp_path / "w" / "mono_640x192"
    assert places.find(other) == tmp_path / "w" / "mono_1024x320"
    assert places.find(model_card("monodepth2/stereo_640x192")) is None
    assert places.find(model_card("lite_mono/base_640x192")) is None
    shutil.make_archive(str(tmp_path / "z" / "models"), "zip", tmp_path / "w")
    assert read_places([str(tmp_path / "z")]).find(model_card(RAFT)) is None
    named = tmp_path / "anything.bin"
    named.write_bytes(b"")
    places = read_places([f"{RAFT}={named}"])
    assert places.find(model_card(RAFT)) == named and places.find(card) is None
    assert read_places([str(named)]).find(model_card(RAFT), alone=True) == named
    assert read_places([str(named)]).find(model_card(RAFT)) is None


def test_table_rows_merge_what_one_run_gives() -> None:
    rows = table_rows(find_table("dynamic_multiframe_depth/paper"))
    regions = {row.model: {n.region for n in row.numbers} for row in rows}
    assert regions["dynamic_multiframe_depth/efficientnet_b5"] == {"all", "moving"}
