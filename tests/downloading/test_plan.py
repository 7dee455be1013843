"""What would be downloaded: every card has a plan, without any server."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

import depthdata as dd
import depthzoo as dz
from depthdata.cli import main
from depthdata.downloading import plan_download
from depthdata.downloading.access import kind_of
from depthdata.downloading.limits import Limits
from depthdata.downloading.members import parts_of
from depthdata.downloading.plan import part_names, select
from depthdata.errors import UsageError
from depthzoo.cli import main as zoo_main


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a plan asks no server")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("DEPTHDATA_MIRROR", raising=False)


@pytest.mark.parametrize("name", dd.list_datasets())
def test_every_dataset_has_a_plan(name: str, tmp_path: Path, offline: None) -> None:
    root = tmp_path / "root"
    command = ["download", name, str(root), "--dry-run"]
    done = CliRunner().invoke(main, [*command, "--json"])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    card = dd.dataset_card(name)
    assert plan["terms"]["url"] == card.terms_url and plan["terms"]["licence"] == card.licence
    assert plan["files"] and len(plan["files"]) + len(plan["left_out"]) == len(card.archives)
    if any(file["access"] in ("login", "link", "bucket") for file in plan["files"]):
        assert plan["needs"]
    text = CliRunner().invoke(main, [*command, "--part", "all"])
    assert text.exit_code == 0 and not root.exists()
    for archive in card.archives:
        assert archive.name in text.stdout


@pytest.mark.parametrize("name", [n for n in dz.list_models() if dz.model_card(n).weights])
def test_every_model_has_a_plan(name: str, offline: None) -> None:
    done = CliRunner().invoke(zoo_main, ["download", name, "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert plan["files"] and plan["terms"]["licence"] == dz.model_card(name).licence


@pytest.mark.parametrize("name", dd.list_datasets())
def test_archives_of_a_card_make_sense(name: str) -> None:
    card = dd.dataset_card(name)
    names = [archive.name for archive in card.archives]
    assert names and len(set(names)) == len(names)
    assert not all(archive.optional for archive in card.archives)
    for archive in card.archives:
        assert parts_of(f"./{archive.extract_to}/{archive.name}", Limits())
        assert archive.many or "/" not in archive.name
        assert archive.size is None or archive.about is None
        assert kind_of(archive, card.login) in (
            "open", "login", "link", "bucket", "google_drive"
        )  # fmt: skip


def test_parts_and_names_choose() -> None:
    sceneflow = dd.dataset_card("sceneflow")
    both = select(sceneflow, parts=["monkaa+disparity", "driving+disparity"])
    assert [a.name for a in both] == ["monkaa__disparity.tar.bz2", "driving__disparity.tar.bz2"]
    kitti = dd.dataset_card("kitti_raw")
    chosen = select(kitti, files=["2011_09_28_*"])
    assert len(chosen) == 3 and {a.parts[0] for a in chosen} == {"2011_09_28"}
    assert len(select(kitti, files=["*_sync.zip"], parts=["2011_09_28"])) == 2
    flow = [a for a in sceneflow.archives if "optical_flow" in a.parts]
    assert not set(flow) & set(select(sceneflow)) and set(flow) <= set(select(sceneflow, ["*"]))
    assert select(sceneflow, parts=["all"]) == sceneflow.archives
    assert "train" in part_names(dd.dataset_card("dynamic_replica"))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"files": ["no_such.zip"]}, "MPI-Sintel-complete.zip"),
        ({"parts": ["no_such"]}, "stereo, depth, flow, all"),
        ({"parts": ["stereo+flow"]}, "together"),
        ({"files": ["*-complete.zip"], "parts": ["stereo"]}, "in these parts"),
        ({"files": "one.zip"}, r"\['one.zip'\]"),
    ],
)
def test_a_wrong_choice_is_one_line(choice: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        select(dd.dataset_card("sintel"), **choice)
    assert "\n" not in str(error.value)


def test_plan_knows_what_is_there(tmp_path: Path) -> None:
    names = [archive.name for archive in dd.dataset_card("sintel").archives]
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / names[0]).write_bytes(b"x")
    (tmp_path / "archives" / f"{names[1]}.part").write_bytes(b"x")
    plan = plan_download("sintel", tmp_path)
    assert [file.state for file in plan.files] == ["fetched", "begun", ""]
    assert plan.size == 0 and "sizes not published" in plan.summary


def test_plan_on_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHDATA_MIRROR", "https://mirror.lab/data")
    plan = plan_download("cityscapes", tmp_path)
    assert {file.access for file in plan.files} == {"open"} and not plan.needs
    assert plan.files[0].url == "https://mirror.lab/data/cityscapes/leftImg8bit_trainvaltest.zip"
    proxied = plan_download("sintel", tmp_path, mirror="https://cache.lab/{host}/{path}")
    assert proxied.files[0].url.startswith("https://cache.lab/files.is.tue.mpg.de/jwulff/sintel/")


@pytest.mark.parametrize(
    "template", ["mirror.lab", "https://m/{dataset}", "https://m/{x}", "h://{name}{path}"]
)
def test_a_mirror_that_makes_no_sense(template: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected an address"):
        plan_download("sintel", tmp_path, mirror=template)


def test_a_dataset_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source dataset"):
        dd.download("no_such", tmp_path)
